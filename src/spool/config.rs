//! The settings of the spool and how a duration is written in them.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer};

/// Where records wait on disk, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of the spool. One process at a time uses it.
    #[serde(default = "Config::default_directory")]
    pub directory: PathBuf,
    /// The most the segments together may take on disk.
    #[serde(default = "Config::default_max_bytes")]
    pub max_bytes: u64,
    /// A segment is closed at about this size. Space is freed in whole segments.
    #[serde(default = "Config::default_segment_bytes")]
    pub segment_bytes: u64,
    /// What to do when `max_bytes` is reached and nothing delivered is left to remove.
    #[serde(default)]
    pub when_full: WhenFull,
    /// How long delivered records stay for `replay`. They go earlier only when their space is needed.
    #[serde(default = "Config::default_keep", deserialize_with = "duration")]
    pub keep: Duration,
    /// How long any record may stay, delivered or not. Undelivered ones removed by it are counted and announced.
    #[serde(default, deserialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
    /// How long the hourly accounts stay.
    #[serde(default = "Config::default_keep_account", deserialize_with = "duration")]
    pub keep_account: Duration,
}

/// The choice when the spool is full of undelivered records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Sources wait. What they read from keeps the data meanwhile.
    #[default]
    Backpressure,
    /// The oldest undelivered records are removed, counted and announced.
    DropOldest,
}

impl Config {
    /// The defaults, in a folder.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_bytes: Self::default_max_bytes(),
            segment_bytes: Self::default_segment_bytes(),
            when_full: WhenFull::default(),
            keep: Self::default_keep(),
            max_age: None,
            keep_account: Self::default_keep_account(),
        }
    }

    /// Small enough that a spool smaller than a few segments can still free space piece by piece.
    pub(super) fn effective_segment_bytes(&self) -> u64 {
        self.segment_bytes.min(self.max_bytes / 4).max(1)
    }

    fn default_directory() -> PathBuf {
        PathBuf::from("/var/lib/cefgate")
    }

    fn default_max_bytes() -> u64 {
        10 << 30
    }

    fn default_segment_bytes() -> u64 {
        64 << 20
    }

    fn default_keep() -> Duration {
        Duration::from_hours(24)
    }

    fn default_keep_account() -> Duration {
        Duration::from_hours(400 * 24)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::in_directory(Self::default_directory())
    }
}

/// Reads `30s`, `24h`, `7d`, `2w`; a day is 24 hours.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration such as `30s`, `24h` or `7d`");
    let span: Span = text.trim().parse().map_err(|_| refused())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| refused())?;
    Duration::try_from(duration).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_duration(text).ok(), expected.map(Duration::from_secs), "{text}");
        };
        check("30s", Some(30));
        check("24h", Some(86_400));
        check("1h 30m", Some(5_400));
        check("7d", Some(7 * 86_400));
        check("2w", Some(14 * 86_400));
        check("-1h", None);
        check("30", None);
        check("", None);
    }

    #[test]
    fn an_empty_table_gives_the_defaults_and_an_unknown_key_is_refused() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let config: Config = toml::from_str("when_full = \"drop_oldest\"\nmax_age = \"30d\"").unwrap();
        assert_eq!(config.when_full, WhenFull::DropOldest);
        assert_eq!(config.max_age, Some(Duration::from_secs(30 * 86_400)));
        assert!(toml::from_str::<Config>("max_byte = 1").is_err());
    }
}
