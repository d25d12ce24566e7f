//! Turns durable frames into records: one read for about a mebibyte, one check of each frame, no allocation a record.
//!
//! Record bodies are slices of the buffer that was read; the buffer is used again once all of them are gone. Reads
//! block; who must not block calls from a blocking task.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, Header};
use super::segment::{Extent, find_frame, read_frame_header};
use super::{Chunk, Cursor, SpoolError};
use crate::record::{Name, Record, Table, Timestamp};

/// A place in the log, and what reading on from it needs.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    open: Option<Open>,
    buffers: Vec<Bytes>,
    names: Names,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Which segment it is.
    first: u64,
    /// Where the next frame begins.
    offset: u64,
    /// The sequence number it must have.
    sequence: u64,
}

/// What was met.
#[derive(Debug)]
pub(super) enum Piece {
    Chunk(Chunk),
    /// No record of the segment is left.
    End,
    /// Records from `from` to before `to` cannot be read; reading goes on at `to`.
    Damage {
        from: u64,
        to: u64,
    },
    /// The file is not there.
    Gone,
}

impl Scanner {
    /// Reads on at a record of a segment.
    pub(super) fn read(&mut self, extent: &Extent, from: u64) -> Result<Piece, SpoolError> {
        match self.try_read(extent, from) {
            Ok(piece) => Ok(piece),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Piece::Gone),
            Err(source) => Err(SpoolError::Read { path: extent.path.to_path_buf(), source }),
        }
    }

    fn try_read(&mut self, extent: &Extent, from: u64) -> io::Result<Piece> {
        let mut open = match self.open.take() {
            Some(open) if open.first == extent.first && open.sequence <= from => open,
            _ => Open {
                file: File::open(&extent.path)?,
                first: extent.first,
                offset: extent.header,
                sequence: extent.first,
            },
        };
        let piece = self.read_open(&mut open, extent, from);
        self.open = Some(open);
        piece
    }

    fn read_open(&mut self, open: &mut Open, extent: &Extent, from: u64) -> io::Result<Piece> {
        loop {
            if open.sequence >= extent.end {
                return Ok(Piece::End);
            }
            let header = read_frame_header(&open.file, open.offset, extent.bytes)?
                .filter(|header| header.first == open.sequence && header.end() <= extent.end);
            let Some(header) = header else { return damage(open, extent, from) };
            if header.end() > from {
                let (buffer, filled) = self.fill(open, extent, header)?;
                let chunk = self.records(&buffer, filled, open, extent, from);
                self.buffers.push(buffer);
                return match chunk {
                    Some(chunk) => Ok(Piece::Chunk(chunk)),
                    None => damage(open, extent, from),
                };
            }
            open.offset += header.size() as u64;
            open.sequence = header.end();
        }
    }

    /// Reads about a mebibyte, at least one frame. The buffer, and how many bytes of it were read.
    fn fill(&mut self, open: &Open, extent: &Extent, header: Header) -> io::Result<(Bytes, usize)> {
        let there = usize::try_from(extent.bytes - open.offset).unwrap_or(usize::MAX);
        let wanted = CHUNK_BYTES.min(there).max(header.size());
        let mut buffer = self.buffer(wanted);
        open.file.read_exact_at(&mut buffer[..wanted], open.offset)?;
        Ok((buffer.freeze(), wanted))
    }

    /// A buffer nothing refers to any more, or a new one.
    fn buffer(&mut self, wanted: usize) -> BytesMut {
        for at in (0..self.buffers.len()).rev() {
            if !self.buffers[at].is_unique() {
                continue;
            }
            if let Ok(buffer) = self.buffers.swap_remove(at).try_into_mut()
                && buffer.len() >= wanted
                && buffer.len() <= wanted.max(CHUNK_BYTES)
            {
                return buffer;
            }
        }
        // Forgetting one gives it to whoever still holds its records.
        self.buffers.truncate(MAX_BUFFERS - 1);
        BytesMut::zeroed(wanted.max(CHUNK_BYTES))
    }

    /// The records of the whole frames in a buffer; `None` when the first is bad.
    fn records(
        &mut self,
        buffer: &Bytes,
        filled: usize,
        open: &mut Open,
        extent: &Extent,
        from: u64,
    ) -> Option<Chunk> {
        let mut records = Vec::new();
        let mut at = 0;
        while let Some(frame) = Frame::read(&buffer[at..filled])
            && frame.header.first == open.sequence
            && frame.header.end() <= extent.end
        {
            records.reserve(frame.header.records as usize);
            let source = self.names.share(frame.source);
            let tenant = self.names.share(frame.tenant);
            let tables: Vec<Table> =
                frame.tables.iter().map(|table| Table(self.names.share(table))).collect();
            let received = Timestamp(frame.header.time);
            for (sequence, (table, place)) in (frame.header.first..).zip(frame.bodies()) {
                if sequence < from {
                    continue;
                }
                records.push(Record {
                    sequence,
                    received,
                    source: source.clone(),
                    tenant: tenant.clone(),
                    table: tables[table].clone(),
                    body: buffer.slice(at + place.start..at + place.end),
                });
            }
            at += frame.header.size();
            open.offset += frame.header.size() as u64;
            open.sequence = frame.header.end();
            if open.sequence >= extent.end {
                break;
            }
        }
        (at > 0).then_some(Chunk { records, end: Cursor(open.sequence) })
    }
}

/// One shared text for each name.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Name>);

impl Names {
    /// The shared text equal to a text.
    pub(super) fn share(&mut self, text: &str) -> Name {
        if let Some(name) = self.0.get(text) {
            return name.clone();
        }
        if self.0.len() >= MAX_NAMES {
            self.0.clear();
        }
        let name: Name = text.into();
        self.0.insert(name.clone());
        name
    }
}

/// The first record of a segment that was appended at or after a time.
pub(super) fn find_time(extent: &Extent, time: Timestamp) -> Result<Option<u64>, SpoolError> {
    let find = || -> io::Result<Option<u64>> {
        let file = File::open(&extent.path)?;
        let mut offset = extent.header;
        while let Some(header) = read_frame_header(&file, offset, extent.bytes)?
            && header.first < extent.end
        {
            if header.records > 0 && header.time >= time.0 {
                return Ok(Some(header.first));
            }
            offset += header.size() as u64;
        }
        Ok(None)
    };
    find().map_err(|source| SpoolError::Read { path: extent.path.to_path_buf(), source })
}

/// Goes on at the next whole frame behind a bad one, or at the end of the segment.
fn damage(open: &mut Open, extent: &Extent, from: u64) -> io::Result<Piece> {
    let lost_from = open.sequence.max(from);
    match find_frame(&open.file, open.offset + 1, extent.bytes, open.sequence..=extent.end)? {
        Some((offset, header)) => (open.offset, open.sequence) = (offset, header.first),
        None => (open.offset, open.sequence) = (extent.bytes, extent.end),
    }
    Ok(Piece::Damage { from: lost_from, to: open.sequence.max(lost_from) })
}

/// Bytes asked for in one read.
const CHUNK_BYTES: usize = 1 << 20;
/// Buffers kept: handed out, being read, and one between.
const MAX_BUFFERS: usize = 4;
/// Names come from outside; more than these are not kept.
const MAX_NAMES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, Partition, Position};
    use crate::spool::disk::Disk;
    use crate::spool::{frame, segment};

    #[test]
    fn neither_writing_nor_reading_allocates_for_a_record() {
        let records: Vec<_> = (0..5_000)
            .map(|number| (Table::new(["a", "b", "c"][number % 3]), Bytes::from(vec![b'x'; 200])))
            .collect();
        let batch = Batch { partition: Partition("p".into()), position: Position("1".into()), records };
        let (source, tenant): (Name, Name) = ("s".into(), "".into());
        let mut buffer = Vec::new();
        let mut encode = || {
            buffer.clear();
            frame::encode(&mut buffer, &source, &tenant, &batch, frame::Position::Replaces).unwrap();
        };
        encode();
        let written = allocation_counter::measure(&mut encode);
        assert!(written.count_total < 20, "{written:?}");
        let end = frame::seal(&mut buffer, 1, 1);

        let folder = tempfile::tempdir().unwrap();
        let (mut file, mut extent) =
            segment::create(folder.path(), 1, &segment::Positions::new(), &Disk::default()).unwrap();
        Disk::default().write(&mut file, &mut [io::IoSlice::new(&buffer)]).unwrap();
        (extent.end, extent.bytes) = (end, extent.bytes + buffer.len() as u64);
        let mut scanner = Scanner::default();
        let mut read = || {
            let mut from = 1;
            while let Piece::Chunk(chunk) = scanner.read(&extent, from).unwrap() {
                assert_eq!(chunk.records[0].sequence, from);
                from = chunk.end.0;
            }
            assert_eq!(from, end);
        };
        read();
        let read = allocation_counter::measure(&mut read);
        assert!(read.count_total < 60, "{read:?}");
        assert!(read.bytes_max < 2 << 20, "the buffer is used again: {read:?}");
    }
}
