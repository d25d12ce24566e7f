//! One mapping as it is in effect: every line with the file and line it came from.
//!
//! The output is a mapping file itself: saved with `kind = "mapping"` it gives the same program. Tests are named and
//! not repeated.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::ast::{Action, Field, Lookup, Mapping, Parts, Scalar, Sources, Span};
use super::diagnostic::line_and_column;

/// Every effective line of a mapping with its origin.
#[must_use]
pub fn show(mapping: &Mapping, sources: &Sources) -> String {
    let mut page = Page { out: String::new(), sources, lines: Vec::new() };
    page.mapping(mapping);
    page.out
}

struct Page<'a> {
    out: String,
    sources: &'a Sources,
    /// Lines of the section being written, aligned when it ends.
    lines: Vec<(String, Option<Span>)>,
}

impl Page<'_> {
    fn mapping(&mut self, mapping: &Mapping) {
        self.plain("schema", "1".to_owned());
        self.plain("kind", text("mapping"));
        self.line("id", text(&mapping.id.value), &mapping.id.span);
        self.line("version", text(&mapping.version.value), &mapping.version.span);
        self.plain("title", text(&mapping.title));
        if let Some(retires) = &mapping.retires {
            let written = format!("{{ date = \"{}\", note = {} }}", retires.date.value, text(&retires.note));
            self.line("retires", written, &retires.date.span);
        }
        self.end();

        self.section("[match]");
        self.line("table", text(&mapping.matching.table.value), &mapping.matching.table.span);
        if let Some(when) = &mapping.matching.when {
            self.expression("when", &when.span);
        }
        if mapping.matching.priority != 0 {
            self.plain("priority", mapping.matching.priority.to_string());
        }
        self.end();

        if mapping.root.is_some() || !mapping.json_columns.is_empty() {
            self.section("[record]");
            if let Some(root) = &mapping.root {
                self.expression("root", &root.span);
            }
            if let Some(first) = mapping.json_columns.first() {
                let columns = mapping.json_columns.iter().map(|column| text(&column.value));
                self.line("json_columns", list(columns), &first.span);
            }
            self.end();
        }
        if !mapping.vars.is_empty() {
            self.section("[vars]");
            for (name, expr) in &mapping.vars {
                self.expression(name, &expr.span);
            }
            self.end();
        }
        self.parts("", &mapping.parts);
        for (name, lookup) in &mapping.lookups {
            self.lookup(name, lookup);
        }
        for overlay in &mapping.overlays {
            self.section("[[overlay]]");
            self.expression("when", &overlay.when.span);
            self.end();
            self.parts("overlay.", &overlay.parts);
        }
        self.rules(mapping);
        self.bounds(mapping);
        if !mapping.ignore.is_empty() {
            self.section("[ignore]");
            for (column, reason) in &mapping.ignore {
                self.line(column, text(&reason.value), &reason.span);
            }
            self.end();
        }
        for test in &mapping.tests {
            let _ = writeln!(self.out, "# test: {}  {}", test.name.value, self.origin(&test.name.span));
        }
    }

    fn parts(&mut self, prefix: &str, parts: &Parts) {
        self.fields(&format!("[{prefix}header]"), &parts.header);
        self.fields(&format!("[{prefix}extension]"), &parts.extension);
        self.fields(&format!("[{prefix}extension_custom]"), &parts.extension_custom);
        if parts.leef.event_id.is_some() || parts.leef.delimiter.is_some() {
            self.section(&format!("[{prefix}leef]"));
            if let Some(event_id) = &parts.leef.event_id {
                self.field("event_id", event_id);
            }
            if let Some(delimiter) = &parts.leef.delimiter {
                self.line("delimiter", text(&delimiter.value), &delimiter.span);
            }
            self.end();
        }
        self.fields(&format!("[{prefix}leef.extension]"), &parts.leef.extension);
    }

    fn fields(&mut self, title: &str, fields: &IndexMap<String, Field>) {
        if fields.is_empty() {
            return;
        }
        self.section(title);
        for (name, field) in fields {
            self.field(name, field);
        }
        self.end();
    }

    fn field(&mut self, name: &str, field: &Field) {
        match &field.form {
            Some(form) => self.line(name, self.source(&form.span).to_owned(), &form.span),
            None => self.line(name, "false".to_owned(), &field.key),
        }
    }

    fn lookup(&mut self, name: &str, lookup: &Lookup) {
        self.section(&format!("[lookup.{}]", key(name)));
        if lookup.cidr {
            self.plain("kind", text("cidr"));
        }
        if !lookup.ignore_case {
            self.plain("ignore_case", "false".to_owned());
        }
        for (name, value) in &lookup.entries {
            self.line(name, scalar(&value.value), &value.span);
        }
        if let Some(default) = &lookup.default {
            self.line("*", scalar(&default.value), &default.span);
        }
        self.end();
    }

    fn rules(&mut self, mapping: &Mapping) {
        for rule in &mapping.rules {
            self.section("[[rule]]");
            self.expression("when", &rule.when.span);
            let word = match &rule.action {
                Action::Drop => "drop",
                Action::Keep => "keep",
                Action::Sample { .. } => "sample",
                Action::Tag(_) => "tag",
                Action::Route(_) => "route",
            };
            self.plain("action", text(word));
            match &rule.action {
                Action::Sample { keep, key } => {
                    self.plain("keep", format!("{keep:?}"));
                    let keys: Vec<String> = key.iter().map(|key| quoted(self.source(&key.span))).collect();
                    self.plain("key", list(keys));
                }
                Action::Tag(tag) => self.plain("tag", text(tag)),
                Action::Route(names) => self.plain("route", list(names.iter().map(|name| text(name)))),
                Action::Drop | Action::Keep => {}
            }
            self.line("reason", text(&rule.reason.value), &rule.reason.span);
            self.end();
        }
    }

    fn bounds(&mut self, mapping: &Mapping) {
        if let Some(dedupe) = &mapping.dedupe {
            self.section("[dedupe]");
            let keys: Vec<String> = dedupe.key.iter().map(|key| quoted(self.source(&key.span))).collect();
            match dedupe.key.first() {
                Some(first) => self.line("key", list(keys), &first.span),
                None => self.plain("key", "[]".to_owned()),
            }
            self.plain("window", text(&format!("{}ms", dedupe.window)));
            self.plain("max_keys", dedupe.max_keys.to_string());
            self.end();
        }
        if let Some(fanout) = &mapping.fanout {
            self.section("[fanout]");
            self.expression("each", &fanout.each.span);
            self.plain("as", text(&fanout.item));
            self.plain("max", fanout.max.to_string());
            self.plain("on_empty", text(if fanout.none_on_empty { "none" } else { "one" }));
            self.end();
            self.parts("fanout.", &fanout.parts);
        }
        if let Some(first) = mapping.shed.first() {
            self.section("[limits]");
            self.line("shed", list(mapping.shed.iter().map(|key| text(&key.value))), &first.span);
            self.end();
        }
    }

    fn section(&mut self, title: &str) {
        let _ = writeln!(self.out, "{title}");
    }

    fn expression(&mut self, name: &str, span: &Span) {
        self.line(name, quoted(self.source(span)), span);
    }

    fn line(&mut self, name: &str, value: String, span: &Span) {
        self.lines.push((format!("{} = {value}", key(name)), Some(span.clone())));
    }

    fn plain(&mut self, name: &str, value: String) {
        self.lines.push((format!("{} = {value}", key(name)), None));
    }

    fn end(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let last_width = |line: &str| line.rsplit('\n').next().map_or(0, |last| last.chars().count());
        let widths = lines.iter().map(|(line, _)| last_width(line)).filter(|width| *width <= WIDEST);
        let width = widths.max().unwrap_or(0);
        for (line, span) in lines {
            match span {
                Some(span) => {
                    let gap = " ".repeat(width.saturating_sub(last_width(&line)));
                    let _ = writeln!(self.out, "{line}{gap}  # {}", self.origin(&span));
                }
                None => {
                    let _ = writeln!(self.out, "{line}");
                }
            }
        }
        self.out.push('\n');
    }

    fn origin(&self, span: &Span) -> String {
        match self.sources.files.get(span.file) {
            Some((path, text)) => format!("{path}:{}", line_and_column(text, span.range.start).0),
            None => "unknown".to_owned(),
        }
    }

    fn source(&self, span: &Span) -> &str {
        let file = self.sources.files.get(span.file);
        file.and_then(|(_, text)| text.get(span.range.clone())).unwrap_or_default()
    }
}

/// An expression as it stands between its quotes, in quotes that fit it.
fn quoted(raw: &str) -> String {
    if !raw.contains(['"', '\\', '\n']) {
        return format!("\"{raw}\"");
    }
    // What a basic string had to escape stays escaped; a literal one had nothing to escape.
    if raw.contains("\\\"") || raw.contains("\\\\") {
        return format!("\"\"\"{raw}\"\"\"");
    }
    format!("'''{raw}'''")
}

fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Text(value) => text(value),
        Scalar::Int(value) => value.to_string(),
        Scalar::Float(value) => format!("{value:?}"),
        Scalar::Bool(value) => value.to_string(),
    }
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

fn key(name: &str) -> String {
    let bare = |next: char| next.is_ascii_alphanumeric() || next == '_' || next == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text(name) }
}

/// Longer lines do not push the origins of the others to the right.
const WIDEST: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::embedded;
    use crate::mapping::layer::{Layer, Layers};

    fn merged(layers: &Layers) -> (Vec<Mapping>, Sources) {
        let merged = layers.merge().unwrap_or_else(|rejected| {
            panic!("{}", crate::mapping::diagnostic::render(&rejected.diagnostics, &rejected.sources, false))
        });
        (merged.mappings, merged.sources)
    }

    #[test]
    fn each_line_names_the_file_it_came_from() {
        let mut layers = Layers::default();
        let fragment =
            "schema = 1\nkind = \"fragment\"\nid = \"f\"\n[extension]\nrt = \"Timestamp\"\nact = \"A\"\n";
        let file = "schema = 1\nkind = \"mapping\"\nid = \"m\"\nversion = \"1.0.0\"\ninclude = [\"_shared/f.toml\"]\n[match]\ntable = \"T\"\n[extension]\nact = [\"B\", { const = \"x\" }]\n";
        let patch = "schema = 1\nid = \"m\"\n[extension]\ncs1 = { label = \"L\", from = \"C | lookup(t)\" }\n[lookup.t]\n\"a b\" = 1\n\"*\" = 2\n";
        layers.add(Layer::Embedded, "_shared/f.toml", "f.toml", fragment);
        layers.add(Layer::Embedded, "m.toml", "m.toml", file);
        layers.add(Layer::Site, "p.toml", "/etc/p.toml", patch);
        let (mappings, sources) = merged(&layers);
        assert_eq!(
            show(&mappings[0], &sources),
            r#"schema = 1
kind = "mapping"
id = "m"           # m.toml:3
version = "1.0.0"  # m.toml:4
title = ""

[match]
table = "T"  # m.toml:7

[extension]
rt = "Timestamp"                               # f.toml:5
act = ["B", { const = "x" }]                   # m.toml:9
cs1 = { label = "L", from = "C | lookup(t)" }  # /etc/p.toml:4

[lookup.t]
"a b" = 1  # /etc/p.toml:6
"*" = 2    # /etc/p.toml:7

"#
        );
    }

    #[test]
    fn what_is_shown_is_a_file_that_gives_the_same_mapping() {
        let (mappings, sources) = merged(&embedded::layers("default"));
        assert!(mappings.len() >= 5, "{}", mappings.len());
        let without_origins = |shown: &str| -> Vec<String> {
            let origin = |line: &str| line.split("  # ").next().unwrap_or_default().trim_end().to_owned();
            shown.lines().filter(|line| !line.starts_with('#')).map(origin).collect()
        };
        for mapping in &mappings {
            let shown = show(mapping, &sources);
            let mut layers = Layers::default();
            layers.add(Layer::Embedded, "again.toml", "again.toml", shown.as_str());
            let (again, again_sources) = merged(&layers);
            assert_eq!(
                without_origins(&show(&again[0], &again_sources)),
                without_origins(&shown),
                "{}",
                mapping.id.value
            );
        }
    }
}
