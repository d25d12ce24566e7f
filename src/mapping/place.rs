//! Where the characters of a TOML string stand in their file.
//!
//! An expression is parsed from the decoded string; a fault must point into the file as it was written, where quotes
//! and escapes take room. Offsets never leave the value's own range, whatever the escapes.

use std::ops::Range;

use super::ast::Span;

/// A decoded TOML string and the way back to its file.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    /// The decoded string.
    pub text: &'a str,
    file: usize,
    range: Range<usize>,
    /// Offset of the first decoded byte.
    start: usize,
    /// After decoded offset `.0` the file is at `.1`: one entry for each escape.
    jumps: Vec<(usize, usize)>,
}

impl<'a> Text<'a> {
    /// The decoded `text` of the TOML value that stands at `span` of `source`.
    #[must_use]
    pub fn new(text: &'a str, source: &str, span: &Span) -> Self {
        let range = span.range.clone();
        let raw = source.get(range.clone()).unwrap_or_default();
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        let mut start = quotes.min(raw.len());
        if quotes == 3 {
            // TOML 1.0, Strings: a newline right after the opening delimiter is trimmed.
            let body = &raw[start..];
            start += if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
        }
        let jumps = if raw.starts_with('"') { escapes(raw, start, quotes, range.start) } else { Vec::new() };
        Self { text, file: span.file, start: range.start + start, range, jumps }
    }

    /// The part of the file that a part of the decoded string came from.
    #[must_use]
    pub fn span(&self, decoded: Range<usize>) -> Span {
        let start = self.offset(decoded.start);
        Span { file: self.file, range: start..self.offset(decoded.end).max(start) }
    }

    /// All of the value, quotes included.
    #[must_use]
    pub fn whole(&self) -> Span {
        Span { file: self.file, range: self.range.clone() }
    }

    fn offset(&self, decoded: usize) -> usize {
        let index = self.jumps.partition_point(|(after, _)| *after <= decoded);
        let (from, place) = match index.checked_sub(1).and_then(|index| self.jumps.get(index)) {
            Some(jump) => *jump,
            None => (0, self.start),
        };
        (place + (decoded - from)).clamp(self.range.start, self.range.end)
    }
}

/// Where each escape of a basic string ends, decoded and in the file.
fn escapes(raw: &str, start: usize, quotes: usize, base: usize) -> Vec<(usize, usize)> {
    let bytes = raw.as_bytes();
    let end = raw.len().saturating_sub(quotes);
    let (mut at, mut decoded, mut jumps) = (start, 0, Vec::new());
    while at < end {
        if bytes[at] != b'\\' {
            at += 1;
            decoded += 1;
            continue;
        }
        let digits = match bytes.get(at + 1) {
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        match bytes.get(at + 1) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => {
                // A line ending backslash swallows all white space up to the next character.
                at += 1;
                while at < end && bytes[at].is_ascii_whitespace() {
                    at += 1;
                }
            }
            _ => {
                let code = raw.get(at + 2..at + 2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                decoded += code.and_then(char::from_u32).map_or(1, char::len_utf8);
                at += 2 + digits;
            }
        }
        jumps.push((decoded, base + at));
    }
    jumps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The raw TOML value, the decoded part looked for, and what the span must cut out of the file.
    fn check(value: &str, part: &str, expected: &str) {
        let file = format!("k = {value}\n");
        let tree = toml::de::DeTable::parse(&file).unwrap();
        let node = tree.get_ref().get("k").unwrap();
        let span = Span { file: 0, range: node.span() };
        let decoded = node.get_ref().as_str().unwrap();
        let text = Text::new(decoded, &file, &span);
        let at = decoded.find(part).unwrap();
        assert_eq!(&file[text.span(at..at + part.len()).range], expected, "{value}");
    }

    #[test]
    fn a_part_of_a_string_is_found_in_the_file_whatever_its_quotes() {
        check("\"one two\"", "two", "two");
        check("'one two'", "two", "two");
        check("'''\none two'''", "two", "two");
        check("\"\"\"\none two\"\"\"", "two", "two");
        check(r#""a\\b two""#, "two", "two");
        check(r#""\"odd key\".b two""#, "two", "two");
        check(r#""é\u00e9\U0001F600\tx two""#, "two", "two");
        check(r#""a\\b""#, "\\", "\\\\");
        check("\"\"\"a \\\n   two\"\"\"", "two", "two");
        check("\"\"\"a\r\nb two\"\"\"", "two", "two");
    }
}
