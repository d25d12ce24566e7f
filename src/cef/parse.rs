//! Reads CEF strictly: what stands in a line, and each rule of the standard that the line breaks.
//!
//! For `listen`, `check` and tests. It refuses only what has no seven header fields; whatever else is wrong is
//! read as well as can be and named in [`Event::violations`].

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1};
use nom::character::complete::{anychar, char, digit1, none_of};
use nom::combinator::{all_consuming, map_res, opt, recognize, rest};
use nom::multi::many0_count;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::rules::{self, Violation};

/// Reads one event. The line begins at `CEF:`, without syslog header and line end.
///
/// # Errors
/// When the line has no version or not seven header fields.
pub fn parse(line: &str) -> Result<Event, NotCef> {
    let (extension, (version, fields)) = header(line).map_err(|_| NotCef)?;
    let mut violations = Vec::new();
    let names = ["vendor", "product", "device version", "class id", "name", "severity"];
    let mut fields = fields.into_iter().zip(names).map(|(raw, name)| {
        unescape(raw, b"\\|", &mut || violations.push(Violation::Escape(name.to_owned())))
    });
    let mut field = || fields.next().unwrap_or_default();
    let mut event = Event {
        version,
        vendor: field(),
        product: field(),
        device_version: field(),
        class_id: field(),
        name: field(),
        severity: field(),
        extension: Vec::new(),
        violations: Vec::new(),
    };
    // The input is consumed to its end by construction: what is no pair is a stray text.
    if let Ok((_, (stray, pairs))) = all_consuming(pairs).parse(extension) {
        if stray.is_some_and(|stray| !stray.trim_start_matches(' ').is_empty()) {
            violations.push(Violation::Stray);
        }
        for (key, raw, is_last) in pairs {
            let value = unescape(raw, b"\\=nr", &mut || violations.push(Violation::Escape(key.to_owned())));
            if has_bare_equals(raw) {
                violations.push(Violation::BareEquals(key.to_owned()));
            }
            // Blanks behind the last value belong to no one: readers drop them.
            let value = if is_last { value.trim_end_matches(' ').to_owned() } else { value };
            event.extension.push((key.to_owned(), value));
        }
    }
    if line.bytes().any(crate::clean::is_control) {
        violations.push(Violation::Control);
    }
    rules::check(&event, &mut violations);
    event.violations = violations;
    Ok(event)
}

/// One event as read, escapes undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// The number behind `CEF:`.
    pub version: u32,
    /// Device vendor.
    pub vendor: String,
    /// Device product.
    pub product: String,
    /// Device version.
    pub device_version: String,
    /// Device event class id.
    pub class_id: String,
    /// Name.
    pub name: String,
    /// Severity, a number or a word.
    pub severity: String,
    /// Keys and values in their order.
    pub extension: Vec<(String, String)>,
    /// What the line does that the standard forbids.
    #[serde(skip)]
    pub violations: Vec<Violation>,
}

impl Event {
    /// The value of a key: the first when it stands twice.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.extension.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// A line that is no CEF event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `CEF:` with a version and seven fields")]
pub struct NotCef;

type Fields<'a> = [&'a str; 6];

fn header(line: &str) -> IResult<&str, (u32, Fields<'_>)> {
    let version = preceded(tag("CEF:"), map_res(digit1, str::parse::<u32>));
    let (mut line, version) = terminated(version, char('|')).parse(line)?;
    let mut fields = [""; 6];
    for field in &mut fields {
        (line, *field) = terminated(header_field, char('|')).parse(line)?;
    }
    Ok((line, (version, fields)))
}

fn header_field(line: &str) -> IResult<&str, &str> {
    let character = alt((none_of("|\\"), preceded(char('\\'), anychar)));
    recognize(many0_count(character)).parse(line)
}

type Pair<'a> = (&'a str, &'a str, bool);

/// A text before the first key, which should not be, and the pairs with whether each is the last.
fn pairs(extension: &str) -> IResult<&str, (Option<&str>, Vec<Pair<'_>>)> {
    let (mut line, stray) = match key_at_start(extension) {
        Some(_) => (extension, None),
        None => {
            let end = next_key(extension).map_or(extension.len(), |at| at + 1);
            let (stray, line) = extension.split_at(end);
            (line, Some(stray))
        }
    };
    let mut pairs = Vec::new();
    while let (after_key, Some(key)) = opt(key).parse(line)? {
        match next_key(after_key) {
            Some(end) => {
                let (value, next) = after_key.split_at(end);
                pairs.push((key, value, false));
                line = next.strip_prefix(' ').unwrap_or(next);
            }
            None => {
                let (end, value) = rest.parse(after_key)?;
                pairs.push((key, value, true));
                line = end;
            }
        }
    }
    Ok((line, (stray, pairs)))
}

fn key(line: &str) -> IResult<&str, &str> {
    terminated(take_till1(|char| matches!(char, ' ' | '=' | '\\' | '|')), char('=')).parse(line)
}

fn key_at_start(line: &str) -> Option<&str> {
    key(line).ok().map(|(_, key)| key)
}

/// Where the space before the next ` key=` stands, escapes respected.
fn next_key(line: &str) -> Option<usize> {
    let mut space = None;
    let mut bytes = line.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
                // A word with an escape in it is no key.
                space = None;
            }
            b' ' => space = Some(at),
            b'=' => {
                let found = space.take().filter(|space| space + 1 < at);
                if let Some(space) = found
                    && line.get(space + 1..).and_then(key_at_start).is_some()
                {
                    return Some(space);
                }
            }
            _ => {}
        }
    }
    None
}

fn has_bare_equals(raw: &str) -> bool {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'=' => return true,
            _ => {}
        }
    }
    false
}

/// Undoes the escapes `allowed`; another one stays as it stands and is reported.
fn unescape(raw: &str, allowed: &[u8], report: &mut dyn FnMut()) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next() {
            Some(escaped) if u8::try_from(escaped).is_ok_and(|byte| allowed.contains(&byte)) => {
                text.push(match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                });
            }
            other => {
                report();
                text.push('\\');
                text.extend(other);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extension: &str) -> Event {
        parse(&format!("CEF:0|v|p|1|id|name|5|{extension}")).unwrap()
    }

    #[test]
    fn header_escapes_are_undone() {
        let event = parse(r"CEF:1|a\|b|c\\d|1.0|x=y|näme|Very-High|").unwrap();
        assert_eq!(event.version, 1);
        assert_eq!(
            [&event.vendor, &event.product, &event.class_id, &event.name, &event.severity],
            ["a|b", r"c\d", "x=y", "näme", "Very-High"]
        );
        assert_eq!((event.extension.len(), event.violations.len()), (0, 0));
    }

    #[test]
    fn a_line_without_seven_fields_is_no_event() {
        for line in [
            "",
            "CEF:",
            "CEF:x|a|b|c|d|e|5|",
            "CEF:0|a|b|c|d|e|5",
            "cef:0|a|b|c|d|e|5|",
            r"CEF:0|a|b|c|d|e|5\|x",
        ] {
            assert_eq!(parse(line), Err(NotCef), "{line}");
        }
    }

    #[test]
    fn values_end_where_the_next_key_begins() {
        let check = |extension: &str, wanted: &[(&str, &str)]| {
            let event = read(extension);
            let pairs: Vec<(&str, &str)> =
                event.extension.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(pairs, wanted, "{extension}");
            assert_eq!(event.violations, [], "{extension}");
        };
        check("act=blocked", &[("act", "blocked")]);
        check("act=two words | pipe dhost=x", &[("act", "two words | pipe"), ("dhost", "x")]);
        check(r"msg=a\=b c\\ act=x", &[("msg", r"a=b c\"), ("act", "x")]);
        check(r"msg=one\r\ntwo", &[("msg", "one\r\ntwo")]);
        check(r"msg=see act\=x dhost=y", &[("msg", "see act=x"), ("dhost", "y")]);
        check(r"msg=trailing\\\\", &[("msg", r"trailing\\")]);
        check("msg=\u{2028}😀 act=é  ", &[("msg", "\u{2028}😀"), ("act", "é")]);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let check = |extension: &str, wanted: &[&str]| {
            let found: Vec<String> = read(extension).violations.iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{extension}");
        };
        check(r"msg=a\tb", &["`msg`: escape that does not exist"]);
        check(r"msg=a\", &["`msg`: escape that does not exist"]);
        check("msg=a=b", &["`msg`: `=` without an escape"]);
        check("msg=a\tb", &["control character in the line"]);
        check("loose words act=x", &["text before the first key"]);
        check("loose words", &["text before the first key"]);
        check("act=x act=y", &["`act` stands twice"]);
        check("cs1=x", &["`cs1` without its label"]);
        check("cs1Label=x", &["`cs1Label` without the value it names"]);
        check("cs1=x cs1Label=one cs2=y cs2Label=one", &["`cs2Label`: a second label of that text"]);
        check("rawEvent=x", &["`rawEvent` is the consumer's to write"]);
        check("frameworkName=x", &["`frameworkName` needs CEF:1"]);
        check("act= dhost=x", &["`act` is empty"]);
        check("act=", &["`act` is empty"]);
        check("act= a", &["`act`: blanks around the value"]);
        check("act=a  dhost=x", &["`act`: blanks around the value"]);
        check("src_ip=x", &["`src_ip` is no key: letters and digits only"]);
        check("spt=http", &["`spt`: not what its type Port allows"]);
        check("fsize=2147483648", &["`fsize`: not what its type Int allows"]);
        check("src=2001:db8::1", &["`src`: not what its type Ipv4 allows"]);
        check("smac=00-00-00-00-00-00", &["`smac`: not what its type Mac allows"]);
        check("rt=2024-01-31T08:00:00Z", &["`rt`: not what its type Time allows"]);
        check("rt=1706688000", &["`rt`: seconds instead of milliseconds"]);
        check("rt=1706688000000 end=Jan 31 2024 08:00:00 start=Jan 31 2024 08:00:00.123 UTC", &[]);
        check(&format!("act={}", "é".repeat(63)), &[]);
        check(&format!("act={}", "é".repeat(64)), &["`act`: longer than 63 characters"]);
    }

    #[test]
    fn each_broken_rule_of_the_header_is_named() {
        let check = |line: &str, wanted: &[&str]| {
            let found: Vec<String> =
                parse(line).unwrap().violations.iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{line}");
        };
        check(r"CEF:0|a\=b|p|1|id|n|5|", &["`vendor`: escape that does not exist"]);
        check("CEF:0||p|1|id|n|5|", &["`vendor` is empty"]);
        check("CEF:0|v|p|1|id|n|11|", &["severity is neither 0 to 10 nor one of the five words"]);
        check("CEF:2|v|p|1|id|n|5|", &["version is neither 0 nor 1"]);
        check(
            &format!("CEF:0|v|p|{}|id|n|5|", "x".repeat(32)),
            &["`device version`: longer than 31 characters"],
        );
        check("CEF:1|v|p|1|id|n|5|src=2001:db8::1 threatActor=x", &[]);
    }
}
