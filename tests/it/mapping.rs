//! The shipped mappings keep their own promises.

use std::collections::HashMap;
use std::path::Path;

use cefgate::cef;
use cefgate::event::{Format, Target};
use cefgate::mapping::diagnostic::render;
use cefgate::mapping::layer::{Layer, Layers};
use cefgate::mapping::set::MappingSet;
use cefgate::mapping::trial;
use cefgate::pipeline::{Frames, Pipeline, Settings};
use cefgate::profile::{self, Directories};
use cefgate::record::{Table, Timestamp};
use cefgate::syslog::{Framing, Header};
use cefgate::wire::Wire;

use crate::harness::pipeline::record;
use crate::harness::shipped::{PROFILES, layers, mappings};

fn target() -> Target {
    Target {
        destination: "siem".into(),
        format: Format::Cef(cef::Version::V0),
        identity: ["Microsoft", "Microsoft Defender XDR", "1"].map(str::to_owned),
        ipv6_inline: false,
        text_time: false,
        max_message_bytes: usize::MAX,
        secrets: HashMap::new(),
    }
}

#[test]
fn every_shipped_mapping_passes_its_own_tests_under_every_profile() {
    for (profile, _) in PROFILES {
        let merged = mappings(profile, None);
        let reports = trial::run_all(&layers(profile), &merged, &target());
        let n_run: usize = reports.iter().map(|(_, report)| report.n_run).sum();
        let failures: Vec<_> = reports.into_iter().flat_map(|(_, report)| report.failures).collect();
        assert!(failures.is_empty(), "{profile}\n{}", render(&failures, &merged.sources, false));
        assert!(n_run >= 160, "{profile}: {n_run}");
    }
}

#[test]
fn qradar_gets_one_user_and_a_host_name_beside_its_address() {
    const MAPPING: &str = r#"
schema = 1
kind = "mapping"
id = "t"
version = "1.0.0"
[match]
table = "t"
[header]
class_id = { const = "t" }
name = { const = "t" }
severity = { const = 0 }
[extension]
suser = "source"
sntdom = "sourceDomain"
duser = "target"
dntdom = "targetDomain"
dvc = "address"
dvchost = "host"
[[test]]
name = "the source's user"
input = '{"source":"ann","target":"bob","targetDomain":"CORP","host":"pc1","address":"192.0.2.1"}'
expect.leef = { usrName = "ann", destinationUserName = "bob", sev = 1, resource = "pc1", identSrc = "192.0.2.1", identHostName = "pc1" }
[[test]]
name = "else the destination's"
input = '{"target":"bob","targetDomain":"CORP","host":"pc1"}'
expect.leef = { usrName = "bob", domain = "CORP", resource = "pc1" }
"#;
    let mut layers = Layers::default();
    layers.add(Layer::Embedded, "t.toml", "t.toml", MAPPING);
    let merged = layers
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    let report = trial::run(&merged.mappings[0], &target());
    assert_eq!(report.n_run, 2);
    assert!(report.failures.is_empty(), "{}", render(&report.failures, &merged.sources, false));
}

/// A mapping of table `t` with this body.
fn mapping(body: &str) -> String {
    format!(
        "schema = 1\nkind = 'mapping'\nid = 't'\nversion = '1.0.0'\n[match]\ntable = 't'\n[header]\n\
         class_id = {{ const = 't' }}\nname = {{ const = 't' }}\nseverity = ['sev', {{ const = 3 }}]\n{body}"
    )
}

/// Events of some records of table `t` through the shipped mappings and this one, and what was counted as not sent.
fn events(body: &str, records: &[&str]) -> (Vec<String>, usize, usize) {
    let nowhere = Path::new("/nonexistent");
    let directories = Directories { shipped: nowhere.into(), site: nowhere.into() };
    let mut layers = profile::layers("default", &directories).unwrap();
    layers.add(Layer::Site, "t.toml", "t.toml", mapping(body));
    let merged = layers
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    let wire = Wire { framing: Some(Framing::Lf), header: Some(Header::None), ..Wire::default() };
    let settings = Settings::new("siem".into(), ["v", "p", "1"].map(str::to_owned), &wire, "gateway");
    let set = MappingSet::compile(&merged.mappings, settings.target.clone());
    let mut pipeline = Pipeline::new(set.into(), settings.framer, settings.message, settings.stamp);
    let records: Vec<_> = (1..)
        .zip(records)
        .map(|(sequence, body)| record(sequence, &Table::new("t"), (*body).to_owned()))
        .collect();
    let mut frames = Frames::default();
    pipeline.encode(&records, Timestamp(0), &mut frames);
    let text = String::from_utf8(frames.bytes).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.rsplit('|').next().unwrap().to_owned()).collect();
    assert_eq!(lines.len(), frames.n_events);
    (lines, frames.filtered.len(), frames.unparsed.len())
}

#[test]
fn variables_and_overlays_follow_the_fan_out() {
    let body = "[vars]\nv = 'item.n'\n[extension]\nmsg = '$v'\n\
                [[overlay]]\nwhen = \"item.n == 'two'\"\n[overlay.extension]\ncat = { const = 'second' }\n\
                [fanout]\neach = 'L'\nas = 'item'\nmax = 9\non_empty = 'none'\n\
                [fanout.extension]\ncnt = '#index'\n";
    let (lines, filtered, _) = events(body, &[r#"{"L":[{"n":"one"},{"n":"two"}]}"#, r#"{"L":[]}"#]);
    assert_eq!(lines, ["msg=one cnt=1", "msg=two cat=second cnt=2"]);
    assert_eq!(filtered, 1, "a record without elements is counted as left out, not as delivered");
}

#[test]
fn a_refused_record_goes_out_once_and_whole() {
    let body = "[extension]\ncn1 = { label = 'N', from = 'item.n', on_error = 'reject' }\n\
                [fanout]\neach = 'L'\nas = 'item'\nmax = 9\n";
    let (lines, filtered, unparsed) = events(body, &[r#"{"L":[{"n":1},{"n":"bad"}]}"#]);
    assert_eq!((lines.len(), filtered, unparsed), (1, 0, 1));
    assert!(lines[0].contains("reason=`cn1` of mapping t has a value of the wrong type"), "{}", lines[0]);
}

#[test]
fn whole_numbers_compare_exactly_and_blank_text_is_missing_wherever_it_stands() {
    let body = "[extension]\ncat = { const = 'same', when = 'n == 9007199254740993' }\n\
                fname = ['L[0].f', 'B']\n";
    let (lines, ..) = events(
        body,
        &[
            r#"{"n":9007199254740992,"B":"x"}"#,
            r#"{"n":9007199254740993}"#,
            r#"{"L":[{"f":" \n"}],"B":"bb"}"#,
        ],
    );
    assert_eq!(lines, ["fname=x", "cat=same", "fname=bb"]);
}

#[test]
fn a_severity_that_is_no_number_hides_nothing() {
    let arena = bumpalo::Bump::new();
    let mut layers = Layers::default();
    layers.add(Layer::Embedded, "t.toml", "t.toml", mapping(""));
    let merged = layers.merge().unwrap_or_else(|_| panic!("a sound mapping"));
    let set = MappingSet::compile(&merged.mappings, target());
    for (severity, expected) in [("nan", "5"), ("99", "10"), ("-1", "0"), ("7", "7")] {
        let body = format!(r#"{{"sev":"{severity}"}}"#);
        let record = record(1, &Table::new("t"), body.clone());
        let trace = set.programs[0].trace(&target(), &record, "", &body, &arena).unwrap();
        assert_eq!(trace.events[0].header("severity"), Some(expected), "{severity}");
    }
}
