//! `cefgate incident`: changes incidents in Defender.

use super::Global;
use super::update::{self, Update};
use crate::write_back::Object;

/// What to do with incidents.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Change status, classification, determination, owner or tags of incidents, or add a comment.
    Update(WithTags),
}

#[derive(Debug, clap::Args)]
struct WithTags {
    #[command(flatten)]
    update: Update,
    /// A tag; several make a list, which takes the place of the tags there are.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Option<Vec<String>>,
}

/// Does it.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let Action::Update(WithTags { update, tags }) = args.action;
    update::run(global, Object::Incident, update, tags).await
}
