//! Durations as an operator writes them: `500ms`, `30s`, `1h 30m`, `7d`. A day is 24 hours.
//!
//! For `#[serde(with = "crate::duration")]`; `positive` refuses zero, `optional` is for `Option<Duration>`.

use std::borrow::Cow;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serializer};

/// Reads a text.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration such as `30s`, `24h` or `7d`");
    let span: Span = text.trim().parse().map_err(|_| refused())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| refused())?;
    Duration::try_from(duration).map_err(|_| refused())
}

/// The shortest text with the same meaning, in hours and below.
#[must_use]
pub fn text(duration: Duration) -> String {
    match SignedDuration::try_from(duration) {
        Ok(duration) => format!("{duration:#}"),
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

/// A duration's text, for the schema of the configuration.
pub enum Written {}

impl schemars::JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "A duration such as `30s`, `1h 30m` or `7d`." })
    }
}

/// For serde.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// For serde.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*duration))
}

/// Durations that make no sense when they are zero.
pub mod positive {
    use serde::de::Error;

    use super::{Deserialize, Deserializer, Duration};

    pub use super::serialize;

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        match super::parse(&text) {
            Ok(duration) if !duration.is_zero() => Ok(duration),
            _ => {
                Err(D::Error::custom(format!("`{text}` is not a duration above zero such as `30s` or `5m`")))
            }
        }
    }
}

/// Durations that may be absent.
pub mod optional {
    use super::{Deserializer, Duration, Serializer};

    /// For serde, together with `#[serde(default)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(from).map(Some)
    }

    /// For serde.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, to),
            None => to.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_a_unit() {
        let check = |written: &str, expected: Option<u64>| {
            assert_eq!(parse(written).ok(), expected.map(Duration::from_secs), "{written}");
        };
        check("30s", Some(30));
        check("24h", Some(86_400));
        check("1h 30m", Some(5_400));
        check("7d", Some(7 * 86_400));
        check("2w", Some(14 * 86_400));
        check("0s", Some(0));
        check("-1h", None);
        check("30", None);
        check("", None);
    }

    #[test]
    fn what_is_printed_reads_back() {
        for duration in [0, 1, 500, 1_000, 90_000, 86_400_000, 34_560_000_000].map(Duration::from_millis) {
            assert_eq!(parse(&text(duration)), Ok(duration), "{}", text(duration));
        }
        assert_eq!(text(Duration::from_hours(24)), "24h");
    }
}
