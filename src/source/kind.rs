//! Tells by its top-level keys what a JSON object is: a wrapper around records, or a record of which table.
//!
//! Only keys and a few short values are looked at; a streamed record is left as soon as its `category` is known.

use std::collections::HashMap;

use super::walk::{Members, value_end};
use crate::record::Table;

/// What an object is, by its top-level keys.
pub enum Found {
    /// The place of the array that holds the records.
    Wrapper(usize),
    /// The table of the record it is.
    Table(Table),
}

/// Walks the top-level keys, in a streamed record no further than its `category`.
pub fn look(object: &[u8], tables: &mut Tables) -> Found {
    let mut marks = Marks::default();
    let mut category = None;
    let mut only_odata = true;
    for (key, value) in Members::new(object) {
        let first = object.get(value).copied();
        match key {
            b"category" if first == Some(b'"') => {
                let name = text_at(object, value);
                if let Some(table) = name.strip_prefix(STREAMED) {
                    return Found::Table(tables.table(table));
                }
                category = Some(name);
            }
            b"records" if first == Some(b'[') => return Found::Wrapper(value),
            b"value" if first == Some(b'[') && only_odata && wraps_value(object) => {
                return Found::Wrapper(value);
            }
            b"@odata.type" => marks.odata_type = text_at(object, value),
            _ => marks.note(key),
        }
        only_odata &= key.starts_with(b"@odata.");
    }
    Found::Table(match (marks.resource(), category) {
        (Some(table), _) => tables.table(table),
        // The category of a diagnostic record; in REST resources the word means a kind of attack.
        (None, Some(name)) if marks.properties => tables.table(name),
        _ => tables.generic.clone(),
    })
}

/// Whether an object is the body of a REST answer: a `value` and nothing beside it but `@odata.…`.
pub fn wraps_value(object: &[u8]) -> bool {
    Members::new(object).all(|(key, _)| key == b"value" || key.starts_with(b"@odata."))
}

/// Keys that tell REST resources apart.
#[derive(Default)]
struct Marks<'t> {
    odata_type: &'t [u8],
    properties: bool,
    detection_source: bool,
    alert_web_url: bool,
    incident_web_url: bool,
    alert_creation_time: bool,
    computer: bool,
    incident_id: bool,
    incident_name: bool,
}

impl Marks<'_> {
    fn note(&mut self, key: &[u8]) {
        match key {
            b"properties" => self.properties = true,
            b"detectionSource" => self.detection_source = true,
            b"alertWebUrl" => self.alert_web_url = true,
            b"incidentWebUrl" => self.incident_web_url = true,
            b"alertCreationTime" => self.alert_creation_time = true,
            b"computerDnsName" | b"machineId" => self.computer = true,
            b"incidentId" => self.incident_id = true,
            b"incidentName" => self.incident_name = true,
            _ => {}
        }
    }

    fn resource(&self) -> Option<&'static [u8]> {
        match self.odata_type {
            b"#microsoft.graph.security.alert" => Some(b"graph.alert"),
            b"#microsoft.graph.security.incident" => Some(b"graph.incident"),
            _ if self.detection_source && self.alert_web_url => Some(b"graph.alert"),
            _ if self.alert_creation_time && self.computer => Some(b"mde.alert"),
            _ if self.incident_id && self.incident_name => Some(b"xdr.incident"),
            _ if self.incident_web_url && !self.alert_web_url => Some(b"graph.incident"),
            _ => None,
        }
    }
}

/// Table names met so far, so that a record shares its name with those before it.
pub struct Tables {
    last: Table,
    /// The table of records nothing else is known of.
    pub generic: Table,
    known: HashMap<Box<[u8]>, Table>,
}

impl Tables {
    /// None met yet.
    #[must_use]
    pub fn new() -> Self {
        let generic = Table::new(GENERIC);
        Self { last: generic.clone(), generic, known: HashMap::new() }
    }

    /// Names come from outside: odd ones, and new ones beyond a bound, are `generic`.
    pub fn table(&mut self, name: &[u8]) -> Table {
        if self.last.0.as_bytes() == name {
            return self.last.clone();
        }
        if let Some(table) = self.known.get(name) {
            self.last = table.clone();
            return table.clone();
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        match str::from_utf8(name) {
            Ok(text)
                if (1..=MAX_NAME).contains(&text.len())
                    && text != Table::UNPARSED
                    && name.iter().all(plain)
                    && self.known.len() < MAX_TABLES =>
            {
                self.last = Table::new(text);
                self.known.insert(name.into(), self.last.clone());
                self.last.clone()
            }
            _ => self.generic.clone(),
        }
    }
}

/// The bytes between the quotes of the string at `at`, escapes left as they are.
fn text_at(object: &[u8], at: usize) -> &[u8] {
    match value_end(object, at) {
        Some(end) if object[at] == b'"' => &object[at + 1..end - 1],
        _ => b"",
    }
}

/// The table of objects nothing else is known of.
const GENERIC: &str = "generic";
const STREAMED: &[u8] = b"AdvancedHunting-";
const MAX_NAME: usize = 64;
const MAX_TABLES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_told_by_category_or_by_the_keys_of_a_rest_resource() {
        fn table(body: &str, expected: &str) {
            match look(body.as_bytes(), &mut Tables::new()) {
                Found::Table(table) => assert_eq!(&*table.0, expected, "{body}"),
                Found::Wrapper(at) => panic!("{body} is taken for a wrapper at {at}"),
            }
        }
        table(
            r#"{"time":"t","category":"AdvancedHunting-DeviceProcessEvents","properties":{}}"#,
            "DeviceProcessEvents",
        );
        table(r#"{"properties":{"category":"AdvancedHunting-X"},"category":"AdvancedHunting-Y"}"#, "Y");
        table(r#"{"category":"AdvancedHunting-Y","records":[1]}"#, "Y");
        table(r#"{"category":"SignInLogs","properties":{}}"#, "SignInLogs");
        table(r#"{"category":"Malware"}"#, "generic");
        table(r#"{"category":7}"#, "generic");
        table(r#"{"category":"AdvancedHunting-"}"#, "generic");
        table(r#"{"category":"AdvancedHunting-a b"}"#, "generic");
        table(r#"{"category":"AdvancedHunting-unparsed"}"#, "generic");
        table(
            r#"{"id":"x","category":"Malware","detectionSource":"d","alertWebUrl":"u","incidentWebUrl":"u"}"#,
            "graph.alert",
        );
        table(r##"{"@odata.type":"#microsoft.graph.security.alert","id":"x"}"##, "graph.alert");
        table(r##"{"@odata.type":"#microsoft.graph.security.incident","id":"x"}"##, "graph.incident");
        table(r#"{"id":"1","displayName":"n","incidentWebUrl":"u"}"#, "graph.incident");
        table(
            r#"{"id":"x","category":"Malware","alertCreationTime":"t","computerDnsName":"c"}"#,
            "mde.alert",
        );
        table(
            r#"{"incidentId":1,"incidentName":"n","alerts":[{"category":"AdvancedHunting-Z"}]}"#,
            "xdr.incident",
        );
    }

    #[test]
    fn endless_categories_need_no_endless_room() {
        let mut tables = Tables::new();
        for n in 0..MAX_TABLES {
            assert_eq!(tables.table(format!("T{n}").as_bytes()), Table::new(&format!("T{n}")));
        }
        assert_eq!(tables.table(b"one_more"), Table::new("generic"));
        assert_eq!(tables.table(b"T5"), Table::new("T5"));
    }
}
