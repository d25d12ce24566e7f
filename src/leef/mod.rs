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

use std::ops::Range;

pub use self::delimiter::{Delimiter, DelimiterError};
pub use crate::clean::Written;
use crate::clean::{fit, is_control, is_plain};
use crate::dictionary;

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
}
