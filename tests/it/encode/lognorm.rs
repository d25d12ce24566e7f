//! The same events through liblognorm's CEF reader, a parser that knows nothing of ours. It takes `CEF:0` only.

use std::collections::BTreeMap;

use super::hostile::{Case, Random};
use crate::harness::readers::liblognorm;
use cefgate::cef::Version;
use cefgate::event::Format;

#[test]
fn hostile_events_are_read_back_equal_by_liblognorm() {
    let mut random = Random::new(6);
    let cases: Vec<Case> = (0..EVENTS).map(|_| Case { version: Version::V0, ..random.case() }).collect();
    let lines: Vec<String> = cases.iter().map(line).collect();
    let read = liblognorm(&lines);
    assert_eq!(read.len(), cases.len(), "an event a line");
    let mut compared = 0;
    for ((case, line), read) in cases.iter().zip(&lines).zip(&read) {
        assert_eq!(read.header, case.clean_header(), "{line}\n{read:?}");
        let wanted = BTreeMap::from_iter(case.clean_pairs(&['\n', '\r']));
        assert_eq!(read.pairs, wanted, "{line}\n{read:?}");
        compared += read.pairs.len();
    }
    assert!(compared > EVENTS, "only {compared} values compared");
}

fn line(case: &Case) -> String {
    let mut out = Vec::new();
    super::write_event(&mut out, Format::Cef(case.version), case);
    String::from_utf8(out).unwrap()
}

const EVENTS: usize = 100_000;
