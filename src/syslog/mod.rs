//! Syslog around an event: the priority, the RFC 5424 or RFC 3164 header, and the framing of RFC 6587 and 5425.
//!
//! ```text
//! 81 <134>1 2026-01-31T08:00:00.123Z gateway.example cefgate 42 Device_Events - CEF:0|
//! └ octet count, only with that framing                        structured data: none ┘
//! <134>Jan 31 08:00:00 gateway.example CEF:0|…⏎
//! ```
//!
//! No byte order mark stands before the message and an RFC 3164 header has no tag, because receivers look for `CEF:`
//! or `LEEF:` right behind the header. [`Deframer`] is the receiving side. Sockets are the business of `sink` and
//! `listener`.

mod deframe;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use self::deframe::{Deframer, Fault, Step};
use crate::clean::{instant, write_display, write_integer};
use crate::record::Timestamp;

/// Puts header and framing around messages.
#[derive(Clone, Debug)]
pub struct Framer {
    header: Header,
    framing: Framing,
    facility: u8,
    zone: TimeZone,
    /// The second that `stamp` holds the text of.
    second: Option<i64>,
    /// What stands between the priority and the milliseconds.
    stamp: Vec<u8>,
    /// What stands between the milliseconds and the message.
    tail: Vec<u8>,
}

impl Framer {
    /// A framer of one form: names are cleaned here once and for all.
    #[must_use]
    pub fn new(format: &Format) -> Self {
        let mut tail = Vec::new();
        let hostname = field(&format.hostname, MAX_HOSTNAME);
        match format.header {
            Header::Rfc5424 => {
                let more_digits = if format.fraction == Fraction::Microseconds { "000" } else { "" };
                let app_name = field(&format.app_name, MAX_APP_NAME);
                let proc_id = field(&format.proc_id, MAX_PROC_ID);
                let msg_id = field(&format.msg_id, MAX_MSG_ID);
                write_display(
                    &mut tail,
                    format_args!("{more_digits}Z {hostname} {app_name} {proc_id} {msg_id} - "),
                );
            }
            Header::Rfc3164 => write_display(&mut tail, format_args!(" {hostname} ")),
            Header::None => {}
        }
        Self {
            header: format.header,
            framing: format.framing,
            facility: format.facility.0,
            zone: format.zone.clone(),
            second: None,
            stamp: Vec::with_capacity(24),
            tail,
        }
    }

    /// Appends one frame. `severity` is the syslog one, 0 to 7; `time` goes into the header.
    ///
    /// With LF framing a line end inside the message becomes a space: it would make two messages of one.
    pub fn frame(&mut self, out: &mut Vec<u8>, severity: u8, time: Timestamp, message: &[u8]) {
        let priority = self.facility * 8 + severity.min(7);
        let second = time.0.div_euclid(1000);
        if self.second != Some(second) {
            self.format_second(time);
            self.second = Some(second);
        }
        if self.framing == Framing::Octet {
            let length = self.header_length(priority) + message.len();
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.push(b' ');
        }
        if self.header != Header::None {
            out.push(b'<');
            write_integer(out, priority.into());
            out.push(b'>');
            out.extend_from_slice(&self.stamp);
            if self.header == Header::Rfc5424 {
                out.extend_from_slice(&milliseconds(time));
            }
            out.extend_from_slice(&self.tail);
        }
        let body = out.len();
        out.extend_from_slice(message);
        if self.framing == Framing::Lf {
            if memchr::memchr2(b'\n', b'\r', message).is_some() {
                for byte in out.iter_mut().skip(body).filter(|byte| matches!(**byte, b'\n' | b'\r')) {
                    *byte = b' ';
                }
            }
            out.push(b'\n');
        }
    }

    /// Most bytes that are added to a message.
    #[must_use]
    pub fn overhead(&self) -> usize {
        // Twenty digits and a space, or a line feed; the stamp before its first use holds nothing yet.
        "18446744073709551615 ".len() + "<191>1 2026-01-31T08:00:00.123".len() + self.tail.len()
    }

    fn header_length(&self, priority: u8) -> usize {
        let digits = 1 + usize::from(priority >= 10) + usize::from(priority >= 100);
        match self.header {
            Header::Rfc5424 => "<>".len() + digits + self.stamp.len() + "123".len() + self.tail.len(),
            Header::Rfc3164 => "<>".len() + digits + self.stamp.len() + self.tail.len(),
            Header::None => 0,
        }
    }

    fn format_second(&mut self, time: Timestamp) {
        self.stamp.clear();
        match self.header {
            Header::Rfc5424 => {
                let time = jiff::tz::Offset::UTC.to_datetime(instant(time));
                let (year, month, day) = (time.year(), time.month(), time.day());
                let (hour, minute, second) = (time.hour(), time.minute(), time.second());
                write_display(
                    &mut self.stamp,
                    format_args!("1 {year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}."),
                );
            }
            Header::Rfc3164 => {
                let time = self.zone.to_datetime(instant(time));
                let month = usize::from(time.month().unsigned_abs()).saturating_sub(1);
                let (month, day) = (MONTHS.get(month).unwrap_or(&MONTHS[0]), time.day());
                let (hour, minute, second) = (time.hour(), time.minute(), time.second());
                // RFC 3164 §4.1.2: a day of one digit is padded with a space.
                write_display(
                    &mut self.stamp,
                    format_args!("{month} {day:>2} {hour:02}:{minute:02}:{second:02}"),
                );
            }
            Header::None => {}
        }
    }
}

/// What a framer puts around a message.
#[derive(Clone, Debug)]
pub struct Format {
    /// Which header.
    pub header: Header,
    /// Which framing.
    pub framing: Framing,
    /// Facility of the priority.
    pub facility: Facility,
    /// HOSTNAME: the log source's identity at many receivers, so the gateway's and not the endpoint's.
    pub hostname: String,
    /// APP-NAME. Not `CEF`: receivers would look for the event behind it in another way.
    pub app_name: String,
    /// PROCID.
    pub proc_id: String,
    /// MSGID.
    pub msg_id: String,
    /// Zone of the RFC 3164 time. RFC 5424 times are in UTC and say so.
    pub zone: TimeZone,
    /// Digits of the RFC 5424 time.
    pub fraction: Fraction,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            header: Header::default(),
            framing: Framing::default(),
            facility: Facility::default(),
            hostname: String::new(),
            app_name: "cefgate".to_owned(),
            proc_id: String::new(),
            msg_id: String::new(),
            zone: TimeZone::UTC,
            fraction: Fraction::default(),
        }
    }
}

/// The syslog header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// RFC 5424.
    #[default]
    Rfc5424,
    /// RFC 3164, also called BSD syslog.
    Rfc3164,
    /// The bare event.
    None,
}

/// How a receiver finds the end of a message in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// The length stands before it (RFC 6587 §3.4.1, RFC 5425 §4.3).
    #[default]
    Octet,
    /// A line feed stands behind it (RFC 6587 §3.4.2).
    Lf,
}

/// Digits behind the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fraction {
    /// Three, the form QRadar documents.
    #[default]
    Milliseconds,
    /// Six, the most RFC 5424 §6.2.3 allows.
    Microseconds,
}

/// A facility, 0 to 23; `local0` unless configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct Facility(u8);

impl Facility {
    /// A facility by its number.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        FACILITIES.get(usize::from(number)).map(|_| Self(number))
    }

    /// RFC 5424 §6.2.1, table 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl Default for Facility {
    fn default() -> Self {
        Self(16)
    }
}

impl TryFrom<String> for Facility {
    type Error = UnknownFacility;

    /// A name (`local0`) or a number (`16`).
    fn try_from(text: String) -> Result<Self, UnknownFacility> {
        let named = FACILITIES.iter().position(|name| name.eq_ignore_ascii_case(&text));
        let number = named.and_then(|number| u8::try_from(number).ok()).or_else(|| text.parse().ok());
        number.and_then(Self::new).ok_or(UnknownFacility(text))
    }
}

/// A facility that syslog does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no syslog facility: a name such as `local0`, or 0 to 23")]
pub struct UnknownFacility(String);

/// The syslog severity of an event: informational for CEF 0 to 3, then warning, error, critical for CEF's bands
/// medium, high and very high. Nothing is called an emergency: receivers print those on every console.
#[must_use]
pub fn severity(cef: u8) -> u8 {
    match cef {
        0..=3 => 6,
        4..=6 => 4,
        7..=8 => 3,
        _ => 2,
    }
}

/// A header field: printable ASCII without blanks, `_` in place of the rest, NILVALUE for nothing.
fn field(text: &str, max: usize) -> String {
    let clean: String =
        text.trim().chars().take(max).map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect();
    if clean.is_empty() { "-".to_owned() } else { clean }
}

fn milliseconds(time: Timestamp) -> [u8; 3] {
    let value = u16::try_from(time.0.rem_euclid(1000)).unwrap_or_default();
    [value / 100, value / 10 % 10, value % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or_default())
}

// RFC 5424 §6.
const MAX_HOSTNAME: usize = 255;
const MAX_APP_NAME: usize = 48;
const MAX_PROC_ID: usize = 128;
const MAX_MSG_ID: usize = 32;

// RFC 3164 §4.1.2: English whatever the locale.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// RFC 5424 §6.2.1, table 1, under the names of syslog(3).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn format() -> Format {
        Format {
            hostname: "gateway.example".into(),
            proc_id: "42".into(),
            msg_id: "Device Events".into(),
            ..Format::default()
        }
    }

    fn check(format: &Format, severity: u8, time: i64, message: &str, wanted: &str) {
        let mut out = Vec::new();
        Framer::new(format).frame(&mut out, severity, Timestamp(time), message.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn each_header_is_written_in_each_framing() {
        let time = 1_706_688_000_007;
        let octet = format();
        check(
            &octet,
            6,
            time,
            "CEF:0|",
            "81 <134>1 2024-01-31T08:00:00.007Z gateway.example cefgate 42 Device_Events - CEF:0|",
        );
        let lf = Format { framing: Framing::Lf, fraction: Fraction::Microseconds, ..format() };
        check(
            &lf,
            99,
            time,
            "CEF:0|",
            "<135>1 2024-01-31T08:00:00.007000Z gateway.example cefgate 42 Device_Events - CEF:0|\n",
        );
        let bsd = Format { header: Header::Rfc3164, facility: Facility(0), ..format() };
        check(&bsd, 6, time, "CEF:0|", "41 <6>Jan 31 08:00:00 gateway.example CEF:0|");
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        let bsd = Format { header: Header::Rfc3164, framing: Framing::Lf, zone, ..format() };
        check(&bsd, 6, 1_704_067_199_999, "CEF:0|", "<134>Jan  1 04:59:59 gateway.example CEF:0|\n");
        let bare = Format { header: Header::None, ..format() };
        check(&bare, 6, time, "CEF:0|é", "8 CEF:0|é");
        let bare = Format { header: Header::None, framing: Framing::Lf, ..format() };
        check(&bare, 6, time, "{\r\n}", "{  }\n");
    }

    #[test]
    fn a_header_field_holds_printable_ascii_or_the_nil_value() {
        let names = Format {
            hostname: "höst name".into(),
            app_name: "a".repeat(60),
            proc_id: " ".into(),
            msg_id: "m".repeat(40),
            framing: Framing::Lf,
            ..Format::default()
        };
        let wanted = format!(
            "<134>1 1970-01-01T00:00:00.000Z h_st_name {} - {} - x\n",
            "a".repeat(48),
            "m".repeat(32)
        );
        check(&names, 6, 0, "x", &wanted);
    }

    #[test]
    fn times_no_calendar_holds_still_make_a_header() {
        let lf = Format { framing: Framing::Lf, app_name: String::new(), ..Format::default() };
        check(&lf, 6, i64::MAX, "x", "<134>1 9999-12-30T00:00:00.807Z - - - - - x\n");
        check(&lf, 6, i64::MIN, "x", "<134>1 0001-01-02T00:00:00.192Z - - - - - x\n");
        check(&lf, 6, -1, "x", "<134>1 1969-12-31T23:59:59.999Z - - - - - x\n");
    }

    #[test]
    fn the_second_is_formatted_anew_when_it_changes() {
        let mut framer =
            Framer::new(&Format { framing: Framing::Lf, app_name: String::new(), ..Format::default() });
        let mut out = Vec::new();
        for time in [0, 999, 1000, 0] {
            framer.frame(&mut out, 6, Timestamp(time), b"x");
        }
        let seconds: Vec<&str> =
            std::str::from_utf8(&out).unwrap().lines().map(|line| &line[24..30]).collect();
        assert_eq!(seconds, ["00.000", "00.999", "01.000", "00.000"]);
        assert!(out.len() / 4 <= framer.overhead() + 1);
    }

    #[test]
    fn nothing_is_allocated_for_a_frame() {
        let mut framer = Framer::new(&Format { header: Header::Rfc3164, ..format() });
        let mut out = Vec::with_capacity(4096);
        framer.frame(&mut out, 6, Timestamp(0), b"x");
        let info = allocation_counter::measure(|| framer.frame(&mut out, 6, Timestamp(5000), b"message"));
        assert_eq!(info.count_total, 0);
    }

    #[test]
    fn a_facility_is_a_name_or_a_number() {
        let check = |text: &str, wanted: Option<u8>| {
            assert_eq!(Facility::try_from(text.to_owned()).ok().map(Facility::number), wanted, "{text}");
        };
        check("local0", Some(16));
        check("LOCAL7", Some(23));
        check("0", Some(0));
        check("23", Some(23));
        check("24", None);
        check("local8", None);
    }
}
