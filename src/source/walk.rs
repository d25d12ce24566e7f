//! Finds where JSON values end, on bytes and without judging them.
//!
//! This is for splitting messages: brackets are counted, strings are stepped over, and nothing else is looked
//! at. Whether a value is valid JSON is judged by the mapping, which loses nothing of an invalid one.

/// The members of one object, in order: the bytes of the key between its quotes, and where the value begins.
///
/// A value is stepped over only when the next member is asked for, so stopping early costs nothing.
/// Ends at the closing brace or where the text stops making sense.
pub struct Members<'t> {
    text: &'t [u8],
    at: usize,
    value: Option<usize>,
}

impl<'t> Members<'t> {
    /// The members of the object that begins at byte 0.
    #[must_use]
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, at: 1, value: None }
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = (&'t [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(value) = self.value.take() {
            self.at = skip_blanks(self.text, value_end(self.text, value)?);
            if self.text.get(self.at) != Some(&b',') {
                return None;
            }
            self.at += 1;
        }
        let quote = skip_blanks(self.text, self.at);
        if self.text.get(quote) != Some(&b'"') {
            return None;
        }
        let end = string_end(self.text, quote)?;
        let colon = skip_blanks(self.text, end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_blanks(self.text, colon + 1);
        self.value = Some(value);
        Some((&self.text[quote + 1..end - 1], value))
    }
}

/// One past the value that begins at `at`; `None` when the text ends inside it or nothing begins there.
#[must_use]
pub fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => container_end(text, at),
        _ => {
            let rest = &text[at..];
            let length = rest.iter().position(|byte| ENDS_SCALAR.contains(byte)).unwrap_or(rest.len());
            (length > 0).then_some(at + length)
        }
    }
}

/// The place of the first byte at or after `at` that is not a JSON blank.
#[must_use]
pub fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

/// RFC 8259 §2: `ws`.
#[must_use]
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// One past the closing quote of the string whose opening quote is at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// One past the bracket that closes the one at `at`. Which kind closes is not looked at.
fn container_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

const ENDS_SCALAR: &[u8] = b",]}{[\" \t\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_bracket_or_quote_closes() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(value_end(text.as_bytes(), 0).map(|end| &text[..end]), expected, "{text}");
        }
        check("{}x", Some("{}"));
        check("[1,[2]] ]", Some("[1,[2]]"));
        check(r#"{"a":"}\"}"},"#, Some(r#"{"a":"}\"}"}"#));
        check(r#""a\\","#, Some(r#""a\\""#));
        check("12,", Some("12"));
        check("nonsense", Some("nonsense"));
        check("", None);
        check(",", None);
        check("{", None);
        check(r#""\"#, None);
        check(r#"{"a"#, None);
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        check(&deep, Some(&deep));
        check(&"[".repeat(10_000), None);
    }

    #[test]
    fn members_come_in_order_until_the_text_breaks() {
        fn check(text: &str, expected: &[(&str, &str)]) {
            let members: Vec<_> = Members::new(text.as_bytes())
                .map(|(key, value)| (str::from_utf8(key).unwrap(), &text[value..value + 1]))
                .collect();
            assert_eq!(members, expected, "{text}");
        }
        check("{}", &[]);
        check(r#"{"a":1,"b" : {"c":2} , "d":[]}"#, &[("a", "1"), ("b", "{"), ("d", "[")]);
        check(r#"{"a":"x","a\"b":"y"}"#, &[("a", "\""), ("a\\\"b", "\"")]);
        check(r#"{"a":1 "b":2}"#, &[("a", "1")]);
        check(r#"{a:1}"#, &[]);
        check(r#"{"a" 1}"#, &[]);
    }
}
