//! What is kept of a record above the size limit: its length, its SHA-256 and its first 64 KiB.
//!
//! ```text
//! #oversized length=20971520 sha256=<64 hex digits> LF
//! <the first bytes of the record, as received>
//! ```
//!
//! The text is the body of a record of table `unparsed`. It does not begin like JSON, so nothing takes it for
//! an object. Nothing here counts or decides what is too large: the sources do.

use aws_lc_rs::digest;
use bytes::Bytes;

/// Takes in a record piece by piece and forgets all but its head.
pub struct Oversized {
    head: Vec<u8>,
    length: u64,
    hash: digest::Context,
}

impl Oversized {
    /// Nothing taken in yet.
    #[must_use]
    pub fn new() -> Self {
        Self { head: Vec::new(), length: 0, hash: digest::Context::new(&digest::SHA256) }
    }

    /// The next bytes of the record.
    pub fn update(&mut self, piece: &[u8]) {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += u64::try_from(piece.len()).expect("a slice is shorter than 2^64 bytes");
        self.hash.update(piece);
    }

    /// The body that stands for the record.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let hash = self.hash.finish();
        let mut body = Vec::with_capacity(self.head.len() + 128);
        body.extend_from_slice(MARK);
        body.extend_from_slice(self.length.to_string().as_bytes());
        body.extend_from_slice(HASH);
        for byte in hash.as_ref() {
            body.push(HEX[usize::from(byte >> 4)]);
            body.push(HEX[usize::from(byte & 15)]);
        }
        body.push(b'\n');
        body.extend_from_slice(&self.head);
        body.into()
    }
}

impl Default for Oversized {
    fn default() -> Self {
        Self::new()
    }
}

/// What [`Oversized::finish`] wrote, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'b> {
    /// Length of the whole record in bytes.
    pub length: u64,
    /// SHA-256 of the whole record, 64 hex digits.
    pub sha256: &'b str,
    /// Its first bytes.
    pub head: &'b [u8],
}

/// The parts of a body written by [`Oversized::finish`]; `None` for any other body.
#[must_use]
pub fn read(body: &[u8]) -> Option<Parts<'_>> {
    let rest = body.strip_prefix(MARK)?;
    let end = memchr::memchr(b'\n', rest.get(..rest.len().min(128))?)?;
    let header = str::from_utf8(&rest[..end]).ok()?;
    let (length, sha256) = header.split_once(str::from_utf8(HASH).ok()?)?;
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(Parts { length: length.parse().ok()?, sha256, head: &rest[end + 1..] })
}

/// How much of the record is kept.
pub const HEAD_BYTES: usize = 64 * 1024;
const MARK: &[u8] = b"#oversized length=";
const HASH: &[u8] = b" sha256=";
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_record_is_known_by_length_hash_and_head_however_it_was_cut() {
        let record = b"abc".repeat(100_000);
        for piece in [1, 999, 65_536, 300_000] {
            let mut oversized = Oversized::new();
            record.chunks(piece).for_each(|piece| oversized.update(piece));
            let body = oversized.finish();
            let parts = read(&body).unwrap();
            assert_eq!(parts.length, 300_000);
            assert_eq!(parts.head, &record[..HEAD_BYTES]);
            let whole = digest::digest(&digest::SHA256, &record);
            let hex: String = whole.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(parts.sha256, hex);
        }
    }

    #[test]
    fn other_bodies_are_not_taken_for_it() {
        let empty_hash = format!("#oversized length=1 sha256={}", "0".repeat(64));
        for body in [
            "",
            "#oversized length=",
            "#oversized length=1 sha256=12\n",
            "{}",
            &empty_hash,
            "#oversized length=x\n",
        ] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
