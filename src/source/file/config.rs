//! The settings of the `file` source.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Files with Defender records, or standard input.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, a pattern such as `/var/log/defender/*.json`, or `-` for standard input.
    pub path: PathPattern,
    /// The table of all records, such as `graph.alert`. Without it each record tells its own.
    pub table: Option<TableName>,
    /// A label for the records of this source.
    #[serde(default)]
    pub tenant: String,
    /// Go on as the files grow. `false` reads what is there and ends.
    #[serde(default = "Config::default_follow")]
    pub follow: bool,
    /// A larger record is kept as its first 64 KiB with its length and SHA-256.
    #[serde(default)]
    pub max_record_bytes: RecordLimit,
    /// How much is read at once and stored together.
    #[serde(default)]
    pub batch_bytes: BatchSize,
    /// How often files at rest are looked at.
    #[serde(default = "Config::default_poll", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub poll: Duration,
}

impl Config {
    /// The defaults for a path.
    #[must_use]
    pub fn new(path: PathPattern) -> Self {
        Self {
            path,
            table: None,
            tenant: String::new(),
            follow: Self::default_follow(),
            max_record_bytes: RecordLimit::default(),
            batch_bytes: BatchSize::default(),
            poll: Self::default_poll(),
        }
    }

    fn default_follow() -> bool {
        true
    }

    fn default_poll() -> Duration {
        Duration::from_millis(250)
    }
}

/// Which files to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum PathPattern {
    /// Standard input.
    Stdin,
    /// One file.
    File(PathBuf),
    /// All files that match a pattern with `*`, `?` or `[…]`.
    Glob(String),
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" => Err("a path is needed".to_owned()),
            "-" => Ok(Self::Stdin),
            pattern if pattern.contains(['*', '?', '[']) => match glob::Pattern::new(pattern) {
                Ok(_) => Ok(Self::Glob(text)),
                Err(error) => Err(format!("`{text}` is not a path pattern: {}", error.msg)),
            },
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        match pattern {
            PathPattern::Stdin => "-".to_owned(),
            PathPattern::File(path) => path.display().to_string(),
            PathPattern::Glob(pattern) => pattern,
        }
    }
}

/// The name of a table: letters, digits, `_`, `.` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct TableName(pub String);

impl TryFrom<String> for TableName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a table such as `graph.alert`"))
        }
    }
}

/// The most bytes of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "u64")]
pub struct RecordLimit(usize);

impl RecordLimit {
    /// The limit.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Default for RecordLimit {
    fn default() -> Self {
        Self(4 << 20)
    }
}

impl TryFrom<u64> for RecordLimit {
    type Error = String;

    fn try_from(bytes: u64) -> Result<Self, String> {
        within(bytes, 1 << 10, 16 << 20).map(Self)
    }
}

/// The size of a batch in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "u64")]
pub struct BatchSize(usize);

impl BatchSize {
    /// The size.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Default for BatchSize {
    fn default() -> Self {
        Self(1 << 20)
    }
}

impl TryFrom<u64> for BatchSize {
    type Error = String;

    fn try_from(bytes: u64) -> Result<Self, String> {
        within(bytes, 1 << 10, 16 << 20).map(Self)
    }
}

fn within(bytes: u64, least: usize, most: usize) -> Result<usize, String> {
    match usize::try_from(bytes) {
        Ok(bytes) if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(format!("{bytes} bytes is not between {least} and {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_alone_is_enough_and_wrong_values_are_named() {
        fn check(text: &str, expected: &str) {
            assert_eq!(toml::from_str::<Config>(text).unwrap_err().message(), expected, "{text}");
        }
        let config: Config = toml::from_str("path = '/var/log/d.json'").unwrap();
        assert_eq!(config.path, PathPattern::File("/var/log/d.json".into()));
        assert!(config.follow);
        assert_eq!(config.max_record_bytes.bytes(), 4 << 20);
        let config: Config = toml::from_str("path = '-'\npoll = '2s'\ntable = 'graph.alert'").unwrap();
        assert_eq!((config.path, config.poll), (PathPattern::Stdin, Duration::from_secs(2)));
        assert!(matches!(toml::from_str::<Config>("path = 'a/*.json'").unwrap().path, PathPattern::Glob(_)));
        check("path = ''", "a path is needed");
        check("path = 'a[b'", "`a[b` is not a path pattern: invalid range pattern");
        check("path = '-'\ntable = 'a b'", "`a b` is not a table such as `graph.alert`");
        check("path = '-'\npoll = '5'", "`5` is not a duration above zero such as `30s` or `5m`");
        check("path = '-'\nbatch_bytes = 1", "1 bytes is not between 1024 and 16777216");
        check(
            "path = '-'\npaht = 1",
            "unknown field `paht`, expected one of `path`, `table`, `tenant`, `follow`, `max_record_bytes`, `batch_bytes`, `poll`",
        );
    }
}
