//! A value that must not be seen: where to read it, and a guard around it once read.
//!
//! A secret is never part of the configuration's text. It stands in a file only its owner may read, in a systemd
//! credential, or in an environment variable, and it is read again at every use, so that rotating it needs no restart.
//! This module does not decide which settings are secrets and does not encrypt anything.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a secret comes from. Written `{ file = "/path" }` or `{ credential = "name" }`; text only in the environment.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file that only its owner may read.
    File(PathBuf),
    /// A systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The text itself, as the environment gives it.
    Text(SecretText),
}

impl Secret {
    /// The name under which a deserializer is told that a secret is wanted; it may then refuse plain text.
    pub const MARKER: &'static str = "cefgate::Secret";

    /// Reads the secret. One line end at the end of a file is not part of it.
    pub fn read(&self) -> Result<SecretText, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => read_file(path, Trust::Owner),
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| SecretError::NoCredentials { name: name.clone() })?;
                read_file(&Path::new(&directory).join(name), Trust::Systemd)
            }
        }
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let place = |name: &str, description: &str| {
            schemars::json_schema!({
                "type": "object",
                "properties": { name: { "type": "string", "description": description } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        let file = place("file", "A file that only its owner may read.");
        let credential = place("credential", "A systemd credential, by its name.");
        schemars::json_schema!({
            "description": "Where a secret is read from, at every use. Its text never stands in this file.",
            "oneOf": [file, credential],
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "(secret in file {})", path.display()),
            Self::Credential(name) => write!(out, "(secret in credential {name})"),
            Self::Text(text) => fmt::Display::fmt(text, out),
        }
    }
}

/// The text of a secret. It shows itself as `(secret)` and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Vec<u8>);

impl SecretText {
    /// Guards a text.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }

    /// The bytes. The name is long on purpose: each use is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, when it is UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the writes above: without a later use they could be removed as dead.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// Why a secret could not be had. No variant holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("read secret file `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("secret file `{}` is open to others (mode {mode:04o}); run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds nothing.
    #[error("secret file `{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The process was started without credentials.
    #[error(
        "credential `{name}` is configured, but systemd passed no credentials (add `LoadCredential={name}:…`)"
    )]
    NoCredentials {
        /// The name asked for.
        name: String,
    },
}

/// Checks that nobody but the owner may read a file that holds a private key or a secret.
pub fn check_permissions(path: &Path) -> Result<(), SecretError> {
    examine(path, Trust::Owner)
}

/// Whose word on permissions is taken.
#[derive(Clone, Copy)]
enum Trust {
    Owner,
    /// systemd gives the service user access with an ACL, which shows as group bits of a root-owned file.
    Systemd,
}

fn read_file(path: &Path, trust: Trust) -> Result<SecretText, SecretError> {
    examine(path, trust)?;
    let mut bytes = fs::read(path)
        .map(SecretText)
        .map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    if bytes.0.last() == Some(&b'\n') {
        bytes.0.pop();
        if bytes.0.last() == Some(&b'\r') {
            bytes.0.pop();
        }
    }
    if bytes.0.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(bytes)
}

fn examine(path: &Path, trust: Trust) -> Result<(), SecretError> {
    let metadata =
        fs::metadata(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    let refused = match trust {
        Trust::Owner => OTHERS,
        Trust::Systemd if metadata.uid() == 0 => WORLD,
        Trust::Systemd => OTHERS,
    };
    if metadata.mode() & refused != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Self::MARKER, SecretVisitor)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a secret: `{ file = \"/path\" }` or `{ credential = \"name\" }`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Secret, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        if text.is_empty() {
            return Err(E::custom("an empty text is not a secret"));
        }
        Ok(Secret::Text(SecretText::new(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut secret = None;
        while let Some(key) = map.next_key::<String>()? {
            let next = match key.as_str() {
                "file" => Secret::File(map.next_value()?),
                "credential" => Secret::Credential(map.next_value::<CredentialName>()?.0),
                _ => return Err(de::Error::unknown_field(&key, &["file", "credential"])),
            };
            if secret.replace(next).is_some() {
                return Err(de::Error::custom(
                    "a secret comes from `file` or from `credential`, not from both",
                ));
            }
        }
        secret.ok_or_else(|| de::Error::custom("a secret needs `file` or `credential`"))
    }
}

/// A plain file name, so that a credential cannot point outside its directory.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct CredentialName(String);

impl TryFrom<String> for CredentialName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(format!("`{name}` is not the name of a credential"));
        }
        Ok(Self(name))
    }
}

const OTHERS: u32 = 0o077;
const WORLD: u32 = 0o007;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::Text(SecretText::new("hunter2"));
        for shown in [format!("{secret:?} {secret}"), serde_json::to_string(&secret).unwrap()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        for (text, expected) in [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), ("abc", "abc")] {
            let file = file(text, 0o600);
            assert_eq!(
                Secret::File(file.path().to_owned()).read().unwrap().expose_text(),
                Some(expected),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_file_others_may_read_is_refused() {
        for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false)]
        {
            let file = file("abc", mode);
            assert_eq!(Secret::File(file.path().to_owned()).read().is_ok(), accepted, "{mode:o}");
        }
    }

    #[test]
    fn an_empty_or_missing_file_says_so_without_a_secret() {
        let empty = file("\n", 0o600);
        assert!(matches!(Secret::File(empty.path().into()).read(), Err(SecretError::Empty { .. })));
        let missing = Secret::File("/nonexistent/secret".into()).read().unwrap_err();
        assert_eq!(missing.to_string(), "read secret file `/nonexistent/secret`");
    }

    #[test]
    fn a_secret_is_written_as_file_or_credential_and_not_both() {
        let read = |text| serde_json::from_str::<Secret>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"file":"/a"}"#), Ok(Secret::File("/a".into())));
        assert_eq!(read(r#"{"credential":"a"}"#), Ok(Secret::Credential("a".into())));
        for wrong in
            [r#"{}"#, r#"{"file":"/a","credential":"b"}"#, r#"{"credential":"../b"}"#, r#"{"path":"b"}"#, "3"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
