//! The settings of the `event_hubs` source.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::source::file::{BatchSize, RecordLimit, TableName};
use crate::source::shared;

/// Hubs of an Event Hubs namespace into which Defender streams its tables.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The host of the namespace, `contoso.servicebus.windows.net`.
    pub namespace: HostName,
    /// What to connect to instead, such as a private endpoint; its certificate must carry this name.
    pub host: Option<HostName>,
    /// How AMQP is carried: `amqp`, over TLS, or `websocket`, where only HTTPS gets out.
    #[serde(default)]
    pub transport: Transport,
    /// The port there. Default: 5671, and 443 for `websocket`.
    pub port: Option<NonZeroU16>,
    /// The hubs to read: a list, or `{ prefix = "insights-logs-advancedhunting-" }` for those of all known tables.
    pub hubs: Hubs,
    /// The consumer group: one for this program alone.
    #[serde(default = "Config::default_consumer_group")]
    pub consumer_group: String,
    /// The `[tenant.<name>]` whose token opens the hubs, and whose name labels the records.
    pub tenant: Option<String>,
    /// A connection string with the key of a `Listen` policy, instead of a token.
    pub connection_string: Option<Secret>,
    /// For how long a signature made with that key is valid; it is renewed before its end.
    #[serde(default = "Config::default_signature_lifetime", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub signature_lifetime: Duration,
    /// Where a partition begins that has not been read before: `latest`, `earliest`, or a time such as
    /// `2026-03-04T09:00:00Z`. Resolved once and remembered.
    #[serde(default)]
    pub start: Start,
    /// The owner's epoch: a reader with a lower one or none is cut off by the service. Default: none; with `checkpoints`
    /// the claims decide it.
    pub epoch: Option<u32>,
    /// Where several instances that read these hubs share them. Default: this one reads all partitions.
    pub checkpoints: Option<shared::Config>,
    /// How many bytes of one partition are asked for ahead.
    #[serde(default = "Config::default_prefetch_bytes")]
    pub prefetch_bytes: u64,
    /// A connection on which nothing has come for so long is examined.
    #[serde(default = "Config::default_silence", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub silence: Duration,
    /// The table of all records. Without it each record tells its own.
    pub table: Option<TableName>,
    /// A larger record is kept as its first 64 KiB with its length and SHA-256.
    #[serde(default)]
    pub max_record_bytes: RecordLimit,
    /// How much is stored together.
    #[serde(default)]
    pub batch_bytes: BatchSize,
}

impl Config {
    /// What opens the hubs; the section does not say it, or says it twice, when this is an error.
    ///
    /// # Errors
    /// The keys at fault.
    pub fn opens_with(&self) -> Result<Opens<'_>, String> {
        match (&self.connection_string, &self.tenant) {
            (Some(text), _) => Ok(Opens::ConnectionString(text)),
            (None, Some(tenant)) => Ok(Opens::Tenant(tenant)),
            (None, None) => Err("nothing opens the hubs: add `tenant` or `connection_string`".to_owned()),
        }
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        match (self.port, self.transport) {
            (Some(port), _) => port.get(),
            (None, Transport::Amqp) => 5671,
            (None, Transport::Websocket) => 443,
        }
    }

    /// The same for what was not there when the source began: nothing of it is from before.
    #[must_use]
    pub fn of_new(&self) -> Arc<Self> {
        let start = if self.start == Start::Latest { Start::Earliest } else { self.start };
        Arc::new(Self { start, ..self.clone() })
    }

    /// What contradicts itself, with the keys at fault.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(Vec<String>, String)> {
        let mut found = shared::contradictions(self.checkpoints.as_ref(), self.tenant.as_deref());
        if self.epoch.is_some() && self.checkpoints.is_some() {
            found.push((
                vec!["epoch".to_owned()],
                "with `checkpoints` the claims decide the epoch: remove it".to_owned(),
            ));
        }
        found
    }

    fn default_consumer_group() -> String {
        "$Default".to_owned()
    }

    fn default_signature_lifetime() -> Duration {
        Duration::from_hours(1)
    }

    fn default_prefetch_bytes() -> u64 {
        8 << 20
    }

    fn default_silence() -> Duration {
        Duration::from_mins(1)
    }
}

/// How AMQP is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Over TLS.
    #[default]
    Amqp,
    /// Over a WebSocket within TLS.
    Websocket,
}

/// What opens a hub.
pub enum Opens<'c> {
    /// A key.
    ConnectionString(&'c Secret),
    /// The token of a tenant.
    Tenant(&'c str),
}

/// A host name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct HostName(pub String);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if text.contains('.') && text.bytes().all(plain) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("`{text}` is not the host of a namespace, such as `contoso.servicebus.windows.net`"))
    }
}

/// Which hubs of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub enum Hubs {
    /// These.
    Named(Vec<String>),
    /// Those of the tables that are known, each named by a prefix and its table in lower case, and how often hubs that
    /// are not there yet are looked for.
    OfTables(String, Duration),
}

/// As it stands in the configuration.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "neither a list of hubs nor `{ prefix = \"insights-logs-advancedhunting-\" }`")]
enum Written {
    Names(Vec<String>),
    Prefix(Prefix),
}

/// A hub for each table.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Prefix {
    /// What stands before the name of the table. Defender's own is `insights-logs-advancedhunting-`.
    prefix: String,
    /// How often hubs that are not there yet are looked for.
    #[serde(default = "Prefix::default_every", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    every: Duration,
}

impl Prefix {
    fn default_every() -> Duration {
        Duration::from_mins(10)
    }
}

impl TryFrom<Written> for Hubs {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let names = match written {
            Written::Names(names) => names,
            Written::Prefix(Prefix { prefix, every }) if prefix.bytes().all(plain) => {
                return Ok(Self::OfTables(prefix, every));
            }
            Written::Prefix(Prefix { prefix, .. }) => vec![prefix],
        };
        if let Some(name) = names.iter().find(|name| name.is_empty() || !name.bytes().all(plain)) {
            return Err(format!("`{name}` is not the name of a hub: letters, digits, `-`, `.` and `_`"));
        }
        if let Some(name) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
            return Err(format!("`{}` stands there twice", name.1));
        }
        if names.is_empty() { Err("it names no hub".to_owned()) } else { Ok(Self::Named(names)) }
    }
}

impl From<Hubs> for Written {
    fn from(hubs: Hubs) -> Self {
        match hubs {
            Hubs::Named(names) => Self::Names(names),
            Hubs::OfTables(prefix, every) => Self::Prefix(Prefix { prefix, every }),
        }
    }
}

impl fmt::Display for Hubs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => out.write_str(&names.join(", ")),
            Self::OfTables(prefix, _) => write!(out, "{prefix}*"),
        }
    }
}

/// Where a partition begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Start {
    /// With what comes from now on.
    Latest,
    /// With the oldest event there is.
    #[default]
    Earliest,
    /// With what was stored at that time or later.
    At(jiff::Timestamp),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &*text {
            "latest" => Ok(Self::Latest),
            "earliest" => Ok(Self::Earliest),
            time => time.parse().map(Self::At).map_err(|_| {
                format!("`{time}` is not `latest`, `earliest` or a time such as `2026-03-04T09:00:00Z`")
            }),
        }
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        match start {
            Start::Latest => "latest".to_owned(),
            Start::Earliest => "earliest".to_owned(),
            Start::At(time) => time.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_and_hubs_are_enough_and_wrong_values_are_named() {
        fn check(text: &str, expected: &str) {
            assert_eq!(toml::from_str::<Config>(text).unwrap_err().message(), expected, "{text}");
        }
        let config: Config = toml::from_str("namespace = 'ns.example'\nhubs = ['a']").unwrap();
        assert_eq!((config.start, &*config.consumer_group), (Start::Earliest, "$Default"));
        assert_eq!((config.port(), config.transport), (5671, Transport::Amqp));
        let config: Config =
            toml::from_str("namespace = 'ns.example'\nhubs = ['a']\ntransport = 'websocket'").unwrap();
        assert_eq!(config.port(), 443);
        assert_eq!(
            config.opens_with().map(drop),
            Err("nothing opens the hubs: add `tenant` or `connection_string`".to_owned())
        );
        check(
            "namespace = 'ns'\nhubs = ['a']",
            "`ns` is not the host of a namespace, such as `contoso.servicebus.windows.net`",
        );
        check("namespace = 'ns.example'\nhubs = []", "it names no hub");
        check("namespace = 'ns.example'\nhubs = ['a', 'a']", "`a` stands there twice");
        check(
            "namespace = 'ns.example'\nhubs = ['a/b']",
            "`a/b` is not the name of a hub: letters, digits, `-`, `.` and `_`",
        );
        check(
            "namespace = 'ns.example'\nhubs = { prefix = 'a b' }",
            "`a b` is not the name of a hub: letters, digits, `-`, `.` and `_`",
        );
        check(
            "namespace = 'ns.example'\nhubs = { prefx = 'a' }",
            "neither a list of hubs nor `{ prefix = \"insights-logs-advancedhunting-\" }`",
        );
        check(
            "namespace = 'ns.example'\nhubs = ['a']\nstart = 'now'",
            "`now` is not `latest`, `earliest` or a time such as `2026-03-04T09:00:00Z`",
        );
    }
}
