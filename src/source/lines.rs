//! Cuts a stream of bytes into messages: lines, or JSON documents that go on over several lines.
//!
//! The reader fills a large buffer; all whole lines in it become one set of records that share it. The rest is
//! copied to the next buffer. Buffers come back from a small pool once their records are stored, so in the
//! steady state nothing is allocated. Where the bytes come from, and their offsets, is the caller's affair.
//!
//! A line above the size limit is not held, unless it wraps many records: it goes through [`Oversized`] as it
//! comes.

use bytes::{Bytes, BytesMut};

use super::document::{Document, Progress};
use super::envelope::{Envelope, begin, wraps_records};
use super::walk::is_blank;
use crate::oversized::Oversized;
use crate::record::Table;

/// A stream being cut.
pub struct Lines {
    pool: Pool,
    /// Bytes read and not yet taken are its first `filled`.
    buffer: BytesMut,
    filled: usize,
    /// There is no line end in the first so many bytes.
    scanned: usize,
    max_record_bytes: usize,
    /// A line too long to be held, and how many bytes of it have come.
    oversized: Option<(Oversized, u64)>,
    /// The value the buffer begins with, while it is not at its end.
    document: Option<Document>,
    /// No document begins in the first so many bytes: looking twice would cost the square of a hostile file.
    no_document: usize,
}

/// What was pending of a stream.
#[derive(Default)]
pub struct Suspended {
    oversized: Option<(Oversized, u64)>,
    bytes: Vec<u8>,
}

/// What is known about bytes after those read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More may come at any time.
    Open,
    /// Nothing has come for a while: what looked like the beginning of a document is taken as lines.
    Quiet,
    /// Nothing more will come: the last line needs no line end.
    Final,
}

impl Lines {
    /// `buffer_bytes` is how much is read at once, and about the size of a batch.
    #[must_use]
    pub fn new(buffer_bytes: usize, max_record_bytes: usize) -> Self {
        let mut pool = Pool { size: buffer_bytes.max(SMALLEST_BUFFER), lent: Vec::new() };
        Self {
            buffer: pool.take(),
            pool,
            filled: 0,
            scanned: 0,
            max_record_bytes,
            oversized: None,
            document: None,
            no_document: 0,
        }
    }

    /// Room for the next read. Not empty once [`take`](Self::take) has nothing more to give.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// `n` bytes have been put at the beginning of the space.
    pub fn fill(&mut self, n: usize) {
        self.filled += n;
    }

    /// How many bytes have come and were not taken.
    #[must_use]
    pub fn pending(&self) -> u64 {
        count(self.filled) + self.oversized.as_ref().map_or(0, |(_, length)| *length)
    }

    /// Forgets the pending bytes.
    pub fn clear(&mut self) {
        self.resume(Suspended::default());
    }

    /// Hands over what is pending, to go on with another stream. What is large and can be read again is left out.
    pub fn suspend(&mut self) -> Suspended {
        let large = self.document.is_some() || self.filled > MAX_SUSPENDED;
        let bytes = if large { Vec::new() } else { self.buffer[..self.filled].to_vec() };
        let suspended = Suspended { oversized: self.oversized.take(), bytes };
        self.clear();
        suspended
    }

    /// Goes on with a stream where it was suspended.
    pub fn resume(&mut self, suspended: Suspended) {
        self.document = None;
        self.no_document = 0;
        self.oversized = suspended.oversized;
        self.filled = 0;
        self.keep(&suspended.bytes, 0);
    }

    /// Moves whole messages into `records` and returns how many bytes of the stream they were.
    ///
    /// One call gives a bounded number of records, so there may be more: zero bytes means that there are not.
    pub fn take(
        &mut self,
        ending: Ending,
        envelope: &mut Envelope,
        records: &mut Vec<(Table, Bytes)>,
    ) -> u64 {
        let taken = self.take_oversized(ending, envelope, records);
        if self.oversized.is_some() {
            return 0;
        }
        let filled = &self.buffer[..self.filled];
        let mut document_end = 0;
        if let Some(document) = &mut self.document {
            match document.scan(filled) {
                Progress::More if ending == Ending::Open && filled.len() < MAX_DOCUMENT_BYTES => {
                    self.make_room();
                    return taken;
                }
                Progress::Complete(length) => document_end = length,
                Progress::More | Progress::Broken => self.no_document = document.sound(),
            }
            self.document = None;
        }
        let lines_end = match ending {
            Ending::Final => filled.len(),
            _ => memchr::memrchr(b'\n', &filled[self.scanned..]).map_or(0, |last| self.scanned + last + 1),
        };
        if lines_end == 0 && document_end == 0 {
            self.scanned = self.filled;
            self.make_room();
            return taken;
        }
        let whole = std::mem::replace(&mut self.buffer, self.pool.take()).freeze();
        let filled = whole.slice(..self.filled);
        if document_end > 0 {
            envelope.split(&filled.slice(..document_end), records);
        }
        let used = self.cut(&filled, document_end, lines_end, ending, envelope, records);
        self.keep(&filled, used);
        self.pool.lend(whole);
        taken + count(used)
    }

    /// Cuts lines from `start` to `end` and returns how far it came: less before an unfinished document, more
    /// when a document ends behind the last line end.
    fn cut(
        &mut self,
        text: &Bytes,
        mut start: usize,
        end: usize,
        ending: Ending,
        envelope: &mut Envelope,
        records: &mut Vec<(Table, Bytes)>,
    ) -> usize {
        while start < end && records.len() < MAX_RECORDS {
            let line_end = memchr::memchr(b'\n', &text[start..end]).map_or(end, |length| start + length + 1);
            if start >= self.no_document
                && let Some(begin) = document_begin(text, start, line_end)
            {
                let mut document = Document::default();
                let progress = document.scan(&text[begin..]);
                match progress {
                    Progress::Complete(length) if begin + length > line_end => {
                        envelope.split(&text.slice(begin..begin + length), records);
                        start = begin + length;
                        continue;
                    }
                    Progress::More if ending == Ending::Open && text.len() - begin < MAX_DOCUMENT_BYTES => {
                        self.document = Some(document);
                        return begin;
                    }
                    _ => self.no_document = begin + document.sound(),
                }
            }
            let line = text.slice(start..content_end(text, start, line_end));
            if line.len() <= self.line_limit(&line) {
                envelope.split(&line, records);
            } else {
                let mut oversized = Oversized::new();
                oversized.update(&line);
                envelope.push_oversized(oversized, records);
            }
            start = line_end;
        }
        start
    }

    /// Goes on with a line too long to be held.
    fn take_oversized(
        &mut self,
        ending: Ending,
        envelope: &mut Envelope,
        records: &mut Vec<(Table, Bytes)>,
    ) -> u64 {
        let Some((mut oversized, length)) = self.oversized.take() else { return 0 };
        let text = &self.buffer[..self.filled];
        let line_end = memchr::memchr(b'\n', text).map(|at| at + 1);
        let used = match line_end {
            Some(end) => end,
            None if ending == Ending::Final => text.len(),
            None => without_return(text).len(),
        };
        oversized.update(&text[..content_end(text, 0, used)]);
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        let length = length + count(used);
        if line_end.is_some() || ending == Ending::Final {
            envelope.push_oversized(oversized, records);
            return length;
        }
        self.oversized = Some((oversized, length));
        0
    }

    /// How long this line may be: a wrapper is more than one record. What decides is the part of it that may be
    /// held in any case, so that it does not depend on how much has come.
    fn line_limit(&self, line: &[u8]) -> usize {
        if line.len() > self.max_record_bytes && wraps_records(&line[..self.max_record_bytes]) {
            MAX_DOCUMENT_BYTES
        } else {
            self.max_record_bytes
        }
    }

    /// Puts what is left of `text` at the beginning of the new buffer.
    fn keep(&mut self, text: &[u8], used: usize) {
        let rest = &text[used..];
        if rest.len() >= self.buffer.len() {
            self.buffer = BytesMut::zeroed(rest.len() + self.pool.size);
        }
        self.buffer[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
        self.scanned = 0;
        self.no_document = self.no_document.saturating_sub(used);
    }

    /// Makes the buffer larger for what does not fit, or gives up holding it.
    fn make_room(&mut self) {
        if self.filled < self.buffer.len() {
            return;
        }
        let limit = match self.document {
            Some(_) => MAX_DOCUMENT_BYTES,
            None => self.line_limit(&self.buffer),
        };
        if self.filled <= limit {
            let larger = self.buffer.len() * 2;
            self.buffer.resize(larger.min(limit + self.pool.size), 0);
            return;
        }
        let long = std::mem::replace(&mut self.buffer, self.pool.take());
        let used = without_return(&long[..self.filled]).len();
        let mut oversized = Oversized::new();
        oversized.update(&long[..used]);
        self.oversized = Some((oversized, count(used)));
        self.keep(&long[..self.filled], used);
    }
}

/// Buffers lent to records, taken back when those are gone.
struct Pool {
    size: usize,
    lent: Vec<Bytes>,
}

impl Pool {
    fn take(&mut self) -> BytesMut {
        let free = self.lent.iter().position(Bytes::is_unique);
        let buffer = free.and_then(|at| self.lent.swap_remove(at).try_into_mut().ok());
        buffer.unwrap_or_else(|| BytesMut::zeroed(self.size))
    }

    fn lend(&mut self, buffer: Bytes) {
        if buffer.len() == self.size && self.lent.len() < MAX_LENT {
            self.lent.push(buffer);
        }
    }
}

/// Where a document begins in the line, when the line opens a bracket and does not end with a closing one.
fn document_begin(text: &[u8], start: usize, line_end: usize) -> Option<usize> {
    let begin = start + begin(&text[start..line_end]);
    let last = text[begin..line_end].iter().rposition(|byte| !is_blank(*byte))? + begin;
    match (text[begin], text[last]) {
        (b'{', b'}') | (b'[', b']') => None,
        (b'{' | b'[', _) => Some(begin),
        _ => None,
    }
}

/// Without a carriage return at the end, which may be half of a line end.
fn without_return(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// The end of the line without its line end.
fn content_end(text: &[u8], start: usize, line_end: usize) -> usize {
    let line = &text[start..line_end];
    let line = line.strip_suffix(b"\n").map_or(line, without_return);
    start + line.len()
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length in memory is below 2^64")
}

/// A wrapper or a document over several lines is held whole up to here.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// A call of `take` stops after the message that reaches this many records.
const MAX_RECORDS: usize = 16_384;
const MAX_LENT: usize = 8;
const MAX_SUSPENDED: usize = 64 * 1024;
const SMALLEST_BUFFER: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The records of a stream that is read in pieces of the given lengths, over and over.
    fn read(stream: &[u8], pieces: &[usize], buffer: usize, limit: usize) -> Vec<(String, Vec<u8>)> {
        let mut lines = Lines::new(buffer, limit);
        let mut envelope = Envelope::new(None, limit);
        let mut records = Vec::new();
        let mut rest = stream;
        let mut taken = 0;
        for piece in pieces.iter().cycle() {
            let space = lines.space();
            let n = (*piece).min(space.len()).min(rest.len());
            assert!(!space.is_empty());
            space[..n].copy_from_slice(&rest[..n]);
            lines.fill(n);
            rest = &rest[n..];
            let ending = if rest.is_empty() { Ending::Final } else { Ending::Open };
            loop {
                let mut some = Vec::new();
                let n = lines.take(ending, &mut envelope, &mut some);
                taken += n;
                records.append(&mut some);
                if n == 0 {
                    break;
                }
            }
            assert_eq!(taken + lines.pending() + count(rest.len()), count(stream.len()));
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(taken, count(stream.len()));
        records.into_iter().map(|(table, body)| (table.to_string(), body.to_vec())).collect()
    }

    fn check(stream: &str, expected: &[&str]) {
        for (piece, buffer) in [(1, 16), (3, 16), (1000, 16), (1000, 4096)] {
            let records = read(stream.as_bytes(), &[piece], buffer, 500);
            let bodies: Vec<_> = records.iter().map(|(_, body)| str::from_utf8(body).unwrap()).collect();
            assert_eq!(bodies, expected, "{stream} in pieces of {piece}");
        }
    }

    #[test]
    fn each_line_is_a_message_whatever_ends_it() {
        check("{\"a\":1}\n{\"b\":2}\r\n\n \n{\"c\":3}", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
        check("text\r\n\r\n{\"records\":[{\"a\":1},{\"b\":2}]}\n", &["text", "{\"a\":1}", "{\"b\":2}"]);
        check("\u{feff}{\"a\":1}\n\0\n", &["{\"a\":1}", "\0"]);
        check("", &[]);
        check("\n", &[]);
    }

    #[test]
    fn a_document_over_several_lines_is_one_message() {
        check(
            "{\n \"value\": [\n  {\"a\":1},\n  {\n\"b\":2}\n ]\n}\n{\"c\":3}\n",
            &["{\"a\":1}", "{\n\"b\":2}", "{\"c\":3}"],
        );
        check("\u{feff}[\r\n{\"a\":1}\r\n,\r\n{\"b\":2}\r\n]", &["{\"a\":1}", "{\"b\":2}"]);
        check("{\n\"a\": 1\n}\n{\n\"b\": 2\n}\n", &["{\n\"a\": 1\n}", "{\n\"b\": 2\n}"]);
        check("{\n\"a\": 1\n} {\"b\":2}\ntext\n", &["{\n\"a\": 1\n}", "{\"b\":2}", "text"]);
    }

    #[test]
    fn a_line_cut_off_in_the_middle_spoils_no_line_after_it() {
        check("{\"a\":\"xy\n{\"b\":2}\n{\"c\":3}\n", &["{\"a\":\"xy", "{\"b\":2}", "{\"c\":3}"]);
        check("{\"a\":\n{\"b\":2}\n{\"c\":3}\n", &["{\"a\":", "{\"b\":2}", "{\"c\":3}"]);
        check("[{\"a\":1},\n", &["{\"a\":1}"]);
        check("{\"a\":[\n{\"b\":2},\n", &["{\"a\":[", "{\"b\":2}"]);
        check("{\"a\":1},\n{\"b\":2},\n", &["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn a_line_above_the_limit_becomes_its_head_and_hash_and_the_next_is_whole() {
        for piece in [1, 7, 100_000] {
            let long = "x".repeat(1_000);
            let records =
                read(format!("{{\"a\":1}}\n{long}\r\n{{\"b\":2}}\n{long}").as_bytes(), &[piece], 16, 500);
            assert_eq!(records.len(), 4);
            assert_eq!(records[0].1, b"{\"a\":1}");
            assert_eq!(records[2].1, b"{\"b\":2}");
            assert_eq!(crate::oversized::read(&records[3].1).unwrap().length, 1_000);
            assert_eq!(crate::oversized::read(&records[1].1).unwrap().length, 1_000);
        }
    }

    #[test]
    fn a_wrapper_above_the_limit_of_one_record_gives_its_records() {
        let stream = format!("{{\"records\":[{}]}}\n", vec!["{\"a\":1}"; 200].join(","));
        for piece in [1, 1_000_000] {
            assert_eq!(read(stream.as_bytes(), &[piece], 16, 500).len(), 200);
        }
    }

    #[test]
    fn a_line_of_20_mib_needs_no_more_room_than_the_limit() {
        let mut lines = Lines::new(1 << 20, 4 << 20);
        let mut envelope = Envelope::new(None, 4 << 20);
        let mut records = Vec::new();
        for _ in 0..20 {
            let mut left = 1 << 20;
            while left > 0 {
                let space = lines.space();
                assert!(space.len() <= 4 << 20);
                let n = left.min(space.len());
                space[..n].fill(b'[');
                lines.fill(n);
                left -= n;
                assert_eq!(lines.take(Ending::Open, &mut envelope, &mut records), 0);
            }
        }
        assert!(lines.oversized.is_some());
        assert_eq!(lines.take(Ending::Final, &mut envelope, &mut records), 20 << 20);
        assert_eq!(crate::oversized::read(&records[0].1).unwrap().length, 20 << 20);
    }

    #[test]
    fn a_quiet_file_gives_its_whole_lines_and_keeps_its_partial_one() {
        let mut lines = Lines::new(100, 100);
        let mut envelope = Envelope::new(None, 100);
        let mut records = Vec::new();
        lines.space()[..12].copy_from_slice(b"{\"a\":\n[1,\n\"b");
        lines.fill(12);
        assert_eq!(lines.take(Ending::Open, &mut envelope, &mut records), 0);
        assert!(lines.document.is_some());
        assert_eq!(lines.take(Ending::Quiet, &mut envelope, &mut records), 10);
        assert_eq!(lines.pending(), 2);
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn buffers_come_back_once_their_records_are_gone() {
        let mut lines = Lines::new(64, 100);
        let mut envelope = Envelope::new(None, 100);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            lines.space()[..8].copy_from_slice(b"{\"a\":1}\n");
            seen.insert(lines.space().as_ptr() as usize);
            lines.fill(8);
            let mut records = Vec::new();
            assert_eq!(lines.take(Ending::Open, &mut envelope, &mut records), 8);
        }
        assert!(seen.len() <= 3, "{} buffers", seen.len());
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_into_reads_does_not_change_its_records(
            stream in r#"([{}\[\]",:\\ x1\r\n]{0,20}|\{"a":"x"\}\n|\[\n|x{0,90}\n|\{"records":\[\{\},\{"b":1\}\]\}\r\n){0,12}"#,
            pieces in proptest::collection::vec(1_usize..40, 1..8),
            buffer in 16_usize..200,
        ) {
            let whole = read(stream.as_bytes(), &[usize::MAX], 100_000, 50);
            prop_assert_eq!(read(stream.as_bytes(), &pieces, buffer, 50), whole);
        }
    }
}
