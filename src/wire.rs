//! How events look on the wire: the settings a receiver profile gives and a destination may change.
//!
//! Every setting is optional. Layers are laid over each other, destination over profile, and what nobody sets has a
//! built-in value. The words of the configuration are defined here; what they do is done by the encoders.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cef;
pub use crate::leef::Delimiter;
pub use crate::syslog::{Facility, Framing, Header};

/// What a profile or a destination says about its frames.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    /// `cef`, `leef`, or `json` for the record as received.
    pub format: Option<Format>,
    /// `0` or `1`.
    pub cef_version: Option<CefVersion>,
    /// `1.0` or `2.0`.
    pub leef_version: Option<LeefVersion>,
    /// Between LEEF 2.0 attributes: one character, or `0x` and hex digits. LEEF 1.0 always has the tab.
    #[serde(default, serialize_with = "delimiter_text")]
    pub delimiter: Option<Delimiter>,
    /// `octet` (counting, RFC 5425 §4.3) or `lf`.
    pub framing: Option<Framing>,
    /// `rfc5424`, `rfc3164` or `none`.
    pub header: Option<Header>,
    /// The syslog header's time: the `event`'s, or when it was `sent`.
    pub timestamp: Option<TimestampSource>,
    /// Times inside the event: `epoch_ms`, or `text_utc` for receivers that cannot read numbers.
    pub time: Option<TimeForm>,
    /// Zone of RFC 3164 timestamps, which do not name it: `UTC`, `Europe/Berlin`.
    pub zone: Option<Zone>,
    /// IPv6 addresses: `paired` in c6a keys (CEF:0), or `inline` in `src` and `dst` (CEF:1).
    pub ipv6: Option<Ipv6>,
    /// HOSTNAME of the syslog header. Built in: the name of this machine.
    pub hostname: Option<Hostname>,
    /// APP-NAME of the syslog header.
    pub app_name: Option<AppName>,
    /// Syslog facility: `local4`, `user`, or its number.
    #[serde(default, deserialize_with = "facility", serialize_with = "facility_number")]
    pub facility: Option<Facility>,
    /// Longest frame in bytes, framing left out. Events above it are shortened, never cut in the middle.
    pub max_frame_bytes: Option<FrameLimit>,
}

impl Wire {
    /// These settings, and where they say nothing those of `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            format: self.format.or(below.format),
            cef_version: self.cef_version.or(below.cef_version),
            leef_version: self.leef_version.or(below.leef_version),
            delimiter: self.delimiter.or(below.delimiter),
            framing: self.framing.or(below.framing),
            header: self.header.or(below.header),
            timestamp: self.timestamp.or(below.timestamp),
            time: self.time.or(below.time),
            zone: self.zone.or(below.zone),
            ipv6: self.ipv6.or(below.ipv6),
            hostname: self.hostname.or(below.hostname),
            app_name: self.app_name.or(below.app_name),
            facility: self.facility.or(below.facility),
            max_frame_bytes: self.max_frame_bytes.or(below.max_frame_bytes),
        }
    }
}

/// What a destination is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Common Event Format.
    #[default]
    Cef,
    /// Log Event Extended Format.
    Leef,
    /// The record as received, on one line.
    Json,
}

/// The number behind `CEF:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub enum CefVersion {
    /// `CEF:0`
    #[default]
    V0,
    /// `CEF:1`
    V1,
}

impl TryFrom<u8> for CefVersion {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::V0),
            1 => Ok(Self::V1),
            _ => Err(format!("there is no CEF version {number}: 0 or 1")),
        }
    }
}

impl From<CefVersion> for u8 {
    fn from(version: CefVersion) -> Self {
        match version {
            CefVersion::V0 => 0,
            CefVersion::V1 => 1,
        }
    }
}

impl From<CefVersion> for cef::Version {
    fn from(version: CefVersion) -> Self {
        match version {
            CefVersion::V0 => Self::V0,
            CefVersion::V1 => Self::V1,
        }
    }
}

/// The number behind `LEEF:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub enum LeefVersion {
    /// Attributes are separated by tabs.
    #[serde(rename = "1.0")]
    V1,
    /// The header names the separator.
    #[default]
    #[serde(rename = "2.0")]
    V2,
}

/// Which time the syslog header carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampSource {
    /// The event's; where it has none, when the record was stored.
    #[default]
    Event,
    /// When the frame was made.
    Sent,
}

/// How times are written inside an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeForm {
    /// Milliseconds since 1970-01-01 UTC.
    #[default]
    EpochMs,
    /// `MMM dd yyyy HH:mm:ss` in UTC, whole seconds: the form that every reader of text takes.
    TextUtc,
}

/// Where IPv6 addresses go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6 {
    /// Into the c6a keys with their labels.
    Paired,
    /// Into the keys that also carry IPv4.
    Inline,
}

/// HOSTNAME (RFC 5424 §6.2.4): 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// APP-NAME (RFC 5424 §6.2.5): 1 to 48 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

macro_rules! header_text {
    ($name:ident, $longest:literal) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                if (1..=$longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Ok(Self(text));
                }
                Err(format!("`{text}` does not fit: 1 to {} printable ASCII characters, no spaces", $longest))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

header_text!(Hostname, 255);
header_text!(AppName, 48);

/// Longest frame: room for a header and an event, and nothing no receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
pub struct FrameLimit(u32);

impl FrameLimit {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for FrameLimit {
    type Error = String;

    fn try_from(bytes: u32) -> Result<Self, String> {
        // RFC 5425 §4.3.1: a receiver takes 2048 at least, 8192 should it.
        if (1024..=16 << 20).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(format!("{bytes} is out of range: 1024 to {}", 16 << 20))
    }
}

impl From<FrameLimit> for u32 {
    fn from(limit: FrameLimit) -> Self {
        limit.0
    }
}

/// A time zone this machine knows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// The zone.
    #[must_use]
    pub fn time_zone(&self) -> &jiff::tz::TimeZone {
        &self.0
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        jiff::tz::TimeZone::get(&name).map(Self).map_err(|_| {
            format!("`{name}` is not a time zone this machine knows, such as `UTC` or `Europe/Berlin`")
        })
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// Reads a facility by its name or its number.
fn facility<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Facility>, D::Error> {
    deserializer.deserialize_any(FacilityVisitor).map(Some)
}

struct FacilityVisitor;

impl Visitor<'_> for FacilityVisitor {
    type Value = Facility;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a syslog facility such as `local4`, or its number from 0 to 23")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Facility, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Facility, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Facility, E> {
        Facility::try_from(word.to_owned()).map_err(E::custom)
    }
}

/// Writes its number.
#[allow(clippy::ref_option, reason = "serde asks for this form")]
fn facility_number<S: Serializer>(facility: &Option<Facility>, to: S) -> Result<S::Ok, S::Error> {
    facility.map(Facility::number).serialize(to)
}

/// Writes the character, or its code where it cannot be seen.
#[allow(clippy::ref_option, reason = "serde asks for this form")]
fn delimiter_text<S: Serializer>(delimiter: &Option<Delimiter>, to: S) -> Result<S::Ok, S::Error> {
    let text = delimiter.map(|delimiter| match delimiter.byte() {
        printable @ b'!'..=b'~' => char::from(printable).to_string(),
        other => format!("0x{other:02X}"),
    });
    text.serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wire, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_destination_lies_over_its_profile() {
        let profile = read("format = 'leef'\nframing = 'lf'\nfacility = 4").unwrap();
        let destination = read("framing = 'octet'\nzone = 'UTC'").unwrap();
        let wire = destination.over(profile);
        assert_eq!(wire.format, Some(Format::Leef));
        assert_eq!(wire.framing, Some(Framing::Octet));
        assert_eq!(wire.facility, Facility::new(4));
        assert!(wire.zone.is_some());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            "format = 'xml'",
            "cef_version = 2",
            "leef_version = '3.0'",
            "delimiter = '='",
            "delimiter = 'a'",
            "delimiter = ' '",
            "delimiter = ''",
            "delimiter = '0x41'",
            "delimiter = '0x00005'",
            "delimiter = 'ab'",
            "zone = 'Mars/Olympus'",
            "hostname = 'a b'",
            "hostname = ''",
            "app_name = '0123456789012345678901234567890123456789012345678'",
            "facility = 24",
            "facility = -1",
            "facility = 'local8'",
            "max_frame_bytes = 10",
            "formt = 'cef'",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for right in [
            "format = 'json'\ncef_version = 1\nleef_version = '1.0'\ndelimiter = '^'\nheader = 'none'",
            "delimiter = '0x1F'\ntimestamp = 'sent'\ntime = 'text_utc'\nzone = 'UTC'\nipv6 = 'inline'",
            "delimiter = 'x09'\nhostname = 'gate'\napp_name = 'CEF'\nfacility = 'local4'\nmax_frame_bytes = 2048",
        ] {
            let wire = read(right).unwrap();
            assert_eq!(read(&toml::to_string(&wire).unwrap()).unwrap(), wire, "{right}");
        }
    }
}
