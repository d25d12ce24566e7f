//! The settings of the spool and how a duration is written in them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where records wait on disk, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
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
    #[serde(default = "Config::default_keep", with = "crate::duration")]
    #[schemars(with = "crate::duration::Written")]
    pub keep: Duration,
    /// How long any record may stay, delivered or not. Undelivered ones removed by it are counted and announced.
    #[serde(default, with = "crate::duration::optional")]
    #[schemars(with = "crate::duration::Written")]
    pub max_age: Option<Duration>,
    /// How long the hourly accounts stay.
    #[serde(default = "Config::default_keep_account", with = "crate::duration")]
    #[schemars(with = "crate::duration::Written")]
    pub keep_account: Duration,
}

/// The choice when the spool is full of undelivered records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_gives_the_defaults_and_an_unknown_key_is_refused() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let config: Config = toml::from_str("when_full = \"drop_oldest\"\nmax_age = \"30d\"").unwrap();
        assert_eq!(config.when_full, WhenFull::DropOldest);
        assert_eq!(config.max_age, Some(Duration::from_secs(30 * 86_400)));
        assert!(toml::from_str::<Config>("max_byte = 1").is_err());
    }
}
