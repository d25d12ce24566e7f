//! A record above the size limit still becomes an event that says what it was.

use cefgate::oversized::Oversized;
use cefgate::record::Table;
use cefgate::wire::Wire;

use crate::harness::pipeline::{pipeline, record};

#[test]
fn a_record_above_the_limit_becomes_an_event_with_its_length_hash_and_head() {
    let mut oversized = Oversized::new();
    for _ in 0..20 {
        oversized.update(&[b'x'; 1 << 20]);
    }
    let records = [record(7, &Table::new(Table::UNPARSED), oversized.finish())];
    let mut frames = cefgate::pipeline::Frames::default();
    pipeline("default", Wire::default()).encode(&records, records[0].received, &mut frames);
    let event = String::from_utf8(frames.bytes).unwrap();
    for expected in [
        "reason=larger than max_record_bytes",
        "cn1=20971520 cn1Label=RecordBytes",
        "msg=xxx",
        "cs3=6adfa0775cbd16a3f50d1fda1d7bd7f375dd1f9af5e6dfb751a87d3dff68699c",
    ] {
        assert!(event.contains(expected), "`{expected}` is not in {event}");
    }
}
