//! The rules of the standard a read event is held against.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::fmt::strtime;

use super::parse::Event;
use super::{MAX_CLASS_ID, MAX_DEVICE_VERSION, MAX_NAME, MAX_PRODUCT, MAX_SEVERITY, MAX_VENDOR};
use crate::dictionary::{self, Audience, Key, Kind, Since};

/// A rule that an event breaks. The text names the key or header field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Violation {
    /// A backslash before a character that has no escape there.
    #[error("`{0}`: escape that does not exist")]
    Escape(String),
    /// An equals sign without a backslash.
    #[error("`{0}`: `=` without an escape")]
    BareEquals(String),
    /// A control character, a raw line end among them.
    #[error("control character in the line")]
    Control,
    /// Words before the first key.
    #[error("text before the first key")]
    Stray,
    /// A key a second time.
    #[error("`{0}` stands twice")]
    Duplicate(String),
    /// A custom field without its label.
    #[error("`{0}` without its label")]
    Unlabelled(String),
    /// A label without its custom field.
    #[error("`{0}` without the value it names")]
    OrphanLabel(String),
    /// Two labels of one text.
    #[error("`{0}`: a second label of that text")]
    RepeatedLabel(String),
    /// A key that is ArcSight's to set.
    #[error("`{0}` is the consumer's to write")]
    ConsumerKey(String),
    /// A key of specification 1.2 in an event that announces 0.x.
    #[error("`{0}` needs CEF:1")]
    NewerKey(String),
    /// A value or header field with nothing in it.
    #[error("`{0}` is empty")]
    Empty(String),
    /// Blanks at an end of a value.
    #[error("`{0}`: blanks around the value")]
    Blanks(String),
    /// A key of other characters than letters and digits.
    #[error("`{0}` is no key: letters and digits only")]
    BadKey(String),
    /// More characters than the dictionary allows.
    #[error("`{0}`: longer than {1} characters")]
    TooLong(String, u32),
    /// A value of another type.
    #[error("`{0}`: not what its type {1:?} allows")]
    WrongType(String, Kind),
    /// A number that is a time in seconds.
    #[error("`{0}`: seconds instead of milliseconds")]
    Seconds(String),
    /// Neither 0 nor 1.
    #[error("version is neither 0 nor 1")]
    Version,
    /// Neither a number nor one of the words.
    #[error("severity is neither 0 to 10 nor one of the five words")]
    Severity,
}

/// Adds what is wrong with an event to the list.
pub(super) fn check(event: &Event, found: &mut Vec<Violation>) {
    check_header(event, found);
    for (at, (name, value)) in event.extension.iter().enumerate() {
        if event.extension.iter().take(at).any(|(other, _)| other == name) {
            found.push(Violation::Duplicate(name.clone()));
            continue;
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            found.push(Violation::BadKey(name.clone()));
        }
        if value.is_empty() {
            found.push(Violation::Empty(name.clone()));
        } else if value.trim_matches(' ').len() < value.len() {
            found.push(Violation::Blanks(name.clone()));
        }
        if let Some(key) = dictionary::find(name) {
            check_key(event, key, value, found);
            check_label(event, at, key, value, found);
        }
    }
}

fn check_header(event: &Event, found: &mut Vec<Violation>) {
    if event.version > 1 {
        found.push(Violation::Version);
    }
    let fields = [
        ("vendor", &event.vendor, MAX_VENDOR),
        ("product", &event.product, MAX_PRODUCT),
        ("device version", &event.device_version, MAX_DEVICE_VERSION),
        ("class id", &event.class_id, MAX_CLASS_ID),
        ("name", &event.name, MAX_NAME),
    ];
    for (name, value, max) in fields {
        if value.is_empty() {
            found.push(Violation::Empty(name.to_owned()));
        }
        if is_longer(value, max) {
            found.push(Violation::TooLong(name.to_owned(), max));
        }
    }
    let is_number = event.severity.parse::<u8>().is_ok_and(|severity| severity <= MAX_SEVERITY);
    if !is_number && !SEVERITY_WORDS.contains(&event.severity.as_str()) {
        found.push(Violation::Severity);
    }
}

fn check_key(event: &Event, key: &Key, value: &str, found: &mut Vec<Violation>) {
    let name = || key.name.to_owned();
    if key.audience == Audience::Consumer {
        found.push(Violation::ConsumerKey(name()));
    }
    if key.since > Since::V0_1 && event.version == 0 {
        found.push(Violation::NewerKey(name()));
    }
    if let Some(max) = key.max.filter(|max| is_longer(value, *max)) {
        found.push(Violation::TooLong(name(), max));
    }
    if value.is_empty() {
        return;
    }
    if !is_of_kind(key.kind, value, event.version) {
        found.push(Violation::WrongType(name(), key.kind));
    } else if key.kind == Kind::Time && value.parse().is_ok_and(|number: i64| SECONDS.contains(&number)) {
        found.push(Violation::Seconds(name()));
    }
}

fn check_label(event: &Event, at: usize, key: &Key, value: &str, found: &mut Vec<Violation>) {
    if dictionary::label_of(key.name).is_some_and(|label| event.value(label.name).is_none()) {
        found.push(Violation::Unlabelled(key.name.to_owned()));
    }
    if let Some(labelled) = dictionary::labelled_by(key.name) {
        if event.value(labelled.name).is_none() {
            found.push(Violation::OrphanLabel(key.name.to_owned()));
        }
        let before = event.extension.iter().take(at);
        if before.filter(|(name, _)| dictionary::is_label(name)).any(|(_, text)| text == value) {
            found.push(Violation::RepeatedLabel(key.name.to_owned()));
        }
    }
}

fn is_of_kind(kind: Kind, value: &str, version: u32) -> bool {
    match kind {
        Kind::Text => true,
        Kind::Int => value.parse::<i32>().is_ok(),
        Kind::Port => value.parse::<u16>().is_ok(),
        Kind::Long => value.parse::<i64>().is_ok(),
        Kind::Double => value.parse::<f64>().is_ok_and(f64::is_finite),
        // Receivers that read CEF:1 take both families there.
        Kind::Ipv4 if version > 0 => value.parse::<IpAddr>().is_ok(),
        Kind::Ipv4 => value.parse::<Ipv4Addr>().is_ok(),
        Kind::Ipv6 => value.parse::<Ipv6Addr>().is_ok(),
        Kind::Ip => value.parse::<IpAddr>().is_ok(),
        Kind::Mac => is_mac(value),
        Kind::Time => value.parse::<i64>().is_ok() || is_text_time(value),
    }
}

fn is_mac(value: &str) -> bool {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    value.split(':').count() == 6 && value.split(':').all(is_pair)
}

/// One of the four text forms of appendix A, with a zone or without.
fn is_text_time(value: &str) -> bool {
    let is_form = |text: &str| {
        // A year is put before the forms that have none, so that 29 February can be read.
        let with_year = format!("2024 {text}");
        strtime::parse("%b %d %Y %H:%M:%S%.f", text).is_ok()
            || strtime::parse("%Y %b %d %H:%M:%S%.f", with_year).is_ok()
    };
    is_form(value)
        || value.rsplit_once(' ').is_some_and(|(time, zone)| {
            zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-:/_".contains(&byte)) && is_form(time)
        })
}

fn is_longer(text: &str, max: u32) -> bool {
    usize::try_from(max).is_ok_and(|max| text.len() > max && text.chars().count() > max)
}

// CEF Implementation Standard v27, header field definitions.
const SEVERITY_WORDS: [&str; 5] = ["Unknown", "Low", "Medium", "High", "Very-High"];

/// Ten digits: seconds of this century, or milliseconds of early 1970, which no Defender record carries.
const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;
