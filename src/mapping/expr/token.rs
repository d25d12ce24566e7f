//! The smallest parts: words, names, texts, numbers, and the fault that says where reading stopped.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize, verify};
use nom::multi::many0;
use nom::{IResult, Parser};

/// What stopped the parser and where.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    pub at: &'a str,
    pub length: usize,
    pub message: String,
    pub help: Option<String>,
}

impl<'a> nom::error::ParseError<&'a str> for Fault<'a> {
    fn from_error_kind(at: &'a str, _: nom::error::ErrorKind) -> Self {
        Fault { at, length: 1, message: format!("unexpected {}", found(at)), help: None }
    }

    fn append(_: &'a str, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Parsed<'a, T> = IResult<&'a str, T, Fault<'a>>;

pub(super) fn failure<'a, T>(
    at: &'a str,
    length: usize,
    message: impl Into<String>,
    help: impl Into<Help>,
) -> Parsed<'a, T> {
    let Help(help) = help.into();
    Err(nom::Err::Failure(Fault { at, length, message: message.into(), help }))
}

/// Text at the caret; a type of its own so that callers may pass what they have.
pub(super) struct Help(pub Option<String>);

impl From<&str> for Help {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl From<String> for Help {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}

impl From<Option<String>> for Help {
    fn from(text: Option<String>) -> Self {
        Self(text)
    }
}

/// The closing bracket, or a fault that points at the opening one.
pub(super) fn close<'a>(input: &'a str, end: char, open: &'a str) -> Parsed<'a, ()> {
    let rest = blank(input);
    match rest.strip_prefix(end) {
        Some(rest) => Ok((rest, ())),
        None if rest.is_empty() => failure(open, 1, format!("`{end}` is missing"), None::<String>),
        None => failure(rest, 1, format!("expected `{end}`, found {}", found(rest)), None::<String>),
    }
}

pub(super) fn quoted(input: &str) -> Parsed<'_, String> {
    let inside = |input| take_while(|next| next != '\'').parse(input);
    let (rest, text) = recognize((tag("'"), inside, many0((tag("''"), inside)))).parse(input)?;
    match rest.strip_prefix('\'') {
        Some(rest) => Ok((rest, text[1..].replace("''", "'"))),
        None => failure(input, 1, "this text has no end", "a closing `'` is missing"),
    }
}

pub(super) fn number(input: &str) -> Parsed<'_, &str> {
    let digits = |input| take_while1(|next: char| next.is_ascii_digit()).parse(input);
    recognize((opt(char('-')), digits, opt((char('.'), digits)))).parse(input)
}

/// A word of the language: a transform, a function, a table.
pub(super) fn word(input: &str) -> Parsed<'_, &str> {
    verify(take_while1(is_name), |text: &str| {
        !text.starts_with(|next: char| next.is_ascii_digit() || next == '-')
    })
    .parse(input)
}

/// A name in a path, which may be any text in double quotes.
pub(super) fn name(input: &str) -> Parsed<'_, String> {
    if input.starts_with('"') {
        return quoted_name(input);
    }
    match word(input) {
        Ok((rest, name)) => Ok((rest, name.to_owned())),
        Err(_) => Err(nom::Err::Error(Fault {
            at: input,
            length: 1,
            message: format!("expected a path, found {}", found(input)),
            help: None,
        })),
    }
}

/// A name behind a dot: may begin with a digit.
pub(super) fn step_name(input: &str) -> Parsed<'_, String> {
    if input.starts_with('"') {
        return quoted_name(input);
    }
    match alt((take_while1::<_, _, Fault<'_>>(is_name), tag("@"))).parse(input) {
        Ok((rest, name)) if name != "@" => Ok((rest, name.to_owned())),
        _ => failure(
            input,
            1,
            format!("expected a name after `.`, found {}", found(input)),
            "an odd name goes in double quotes",
        ),
    }
}

pub(super) fn quoted_name(input: &str) -> Parsed<'_, String> {
    match input[1..].find('"') {
        Some(length) if length > 0 => Ok((&input[length + 2..], input[1..=length].to_owned())),
        Some(_) => failure(input, 2, "a name cannot be empty", None::<String>),
        None => failure(input, 1, "this name has no end", "a closing `\"` is missing"),
    }
}

pub(super) fn keyword<'a>(input: &'a str, word: &str) -> Parsed<'a, ()> {
    match input.strip_prefix(word) {
        Some(rest) if !rest.starts_with(is_name) => Ok((rest, ())),
        _ => Err(nom::Err::Error(nom::error::ParseError::from_error_kind(input, nom::error::ErrorKind::Tag))),
    }
}

pub(super) fn is_name(next: char) -> bool {
    next.is_alphanumeric() || next == '_' || next == '-'
}

pub(super) fn blank(input: &str) -> &str {
    input.trim_start_matches([' ', '\t', '\r', '\n'])
}

pub(super) fn found(rest: &str) -> String {
    let rest = blank(rest);
    let length = rest.find(|next| !is_name(next)).unwrap_or(rest.len());
    match rest.chars().next() {
        None => "the end".to_owned(),
        Some(first) if length == 0 => format!("`{first}`"),
        Some(_) => format!("`{}`", &rest[..length]),
    }
}
