//! The configuration: file and environment in, the modules' own `Config` structs out, or every fault at once.
//!
//! `tree` lays the environment over the file and remembers places · `reading` is the serde deserializer over it ·
//! `section` reads one struct with all its faults · `fault` prints them · `compose` says which section is which struct ·
//! `examine` reads the files that are named · `show` prints the outcome · `schema` is for editors. What a setting means is written where it is used, in each module's `Config`.

mod compose;
mod examine;
pub mod fault;
mod reading;
pub mod schema;
mod section;
mod show;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use self::fault::{Fault, Faults, Place};

use self::tree::Tree;
use crate::azure;
use crate::network;
use crate::secret::Secret;
use crate::sink;
use crate::source;
use crate::spool;
use crate::telemetry::{LogConfig, MetricsConfig};
use crate::wire::Wire;
use crate::write_back::endpoint;

/// Everything an operator decides.
#[derive(Debug)]
pub struct Config {
    /// `[spool]`
    pub spool: spool::Config,
    /// `[mapping]`
    pub mapping: MappingConfig,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[network]`
    pub network: network::Config,
    /// `[write_back]`
    pub write_back: endpoint::Config,
    /// `[tenant.<name>]`
    pub tenants: IndexMap<String, azure::Config>,
    /// `[source.<name>.<kind>]`, at least one.
    pub sources: IndexMap<String, source::SourceConfig>,
    /// `[destination.<name>]`, at least one.
    pub destinations: IndexMap<String, Destination>,
    tree: Tree,
}

/// Where mapping files are looked for, besides those inside the program.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingConfig {
    /// The site's own files; they are laid over all others. It need not exist.
    #[serde(default = "MappingConfig::default_site")]
    pub directory: PathBuf,
    /// The files a package ships, newer perhaps than those inside the program. It need not exist.
    #[serde(default = "MappingConfig::default_shipped")]
    pub shipped: PathBuf,
    /// `[mapping.secrets]`: the keys of the `hmac` transform, by the name mappings call them.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
}

impl MappingConfig {
    fn default_site() -> PathBuf {
        "/etc/cefgate/mappings.d".into()
    }

    fn default_shipped() -> PathBuf {
        "/usr/share/cefgate/mappings".into()
    }
}

/// One receiver: what it is sent and how.
#[derive(Debug)]
pub struct Destination {
    /// The receiver profile: header identity, wire settings and mapping patches.
    pub profile: String,
    /// How events look, where it differs from the profile.
    pub wire: Wire,
    /// How they travel.
    pub sink: sink::SinkConfig,
}

impl Config {
    /// Read when neither `--config` nor `CEFGATE_CONFIG` names another.
    pub const DEFAULT_FILE: &'static str = "/etc/cefgate/cefgate.toml";

    /// Loads the file, laid over by the environment. The default file may be absent when the environment has settings.
    pub fn load(
        file: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let environment = settings(environment, &mut faults);
        let text = match fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && file == Path::new(Self::DEFAULT_FILE)
                    && !environment.is_empty() =>
            {
                None
            }
            Err(error) => {
                let message = match error.kind() {
                    io::ErrorKind::NotFound => {
                        "there is no such file; name one with `--config FILE`".to_owned()
                    }
                    io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
                    _ => format!("read the configuration file: {error}"),
                };
                faults.push(Fault { place: Place::File(file.to_owned(), 0), key: String::new(), message });
                return Err(faults);
            }
        };
        match Tree::read(text.as_deref().map(|text| (file, text)), environment) {
            Err(found) => {
                found.into_iter().for_each(|fault| faults.push(fault));
                Err(faults.sorted())
            }
            Ok(tree) => match compose::compose(tree, &mut faults) {
                Some(config) if faults.is_empty() => Ok(config),
                _ => Err(faults.sorted()),
            },
        }
    }

    /// Reads the files the configuration names, as a start does: certificates, keys, secrets.
    pub fn examine(&self) -> Result<(), Faults> {
        let faults = examine::examine(self, &self.tree).sorted();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Every effective value with where it came from, in the form of a configuration file. Secrets are masked.
    #[must_use]
    pub fn show(&self) -> String {
        show::show(&self.tree, &compose::sections(self))
    }
}

/// The variables of this program. A value that is not UTF-8 is a fault.
fn settings(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Faults,
) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        if !name.starts_with("CEFGATE_") {
            continue;
        }
        match value.into_string() {
            Ok(value) => settings.push((name, value)),
            Err(_) => faults.push(Fault {
                place: Place::Environment(name),
                key: String::new(),
                message: "the value is not UTF-8 text".to_owned(),
            }),
        }
    }
    settings
}
