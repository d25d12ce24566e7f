//! Each raw record gives under each receiver profile the events that are written down, and none of them breaks a rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use cefgate::cef;
use cefgate::cef::Violation;
use cefgate::cef::parse::Event;
use cefgate::dictionary::Kind;
use cefgate::leef;

use crate::harness::shipped::{
    PROFILES, folder, lines, mappings, pipeline, records, records_of_tests, target,
};

#[test]
fn every_raw_record_gives_under_every_profile_the_events_that_are_written_down() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = Vec::new();
    for (profile, _) in PROFILES {
        for (table, text) in written_down(profile) {
            let path = folder(&table).join(format!("{profile}.txt"));
            if update {
                fs::write(&path, &text).unwrap();
            }
            if fs::read_to_string(&path).unwrap_or_default() != text {
                differences.push(path.display().to_string());
            }
        }
    }
    assert!(
        differences.is_empty(),
        "run with UPDATE_GOLDEN=1 and read the differences:\n{}",
        differences.join("\n")
    );
}

#[test]
fn no_profile_has_events_of_records_that_are_gone() {
    let known: Vec<String> = PROFILES.iter().map(|(profile, _)| format!("{profile}.txt")).collect();
    for (table, _) in records() {
        for file in fs::read_dir(folder(&table)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(name.ends_with(".json") || known.contains(&name), "{table}/{name}");
        }
    }
}

#[test]
fn every_raw_record_is_under_every_profile_one_event_that_breaks_no_rule() {
    let mut faults = Vec::new();
    let mut n_events = 0;
    for (profile, is_cef) in PROFILES {
        let mut pipeline = pipeline(profile, None);
        let inline = target(profile).ipv6_inline;
        for (table, path) in records() {
            let events = lines(&mut pipeline, &table, &fs::read(&path).unwrap());
            n_events += events.len();
            let [event] = events.as_slice() else {
                faults.push(format!("{profile} {}: {} events", short(&path), events.len()));
                continue;
            };
            faults.extend(
                broken(event, is_cef, inline)
                    .iter()
                    .map(|rule| format!("{profile} {}: {rule}", short(&path))),
            );
        }
        for (table, name, body) in records_of_tests(&mappings(profile, None)) {
            let events = lines(&mut pipeline, &table, &body);
            n_events += events.len();
            let rules = events.iter().flat_map(|event| broken(event, is_cef, inline));
            faults.extend(rules.map(|rule| format!("{profile} {name}: {rule}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(n_events >= LEAST_RECORDS * PROFILES.len(), "{n_events} events");
}

/// The rules that an event breaks.
fn broken(event: &str, is_cef: bool, inline: bool) -> Vec<String> {
    if is_cef {
        let event = match cef::parse::parse(event) {
            Ok(event) => event,
            Err(error) => return vec![error.to_string()],
        };
        let broken = event.violations.iter().filter(|rule| !(inline && is_ipv6(&event, rule)));
        return broken.map(ToString::to_string).collect();
    }
    let read = leef::parse::parse(event).map(|event| event.violations);
    read.map_or_else(|error| vec![error.to_string()], |rules| rules.iter().map(ToString::to_string).collect())
}

/// The events of all records of a table, each record under its name.
fn written_down(profile: &str) -> BTreeMap<String, String> {
    let mut pipeline = pipeline(profile, None);
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    for (table, path) in records() {
        let events = lines(&mut pipeline, &table, &fs::read(&path).unwrap());
        let text = tables.entry(table).or_default();
        let name = path.file_stem().unwrap().to_str().unwrap();
        writeln!(text, "# {name}\n{}\n", events.join("\n")).unwrap();
    }
    tables
}

/// An IPv6 address in `src`, `dst` or `dvc`: the dictionary has IPv4 there, and the profile says that its receiver takes
/// both.
fn is_ipv6(event: &Event, rule: &Violation) -> bool {
    let Violation::WrongType(key, Kind::Ipv4) = rule else { return false };
    event.value(key).is_some_and(|value| value.parse::<Ipv6Addr>().is_ok())
}

fn short(path: &Path) -> String {
    let mut parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_str().unwrap()).collect();
    parts.reverse();
    parts.join("/")
}

/// So that a folder which is not found is no success.
const LEAST_RECORDS: usize = 400;
