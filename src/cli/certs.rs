//! `cefgate certs dev`: certificates for trying things out, made on the spot.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::out;
use crate::certs::Development;

/// What to make.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority, a server and a client certificate for development; never for production.
    Dev {
        /// Where to write them. Existing files are never replaced.
        directory: PathBuf,
        /// Further host name or address of the server, beside localhost, 127.0.0.1 and ::1.
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Dev { directory, names } = &args.command;
    let written = Development::new(names)?.write(directory).context("make development certificates")?;
    let lines: String = written.iter().map(|path| format!("{}\n", path.display())).collect();
    out::print(&lines)
}
