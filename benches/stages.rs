//! What each stage costs by itself, in microseconds a record, on one thread.
//!
//! `cargo bench --bench stages`. The least of several rounds counts; look at the ratios, not at the times. The whole
//! process with its disk and network is measured by `compare`.

#![allow(clippy::print_stdout, reason = "run by hand: prints a table")]

#[allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "the tests' own")]
#[path = "../tests/it/harness/pipeline.rs"]
mod harness;
#[allow(dead_code)]
#[path = "records.rs"]
mod records;

use std::hint::black_box;
use std::time::Instant;

use bumpalo::Bump;
use bytes::Bytes;
use cefgate::pipeline::Frames;
use cefgate::record::{Batch, Partition, Position, Record, Table, Timestamp};
use cefgate::source::envelope::Envelope;
use cefgate::spool::{Config, Spool};
use cefgate::wire::Wire;

fn main() {
    let table = Table::new("DeviceProcessEvents");
    let mut rows = records::Rows::new(7);
    let records: Vec<Record> = (0..N_RECORDS)
        .map(|number| {
            let mut line = String::new();
            rows.next(&mut line);
            harness::record(number as u64 + 1, &table, line)
        })
        .collect();
    let n_bytes: usize = records.iter().map(|record| record.body.len()).sum();
    println!("{N_RECORDS} records of {} bytes; microseconds a record\n", n_bytes / N_RECORDS);
    split(&records);
    read(&records);
    map(&records);
    spool(&records);
}

fn split(records: &[Record]) {
    let mut envelope = Envelope::new(None, 4 << 20);
    let mut out = Vec::new();
    row("split a line, find its table", || {
        for record in records {
            out.clear();
            envelope.split(&record.body, &mut out);
            black_box(&out);
        }
    });
}

fn read(records: &[Record]) {
    let pipeline = harness::pipeline("default", Wire::default());
    let set = pipeline.set();
    let program = &set.programs[set.candidates("DeviceProcessEvents")[0]];
    let mut arena = Bump::new();
    row("read the mapped columns", || {
        for record in records {
            let body = std::str::from_utf8(&record.body).unwrap_or_default();
            black_box(program.trie.read(body, &arena).is_ok());
            arena.reset();
        }
    });
    row("  beside: serde_json, all checked, nothing kept", || {
        for record in records {
            black_box(serde_json::from_slice::<serde::de::IgnoredAny>(&record.body).is_ok());
        }
    });
    row("  beside: serde_json::Value", || {
        for record in records {
            black_box(serde_json::from_slice::<serde_json::Value>(&record.body).is_ok());
        }
    });
}

fn map(records: &[Record]) {
    for profile in ["default", "qradar"] {
        let mut pipeline = harness::pipeline(profile, Wire::default());
        let mut frames = Frames::default();
        row(&format!("read, map, encode and frame: {profile}"), || {
            frames.clear();
            pipeline.encode(records, Timestamp(0), &mut frames);
            black_box(&frames.bytes);
        });
    }
}

fn spool(records: &[Record]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (Ok(runtime), Ok(folder)) = (runtime, tempfile::tempdir()) else { return };
    let Ok(spool) = Spool::open(&Config::in_directory(folder.path()), &["siem".to_owned()]) else { return };
    let intake = spool.intake("file".into(), "".into());
    let bodies: Vec<(Table, Bytes)> =
        records.iter().map(|record| (record.table.clone(), record.body.clone())).collect();
    let Ok(mut reader) = spool.reader("siem") else { return };
    let mut position = 0;
    row("append durably, read back, commit (wall clock, with the disk)", || {
        runtime.block_on(async {
            for batch in bodies.chunks(340) {
                position += 1;
                let batch = Batch {
                    partition: Partition("p".to_owned()),
                    position: Position(position.to_string()),
                    records: batch.to_vec(),
                };
                let appended = intake.append(batch).await;
                let chunk = reader.next().await;
                if let (Ok(()), Ok(chunk)) = (appended, chunk) {
                    black_box(reader.commit(chunk.end).await.is_ok());
                }
            }
        });
    });
}

/// Runs a stage over all records some times and prints the least.
fn row(name: &str, mut stage: impl FnMut()) {
    let least = (0..N_ROUNDS)
        .map(|_| {
            let start = Instant::now();
            stage();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name:<64} {:>7.2}", least.as_secs_f64() * 1e6 / N_RECORDS as f64);
}

const N_RECORDS: usize = 20_000;
const N_ROUNDS: usize = 7;
