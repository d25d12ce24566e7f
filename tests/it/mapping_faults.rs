//! What is written in mapping files is what is in effect, whatever layers it came through.
//!
//! A mistake in a mapping is shown at its place, with what to do about it, and all mistakes at once.
//!
//! `tests/mapping/invalid/`: a file is a mapping, a directory holds layers; the text beside it is what is shown.

use std::fs;
use std::path::{Path, PathBuf};

use cefgate::mapping::diagnostic::{any_error, render};
use cefgate::mapping::layer::{Layer, Layers};
use cefgate::mapping::show::show;

#[test]
fn each_mistake_is_shown_as_its_text_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mapping/invalid");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_none_or(|extension| extension == "toml"));
    cases.sort();
    assert!(cases.len() >= 30, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let (diagnostics, sources) = match layers(&case).merge() {
            Ok(merged) => (merged.warnings, merged.sources),
            Err(rejected) => (rejected.diagnostics, rejected.sources),
        };
        let name = case.file_stem().unwrap().to_str().unwrap();
        assert_eq!(
            any_error(&diagnostics),
            name != "warnings_only",
            "{name}: {}",
            render(&diagnostics, &sources, false)
        );
        let shown = format!("{}\n", render(&diagnostics, &sources, false));
        let golden = case.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &shown).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            wrong.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 accepts these:\n\n{}", wrong.join("\n"));
}

#[test]
fn every_form_in_every_layer_is_shown_with_its_origin() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mapping/valid/layers");
    let merged = layers(&case)
        .merge()
        .unwrap_or_else(|rejected| panic!("{}", render(&rejected.diagnostics, &rejected.sources, false)));
    assert_eq!(render(&merged.warnings, &merged.sources, false), "");
    let shown: String = merged.mappings.iter().map(|mapping| show(mapping, &merged.sources)).collect();
    let golden = case.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &shown).unwrap();
    }
    assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), shown, "UPDATE_GOLDEN=1 accepts it");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_damage_to_a_file_makes_it_panic(
        which in 0..1000_usize,
        cuts in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..12_usize, "[\\PC\n]{0,6}"), 1..5),
    ) {
        let mut damaged = layers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mapping/valid/layers"));
        let index = which % damaged.files.len();
        let mut text = damaged.files[index].text.to_string();
        for (place, length, insert) in cuts {
            let start = text.floor_char_boundary(place.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        damaged.files[index].text = text.into();
        match damaged.merge() {
            Ok(merged) => merged.mappings.iter().for_each(|mapping| drop(show(mapping, &merged.sources))),
            Err(rejected) => drop(render(&rejected.diagnostics, &rejected.sources, true)),
        }
    }
}

fn layers(case: &Path) -> Layers {
    let mut layers = Layers::default();
    if case.is_file() {
        let name = case.file_name().unwrap().to_str().unwrap();
        layers.add(Layer::Embedded, name, &format!("mappings/{name}"), fs::read_to_string(case).unwrap());
        return layers;
    }
    for (layer, name, display) in [
        (Layer::Embedded, "embedded", "mappings"),
        (Layer::Profile, "profile", "mappings/profile/p"),
        (Layer::Site, "site", "/etc/cefgate/mappings.d"),
    ] {
        let directory = case.join(name);
        for path in glob::glob(&format!("{}/**/*.*", directory.display())).unwrap() {
            let path = path.unwrap();
            let inner = path.strip_prefix(&directory).unwrap().to_str().unwrap();
            layers.add(layer, inner, &format!("{display}/{inner}"), fs::read_to_string(&path).unwrap());
        }
    }
    layers
}
