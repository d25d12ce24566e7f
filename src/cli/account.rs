//! `cefgate account`: how many records were read and what became of them, as CSV.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use super::{Global, moment};
use crate::record::Timestamp;
use crate::spool::account;

/// Which hours, and where to write them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From the hour of this time on: `2026-01-31T08:00:00Z`, `2026-01-31` or `2h ago`.
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    from: Option<Timestamp>,
    /// Hours that begin before this time.
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    until: Option<Timestamp>,
    /// A file to write to, or `-` for standard output.
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    output: PathBuf,
}

/// Exports.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let spool = &config.spool.directory;
    // Without a folder there would be an empty account, which proves nothing.
    std::fs::read_dir(spool).with_context(|| format!("open spool directory `{}`", spool.display()))?;
    if args.output.as_os_str() == "-" {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = account::export(spool, args.from, args.until, &mut out).and_then(|_| out.flush());
        return match written {
            // Whoever read the output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("export the account"),
        };
    }
    let failed = || format!("write the account to `{}`", args.output.display());
    let mut out = BufWriter::new(File::create(&args.output).with_context(failed)?);
    let n_rows = account::export(spool, args.from, args.until, &mut out).with_context(failed)?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .with_context(failed)?;
    eprintln!("{n_rows} rows in `{}`", args.output.display());
    Ok(())
}
