//! The effective configuration as text: a configuration file again, with each value's origin behind it.

use std::fmt::Write;

use serde_json::Value;

use super::tree::Tree;

/// A section to print.
pub struct Shown<'c> {
    /// Its path.
    pub path: Vec<&'c str>,
    /// Its values.
    pub values: Value,
    /// Where values come from that the section leaves open: their origin, and they.
    pub below: Option<(String, Value)>,
}

/// Prints sections in order.
#[must_use]
pub fn show(tree: &Tree, sections: &[Shown<'_>]) -> String {
    let mut out = String::new();
    for section in sections {
        let mut lines = Vec::new();
        flatten(tree, section, &mut Vec::new(), &section.values, &mut lines);
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "[{}]", section.path.join("."));
        let with_origin = lines.iter().filter(|(_, origin)| origin.is_some());
        let width = with_origin.map(|(text, _)| text.chars().count()).filter(|width| *width <= WIDTH).max();
        for (text, origin) in &lines {
            let _ = match origin {
                None => writeln!(out, "{text}"),
                Some(origin) => writeln!(out, "{text:width$}  # {origin}", width = width.unwrap_or(0)),
            };
        }
    }
    out
}

fn flatten(
    tree: &Tree,
    section: &Shown<'_>,
    key: &mut Vec<String>,
    value: &Value,
    lines: &mut Vec<(String, Option<String>)>,
) {
    if let Value::Object(table) = value {
        for (name, value) in table {
            key.push(name.clone());
            flatten(tree, section, key, value, lines);
            key.pop();
        }
        return;
    }
    let path: Vec<&str> = section.path.iter().copied().chain(key.iter().map(String::as_str)).collect();
    let name = key.join(".");
    let below = section.below.as_ref().and_then(|(origin, values)| Some((origin, values.get(&name)?)));
    let (value, origin) = match (value, below) {
        (Value::Null, Some((origin, value))) => (value, origin.clone()),
        _ if tree.node(&path).is_some() => (value, tree.place(&path).to_string()),
        _ => (value, "default".to_owned()),
    };
    match value {
        // A comment, because TOML has no word for it.
        Value::Null => lines.push((format!("# {name} is not set"), None)),
        value => lines.push((format!("{name} = {value}"), Some(origin))),
    }
}

/// Longer lines do not push the origins of the others to the right.
const WIDTH: usize = 60;
