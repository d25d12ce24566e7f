//! The same events through liblognorm's CEF reader, a parser that knows nothing of ours.
//!
//! Quirks of 2.0.6, the version Debian has:
//! - it eats the first octet behind the seventh pipe, so a space is put there for it;
//! - it takes `CEF:0` only.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cefgate::cef::Version;
use cefgate::event::Format;
use serde_json::Value;

use super::hostile::{Case, Random};

#[test]
fn hostile_events_are_read_back_equal_by_liblognorm() {
    let mut random = Random::new(6);
    let cases: Vec<Case> = (0..EVENTS).map(|_| Case { version: Version::V0, ..random.case() }).collect();
    let lines: Vec<String> = cases.iter().map(line).collect();
    let read = lognormalizer(&lines);
    assert_eq!(read.len(), cases.len(), "an event a line");
    let mut compared = 0;
    for ((case, line), read) in cases.iter().zip(&lines).zip(&read) {
        let event = &read["cef"];
        let fields = ["DeviceVendor", "DeviceProduct", "DeviceVersion", "SignatureID", "Name"];
        let header = fields.map(|field| event[field].as_str().unwrap_or_default());
        assert_eq!(header, case.clean_header().each_ref().map(String::as_str), "{line}\n{read}");
        let extension = event["Extensions"].as_object().unwrap_or_else(|| panic!("{line}\n{read}"));
        let pairs: Vec<(&str, &str)> =
            extension.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect();
        let wanted = case.clean_pairs(&['\n', '\r']);
        let wanted: Vec<(&str, &str)> =
            wanted.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, wanted, "{line}\n{read}");
        compared += pairs.len();
    }
    assert!(compared > EVENTS, "only {compared} values compared");
}

fn line(case: &Case) -> String {
    let mut out = Vec::new();
    super::write_event(&mut out, Format::Cef(case.version), case);
    let mut line = String::from_utf8(out).unwrap();
    let header_length = {
        let mut bare = Vec::new();
        super::write_event(
            &mut bare,
            Format::Cef(case.version),
            &Case { pairs: Vec::new(), header: case.header.clone(), ..*case },
        );
        bare.len()
    };
    line.insert(header_length, ' ');
    line
}

fn lognormalizer(lines: &[String]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("cef.rulebase");
    std::fs::write(&rules, "version=2\nrule=:%cef:cef%\n").unwrap();
    let mut child = Command::new("lognormalizer")
        .args(["-e", "json", "-r"])
        .arg(&rules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("lognormalizer reads our events: install it with `apt-get install liblognorm-utils`");
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let feeder = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

const EVENTS: usize = 100_000;
