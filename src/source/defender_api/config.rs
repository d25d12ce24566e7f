//! The settings of the `defender_api` source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::resource::Resource;
use crate::source::file::RecordLimit;
use crate::source::shared;

/// Alerts or incidents of one of Microsoft's REST APIs.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The `[tenant.<name>]` that is asked for.
    pub tenant: String,
    /// `graph_alerts`, `graph_incidents`, `mde_alerts` or `xdr_incidents`.
    pub resource: Resource,
    /// How often what has changed is asked for.
    #[serde(default = "Config::default_poll", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub poll: Duration,
    /// How far back the first run begins.
    #[serde(default = "Config::default_lookback", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub lookback: Duration,
    /// How much each poll asks for once more: services show records minutes after the time they bear.
    #[serde(default = "Config::default_overlap", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub overlap: Duration,
    /// How often a wider time is asked for once more.
    #[serde(default = "Config::default_rescan", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub rescan: Duration,
    /// How wide. A record that comes later than that is not found; what was read is remembered for so long.
    #[serde(default = "Config::default_rescan_window", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub rescan_window: Duration,
    /// Which changes of a record are sent: `all`, `status_changes`, or only the `first` sight of it.
    #[serde(default)]
    pub updates: Updates,
    /// What becomes of changes that `cefgate alert`, `cefgate incident` or `[write_back]` made: `keep` sends them like any
    /// other, `tag` with a member `cefgateOwnUpdate` that is true, `suppress` not at all, unless they hold what was never sent.
    #[serde(default)]
    pub own_updates: Own,
    /// Records asked for at a time; the service's most unless set.
    pub page_size: Option<PageSize>,
    /// Ask for the alerts of each incident that changed, and send them with it. Graph only: others bring them along.
    #[serde(default = "Config::default_incident_alerts")]
    pub incident_alerts: bool,
    /// A larger record is kept as its first 64 KiB with its length and SHA-256.
    #[serde(default)]
    pub max_record_bytes: RecordLimit,
    /// Where several instances that ask for this share it. Default: this one asks.
    pub checkpoints: Option<shared::Config>,
    /// The longest answer that is taken, in bytes.
    #[serde(default = "Config::default_max_response_bytes")]
    pub max_response_bytes: usize,
}

impl Config {
    /// What contradicts itself, with the keys at fault.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(Vec<String>, String)> {
        let mut found = shared::contradictions(self.checkpoints.as_ref(), Some(&self.tenant));
        if self.own_updates != Own::Suppress {
            return found;
        }
        if self.updates != Updates::All {
            let message = "`suppress` needs `updates = \"all\"`: else nobody can tell what of a record was sent; use `tag`";
            found.push((vec!["own_updates".to_owned()], message.to_owned()));
        }
        let has_more = match self.resource {
            Resource::GraphIncidents => self.incident_alerts,
            Resource::MdeAlerts => true,
            Resource::GraphAlerts | Resource::XdrIncidents => false,
        };
        if has_more {
            let message = "`suppress` is not for records that are sent with more than is changed, alerts or evidence, which \
                           may be new at the same time; use `tag`";
            found.push((vec!["own_updates".to_owned()], message.to_owned()));
        }
        found
    }

    /// How long a record that was read is remembered.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let window = self.rescan_window.max(self.overlap);
        match self.updates {
            Updates::All => window,
            // A record that comes again is told from a new one by this alone.
            Updates::StatusChanges | Updates::First => window.max(A_MONTH),
        }
    }

    fn default_poll() -> Duration {
        Duration::from_mins(1)
    }

    fn default_lookback() -> Duration {
        Duration::from_hours(24)
    }

    fn default_overlap() -> Duration {
        Duration::from_mins(15)
    }

    fn default_rescan() -> Duration {
        Duration::from_hours(24)
    }

    fn default_rescan_window() -> Duration {
        Duration::from_hours(48)
    }

    fn default_incident_alerts() -> bool {
        true
    }

    fn default_max_response_bytes() -> usize {
        64 << 20
    }
}

const A_MONTH: Duration = Duration::from_hours(30 * 24);

/// Which changes of a record are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Updates {
    /// Each.
    #[default]
    All,
    /// Those after which it has another status than ever before.
    StatusChanges,
    /// None: only the first sight of it.
    First,
}

/// What becomes of this program's own changes when they come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// They are sent like any other.
    #[default]
    Keep,
    /// They are sent with a member that says so.
    Tag,
    /// They are left out.
    Suppress,
}

/// Records of one page: 1 to 10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "usize")]
pub struct PageSize(pub usize);

impl TryFrom<usize> for PageSize {
    type Error = String;

    fn try_from(n: usize) -> Result<Self, String> {
        if (1..=10_000).contains(&n) {
            return Ok(Self(n));
        }
        Err(format!("{n} is not the size of a page, 1 to 10000"))
    }
}
