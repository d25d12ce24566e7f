//! What this program has changed itself, so that it knows the change again when a source reads it.
//!
//! A file beside the spool, a line for the begin and the end of each change, and one for the state it led to: the
//! record's table, the tenant, the object, its time of change, and the time of the state before, from which it differs in
//! nothing but the own change. Table, tenant, object and time name one state of one object, so nobody else's change is
//! ever taken for an own one. A source that sees an object between begin and end waits: the answer that tells the time may
//! still be on its way. Commands write to the file while the gateway reads. It is a memory and no account: a line that is
//! lost makes an own change look like another's.
//!
//! ```text
//! b TAB table TAB tenant TAB now            TAB 0              TAB id
//! s TAB table TAB tenant TAB time of change TAB time before it TAB id
//! e TAB table TAB tenant TAB now            TAB 0              TAB id
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Where own changes are written down.
#[derive(Clone, Debug)]
pub struct OwnUpdates(PathBuf);

impl OwnUpdates {
    /// In the folder of the spool.
    #[must_use]
    pub fn beside(spool: &Path) -> Self {
        Self(spool.join(FILE))
    }

    /// Writes down that an object is about to be changed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, table: &str, tenant: &str, id: &str) -> io::Result<()> {
        self.forget_old()?;
        self.write(BEGIN, table, tenant, Timestamp::now().as_nanosecond(), 0, id)
    }

    /// Writes down that it was changed, and in nothing else, from its state of one time to that of another, in the service's
    /// words.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(
        &self,
        table: &str,
        tenant: &str,
        id: &str,
        before: &str,
        updated: &str,
    ) -> io::Result<()> {
        match (nanoseconds(before), nanoseconds(updated)) {
            (Some(before), Some(at)) => self.write(STATE, table, tenant, at, before, id),
            _ => Ok(()),
        }
    }

    /// Writes down that nothing more is to come, whether it was changed or not.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&self, table: &str, tenant: &str, id: &str) -> io::Result<()> {
        self.write(END, table, tenant, Timestamp::now().as_nanosecond(), 0, id)
    }

    fn write(
        &self,
        word: &str,
        table: &str,
        tenant: &str,
        at: i128,
        before: i128,
        id: &str,
    ) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.0)?;
        file.write_all(format!("{word}\t{table}\t{tenant}\t{at}\t{before}\t{id}\n").as_bytes())
    }

    /// Leaves the newer half of a file that has grown long.
    fn forget_old(&self) -> io::Result<()> {
        if fs::metadata(&self.0).map_or(0, |file| file.len()) < MOST_BYTES {
            return Ok(());
        }
        let text = fs::read_to_string(&self.0)?;
        let half =
            text[text.ceil_char_boundary(text.len() / 2)..].split_once('\n').map_or("", |(_, rest)| rest);
        // In its place, so that it stays the file of whoever made it.
        fs::write(&self.0, half)
    }
}

/// What a reader knows of the file.
#[derive(Debug)]
pub struct OwnMemory {
    path: PathBuf,
    read: u64,
    /// Own states, with the time of the state before.
    states: HashMap<(Key, i128), i128>,
    /// What was begun and has not ended, with the time of its begin.
    begun: HashMap<Key, i128>,
}

/// Table, tenant and id.
type Key = (String, String, String);

impl OwnMemory {
    /// Nothing read yet. Makes the file, so that it belongs to the reader and not to the first command that writes.
    #[must_use]
    pub fn of(own: &OwnUpdates) -> Self {
        // Where that fails, writing will, and says so.
        let _ = File::options().create(true).append(true).open(&own.0);
        Self { path: own.0.clone(), read: 0, states: HashMap::new(), begun: HashMap::new() }
    }

    /// Whether this state of an object is an own change; the time in nanoseconds since 1970. Waits a little while the
    /// object is being changed.
    pub async fn knows(&mut self, table: &str, tenant: &str, id: &str, updated: i128) -> bool {
        let state = ((table.to_owned(), tenant.to_owned(), id.to_owned()), updated);
        loop {
            // A file that cannot be read tells nothing of its own.
            let known = |memory: &Self| memory.states.contains_key(&state);
            if known(self) || (self.read_on().is_ok() && known(self)) {
                return true;
            }
            let since = self.begun.get(&state.0).map(|at| Timestamp::now().as_nanosecond() - at);
            if since.is_none_or(|since| since.unsigned_abs() > LONGEST_CHANGE.as_nanos()) {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The times of the states from which an own state came by nothing but own changes, the latest first.
    pub fn origins(&self, table: &str, tenant: &str, id: &str, updated: i128) -> impl Iterator<Item = i128> {
        let key = (table.to_owned(), tenant.to_owned(), id.to_owned());
        let before = move |at: &i128| self.states.get(&(key.clone(), *at)).copied();
        std::iter::successors(before(&updated), before)
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        if length < self.read {
            *self = Self {
                path: std::mem::take(&mut self.path),
                read: 0,
                states: HashMap::new(),
                begun: HashMap::new(),
            };
        }
        if length == self.read {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.take(length - self.read).read_to_string(&mut text)?;
        // The last line may be half written.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().for_each(|line| self.take(line));
        self.read += whole as u64;
        Ok(())
    }

    fn take(&mut self, line: &str) {
        let mut words = line.splitn(6, '\t');
        let mut word = || words.next().map(str::to_owned);
        let (Some(kind), Some(table), Some(tenant), Some(at), Some(before), Some(id)) =
            (word(), word(), word(), word(), word(), word())
        else {
            return;
        };
        let (key, Ok(at), Ok(before)) = ((table, tenant, id), at.parse(), before.parse()) else { return };
        match kind.as_str() {
            BEGIN => drop(self.begun.insert(key, at)),
            // Times go forward: from a state that says otherwise nobody could find back.
            STATE if before < at => drop(self.states.insert((key, at), before)),
            END => drop(self.begun.remove(&key)),
            _ => {}
        }
    }
}

/// A time as services write it; without a zone it is UTC.
fn nanoseconds(text: &str) -> Option<i128> {
    let zoned = text.parse::<Timestamp>().ok();
    let time = zoned.or_else(|| TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok())?;
    Some(time.as_nanosecond())
}

const FILE: &str = "own_updates";
const BEGIN: &str = "b";
const STATE: &str = "s";
const END: &str = "e";
/// About 4000 changes.
const MOST_BYTES: u64 = 1 << 20;
/// What has not ended by then never will: its process was stopped, or the service takes its time.
const LONGEST_CHANGE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "graph.alert";
    const BEFORE: &str = "2026-01-01T00:00:00Z";

    #[tokio::test]
    async fn a_change_is_known_again_by_its_time_and_no_other_is() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnUpdates::beside(folder.path());
        let mut memory = OwnMemory::of(&own);
        let at = nanoseconds("2026-03-04T09:12:41.0259186Z").unwrap();
        assert!(!memory.knows(TABLE, "corp", "a", at).await);
        own.remember(TABLE, "corp", "a", BEFORE, "2026-03-04T09:12:41.0259186Z").unwrap();
        own.remember(TABLE, "corp", "b", BEFORE, "yesterday").unwrap();
        own.remember(TABLE, "corp", "c", "2026-03-04T09:12:41.0259186Z", "2026-03-04T09:12:41.0259186Z")
            .unwrap();
        assert!(memory.knows(TABLE, "corp", "a", at).await);
        for (table, tenant, id, at) in [
            ("mde.alert", "corp", "a", at),
            (TABLE, "lab", "a", at),
            (TABLE, "corp", "b", at),
            (TABLE, "corp", "c", at),
            (TABLE, "corp", "a", at + 100),
        ] {
            assert!(!memory.knows(table, tenant, id, at).await, "{table} {tenant} {id} {at}");
        }
    }

    #[tokio::test]
    async fn own_changes_one_after_the_other_lead_back_to_a_state_that_is_not_own() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnUpdates::beside(folder.path());
        let time = |n: i64| Timestamp::from_second(1_770_000_000 + n).unwrap();
        for n in [1, 2, 3, 7] {
            own.remember(TABLE, "corp", "a", &time(n - 1).to_string(), &time(n).to_string()).unwrap();
        }
        let mut memory = OwnMemory::of(&own);
        assert!(memory.knows(TABLE, "corp", "a", time(3).as_nanosecond()).await);
        let origins = |n| memory.origins(TABLE, "corp", "a", time(n).as_nanosecond()).collect::<Vec<_>>();
        assert_eq!(origins(3), [2, 1, 0].map(|n| time(n).as_nanosecond()));
        assert_eq!(origins(7), [time(6).as_nanosecond()]);
        assert!(origins(6).is_empty());
    }

    #[tokio::test]
    async fn what_is_seen_before_its_answer_is_known_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnUpdates::beside(folder.path());
        let mut memory = OwnMemory::of(&own);
        let at = nanoseconds("2026-03-04T09:12:41Z").unwrap();
        own.begin(TABLE, "corp", "a").unwrap();
        own.begin(TABLE, "corp", "b").unwrap();
        // Another object is held up by neither.
        assert!(!memory.knows(TABLE, "corp", "c", at).await);
        let answer = async {
            tokio::task::yield_now().await;
            own.remember(TABLE, "corp", "a", BEFORE, "2026-03-04T09:12:41Z").unwrap();
            own.end(TABLE, "corp", "b").unwrap();
        };
        let (is_own, ()) = tokio::join!(memory.knows(TABLE, "corp", "a", at), answer);
        assert!(is_own);
        assert!(!memory.knows(TABLE, "corp", "b", at).await, "it has ended without a change");
        // A begin whose process has died holds up nobody for long.
        let long_ago = Timestamp::now().as_nanosecond() - 2 * 10_000_000_000;
        own.write(BEGIN, TABLE, "corp", long_ago, 0, "d").unwrap();
        assert!(!memory.knows(TABLE, "corp", "d", at).await);
    }

    #[tokio::test]
    async fn the_file_stays_short_and_keeps_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnUpdates::beside(folder.path());
        let id = "x".repeat(2000);
        let time = |n: i64| Timestamp::from_second(1_770_000_000 + n).unwrap();
        let mut memory = OwnMemory::of(&own);
        for n in 0..800 {
            own.begin(TABLE, "corp", &id).unwrap();
            own.remember(TABLE, "corp", &id, BEFORE, &time(n).to_string()).unwrap();
            own.end(TABLE, "corp", &id).unwrap();
        }
        assert!(fs::metadata(folder.path().join(FILE)).unwrap().len() <= MOST_BYTES + 10_000);
        assert!(memory.knows(TABLE, "corp", &id, time(799).as_nanosecond()).await);
        assert!(!memory.knows(TABLE, "corp", &id, time(0).as_nanosecond()).await);
    }
}
