//! An indicator as a person or a feed writes it, and its check. Its members are those of the service's own documents.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::Refused;
use super::words::same;
use crate::duration;
use crate::mapping::vocabulary::suggestion;

/// What Defender for Endpoint shall look for, and what it shall do then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Indicator {
    /// The hash, address, name or URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator_value: Option<String>,
    /// What that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator_type: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The title of the alerts it raises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The description of the alerts it raises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The severity of the alerts it raises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Whether it raises alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_alert: Option<bool>,
    /// The application it comes from; only when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<String>,
    /// What an analyst should do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_actions: Option<String>,
    /// The device groups it holds for; all without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbac_group_names: Option<Vec<String>>,
    /// Where a user who is blocked or warned can read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub educate_url: Option<String>,
}

impl Indicator {
    /// What another one says where this one is silent.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            indicator_value: self.indicator_value.or_else(|| other.indicator_value.clone()),
            indicator_type: self.indicator_type.or_else(|| other.indicator_type.clone()),
            action: self.action.or_else(|| other.action.clone()),
            title: self.title.or_else(|| other.title.clone()),
            description: self.description.or_else(|| other.description.clone()),
            severity: self.severity.or_else(|| other.severity.clone()),
            generate_alert: self.generate_alert.or(other.generate_alert),
            application: self.application.or_else(|| other.application.clone()),
            expiration_time: self.expiration_time.or_else(|| other.expiration_time.clone()),
            recommended_actions: self.recommended_actions.or_else(|| other.recommended_actions.clone()),
            rbac_group_names: self.rbac_group_names.or_else(|| other.rbac_group_names.clone()),
            educate_url: self.educate_url.or_else(|| other.educate_url.clone()),
        }
    }

    /// In the words of the service; a span until it ends becomes a time.
    ///
    /// # Errors
    /// Something is missing, or the service does not take it.
    pub fn checked(mut self, now: Timestamp) -> Result<Self, Refused> {
        let mut faults = Vec::new();
        for (name, words, given) in [
            ("indicatorType", TYPES, &mut self.indicator_type),
            ("action", ACTIONS, &mut self.action),
            ("severity", SEVERITIES, &mut self.severity),
        ] {
            match given.as_deref().map(|given| (given, same(given, words.iter().copied()))) {
                Some((_, Some(word))) => *given = Some(word.to_owned()),
                Some((wrong, None)) => faults.push(unknown(name, wrong, words)),
                None if name == "severity" => {}
                None => faults.push(format!("`{name}` is missing: one of `{}`", words.join("`, `"))),
            }
        }
        for (name, given) in [
            ("indicatorValue", &self.indicator_value),
            ("title", &self.title),
            ("description", &self.description),
        ] {
            if given.as_deref().is_none_or(|text| text.trim().is_empty()) {
                faults.push(format!("`{name}` is missing"));
            }
        }
        if let (Some(value), Some(kind)) = (&self.indicator_value, &self.indicator_type)
            && let Err(fault) = check_value(kind, value)
        {
            faults.push(fault);
        }
        if self.action.as_deref() == Some("Audit") && self.generate_alert != Some(true) {
            faults.push(
                "the action `Audit` does nothing but raise alerts: `generateAlert` must be true".to_owned(),
            );
        }
        if let Some(until) = &self.expiration_time {
            match end(until, now) {
                Ok(time) => self.expiration_time = Some(time),
                Err(fault) => faults.push(fault),
            }
        }
        if let Some(url) = &self.educate_url
            && !is_url(url)
        {
            faults.push(format!(
                "`educateUrl`: `{url}` is not a URL such as `https://intranet.example/blocked`"
            ));
        }
        if faults.is_empty() { Ok(self) } else { Err(Refused(faults)) }
    }
}

/// The service's word for a type.
///
/// # Errors
/// There is none.
pub fn kind(given: &str) -> Result<&'static str, Refused> {
    same(given, TYPES.iter().copied()).ok_or_else(|| Refused(vec![unknown("indicatorType", given, TYPES)]))
}

fn unknown(name: &str, given: &str, words: &[&str]) -> String {
    let superseded = SUPERSEDED.iter().find(|(old, _)| same(given, [*old]).is_some());
    let meant = match superseded {
        Some((_, new)) => format!("; it was superseded by `{new}`"),
        None => {
            suggestion(given, words.iter().copied()).map(|meant| format!("; {meant}")).unwrap_or_default()
        }
    };
    format!("`{name}`: `{given}` is not one of `{}`{meant}", words.join("`, `"))
}

/// Whether a value is of its type.
fn check_value(kind: &str, value: &str) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("`indicatorValue`: `{value}` is not {what}"));
    let is_hex = |n: usize| value.len() == n && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match kind {
        "FileMd5" if !is_hex(32) => refuse("an MD5: 32 hexadecimal digits"),
        "FileSha1" if !is_hex(40) => refuse("a SHA-1: 40 hexadecimal digits"),
        "FileSha256" if !is_hex(64) => refuse("a SHA-256: 64 hexadecimal digits"),
        "CertificateThumbprint" if !is_hex(40) => refuse("a thumbprint: 40 hexadecimal digits"),
        "IpAddress" if value.contains('/') => {
            refuse("one address: the service takes no networks; add each address by itself")
        }
        "IpAddress" if value.parse::<IpAddr>().is_err() => refuse("an IP address"),
        "DomainName" if !is_domain(value) => {
            refuse("a domain name such as `evil.example`, without scheme, port or path")
        }
        "Url" if !is_url(value) => refuse("a URL such as `https://evil.example/x`"),
        _ => Ok(()),
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
    };
    text.contains('.') && text.len() <= 253 && text.parse::<IpAddr>().is_err() && text.split('.').all(label)
}

fn is_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A time to come, or a span until then.
fn end(text: &str, now: Timestamp) -> Result<String, String> {
    let refused = || {
        format!(
            "`expirationTime`: `{text}` is not a time such as `2026-12-31T00:00:00Z`, or a span such as `30d`"
        )
    };
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            duration::parse(text).ok().and_then(|span| now.checked_add(span).ok()).ok_or_else(refused)?
        }
    };
    if time <= now {
        return Err(format!("`expirationTime`: `{text}` has passed"));
    }
    Ok(format!("{time:.0}"))
}

/// "Submit or Update Indicator".
const TYPES: &[&str] =
    &["FileSha1", "FileSha256", "FileMd5", "CertificateThumbprint", "IpAddress", "DomainName", "Url"];
const ACTIONS: &[&str] = &["Warn", "Block", "Audit", "BlockAndRemediate", "Allowed"];
const SEVERITIES: &[&str] = &["Informational", "Low", "Medium", "High"];
/// Since January 2022.
const SUPERSEDED: &[(&str, &str)] = &[("Alert", "Audit"), ("AlertAndBlock", "Block"), ("Allow", "Allowed")];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, value: &str, more: &str, expected: Option<&str>) {
        let text = format!(
            r#"{{"indicatorType":"{kind}","indicatorValue":"{value}","title":"t","description":"d"{more}}}"#
        );
        let indicator: Indicator = serde_json::from_str(&text).unwrap();
        let now = "2026-03-04T09:00:00Z".parse().unwrap();
        let refused = indicator.checked(now).err().map(|refused| refused.to_string());
        match (refused, expected) {
            (None, None) => {}
            (Some(refused), Some(expected)) => assert!(refused.contains(expected), "{refused}"),
            (refused, expected) => panic!("{text}: {refused:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_value_is_of_its_type() {
        let block = r#","action":"block""#;
        let sha256 = "ab".repeat(32);
        for (kind, value, expected) in [
            ("FileSha256", sha256.as_str(), None),
            ("file_sha256", &sha256, None),
            ("FileSha1", &sha256, Some("40 hexadecimal digits")),
            ("FileMd5", "xyz", Some("32 hexadecimal digits")),
            ("CertificateThumbprint", "00", Some("a thumbprint")),
            ("IpAddress", "192.0.2.7", None),
            ("IpAddress", "2001:db8::7", None),
            ("IpAddress", "192.0.2.0/24", Some("takes no networks")),
            ("IpAddress", "192.0.2.300", Some("an IP address")),
            ("DomainName", "evil.example", None),
            ("DomainName", "https://evil.example", Some("without scheme")),
            ("DomainName", "192.0.2.7", Some("a domain name")),
            ("Url", "https://evil.example/x?y", None),
            ("Url", "evil.example/x", Some("a URL")),
            ("FileSha512", "00", Some("did you mean `FileSha1`?")),
        ] {
            check(kind, value, block, expected);
        }
    }

    #[test]
    fn what_the_service_would_refuse_is_refused_before() {
        for (more, expected) in [
            ("", Some("`action` is missing: one of `Warn`")),
            (r#","action":"AlertAndBlock""#, Some("superseded by `Block`")),
            (r#","action":"Audit""#, Some("`generateAlert` must be true")),
            (r#","action":"Audit","generateAlert":true"#, None),
            (r#","action":"Warn","expirationTime":"30d""#, None),
            (r#","action":"Warn","expirationTime":"2026-03-04T08:00:00Z""#, Some("has passed")),
            (r#","action":"Warn","expirationTime":"soon""#, Some("a span such as `30d`")),
            (r#","action":"Warn","severity":"Hihg""#, Some("did you mean `High`?")),
            (r#","action":"Warn","educateUrl":"intranet""#, Some("is not a URL")),
        ] {
            check("DomainName", "evil.example", more, expected);
        }
        let nothing = Indicator::default().checked(Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(nothing.0.len(), 5, "{nothing}");
    }

    #[test]
    fn a_span_becomes_a_time() {
        let now: Timestamp = "2026-03-04T09:00:00.123Z".parse().unwrap();
        assert_eq!(end("1d", now).unwrap(), "2026-03-05T09:00:00Z");
    }
}
