//! The mapping files of the repository: they merge without a fault, and their own tests pass.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use cefgate::cef::Version;
use cefgate::event::{Format, Target};
use cefgate::mapping::diagnostic::render;
use cefgate::mapping::layer::{Layer, Layers, Merged};
use cefgate::mapping::trial;

#[test]
fn shipped_mappings_merge_without_a_fault_and_pass_their_own_tests() {
    let Merged { mappings, sources, warnings } = merged();
    assert!(warnings.is_empty(), "{}", render(&warnings, &sources, false));
    let target = Target {
        destination: "siem".into(),
        format: Format::Cef(Version::V0),
        identity: ["Microsoft", "Microsoft Defender XDR", "1.0.0"].map(str::to_owned),
        ipv6_inline: false,
        text_time: false,
        max_message_bytes: 65_536,
        secrets: HashMap::new(),
    };
    let mut n_run = 0;
    let mut failures = Vec::new();
    for mapping in &mappings {
        let report = trial::run(mapping, &target);
        n_run += report.n_run;
        failures.extend(report.failures);
    }
    assert!(failures.is_empty(), "{}", render(&failures, &sources, false));
    assert_eq!((mappings.len(), n_run), (5, 27));
}

fn merged() -> Merged {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mut layers = Layers::default();
    for path in files(&root) {
        let relative = path.strip_prefix(&root).unwrap().to_str().unwrap();
        if !relative.starts_with("profile/") {
            layers.add(Layer::Embedded, relative, &format!("mappings/{relative}"), fs::read_to_string(&path).unwrap());
        }
    }
    layers.merge().unwrap_or_else(|rejected| {
        panic!("{}", render(&rejected.diagnostics, &rejected.sources, false));
    })
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found.sort();
    found
}
