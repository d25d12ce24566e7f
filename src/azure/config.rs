//! The settings of one tenant.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::cloud::{Cloud, Service};
use super::limit::Rate;
use crate::secret::Secret;

/// A tenant of Microsoft Entra ID, and how this program proves who it is there.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct Config {
    /// What stands in the file, all but the credential checked by its types.
    pub written: Written,
    /// The credential.
    pub login: Login,
}

/// The section as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The directory (tenant) id: a GUID, or a verified domain.
    pub id: TenantId,
    /// `global` (default), `gcc`, `gcc_high`, `dod` or `china`.
    #[serde(default)]
    pub cloud: Cloud,
    /// The application (client) id. Needed for all but a system-assigned managed identity.
    pub client_id: Option<String>,
    /// A client secret; one of four ways to log in.
    pub client_secret: Option<Secret>,
    /// A client certificate: `{ file = "/path/app.pem", key = "/path/app.key" }`.
    pub certificate: Option<Certificate>,
    /// The machine's own identity: of a virtual machine, or of App Service.
    #[serde(default)]
    pub managed_identity: bool,
    /// Workload identity federation: `{ token_file = "/path" }`, by default `AZURE_FEDERATED_TOKEN_FILE`.
    pub workload_identity: Option<WorkloadIdentity>,
    /// A label for the records of sources that name this tenant. Default: its name.
    pub label: Option<String>,
    /// Where tokens come from, instead of the cloud's.
    pub login_url: Option<ServiceUrl>,
    /// Microsoft Graph, instead of the cloud's.
    pub graph_url: Option<ServiceUrl>,
    /// The scope for Graph.
    pub graph_scope: Option<String>,
    /// The Defender for Endpoint API, instead of the cloud's: for example a regional host.
    pub mde_url: Option<ServiceUrl>,
    /// The scope for it.
    pub mde_scope: Option<String>,
    /// The Defender XDR API, instead of the cloud's.
    pub xdr_url: Option<ServiceUrl>,
    /// The scope for it.
    pub xdr_scope: Option<String>,
    /// The scope for Azure Storage.
    pub storage_scope: Option<String>,
    /// The scope for Azure Event Hubs.
    pub event_hubs_scope: Option<String>,
    /// Where a managed identity's tokens come from, instead of the machine's usual place.
    pub identity_url: Option<IdentityUrl>,
    /// What Graph allows this application for alerts and incidents.
    #[serde(default = "Written::default_graph_limits")]
    pub graph_limits: Vec<Rate>,
    /// What Graph allows for advanced hunting.
    #[serde(default = "Written::default_hunting_limits")]
    pub hunting_limits: Vec<Rate>,
    /// What the Defender for Endpoint API allows.
    #[serde(default = "Written::default_mde_limits")]
    pub mde_limits: Vec<Rate>,
    /// What the Defender XDR API allows.
    #[serde(default = "Written::default_xdr_limits")]
    pub xdr_limits: Vec<Rate>,
}

impl Written {
    /// Microsoft Graph throttling limits, security: 150 a minute for each application and tenant.
    fn default_graph_limits() -> Vec<Rate> {
        vec![Rate::a_minute(150)]
    }

    /// Security API overview: at least 45 hunting queries a minute for each tenant.
    fn default_hunting_limits() -> Vec<Rate> {
        vec![Rate::a_minute(45)]
    }

    /// List alerts: 100 a minute, 1500 an hour.
    fn default_mde_limits() -> Vec<Rate> {
        vec![Rate::a_minute(100), Rate::an_hour(1500)]
    }

    /// List incidents: 50 a minute, 1500 an hour.
    fn default_xdr_limits() -> Vec<Rate> {
        vec![Rate::a_minute(50), Rate::an_hour(1500)]
    }
}

/// How this program logs in.
#[derive(Clone, Debug)]
pub enum Login {
    /// With a secret both sides know.
    Secret(String, Secret),
    /// With a key whose certificate is registered for the application.
    Certificate(String, Certificate),
    /// With a token somebody else has made out: a Kubernetes service account, a pipeline.
    Workload(String, WorkloadIdentity),
    /// As the machine it runs on; with a client id, as one of its user-assigned identities.
    Managed(Option<String>),
}

/// A client certificate in PEM files.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate; only the first one counts.
    pub file: PathBuf,
    /// Its RSA key, not encrypted.
    pub key: PathBuf,
}

/// Where the federated token lies.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The file, which is read at each use because it is replaced often.
    pub token_file: Option<PathBuf>,
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let client = || {
            written.client_id.clone().ok_or("`client_id` is missing: the id of the registered application")
        };
        let mut logins = Vec::new();
        if let Some(secret) = &written.client_secret {
            logins.push(("client_secret", Login::Secret(client()?, secret.clone())));
        }
        if let Some(certificate) = &written.certificate {
            logins.push(("certificate", Login::Certificate(client()?, certificate.clone())));
        }
        if let Some(workload) = &written.workload_identity {
            logins.push(("workload_identity", Login::Workload(client()?, workload.clone())));
        }
        if written.managed_identity {
            logins.push(("managed_identity", Login::Managed(written.client_id.clone())));
        }
        let names: Vec<&str> = logins.iter().map(|(name, _)| *name).collect();
        let names = names.join("` and `");
        match (logins.pop(), logins.is_empty()) {
            (Some((_, login)), true) => Ok(Self { written, login }),
            (Some(_), false) => Err(format!("it logs in with `{names}`: keep one")),
            (None, _) => Err("it has no credential: add one of `client_secret`, `certificate`, \
                              `managed_identity = true` and `workload_identity`"
                .to_owned()),
        }
    }
}

impl From<Config> for Written {
    fn from(config: Config) -> Self {
        config.written
    }
}

impl Config {
    /// The root of an HTTP service, without a final slash; `None` where the cloud has none.
    #[must_use]
    pub fn root(&self, service: Service) -> Option<String> {
        let set = match service {
            Service::Graph => &self.written.graph_url,
            Service::Mde => &self.written.mde_url,
            Service::Xdr => &self.written.xdr_url,
            Service::Storage | Service::EventHubs => &None,
        };
        match set {
            Some(ServiceUrl(url)) => Some(url.as_str().trim_end_matches('/').to_owned()),
            None => self.written.cloud.root(service).map(str::to_owned),
        }
    }

    /// The scope for a service.
    #[must_use]
    pub fn scope(&self, service: Service) -> String {
        let set = match service {
            Service::Graph => &self.written.graph_scope,
            Service::Mde => &self.written.mde_scope,
            Service::Xdr => &self.written.xdr_scope,
            Service::Storage => &self.written.storage_scope,
            Service::EventHubs => &self.written.event_hubs_scope,
        };
        set.clone().unwrap_or_else(|| self.written.cloud.scope(service))
    }

    /// Where the token endpoint is.
    #[must_use]
    pub fn token_url(&self) -> String {
        let login = match &self.written.login_url {
            Some(ServiceUrl(url)) => url.as_str().trim_end_matches('/'),
            None => self.written.cloud.login(),
        };
        format!("{login}/{}/oauth2/v2.0/token", self.written.id.0)
    }
}

/// Where a machine asks for its own tokens: as [`ServiceUrl`], or plain HTTP to a link-local address, which no router
/// passes on (RFC 3927 §7).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityUrl(pub Url);

impl TryFrom<String> for IdentityUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Url::parse(&text).ok();
        let is_link_local =
            |url: &Url| matches!(url.host(), Some(url::Host::Ipv4(host)) if host.is_link_local());
        match url.filter(|url| url.scheme() == "http" && is_link_local(url)) {
            Some(url) => Ok(Self(url)),
            None => ServiceUrl::try_from(text).map(|ServiceUrl(url)| Self(url)),
        }
    }
}

impl From<IdentityUrl> for String {
    fn from(url: IdentityUrl) -> Self {
        url.0.into()
    }
}

/// The id of a tenant: a GUID or a domain, so that it cannot change the path it becomes part of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct TenantId(pub String);

impl TryFrom<String> for TenantId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if !text.is_empty() && text.bytes().all(plain) && text.contains(|letter: char| letter != '.') {
            return Ok(Self(text));
        }
        Err(format!(
            "`{text}` is not a tenant: its directory id (a GUID) or a domain such as `contoso.example`"
        ))
    }
}

/// The root of a service. Plain HTTP only on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl(pub Url);

impl TryFrom<String> for ServiceUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Ok(url) = Url::parse(&text) else {
            return Err(format!("`{text}` is not a URL such as `https://graph.microsoft.com`"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL of a service holds no user and no password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{text}` is not the root of a service: it has a query or a fragment"));
        }
        let is_here = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" if url.has_host() => Ok(Self(url)),
            "http" if is_here => Ok(Self(url)),
            "http" => Err(format!("`{text}` is not encrypted: tokens are only sent to `https` URLs")),
            _ => Err(format!("`{text}` is not a URL such as `https://graph.microsoft.com`")),
        }
    }
}

impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        url.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_logs_in_in_exactly_one_way() {
        let read = |text: &str| toml::from_str::<Config>(&format!("id = 't.example'\n{text}"));
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.message().contains(expected), "{text}: {}", error.message());
        };
        let secret = "client_secret = { file = '/s' }";
        assert!(matches!(read(&format!("client_id = 'c'\n{secret}")).unwrap().login, Login::Secret(..)));
        assert!(matches!(read("managed_identity = true").unwrap().login, Login::Managed(None)));
        assert!(matches!(
            read("client_id = 'c'\nworkload_identity = {}").unwrap().login,
            Login::Workload(..)
        ));
        check(secret, "`client_id` is missing");
        check("client_id = 'c'", "it has no credential");
        check(
            &format!("client_id = 'c'\nmanaged_identity = true\n{secret}"),
            "`client_secret` and `managed_identity`: keep one",
        );
    }

    #[test]
    fn every_url_can_be_replaced_and_none_is_plain_http() {
        let read =
            |text: &str| toml::from_str::<Config>(&format!("id = 't'\nmanaged_identity = true\n{text}"));
        let config = read(
            "mde_url = 'https://eu.api.security.microsoft.com/'\nmde_scope = 's'\nlogin_url = 'https://l.example'",
        );
        let config = config.unwrap();
        assert_eq!(config.root(Service::Mde).unwrap(), "https://eu.api.security.microsoft.com");
        assert_eq!(config.scope(Service::Mde), "s");
        assert_eq!(config.token_url(), "https://l.example/t/oauth2/v2.0/token");
        assert_eq!(read("cloud = 'china'").unwrap().root(Service::Xdr), None);
        assert!(read("identity_url = 'http://169.254.169.254'").is_ok());
        for wrong in [
            "graph_url = 'http://graph.example'",
            "graph_url = 'http://169.254.169.254'",
            "identity_url = 'http://graph.example'",
            "graph_url = 'https://user:hunter2@graph.example'",
            "graph_url = 'https://graph.example/?a=b'",
            "graph_url = 'graph'",
            "id = 'a/b'",
            "cloud = 'moon'",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{wrong}: {error}");
        }
    }
}
