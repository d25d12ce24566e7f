//! Development certificates: one authority, one server and one client certificate, made on the spot.
//!
//! For `cefgate certs dev`, `cefgate demo` and tests. No private key is ever shipped, and nothing here is meant
//! for production: the authority's key lies beside the certificates it signed.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// An authority and the two certificates it signed.
#[derive(Clone, Debug)]
pub struct Development {
    /// Signs the other two; a receiver's `ca_file` and a destination's `ca_file` name its certificate.
    pub authority: Identity,
    /// For a receiver: `localhost`, `127.0.0.1`, `::1` and the names given.
    pub server: Identity,
    /// For a destination that must show who it is.
    pub client: Identity,
}

/// A certificate and its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// `BEGIN CERTIFICATE`
    pub certificate: String,
    /// `BEGIN PRIVATE KEY` (PKCS#8)
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why no certificates were made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A name that cannot stand in a certificate.
    #[error("make a certificate for {names:?}")]
    Make {
        /// The names asked for.
        names: Vec<String>,
        /// What the certificate library says.
        source: rcgen::Error,
    },
    /// A file that could not be written; an existing file is never replaced.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Development {
    /// Makes all three. `names` are further host names or addresses of the server.
    ///
    /// # Errors
    /// A name is neither a host name nor an address.
    pub fn new(names: &[String]) -> Result<Self, CertsError> {
        let mut server_names: Vec<String> = LOCAL_NAMES.iter().map(ToString::to_string).collect();
        server_names.extend(names.iter().filter(|name| !LOCAL_NAMES.contains(&name.as_str())).cloned());
        Self::make(&server_names).map_err(|source| CertsError::Make { names: server_names, source })
    }

    /// Writes `ca`, `server` and `client` as `.pem` and `.key` into `directory`, keys readable by the owner only.
    ///
    /// # Errors
    /// The directory cannot be made, or one of the files exists or cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, CertsError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| CertsError::Write { path: directory.to_path_buf(), source })?;
        let mut written = Vec::new();
        for (name, identity) in [("ca", &self.authority), ("server", &self.server), ("client", &self.client)]
        {
            for (extension, text, mode) in
                [("pem", &identity.certificate, 0o644), ("key", &identity.key, 0o600)]
            {
                let path = directory.join(name).with_extension(extension);
                create(&path, text, mode)
                    .map_err(|source| CertsError::Write { path: path.clone(), source })?;
                written.push(path);
            }
        }
        Ok(written)
    }

    fn make(server_names: &[String]) -> Result<Self, rcgen::Error> {
        let mut authority = params(&[], "cefgate development authority")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let leaf = |names: &[String], common_name: &str, purpose| {
            let mut params = params(names, common_name)?;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![purpose];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            Ok::<_, rcgen::Error>(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
        };
        let server = leaf(server_names, "cefgate development server", ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = leaf(
            &["client.cefgate.test".to_owned()],
            "cefgate development client",
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        let authority = Identity { certificate: authority.pem(), key: authority.key().serialize_pem() };
        Ok(Self { authority, server, client })
    }
}

fn params(names: &[String], common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let (year, month, day) = calendar(today.yesterday().unwrap_or(today));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = calendar(today.saturating_add(jiff::Span::new().days(VALID_DAYS)));
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(params)
}

fn calendar(date: jiff::civil::Date) -> (i32, u8, u8) {
    let part = |part: i8| u8::try_from(part).unwrap_or(1);
    (i32::from(date.year()), part(date.month()), part(date.day()))
}

fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Long enough for a trial, short enough that nobody builds on it.
const VALID_DAYS: i64 = 397;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_readable_by_the_owner_only_and_nothing_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Development::new(&["siem.example".to_owned()]).unwrap();
        let files = certificates.write(directory.path()).unwrap();
        assert_eq!(files.len(), 6);
        for file in files {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            let wanted = if file.extension().unwrap() == "key" { 0o600 } else { 0o644 };
            assert_eq!(mode, wanted, "{}", file.display());
        }
        let error = certificates.write(directory.path()).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_refused() {
        let error = Development::new(&["ümlaut".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("ümlaut"), "{error}");
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let certificates = Development::new(&[]).unwrap();
        assert!(!format!("{certificates:?}").contains("PRIVATE"));
    }
}
