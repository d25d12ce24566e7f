//! CEF: the header, the extension and their escapes, written straight into the frame.
//!
//! ```text
//! CEF:0|vendor|product|device version|class id|name|severity|key=value key=value
//! ```
//!
//! The encoder allocates nothing of its own and cannot fail. It does not know which keys exist (`dictionary`),
//! where a value comes from (`mapping`), or how the frame is sent (`syslog`). [`parse`] reads what is written here.

pub mod parse;
mod rules;

use core::net::IpAddr;

use jiff::tz::Offset;

pub use self::rules::Violation;
pub use crate::clean::Written;
use crate::clean::{Escapes, fit, instant, is_plain, write_display, write_integer};
use crate::record::Timestamp;

/// Writes one event: the header at once, then pairs in the order of the calls.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the extension starts: no space stands before its first pair.
    extension: usize,
}

impl<'o> Writer<'o> {
    /// Writes the header.
    pub fn new(out: &'o mut Vec<u8>, header: &Header<'_>) -> Self {
        write_header(out, header);
        let extension = out.len();
        Self { out, extension }
    }

    /// Goes on behind a header that was written before.
    pub fn behind_header(out: &'o mut Vec<u8>) -> Self {
        let extension = out.len();
        Self { out, extension }
    }

    /// Writes `key=text`, or nothing when no text is left.
    #[inline]
    pub fn text(&mut self, key: &str, text: &str, max_chars: Option<u32>) -> Written {
        let before = self.key(key);
        let written = write_value(self.out, text, max_chars);
        if written.is_empty() {
            self.out.truncate(before);
        }
        written
    }

    /// Writes `key=number`.
    #[inline]
    pub fn integer(&mut self, key: &str, number: i64) -> Written {
        self.key(key);
        write_integer(self.out, number);
        Written::Whole
    }

    /// Writes `key=number`; nothing for what is not a number.
    pub fn float(&mut self, key: &str, number: f64) -> Written {
        if !number.is_finite() {
            return Written::Empty;
        }
        self.key(key);
        write_display(self.out, number);
        Written::Whole
    }

    /// Writes `key=address`.
    pub fn address(&mut self, key: &str, address: IpAddr) -> Written {
        self.key(key);
        write_display(self.out, address);
        Written::Whole
    }

    /// Writes `key=time`.
    pub fn time(&mut self, key: &str, time: Timestamp, form: TimeForm) -> Written {
        self.key(key);
        write_time(self.out, time, form);
        Written::Whole
    }

    /// Bytes written so far, header included where this writer wrote it: what a frame budget is held against.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no byte stands in the buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    #[inline]
    fn key(&mut self, key: &str) -> usize {
        let before = self.out.len();
        if before > self.extension {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'=');
        before
    }
}

/// The seven fields before the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// `CEF:0` or `CEF:1`.
    pub version: Version,
    /// Device vendor, 63 characters.
    pub vendor: &'a str,
    /// Device product, 63 characters.
    pub product: &'a str,
    /// Device version, 31 characters.
    pub device_version: &'a str,
    /// Device event class id, 1023 characters: one per type of event.
    pub class_id: &'a str,
    /// What happened, 512 characters.
    pub name: &'a str,
    /// 0 to 10; more is taken for 10.
    pub severity: u8,
}

/// The version a line announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `CEF:0`, specification 0.x: the one every receiver reads.
    #[default]
    V0,
    /// `CEF:1`, specification 1.x.
    V1,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds since 1970.
    #[default]
    EpochMs,
    /// `MMM dd yyyy HH:mm:ss` in UTC, for receivers that take their event time from text only (SC4S). The
    /// fraction is lost.
    TextUtc,
}

/// Writes the header with its closing pipe. A field with nothing in it becomes [`PLACEHOLDER`]: strict readers
/// refuse an empty one.
pub fn write_header(out: &mut Vec<u8>, header: &Header<'_>) {
    out.extend_from_slice(match header.version {
        Version::V0 => b"CEF:0|",
        Version::V1 => b"CEF:1|",
    });
    // CEF Implementation Standard v27, header field definitions: vendor, product, version, class id, name.
    let fields = [
        (header.vendor, MAX_VENDOR),
        (header.product, MAX_PRODUCT),
        (header.device_version, MAX_DEVICE_VERSION),
        (header.class_id, MAX_CLASS_ID),
        (header.name, MAX_NAME),
    ];
    for (text, max) in fields {
        if write_header_field(out, text, max).is_empty() {
            out.extend_from_slice(PLACEHOLDER.as_bytes());
        }
        out.push(b'|');
    }
    write_integer(out, header.severity.min(MAX_SEVERITY).into());
    out.push(b'|');
}

/// Writes one header field: trimmed, cut, `\` and `|` escaped, control characters (line ends too) as spaces.
pub fn write_header_field(out: &mut Vec<u8>, text: &str, max_chars: u32) -> Written {
    let (text, written) = fit(text, Some(max_chars));
    if is_plain(text.as_bytes(), *b"|\\") {
        out.extend_from_slice(text.as_bytes());
    } else {
        HEADER_ESCAPES.write(out, text.as_bytes());
    }
    written
}

/// Writes one extension value: trimmed, cut to `max_chars` characters before escaping, `\` and `=` escaped, LF and
/// CR as `\n` and `\r`, other control characters as spaces.
#[inline]
pub fn write_value(out: &mut Vec<u8>, text: &str, max_chars: Option<u32>) -> Written {
    let (text, written) = fit(text, max_chars);
    if is_plain(text.as_bytes(), *b"=\\") {
        out.extend_from_slice(text.as_bytes());
    } else {
        VALUE_ESCAPES.write(out, text.as_bytes());
    }
    written
}

/// Writes a time in one of the forms of the standard's appendix A.
pub fn write_time(out: &mut Vec<u8>, time: Timestamp, form: TimeForm) {
    match form {
        TimeForm::EpochMs => write_integer(out, time.0),
        TimeForm::TextUtc => {
            let time = Offset::UTC.to_datetime(instant(time));
            let month = MONTHS.get(usize::from(time.month().unsigned_abs()) - 1).unwrap_or(&MONTHS[0]);
            let (day, year) = (time.day(), time.year());
            let (hour, minute, second) = (time.hour(), time.minute(), time.second());
            write_display(out, format_args!("{month} {day:02} {year:04} {hour:02}:{minute:02}:{second:02}"));
        }
    }
}

// CEF Implementation Standard v27, character encoding.
static HEADER_ESCAPES: Escapes = Escapes::new(&[(b'\\', b'\\'), (b'|', b'|')]);
static VALUE_ESCAPES: Escapes = Escapes::new(&[(b'\\', b'\\'), (b'=', b'='), (b'\n', b'n'), (b'\r', b'r')]);

/// What an empty header field becomes.
pub const PLACEHOLDER: &str = "-";

// CEF Implementation Standard v27, header field definitions.
const MAX_VENDOR: u32 = 63;
const MAX_PRODUCT: u32 = 63;
const MAX_DEVICE_VERSION: u32 = 31;
const MAX_CLASS_ID: u32 = 1023;
const MAX_NAME: u32 = 512;
const MAX_SEVERITY: u8 = 10;

// Appendix A: `MMM` is the English short name whatever the locale.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header<'_> = Header {
        version: Version::V0,
        vendor: "Microsoft",
        product: "Microsoft Defender XDR",
        device_version: "1",
        class_id: "DeviceProcessEvents:ProcessCreated",
        name: "ProcessCreated",
        severity: 5,
    };

    #[test]
    fn a_value_is_escaped_cut_and_trimmed() {
        let check = |text: &str, max: Option<u32>, wanted: &str, result: Written| {
            let mut out = b"x=".to_vec();
            assert_eq!(write_value(&mut out, text, max), result, "{text:?}");
            assert_eq!(String::from_utf8(out).unwrap(), format!("x={wanted}"));
        };
        check("plain", None, "plain", Written::Whole);
        check("a=b|c\\d", None, "a\\=b|c\\\\d", Written::Whole);
        check("one\r\ntwo", None, "one\\r\\ntwo", Written::Whole);
        check("tab\tnul\0del\x7fend", None, "tab nul del end", Written::Whole);
        check("  both ends \n", None, "both ends", Written::Whole);
        check("ends with\\", None, "ends with\\\\", Written::Whole);
        check("====", Some(3), "\\=\\=\\=", Written::Cut);
        check("\u{2028}😀 act=x", None, "\u{2028}😀 act\\=x", Written::Whole);
        check(" \t\r\n", None, "", Written::Empty);
        check(
            "a very long value with = far behind the first sixteen",
            None,
            "a very long value with \\= far behind the first sixteen",
            Written::Whole,
        );
        let long = "😀".repeat(4001);
        check(&long, Some(4000), &"😀".repeat(4000), Written::Cut);
    }

    #[test]
    fn a_header_field_is_escaped_and_holds_no_line_end() {
        let check = |text: &str, max: u32, wanted: &str| {
            let mut out = Vec::new();
            write_header_field(&mut out, text, max);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        };
        check("a|b\\c=d", 63, "a\\|b\\\\c=d");
        check(" two\r\nlines ", 63, "two  lines");
        check("||||", 3, "\\|\\|\\|");
    }

    #[test]
    fn a_header_has_seven_fields_whatever_it_is_given() {
        let check = |header: Header<'_>, wanted: &str| {
            let mut out = Vec::new();
            write_header(&mut out, &header);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        };
        check(
            HEADER,
            "CEF:0|Microsoft|Microsoft Defender XDR|1|DeviceProcessEvents:ProcessCreated|ProcessCreated|5|",
        );
        let odd = Header { version: Version::V1, vendor: " ", name: "a\nb", severity: 200, ..HEADER };
        check(odd, "CEF:1|-|Microsoft Defender XDR|1|DeviceProcessEvents:ProcessCreated|a b|10|");
        let mut out = Vec::new();
        let long = "|".repeat(2000);
        let all = Header {
            vendor: &long,
            product: &long,
            device_version: &long,
            class_id: &long,
            name: &long,
            ..HEADER
        };
        write_header(&mut out, &all);
        let pipes = 2 * (63 + 63 + 31 + 1023 + 512);
        assert_eq!(out.len(), "CEF:0||||||5|".len() + pipes);
    }

    #[test]
    fn pairs_are_parted_by_one_space_and_empty_ones_leave_no_trace() {
        let mut out = b"<13>".to_vec();
        let mut writer = Writer::new(&mut out, &HEADER);
        assert!(writer.text("msg", " ", None).is_empty());
        writer.text("act", "blocked|", None);
        writer.text("suser", "", None);
        writer.integer("cn1", i64::MIN);
        writer.float("cfp1", 0.5);
        assert!(writer.float("cfp2", f64::NAN).is_empty());
        writer.address("src", "2001:db8::1".parse().unwrap());
        writer.time("rt", Timestamp(1_700_000_000_123), TimeForm::EpochMs);
        writer.time("end", Timestamp(1_700_000_000_123), TimeForm::TextUtc);
        writer.time("start", Timestamp(i64::MAX), TimeForm::TextUtc);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.split_once("|5|").unwrap().1,
            "act=blocked| cn1=-9223372036854775808 cfp1=0.5 src=2001:db8::1 rt=1700000000123 \
             end=Nov 14 2023 22:13:20 start=Dec 30 9999 00:00:00"
        );
    }

    #[test]
    fn nothing_is_allocated_for_an_event() {
        let mut out = Vec::with_capacity(4096);
        let info = allocation_counter::measure(|| {
            let mut writer = Writer::new(&mut out, &HEADER);
            writer.text("msg", "a=b\\c\nd and some more text", Some(20));
            writer.integer("cn1", 42);
            writer.float("cfp1", 1.25);
            writer.address("src", IpAddr::from([192, 0, 2, 1]));
            writer.time("rt", Timestamp(1_700_000_000_123), TimeForm::TextUtc);
        });
        assert_eq!(info.count_total, 0);
    }
}
