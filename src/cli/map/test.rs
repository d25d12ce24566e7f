//! `cefgate map test`: the tests that mappings carry with them.

use std::fmt::Write as _;

use anyhow::bail;

use super::{Loaded, eprint, find};
use crate::cli::out;
use crate::mapping::trial;

/// Runs the tests of one mapping, or of all.
pub fn run(loaded: &Loaded, id: Option<&str>) -> anyhow::Result<()> {
    let Loaded { layers, merged, target } = loaded;
    if let Some(id) = id {
        find(merged, id)?;
    }
    let mut text = String::new();
    let mut failures = Vec::new();
    let reports = trial::run_all(layers, merged, target);
    for (id, report) in reports.into_iter().filter(|(own, _)| id.is_none_or(|id| id == own)) {
        let idle = if report.n_idle == 0 { String::new() } else { format!(", {} idle", report.n_idle) };
        let n_failed = report.failures.len();
        let _ = writeln!(text, "{id}: {} tests, {n_failed} failed{idle}", report.n_run);
        failures.extend(report.failures);
    }
    out::print(&text)?;
    eprint(&failures, &merged.sources);
    match failures.len() {
        0 => Ok(()),
        n => bail!("{n} expectations of mapping tests are not met"),
    }
}
