//! Splits one message into records and tells their tables. Bytes are sliced, never copied or changed.
//!
//! | message | records |
//! |---|---|
//! | `{"records":[…]}`, and `{"value":[…]}` with nothing beside it but `@odata.…` | one per element |
//! | `[…]` | one per element |
//! | `{…}` | one |
//! | several of these, one after another | those of each |
//! | anything else | the whole, in table `unparsed` |
//!
//! An element that is not an object becomes an `unparsed` record by itself; where a wrapper breaks off, what
//! follows the last whole element does. A byte order mark and blanks around a message are not part of a record.
//! An object is known by its first and last byte alone: the mapping finds out whether it is sound, and sends it
//! through `unparsed` when not.
//!
//! The table is the configured one, else that of the top-level `category`, else that of a REST resource known by
//! its keys, else `generic`.

use bytes::Bytes;
use metrics::counter;

use super::kind::{Found, Tables, look, wraps_value};
use super::walk::{Members, is_blank, skip_blanks, value_end};
use crate::oversized::Oversized;
use crate::record::{Name, Table};
use crate::telemetry;

/// Splits messages; remembers table names so that a record needs no allocation.
pub struct Envelope {
    fixed: Option<Table>,
    max_record_bytes: usize,
    unparsed: Table,
    tables: Tables,
    tally: Tally,
}

/// What was met since the last [`Envelope::take_tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records given, of all tables.
    pub records: u64,
    /// Those that were not an object.
    pub unparsed: u64,
    /// Those above the size limit, cut to their head.
    pub oversized: u64,
    /// Wrappers with nothing in them.
    pub empty: u64,
}

impl Tally {
    /// Counts it for a source.
    pub fn count(self, source: &Name) {
        for (name, n) in [
            (telemetry::RECORDS_READ, self.records),
            (telemetry::RECORDS_UNPARSED, self.unparsed),
            (telemetry::RECORDS_OVERSIZED, self.oversized),
            (telemetry::WRAPPERS_EMPTY, self.empty),
        ] {
            if n > 0 {
                counter!(name, "source" => source.clone()).increment(n);
            }
        }
    }
}

impl Envelope {
    /// `fixed` is the table of every object; without it each object tells its own.
    #[must_use]
    pub fn new(fixed: Option<Table>, max_record_bytes: usize) -> Self {
        Self {
            fixed,
            max_record_bytes,
            unparsed: Table::new(Table::UNPARSED),
            tables: Tables::new(),
            tally: Tally::default(),
        }
    }

    /// Appends the records of one message to `records`. A blank message has none.
    pub fn split(&mut self, message: &Bytes, records: &mut Vec<(Table, Bytes)>) {
        let text = trim(message);
        match (text.first(), text.last()) {
            (None, _) => {}
            (Some(b'{'), Some(b'}')) if !several(&text) => self.object(text, records),
            (Some(b'{' | b'['), _) => self.sequence(&text, records),
            _ => self.push_unparsed(message.clone(), records),
        }
    }

    /// A record too long to be held: what is left of it.
    pub fn push_oversized(&mut self, oversized: Oversized, records: &mut Vec<(Table, Bytes)>) {
        self.tally.oversized += 1;
        self.tally.unparsed += 1;
        self.tally.records += 1;
        records.push((self.unparsed.clone(), oversized.finish()));
    }

    /// The counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn object(&mut self, text: Bytes, records: &mut Vec<(Table, Bytes)>) {
        let found = match &self.fixed {
            Some(_) => wrapped(&text).map(Found::Wrapper),
            None => Some(look(&text, &mut self.tables)),
        };
        match (found, &self.fixed) {
            (Some(Found::Wrapper(at)), _) => self.array(&text.slice(at..), records),
            (Some(Found::Table(table)), _) => self.push(table, text, records),
            (None, Some(fixed)) => self.push(fixed.clone(), text, records),
            (None, None) => self.push_unparsed(text, records),
        }
    }

    /// Objects and arrays one after another, with or without blanks and commas between.
    fn sequence(&mut self, text: &Bytes, records: &mut Vec<(Table, Bytes)>) {
        let mut at = 0;
        while at < text.len() {
            let end = value_end(text, at);
            let next = skip_separators(text, end.unwrap_or(text.len()));
            let rest_is_ours = matches!(text.get(next), None | Some(b'{' | b'['));
            let value = text.slice(at..end.unwrap_or(text.len()));
            match text[at] {
                b'{' if rest_is_ours && (end.is_some() || wrapped(&value).is_some()) => {
                    self.object(value, records)
                }
                b'[' if holds_objects(&value) || (end.is_some() && next == text.len()) => {
                    self.array(&value, records);
                }
                _ => return self.push_unparsed(text.slice(at..), records),
            }
            at = next;
        }
    }

    /// The elements of the array that begins at byte 0; what follows the array is envelope.
    fn array(&mut self, text: &Bytes, records: &mut Vec<(Table, Bytes)>) {
        let mut at = skip_blanks(text, 1);
        if text.get(at) == Some(&b']') {
            self.tally.empty += 1;
            return;
        }
        while let Some(end) = value_end(text, at) {
            let element = text.slice(at..end);
            match (text[at], &self.fixed) {
                (b'{', Some(table)) => self.push(table.clone(), element, records),
                (b'{', None) => {
                    let table = match look(&element, &mut self.tables) {
                        Found::Table(table) => table,
                        Found::Wrapper(_) => self.tables.generic.clone(),
                    };
                    self.push(table, element, records);
                }
                _ => self.push_unparsed(element, records),
            }
            let next = skip_blanks(text, end);
            match text.get(next) {
                Some(b',') => at = skip_blanks(text, next + 1),
                Some(b']') => return,
                _ => {
                    at = next;
                    break;
                }
            }
        }
        if at < text.len() {
            self.push_unparsed(text.slice(at..), records);
        }
    }

    fn push_unparsed(&mut self, body: Bytes, records: &mut Vec<(Table, Bytes)>) {
        if body.len() <= self.max_record_bytes {
            self.tally.unparsed += 1;
        }
        self.push(self.unparsed.clone(), body, records);
    }

    fn push(&mut self, table: Table, body: Bytes, records: &mut Vec<(Table, Bytes)>) {
        if body.len() > self.max_record_bytes {
            let mut oversized = Oversized::new();
            oversized.update(&body);
            return self.push_oversized(oversized, records);
        }
        self.tally.records += 1;
        records.push((table, body));
    }
}

/// The place of the array in a wrapper object; looked for only where a `category` must not decide.
fn wrapped(object: &[u8]) -> Option<usize> {
    if memchr::memmem::find(object, b"\"records\"").is_some() {
        let records =
            Members::new(object).find(|(key, value)| *key == b"records" && object.get(*value) == Some(&b'['));
        if let Some((_, value)) = records {
            return Some(value);
        }
    }
    let value = Members::new(object).find(|(key, _)| !key.starts_with(b"@odata."));
    let (_, at) = value.filter(|(key, at)| *key == b"value" && object.get(*at) == Some(&b'['))?;
    wraps_value(object).then_some(at)
}

/// Whether a message that begins like this is a wrapper: the array of its records has been reached.
pub(super) fn wraps_records(beginning: &[u8]) -> bool {
    let text = &beginning[begin(beginning)..];
    match text.first() {
        Some(b'[') => holds_objects(text),
        Some(b'{') => wrapped(text).is_some(),
        _ => false,
    }
}

/// Whether a closing brace is followed by an opening one, and not only inside a string.
fn several(text: &[u8]) -> bool {
    let suspect =
        memchr::memchr_iter(b'}', text).any(|at| text.get(skip_blanks(text, at + 1)) == Some(&b'{'));
    suspect && value_end(text, 0).is_some_and(|end| end < text.len())
}

/// Whether the array at byte 0 begins with an object.
fn holds_objects(text: &[u8]) -> bool {
    text.get(skip_blanks(text, 1)) == Some(&b'{')
}

/// The place of the first byte at or after `at` that is neither a blank nor a comma.
fn skip_separators(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| is_blank(*byte) || *byte == b',') {
        at += 1;
    }
    at
}

/// Without the byte order mark and the blanks around it.
fn trim(message: &Bytes) -> Bytes {
    let start = begin(message);
    let end = message.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    message.slice(start..end.max(start))
}

/// Where the message begins behind blanks and a byte order mark.
pub(super) fn begin(message: &[u8]) -> usize {
    let start = skip_blanks(message, 0);
    if message[start..].starts_with(BOM) { skip_blanks(message, start + BOM.len()) } else { start }
}

/// The byte order mark in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(fixed: Option<&str>, message: &[u8]) -> (Vec<(String, Vec<u8>)>, Tally) {
        let mut envelope = Envelope::new(fixed.map(Table::new), 100_000);
        let mut records = Vec::new();
        envelope.split(&Bytes::copy_from_slice(message), &mut records);
        let records = records.into_iter().map(|(table, body)| (table.to_string(), body.to_vec())).collect();
        (records, envelope.take_tally())
    }

    fn check(message: &str, expected: &[(&str, &str)]) {
        let (records, tally) = split(None, message.as_bytes());
        let expected: Vec<_> =
            expected.iter().map(|(table, body)| ((*table).to_owned(), body.as_bytes().to_vec())).collect();
        assert_eq!(records, expected, "{message}");
        assert_eq!(usize::try_from(tally.records).unwrap(), records.len());
    }

    #[test]
    fn each_shape_of_message_gives_its_records_and_the_rest_is_kept_whole() {
        check(r#"{"records":[{"a":1},{"b":2}]}"#, &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#)]);
        check(
            r#"{"x":1,"records": [ {"a":1} , "t", 3, [{}] ] }"#,
            &[("generic", r#"{"a":1}"#), ("unparsed", r#""t""#), ("unparsed", "3"), ("unparsed", "[{}]")],
        );
        check(r#"[{"a":1},{"b":2}]"#, &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#)]);
        check(r#"{"@odata.context":"u","value":[{"a":1}]}"#, &[("generic", r#"{"a":1}"#)]);
        check(r#"{"value":[{"a":1}],"@odata.nextLink":"u"}"#, &[("generic", r#"{"a":1}"#)]);
        check(r#"{"value":[{"a":1}],"b":1}"#, &[("generic", r#"{"value":[{"a":1}],"b":1}"#)]);
        check(r#"{"a":1}"#, &[("generic", r#"{"a":1}"#)]);
        check("  {\"a\":1}\r", &[("generic", r#"{"a":1}"#)]);
        check("\u{feff}{\"a\":1}", &[("generic", r#"{"a":1}"#)]);
        check(
            r#"{"a":1}{"b":2} {"c":3},"#,
            &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#), ("generic", r#"{"c":3}"#)],
        );
        check(r#"{"a":"}{"}"#, &[("generic", r#"{"a":"}{"}"#)]);
        check(r#"[{"a":1}][{"b":2}]"#, &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#)]);
        for nothing in
            ["", "  ", "[]", "[ ]", r#"{"records":[]}"#, r#"{"@odata.count":0,"value":[]}"#, "\u{feff}"]
        {
            check(nothing, &[]);
        }
        for whole in [
            "text",
            "12",
            "null",
            "\"s\"",
            "{",
            "[",
            "]",
            "[2026-01-01] started {x}",
            "{x} y",
            r#"{"a":1} tail"#,
            r#"{"a":1"#,
            "\0",
            "\u{2028}",
        ] {
            check(whole, &[("unparsed", whole)]);
        }
        assert_eq!(split(None, br#"{"records":[]}"#).1.empty, 1);
        assert_eq!(split(None, b"\xff\xfe{}").0, [("unparsed".to_owned(), b"\xff\xfe{}".to_vec())]);
    }

    #[test]
    fn a_wrapper_broken_off_loses_nothing() {
        check(r#"{"records":[{"a":1},{"b":"#, &[("generic", r#"{"a":1}"#), ("unparsed", r#"{"b":"#)]);
        check(
            r#"[{"a":1},{"b":2} x]"#,
            &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#), ("unparsed", "x]")],
        );
        check(
            r#"{"records":[{"a":1}]}{"records":[{"b":2},{"#,
            &[("generic", r#"{"a":1}"#), ("generic", r#"{"b":2}"#), ("unparsed", "{")],
        );
        check(r#"{"a":1}{"b"#, &[("generic", r#"{"a":1}"#), ("unparsed", r#"{"b"#)]);
    }

    #[test]
    fn a_configured_table_holds_for_objects_only() {
        let (records, _) = split(Some("graph.alert"), br#"{"records":[{"category":"AdvancedHunting-X"},1]}"#);
        assert_eq!(records[0].0, "graph.alert");
        assert_eq!(records[1].0, "unparsed");
        assert_eq!(split(Some("graph.alert"), br#"{"value":[{"a":1}]}"#).0[0].1, br#"{"a":1}"#);
        assert_eq!(split(Some("graph.alert"), br#"{"a":1}"#).0[0].0, "graph.alert");
        assert_eq!(split(Some("graph.alert"), b"text").0[0].0, "unparsed");
    }

    #[test]
    fn a_record_above_the_limit_becomes_its_head_and_hash() {
        let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
        let message = format!(r#"[{{"b":1}},{big}]"#);
        let (records, tally) = split(None, message.as_bytes());
        assert_eq!(tally, Tally { records: 2, unparsed: 1, oversized: 1, empty: 0 });
        assert_eq!(records[1].0, "unparsed");
        let parts = crate::oversized::read(&records[1].1).unwrap();
        assert_eq!(parts.length, 200_008);
        assert!(big.as_bytes().starts_with(parts.head));
    }

    #[test]
    fn deep_nesting_costs_no_more_than_its_bytes() {
        let deep = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
        check(&deep, &[("generic", &deep)]);
        check(&"[".repeat(10_000), &[("unparsed", &"[".repeat(10_000))]);
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic_and_no_letter_is_lost(message in r#"[\[\]{},:" \\xyrecodsvalu1]{0,60}"#) {
            let (records, _) = split(None, message.as_bytes());
            let letters = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'x' | b'y')).count();
            let kept: usize = records.iter().map(|(_, body)| letters(body)).sum();
            let wrapper = message.contains("\"records\"") || message.contains("\"value\"");
            prop_assert!(wrapper || kept == letters(message.as_bytes()));
        }

        #[test]
        fn any_bytes_are_taken(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            split(None, &message);
            split(Some("t"), &message);
        }
    }
}
