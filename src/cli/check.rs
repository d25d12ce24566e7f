//! `cefgate check`: everything a start does, short of running.

use super::Global;

/// No options of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Loads the configuration and says what it found.
pub fn run(global: &Global, _args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    config.examine()?;
    let path = global.config_file();
    print(&format!(
        "{}: ok: {} source(s), {} destination(s)",
        path.display(),
        config.sources.len(),
        config.destinations.len()
    ));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
