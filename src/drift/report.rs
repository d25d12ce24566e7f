//! The names that nobody knows, with the time they were first met and how often: bounded, and kept on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::record::Timestamp;

/// One unknown table, or one unknown column of a known table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// The table.
    pub table: String,
    /// The column or member; empty when it is the table that is unknown.
    pub column: String,
    /// When the spool stored the first record with it, in milliseconds since 1970 UTC.
    pub first: i64,
    /// In how many of the records that were looked at: all for a table, a sample for a column.
    pub n_records: u64,
}

/// The file as it stands, for the commands that only look; empty when there is none.
///
/// # Errors
/// There is one and it cannot be read.
pub fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) struct Report {
    path: PathBuf,
    entries: Vec<Entry>,
    changed: bool,
    /// Said once that there are more.
    full: bool,
}

impl Report {
    /// What was found before and is still unknown.
    pub fn open(folder: &Path, keep: impl Fn(&str, &str) -> bool) -> Self {
        let entries = read(folder).unwrap_or_else(|error| {
            warn!(%error, "the report of unknown columns cannot be read; it begins anew");
            Vec::new()
        });
        let mut report = Self { path: folder.join(FILE), entries, changed: false, full: false };
        report.retain(keep);
        report
    }

    /// Forgets what is known by now.
    pub fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|entry| keep(&entry.table, &entry.column));
        self.entries.truncate(MOST_NAMES);
        self.changed |= self.entries.len() != before;
        self.full = false;
    }

    /// Counts one record with this name in it.
    pub fn add(&mut self, table: &str, column: &str, time: Timestamp) {
        let same = |entry: &&mut Entry| is_written(&entry.table, table) && is_written(&entry.column, column);
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.n_records += 1;
            self.changed = true;
            return;
        }
        if self.entries.len() == MOST_NAMES {
            if !self.full {
                self.full = true;
                warn!(most = MOST_NAMES, "more unknown tables and columns than the report holds");
            }
            return;
        }
        let (table, column) = (written(table), written(column));
        if column.is_empty() {
            warn!(table, "records of a table that nobody knows: they go out by the mapping `generic`");
        } else {
            warn!(table, column, "a column that neither the schema nor a mapping knows");
        }
        self.entries.push(Entry { table, column, first: time.0, n_records: 1 });
        self.changed = true;
    }

    pub fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let mut text = String::new();
        for entry in &self.entries {
            text.push_str(&serde_json::to_string(entry)?);
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)?;
        self.changed = false;
        Ok(())
    }

    #[cfg(test)]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// A name as the report holds it: names come from outside.
fn written(name: &str) -> String {
    name.chars().take(LONGEST).map(shown).collect()
}

fn is_written(held: &str, name: &str) -> bool {
    held.chars().eq(name.chars().take(LONGEST).map(shown))
}

fn shown(letter: char) -> char {
    if letter.is_control() { '\u{fffd}' } else { letter }
}

/// Its name in the spool's folder.
pub const FILE: &str = "drift.jsonl";
const MOST_NAMES: usize = 200;
const LONGEST: usize = 96;
