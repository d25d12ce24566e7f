//! The text of a query, and how it is asked for one window of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::source::rest::ticks::Ticks;

/// A query in KQL that says where the time comes in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct Query(pub String);

impl TryFrom<String> for Query {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let has = |word: &str| text.contains(word);
        if has(WINDOW) || has(FROM) && has(TO) {
            return Ok(Self(text));
        }
        Err("the query must say what time it is about: put in `| where {window}`, or `{from}` and `{to}`"
            .to_owned())
    }
}

impl Query {
    /// All rows of a table.
    #[must_use]
    pub fn of_table(table: &str) -> Self {
        Self(format!("{table}\n| where {WINDOW}"))
    }

    /// The query for the times from one up to, and not with, another.
    #[must_use]
    pub fn between(&self, time_column: &str, from: Ticks, to: Ticks) -> String {
        let (from, to) = (format!("datetime({})", from.text()), format!("datetime({})", to.text()));
        let window = format!("{time_column} >= {from} and {time_column} < {to}");
        self.0.replace(WINDOW, &window).replace(FROM, &from).replace(TO, &to)
    }
}

/// How far back the first run begins: at most as long as the service keeps rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "crate::duration::Written")]
pub struct Lookback(pub Duration);

#[derive(Deserialize, Serialize)]
struct Written(#[serde(with = "crate::duration::positive")] Duration);

impl Default for Lookback {
    fn default() -> Self {
        Self(Duration::from_hours(24))
    }
}

impl TryFrom<Written> for Lookback {
    type Error = String;

    fn try_from(Written(duration): Written) -> Result<Self, String> {
        if duration <= KEPT {
            return Ok(Self(duration));
        }
        Err("advanced hunting keeps rows for 30 days: `lookback` must not be longer".to_owned())
    }
}

impl From<Lookback> for Written {
    fn from(Lookback(duration): Lookback) -> Self {
        Self(duration)
    }
}

const WINDOW: &str = "{window}";
const FROM: &str = "{from}";
const TO: &str = "{to}";
/// "Advanced hunting quotas and usage parameters": rows of 30 days can be queried.
const KEPT: Duration = Duration::from_hours(30 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_asked_for_its_window_and_keeps_its_other_braces() {
        let at = |text| Ticks::read(text).unwrap();
        let (from, to) = (at("2026-03-04T05:00:00Z"), at("2026-03-04T06:00:00.0000001Z"));
        for (query, expected) in [
            (
                "T | where {window} | extend x = dynamic({\"a\":1})",
                "T | where Timestamp >= datetime(2026-03-04T05:00:00.0000000Z) and Timestamp < \
                 datetime(2026-03-04T06:00:00.0000001Z) | extend x = dynamic({\"a\":1})",
            ),
            (
                "T | where at between ({from} .. {to})",
                "T | where at between (datetime(2026-03-04T05:00:00.0000000Z) .. datetime(2026-03-04T06:00:00.0000001Z))",
            ),
        ] {
            assert_eq!(Query(query.to_owned()).between("Timestamp", from, to), expected);
        }
    }

    #[test]
    fn a_query_of_no_time_is_refused() {
        for query in ["T", "T | where Timestamp > {from}", "T | where Timestamp < {to}"] {
            assert!(Query::try_from(query.to_owned()).is_err(), "{query}");
        }
    }
}
