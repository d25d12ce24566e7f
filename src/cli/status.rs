//! `cefgate status`: how the spool stands, running or not: what is kept, what waits for whom, what came in that nobody
//! knows. Nothing is changed.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use indicatif::BinaryBytes;
use serde_json::json;

use super::{Global, out};
use crate::drift;
use crate::spool::{self, Cursor, ReadOnly, Spool};

/// In which form.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Looks, and says what there is.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let folder = &config.spool.directory;
    // Without a folder nothing would wait, which proves nothing.
    std::fs::read_dir(folder).with_context(|| format!("open spool directory `{}`", folder.display()))?;
    let spool = Spool::open_for_reading(&config.spool)?;
    let unknown = drift::read(folder).context("read the unknown tables and columns")?;
    let cursors = spool.cursors()?;
    let waiting: Vec<(&str, u64)> =
        config.destinations.keys().map(|name| (name.as_str(), n_waiting(&spool, &cursors, name))).collect();
    if args.json {
        let destinations: Vec<_> =
            waiting.iter().map(|(name, n)| json!({ "name": name, "n_waiting": n })).collect();
        let standing = json!({
            "spool": { "n_records": n_records(&spool), "bytes": spool.bytes(), "max_bytes": config.spool.max_bytes },
            "destinations": destinations,
            "unknown": unknown,
        });
        return out::print(&format!("{standing}\n"));
    }
    let mut lines = vec![kept(&config.spool, Some(&spool))];
    lines.extend(waiting.iter().map(|(name, n)| format!("destination  {name}: {n} records wait")));
    lines.extend(nobody_knows(folder, usize::MAX)?);
    out::print(&format!("{}\n", lines.join("\n")))
}

/// What the spool holds, on one line.
pub fn kept(config: &spool::Config, spool: Option<&ReadOnly>) -> String {
    let (directory, most) = (config.directory.display(), BinaryBytes(config.max_bytes));
    match spool {
        Some(spool) => {
            let (n_records, bytes) = (n_records(spool), BinaryBytes(spool.bytes()));
            format!("spool        {directory}: {n_records} records, {bytes} of at most {most}")
        }
        None => format!("spool        {directory}: made at the first start, at most {most}"),
    }
}

fn n_records(spool: &ReadOnly) -> u64 {
    spool.next_sequence() - spool.oldest_sequence()
}

/// Records that are not delivered to a destination.
pub fn n_waiting(spool: &ReadOnly, cursors: &[(String, Cursor)], destination: &str) -> u64 {
    let own = cursors.iter().find(|(name, _)| name == destination);
    let cursor = own.map_or(spool.oldest_sequence(), |(_, cursor)| cursor.0);
    spool.next_sequence().saturating_sub(cursor)
}

/// Tables and columns that came in and nobody knows, a line each, and how many more there are.
///
/// # Errors
/// The report cannot be read.
pub fn nobody_knows(folder: &Path, most: usize) -> io::Result<Vec<String>> {
    let entries = drift::read(folder)?;
    let mut lines: Vec<String> = entries.iter().take(most).map(line).collect();
    if let more @ 1.. = entries.len().saturating_sub(most) {
        lines.push(format!("unknown      {more} more: see `cefgate status`"));
    }
    Ok(lines)
}

fn line(entry: &drift::Entry) -> String {
    let drift::Entry { table, column, first, n_records } = entry;
    let first = jiff::Timestamp::from_millisecond(*first).unwrap_or_default();
    if column.is_empty() {
        return format!("unknown      table {table}: since {first}, {n_records} records");
    }
    format!("unknown      {table}: column {column} since {first}, in {n_records} records looked at")
}
