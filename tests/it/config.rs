//! A configuration that is right loads, and one that is wrong says everything a person needs to repair it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cefgate::config::Config;

#[test]
fn a_right_configuration_loads() {
    let files = toml_files("tests/config/valid");
    assert!(files.len() >= 2, "only {} files found", files.len());
    for path in files {
        if let Err(faults) = Config::load(&path, []) {
            panic!("{faults}");
        }
    }
}

#[test]
fn the_examples_for_each_siem_load() {
    for path in toml_files("deploy/examples") {
        if let Err(faults) = Config::load(&path, []) {
            panic!("{faults}");
        }
    }
}

#[test]
fn a_wrong_configuration_names_every_fault() {
    let files = toml_files("tests/config/invalid");
    assert!(files.len() >= 8, "only {} files found", files.len());
    for path in files {
        let message = match Config::load(&path, []) {
            Ok(_) => panic!("{}: it loads", path.display()),
            Err(faults) => format!("error: {faults}\n"),
        };
        golden(&path.with_extension("txt"), &message);
    }
}

#[test]
fn a_check_reads_every_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let set_mode = |name, mode| fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::write(path("ca.pem"), "no certificate").unwrap();
    fs::write(path("client.key"), "no key").unwrap();
    set_mode("client.key", 0o644);
    fs::write(path("client.pass"), "secret").unwrap();
    set_mode("client.pass", 0o600);
    let file = path("cefgate.toml");
    let text = "[source.defender.file]\npath = '-'\n\n[destination.siem.tls_syslog]\naddress = 'siem.example:6514'\n\
                ca_file = 'DIR/ca.pem'\nclient_cert = 'DIR/client.pem'\nclient_key = 'DIR/client.key'\n\
                client_key_passphrase_file = 'DIR/client.pass'\n";
    fs::write(&file, text.replace("DIR", folder.path().to_str().unwrap())).unwrap();
    let config = Config::load(&file, []).unwrap();
    let faults = config.examine().unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "DIR");
    assert_eq!(
        faults,
        "the configuration has 3 faults\n  \
         DIR/cefgate.toml:6: `destination.siem.tls_syslog.ca_file`: ca_file `DIR/ca.pem` holds no `BEGIN CERTIFICATE`\n  \
         DIR/cefgate.toml:7: `destination.siem.tls_syslog.client_cert`: read client_cert `DIR/client.pem`: \
         No such file or directory (os error 2)\n  \
         DIR/cefgate.toml:8: `destination.siem.tls_syslog.client_key`: secret file `DIR/client.key` is open to others \
         (mode 0644); run `chmod 600 DIR/client.key`"
    );
}

#[test]
fn a_check_reads_the_files_of_the_door_for_siems() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let certificates = cefgate::certs::Development::new(&[]).unwrap();
    certificates.write(folder.path()).unwrap();
    fs::set_permissions(path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path("short"), "0123456789").unwrap();
    fs::set_permissions(path("short"), fs::Permissions::from_mode(0o600)).unwrap();
    let text = "[tenant.corp]\nid = 'corp.example'\nmanaged_identity = true\n[source.a.file]\npath = '-'\n\
                [destination.b.file]\npath = '-'\n[write_back]\nlisten = '127.0.0.1:8443'\ntenants = ['corp']\n\
                cert = 'DIR/server.pem'\nkey = 'DIR/server.key'\nclient_ca = 'DIR/none.pem'\n\
                [write_back.tokens]\nesm = { file = 'DIR/short' }\nqradar = { file = 'DIR/none' }\n";
    let directory = folder.path().to_str().unwrap();
    fs::write(path("cefgate.toml"), text.replace("DIR", directory)).unwrap();
    let config = Config::load(&path("cefgate.toml"), []).unwrap();
    let faults = config.examine().unwrap_err().to_string().replace(directory, "DIR");
    assert_eq!(
        faults,
        "the configuration has 4 faults\n  \
         DIR/cefgate.toml:12: `write_back.key`: secret file `DIR/server.key` is open to others (mode 0644); run \
         `chmod 600 DIR/server.key`\n  \
         DIR/cefgate.toml:13: `write_back.client_ca`: read `DIR/none.pem`: No such file or directory (os error 2)\n  \
         DIR/cefgate.toml:14: `write_back.tokens`: `esm` is shorter than 32 bytes: make one with `openssl rand -hex 32`\n  \
         DIR/cefgate.toml:14: `write_back.tokens`: `qradar`: read secret file `DIR/none`: No such file or directory \
         (os error 2)"
    );
}

#[test]
fn every_effective_value_is_shown_with_its_origin() {
    let environment =
        [("CEFGATE_DESTINATION__SIEM__TLS_SYSLOG__PIN", PIN), ("CEFGATE_SPOOL__MAX_BYTES", "1000")]
            .map(|(name, value)| (name.into(), value.into()));
    let config = Config::load(Path::new("tests/config/valid/minimal.toml"), environment).unwrap();
    golden(Path::new("tests/config/show.txt"), &config.show());
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let values = |config: &Config| -> Vec<String> {
        config.show().lines().map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect()
    };
    for path in toml_files("tests/config/valid") {
        let config = Config::load(&path, []).unwrap();
        let again = tempfile::NamedTempFile::new().unwrap();
        fs::write(again.path(), config.show()).unwrap();
        let reloaded =
            Config::load(again.path(), []).unwrap_or_else(|faults| panic!("{}: {faults}", path.display()));
        assert_eq!(values(&reloaded), values(&config), "{}", path.display());
    }
}

const PIN: &str =
    "sha-256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

/// Compares with the file, or writes it when `UPDATE_GOLDEN` is set.
fn golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{}: run with UPDATE_GOLDEN=1 and read the difference", path.display());
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    found
}
