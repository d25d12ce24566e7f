//! Microsoft changes tables without notice: what comes in and nobody knows is counted, and named.
//!
//! A table is unknown when neither the schema nor a mapping has it; a column of a known table when neither the
//! schema nor the table's mapping names it. Tables are told of every record. Columns are looked for in a sample, the
//! first [`FIRST`] records of a table and then every [`EVERY`]th: a column that is new for good is found within
//! seconds, and the way of a record costs nothing that could be measured. One pass, no allocation but for a new name.
//!
//! All destinations share one watch; each record is looked at once, by whichever reads it first. The report is kept
//! beside the spool, bounded in names and their length.

mod known;
mod report;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::report::{Entry, FILE, read};

use self::known::{Known, Members};
use self::report::Report;
use crate::mapping::ast::Mapping;
use crate::record::{Name, Record, Table};
use crate::telemetry;

/// The watch. Clones share it.
#[derive(Clone)]
pub struct Drift {
    shared: Arc<Shared>,
}

struct Shared {
    /// Records below this number have been looked at.
    next: AtomicU64,
    state: Mutex<State>,
}

struct State {
    known: Known,
    report: Report,
    tables: HashMap<Name, Seen>,
}

/// What is known of a table that was met.
struct Seen {
    members: Members,
    n_records: u64,
}

impl Drift {
    /// Begins with what was found before. `folder` is the spool's.
    #[must_use]
    pub fn open(folder: &Path, mappings: &[Mapping]) -> Self {
        let known = Known::new(mappings);
        let report = Report::open(folder, |table, column| known.lacks(table, column));
        let state = State { known, report, tables: HashMap::new() };
        Self { shared: Arc::new(Shared { next: AtomicU64::new(0), state: Mutex::new(state) }) }
    }

    /// Takes new mappings into account.
    pub fn replace(&self, mappings: &[Mapping]) {
        let known = Known::new(mappings);
        let mut state = self.state();
        state.report.retain(|table, column| known.lacks(table, column));
        state.known = known;
        state.tables.clear();
    }

    /// Looks at records that nobody has looked at yet.
    pub fn look(&self, records: &[Record]) {
        let Some(last) = records.last() else { return };
        let from = self.shared.next.fetch_max(last.sequence + 1, Ordering::Relaxed);
        let new = records.partition_point(|record| record.sequence < from);
        if new == records.len() {
            return;
        }
        let mut state = self.state();
        records[new..].iter().for_each(|record| state.look(record));
    }

    /// Keeps the report beside the spool until told to stop, and once more then.
    pub async fn keep(self, stop: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(SAVE_EVERY, stop.cancelled()).await.is_ok();
            self.save();
            if stopped {
                return;
            }
        }
    }

    /// Writes the report if it has changed.
    pub fn save(&self) {
        let saved = self.state().report.save();
        if let Err(error) = saved {
            warn!(%error, "the report of unknown columns could not be saved; it is tried again");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(&mut self, record: &Record) {
        let Self { known, report, tables } = self;
        let table = &record.table;
        if &*table.0 == Table::UNPARSED {
            return;
        }
        if !tables.contains_key(&table.0) {
            if tables.len() == MOST_TABLES {
                tables.clear();
            }
            tables.insert(table.0.clone(), Seen { members: known.members(&table.0), n_records: 0 });
        }
        let Some(seen) = tables.get_mut(&table.0) else { return };
        seen.n_records += 1;
        match &seen.members {
            Members::Open => {}
            Members::Unknown => {
                counter!(telemetry::SCHEMA_UNKNOWN_TABLE).increment(1);
                report.add(&table.0, "", record.received);
            }
            Members::Known { name, .. } => {
                if seen.n_records > FIRST && !seen.n_records.is_multiple_of(EVERY) {
                    return;
                }
                let Ok(body) = std::str::from_utf8(&record.body) else { return };
                // What is not JSON goes out as unparsed, and is counted there.
                let found =
                    seen.members.unknown(body, &mut |column| report.add(name, column, record.received));
                if found > 0 {
                    counter!(telemetry::SCHEMA_UNKNOWN_COLUMNS, "table" => name.clone()).increment(found);
                }
            }
        }
    }
}

/// So many records of a table are looked into from the first on.
const FIRST: u64 = 256;
/// Then every so many-th.
const EVERY: u64 = 64;
/// Names of tables come from outside: so many are told apart at a time.
const MOST_TABLES: usize = 512;
const SAVE_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
