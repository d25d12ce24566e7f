//! Every class id that the mappings can give, with its name, category and severity: what a receiver's own content is
//! written against.
//!
//! A class id is made of columns whose values are known: the actions of the table, columns that hold one of a small set
//! of words, and what conditions and lookup tables name. Each combination is put into a record and the program is run
//! over it, so that the catalogue says what the program does and nothing else.

mod categories;

pub use self::categories::{Category, category};

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::Target;
use crate::mapping::ast::{Mapping, Step};
use crate::mapping::compile::compile;
use crate::mapping::coverage::usage::{Place, reading};
use crate::mapping::schema::Schema;
use crate::record::{Record, Table, Timestamp};

/// One class id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The class id; in LEEF, the event id.
    pub class_id: String,
    /// The name of the event, or what stands in for it where each record brings its own.
    pub name: String,
    /// The value of `cat`; empty where each record brings its own.
    pub category: String,
    /// 0 to 10; `None` where each record brings its own.
    pub severity: Option<u8>,
    /// The table.
    pub table: String,
    /// The mapping.
    pub mapping: String,
}

/// All class ids, by mapping and id.
#[must_use]
pub fn catalogue(mappings: &[Mapping], schema: &Schema, target: &Target) -> Vec<Entry> {
    mappings.iter().flat_map(|mapping| of(mapping, schema, target)).collect()
}

fn of(mapping: &Mapping, schema: &Schema, target: &Target) -> Vec<Entry> {
    let (usages, compared) = reading(mapping, schema);
    let by = |by: &str| -> Vec<&Place> {
        usages.iter().filter(|usage| usage.by == by).map(|usage| &usage.place).collect()
    };
    let mut deciding: Vec<&Place> = Vec::new();
    for place in by(CLASS_ID).into_iter().chain(by(EVENT_ID)) {
        if !deciding.contains(&place) {
            deciding.push(place);
        }
    }
    // What else an id depends on, such as a list in place of a word, is of another record; one place is enough.
    let per_record = |key: &str| by(key).iter().any(|place| !deciding.contains(place));
    let severity_varies = per_record(SEVERITY);
    let category_varies = per_record("cat");
    let table = mapping.matching.table.value.as_str();
    let program = compile(&Mapping { tests: Vec::new(), rules: Vec::new(), ..mapping.clone() }, target);
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    for record in records(mapping, schema, &deciding, &compared) {
        let record = Record {
            sequence: 1,
            received: Timestamp::default(),
            source: "catalogue".into(),
            tenant: "".into(),
            table: Table::new(table),
            body: Bytes::from(record.to_string()),
        };
        let body = String::from_utf8_lossy(&record.body);
        let arena = Bump::new();
        let Ok(trace) = program.trace(target, &record, "", &body, &arena) else { continue };
        for event in trace.events {
            let Some(class_id) = event.header("class_id") else { continue };
            let severity = event.header("severity").and_then(|text| text.parse().ok());
            found.entry(class_id.to_owned()).or_insert_with(|| Entry {
                class_id: class_id.to_owned(),
                name: event.header("name").unwrap_or_default().to_owned(),
                category: event.value("cat").filter(|_| !category_varies).unwrap_or_default().to_owned(),
                severity: severity.filter(|_| !severity_varies),
                table: table.to_owned(),
                mapping: mapping.id.value.clone(),
            });
        }
    }
    found.into_values().collect()
}

/// A record for each value of each deciding place, and one without any.
fn records(
    mapping: &Mapping,
    schema: &Schema,
    deciding: &[&Place],
    compared: &[(Place, String)],
) -> Vec<Value> {
    let root: Vec<&str> = mapping
        .root
        .iter()
        .flat_map(|root| match &root.value {
            path if path.steps.is_empty() => Vec::new(),
            path => path.steps.iter().filter_map(step_name).collect(),
        })
        .collect();
    // Every combination, each place also left out: an id may be made of several.
    let mut records = vec![json!({})];
    for place in deciding {
        let values = values(mapping, schema, place, compared);
        let with_value = |record: &Value| -> Vec<Value> {
            values.iter().map(|value| with(record, place, &root, value)).collect()
        };
        let more: Vec<Value> = records.iter().flat_map(with_value).collect();
        if records.len() + more.len() > MOST_RECORDS {
            break;
        }
        records.extend(more);
    }
    records
}

/// A record with one value more.
fn with(record: &Value, place: &Place, root: &[&str], value: &str) -> Value {
    let mut record = record.clone();
    let mut inner = &mut record;
    let root = root.iter().copied().filter(|_| !place.envelope);
    for name in root.chain(place.steps.iter().map(|member| member.name.as_str())) {
        if !inner.is_object() {
            *inner = json!({});
        }
        inner = &mut inner[name];
    }
    *inner = Value::String(value.to_owned());
    record
}

fn step_name(step: &Step) -> Option<&str> {
    if let Step::Name(name) = step { Some(name) } else { None }
}

fn values(
    mapping: &Mapping,
    schema: &Schema,
    place: &Place,
    compared: &[(Place, String)],
) -> BTreeSet<String> {
    let Some(column) = place.steps.last().map(|member| member.name.as_str()) else { return BTreeSet::new() };
    let actions = schema
        .tables
        .iter()
        .filter(|(name, _)| column == ACTION && name.eq_ignore_ascii_case(&mapping.matching.table.value))
        .flat_map(|(_, table)| &table.actions);
    // The same column may hold other words in another table.
    let own = schema.values.get(&format!("{}.{column}", mapping.matching.table.value));
    let words = own.or_else(|| schema.values.get(column)).into_iter().flatten();
    let named = compared.iter().filter(|(other, text)| other == place && text != "*").map(|(_, text)| text);
    actions.chain(words).chain(named).cloned().collect()
}

/// Combinations beyond this are of columns that decide nothing by themselves.
const MOST_RECORDS: usize = 20_000;
const ACTION: &str = "ActionType";
const CLASS_ID: &str = "header class_id";
const EVENT_ID: &str = "leef event_id";
const SEVERITY: &str = "header severity";
