//! Reads LEEF strictly: what stands in a line, and each rule of IBM's guide that the line breaks.
//!
//! For `listen`, `check` and tests. There are no escapes to undo: a value runs to the next delimiter.

use core::net::IpAddr;

use nom::bytes::complete::{is_not, tag};
use nom::character::complete::{anychar, char};
use nom::combinator::{all_consuming, opt};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::{MAX_EVENT_ID, limit};

/// Reads one event. The line begins at `LEEF:`, without syslog header and line end.
///
/// # Errors
/// When the line has no known version or too few header fields.
pub fn parse(line: &str) -> Result<Event, NotLeef> {
    let (rest, (version, fields)) = header(line).map_err(|_| NotLeef)?;
    let mut violations = Vec::new();
    let (delimiter, attributes) =
        if version == "2.0" { delimiter_field(rest, &mut violations) } else { ('\t', rest) };
    let [vendor, product, device_version, event_id] = fields.map(str::to_owned);
    let mut event = Event {
        version: version.to_owned(),
        vendor,
        product,
        device_version,
        event_id,
        attributes: Vec::new(),
        violations: Vec::new(),
    };
    for part in attributes.split(delimiter).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) => event.attributes.push((key.to_owned(), value.to_owned())),
            None => violations.push(Violation::Stray),
        }
    }
    if line.chars().any(|char| char != delimiter && char.is_ascii_control()) {
        violations.push(Violation::Control);
    }
    check(&event, &mut violations);
    event.violations = violations;
    Ok(event)
}

/// One event as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// `1.0` or `2.0`.
    pub version: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Version of the product.
    pub device_version: String,
    /// Event id.
    pub event_id: String,
    /// Attributes in their order.
    pub attributes: Vec<(String, String)>,
    /// What the line does that the guide forbids.
    #[serde(skip)]
    pub violations: Vec<Violation>,
}

impl Event {
    /// The value of an attribute: the first when it stands twice, as QRadar takes it.
    #[must_use]
    pub fn value(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }
}

/// A line that is no LEEF event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `LEEF:1.0` or `LEEF:2.0` with four fields")]
pub struct NotLeef;

/// A rule that an event breaks. The text names the attribute or header field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Violation {
    /// A control character that is not the delimiter.
    #[error("control character in the line")]
    Control,
    /// Something between delimiters that is no pair.
    #[error("text that is no attribute")]
    Stray,
    /// The sixth header field names no delimiter.
    #[error("delimiter is neither one character nor its hexadecimal code")]
    Delimiter,
    /// An attribute a second time.
    #[error("`{0}` stands twice")]
    Duplicate(String),
    /// An attribute or header field with nothing in it.
    #[error("`{0}` is empty")]
    Empty(String),
    /// An attribute of other characters than letters and digits.
    #[error("`{0}` is no attribute: letters and digits only")]
    BadKey(String),
    /// More characters than the guide allows.
    #[error("`{0}`: longer than {1} characters")]
    TooLong(String, u32),
    /// A value of another type.
    #[error("`{0}`: not what its type allows")]
    WrongType(String),
    /// A severity outside 1 to 10.
    #[error("`sev` is not 1 to 10")]
    Severity,
    /// A time QRadar cannot read.
    #[error("`devTime` has neither 10 or 13 digits nor a devTimeFormat")]
    Time,
    /// Attributes that QRadar ignores without `identSrc`.
    #[error("`{0}` without identSrc")]
    NoIdentitySource(String),
}

fn header(line: &str) -> IResult<&str, (&str, [&str; 4])> {
    let version = nom::branch::alt((tag("1.0"), tag("2.0")));
    let (mut line, version) = terminated(preceded(tag("LEEF:"), version), char('|')).parse(line)?;
    let mut fields = [""; 4];
    for field in &mut fields {
        let (rest, text) = terminated(opt(is_not("|")), char('|')).parse(line)?;
        (line, *field) = (rest, text.unwrap_or_default());
    }
    Ok((line, (version, fields)))
}

/// The delimiter and what stands behind its field. Senders leave the field out: then the text goes on with an
/// attribute, and the delimiter is the tab.
fn delimiter_field<'a>(rest: &'a str, violations: &mut Vec<Violation>) -> (char, &'a str) {
    let Some((field, attributes)) =
        rest.split_once('|').filter(|(field, _)| !field.contains('=') || *field == "=")
    else {
        return ('\t', rest);
    };
    let one: IResult<&str, char> = all_consuming(anychar).parse(field);
    let hexadecimal = field.strip_prefix("0x").or(field.strip_prefix('x')).and_then(|digits| {
        let is_code = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_code.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
    });
    match (field, one, hexadecimal) {
        ("", ..) => ('\t', attributes),
        (_, Ok((_, delimiter)), _) | (_, _, Some(delimiter)) => (delimiter, attributes),
        _ => {
            violations.push(Violation::Delimiter);
            ('\t', attributes)
        }
    }
}

fn check(event: &Event, found: &mut Vec<Violation>) {
    let header = [
        ("vendor", &event.vendor),
        ("product", &event.product),
        ("version", &event.device_version),
        ("event id", &event.event_id),
    ];
    for (name, _) in header.into_iter().filter(|(_, value)| value.trim().is_empty()) {
        found.push(Violation::Empty(name.to_owned()));
    }
    if let Some(max) = MAX_EVENT_ID.filter(|max| is_longer(&event.event_id, *max)) {
        found.push(Violation::TooLong("event id".to_owned(), max));
    }
    for (at, (name, value)) in event.attributes.iter().enumerate() {
        if event.attributes.iter().take(at).any(|(other, _)| other == name) {
            found.push(Violation::Duplicate(name.clone()));
            continue;
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            found.push(Violation::BadKey(name.clone()));
        }
        if value.trim().is_empty() {
            found.push(Violation::Empty(name.clone()));
        } else {
            check_value(event, name, value, found);
        }
    }
}

fn check_value(event: &Event, name: &str, value: &str, found: &mut Vec<Violation>) {
    if let Some(max) = limit(name).filter(|max| is_longer(value, *max)) {
        found.push(Violation::TooLong(name.to_owned(), max));
    }
    let is_right = match name {
        "src" | "dst" | "srcPreNAT" | "dstPreNAT" | "srcPostNAT" | "dstPostNAT" | "identSrc" | "vSrc" => {
            value.parse::<IpAddr>().is_ok()
        }
        "srcPort" | "dstPort" | "srcPreNATPort" | "dstPreNATPort" | "srcPostNATPort" | "dstPostNATPort" => {
            value.parse::<u16>().is_ok()
        }
        "srcBytes" | "dstBytes" | "srcPackets" | "dstPackets" | "totalPackets" => {
            value.parse::<u64>().is_ok()
        }
        "srcMAC" | "dstMAC" | "identMAC" => value.split([':', '-']).count() == 6,
        _ => true,
    };
    if !is_right {
        found.push(Violation::WrongType(name.to_owned()));
    }
    match name {
        "sev" if !value.parse().is_ok_and(|severity: u8| (1..=10).contains(&severity)) => {
            found.push(Violation::Severity);
        }
        "devTime" if event.value("devTimeFormat").is_none() => {
            let is_epoch = matches!(value.len(), 10 | 13) && value.bytes().all(|byte| byte.is_ascii_digit());
            if !is_epoch {
                found.push(Violation::Time);
            }
        }
        "identHostName" | "identNetBios" | "identGrpName" if event.value("identSrc").is_none() => {
            found.push(Violation::NoIdentitySource(name.to_owned()));
        }
        _ => {}
    }
}

fn is_longer(text: &str, max: u32) -> bool {
    usize::try_from(max).is_ok_and(|max| text.len() > max && text.chars().count() > max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_every_form_of_delimiter_are_read() {
        let check = |line: &str, wanted: &[(&str, &str)]| {
            let event = parse(line).unwrap();
            let pairs: Vec<(&str, &str)> =
                event.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(pairs, wanted, "{line}");
            assert_eq!(event.violations, [], "{line}");
            assert_eq!(event.event_id, "id");
        };
        let pairs = [("src", "2001:db8::1"), ("url", "http://x.example/?a=b|c")];
        check("LEEF:1.0|v|p|1|id|src=2001:db8::1\turl=http://x.example/?a=b|c", &pairs);
        check("LEEF:2.0|v|p|1|id|^|src=2001:db8::1^url=http://x.example/?a=b|c", &pairs);
        check("LEEF:2.0|v|p|1|id|x5E|src=2001:db8::1^url=http://x.example/?a=b|c", &pairs);
        check("LEEF:2.0|v|p|1|id|0x1f|src=2001:db8::1\x1furl=http://x.example/?a=b|c", &pairs);
        check("LEEF:2.0|v|p|1|id||src=2001:db8::1\turl=http://x.example/?a=b|c", &pairs);
        check("LEEF:2.0|v|p|1|id|src=2001:db8::1\turl=http://x.example/?a=b|c", &pairs);
        check("LEEF:1.0|v|p|1|id|", &[]);
    }

    #[test]
    fn a_line_without_its_header_is_no_event() {
        for line in ["", "LEEF:1.0", "LEEF:3.0|v|p|1|id|", "LEEF:1.0|v|p|1|id", "CEF:0|v|p|1|id|n|5|"] {
            assert_eq!(parse(line), Err(NotLeef), "{line}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        let check = |attributes: &str, wanted: &[&str]| {
            let event = parse(&format!("LEEF:2.0|v|p|1|id|^|{attributes}")).unwrap();
            let found: Vec<String> = event.violations.iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{attributes}");
        };
        check("a=\tb", &["control character in the line"]);
        check("a=b^c", &["text that is no attribute"]);
        check("a=b^a=c", &["`a` stands twice"]);
        check("a=", &["`a` is empty"]);
        check("a_b=c", &["`a_b` is no attribute: letters and digits only"]);
        check(&format!("usrName={}", "é".repeat(256)), &["`usrName`: longer than 255 characters"]);
        check("src=host", &["`src`: not what its type allows"]);
        check("srcPort=70000", &["`srcPort`: not what its type allows"]);
        check("sev=0", &["`sev` is not 1 to 10"]);
        check("sev=11", &["`sev` is not 1 to 10"]);
        check("devTime=2024-01-31", &["`devTime` has neither 10 or 13 digits nor a devTimeFormat"]);
        check("devTime=2024-01-31^devTimeFormat=yyyy-MM-dd", &[]);
        check("identHostName=pc1", &["`identHostName` without identSrc"]);
        let event = parse("LEEF:2.0|v|p|1|id|xyz|a=b").unwrap();
        assert_eq!(event.violations, [Violation::Delimiter]);
        let event = parse(&format!("LEEF:1.0|v|p||{}|a=b", "i".repeat(256))).unwrap();
        assert_eq!(
            event.violations,
            [Violation::Empty("version".into()), Violation::TooLong("event id".into(), 255)]
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        let layout = super::super::Layout::V2("x1F".parse().unwrap());
        let header = super::super::Header { vendor: "v|", product: "p", device_version: "", event_id: "id" };
        super::super::write_header(&mut out, layout, &header);
        out.extend_from_slice(b"sev=7\x1fmsg=");
        super::super::write_value(&mut out, "a=b\x1fc\nd", None, 0x1f);
        let event = parse(std::str::from_utf8(&out).unwrap()).unwrap();
        assert_eq!(event.violations, []);
        assert_eq!((event.vendor.as_str(), event.device_version.as_str()), ("v", "-"));
        assert_eq!([event.value("sev"), event.value("msg")], [Some("7"), Some("a=b c d")]);
    }
}
