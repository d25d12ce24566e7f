//! LEEF 1.0 and 2.0, IBM QRadar's event format, written straight into the frame.
//!
//! ```text
//! LEEF:1.0|vendor|product|version|event id|key=value<TAB>key=value
//! LEEF:2.0|vendor|product|version|event id|delimiter|key=value<D>key=value
//! ```
//!
//! LEEF has no escapes: what would break a line is replaced by a space. Which attribute a CEF key becomes is in
//! `dictionary`; this module adds the attributes that need two values to be seen together. [`parse`] reads it back.

mod delimiter;
pub mod parse;

use core::net::IpAddr;
use std::ops::Range;

pub use self::delimiter::{Delimiter, DelimiterError};
pub use crate::clean::Written;
use crate::clean::{fit, is_control, is_plain, write_display, write_integer};
use crate::dictionary;
use crate::record::Timestamp;

/// Writes one event: the header at once, then attributes in the order of the calls, then [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    delimiter: u8,
    /// Where the attributes start: no delimiter stands before the first.
    attributes: usize,
    seen: Seen,
}

/// Values of which another attribute is made at the end: where they stand in the frame.
#[derive(Debug, Default)]
struct Seen {
    user: bool,
    other_user: Option<Range<usize>>,
    domain: bool,
    other_domain: Option<Range<usize>>,
    device: Option<Range<usize>>,
    device_address: bool,
    device_name: bool,
}

impl<'o> Writer<'o> {
    /// Writes the header.
    pub fn new(out: &'o mut Vec<u8>, layout: Layout, header: &Header<'_>) -> Self {
        write_header(out, layout, header);
        let attributes = out.len();
        Self { out, delimiter: layout.delimiter().byte(), attributes, seen: Seen::default() }
    }

    /// Writes `sev`: the CEF severity, with 0 raised to 1 because LEEF starts there.
    pub fn severity(&mut self, severity: u8) {
        self.integer("sev", severity.clamp(1, 10).into());
    }

    /// Writes `devTime`, the event's time, as 13 digits: the one form that needs no `devTimeFormat`.
    pub fn event_time(&mut self, time: Timestamp) {
        self.time("devTime", time);
    }

    /// Writes `attribute=text`, or nothing when no text is left.
    #[inline]
    pub fn text(&mut self, attribute: &str, text: &str, max_chars: Option<u32>) -> Written {
        let before = self.key(attribute);
        let from = self.out.len();
        let max = match (max_chars, limit(attribute)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let written = write_value(self.out, text, max, self.delimiter);
        if written.is_empty() {
            self.out.truncate(before);
        } else {
            self.remember(attribute, from);
        }
        written
    }

    /// Writes `attribute=number`.
    #[inline]
    pub fn integer(&mut self, attribute: &str, number: i64) -> Written {
        self.key(attribute);
        write_integer(self.out, number);
        Written::Whole
    }

    /// Writes `attribute=number`; nothing for what is not a number.
    pub fn float(&mut self, attribute: &str, number: f64) -> Written {
        if !number.is_finite() {
            return Written::Empty;
        }
        self.key(attribute);
        write_display(self.out, number);
        Written::Whole
    }

    /// Writes `attribute=address`, of either family.
    pub fn address(&mut self, attribute: &str, address: IpAddr) -> Written {
        self.key(attribute);
        let from = self.out.len();
        write_display(self.out, address);
        self.remember(attribute, from);
        Written::Whole
    }

    /// Writes `attribute=time` in milliseconds; nothing for a time that has not 13 digits, which QRadar would
    /// read in another unit.
    pub fn time(&mut self, attribute: &str, time: Timestamp) -> Written {
        if !EPOCH_MS.contains(&time.0) {
            return Written::Empty;
        }
        self.integer(attribute, time.0)
    }

    /// Adds what needed the whole event: `usrName` and `domain` from the destination's user where there was no
    /// source user, and `identHostName` beside `identSrc`.
    pub fn finish(mut self) {
        let seen = std::mem::take(&mut self.seen);
        if let (false, Some(user)) = (seen.user, seen.other_user) {
            self.again("usrName", user);
            if let (false, Some(domain)) = (seen.domain, seen.other_domain) {
                self.again("domain", domain);
            }
        }
        if let (true, false, Some(device)) = (seen.device_address, seen.device_name, seen.device) {
            self.again("identHostName", device);
        }
    }

    /// Bytes in the buffer: what a frame budget is held against.
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
    fn key(&mut self, attribute: &str) -> usize {
        let before = self.out.len();
        if before > self.attributes {
            self.out.push(self.delimiter);
        }
        self.out.extend_from_slice(attribute.as_bytes());
        self.out.push(b'=');
        before
    }

    #[inline]
    fn remember(&mut self, attribute: &str, from: usize) {
        let value = from..self.out.len();
        match attribute {
            "usrName" => self.seen.user = true,
            "destinationUserName" => self.seen.other_user = Some(value),
            "domain" => self.seen.domain = true,
            "destinationNtDomain" => self.seen.other_domain = Some(value),
            "resource" => self.seen.device = Some(value),
            "identSrc" => self.seen.device_address = true,
            "identHostName" => self.seen.device_name = true,
            _ => {}
        }
    }

    /// Writes a value that stands in the frame a second time, cut to the attribute's limit.
    fn again(&mut self, attribute: &str, value: Range<usize>) {
        self.key(attribute);
        let most = limit(attribute).and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        let start = value.start;
        let bytes = self.out.get(value.clone()).unwrap_or_default();
        let starts_character = |byte: &u8| byte & 0xc0 != 0x80;
        let past = bytes.iter().enumerate().filter(|(_, byte)| starts_character(byte)).nth(most);
        let end = past.map_or(value.end, |(at, _)| start + at);
        self.out.extend_from_within(start..end);
    }
}

/// The fields before the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Vendor.
    pub vendor: &'a str,
    /// Product.
    pub product: &'a str,
    /// Version of the product.
    pub device_version: &'a str,
    /// Event id, 255 characters: one per type of event; with `cat` it selects QRadar's own name of the event.
    pub event_id: &'a str,
}

/// The version of the format, with the delimiter where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `LEEF:1.0`: the delimiter is the tab.
    V1,
    /// `LEEF:2.0`: the header names the delimiter.
    V2(Delimiter),
}

impl Layout {
    /// What stands between attributes.
    #[must_use]
    pub fn delimiter(self) -> Delimiter {
        match self {
            Self::V1 => Delimiter::TAB,
            Self::V2(delimiter) => delimiter,
        }
    }
}

/// Writes the header with its closing pipe. A field with nothing in it becomes [`PLACEHOLDER`].
pub fn write_header(out: &mut Vec<u8>, layout: Layout, header: &Header<'_>) {
    out.extend_from_slice(match layout {
        Layout::V1 => b"LEEF:1.0|",
        Layout::V2(_) => b"LEEF:2.0|",
    });
    let fields = [
        (header.vendor, None),
        (header.product, None),
        (header.device_version, None),
        (header.event_id, MAX_EVENT_ID),
    ];
    for (text, max) in fields {
        if write_value(out, text, max, b'|').is_empty() {
            out.extend_from_slice(PLACEHOLDER.as_bytes());
        }
        out.push(b'|');
    }
    if let Layout::V2(delimiter) = layout {
        delimiter.write(out);
        out.push(b'|');
    }
}

/// Writes one value: trimmed, cut, control characters and the delimiter as spaces.
#[inline]
pub fn write_value(out: &mut Vec<u8>, text: &str, max_chars: Option<u32>, delimiter: u8) -> Written {
    let is_bad = |byte: u8| is_control(byte) || byte == delimiter;
    let (mut text, mut written) = fit(text, max_chars);
    if is_plain(text.as_bytes(), [delimiter; 2]) {
        out.extend_from_slice(text.as_bytes());
        return written;
    }
    // A delimiter at an end would become a blank there.
    let bare = text.trim_matches(|char| char == ' ' || u8::try_from(char).is_ok_and(is_bad));
    if bare.len() < text.len() {
        text = bare;
        written = if bare.is_empty() { Written::Empty } else { written };
    }
    let from = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in out.iter_mut().skip(from).filter(|byte| is_bad(**byte)) {
        *byte = b' ';
    }
    written
}

/// The attribute a CEF field becomes: a custom field (`cs1`) takes its label as its name where that is one
/// word and no name LEEF or the dictionary has given away; any other takes the dictionary's choice. Keys that no
/// dictionary knows keep their name.
#[must_use]
pub fn attribute<'a>(key: &'a str, label: Option<&'a str>) -> &'a str {
    let is_word = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && label.starts_with(|char: char| char.is_ascii_alphabetic())
    };
    let is_free =
        |label: &str| !is_predefined(label) && dictionary::KEYS.iter().all(|key| key.leef_name() != label);
    match label {
        Some(label) if dictionary::label_of(key).is_some() && is_word(label) && is_free(label) => label,
        _ => match dictionary::find(key) {
            Some(key) => key.leef_name(),
            None => key,
        },
    }
}

/// Whether IBM's guide gives the attribute a meaning.
#[must_use]
pub fn is_predefined(attribute: &str) -> bool {
    PREDEFINED.contains(&attribute)
}

/// Most characters of a predefined attribute.
#[must_use]
#[inline]
pub fn limit(attribute: &str) -> Option<u32> {
    match attribute {
        // LEEF v2 guide, predefined event attributes.
        "usrName" | "identHostName" | "identNetBios" | "identGrpName" | "vSrcName" | "accountName" => {
            Some(255)
        }
        "calLanguage" | "calCountryOrRegion" => Some(2),
        _ => None,
    }
}

/// What an empty header field becomes.
pub const PLACEHOLDER: &str = "-";

// LEEF v2 guide, LEEF event components.
const MAX_EVENT_ID: Option<u32> = Some(255);

/// Milliseconds that are written with 13 digits: September 2001 to November 2286.
pub const EPOCH_MS: Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// LEEF v2 guide, predefined event attributes, the reserved ones included.
#[rustfmt::skip]
const PREDEFINED: [&str; 45] = [
    "cat", "devTime", "devTimeFormat", "proto", "sev", "src", "dst", "srcPort", "dstPort", "srcPreNAT", "dstPreNAT",
    "srcPostNAT", "dstPostNAT", "usrName", "srcMAC", "dstMAC", "srcPreNATPort", "dstPreNATPort", "srcPostNATPort",
    "dstPostNATPort", "identSrc", "identHostName", "identNetBios", "identGrpName", "identMAC", "vSrc", "vSrcName",
    "accountName", "srcBytes", "dstBytes", "srcPackets", "dstPackets", "totalPackets", "role", "realm", "policy",
    "resource", "url", "groupID", "domain", "isLoginEvent", "isLogoutEvent", "identSecondlp", "calLanguage",
    "calCountryOrRegion",
];

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header<'_> = Header {
        vendor: "Microsoft",
        product: "Microsoft Defender XDR",
        device_version: "1",
        event_id: "Alert:Malware",
    };

    fn caret() -> Layout {
        Layout::V2("^".parse().unwrap())
    }

    fn event(layout: Layout, fill: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, layout, &HEADER);
        fill(&mut writer);
        writer.finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_versions_are_written_with_their_delimiter() {
        let fill = |writer: &mut Writer<'_>| {
            writer.severity(0);
            writer.event_time(Timestamp(1_700_000_000_123));
            writer.text("msg", "a\tb^c|d\r\ne=f\\g", None);
            writer.address("src", "2001:db8::1".parse().unwrap());
            writer.text("empty", "\t", None);
            writer.float("score", 0.25);
        };
        assert_eq!(
            event(Layout::V1, fill),
            "LEEF:1.0|Microsoft|Microsoft Defender XDR|1|Alert:Malware|\
             sev=1\tdevTime=1700000000123\tmsg=a b^c|d  e=f\\g\tsrc=2001:db8::1\tscore=0.25"
        );
        assert_eq!(
            event(caret(), fill),
            "LEEF:2.0|Microsoft|Microsoft Defender XDR|1|Alert:Malware|^|\
             sev=1^devTime=1700000000123^msg=a b c|d  e=f\\g^src=2001:db8::1^score=0.25"
        );
    }

    #[test]
    fn a_header_field_cannot_break_the_header() {
        let check = |id: &str, wanted: &str| {
            let mut out = Vec::new();
            write_header(&mut out, Layout::V1, &Header { event_id: id, ..HEADER });
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!("LEEF:1.0|Microsoft|Microsoft Defender XDR|1|{wanted}|"));
        };
        check("a|b\tc\nd\\e=f", "a b c d\\e=f");
        check("|", "-");
        check("", "-");
        check(&"é".repeat(256), &"é".repeat(255));
    }

    #[test]
    fn severity_is_one_to_ten_and_times_have_thirteen_digits() {
        let check = |fill: &dyn Fn(&mut Writer<'_>), wanted: &str| {
            assert_eq!(event(caret(), |writer| fill(writer)).rsplit_once('|').unwrap().1, wanted);
        };
        check(&|writer| writer.severity(0), "sev=1");
        check(&|writer| writer.severity(11), "sev=10");
        check(&|writer| writer.event_time(Timestamp(5)), "");
        check(&|writer| writer.event_time(Timestamp(-1)), "");
        check(&|writer| writer.event_time(Timestamp(10_000_000_000_000)), "");
    }

    #[test]
    fn one_user_and_one_device_are_named_as_qradar_wants_them() {
        let check = |pairs: &[(&str, &str)], wanted: &str| {
            let text = event(caret(), |writer| {
                for (key, value) in pairs {
                    writer.text(key, value, None);
                }
            });
            assert_eq!(text.rsplit_once('|').unwrap().1, wanted);
        };
        check(&[("usrName", "ann"), ("destinationUserName", "bob")], "usrName=ann^destinationUserName=bob");
        check(
            &[("destinationNtDomain", "CORP"), ("destinationUserName", "bob")],
            "destinationNtDomain=CORP^destinationUserName=bob^usrName=bob^domain=CORP",
        );
        check(&[("destinationNtDomain", "CORP")], "destinationNtDomain=CORP");
        check(&[("resource", "pc1")], "resource=pc1");
        check(
            &[("resource", "pc1"), ("identSrc", "192.0.2.1")],
            "resource=pc1^identSrc=192.0.2.1^identHostName=pc1",
        );
        let long = "ü".repeat(300);
        check(
            &[("destinationUserName", &long)],
            &format!("destinationUserName={long}^usrName={}", "ü".repeat(255)),
        );
    }

    #[test]
    fn a_custom_field_goes_by_its_label() {
        let check = |key: &str, label: Option<&str>, wanted: &str| assert_eq!(attribute(key, label), wanted);
        check("cs1", Some("processCommandLine"), "processCommandLine");
        check("cs1", Some("Process Command Line"), "deviceCustomString1");
        check("cs1", Some("url"), "deviceCustomString1");
        check("cs1", Some("fileHash"), "deviceCustomString1");
        check("cs1", None, "deviceCustomString1");
        check("suser", None, "usrName");
        check("act", Some("ignored"), "deviceAction");
        check("MicrosoftDefenderThing", None, "MicrosoftDefenderThing");
        check("threatActor", None, "threatActor");
    }

    #[test]
    fn nothing_is_allocated_for_an_event() {
        let mut out = Vec::with_capacity(4096);
        let info = allocation_counter::measure(|| {
            let mut writer = Writer::new(&mut out, Layout::V1, &HEADER);
            writer.severity(3);
            writer.text("destinationUserName", "a\tb", Some(20));
            writer.address("identSrc", IpAddr::from([192, 0, 2, 1]));
            writer.text("resource", "pc1", None);
            writer.finish();
        });
        assert_eq!(info.count_total, 0);
    }
}
