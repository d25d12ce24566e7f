//! Times on the command line.

use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::duration;
use crate::record::Timestamp;

/// A moment: `2026-01-31T08:00:00Z`, `2026-01-31` (UTC), or how long ago, `90m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(Timestamp(time.as_millisecond())));
        }
        if let Ok(date) = text.parse::<jiff::civil::Date>()
            && let Ok(start) = TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        {
            return Ok(Self(Timestamp(start.as_millisecond())));
        }
        let ago = duration::parse(text).ok().and_then(|ago| i64::try_from(ago.as_millis()).ok());
        match ago {
            Some(ago) => Ok(Self(Timestamp(Timestamp::now().0.saturating_sub(ago)))),
            None => {
                Err(format!("`{text}` is not a time such as `2026-01-31T08:00:00Z`, `2026-01-31` or `90m`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(text.parse::<Moment>().ok().map(|moment| moment.0.0), expected, "{text}");
        };
        check("1970-01-02T00:00:01Z", Some(86_401_000));
        check("1970-01-02T01:00:00+01:00", Some(86_400_000));
        check("1970-01-02", Some(86_400_000));
        check("yesterday", None);
        check("12", None);
        let ago = "90m".parse::<Moment>().unwrap().0;
        assert!(ago < Timestamp::now() && ago.0 > Timestamp::now().0 - 91 * 60_000);
    }
}
