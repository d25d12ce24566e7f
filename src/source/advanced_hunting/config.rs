//! The settings of the `advanced_hunting` source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::query::{Lookback, Query};
use crate::source::file::{RecordLimit, TableName};
use crate::source::shared;

/// The rows of a query of advanced hunting, asked through Microsoft Graph.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The `[tenant.<name>]` that is asked for.
    pub tenant: String,
    /// The table of the rows: it chooses the mapping.
    pub table: TableName,
    /// The query, in KQL. `{window}` stands for the condition on the time, `{from}` and `{to}` for its bounds. Without it
    /// all rows of the table are asked for.
    pub query: Option<Query>,
    /// The column that `{window}` is about; it also tells when a row is from.
    #[serde(default = "Config::default_time_column")]
    pub time_column: String,
    /// How often what is new is asked for.
    #[serde(default = "Config::default_poll", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub poll: Duration,
    /// The longest time that one question is about. A question that has too many rows is asked for a shorter one.
    #[serde(default = "Config::default_window", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub window: Duration,
    /// How far back the first run begins; the service keeps 30 days.
    #[serde(default)]
    pub lookback: Lookback,
    /// How much each poll asks for once more: rows appear some minutes after the time they bear.
    #[serde(default = "Config::default_overlap", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub overlap: Duration,
    /// A larger row is kept as its first 64 KiB with its length and SHA-256.
    #[serde(default)]
    pub max_record_bytes: RecordLimit,
    /// Where several instances that ask for this share it. Default: this one asks.
    pub checkpoints: Option<shared::Config>,
    /// The longest answer that is taken, in bytes.
    #[serde(default = "Config::default_max_response_bytes")]
    pub max_response_bytes: usize,
}

impl Config {
    /// The query that is asked: all rows of the table unless it is set.
    #[must_use]
    pub fn asks(&self) -> Query {
        self.query.clone().unwrap_or_else(|| Query::of_table(&self.table.0))
    }

    /// What contradicts itself, with the keys at fault.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(Vec<String>, String)> {
        shared::contradictions(self.checkpoints.as_ref(), Some(&self.tenant))
    }

    fn default_time_column() -> String {
        "Timestamp".to_owned()
    }

    fn default_poll() -> Duration {
        Duration::from_mins(5)
    }

    fn default_window() -> Duration {
        Duration::from_hours(1)
    }

    fn default_overlap() -> Duration {
        Duration::from_mins(30)
    }

    fn default_max_response_bytes() -> usize {
        128 << 20
    }
}
