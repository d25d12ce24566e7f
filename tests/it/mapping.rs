//! The shipped mappings keep their own promises.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use cefgate::cef;
use cefgate::event::{Format, Target};
use cefgate::mapping::diagnostic::render;
use cefgate::mapping::layer::{Layer, Layers};
use cefgate::mapping::trial;

fn target() -> Target {
    Target {
        destination: "siem".into(),
        format: Format::Cef(cef::Version::V0),
        identity: ["Microsoft", "Microsoft Defender XDR", "1"].map(str::to_owned),
        ipv6_inline: false,
        text_time: false,
        max_message_bytes: usize::MAX,
        secrets: HashMap::new(),
    }
}

fn add(layers: &mut Layers, root: &Path, folder: &Path) -> usize {
    let mut n_files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() && !name.starts_with("profile") {
            n_files += add(layers, root, &path);
        } else if name.ends_with(".toml") {
            layers.add(
                Layer::Embedded,
                &name,
                &format!("mappings/{name}"),
                fs::read_to_string(&path).unwrap(),
            );
            n_files += 1;
        }
    }
    n_files
}

#[test]
fn every_shipped_mapping_passes_its_own_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mut layers = Layers::default();
    assert!(add(&mut layers, &root, &root) >= 9);
    let merged = layers
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    let mut n_run = 0;
    let mut failures = merged.warnings.clone();
    for mapping in &merged.mappings {
        let report = trial::run(mapping, &target());
        n_run += report.n_run;
        failures.extend(report.failures);
    }
    assert!(failures.is_empty(), "{}", render(&failures, &merged.sources, false));
    assert!(n_run >= 20, "{n_run}");
}
