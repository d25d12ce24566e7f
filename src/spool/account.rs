//! Counts per source, table and hour of what was read and what became of it, so that completeness can be proven.
//!
//! The hour is the one in which the spool stored the record, for every count: once an hour is delivered,
//! `read = delivered + filtered + unparsed + dropped` holds for each destination in it, as long as nothing was resent.
//!
//! One small file an hour, one JSON array a line, replaced whole. The writer saves changed hours every ten seconds,
//! before it begins a segment, and at the end. `read` is exact: after a kill it is counted again from the frames of
//! the newest segment. What destinations did in the last ten seconds before a kill is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::warn;

use super::scanner::Names;
use super::{disk, lock};
use crate::record::{Name, Record, Table, Timestamp};

/// What became of a record at a destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Confirmed by the receiver.
    Delivered,
    /// Held back on purpose, by the rule of this name.
    Filtered(Name),
    /// Delivered as an unparsed event although its table says otherwise.
    Unparsed,
    /// Removed from the spool before it was delivered.
    Dropped,
}

/// Outcomes of records not confirmed yet: kept beside a chunk, added to the account when its receipt is there.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rows: Vec<TallyRow>,
}

#[derive(Clone, Debug)]
struct TallyRow {
    source: Name,
    table: Table,
    hour: i64,
    outcome: Outcome,
    n_records: u64,
}

impl Tally {
    /// Counts one record.
    pub fn count(&mut self, record: &Record, outcome: &Outcome) {
        self.add(&record.source, &record.table, record.received, outcome);
    }

    /// Counts one record by its source, table and the time it was stored.
    pub fn add(&mut self, source: &Name, table: &Table, received: Timestamp, outcome: &Outcome) {
        let hour = hour_of(received);
        // Names of records from one reader are shared, so comparing addresses nearly always finds the row.
        let same = |row: &&mut TallyRow| {
            row.hour == hour
                && row.table.0.as_ptr() == table.0.as_ptr()
                && row.source.as_ptr() == source.as_ptr()
                && row.outcome == *outcome
        };
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.n_records += 1;
            return;
        }
        let (source, table) = (source.clone(), table.clone());
        self.rows.push(TallyRow { source, table, hour, outcome: outcome.clone(), n_records: 1 });
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: Tally) {
        for row in other.rows {
            let same = |known: &&mut TallyRow| {
                known.hour == row.hour
                    && known.table == row.table
                    && known.source == row.source
                    && known.outcome == row.outcome
            };
            match self.rows.iter_mut().find(same) {
                Some(known) => known.n_records += row.n_records,
                None => self.rows.push(row),
            }
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets everything, as before a resend.
    pub fn clear(&mut self) {
        self.rows.clear();
    }
}

/// The account of one spool. Clones share it.
#[derive(Clone, Debug)]
pub struct Account {
    directory: Arc<Path>,
    keep: Duration,
    book: Arc<Mutex<Book>>,
    /// Held while files are written, so that an older state never replaces a newer one.
    saving: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Book {
    /// Hours since 1970 that are in use.
    hours: BTreeMap<i64, Sheet>,
    saved: Instant,
    /// Old files were last removed in this hour.
    swept: i64,
}

/// One hour.
#[derive(Debug, Default)]
struct Sheet {
    /// Records below this number are counted as read.
    through: u64,
    rows: BTreeMap<Key, u64>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: Name,
    table: Name,
    destination: Name,
    /// `None`: read.
    outcome: Option<Outcome>,
}

impl Account {
    pub(super) fn open(spool: &Path, keep: Duration) -> Self {
        let book = Book { hours: BTreeMap::new(), saved: Instant::now(), swept: 0 };
        Self {
            directory: spool.join(FOLDER).into(),
            keep,
            book: Arc::new(Mutex::new(book)),
            saving: Arc::default(),
        }
    }

    /// Adds what became of records at a destination. Call it once they are confirmed and committed.
    pub fn add(&self, destination: &Name, tally: &Tally) {
        let mut book = lock(&self.book);
        for row in &tally.rows {
            let key = Key {
                source: row.source.clone(),
                table: row.table.0.clone(),
                destination: destination.clone(),
                outcome: Some(row.outcome.clone()),
            };
            book.sheet(&self.directory, row.hour).add(key, row.n_records);
        }
    }

    pub(super) fn count_read(&self, source: &Name, table: &Name, time: Timestamp, n_records: u64, end: u64) {
        let mut book = lock(&self.book);
        let sheet = book.sheet(&self.directory, hour_of(time));
        let key = Key { source: source.clone(), table: table.clone(), destination: "".into(), outcome: None };
        sheet.add(key, n_records);
        sheet.through = end;
    }

    /// Counts the records of a frame met at opening, unless they were counted before the end.
    pub(super) fn count_recovered(&self, source: &str, tables: &[(&str, u64)], time: Timestamp, end: u64) {
        let known = lock(&self.book).sheet(&self.directory, hour_of(time)).through >= end;
        for (table, n_records) in tables.iter().filter(|_| !known) {
            self.count_read(&source.into(), &(*table).into(), time, *n_records, end);
        }
    }

    /// Saves now and then, and removes what is too old.
    pub(super) fn upkeep(&self) {
        let hour = hour_of(Timestamp::now());
        let (save, sweep) = {
            let mut book = lock(&self.book);
            (book.saved.elapsed() >= SAVE_EVERY, std::mem::replace(&mut book.swept, hour) != hour)
        };
        if save {
            self.flush();
        }
        if sweep {
            let keep = i64::try_from(self.keep.as_secs() / 3600).unwrap_or(i64::MAX);
            for (old, path) in list(&self.directory).unwrap_or_default() {
                if old < hour.saturating_sub(keep)
                    && let Err(error) = fs::remove_file(&path)
                {
                    warn!(path = %path.display(), %error, "an old account could not be removed");
                }
            }
        }
    }

    /// Saves every hour that has changed. What cannot be saved is kept and tried again.
    pub fn flush(&self) {
        let _saving = lock(&self.saving);
        let changed: Vec<(i64, Vec<u8>)> = {
            let mut book = lock(&self.book);
            book.saved = Instant::now();
            let changed = book.hours.iter_mut().filter(|(_, sheet)| sheet.changed);
            let encoded = changed.map(|(hour, sheet)| {
                sheet.changed = false;
                (*hour, sheet.encode())
            });
            encoded.collect()
        };
        for (hour, content) in changed {
            let path = self.directory.join(file_name(hour));
            let saved = fs::create_dir_all(&self.directory).and_then(|()| disk::replace(&path, &content));
            if let Err(error) = saved {
                warn!(path = %path.display(), %error, "the account could not be saved; it is tried again");
                lock(&self.book).sheet(&self.directory, hour).changed = true;
            }
        }
        lock(&self.book).forget_old();
    }
}

impl Book {
    fn sheet(&mut self, directory: &Path, hour: i64) -> &mut Sheet {
        self.hours.entry(hour).or_insert_with(|| {
            let text = fs::read_to_string(directory.join(file_name(hour))).unwrap_or_default();
            Sheet::decode(&text)
        })
    }

    /// Keeps the newest hours and the unsaved ones in memory.
    fn forget_old(&mut self) {
        let surplus = self.hours.len().saturating_sub(HOURS_IN_MEMORY);
        let old: Vec<i64> = self.hours.keys().copied().take(surplus).collect();
        for hour in old {
            if self.hours.get(&hour).is_some_and(|sheet| !sheet.changed) {
                self.hours.remove(&hour);
            }
        }
    }
}

impl Sheet {
    fn add(&mut self, key: Key, n_records: u64) {
        if n_records > 0 {
            *self.rows.entry(key).or_default() += n_records;
            self.changed = true;
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = json!({ "through": self.through }).to_string();
        out.push('\n');
        for (key, n_records) in &self.rows {
            let (outcome, rule) = words(key.outcome.as_ref());
            let row = json!([&*key.source, &*key.table, &*key.destination, outcome, rule, n_records]);
            out.push_str(&row.to_string());
            out.push('\n');
        }
        out.into_bytes()
    }

    /// Reads a file; lines that are none are passed over.
    fn decode(text: &str) -> Self {
        let mut sheet = Self::default();
        let mut names = Names::default();
        for line in text.lines() {
            if let Ok((source, table, destination, outcome, rule, n_records)) =
                serde_json::from_str::<(String, String, String, String, String, u64)>(line)
            {
                let outcome = match outcome.as_str() {
                    "delivered" => Some(Outcome::Delivered),
                    "filtered" => Some(Outcome::Filtered(names.share(&rule))),
                    "unparsed" => Some(Outcome::Unparsed),
                    "dropped" => Some(Outcome::Dropped),
                    _ => None,
                };
                let [source, table, destination] =
                    [source, table, destination].map(|text| names.share(&text));
                *sheet.rows.entry(Key { source, table, destination, outcome }).or_default() += n_records;
            } else if let Ok(head) = serde_json::from_str::<serde_json::Value>(line) {
                sheet.through = head["through"].as_u64().unwrap_or(sheet.through);
            }
        }
        sheet
    }
}

/// Writes the account of a spool's folder as CSV (RFC 4180): the hours from one time to before another.
///
/// # Errors
/// The folder cannot be read, or the output cannot be written.
pub fn export(
    spool: &Path,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    out: &mut impl Write,
) -> io::Result<u64> {
    let mut n_rows = 0;
    write!(out, "hour,source,table,destination,outcome,rule,records\r\n")?;
    for (hour, path) in list(&spool.join(FOLDER))? {
        if from.is_some_and(|from| hour < hour_of(from)) || until.is_some_and(|until| hour * HOUR >= until.0)
        {
            continue;
        }
        for (key, n_records) in Sheet::decode(&fs::read_to_string(path)?).rows {
            let (outcome, rule) = words(key.outcome.as_ref());
            write!(out, "{}", hour_text(hour))?;
            for text in [&*key.source, &*key.table, &*key.destination, outcome, rule] {
                write!(out, ",{}", quoted(text))?;
            }
            write!(out, ",{n_records}\r\n")?;
            n_rows += 1;
        }
    }
    Ok(n_rows)
}

fn words(outcome: Option<&Outcome>) -> (&'static str, &str) {
    match outcome {
        None => ("read", ""),
        Some(Outcome::Delivered) => ("delivered", ""),
        Some(Outcome::Filtered(rule)) => ("filtered", rule),
        Some(Outcome::Unparsed) => ("unparsed", ""),
        Some(Outcome::Dropped) => ("dropped", ""),
    }
}

/// A text as a CSV field. Table names come from outside: none may start a formula in a spreadsheet.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// The files of the account, in order of time.
fn list(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let time = format!("{stem}:00:00Z").parse::<jiff::Timestamp>();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Ok(time) = time
        {
            files.push((hour_of(Timestamp(time.as_millisecond())), path));
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(hour: i64) -> String {
    let text = hour_text(hour);
    format!("{}.{EXTENSION}", text.get(..13).unwrap_or(&text))
}

fn hour_text(hour: i64) -> String {
    jiff::Timestamp::from_millisecond(hour.saturating_mul(HOUR)).unwrap_or_default().to_string()
}

fn hour_of(time: Timestamp) -> i64 {
    time.0.div_euclid(HOUR)
}

const FOLDER: &str = "account";
const EXTENSION: &str = "jsonl";
const HOUR: i64 = 3_600_000;
const SAVE_EVERY: Duration = Duration::from_secs(10);
const HOURS_IN_MEMORY: usize = 48;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(table: &Table, source: &Name, received: i64) -> Record {
        Record {
            sequence: 1,
            received: Timestamp(received),
            source: source.clone(),
            tenant: "".into(),
            table: table.clone(),
            body: Bytes::new(),
        }
    }

    fn exported(folder: &Path, from: Option<i64>, until: Option<i64>) -> Vec<String> {
        let mut out = Vec::new();
        export(folder, from.map(Timestamp), until.map(Timestamp), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn counts_add_up_over_restarts_and_come_out_as_csv() {
        let folder = tempfile::tempdir().unwrap();
        let (source, table): (Name, Name) = ("file".into(), "A,\"b\"".into());
        for _ in 0..2 {
            let account = Account::open(folder.path(), Duration::MAX);
            account.count_read(&source, &table, Timestamp(HOUR), 3, 4);
            let mut tally = Tally::default();
            tally.count(&record(&Table(table.clone()), &source, HOUR + 5), &Outcome::Delivered);
            tally.count(&record(&Table(table.clone()), &source, HOUR + 6), &Outcome::Delivered);
            tally
                .count(&record(&Table(table.clone()), &source, 2 * HOUR), &Outcome::Filtered("noise".into()));
            account.add(&"siem".into(), &tally);
            account.flush();
        }
        let first = [
            "1970-01-01T01:00:00Z,file,\"A,\"\"b\"\"\",,read,,6",
            "1970-01-01T01:00:00Z,file,\"A,\"\"b\"\"\",siem,delivered,,4",
        ];
        let second = "1970-01-01T02:00:00Z,file,\"A,\"\"b\"\"\",siem,filtered,noise,2";
        assert_eq!(exported(folder.path(), None, None), [first[0], first[1], second]);
        assert_eq!(exported(folder.path(), Some(2 * HOUR), None), [second]);
        assert_eq!(exported(folder.path(), None, Some(2 * HOUR)), first);
    }

    #[test]
    fn frames_counted_before_a_kill_are_not_counted_again() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::open(folder.path(), Duration::MAX);
        account.count_read(&"s".into(), &"t".into(), Timestamp(5), 10, 11);
        account.flush();
        account.count_read(&"s".into(), &"t".into(), Timestamp(6), 5, 16);

        let account = Account::open(folder.path(), Duration::MAX);
        account.count_recovered("s", &[("t", 10)], Timestamp(5), 11);
        account.count_recovered("s", &[("t", 5)], Timestamp(6), 16);
        account.flush();
        assert_eq!(exported(folder.path(), None, None), ["1970-01-01T00:00:00Z,s,t,,read,,15"]);
    }

    #[test]
    fn no_name_becomes_a_formula() {
        assert_eq!(quoted("=cmd"), "\"'=cmd\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
