//! Takes typed values out of a tree and notes every fault on the way; never stops at the first.

use crate::mapping::ast::{Cond, Expr, Sources, Span, Spanned};
use crate::mapping::diagnostic::{BAD_VALUE, Diagnostic, MISSING_KEY, UNKNOWN_KEY, WRONG_TYPE};
use crate::mapping::expr;
use crate::mapping::place::Text;
use crate::mapping::tree::{Entry, Node, Table, Value};
use crate::mapping::vocabulary::suggestion;

/// What reading needs to know and what it found wrong.
pub(super) struct Reader<'a> {
    /// The texts, for places inside strings.
    pub sources: &'a Sources,
    /// Finds a file of the layers by its relative path: its index in `sources`.
    pub find: &'a dyn Fn(&str) -> Option<usize>,
    /// Also read what `enabled = false` switches off.
    pub disabled_too: bool,
    /// Everything found wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, span, message));
    }

    pub fn error_with(
        &mut self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(Diagnostic::error(code, span, message).help(help.into()));
    }

    /// Notes every key of a table that is not among `known`.
    pub fn only(&mut self, table: &Table, section: &str, known: &[&str]) {
        for (name, entry) in table {
            if !known.contains(&name.as_str()) {
                let help = suggestion(name, known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
                let message = if section.is_empty() {
                    format!("unknown section or key `{name}`")
                } else {
                    format!("unknown key `{name}` in {section}")
                };
                self.error_with(UNKNOWN_KEY, &entry.key, message, help);
            }
        }
    }

    pub fn wrong(&mut self, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.value.kind());
        self.error(WRONG_TYPE, &node.span, message);
    }

    pub fn missing(&mut self, span: &Span, what: &str, help: &str) {
        self.error_with(MISSING_KEY, span, format!("{what} is missing"), help);
    }

    pub fn table<'t>(&mut self, parent: &'t Table, name: &str) -> Option<&'t Table> {
        parent.get(name).and_then(|entry| self.as_table(entry))
    }

    pub fn as_table<'t>(&mut self, entry: &'t Entry) -> Option<&'t Table> {
        match &entry.node.value {
            Value::Table(table) => Some(table),
            _ => {
                self.wrong(&entry.node, "a table");
                None
            }
        }
    }

    /// The tables of `[[name]]`, each with its place.
    pub fn tables<'t>(&mut self, parent: &'t Table, name: &str) -> Vec<(&'t Table, &'t Span)> {
        let Some(entry) = parent.get(name) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            let message = format!("`{name}` is a list of tables");
            self.error_with(WRONG_TYPE, &entry.key, message, format!("write `[[{name}]]`"));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Table(table) => tables.push((table, &item.span)),
                _ => self.wrong(item, "a table"),
            }
        }
        tables
    }

    pub fn text(&mut self, table: &Table, name: &str) -> Option<Spanned<String>> {
        table.get(name).and_then(|entry| self.as_text(&entry.node))
    }

    pub fn as_text(&mut self, node: &Node) -> Option<Spanned<String>> {
        match &node.value {
            Value::Text(text) => Some(Spanned { value: text.clone(), span: node.span.clone() }),
            _ => {
                self.wrong(node, "a string");
                None
            }
        }
    }

    pub fn texts(&mut self, table: &Table, name: &str) -> Vec<Spanned<String>> {
        let Some(entry) = table.get(name) else { return Vec::new() };
        match &entry.node.value {
            Value::List(items) => items.iter().filter_map(|item| self.as_text(item)).collect(),
            _ => {
                self.wrong(&entry.node, "an array of strings");
                Vec::new()
            }
        }
    }

    pub fn boolean(&mut self, table: &Table, name: &str, default: bool) -> bool {
        match table.get(name).map(|entry| &entry.node) {
            Some(Node { value: Value::Bool(value), .. }) => *value,
            Some(node) => {
                self.wrong(node, "`true` or `false`");
                default
            }
            None => default,
        }
    }

    /// Whether a part takes effect or is only looked at for faults.
    pub fn wanted(&mut self, table: &Table) -> bool {
        self.boolean(table, "enabled", true) || self.disabled_too
    }

    /// An integer that fits `T` and is at least `least`.
    pub fn integer<T: TryFrom<i64>>(&mut self, table: &Table, name: &str, least: i64) -> Option<Spanned<T>> {
        let node = &table.get(name)?.node;
        let Value::Int(integer) = node.value else {
            self.wrong(node, "an integer");
            return None;
        };
        match T::try_from(integer) {
            Ok(value) if integer >= least => Some(Spanned { value, span: node.span.clone() }),
            _ => {
                self.error(BAD_VALUE, &node.span, format!("`{name}` cannot be {integer}"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, table: &Table, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(table, name)?;
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let known = || words.iter().map(|(word, _)| *word);
            let help = suggestion(&text.value, known())
                .unwrap_or_else(|| format!("known words: {}", known().collect::<Vec<_>>().join(", ")));
            self.error_with(BAD_VALUE, &text.span, format!("`{name}` cannot be `{}`", text.value), help);
        }
        found.map(|(_, value)| *value)
    }

    pub fn expression(&mut self, node: &Node) -> Option<Spanned<Expr>> {
        self.parsed(node, expr::expression)
    }

    /// A string or an array of strings, each an expression.
    pub fn expressions(&mut self, node: &Node) -> Vec<Spanned<Expr>> {
        match &node.value {
            Value::List(items) => items.iter().filter_map(|item| self.expression(item)).collect(),
            _ => self.expression(node).into_iter().collect(),
        }
    }

    pub fn condition(&mut self, table: &Table, name: &str) -> Option<Spanned<Cond>> {
        table.get(name).and_then(|entry| self.parsed(&entry.node, expr::condition))
    }

    pub fn parsed<T>(
        &mut self,
        node: &Node,
        parse: impl FnOnce(&Text<'_>) -> Result<T, Diagnostic>,
    ) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.wrong(node, "a string");
            return None;
        };
        let source = self.sources.files.get(node.span.file).map_or("", |(_, text)| text.as_ref());
        match parse(&Text::new(text, source, &node.span)) {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }
}
