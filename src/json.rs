//! A pull scanner over JSON text: tokens are slices of the input, nothing is built and nothing is copied.
//!
//! It exists because the mapping needs a few columns out of sixty and must not allocate for any of them.
//! It accepts what RFC 8259 accepts, and two things more, so that a sloppy producer loses no event: raw
//! control characters inside strings, and unknown escapes (the escaped character stands for itself).
//! Nesting costs one bit a level, so depth is bounded by the size of the record alone.

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

/// One JSON value as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json<'r> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// Its digits, as written.
    Number(&'r str),
    /// A string.
    Text(Text<'r>),
    /// An array with its brackets.
    Array(&'r str),
    /// An object with its braces.
    Object(&'r str),
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'r> {
    /// The characters between the quotes, escapes and all.
    pub raw: &'r str,
    /// Whether there is an escape in it.
    pub escaped: bool,
}

impl<'r> Text<'r> {
    /// The characters it stands for; half surrogates become U+FFFD.
    #[must_use]
    pub fn decode(self, arena: &'r Bump) -> &'r str {
        if !self.escaped {
            return self.raw;
        }
        let mut out = BumpString::with_capacity_in(self.raw.len(), arena);
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            out.push_str(&rest[..at]);
            rest = unescape(&rest[at + 1..], &mut out);
        }
        out.push_str(rest);
        out.into_bump_str()
    }
}

/// Where and why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct Malformed {
    /// What was expected there.
    pub reason: &'static str,
    /// Byte offset.
    pub at: usize,
}

/// Reads a text from left to right.
#[derive(Clone, Debug)]
pub struct Scanner<'r> {
    text: &'r str,
    at: usize,
}

impl<'r> Scanner<'r> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'r str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not a blank, not yet consumed.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Enters an object or array whose bracket [`peek`](Self::peek) has shown.
    pub fn open(&mut self) {
        self.at += 1;
    }

    /// The next key of the object entered, the scanner then standing before its value; `None` at its end.
    pub fn key(&mut self, first: bool) -> Result<Option<Text<'r>>, Malformed> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.fault("`,` or `}`")),
        }
        self.colon_after_key().map(Some)
    }

    /// Whether another element follows in the array entered, the scanner then standing before it.
    pub fn element(&mut self, first: bool) -> Result<bool, Malformed> {
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.fault("`,` or `]`")),
        }
    }

    /// The value that stands here, whole.
    pub fn value(&mut self) -> Result<Json<'r>, Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(open @ (b'{' | b'[')) => {
                let start = self.at;
                self.skip_container()?;
                let raw = &self.text[start..self.at];
                Ok(if open == b'{' { Json::Object(raw) } else { Json::Array(raw) })
            }
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.fault("a value")),
        }
    }

    /// How far it has come, in bytes.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    #[must_use]
    pub fn since(&self, start: usize) -> &'r str {
        &self.text[start..self.at]
    }

    /// Confirms that only blanks remain.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("the end")) }
    }

    fn colon_after_key(&mut self) -> Result<Text<'r>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a key"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.fault("`:`"));
        }
        self.at += 1;
        Ok(key)
    }

    fn string(&mut self) -> Result<Text<'r>, Malformed> {
        let start = self.at + 1;
        let mut escaped = false;
        let mut at = start;
        loop {
            at = quote_or_backslash(self.text.as_bytes(), at);
            match self.text.as_bytes().get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { raw: &self.text[start..at], escaped });
                }
                Some(_) => {
                    escaped = true;
                    at += 2;
                }
                None => {
                    self.at = self.text.len();
                    return Err(self.fault("a closing quote"));
                }
            }
        }
    }

    fn word(&mut self, word: &str, value: Json<'r>) -> Result<Json<'r>, Malformed> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.fault("a value"))
    }

    fn number(&mut self) -> Result<Json<'r>, Malformed> {
        let start = self.at;
        let digits = |scanner: &mut Self| {
            let from = scanner.at;
            while scanner.text.as_bytes().get(scanner.at).is_some_and(u8::is_ascii_digit) {
                scanner.at += 1;
            }
            scanner.at - from
        };
        let byte = |scanner: &Self| scanner.text.as_bytes().get(scanner.at).copied();
        if byte(self) == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = byte(self) == Some(b'0');
        let n_digits = digits(self);
        if n_digits == 0 || (leading_zero && n_digits > 1) {
            return Err(self.fault("a number"));
        }
        if byte(self) == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(self.fault("a digit"));
            }
        }
        if matches!(byte(self), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(byte(self), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(self.fault("a digit"));
            }
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    /// Walks over an object or array and all that is in it, checking its grammar.
    fn skip_container(&mut self) -> Result<(), Malformed> {
        let mut open = Nesting::default();
        open.push(self.text.as_bytes()[self.at] == b'{');
        self.at += 1;
        let mut first = true;
        while let Some(in_object) = open.top() {
            let more = if in_object { self.key(first)?.is_some() } else { self.element(first)? };
            if !more {
                open.pop();
                first = false;
                continue;
            }
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    open.push(bracket == b'{');
                    self.at += 1;
                    first = true;
                }
                _ => {
                    self.value()?;
                    first = false;
                }
            }
        }
        Ok(())
    }

    fn fault(&self, reason: &'static str) -> Malformed {
        Malformed { reason, at: self.at }
    }
}

/// Which kind of bracket is open on each level: one bit a level.
#[derive(Default)]
struct Nesting {
    depth: u32,
    low: u64,
    high: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.high.push(self.low);
        }
        self.low = self.low << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.low >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.low = self.high.pop().unwrap_or_default();
        }
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.low & 1 == 1)
    }
}

/// The first quote or backslash at or after `at`, eight bytes at a time; the length when there is none.
fn quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = zero_bytes(word ^ (LOW * b'"' as u64)) | zero_bytes(word ^ (LOW * b'\\' as u64));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at] != b'"' && bytes[at] != b'\\' {
        at += 1;
    }
    at.min(bytes.len())
}

/// Writes what the escape stands for; `rest` begins after the backslash, the return value after the escape.
fn unescape<'r>(rest: &'r str, out: &mut BumpString<'_>) -> &'r str {
    let mut chars = rest.chars();
    match chars.next() {
        Some('n') => out.push('\n'),
        Some('t') => out.push('\t'),
        Some('r') => out.push('\r'),
        Some('b') => out.push('\u{8}'),
        Some('f') => out.push('\u{c}'),
        Some('u') => return unicode(chars.as_str(), out),
        Some(other) => out.push(other),
        None => {}
    }
    chars.as_str()
}

/// `\uXXXX`, with its low half when it is the high half of a surrogate pair (RFC 8259 §7).
fn unicode<'r>(rest: &'r str, out: &mut BumpString<'_>) -> &'r str {
    let unit = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(high) = unit(rest) else {
        out.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let after = &rest[4..];
    if (0xd800..0xdc00).contains(&high) {
        let low = after.strip_prefix("\\u").and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
        if let Some(low) = low {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return &after[6..];
        }
    }
    out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.value().and_then(|_| scanner.end()).is_ok()
    }

    #[test]
    fn malformed_text_is_told_from_json() {
        let good = ["{}", " [ ] ", r#"{"a":[1,-2.5e+3,true,null,{"b":""}]}"#, "0", r#""\"""#];
        let bad = [
            "",
            "{",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            "[1 2]",
            "01",
            "1.",
            "tru",
            "[}",
            r#"{"a":]"#,
            "\"",
            "{} x",
            "{,}",
            "-",
        ];
        for text in good {
            assert!(accepts(text), "{text}");
        }
        for text in bad {
            assert!(!accepts(text), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_by_the_record_alone() {
        for depth in [1, 63, 64, 65, 128, 129, 10_000] {
            let nested = format!("{}{}", "[{\"a\":".repeat(depth), "1") + &"}]".repeat(depth);
            assert!(accepts(&nested), "{depth}");
            assert!(!accepts(&nested[..nested.len() - 1]), "{depth}");
        }
    }

    #[test]
    fn escapes_stand_for_their_characters() {
        let arena = Bump::new();
        let rows = [
            (r"C:\\Windows\\System32", r"C:\Windows\System32"),
            (r#"\"a\"\/\b\f\n\r\t"#, "\"a\"/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\ud83d\ude00", "é😀"),
            (r"\ud800x \udc00 \ud800\u0041", "\u{fffd}x \u{fffd} \u{fffd}A"),
            (r"\u12 \q", "\u{fffd}12 q"),
        ];
        for (raw, expected) in rows {
            assert_eq!(Text { raw, escaped: true }.decode(&arena), expected);
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_accepts_is_accepted_and_reads_the_same(text in r#"[\[\]{}",:\\ 0-9a-eutrfalsn.\-]{0,24}"#) {
            let arena = Bump::new();
            let ours = { let mut s = Scanner::new(&text); s.value().and_then(|v| s.end().map(|()| v)) };
            if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&text) {
                let ours = ours.expect("serde_json accepts it");
                if let (Json::Text(ours), serde_json::Value::String(theirs)) = (ours, theirs) {
                    prop_assert_eq!(ours.decode(&arena), theirs);
                }
            } else if ours.is_ok() {
                // Only the two documented liberties may differ.
                prop_assert!(text.contains('\\') || serde_json::from_str::<serde_json::Value>(&text).is_err_and(|e| e.to_string().contains("out of range")), "{}", text);
            }
        }
    }
}
