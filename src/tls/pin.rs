//! SHA-256 fingerprints of certificates, written as RFC 5425 §4.2.2 does: `sha-256:` and colon-separated hex.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// The SHA-256 of one DER certificate.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

impl Pin {
    /// The fingerprint of a DER certificate.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (algorithm, hex) = text.split_once(':').unwrap_or(("", &text));
        if algorithm.eq_ignore_ascii_case("sha-1") || algorithm.eq_ignore_ascii_case("sha1") {
            return Err(format!("`{text}`: SHA-1 fingerprints can be forged and are refused; {HOW}"));
        }
        if !algorithm.eq_ignore_ascii_case("sha-256") && !algorithm.eq_ignore_ascii_case("sha256") {
            return Err(format!("`{text}` does not begin with `sha-256:`; {HOW}"));
        }
        parse(hex).map(Self).ok_or_else(|| format!("`{text}` has not 32 hexadecimal bytes; {HOW}"))
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

fn parse(hex: &str) -> Option<[u8; 32]> {
    let mut digits = hex.chars().filter(|character| *character != ':');
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let value = digits.next()?.to_digit(16)? * 16 + digits.next()?.to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sha-256")?;
        self.0.iter().try_for_each(|byte| write!(out, ":{byte:02X}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

const HOW: &str = "`openssl x509 -noout -fingerprint -sha256 -in server.pem` prints the right one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written_and_sha_1_is_refused_with_the_reason() {
        let pin = Pin::of(b"certificate");
        let written = pin.to_string();
        assert_eq!(written.len(), "sha-256".len() + 32 * 3);
        let check = |text: &str, expected: Result<Pin, &str>| match (Pin::try_from(text.to_owned()), expected)
        {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        check(&written, Ok(pin));
        check(&written.to_lowercase(), Ok(pin));
        check(&written.replace("sha-256", "SHA256"), Ok(pin));
        check(&format!("sha-256:{}", written[8..].replace(':', "")), Ok(pin));
        check(&written[..written.len() - 1], Err("32 hexadecimal bytes"));
        check(&format!("{written}:00"), Err("32 hexadecimal bytes"));
        check("sha-1:AA:BB", Err("SHA-1 fingerprints can be forged"));
        check("md5:AA", Err("does not begin with `sha-256:`"));
        check("AABB", Err("does not begin with `sha-256:`"));
    }
}
