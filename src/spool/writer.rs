//! The one thread that writes segments: group commit, rotation, and what to do when the disk refuses.
//!
//! Every append that waits goes into one group; a group is written, synced once and then answered. A full disk is
//! waited for. A failed write or sync gives up the segment, because what it holds is no longer known, and writes the
//! group again in a new one.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info, warn};

use super::log::Condition;
use super::{Shared, SpoolError, disk, frame, lock, segment};
use crate::record::{Name, Partition, Position, Table, Timestamp};

/// Starts the thread. It holds the lock file until it ends. A segment that is not new is left before anything is
/// written.
pub(super) fn start(shared: Arc<Shared>, file: File, is_new: bool, lock: File) -> io::Result<JoinHandle<()>> {
    let writer = Writer {
        shared,
        file,
        waiting: VecDeque::new(),
        rotate: !is_new,
        failures: 0,
        pause: Duration::ZERO,
        disk_pause: Duration::ZERO,
        swept: None,
    };
    std::thread::Builder::new().name("spool-writer".into()).spawn(move || {
        writer.run();
        drop(lock);
    })
}

/// Appends on their way to the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) appends: VecDeque<Append>,
    /// No further append is taken.
    pub(super) closing: bool,
    /// Something the writer may wait for has changed.
    pub(super) woken: bool,
    failed: Option<SpoolError>,
}

impl Queue {
    /// Why no append is taken.
    pub(super) fn error(&self) -> SpoolError {
        self.failed.as_ref().map_or(SpoolError::Closed, copy)
    }
}

/// An encoded batch and who waits for it.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) buffer: Vec<u8>,
    pub(super) source: Name,
    pub(super) tally: ReadTally,
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<(), SpoolError>>,
    /// Held so that the queue stays bounded in bytes.
    #[expect(dead_code, reason = "kept for its drop")]
    pub(super) room: OwnedSemaphorePermit,
}

/// What an append does to the positions.
#[derive(Debug)]
pub(super) enum Change {
    Resume(Partition, Position),
    Extend(Partition, Position),
    Forget(Partition),
}

/// Records and body bytes of each table in an append.
pub(super) type ReadTally = Vec<(Table, u64, u64)>;

/// Counts the records of each table.
pub(super) fn tally(records: &[(Table, Bytes)]) -> ReadTally {
    let mut tally = ReadTally::new();
    for (table, body) in records {
        let known =
            tally.iter_mut().find(|(known, _, _)| known.0.as_ptr() == table.0.as_ptr() || known == table);
        match known {
            Some((_, n_records, bytes)) => {
                *n_records += 1;
                *bytes += body.len() as u64;
            }
            None => tally.push((table.clone(), 1, body.len() as u64)),
        }
    }
    tally
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    file: File,
    waiting: VecDeque<Append>,
    /// The segment must be left before anything more is written.
    rotate: bool,
    failures: u32,
    /// How long to wait before trying again what could not be done.
    pause: Duration,
    disk_pause: Duration,
    /// When leftovers past `max_age` were last removed.
    pub(super) swept: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        let ended = loop {
            let closing = self.collect();
            self.expire();
            match self.write_waiting() {
                Ok(()) if closing => break SpoolError::Closed,
                Ok(()) => {}
                Err(source) => {
                    let source = Arc::new(source);
                    error!(error = %source, "the spool cannot write; stopping");
                    self.shared.log().condition = Condition::Failed(source.clone());
                    break SpoolError::Write { path: self.shared.config.directory.clone(), source };
                }
            }
        };
        self.end(ended);
    }

    /// Waits for work and takes it over; true when the spool is closing.
    fn collect(&mut self) -> bool {
        let mut queue = lock(&self.shared.queue);
        let idle = |queue: &mut Queue| {
            !queue.closing && !queue.woken && (queue.appends.is_empty() || !self.pause.is_zero())
        };
        let limit = if self.pause.is_zero() { TICK } else { self.pause };
        queue = match self.shared.wake.wait_timeout_while(queue, limit, idle) {
            Ok((queue, _)) => queue,
            Err(poisoned) => poisoned.into_inner().0,
        };
        queue.woken = false;
        self.waiting.append(&mut queue.appends);
        queue.closing
    }

    /// Writes as much of what waits as there is room for. An error is final.
    fn write_waiting(&mut self) -> io::Result<()> {
        self.pause = Duration::ZERO;
        loop {
            if self.should_rotate() && !self.rotate()? {
                return Ok(());
            }
            if self.waiting.is_empty() {
                return Ok(());
            }
            let Some(n_appends) = self.fit() else {
                self.enter(Condition::Full);
                self.pause = TICK;
                return Ok(());
            };
            match self.write_group(n_appends) {
                Ok(()) => {
                    self.failures = 0;
                    self.disk_pause = Duration::ZERO;
                }
                Err(error) => {
                    if !self.survive(error)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn should_rotate(&self) -> bool {
        let log = self.shared.log();
        let Some(active) = log.extents.back() else { return true };
        self.rotate
            || active.damaged
            || active.bytes > active.header && active.bytes >= self.shared.config.effective_segment_bytes()
    }

    /// How many waiting appends fit into the spool and the segment; `None` when not even the first does.
    fn fit(&mut self) -> Option<usize> {
        let first = self.waiting.front()?.buffer.len() as u64;
        if !self.make_room(first) {
            return None;
        }
        let log = self.shared.log();
        let segment = log.extents.back().map_or(0, |active| active.bytes);
        let spool_room = self.shared.config.max_bytes.saturating_sub(log.bytes());
        let segment_room = self.shared.config.effective_segment_bytes().saturating_sub(segment);
        let room = spool_room.min(segment_room).min(GROUP_BYTES);
        let mut bytes = 0;
        let fitting = self.waiting.iter().take_while(|append| {
            bytes += append.buffer.len() as u64;
            bytes <= room
        });
        Some(fitting.count().max(1))
    }

    /// Makes the first appends durable and answers them.
    fn write_group(&mut self, n_appends: usize) -> io::Result<()> {
        let time = Timestamp::now();
        let (before, mut sequence) = {
            let log = self.shared.log();
            (log.extents.back().map_or(0, |active| active.bytes), log.next())
        };
        for append in self.waiting.iter_mut().take(n_appends) {
            sequence = frame::seal(&mut append.buffer, sequence, time.0);
        }
        let group = self.waiting.iter().take(n_appends);
        let bytes: usize = group.clone().map(|append| append.buffer.len()).sum();
        let mut slices: Vec<IoSlice<'_>> = group.map(|append| IoSlice::new(&append.buffer)).collect();
        if let Err(error) = self.shared.disk.write(&mut self.file, &mut slices) {
            // Whole or not at all: a later write must not follow half a frame.
            self.rotate |= self.file.set_len(before).is_err();
            return Err(error);
        }
        if let Err(error) = self.shared.disk.sync(&self.file) {
            // After a failed sync the kernel may call lost pages clean: nothing written since is trusted.
            self.rotate = true;
            return Err(error);
        }
        self.publish(n_appends, sequence, bytes as u64, time);
        Ok(())
    }

    fn publish(&mut self, n_appends: usize, end: u64, bytes: u64, time: Timestamp) {
        self.enter(Condition::Open);
        let group: Vec<Append> = self.waiting.drain(..n_appends).collect();
        let mut answers = Vec::with_capacity(group.len());
        let mut log = self.shared.log();
        for append in group {
            self.count(&append, time, end);
            match append.change {
                Change::Resume(partition, position) => {
                    log.positions.insert((append.source, partition), position);
                }
                Change::Extend(partition, position) => {
                    log.positions.entry((append.source, partition)).or_default().0.push_str(&position.0);
                }
                Change::Forget(partition) => {
                    log.positions.remove(&(append.source, partition));
                }
            }
            keep_buffer(&self.shared, append.buffer);
            answers.push(append.answer);
        }
        if let Some(active) = log.extents.back_mut() {
            active.end = end;
            active.bytes += bytes;
        }
        drop(log);
        self.shared.durable.send_replace(end);
        counter!(super::SPOOL_SYNCS).increment(1);
        for answer in answers {
            // The source may have given up waiting; its batch is stored all the same.
            let _ = answer.send(Ok(()));
        }
    }

    fn count(&self, append: &Append, time: Timestamp, end: u64) {
        let (mut n_records, mut bytes) = (0, 0);
        for (table, n_table, table_bytes) in &append.tally {
            self.shared.account.count_read(&append.source, &table.0, time, *n_table, end);
            n_records += n_table;
            bytes += table_bytes;
        }
        let source = append.source.to_string();
        counter!(super::RECORDS_SPOOLED, "source" => source.clone()).increment(n_records);
        counter!(super::BYTES_SPOOLED, "source" => source).increment(bytes);
    }

    /// Leaves the segment for a new one; false when the disk has no space for that now. An error is final.
    pub(super) fn rotate(&mut self) -> io::Result<bool> {
        loop {
            match self.try_rotate() {
                Ok(()) => return Ok(true),
                Err(error) => {
                    if !self.survive(error)? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn try_rotate(&mut self) -> io::Result<()> {
        self.shared.account.flush();
        let (left, first, positions) = {
            let log = self.shared.log();
            (log.extents.back().cloned(), log.next(), log.positions.clone())
        };
        if let Some(left) = &left {
            // What a failed write left behind must not be met again; if this fails too, readers stop at `first`.
            let _ = self.file.set_len(left.bytes);
        }
        let directory = &self.shared.config.directory;
        let (file, extent) = segment::create(directory, first, &positions, &self.shared.disk)?;
        self.file = file;
        self.rotate = false;
        let mut log = self.shared.log();
        if let Some(left) = log.extents.back_mut() {
            if left.is_empty() {
                log.extents.pop_back();
            } else if left.damaged {
                let aside = left.path.with_extension(segment::CORRUPT);
                if fs::rename(&left.path, &aside).is_ok() {
                    left.path = aside.into();
                }
            }
        }
        log.extents.push_back(extent);
        Ok(())
    }

    /// Decides what a failure means: true to try again at once, false to wait, an error to give up.
    fn survive(&mut self, error: io::Error) -> io::Result<bool> {
        if disk::is_full(&error) {
            counter!(super::SPOOL_WRITE_ERRORS, "kind" => "full").increment(1);
            if self.free_delivered() {
                return Ok(true);
            }
            self.enter(Condition::DiskFull);
            self.disk_pause = (self.disk_pause * 2).clamp(DISK_PAUSE, DISK_PAUSE_MAX);
            self.pause = self.disk_pause;
            return Ok(false);
        }
        counter!(super::SPOOL_WRITE_ERRORS, "kind" => "error").increment(1);
        self.failures += 1;
        self.rotate = true;
        if self.failures > MAX_FAILURES {
            return Err(error);
        }
        warn!(%error, failures = self.failures, "writing a segment failed; going on in a new one");
        Ok(true)
    }

    /// Says once that sources have to wait, and once that they need not any more.
    fn enter(&mut self, condition: Condition) {
        use Condition::{DiskFull, Full, Open};
        let mut log = self.shared.log();
        let changed = match (&log.condition, &condition) {
            (Open, Open) | (Full, Full) | (DiskFull, DiskFull) => false,
            (_, Full) => {
                warn!(bytes = log.bytes(), "the spool is full; sources wait for a destination");
                true
            }
            (_, DiskFull) => {
                warn!(directory = %self.shared.config.directory.display(), "the disk is full; sources wait");
                true
            }
            _ => {
                info!("the spool takes records again");
                true
            }
        };
        if changed {
            gauge!(super::SPOOL_WAITING, "reason" => "max_bytes")
                .set(f64::from(u8::from(matches!(condition, Full))));
            gauge!(super::SPOOL_WAITING, "reason" => "disk")
                .set(f64::from(u8::from(matches!(condition, DiskFull))));
            log.condition = condition;
        }
    }

    fn end(mut self, error: SpoolError) {
        let mut queue = lock(&self.shared.queue);
        queue.closing = true;
        self.waiting.append(&mut queue.appends);
        for append in self.waiting.drain(..) {
            let _ = append.answer.send(Err(copy(&error)));
        }
        queue.failed = Some(error);
        drop(queue);
        self.shared.room.close();
        self.shared.account.flush();
        let mut log = self.shared.log();
        if !matches!(log.condition, Condition::Failed(_)) {
            log.condition = Condition::Closed;
        }
        drop(log);
        // Wakes readers that wait for records that will not come.
        self.shared.durable.send_modify(|_| {});
    }
}

fn keep_buffer(shared: &Shared, mut buffer: Vec<u8>) {
    let mut buffers = lock(&shared.buffers);
    if buffers.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_BUFFER_BYTES {
        buffer.clear();
        buffers.push(buffer);
    }
}

fn copy(error: &SpoolError) -> SpoolError {
    match error {
        SpoolError::Write { path, source } => {
            SpoolError::Write { path: path.clone(), source: source.clone() }
        }
        _ => SpoolError::Closed,
    }
}

/// Bytes of encoded batches that may wait for the writer.
pub(super) const QUEUE_BYTES: usize = 8 << 20;
/// How often upkeep is done when nothing else happens.
const TICK: Duration = Duration::from_secs(1);
const GROUP_BYTES: u64 = 8 << 20;
const SPARE_BUFFERS: usize = 8;
const SPARE_BUFFER_BYTES: usize = 2 << 20;
const DISK_PAUSE: Duration = Duration::from_millis(100);
const DISK_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A second segment that fails at once is no accident.
const MAX_FAILURES: u32 = 3;
