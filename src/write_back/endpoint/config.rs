//! The settings of the endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::azure::Rate;
use crate::secret::{self, Secret};
use crate::telemetry;
use crate::tls::{self, Clients};
use crate::write_back::words::{self, Object, Row};

/// A door for SIEMs that send back what they decided. Off unless `listen` is set.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port of the listener, `0.0.0.0:8443`; without it nothing listens.
    pub listen: Option<SocketAddr>,
    /// PEM file with the certificate (and intermediates) the door shows.
    pub cert: Option<PathBuf>,
    /// PEM file with its key.
    pub key: Option<PathBuf>,
    /// `[write_back.tokens]`: bearer tokens, by the name of who uses each. The name stands in the audit log.
    #[serde(default)]
    pub tokens: BTreeMap<String, Secret>,
    /// PEM file with the authorities whose client certificates are let in without a token.
    pub client_ca: Option<PathBuf>,
    /// The tenants that may be written to; the first is meant where a request names none.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Where alerts are changed when a request does not say: `graph` or `mde`.
    #[serde(default)]
    pub alert_api: AlertApi,
    /// Where incidents are changed when a request does not say: `graph` or `xdr`.
    #[serde(default)]
    pub incident_api: IncidentApi,
    /// How many requests are taken, of all callers together.
    #[serde(default = "Config::default_rate")]
    pub rate: Rate,
    /// The longest body that is taken.
    #[serde(default = "Config::default_max_body_bytes")]
    pub max_body_bytes: usize,
    /// How long a request may take, the service's answer included.
    #[serde(default = "Config::default_timeout", with = "crate::duration::positive")]
    #[schemars(with = "crate::duration::Written")]
    pub timeout: Duration,
}

/// Where alerts are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertApi {
    /// Microsoft Graph.
    #[default]
    Graph,
    /// The Defender for Endpoint API. Ends on 2027-02-01.
    Mde,
}

/// Where incidents are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentApi {
    /// Microsoft Graph.
    #[default]
    Graph,
    /// The Defender XDR API. Ends on 2027-02-01.
    Xdr,
}

impl Config {
    /// The API of an object, where a request does not say.
    #[must_use]
    pub fn api(&self, object: Object) -> &'static str {
        match (object, self.alert_api, self.incident_api) {
            (Object::Alert, AlertApi::Graph, _) | (Object::Incident, _, IncidentApi::Graph) => "graph",
            (Object::Alert, AlertApi::Mde, _) => "mde",
            (Object::Incident, _, IncidentApi::Xdr) => "xdr",
        }
    }

    /// What a request changes that names neither tenant nor API: for each tenant, alerts and incidents.
    pub fn usual(&self) -> impl Iterator<Item = (&str, &'static Row)> {
        let tenants = self.tenants.iter().filter(|_| self.listen.is_some());
        tenants.flat_map(|tenant| {
            let rows = [Object::Alert, Object::Incident].map(|object| words::row(object, self.api(object)));
            rows.into_iter().flatten().map(move |row| (tenant.as_str(), row))
        })
    }

    /// What is missing for the door to be opened: keys and why.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        if self.listen.is_none() {
            return Vec::new();
        }
        let mut missing = Vec::new();
        if self.cert.is_none() {
            missing.push((
                "cert",
                "missing: there is no door without TLS; a PEM file with the certificate it shows",
            ));
        }
        if self.key.is_none() {
            missing.push(("key", "missing: a PEM file with the key of `cert`"));
        }
        if self.tokens.is_empty() && self.client_ca.is_none() {
            missing.push((
                "tokens",
                "nobody could come in: add `[write_back.tokens]` with `<name> = { file = \"/path\" }`, or `client_ca`",
            ));
        }
        if self.tenants.is_empty() {
            missing.push(("tenants", "missing: the names of the `[tenant.<name>]` that may be written to"));
        }
        missing
    }

    /// Reads every file that is named: keys and what is wrong.
    #[must_use]
    pub fn examine(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.listen.is_none() {
            return faults;
        }
        if let Err(fault) = self.server() {
            faults.push(fault);
        }
        if let Some(key) = &self.key
            && let Err(error @ secret::SecretError::Exposed { .. }) = secret::check_permissions(key)
        {
            faults.push(("key", error.to_string()));
        }
        for (name, token) in &self.tokens {
            match token.read() {
                Ok(token) if token.expose().len() < SHORTEST_TOKEN => faults.push((
                    "tokens",
                    format!("`{name}` is shorter than {SHORTEST_TOKEN} bytes: make one with `openssl rand -hex 32`"),
                )),
                Ok(_) => {}
                Err(error) => faults.push(("tokens", format!("`{name}`: {}", telemetry::chain(&error)))),
            }
        }
        faults
    }

    /// TLS as the files say now; else the key at fault, and why.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what its key says.
    pub fn server(&self) -> Result<Arc<ServerConfig>, (&'static str, String)> {
        let read = |key: &'static str, path: &Option<PathBuf>| match path {
            Some(path) => file(path).map_err(|fault| (key, fault)),
            None => Err((key, "missing".to_owned())),
        };
        let (certificate, key) = (read("cert", &self.cert)?, read("key", &self.key)?);
        let authorities = match &self.client_ca {
            Some(path) => Some(file(path).map_err(|fault| ("client_ca", fault))?),
            None => None,
        };
        let clients = match &authorities {
            None => Clients::Unknown,
            // Whoever has a token needs no certificate.
            Some(authorities) if !self.tokens.is_empty() => Clients::Asked(authorities),
            Some(authorities) => Clients::Demanded(authorities),
        };
        tls::server_config_for(&certificate, &key, clients).map_err(|error| {
            let text = telemetry::chain(&error);
            let key = match () {
                () if text.contains("client authorities") => "client_ca",
                () if text.contains("server key") => "key",
                () => "cert",
            };
            (key, text)
        })
    }

    fn default_rate() -> Rate {
        Rate { requests: 60, window: Duration::from_mins(1) }
    }

    fn default_max_body_bytes() -> usize {
        64 << 10
    }

    fn default_timeout() -> Duration {
        Duration::from_secs(60)
    }
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("read `{}`: {error}", path.display()))
}

/// 128 bits as hexadecimal digits are 32 bytes.
const SHORTEST_TOKEN: usize = 32;
