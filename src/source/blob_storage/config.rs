//! The settings of the `blob_storage` source.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;
use crate::source::account::{Access, AccountName};
use crate::source::file::{BatchSize, RecordLimit, TableName};
use crate::source::shared;

/// Containers of an Azure Storage account into which Defender streams its tables.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the account.
    pub account: AccountName,
    /// Its Blob service, where that is not `https://<account>.blob.core.windows.net` of the tenant's cloud.
    pub url: Option<Url>,
    /// The `[tenant.<name>]` whose token opens the account, and whose name labels the records.
    pub tenant: Option<String>,
    /// The account's key instead of a token.
    pub key: Option<Secret>,
    /// A shared access signature instead of a token: services `b`, resources `sco`, permissions `rl`.
    pub sas: Option<Secret>,
    /// Containers whose names begin with this are read, those made later too.
    #[serde(default = "Config::default_container_prefix")]
    pub container_prefix: String,
    /// Blobs whose names begin with this are read.
    #[serde(default)]
    pub blob_prefix: String,
    /// The table of all records. Without it each record tells its own.
    pub table: Option<TableName>,
    /// Blobs of days before that many days ago are neither read nor remembered.
    #[serde(default = "Config::default_lookback", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub lookback: Duration,
    /// How often the blobs of today and yesterday are listed. Each list is billed as a write operation.
    #[serde(default = "Config::default_poll", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub poll: Duration,
    /// How often everything is listed: new containers, closed hours that grew again, blobs that are gone.
    #[serde(default = "Config::default_sweep", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub sweep: Duration,
    /// A last line without an end is taken as it is once its blob has not changed for so long.
    #[serde(default = "Config::default_quiet", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub quiet: Duration,
    /// Where several instances that read this account share its containers. Default: this one reads all of them.
    pub checkpoints: Option<shared::Config>,
    /// How many containers are read at a time.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// A larger record is kept as its first 64 KiB with its length and SHA-256.
    #[serde(default)]
    pub max_record_bytes: RecordLimit,
    /// How much is read at once and stored together.
    #[serde(default)]
    pub batch_bytes: BatchSize,
}

impl Config {
    /// What contradicts itself, with the keys at fault.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(Vec<String>, String)> {
        shared::contradictions(self.checkpoints.as_ref(), self.tenant.as_deref())
    }

    /// The account and what opens it.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        Access {
            account: &self.account,
            url: self.url.as_ref(),
            tenant: self.tenant.as_deref(),
            key: self.key.as_ref(),
            sas: self.sas.as_ref(),
        }
    }

    fn default_container_prefix() -> String {
        "insights-logs-advancedhunting-".to_owned()
    }

    fn default_lookback() -> Duration {
        Duration::from_hours(30 * 24)
    }

    fn default_poll() -> Duration {
        Duration::from_mins(1)
    }

    fn default_sweep() -> Duration {
        Duration::from_hours(1)
    }

    fn default_quiet() -> Duration {
        Duration::from_mins(15)
    }
}

/// How many things at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "u64")]
pub struct Concurrency(pub usize);

impl Default for Concurrency {
    fn default() -> Self {
        Self(4)
    }
}

impl TryFrom<u64> for Concurrency {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(number @ 1..=64) => Ok(Self(number)),
            _ => Err(format!("{number} is not between 1 and 64")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_enough_and_wrong_values_are_named() {
        fn check(text: &str, expected: &str) {
            assert_eq!(toml::from_str::<Config>(text).unwrap_err().message(), expected, "{text}");
        }
        let config: Config = toml::from_str("account = 'contosologs'").unwrap();
        assert_eq!(config.container_prefix, "insights-logs-advancedhunting-");
        assert_eq!(config.lookback, Duration::from_hours(720));
        check(
            "account = 'Contoso-Logs'",
            "`Contoso-Logs` is not the name of a storage account: 3 to 24 lower-case letters and digits",
        );
        let opens = |text: &str| toml::from_str::<Config>(text).unwrap().access().opens_with().map(drop);
        assert_eq!(opens("account = 'abc'\ntenant = 't'"), Ok(()));
        assert_eq!(
            opens("account = 'abc'"),
            Err("nothing opens the account: add `tenant`, `key` or `sas`".into())
        );
        let both = "account = 'abc'\nkey = { file = '/k' }\nsas = { file = '/s' }";
        assert_eq!(opens(both), Err("the account is opened with `key` and with `sas`: keep one".into()));
        check("account = 'abc'\nconcurrency = 0", "0 is not between 1 and 64");
        check("account = 'abc'\npoll = '0s'", "`0s` is not a duration above zero such as `30s` or `5m`");
    }
}
