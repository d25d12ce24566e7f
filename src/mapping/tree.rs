//! A mapping file as a tree of keys and values with their places, and how one tree is laid over another.
//!
//! Includes, profiles and site patches are merged here, before anything is interpreted: a patch is then nothing but
//! a tree, and every value that survives knows the file it came from.

use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::ast::Span;
use super::diagnostic::{Diagnostic, NOTHING_REMOVED, SYNTAX};

/// Keys and values in the order of the file.
pub type Table = IndexMap<String, Entry>;

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    /// The value.
    pub node: Node,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands, quotes and brackets included.
    pub span: Span,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string, decoded.
    Text(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A date or time, or an integer beyond 64 bits: nothing in a mapping takes them.
    Other(&'static str),
    /// An array, or an array of tables.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What a person calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Other(kind) => kind,
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a file. What can be read is given back even where there are faults, so that its id and kind are known.
pub fn parse(text: &str, file: usize, diagnostics: &mut Vec<Diagnostic>) -> (Table, bool) {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let whole = errors.is_empty();
    for error in errors {
        let range = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        diagnostics.push(Diagnostic::error(SYNTAX, &Span { file, range }, message));
    }
    (table(tree.get_ref(), file), whole)
}

fn table(source: &DeTable<'_>, file: usize) -> Table {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let entry = Entry { key: Span { file, range: key.span() }, node: node(value, file) };
        (name.to_string(), entry)
    };
    source.iter().map(entry).collect()
}

fn node(source: &toml::Spanned<DeValue<'_>>, file: usize) -> Node {
    let value = match source.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Int(integer),
            Err(_) => Value::Other("an integer out of range"),
        },
        DeValue::Float(float) => {
            float.as_str().parse().map_or(Value::Other("a float out of range"), Value::Float)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, file)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, file)),
    };
    Node { value, span: Span { file, range: source.span() } }
}

/// Lays `over` onto `base`: sections merge key by key, `[[rule]]`, `[[overlay]]` and `[[test]]` are appended, everything
/// else is replaced, and `false` removes a field.
pub fn merge(base: &mut Table, over: Table, diagnostics: &mut Vec<Diagnostic>) {
    for (name, entry) in over {
        match base.get_mut(&name) {
            Some(under) => merge_section(&name, under, entry, diagnostics),
            None => {
                let mut entry = entry;
                remove_nothing(&name, &mut entry.node, diagnostics);
                base.insert(name, entry);
            }
        }
    }
}

fn merge_section(section: &str, under: &mut Entry, over: Entry, diagnostics: &mut Vec<Diagnostic>) {
    match (&mut under.node.value, over.node.value) {
        (Value::List(list), Value::List(more)) if APPENDED.contains(&section) => list.extend(more),
        (Value::Table(base), Value::Table(table)) => {
            for (name, entry) in table {
                let inner = format!("{section}.{name}");
                let nested = is_section(&inner) && matches!(entry.node.value, Value::Table(_));
                match base.get_mut(&name) {
                    Some(under) if nested => merge_section(&inner, under, entry, diagnostics),
                    Some(_) if removes(section, &entry.node) => {
                        base.shift_remove(&name);
                    }
                    None if removes(section, &entry.node) => diagnostics.push(nothing(&name, &entry)),
                    _ => {
                        base.insert(name, entry);
                    }
                }
            }
        }
        (_, value) => *under = Entry { key: over.key, node: Node { value, span: over.node.span } },
    }
}

/// Takes the `false` entries out of a section that has nothing below it.
fn remove_nothing(section: &str, node: &mut Node, diagnostics: &mut Vec<Diagnostic>) {
    let Value::Table(table) = &mut node.value else { return };
    table.retain(|name, entry| {
        if removes(section, &entry.node) {
            diagnostics.push(nothing(name, entry));
            return false;
        }
        let inner = format!("{section}.{name}");
        if is_section(&inner) {
            remove_nothing(&inner, &mut entry.node, diagnostics);
        }
        true
    });
}

fn nothing(name: &str, entry: &Entry) -> Diagnostic {
    let message = format!("`{name} = false` removes nothing: no layer below sets it");
    Diagnostic::warning(NOTHING_REMOVED, &entry.key, message)
}

fn removes(section: &str, node: &Node) -> bool {
    matches!(node.value, Value::Bool(false)) && REMOVABLE.contains(&section)
}

/// Tables inside a section that merge instead of being one value.
fn is_section(path: &str) -> bool {
    path.starts_with("lookup.") && path.matches('.').count() == 1 || NESTED.contains(&path)
}

const APPENDED: [&str; 3] = ["rule", "overlay", "test"];
const NESTED: [&str; 6] = [
    "leef.extension",
    "fanout.header",
    "fanout.extension",
    "fanout.extension_custom",
    "fanout.leef",
    "fanout.leef.extension",
];
/// Where `false` takes away. Not in overlays and the fan-out part: there it is a value of its own.
const REMOVABLE: [&str; 8] =
    ["header", "extension", "extension_custom", "vars", "ignore", "lookup", "leef", "leef.extension"];

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(table: &Table) -> String {
        let node = |node: &Node| match &node.value {
            Value::Text(text) => text.clone(),
            Value::Int(integer) => integer.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::List(items) => format!("[{}]", items.len()),
            Value::Table(inner) => format!("{{{}}}", outline(inner)),
            other => other.kind().to_owned(),
        };
        table
            .iter()
            .map(|(name, entry)| format!("{name}={}", node(&entry.node)))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn check(base: &str, over: &str, expected: &str, warnings: usize) {
        let mut diagnostics = Vec::new();
        let mut merged = Table::new();
        for (file, text) in [base, over].into_iter().enumerate() {
            let (tree, whole) = parse(text, file, &mut diagnostics);
            assert!(whole, "{diagnostics:?}");
            merge(&mut merged, tree, &mut diagnostics);
        }
        assert_eq!(outline(&merged), expected);
        assert_eq!(diagnostics.len(), warnings, "{diagnostics:?}");
    }

    #[test]
    fn fields_keep_their_place_and_values_are_replaced_whole() {
        check(
            "[extension]\na = 'x'\nb = { label = 'L', hash = ['h'] }\nc = 'z'",
            "[extension]\nb = { label = 'M', from = 'f' }\nd = 'w'\na = 'y'",
            "extension={a=y b={label=M from=f} c=z d=w}",
            0,
        );
    }

    #[test]
    fn false_removes_a_field_and_a_false_that_removes_nothing_is_said() {
        check("[extension]\na = 'x'\nb = 'y'", "[extension]\na = false", "extension={b=y}", 0);
        check(
            "[extension]\na = 'x'",
            "[extension]\nb = false\n[header]\nname = false",
            "extension={a=x} header={}",
            2,
        );
        check(
            "[fanout.extension]\na = 'x'",
            "[fanout]\nenabled = false\n[fanout.extension]\na = false",
            "fanout={extension={a=false} enabled=false}",
            0,
        );
        check("[lookup.t]\na = true", "[lookup.t]\na = false\nb = 1", "lookup={t={a=false b=1}}", 0);
    }

    #[test]
    fn rules_overlays_and_tests_are_appended_and_other_arrays_replaced() {
        check(
            "[[rule]]\n[[test]]\n[[test]]\n[dedupe]\nkey=['a','b']",
            "[[rule]]\n[dedupe]\nkey=['a']",
            "rule=[2] test=[2] dedupe={key=[1]}",
            0,
        );
    }
}
