//! From a value to the text a key's type allows.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use super::ast::OnError;
use super::evaluate::{Context, Fault};
use super::program::{Choice, Field};
use super::time::{self, Read};
use super::value::Value;
use crate::dictionary::Kind;
use crate::event::{Format, Target};
use crate::leef;
use crate::record::Timestamp;

/// A value as its key takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Converted<'r> {
    /// Text, not yet escaped.
    Text(&'r str),
    /// A time and its text.
    Time(Timestamp, &'r str),
    /// An IPv6 address that goes to the paired key.
    Paired(&'r str),
    /// No value; a fault is left in the context where there was one of the wrong type.
    Missing,
    /// A value of the wrong type, and the mapping wants the record refused for it.
    Rejected,
}

/// Converts; a fault is left in the context for whoever counts.
pub fn convert<'r>(
    field: &'r Field,
    choice: &Choice,
    value: Value<'r>,
    severity: u8,
    context: &Context<'r>,
    target: &Target,
) -> Converted<'r> {
    let arena = context.arena;
    if field.is_leef_severity() {
        // LEEF counts from 1 (leef.md, "Time and severity").
        return Converted::Text(arena.alloc_str(itoa::Buffer::new().format(severity.max(1))));
    }
    if value.is_missing(arena) {
        return Converted::Missing;
    }
    let result = match value.scalar(arena) {
        None => Err(Fault::Type),
        Some(text) => typed(field, text, context, target),
    };
    match (result, choice.on_error) {
        (Ok(converted), _) => converted,
        (Err(fault), OnError::Skip) => {
            context.fault.set(Some(fault));
            Converted::Missing
        }
        (Err(fault), OnError::Text) => {
            context.fault.set(Some(fault));
            Converted::Text(as_text(value, arena))
        }
        (Err(fault), OnError::Reject) => {
            context.fault.set(Some(fault));
            Converted::Rejected
        }
    }
}

fn typed<'r>(
    field: &Field,
    text: &'r str,
    context: &Context<'r>,
    target: &Target,
) -> Result<Converted<'r>, Fault> {
    match field.kind {
        Kind::Text => Ok(Converted::Text(text)),
        Kind::Int => integer(text, i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Port => integer(text, 0, i64::from(u16::MAX)),
        Kind::Long => integer(text, i64::MIN, i64::MAX),
        Kind::Double => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Converted::Text(text.trim())),
            _ => Err(Fault::Type),
        },
        Kind::Time => time(text, context, target),
        Kind::Ipv4 | Kind::Ip => address(field, text, context.arena, target),
        Kind::Ipv6 => match text.trim().parse::<Ipv6Addr>() {
            Ok(_) => Ok(Converted::Text(text.trim())),
            Err(_) => Err(Fault::Address),
        },
        Kind::Mac => mac(text, context.arena).ok_or(Fault::Address).map(Converted::Text),
    }
}

fn integer(text: &str, least: i64, most: i64) -> Result<Converted<'_>, Fault> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(Converted::Text(text.trim_start_matches('+'))),
        Ok(_) => Err(Fault::Range),
        Err(error) => match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => Err(Fault::Range),
            _ => Err(Fault::Type),
        },
    }
}

fn time<'r>(text: &'r str, context: &Context<'r>, target: &Target) -> Result<Converted<'r>, Fault> {
    match time::read(text) {
        Read::Sentinel => Ok(Converted::Missing),
        Read::Invalid => Err(Fault::Time),
        Read::At(at, zoned) => {
            if !zoned {
                context.fault.set(Some(Fault::Zone));
            }
            if matches!(target.format, Format::Leef(_)) && !leef::EPOCH_MS.contains(&at.0) {
                return Err(Fault::Range);
            }
            let text = if target.text_time {
                let moment = jiff::Timestamp::from_millisecond(at.0).map_err(|_| Fault::Time)?;
                // One of the four forms of the CEF standard's date appendix, in UTC.
                let mut out = BumpString::with_capacity_in(TEXT_TIME_BYTES, context.arena);
                write!(out, "{}", moment.strftime("%b %d %Y %H:%M:%S")).map_err(|_| Fault::Time)?;
                out.into_bump_str()
            } else {
                context.arena.alloc_str(itoa::Buffer::new().format(at.0))
            };
            Ok(Converted::Time(at, text))
        }
    }
}

/// IPv4 as it is, also out of its mapped form; IPv6 to the paired key, or inline where the destination takes it.
fn address<'r>(
    field: &Field,
    text: &'r str,
    arena: &'r Bump,
    target: &Target,
) -> Result<Converted<'r>, Fault> {
    let text = text.trim();
    match text.parse::<IpAddr>().map_err(|_| Fault::Address)? {
        IpAddr::V4(_) => Ok(Converted::Text(text)),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => Ok(Converted::Text(arena.alloc_str(&mapped.to_string()))),
            None if target.ipv6_inline || field.kind == Kind::Ip => Ok(Converted::Text(text)),
            None if field.paired.is_some() => Ok(Converted::Paired(text)),
            None => Err(Fault::Address),
        },
    }
}

/// Six pairs of hexadecimal digits, written with colons whatever stood between them.
fn mac<'r>(text: &str, arena: &'r Bump) -> Option<&'r str> {
    let digits = || text.bytes().filter(|byte| !matches!(byte, b':' | b'-' | b'.' | b' '));
    if digits().count() != 12 || !digits().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = BumpString::with_capacity_in(17, arena);
    for (place, digit) in digits().enumerate() {
        if place > 0 && place % 2 == 0 {
            out.push(':');
        }
        out.push(char::from(digit.to_ascii_lowercase()));
    }
    Some(out.into_bump_str())
}

fn as_text<'r>(value: Value<'r>, arena: &'r Bump) -> &'r str {
    value.scalar(arena).unwrap_or_else(|| {
        let mut out = BumpString::new_in(arena);
        value.write_json(&mut out);
        out.into_bump_str()
    })
}

/// `Nov 07 2022 17:07:42`
const TEXT_TIME_BYTES: usize = 20;
