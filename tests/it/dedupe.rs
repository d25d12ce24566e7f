//! Rows of streaming tables that come twice: known by what is in the row, as the envelope's `time` is fresh each time.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use cefgate::pipeline::Frames;
use cefgate::record::{Table, Timestamp};
use serde_json::{Value, json};

use crate::harness::pipeline::record;
use crate::harness::shipped::{pipeline, records};

#[test]
fn a_row_sent_again_with_a_fresh_time_goes_out_once_where_a_site_says_so_and_twice_otherwise() {
    let rows: Vec<(String, PathBuf, Value)> = records().into_iter().filter_map(streamed).collect();
    let site = tempfile::tempdir().unwrap();
    for (table, ..) in &rows {
        let patch = format!("schema = 1\nkind = 'patch'\nid = 'xdr.{table}'\n[dedupe]\nenabled = true\n");
        fs::write(site.path().join(format!("{table}.toml")), patch).unwrap();
    }
    let (mut as_shipped, mut patched) = (pipeline("default", None), pipeline("default", Some(site.path())));
    let mut sequence = 0;
    for (table, file, mut row) in rows.clone() {
        let table = Table::new(&table);
        let first = row.to_string();
        row["time"] = json!("2026-11-05T10:11:12.1314151Z");
        let again = row.to_string();
        assert!(first != again);
        sequence += 2;
        let mut pair = [record(sequence, &table, first), record(sequence + 1, &table, again)];
        // Samples that differ in another column share made-up ids: each pair comes after the window of the one before.
        let later = i64::try_from(sequence).unwrap() * 24 * 60 * 60 * 1000;
        pair.iter_mut().for_each(|record| record.received.0 += later);
        for (pipeline, n_repeated) in [(&mut as_shipped, 0), (&mut patched, 1)] {
            let mut frames = Frames::default();
            pipeline.encode(&pair, Timestamp(0), &mut frames);
            let reasons: Vec<String> =
                frames.filtered.iter().map(|filtered| pipeline.reason(filtered).to_string()).collect();
            assert_eq!(reasons, vec!["duplicate"; n_repeated], "{}", file.display());
            assert_eq!(frames.n_events, 2 - n_repeated, "{}", file.display());
        }
    }
    let tables: BTreeSet<&String> = rows.iter().map(|(table, ..)| table).collect();
    assert!(tables.len() >= 30, "{tables:?}");
}

/// A row in its envelope. Rows of hunting, and alerts of APIs, come without one.
fn streamed((table, file): (String, PathBuf)) -> Option<(String, PathBuf, Value)> {
    let row: Value = serde_json::from_slice(&fs::read(&file).unwrap()).ok()?;
    let category = row.get("category")?.as_str()?;
    // A row without a value that can be its identity is never taken for another one.
    let has = |name| {
        row["properties"].get(name).is_some_and(|value| match value {
            Value::String(text) => !text.trim().is_empty(),
            _ => value.is_number(),
        })
    };
    let identified = ["ReportId", "AlertId", "BehaviorId"].into_iter().any(has);
    (category == format!("AdvancedHunting-{table}") && identified).then_some((table, file, row))
}
