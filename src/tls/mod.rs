//! TLS from PEM files: whom a destination trusts, who it is, and what to do when a handshake fails.
//!
//! One crypto provider, aws-lc-rs, named at every use. Trust is a `ca_file`, or the system's authorities, or
//! SHA-256 fingerprints that replace both path and name checks. No early data, no session resumption: a resumed
//! session would skip the certificate checks. The files are read at every connect, so renewing one needs no
//! restart. What a handshake needs of a person is said by [`Refusal`]. Nothing here opens a socket.

mod client;
mod name;
mod pem;
mod pin;
mod refusal;
mod server;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use client::{client_config, read_certificates, read_private_key};
pub use name::ServerName;
pub use pin::Pin;
pub use refusal::Refusal;
pub use server::{Clients, server_config, server_config_for};
use verify::{Findings, OwnCertificate, Verifier};

/// Trust and identity of one destination; its keys stand among the destination's own.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Config {
    /// PEM file with the authorities that may sign the receiver's certificate. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate (and intermediates) this side shows when asked.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of `client_cert`: PKCS#8, PKCS#1 or SEC1.
    pub client_key: Option<PathBuf>,
    /// File with the passphrase of an encrypted PKCS#8 `client_key`.
    pub client_key_passphrase_file: Option<PathBuf>,
    /// The name the receiver's certificate must carry. Default: the host of the address.
    pub server_name: Option<ServerName>,
    /// SHA-256 fingerprints of accepted receiver certificates; they replace path and name checks.
    #[serde(default)]
    pub pin: Vec<Pin>,
    /// Oldest accepted protocol: `1.2` (default) or `1.3`.
    #[serde(default)]
    pub min_tls: MinTls,
}

/// Oldest accepted protocol version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub enum MinTls {
    /// TLS 1.2 or 1.3 (RFC 9662 §4: 1.2 must be supported, 1.3 is preferred).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Why the files of a [`Config`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("read {key} `{}`", path.display())]
    Read {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Broken PEM.
    #[error("read PEM from {name}")]
    Pem {
        /// The key and file.
        name: String,
        /// What is broken.
        source: rustls::pki_types::pem::Error,
    },
    /// PEM without a certificate.
    #[error("{name} holds no `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// The key and file.
        name: String,
    },
    /// PEM without a private key.
    #[error(
        "{name} holds no private key (`BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`)"
    )]
    NoKey {
        /// The key and file.
        name: String,
    },
    /// An authority's certificate that cannot be used as one.
    #[error("use a certificate of {name} as an authority")]
    Authority {
        /// The key and file.
        name: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// An encrypted key and no passphrase.
    #[error("{name} is encrypted: name the file with its passphrase in `client_key_passphrase_file`")]
    PassphraseMissing {
        /// The key and file.
        name: String,
    },
    /// An encrypted key that does not open.
    #[error("decrypt {name}: wrong passphrase, or a cipher other than PBES2 with AES")]
    PassphraseWrong {
        /// The key and file.
        name: String,
    },
    /// Encryption older than PKCS#8.
    #[error(
        "{name} is encrypted the old way (`Proc-Type: 4,ENCRYPTED`): convert it with `openssl pkcs8 -topk8 -in \
         OLD -out NEW`"
    )]
    LegacyEncryption {
        /// The key and file.
        name: String,
    },
    /// `client_cert` without `client_key`, or the other way round.
    #[error("`{given}` is set without `{missing}`: a client certificate needs both")]
    HalfIdentity {
        /// The key that is there.
        given: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// Certificate and key of different pairs.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's key and file.
        certificate: String,
        /// The private key's key and file.
        key: String,
    },
    /// No system authority could be loaded.
    #[error("no system certificate authority found ({reason}): install `ca-certificates` or set `ca_file`")]
    SystemRoots {
        /// What the search said.
        reason: String,
    },
    /// The TLS library refuses the combination.
    #[error("prepare TLS")]
    Setup {
        /// What it says.
        source: rustls::Error,
    },
}

/// Ready to shake hands: the files as they were when it was made.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    findings: Arc<Findings>,
    own: Arc<OwnCertificate>,
    trust: String,
    pinned: bool,
    server_name: Option<ServerName>,
}

impl Connector {
    /// Reads the files. `check` calls it at startup, the sink at every connect.
    ///
    /// # Errors
    /// A file is missing, unreadable or does not hold what its key says.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let provider = provider();
        let findings = Arc::new(Findings::default());
        let trust = match &config.ca_file {
            Some(path) => format!("`ca_file` (`{}`)", path.display()),
            None => "the system's certificate authorities".to_owned(),
        };
        let verifier = if config.pin.is_empty() {
            Verifier::by_path(Arc::new(authorities(config)?), &provider, Arc::clone(&findings))?
        } else {
            Verifier::by_pin(config.pin.clone(), &provider, Arc::clone(&findings))
        };
        let own = Arc::new(OwnCertificate::new(own_certificate(config, &provider)?));
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(config.min_tls.versions())
            .map_err(|source| TlsError::Setup { source })?
            .dangerous() // the word covers any verifier of one's own; this one adds a record of what was shown
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::clone(&own) as _);
        client.resumption = Resumption::disabled();
        client.enable_early_data = false; // RFC 9662 §4: must not be used
        Ok(Self {
            config: Arc::new(client),
            findings,
            own,
            trust,
            pinned: !config.pin.is_empty(),
            server_name: config.server_name.clone(),
        })
    }

    /// Shakes hands over a connected stream.
    ///
    /// # Errors
    /// The handshake failed; [`Connector::refusal`] says what a person can do about it.
    pub async fn connect<S>(&self, host: &ServerName, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name.as_ref().unwrap_or(host).0.clone();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// Whether the receiver asked for a client certificate in a handshake.
    #[must_use]
    pub fn was_asked_for_certificate(&self) -> bool {
        self.own.was_asked()
    }

    /// What a failed handshake, or a failure just after it, needs of a person.
    #[must_use]
    pub fn refusal(&self, error: &io::Error) -> Refusal {
        refusal::explain(
            error,
            &refusal::Circumstances {
                trust: &self.trust,
                pinned: self.pinned,
                presented: self.findings.presented(),
                asked_for_certificate: self.own.was_asked(),
                has_certificate: self.own.is_set(),
            },
        )
    }
}

impl MinTls {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13_ONLY,
        }
    }
}

/// The one crypto provider.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn authorities(config: &Config) -> Result<RootCertStore, TlsError> {
    if let Some(path) = &config.ca_file {
        return pem::roots(&read("ca_file", path)?, &named("ca_file", path));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let reason = found.errors.first().map_or_else(|| "none installed".to_owned(), ToString::to_string);
        return Err(TlsError::SystemRoots { reason });
    }
    Ok(roots)
}

fn own_certificate(
    config: &Config,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let (certificate_path, key_path) = match (&config.client_cert, &config.client_key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            return Err(TlsError::HalfIdentity { given: "client_cert", missing: "client_key" });
        }
        (None, Some(_)) => {
            return Err(TlsError::HalfIdentity { given: "client_key", missing: "client_cert" });
        }
    };
    let passphrase = match &config.client_key_passphrase_file {
        Some(path) => Some(read("client_key_passphrase_file", path)?),
        None => None,
    };
    let certificate_name = named("client_cert", certificate_path);
    let key_name = named("client_key", key_path);
    let chain = pem::certificates(&read("client_cert", certificate_path)?, &certificate_name)?;
    let key = pem::private_key(
        &read("client_key", key_path)?,
        &key_name,
        passphrase.as_deref().map(<[u8]>::trim_ascii_end),
    )?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(own) => Ok(Some(Arc::new(own))),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::KeyMismatch { certificate: certificate_name, key: key_name })
        }
        Err(source) => Err(TlsError::Setup { source }),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { key, path: path.to_path_buf(), source })
}

fn named(key: &str, path: &Path) -> String {
    format!("{key} `{}`", path.display())
}

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[cfg(test)]
mod tests;
