//! One message as received: its syslog header, the event inside, and what is wrong with either.

use serde::Serialize;
use syslog_loose::{Protocol, Variant};

use crate::cef;
use crate::leef;

/// A message taken apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The header; absent when the event stands alone.
    pub syslog: Option<Syslog>,
    /// What stands behind the header.
    #[serde(flatten)]
    pub body: Body,
    /// Each broken rule, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
}

impl Message {
    /// Takes a message apart. Every text is some message: what cannot be read is [`Body::Other`].
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut violations = Vec::new();
        if matches!(text, std::borrow::Cow::Owned(_)) {
            violations.push("not UTF-8".to_owned());
        }
        let (syslog, event) = split(&text);
        if text.starts_with('<') && syslog.is_none() {
            violations.push("no syslog header that can be read".to_owned());
        }
        let event = match event.strip_prefix('\u{feff}') {
            Some(behind) => {
                violations.push("byte order mark before the event".to_owned());
                behind
            }
            None => event,
        };
        let body = body(event, &mut violations);
        Self { syslog, body, violations }
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Syslog {
    /// `rfc5424` or `rfc3164`.
    pub protocol: &'static str,
    /// Name of the facility.
    pub facility: Option<&'static str>,
    /// Name of the severity.
    pub severity: Option<&'static str>,
    /// As RFC 3339 writes it. An RFC 3164 time has got its year and zone from this machine.
    pub timestamp: Option<String>,
    /// HOSTNAME.
    pub hostname: Option<String>,
    /// APP-NAME.
    pub app_name: Option<String>,
    /// PROCID.
    pub proc_id: Option<String>,
    /// MSGID.
    pub msg_id: Option<String>,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// A CEF event.
    Cef(cef::parse::Event),
    /// A LEEF event.
    Leef(leef::parse::Event),
    /// Neither.
    Other(String),
}

fn split(text: &str) -> (Option<Syslog>, &str) {
    if starts_event(text) {
        return (None, text);
    }
    let read = syslog_loose::parse_message(text, Variant::Either);
    if read.facility.is_none() && read.timestamp.is_none() {
        return (None, text);
    }
    let (protocol, event) = match read.protocol {
        Protocol::RFC5424(_) => ("rfc5424", read.msg),
        // Without a tag the parser takes `CEF` for one: the event is found in the text.
        Protocol::RFC3164 => ("rfc3164", event_in(text).unwrap_or(read.msg)),
    };
    let tag = |name: &str| protocol == "rfc5424" || !(name == "CEF" || name == "LEEF");
    let syslog = Syslog {
        protocol,
        facility: read.facility.map(syslog_loose::SyslogFacility::as_str),
        severity: read.severity.map(syslog_loose::SyslogSeverity::as_str),
        timestamp: read.timestamp.map(|time| time.to_rfc3339()),
        hostname: read.hostname.map(str::to_owned),
        app_name: read.appname.filter(|name| tag(name)).map(str::to_owned),
        proc_id: read.procid.map(|id| id.to_string()),
        msg_id: read.msgid.map(str::to_owned),
    };
    (Some(syslog), event)
}

fn starts_event(text: &str) -> bool {
    text.starts_with("CEF:") || text.starts_with("LEEF:")
}

fn event_in(text: &str) -> Option<&str> {
    let at =
        text.match_indices(' ').map(|(at, _)| at + 1).find(|at| text.get(*at..).is_some_and(starts_event))?;
    text.get(at..)
}

fn body(event: &str, violations: &mut Vec<String>) -> Body {
    if let Ok(event) = cef::parse::parse(event) {
        violations.extend(event.violations.iter().map(ToString::to_string));
        return Body::Cef(event);
    }
    if let Ok(event) = leef::parse::parse(event) {
        violations.extend(event.violations.iter().map(ToString::to_string));
        return Body::Leef(event);
    }
    if starts_event(event) {
        violations.push("event header that cannot be read".to_owned());
    }
    Body::Other(event.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "CEF:0|v|p|1|id|n|5|act=x";

    #[test]
    fn the_event_is_found_behind_every_header() {
        let check = |header: &str, wanted: Option<(&str, Option<&str>, Option<&str>)>| {
            let message = Message::read(format!("{header}{EVENT}").as_bytes());
            let syslog = message.syslog.as_ref();
            let syslog =
                syslog.map(|read| (read.protocol, read.hostname.as_deref(), read.app_name.as_deref()));
            assert_eq!(syslog, wanted, "{header}");
            assert!(matches!(message.body, Body::Cef(event) if event.value("act") == Some("x")), "{header}");
            assert_eq!(message.violations, [""; 0]);
        };
        check("", None);
        check(
            "<134>1 2024-01-31T08:00:00.123Z gw.example cefgate 42 Id - ",
            Some(("rfc5424", Some("gw.example"), Some("cefgate"))),
        );
        check("<134>1 - - - - - - ", Some(("rfc5424", None, None)));
        check("<134>Jan 31 08:00:00 gw.example ", Some(("rfc3164", Some("gw.example"), None)));
        check("<134>Jan  1 08:00:00 gw ", Some(("rfc3164", Some("gw"), None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |bytes: &[u8], wanted: &[&str]| assert_eq!(Message::read(bytes).violations, wanted);
        check(b"<134>1 - - - - - - CEF:0|v|p|1|id|n|5|act=\xff", &["not UTF-8"]);
        check(
            "<134>1 - - - - - - \u{feff}CEF:0|v|p|1|id|n|5|".as_bytes(),
            &["byte order mark before the event"],
        );
        check(b"<134>1 - - - - - - CEF:0|v|p", &["event header that cannot be read"]);
        check(b"<134>1 - - - - - - LEEF:1.0|v|p|1|id|sev=0", &["`sev` is not 1 to 10"]);
        check(b"<134>1 - - - - - - hello", &[]);
    }
}
