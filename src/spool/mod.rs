//! The durable queue between sources and destinations: an append-only log in segment files.
//!
//! ```text
//! Intake::append ─▶ queue (bounded in bytes) ─▶ writer thread: frames, one fdatasync a group ─▶ answers
//!                                                     │ segments ≤ max_bytes, removed whole when delivered
//! Reader::next  ◀─ chunks of durable records ◀────────┘ one cursor file per destination
//! ```
//!
//! A batch and the position to resume from share a frame, so they are durable together ([`frame`]). A segment starts
//! with all positions ([`segment`]), so opening reads the newest one only ([`recover`]). One thread writes
//! ([`writer`]), every destination reads for itself ([`reader`]) and owns a [`cursor`]. The [`account`] counts what
//! came in and what became of it.
//!
//! Sequence numbers start at 1, are contiguous, and are never used twice. Delivery is at least once: nothing here
//! knows what a destination is. The spool never looks into a record.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tracing::warn;

pub mod account;
mod config;
mod cursor;
mod disk;
mod frame;
mod intake;
mod log;
mod read_only;
mod reader;
mod recover;
mod retention;
mod scanner;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use account::{Account, Outcome, Tally};
pub use config::{Config, WhenFull};
pub use cursor::Cursor;
pub use intake::Intake;
pub use log::Condition;
pub use read_only::{ReadOnly, ReplayReader};
pub use reader::{Chunk, Reader, Seek};

use crate::record::Name;
use crate::telemetry::{
    BYTES_SPOOLED, RECORDS_CORRUPT, RECORDS_DROPPED, RECORDS_SPOOLED, SEGMENTS_CORRUPT, SPOOL_BYTES,
    SPOOL_CURSOR, SPOOL_LAG, SPOOL_MAX_BYTES, SPOOL_NEXT, SPOOL_OLDEST, SPOOL_SEGMENTS, SPOOL_SYNCS,
    SPOOL_WAITING, SPOOL_WRITE_ERRORS,
};
use disk::Disk;
use log::Log;
use recover::Recovered;
use writer::Queue;

/// The spool of one process. Clones share it; the last one dropped stops the writer.
#[derive(Clone, Debug)]
pub struct Spool {
    owner: Arc<Owner>,
}

impl Spool {
    /// Takes the lock, repairs what a crash left, and starts the writer.
    ///
    /// `destinations` are the ones whose cursors hold records back; a new one starts at the oldest record there is.
    ///
    /// # Errors
    /// Another process holds the lock, a segment was written by a newer version, or the disk fails.
    pub fn open(config: &Config, destinations: &[String]) -> Result<Self, SpoolError> {
        Self::open_on(config, destinations, Disk::default())
    }

    /// Opens the spool beside the process that owns it: nothing is changed.
    ///
    /// # Errors
    /// There is no spool, a segment was written by a newer version, or the disk fails.
    pub fn open_for_reading(config: &Config) -> Result<ReadOnly, SpoolError> {
        ReadOnly::open(config)
    }

    fn open_on(config: &Config, destinations: &[String], disk: Disk) -> Result<Self, SpoolError> {
        let directory = &config.directory;
        std::fs::create_dir_all(directory)
            .map_err(|source| SpoolError::Directory { path: directory.clone(), source })?;
        let lock = take_lock(directory)?;
        let account = Account::open(directory, config.keep_account);
        let Recovered { log, file, is_new } = recover::recover(config, destinations, &account, &disk)?;
        let (durable, _) = watch::channel(log.next());
        let shared = Arc::new(Shared {
            config: config.clone(),
            disk,
            account,
            log: Mutex::new(log),
            durable,
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            room: Arc::new(Semaphore::new(writer::QUEUE_BYTES)),
            buffers: Mutex::new(Vec::new()),
        });
        let thread = writer::start(shared.clone(), file, is_new, lock)
            .map_err(|source| SpoolError::Directory { path: directory.clone(), source })?;
        Ok(Self { owner: Arc::new(Owner { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// The way in for one configured source.
    #[must_use]
    pub fn intake(&self, source: Name, tenant: Name) -> Intake {
        Intake::new(self.owner.clone(), source, tenant)
    }

    /// The way out for one configured destination, from its cursor on.
    ///
    /// # Errors
    /// The destination was not named when the spool was opened, or has a reader already.
    pub fn reader(&self, destination: &str) -> Result<Reader, SpoolError> {
        Reader::new(self.owner.clone(), destination)
    }

    /// The counts of what came in and what became of it.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.owner.shared.account
    }

    /// How things stand now.
    #[must_use]
    pub fn status(&self) -> Status {
        let log = self.owner.shared.log();
        Status {
            oldest_sequence: log.oldest(),
            next_sequence: log.next(),
            bytes: log.bytes(),
            max_bytes: self.owner.shared.config.max_bytes,
            segments: log.extents.len(),
            condition: log.condition.clone(),
            destinations: log
                .destinations
                .iter()
                .map(|destination| DestinationStatus {
                    name: destination.name.to_string(),
                    cursor: Cursor(destination.cursor),
                    in_flight: destination.reading.saturating_sub(destination.cursor),
                    lag: log.next().saturating_sub(destination.cursor),
                    dropped: destination.n_dropped,
                    damaged: destination.n_damaged,
                })
                .collect(),
        }
    }

    /// Finishes the appends in hand and releases the lock. Later appends are refused.
    pub async fn close(self) {
        let owner = self.owner;
        // Stopping waits for a thread; an error would mean that thread was cancelled, which leaves nothing to do.
        let _ = tokio::task::spawn_blocking(move || owner.stop()).await;
    }
}

/// How a spool stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The oldest record still on disk.
    pub oldest_sequence: u64,
    /// The number the next record gets.
    pub next_sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// Segment files.
    pub segments: usize,
    /// Whether records are taken in.
    pub condition: Condition,
    /// Every destination's place.
    pub destinations: Vec<DestinationStatus>,
}

/// How far a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Its configured name.
    pub name: String,
    /// The next record to deliver.
    pub cursor: Cursor,
    /// Records read and not committed yet.
    pub in_flight: u64,
    /// Records not delivered yet.
    pub lag: u64,
    /// Records removed from the spool before they were delivered, since the start.
    pub dropped: u64,
    /// Records lost to damage on disk, since the start.
    pub damaged: u64,
}

/// Why the spool could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be used.
    #[error("open spool directory `{}`", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("spool `{}` is in use by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("`{}` has format {found}; this version reads up to {known}: use the newer version", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A file cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be written; full disks do not count, they are waited for.
    #[error("write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A batch has a record or a name that no frame can hold; nothing of it was stored.
    #[error("a record is larger than the {} MiB a spool frame can hold", frame::MAX_PAYLOAD >> 20)]
    TooLarge,
    /// The reader's destination was not named at opening.
    #[error("destination `{name}` is not known to the spool")]
    UnknownDestination {
        /// The name asked for.
        name: String,
    },
    /// A destination has one reader at a time.
    #[error("destination `{name}` has a reader already")]
    ReaderTaken {
        /// The destination.
        name: String,
    },
    /// The spool was closed.
    #[error("the spool is closed")]
    Closed,
}

/// What sources, readers and the writer thread share.
#[derive(Debug)]
struct Shared {
    config: Config,
    disk: Disk,
    account: Account,
    log: Mutex<Log>,
    /// The sequence number after the last durable record.
    durable: watch::Sender<u64>,
    queue: Mutex<Queue>,
    wake: Condvar,
    room: Arc<Semaphore>,
    /// Buffers of finished appends, to be used again.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Tells the writer that something it may be waiting for has changed.
    fn wake_writer(&self) {
        lock(&self.queue).woken = true;
        self.wake.notify_one();
    }
}

/// Stops the writer when the last handle is gone.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Owner {
    fn stop(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.wake.notify_one();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!("the spool's writer ended by a panic");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn take_lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join("lock");
    let failed = |source| SpoolError::Directory { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SpoolError::Locked { path: directory.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A panic elsewhere leaves the data whole: every change under these locks is complete when it is visible.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
