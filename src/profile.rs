//! Receiver profiles: who the events say they are from and how they look on the wire, and the mapping layers as they
//! lie on disk.
//!
//! A profile is a directory `profile/<name>/` of any mappings directory, later directories winning: `profile.toml`
//! read here, and patches beside it, which `mapping::layer` lays over the mappings.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::mapping::ast::{Sources, Span};
use crate::mapping::diagnostic::{BAD_VALUE, Diagnostic, render};
use crate::mapping::embedded;
use crate::mapping::layer::{Layer, Layers};
use crate::wire::Wire;

/// What a receiver wants.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this file's format.
    pub schema: Schema,
    /// Device vendor of the CEF or LEEF header, unless a mapping sets it.
    pub vendor: Identity<63>,
    /// Device product.
    pub product: Identity<63>,
    /// Device version.
    #[serde(default = "Profile::default_version")]
    pub version: Identity<31>,
    /// Wire settings that a destination may change.
    #[serde(default)]
    pub wire: Wire,
}

impl Profile {
    /// Reads the profile of that name: the site's, else the shipped one, else the embedded one.
    pub fn load(name: &str, directories: &Directories) -> Result<Self, ProfileError> {
        for directory in [&directories.site, &directories.shipped] {
            let path = directory.join("profile").join(name).join("profile.toml");
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&text, &path.display().to_string()),
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(ProfileError::Read { path, source }),
            }
        }
        match embedded::profile(name) {
            Some(text) => Self::parse(&text, &format!("mappings/profile/{name}/profile.toml")),
            None => {
                Err(ProfileError::Unknown { name: name.to_owned(), known: embedded::profiles().join("`, `") })
            }
        }
    }

    /// Reads a `profile.toml`; `display` is the name that faults show.
    pub fn parse(text: &str, display: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(|error| {
            let span = Span { file: 0, range: error.span().unwrap_or(0..0) };
            let sources = Sources { files: vec![(display.to_owned(), text.into())] };
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            ProfileError::Invalid {
                shown: render(&[Diagnostic::error(BAD_VALUE, &span, message)], &sources, false),
            }
        })
    }

    fn default_version() -> Identity<31> {
        Identity(embedded::PACK_VERSION.to_owned())
    }
}

/// Where mapping files lie beside the embedded ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// Installed with the package.
    pub shipped: PathBuf,
    /// The operator's own.
    pub site: PathBuf,
}

/// All mapping layers for one profile. A directory that does not exist holds no files.
pub fn layers(profile: &str, directories: &Directories) -> Result<Layers, ProfileError> {
    let mut layers = embedded::layers(profile);
    for (layer, directory) in [(Layer::Shipped, &directories.shipped), (Layer::Site, &directories.site)] {
        let mut paths = Vec::new();
        walk(directory, "", 0, &mut paths)?;
        for inner in paths {
            let Some((layer, relative)) = embedded::place(&inner, profile, layer) else { continue };
            let path = directory.join(&inner);
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ProfileError::Read { path: path.clone(), source })?;
            layers.add(layer, relative, &path.display().to_string(), text);
        }
    }
    Ok(layers)
}

/// Paths of all files below a directory, with `/`. Hidden files are editors' and package managers' leftovers.
fn walk(directory: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) -> Result<(), ProfileError> {
    let failed = |source| ProfileError::Read { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) && depth == 0 => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
        if name.starts_with('.') {
            continue;
        }
        let inner = format!("{prefix}{name}");
        // Follows links: configuration is often a directory of links.
        if entry.path().is_dir() {
            if depth < DEEPEST {
                walk(&entry.path(), &format!("{inner}/"), depth + 1, paths)?;
            }
        } else {
            paths.push(inner);
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Why there is no profile or no layers.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No directory holds it.
    #[error("there is no profile `{name}`; known are `{known}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The embedded ones.
        known: String,
    },
    /// It says something that cannot be; shown as mapping faults are.
    #[error("{shown}")]
    Invalid {
        /// File, line, caret and what is wrong.
        shown: String,
    },
    /// A file or directory that is there cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Version 1 of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Schema;

impl TryFrom<i64> for Schema {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        if number == 1 {
            Ok(Self)
        } else {
            Err(format!("schema {number} is not known: this program reads schema 1"))
        }
    }
}

/// A header field: 1 to `MAX` characters, no line breaks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Identity<const MAX: usize>(String);

impl<const MAX: usize> Identity<MAX> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Identity<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        if (1..=MAX).contains(&length) && !text.contains(char::is_control) {
            return Ok(Self(text));
        }
        Err(format!("this header field has 1 to {MAX} characters and no control characters, not {length}"))
    }
}

const DEEPEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Format, Framing};

    fn nowhere() -> Directories {
        Directories { shipped: "/nonexistent/shipped".into(), site: "/nonexistent/site".into() }
    }

    #[test]
    fn shipped_profiles_are_read() {
        let default = Profile::load("default", &nowhere()).unwrap();
        assert_eq!(
            (default.vendor.as_str(), default.product.as_str()),
            ("Microsoft", "Microsoft Defender XDR")
        );
        assert_eq!(default.version.as_str(), embedded::PACK_VERSION);
        assert_eq!(default.wire.framing, Some(Framing::Octet));
        let qradar = Profile::load("qradar", &nowhere()).unwrap();
        assert_eq!((qradar.wire.format, qradar.wire.framing), (Some(Format::Leef), Some(Framing::Lf)));
    }

    #[test]
    fn a_fault_in_a_profile_is_shown_like_one_in_a_mapping() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Profile::parse(text, "p.toml").unwrap_err().to_string(), expected);
        };
        check(
            "schema = 1\nvendor = \"\"\nproduct = \"p\"\n",
            "error[M006]: this header field has 1 to 63 characters and no control characters, not 0\n --> p.toml:2:10\n  |\n2 | vendor = \"\"\n  |          ^^",
        );
        check(
            "schema = 1\nvendor = \"v\"\nproduct = \"p\"\n[wire]\nframing = \"octets\"\n",
            "error[M006]: unknown variant `octets`, expected `octet` or `lf`\n --> p.toml:5:11\n  |\n5 | framing = \"octets\"\n  |           ^^^^^^^^",
        );
        let unknown = Profile::load("nosuch", &nowhere()).unwrap_err().to_string();
        assert!(unknown.starts_with("there is no profile `nosuch`; known are `"), "{unknown}");
    }

    #[test]
    fn a_site_directory_is_laid_over_the_embedded_files() {
        let site = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(site.path().join("profile/qradar")).unwrap();
        std::fs::write(site.path().join("50-mine.toml"), "a").unwrap();
        std::fs::write(site.path().join(".50-mine.toml.swp"), "b").unwrap();
        std::fs::write(site.path().join("profile/qradar/x.toml"), "c").unwrap();
        std::fs::write(
            site.path().join("profile/qradar/profile.toml"),
            "schema = 1\nvendor = 'V'\nproduct = 'P'",
        )
        .unwrap();
        let directories = Directories { site: site.path().to_owned(), ..nowhere() };
        let of_site = |profile: &str| {
            let files = layers(profile, &directories).unwrap().files;
            let mut paths: Vec<String> =
                files.into_iter().filter(|file| file.layer == Layer::Site).map(|file| file.path).collect();
            paths.sort();
            paths
        };
        assert_eq!(of_site("qradar"), ["50-mine.toml", "x.toml"]);
        assert_eq!(of_site("default"), ["50-mine.toml"]);
        assert_eq!(Profile::load("qradar", &directories).unwrap().vendor.as_str(), "V");
    }
}
