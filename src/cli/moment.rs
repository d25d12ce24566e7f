//! A time or a place in the spool as a person writes it on the command line.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::duration;
use crate::record::Timestamp;
use crate::spool::Seek;

/// Reads `2026-01-31T08:00:00Z`, `2026-01-31` (its beginning in UTC), `2h ago` or `2h`, which is the same.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_before(text, Timestamp::now())
}

/// Reads the number of a record, or a time.
pub fn place(text: &str) -> Result<Seek, String> {
    match text.parse::<u64>() {
        Ok(sequence) => Ok(Seek::Sequence(sequence)),
        Err(_) => {
            time(text).map(Seek::Time).map_err(|refused| format!("{refused}; nor the number of a record"))
        }
    }
}

fn time_before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(instant.as_millisecond()));
    }
    // A time without a zone would mean one instant here and another elsewhere: only a bare date may.
    if text.len() == DATE_LENGTH
        && let Ok(date) = text.parse::<Date>()
        && let Ok(midnight) = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0))
    {
        return Ok(Timestamp(midnight.as_millisecond()));
    }
    let span = duration::parse(text.strip_suffix("ago").unwrap_or(text)).ok();
    let span = span.and_then(|span| i64::try_from(span.as_millis()).ok());
    span.and_then(|span| now.0.checked_sub(span)).map(Timestamp).ok_or_else(|| {
        format!("`{text}` is not a time such as `2026-01-31T08:00:00Z`, `2026-01-31` or `2h ago`")
    })
}

const DATE_LENGTH: usize = "2026-01-31".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let now = Timestamp(1_769_846_400_000); // 2026-01-31T08:00:00Z
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(time_before(text, now).ok().map(|time| time.0), expected, "{text}");
        };
        check("2026-01-31T08:00:00Z", Some(now.0));
        check("2026-01-31T09:00:00+01:00", Some(now.0));
        check("2026-01-31T08:00:00.250Z", Some(now.0 + 250));
        check("2026-01-31", Some(now.0 - 8 * 3_600_000));
        check("2h ago", Some(now.0 - 7_200_000));
        check("1d 30m ago", Some(now.0 - 88_200_000));
        check("0s ago", Some(now.0));
        check("2026-01-31T08:00:00", None);
        check("2026-02-30", None);
        check("yesterday", None);
        check("ago", None);
        check("-2h ago", None);
        check("90m", Some(now.0 - 5_400_000));
        check("", None);
    }

    #[test]
    fn a_bare_number_is_a_record() {
        assert_eq!(place("17"), Ok(Seek::Sequence(17)));
        assert_eq!(place("1970-01-02"), Ok(Seek::Time(Timestamp(86_400_000))));
        let refused = place("-5").unwrap_err();
        assert!(refused.contains("`2h ago`; nor the number of a record"), "{refused}");
    }
}
