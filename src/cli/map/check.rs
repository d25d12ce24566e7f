//! `cefgate map check`: every fault and every warning of all mappings.

use anyhow::bail;

use super::eprint;
use crate::cli::out;
use crate::mapping::layer::Merged;
use crate::mapping::retire;

/// Prints the warnings, how many mappings there are, and which of them have a source that ends.
pub fn run(merged: &Merged, strict: bool) -> anyhow::Result<()> {
    eprint(&merged.warnings, &merged.sources);
    if strict && !merged.warnings.is_empty() {
        bail!("the mappings have warnings");
    }
    let notices: Vec<String> = merged.mappings.iter().filter_map(retire::notice).collect();
    let notices: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
    out::print(&format!("{} mappings: ok\n{notices}", merged.mappings.len()))
}
