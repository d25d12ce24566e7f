//! Values on their way into a frame: the scan for awkward bytes, the trim, the cut and the digits shared by `cef`,
//! `leef` and `syslog`.
//!
//! It knows no format: what is done about an awkward byte is the caller's decision.

use std::fmt::Display;
use std::io::Write as _;

use crate::record::Timestamp;

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing was left after trimming (or the value cannot be expressed): nothing was written.
    Empty,
    /// All of it.
    Whole,
    /// As many characters as the limit allows.
    Cut,
}

impl Written {
    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::Empty
    }
}

/// Trims blanks and cuts to `max` characters. The text comes back without blanks at either end; empty means
/// that nothing is left.
#[must_use]
#[inline]
pub fn fit(text: &str, max: Option<u32>) -> (&str, Written) {
    let text = trim(text);
    let (text, cut) = limit(text, max);
    // A cut behind a blank would leave it to be taken for the space before the next key.
    let text = if cut { trim(text) } else { text };
    match (text.is_empty(), cut) {
        (true, _) => (text, Written::Empty),
        (false, true) => (text, Written::Cut),
        (false, false) => (text, Written::Whole),
    }
}

/// Whether no byte is a control character or one of the two given: then the text can be copied as it stands.
///
/// Branch-free over words of eight bytes, the last one overlapping. Written with whole words on purpose: the
/// same over single bytes is turned into far worse code by the compiler.
#[must_use]
#[inline]
pub fn is_plain(bytes: &[u8], special: [u8; 2]) -> bool {
    let special = special.map(|byte| ONES * u64::from(byte));
    if let Some(tail) = bytes.last_chunk::<8>() {
        let mut marked = marks(u64::from_ne_bytes(*tail), special);
        for word in bytes.as_chunks::<8>().0 {
            marked |= marks(u64::from_ne_bytes(*word), special);
        }
        marked & HIGH == 0
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [head, tail] = [head, tail].map(|half| u64::from(u32::from_ne_bytes(*half)));
        marks(head << 32 | tail, special) & HIGH == 0
    } else {
        let word = bytes.iter().fold(ONES * u64::from(b' '), |word, byte| word << 8 | u64::from(*byte));
        marks(word, special) & HIGH == 0
    }
}

/// What to write in place of each byte.
#[derive(Debug)]
pub struct Escapes([u8; 256]);

impl Escapes {
    /// Each pair is a byte and the character that stands for it behind a backslash. A control character that is
    /// not among them becomes a space.
    #[must_use]
    pub const fn new(pairs: &[(u8, u8)]) -> Self {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < b' ' {
            table[byte as usize] = b' ';
            byte += 1;
        }
        table[DELETE as usize] = b' ';
        let mut at = 0;
        while at < pairs.len() {
            table[pairs[at].0 as usize] = pairs[at].1;
            at += 1;
        }
        Self(table)
    }

    /// Copies runs of ordinary bytes, and writes the others as the table says.
    pub fn write(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.reserve(bytes.len() + bytes.len() / 8);
        let mut rest = bytes;
        let instead = |byte: u8| self.0.get(usize::from(byte)).copied().filter(|instead| *instead != 0);
        while let Some((at, instead)) =
            rest.iter().enumerate().find_map(|(at, byte)| Some((at, instead(*byte)?)))
        {
            let (run, awkward) = rest.split_at(at);
            out.extend_from_slice(run);
            if instead != b' ' {
                out.push(b'\\');
            }
            out.push(instead);
            rest = awkward.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }
}

/// Writes the decimal digits of a number.
#[inline]
pub fn write_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes what a value displays as, without building a text first.
pub fn write_display(out: &mut Vec<u8>, value: impl Display) {
    // A vector takes every byte.
    let _ = write!(out, "{value}");
}

/// The time as the calendar can hold it: years 1 to 9999, so that a year always has four digits.
#[must_use]
pub fn instant(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(time.0.clamp(YEAR_1, YEAR_9999)).unwrap_or_default()
}

/// Whether a byte is a control character of ASCII.
#[must_use]
#[inline]
pub fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == DELETE
}

/// A word whose high bits tell, taken together, whether a byte of it is awkward: with `y` a byte, `y - n` borrows
/// into the high bit where `y` is below `n` and had none itself; a byte equal to another is below 1 after `^`.
#[inline(always)]
fn marks(word: u64, [one, two]: [u64; 2]) -> u64 {
    let below = |word: u64, bound: u64| word.wrapping_sub(bound) & !word;
    below(word, ONES * u64::from(b' '))
        | below(word ^ (ONES * u64::from(DELETE)), ONES)
        | below(word ^ one, ONES)
        | below(word ^ two, ONES)
}

#[inline]
fn trim(text: &str) -> &str {
    let is_blank = |byte: u8| byte <= b' ' || byte == DELETE;
    match text.as_bytes() {
        [one] if !is_blank(*one) => text,
        [first, .., last] if !is_blank(*first) && !is_blank(*last) => text,
        _ => text.trim_matches(|char: char| u8::try_from(char).is_ok_and(is_blank)),
    }
}

#[inline]
fn limit(text: &str, max: Option<u32>) -> (&str, bool) {
    let Some(max) = max.and_then(|max| usize::try_from(max).ok()) else { return (text, false) };
    // No character is shorter than a byte.
    if text.len() <= max {
        return (text, false);
    }
    match text.char_indices().nth(max) {
        Some((end, _)) => (text.get(..end).unwrap_or(text), true),
        None => (text, false),
    }
}

const DELETE: u8 = 0x7f;
const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// 0001-01-02T00:00:00Z and 9999-12-30T00:00:00Z: a day from the calendar's ends, which leaves room for any zone.
const YEAR_1: i64 = -62_135_510_400_000;
const YEAR_9999: i64 = 253_402_128_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_place_of_an_awkward_byte_is_seen() {
        for length in 0..70 {
            let plain = vec![b'a'; length];
            assert!(is_plain(&plain, *b"=\\"));
            for at in 0..length {
                for byte in [b'=', b'\\', 0, b'\n', b'\t', 0x1f, 0x7f] {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    assert!(!is_plain(&bytes, *b"=\\"), "{byte} at {at} of {length}");
                }
                for byte in [b' ', b'|', b'~', 0x80, 0xff] {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    assert!(is_plain(&bytes, *b"=\\"), "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn text_is_trimmed_and_cut_by_characters() {
        let check =
            |text: &str, max: Option<u32>, wanted: (&str, Written)| assert_eq!(fit(text, max), wanted);
        check("abc", None, ("abc", Written::Whole));
        check(" \t abc\r\n", None, ("abc", Written::Whole));
        check("abc", Some(3), ("abc", Written::Whole));
        check("abcd", Some(3), ("abc", Written::Cut));
        check("ab cd", Some(3), ("ab", Written::Cut));
        check("äöü", Some(3), ("äöü", Written::Whole));
        check("äöüß", Some(3), ("äöü", Written::Cut));
        check("😀😀😀", Some(2), ("😀😀", Written::Cut));
        check(" \0\x7f\t", None, ("", Written::Empty));
        check("", Some(5), ("", Written::Empty));
        check("abc", Some(0), ("", Written::Empty));
        check("\u{a0}a\u{2028}", None, ("\u{a0}a\u{2028}", Written::Whole));
    }
}
