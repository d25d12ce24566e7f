//! Bounded size, full disks, age.

use super::*;
use crate::spool::{Condition, DestinationStatus, WhenFull};

fn small(when_full: WhenFull) -> World {
    World::with(|config| {
        config.segment_bytes = 4 << 10;
        config.max_bytes = 16 << 10;
        config.when_full = when_full;
    })
}

fn siem(spool: &Spool) -> DestinationStatus {
    spool.status().destinations.into_iter().find(|destination| destination.name == "siem").unwrap()
}

#[tokio::test]
async fn a_full_spool_lets_sources_wait_until_a_commit() {
    let world = small(WhenFull::Backpressure);
    let spool = world.open();
    let intake = intake(&spool);
    let writing = tokio::spawn(async move {
        for number in 0..100 {
            intake.append(numbered(number, 1, 1000)).await.unwrap();
        }
    });
    let mut reader = spool.reader("siem").unwrap();
    until(|| matches!(spool.status().condition, Condition::Full)).await;
    assert!(spool.status().bytes <= world.config.max_bytes);
    let mut next = 1;
    while next <= 100 {
        let chunk = within(reader.next()).await.unwrap();
        for record in &chunk.records {
            assert_eq!(record.sequence, next);
            next += 1;
        }
        reader.commit(chunk.end).await.unwrap();
        assert!(spool.status().bytes <= world.config.max_bytes);
    }
    within(writing).await.unwrap();
}

#[tokio::test]
async fn the_slowest_destination_holds_records_back() {
    let world = small(WhenFull::Backpressure);
    let spool = world.open_for(&["fast", "slow"]);
    let intake = intake(&spool);
    let writing = tokio::spawn(async move {
        for number in 0..30 {
            intake.append(numbered(number, 1, 1000)).await.unwrap();
        }
    });
    let (mut fast, mut slow) = (spool.reader("fast").unwrap(), spool.reader("slow").unwrap());
    until(|| matches!(spool.status().condition, Condition::Full)).await;
    fast.commit(Cursor(u64::MAX)).await.unwrap();
    assert_eq!(spool.status().oldest_sequence, 1);
    let commits = async {
        loop {
            slow.commit(Cursor(u64::MAX)).await.unwrap();
            fast.commit(Cursor(u64::MAX)).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        finished = within(writing) => finished.unwrap(),
        () = commits => {}
    }
    assert!(spool.status().oldest_sequence > 1);
}

#[tokio::test]
async fn drop_oldest_keeps_the_newest_and_counts_what_is_lost() {
    let world = small(WhenFull::DropOldest);
    let spool = world.open();
    for number in 0..100 {
        within(intake(&spool).append(numbered(number, 1, 1000))).await.unwrap();
    }
    let status = spool.status();
    assert!(status.bytes <= world.config.max_bytes);
    assert_eq!(status.next_sequence, 101);
    assert_eq!(status.destinations[0].cursor, Cursor(status.oldest_sequence));
    let records = read_to(&mut spool.reader("siem").unwrap(), 101).await;
    assert_eq!(records[0].0, status.oldest_sequence);
    assert_eq!(records.len() as u64, 101 - status.oldest_sequence);
    assert_eq!(siem(&spool).dropped, status.oldest_sequence - 1);
    spool.account().flush();
    assert_eq!(accounted(&world, ",read,"), 100);
    assert_eq!(accounted(&world, ",siem,dropped,"), status.oldest_sequence - 1);
}

#[tokio::test]
async fn records_in_flight_when_their_segment_goes_are_counted_only_if_they_are_not_confirmed() {
    for confirmed in [true, false] {
        let world = small(WhenFull::DropOldest);
        let spool = world.open();
        for number in 0..6 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
        }
        let mut reader = spool.reader("siem").unwrap();
        assert_eq!(read_to(&mut reader, 4).await.len(), usize::try_from(siem(&spool).in_flight).unwrap());
        let handed_out = 1 + siem(&spool).in_flight;
        for number in 6..60 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
        }
        let oldest = spool.status().oldest_sequence;
        assert_eq!(siem(&spool).dropped, oldest - handed_out);
        if confirmed {
            reader.commit(Cursor(handed_out)).await.unwrap();
        }
        reader.rewind();
        let first = within(reader.next()).await.unwrap().records[0].sequence;
        assert_eq!(first, oldest);
        assert_eq!(siem(&spool).dropped, oldest - if confirmed { handed_out } else { 1 });
    }
}

#[tokio::test]
async fn delivered_records_stay_for_replay_while_there_is_space() {
    let world = small(WhenFull::Backpressure);
    let spool = world.open();
    for number in 0..8 {
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    spool.reader("siem").unwrap().commit(Cursor(9)).await.unwrap();
    intake(&spool).append(batch("x", &["y"])).await.unwrap();
    assert_eq!(spool.status().oldest_sequence, 1);
    for number in 9..20 {
        spool.reader("siem").unwrap().commit(Cursor(u64::MAX)).await.unwrap();
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    assert!(spool.status().oldest_sequence > 1, "their space was needed");
}

#[tokio::test]
async fn no_record_outlives_max_age() {
    let world = World::with(|config| config.max_age = Some(Duration::from_millis(50)));
    let scrap = world.path().join("00000000000000000001.unreadable");
    std::fs::write(&scrap, "half a record").unwrap();
    let spool = world.open();
    intake(&spool).append(batch("1", &["a", "b"])).await.unwrap();
    until(|| spool.status().oldest_sequence == 3 && !scrap.exists()).await;
    assert_eq!(siem(&spool).dropped, 2);
    intake(&spool).append(batch("2", &["c"])).await.unwrap();
    assert_eq!(position(&intake(&spool)).as_deref(), Some("2"));
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let world = World::new();
    let spool = world.open();
    intake(&spool).append(batch("1", &["a"])).await.unwrap();
    world.disk.faults.plan().space = Some(40);
    let intake = intake(&spool);
    let waiting = tokio::spawn({
        let intake = intake.clone();
        async move { intake.append(batch("2", &["b", "c"])).await }
    });
    until(|| matches!(spool.status().condition, Condition::DiskFull)).await;
    until(|| world.disk.faults.plan().refused > 1).await;
    assert!(!waiting.is_finished());
    assert_eq!(position(&intake).as_deref(), Some("1"), "nothing is acknowledged early");
    let mut reader = spool.reader("siem").unwrap();
    assert_eq!(read_to(&mut reader, 2).await, [(1, "a".into())]);
    world.disk.faults.plan().space = None;
    within(waiting).await.unwrap().unwrap();
    assert_eq!(read_to(&mut reader, 4).await, [(2, "b".into()), (3, "c".into())]);
    assert!(matches!(spool.status().condition, Condition::Open));
    drop((spool, reader, intake));
    let spool = world.open();
    assert_eq!(read_to(&mut spool.reader("siem").unwrap(), 4).await.len(), 3);
}

#[tokio::test]
async fn on_a_full_disk_delivered_segments_give_their_space() {
    let world = World::with(|config| config.segment_bytes = 4096);
    let spool = world.open();
    for number in 0..12 {
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    spool.reader("siem").unwrap().commit(Cursor(13)).await.unwrap();
    assert_eq!(spool.status().oldest_sequence, 1);
    world.disk.faults.plan().space = Some(0);
    let intake = intake(&spool);
    let waiting = tokio::spawn(async move { intake.append(numbered(12, 1, 1000)).await });
    until(|| spool.status().oldest_sequence > 1).await;
    world.disk.faults.plan().space = None;
    within(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_start_on_a_full_disk_hands_out_what_is_there_and_goes_on_when_there_is_space() {
    let world = World::new();
    let spool = world.open();
    within(intake(&spool).append(batch("2", &["a", "b"]))).await.unwrap();
    spool.close().await;
    world.disk.faults.plan().space = Some(0);
    let spool = world.open();
    let mut reader = spool.reader("siem").unwrap();
    assert_eq!(read_to(&mut reader, 3).await, [(1, "a".to_owned()), (2, "b".to_owned())]);
    reader.commit(Cursor(3)).await.unwrap();
    assert_eq!(position(&intake(&spool)).as_deref(), Some("2"));
    let intake = intake(&spool);
    let writing = tokio::spawn(async move { intake.append(batch("3", &["c"])).await });
    until(|| matches!(spool.status().condition, Condition::DiskFull)).await;
    world.disk.faults.plan().space = None;
    within(writing).await.unwrap().unwrap();
    assert_eq!(read_to(&mut reader, 4).await, [(3, "c".to_owned())]);
    assert_eq!(world.segments().len(), 2, "the segment of the last run is not written to");
}
