//! From a merged tree to a mapping: every section of a file, read in the order a person writes them.
//!
//! Whether words, keys and tables exist is not asked here (see `check`), and nothing is computed (see `compile`).

mod form;
mod lookup;
mod reader;
mod retire;

#[cfg(test)]
pub(in crate::mapping) use self::form::FORM_KEYS;
pub(in crate::mapping) use self::lookup::is_network;
pub use self::lookup::read as lookups;

use indexmap::IndexMap;

use self::reader::Reader;
use super::ast::{
    Action, Dedupe, Fanout, Mapping, Match, Overlay, Rule, Scalar, Sources, Span, Spanned, Test,
};
use super::diagnostic::{BAD_VALUE, Diagnostic, MISSING_FILE, SCHEMA, UNKNOWN_REASON};
use super::expr;
use super::tree::{Table, Value};

/// What reading a tree needs beside it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The texts of all files.
    pub sources: &'a Sources,
    /// Finds a file of the layers by its relative path: its index in `sources`.
    pub find: &'a dyn Fn(&str) -> Option<usize>,
    /// Also read what `enabled = false` switches off: faults in it are worth knowing.
    pub disabled_too: bool,
}

/// Reads the merged tree of one mapping. `start` is where a fault of the whole file is shown.
pub fn read(
    tree: &Table,
    start: &Span,
    context: Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Mapping> {
    let Context { sources, find, disabled_too } = context;
    let mut reader = Reader { sources, find, disabled_too, diagnostics: Vec::new() };
    let mapping = reader.mapping(tree, start);
    diagnostics.append(&mut reader.diagnostics);
    mapping
}

/// Faults of the lines that say what kind of file this is.
pub fn check_schema(tree: &Table, start: &Span, diagnostics: &mut Vec<Diagnostic>) {
    match tree.get("schema").map(|entry| &entry.node) {
        Some(node) if matches!(node.value, Value::Int(READ_SCHEMA)) => {}
        Some(node) => diagnostics.push(
            Diagnostic::error(SCHEMA, &node.span, "this program does not read this schema")
                .help(format!("it reads schema = {READ_SCHEMA}")),
        ),
        None => diagnostics.push(
            Diagnostic::error(SCHEMA, start, "`schema` is missing")
                .help(format!("write schema = {READ_SCHEMA}")),
        ),
    }
}

impl Reader<'_> {
    fn mapping(&mut self, tree: &Table, start: &Span) -> Option<Mapping> {
        self.only(tree, "", &SECTIONS);
        let (root, json_columns) = self.record(tree);
        let rules = self.rules(tree);
        let tests = self.tests(tree, &rules);
        let matching = self.matching(tree, start);
        let version = self.text(tree, "version");
        let (fanout, dormant_fanout) = match self.fanout(tree) {
            Some((true, fanout)) => (Some(fanout), None),
            Some((false, fanout)) => (None, Some(fanout)),
            None => (None, None),
        };
        if !tree.contains_key("version") {
            self.missing(start, "`version`", "version = \"1.0.0\"");
        }
        let mapping = Mapping {
            id: self.text(tree, "id")?,
            version: version.unwrap_or_else(|| Spanned { value: String::new(), span: start.clone() }),
            retires: self.retirement(tree),
            patched: Vec::new(),
            title: self.text(tree, "title").map(|title| title.value).unwrap_or_default(),
            root,
            json_columns,
            vars: self.vars(tree),
            parts: self.parts(tree),
            lookups: self.lookups(tree),
            overlays: self.overlays(tree),
            rules: rules.into_iter().filter(|(enabled, _)| *enabled).map(|(_, rule)| rule).collect(),
            dedupe: self.dedupe(tree),
            fanout,
            dormant_fanout,
            shed: self.limits(tree),
            tests,
            ignore: self.ignore(tree),
            matching: matching?,
        };
        Some(mapping)
    }

    fn matching(&mut self, tree: &Table, start: &Span) -> Option<Match> {
        let Some(table) = self.table(tree, "match") else {
            if !tree.contains_key("match") {
                self.missing(
                    start,
                    "`[match]`",
                    "[match] with table = \"…\" says which records this file takes",
                );
            }
            return None;
        };
        self.only(table, "[match]", &["table", "when", "priority"]);
        if !table.contains_key("table") {
            self.missing(
                start,
                "`table` in [match]",
                "the table or API resource, for example \"DeviceEvents\"",
            );
        }
        let when = self.condition(table, "when");
        let priority = self.integer(table, "priority", i64::MIN).map_or(0, |priority| priority.value);
        Some(Match { table: self.text(table, "table")?, when, priority })
    }

    fn record(&mut self, tree: &Table) -> (Option<Spanned<super::ast::Path>>, Vec<Spanned<String>>) {
        let Some(table) = self.table(tree, "record") else { return (None, Vec::new()) };
        self.only(table, "[record]", &["root", "json_columns"]);
        let root = table.get("root").and_then(|entry| self.parsed(&entry.node, expr::path));
        (root, self.texts(table, "json_columns"))
    }

    fn vars(&mut self, tree: &Table) -> IndexMap<String, Spanned<super::ast::Expr>> {
        let Some(table) = self.table(tree, "vars") else { return IndexMap::new() };
        // A variable that cannot be read keeps its name, so that its uses are not faults of their own.
        let entry = |(name, entry): (&String, &super::tree::Entry)| {
            let expr = self.expression(&entry.node).unwrap_or_else(|| Spanned {
                value: super::ast::Expr {
                    source: super::ast::Source::Text(String::new()),
                    transforms: Vec::new(),
                },
                span: entry.node.span.clone(),
            });
            (name.clone(), expr)
        };
        table.iter().map(entry).collect()
    }

    fn overlays(&mut self, tree: &Table) -> Vec<Overlay> {
        let mut overlays = Vec::new();
        for (table, span) in self.tables(tree, "overlay") {
            self.only(
                table,
                "[[overlay]]",
                &["when", "enabled", "header", "extension", "extension_custom", "leef"],
            );
            let wanted = self.wanted(table);
            let parts = self.parts(table);
            if !table.contains_key("when") {
                self.missing(
                    span,
                    "`when` of an overlay",
                    "without a condition these lines belong to the file itself",
                );
            }
            if let Some(when) = self.condition(table, "when")
                && wanted
            {
                overlays.push(Overlay { when, parts });
            }
        }
        overlays
    }

    /// Rules in order of evaluation, and whether each is switched on.
    fn rules(&mut self, tree: &Table) -> Vec<(bool, Rule)> {
        let (mut first, mut rules) = (Vec::new(), Vec::new());
        for (table, span) in self.tables(tree, "rule") {
            self.only(
                table,
                "[[rule]]",
                &["when", "action", "reason", "before", "enabled", "keep", "key", "tag", "route"],
            );
            let wanted = self.wanted(table);
            let before = self.boolean(table, "before", false);
            for name in ["when", "action", "reason"] {
                if !table.contains_key(name) {
                    self.missing(span, &format!("`{name}` of a rule"), "a rule has when, action and reason");
                }
            }
            let (when, reason) = (self.condition(table, "when"), self.text(table, "reason"));
            let action = self.action(table, span);
            if let (Some(when), Some(action), Some(reason)) = (when, action, reason) {
                let place = if before { &mut first } else { &mut rules };
                place.push((wanted, Rule { when, action, reason }));
            }
        }
        first.append(&mut rules);
        first
    }

    fn action(&mut self, table: &Table, span: &Span) -> Option<Action> {
        let words = ["drop", "keep", "sample", "tag", "route"].map(|word| (word, word));
        let action = self.word(table, "action", &words)?;
        for (option, of) in [("keep", "sample"), ("key", "sample"), ("tag", "tag"), ("route", "route")] {
            if let Some(entry) = table.get(option)
                && of != action
            {
                self.error(BAD_VALUE, &entry.key, format!("`{option}` belongs to action = \"{of}\""));
            }
        }
        match action {
            "drop" => Some(Action::Drop),
            "keep" => Some(Action::Keep),
            "sample" => {
                let key = table.get("key").map(|entry| self.expressions(&entry.node)).unwrap_or_default();
                Some(Action::Sample { keep: self.share(table, span)?, key })
            }
            "tag" => {
                let tag = self.text(table, "tag");
                if !table.contains_key("tag") {
                    self.missing(span, "`tag` of a rule", "the word to add to #tags");
                }
                tag.map(|tag| Action::Tag(tag.value))
            }
            _ => {
                let route: Vec<String> =
                    self.texts(table, "route").into_iter().map(|name| name.value).collect();
                if route.is_empty() {
                    self.missing(
                        span,
                        "`route` of a rule",
                        "the destinations, for example route = [\"arcsight\"]",
                    );
                }
                Some(Action::Route(route))
            }
        }
    }

    /// `keep` of a sample rule.
    fn share(&mut self, table: &Table, span: &Span) -> Option<f64> {
        let Some(entry) = table.get("keep") else {
            self.missing(span, "`keep` of a sample rule", "the share to keep, from 0.0 to 1.0");
            return None;
        };
        let keep = match entry.node.value {
            Value::Float(keep) => keep,
            Value::Int(0) => 0.0,
            Value::Int(1) => 1.0,
            _ => -1.0,
        };
        if (0.0..=1.0).contains(&keep) {
            return Some(keep);
        }
        self.error(BAD_VALUE, &entry.node.span, "`keep` is a share from 0.0 to 1.0");
        None
    }

    fn dedupe(&mut self, tree: &Table) -> Option<Dedupe> {
        let entry = tree.get("dedupe")?;
        if matches!(entry.node.value, Value::Bool(false)) {
            return None;
        }
        let table = self.as_table(entry)?;
        self.only(table, "[dedupe]", &["key", "window", "max_keys", "enabled"]);
        let wanted = self.wanted(table);
        let key = table.get("key").map(|entry| self.expressions(&entry.node)).unwrap_or_default();
        if !table.contains_key("key") {
            self.missing(&entry.key, "`key` of [dedupe]", "what makes two records the same");
        }
        let window = match self.text(table, "window") {
            Some(text) => match milliseconds(&text.value) {
                Some(window) => window,
                None => {
                    let message = format!("`{}` is not a duration", text.value);
                    self.error_with(BAD_VALUE, &text.span, message, "for example \"24h\", \"30m\" or \"7d\"");
                    DEFAULT_WINDOW
                }
            },
            None => DEFAULT_WINDOW,
        };
        let max_keys = self.integer(table, "max_keys", 1).map_or(DEFAULT_MAX_KEYS, |keys| keys.value);
        wanted.then_some(Dedupe { key, window, max_keys })
    }

    /// The fan-out, and whether it is switched on.
    fn fanout(&mut self, tree: &Table) -> Option<(bool, Fanout)> {
        let entry = tree.get("fanout")?;
        if matches!(entry.node.value, Value::Bool(false)) {
            return None;
        }
        let table = self.as_table(entry)?;
        self.only(table, "[fanout]", &FANOUT_KEYS);
        let wanted = self.wanted(table);
        if !table.contains_key("each") {
            self.missing(&entry.key, "`each` of [fanout]", "the list that gives one event for each element");
        }
        let each = table.get("each").and_then(|entry| self.expression(&entry.node));
        let item = self.text(table, "as").map_or_else(|| "item".to_owned(), |item| item.value);
        let max = self.integer(table, "max", 1).map_or(DEFAULT_FANOUT, |max| max.value);
        let none_on_empty = self.word(table, "on_empty", &[("one", false), ("none", true)]).unwrap_or(false);
        let parts = self.parts(table);
        let each = each?;
        Some((wanted, Fanout { each, item, max, none_on_empty, parts }))
    }

    fn limits(&mut self, tree: &Table) -> Vec<Spanned<String>> {
        let Some(table) = self.table(tree, "limits") else { return Vec::new() };
        self.only(table, "[limits]", &["shed"]);
        self.texts(table, "shed")
    }

    fn ignore(&mut self, tree: &Table) -> IndexMap<String, Spanned<String>> {
        let Some(table) = self.table(tree, "ignore") else { return IndexMap::new() };
        table
            .iter()
            .filter_map(|(column, entry)| Some((column.clone(), self.as_text(&entry.node)?)))
            .collect()
    }

    fn tests(&mut self, tree: &Table, rules: &[(bool, Rule)]) -> Vec<Test> {
        let mut tests = Vec::new();
        for (table, span) in self.tables(tree, "test") {
            let known = ["name", "table", "input", "input_file", "events", "expect", "dropped_by", "enabled"];
            self.only(table, "[[test]]", &known);
            let wanted = self.wanted(table);
            if !table.contains_key("name") {
                self.missing(span, "`name` of a test", "what the test promises");
            }
            let (Some(name), Some(input)) = (self.text(table, "name"), self.input(table, span)) else {
                continue;
            };
            let dropped_by = self.text(table, "dropped_by");
            if let Some(reason) = &dropped_by {
                let known = rules.iter().any(|(_, rule)| rule.reason.value == reason.value);
                if !known {
                    let help = super::vocabulary::suggestion(
                        &reason.value,
                        rules.iter().map(|(_, rule)| rule.reason.value.as_str()),
                    )
                    .unwrap_or_else(|| "the reason of a rule of this mapping".to_owned());
                    self.error_with(
                        UNKNOWN_REASON,
                        &reason.span,
                        format!("no rule has the reason `{}`", reason.value),
                        help,
                    );
                }
            }
            let mut test = Test {
                name,
                table: self.text(table, "table").map(|table| table.value),
                input,
                events: self.integer(table, "events", 0).map(|events| events.value),
                dropped_by: dropped_by.map(|reason| reason.value),
                header: IndexMap::new(),
                extension: IndexMap::new(),
                absent: Vec::new(),
                leef: IndexMap::new(),
            };
            self.expectations(table, &mut test);
            if wanted {
                tests.push(test);
            }
        }
        tests
    }

    fn expectations(&mut self, table: &Table, test: &mut Test) {
        let Some(expect) = self.table(table, "expect") else { return };
        self.only(expect, "[test.expect]", &["header", "extension", "leef"]);
        test.header = self.scalars(expect, "header");
        test.extension = self.scalars(expect, "extension");
        test.leef = self.scalars(expect, "leef");
        if let Some(Value::Table(extension)) = expect.get("extension").map(|entry| &entry.node.value) {
            test.absent = self.texts(extension, "absent");
        }
    }

    fn scalars(&mut self, parent: &Table, name: &str) -> IndexMap<String, Spanned<Scalar>> {
        let Some(table) = self.table(parent, name) else { return IndexMap::new() };
        table
            .iter()
            .filter(|(key, _)| key.as_str() != "absent")
            .filter_map(|(key, entry)| {
                let value = self.scalar(&entry.node)?;
                Some((key.clone(), Spanned { value, span: entry.node.span.clone() }))
            })
            .collect()
    }

    fn input(&mut self, table: &Table, span: &Span) -> Option<Spanned<String>> {
        match (table.get("input"), table.get("input_file")) {
            (Some(entry), None) => self.as_text(&entry.node),
            (None, Some(entry)) => {
                let path = self.as_text(&entry.node)?;
                let found = (self.find)(&path.value).and_then(|index| self.sources.files.get(index));
                if found.is_none() {
                    let message = format!("no layer has the file `{}`", path.value);
                    self.error_with(
                        MISSING_FILE,
                        &path.span,
                        message,
                        "paths begin at the mappings directory",
                    );
                }
                found.map(|(_, text)| Spanned { value: text.to_string(), span: path.span })
            }
            _ => {
                self.missing(span, "`input` of a test", "either input or input_file, the record as JSON");
                None
            }
        }
    }
}

/// `24h`, `1h30m`, `500ms`.
fn milliseconds(text: &str) -> Option<i64> {
    let (mut rest, mut total) = (text.trim(), 0_i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let (name, factor) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*factor)?)?;
        rest = unit[name.len()..].trim_start();
    }
    Some(total)
}

/// Longest first where one begins with another.
const UNITS: [(&str, i64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const READ_SCHEMA: i64 = 1;
const DEFAULT_WINDOW: i64 = 86_400_000;
const DEFAULT_MAX_KEYS: usize = 100_000;
const DEFAULT_FANOUT: usize = 64;
pub(in crate::mapping) const FANOUT_KEYS: [&str; 9] =
    ["each", "as", "max", "on_empty", "enabled", "header", "extension", "extension_custom", "leef"];
pub(in crate::mapping) const SECTIONS: [&str; 23] = [
    "schema",
    "kind",
    "id",
    "version",
    "title",
    "retires",
    "include",
    "base_version",
    "match",
    "record",
    "vars",
    "header",
    "extension",
    "extension_custom",
    "leef",
    "lookup",
    "overlay",
    "rule",
    "dedupe",
    "fanout",
    "limits",
    "ignore",
    "test",
];
