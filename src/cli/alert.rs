//! `cefgate alert`: changes alerts in Defender.

use super::Global;
use super::update::{self, Update};
use crate::write_back::Object;

/// What to do with alerts.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Change status, classification, determination or owner of alerts, or add a comment.
    Update(Update),
}

/// Does it.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let Action::Update(update) = args.action;
    update::run(global, Object::Alert, update, None).await
}
