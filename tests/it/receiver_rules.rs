//! What SC4S and Logstash make of our events, by their own rules: the right fields, and the event's time.
//!
//! The rules are those of their sources, written again here: Splunk Connect for Syslog's `parser_cef.py` and
//! `app-cef-microsoft.conf`, the `cef` codec of Logstash.

use std::collections::BTreeMap;
use std::fs;

use cefgate::cef::parse::{Event, parse};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::harness::shipped::{lines, pipeline, records};

#[test]
fn sc4s_finds_the_time_of_the_event_and_files_every_field_under_its_label() {
    let (mut n_times, mut faults) = (0, Vec::new());
    for Sent { name, line, event, own } in events("splunk-sc4s") {
        assert!(!event.vendor.contains("Microsoft"), "{name}: SC4S files {} as Windows events", event.vendor);
        let read = sc4s(&line);
        // The profile writes whole seconds.
        let (found, told) = (sc4s_time(&read), own.map(|own| own.div_euclid(1000) * 1000));
        if found != told {
            faults.push(format!("{name}: {found:?}, and the record tells {told:?}"));
        }
        n_times += usize::from(own.is_some());
        for (key, value) in &event.extension {
            if let Some(of) = key.strip_suffix("Label") {
                assert!(event.value(of).is_some(), "{name}: {key}");
                continue;
            }
            // A custom field goes by its label; SC4S leaves escapes as they are.
            let label = event.value(&format!("{key}Label")).unwrap_or(key).replace([' ', '.'], "_");
            assert!(label.chars().all(|next| next.is_ascii_alphanumeric() || next == '_'), "{name}: {label}");
            let raw =
                value.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r");
            assert_eq!(read.get(&label), Some(&raw), "{name}: {key} in {line}");
        }
        let host = read.get("dvchost").or(read.get("shost")).or(read.get("dhost"));
        assert_eq!(read.get("host"), host.filter(|_| read.contains_key("dvchost")), "{name}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(n_times >= 265, "{n_times}");
}

#[test]
fn logstash_reads_every_field_and_the_time_of_the_event() {
    let (mut n_times, mut faults) = (0, Vec::new());
    for Sent { name, line, event, own } in events("elastic") {
        let (header, extension) = logstash(&line);
        assert_eq!(header[1..4], [&*event.vendor, &event.product, &event.device_version], "{name}");
        assert_eq!(header[4..6], [&*event.class_id, &event.name], "{name}");
        let given: BTreeMap<&str, &str> =
            event.extension.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let read: BTreeMap<&str, &str> =
            extension.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, given, "{name}: {line}");
        for (field, keys) in ECS {
            let set: Vec<&str> = keys.iter().copied().filter(|key| read.contains_key(key)).collect();
            assert!(set.len() <= 1, "{name}: {set:?} all go to {field}, and the last one wins");
        }
        // `rt` becomes @timestamp: milliseconds.
        let time = read
            .get("rt")
            .map(|rt| rt.parse::<i64>().unwrap_or_else(|error| panic!("{name}: {rt}: {error}")));
        if time != own {
            faults.push(format!("{name}: {time:?}, and the record tells {own:?}"));
        }
        n_times += usize::from(own.is_some());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(n_times >= 265, "{n_times}");
}

/// An event as it was sent, with its record's name.
struct Sent {
    name: String,
    line: String,
    event: Event,
    /// The time that the record tells by itself, in milliseconds.
    own: Option<i64>,
}

/// Every event of a profile.
fn events(profile: &str) -> Vec<Sent> {
    let mut pipeline = pipeline(profile, None);
    let mut found = Vec::new();
    for (table, path) in records() {
        let body = fs::read(&path).unwrap();
        for line in lines(&mut pipeline, &table, &body) {
            let event = parse(&line).unwrap();
            let own = own_time(&table, &body);
            found.push(Sent { name: path.display().to_string(), line, event, own });
        }
    }
    found
}

/// The time of a record, read from its JSON by nothing that the mappings use.
fn own_time(table: &str, body: &[u8]) -> Option<i64> {
    if table == "unparsed" {
        return Some(RECEIVED);
    }
    let Ok(record) = serde_json::from_slice::<Value>(body) else {
        // Half a surrogate, or nested too deep for this reader.
        let text = String::from_utf8_lossy(body);
        let time = text.split_once("\"Timestamp\":\"").unwrap().1.split('"').next().unwrap();
        return milliseconds(&Value::from(time));
    };
    let row = record.get("properties").filter(|row| row.is_object()).unwrap_or(&record);
    let state = record["status"].as_str().unwrap_or_default();
    // An alert that somebody works on, or has closed, is told with the time of that.
    let changed = match (table, state) {
        ("mde.alert", "Resolved") => "resolvedTime",
        ("graph.alert", "resolved") => "resolvedDateTime",
        ("graph.alert", "inProgress") => "lastUpdateDateTime",
        _ => "",
    };
    let is_there = |value: &&Value| {
        value.is_number() || value.is_boolean() || value.as_str().is_some_and(|text| !text.trim().is_empty())
    };
    if let Some(time) = record.get(changed).filter(is_there) {
        return milliseconds(time);
    }
    let columns: &[&str] = match table {
        "mde.alert" => &["alertCreationTime", "lastUpdateTime"],
        "graph.alert" => &["createdDateTime", "lastUpdateDateTime"],
        "graph.incident" => &["lastUpdateDateTime", "createdDateTime"],
        "xdr.incident" => &["lastUpdateTime", "createdTime"],
        "CallActivityEvents" => &["ActivityTimestamp"],
        _ => &["Timestamp", "ActivityTimestamp", "TimeGenerated", "LastSeenTime"],
    };
    // The first that is there decides, whether it is a time or not.
    let time = columns.iter().map(|column| &row[*column]).find(is_there).or(record.get("time"))?;
    milliseconds(time)
}

/// Of a time in ISO 8601; .NET writes its smallest and largest for none.
fn milliseconds(value: &Value) -> Option<i64> {
    let text = value.as_str().filter(|text| !text.starts_with("0001-") && !text.starts_with("9999-12-31"))?;
    let time: Timestamp = text.parse().or_else(|_| format!("{text}Z").parse()).ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

/// Key and value pairs as SC4S takes them: a key is the text without blanks before an `=` without a backslash; its value
/// runs to the last blank before the next key. Then labels take the place of the keys they name.
fn sc4s(line: &str) -> BTreeMap<String, String> {
    let extension = header_and_extension(line).1;
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in pairs(extension, |next| !next.is_whitespace()) {
        fields.insert(key.to_owned(), value.to_owned());
    }
    let labels: Vec<(String, String)> = fields
        .iter()
        .filter_map(|(key, label)| {
            Some((key.strip_suffix("Label")?.to_owned(), label.replace([' ', '.'], "_")))
        })
        .collect();
    for (key, label) in labels {
        fields.remove(&format!("{key}Label"));
        if let Some(value) = fields.remove(&key) {
            // Where a label is the name of another field, that one is lost.
            assert_eq!(fields.insert(label.clone(), value), None, "{label} in {line}");
        }
    }
    if let Some(host) = fields.get("dvchost").cloned() {
        fields.insert("host".to_owned(), host);
    }
    fields
}

/// The time of an event: `rt`, else `end`; none of them where one of the three begins with twelve digits.
fn sc4s_time(fields: &BTreeMap<String, String>) -> Option<i64> {
    let digits = |text: &String| text.len() >= 12 && text.bytes().take(12).all(|byte| byte.is_ascii_digit());
    if ["start", "end", "rt"].iter().filter_map(|key| fields.get(*key)).any(digits) {
        return None;
    }
    fields.get("rt").or(fields.get("end")).map(|text| text_time(text))
}

/// Milliseconds of `Mar 04 2026 09:12:41.025 UTC`, fraction and zone as they may be absent.
fn text_time(text: &str) -> i64 {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let form = if text.contains('.') { "%b %d %Y %H:%M:%S%.f" } else { "%b %d %Y %H:%M:%S" };
    let time = DateTime::strptime(form, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    TimeZone::UTC.to_timestamp(time).unwrap().as_millisecond()
}

/// Header fields and pairs as Logstash takes them: pipes without a backslash end a header field; a key is of letters,
/// digits, `_`, `.` and brackets; `\\`, `\=`, `\n`, `\r` are undone in values, `\\` and `\|` in the header.
fn logstash(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (header, extension) = header_and_extension(line);
    let word = |next: char| next.is_ascii_alphanumeric() || "_.[]".contains(next);
    let pairs = pairs(extension, word).into_iter();
    (header, pairs.map(|(key, value)| (key.to_owned(), unescaped(value))).collect())
}

fn header_and_extension(line: &str) -> (Vec<String>, &str) {
    let (mut fields, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, next) in line.char_indices() {
        if next == '|' && !escaped {
            fields.push(line[start..at].replace("\\|", "|").replace("\\\\", "\\"));
            start = at + 1;
            if fields.len() == 7 {
                return (fields, &line[start..]);
            }
        }
        escaped = next == '\\' && !escaped;
    }
    panic!("fewer than seven header fields: {line}");
}

/// Keys with the text up to the blank before the next key.
fn pairs(extension: &str, of_a_key: impl Fn(char) -> bool) -> Vec<(&str, &str)> {
    let mut keys: Vec<(usize, usize)> = Vec::new();
    let mut escaped = false;
    for (at, next) in extension.char_indices() {
        if next == '=' && !escaped {
            let before = &extension[..at];
            let start = before.rfind(|next| !of_a_key(next)).map_or(0, |at| at + 1);
            if start < at && (start == 0 || extension[..start].ends_with(' ')) {
                keys.push((start, at));
            }
        }
        escaped = next == '\\' && !escaped;
    }
    let ends = keys.iter().skip(1).map(|(start, _)| start - 1).chain([extension.len()]);
    keys.iter()
        .zip(ends)
        .map(|((start, at), end)| (&extension[*start..*at], &extension[at + 1..end]))
        .collect()
}

fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value.chars();
    while let Some(next) = rest.next() {
        match (next, next == '\\') {
            (_, true) => text.extend(match rest.next() {
                Some('n') => Some('\n'),
                Some('r') => Some('\r'),
                other => other,
            }),
            (plain, false) => text.push(plain),
        }
    }
    text
}

/// CEF keys that Logstash's codec puts into one ECS field.
const ECS: [(&str, &[&str]); 4] = [
    ("@timestamp", &["rt", "deviceReceiptTime"]),
    ("network.protocol", &["app", "applicationProtocol"]),
    ("source.domain", &["shost", "sourceHostName"]),
    ("file.hash", &["fileHash"]),
];

/// When the tests' records were received.
const RECEIVED: i64 = 1_767_225_600_000;
