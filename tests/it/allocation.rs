//! The hot path allocates for buffers that grow and for nothing else.

use cefgate::pipeline::Frames;
use cefgate::record::{Record, Table, Timestamp};
use cefgate::wire::Wire;

use crate::harness::pipeline::{pipeline, record};
use crate::records::Rows;

fn rows(n_records: u64) -> Vec<Record> {
    let table = Table::new("DeviceProcessEvents");
    let mut rows = Rows::new(7);
    (0..n_records)
        .map(|sequence| {
            let mut line = String::new();
            rows.next(&mut line);
            record(sequence + 1, &table, line)
        })
        .collect()
}

#[test]
fn a_record_is_mapped_encoded_and_framed_without_an_allocation() {
    let records = rows(2000);
    for profile in ["default", "qradar"] {
        let mut pipeline = pipeline(profile, Wire::default());
        let mut frames = Frames::default();
        pipeline.encode(&records, Timestamp(0), &mut frames);
        assert_eq!(frames.n_events, records.len());
        frames.clear();
        let measured = allocation_counter::measure(|| pipeline.encode(&records, Timestamp(0), &mut frames));
        assert_eq!(frames.n_events, records.len());
        assert_eq!(measured.count_total, 0, "{profile}");
    }
}
