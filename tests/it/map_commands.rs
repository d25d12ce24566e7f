//! The commands of `map`: what they print can be used, and says the same as the files that are checked in.

use std::fs;

use serde_json::Value;

use crate::harness::shipped::root;
use crate::harness::workplace::{Done, Workplace};
use crate::manual::kept;

/// A record of a table that nobody knows.
const RECORD: &str = r#"{"time":"2026-03-04T09:15:52Z","category":"AdvancedHunting-BrandNewEvents","properties":{"Timestamp":"2026-03-04T09:12:41Z","DeviceName":"ws-1.contoso.example","ActionType":"DoorOpened","RemoteIP":"192.0.2.7","Size":"many","Note":"abcdefghij"}}"#;

/// Alternatives of which the second wins, a value that is cut, one that is not of its key's type, one nobody gave.
const EXPLAINED: &str = r#"schema = 1
kind = "mapping"
id = "site.BrandNewEvents"
version = "1.0.0"
[match]
table = "BrandNewEvents"
[record]
root = "properties"
[header]
class_id = { template = "BrandNewEvents:{ActionType}" }
name = { const = "A door" }
severity = { const = 4 }
[extension]
rt = "Timestamp"
src = ["LocalIP", "RemoteIP"]
fsize = "Size"
cs1 = { label = "Note", from = "Note", max = 4 }
duser = "AccountName"
[[overlay]]
when = "ActionType == 'DoorOpened'"
[overlay.extension]
rt = "^time"
"#;

#[test]
fn a_new_mapping_made_of_samples_passes_the_check_and_its_own_test_and_takes_the_samples() {
    let workplace = workplace("");
    let made = map(&workplace, &["new", "BrandNewEvents", "--samples", "records.ndjson"]);
    fs::write(workplace.path("mappings.d/new.toml"), &made.out).unwrap();
    assert!(map(&workplace, &["check"]).out.contains("mappings: ok"));
    let tested = map(&workplace, &["test", "site.BrandNewEvents"]).out;
    assert_eq!(tested, "site.BrandNewEvents: 1 tests, 0 failed\n");
    let shown = map(&workplace, &["show", "site.BrandNewEvents"]).out;
    for column in ["Timestamp", "DeviceName", "ActionType", "RemoteIP", "Note"] {
        assert!(made.out.contains(column), "{column}: {}", made.out);
        assert!(shown.contains(column), "{column}: {shown}");
    }
    assert!(map(&workplace, &["explain", "records.ndjson"]).out.contains("mapping site.BrandNewEvents"));
}

#[test]
fn explain_tells_of_each_key_which_form_won_from_where_and_what_was_cut_or_dropped() {
    let workplace = workplace(EXPLAINED);
    let explained = map(&workplace, &["explain", "--json", "records.ndjson"]).out;
    kept(&root().join("tests/mapping/explain/explained.json"), &explained);
    assert_eq!(map(&workplace, &["explain", "--all", "--json", "records.ndjson"]).out, explained);
    let all = map(&workplace, &["explain", "--all", "records.ndjson"]).out;
    kept(&root().join("tests/mapping/explain/explained.txt"), &all);
}

#[test]
fn diff_shows_the_keys_that_a_change_of_the_site_changes_and_no_other() {
    let workplace = workplace(EXPLAINED);
    fs::create_dir(workplace.path("later.d")).unwrap();
    let changed =
        EXPLAINED.replace("max = 4", "max = 6").replace("duser = \"AccountName\"", "act = \"ActionType\"");
    fs::write(workplace.path("later.d/site.toml"), changed).unwrap();
    let done = map(&workplace, &["diff", "mappings.d", "later.d", "records.ndjson"]);
    let keys: Vec<&str> = done.out.lines().filter_map(|line| line.split("  # ").next()).collect();
    let expected = [
        "record 1, table BrandNewEvents",
        "  - cs1=\"abcd\" (Note)",
        "  + cs1=\"abcdef\" (Note)",
        "  + act=\"DoorOpened\"",
        "",
        "1 of 1 records change",
    ];
    assert_eq!(keys, expected, "{}", done.out);
    assert_eq!(
        map(&workplace, &["diff", "mappings.d", "mappings.d", "records.ndjson"]).out,
        "0 of 1 records change\n"
    );
}

#[test]
fn coverage_and_schema_say_what_is_checked_in_and_strict_coverage_fails_for_an_unknown_column() {
    let workplace = workplace("");
    let schema: Value = serde_json::from_str(&map(&workplace, &["schema"]).out).unwrap();
    let written = fs::read_to_string(root().join("docs/schema/mapping.json")).unwrap();
    assert_eq!(schema, serde_json::from_str::<Value>(&written).unwrap());
    let all: Value = serde_json::from_str(&map(&workplace, &["coverage", "--strict", "--json"]).out).unwrap();
    assert_eq!(all["total"]["unnamed"], 0);
    assert_eq!(all["total"]["columns"], 3231);
    let row = r#"{"category":"AdvancedHunting-DeviceInfo","properties":{"DeviceId":"a","BrandNew":1}}"#;
    fs::write(workplace.path("row.json"), row).unwrap();
    let arguments = ["map", "coverage", "--strict", "DeviceInfo", "--samples", "row.json"];
    let Done { code, out, error } = workplace.cefgate(&arguments);
    assert_eq!(code, Some(1), "{error}");
    assert!(out.contains("DeviceInfo: in the samples, known to nobody\n  BrandNew "), "{out}");
    assert!(error.contains("1 members of the samples are unknown"), "{error}");
}

#[test]
fn doc_writes_the_manual_that_is_checked_in() {
    let workplace = workplace("");
    map(&workplace, &["doc", "pages"]);
    let mut n_pages = 0;
    for file in fs::read_dir(root().join("docs/mappings")).unwrap() {
        let file = file.unwrap();
        let page = fs::read_to_string(workplace.path("pages").join(file.file_name())).unwrap();
        assert!(page == fs::read_to_string(file.path()).unwrap(), "{:?}", file.file_name());
        n_pages += 1;
    }
    assert!(n_pages >= 60 && fs::read_dir(workplace.path("pages")).unwrap().count() == n_pages, "{n_pages}");
}

/// A folder with the record, and a site's directory with this mapping where there is one.
fn workplace(mapping: &str) -> Workplace {
    let workplace = Workplace::new(RECORD, "");
    fs::create_dir(workplace.path("mappings.d")).unwrap();
    if !mapping.is_empty() {
        fs::write(workplace.path("mappings.d/site.toml"), mapping).unwrap();
    }
    workplace
}

fn map(workplace: &Workplace, arguments: &[&str]) -> Done {
    let done = workplace.cefgate(&[&["map", "--directory", "mappings.d"], arguments].concat());
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.error);
    done
}
