//! The mapping files compiled into the program, so that it runs with no files at all.

use std::borrow::Cow;

use rust_embed::RustEmbed;

use super::layer::{Layer, Layers};

/// Version of the mapping pack: it is released with the program.
pub const PACK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The embedded mappings, fragments and tables, with the patches of one profile.
#[must_use]
pub fn layers(profile: &str) -> Layers {
    let mut layers = Layers::default();
    for path in Files::iter() {
        let Some(text) = text(&path) else { continue };
        if let Some((layer, inner)) = place(&path, profile, Layer::Embedded) {
            layers.add(layer, inner, &format!("mappings/{path}"), text.as_ref());
        }
    }
    layers
}

/// Which layer a file of a mappings directory belongs to and its path there; `None` for files that are not read: other
/// profiles, the `profile.toml` itself, the schema, the categories, and whatever is neither TOML, CSV nor JSON.
#[must_use]
pub fn place<'p>(path: &'p str, profile: &str, directory: Layer) -> Option<(Layer, &'p str)> {
    if [SCHEMA, CATALOGUE].iter().any(|other| path.starts_with(other))
        || !READ.iter().any(|extension| path.ends_with(extension))
    {
        return None;
    }
    let Some(inner) = path.strip_prefix(PROFILES) else { return Some((directory, path)) };
    let inner = inner.strip_prefix(profile)?.strip_prefix('/')?;
    // An operator's addition to a profile is above the profile as it comes.
    let layer = if directory == Layer::Site { Layer::Site } else { Layer::Profile };
    (inner != "profile.toml").then_some((layer, inner))
}

/// The text of an embedded `profile.toml`.
#[must_use]
pub fn profile(name: &str) -> Option<Cow<'static, str>> {
    text(&format!("{PROFILES}{name}/profile.toml"))
}

/// The names of the embedded profiles.
#[must_use]
pub fn profiles() -> Vec<String> {
    let name = |path: Cow<'static, str>| {
        path.strip_prefix(PROFILES)?.strip_suffix("/profile.toml").map(ToOwned::to_owned)
    };
    Files::iter().filter_map(name).collect()
}

/// The texts of the schema: what columns Defender's tables have.
#[must_use]
pub fn schema() -> Vec<Cow<'static, str>> {
    Files::iter().filter(|path| path.starts_with(SCHEMA)).filter_map(|path| text(&path)).collect()
}

/// What receivers sort events by.
#[must_use]
pub fn categories() -> Cow<'static, str> {
    text(&format!("{CATALOGUE}categories.toml")).unwrap_or_default()
}

fn text(path: &str) -> Option<Cow<'static, str>> {
    match Files::get(path)?.data {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

#[derive(RustEmbed)]
#[folder = "mappings/"]
struct Files;

const PROFILES: &str = "profile/";
const SCHEMA: &str = "schema/";
const CATALOGUE: &str = "catalogue/";
const READ: [&str; 3] = [".toml", ".csv", ".json"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_mapping_merges_without_a_fault_under_every_profile() {
        let profiles = profiles();
        assert!(profiles.len() >= 2, "{profiles:?}");
        for profile in profiles {
            match layers(&profile).merge() {
                Ok(merged) => {
                    assert!(merged.mappings.len() >= 5, "{profile}: {}", merged.mappings.len());
                    let shown = super::super::diagnostic::render(&merged.warnings, &merged.sources, false);
                    assert_eq!(shown, "", "{profile}");
                }
                Err(rejected) => {
                    let shown =
                        super::super::diagnostic::render(&rejected.diagnostics, &rejected.sources, false);
                    panic!("{profile}:\n{shown}");
                }
            }
        }
    }

    #[test]
    fn only_the_chosen_profile_is_laid_over_the_mappings() {
        let check =
            |path, directory, expected| assert_eq!(place(path, "qradar", directory), expected, "{path}");
        check("mde_alert.toml", Layer::Shipped, Some((Layer::Shipped, "mde_alert.toml")));
        check("profile/qradar/alerts.toml", Layer::Shipped, Some((Layer::Profile, "alerts.toml")));
        check("profile/qradar/alerts.toml", Layer::Site, Some((Layer::Site, "alerts.toml")));
        check("profile/qradar2/alerts.toml", Layer::Shipped, None);
        check("profile/qradar/profile.toml", Layer::Embedded, None);
        check("README.md", Layer::Embedded, None);
    }
}
