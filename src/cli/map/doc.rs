//! `cefgate map doc`: the manual of the mappings as they are in effect.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::{Args as MapArgs, Loaded, load_profile};
use crate::mapping::embedded;
use crate::mapping::manual::{Edition, manual};
use crate::mapping::schema::Schema;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to write the pages into.
    #[arg(value_name = "DIRECTORY")]
    to: PathBuf,
}

/// Writes a page for each table, and an index.
pub fn run(args: &Args, map: &MapArgs) -> anyhow::Result<()> {
    let base = load_profile(map, &map.profile, &map.directory)?;
    let mut others = Vec::new();
    for profile in embedded::profiles().into_iter().filter(|profile| *profile != map.profile) {
        let Loaded { merged, .. } = load_profile(map, &profile, &map.directory)?;
        others.push((profile, merged));
    }
    let edition = |profile, mappings| Edition { profile, mappings };
    let others: Vec<Edition<'_>> =
        others.iter().map(|(profile, merged)| edition(profile.as_str(), &merged.mappings)).collect();
    let pages = manual(&edition(&map.profile, &base.merged.mappings), &others, Schema::embedded());
    fs::create_dir_all(&args.to).with_context(|| format!("create `{}`", args.to.display()))?;
    for (name, text) in pages {
        let path = args.to.join(name);
        fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}
