//! Reads every file the configuration names, so that a start finds all that is wrong with them at once.
//!
//! They are read again when they are used; what changes in between is found then.

use std::path::Path;

use super::Config;
use super::fault::Faults;
use super::section::fault;
use super::tree::Tree;
use crate::azure;
use crate::network::Network;
use crate::secret;
use crate::sink::SinkConfig;
use crate::telemetry;
use crate::tls::{self, Connector, Pin};

/// Adds a fault for each file that is not what it should be.
pub fn examine(config: &Config, tree: &Tree) -> Faults {
    let mut faults = Faults::default();
    tenants(config, tree, &mut faults);
    for (key, message) in config.write_back.examine() {
        faults.push(fault(tree, &["write_back"], &[key.to_owned()], message));
    }
    for (name, destination) in &config.destinations {
        match &destination.sink {
            SinkConfig::TlsSyslog(config) if !config.insecure_plain_tcp => {
                tls_files(tree, &["destination", name, "tls_syslog"], &config.tls, &mut faults);
            }
            SinkConfig::TlsSyslog(_) | SinkConfig::File(_) => {}
        }
    }
    faults
}

/// The way out is looked at only when there is a tenant to ask for.
fn tenants(config: &Config, tree: &Tree, faults: &mut Faults) {
    if !config.tenants.is_empty()
        && let Err(error) = Network::new(&config.network)
    {
        faults.push(fault(tree, &["network"], &[], telemetry::chain(&error)));
    }
    for (name, tenant) in &config.tenants {
        if let Err((key, error)) = azure::check(tenant) {
            faults.push(fault(tree, &["tenant", name], &[key.to_owned()], error.to_string()));
        }
    }
}

fn tls_files(tree: &Tree, section: &[&str], config: &tls::Config, faults: &mut Faults) {
    let trust = tls::Config {
        client_cert: None,
        client_key: None,
        client_key_passphrase_file: None,
        ..config.clone()
    };
    // With a pin no authority is needed: what is then wrong is wrong with this side's own files.
    let identity = tls::Config { ca_file: None, pin: vec![Pin::of(&[])], ..config.clone() };
    for part in [trust, identity] {
        if let Err(error) = Connector::new(&part) {
            let message = telemetry::chain(&error);
            // The error tells the key in its text; the fault shows it in front, where the line is.
            let key = FILE_KEYS.iter().filter_map(|key| Some((mention(&message, key)?, *key))).min();
            let key: Vec<String> = key.map(|(_, key)| key.to_owned()).into_iter().collect();
            faults.push(fault(tree, section, &key, message));
        }
    }
    for (key, path) in [
        ("client_key", &config.client_key),
        ("client_key_passphrase_file", &config.client_key_passphrase_file),
    ] {
        if let Some(path) = path {
            secrecy(tree, section, key, path, faults);
        }
    }
}

fn secrecy(tree: &Tree, section: &[&str], key: &str, path: &Path, faults: &mut Faults) {
    match secret::check_permissions(path) {
        // That it cannot be read was found before.
        Ok(()) | Err(secret::SecretError::Unreadable { .. }) => {}
        Err(error) => faults.push(fault(tree, section, &[key.to_owned()], error.to_string())),
    }
}

/// Where a text names a key as a whole word.
fn mention(text: &str, key: &str) -> Option<usize> {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(key)
        .find(|(at, _)| !text[..*at].ends_with(inside) && !text[at + key.len()..].starts_with(inside))
        .map(|(at, _)| at)
}

const FILE_KEYS: &[&str] = &["ca_file", "client_cert", "client_key", "client_key_passphrase_file"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_mentioned_as_a_whole_word_only() {
        for (text, expected) in [
            ("read client_key `/x`", Some(5)),
            ("`client_key`", Some(1)),
            ("client_key_passphrase_file `/x`", None),
            ("client_key_x and client_key", Some(17)),
        ] {
            assert_eq!(mention(text, "client_key"), expected, "{text}");
        }
    }
}
