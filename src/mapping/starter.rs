//! A first mapping file for a table: what the other files do with columns of the same names, and a list of the rest.
//!
//! The mappings there are the dictionary. A column that several of them send to the same key goes there here too; each
//! key is taken once, by the column that most files agree on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use indexmap::{IndexMap, IndexSet};

use super::ast::{Alternative, Form, From, Mapping, Root, Source, Step};
use super::schema::{Property, Schema, properties};
use crate::dictionary;

/// What is known of the table.
#[derive(Debug, Default)]
pub struct Known {
    /// Its columns, in order, with their types.
    pub columns: IndexMap<String, String>,
    /// Rows come in the envelope of the Streaming API.
    pub enveloped: bool,
    /// A record, as JSON, for the first test.
    pub sample: Option<String>,
}

/// The columns that the schema knows of a table, if it knows it.
#[must_use]
pub fn columns(schema: &Schema, table: &str) -> IndexMap<String, String> {
    let Some((_, table)) = schema.table(table) else { return IndexMap::new() };
    let first = |property: &Property| Some((property.segments.first()?.name.clone(), property.kind.clone()));
    properties(schema, table).iter().filter_map(first).collect()
}

/// The text of the file.
#[must_use]
pub fn starter(table: &str, known: &Known, mappings: &[Mapping]) -> String {
    let chosen = choose(known, mappings);
    // The id of the file that takes the table now: this one then stands in its place.
    let own = mappings.iter().find(|mapping| mapping.matching.table.value.eq_ignore_ascii_case(table));
    let id = own.map_or_else(|| format!("site.{table}"), |own| own.id.value.clone());
    let mut text = format!(
        "schema  = 1\nkind    = \"mapping\"\nid      = \"{id}\"\nversion = \"0.1.0\"\n\
         title   = \"{table}\"\n\n[match]\ntable = \"{table}\"\n\n"
    );
    let has = |column: &str| known.columns.contains_key(column);
    if known.enveloped {
        text.push_str("[record]\nroot = \"properties\"\n\n");
    }
    text.push_str("[header]\n");
    let class = format!("{{ const = \"{table}\" }}");
    if has("ActionType") {
        let _ = writeln!(text, "class_id = [{{ template = \"{table}:{{ActionType}}\" }}, {class}]");
        let _ = writeln!(text, "name     = [\"ActionType | words\", {{ const = \"{table} event\" }}]");
    } else {
        let _ = writeln!(text, "class_id = {class}\nname     = {{ const = \"{table} event\" }}");
    }
    let severity = if has("Severity") { "\"Severity | lookup(severity)\"" } else { "{ const = 1 }" };
    let _ = writeln!(text, "severity = {severity}\n\n[extension]\ncat = {{ const = \"{table}\" }}");
    if known.enveloped {
        let time = if has("Timestamp") { "[\"Timestamp\", \"^time\"]" } else { "\"^time\"" };
        let _ = writeln!(text, "rt = {time}");
        text.push_str("flexString1 = { label = \"TenantId\", from = \"^tenantId\" }\n");
    }
    for (key, (label, columns)) in &chosen {
        let from = match columns.iter().map(|column| format!("\"{}\"", quoted(column))).collect::<Vec<_>>() {
            one if one.len() == 1 => one.concat(),
            several => format!("[{}]", several.join(", ")),
        };
        match label {
            Some(label) => {
                let _ = writeln!(text, "{key} = {{ label = \"{label}\", from = {from} }}");
            }
            None => {
                let _ = writeln!(text, "{key} = {from}");
            }
        }
    }
    let used: BTreeSet<&str> =
        chosen.values().flat_map(|(_, columns)| columns).map(String::as_str).chain(ALWAYS).collect();
    let rest: Vec<_> = known.columns.iter().filter(|(column, _)| !used.contains(column.as_str())).collect();
    if !rest.is_empty() {
        text.push_str("\n# Not looked at yet: give each a key above, or a reason here.\n[ignore]\n");
    }
    for (column, kind) in rest {
        let _ = writeln!(text, "{} = \"not looked at yet ({kind})\"", bare(column));
    }
    if let Some(sample) = &known.sample {
        let _ = write!(
            text,
            "\n[[test]]\nname   = \"a sample\"\ninput  = '''\n{}'''\nevents = 1\n",
            sample.replace("'''", "''")
        );
    }
    text
}

/// For each key the label and the columns, in the order of the table's columns.
fn choose(known: &Known, mappings: &[Mapping]) -> IndexMap<String, (Option<String>, Vec<String>)> {
    let votes = votes(mappings);
    let mut taken: BTreeSet<&str> = ["cat", "flexString1"].into_iter().collect();
    if known.enveloped {
        taken.insert("rt");
    }
    let mut chosen: IndexMap<String, (Option<String>, Vec<String>)> = IndexMap::new();
    let mut by_agreement: Vec<(&String, &Target, usize)> = known
        .columns
        .keys()
        .filter_map(|column| {
            let (target, n) = votes.get(column.as_str())?.iter().max_by_key(|(_, n)| **n)?;
            Some((column, target, *n))
        })
        .collect();
    by_agreement.sort_by_key(|(_, _, n)| std::cmp::Reverse(*n));
    for (column, target, _) in by_agreement {
        match chosen.get_mut(&target.0) {
            // The same key under the same label: a second way to its value.
            Some((label, columns)) if *label == target.1 => columns.push(column.clone()),
            Some(_) => {}
            None if taken.contains(target.0.as_str()) => {}
            None => {
                chosen.insert(target.0.clone(), (target.1.clone(), vec![column.clone()]));
            }
        }
    }
    let order: IndexSet<&str> = known.columns.keys().map(String::as_str).collect();
    let place = |columns: &[String]| columns.first().and_then(|column| order.get_index_of(column.as_str()));
    chosen.sort_by(|_, (_, a), _, (_, b)| place(a).cmp(&place(b)));
    chosen
}

/// A key with its label.
type Target = (String, Option<String>);

/// For each column, the keys that mappings send it to as it is, and how many do.
fn votes(mappings: &[Mapping]) -> BTreeMap<&str, BTreeMap<Target, usize>> {
    let mut votes: BTreeMap<&str, BTreeMap<Target, usize>> = BTreeMap::new();
    for mapping in mappings {
        for (key, field) in &mapping.parts.extension {
            let Some(form) = field.form.as_ref().filter(|form| form.digest.is_none()) else { continue };
            if dictionary::find(key).is_none() {
                continue;
            }
            let label = form.label.as_ref().map(|label| label.value.clone());
            for column in plain_columns(form) {
                *votes.entry(column).or_default().entry((key.clone(), label.clone())).or_default() += 1;
            }
        }
    }
    votes
}

/// The columns that a form takes as they are.
fn plain_columns(form: &Form) -> Vec<&str> {
    let From::FirstOf(alternatives) = &form.from else { return Vec::new() };
    alternatives.iter().filter_map(plain_column).collect()
}

fn plain_column(alternative: &Alternative) -> Option<&str> {
    let Alternative::Expr(expr) = alternative else { return None };
    let Source::Path(path) = &expr.value.source else { return None };
    match (&path.root, path.steps.as_slice()) {
        (Root::Bare, [Step::Name(name)]) if expr.value.transforms.is_empty() => Some(name),
        _ => None,
    }
}

/// A path whose first step has odd characters is quoted in the expression.
fn quoted(column: &str) -> String {
    let plain = column.chars().all(|next| next.is_ascii_alphanumeric() || next == '_');
    if plain { column.to_owned() } else { format!("\\\"{column}\\\"") }
}

fn bare(column: &str) -> String {
    let plain = column.chars().all(|next| next.is_ascii_alphanumeric() || next == '_' || next == '-');
    if plain { column.to_owned() } else { format!("\"{column}\"") }
}

/// What the file has in any case.
const ALWAYS: [&str; 1] = ["Timestamp"];
