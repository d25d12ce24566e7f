//! Checks the receiver's certificate by path and name, or by fingerprint, and notes what was seen for errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{Pin, TlsError};

/// The verifier of one [`super::Connector`].
#[derive(Debug)]
pub(super) struct Verifier {
    rule: Rule,
    algorithms: WebPkiSupportedAlgorithms,
    findings: Arc<Findings>,
}

#[derive(Debug)]
enum Rule {
    Path(Arc<WebPkiServerVerifier>),
    Pins(Vec<Pin>),
}

/// What the receiver showed, kept for the error text.
#[derive(Debug, Default)]
pub(super) struct Findings(Mutex<Option<Pin>>);

impl Findings {
    /// The fingerprint of the last certificate shown.
    pub(super) fn presented(&self) -> Option<Pin> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verifier {
    pub(super) fn by_path(
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        findings: Arc<Findings>,
    ) -> Result<Self, TlsError> {
        let path = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Setup { source: Error::General(error.to_string()) })?;
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { rule: Rule::Path(path), algorithms, findings })
    }

    pub(super) fn by_pin(pins: Vec<Pin>, provider: &CryptoProvider, findings: Arc<Findings>) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { rule: Rule::Pins(pins), algorithms, findings }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Pin::of(end_entity);
        *self.findings.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented);
        match &self.rule {
            Rule::Path(path) => {
                path.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Rule::Pins(pins) if pins.contains(&presented) => Ok(ServerCertVerified::assertion()),
            Rule::Pins(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate this side shows, and whether the receiver asked for one.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl OwnCertificate {
    pub(super) fn new(key: Option<Arc<CertifiedKey>>) -> Self {
        Self { key, asked: AtomicBool::new(false) }
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn is_set(&self) -> bool {
        self.key.is_some()
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
