//! Values on their way from a record to an event: slices of the record, or text in the record's arena.
//!
//! A value never fails: what cannot be read is [`Value::Missing`].

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::json::{Json, Scanner, Text};

/// What a path or a transform gives.
#[derive(Clone, Copy, Debug)]
pub enum Value<'r> {
    /// Absent, null, an empty or blank string, an empty list, an empty object.
    Missing,
    /// Characters.
    Text(&'r str),
    /// A string of the record, decoded only when it is looked at.
    Raw(Text<'r>),
    /// A number, as its digits.
    Number(&'r str),
    /// `true` or `false`.
    Bool(bool),
    /// A list of the record, not yet walked.
    Array(&'r str),
    /// An object of the record.
    Object(&'r str),
    /// A list that a path or a transform made.
    List(&'r [Value<'r>]),
}

impl<'r> Value<'r> {
    /// The value of a token of the record.
    #[must_use]
    pub fn of(token: Json<'r>) -> Self {
        match token {
            Json::Null => Self::Missing,
            Json::Bool(flag) => Self::Bool(flag),
            Json::Number(digits) => Self::Number(digits),
            Json::Text(text) if !text.escaped && is_blank(text.raw) => Self::Missing,
            Json::Text(text) => Self::Raw(text),
            Json::Array(raw) if is_blank(&raw[1..raw.len() - 1]) => Self::Missing,
            Json::Array(raw) => Self::Array(raw),
            Json::Object(raw) if is_blank(&raw[1..raw.len() - 1]) => Self::Missing,
            Json::Object(raw) => Self::Object(raw),
        }
    }

    /// Text, or missing when there is nothing in it but blanks.
    #[must_use]
    pub fn text(text: &'r str) -> Self {
        if is_blank(text) { Self::Missing } else { Self::Text(text) }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_missing(self, arena: &'r Bump) -> bool {
        match self {
            Self::Missing => true,
            // Only a blank or an escape at the start leaves it open whether there is anything else.
            Self::Raw(text)
                if text.escaped
                    && text.raw.starts_with(|first| first == '\\' || first <= ' ' || first >= '\u{80}') =>
            {
                is_blank(text.decode(arena))
            }
            Self::List(values) => values.is_empty(),
            _ => false,
        }
    }

    /// The characters of a scalar; `None` for lists, objects and what is missing.
    #[must_use]
    pub fn scalar(self, arena: &'r Bump) -> Option<&'r str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Raw(text) => Some(text.decode(arena)).filter(|text| !is_blank(text)),
            Self::Number(digits) => Some(digits),
            Self::Bool(flag) => Some(if flag { "true" } else { "false" }),
            Self::Missing | Self::Array(_) | Self::Object(_) | Self::List(_) => None,
        }
    }

    /// Its elements: those of a list, or the value itself as the only one.
    #[must_use]
    pub fn elements(self, arena: &'r Bump) -> &'r [Value<'r>] {
        match self {
            Self::Missing => &[],
            Self::List(values) => values,
            Self::Array(raw) => parse_array(raw, arena),
            Self::Text(_) | Self::Raw(_) | Self::Number(_) | Self::Bool(_) | Self::Object(_) => {
                arena.alloc_slice_copy(&[self])
            }
        }
    }

    /// A list of these values, without the missing ones.
    #[must_use]
    pub fn list(values: BumpVec<'r, Value<'r>>) -> Self {
        if values.is_empty() { Self::Missing } else { Self::List(values.into_bump_slice()) }
    }

    /// The member of an object; over a list, that member of each element.
    #[must_use]
    pub fn member(self, name: &str, arena: &'r Bump) -> Self {
        match self {
            Self::Object(raw) => find_member(raw, name, arena),
            Self::Array(_) | Self::List(_) => {
                let elements = self.elements(arena);
                let mut found = BumpVec::with_capacity_in(elements.len(), arena);
                found.extend(
                    elements
                        .iter()
                        .map(|element| element.member(name, arena))
                        .filter(|v| !v.is_missing(arena)),
                );
                Self::list(found)
            }
            _ => Self::Missing,
        }
    }

    /// The element at `index`; negative counts from the end.
    #[must_use]
    pub fn element(self, index: i64, arena: &'r Bump) -> Self {
        let elements = match self {
            Self::Array(_) | Self::List(_) => self.elements(arena),
            _ => return Self::Missing,
        };
        let index = if index < 0 { i64::try_from(elements.len()).unwrap_or(i64::MAX) + index } else { index };
        usize::try_from(index).ok().and_then(|index| elements.get(index)).copied().unwrap_or(Self::Missing)
    }

    /// The value as compact JSON text.
    pub fn write_json(self, out: &mut bumpalo::collections::String<'_>) {
        match self {
            Self::Missing => out.push_str("null"),
            Self::Number(digits) => out.push_str(digits),
            Self::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
            Self::Array(raw) | Self::Object(raw) => push_compact(raw, out),
            Self::Raw(text) => {
                out.push('"');
                out.push_str(text.raw);
                out.push('"');
            }
            Self::Text(text) => push_quoted(text, out),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
            }
        }
    }
}

/// The object or list that the text holds as JSON; `None` when it holds anything else.
#[must_use]
pub fn parse_container(text: &str) -> Option<Value<'_>> {
    let mut scanner = Scanner::new(text);
    match scanner.value().and_then(|token| scanner.end().map(|()| token)) {
        Ok(token @ (Json::Array(_) | Json::Object(_))) => Some(Value::of(token)),
        Ok(_) | Err(_) => None,
    }
}

/// Whether there is nothing but blanks in it.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.as_bytes().first().is_none_or(|&byte| byte <= b' ' || byte >= 0x80) && text.trim().is_empty()
}

fn parse_array<'r>(raw: &'r str, arena: &'r Bump) -> &'r [Value<'r>] {
    let mut values = BumpVec::new_in(arena);
    let mut scanner = Scanner::new(raw);
    scanner.peek();
    scanner.open();
    let mut first = true;
    while let Ok(true) = scanner.element(first) {
        let Ok(token) = scanner.value() else { break };
        values.push(Value::of(token));
        first = false;
    }
    values.into_bump_slice()
}

fn find_member<'r>(raw: &'r str, name: &str, arena: &'r Bump) -> Value<'r> {
    let mut found = Value::Missing;
    let mut scanner = Scanner::new(raw);
    scanner.peek();
    scanner.open();
    let mut first = true;
    while let Ok(Some(key)) = scanner.key(first) {
        let Ok(token) = scanner.value() else { break };
        if key.raw == name || (key.escaped && key.decode(arena) == name) {
            found = Value::of(token);
        }
        first = false;
    }
    found
}

fn push_compact(raw: &str, out: &mut bumpalo::collections::String<'_>) {
    let mut in_string = false;
    let mut escaped = false;
    for character in raw.chars() {
        if in_string || !matches!(character, ' ' | '\t' | '\n' | '\r') {
            out.push(character);
        }
        if character == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && character == '\\' && !escaped;
    }
}

fn push_quoted(text: &str, out: &mut bumpalo::collections::String<'_>) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str("\\u00");
                for nibble in [u32::from(control) >> 4, u32::from(control) & 15] {
                    out.push(char::from_digit(nibble, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_over_lists_give_lists() {
        let arena = Bump::new();
        let list = parse_container(r#"[{"ip":"a","n":1},{"ip":""},{"ip":"b"},7]"#).unwrap();
        let ips: Vec<_> =
            list.member("ip", &arena).elements(&arena).iter().filter_map(|v| v.scalar(&arena)).collect();
        assert_eq!(ips, ["a", "b"]);
        assert_eq!(list.element(-1, &arena).scalar(&arena), Some("7"));
        assert!(list.element(9, &arena).is_missing(&arena));
    }

    #[test]
    fn what_holds_nothing_is_missing() {
        let arena = Bump::new();
        for text in [r#"[""]"#, r#"["  "]"#, r#"["\n \t"]"#, r#"["  \n"]"#, "[null]", "[[ ]]", "[{ }]"] {
            assert!(parse_container(text).unwrap().element(0, &arena).is_missing(&arena), "{text}");
        }
        for text in ["[0]", "[false]", "[\"x\"]", r#"["\\"]"#] {
            assert!(!parse_container(text).unwrap().element(0, &arena).is_missing(&arena), "{text}");
        }
    }

    #[test]
    fn objects_are_emitted_as_compact_json() {
        let arena = Bump::new();
        let mut out = bumpalo::collections::String::new_in(&arena);
        parse_container("{ \"a\" : [ 1 , \"x \\\" y\" ] }").unwrap().write_json(&mut out);
        assert_eq!(out.as_str(), r#"{"a":[1,"x \" y"]}"#);
    }
}
