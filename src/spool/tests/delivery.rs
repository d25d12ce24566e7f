//! In, out, again after a restart.

use super::*;
use crate::record::Timestamp;
use crate::spool::{Outcome, Seek, SpoolError, Tally};

#[tokio::test]
async fn what_was_appended_is_read_in_order_with_its_origin() {
    let world = World::new();
    let spool = world.open();
    let intake = intake(&spool);
    let before = Timestamp::now();
    intake.append(batch("1", &["a", "b"])).await.unwrap();
    intake.append(batch("2", &["c"])).await.unwrap();
    let mut reader = spool.reader("siem").unwrap();
    let chunk = within(reader.next()).await.unwrap();
    assert_eq!(bodies(&chunk), ["a", "b", "c"]);
    assert_eq!(chunk.end, Cursor(4));
    let record = &chunk.records[1];
    assert_eq!((record.sequence, &*record.source, &*record.tenant), (2, "file", "tenant"));
    assert_eq!(record.table, Table::new("t"));
    assert!(record.received >= before && record.received <= Timestamp::now());
    assert_eq!(position(&intake).as_deref(), Some("2"));
}

#[tokio::test]
async fn a_waiting_reader_gets_what_is_appended_later_also_after_it_was_cancelled() {
    let world = World::new();
    let spool = world.open();
    let mut reader = spool.reader("siem").unwrap();
    for round in 0..20 {
        let waiting = tokio::time::timeout(Duration::from_millis(1), reader.next()).await;
        assert!(waiting.is_err(), "nothing to read in round {round}");
        let body = round.to_string();
        intake(&spool).append(batch("1", &[&body])).await.unwrap();
        // Given up at any await point, it must not lose what it read.
        let chunk = loop {
            let mut next = Box::pin(reader.next());
            if let std::task::Poll::Ready(chunk) = futures_poll(&mut next).await {
                break chunk.unwrap();
            }
        };
        assert_eq!(bodies(&chunk), [body]);
    }
}

/// Polls once, then lets others run.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))
    });
    let polled = polled.await;
    tokio::task::yield_now().await;
    polled
}

#[tokio::test]
async fn a_restart_goes_on_at_the_commit_and_a_rewind_too() {
    let world = World::new();
    {
        let spool = world.open();
        intake(&spool).append(batch("1", &["a", "b", "c", "d"])).await.unwrap();
        let mut reader = spool.reader("siem").unwrap();
        assert_eq!(within(reader.next()).await.unwrap().records.len(), 4);
        reader.commit(Cursor(3)).await.unwrap();
        reader.rewind();
        assert_eq!(bodies(&within(reader.next()).await.unwrap()), ["c", "d"]);
        reader.commit(Cursor(2)).await.unwrap();
        assert_eq!(reader.cursor(), Cursor(3), "a commit never goes back");
    }
    let spool = world.open();
    assert_eq!(position(&intake(&spool)).as_deref(), Some("1"));
    intake(&spool).append(batch("2", &["e"])).await.unwrap();
    let mut reader = spool.reader("siem").unwrap();
    let records = read_to(&mut reader, 6).await;
    assert_eq!(records, [(3, "c".into()), (4, "d".into()), (5, "e".into())]);
}

#[tokio::test]
async fn destinations_move_on_their_own_and_a_new_one_starts_at_the_oldest_record() {
    let world = World::new();
    {
        let spool = world.open();
        intake(&spool).append(batch("1", &["a", "b"])).await.unwrap();
        let mut reader = spool.reader("siem").unwrap();
        reader.commit(Cursor(3)).await.unwrap();
        assert!(matches!(spool.reader("siem"), Err(SpoolError::ReaderTaken { .. })));
        assert!(matches!(spool.reader("other"), Err(SpoolError::UnknownDestination { .. })));
    }
    let spool = world.open_for(&["siem", "other"]);
    let mut other = spool.reader("other").unwrap();
    assert_eq!(bodies(&within(other.next()).await.unwrap()), ["a", "b"]);
    let lags: Vec<_> = spool.status().destinations.iter().map(|destination| destination.lag).collect();
    assert_eq!(lags, [0, 2]);
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_first_can_close() {
    let world = World::new();
    let spool = world.open();
    let refused = Spool::open(&world.config, &[]);
    assert!(matches!(refused, Err(SpoolError::Locked { .. })), "{refused:?}");
    let intake = intake(&spool);
    let mut reader = spool.reader("siem").unwrap();
    spool.close().await;
    assert!(matches!(intake.append(batch("1", &["a"])).await, Err(SpoolError::Closed)));
    assert!(matches!(within(reader.next()).await, Err(SpoolError::Closed)));
    Spool::open(&world.config, &[]).unwrap();
}

#[tokio::test]
async fn positions_survive_the_segments_they_were_written_in() {
    let world = World::with(|config| {
        config.segment_bytes = 4096;
        config.max_bytes = 1 << 20;
        config.keep = Duration::ZERO;
    });
    {
        let spool = world.open();
        let other = spool.intake("other".into(), "".into());
        other.append(batch("only once", &[])).await.unwrap();
        let gone = Partition("gone".into());
        other.append(Batch { partition: gone.clone(), ..batch("x", &[]) }).await.unwrap();
        other.forget(&gone).await.unwrap();
        let mut reader = spool.reader("siem").unwrap();
        for number in 0..30 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
            reader.commit(Cursor(u64::MAX)).await.unwrap();
        }
        until(|| world.segments().len() == 1).await;
    }
    let spool = world.open();
    let other = spool.intake("other".into(), "".into());
    assert_eq!(position(&other).as_deref(), Some("only once"));
    assert_eq!(other.partitions(), [Partition("p".into())]);
    assert_eq!(position(&intake(&spool)).as_deref(), Some("30"));
    assert_eq!(spool.status().next_sequence, 31);
}

#[tokio::test]
async fn many_sources_at_once_share_syncs_and_keep_their_order() {
    let world = World::new();
    let spool = world.open();
    let mut tasks = Vec::new();
    for source in 0..8 {
        let intake = spool.intake(format!("s{source}").into(), "".into());
        tasks.push(tokio::spawn(async move {
            for number in 0..50 {
                intake.append(numbered(number, 1, 100)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut reader = spool.reader("siem").unwrap();
    let mut next = [0; 8];
    let mut sequence = 1;
    while sequence <= 400 {
        for record in within(reader.next()).await.unwrap().records {
            assert_eq!(record.sequence, sequence);
            sequence += 1;
            let source: usize = record.source[1..].parse().unwrap();
            let number: usize = std::str::from_utf8(&record.body[..8]).unwrap().parse().unwrap();
            assert_eq!(number, next[source]);
            next[source] += 1;
        }
    }
    let syncs = world.disk.faults.plan().syncs;
    assert!(syncs < 401, "every append had a sync of its own: {syncs}");
}

#[tokio::test]
async fn a_seek_goes_to_a_number_or_a_time_and_stays_within_what_is_there() {
    let world = World::with(|config| config.segment_bytes = 4096);
    let spool = world.open();
    let mut times = Vec::new();
    for number in 0..20 {
        let start = Timestamp::now();
        until(|| Timestamp::now() > start).await;
        times.push(Timestamp::now());
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    let mut reader = spool.reader("siem").unwrap();
    reader.commit(Cursor(21)).await.unwrap();
    for (seek, expected) in [
        (Seek::Sequence(0), 1),
        (Seek::Sequence(7), 7),
        (Seek::Sequence(99), 21),
        (Seek::Time(Timestamp(0)), 1),
        (Seek::Time(times[0]), 1),
        (Seek::Time(times[13]), 14),
        (Seek::Time(Timestamp(i64::MAX)), 21),
    ] {
        assert_eq!(reader.seek(seek).await.unwrap(), Cursor(expected), "{seek:?}");
        assert_eq!(reader.cursor(), Cursor(expected));
        if expected < 21 {
            let chunk = within(reader.next()).await.unwrap();
            assert_eq!(chunk.records[0].sequence, expected, "{seek:?}");
        }
    }
}

#[tokio::test]
async fn beside_a_running_process_records_cursors_and_account_can_be_read() {
    let world = World::with(|config| config.segment_bytes = 4096);
    let spool = world.open();
    for number in 0..10 {
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    let mut reader = spool.reader("siem").unwrap();
    let chunk = within(reader.next()).await.unwrap();
    let mut tally = Tally::default();
    chunk.records.iter().for_each(|record| tally.count(record, &Outcome::Delivered));
    reader.commit(chunk.end).await.unwrap();
    spool.account().add(&"siem".into(), &tally);
    spool.account().flush();

    let beside = Spool::open_for_reading(&world.config).unwrap();
    assert_eq!((beside.oldest_sequence(), beside.next_sequence()), (1, 11));
    assert_eq!(beside.cursors().unwrap(), [("siem".to_owned(), chunk.end)]);
    let mut replay = beside.reader(Seek::Sequence(4)).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(chunk) = replay.next().await.unwrap() {
        sequences.extend(chunk.records.iter().map(|record| record.sequence));
    }
    assert_eq!(sequences, (4..=10).collect::<Vec<_>>());
    assert_eq!(accounted(&world, ",read,"), 10);
    assert_eq!(accounted(&world, ",siem,delivered,"), chunk.records.len() as u64);
}

#[tokio::test]
async fn a_record_no_frame_can_hold_is_refused_and_the_next_is_stored() {
    let world = World::new();
    let spool = world.open();
    let mut large = batch("1", &["a"]);
    large.records.push((Table::new("t"), Bytes::from(vec![b'x'; 65 << 20])));
    assert!(matches!(intake(&spool).append(large).await, Err(SpoolError::TooLarge)));
    let five = "y".repeat(5 << 20);
    intake(&spool).append(batch("2", &["b", &five, "c"])).await.unwrap();
    let records = read_to(&mut spool.reader("siem").unwrap(), 4).await;
    assert_eq!(records.iter().map(|(_, body)| body.len()).collect::<Vec<_>>(), [1, 5 << 20, 1]);
}
