//! Which segments go, and when: delivered ones after `keep` or when their space is needed, any after `max_age`,
//! undelivered ones only when `drop_oldest` says so. Segments go whole, by unlink, the oldest first.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tracing::{debug, error, warn};

use super::config::WhenFull;
use super::cursor::Cursor;
use super::frame::Frame;
use super::log::{Loss, Removed};
use super::recover::find_end;
use super::scanner::Names;
use super::segment::Extent;
use super::writer::Writer;
use super::{Outcome, Tally, disk, lock, segment};
use crate::record::{Name, Table, Timestamp};

impl Writer {
    /// Removes what has been there long enough, and publishes the sizes.
    pub(super) fn expire(&mut self) {
        let config = self.shared.config.clone();
        while self.second_opened().is_some_and(|opened| is_older(opened, config.keep))
            && self.free_delivered()
        {}
        if let Some(max_age) = config.max_age {
            self.leave_aged_segment(max_age / AGE_STEPS);
            while self.shared.log().extents.len() > 1
                && self.oldest_opened().is_some_and(|at| is_older(at, max_age))
            {
                self.drop_oldest("max_age");
            }
            if self.swept.is_none_or(|swept| swept.elapsed() >= max_age / AGE_STEPS) {
                self.swept = Some(Instant::now());
                remove_unreadable(&config.directory, max_age);
            }
        }
        self.release_pages();
        self.shared.account.upkeep();
        let log = self.shared.log();
        gauge!(super::SPOOL_BYTES).set(approximate(log.bytes()));
        gauge!(super::SPOOL_MAX_BYTES).set(approximate(config.max_bytes));
        gauge!(super::SPOOL_SEGMENTS).set(approximate(log.extents.len() as u64));
        gauge!(super::SPOOL_OLDEST).set(approximate(log.oldest()));
        gauge!(super::SPOOL_NEXT).set(approximate(log.next()));
        for destination in &log.destinations {
            let name = || destination.name.to_string();
            gauge!(super::SPOOL_CURSOR, "destination" => name()).set(approximate(destination.cursor));
            gauge!(super::SPOOL_LAG, "destination" => name())
                .set(approximate(log.next().saturating_sub(destination.cursor)));
        }
    }

    /// Frees space for a frame; false when it has to wait for a destination.
    pub(super) fn make_room(&mut self, needed: u64) -> bool {
        loop {
            let (fits, only_segment, has_records, delivered) = {
                let log = self.shared.log();
                let only_segment = log.extents.len() == 1;
                let has_records = log.oldest() < log.next();
                (
                    log.bytes() + needed <= self.shared.config.max_bytes,
                    only_segment,
                    has_records,
                    log.delivered(log.next()),
                )
            };
            // A frame larger than the whole spool still goes in when it is alone.
            if fits || only_segment && !has_records {
                return true;
            }
            let may_drop = self.shared.config.when_full == WhenFull::DropOldest;
            if only_segment {
                if !(delivered || may_drop) || !matches!(self.rotate(), Ok(true)) {
                    return false;
                }
            } else if !self.free_delivered() {
                if !may_drop {
                    return false;
                }
                self.drop_oldest("full");
            }
        }
    }

    /// Removes the oldest segment if it is delivered; false when there is none.
    pub(super) fn free_delivered(&mut self) -> bool {
        let mut log = self.shared.log();
        let free =
            log.extents.len() > 1 && log.extents.front().is_some_and(|extent| log.delivered(extent.end));
        let removed = if free { log.remove_oldest() } else { None };
        drop(log);
        let Some(removed) = removed else { return false };
        unlink(&removed.extent.path);
        true
    }

    /// Removes the oldest segment whether delivered or not, and says what that loses.
    fn drop_oldest(&mut self, reason: &'static str) {
        let mut log = self.shared.log();
        let Some(Removed { extent, lost }) = log.remove_oldest() else { return };
        let cursors: Vec<_> = log
            .destinations
            .iter()
            .map(|destination| (destination.file.clone(), destination.cursor))
            .collect();
        drop(log);
        for Loss { destination, from } in lost {
            let n_records = extent.end - from;
            counter!(super::RECORDS_DROPPED, "destination" => destination.to_string(), "reason" => reason)
                .increment(n_records);
            error!(%destination, n_records, reason, "undelivered records removed from the spool");
            self.account_for(&extent, &destination, from);
        }
        for (file, cursor) in cursors {
            if let Err(error) = lock(&file).write(Cursor(cursor)) {
                warn!(%error, "a cursor could not be written; the next commit does it");
            }
        }
        unlink(&extent.path);
    }

    /// Enters removed records into the account, table by table.
    fn account_for(&self, extent: &Extent, destination: &Name, from: u64) {
        let mut tally = Tally::default();
        let mut names = Names::default();
        let mut visit = |frame: &Frame<'_>| {
            let source = names.share(frame.source);
            let tables: Vec<Table> = frame.tables.iter().map(|table| Table(names.share(table))).collect();
            let lost = (frame.header.first..).zip(frame.bodies()).filter(|(sequence, _)| *sequence >= from);
            for (_, (table, _)) in lost {
                tally.add(&source, &tables[table], Timestamp(frame.header.time), &Outcome::Dropped);
            }
        };
        // Damaged ones are missing in the account; the counters have them.
        if let Err(error) = find_end(&mut extent.clone(), &mut visit) {
            warn!(%destination, %error, "removed records could not be entered into the account");
        }
        self.shared.account.add(destination, &tally);
    }

    fn release_pages(&self) {
        for path in self.shared.log().release_delivered() {
            if let Err(error) = disk::forget_pages(&path) {
                debug!(path = %path.display(), %error, "the page cache keeps a delivered segment");
            }
        }
    }

    /// A segment spans a small part of `max_age`, so that removing it whole takes little that is younger.
    fn leave_aged_segment(&mut self, span: Duration) {
        let aged = {
            let log = self.shared.log();
            log.extents.back().is_some_and(|active| !active.is_empty() && is_older(active.opened, span))
        };
        if aged && let Err(error) = self.rotate() {
            // Writing will meet the same error and deal with it.
            warn!(%error, "a new segment could not be begun");
        }
    }

    fn oldest_opened(&self) -> Option<Timestamp> {
        self.shared.log().extents.front().map(|extent| extent.opened)
    }

    /// No record of the oldest segment is younger than this.
    fn second_opened(&self) -> Option<Timestamp> {
        self.shared.log().extents.get(1).map(|extent| extent.opened)
    }
}

/// What is left of segments that could not be read holds parts of records, so `max_age` is for it too.
fn remove_unreadable(directory: &Path, max_age: Duration) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path: Arc<Path> = entry.path().into();
        let aged = || Some(entry.metadata().ok()?.modified().ok()?.elapsed().ok()? > max_age);
        if path.extension().is_some_and(|extension| extension == segment::UNREADABLE) && aged() == Some(true)
        {
            unlink(&path);
        }
    }
}

fn unlink(path: &Arc<Path>) {
    if let Err(error) = fs::remove_file(path) {
        warn!(path = %path.display(), %error, "a segment that is not needed could not be removed");
    }
}

fn is_older(time: Timestamp, age: Duration) -> bool {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::now().0.saturating_sub(time.0) > age
}

/// A gauge holds a float; beyond 2⁵³ the last digits do not matter.
#[expect(clippy::cast_precision_loss, reason = "a gauge is approximate")]
fn approximate(number: u64) -> f64 {
    number as f64
}

/// `max_age` is kept with segments of this fraction of it.
const AGE_STEPS: u32 = 16;
