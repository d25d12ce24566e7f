//! Notices of mappings whose source somebody will switch off.

use super::ast::Mapping;

/// A notice for each mapping with an end that takes one of these tables.
#[must_use]
pub fn notices(mappings: &[Mapping], tables: &[&str]) -> Vec<String> {
    mappings
        .iter()
        .filter(|mapping| {
            tables.iter().any(|table| table.eq_ignore_ascii_case(&mapping.matching.table.value))
        })
        .filter_map(notice)
        .collect()
}

/// The notice of one mapping.
#[must_use]
pub fn notice(mapping: &Mapping) -> Option<String> {
    let retirement = mapping.retires.as_ref()?;
    let (id, date) = (&mapping.id.value, retirement.date.value);
    Some(format!("mapping {id}: its source ends on {date}: {}", retirement.note))
}
