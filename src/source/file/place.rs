//! Which file this is, and how far it has been read: what stands in the spool as a position.
//!
//! A file is known by device and inode, so that it is followed through renames. An inode is used again once its
//! file is gone, so the first bytes must also be the same before an old offset is trusted.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::record::{Partition, Position};

/// What a file is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

impl Identity {
    /// The identity in what the system tells of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The partition of the file's records.
    #[must_use]
    pub fn partition(self) -> Partition {
        Partition(format!("{:x}:{:x}", self.device, self.inode))
    }
}

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file's inode; its device is in the partition only, as it may change when the machine starts.
    pub inode: u64,
    /// All bytes before are records in the spool.
    pub offset: u64,
    /// The name it had.
    pub path: PathBuf,
    /// Its first bytes.
    pub fingerprint: Fingerprint,
}

impl Place {
    /// The place as a position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(serde_json::to_string(self).unwrap_or_default())
    }

    /// The place in a position; `None` when another version wrote it in a way not known here.
    #[must_use]
    pub fn read(position: &Position) -> Option<Self> {
        serde_json::from_str(&position.0).ok()
    }
}

/// The first bytes of a file, as far as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many.
    pub length: u64,
    /// Their CRC32C.
    pub crc: u32,
}

impl Fingerprint {
    /// The fingerprint of a file that has been read up to `offset`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn extended(self, file: &File, offset: u64) -> io::Result<Self> {
        if self.length == LENGTH || self.length == offset.min(LENGTH) {
            return Ok(self);
        }
        let length = offset.min(LENGTH);
        Ok(Self { length, crc: crc(file, length)?.unwrap_or_default() })
    }

    /// Whether the file begins like this.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn matches(self, file: &File) -> io::Result<bool> {
        Ok(crc(file, self.length)? == Some(self.crc))
    }
}

/// The CRC of the first `length` bytes; `None` when the file is shorter.
fn crc(file: &File, length: u64) -> io::Result<Option<u32>> {
    let mut buffer = [0; 1024];
    let Some(beginning) = usize::try_from(length).ok().and_then(|length| buffer.get_mut(..length)) else {
        return Ok(None);
    };
    match file.read_exact_at(beginning, 0) {
        Ok(()) => Ok(Some(crc32c::crc32c(beginning))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Enough to tell two files with the same kind of records apart, few enough for one read.
const LENGTH: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_written() {
        let place = Place {
            inode: 7,
            offset: u64::MAX,
            path: "/var/log/x \"y\".json".into(),
            fingerprint: Fingerprint { length: 3, crc: 9 },
        };
        assert_eq!(Place::read(&place.position()), Some(place));
        assert_eq!(Place::read(&Position("something else".to_owned())), None);
    }

    #[test]
    fn a_file_is_known_by_its_first_bytes_as_it_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, "abc").unwrap();
        let file = File::open(&path).unwrap();
        let first = Fingerprint::default().extended(&file, 3).unwrap();
        assert_eq!(first.length, 3);
        std::fs::write(&path, "abc".repeat(1000)).unwrap();
        assert!(first.matches(&file).unwrap());
        let second = first.extended(&file, 3000).unwrap();
        assert_eq!(second.length, LENGTH);
        assert_eq!(second.extended(&file, 2).unwrap(), second);
        std::fs::write(&path, "abd").unwrap();
        assert!(!first.matches(&file).unwrap());
        assert!(!second.matches(&file).unwrap());
        assert!(Fingerprint::default().matches(&file).unwrap());
    }
}
