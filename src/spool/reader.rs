//! The way out: a destination's handle for reading durable records in order and moving its cursor.
//!
//! While a chunk is being worked on, the next one is read already.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::log::{Condition, Destination, Log};
use super::scanner::{Piece, Scanner, find_time};
use super::segment::Extent;
use super::{Cursor, Owner, SpoolError, disk, lock};
use crate::record::{Record, Timestamp};

/// Some records in order.
#[derive(Debug)]
pub struct Chunk {
    /// At least one, about a mebibyte together. Drop them before asking for the next but one: the buffer is reused.
    pub records: Vec<Record>,
    /// The cursor after the last of them.
    pub end: Cursor,
}

/// Where to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// At this record.
    Sequence(u64),
    /// At the first record stored at or after this time.
    Time(Timestamp),
}

/// One destination's way out of the spool.
#[derive(Debug)]
pub struct Reader {
    owner: Arc<Owner>,
    /// Which destination of the log this is.
    index: usize,
    durable: watch::Receiver<u64>,
    scanner: Scanner,
    ahead: Option<Ahead>,
}

/// A read that is under way.
#[derive(Debug)]
struct Ahead {
    extent: Extent,
    /// Where the destination was when the read began.
    reading: u64,
    task: JoinHandle<(Scanner, Result<Piece, SpoolError>)>,
}

impl Reader {
    pub(super) fn new(owner: Arc<Owner>, name: &str) -> Result<Self, SpoolError> {
        let mut log = owner.shared.log();
        let index = log.destinations.iter().position(|destination| &*destination.name == name);
        let index = index.ok_or_else(|| SpoolError::UnknownDestination { name: name.to_owned() })?;
        let oldest = log.oldest();
        let destination = &mut log.destinations[index];
        if std::mem::replace(&mut destination.taken, true) {
            return Err(SpoolError::ReaderTaken { name: name.to_owned() });
        }
        destination.rewind(oldest);
        drop(log);
        let durable = owner.shared.durable.subscribe();
        Ok(Self { owner, index, durable, scanner: Scanner::default(), ahead: None })
    }

    /// The next records; waits until there are some. Cancel-safe.
    ///
    /// # Errors
    /// The disk cannot be read, or the spool was closed and everything is read.
    pub async fn next(&mut self) -> Result<Chunk, SpoolError> {
        loop {
            self.durable.borrow_and_update();
            if self.ahead.is_none() && !self.read_ahead() {
                if matches!(self.owner.shared.log().condition, Condition::Closed | Condition::Failed(_)) {
                    return Err(SpoolError::Closed);
                }
                self.durable.changed().await.map_err(|_| SpoolError::Closed)?;
                continue;
            }
            let Some(ahead) = &mut self.ahead else { continue };
            let (scanner, piece) = (&mut ahead.task).await.map_err(|source| SpoolError::Read {
                path: ahead.extent.path.to_path_buf(),
                source: std::io::Error::other(source),
            })?;
            self.scanner = scanner;
            let Some(Ahead { extent, reading, .. }) = self.ahead.take() else { continue };
            if let Some(chunk) = self.take(&extent, reading, piece?) {
                self.read_ahead();
                return Ok(chunk);
            }
        }
    }

    /// Everything before `end` is delivered. The cursor is durable on return; it never goes back.
    ///
    /// # Errors
    /// The cursor cannot be written. A full disk is no error: the cursor moves and is written with the next commit.
    pub async fn commit(&mut self, end: Cursor) -> Result<(), SpoolError> {
        let target = {
            let log = self.owner.shared.log();
            let target = end.0.min(log.next());
            if target <= log.destinations[self.index].cursor {
                return Ok(());
            }
            target
        };
        self.persist(target).await?;
        let mut log = self.owner.shared.log();
        let destination = &mut log.destinations[self.index];
        destination.move_to(target.max(destination.cursor));
        drop(log);
        self.owner.shared.wake_writer();
        Ok(())
    }

    /// Goes back to the last commit.
    pub fn rewind(&mut self) {
        self.ahead = None;
        let mut log = self.owner.shared.log();
        let oldest = log.oldest();
        let destination = &mut log.destinations[self.index];
        let lost = destination.rewind(oldest);
        let name = destination.name.clone();
        drop(log);
        if lost > 0 {
            counter!(super::RECORDS_DROPPED, "destination" => name.to_string(), "reason" => "full")
                .increment(lost);
            error!(destination = %name, n_records = lost, "unconfirmed records are no longer in the spool");
        }
    }

    /// Moves the cursor on purpose, back or forward, to the nearest record there is.
    ///
    /// # Errors
    /// The disk cannot be read, or the cursor cannot be written.
    pub async fn seek(&mut self, to: Seek) -> Result<Cursor, SpoolError> {
        self.ahead = None;
        let (extents, oldest, next) = {
            let log = self.owner.shared.log();
            (log.extents.iter().cloned().collect::<Vec<_>>(), log.oldest(), log.next())
        };
        let target = match to {
            Seek::Sequence(sequence) => sequence,
            Seek::Time(time) => locate_time(extents, time).await?.unwrap_or(next),
        };
        let target = target.clamp(oldest, next);
        self.persist(target).await?;
        let mut log = self.owner.shared.log();
        let destination = &mut log.destinations[self.index];
        destination.dropped.clear();
        (destination.cursor, destination.reading) = (target, target);
        drop(log);
        self.owner.shared.wake_writer();
        Ok(Cursor(target))
    }

    /// The cursor after the last durable record.
    #[must_use]
    pub fn end(&self) -> Cursor {
        Cursor(self.owner.shared.log().next())
    }

    /// The last commit.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor(self.owner.shared.log().destinations[self.index].cursor)
    }

    /// Begins the next read; false when there is nothing to read.
    fn read_ahead(&mut self) -> bool {
        let (extent, reading) = {
            let log = self.owner.shared.log();
            let reading = log.destinations[self.index].reading;
            let Some(extent) = log.extent_for(reading) else { return false };
            (extent.clone(), reading)
        };
        let mut scanner = std::mem::take(&mut self.scanner);
        let (of, from) = (extent.clone(), reading.max(extent.first));
        let task = tokio::task::spawn_blocking(move || {
            let piece = scanner.read(&of, from);
            (scanner, piece)
        });
        self.ahead = Some(Ahead { extent, reading, task });
        true
    }

    /// Notes what was read; the chunk, if it is one that still counts.
    fn take(&mut self, extent: &Extent, reading: u64, piece: Piece) -> Option<Chunk> {
        let mut log = self.owner.shared.log();
        if log.destinations[self.index].reading != reading {
            // The records were removed while they were read, and are counted as dropped.
            return None;
        }
        match piece {
            Piece::Chunk(chunk) => {
                log.destinations[self.index].reading = chunk.end.0;
                Some(chunk)
            }
            Piece::End => {
                let destination = &mut log.destinations[self.index];
                destination.reading = destination.reading.max(extent.end);
                None
            }
            Piece::Damage { from, to } => {
                note_damage(&mut log, self.index, extent, from, to);
                None
            }
            Piece::Gone => {
                // Removed or renamed since: the log knows better. Otherwise someone else took the file away.
                let current = log.extent_for(reading);
                if current.is_some_and(|current| current.path == extent.path) {
                    note_damage(&mut log, self.index, extent, reading.max(extent.first), extent.end);
                }
                None
            }
        }
    }

    async fn persist(&self, cursor: u64) -> Result<(), SpoolError> {
        let shared = &self.owner.shared;
        let file = shared.log().destinations[self.index].file.clone();
        let written = tokio::task::spawn_blocking(move || lock(&file).write(Cursor(cursor))).await;
        match written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(()) => Ok(()),
            Err(error) if disk::is_full(&error) => {
                warn!(%error, "a cursor could not be written; the next commit does it");
                Ok(())
            }
            Err(source) => {
                let path = shared.config.directory.clone();
                Err(SpoolError::Write { path, source: Arc::new(source) })
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut log = self.owner.shared.log();
        let destination: &mut Destination = &mut log.destinations[self.index];
        destination.taken = false;
    }
}

/// Counts what a destination loses to damage, and sets the segment aside.
fn note_damage(log: &mut Log, index: usize, extent: &Extent, from: u64, to: u64) {
    let destination = &mut log.destinations[index];
    destination.reading = destination.reading.max(to);
    let name = destination.name.clone();
    let n_records = to - from;
    destination.n_damaged += n_records;
    counter!(super::RECORDS_CORRUPT, "destination" => name.to_string()).increment(n_records);
    error!(destination = %name, path = %extent.path.display(), from, n_records, "records on disk are damaged");
    if log.extents.iter().any(|known| known.first == extent.first && !known.damaged) {
        counter!(super::SEGMENTS_CORRUPT).increment(1);
    }
    let Some((path, aside)) = log.mark_damaged(extent.first) else { return };
    if let Err(error) = std::fs::rename(&path, &aside) {
        warn!(path = %path.display(), %error, "a damaged segment could not be set aside");
        log.restore_path(extent.first, path);
    }
}

/// The first record stored at or after a time.
pub(super) async fn locate_time(extents: Vec<Extent>, time: Timestamp) -> Result<Option<u64>, SpoolError> {
    let find = move || {
        let from = extents.partition_point(|extent| extent.opened <= time).saturating_sub(1);
        for extent in &extents[from.min(extents.len())..] {
            if let Some(sequence) = find_time(extent, time)? {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    };
    tokio::task::spawn_blocking(find).await.unwrap_or(Err(SpoolError::Closed))
}
