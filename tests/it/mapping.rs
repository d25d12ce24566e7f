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

#[test]
fn qradar_gets_one_user_and_a_host_name_beside_its_address() {
    const MAPPING: &str = r#"
schema = 1
kind = "mapping"
id = "t"
version = "1.0.0"
[match]
table = "t"
[header]
class_id = { const = "t" }
name = { const = "t" }
severity = { const = 0 }
[extension]
suser = "source"
sntdom = "sourceDomain"
duser = "target"
dntdom = "targetDomain"
dvc = "address"
dvchost = "host"
[[test]]
name = "the source's user"
input = '{"source":"ann","target":"bob","targetDomain":"CORP","host":"pc1","address":"192.0.2.1"}'
expect.leef = { usrName = "ann", destinationUserName = "bob", sev = 1, resource = "pc1", identSrc = "192.0.2.1", identHostName = "pc1" }
[[test]]
name = "else the destination's"
input = '{"target":"bob","targetDomain":"CORP","host":"pc1"}'
expect.leef = { usrName = "bob", domain = "CORP", resource = "pc1" }
"#;
    let mut layers = Layers::default();
    layers.add(Layer::Embedded, "t.toml", "t.toml", MAPPING);
    let merged = layers
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    let report = trial::run(&merged.mappings[0], &target());
    assert_eq!(report.n_run, 2);
    assert!(report.failures.is_empty(), "{}", render(&report.failures, &merged.sources, false));
}
