//! All programs of one destination, and which of them takes a record.

use std::collections::HashMap;

use super::ast::Mapping;
use super::compile::compile;
use super::program::Program;
use crate::event::Target;

/// The mapping that takes what no other takes.
pub const GENERIC: &str = "generic";
/// The mapping of what is not a JSON object.
pub const UNPARSED: &str = "unparsed";

/// Programs compiled for one destination.
#[derive(Debug)]
pub struct MappingSet {
    /// What the destination wants.
    pub target: Target,
    /// In order of the mappings.
    pub programs: Vec<Program>,
    by_table: HashMap<String, Vec<usize>>,
}

impl MappingSet {
    /// Compiles every mapping for a destination.
    #[must_use]
    pub fn compile(mappings: &[Mapping], target: Target) -> Self {
        let programs: Vec<Program> = mappings.iter().map(|mapping| compile(mapping, &target)).collect();
        let mut by_table: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, program) in programs.iter().enumerate() {
            by_table.entry(program.table.clone()).or_default().push(number);
        }
        for numbers in by_table.values_mut() {
            numbers.sort_by_key(|&number| std::cmp::Reverse(programs[number].priority));
        }
        Self { target, programs, by_table }
    }

    /// The programs to try for a table, in order; `generic` last, unless the table is `unparsed`.
    #[must_use]
    pub fn candidates(&self, table: &str) -> Vec<usize> {
        let find = |table: &str| self.by_table.get(table).cloned().unwrap_or_default();
        let mut candidates = find(&table.to_lowercase());
        if !table.eq_ignore_ascii_case(UNPARSED) && !table.eq_ignore_ascii_case(GENERIC) {
            candidates.extend(find(GENERIC));
        }
        candidates
    }
}
