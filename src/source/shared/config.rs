//! The settings of a source that several instances share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::duration;
use crate::secret::Secret;
use crate::source::account::{Access, AccountName};

/// A container of an Azure Storage account in which instances that read the same say who reads what, and how far.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the account.
    pub account: AccountName,
    /// The container. It has to be there.
    pub container: ContainerName,
    /// The account's Blob service, where that is not `https://<account>.blob.core.windows.net` of the tenant's cloud.
    pub url: Option<Url>,
    /// The `[tenant.<name>]` whose token opens the account. Default: that of the source.
    pub tenant: Option<String>,
    /// The account's key instead of a token.
    pub key: Option<Secret>,
    /// A shared access signature instead of a token, with permissions `rcwl`.
    pub sas: Option<Secret>,
    /// When what was read is checkpointed: `spooled`, once it is on this instance's disk; or `delivered`, once every
    /// destination has confirmed it.
    #[serde(default)]
    pub checkpoint: Moment,
    /// Claims are renewed, and the balance looked at, at least this often. Each renewal is billed as a write operation.
    #[serde(default = "Config::default_renew", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub renew: Duration,
    /// A partition whose claim was not renewed for so long is free.
    #[serde(default = "Config::default_lease", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub lease: Duration,
}

impl Config {
    /// The account and what opens it, for a source of this tenant.
    #[must_use]
    pub fn access<'c>(&'c self, tenant: Option<&'c str>) -> Access<'c> {
        Access {
            account: &self.account,
            url: self.url.as_ref(),
            tenant: self.tenant.as_deref().or(tenant),
            key: self.key.as_ref(),
            sas: self.sas.as_ref(),
        }
    }

    /// What contradicts itself, with the key at fault.
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, String)> {
        let least = self.renew.saturating_mul(RENEWALS);
        (self.lease < least).then(|| {
            let (renew, least) = (duration::text(self.renew), duration::text(least));
            ("lease", format!("with `renew = \"{renew}\"` it is at least `{least}`, so that one missed renewal costs nothing"))
        })
    }

    fn default_renew() -> Duration {
        Duration::from_secs(10)
    }

    fn default_lease() -> Duration {
        Duration::from_mins(1)
    }
}

/// What contradicts itself in an optional section of a source of this tenant, with the keys at fault.
#[must_use]
pub fn contradictions(config: Option<&Config>, tenant: Option<&str>) -> Vec<(Vec<String>, String)> {
    let Some(config) = config else { return Vec::new() };
    let path = |key: Option<&str>| ["checkpoints"].into_iter().chain(key).map(str::to_owned).collect();
    let access = config.access(tenant).opens_with().err().map(|message| (path(None), message));
    let lease = config.contradiction().map(|(key, message)| (path(Some(key)), message));
    access.into_iter().chain(lease).collect()
}

/// When something counts as read for all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Once it is on this instance's disk.
    #[default]
    Spooled,
    /// Once every destination has confirmed it.
    Delivered,
}

/// The name of a container: 3 to 63 lower-case letters, digits and single `-`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct ContainerName(pub String);

impl TryFrom<String> for ContainerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let odd = text.starts_with('-') || text.ends_with('-') || text.contains("--");
        if (3..=63).contains(&text.len()) && text.bytes().all(plain) && !odd {
            return Ok(Self(text));
        }
        Err(format!(
            "`{text}` is not the name of a container: 3 to 63 lower-case letters, digits and single `-`"
        ))
    }
}

/// So many renewals fit into a lease.
const RENEWALS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_container_are_enough_and_wrong_values_are_named() {
        let read = |text: &str| toml::from_str::<Config>(text);
        let config = read("account = 'abc'\ncontainer = 'shared'").unwrap();
        assert_eq!((config.checkpoint, config.contradiction()), (Moment::Spooled, None));
        assert!(config.access(None).opens_with().is_err() && config.access(Some("t")).opens_with().is_ok());
        let config = read("account = 'abc'\ncontainer = 'shared'\nlease = '20s'").unwrap();
        let (key, text) = config.contradiction().unwrap();
        assert_eq!(
            (key, &*text),
            (
                "lease",
                "with `renew = \"10s\"` it is at least `30s`, so that one missed renewal costs nothing"
            )
        );
        for name in ["Shared", "a", "-ab", "a--b", "a/b"] {
            let error = read(&format!("account = 'abc'\ncontainer = '{name}'")).unwrap_err();
            assert!(error.message().contains("is not the name of a container"), "{error}");
        }
    }
}
