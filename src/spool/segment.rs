//! A segment file: a header with all positions, then frames.
//!
//! ```text
//! magic 8 · version u32 · length u32 · CRC32C u32 · first sequence u64 · opened u64          36 bytes
//! count u32 · count × (source text16 · partition text16 · position text32)                   `length` bytes
//! frames
//! ```
//!
//! The name is the first sequence number. A segment ends where the next one begins, whatever its file holds beyond
//! that: a segment given up after a failed sync may hold frames that were written again in the next.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SpoolError;
use super::disk::{self, Disk};
use super::frame::{self, Frame, Header, Input};
use crate::record::{Name, Partition, Position, Timestamp};

/// Where every partition of every source resumes.
pub(super) type Positions = BTreeMap<(Name, Partition), Position>;

/// A segment as far as its records are durable.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) path: Arc<Path>,
    /// The first sequence number.
    pub(super) first: u64,
    /// The sequence number after the last durable record.
    pub(super) end: u64,
    /// Bytes before the first frame.
    pub(super) header: u64,
    /// Bytes of the file that are durable.
    pub(super) bytes: u64,
    /// When it was begun.
    pub(super) opened: Timestamp,
    /// Every destination has it, and the page cache was told.
    pub(super) released: bool,
    /// A bad frame was met in it.
    pub(super) damaged: bool,
}

impl Extent {
    /// Whether it holds no record.
    pub(super) fn is_empty(&self) -> bool {
        self.first == self.end
    }
}

/// Begins a segment: the file, its header and its name are durable when this returns.
pub(super) fn create(
    directory: &Path,
    first: u64,
    positions: &Positions,
    disk: &Disk,
) -> io::Result<(File, Extent)> {
    let path = directory.join(file_name(first, SEGMENT));
    let temporary = path.with_extension(disk::TEMPORARY);
    let opened = Timestamp::now();
    let content = encode_header(first, opened, positions).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new().append(true).create(true).open(&temporary)?;
    file.set_len(0)?;
    disk.write(&mut file, &mut [IoSlice::new(&content)])?;
    disk.sync(&file)?;
    // Replaces one of the same name, which then holds no record: its positions are in this header.
    fs::rename(&temporary, &path)?;
    disk::sync_directory(directory)?;
    let header = content.len() as u64;
    Ok((
        file,
        Extent {
            path: path.into(),
            first,
            end: first,
            header,
            bytes: header,
            opened,
            released: false,
            damaged: false,
        },
    ))
}

/// What the start of a segment says.
pub(super) struct Opening {
    pub(super) first: u64,
    pub(super) opened: Timestamp,
    pub(super) positions: Positions,
    /// Where the frames begin.
    pub(super) header: u64,
}

/// Reads the header; `None` when it is torn or damaged. A version this program does not know is an error.
pub(super) fn read_header(path: &Path, file: &File) -> Result<Option<Opening>, SpoolError> {
    let failed = |source| SpoolError::Read { path: path.to_owned(), source };
    let length = file.metadata().map_err(failed)?.len();
    let mut fixed = [0; FIXED];
    if length < FIXED as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut fixed, 0).map_err(failed)?;
    let mut input = Input(&fixed);
    if input.take(MAGIC.len()) != Some(MAGIC.as_slice()) {
        return Ok(None);
    }
    let (Some(version), Some(snapshot)) = (input.u32(), input.u32()) else { return Ok(None) };
    if version > VERSION {
        return Err(SpoolError::NewerFormat { path: path.to_owned(), found: version, known: VERSION });
    }
    if u64::from(snapshot) > length - FIXED as u64 {
        return Ok(None);
    }
    let mut header = fixed.to_vec();
    header.resize(FIXED + snapshot as usize, 0);
    file.read_exact_at(&mut header[FIXED..], FIXED as u64).map_err(failed)?;
    Ok(decode_header(&header))
}

fn encode_header(first: u64, opened: Timestamp, positions: &Positions) -> Result<Vec<u8>, frame::TooLarge> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&opened.0.to_le_bytes());
    out.extend_from_slice(&u32::try_from(positions.len()).map_err(|_| frame::TooLarge)?.to_le_bytes());
    for ((source, partition), position) in positions {
        frame::text16(&mut out, source)?;
        frame::text16(&mut out, &partition.0)?;
        frame::text32(&mut out, &position.0)?;
    }
    let length = u32::try_from(out.len() - FIXED).map_err(|_| frame::TooLarge)?;
    out[12..16].copy_from_slice(&length.to_le_bytes());
    let checksum = header_checksum(&out);
    out[16..20].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

fn decode_header(bytes: &[u8]) -> Option<Opening> {
    let mut input = Input(bytes.get(16..)?);
    if input.u32()? != header_checksum(bytes) {
        return None;
    }
    let first = input.u64()?;
    let opened = Timestamp(i64::try_from(input.u64()?).ok()?);
    let mut positions = Positions::new();
    for _ in 0..input.u32()? {
        let key = (input.text16()?.into(), Partition(input.text16()?.to_owned()));
        positions.insert(key, Position(input.text32()?.to_owned()));
    }
    Some(Opening { first, opened, positions, header: bytes.len() as u64 })
}

fn header_checksum(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..16]), &header[20..])
}

/// Frames of a file in order, read through one buffer that is used again and again.
pub(super) struct Scan<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// Where the next frame begins.
    pub(super) offset: u64,
    limit: u64,
}

impl<'f> Scan<'f> {
    /// Frames between two places of a file.
    pub(super) fn new(file: &'f File, offset: u64, limit: u64) -> Self {
        Self { file, buffer: Vec::new(), offset, limit }
    }

    /// The next whole and undamaged frame and its place; `None` at the first bytes that are not one.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Frame<'_>)>> {
        let Some(header) = read_frame_header(self.file, self.offset, self.limit)? else { return Ok(None) };
        if self.buffer.len() < header.size() {
            self.buffer.resize(header.size(), 0);
        }
        self.file.read_exact_at(&mut self.buffer[..header.size()], self.offset)?;
        let Some(frame) = Frame::read(&self.buffer[..header.size()]) else { return Ok(None) };
        let place = self.offset;
        self.offset += header.size() as u64;
        Ok(Some((place, frame)))
    }
}

/// The header of the frame at a place, if it can be one and the frame ends within the limit.
pub(super) fn read_frame_header(file: &File, offset: u64, limit: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; frame::HEADER];
    if limit.saturating_sub(offset) < frame::HEADER as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Header::parse(&bytes).filter(|header| header.size() as u64 <= limit - offset))
}

/// The first whole frame at or after a place whose records lie in a range: how reading goes on behind damage.
pub(super) fn find_frame(
    file: &File,
    mut offset: u64,
    limit: u64,
    sequences: std::ops::RangeInclusive<u64>,
) -> io::Result<Option<(u64, Header)>> {
    let mut window = vec![0; SEARCH_WINDOW];
    while limit.saturating_sub(offset) >= frame::HEADER as u64 {
        let length = SEARCH_WINDOW.min(usize::try_from(limit - offset).unwrap_or(SEARCH_WINDOW));
        file.read_exact_at(&mut window[..length], offset)?;
        let last = length - frame::HEADER;
        for at in 0..=last {
            let Some(header) = Header::parse(&window[at..length]) else { continue };
            let place = offset + at as u64;
            let plausible = sequences.contains(&header.first)
                && sequences.contains(&header.end())
                && header.size() as u64 <= limit - place;
            if plausible && Scan::new(file, place, limit).next()?.is_some() {
                return Ok(Some((place, header)));
            }
        }
        offset += last as u64 + 1;
    }
    Ok(None)
}

/// The files of a spool's folder that are segments, in order; `.corrupt` ones are still read as far as they can be.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if matches!(extension, Some(SEGMENT | CORRUPT))
            && stem.len() == 20
            && let Ok(first) = stem.parse()
        {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a segment file.
pub(super) fn file_name(first: u64, extension: &str) -> String {
    format!("{first:020}.{extension}")
}

/// The extension of a segment.
pub(super) const SEGMENT: &str = "segment";
/// The extension of a segment with a bad frame, set aside from repair but still read.
pub(super) const CORRUPT: &str = "corrupt";
/// The extension of a segment whose header cannot be read; the spool does not use it again.
pub(super) const UNREADABLE: &str = "unreadable";
/// The format this program writes; it reads this and older ones.
pub(super) const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"CEFGATE\n";
const FIXED: usize = 36;
const SEARCH_WINDOW: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn positions() -> Positions {
        [("a", "p", "1"), ("a", "q", "{}"), ("b", "p", "")]
            .map(|(source, partition, position)| {
                ((source.into(), Partition(partition.into())), Position(position.into()))
            })
            .into()
    }

    #[test]
    fn a_header_gives_back_its_positions() {
        let folder = tempfile::tempdir().unwrap();
        let (_, extent) = create(folder.path(), 42, &positions(), &Disk::default()).unwrap();
        let opening = read_header(&extent.path, &File::open(&extent.path).unwrap()).unwrap().unwrap();
        assert_eq!((opening.first, opening.header), (42, extent.bytes));
        assert_eq!(opening.positions, positions());
        assert_eq!(list(folder.path()).unwrap(), [(42, extent.path.to_path_buf())]);
    }

    #[test]
    fn every_cut_and_every_changed_bit_of_a_header_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (_, extent) = create(folder.path(), 42, &positions(), &Disk::default()).unwrap();
        let whole = fs::read(&extent.path).unwrap();
        let read = |bytes: &[u8]| {
            let path = folder.path().join("x");
            fs::write(&path, bytes).unwrap();
            read_header(&path, &File::open(&path).unwrap())
        };
        for length in 0..whole.len() {
            assert!(matches!(read(&whole[..length]), Ok(None)), "cut at {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&bytes), Ok(None) | Err(SpoolError::NewerFormat { .. })), "bit {bit}");
        }
    }
}
