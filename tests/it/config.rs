//! A configuration that is right loads, and one that is wrong says everything a person needs to repair it.

use std::fs;
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
