//! What is on disk and durable, as all parts of the spool see it: segments, positions, cursors.
//!
//! Pure bookkeeping behind one lock that is held for moments; no file is touched here.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::cursor::CursorFile;
use super::segment::{CORRUPT, Extent, Positions};

/// The state of the spool.
#[derive(Debug)]
pub(super) struct Log {
    /// In order, never empty; the last is being written.
    pub(super) extents: VecDeque<Extent>,
    pub(super) positions: Positions,
    pub(super) destinations: Vec<Destination>,
    pub(super) condition: Condition,
}

/// Whether records are taken in.
#[derive(Clone, Debug, Default)]
pub enum Condition {
    /// Records are taken in.
    #[default]
    Open,
    /// `max_bytes` is reached; sources wait for a destination.
    Full,
    /// The disk has no space left; sources wait.
    DiskFull,
    /// The spool was closed.
    Closed,
    /// The disk failed; nothing is taken in any more.
    Failed(Arc<io::Error>),
}

/// One destination's place.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) name: Arc<str>,
    /// The next record to deliver.
    pub(super) cursor: u64,
    /// The next record to hand out; between the two lies what is in flight.
    pub(super) reading: u64,
    /// Records removed before they were delivered, since the start.
    pub(super) n_dropped: u64,
    /// Records lost to damage, since the start.
    pub(super) n_damaged: u64,
    /// Ranges at or after the cursor that were removed before they were handed out, and are counted.
    pub(super) dropped: Vec<Range<u64>>,
    /// A reader exists.
    pub(super) taken: bool,
    pub(super) file: Arc<Mutex<CursorFile>>,
}

/// A segment that was taken out, and what that costs.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) extent: Extent,
    pub(super) lost: Vec<Loss>,
}

/// A destination is never handed the records of the segment from a number on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) destination: Arc<str>,
    pub(super) from: u64,
}

impl Log {
    /// The sequence number the next record gets.
    pub(super) fn next(&self) -> u64 {
        self.extents.back().map_or(1, |extent| extent.end)
    }

    /// The oldest record that is still there.
    pub(super) fn oldest(&self) -> u64 {
        self.extents.front().map_or(1, |extent| extent.first)
    }

    /// All bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes).sum()
    }

    /// Whether every destination has everything before a sequence number.
    pub(super) fn delivered(&self, end: u64) -> bool {
        self.destinations.iter().all(|destination| destination.cursor >= end)
    }

    /// The first segment with a record at or after a sequence number.
    pub(super) fn extent_for(&self, sequence: u64) -> Option<&Extent> {
        let at = self.extents.partition_point(|extent| extent.end <= sequence);
        self.extents.get(at)
    }

    /// Takes out the oldest segment.
    pub(super) fn remove_oldest(&mut self) -> Option<Removed> {
        let extent = self.extents.pop_front()?;
        let mut lost = Vec::new();
        for destination in &mut self.destinations {
            let from = destination.reading.max(extent.first);
            if from < extent.end {
                lost.push(Loss { destination: destination.name.clone(), from });
                destination.dropped.push(from..extent.end);
                destination.n_dropped += extent.end - from;
            }
            if destination.cursor == destination.reading {
                destination.move_to(destination.cursor.max(extent.end));
            }
            destination.reading = destination.reading.max(extent.end);
        }
        Some(Removed { extent, lost })
    }

    /// Segments every destination has by now, each once; not the one being written.
    pub(super) fn release_delivered(&mut self) -> Vec<Arc<Path>> {
        let delivered = self.destinations.iter().map(|destination| destination.cursor).min().unwrap_or(0);
        let last = self.next();
        let mut released = Vec::new();
        for extent in self.extents.iter_mut().take_while(|extent| extent.end <= delivered) {
            let is_active = extent.end == last;
            if !is_active && !std::mem::replace(&mut extent.released, true) {
                released.push(extent.path.clone());
            }
        }
        released
    }

    /// Notes a bad frame; the new name of the segment's file, if it is to be set aside now.
    pub(super) fn mark_damaged(&mut self, first: u64) -> Option<(Arc<Path>, Arc<Path>)> {
        let is_last = self.extents.back().is_some_and(|extent| extent.first == first);
        let extent = self.extents.iter_mut().find(|extent| extent.first == first && !extent.damaged)?;
        extent.damaged = true;
        let aside: Arc<Path> = extent.path.with_extension(CORRUPT).into();
        // The writer renames the one it writes to when it leaves it.
        (!is_last).then(|| (std::mem::replace(&mut extent.path, aside.clone()), aside))
    }

    /// Undoes the new name of a segment.
    pub(super) fn restore_path(&mut self, first: u64, path: Arc<Path>) {
        if let Some(extent) = self.extents.iter_mut().find(|extent| extent.first == first) {
            extent.path = path;
        }
    }
}

impl Destination {
    /// A destination with nothing in flight.
    pub(super) fn new(name: &str, cursor: u64, file: CursorFile) -> Self {
        Self {
            name: name.into(),
            cursor,
            reading: cursor,
            n_dropped: 0,
            n_damaged: 0,
            dropped: Vec::new(),
            taken: false,
            file: Arc::new(Mutex::new(file)),
        }
    }

    /// Goes back to the cursor. What lies before the oldest record cannot be sent again: how many those are.
    pub(super) fn rewind(&mut self, oldest: u64) -> u64 {
        let target = self.cursor.max(oldest.min(self.reading));
        let gap = self.cursor..target;
        let counted: u64 = self
            .dropped
            .iter()
            .map(|range| range.end.min(gap.end).saturating_sub(range.start.max(gap.start)))
            .sum();
        self.move_to(target);
        self.reading = target;
        let lost = (gap.end - gap.start).saturating_sub(counted);
        self.n_dropped += lost;
        lost
    }

    /// Moves the cursor.
    pub(super) fn move_to(&mut self, cursor: u64) {
        self.cursor = cursor;
        self.reading = self.reading.max(cursor);
        self.dropped.retain(|range| range.end > cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;

    fn log(extents: &[(u64, u64)], cursor: u64, reading: u64) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = CursorFile::open(folder.path(), "d").unwrap();
        let extents = extents
            .iter()
            .map(|&(first, end)| Extent {
                path: Path::new("x.segment").into(),
                first,
                end,
                header: 5,
                bytes: 10,
                opened: Timestamp(i64::try_from(first).unwrap()),
                released: false,
                damaged: false,
            })
            .collect();
        let mut destination = Destination::new("d", cursor, file);
        destination.reading = reading;
        let destinations = vec![destination];
        Log { extents, positions: Positions::new(), destinations, condition: Condition::Open }
    }

    #[test]
    fn a_sequence_number_leads_to_its_segment() {
        let log = log(&[(5, 10), (10, 10), (12, 20)], 5, 5);
        for (sequence, first) in
            [(1, Some(5)), (5, Some(5)), (9, Some(5)), (10, Some(12)), (19, Some(12)), (20, None)]
        {
            assert_eq!(log.extent_for(sequence).map(|extent| extent.first), first, "{sequence}");
        }
    }

    #[test]
    fn every_lost_record_is_counted_once_whether_handed_out_or_not() {
        // 5..8 delivered, 8..12 in flight, 12..15 not handed out
        let mut log = log(&[(5, 15), (15, 20)], 8, 12);
        let removed = log.remove_oldest().unwrap();
        assert_eq!(removed.lost, [Loss { destination: "d".into(), from: 12 }]);
        let destination = &mut log.destinations[0];
        assert_eq!((destination.cursor, destination.reading), (8, 15));
        assert_eq!(destination.rewind(15), 4);
        assert_eq!((destination.cursor, destination.reading), (15, 15));
    }
}
