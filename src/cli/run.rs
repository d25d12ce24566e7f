//! `cefgate run`: from the configured sources to the configured destinations, until it is told to stop.

use anyhow::Context;

use super::Global;
use crate::gateway;
use crate::telemetry::{self, Metrics};

/// No options of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs.
pub async fn run(global: &Global, _args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    telemetry::start_logs(&config.log).context("start logging")?;
    let _metrics = Metrics::start(&config.metrics).context("start metrics")?;
    gateway::run(config).await
}
