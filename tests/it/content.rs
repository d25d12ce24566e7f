//! What the shipped mapping files promise about real and hostile records.

use std::collections::BTreeSet;
use std::fs;

use cefgate::cef::parse::{Event, parse};
use cefgate::pipeline::Pipeline;
use cefgate::wire::CefVersion;

use crate::harness::shipped::{folder, lines, mappings, pipeline, records, root, settings, with};
use crate::records as measured;

#[test]
fn forged_text_makes_no_key_and_no_event() {
    let mut pipeline = pipeline("default", None);
    let plain = one(&mut pipeline, "DeviceProcessEvents", "created");
    for case in [
        "separators_everywhere",
        "separators_at_the_ends",
        "unicode",
        "control_characters",
        "half_surrogates",
    ] {
        let hostile = one(&mut pipeline, "DeviceProcessEvents", case);
        assert_eq!(keys(&hostile).difference(&keys(&plain)).count(), 0, "{case}");
        for key in ["rt", "act", "dpid", "externalId"] {
            assert_eq!(hostile.value(key), plain.value(key), "{case} {key}");
        }
    }
}

#[test]
fn every_type_of_evidence_leaves_its_mark_in_the_event() {
    let mut pipeline = pipeline("default", None);
    let bare = one(&mut pipeline, "graph.alert", "category_gone");
    for name in evidence_types() {
        let event = one(&mut pipeline, "graph.alert", &name);
        let marks: Vec<_> =
            keys(&event).difference(&keys(&bare)).filter(|key| !key.starts_with("cn1")).cloned().collect();
        assert!(!marks.is_empty(), "{name}");
    }
}

#[test]
fn fan_out_gives_each_item_of_evidence_an_event_of_its_own() {
    let site = tempfile::tempdir().unwrap();
    for id in ["graph.alert", "mde.alert"] {
        let patch = format!("schema = 1\nkind = \"patch\"\nid = \"{id}\"\n[fanout]\nenabled = true\n");
        fs::write(site.path().join(format!("{id}.toml")), patch).unwrap();
    }
    let mut pipeline = pipeline("default", Some(site.path()));
    let body = fs::read(folder("graph.alert").join("evidence_of_all_48_types.json")).unwrap();
    let events: Vec<Event> =
        lines(&mut pipeline, "graph.alert", &body).iter().map(|line| parse(line).unwrap()).collect();
    assert_eq!(events.len(), 48);
    for (place, event) in events.iter().enumerate() {
        assert!(event.violations.is_empty(), "{place}: {:?}", event.violations);
        assert_eq!(event.value("cn2"), Some((place + 1).to_string().as_str()));
        assert_eq!(event.value("externalId"), events[0].value("externalId"));
    }
    let items = [
        "cs5", "fname", "src", "dst", "request", "suser", "duser", "dvcmac", "fileHash", "shost", "filePath",
    ];
    let without: Vec<_> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| items.iter().all(|key| event.value(key).is_none()))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
    let alone =
        lines(&mut pipeline, "mde.alert", &fs::read(folder("mde.alert").join("not_expanded.json")).unwrap());
    assert_eq!(alone.len(), 1);
}

#[test]
fn arcsight_gets_the_keys_of_cef_1_2_where_it_asks_for_them() {
    let body = fs::read(folder("graph.alert").join("ranking.json")).unwrap();
    let merged = mappings("arcsight", None);
    let event = |version| {
        let mut pipeline = with(settings("arcsight", version), &merged);
        let lines = lines(&mut pipeline, "graph.alert", &body);
        parse(&lines[0]).unwrap()
    };
    let (old, new) = (event(None), event(Some(CefVersion::V1)));
    assert_eq!((old.violations.len(), new.violations.len()), (0, 0), "{:?}", new.violations);
    assert_eq!(old.value("frameworkName"), None);
    assert_eq!(new.value("frameworkName"), Some("MITRE ATT&CK"));
    let techniques = new.value("cs3").unwrap();
    assert_eq!(new.value("threatAttackID"), techniques.split(',').next());
}

#[test]
fn the_patch_of_the_readme_works() {
    let readme = fs::read_to_string(root().join("mappings/README.md")).unwrap();
    let patch = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("50-processes.toml"), patch).unwrap();
    let mut pipeline = pipeline("default", Some(site.path()));
    let dropped = lines(
        &mut pipeline,
        "DeviceProcessEvents",
        br#"{"AccountName":"backup-svc","FileName":"Robocopy.exe"}"#,
    );
    assert_eq!(dropped, Vec::<String>::new());
    let event = one(&mut pipeline, "DeviceProcessEvents", "created");
    assert_eq!((event.value("cs3"), event.value("cs5")), (None, Some("Other")));
}

#[test]
fn records_to_measure_with_are_distinct_and_give_one_clean_event_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.ndjson");
    let write = |seed| {
        measured::write(&path, 1000, seed).unwrap();
        fs::read_to_string(&path).unwrap()
    };
    let text = write(7);
    assert!(text == write(7) && text != write(8));
    let rows: BTreeSet<&str> = text.lines().collect();
    assert_eq!(rows.len(), 1000);
    assert!((2_800..3_300).contains(&(text.len() / 1000)), "{}", text.len());
    let mut pipeline = pipeline("default", None);
    for row in rows {
        let events = lines(&mut pipeline, "DeviceProcessEvents", row.as_bytes());
        assert_eq!(events.len(), 1, "{row}");
        assert_eq!(parse(&events[0]).unwrap().violations, [], "{row}");
    }
}

fn one(pipeline: &mut Pipeline, table: &str, case: &str) -> Event {
    let body = fs::read(folder(table).join(format!("{case}.json"))).unwrap();
    let lines = lines(pipeline, table, &body);
    assert_eq!(lines.len(), 1, "{case}");
    parse(&lines[0]).unwrap()
}

fn keys(event: &Event) -> BTreeSet<String> {
    event.extension.iter().map(|(key, _)| key.clone()).collect()
}

fn evidence_types() -> Vec<String> {
    let names: Vec<String> = records()
        .into_iter()
        .filter_map(|(_, path)| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with("evidence_") && name.ends_with("Evidence"))
        .collect();
    assert_eq!(names.len(), 48);
    names
}
