//! The effective configuration as text: a configuration file again, with each value's origin behind it.

use std::fmt::Write;

use serde_json::Value;

use super::tree::Tree;

/// Prints sections in order: path and values.
#[must_use]
pub fn show(tree: &Tree, sections: &[(Vec<&str>, Value)]) -> String {
    let mut out = String::new();
    for (path, values) in sections {
        let mut lines = Vec::new();
        flatten(tree, path, &mut Vec::new(), values, &mut lines);
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "[{}]", path.join("."));
        let width = lines
            .iter()
            .filter(|(_, origin)| origin.is_some())
            .map(|(text, _)| text.chars().count())
            .filter(|width| *width <= WIDTH)
            .max();
        for (text, origin) in &lines {
            let line = match origin {
                None => text.clone(),
                Some(origin) => format!("{text:width$}  # {origin}", width = width.unwrap_or(0)),
            };
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn flatten(
    tree: &Tree,
    section: &[&str],
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
    let path: Vec<&str> = section.iter().copied().chain(key.iter().map(String::as_str)).collect();
    let origin = match tree.node(&path) {
        Some(_) => tree.place(&path).to_string(),
        None => "default".to_owned(),
    };
    let name = key.join(".");
    match value {
        // A comment, because TOML has no word for it.
        Value::Null => lines.push((format!("# {name} is not set"), None)),
        value => lines.push((format!("{name} = {value}"), Some(origin))),
    }
}

/// Longer lines do not push the origins of the others to the right.
const WIDTH: usize = 60;
