//! Torn tails, damage, failing syncs, foreign formats.

use std::fs;

use super::*;
use crate::spool::SpoolError;

/// Copies of the files of a spool that was never closed.
fn copy_of(world: &World) -> World {
    let mut copy = World::new();
    for entry in fs::read_dir(world.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy.config = Config { directory: copy.path().to_owned(), ..world.config.clone() };
    copy
}

#[tokio::test]
async fn at_every_torn_tail_whole_frames_and_their_positions_remain() {
    let world = World::new();
    let spool = world.open();
    let file = &world.segments()[0];
    let mut ends = vec![fs::metadata(file).unwrap().len()];
    for position in ["1", "2", "3"] {
        // The second is put behind the first, the third takes the place of both.
        let batch = batch(position, &["one", "two"]);
        match position {
            "2" => intake(&spool).extend(batch).await.unwrap(),
            _ => intake(&spool).append(batch).await.unwrap(),
        }
        ends.push(fs::metadata(file).unwrap().len());
    }
    let whole = *ends.last().unwrap();
    for length in 0..=whole {
        for garbage in [&b""[..], &[0; 40], &[0xff; 40]] {
            // Within the header, `0xff` could make a version, which is refused rather than repaired.
            if !garbage.is_empty() && (length < ends[0] || length % 7 != 0) {
                continue;
            }
            let copy = copy_of(&world);
            let file = copy.segments()[0].clone();
            let mut bytes = fs::read(&file).unwrap();
            bytes.truncate(usize::try_from(length).unwrap());
            bytes.extend_from_slice(garbage);
            fs::write(&file, bytes).unwrap();
            let survivors = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
            let spool = copy.open();
            let expected = [None, Some("1"), Some("12"), Some("3")][survivors].map(str::to_owned);
            assert_eq!(position(&intake(&spool)), expected, "cut at {length}");
            assert_eq!(spool.status().next_sequence, 1 + 2 * survivors as u64, "cut at {length}");
            if length % 16 == 0 {
                intake(&spool).extend(batch("+", &[])).await.unwrap();
                assert_eq!(position(&intake(&spool)).unwrap(), format!("{}+", expected.unwrap_or_default()));
                intake(&spool).append(batch("later", &["three"])).await.unwrap();
                let end = spool.status().next_sequence;
                let records = read_to(&mut spool.reader("siem").unwrap(), end).await;
                assert_eq!(records.len(), 2 * survivors + 1);
                assert_eq!(records.last().unwrap().1, "three");
            }
        }
    }
}

#[tokio::test]
async fn after_a_kill_every_stored_record_is_in_the_account_once() {
    let world = World::with(|config| config.segment_bytes = 4096);
    let spool = world.open();
    for number in 0..11 {
        intake(&spool).append(numbered(number, 2, 1000)).await.unwrap();
    }
    let copy = copy_of(&world);
    std::process::Command::new("cp")
        .arg("-r")
        .arg(world.path().join("account"))
        .arg(copy.path())
        .status()
        .unwrap();
    drop(spool);
    assert_eq!(accounted(&world, ",read,"), 22);
    assert!(accounted(&copy, ",read,") < 22);
    for _ in 0..2 {
        drop(copy.open());
        assert_eq!(accounted(&copy, ",read,"), 22);
    }
}

#[tokio::test]
async fn a_damaged_header_costs_no_record() {
    for damaged in [0, 2] {
        let world = World::with(|config| config.segment_bytes = 4096);
        {
            let spool = world.open();
            for number in 0..10 {
                intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
            }
        }
        let file = world.segments()[damaged].clone();
        let mut bytes = fs::read(&file).unwrap();
        bytes[30] ^= 1;
        fs::write(&file, bytes).unwrap();
        for _ in 0..2 {
            let spool = world.open();
            let mut reader = spool.reader("siem").unwrap();
            assert_eq!(position(&intake(&spool)).as_deref(), Some("10"), "segment {damaged}");
            let records = read_to(&mut reader, 11).await;
            assert_eq!(records.len(), 10, "segment {damaged}");
        }
        assert_eq!(world.segments()[damaged].extension().unwrap(), "corrupt");
    }
}

#[tokio::test]
async fn damage_costs_the_damaged_frame_and_nothing_after_it() {
    let world = World::with(|config| config.segment_bytes = 4096);
    {
        let spool = world.open();
        for number in 0..12 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
        }
    }
    let segments = world.segments();
    assert!(segments.len() >= 3);
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[1500] ^= 4;
    fs::write(&segments[0], bytes).unwrap();

    let spool = world.open_for(&["siem", "other"]);
    for name in ["siem", "other"] {
        let mut reader = spool.reader(name).unwrap();
        let sequences: Vec<u64> =
            read_to(&mut reader, 13).await.into_iter().map(|(number, _)| number).collect();
        assert_eq!(sequences, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "{name}");
    }
    assert_eq!(world.segments()[0].extension().unwrap(), "corrupt", "set aside");
    drop(spool);

    let spool = world.open();
    let sequences = read_to(&mut spool.reader("siem").unwrap(), 13).await;
    assert_eq!(sequences.len(), 11, "and still read after a restart");
}

#[tokio::test]
async fn damage_met_in_the_segment_being_written_leaves_it_whole_for_recovery() {
    let world = World::new();
    let spool = world.open();
    for number in 0..3 {
        intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
    }
    let file = world.segments()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[1500] ^= 4;
    fs::write(&file, bytes).unwrap();
    let mut reader = spool.reader("siem").unwrap();
    let records = read_to(&mut reader, 4).await;
    assert_eq!(records.len(), 2);
    intake(&spool).append(numbered(3, 1, 1000)).await.unwrap();
    assert_eq!(world.segments().len(), 2, "the writer leaves a damaged segment");
    assert_eq!(read_to(&mut reader, 5).await.len(), 1);
}

#[tokio::test]
async fn behind_damage_in_the_newest_segment_records_are_kept_but_sources_resume_before_it() {
    let world = World::new();
    {
        let spool = world.open();
        for number in 0..4 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
        }
    }
    let file = world.segments()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[1500] ^= 4;
    fs::write(&file, bytes).unwrap();
    let spool = world.open();
    assert_eq!(position(&intake(&spool)).as_deref(), Some("1"));
    intake(&spool).append(numbered(1, 1, 1000)).await.unwrap();
    let records = read_to(&mut spool.reader("siem").unwrap(), 6).await;
    let numbers: Vec<_> = records.iter().map(|(sequence, body)| (*sequence, &body[..8])).collect();
    assert_eq!(numbers, [(1, "00000000"), (3, "00000002"), (4, "00000003"), (5, "00000001")]);
}

#[tokio::test]
async fn a_missing_segment_is_passed_over() {
    let world = World::with(|config| config.segment_bytes = 4096);
    {
        let spool = world.open();
        for number in 0..12 {
            intake(&spool).append(numbered(number, 1, 1000)).await.unwrap();
        }
    }
    fs::remove_file(&world.segments()[1]).unwrap();
    let spool = world.open();
    let records = read_to(&mut spool.reader("siem").unwrap(), 13).await;
    assert!(records.len() < 12 && records.last().unwrap().0 == 12, "{records:?}");
}

#[tokio::test]
async fn numbers_are_never_used_twice_even_if_delivered_records_vanish() {
    let world = World::new();
    {
        let spool = world.open();
        intake(&spool).append(batch("1", &["a", "b", "c"])).await.unwrap();
        spool.reader("siem").unwrap().commit(Cursor(4)).await.unwrap();
    }
    for segment in world.segments() {
        fs::remove_file(segment).unwrap();
    }
    let spool = world.open();
    intake(&spool).append(batch("1", &["d"])).await.unwrap();
    assert_eq!(read_to(&mut spool.reader("siem").unwrap(), 5).await, [(4, "d".into())]);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let world = World::new();
    drop(world.open());
    let file = world.segments()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 9;
    fs::write(&file, bytes).unwrap();
    let refused = Spool::open(&world.config, &[]).unwrap_err();
    assert!(matches!(refused, SpoolError::NewerFormat { found: 9, known: 2, .. }));
    assert!(refused.to_string().ends_with("has format 9; this version reads up to 2: use the newer version"));
}

#[tokio::test]
async fn after_a_failed_sync_everything_is_written_again_elsewhere() {
    let world = World::new();
    let spool = world.open();
    intake(&spool).append(batch("1", &["a"])).await.unwrap();
    world.disk.faults.plan().failing_syncs = 1;
    intake(&spool).append(batch("2", &["b"])).await.unwrap();
    assert_eq!(world.segments().len(), 2, "the segment is given up");
    world.disk.faults.plan().failing_syncs = 2;
    intake(&spool).append(batch("3", &["c"])).await.unwrap();
    let mut reader = spool.reader("siem").unwrap();
    let expected = [(1, "a".to_owned()), (2, "b".into()), (3, "c".into())];
    assert_eq!(read_to(&mut reader, 4).await, expected);
    drop((spool, reader));
    let spool = world.open();
    assert_eq!(position(&intake(&spool)).as_deref(), Some("3"));
    assert_eq!(read_to(&mut spool.reader("siem").unwrap(), 4).await, expected);
}

#[tokio::test]
async fn a_disk_that_keeps_failing_is_an_error_for_every_append() {
    let world = World::new();
    let spool = world.open();
    world.disk.faults.plan().failing_syncs = u32::MAX;
    for _ in 0..2 {
        let error = within(intake(&spool).append(batch("1", &["a"]))).await.unwrap_err();
        assert!(matches!(error, SpoolError::Write { .. }), "{error:?}");
    }
    assert_eq!(position(&intake(&spool)), None);
}

#[tokio::test]
async fn a_frame_given_up_after_a_failed_sync_is_not_read_in_its_old_place() {
    let world = World::new();
    {
        let spool = world.open();
        intake(&spool).append(batch("1", &["a"])).await.unwrap();
    }
    // The next segment begins at 2; what the first holds beyond that was superseded.
    drop(world.open());
    let first = world.segments()[0].clone();
    let other = World::new();
    {
        let spool = other.open();
        intake(&spool).append(batch("1", &["a"])).await.unwrap();
        intake(&spool).append(batch("2", &["old"])).await.unwrap();
    }
    fs::copy(&other.segments()[0], first).unwrap();
    let spool = world.open();
    intake(&spool).append(batch("2", &["new"])).await.unwrap();
    let records = read_to(&mut spool.reader("siem").unwrap(), 3).await;
    assert_eq!(records, [(1, "a".into()), (2, "new".into())]);
}
