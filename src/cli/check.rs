//! `cefgate check`: everything a start does, short of running.

use super::{Global, out};
use crate::gateway;

/// No options of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Loads the configuration, compiles and tests the mappings, reads every file that is named, and says what it found.
pub fn run(global: &Global, _args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let plan = gateway::plan(&config)?;
    if !plan.warnings.is_empty() {
        eprintln!("{}", plan.warnings);
    }
    let names = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    out::print(&format!(
        "{}: ok\nsources: {}\ndestinations: {}\n",
        global.config_file().display(),
        names(config.sources.keys().collect()),
        names(config.destinations.keys().collect()),
    ))
}
