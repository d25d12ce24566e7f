//! The set of files that a path or pattern names, and which of them to read next.
//!
//! Files are followed by what they are, not by what they are called: one that is renamed is read to its end
//! beside the one that takes its name. After a restart a file that was renamed meanwhile is looked for beside
//! its old name. One that is gone is forgotten.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use metrics::counter;
use tracing::{info, warn};

use super::config::{Config, PathPattern};
use super::place::{Identity, Place};
use super::tail::{Patience, Tail};
use crate::record::{Batch, Partition, Position, Table};
use crate::source::envelope::Envelope;
use crate::source::lines::Lines;
use crate::telemetry;

/// All files of one source.
pub struct Files {
    config: Config,
    patience: Patience,
    envelope: Envelope,
    lines: Lines,
    tails: Vec<Tail>,
    /// The file whose bytes are in `lines`.
    active: Option<Partition>,
    /// Batches read from the active file since another had its turn.
    turn: u32,
    places: HashMap<Partition, Place>,
    looked: Option<Instant>,
    refused: HashSet<PathBuf>,
    waiting: Vec<Step>,
}

/// What came of one step.
#[derive(Debug)]
pub enum Step {
    /// Records, or a place without records.
    Batch(Batch),
    /// A file is gone for good.
    Forget(Partition),
    /// Nothing to read for now.
    Idle,
    /// All files are read to their end and are not followed.
    Done,
}

impl Files {
    /// `positions` are those of the source in the spool.
    #[must_use]
    pub fn new(config: Config, positions: Vec<(Partition, Position)>) -> Self {
        let places = positions
            .into_iter()
            .filter_map(|(partition, position)| Some((partition, Place::read(&position)?)));
        let table = config.table.as_ref().map(|table| Table::new(&table.0));
        let max_record_bytes = config.max_record_bytes.bytes();
        Self {
            patience: Patience {
                follow: config.follow,
                document: config.poll * DOCUMENT_LOOKS,
                renamed: config.poll * RENAMED_LOOKS,
                removed: config.poll * REMOVED_LOOKS,
            },
            envelope: Envelope::new(table, max_record_bytes),
            lines: Lines::new(config.batch_bytes.bytes(), max_record_bytes),
            tails: Vec::new(),
            active: None,
            turn: 0,
            places: places.collect(),
            looked: None,
            refused: HashSet::new(),
            waiting: Vec::new(),
            config,
        }
    }

    /// Reads until there is something to say. Blocks on the disk, never on growth.
    pub fn step(&mut self) -> Step {
        if let Some(step) = self.waiting.pop() {
            return step;
        }
        let looked = self.looked.is_some_and(|last| last.elapsed() < self.config.poll);
        if !looked {
            self.look();
            if let Some(step) = self.waiting.pop() {
                return step;
            }
        }
        if let Some(batch) = self.read() {
            return Step::Batch(batch);
        }
        if let Some(partition) = self.close_finished() {
            return Step::Forget(partition);
        }
        if self.config.follow { Step::Idle } else { Step::Done }
    }

    /// Files held open.
    pub fn n_open(&self) -> usize {
        self.tails.len()
    }

    /// The envelope, for its counts.
    pub fn envelope(&mut self) -> &mut Envelope {
        &mut self.envelope
    }

    /// Whether there has been any file.
    #[must_use]
    pub fn have_been_read(&self) -> bool {
        !self.tails.is_empty()
    }

    /// Bytes in the files that are not yet records.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.tails.iter().map(Tail::lag).sum()
    }

    /// The next batch of the first file that has one: those that are leaving, then the one read last.
    fn read(&mut self) -> Option<Batch> {
        let active = self.tails.iter().position(|tail| Some(&tail.partition) == self.active.as_ref());
        let first = match active {
            Some(at) if self.turn < TURN_BATCHES => at,
            Some(at) => at + 1,
            None => 0,
        };
        if self.turn >= TURN_BATCHES {
            self.turn = 0;
        }
        let n_tails = self.tails.len();
        let mut order: Vec<usize> = (first..first + n_tails).map(|at| at % n_tails).collect();
        order.sort_by_key(|at| !self.tails[*at].leaving);
        order.retain(|at| self.tails[*at].is_due(self.patience));
        for at in order {
            self.activate(at);
            let tail = &mut self.tails[at];
            match tail.read(&mut self.lines, &mut self.envelope, self.patience) {
                Ok(Some(batch)) => {
                    self.turn += 1;
                    return Some(batch);
                }
                Ok(None) => {}
                Err(error) => self.refuse(&self.tails[at].path.clone(), &error),
            }
        }
        None
    }

    /// Makes `lines` hold what is pending of this file.
    fn activate(&mut self, at: usize) {
        if self.active.as_ref() == Some(&self.tails[at].partition) {
            return;
        }
        let suspended = self.lines.suspend();
        if let Some(last) = self.tails.iter_mut().find(|tail| Some(&tail.partition) == self.active.as_ref()) {
            last.suspended = suspended;
        }
        let tail = &mut self.tails[at];
        self.lines.resume(std::mem::take(&mut tail.suspended));
        self.active = Some(tail.partition.clone());
        self.turn = 0;
    }

    /// Closes one file that has left and been read to its end.
    fn close_finished(&mut self) -> Option<Partition> {
        let at = self.tails.iter().position(|tail| tail.leaving && tail.is_finished())?;
        let tail = self.tails.remove(at);
        info!(path = %tail.path.display(), "file has left and was read to its end");
        if self.active.as_ref() == Some(&tail.partition) {
            self.lines.clear();
            self.active = None;
        }
        counter!(telemetry::FILES_LEFT).increment(1);
        Some(tail.partition)
    }

    /// Looks which files there are.
    fn look(&mut self) {
        let first = self.looked.is_none();
        self.looked = Some(Instant::now());
        let (paths, complete) = self.paths();
        for tail in &mut self.tails {
            // Where a folder cannot be read, nothing is known to have left it.
            tail.leaving |= complete;
        }
        for path in paths {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    let identity = Identity::of(&metadata);
                    match self.tails.iter_mut().find(|tail| tail.identity() == identity) {
                        Some(tail) => {
                            tail.leaving = false;
                            tail.path = path;
                        }
                        None => self.open(&path, identity, false),
                    }
                }
                Ok(_) => self.refuse(&path, &io::Error::other("not a regular file")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.tails
                        .iter_mut()
                        .filter(|tail| tail.path == path)
                        .for_each(|tail| tail.leaving = false);
                    self.refuse(&path, &error);
                }
            }
        }
        if first {
            self.look_for_renamed();
        }
    }

    /// The paths asked for that exist, and whether all folders could be read for it.
    fn paths(&self) -> (Vec<PathBuf>, bool) {
        match &self.config.path {
            PathPattern::Stdin => (Vec::new(), true),
            PathPattern::File(path) => (vec![path.clone()], true),
            PathPattern::Glob(pattern) => {
                let found: Vec<_> = glob::glob(pattern).into_iter().flatten().collect();
                let complete = found.iter().all(Result::is_ok);
                (found.into_iter().filter_map(Result::ok).collect(), complete)
            }
        }
    }

    fn open(&mut self, path: &Path, identity: Identity, leaving: bool) {
        let partition = identity.partition();
        let place = self.places.remove(&partition);
        let moved = if place.is_none() { self.moved(path, identity) } else { None };
        let known = place.as_ref().or(moved.as_ref().map(|(_, place)| place));
        match Tail::open(path, known) {
            Ok(mut tail) => {
                tail.leaving = leaving;
                self.refused.remove(path);
                info!(path = %path.display(), unread = tail.lag(), "file opened");
                if let Some((old, _)) = moved {
                    // Taken from the end: the new place is stored before the old one is forgotten.
                    self.waiting.push(Step::Forget(old));
                    self.waiting.push(Step::Batch(tail.bare()));
                }
                self.tails.push(tail);
            }
            Err(error) => {
                self.places.extend(place.map(|place| (partition, place)));
                self.places.extend(moved);
                self.refuse(path, &error);
            }
        }
    }

    /// The place of a file whose device has another number since the machine started.
    fn moved(&mut self, path: &Path, identity: Identity) -> Option<(Partition, Place)> {
        let same = |place: &Place| place.inode == identity.inode && place.path == path && place.offset > 0;
        let partition =
            self.places.iter().find(|(_, place)| same(place)).map(|(partition, _)| partition.clone())?;
        self.places.remove_entry(&partition)
    }

    /// Files known from before that have none of the names asked for: renamed, or gone.
    fn look_for_renamed(&mut self) {
        for (partition, place) in std::mem::take(&mut self.places) {
            let beside = place.path.parent().map(fs::read_dir).and_then(Result::ok);
            let renamed = beside.into_iter().flatten().filter_map(Result::ok).find_map(|entry| {
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                let identity = Identity::of(&metadata);
                let same =
                    identity.partition() == partition && Tail::is_at(&entry.path(), &place).unwrap_or(true);
                same.then(|| (entry.path(), identity))
            });
            match renamed {
                Some((path, identity)) => {
                    self.places.insert(partition, place);
                    self.open(&path, identity, true);
                }
                // A folder that is empty may be one that is not mounted yet.
                None if !self.tails.is_empty() => {
                    warn!(path = %place.path.display(), read = place.offset, "file is gone since the last run");
                    self.waiting.push(Step::Forget(partition));
                }
                None => {}
            }
        }
    }

    /// Says once that a file cannot be read; it is tried again at every look.
    fn refuse(&mut self, path: &Path, error: &io::Error) {
        if self.refused.insert(path.to_owned()) {
            warn!(path = %path.display(), %error, "file cannot be read; trying again");
        }
    }
}

/// Looks without growth after which a document is given up: 5 s at the default interval.
const DOCUMENT_LOOKS: u32 = 20;
/// A renamed file may still be written to by a program that has not noticed: 5 minutes.
const RENAMED_LOOKS: u32 = 1200;
/// A removed file hardly is, and holds its space: 10 s.
const REMOVED_LOOKS: u32 = 40;
/// Batches after which another file has its turn.
const TURN_BATCHES: u32 = 16;
