//! The receiving side of RFC 6587: frames out of a stream of bytes, whichever of the two framings is used.

/// Splits a stream into messages. The first octet of each message decides: a digit from 1 to 9 begins an octet
/// count, anything else a line.
///
/// Rules where the stream is not well-formed:
/// - line ends, NUL and blanks between messages are passed over (some senders put them behind counted messages);
/// - a count that is too large is believed: that many octets are passed over and reported once;
/// - a count that is no number, or is not followed by a space, is reported and passed over up to the next line
///   feed, the only place where a message may be known to begin;
/// - a line without an end within the limit is reported and passed over up to its line feed.
///
/// Memory is bounded by the limit: the caller keeps at most that, and the count, in its buffer.
#[derive(Debug)]
pub struct Deframer {
    limit: usize,
    skip: Skip,
}

impl Deframer {
    /// A splitter of messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, skip: Skip::Nothing }
    }

    /// The next step at the start of the buffer. The caller takes the bytes used off the buffer, also when more
    /// bytes are needed.
    pub fn next<'b>(&mut self, buffer: &'b [u8]) -> Step<'b> {
        let (skipped, rest) = match self.skipped(buffer) {
            Ok(used) => (used, buffer.get(used..).unwrap_or_default()),
            Err(used) => return Step::More { used },
        };
        let blanks = rest.iter().take_while(|byte| matches!(**byte, b'\n' | b'\r' | b' ' | 0)).count();
        let before = skipped + blanks;
        let rest = rest.get(blanks..).unwrap_or_default();
        match rest.first() {
            None => Step::More { used: before },
            Some(b'1'..=b'9') => self.counted(rest, before),
            Some(_) => self.line(rest, before),
        }
    }

    /// What remains when the stream has ended: the text of an unfinished message, if there is any.
    #[must_use]
    pub fn rest<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        (self.skip == Skip::Nothing && !buffer.is_empty()).then_some(buffer)
    }

    fn counted<'b>(&mut self, rest: &'b [u8], before: usize) -> Step<'b> {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == rest.len() && digits <= MAX_DIGITS {
            return Step::More { used: before };
        }
        let count = (digits <= MAX_DIGITS && rest.get(digits) == Some(&b' '))
            .then(|| rest.iter().take(digits).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')));
        let Some(count) = count else {
            self.skip = Skip::Line;
            return Step::Fault { used: before, fault: Fault::Count };
        };
        let start = digits + 1;
        if count > self.limit {
            self.skip = Skip::Octets(count);
            return Step::Fault { used: before + start, fault: Fault::TooLong };
        }
        match rest.get(start..start + count) {
            Some(message) => Step::Message { message, used: before + start + count, counted: true },
            None => Step::More { used: before },
        }
    }

    fn line<'b>(&mut self, rest: &'b [u8], before: usize) -> Step<'b> {
        let end = memchr::memchr(b'\n', rest);
        if end.unwrap_or(rest.len()) > self.limit {
            self.skip = Skip::Line;
            return Step::Fault { used: before, fault: Fault::TooLong };
        }
        let Some(end) = end else { return Step::More { used: before } };
        let line = rest.get(..end).unwrap_or_default();
        let message = line.strip_suffix(b"\r").unwrap_or(line);
        Step::Message { message, used: before + end + 1, counted: false }
    }

    /// How many bytes of the buffer belong to what is passed over: `Err` when that is all of it.
    fn skipped(&mut self, buffer: &[u8]) -> Result<usize, usize> {
        let used = match self.skip {
            Skip::Nothing => return Ok(0),
            Skip::Octets(left) if left <= buffer.len() => left,
            Skip::Octets(left) => {
                self.skip = Skip::Octets(left - buffer.len());
                return Err(buffer.len());
            }
            Skip::Line => memchr::memchr(b'\n', buffer).map(|at| at + 1).ok_or(buffer.len())?,
        };
        self.skip = Skip::Nothing;
        Ok(used)
    }
}

/// What stands at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A whole message.
    Message {
        /// Without count and line end.
        message: &'b [u8],
        /// Bytes to take off the buffer.
        used: usize,
        /// Whether its length stood before it.
        counted: bool,
    },
    /// The beginning of one: more bytes are needed.
    More {
        /// Bytes to take off the buffer first.
        used: usize,
    },
    /// Something that is passed over.
    Fault {
        /// Bytes to take off the buffer.
        used: usize,
        /// What is wrong.
        fault: Fault,
    },
}

/// Why a part of the stream is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than the limit.
    #[error("message above the length limit")]
    TooLong,
    /// Digits that are no octet count.
    #[error("malformed octet count")]
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    Octets(usize),
    Line,
}

/// A count of more digits than this is no length anyone sends.
const MAX_DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream in pieces of every size: the messages must not depend on where it was cut.
    fn check(stream: &[u8], wanted: &[&str]) {
        for piece in 1..=stream.len() {
            let mut deframer = Deframer::new(20);
            let mut buffer = Vec::new();
            let mut seen = Vec::new();
            for bytes in stream.chunks(piece) {
                buffer.extend_from_slice(bytes);
                loop {
                    let used = match deframer.next(&buffer) {
                        Step::More { used } => {
                            buffer.drain(..used);
                            break;
                        }
                        Step::Message { message, used, .. } => {
                            seen.push(String::from_utf8_lossy(message).into_owned());
                            used
                        }
                        Step::Fault { used, fault } => {
                            seen.push(format!("!{fault:?}"));
                            used
                        }
                    };
                    buffer.drain(..used);
                }
                assert!(buffer.len() < 40, "the buffer stays bounded");
            }
            if let Some(rest) = deframer.rest(&buffer) {
                seen.push(format!("~{}", String::from_utf8_lossy(rest)));
            }
            assert_eq!(seen, wanted, "pieces of {piece}");
        }
    }

    #[test]
    fn both_framings_are_read_mixed_and_cut_anywhere() {
        check(b"5 <1>ab<2>cd\n6 <3>e\nf<4>g\r\n", &["<1>ab", "<2>cd", "<3>e\nf", "<4>g"]);
        check(b"CEF:0|x\nCEF:0|y\n", &["CEF:0|x", "CEF:0|y"]);
        check(b"3 <1>\n\n3 <2>\0<3>x\n", &["<1>", "<2>", "<3>x"]);
    }

    #[test]
    fn what_is_too_long_or_malformed_is_passed_over_and_the_next_message_is_read() {
        check(b"25 0123456789012345678901234<1>x\n", &["!TooLong", "<1>x"]);
        check(b"<1>0123456789012345678901234\n3 <2>", &["!TooLong", "<2>"]);
        check(b"12x <1>\n3 <2>", &["!Count", "<2>"]);
        check(b"99999999999999999999 <1>\n3 <2>", &["!Count", "<2>"]);
        check(b"0 <1>\n3 <2>", &["0 <1>", "<2>"]);
    }

    #[test]
    fn an_unfinished_message_is_told_from_a_clean_end() {
        check(b"3 <1>5 <2>", &["<1>", "~5 <2>"]);
        check(b"<1>x", &["~<1>x"]);
        check(b"3 <1>\n", &["<1>"]);
        check(b"30 <1>", &["!TooLong"]);
    }
}
