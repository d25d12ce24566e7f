//! What is called unknown, and how much of it is kept.

use bytes::Bytes;

use super::*;
use crate::mapping::layer::{Layer, Layers};
use crate::record::Timestamp;

fn mappings(text: &str) -> Vec<Mapping> {
    let mut layers = Layers::default();
    layers.add(Layer::Embedded, "t.toml", "t.toml", text);
    layers.merge().unwrap().mappings
}

fn site() -> Vec<Mapping> {
    mappings(
        "schema = 1\nkind = \"mapping\"\nid = \"t\"\nversion = \"1.0.0\"\n[match]\ntable = \"mde.alert\"\n\
         [header]\nclass_id = { const = \"x\" }\nname = { const = \"x\" }\nseverity = { const = 1 }\n\
         [extension]\nmsg = \"siteColumn\"\n[ignore]\nother = \"x\"\n",
    )
}

fn record(sequence: u64, table: &str, body: &str) -> Record {
    Record {
        sequence,
        received: Timestamp(1_000),
        source: "s".into(),
        tenant: "".into(),
        table: Table::new(table),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn found(drift: &Drift) -> Vec<(String, String, u64)> {
    let state = drift.state();
    let entries = state.report.entries().iter();
    entries.map(|entry| (entry.table.clone(), entry.column.clone(), entry.n_records)).collect()
}

fn check(table: &str, body: &str, expected: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let drift = Drift::open(folder.path(), &site());
    drift.look(&[record(1, table, body)]);
    let found = found(&drift);
    let found: Vec<(&str, &str)> =
        found.iter().map(|(table, column, _)| (table.as_str(), column.as_str())).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn tables_columns_members_and_kinds_of_evidence_that_nobody_knows_are_named() {
    check("TomorrowEvents", "{}", &[("TomorrowEvents", "")]);
    check("deviceinfo", r#"{"DeviceId":"1","Novel":2}"#, &[("DeviceInfo", "Novel")]);
    check(
        "DeviceInfo",
        r#"{"time":"x","category":"AdvancedHunting-DeviceInfo","properties":{"DeviceId":"1","Novel":null}}"#,
        &[("DeviceInfo", "Novel")],
    );
    check("CloudAppEvents", r#"{"ISP":"a","Isp":"b","RawEventData":{"Anything":1}}"#, &[]);
    check(
        "mde.alert",
        r#"{"siteColumn":1,"other":{"a":1},"relatedUser":{"planet":1},"comments":[{"x":1}]}"#,
        &[("mde.alert", "relatedUser.planet"), ("mde.alert", "comments.x")],
    );
    check(
        "graph.alert",
        r##"{"@odata.etag":"x","evidence":[{"@odata.type":"#microsoft.graph.security.scoreEvidence","score":1},
            {"@odata.type":"#microsoft.graph.security.fileEvidence","fileDetails":{"fileName":"a","crc":1}}]}"##,
        &[("graph.alert", "evidence[scoreEvidence]"), ("graph.alert", "evidence.fileDetails.crc")],
    );
    check("unparsed", "not JSON", &[]);
    check("mde.alert", "[1,2", &[]);
    check("mde.alert", r#"{"id":"#, &[]);
}

#[test]
fn each_record_is_looked_at_once_and_columns_in_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let drift = Drift::open(folder.path(), &[]);
    let records: Vec<Record> =
        (1..=1_000).map(|sequence| record(sequence, "DeviceInfo", r#"{"Novel":1}"#)).collect();
    drift.look(&records);
    drift.look(&records[500..]);
    drift.look(&records[..10]);
    let looked_at = FIRST + (FIRST + 1..=1_000).filter(|n| n.is_multiple_of(EVERY)).count() as u64;
    assert_eq!(found(&drift), [("DeviceInfo".to_owned(), "Novel".to_owned(), looked_at)]);
    let unknown: Vec<Record> =
        (1_001..=1_500).map(|sequence| record(sequence, "TomorrowEvents", "{}")).collect();
    drift.look(&unknown);
    assert_eq!(found(&drift)[1], ("TomorrowEvents".to_owned(), String::new(), 500));
}

#[test]
fn the_report_outlives_a_restart_until_somebody_knows_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let drift = Drift::open(folder.path(), &[]);
    drift.look(&[record(1, "mde.alert", r#"{"siteColumn":1,"Novel":1}"#)]);
    drift.save();
    let kept = read(folder.path()).unwrap();
    let novel = Entry { table: "mde.alert".into(), column: "Novel".into(), first: 1_000, n_records: 1 };
    assert_eq!((kept.len(), &kept[1]), (2, &novel));
    let again = Drift::open(folder.path(), &[]);
    again.look(&[record(2, "mde.alert", r#"{"Novel":1}"#)]);
    assert_eq!(found(&again)[1].2, 2);
    again.replace(&site());
    assert_eq!(found(&again), [("mde.alert".to_owned(), "Novel".to_owned(), 2)]);
    again.save();
    assert_eq!(read(folder.path()).unwrap().len(), 1);
    assert_eq!(read(&folder.path().join("nowhere")).unwrap(), []);
}

#[test]
fn names_from_outside_are_bounded_in_number_and_length() {
    let folder = tempfile::tempdir().unwrap();
    let drift = Drift::open(folder.path(), &[]);
    let records: Vec<Record> = (1..=1_000)
        .map(|sequence| record(sequence, &format!("T{sequence}\n{}", "x".repeat(500)), "{}"))
        .collect();
    drift.look(&records);
    let found = found(&drift);
    assert_eq!(found.len(), 200);
    assert!(found.iter().all(|(table, ..)| table.chars().count() == 96 && !table.contains('\n')));
}
