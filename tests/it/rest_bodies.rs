//! Answers of the REST APIs, in the shape of Microsoft's documented examples, pass through to CEF unchanged in meaning:
//! what a reader that is not ours finds in the events is what stands in the answer.

use std::fs;
use std::path::Path;

use http::StatusCode;
use serde_json::Value;

use crate::harness::defender::Defender;
use crate::harness::gateway::Gateway;
use crate::harness::readers::{Read, cefp};
use crate::harness::until;

#[test]
fn alerts_of_graph() {
    let answer = Answer::of("graph_alerts", 1);
    answer.says(
        0,
        "0",
        &[
            ("externalId", "id"),
            ("cat", "category"),
            ("act", "status"),
            ("msg", "description"),
            ("rt", "createdDateTime"),
            ("start", "firstActivityDateTime"),
            ("end", "lastActivityDateTime"),
            ("cs3", "mitreTechniques/0"),
            ("deviceFacility", "serviceSource"),
            ("flexString1", "tenantId"),
            ("cn3", "incidentId"),
            ("cs6", "alertWebUrl"),
            ("fileHash", "evidence/1/fileDetails/sha256"),
        ],
    );
    assert_eq!(answer.events[0].header[4], answer.text("0/title"));
}

#[test]
fn incidents_of_graph_with_their_alerts() {
    let answer = Answer::of("graph_incidents", 1);
    answer.says(
        0,
        "0",
        &[
            ("externalId", "id"),
            ("rt", "lastUpdateDateTime"),
            ("start", "createdDateTime"),
            ("act", "status"),
            ("cs2", "assignedTo"),
            ("cs5", "systemTags/0"),
            ("cs6", "incidentWebUrl"),
            ("dvchost", "alerts/0/evidence/0/deviceDnsName"),
        ],
    );
    assert_eq!(answer.events[0].header[4], answer.text("0/displayName"));
}

#[test]
fn alerts_of_defender_for_endpoint() {
    let answer = Answer::of("mde_alerts", 1);
    answer.says(
        0,
        "0",
        &[
            ("externalId", "id"),
            ("cat", "category"),
            ("act", "status"),
            ("msg", "description"),
            ("rt", "alertCreationTime"),
            ("start", "firstEventTime"),
            ("end", "lastEventTime"),
            ("cn3", "incidentId"),
            ("fname", "evidence/2/fileName"),
        ],
    );
    assert_eq!(answer.events[0].header[4], answer.text("0/title"));
}

#[test]
fn incidents_of_defender_xdr_with_alerts_devices_and_entities() {
    let answer = Answer::of("xdr_incidents", 3);
    for index in 0..3 {
        answer.says(
            index,
            &index.to_string(),
            &[
                ("externalId", "incidentId"),
                ("rt", "lastUpdateTime"),
                ("start", "createdTime"),
                ("act", "status"),
            ],
        );
        assert_eq!(answer.events[index].header[4], answer.text(&format!("{index}/incidentName")));
    }
}

#[test]
fn rows_of_advanced_hunting() {
    let answer = Answer::of("hunting", 2);
    for (index, row) in ["0", "1"].iter().enumerate() {
        answer.says(
            index,
            row,
            &[("rt", "Timestamp"), ("fname", "FileName"), ("sproc", "InitiatingProcessFileName")],
        );
    }
}

/// What a service answered, and what came of it.
struct Answer {
    list: Value,
    events: Vec<Read>,
}

impl Answer {
    /// Serves the fixture, and reads the events that the gateway makes of it with the shipped mappings.
    fn of(name: &str, n_events: usize) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/rest/{name}.json"));
        let body: &'static str = fs::read_to_string(path).unwrap().leak();
        let defender = Defender::started("");
        defender.state().always = Some((StatusCode::OK, body));
        let mut gateway = Gateway::new("", &[]);
        fs::remove_file(gateway.file("site/numbered.toml")).unwrap();
        let source = match name {
            "hunting" => "advanced_hunting]\ntable = 'DeviceProcessEvents'\nwindow = '24h'".to_owned(),
            "graph_incidents" => {
                "defender_api]\nresource = 'graph_incidents'\nincident_alerts = false".to_owned()
            }
            name => format!("defender_api]\nresource = '{name}'"),
        };
        let sections = format!("{}[source.numbers.{source}\ntenant = 'corp'\n", defender.tenant(""));
        let out = gateway.file("out");
        gateway.configure_source(
            "",
            &sections,
            &[format!("[destination.out.file]\npath = '{}'\n", out.display())],
        );
        gateway.start();
        let lines = until("the events are written", || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            let lines: Vec<String> =
                text.lines().filter_map(|line| Some(line[line.find("CEF:")?..].to_owned())).collect();
            (lines.len() >= n_events).then_some(lines)
        });
        gateway.terminate();
        let answer: Value = serde_json::from_str(body).unwrap();
        let list = answer.get("value").or(answer.get("results")).unwrap().clone();
        let events = cefp(&lines);
        assert_eq!(events.len(), n_events);
        Self { list, events }
    }

    /// Text or number at a path such as `0/evidence/1/verdict`.
    fn text(&self, path: &str) -> String {
        match self.list.pointer(&format!("/{path}")) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Checks that keys of an event are what stands at the paths below `record`; times in milliseconds.
    fn says(&self, event: usize, record: &str, expected: &[(&str, &str)]) {
        for (key, path) in expected {
            let text = self.text(&format!("{record}/{path}"));
            let time: Option<jiff::Timestamp> = text.parse().ok();
            let expected = time.map_or(text, |time| time.as_millisecond().to_string());
            assert_eq!(
                self.events[event].pairs.get(*key),
                Some(&expected),
                "{key} of {:#?}",
                self.events[event]
            );
        }
    }
}
