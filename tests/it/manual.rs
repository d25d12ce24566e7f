//! What is written about the mappings is what the mappings do: coverage, manual, catalogue, schemas for editors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cefgate::config::schema::schema;
use cefgate::mapping::catalogue::{catalogue, category};
use cefgate::mapping::coverage::Coverage;
use cefgate::mapping::json_schema::json_schema;
use cefgate::mapping::manual::{Edition, manual};
use cefgate::mapping::schema::Schema;
use cefgate::mapping::set::GENERIC;
use serde_json::Value;

use crate::harness::shipped::{PROFILES, mappings, records, root, target};

#[test]
fn every_column_and_property_is_mapped_or_left_out_for_a_reason() {
    let merged = mappings("default", None);
    let all = Coverage::all(Schema::embedded(), &merged.mappings);
    let mut faults = Vec::new();
    for coverage in &all {
        faults.extend(coverage.unnamed().map(|name| format!("{}: {name} is not named", coverage.table)));
        let strangers = coverage.strangers.iter();
        faults
            .extend(strangers.map(|stranger| format!("{}: no schema has {}", coverage.table, stranger.name)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let n_properties: usize = all.iter().map(|coverage| coverage.totals().properties).sum();
    assert_eq!((all.len(), n_properties), (N_TABLES, N_PROPERTIES));
}

#[test]
fn the_manual_of_the_mappings_says_what_they_do() {
    let editions: Vec<_> = PROFILES.iter().map(|(profile, _)| (*profile, mappings(profile, None))).collect();
    let editions: Vec<Edition<'_>> =
        editions.iter().map(|(profile, merged)| Edition { profile, mappings: &merged.mappings }).collect();
    let pages = manual(&editions[0], &editions[1..], Schema::embedded());
    let folder = root().join("docs/mappings");
    if updates() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
    }
    for (name, text) in &pages {
        kept(&folder.join(name), text);
    }
    let there: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, pages.keys().cloned().collect());
}

#[test]
fn the_catalogue_has_every_class_id_and_receivers_know_what_to_make_of_it() {
    let merged = mappings("default", None);
    let entries = catalogue(&merged.mappings, Schema::embedded(), &target("default"));
    let without: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.mapping != GENERIC && category(&entry.class_id).is_none())
        .map(|entry| entry.class_id.as_str())
        .collect();
    assert!(without.is_empty(), "no categories: {without:?}");
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.class_id.as_str()).collect();
    assert!(known.len() >= 300, "{}", known.len());
    let tables: BTreeSet<String> =
        merged.mappings.iter().map(|mapping| mapping.matching.table.value.to_lowercase()).collect();
    for (table, path) in records() {
        if !tables.contains(&table.to_lowercase()) {
            continue;
        }
        let text = fs::read_to_string(path.with_file_name("default.txt")).unwrap();
        for event in text.lines().filter_map(|line| cefgate::cef::parse::parse(line).ok()) {
            // Values that no list can know, such as a new action, are in the records on purpose.
            let (kind, value) = event.class_id.split_once(':').unwrap_or((&event.class_id, ""));
            let listed = known.contains(event.class_id.as_str());
            let invented = entries.iter().any(|entry| entry.class_id.starts_with(kind)) && !value.is_empty();
            assert!(listed || invented, "{table}: {}", event.class_id);
        }
    }
}

#[test]
fn editors_get_schemas_that_take_what_the_program_takes_and_refuse_slips() {
    let (mapping, config) = (json_schema(), schema());
    kept(&root().join("docs/schema/mapping.json"), &pretty(&mapping));
    kept(&root().join("docs/schema/config.json"), &pretty(&config));
    let mapping = jsonschema::validator_for(&mapping).unwrap();
    let config = jsonschema::validator_for(&config).unwrap();
    let mut n_files = 0;
    for path in toml_files(&root().join("mappings")) {
        let inner = path.strip_prefix(root().join("mappings")).unwrap();
        let data = inner.starts_with("schema") || inner.starts_with("catalogue");
        if data || path.file_name().unwrap() == "profile.toml" {
            continue;
        }
        n_files += 1;
        takes(&mapping, &path);
    }
    assert!(n_files >= 60, "{n_files}");
    for path in toml_files(&root().join("deploy/examples")) {
        takes(&config, &path);
    }
    for slip in [
        "schema = 1\n[extension]\nscr = 'a'",
        "schema = 1\n[extension]\ncs1 = 'a'",
        "schema = 1\n[extension]\ndst = { frm = 'a' }",
        "schema = 2",
        "schema = 1\n[[rule]]\nwhen = 'a == 1'\naction = 'delete'\nreason = 'x'",
        "schema = 1\n[[overlay]]\n[overlay.extension]\ndst = 'a'",
    ] {
        assert!(!mapping.is_valid(&json(slip)), "{slip}");
    }
    for slip in ["[source.a.fil]\npath = 'x'", "[spool]\ndirectry = 'x'"] {
        assert!(!config.is_valid(&json(slip)), "{slip}");
    }
}

fn takes(schema: &jsonschema::Validator, path: &Path) {
    let value = json(&fs::read_to_string(path).unwrap());
    let faults: Vec<String> =
        schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{}: {}", path.display(), faults.join("\n"));
}

fn json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// Compares with the file that is checked in, or writes it.
pub fn kept(path: &Path, text: &str) {
    if updates() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "{} is not what the program writes: run with UPDATE_GOLDEN=1", path.display());
}

fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn pretty(value: &Value) -> String {
    // Sorted, so that the file does not change with the order of a struct's fields.
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<_, _> =
                    members.iter().map(|(name, value)| (name, sorted(value))).collect();
                serde_json::to_value(members).unwrap()
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n"
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(toml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found
}

/// So that a table or a part of the schema that is gone is noticed.
const N_TABLES: usize = 67;
const N_PROPERTIES: usize = 3231;
