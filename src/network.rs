//! The way out to the services of Microsoft: one HTTP client, one TLS configuration, one decision about the proxy.
//!
//! The proxy comes from `[network]`, else from `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` as other programs read them.
//! Nothing follows a redirect: a token must not travel to where a reply points. Destinations do not come through here.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use crate::secret::{Secret, SecretError};
use crate::tls::{self, TlsError};

/// How the services of Microsoft are reached.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The proxy, `http://proxy.example:3128`. Default: `HTTPS_PROXY` or `ALL_PROXY` of the environment.
    pub proxy: Option<ProxyUrl>,
    /// The user at the proxy.
    pub proxy_user: Option<String>,
    /// The password of that user.
    pub proxy_password: Option<Secret>,
    /// Hosts, domains and networks that are reached directly. Default: `NO_PROXY` of the environment.
    pub no_proxy: Option<Vec<String>>,
    /// PEM file with authorities to trust besides the system's, such as that of an inspecting proxy.
    pub ca_file: Option<PathBuf>,
}

/// The address of a proxy, without user and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl(Url);

impl TryFrom<String> for ProxyUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The text may hold a password: no fault repeats it.
        let url = Url::parse(&text).map_err(|_| "it is not a URL such as `http://proxy.example:3128`")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "user and password do not stand in the URL: set `proxy_user` and `proxy_password`".into()
            );
        }
        match (url.scheme(), url.host()) {
            ("http" | "https", Some(_)) => Ok(Self(url)),
            _ => Err(format!("`{text}` is not a URL such as `http://proxy.example:3128`")),
        }
    }
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        url.0.into()
    }
}

/// Why the way out cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The authorities cannot be used.
    #[error("prepare TLS for `[network]`")]
    Tls(#[from] TlsError),
    /// The proxy's password cannot be had.
    #[error("read `proxy_password`")]
    Password(#[from] SecretError),
    /// `HTTPS_PROXY` or `ALL_PROXY` is not a URL.
    #[error("`{0}` of the environment is not a URL such as `http://proxy.example:3128`")]
    Environment(&'static str),
    /// The HTTP client refuses its settings.
    #[error("prepare the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// The way out. Clones share it.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    client: reqwest::Client,
    direct: reqwest::Client,
    tls: Arc<ClientConfig>,
    matcher: Matcher,
    proxy: Option<String>,
}

impl Network {
    /// Reads the files and the environment.
    ///
    /// # Errors
    /// A file, the password or the environment is not usable.
    pub fn new(config: &Config) -> Result<Self, NetworkError> {
        Self::with_environment(config, |name| std::env::var(name).ok())
    }

    fn with_environment(
        config: &Config,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, NetworkError> {
        let first = |names: [&'static str; 4]| {
            names
                .into_iter()
                .find_map(|name| Some((name, variable(name)?)))
                .filter(|(_, text)| !text.is_empty())
        };
        let proxy = match (&config.proxy, first(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])) {
            (Some(ProxyUrl(url)), _) => Some(with_user(url.clone(), config)?),
            (None, Some((name, text))) => Some(from_environment(name, &text)?),
            (None, None) => None,
        };
        let no_proxy = match &config.no_proxy {
            Some(hosts) => hosts.join(","),
            None => first(["NO_PROXY", "no_proxy", "NO_PROXY", "no_proxy"])
                .map_or_else(String::new, |(_, text)| text),
        };
        let ca_file = config.ca_file.as_deref();
        let https = tls::client_config(ca_file, &[b"h2", b"http/1.1"])?;
        let mut through = client(https.clone());
        if let Some(url) = &proxy {
            let excepted = reqwest::NoProxy::from_string(&no_proxy);
            let proxy = reqwest::Proxy::all(url.as_str())
                .map_err(|error| NetworkError::Client(error.without_url()))?;
            through = through.proxy(proxy.no_proxy(excepted));
        }
        let mut matcher = Matcher::builder().no(no_proxy);
        if let Some(url) = &proxy {
            matcher = matcher.all(url.to_string());
        }
        Ok(Self(Arc::new(Shared {
            client: through.build().map_err(NetworkError::Client)?,
            direct: client(https).build().map_err(NetworkError::Client)?,
            tls: Arc::new(tls::client_config(ca_file, &[])?),
            matcher: matcher.build(),
            proxy: proxy.as_ref().map(shown),
        })))
    }

    /// The HTTP client: through the proxy where one applies, no redirects, gzip, both HTTP versions.
    #[must_use]
    pub fn http_client(&self) -> reqwest::Client {
        self.0.client.clone()
    }

    /// The same without a proxy: for the identity endpoints of the machine itself.
    #[must_use]
    pub fn direct_client(&self) -> reqwest::Client {
        self.0.direct.clone()
    }

    /// TLS for what is not HTTP; no ALPN.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        self.0.tls.clone()
    }

    /// The proxy in use, without its password: for messages.
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.0.proxy.as_deref()
    }

    /// A TCP connection to a host, through the proxy's `CONNECT` where one applies.
    ///
    /// # Errors
    /// The host or the proxy cannot be reached, or the proxy refuses.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let connecting = async {
            let target: Uri = format!("https://{host}:{port}").parse().map_err(io::Error::other)?;
            match self.0.matcher.intercept(&target) {
                Some(proxy) => {
                    let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
                    if let Some(authorization) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(authorization.clone());
                    }
                    tunnel.call(target).await.map(TokioIo::into_inner).map_err(io::Error::other)
                }
                None => TcpStream::connect((host.trim_matches(['[', ']']), port)).await,
            }
        };
        let stream =
            tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Network").field("proxy", &self.0.proxy).finish_non_exhaustive()
    }
}

fn client(tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .pool_idle_timeout(Duration::from_secs(60))
        .user_agent(concat!("cefgate/", env!("CARGO_PKG_VERSION")))
}

fn with_user(mut url: Url, config: &Config) -> Result<Url, NetworkError> {
    if let Some(user) = &config.proxy_user {
        // Both fail only for URLs without a host, which a proxy's is not.
        let _ = url.set_username(user);
        if let Some(password) = &config.proxy_password {
            let _ = url.set_password(password.read()?.expose_text());
        }
    }
    Ok(url)
}

fn from_environment(name: &'static str, text: &str) -> Result<Url, NetworkError> {
    // Like curl: a proxy without a scheme speaks HTTP.
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|_| NetworkError::Environment(name))?;
    if url.has_host() { Ok(url) } else { Err(NetworkError::Environment(name)) }
}

/// Scheme, host and port.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The most time for a connection: name, TCP, and what the proxy needs.
const CONNECT: Duration = Duration::from_secs(15);
/// The longest pause within a reply; large pages take the service a while.
const SILENCE: Duration = Duration::from_secs(200);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn network(config: &str, environment: &[(&'static str, &str)]) -> Result<Network, NetworkError> {
        let variable =
            |name| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Network::with_environment(&toml::from_str(config).unwrap(), variable)
    }

    /// Answers one `CONNECT` and tells its head.
    async fn proxy(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let head = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            // The asking side speaks first, in TLS as in AMQP.
            if stream.read_u8().await.is_ok() {
                stream.write_all(b"hello").await.unwrap();
            }
            String::from_utf8(head).unwrap()
        });
        (port, head)
    }

    #[tokio::test]
    async fn a_connection_goes_through_the_proxy_with_its_user() {
        let password = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(password.path(), "pass word").unwrap();
        let (port, head) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let config = format!(
            "proxy = 'http://127.0.0.1:{port}'\nproxy_user = 'u'\nproxy_password = {{ file = '{}' }}",
            password.path().display()
        );
        let network = network(&config, &[("HTTPS_PROXY", "http://192.0.2.1:1")]).unwrap();
        let mut stream = network.connect("hub.example", 5671).await.unwrap();
        stream.write_all(b"?").await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let head = head.await.unwrap();
        assert!(head.starts_with("CONNECT hub.example:5671 HTTP/1.1\r\n"), "{head}");
        // base64 of `u:pass word`
        assert!(head.to_lowercase().contains("proxy-authorization: basic dtpwyxnzihdvcmq="), "{head}");
        assert!(!format!("{network:?}").contains("pass"), "{network:?}");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_an_error() {
        let (port, _head) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let network = network("", &[("HTTPS_PROXY", &format!("127.0.0.1:{port}"))]).unwrap();
        let error = network.connect("hub.example", 5671).await.unwrap_err();
        assert!(error.to_string().contains("proxy authorization required"), "{error}");
    }

    #[tokio::test]
    async fn excepted_hosts_are_reached_directly() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (config, environment) in [
            ("proxy = 'http://192.0.2.1:1'\nno_proxy = ['127.0.0.0/8']", &[][..]),
            ("", &[("https_proxy", "http://192.0.2.1:1"), ("NO_PROXY", "localhost,127.0.0.1")]),
        ] {
            let network = network(config, environment).unwrap();
            assert_eq!(network.proxy(), Some("http://192.0.2.1:1"));
            network.connect("127.0.0.1", port).await.unwrap();
        }
    }

    #[test]
    fn a_wrong_proxy_is_named_and_its_password_is_not() {
        let check = |text: &str, expected: &str| {
            assert_eq!(ProxyUrl::try_from(text.to_owned()).unwrap_err(), expected, "{text}");
        };
        check("proxy:3128", "`proxy:3128` is not a URL such as `http://proxy.example:3128`");
        check("//x", "it is not a URL such as `http://proxy.example:3128`");
        check(
            "http://u:hunter2@proxy.example",
            "user and password do not stand in the URL: set `proxy_user` and `proxy_password`",
        );
        let error = network("", &[("ALL_PROXY", "http://u:hunter2@")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`ALL_PROXY` of the environment is not a URL such as `http://proxy.example:3128`"
        );
    }
}
