//! The transforms: each takes a value and gives a value, and none can fail.
//!
//! A transform of text over a list changes each element. What is missing stays missing, except for `default`.

use aws_lc_rs::{digest as sha, hmac};
use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use jiff::Timestamp as Moment;

use super::evaluate::{Context, Fault, compare_numbers};
use super::program::{Constant, Lookup, Transform};
use super::time::{self, Read};
use super::value::{Value, parse_container};

/// Applies one transform.
pub fn apply<'r>(transform: &'r Transform, value: Value<'r>, context: &Context<'r>) -> Value<'r> {
    let arena = context.arena;
    match transform {
        Transform::Default(text) if value.is_missing(arena) => Value::text(text),
        Transform::Default(_) => value,
        _ if value.is_missing(arena) => Value::Missing,
        Transform::First => value.elements(arena).first().copied().unwrap_or(Value::Missing),
        Transform::Last => value.elements(arena).last().copied().unwrap_or(Value::Missing),
        Transform::Nth(index) => Value::List(value.elements(arena)).element(*index, arena),
        Transform::Count => number(value.elements(arena).len() as i64, arena),
        Transform::Distinct => distinct(value, arena),
        Transform::Sort => sort(value, arena),
        Transform::Join(separator) => join(value, separator, arena),
        Transform::Max => extreme(value, arena, std::cmp::Ordering::is_gt),
        Transform::Min => extreme(value, arena, std::cmp::Ordering::is_lt),
        Transform::Json => {
            let mut out = BumpString::new_in(arena);
            value.write_json(&mut out);
            Value::text(out.into_bump_str())
        }
        Transform::PathJoin(directory, name) => path_join(value, directory, name, arena),
        Transform::ParseJson => parse_json(value, context),
        _ => match value {
            Value::Array(_) | Value::List(_) => {
                let mut changed = BumpVec::new_in(arena);
                changed.extend(
                    value
                        .elements(arena)
                        .iter()
                        .map(|v| scalar(transform, *v, context))
                        .filter(|v| !v.is_missing(arena)),
                );
                Value::list(changed)
            }
            _ => scalar(transform, value, context),
        },
    }
}

/// The first `n_digits` hexadecimal digits of the SHA-256 of a text.
#[must_use]
pub fn digest<'r>(text: &str, n_digits: usize, arena: &'r Bump) -> Value<'r> {
    digest_bytes(text.as_bytes(), n_digits, arena)
}

/// The first `n_digits` hexadecimal digits of the SHA-256 of some bytes.
#[must_use]
pub fn digest_bytes<'r>(bytes: &[u8], n_digits: usize, arena: &'r Bump) -> Value<'r> {
    hex(sha::digest(&sha::SHA256, bytes).as_ref(), n_digits, arena)
}

fn hex<'r>(bytes: &[u8], n_digits: usize, arena: &'r Bump) -> Value<'r> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = BumpString::with_capacity_in(n_digits, arena);
    for place in 0..n_digits.min(bytes.len() * 2) {
        let byte = bytes[place / 2];
        let nibble = if place % 2 == 0 { byte >> 4 } else { byte & 15 };
        out.push(char::from(DIGITS[usize::from(nibble)]));
    }
    Value::Text(out.into_bump_str())
}

fn scalar<'r>(transform: &'r Transform, value: Value<'r>, context: &Context<'r>) -> Value<'r> {
    let arena = context.arena;
    let Some(text) = value.scalar(arena) else {
        context.fault.set(Some(Fault::Type));
        return Value::Missing;
    };
    match transform {
        Transform::Lower => map_case(text, arena, char::is_uppercase, char::to_lowercase),
        Transform::Upper => map_case(text, arena, char::is_lowercase, char::to_uppercase),
        Transform::Trim => Value::text(text.trim()),
        Transform::Squeeze => squeeze(text, arena),
        Transform::Words => words(text, arena),
        Transform::Before(mark) => Value::text(text.split_once(&**mark).map_or(text, |(before, _)| before)),
        Transform::After(mark) => {
            text.split_once(&**mark).map_or(Value::Missing, |(_, after)| Value::text(after))
        }
        Transform::Basename => Value::text(text.rsplit(['\\', '/']).next().unwrap_or(text)),
        Transform::Dirname => text.rfind(['\\', '/']).map_or(Value::Missing, |at| Value::text(&text[..at])),
        Transform::Substr(from, length) => substr(text, *from, *length),
        Transform::Replace(from, to) => replace(text, from, to, arena),
        Transform::Prefix(prefix) => concat(&[prefix, text], arena),
        Transform::Suffix(suffix) => concat(&[text, suffix], arena),
        Transform::Int => int(text, context),
        Transform::Float => match text.trim().parse::<f64>() {
            Ok(float) if float.is_finite() => Value::Number(text.trim()),
            _ => fault(Fault::Type, context),
        },
        Transform::Bool01 => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Value::Number("1"),
            "false" | "0" | "no" => Value::Number("0"),
            _ => fault(Fault::Type, context),
        },
        Transform::HexDec => {
            let digits = text.trim().trim_start_matches("0x").trim_start_matches("0X");
            i64::from_str_radix(digits, 16).map_or_else(|_| fault(Fault::Type, context), |n| number(n, arena))
        }
        Transform::Lookup(table) => look_up(&context.program.lookups[*table], text, context),
        Transform::LookupPrefix(table) => look_up_prefix(&context.program.lookups[*table], text, context),
        Transform::UserPart => user_and_domain(text).0,
        Transform::DomainPart => user_and_domain(text).1,
        Transform::NullIf(null) if text.eq_ignore_ascii_case(null) => Value::Missing,
        Transform::NullIf(_) => value,
        Transform::EpochMs | Transform::Iso8601 | Transform::Date(_) => {
            reformat_time(transform, text, context)
        }
        Transform::Sha256 => digest(text, 64, arena),
        Transform::Hmac(key) => {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), text.as_bytes());
            hex(tag.as_ref(), 64, arena)
        }
        Transform::Mask(keep) => mask(text, *keep, arena),
        _ => value,
    }
}

fn fault<'r>(fault: Fault, context: &Context<'r>) -> Value<'r> {
    context.fault.set(Some(fault));
    Value::Missing
}

fn number(number: i64, arena: &Bump) -> Value<'_> {
    Value::Number(arena.alloc_str(itoa::Buffer::new().format(number)))
}

fn concat<'r>(parts: &[&str], arena: &'r Bump) -> Value<'r> {
    let mut out = BumpString::with_capacity_in(parts.iter().map(|part| part.len()).sum(), arena);
    parts.iter().for_each(|part| out.push_str(part));
    Value::text(out.into_bump_str())
}

fn map_case<'r, I: Iterator<Item = char>>(
    text: &'r str,
    arena: &'r Bump,
    differs: fn(char) -> bool,
    map: fn(char) -> I,
) -> Value<'r> {
    if !text.chars().any(differs) {
        return Value::text(text);
    }
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    text.chars().for_each(|character| out.extend(map(character)));
    Value::text(out.into_bump_str())
}

fn squeeze<'r>(text: &'r str, arena: &'r Bump) -> Value<'r> {
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Value::text(out.into_bump_str())
}

/// `ProcessCreated` → `Process Created`, `AVDetection` → `AV Detection`; text with blanks stays as it is.
fn words<'r>(text: &'r str, arena: &'r Bump) -> Value<'r> {
    let mut out = BumpString::with_capacity_in(text.len() + 8, arena);
    let mut before: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let starts_word = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && characters.peek().is_some_and(|next| next.is_lowercase()))
            });
        if starts_word {
            out.push(' ');
        }
        out.push(if character == '_' { ' ' } else { character });
        before = Some(character);
    }
    Value::text(out.into_bump_str())
}

fn substr(text: &str, from: i64, length: i64) -> Value<'_> {
    let n_characters = text.chars().count();
    let place = |index: i64| {
        let from_end = usize::try_from(-index).unwrap_or(0);
        usize::try_from(index).unwrap_or_else(|_| n_characters.saturating_sub(from_end))
    };
    let byte_at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let start = place(from);
    let end = start.saturating_add(usize::try_from(length).unwrap_or(0));
    Value::text(&text[byte_at(start)..byte_at(end)])
}

fn replace<'r>(text: &'r str, from: &str, to: &str, arena: &'r Bump) -> Value<'r> {
    if from.is_empty() || !text.contains(from) {
        return Value::text(text);
    }
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    for (index, part) in text.split(from).enumerate() {
        if index > 0 {
            out.push_str(to);
        }
        out.push_str(part);
    }
    Value::text(out.into_bump_str())
}

fn int<'r>(text: &'r str, context: &Context<'r>) -> Value<'r> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return number(whole, context.arena);
    }
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => {
            whole.parse().map_or_else(|_| fault(Fault::Type, context), |whole| number(whole, context.arena))
        }
        _ => fault(Fault::Type, context),
    }
}

fn look_up<'r>(table: &'r Lookup, text: &'r str, context: &Context<'r>) -> Value<'r> {
    if !table.networks.is_empty() {
        let found = super::evaluate::parse_address(text)
            .and_then(|address| table.networks.iter().find(|(network, _)| network.holds(address)));
        return default_of(table, found.map(|(_, value)| value), context);
    }
    let found = table.entries.get(text);
    let found = if table.ignore_case && found.is_none() {
        map_case(text, context.arena, char::is_uppercase, char::to_lowercase)
            .scalar(context.arena)
            .and_then(|lower| table.entries.get(lower))
    } else {
        found
    };
    default_of(table, found, context)
}

fn look_up_prefix<'r>(table: &'r Lookup, text: &str, context: &Context<'r>) -> Value<'r> {
    let found = table.prefixes.iter().find(|prefix| {
        text.starts_with(&***prefix)
            || (table.ignore_case
                && text.get(..prefix.len()).is_some_and(|head| head.to_lowercase() == prefix.to_lowercase()))
    });
    default_of(table, found.and_then(|prefix| table.entries.get(prefix)), context)
}

fn default_of<'r>(table: &'r Lookup, found: Option<&'r Constant>, context: &Context<'r>) -> Value<'r> {
    match found.or(table.default.as_ref()) {
        Some(constant) => constant.value(),
        None => fault(Fault::Lookup, context),
    }
}

/// `dom\user` and `user@dom` → user, domain; anything else is a user without a domain.
fn user_and_domain(text: &str) -> (Value<'_>, Value<'_>) {
    if let Some((domain, user)) = text.split_once('\\') {
        return (Value::text(user), Value::text(domain));
    }
    match text.rsplit_once('@') {
        Some((user, domain)) => (Value::text(user), Value::text(domain)),
        None => (Value::text(text), Value::Missing),
    }
}

fn reformat_time<'r>(transform: &'r Transform, text: &'r str, context: &Context<'r>) -> Value<'r> {
    let (at, zoned) = match time::read(text) {
        Read::At(at, zoned) => (at, zoned),
        Read::Sentinel => return Value::Missing,
        Read::Invalid => return fault(Fault::Time, context),
    };
    if !zoned {
        context.fault.set(Some(Fault::Zone));
    }
    if let Transform::EpochMs = transform {
        return number(at.0, context.arena);
    }
    let Ok(moment) = Moment::from_millisecond(at.0) else { return fault(Fault::Time, context) };
    let text = match transform {
        Transform::Date(pattern) => jiff::fmt::strtime::format(pattern.as_bytes(), moment).ok(),
        _ => Some(format!("{moment:.3}")),
    };
    text.map_or_else(|| fault(Fault::Time, context), |text| Value::text(context.arena.alloc_str(&text)))
}

/// Keeps the first `keep` characters and stars the rest.
fn mask<'r>(text: &'r str, keep: usize, arena: &'r Bump) -> Value<'r> {
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    out.extend(text.chars().enumerate().map(|(place, character)| if place < keep { character } else { '*' }));
    Value::text(out.into_bump_str())
}

fn distinct<'r>(value: Value<'r>, arena: &'r Bump) -> Value<'r> {
    let mut kept: BumpVec<'r, Value<'r>> = BumpVec::new_in(arena);
    for element in value.elements(arena) {
        let text = element.scalar(arena);
        if text.is_none() || !kept.iter().any(|known| known.scalar(arena) == text) {
            kept.push(*element);
        }
    }
    Value::list(kept)
}

fn sort<'r>(value: Value<'r>, arena: &'r Bump) -> Value<'r> {
    let mut sorted = BumpVec::from_iter_in(value.elements(arena).iter().copied(), arena);
    sorted.sort_by(|left, right| left.scalar(arena).cmp(&right.scalar(arena)));
    Value::list(sorted)
}

fn join<'r>(value: Value<'r>, separator: &str, arena: &'r Bump) -> Value<'r> {
    let mut out = BumpString::new_in(arena);
    for text in value.elements(arena).iter().filter_map(|element| element.scalar(arena)) {
        if !out.is_empty() {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Value::text(out.into_bump_str())
}

/// The element beyond all others: by number when all are numbers, else by text.
fn extreme<'r>(value: Value<'r>, arena: &'r Bump, beyond: fn(std::cmp::Ordering) -> bool) -> Value<'r> {
    let order = |left: &str, right: &str| compare_numbers(left, right).unwrap_or_else(|| left.cmp(right));
    let mut best: Option<(Value<'r>, &str)> = None;
    for element in value.elements(arena) {
        if let Some(text) = element.scalar(arena)
            && best.is_none_or(|(_, known)| beyond(order(text, known)))
        {
            best = Some((*element, text));
        }
    }
    best.map_or(Value::Missing, |(value, _)| value)
}

/// Joins directory and name unless the directory already ends in the name.
fn path_join<'r>(object: Value<'r>, directory: &str, name: &str, arena: &'r Bump) -> Value<'r> {
    let member = |name: &str| object.member(name, arena).scalar(arena);
    match (member(directory), member(name)) {
        (Some(directory), Some(name)) => {
            let last = directory.rsplit(['\\', '/']).next().unwrap_or(directory);
            if last.eq_ignore_ascii_case(name) {
                return Value::text(directory);
            }
            let separator = if directory.contains('/') && !directory.contains('\\') { "/" } else { "\\" };
            let separator = if directory.ends_with(['\\', '/']) { "" } else { separator };
            concat(&[directory, separator, name], arena)
        }
        (None, Some(only)) | (Some(only), None) => Value::text(only),
        (None, None) => Value::Missing,
    }
}

fn parse_json<'r>(value: Value<'r>, context: &Context<'r>) -> Value<'r> {
    match value {
        Value::Array(_) | Value::Object(_) | Value::List(_) => value,
        _ => value
            .scalar(context.arena)
            .and_then(parse_container)
            .unwrap_or_else(|| fault(Fault::Json, context)),
    }
}
