//! Readers that are not ours read back exactly what the mappings gave.

use std::collections::BTreeMap;
use std::fs;

use bumpalo::Bump;
use cefgate::cef;
use cefgate::leef;
use cefgate::mapping::set::MappingSet;
use cefgate::mapping::trace::EventTrace;
use cefgate::record::Table;

use crate::harness::pipeline::record;
use crate::harness::readers::{self, Read};
use crate::harness::shipped::{PROFILES, lines, mappings, records, records_of_tests, settings, with};

/// What a mapping gave for one record, and the line that was written.
struct Event {
    name: String,
    line: String,
    given: Read,
}

#[test]
fn two_readers_of_cef_read_back_every_value_of_every_profile() {
    let mut events = Vec::new();
    for (profile, _) in PROFILES.iter().filter(|(_, is_cef)| *is_cef) {
        events.extend(written(profile));
    }
    let lines: Vec<String> = events.iter().map(|event| event.line.clone()).collect();
    for (reader, read) in [("liblognorm", readers::liblognorm(&lines)), ("cefp", readers::cefp(&lines))] {
        assert_eq!(read.len(), events.len(), "{reader}: an event a line");
        compare(reader, &events, &read);
    }
}

#[test]
fn a_reader_of_leef_after_the_guide_reads_back_every_value() {
    for (profile, _) in PROFILES.iter().filter(|(_, is_cef)| !*is_cef) {
        let events = written(profile);
        let read: Vec<Read> = events.iter().map(|event| readers::leef(&event.line)).collect();
        compare(profile, &events, &read);
    }
}

fn compare(reader: &str, events: &[Event], read: &[Read]) {
    let mut faults = Vec::new();
    for (event, read) in events.iter().zip(read) {
        if event.given != *read {
            faults.push(format!("{reader} {}\n  given {:?}\n  read  {read:?}", event.name, event.given));
        }
    }
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), events.len(), faults.join("\n"));
}

/// The events of all records. What the mapping gave is told by the trace, which shares no writing with the encoders; a
/// value is compared as the format can hold it.
fn written(profile: &str) -> Vec<Event> {
    let mut settings = settings(profile, None);
    // Nothing is left out for length here.
    settings.target.max_message_bytes = 1 << 20;
    let merged = mappings(profile, None);
    let set = MappingSet::compile(&merged.mappings, settings.target.clone());
    let is_cef = matches!(settings.target.format, cefgate::event::Format::Cef(_));
    let mut pipeline = with(settings, &merged);
    let (mut events, mut skipped) = (Vec::new(), Vec::new());
    let kept = records().into_iter().map(|(table, path)| {
        let body = fs::read(&path).unwrap();
        (table, path.display().to_string(), body)
    });
    for (table, name, body) in kept.chain(records_of_tests(&merged)) {
        let name = format!("{profile} {name}");
        let lines = lines(&mut pipeline, &table, &body);
        let traces = traced(&set, &table, &body);
        if traces.is_empty() {
            skipped.push((name, lines));
            continue;
        }
        assert_eq!(traces.len(), lines.len(), "{name}");
        for (line, trace) in lines.into_iter().zip(traces) {
            let given = if is_cef { given_cef(&trace, &line) } else { given_leef(&trace, &line) };
            events.push(Event { name: name.clone(), line, given });
        }
    }
    assert!(skipped.is_empty(), "{skipped:#?}");
    assert!(events.len() >= 400, "{profile}: {}", events.len());
    events
}

/// What the mapping that takes a record gives; nothing for a record that is refused on the way.
fn traced(set: &MappingSet, table: &str, body: &[u8]) -> Vec<EventTrace> {
    let record = record(1, &Table::new(table), body.strip_suffix(b"\n").unwrap_or(body).to_vec());
    let text = String::from_utf8_lossy(&record.body);
    let arena = Bump::new();
    for number in set.candidates(table) {
        let reason = if table == Table::UNPARSED { "not a JSON object" } else { "" };
        match set.programs[number].trace(&set.target, &record, reason, &text, &arena) {
            Ok(trace) if trace.events.is_empty() => {}
            Ok(trace) => return trace.events,
            Err(_) => return Vec::new(),
        }
    }
    Vec::new()
}

fn given_cef(trace: &EventTrace, line: &str) -> Read {
    // Who the events are from is the profile's, unless a mapping says it.
    let event = cef::parse::parse(line).unwrap();
    let identity =
        [("vendor", &event.vendor), ("product", &event.product), ("version", &event.device_version)];
    let mut header: Vec<String> = identity
        .iter()
        .map(|(name, of_profile)| trace.header(name).map_or((*of_profile).clone(), |text| clean(text, &[])))
        .collect();
    header.extend([("class_id", 1023), ("name", 512)].map(|(name, max)| {
        let text: String = trace.header(name).unwrap_or_default().chars().take(max).collect();
        clean(&text, &[])
    }));
    Read { header, pairs: pairs(trace, &['\n', '\r']) }
}

fn given_leef(trace: &EventTrace, line: &str) -> Read {
    let event = leef::parse::parse(line).unwrap();
    let mut header = vec![event.vendor, event.product, event.device_version];
    // There is no escape for a pipe.
    header.push(clean(&trace.header("class_id").unwrap_or_default().replace('|', " "), &[]));
    let mut pairs = pairs(trace, &[]);
    // The delimiter cannot stand in a value.
    pairs.values_mut().for_each(|value| *value = clean(&value.replace('^', " "), &[]));
    Read { header, pairs }
}

fn pairs(trace: &EventTrace, line_ends: &[char]) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for field in &trace.fields {
        let Some(value) = field.value.as_ref().map(|value| clean(value, line_ends)).filter(|v| !v.is_empty())
        else {
            continue;
        };
        assert_eq!(pairs.insert(field.key.clone(), value), None, "{} twice", field.key);
        if let Some((key, label)) = &field.label {
            assert_eq!(pairs.insert(key.clone(), label.clone()), None, "{key} twice");
        }
    }
    pairs
}

/// What the formats make of characters that they cannot hold: a blank; blanks around a value go.
fn clean(value: &str, kept: &[char]) -> String {
    let blank = |next: char| if next.is_ascii_control() && !kept.contains(&next) { ' ' } else { next };
    value.chars().map(blank).collect::<String>().trim().to_owned()
}
