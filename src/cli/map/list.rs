//! `cefgate map list`: what mappings there are, who changed them, and how long their sources last.

use std::fmt::Write as _;

use super::table::Rows;
use crate::cli::out;
use crate::mapping::ast::Mapping;
use crate::mapping::layer::{Layer, Merged};

/// Prints a line for each mapping, and the notices of those whose source ends.
pub fn run(merged: &Merged) -> anyhow::Result<()> {
    let mut rows = Rows::new(["id", "table", "version", "changed by", "source ends", "title"]);
    for mapping in &merged.mappings {
        let ends = mapping.retires.as_ref().map(|retires| retires.date.value.to_string());
        rows.push([
            mapping.id.value.clone(),
            mapping.matching.table.value.clone(),
            mapping.version.value.clone(),
            changed_by(mapping, &merged.layers),
            ends.unwrap_or_default(),
            mapping.title.clone(),
        ]);
    }
    let mut text = rows.to_string();
    for mapping in &merged.mappings {
        if let Some(retires) = &mapping.retires {
            let _ = writeln!(text, "\n{}: {}", mapping.id.value, retires.note);
        }
    }
    out::print(&text)
}

/// The layers above the shipped ones that have a say in a mapping.
fn changed_by(mapping: &Mapping, layers: &[Layer]) -> String {
    let files = mapping.patched.iter().chain([&mapping.id.span.file]);
    let found: Vec<Layer> = files.filter_map(|file| layers.get(*file).copied()).collect();
    let words = [(Layer::Profile, "profile"), (Layer::Site, "site")];
    let words = words.into_iter().filter(|(layer, _)| found.contains(layer)).map(|(_, word)| word);
    words.collect::<Vec<_>>().join(", ")
}
