//! One open file, read from where its records end.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// How long it was when last read to its end; more has not come since.
    seen: u64,
    /// When it last grew.
    grew: Instant,
    /// What was made of its end when that last gave no record; `None` before its end was reached.
    rested: Option<Ending>,
}

/// What a file at rest means.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whether files grow at all.
    pub follow: bool,
    /// After so long without growth an unfinished document is taken as lines.
    pub document: Duration,
    /// After so long without growth a file that is leaving is at its end.
    pub renamed: Duration,
    /// The same for one that has no name any more.
    pub removed: Duration,
}

impl Tail {
    /// Whether the file at `path` is the one of `place`.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn is_at(path: &Path, place: &Place) -> io::Result<bool> {
        let file = File::open(path)?;
        Ok(file.metadata()?.len() >= place.offset && place.fingerprint.matches(&file)?)
    }

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
            seen: 0,
            grew: Instant::now(),
            rested: None,
        };
        if let Some(place) = place {
            if metadata.len() >= place.offset && place.fingerprint.matches(&tail.file)? {
                tail.offset = place.offset;
                tail.seen = place.offset;
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

    /// Whether [`read`](Self::read) may find anything: it has grown, or rested long enough for its end to count.
    #[must_use]
    pub fn is_due(&self, patience: Patience) -> bool {
        match (self.rested, self.file.metadata()) {
            (Some(rested), Ok(metadata)) => {
                metadata.len() != self.seen || self.ending(&metadata, patience) != rested
            }
            _ => true,
        }
    }

    /// Reads on: the next records, or nothing when the file is at its end for now. `lines` holds what is pending.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(
        &mut self,
        lines: &mut Lines,
        envelope: &mut Envelope,
        patience: Patience,
    ) -> io::Result<Option<Batch>> {
        let metadata = self.file.metadata()?;
        if self.cut_off(&metadata)?
            && let Some(batch) = self.begin_again(lines, envelope)
        {
            return Ok(Some(batch));
        }
        let mut records = Vec::new();
        loop {
            let ending = match self.fill(lines)? {
                true => self.ending(&metadata, patience),
                false => Ending::Open,
            };
            let at_end = !lines.space().is_empty();
            let taken = lines.take(ending, envelope, &mut records);
            self.offset += taken;
            if !records.is_empty() {
                self.rested = None;
                self.fingerprint = self.fingerprint.extended(&self.file, self.offset)?;
                return Ok(Some(self.batch(records)));
            }
            if at_end && taken == 0 {
                self.rested = Some(ending);
                return Ok(None);
            }
        }
    }

    /// Whether all of it has been read that will ever be there.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.rested == Some(Ending::Final)
    }

    /// How many bytes of it are not yet records.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(self.offset))
    }

    /// Fills the space in `lines`; whether the end of the file was reached.
    fn fill(&mut self, lines: &mut Lines) -> io::Result<bool> {
        loop {
            let position = self.offset + lines.pending();
            if position > self.seen {
                self.seen = position;
                self.grew = Instant::now();
            }
            let space = lines.space();
            if space.is_empty() {
                return Ok(false);
            }
            match self.file.read_at(space, position) {
                Ok(0) => return Ok(true),
                Ok(n) => lines.fill(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What its end means by now.
    fn ending(&self, metadata: &Metadata, patience: Patience) -> Ending {
        let quiet = self.grew.elapsed();
        let leaves_after = if metadata.nlink() == 0 { patience.removed } else { patience.renamed };
        if !patience.follow || (self.leaving && quiet >= leaves_after) {
            Ending::Final
        } else if quiet >= patience.document {
            Ending::Quiet
        } else {
            Ending::Open
        }
    }

    /// Whether the file has been cut off since it was last read, perhaps to grow again.
    fn cut_off(&self, metadata: &Metadata) -> io::Result<bool> {
        if metadata.len() < self.seen {
            return Ok(true);
        }
        let suspect = self.rested.is_some() && metadata.len() > self.seen;
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
        self.seen = 0;
        self.rested = None;
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
