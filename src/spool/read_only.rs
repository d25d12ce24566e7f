//! The spool seen from beside the process that owns it: for `replay` and `account`. Nothing is changed or locked.

use std::path::PathBuf;

use super::cursor;
use super::reader::{Chunk, Seek, locate_time};
use super::recover::{find_end, survey};
use super::scanner::{Piece, Scanner};
use super::segment::Extent;
use super::{Config, Cursor, SpoolError};

/// What was on disk at the moment of opening.
#[derive(Debug)]
pub struct ReadOnly {
    directory: PathBuf,
    extents: Vec<Extent>,
}

impl ReadOnly {
    pub(super) fn open(config: &Config) -> Result<Self, SpoolError> {
        let directory = config.directory.clone();
        let mut extents: Vec<Extent> = survey(&directory)?.extents.into();
        if let Some(newest) = extents.last_mut() {
            let path = newest.path.to_path_buf();
            find_end(newest, |_| {}).map_err(|source| SpoolError::Read { path, source })?;
        }
        Ok(Self { directory, extents })
    }

    /// The oldest record.
    #[must_use]
    pub fn oldest_sequence(&self) -> u64 {
        self.extents.first().map_or(1, |extent| extent.first)
    }

    /// The number after the newest record.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.extents.last().map_or(1, |extent| extent.end)
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes).sum()
    }

    /// The destinations that have a cursor, and the cursors.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn cursors(&self) -> Result<Vec<(String, Cursor)>, SpoolError> {
        let failed = |source| SpoolError::Directory { path: self.directory.clone(), source };
        let mut cursors = Vec::new();
        for name in cursor::list(&self.directory).map_err(failed)? {
            if let Some(cursor) = cursor::read(&self.directory, &name).map_err(failed)? {
                cursors.push((name, cursor));
            }
        }
        Ok(cursors)
    }

    /// Where a replay would begin: the nearest record there is.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn locate(&self, from: Seek) -> Result<Cursor, SpoolError> {
        let sequence = match from {
            Seek::Sequence(sequence) => sequence,
            Seek::Time(time) => locate_time(self.extents.clone(), time).await?.unwrap_or(u64::MAX),
        };
        Ok(Cursor(sequence.clamp(self.oldest_sequence(), self.next_sequence())))
    }

    /// Records from a place up to what was there at opening.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn reader(&self, from: Seek) -> Result<ReplayReader, SpoolError> {
        let start = self.locate(from).await?;
        Ok(ReplayReader {
            extents: self.extents.clone(),
            reading: start.0,
            skipped: 0,
            scanner: Scanner::default(),
        })
    }
}

/// Reads once through a part of the spool.
#[derive(Debug)]
pub struct ReplayReader {
    extents: Vec<Extent>,
    reading: u64,
    skipped: u64,
    scanner: Scanner,
}

impl ReplayReader {
    /// The next records; `None` at the end. Not cancel-safe.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn next(&mut self) -> Result<Option<Chunk>, SpoolError> {
        loop {
            let at = self.extents.partition_point(|extent| extent.end <= self.reading);
            let Some(extent) = self.extents.get(at).cloned() else { return Ok(None) };
            let mut scanner = std::mem::take(&mut self.scanner);
            let from = self.reading.max(extent.first);
            let end = extent.end;
            let read = tokio::task::spawn_blocking(move || {
                let piece = scanner.read(&extent, from);
                (scanner, piece)
            });
            let (scanner, piece) = read.await.map_err(|_| SpoolError::Closed)?;
            self.scanner = scanner;
            match piece? {
                Piece::Chunk(chunk) => {
                    self.reading = chunk.end.0;
                    return Ok(Some(chunk));
                }
                Piece::End => self.reading = end,
                Piece::Damage { from, to } => {
                    self.skipped += to - from;
                    self.reading = to;
                }
                // Removed by the process that owns it, or set aside: what is left of it is not worth a retry.
                Piece::Gone => {
                    self.skipped += end - from;
                    self.reading = end;
                }
            }
        }
    }

    /// Records that were damaged or removed before they were read.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}
