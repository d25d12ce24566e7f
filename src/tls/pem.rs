//! Reads PEM: certificates, authorities and private keys. Encrypted keys are PKCS#8 with a passphrase.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Document;
use rustls::RootCertStore;
use rustls::pki_types::pem::{PemObject as _, SectionKind, SliceIter};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TlsError;

/// All certificates of a PEM text, in order. `name` stands for the text in errors.
pub(super) fn certificates(text: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        found.push(certificate.map_err(|source| TlsError::Pem { name: name.to_owned(), source })?);
    }
    if found.is_empty() {
        return Err(TlsError::NoCertificate { name: name.to_owned() });
    }
    Ok(found)
}

/// The certificates of a PEM text as authorities to trust.
pub(super) fn roots(text: &[u8], name: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text, name)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { name: name.to_owned(), source })?;
    }
    Ok(roots)
}

/// The first private key of a PEM text: PKCS#8, PKCS#1 or SEC1, or PKCS#8 encrypted with `passphrase`.
pub(super) fn private_key(
    text: &[u8],
    name: &str,
    passphrase: Option<&[u8]>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let name = || name.to_owned();
    if let Some(encrypted) = encrypted_section(text) {
        let passphrase = passphrase.ok_or_else(|| TlsError::PassphraseMissing { name: name() })?;
        return decrypt(encrypted, passphrase).ok_or_else(|| TlsError::PassphraseWrong { name: name() });
    }
    if memchr::memmem::find(text, LEGACY_ENCRYPTION).is_some() {
        return Err(TlsError::LegacyEncryption { name: name() });
    }
    for section in SliceIter::<(SectionKind, Vec<u8>)>::new(text) {
        let (kind, der) = section.map_err(|source| TlsError::Pem { name: name(), source })?;
        match kind {
            SectionKind::PrivateKey => return Ok(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => return Ok(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => return Ok(PrivateKeyDer::Sec1(der.into())),
            _ => {}
        }
    }
    Err(TlsError::NoKey { name: name() })
}

fn encrypted_section(text: &[u8]) -> Option<&str> {
    let start = memchr::memmem::find(text, ENCRYPTED_BEGIN)?;
    let length = memchr::memmem::find(&text[start..], ENCRYPTED_END)? + ENCRYPTED_END.len();
    std::str::from_utf8(&text[start..start + length]).ok()
}

fn decrypt(section: &str, passphrase: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let (_, document) = Document::from_pem(section).ok()?;
    let key = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).ok()?.decrypt(passphrase).ok()?;
    Some(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

// RFC 7468 §11
const ENCRYPTED_BEGIN: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &[u8] = b"-----END ENCRYPTED PRIVATE KEY-----";

// RFC 1421 §4.6.1.1
const LEGACY_ENCRYPTION: &[u8] = b"Proc-Type: 4,ENCRYPTED";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_usual_key_format_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let openssl = |arguments: &str| {
            let arguments = arguments.replace('@', &format!("{}/", directory.path().display()));
            let output = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl("genrsa -traditional -out @pkcs1 2048");
        openssl("ecparam -name prime256v1 -genkey -noout -out @sec1");
        openssl("pkcs8 -topk8 -nocrypt -in @sec1 -out @pkcs8");
        openssl(
            "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -passout pass:correct -in @sec1 -out @pbes2",
        );
        openssl("pkcs8 -topk8 -scrypt -passout pass:correct -in @pkcs1 -out @scrypt");
        openssl("rsa -aes128 -traditional -passout pass:correct -in @pkcs1 -out @legacy");

        let read = |name: &str, passphrase: Option<&[u8]>| {
            let text = std::fs::read(path(name)).unwrap();
            match private_key(&text, name, passphrase) {
                Ok(PrivateKeyDer::Pkcs1(_)) => "pkcs1".to_owned(),
                Ok(PrivateKeyDer::Sec1(_)) => "sec1".to_owned(),
                Ok(PrivateKeyDer::Pkcs8(_)) => "pkcs8".to_owned(),
                Ok(_) => "other".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        let check = |name: &str, passphrase: Option<&[u8]>, expected: &str| {
            let found = read(name, passphrase);
            assert!(found.contains(expected), "{name}: {found}");
        };
        check("pkcs1", None, "pkcs1");
        check("sec1", None, "sec1");
        check("pkcs8", None, "pkcs8");
        check("pbes2", Some(b"correct"), "pkcs8");
        check("scrypt", Some(b"correct"), "pkcs8");
        check("pbes2", Some(b"wrong"), "passphrase");
        check("pbes2", None, "client_key_passphrase_file");
        check("legacy", Some(b"correct"), "openssl pkcs8 -topk8");
    }

    #[test]
    fn a_text_without_what_is_wanted_names_itself() {
        assert!(certificates(b"hello", "`ca.pem`").unwrap_err().to_string().contains("`ca.pem`"));
        assert!(
            private_key(b"hello", "`client.key`", None).unwrap_err().to_string().contains("`client.key`")
        );
    }
}
