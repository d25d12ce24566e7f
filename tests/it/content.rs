//! What the shipped mapping files promise about real and hostile records.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cefgate::cef::parse::{Event, parse};
use cefgate::leef;
use cefgate::mapping::diagnostic::render;
use cefgate::mapping::set::MappingSet;
use cefgate::pipeline::{Frames, Pipeline, Settings};
use cefgate::profile::{self, Directories, Profile};
use cefgate::record::{Table, Timestamp};
use cefgate::wire::{Framing, Header, Wire};

use crate::harness::pipeline::record;
use crate::records;

#[test]
fn every_raw_record_gives_the_events_that_are_written_down() {
    for profile in ["default", "qradar"] {
        let mut pipeline = pipeline(profile, None);
        for (table, path) in golden() {
            let events = lines(&mut pipeline, &table, &fs::read(&path).unwrap()).join("\n") + "\n";
            let expected = path.with_extension(format!("{profile}.txt"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&expected, &events).unwrap();
            }
            let written = fs::read_to_string(&expected).unwrap_or_default();
            assert_eq!(
                events,
                written,
                "{}: run with UPDATE_GOLDEN=1 and read the difference",
                expected.display()
            );
        }
    }
}

#[test]
fn every_raw_record_is_one_event_that_breaks_no_rule() {
    let mut pipeline = pipeline("default", None);
    let mut n_records = 0;
    let mut faults = Vec::new();
    for (table, path) in golden() {
        n_records += 1;
        let lines = lines(&mut pipeline, &table, &fs::read(&path).unwrap());
        match lines.as_slice() {
            [line] => match parse(line) {
                Ok(event) => {
                    faults.extend(event.violations.iter().map(|rule| format!("{}: {rule}", path.display())))
                }
                Err(error) => faults.push(format!("{}: {error}", path.display())),
            },
            _ => faults.push(format!("{}: {} events", path.display(), lines.len())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(n_records >= 140, "{n_records}");
}

#[test]
fn every_raw_record_is_one_leef_event_that_breaks_no_rule() {
    let mut pipeline = pipeline("qradar", None);
    let mut faults = Vec::new();
    for (table, path) in golden() {
        let lines = lines(&mut pipeline, &table, &fs::read(&path).unwrap());
        match lines.as_slice() {
            [line] => match leef::parse::parse(line) {
                Ok(event) => {
                    faults.extend(event.violations.iter().map(|rule| format!("{}: {rule}", path.display())))
                }
                Err(error) => faults.push(format!("{}: {error}", path.display())),
            },
            _ => faults.push(format!("{}: {} events", path.display(), lines.len())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

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
        records::write(&path, 1000, seed).unwrap();
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

/// Lines of bare events, so that the parsers see what a receiver's parser sees.
fn pipeline(profile: &str, site: Option<&Path>) -> Pipeline {
    let nowhere = Path::new("/nonexistent");
    let directories = Directories { shipped: nowhere.into(), site: site.unwrap_or(nowhere).into() };
    let loaded = Profile::load(profile, &directories).unwrap();
    let wire = Wire { header: Some(Header::None), framing: Some(Framing::Lf), ..Wire::default() };
    let wire = wire.over(loaded.wire.clone());
    let identity = [loaded.vendor.as_str(), loaded.product.as_str(), "1.0.0"].map(str::to_owned);
    let settings = Settings::new("siem".into(), identity, &wire, "gateway.example");
    let merged = profile::layers(profile, &directories)
        .unwrap()
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    assert!(merged.warnings.is_empty(), "{}", render(&merged.warnings, &merged.sources, false));
    let set = MappingSet::compile(&merged.mappings, settings.target.clone());
    Pipeline::new(Arc::new(set), settings.framer, settings.message, settings.stamp)
}

fn lines(pipeline: &mut Pipeline, table: &str, body: &[u8]) -> Vec<String> {
    let body = body.strip_suffix(b"\n").unwrap_or(body).to_vec();
    let mut frames = Frames::default();
    pipeline.encode(&[record(1, &Table::new(table), body)], Timestamp(0), &mut frames);
    let text = String::from_utf8(frames.bytes).unwrap();
    text.split_terminator('\n').map(str::to_owned).collect()
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
    let names: Vec<String> = golden()
        .into_iter()
        .filter_map(|(_, path)| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with("evidence_") && name.ends_with("Evidence"))
        .collect();
    assert_eq!(names.len(), 48);
    names
}

/// Table and path of each raw record.
fn golden() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for table in fs::read_dir(root().join("tests/golden")).unwrap() {
        let table = table.unwrap().path();
        for file in fs::read_dir(&table).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push((table.file_name().unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn folder(table: &str) -> PathBuf {
    root().join("tests/golden").join(table)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
