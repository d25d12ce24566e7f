//! The frame: some records of one batch, with the position to resume from if they are its last.
//!
//! ```text
//! header   length u32 · CRC32C u32 · first sequence u64 · append time u64 · flags u32 · records u32     32 bytes
//! payload  source text16 · tenant text16 · partition text16
//!          records × (table u8 · body length u32)
//!          tables u8 · tables × text16
//!          position text32                              if flag POSITION; with EXTENDS, what is put behind it
//!          bodies, back to back
//! ```
//!
//! Numbers are little-endian; `text16` is a length of 16 bits and that many bytes of UTF-8. The length counts the
//! payload. The checksum covers the length and everything after itself. Nothing here does IO.

use bytes::Bytes;

use crate::record::{Batch, Name, Table};

/// The fixed start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    checksum: u32,
    pub(super) first: u64,
    pub(super) time: i64,
    flags: u32,
    pub(super) records: u32,
}

impl Header {
    /// Reads a header; `None` when it cannot be one, so that no length is trusted before it is bounded.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let header = Self {
            length: input.u32()?,
            checksum: input.u32()?,
            first: input.u64()?,
            time: i64::try_from(input.u64()?).ok()?,
            flags: input.u32()?,
            records: input.u32()?,
        };
        (header.length <= MAX_PAYLOAD && header.first > 0 && header.records <= header.length)
            .then_some(header)
    }

    /// The bytes of the whole frame.
    pub(super) fn size(&self) -> usize {
        HEADER + self.length as usize
    }

    /// The sequence number after the last record.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.records))
    }
}

/// The content of a frame, borrowed from its bytes.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    pub(super) source: &'a str,
    pub(super) tenant: &'a str,
    pub(super) partition: &'a str,
    pub(super) tables: Vec<&'a str>,
    pub(super) position: Option<&'a str>,
    pub(super) extends: bool,
    pub(super) forgets: bool,
    index: &'a [u8],
    bodies_at: usize,
}

impl<'a> Frame<'a> {
    /// Checks and takes apart a frame that starts at the first byte; bytes after it are ignored.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::parse(bytes)?;
        let bytes = bytes.get(..header.size())?;
        if checksum(bytes) != header.checksum {
            return None;
        }
        let mut input = Input(&bytes[HEADER..]);
        let (source, tenant, partition) = (input.text16()?, input.text16()?, input.text16()?);
        let index = input.take((header.records as usize).checked_mul(INDEX_ENTRY)?)?;
        let tables = (0..input.u8()?).map(|_| input.text16()).collect::<Option<Vec<_>>>()?;
        let position = if header.flags & POSITION == 0 { None } else { Some(input.text32()?) };
        let frame = Self {
            header,
            source,
            tenant,
            partition,
            tables,
            position,
            extends: header.flags & EXTENDS != 0,
            forgets: header.flags & FORGET != 0,
            index,
            bodies_at: bytes.len() - input.0.len(),
        };
        let total: u64 = frame.index().map(|(_, length)| length as u64).sum();
        let tables_hold = frame.index().all(|(table, _)| table < frame.tables.len());
        (tables_hold && total == input.0.len() as u64).then_some(frame)
    }

    /// Table number and place of each body, counted from the start of the frame.
    pub(super) fn bodies(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        let mut at = self.bodies_at;
        self.index().map(move |(table, length)| {
            let start = at;
            at += length;
            (table, start..at)
        })
    }

    fn index(&self) -> impl Iterator<Item = (usize, usize)> {
        self.index
            .as_chunks::<INDEX_ENTRY>()
            .0
            .iter()
            .map(|[table, a, b, c, d]| (usize::from(*table), u32::from_le_bytes([*a, *b, *c, *d]) as usize))
    }
}

/// A part of a batch is larger than a frame can hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// What the position of a batch is to the one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// It takes its place.
    Replaces,
    /// It is put behind it.
    Extends,
}

/// Writes a batch as one or more frames, the position in the last. Sequence, time and checksum follow in [`seal`].
pub(super) fn encode(
    out: &mut Vec<u8>,
    source: &Name,
    tenant: &Name,
    batch: &Batch,
    position: Position,
) -> Result<(), TooLarge> {
    let flags = match position {
        Position::Replaces => POSITION,
        Position::Extends => POSITION | EXTENDS,
    };
    let bodies: usize = batch.records.iter().map(|(_, body)| body.len() + INDEX_ENTRY).sum();
    out.reserve(bodies + batch.position.0.len() + (bodies / FRAME_BYTES + 1) * 512);
    let origin = [source, tenant, batch.partition.0.as_str()];
    let mut rest = batch.records.as_slice();
    loop {
        let start = out.len();
        begin(out, origin)?;
        let taken = index(out, rest)?;
        let (now, later) = rest.split_at(taken);
        let last = later.is_empty();
        if last {
            text32(out, &batch.position.0)?;
        }
        for (_, body) in now {
            out.extend_from_slice(body);
        }
        finish(out, start, if last { flags } else { 0 }, now.len())?;
        rest = later;
        if last {
            return Ok(());
        }
    }
}

/// Writes the frame that says a partition is gone for good.
pub(super) fn encode_forget(
    out: &mut Vec<u8>,
    source: &str,
    tenant: &str,
    partition: &str,
) -> Result<(), TooLarge> {
    let start = out.len();
    begin(out, [source, tenant, partition])?;
    out.push(0);
    finish(out, start, FORGET, 0)
}

/// Gives the frames in a buffer their sequence numbers, time and checksums; returns the sequence after them.
pub(super) fn seal(mut frames: &mut [u8], mut sequence: u64, time: i64) -> u64 {
    let time = u64::try_from(time).unwrap_or(0);
    while let Some(header) = Header::parse(frames) {
        let Some((frame, later)) = frames.split_at_mut_checked(header.size()) else { break };
        frame[8..16].copy_from_slice(&sequence.to_le_bytes());
        frame[16..24].copy_from_slice(&time.to_le_bytes());
        let checksum = checksum(frame);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        sequence += u64::from(header.records);
        frames = later;
    }
    sequence
}

fn begin(out: &mut Vec<u8>, origin: [&str; 3]) -> Result<(), TooLarge> {
    out.extend_from_slice(&[0; HEADER]);
    origin.into_iter().try_for_each(|text| text16(out, text))
}

/// Writes index and tables of as many records as the frame takes, and returns how many that are.
fn index(out: &mut Vec<u8>, records: &[(Table, Bytes)]) -> Result<usize, TooLarge> {
    let mut tables: Vec<&Name> = Vec::with_capacity(8);
    let (mut taken, mut bytes) = (0, 0);
    for (table, body) in records {
        bytes += body.len() + INDEX_ENTRY;
        let known = tables.iter().position(|known| known.as_ptr() == table.0.as_ptr() || **known == table.0);
        if taken > 0 && (bytes > FRAME_BYTES || known.is_none() && tables.len() == MAX_TABLES) {
            break;
        }
        let number = known.unwrap_or_else(|| {
            tables.push(&table.0);
            tables.len() - 1
        });
        out.push(u8::try_from(number).map_err(|_| TooLarge)?);
        out.extend_from_slice(&u32::try_from(body.len()).map_err(|_| TooLarge)?.to_le_bytes());
        taken += 1;
    }
    out.push(u8::try_from(tables.len()).map_err(|_| TooLarge)?);
    tables.into_iter().try_for_each(|table| text16(out, table))?;
    Ok(taken)
}

fn finish(out: &mut [u8], start: usize, flags: u32, records: usize) -> Result<(), TooLarge> {
    let length = u32::try_from(out.len() - start - HEADER).map_err(|_| TooLarge)?;
    if length > MAX_PAYLOAD {
        return Err(TooLarge);
    }
    let header = &mut out[start..start + HEADER];
    header[0..4].copy_from_slice(&length.to_le_bytes());
    // Any number but zero lets `seal` find the frame; it writes the real one.
    header[8..16].copy_from_slice(&1u64.to_le_bytes());
    header[24..28].copy_from_slice(&flags.to_le_bytes());
    header[28..32].copy_from_slice(&u32::try_from(records).map_err(|_| TooLarge)?.to_le_bytes());
    Ok(())
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

/// Writes a text with a length of 16 bits.
pub(super) fn text16(out: &mut Vec<u8>, text: &str) -> Result<(), TooLarge> {
    out.extend_from_slice(&u16::try_from(text.len()).map_err(|_| TooLarge)?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes a text with a length of 32 bits.
pub(super) fn text32(out: &mut Vec<u8>, text: &str) -> Result<(), TooLarge> {
    out.extend_from_slice(&u32::try_from(text.len()).map_err(|_| TooLarge)?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Bytes read from the front; every step is bounded by what is there.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text16(&mut self) -> Option<&'a str> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        std::str::from_utf8(self.take(length)?).ok()
    }

    pub(super) fn text32(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 32;
/// No payload is longer; a longer length is damage. Bounds every allocation made for a frame.
pub(super) const MAX_PAYLOAD: u32 = 64 << 20;
/// A frame takes no further record beyond this, so that a chunk holds several frames.
const FRAME_BYTES: usize = 256 << 10;
/// A frame takes no further table beyond this, so that finding one stays cheap.
const MAX_TABLES: usize = 64;
const INDEX_ENTRY: usize = 5;
const POSITION: u32 = 1;
const FORGET: u32 = 2;
const EXTENDS: u32 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Partition;

    fn batch(records: &[(&str, &[u8])]) -> Batch {
        Batch {
            partition: Partition("part/0".into()),
            position: crate::record::Position("{\"at\":7}".into()),
            records: records
                .iter()
                .map(|(table, body)| (Table::new(table), Bytes::copy_from_slice(body)))
                .collect(),
        }
    }

    type Read = (u64, String, Vec<u8>);

    /// Every record of the frames in a buffer, and the positions met.
    fn read_all(mut bytes: &[u8]) -> (Vec<Read>, Vec<String>) {
        let (mut records, mut positions) = (Vec::new(), Vec::new());
        while !bytes.is_empty() {
            let frame = Frame::read(bytes).expect("a sealed frame");
            for (sequence, (table, place)) in (frame.header.first..).zip(frame.bodies()) {
                records.push((sequence, frame.tables[table].to_owned(), bytes[place].to_vec()));
            }
            positions.extend(frame.position.map(str::to_owned));
            bytes = &bytes[frame.header.size()..];
        }
        (records, positions)
    }

    fn round_trip(batch: &Batch) {
        let mut out = Vec::new();
        encode(&mut out, &"src".into(), &"ten".into(), batch, Position::Replaces).unwrap();
        assert_eq!(seal(&mut out, 5, 1_000), 5 + batch.records.len() as u64);
        let (records, positions) = read_all(&out);
        let expected: Vec<_> = (5..)
            .zip(&batch.records)
            .map(|(sequence, (table, body))| (sequence, table.to_string(), body.to_vec()))
            .collect();
        assert_eq!(records, expected);
        assert_eq!(
            positions,
            std::slice::from_ref(&batch.position.0),
            "the position stands once, in the last frame"
        );
    }

    #[test]
    fn a_batch_without_records_still_carries_its_position() {
        round_trip(&batch(&[]));
    }

    #[test]
    fn a_large_batch_is_split_by_bytes_and_by_tables() {
        let body = vec![b'x'; 100_000];
        round_trip(&batch(&[("a", &body), ("b", &body), ("a", &body), ("c", &body), ("a", b"")]));
        let names: Vec<String> = (0..300).map(|number| format!("table{number}")).collect();
        let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"{}"[..])).collect();
        round_trip(&batch(&records));
        round_trip(&batch(&[("a", &vec![b'y'; 3 << 20])]));
    }

    #[test]
    fn what_no_frame_can_hold_is_refused() {
        let body = vec![0; MAX_PAYLOAD as usize];
        let refused =
            encode(&mut Vec::new(), &"s".into(), &"".into(), &batch(&[("a", &body)]), Position::Replaces);
        assert_eq!(refused, Err(TooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_encoded_is_read_back(
            records in proptest::collection::vec(("[a-c]{1,2}", proptest::collection::vec(any::<u8>(), 0..300)), 0..40)
        ) {
            let records: Vec<(&str, &[u8])> =
                records.iter().map(|(table, body)| (table.as_str(), body.as_slice())).collect();
            round_trip(&batch(&records));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::read(&bytes);
            let _ = seal(&mut bytes.clone(), 1, 1);
        }

        #[test]
        fn a_changed_bit_is_noticed(bit in 0usize..8 * 60) {
            let mut out = Vec::new();
            encode(&mut out, &"src".into(), &"".into(), &batch(&[("a", b"{\"x\":1}")]), Position::Extends).unwrap();
            seal(&mut out, 1, 1);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Frame::read(&out).is_none());
        }
    }
}
