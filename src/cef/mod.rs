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

pub use self::rules::Violation;
pub use crate::clean::Written;
use crate::clean::{Escapes, fit, is_plain, write_integer};

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
}
