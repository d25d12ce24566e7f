//! The settings of a TLS syslog destination.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sink::SendError;
use crate::tls;

/// One TLS syslog destination.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port`. The host is also the name the server certificate must carry.
    pub address: Address,
    /// Addresses to use while `address` cannot be reached, in order.
    #[serde(default)]
    pub standby: Vec<Address>,
    /// Trust and identity: `ca_file`, `client_cert`, `client_key`, `client_key_passphrase_file`, `server_name`,
    /// `pin`, `min_tls`.
    #[serde(flatten)]
    pub tls: tls::Config,
    /// Plain TCP: anybody on the way can read and change events. Warns at every start.
    #[serde(default)]
    pub insecure_plain_tcp: bool,
    /// Bound on connecting, handshake included.
    #[serde(default = "Config::default_connect_timeout", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub connect_timeout: Duration,
    /// Bound on writing without any progress.
    #[serde(default = "Config::default_write_timeout", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub write_timeout: Duration,
    /// A link silent for so long is probed.
    #[serde(default = "Config::default_keepalive", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub keepalive: Duration,
    /// Sent data unacknowledged for so long breaks the connection (`TCP_USER_TIMEOUT`).
    #[serde(default = "Config::default_user_timeout", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub user_timeout: Duration,
    /// A connection that has carried so many bytes is rotated for its receipt.
    #[serde(default = "Config::default_rotate_bytes")]
    pub rotate_bytes: u64,
    /// So many seconds after its first bytes a connection is rotated for its receipt.
    #[serde(default = "Config::default_rotate_seconds")]
    pub rotate_seconds: u64,
    /// A link with something unconfirmed is rotated at once when nothing was sent for so long.
    #[serde(default = "Config::default_quiet", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub quiet: Duration,
    /// Open and use the new connection before the old one has ended. `false` keeps strict order at the receiver
    /// for a pause of one round trip at each rotation.
    #[serde(default = "Config::default_rotate_overlap")]
    pub rotate_overlap: bool,
    /// How long to wait, without progress, for the receiver to end its side of a rotated connection.
    #[serde(default = "Config::default_drain_timeout", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub drain_timeout: Duration,
    /// What moves the cursor.
    #[serde(default)]
    pub confirm: Confirm,
    /// With `confirm = "window"`: so many bytes stay unconfirmed. At least the receiver's largest receive buffer.
    #[serde(default = "Config::default_replay_window")]
    pub replay_window: u64,
}

/// What moves the cursor of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// The clean end of a connection: its receiver has read every byte.
    #[default]
    Receipt,
    /// What is `replay_window` bytes behind; for receivers that never end a connection.
    Window,
    /// Receipts, and between them the kernel's numbers with a margin. Fewest duplicates; **not a bound**: a
    /// receiver killed at the wrong moment can lose what was confirmed.
    Estimate,
}

impl Confirm {
    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Window => "window",
            Self::Estimate => "estimate",
        }
    }
}

impl Config {
    /// All defaults, for `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            standby: Vec::new(),
            tls: tls::Config::default(),
            insecure_plain_tcp: false,
            connect_timeout: Self::default_connect_timeout(),
            write_timeout: Self::default_write_timeout(),
            keepalive: Self::default_keepalive(),
            user_timeout: Self::default_user_timeout(),
            rotate_bytes: Self::default_rotate_bytes(),
            rotate_seconds: Self::default_rotate_seconds(),
            quiet: Self::default_quiet(),
            rotate_overlap: Self::default_rotate_overlap(),
            drain_timeout: Self::default_drain_timeout(),
            confirm: Confirm::default(),
            replay_window: Self::default_replay_window(),
        }
    }

    /// Reads the PEM files once.
    pub(in crate::sink) fn check(&self) -> Result<(), SendError> {
        if self.insecure_plain_tcp {
            return Ok(());
        }
        tls::Connector::new(&self.tls)
            .map(drop)
            .map_err(|source| SendError::Prepare { address: self.address.to_string(), source })
    }

    fn default_connect_timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn default_write_timeout() -> Duration {
        Duration::from_secs(30)
    }

    fn default_keepalive() -> Duration {
        Duration::from_secs(30)
    }

    fn default_user_timeout() -> Duration {
        Duration::from_secs(30)
    }

    fn default_rotate_bytes() -> u64 {
        16 << 20
    }

    fn default_rotate_seconds() -> u64 {
        30
    }

    fn default_quiet() -> Duration {
        Duration::from_secs(2)
    }

    fn default_rotate_overlap() -> bool {
        true
    }

    fn default_drain_timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn default_replay_window() -> u64 {
        32 << 20
    }
}

/// `host:port` of a receiver; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: String,
    name: tls::ServerName,
}

impl Address {
    /// The host, as the name a certificate must carry.
    #[must_use]
    pub fn server_name(&self) -> &tls::ServerName {
        &self.name
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("`{text}` is not `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.contains(':') != bare.is_some() || port.parse::<u16>().map_or(true, |port| port == 0) {
            return Err(wrong());
        }
        let name = bare.unwrap_or(host).to_owned().try_into().map_err(|_| wrong())?;
        Ok(Self { text, name })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        let check = |text: &str, good: bool| {
            let parsed = Address::try_from(text.to_owned());
            assert_eq!(parsed.is_ok(), good, "{text}: {parsed:?}");
            if let Err(error) = parsed {
                assert_eq!(error, format!("`{text}` is not `host:port`"));
            }
        };
        check("siem.example:6514", true);
        check("10.0.0.1:6514", true);
        check("[::1]:6514", true);
        check("::1:6514", false);
        check("siem.example", false);
        check("siem.example:", false);
        check("siem.example:0", false);
        check("siem.example:65536", false);
        check(":6514", false);
        check("a b:6514", false);
        check("tls://siem.example:6514", false);
    }

    #[test]
    fn defaults_stand_beside_what_is_set_and_unknown_keys_are_refused() {
        let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.to_string());
        let config = read(
            "address = 'siem.example:6514'\nca_file = '/etc/ca.pem'\nquiet = '500ms'\nmin_tls = '1.3'\nconfirm = 'window'",
        )
        .unwrap();
        assert_eq!(config.quiet, Duration::from_millis(500));
        assert_eq!(config.rotate_bytes, 16 * 1024 * 1024);
        assert_eq!(config.tls.min_tls, tls::MinTls::Tls13);
        assert_eq!(config.confirm, Confirm::Window);
        let check = |line: &str, part: &str| {
            let error = read(&format!("address = 'siem.example:6514'\n{line}")).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        };
        check("adress = 'x'", "adress");
        check("quiet = '0s'", "is not a duration above zero");
        check("quiet = '-1s'", "is not a duration above zero");
        check("quiet = 'soon'", "`soon` is not a duration");
        check("pin = ['sha-1:AA']", "SHA-1");
        check("server_name = 'a b'", "neither a host name nor an address");
        check("confirm = 'hope'", "hope");
    }
}
