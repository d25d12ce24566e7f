//! `cefgate config show`: every effective value and where it came from.

use clap::Subcommand;

use super::{Global, out};

/// What to do with the configuration.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every effective value with its origin; secrets are masked.
    Show,
}

/// Runs the subcommand.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    match args.command {
        Command::Show => out::print(&global.load()?.show()),
    }
}
