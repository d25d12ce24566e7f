//! The receiving side: for `listen`, `demo`, the door of `[write_back]` and tests.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::pem;
use super::{TlsError, provider};

/// A receiver's configuration from PEM texts. With `client_ca` it demands client certificates signed by it.
///
/// # Errors
/// A text holds no certificate or key, or the two do not belong together.
pub fn server_config(
    certificate: &[u8],
    key: &[u8],
    client_ca: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    server_config_for(certificate, key, client_ca.map_or(Clients::Unknown, Clients::Demanded))
}

/// Whose client certificates are looked at: those the authorities of a PEM text have signed.
#[derive(Clone, Copy, Debug)]
pub enum Clients<'a> {
    /// Nobody's.
    Unknown,
    /// Those that are shown.
    Asked(&'a [u8]),
    /// Everybody has to show one.
    Demanded(&'a [u8]),
}

/// A receiver's configuration from PEM texts.
///
/// # Errors
/// As for [`server_config`].
pub fn server_config_for(
    certificate: &[u8],
    key: &[u8],
    clients: Clients<'_>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?;
    let builder = match clients {
        Clients::Unknown => builder.with_no_client_auth(),
        Clients::Asked(authorities) | Clients::Demanded(authorities) => {
            let roots = pem::roots(authorities, "client authorities")?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = match clients {
                Clients::Asked(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::Setup { source: rustls::Error::General(error.to_string()) })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = pem::certificates(certificate, "server certificate")?;
    let key = pem::private_key(key, "server key", None)?;
    let config = builder.with_single_cert(chain, key).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { certificate: "server certificate".into(), key: "server key".into() }
        }
        source => TlsError::Setup { source },
    })?;
    Ok(Arc::new(config))
}
