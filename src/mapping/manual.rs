//! The manual of the mappings: for each table, which column goes to which CEF key and LEEF attribute, and what is left
//! out for which reason; where a receiver profile does otherwise, that too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::ast::Mapping;
use super::coverage::{Coverage, State};
use super::schema::{Schema, Stream};
use crate::dictionary;

/// The mappings under one receiver profile.
#[derive(Debug)]
pub struct Edition<'m> {
    /// The profile.
    pub profile: &'m str,
    /// Its mappings.
    pub mappings: &'m [Mapping],
}

/// The pages by file name. `base` is the profile that the pages are written for; of the others only what differs is said.
#[must_use]
pub fn manual(base: &Edition<'_>, others: &[Edition<'_>], schema: &Schema) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut index = INDEX.to_owned();
    for (name, table) in &schema.tables {
        let coverage = Coverage::of(schema, name, table, base.mappings);
        let Some(mapping) = mapping_of(base.mappings, name) else { continue };
        let totals = coverage.totals();
        let stream = match table.stream {
            Some(Stream::Documented) => "streamed",
            Some(Stream::Observed) => "streamed, though not documented",
            Some(Stream::Announced) => "announced for streaming",
            Some(Stream::Unknown) => "advanced hunting",
            None => "REST API",
        };
        let _ = writeln!(
            index,
            "| [{name}]({name}.md) | {stream} | `{}` {} | {} | {} |",
            mapping.id.value, mapping.version.value, totals.mapped, totals.ignored
        );
        let others: Vec<(&str, Coverage)> = others
            .iter()
            .map(|edition| (edition.profile, Coverage::of(schema, name, table, edition.mappings)))
            .collect();
        pages.insert(format!("{name}.md"), page(&coverage, mapping, stream, &others));
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

fn mapping_of<'m>(mappings: &'m [Mapping], table: &str) -> Option<&'m Mapping> {
    mappings.iter().find(|mapping| mapping.matching.table.value.eq_ignore_ascii_case(table))
}

fn page(coverage: &Coverage, mapping: &Mapping, stream: &str, others: &[(&str, Coverage)]) -> String {
    let mut text = format!(
        "# {}\n\n{}. Mapping `{}`, version {}; {stream}.\n",
        coverage.table, mapping.title, mapping.id.value, mapping.version.value
    );
    if let Some(retires) = &mapping.retires {
        let _ = writeln!(text, "\n**Ends on {}:** {}", retires.date.value, retires.note);
    }
    text.push_str("\n| column | type | CEF | LEEF | under other profiles |\n|---|---|---|---|---|\n");
    let mut ignored = String::new();
    for (number, line) in coverage.lines.iter().enumerate() {
        let by = match &line.state {
            State::Mapped(by) => by,
            State::Ignored { reason, .. } => {
                let _ = writeln!(ignored, "| `{}` | {} | {} |", line.name, line.kind, escaped(reason));
                continue;
            }
            State::Unnamed => continue,
        };
        let cef = cef(by);
        let mut elsewhere: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (profile, other) in others {
            let there = match other.lines.get(number).map(|line| &line.state) {
                Some(State::Mapped(by)) => self::cef(by),
                _ => "not sent".to_owned(),
            };
            if there != cef {
                elsewhere.entry(there).or_default().push(profile);
            }
        }
        let elsewhere: Vec<String> =
            elsewhere.iter().map(|(there, profiles)| format!("{}: {there}", profiles.join(", "))).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {cef} | {} | {} |",
            line.name,
            line.kind,
            leef(by),
            elsewhere.join("; ")
        );
    }
    if !ignored.is_empty() {
        let _ = write!(text, "\n## Left out\n\n| column | type | why |\n|---|---|---|\n{ignored}");
    }
    text
}

/// The CEF keys and header fields that send a column, with the labels of custom fields.
fn cef(by: &[String]) -> String {
    let one = |by: &String| match by.split_once(' ') {
        Some(("header", _)) => Some(by.clone()),
        Some(("leef" | "decides" | "rule", _)) => None,
        Some((key, label)) => Some(format!("`{key}` {label}")),
        None => dictionary::find(by).map(|_| format!("`{by}`")).or_else(|| custom(by)),
    };
    let keys: BTreeSet<String> = by.iter().filter_map(one).collect();
    if keys.is_empty() {
        return if by.iter().any(|by| by.starts_with("leef ")) { "LEEF only" } else { "decides" }.to_owned();
    }
    Vec::from_iter(keys).join(", ")
}

/// The LEEF attributes of the same keys.
fn leef(by: &[String]) -> String {
    let one = |by: &String| match by.split_once(' ') {
        Some(("leef", "event_id") | ("header", "class_id")) => Some("event id".to_owned()),
        Some(("header", "severity")) => Some("`sev`".to_owned()),
        Some(("header" | "decides" | "rule", _)) => None,
        // The label is the attribute.
        Some((_, name)) => Some(format!("`{name}`")),
        None => dictionary::find(by).map(|key| format!("`{}`", key.leef_name())).or_else(|| custom(by)),
    };
    Vec::from_iter(by.iter().filter_map(one).collect::<BTreeSet<String>>()).join(", ")
}

/// A key that is in no dictionary; the sections that only ask have words of their own.
fn custom(by: &str) -> Option<String> {
    (!["match", "fanout", "dedupe"].contains(&by)).then(|| format!("`{by}`"))
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

const INDEX: &str = "\
# What goes where

One page a table: each column of Defender's schema with its CEF key, its LEEF attribute, or the reason why it is left
out. The pages are written from the mapping files by `cefgate map doc`, a test keeps them true. What a site has changed
is in `cefgate map show ID` and in the pages that `cefgate map doc DIRECTORY` writes there.

| table | how it comes | mapping | columns mapped | left out |
|---|---|---|---|---|
";
