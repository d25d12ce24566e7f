//! What the shipped mapping files promise about real and hostile records.

use std::collections::BTreeSet;
use std::fs;

use cefgate::cef::parse::{Event, parse};
use cefgate::pipeline::Pipeline;
use cefgate::wire::CefVersion;

use crate::harness::readers::cefp;
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
fn each_kind_of_evidence_of_an_endpoint_alert_leaves_its_mark_alone_and_as_an_event_of_its_own() {
    let site = tempfile::tempdir().unwrap();
    let patch = "schema = 1\nkind = \"patch\"\nid = \"mde.alert\"\n[fanout]\nenabled = true\n";
    fs::write(site.path().join("mde.alert.toml"), patch).unwrap();
    let (mut whole, mut fanned) = (pipeline("default", None), pipeline("default", Some(site.path())));
    let alert = |items: &str| {
        format!(
            r#"{{"id":"da1_1","severity":"High","status":"New","category":"Malware","title":"t","alertCreationTime":"2026-03-04T09:08:11Z","evidence":[{items}]}}"#
        )
    };
    for (place, (item, marks)) in EVIDENCE_OF_ENDPOINTS.iter().enumerate() {
        let body = alert(item);
        for (pipeline, value_key) in [(&mut whole, "cs4"), (&mut fanned, "MicrosoftDefenderRegistryValue")] {
            let lines = lines(pipeline, "mde.alert", body.as_bytes());
            assert_eq!(lines.len(), 1, "{item}");
            let event = parse(&lines[0]).unwrap();
            for (key, value) in *marks {
                assert_eq!(event.value(key), Some(*value), "{key} of {item}");
            }
            let registry_value = event.value(value_key).filter(|value| *value == r"c:\a.exe");
            assert_eq!(registry_value.is_some(), item.contains("Registry"), "{item}");
            // No mark of another kind.
            let others = EVIDENCE_OF_ENDPOINTS.iter().enumerate().filter(|(other, _)| *other != place);
            for (key, value) in others.flat_map(|(_, (_, theirs))| *theirs) {
                assert_ne!(event.value(key), Some(*value), "{key} in {item}");
            }
        }
    }
    let all: Vec<&str> = EVIDENCE_OF_ENDPOINTS.iter().map(|(item, _)| *item).collect();
    let events = lines(&mut fanned, "mde.alert", alert(&all.join(",")).as_bytes());
    assert_eq!(events.len(), EVIDENCE_OF_ENDPOINTS.len());
    for (place, (line, (item, marks))) in events.iter().zip(EVIDENCE_OF_ENDPOINTS).enumerate() {
        let event = parse(line).unwrap();
        assert_eq!((event.violations.len(), event.value("cn1")), (0, Some("6")), "{item}");
        assert_eq!(event.value("cn2"), Some((place + 1).to_string().as_str()), "{item}");
        for (key, value) in marks {
            assert_eq!(event.value(key), Some(*value), "{key} of {item} among the others");
        }
    }
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
fn framework_technique_and_actor_stand_in_events_of_cef_1_for_another_reader_too() {
    let merged = mappings("arcsight", None);
    for (table, body, technique, actor) in [
        (
            "graph.alert",
            r#"{"id":"da1","status":"new","severity":"high","title":"t","category":"Execution","createdDateTime":"2026-03-04T12:19:27Z","actorDisplayName":"Example = Actor","mitreTechniques":["T1059.001","T1105"]}"#,
            "T1059.001",
            Some("Example = Actor"),
        ),
        (
            "mde.alert",
            r#"{"id":"da1_1","status":"New","severity":"High","title":"t","category":"Execution","alertCreationTime":"2026-03-04T12:19:27Z","mitreTechniques":["T1055","T1055.012"],"evidence":[]}"#,
            "T1055",
            None,
        ),
        (
            "AlertInfo",
            r#"{"time":"2026-03-04T09:15:52Z","category":"AdvancedHunting-AlertInfo","properties":{"Timestamp":"2026-03-04T09:12:41Z","AlertId":"da1","Title":"t","Severity":"High","AttackTechniques":"[\"OS Credential Dumping (T1003)\"]"}}"#,
            "T1003",
            None,
        ),
    ] {
        let of = |version| {
            let mut pipeline = with(settings("arcsight", version), &merged);
            lines(&mut pipeline, table, body.as_bytes())
        };
        let (old, new) = (of(None), of(Some(CefVersion::V1)));
        assert!(old[0].starts_with("CEF:0|") && new[0].starts_with("CEF:1|"), "{table}: {new:?}");
        let read = cefp(&new).remove(0);
        for (key, expected) in [
            ("frameworkName", Some("MITRE ATT&CK")),
            ("threatAttackID", Some(technique)),
            ("threatActor", actor),
        ] {
            assert_eq!(read.pairs.get(key).map(String::as_str), expected, "{table} {key}");
            assert_eq!(parse(&new[0]).unwrap().value(key), expected, "{table} {key}");
            assert_eq!(parse(&old[0]).unwrap().value(key), None, "{table} {key}");
        }
    }
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

/// An item of each kind of evidence that alerts of Defender for Endpoint have, and what must stand in its event.
const EVIDENCE_OF_ENDPOINTS: [(&str, &[(&str, &str)]); 6] = [
    (
        r#"{"entityType":"User","accountName":"alice","domainName":"CORP","userSid":"S-1-5-21-1-2-3-1104","userPrincipalName":"alice@corp.example"}"#,
        &[
            ("suser", "alice"),
            ("sntdom", "CORP"),
            ("suid", "S-1-5-21-1-2-3-1104"),
            ("cs5", "alice@corp.example"),
        ],
    ),
    (
        r#"{"entityType":"Process","fileName":"notepad.exe","filePath":"C:\\Windows","processId":4104,"processCommandLine":"notepad a=b","parentProcessId":6012,"parentProcessFileName":"winword.exe","parentProcessFilePath":"C:\\Office","sha1":"b6d237154f2e528f0b503b58b025862d66b02b73"}"#,
        &[
            ("dproc", r"C:\Windows\notepad.exe"),
            ("dpid", "4104"),
            ("sproc", r"C:\Office\winword.exe"),
            ("spid", "6012"),
            ("cs4", "notepad a=b"),
            ("fileHash", "b6d237154f2e528f0b503b58b025862d66b02b73"),
        ],
    ),
    (
        r#"{"entityType":"File","fileName":"bad.dll","filePath":"c:\\temp","sha1":"8563f95b2f8a284fc99da44500cd51a77c1ff36c"}"#,
        &[
            ("fname", "bad.dll"),
            ("filePath", r"c:\temp\bad.dll"),
            ("fileHash", "8563f95b2f8a284fc99da44500cd51a77c1ff36c"),
        ],
    ),
    (r#"{"entityType":"Ip","ipAddress":"192.0.2.7"}"#, &[("dst", "192.0.2.7")]),
    (
        r#"{"entityType":"Url","url":"https://bad.example/a?b=c"}"#,
        &[("request", "https://bad.example/a?b=c")],
    ),
    (
        r#"{"entityType":"Registry","registryHive":"HKEY_LOCAL_MACHINE","registryKey":"SOFTWARE\\Run","registryValueName":"Updater","registryValue":"c:\\a.exe","registryValueType":"String"}"#,
        &[("flexString1", r"HKEY_LOCAL_MACHINE\SOFTWARE\Run"), ("fname", "Updater"), ("fileType", "String")],
    ),
];
