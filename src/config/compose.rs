//! Which section of the file is read by which module, and what must hold between sections.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::{Faults, nearest};
use super::section::{fault, read, read_flattened, read_only, read_rest};
use super::show::Shown;
use super::tree::{Tree, Value};
use super::{Config, Destination};
use crate::profile::{Directories, Profile};
use crate::sink;
use crate::source;
use crate::write_back::endpoint;

/// Reads every section. `None` when one of them could not be read; `faults` then says why.
pub fn compose(tree: Tree, faults: &mut Faults) -> Option<Config> {
    unknown_sections(&tree, faults);
    let spool = read(&tree, &["spool"], faults);
    let mapping = read(&tree, &["mapping"], faults);
    let metrics = read(&tree, &["metrics"], faults);
    let log = read(&tree, &["log"], faults);
    let network = read(&tree, &["network"], faults);
    let write_back = read_write_back(&tree, faults);
    let tenants = each(&tree, "tenant", faults, |tree, name, faults| read(tree, &["tenant", name], faults));
    let sources = named(&tree, "source", faults, read_source);
    let destinations = named(&tree, "destination", faults, read_destination);
    Some(Config {
        spool: spool?,
        mapping: mapping?,
        metrics: metrics?,
        log: log?,
        network: network?,
        write_back: write_back?,
        tenants: tenants.into_iter().collect(),
        sources: sources.into_iter().collect(),
        destinations: destinations.into_iter().collect(),
        tree,
    })
}

/// Each section of a loaded configuration with its values, defaults included.
pub fn sections(config: &Config) -> Vec<Shown<'_>> {
    let own = |path: Vec<_>, values| Shown { path, values, below: None };
    let mut sections = vec![
        own(vec!["spool"], values(&config.spool)),
        own(vec!["mapping"], values(&config.mapping)),
        own(vec!["metrics"], values(&config.metrics)),
        own(vec!["log"], values(&config.log)),
        own(vec!["network"], values(&config.network)),
        own(vec!["write_back"], values(&config.write_back)),
    ];
    for (name, tenant) in &config.tenants {
        sections.push(own(vec!["tenant", name], values(tenant)));
    }
    for (name, source) in &config.sources {
        let (kind, values) = match source {
            source::SourceConfig::AdvancedHunting(hunting) => ("advanced_hunting", values(hunting)),
            source::SourceConfig::BlobStorage(storage) => ("blob_storage", values(storage)),
            source::SourceConfig::DefenderApi(api) => ("defender_api", values(api)),
            source::SourceConfig::EventHubs(hubs) => ("event_hubs", values(hubs)),
            source::SourceConfig::File(file) => ("file", values(file)),
        };
        sections.push(own(vec!["source", name, kind], values));
    }
    let directories =
        Directories { shipped: config.mapping.shipped.clone(), site: config.mapping.directory.clone() };
    for (name, destination) in &config.destinations {
        let mut settings = values(&Settings { profile: ProfileName(destination.profile.clone()) });
        if let (Some(settings), serde_json::Value::Object(wire)) =
            (settings.as_object_mut(), values(&destination.wire))
        {
            settings.extend(wire);
        }
        // A profile that cannot be read is a fault of `check`; here it is only not shown.
        let below = Profile::load(&destination.profile, &directories)
            .ok()
            .map(|profile| (format!("profile {}", destination.profile), values(&profile.wire)));
        sections.push(Shown { path: vec!["destination", name], values: settings, below });
        let (kind, values) = match &destination.sink {
            sink::SinkConfig::TlsSyslog(tls_syslog) => ("tls_syslog", values(tls_syslog)),
            sink::SinkConfig::File(file) => ("file", values(file)),
        };
        sections.push(own(vec!["destination", name, kind], values));
    }
    sections
}

fn values(section: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(section).unwrap_or_default()
}

/// The settings of a destination that are not about its frames.
#[derive(Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The receiver profile.
    #[serde(default)]
    profile: ProfileName,
}

/// The name of a folder of profiles.
#[derive(Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
struct ProfileName(String);

impl Default for ProfileName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl TryFrom<String> for ProfileName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !name.is_empty() && name.bytes().all(plain) {
            return Ok(Self(name));
        }
        Err(format!("`{name}` is not the name of a profile, such as `default` or `qradar`"))
    }
}

fn read_source(tree: &Tree, name: &str, faults: &mut Faults) -> Option<source::SourceConfig> {
    let path = ["source", name];
    unknown_keys(tree, &path, SOURCE_KINDS, faults);
    match one_kind(tree, &path, SOURCE_KINDS, faults)? {
        "advanced_hunting" => {
            let path = ["source", name, "advanced_hunting"];
            let config: source::advanced_hunting::Config = read(tree, &path, faults)?;
            tenant_exists(tree, &path, Some(&config.tenant), faults);
            sharing(tree, &path, config.checkpoints.as_ref(), config.contradictions(), faults);
            Some(source::SourceConfig::AdvancedHunting(Box::new(config)))
        }
        "blob_storage" => {
            let path = ["source", name, "blob_storage"];
            let config: source::blob_storage::Config = read(tree, &path, faults)?;
            if let Err(message) = config.access().opens_with() {
                faults.push(fault(tree, &path, &[], message));
            }
            tenant_exists(tree, &path, config.tenant.as_deref(), faults);
            sharing(tree, &path, config.checkpoints.as_ref(), config.contradictions(), faults);
            Some(source::SourceConfig::BlobStorage(Box::new(config)))
        }
        "defender_api" => {
            let path = ["source", name, "defender_api"];
            let config: source::defender_api::Config = read(tree, &path, faults)?;
            tenant_exists(tree, &path, Some(&config.tenant), faults);
            sharing(tree, &path, config.checkpoints.as_ref(), config.contradictions(), faults);
            Some(source::SourceConfig::DefenderApi(Box::new(config)))
        }
        "event_hubs" => {
            let path = ["source", name, "event_hubs"];
            let config: source::event_hubs::Config = read(tree, &path, faults)?;
            if let Err(message) = config.opens_with() {
                faults.push(fault(tree, &path, &[], message));
            }
            tenant_exists(tree, &path, config.tenant.as_deref(), faults);
            sharing(tree, &path, config.checkpoints.as_ref(), config.contradictions(), faults);
            Some(source::SourceConfig::EventHubs(Box::new(config)))
        }
        "file" => read(tree, &["source", name, "file"], faults).map(source::SourceConfig::File),
        _ => None,
    }
}

fn read_write_back(tree: &Tree, faults: &mut Faults) -> Option<endpoint::Config> {
    let path = ["write_back"];
    let config: endpoint::Config = read(tree, &path, faults)?;
    for (key, message) in config.missing() {
        faults.push(fault(tree, &path, &[key.to_owned()], message.to_owned()));
    }
    config.tenants.iter().for_each(|tenant| tenant_exists_at(tree, &path, "tenants", tenant, faults));
    Some(config)
}

/// What is wrong with the way a source is shared.
fn sharing(
    tree: &Tree,
    path: &[&str],
    checkpoints: Option<&source::shared::Config>,
    contradictions: Vec<(Vec<String>, String)>,
    faults: &mut Faults,
) {
    for (key, message) in contradictions {
        faults.push(fault(tree, path, &key, message));
    }
    if let Some(checkpoints) = checkpoints {
        let path: Vec<&str> = path.iter().copied().chain(["checkpoints"]).collect();
        tenant_exists(tree, &path, checkpoints.tenant.as_deref(), faults);
    }
}

/// A source that names a tenant names one there is.
fn tenant_exists(tree: &Tree, path: &[&str], tenant: Option<&str>, faults: &mut Faults) {
    if let Some(tenant) = tenant {
        tenant_exists_at(tree, path, "tenant", tenant, faults);
    }
}

fn tenant_exists_at(tree: &Tree, path: &[&str], key: &str, tenant: &str, faults: &mut Faults) {
    let known = tree.node(&["tenant"]).and_then(|node| node.table());
    let mut names = known.into_iter().flat_map(|table| table.keys());
    if names.clone().any(|name| name == tenant) {
        return;
    }
    let help = match nearest(tenant, names.clone().map(String::as_str)) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if names.next().is_none() => ": add it".to_owned(),
        None => String::new(),
    };
    faults.push(fault(tree, path, &[key.to_owned()], format!("there is no `[tenant.{tenant}]`{help}")));
}

fn read_destination(tree: &Tree, name: &str, faults: &mut Faults) -> Option<Destination> {
    let path = ["destination", name];
    let settings = read_only(tree, &path, &["profile"], faults);
    let elsewhere: Vec<&str> = SINK_KINDS.iter().copied().chain(["profile"]).collect();
    let wire = read_rest(tree, &path, &elsewhere, faults);
    let sink = match one_kind(tree, &path, SINK_KINDS, faults)? {
        "tls_syslog" => {
            let path = ["destination", name, "tls_syslog"];
            let place = |config: &mut sink::tls_syslog::Config, tls| config.tls = tls;
            read_flattened(tree, &path, faults, place).map(sink::SinkConfig::TlsSyslog)
        }
        "file" => read(tree, &["destination", name, "file"], faults).map(sink::SinkConfig::File),
        _ => None,
    };
    let Settings { profile } = settings?;
    Some(Destination { profile: profile.0, wire: wire?, sink: sink? })
}

/// Reads each table of a section under its own name. None at all is a fault.
fn named<T>(
    tree: &Tree,
    section: &'static str,
    faults: &mut Faults,
    read: impl Fn(&Tree, &str, &mut Faults) -> Option<T>,
) -> BTreeMap<String, T> {
    if tree.node(&[section]).is_none_or(|node| node.table().is_some_and(|table| table.is_empty())) {
        let message = format!("nothing is configured: add `[{section}.<name>.<kind>]`");
        faults.push(fault(tree, &[section], &[], message));
    }
    each(tree, section, faults, read)
}

/// Reads each table of a section under its own name.
fn each<T>(
    tree: &Tree,
    section: &'static str,
    faults: &mut Faults,
    read: impl Fn(&Tree, &str, &mut Faults) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    let Some(node) = tree.node(&[section]) else { return found };
    let Some(table) = node.table() else {
        faults.push(fault(tree, &[section], &[], format!("expected tables `[{section}.<name>…]`")));
        return found;
    };
    for (name, node) in table {
        if !is_name(name) {
            let message = "a name consists of lower-case letters, digits and `_`".to_owned();
            faults.push(fault(tree, &[section], std::slice::from_ref(name), message));
        } else if !matches!(node.value, Value::Table(_)) {
            let message = format!("expected a table `[{section}.{name}…]`");
            faults.push(fault(tree, &[section], std::slice::from_ref(name), message));
        } else if let Some(value) = read(tree, name, faults) {
            found.insert(name.clone(), value);
        }
    }
    found
}

/// The one kind among the keys of a table.
fn one_kind(tree: &Tree, path: &[&str], kinds: &[&'static str], faults: &mut Faults) -> Option<&'static str> {
    let table = tree.node(path)?.table()?;
    let present: Vec<&'static str> = kinds.iter().copied().filter(|kind| table.contains_key(*kind)).collect();
    let header = path.join(".");
    match present[..] {
        [kind] => Some(kind),
        [] => {
            let misspelt = table.keys().any(|key| nearest(key, kinds.iter().copied()).is_some());
            if !misspelt {
                let choice: Vec<_> = kinds.iter().map(|kind| format!("`[{header}.{kind}]`")).collect();
                let message = format!("its kind is missing: add {}", choice.join(" or "));
                faults.push(fault(tree, path, &[], message));
            }
            None
        }
        _ => {
            let message = format!("it has several kinds, `{}`: keep one", present.join("` and `"));
            faults.push(fault(tree, path, &[], message));
            None
        }
    }
}

fn unknown_keys(tree: &Tree, path: &[&str], known: &[&'static str], faults: &mut Faults) {
    let Some(table) = tree.node(path).and_then(|node| node.table()) else { return };
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let message = match nearest(key, known.iter().copied()) {
            Some(word) => format!("unknown kind; did you mean `{word}`?"),
            None => format!("unknown kind; known: `{}`", known.join("`, `")),
        };
        faults.push(fault(tree, path, std::slice::from_ref(key), message));
    }
}

fn unknown_sections(tree: &Tree, faults: &mut Faults) {
    let Some(table) = tree.root.table() else { return };
    for key in table.keys().filter(|key| !SECTIONS.contains(&key.as_str())) {
        let message = match nearest(key, SECTIONS.iter().copied()) {
            Some(word) => format!("unknown section; did you mean `{word}`?"),
            None => format!("unknown section; known: `{}`", SECTIONS.join("`, `")),
        };
        faults.push(fault(tree, &[], std::slice::from_ref(key), message));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

const SECTIONS: &[&str] =
    &["destination", "log", "mapping", "metrics", "network", "source", "spool", "tenant", "write_back"];
/// The kinds of source; one arm each in `read_source` and `sections`.
const SOURCE_KINDS: &[&str] = &["advanced_hunting", "blob_storage", "defender_api", "event_hubs", "file"];
/// The kinds of sink; one arm each in `read_destination` and `sections`.
const SINK_KINDS: &[&str] = &["tls_syslog", "file"];
