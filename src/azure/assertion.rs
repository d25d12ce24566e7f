//! The signed statement that stands in for a client secret: a JWT under the application's certificate.
//!
//! It is made anew for each request, because it lives for minutes and the files may have been replaced since.

use std::fmt::Display;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PSS_SHA256;
use aws_lc_rs::{digest, error::KeyRejected};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use serde_json::json;

use super::config::Certificate;
use super::token::TokenError;
use crate::telemetry;
use crate::tls::{read_certificates, read_private_key};

/// Signs a statement of `client` for the token endpoint `audience`, in seconds since 1970.
pub(super) fn sign(
    certificate: &Certificate,
    client: &str,
    audience: &str,
    now: u64,
) -> Result<String, TokenError> {
    let failed = |cause: String| TokenError::Credential { what: "use the certificate".to_owned(), cause };
    let chain =
        read_certificates("certificate.file", &certificate.file).map_err(|e| failed(telemetry::chain(&e)))?;
    let key =
        read_private_key("certificate.key", &certificate.key).map_err(|e| failed(telemetry::chain(&e)))?;
    let rejected = |_: KeyRejected| failed(not_rsa(certificate.key.display()));
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(rejected)?,
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).map_err(rejected)?,
        _ => return Err(failed(not_rsa(certificate.key.display()))),
    };
    let Some(first) = chain.first() else { return Err(failed("no certificate".to_owned())) };
    // RFC 7515 §4.1.8
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, first));
    if CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider()).is_err() {
        let (file, key) = (certificate.file.display(), certificate.key.display());
        return Err(failed(format!("the key `{key}` does not belong to the certificate `{file}`")));
    }
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    let claims = json!({
        "aud": audience, "iss": client, "sub": client, "jti": uuid::Uuid::new_v4().to_string(),
        "iat": now, "nbf": now, "exp": now + LIFETIME,
    });
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let mut statement = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), statement.as_bytes(), &mut signature)
        .map_err(|_| failed("sign with it".to_owned()))?;
    statement.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(&signature, &mut statement);
    Ok(statement)
}

fn not_rsa(path: impl Display) -> String {
    format!("`{path}` is not an RSA key of 2048 bits or more, which Microsoft Entra ID needs")
}

/// As Microsoft's own libraries: ten minutes.
const LIFETIME: u64 = 600;
