//! The asking side of HTTPS and AMQP: the system's authorities, and those of an inspecting proxy.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{Config, TlsError, authorities, named, pem, provider, read};

/// A configuration that trusts the system's authorities and those of a file; `protocols` is what ALPN offers.
///
/// # Errors
/// The file is not usable, or there is no authority at all.
pub fn client_config(extra: Option<&Path>, protocols: &[&[u8]]) -> Result<ClientConfig, TlsError> {
    let mut roots = match (authorities(&Config::default()), extra) {
        (Ok(roots), _) => roots,
        // A container without system authorities may still know the one it needs.
        (Err(_), Some(_)) => RootCertStore::empty(),
        (Err(error), None) => return Err(error),
    };
    if let Some(path) = extra {
        roots.extend(pem::roots(&read("ca_file", path)?, &named("ca_file", path))?.roots);
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|source| TlsError::Setup { source })?
        .with_root_certificates(Arc::new(roots))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The certificates of a PEM file, in order; `key` is the setting that names it.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(key, path)?, &named(key, path))
}

/// The private key of a PEM file, which is not encrypted; `key` is the setting that names it.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn read_private_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    pem::private_key(&read(key, path)?, &named(key, path), None)
}
