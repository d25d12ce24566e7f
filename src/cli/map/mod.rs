//! `cefgate map`: look at mappings, test them, and see what they make of a record. Needs no configuration.

mod catalogue;
mod check;
mod coverage;
mod diff;
mod doc;
mod explain;
mod list;
mod new;
mod samples;
mod schema;
mod table;
mod test;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::out;
use crate::event::Target;
use crate::gateway;
use crate::mapping::ast::{Mapping, Sources, Span};
use crate::mapping::diagnostic::{Diagnostic, line_and_column, render};
use crate::mapping::layer::{Layers, Merged};
use crate::mapping::show;
use crate::pipeline::Settings;
use crate::profile::{self, Directories, Profile};

/// Which mappings, and what to do with them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receiver profile whose patches apply.
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    profile: String,
    /// The site's own mapping files.
    #[arg(long, global = true, default_value = "/etc/cefgate/mappings.d", value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The mapping files a package ships.
    #[arg(long, global = true, default_value = "/usr/share/cefgate/mappings", value_name = "DIRECTORY")]
    shipped: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and check all mappings.
    Check {
        /// Warnings count as errors.
        #[arg(long)]
        strict: bool,
    },
    /// Run the tests that mappings carry with them.
    Test {
        /// Of this mapping only.
        id: Option<String>,
    },
    /// Show which columns and properties of Defender's tables are mapped, left out for a reason, or not named.
    Coverage(coverage::Args),
    /// List every class id that the mappings can give, with name and severity, or export them for a receiver.
    Catalogue(catalogue::Args),
    /// List the mappings: table, version, who changed them, and when their source ends.
    List,
    /// Write a first mapping file for a table, from its schema, from samples, and from what the other files do.
    New(new::Args),
    /// Print the JSON Schema of mapping files, for editors.
    Schema,
    /// Print one mapping as it is in effect, each line with the file it came from; without an id, list them.
    Show {
        /// The mapping.
        id: Option<String>,
    },
    /// Compare the events of records before and after a change of the site's files.
    Diff(diff::Args),
    /// Write the manual: a page a table, which column goes to which key.
    Doc(doc::Args),
    /// Show what becomes of records: each key, its value, and the file and line that gave it.
    Explain(explain::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let load = || load_from(args, &args.directory);
    match &args.command {
        Command::Check { strict } => check::run(&load()?.merged, *strict),
        Command::Catalogue(args) => {
            let Loaded { merged, target, .. } = load()?;
            catalogue::run(args, &merged, &target)
        }
        Command::Coverage(args) => coverage::run(args, &load()?.merged),
        Command::Diff(diff) => diff::run(diff, args),
        Command::Doc(doc) => doc::run(doc, args),
        Command::Explain(args) => {
            let Loaded { merged, target, .. } = load()?;
            explain::run(args, &merged, target)
        }
        Command::List | Command::Show { id: None } => list::run(&load()?.merged),
        Command::New(args) => new::run(args, &load()?.merged),
        Command::Schema => schema::run(),
        Command::Show { id: Some(id) } => {
            let Loaded { merged, .. } = load()?;
            out::print(&show::show(find(&merged, id)?, &merged.sources))
        }
        Command::Test { id } => test::run(&load()?, id.as_deref()),
    }
}

/// The mappings of all layers, for one receiver profile.
struct Loaded {
    layers: Layers,
    merged: Merged,
    target: Target,
}

fn load_from(args: &Args, site: &Path) -> anyhow::Result<Loaded> {
    load_profile(args, &args.profile, site)
}

fn load_profile(args: &Args, profile: &str, site: &Path) -> anyhow::Result<Loaded> {
    let directories = Directories { shipped: args.shipped.clone(), site: site.to_owned() };
    let layers = profile::layers(profile, &directories)?;
    let profile = Profile::load(profile, &directories)?;
    let merged = match layers.merge() {
        Ok(merged) => merged,
        Err(rejected) => {
            eprint(&rejected.diagnostics, &rejected.sources);
            bail!("the mappings have faults");
        }
    };
    let identity = [profile.vendor.as_str(), profile.product.as_str(), profile.version.as_str()];
    let identity = identity.map(str::to_owned);
    let settings = Settings::new("map".into(), identity, &profile.wire, &gateway::machine_name());
    Ok(Loaded { layers, merged, target: settings.target })
}

fn find<'m>(merged: &'m Merged, id: &str) -> anyhow::Result<&'m Mapping> {
    merged.mappings.iter().find(|mapping| mapping.id.value == id).with_context(|| {
        let known: Vec<&str> = merged.mappings.iter().map(|mapping| mapping.id.value.as_str()).collect();
        format!("there is no mapping `{id}`; there is `{}`", known.join("`, `"))
    })
}

/// The file and line of a piece of a mapping.
fn place(span: &Span, sources: &Sources) -> String {
    match sources.files.get(span.file) {
        Some((name, text)) => format!("{name}:{}", line_and_column(text, span.range.start).0),
        None => "built in".to_owned(),
    }
}

fn eprint(diagnostics: &[Diagnostic], sources: &Sources) {
    if !diagnostics.is_empty() {
        eprintln!("{}", render(diagnostics, sources, std::io::stderr().is_terminal()));
    }
}
