//! `cefgate account`: what was read, delivered, filtered and unparsed, by hour, as CSV.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;

use super::Global;
use super::time::Moment;
use crate::spool::account::export;

/// Which hours, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first hour: a time such as `2026-01-31T08:00:00Z`, a date, or `7d` ago. Default: all there is.
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Up to before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Write to this file and not to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports the account.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("write `{}`", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let moment = |moment: &Option<Moment>| moment.map(|moment| moment.0);
    let written = export(&config.spool.directory, moment(&args.from), moment(&args.until), &mut out)
        .and_then(|_| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => {
            outcome.with_context(|| format!("export the account of `{}`", config.spool.directory.display()))
        }
    }
}
