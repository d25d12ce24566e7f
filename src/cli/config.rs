//! `cefgate config`: every effective value and where it came from, and the schema for editors.

use clap::Subcommand;

use super::{Global, out};
use crate::config::schema::schema;

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
    /// Print the JSON Schema of the configuration file.
    Schema,
}

/// Runs the subcommand.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    match args.command {
        Command::Schema => out::print(&(serde_json::to_string_pretty(&schema())? + "\n")),
        Command::Show => out::print(&global.load()?.show()),
    }
}
