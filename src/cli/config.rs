//! `cefgate config show`: every effective value and where it came from.

use std::io::Write;

use clap::Subcommand;

use super::Global;

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
        Command::Show => {
            let text = global.load()?.show();
            match std::io::stdout().write_all(text.as_bytes()) {
                // `cefgate config show | head` is no failure.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                outcome => Ok(outcome?),
            }
        }
    }
}
