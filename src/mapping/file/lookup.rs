//! `[lookup.<name>]`: tables of values, written in place or as a CSV file.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::Context;
use super::reader::Reader;
use crate::mapping::ast::{Lookup, Scalar, Span, Spanned};
use crate::mapping::diagnostic::{Diagnostic, LOOKUP, MISSING_FILE};
use crate::mapping::tree::{Entry, Table};

/// The tables of a file in `lookup/`, which all mappings share.
pub fn read(
    tree: &Table,
    context: Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> IndexMap<String, Lookup> {
    let Context { sources, find, disabled_too } = context;
    let mut reader = Reader { sources, find, disabled_too, diagnostics: Vec::new() };
    reader.only(tree, "", &["schema", "kind", "id", "version", "title", "lookup"]);
    let lookups = reader.lookups(tree);
    diagnostics.append(&mut reader.diagnostics);
    lookups
}

impl Reader<'_> {
    pub fn lookups(&mut self, tree: &Table) -> IndexMap<String, Lookup> {
        let Some(table) = self.table(tree, "lookup") else { return IndexMap::new() };
        table.iter().filter_map(|(name, entry)| Some((name.clone(), self.lookup(name, entry)?))).collect()
    }

    fn lookup(&mut self, name: &str, entry: &Entry) -> Option<Lookup> {
        let table = self.as_table(entry)?;
        let mut lookup = Lookup {
            entries: IndexMap::new(),
            default: None,
            ignore_case: self.boolean(table, "ignore_case", true),
            cidr: self.word(table, "kind", &[("cidr", true), ("text", false)]).unwrap_or(false),
            span: entry.key.clone(),
        };
        // The file first: lines written in place are the exceptions to it.
        if let Some(path) = self.text(table, "file") {
            self.file(&path, &mut lookup);
        }
        for (key, entry) in table.iter().filter(|(key, _)| !OPTIONS.contains(&key.as_str())) {
            if let Some(value) = self.scalar(&entry.node) {
                self.entry(
                    &mut lookup,
                    key.clone(),
                    &entry.key,
                    Spanned { value, span: entry.node.span.clone() },
                );
            }
        }
        if lookup.entries.is_empty() && lookup.default.is_none() && !table.contains_key("file") {
            self.error(LOOKUP, &entry.key, format!("lookup `{name}` is empty"));
        }
        Some(lookup)
    }

    fn entry(&mut self, lookup: &mut Lookup, key: String, place: &Span, value: Spanned<Scalar>) {
        if key == "*" {
            lookup.default = Some(value);
            return;
        }
        if lookup.cidr && !is_network(&key) {
            self.error_with(LOOKUP, place, format!("`{key}` is not a network"), "for example \"10.0.0.0/8\"");
            return;
        }
        if lookup.ignore_case && !lookup.cidr {
            let same = lookup
                .entries
                .keys()
                .find(|other| **other != key && other.to_lowercase() == key.to_lowercase());
            if let Some(same) = same {
                let message = format!("`{key}` and `{same}` are the same key without case");
                self.error_with(LOOKUP, place, message, "write ignore_case = false to tell them apart");
                return;
            }
        }
        lookup.entries.insert(key, value);
    }

    fn file(&mut self, path: &Spanned<String>, lookup: &mut Lookup) {
        let beside = format!("lookup/{}", path.value);
        let Some(index) = (self.find)(&path.value).or_else(|| (self.find)(&beside)) else {
            let message = format!("no layer has the file `{}`", path.value);
            self.error_with(
                MISSING_FILE,
                &path.span,
                message,
                "paths begin at the mappings directory or at lookup/",
            );
            return;
        };
        let Some((_, text)) = self.sources.files.get(index) else { return };
        let text = text.clone();
        for row in rows(&text) {
            let span = Span { file: index, range: row.start..row.end };
            match <[String; 2]>::try_from(row.cells) {
                Ok([key, value]) if row.start > 0 || (key != "key" && value != "value") => {
                    let value = Spanned { value: Scalar::Text(value), span: span.clone() };
                    self.entry(lookup, key, &span, value);
                }
                Ok(_) => {}
                Err(cells) => {
                    let message = format!("expected two columns, found {}", cells.len());
                    self.error_with(LOOKUP, &span, message, "key,value");
                }
            }
        }
    }
}

struct Row {
    start: usize,
    end: usize,
    cells: Vec<String>,
}

/// The rows of a CSV file, quoted cells as in RFC 4180; empty lines are no rows.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut start, mut quoted) = (0, false);
    let mut characters = text.char_indices().peekable();
    while let Some((at, next)) = characters.next() {
        match next {
            '"' if quoted && characters.next_if(|(_, next)| *next == '"').is_some() => cell.push('"'),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                finish(&mut rows, &mut cells, &mut cell, start, at);
                start = at + 1;
            }
            _ => cell.push(next),
        }
    }
    finish(&mut rows, &mut cells, &mut cell, start, text.len());
    rows
}

fn finish(rows: &mut Vec<Row>, cells: &mut Vec<String>, cell: &mut String, start: usize, end: usize) {
    if cells.is_empty() && cell.is_empty() {
        return;
    }
    cells.push(std::mem::take(cell));
    rows.push(Row { start, end, cells: std::mem::take(cells) });
}

/// `address/length`, or an address alone.
pub(in crate::mapping) fn is_network(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    match (address.parse::<IpAddr>(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => length <= 32,
        (Ok(IpAddr::V6(_)), Ok(length)) => length <= 128,
        _ => false,
    }
}

const OPTIONS: [&str; 3] = ["ignore_case", "kind", "file"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_may_be_quoted() {
        let check = |text, expected: &[&[&str]]| {
            let cells: Vec<Vec<String>> = rows(text).into_iter().map(|row| row.cells).collect();
            assert_eq!(cells, expected, "{text}");
        };
        check("a,b\r\nc,\"d, \"\"e\"\"\"\n\n", &[&["a", "b"], &["c", "d, \"e\""]]);
        check("a,b", &[&["a", "b"]]);
        check("a\n,b", &[&["a"], &["", "b"]]);
        check("a,\"b\nc\"\n", &[&["a", "b\nc"]]);
        check("", &[]);
    }

    #[test]
    fn networks_have_an_address_and_a_length() {
        for (text, expected) in [
            ("10.0.0.0/8", true),
            ("192.0.2.1", true),
            ("2001:db8::/32", true),
            ("10.0.0.0/33", false),
            ("x/8", false),
            ("10.0.0/8", false),
        ] {
            assert_eq!(is_network(text), expected, "{text}");
        }
    }
}
