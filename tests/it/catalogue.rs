//! `map catalogue` writes files that receivers import: whole, without a row twice, and quoted so that they are read.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use crate::harness::shipped::root;
use crate::harness::workplace::Workplace;
use crate::manual::kept;

const CSV: &str = "class_id,name,severity,category,table,mapping";
const ARCSIGHT: &str = "event.deviceEventClassId,set.event.categoryObject,set.event.categoryBehavior,\
                        set.event.categoryOutcome,set.event.categorySignificance,set.event.categoryDeviceGroup";

/// What the rows that are written down have in them.
const SHOWN: [&str; 4] = ["DeviceLogonEvents", "UrlClickEvents:", "Odd", "ForEndpoint:Ransomware"];

/// A class id and a name with all that a table of comma-separated values has a meaning for.
const ODD: &str = r#"
schema = 1
kind = "mapping"
id = "site.OddEvents"
version = "1.0.0"
[match]
table = "OddEvents"
[header]
class_id = { const = 'Odd,"one"' }
name = { const = 'Odd, "quoted" name' }
severity = { const = 7 }
"#;

#[test]
fn the_catalogue_as_csv_has_each_class_id_of_a_mapping_once_with_a_name_and_a_severity() {
    let rows = exported("default", "csv", CSV);
    let mut known = BTreeSet::new();
    let mut n_by_record = 0;
    for row in &rows {
        let [class_id, name, severity, _category, table, mapping] = row.as_slice() else { panic!("{row:?}") };
        assert!(known.insert((class_id, mapping)), "{class_id} of {mapping} twice");
        assert!(![class_id, name, table, mapping].iter().any(|cell| cell.is_empty()), "{row:?}");
        match severity.as_str() {
            "" => n_by_record += 1,
            number => assert!(number.parse::<u8>().unwrap() <= 10, "{row:?}"),
        }
    }
    // The rest, alerts above all, bring their severity with each record.
    assert!(rows.len() >= 300 && n_by_record * 3 < rows.len(), "{n_by_record} of {}", rows.len());
    let odd = ["Odd,\"one\"", "Odd, \"quoted\" name", "7", "", "OddEvents", "site.OddEvents"];
    assert!(rows.iter().any(|row| row == &odd), "{rows:#?}");
}

#[test]
fn the_categorizer_file_of_arcsight_has_a_row_with_every_category_for_each_class_id() {
    let rows = exported("arcsight", "arcsight", ARCSIGHT);
    let class_ids: BTreeSet<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(class_ids.len(), rows.len(), "a class id twice");
    for row in &rows {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row[1..].iter().all(|cell| cell.starts_with('/')), "{row:?}");
    }
    let all = exported("arcsight", "csv", CSV);
    let all: BTreeSet<&String> = all.iter().map(|row| &row[0]).filter(|id| !id.starts_with("Odd")).collect();
    assert_eq!(class_ids, all);
}

#[test]
fn the_qid_map_of_qradar_has_a_named_event_for_each_event_id() {
    let rows = exported("qradar", "qradar", "");
    let mut known = BTreeSet::new();
    for row in &rows {
        let [number, name, description, severity, category] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(number, "", "QRadar gives the number");
        assert!(!name.is_empty() && description.starts_with("Event ID "), "{row:?}");
        assert!(known.insert(description.split(" of ").next().unwrap()), "{row:?} twice");
        assert!(severity.parse::<u8>().unwrap() <= 10 && category.parse::<u32>().unwrap() > 0, "{row:?}");
    }
    let names: BTreeSet<&String> = rows.iter().map(|row| &row[1]).collect();
    assert_eq!(names.len(), rows.len(), "a name twice: it cannot be told apart in QRadar");
    let all = exported("qradar", "csv", CSV);
    let all: BTreeSet<&String> = all.iter().map(|row| &row[0]).filter(|id| !id.starts_with("Odd")).collect();
    assert_eq!(rows.len(), all.len());
}

#[test]
fn the_rows_of_logons_and_alerts_are_those_that_are_written_down() {
    for (profile, format) in
        [("default", "text"), ("default", "csv"), ("arcsight", "arcsight"), ("qradar", "qradar")]
    {
        let text = printed(profile, format);
        let head = text.lines().next().filter(|_| format != "qradar");
        let rows = text.lines().filter(|line| SHOWN.iter().any(|part| line.contains(part)));
        let text: String =
            head.into_iter().chain(rows).map(|line| format!("{}\n", line.trim_end())).collect();
        kept(&root().join(format!("tests/catalogue/{format}.txt")), &text);
    }
}

/// The rows of an export behind its head, as a reader of comma-separated values that is not ours reads them.
fn exported(profile: &str, format: &str, head: &str) -> Vec<Vec<String>> {
    let text = printed(profile, format);
    let rows = if head.is_empty() { &text } else { text.strip_prefix(&format!("{head}\n")).unwrap() };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rows).unwrap();
    let read = "import csv, json, sys; print(json.dumps(list(csv.reader(sys.stdin, strict=True))))";
    let mut command = Command::new("python3");
    command.args(["-c", read]).stdin(Stdio::from(fs::File::open(file.path()).unwrap()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows.len() >= 300, "{}", rows.len());
    rows
}

fn printed(profile: &str, format: &str) -> String {
    let workplace = Workplace::new("", "");
    fs::create_dir(workplace.path("mappings.d")).unwrap();
    fs::write(workplace.path("mappings.d/odd.toml"), ODD).unwrap();
    let done = workplace.cefgate(&[
        "map",
        "--directory",
        "mappings.d",
        "--profile",
        profile,
        "catalogue",
        "--format",
        format,
    ]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    done.out
}
