//! Times as the services write them, to the seventh digit: their clocks tick in 100 nanoseconds, and two changes of one
//! record may lie closer than a millisecond.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// 100 nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Reads `2026-03-04T09:12:41.0259186Z`, with 0 to 7 digits behind the second; without a zone it is UTC.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
            let civil: DateTime = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(civil).ok()
        })?;
        Some(Self::of(timestamp))
    }

    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        Self::of(Timestamp::now())
    }

    fn of(timestamp: Timestamp) -> Self {
        Self(i64::try_from(timestamp.as_nanosecond() / 100).unwrap_or(i64::MAX))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)))
    }

    /// The time from another to this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0).saturating_mul(100))
    }

    /// As the filters of the services take it.
    #[must_use]
    pub fn text(self) -> String {
        let timestamp = Timestamp::from_nanosecond(i128::from(self.0) * 100).unwrap_or_default();
        format!("{timestamp:.7}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_is_lost_and_none_is_missed() {
        for (text, expected) in [
            ("2026-03-04T09:12:41.0259186Z", "2026-03-04T09:12:41.0259186Z"),
            ("2026-03-04T09:12:41.2Z", "2026-03-04T09:12:41.2000000Z"),
            ("2026-03-04T09:12:41Z", "2026-03-04T09:12:41.0000000Z"),
            ("2026-03-04T10:12:41+01:00", "2026-03-04T09:12:41.0000000Z"),
            ("2026-03-04T09:12:41.81", "2026-03-04T09:12:41.8100000Z"),
        ] {
            assert_eq!(Ticks::read(text).unwrap().text(), expected);
        }
        let read = |text| Ticks::read(text).unwrap();
        assert!(read("2026-03-04T09:12:41.2Z") > read("2026-03-04T09:12:41.1999999Z"));
        let minute = read("2026-03-04T09:12:41Z").before(Duration::from_secs(41));
        assert_eq!(minute.text(), "2026-03-04T09:12:00.0000000Z");
        assert_eq!(Ticks::read("yesterday"), None);
    }
}
