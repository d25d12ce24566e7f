//! One open file, read from where its records end.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tracing::{info, warn};

use super::place::{Fingerprint, Identity, Place};
use crate::record::{Batch, Partition, Table};
use crate::source::envelope::Envelope;
use crate::source::lines::{Ending, Lines, Suspended};

/// A file being read. It stays the same file when it gets another name.
pub struct Tail {
    file: File,
    identity: Identity,
    /// Its name now.
    pub path: PathBuf,
    /// The partition of its records.
    pub partition: Partition,
    offset: u64,
    fingerprint: Fingerprint,
    /// What was read of it and is not yet a record, while another file is read.
    pub suspended: Suspended,
    /// It has another name now than those asked for, or none.
    pub leaving: bool,
    /// How often it was looked at since it grew.
    pub quiet: u32,
    /// Its end has been seen, so that it may have been cut off and written anew since.
    at_end: bool,
}

/// What a file at rest means.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whether files grow at all.
    pub follow: bool,
    /// After so many looks without growth an unfinished document is taken as lines.
    pub document: u32,
    /// After so many looks without growth a file that is leaving is at its end.
    pub renamed: u32,
    /// The same for one that has no name any more.
    pub removed: u32,
}

impl Tail {
    /// Opens a file, to go on at the place it was left if it is still the same.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &Path, place: Option<&Place>) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        let mut tail = Self {
            file,
            identity,
            path: path.to_owned(),
            partition: identity.partition(),
            offset: 0,
            fingerprint: Fingerprint::default(),
            suspended: Suspended::default(),
            leaving: false,
            quiet: 0,
            at_end: false,
        };
        if let Some(place) = place {
            if metadata.len() >= place.offset && place.fingerprint.matches(&tail.file)? {
                tail.offset = place.offset;
                tail.fingerprint = place.fingerprint;
            } else {
                info!(path = %path.display(), "file is not the one read before; reading it from its beginning");
            }
        }
        Ok(tail)
    }

    /// Which file it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// A batch without records, to store the place alone.
    #[must_use]
    pub fn bare(&self) -> Batch {
        self.batch(Vec::new())
    }

    /// Reads on: the next records, or nothing when the file is at its end for now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, lines: &mut Lines, envelope: &mut Envelope, patience: Patience) -> io::Result<Option<Batch>> {
        let metadata = self.file.metadata()?;
        if self.cut_off(&metadata, lines)? {
            let batch = self.begin_again(lines, envelope);
            if batch.is_some() {
                return Ok(batch);
            }
        }
        let mut records = Vec::new();
        loop {
            let at_end = self.fill(lines)?;
            let ending = self.ending(at_end, lines, &metadata, patience);
            let taken = lines.take(ending, envelope, &mut records);
            self.offset += taken;
            if !records.is_empty() {
                self.fingerprint = self.fingerprint.extended(&self.file, self.offset)?;
                return Ok(Some(self.batch(records)));
            }
            if at_end && taken == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether all of it has been read that will ever be there.
    ///
    /// # Errors
    /// When the system no longer tells of it.
    pub fn is_finished(&self, patience: Patience) -> io::Result<bool> {
        Ok(self.at_end && (!patience.follow || self.has_left(&self.file.metadata()?, patience)))
    }

    /// How many bytes of it are not yet records.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(self.offset))
    }

    /// Fills the space in `lines`; whether the end of the file was reached.
    fn fill(&mut self, lines: &mut Lines) -> io::Result<bool> {
        let mut grown = false;
        loop {
            let position = self.offset + lines.pending();
            let space = lines.space();
            if space.is_empty() {
                break;
            }
            match self.file.read_at(space, position) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(n) => {
                    lines.fill(n);
                    grown = true;
                    self.at_end = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.quiet = if grown { 0 } else { self.quiet.saturating_add(1) };
        Ok(self.at_end)
    }

    fn ending(&self, at_end: bool, lines: &Lines, metadata: &Metadata, patience: Patience) -> Ending {
        if !at_end {
            Ending::Open
        } else if !patience.follow || self.has_left(metadata, patience) {
            Ending::Final
        } else if lines.in_document() && self.quiet >= patience.document {
            Ending::Quiet
        } else {
            Ending::Open
        }
    }

    fn has_left(&self, metadata: &Metadata, patience: Patience) -> bool {
        let looks = if metadata.nlink() == 0 { patience.removed } else { patience.renamed };
        self.leaving && self.quiet >= looks
    }

    /// Whether the file has been cut off since it was last read, perhaps to grow again.
    fn cut_off(&mut self, metadata: &Metadata, lines: &Lines) -> io::Result<bool> {
        let read = self.offset + lines.pending();
        if metadata.len() < read {
            return Ok(true);
        }
        let suspect = self.at_end && metadata.len() > read;
        Ok(suspect && !self.fingerprint.matches(&self.file)?)
    }

    /// Goes back to the beginning. What was read of the last line is taken as it is: there is no more of it.
    fn begin_again(&mut self, lines: &mut Lines, envelope: &mut Envelope) -> Option<Batch> {
        warn!(path = %self.path.display(), offset = self.offset, "file was truncated; reading it from its beginning");
        let mut records = Vec::new();
        while lines.take(Ending::Final, envelope, &mut records) > 0 {}
        lines.clear();
        self.offset = 0;
        self.fingerprint = Fingerprint::default();
        self.at_end = false;
        (!records.is_empty()).then(|| self.batch(records))
    }

    fn batch(&self, records: Vec<(Table, Bytes)>) -> Batch {
        let place = Place {
            inode: self.identity.inode,
            offset: self.offset,
            path: self.path.clone(),
            fingerprint: self.fingerprint,
        };
        Batch { partition: self.partition.clone(), position: place.position(), records }
    }
}
