//! `cefgate map explain`: what becomes of records, key by key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use serde_json::{Value, json};

use super::table::Rows;
use super::{place, samples};
use crate::cli::out;
use crate::event::Target;
use crate::mapping::ast::{Sources, Span};
use crate::mapping::layer::Merged;
use crate::mapping::run::Outcome;
use crate::mapping::set::MappingSet;
use crate::mapping::trace::{EventTrace, FieldTrace};
use crate::record::{Record, Table, Timestamp};

/// Which records, and how to show them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with records as Defender gives them; `-` for standard input.
    file: PathBuf,
    /// The table of the records, when they do not tell it themselves.
    #[arg(long)]
    table: Option<String>,
    /// Keys without a value too, and for each key what else could have given it one.
    #[arg(long)]
    all: bool,
    /// As JSON, everything in it.
    #[arg(long)]
    json: bool,
}

/// Prints each record's events with the file and line that gave each value.
pub fn run(args: &Args, merged: &Merged, target: Target) -> anyhow::Result<()> {
    let explained = explain_all(&args.file, args.table.as_deref(), merged, target)?;
    if args.json {
        let all: Vec<Value> = explained.iter().map(|one| json_of(one, &merged.sources)).collect();
        return out::print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    let mut text = String::new();
    for (number, one) in explained.iter().enumerate() {
        let _ = writeln!(text, "record {}, table {}", number + 1, one.table);
        text_of(one, args.all, &merged.sources, &mut text);
    }
    out::print(&text)
}

/// What became of one record.
pub(super) struct Explained {
    pub(super) table: String,
    pub(super) mapping: Option<String>,
    pub(super) filtered_by: Option<String>,
    pub(super) error: Option<String>,
    pub(super) events: Vec<EventTrace>,
}

/// What becomes of each record of a file.
pub(super) fn explain_all(
    file: &Path,
    table: Option<&str>,
    merged: &Merged,
    target: Target,
) -> anyhow::Result<Vec<Explained>> {
    let set = MappingSet::compile(&merged.mappings, target);
    let records = samples::read(file, table)?;
    let one = |(sequence, (table, body))| {
        let received = Timestamp::now();
        explain(
            &set,
            &Record { sequence, received, source: "explain".into(), tenant: "".into(), table, body },
        )
    };
    Ok((1..).zip(records).map(one).collect())
}

/// The first mapping that takes the record, as a pipeline would choose it.
fn explain(set: &MappingSet, record: &Record) -> Explained {
    let mut one = Explained {
        table: record.table.to_string(),
        mapping: None,
        filtered_by: None,
        error: None,
        events: Vec::new(),
    };
    let body = String::from_utf8_lossy(&record.body);
    let arena = Bump::new();
    for number in set.candidates(&record.table.0) {
        let program = &set.programs[number];
        let reason = if record.table.0.as_ref() == Table::UNPARSED { "not a JSON object" } else { "" };
        match program.trace(&set.target, record, reason, &body, &arena) {
            Ok(trace) if matches!(trace.outcome, Outcome::NoMatch) => {}
            Ok(trace) => {
                one.mapping = Some(program.id.to_string());
                one.filtered_by = trace.filtered_by;
                one.events = trace.events;
                return one;
            }
            Err(error) => {
                one.error = Some(error.to_string());
                return one;
            }
        }
    }
    one
}

fn text_of(one: &Explained, all: bool, sources: &Sources, text: &mut String) {
    match (&one.mapping, &one.error) {
        (_, Some(error)) => {
            let _ = writeln!(text, "  {error}: it goes out as `unparsed`");
        }
        (None, None) => text.push_str("  no mapping takes it\n"),
        (Some(mapping), None) => {
            let _ = writeln!(text, "mapping {mapping}");
        }
    }
    if let Some(reason) = &one.filtered_by {
        let _ = writeln!(text, "  filtered out: {reason}");
    }
    for event in &one.events {
        let mut rows = Rows::new(["event", "value", "from", "where", "note"]);
        for field in event.header.iter().chain(&event.fields) {
            row(field, all, sources, &mut rows);
        }
        let _ = write!(text, "{rows}");
    }
}

fn row(field: &FieldTrace, all: bool, sources: &Sources, rows: &mut Rows<5>) {
    if field.value.is_some() || field.note.is_some() || all {
        let label = field.label.as_ref().map(|(_, label)| format!(" ({label})")).unwrap_or_default();
        let value = match &field.value {
            Some(value) => short(&format!("{value:?}")),
            None => "-".to_owned(),
        };
        let (from, at) = match &field.value {
            Some(_) => (short(written(&field.span, sources)), place(&field.span, sources)),
            None => (String::new(), String::new()),
        };
        rows.push([
            format!("  {}{label}", field.key),
            value,
            from,
            at,
            field.note.clone().unwrap_or_default(),
        ]);
    }
    if all {
        for loser in &field.losers {
            let from = short(written(&loser.span, sources));
            rows.push([
                String::new(),
                String::new(),
                from,
                place(&loser.span, sources),
                format!("not this: {}", loser.why),
            ]);
        }
    }
}

fn json_of(one: &Explained, sources: &Sources) -> Value {
    let field = |field: &FieldTrace| {
        let losers: Vec<Value> = field
            .losers
            .iter()
            .map(|loser| {
                json!({
                    "from": written(&loser.span, sources), "at": place(&loser.span, sources), "why": loser.why,
                })
            })
            .collect();
        json!({
            "key": field.key,
            "value": field.value,
            "label": field.label.as_ref().map(|(_, label)| label),
            "from": written(&field.span, sources),
            "at": place(&field.span, sources),
            "alternative": field.value.as_ref().map(|_| field.alternative + 1),
            "note": field.note,
            "not": losers,
        })
    };
    let events: Vec<Value> = one
        .events
        .iter()
        .map(|event| {
            json!({
                "header": event.header.iter().map(field).collect::<Vec<_>>(),
                "extension": event.fields.iter().map(field).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "table": one.table, "mapping": one.mapping, "filtered_by": one.filtered_by, "error": one.error,
        "events": events,
    })
}

/// The form as it stands in its file.
fn written<'s>(span: &Span, sources: &'s Sources) -> &'s str {
    let text = sources.files.get(span.file).and_then(|(_, text)| text.get(span.range.clone()));
    text.unwrap_or_default()
}

/// One line of a length that leaves room for the rest.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= WIDEST {
        return line;
    }
    line.chars().take(WIDEST - 1).chain(['…']).collect()
}

const WIDEST: usize = 56;
