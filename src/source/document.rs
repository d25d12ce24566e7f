//! Tells whether a JSON value goes on over several lines, as a REST answer saved to disk does.
//!
//! It follows the grammar of RFC 8259 closely enough that a record cut off in the middle is told from a document
//! at the first line that cannot belong to it, and it can be fed piece by piece. It is asked only where a line
//! begins an object or array and does not end one.

use super::walk::is_blank;

/// How far the value has come.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// One entry for each open bracket: whether it is an object's.
    open: Vec<bool>,
    expect: Expect,
    scanned: usize,
}

/// The answer after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Sound so far, not at its end.
    More,
    /// The value ends before this byte, counted from its start.
    Complete(usize),
    /// This is no JSON value.
    Broken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    InText {
        key: bool,
    },
    Escaped {
        key: bool,
    },
    InScalar,
}

impl Document {
    /// Looks at the part of `text` not yet seen; `text` begins where the value does, in every call.
    pub fn scan(&mut self, text: &[u8]) -> Progress {
        while let Some(&byte) = text.get(self.scanned) {
            if matches!(self.expect, Expect::InText { .. })
                && let Some(skip) = memchr::memchr3(b'"', b'\\', b'\n', &text[self.scanned..])
                && skip > 0
            {
                self.scanned += skip;
                continue;
            }
            let last = match self.step(byte) {
                Some(last) => last,
                None => return Progress::Broken,
            };
            self.scanned += 1;
            if last {
                return Progress::Complete(self.scanned);
            }
        }
        Progress::More
    }

    /// How many bytes may belong to a value: all looked at but the one that broke it.
    #[must_use]
    pub fn sound(&self) -> usize {
        self.scanned
    }

    /// `None`: cannot be; `Some(true)`: that was the last byte.
    fn step(&mut self, byte: u8) -> Option<bool> {
        self.expect = match (self.expect, byte) {
            // A raw line end inside a string is where a record was cut off.
            (Expect::InText { .. }, b'\n') | (Expect::Escaped { .. }, b'\n') => return None,
            (Expect::InText { key: true }, b'"') => Expect::Colon,
            (Expect::InText { key: false }, b'"') => Expect::CommaOrEnd,
            (Expect::InText { key }, b'\\') => Expect::Escaped { key },
            (same @ Expect::InText { .. }, _) => same,
            (Expect::Escaped { key }, _) => Expect::InText { key },
            (Expect::InScalar, b',' | b']' | b'}') => {
                self.expect = Expect::CommaOrEnd;
                return self.step(byte);
            }
            (Expect::InScalar, byte) if is_blank(byte) => Expect::CommaOrEnd,
            (Expect::InScalar, byte) if is_scalar(byte) => Expect::InScalar,
            (same, byte) if is_blank(byte) => same,
            (Expect::Colon, b':') => Expect::Value,
            (Expect::CommaOrEnd, b',') => {
                if *self.open.last()? {
                    Expect::Key
                } else {
                    Expect::Value
                }
            }
            (Expect::CommaOrEnd | Expect::ValueOrEnd | Expect::KeyOrEnd, b']' | b'}') => {
                if self.open.pop()? != (byte == b'}') {
                    return None;
                }
                if self.open.is_empty() {
                    return Some(true);
                }
                Expect::CommaOrEnd
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => Expect::InText { key: true },
            (Expect::Value | Expect::ValueOrEnd, byte) => match byte {
                b'{' => {
                    self.open.push(true);
                    Expect::KeyOrEnd
                }
                b'[' => {
                    self.open.push(false);
                    Expect::ValueOrEnd
                }
                b'"' if !self.open.is_empty() => Expect::InText { key: false },
                byte if is_scalar(byte) && !self.open.is_empty() => Expect::InScalar,
                _ => return None,
            },
            _ => return None,
        };
        Some(false)
    }
}

/// A byte of a number, `true`, `false` or `null`.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_with_its_last_bracket_and_a_broken_record_shows_at_the_next_line() {
        fn check(text: &str, expected: Progress) {
            assert_eq!(Document::default().scan(text.as_bytes()), expected, "{text}");
            let mut piecewise = Document::default();
            let mut last = Progress::More;
            for end in 1..=text.len() {
                last = piecewise.scan(&text.as_bytes()[..end]);
                if last != Progress::More {
                    break;
                }
            }
            assert_eq!(last, expected, "{text} byte by byte");
        }
        let pretty =
            "{\n  \"value\": [\n    { \"a\": \"x\\\"}\", \"b\": [] , \"c\": -1.5e+3 },\n    {}\n  ]\n}";
        check(pretty, Progress::Complete(pretty.len()));
        check(&format!("{pretty}\n{{}}"), Progress::Complete(pretty.len()));
        check("[\n{\"a\":1}\n]\n", Progress::Complete(11));
        check("[]", Progress::Complete(2));
        check("[\n{\"a\":1},\n", Progress::More);
        check("{\"a\": \"cut of", Progress::More);
        check("{\"a\": \"cut off\n{\"b\":1}", Progress::Broken);
        check("{\"a\": \"cut off\\\n{\"b\":1}", Progress::Broken);
        check("{\"a\":1,\n{\"b\":1}", Progress::Broken);
        check("{\"a\":1\n{\"b\":1}", Progress::Broken);
        check("{\"a\":\n{\"b\":1}\n{\"c\":1}", Progress::Broken);
        check("{\"a\":1]", Progress::Broken);
        check("[1 2]", Progress::Broken);
        check("{x", Progress::Broken);
        check("text", Progress::Broken);
    }
}
