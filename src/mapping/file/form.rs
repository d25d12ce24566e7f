//! Value forms: what may stand on the right of a key.

use indexmap::IndexMap;

use super::reader::Reader;
use crate::mapping::ast::{Alternative, Field, Form, From, Leef, Missing, OnError, Overflow, Parts, Scalar};
use crate::mapping::diagnostic::{BAD_VALUE, FORM, WRONG_TYPE};
use crate::mapping::expr;
use crate::mapping::tree::{Node, Table, Value};

impl Reader<'_> {
    /// `[header]`, `[extension]`, `[extension_custom]` and `[leef]` of a file, an overlay or the fan-out part.
    pub fn parts(&mut self, table: &Table) -> Parts {
        Parts {
            header: self.fields(table, "header"),
            extension: self.fields(table, "extension"),
            extension_custom: self.fields(table, "extension_custom"),
            leef: self.leef(table),
        }
    }

    fn leef(&mut self, parent: &Table) -> Leef {
        let Some(table) = self.table(parent, "leef") else { return Leef::default() };
        self.only(table, "[leef]", &["event_id", "delimiter", "extension"]);
        Leef {
            event_id: table.get("event_id").and_then(|entry| self.field(&entry.key, &entry.node)),
            delimiter: self.text(table, "delimiter"),
            extension: self.fields(table, "extension"),
        }
    }

    fn fields(&mut self, parent: &Table, section: &str) -> IndexMap<String, Field> {
        let Some(table) = self.table(parent, section) else { return IndexMap::new() };
        table
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), self.field(&entry.key, &entry.node)?)))
            .collect()
    }

    fn field(&mut self, key: &crate::mapping::ast::Span, node: &Node) -> Option<Field> {
        if let Value::Bool(false) = node.value {
            return Some(Field { key: key.clone(), form: None });
        }
        let form = self.form(node)?;
        Some(Field { key: key.clone(), form: Some(form) })
    }

    fn form(&mut self, node: &Node) -> Option<Form> {
        match &node.value {
            Value::Table(table) => self.form_with_options(table, node),
            Value::Text(_) | Value::List(_) => {
                let from = self.alternatives(node)?;
                Some(plain(from, node))
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Other(_) => {
                let raw = match node.value {
                    Value::Other(_) => format!("\"{}\"", self.raw(node)),
                    _ => self.raw(node),
                };
                let message = format!("expected an expression, found {}", node.value.kind());
                self.error_with(
                    WRONG_TYPE,
                    &node.span,
                    message,
                    format!("a constant is written {{ const = {raw} }}"),
                );
                None
            }
        }
    }

    fn form_with_options(&mut self, table: &Table, node: &Node) -> Option<Form> {
        self.only(table, "a value", &FORM_KEYS);
        let from = self.origin(table, node);
        let missing = self.word(table, "missing", &[("skip", Missing::Skip), ("empty", Missing::Empty)]);
        if let Some(entry) = table.get("missing")
            && !table.contains_key("template")
        {
            self.error(FORM, &entry.key, "`missing` belongs to a template");
        }
        let form = Form {
            label: self.text(table, "label"),
            max: self.integer(table, "max", 1),
            overflow: self
                .word(table, "overflow", &[("cut", Overflow::Cut), ("drop", Overflow::Drop)])
                .unwrap_or_default(),
            on_error: self
                .word(
                    table,
                    "on_error",
                    &[("skip", OnError::Skip), ("text", OnError::Text), ("reject", OnError::Reject)],
                )
                .unwrap_or_default(),
            when: self.condition(table, "when"),
            digest: self.integer(table, "digest", 1),
            from: match from? {
                From::Template { pieces, .. } => {
                    From::Template { pieces, missing: missing.unwrap_or_default() }
                }
                other => other,
            },
            span: node.span.clone(),
        };
        if let Some(digest) = &form.digest
            && digest.value > 64
        {
            self.error(BAD_VALUE, &digest.span, "a digest has at most 64 hexadecimal digits");
        }
        Some(form)
    }

    /// The one of `from`, `const`, `template`, `hash` that the form has.
    fn origin(&mut self, table: &Table, node: &Node) -> Option<From> {
        let mut origins = table.iter().filter(|(name, _)| ORIGINS.contains(&name.as_str()));
        let Some((name, entry)) = origins.next() else {
            self.error_with(
                FORM,
                &node.span,
                "this value has no source",
                "one of from, const, template, hash",
            );
            return None;
        };
        if let Some((second, entry)) = origins.next() {
            let message = format!("`{second}` beside `{name}`: a value has one source");
            self.error_with(FORM, &entry.key, message, "a list of forms gives the first that has a value");
            return None;
        }
        match name.as_str() {
            "const" => self.scalar(&entry.node).map(From::Const),
            "template" => {
                let pieces = self.parsed(&entry.node, expr::template)?;
                Some(From::Template { pieces, missing: Missing::Skip })
            }
            "hash" => Some(From::Hash(self.expressions(&entry.node))),
            _ => self.alternatives(&entry.node),
        }
    }

    fn alternatives(&mut self, node: &Node) -> Option<From> {
        let Value::List(items) = &node.value else {
            return self.expression(node).map(|expr| From::FirstOf(vec![Alternative::Expr(expr)]));
        };
        if items.is_empty() {
            self.error(FORM, &node.span, "an empty list gives no value");
            return None;
        }
        let mut alternatives = Vec::with_capacity(items.len());
        for item in items {
            let alternative = match &item.value {
                Value::Table(table) => {
                    if let Some(label) = table.get("label") {
                        self.error(FORM, &label.key, "a label belongs to the key, not to one alternative");
                    }
                    self.form(item).map(|form| Alternative::Form(Box::new(form)))
                }
                _ => self.expression(item).map(Alternative::Expr),
            };
            alternatives.extend(alternative);
        }
        Some(From::FirstOf(alternatives))
    }

    /// Text, integer, float or boolean.
    pub fn scalar(&mut self, node: &Node) -> Option<Scalar> {
        match &node.value {
            Value::Text(text) => Some(Scalar::Text(text.clone())),
            Value::Int(integer) => Some(Scalar::Int(*integer)),
            Value::Float(float) => Some(Scalar::Float(*float)),
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            Value::Other(_) | Value::List(_) | Value::Table(_) => {
                self.wrong(node, "a string, a number or a boolean");
                None
            }
        }
    }

    /// A value as it stands in its file.
    fn raw(&self, node: &Node) -> String {
        let text = self.sources.files.get(node.span.file).map_or("", |(_, text)| text.as_ref());
        text.get(node.span.range.clone()).unwrap_or_default().to_owned()
    }
}

fn plain(from: From, node: &Node) -> Form {
    Form {
        from,
        label: None,
        max: None,
        overflow: Overflow::default(),
        on_error: OnError::default(),
        when: None,
        digest: None,
        span: node.span.clone(),
    }
}

const ORIGINS: [&str; 4] = ["from", "const", "template", "hash"];
pub(in crate::mapping) const FORM_KEYS: [&str; 11] = [
    "from", "const", "template", "hash", "missing", "label", "max", "overflow", "on_error", "when", "digest",
];
