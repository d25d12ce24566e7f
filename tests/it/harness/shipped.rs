//! The shipped mappings under a receiver profile, and the raw records that are kept with their events.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cefgate::event::Target;
use cefgate::mapping::diagnostic::render;
use cefgate::mapping::embedded::PACK_VERSION;
use cefgate::mapping::layer::{Layers, Merged};
use cefgate::mapping::set::MappingSet;
use cefgate::pipeline::{Frames, Pipeline, Settings};
use cefgate::profile::{self, Directories, Profile};
use cefgate::record::{Table, Timestamp};
use cefgate::wire::{CefVersion, Framing, Header, Wire};

use super::pipeline::record;

/// Every profile, and whether it writes CEF.
pub const PROFILES: [(&str, bool); 10] = [
    ("default", true),
    ("arcsight", true),
    ("elastic", true),
    ("legacy-mda", true),
    ("legacy-mde", true),
    ("legacy-mdi", true),
    ("qradar", false),
    ("qradar-cef", true),
    ("sentinel", true),
    ("splunk-sc4s", true),
];

/// A destination's settings with lines of bare events, so that a reader sees what a receiver's reader sees.
pub fn settings(profile: &str, cef_version: Option<CefVersion>) -> Settings {
    let loaded = Profile::load(profile, &directories(None)).unwrap();
    let wire =
        Wire { header: Some(Header::None), framing: Some(Framing::Lf), cef_version, ..Wire::default() };
    let wire = wire.over(loaded.wire.clone());
    // The pack's own version changes with every release, a profile's with what it imitates.
    let own = loaded.version.as_str() != PACK_VERSION;
    let version = if own { loaded.version.as_str() } else { "1.0.0" };
    let identity = [loaded.vendor.as_str(), loaded.product.as_str(), version].map(str::to_owned);
    Settings::new("siem".into(), identity, &wire, "gateway.example")
}

/// The mappings, without a fault or a warning.
pub fn mappings(profile: &str, site: Option<&Path>) -> Merged {
    let merged = profile::layers(profile, &directories(site))
        .unwrap()
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    assert!(merged.warnings.is_empty(), "{}", render(&merged.warnings, &merged.sources, false));
    merged
}

/// The layers of a profile as they are shipped.
pub fn layers(profile: &str) -> Layers {
    profile::layers(profile, &directories(None)).unwrap()
}

/// A pipeline of a profile, with a site's directory where there is one.
pub fn pipeline(profile: &str, site: Option<&Path>) -> Pipeline {
    with(settings(profile, None), &mappings(profile, site))
}

/// A pipeline of these mappings.
pub fn with(settings: Settings, merged: &Merged) -> Pipeline {
    let set = MappingSet::compile(&merged.mappings, settings.target.clone());
    Pipeline::new(Arc::new(set), settings.framer, settings.message, settings.stamp)
}

/// The events of one record.
pub fn lines(pipeline: &mut Pipeline, table: &str, body: &[u8]) -> Vec<String> {
    let body = body.strip_suffix(b"\n").unwrap_or(body).to_vec();
    let mut frames = Frames::default();
    pipeline.encode(&[record(1, &Table::new(table), body)], Timestamp(0), &mut frames);
    let text = String::from_utf8(frames.bytes).unwrap();
    text.split_terminator('\n').map(str::to_owned).collect()
}

/// Table and path of each raw record, by table and name.
pub fn records() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for table in fs::read_dir(root().join("tests/golden")).unwrap() {
        let table = table.unwrap().path();
        for file in fs::read_dir(&table).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push((table.file_name().unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

/// Table, name and body of each record that a mapping's own tests are made of.
pub fn records_of_tests(merged: &Merged) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    for mapping in &merged.mappings {
        for test in &mapping.tests {
            let table = test.table.as_ref().unwrap_or(&mapping.matching.table.value);
            let name = format!("{}: {}", mapping.id.value, test.name.value);
            found.push((table.clone(), name, test.input.value.clone().into_bytes()));
        }
    }
    found
}

/// What the target of a profile is.
pub fn target(profile: &str) -> Target {
    settings(profile, None).target
}

/// The folder of a table's raw records.
pub fn folder(table: &str) -> PathBuf {
    root().join("tests/golden").join(table)
}

/// The project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn directories(site: Option<&Path>) -> Directories {
    let nowhere = Path::new("/nonexistent");
    Directories { shipped: nowhere.into(), site: site.unwrap_or(nowhere).into() }
}
