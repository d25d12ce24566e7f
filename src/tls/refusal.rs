//! What a failed handshake needs of a person, in words.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::Pin;

/// Why the two sides do not come together, and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The receiver's certificate is past its end.
    #[error("the receiver's certificate expired{when}: renew it there, or set this machine's clock right")]
    Expired {
        /// ` on DATE`, when known.
        when: String,
    },
    /// The receiver's certificate is not valid yet.
    #[error("the receiver's certificate is not valid yet{when}: set the clocks of both machines right")]
    NotYetValid {
        /// `, only from DATE on`, when known.
        when: String,
    },
    /// Signed by nobody we trust.
    #[error(
        "the receiver's certificate is not signed by an authority in {trust}: put the certificate of the authority \
         that signed it into `ca_file` (with the intermediates the receiver does not send), or accept exactly this \
         certificate with `pin = [\"{presented}\"]`"
    )]
    UnknownIssuer {
        /// Which authorities were asked.
        trust: String,
        /// The fingerprint to paste.
        presented: String,
    },
    /// A good certificate of another name.
    #[error(
        "the receiver's certificate is for {presented}, not for `{expected}`: set `server_name` to one of its \
         names, or connect by such a name"
    )]
    WrongName {
        /// The name looked for.
        expected: String,
        /// The names it has.
        presented: String,
    },
    /// A certificate without subject alternative names.
    #[error(
        "the receiver's certificate has no subject alternative name, and a common name is not accepted in its \
         place: issue it with one, or accept exactly this certificate with `pin = [\"{presented}\"]`"
    )]
    NoNames {
        /// The fingerprint to paste.
        presented: String,
    },
    /// An authority's certificate used by the receiver itself.
    #[error(
        "the receiver shows an authority's certificate (`CA:TRUE`) as its own, which path checks refuse: accept \
         exactly this certificate with `pin = [\"{presented}\"]`, or give the receiver one of its own"
    )]
    AuthorityAsLeaf {
        /// The fingerprint to paste.
        presented: String,
    },
    /// Any other fault of the certificate.
    #[error(
        "the receiver's certificate is refused: {reason}; a new one there, or accept exactly this one with `pin = \
         [\"{presented}\"]`"
    )]
    BadCertificate {
        /// What the TLS library says.
        reason: String,
        /// The fingerprint to paste.
        presented: String,
    },
    /// Not one of the pinned certificates.
    #[error(
        "the receiver's certificate is none of those in `pin`: it is `{presented}`; add that if the certificate \
         was renewed on purpose"
    )]
    NotPinned {
        /// The fingerprint shown.
        presented: String,
    },
    /// The receiver wants to know who we are and we have not said.
    #[error("the receiver demands a client certificate: set `client_cert` and `client_key`")]
    ClientCertificateDemanded,
    /// The receiver does not accept who we are.
    #[error(
        "the receiver does not accept the client certificate ({reason}): the authority that signed `client_cert` \
         must be one the receiver trusts, and the certificate in force"
    )]
    ClientCertificateRefused {
        /// The alert it sent, or how it closed.
        reason: String,
    },
    /// No TLS on the other side.
    #[error("the receiver does not speak TLS on this port")]
    NotTls,
    /// No protocol version or cipher in common.
    #[error(
        "no protocol version or cipher suite in common ({reason}): this side offers TLS 1.3 and, unless `min_tls = \"1.3\"`, 1.2 with forward secrecy"
    )]
    NothingInCommon {
        /// What the TLS library says.
        reason: String,
    },
    /// An alert with no advice of its own.
    #[error("the receiver refused with the alert `{alert}`")]
    Alert {
        /// Its name.
        alert: String,
    },
    /// The stream broke or something unforeseen.
    #[error("{reason}")]
    Other {
        /// What the system or the TLS library says.
        reason: String,
    },
}

/// What the connector knows beside the error itself.
pub(super) struct Circumstances<'a> {
    pub(super) trust: &'a str,
    pub(super) pinned: bool,
    pub(super) presented: Option<Pin>,
    pub(super) asked_for_certificate: bool,
    pub(super) has_certificate: bool,
}

/// Turns an error of the TLS stream into what a person can do.
pub(super) fn explain(error: &io::Error, circumstances: &Circumstances<'_>) -> Refusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => certificate(fault, circumstances),
        Some(Error::AlertReceived(alert)) => received(*alert, circumstances),
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        )) => Refusal::NotTls,
        Some(fault @ Error::PeerIncompatible(_)) => Refusal::NothingInCommon { reason: fault.to_string() },
        Some(fault) => Refusal::Other { reason: fault.to_string() },
        // some receivers (GnuTLS) close without an alert when the client certificate does not please them
        None if circumstances.asked_for_certificate && closed(error) => {
            client_certificate("it closed without an alert", circumstances)
        }
        None => Refusal::Other { reason: error.to_string() },
    }
}

fn closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn certificate(fault: &CertificateError, circumstances: &Circumstances<'_>) -> Refusal {
    let presented = circumstances.presented.map_or_else(|| "unknown".to_owned(), |pin| pin.to_string());
    if circumstances.pinned && matches!(fault, CertificateError::ApplicationVerificationFailure) {
        return Refusal::NotPinned { presented };
    }
    match fault {
        CertificateError::Expired => Refusal::Expired { when: String::new() },
        CertificateError::ExpiredContext { not_after, .. } => {
            Refusal::Expired { when: format!(" on {}", date(*not_after)) }
        }
        CertificateError::NotValidYet => Refusal::NotYetValid { when: String::new() },
        CertificateError::NotValidYetContext { not_before, .. } => {
            Refusal::NotYetValid { when: format!(", only from {} on", date(*not_before)) }
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Refusal::UnknownIssuer { trust: circumstances.trust.to_owned(), presented }
        }
        CertificateError::NotValidForNameContext { presented: names, .. } if names.is_empty() => {
            Refusal::NoNames { presented }
        }
        CertificateError::NotValidForNameContext { expected, presented: names } => Refusal::WrongName {
            expected: expected.to_str().into_owned(),
            presented: names.iter().map(|name| format!("`{}`", bare(name))).collect::<Vec<_>>().join(", "),
        },
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            Refusal::AuthorityAsLeaf { presented }
        }
        fault => Refusal::BadCertificate { reason: fault.to_string(), presented },
    }
}

/// `DnsName("siem.example")` as the library writes presented names, without its wrapping.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn received(alert: AlertDescription, circumstances: &Circumstances<'_>) -> Refusal {
    let reason = format!("{alert:?}");
    match alert {
        AlertDescription::CertificateRequired => client_certificate(&reason, circumstances),
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            Refusal::NothingInCommon { reason }
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied
            if circumstances.asked_for_certificate =>
        {
            client_certificate(&reason, circumstances)
        }
        AlertDescription::HandshakeFailure => Refusal::NothingInCommon { reason },
        _ => Refusal::Alert { alert: reason },
    }
}

fn client_certificate(reason: &str, circumstances: &Circumstances<'_>) -> Refusal {
    if circumstances.has_certificate {
        Refusal::ClientCertificateRefused { reason: reason.to_owned() }
    } else {
        Refusal::ClientCertificateDemanded
    }
}

fn date(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an unknown date".to_owned(), |time| time.to_string())
}
