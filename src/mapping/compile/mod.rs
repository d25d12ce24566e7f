//! From a checked mapping to a program for one destination.
//!
//! Compiling cannot fail: `check` has refused whatever has no meaning before. Names become numbers, key texts and
//! labels become bytes ready to be written, and every distinct column becomes one slot.

mod chain;
mod field;
mod lookup;

use std::collections::HashMap;

use indexmap::IndexMap;

use self::chain::Scope;
use super::ast::{self, Mapping};
use super::program::{Action, Condition, Dedupe, Fanout, Program, Rule};
use super::read::Trie;
use crate::event::Target;

/// Compiles one mapping.
#[must_use]
pub fn compile(mapping: &Mapping, target: &Target) -> Program {
    let mut compiler = Compiler::new(mapping, target);
    let vars = mapping.vars.values().map(|var| compiler.chain(&var.value, Scope::Record)).collect();
    let overlays: Vec<Condition> = mapping
        .overlays
        .iter()
        .map(|overlay| compiler.condition(&overlay.when.value, Scope::Record))
        .collect();
    let fields = compiler.fields();
    let time_key = field::time_key(target.format);
    Program {
        id: mapping.id.value.as_str().into(),
        table: mapping.matching.table.value.to_lowercase(),
        when: mapping.matching.when.as_ref().map(|when| compiler.condition(&when.value, Scope::Record)),
        priority: mapping.matching.priority,
        vars,
        rules: mapping.rules.iter().map(|rule| compiler.rule(rule)).collect(),
        overlays,
        class_id: compiler.class_id(),
        name: compiler.header("name"),
        severity: compiler.header("severity"),
        identity: ["vendor", "product", "version"].map(|name| compiler.optional_header(name)),
        time_field: fields.iter().position(|field| *field.key == *time_key),
        shed: mapping
            .shed
            .iter()
            .filter_map(|key| {
                let key = compiler.output_key(&key.value);
                fields.iter().position(|field| *field.key == *key)
            })
            .collect(),
        fields,
        fanout: mapping.fanout.as_ref().map(|fanout| Fanout {
            each: compiler.chain(&fanout.each.value, Scope::Record),
            max: fanout.max,
            none_on_empty: fanout.none_on_empty,
        }),
        dedupe: mapping.dedupe.as_ref().map(|dedupe| Dedupe {
            key: dedupe.key.iter().map(|key| compiler.chain(&key.value, Scope::Record)).collect(),
            window: dedupe.window,
            max_keys: dedupe.max_keys,
        }),
        lookups: mapping.lookups.values().map(lookup::compile).collect(),
        missing_secrets: compiler.missing_secrets,
        trie: compiler.trie,
    }
}

/// What compiling one mapping needs at hand.
struct Compiler<'a> {
    mapping: &'a Mapping,
    target: &'a Target,
    trie: Trie,
    root: Vec<String>,
    vars: HashMap<&'a str, usize>,
    missing_secrets: Vec<Box<str>>,
}

impl<'a> Compiler<'a> {
    fn new(mapping: &'a Mapping, target: &'a Target) -> Self {
        let root: Vec<String> =
            mapping.root.iter().flat_map(|root| chain::names(&root.value.steps)).collect();
        let mut trie = Trie::new();
        trie.set_root(&root);
        for column in &mapping.json_columns {
            let path: Vec<String> =
                root.iter().cloned().chain(column.value.split('.').map(str::to_owned)).collect();
            trie.set_json(&path);
        }
        let vars = mapping.vars.keys().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        Self { mapping, target, trie, root, vars, missing_secrets: Vec::new() }
    }

    /// All parts that may set a field, with the overlay number of each; the file's own has none.
    fn parts(&self) -> impl Iterator<Item = (Option<usize>, &'a ast::Parts)> + use<'a> {
        let mapping = self.mapping;
        let overlays =
            mapping.overlays.iter().enumerate().map(|(number, overlay)| (Some(number), &overlay.parts));
        let fanout = mapping.fanout.as_ref().map(|fanout| (Some(mapping.overlays.len()), &fanout.parts));
        [(None, &mapping.parts)].into_iter().chain(overlays).chain(fanout)
    }

    /// Each key that any part sets, in the order of its first appearance, with what each part sets it to.
    fn rows<F>(&self, section: F) -> IndexMap<&'a str, Vec<(Option<usize>, &'a ast::Field)>>
    where
        F: Fn(&'a ast::Parts) -> &'a IndexMap<String, ast::Field>,
    {
        let mut rows: IndexMap<&str, Vec<_>> = IndexMap::new();
        for (overlay, parts) in self.parts() {
            for (key, field) in section(parts) {
                rows.entry(key.as_str()).or_default().push((overlay, field));
            }
        }
        rows
    }

    fn rule(&mut self, rule: &ast::Rule) -> Rule {
        let action = match &rule.action {
            ast::Action::Drop => Action::Drop,
            ast::Action::Keep => Action::Keep,
            ast::Action::Sample { keep, key } => {
                #[expect(clippy::cast_possible_truncation, reason = "it saturates, as it should for 1.0")]
                let bound = (keep.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
                Action::Sample(bound, key.iter().map(|key| self.chain(&key.value, Scope::Record)).collect())
            }
            ast::Action::Tag(word) => Action::Tag(word.as_str().into()),
            ast::Action::Route(destinations) => {
                Action::Route(destinations.iter().any(|name| **name == *self.target.destination))
            }
        };
        Rule {
            when: self.condition(&rule.when.value, Scope::Record),
            action,
            reason: rule.reason.value.as_str().into(),
        }
    }
}
