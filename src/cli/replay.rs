//! `cefgate replay`: sends a part of the spool to a destination once more, beside a running gateway or without one.

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Global, exit, moment};
use crate::config::Config;
use crate::gateway::{self, Planned};
use crate::mapping::set::MappingSet;
use crate::pipeline::{Pipeline, Settings};
use crate::replay::{Ending, Progress, Replay, Summary};
use crate::spool::{Cursor, ReadOnly, Seek, Spool};
use crate::telemetry;

/// Which records go where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The destination, by its name in the configuration.
    #[arg(long, short, value_name = "NAME")]
    destination: String,
    /// The first record: its number, a time it was spooled at or after, or a span before now (`2h ago`).
    #[arg(long, value_name = "TIME|NUMBER", value_parser = moment::place)]
    from: Seek,
    /// The record to stop before. Without it: where the destination is now.
    #[arg(long, value_name = "TIME|NUMBER", value_parser = moment::place)]
    to: Option<Seek>,
}

/// Replays. The destination's cursor stays where it is.
pub async fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    exit::known("destination", &args.destination, config.destinations.keys())?;
    let plan = gateway::plan(&config)?;
    let planned = plan.destinations.into_iter().find(|planned| planned.name == args.destination);
    let planned = planned.context("plan the destination")?;
    let spool = Spool::open_for_reading(&config.spool)?;
    let (from, to) = extent(&spool, args).await?;
    if from >= to {
        eprintln!("nothing to replay: no record lies from {} to before {}", from.0, to.0);
        return Ok(());
    }
    if from.0 == spool.oldest_sequence() && from.0 > 1 && args.from != Seek::Sequence(from.0) {
        eprintln!("the spool begins with record {}; what came before is no longer there", from.0);
    }
    let replay = open(&config, planned, spool, from, to)?;
    let bar = Bar::new(from, to);
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let summary = replay.run(&stop, |progress| bar.show(&progress)).await;
    bar.0.finish_and_clear();
    report(&args.destination, from, to, &summary?)
}

/// The records that are meant, as far as the spool has them.
async fn extent(spool: &ReadOnly, args: &Args) -> anyhow::Result<(Cursor, Cursor)> {
    let from = spool.locate(args.from).await?;
    let to = match args.to {
        Some(to) => spool.locate(to).await?,
        None => {
            let cursors = spool.cursors()?;
            let own = cursors.into_iter().find(|(name, _)| *name == args.destination);
            // Nothing was delivered to it yet: all of it is still to come.
            own.map_or(Cursor(spool.oldest_sequence()), |(_, cursor)| cursor)
        }
    };
    Ok((from, to.min(Cursor(spool.next_sequence()))))
}

/// Pipeline and connection as the gateway makes them, but for the dedupe.
fn open(
    config: &Config,
    planned: Planned,
    spool: ReadOnly,
    from: Cursor,
    to: Cursor,
) -> anyhow::Result<Replay> {
    let destination = config.destinations.get(&planned.name).context("find the destination")?;
    let mut mappings = planned.merged.mappings;
    mappings.iter_mut().for_each(|mapping| mapping.dedupe = None);
    let Settings { target, framer, message, stamp } = planned.settings;
    let set = MappingSet::compile(&mappings, target);
    Ok(Replay {
        spool,
        pipeline: Pipeline::new(set.into(), framer, message, stamp),
        sink: destination.sink.clone().open(&planned.name),
        from,
        to,
    })
}

/// A progress bar; it draws on a terminal only.
struct Bar(ProgressBar);

impl Bar {
    fn new(from: Cursor, to: Cursor) -> Self {
        let bar = ProgressBar::with_draw_target(Some(to.0 - from.0), ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self(bar.with_position(0).with_prefix(from.0.to_string()))
    }

    fn show(&self, progress: &Progress<'_>) {
        let first: u64 = self.0.prefix().parse().unwrap_or_default();
        match progress {
            Progress::Sent(end) => self.0.set_position(end.0.saturating_sub(first)),
            Progress::Interrupted(from, error, wait) => {
                self.0.set_position(from.0.saturating_sub(first));
                let wait = wait.as_secs_f32();
                let error = telemetry::chain(*error);
                let say = || eprintln!("{error}; sending again from record {} in {wait:.1} s", from.0);
                self.0.suspend(say);
            }
        }
    }
}

fn report(destination: &str, from: Cursor, to: Cursor, summary: &Summary) -> anyhow::Result<()> {
    let Summary { n_records, n_events, n_filtered, n_resent, confirmed, .. } = *summary;
    eprintln!(
        "records {} to {} to `{destination}`: {n_records} sent as {n_events} events, {n_filtered} filtered out, \
         {n_resent} sent again after a break",
        from.0,
        to.0 - 1
    );
    let missing = (to.0 - from.0).saturating_sub(n_records);
    match summary.ending {
        Ending::Stopped => anyhow::bail!(
            "stopped; all before record {} are received for certain: go on with `--from {}`",
            confirmed.0,
            confirmed.0
        ),
        Ending::NoReceipt => eprintln!(
            "this receiver gives no receipts: that it has read the records from {} on is likely, not certain",
            confirmed.0
        ),
        Ending::Complete => eprintln!("the receiver has read all of them"),
    }
    anyhow::ensure!(missing == 0, "{missing} records are damaged or no longer in the spool");
    Ok(())
}

const TEMPLATE: &str = "{bar:30} {human_pos} of {human_len} records, {per_sec}, {eta} left";
