//! `cefgate replay`: records that are still in the spool once more to one destination, beside a running process.
//!
//! It moves no cursor: the running process goes on where it is, and this one sends what was asked for on a connection of
//! its own. Deduplication is off, because a repetition is what is wanted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::Global;
use super::time::Moment;
use crate::gateway::{self, Planned};
use crate::mapping::set::MappingSet;
use crate::pipeline::{Frames, Pipeline};
use crate::record::Timestamp;
use crate::sink::SinkConfig;
use crate::spool::{Cursor, ReadOnly, Seek, Spool};

/// What to send again, and to whom.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The destination, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    destination: String,
    /// Where to begin: a sequence number, a time such as `2026-01-31T08:00:00Z`, a date, or `90m` ago.
    #[arg(long, value_name = "TIME|SEQUENCE", value_parser = from)]
    from: Seek,
}

fn from(text: &str) -> Result<Seek, String> {
    match text.parse::<u64>() {
        Ok(sequence) => Ok(Seek::Sequence(sequence)),
        Err(_) => text.parse().map(|moment: Moment| Seek::Time(moment.0)),
    }
}

/// Replays.
pub async fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let Some(destination) = config.destinations.get(&args.destination) else {
        let known: Vec<&str> = config.destinations.keys().map(String::as_str).collect();
        bail!("there is no destination `{}`; there is `{}`", args.destination, known.join("`, `"));
    };
    let plan = gateway::plan(&config)?;
    let planned = plan.destinations.into_iter().find(|planned| planned.name == args.destination);
    let planned = planned.context("plan the destination")?;
    let spool = Spool::open_for_reading(&config.spool).context("open the spool for reading")?;
    let start = spool.locate(args.from).await.context("find the place to begin")?;
    let end = Cursor(spool.next_sequence());
    if start >= end {
        eprintln!("nothing to send: the spool ends at record {}", end.0.saturating_sub(1));
        return Ok(());
    }
    eprintln!("records {} to {} to `{}`", start.0, end.0 - 1, args.destination);
    let confirmed = send(&spool, planned, destination.sink.clone(), start).await?;
    if confirmed < end {
        bail!(
            "the receiver confirmed up to record {} only; go on with `--from {}`",
            confirmed.0.saturating_sub(1),
            confirmed.0
        );
    }
    eprintln!("{} records sent and confirmed", end.0 - start.0);
    Ok(())
}

/// Sends from a place to the end. Gives how far the receiver has confirmed.
async fn send(spool: &ReadOnly, planned: Planned, sink: SinkConfig, start: Cursor) -> anyhow::Result<Cursor> {
    let mut reader = spool.reader(Seek::Sequence(start.0)).await.context("read the spool")?;
    let mut pipeline = pipeline(&planned);
    let mut sink = sink.open(&planned.name);
    let bar = progress(spool.next_sequence() - start.0);
    let mut frames = Frames::default();
    let mut confirmed = start;
    while let Some(chunk) = reader.next().await.context("read the spool")? {
        frames.clear();
        pipeline.encode(&chunk.records, Timestamp::now(), &mut frames);
        if let Err(error) = sink.send(chunk.end, &frames.bytes).await {
            confirmed = confirmed.max(sink.settled().unwrap_or(confirmed));
            let again = format!("send to `{}`; go on with `--from {}`", planned.name, confirmed.0);
            return Err(anyhow::Error::new(error).context(again));
        }
        confirmed = confirmed.max(sink.settled().unwrap_or(confirmed));
        bar.set_position(chunk.end.0 - start.0);
    }
    bar.finish_and_clear();
    if reader.skipped() > 0 {
        eprintln!("{} records are damaged or were removed meanwhile", reader.skipped());
    }
    Ok(confirmed.max(sink.finish(LAST_RECEIPT).await.unwrap_or(confirmed)))
}

fn pipeline(planned: &Planned) -> Pipeline {
    let mut mappings = planned.merged.mappings.clone();
    for mapping in &mut mappings {
        mapping.dedupe = None;
    }
    let settings = planned.settings.clone();
    let set = MappingSet::compile(&mappings, settings.target);
    Pipeline::new(Arc::new(set), settings.framer, settings.message, settings.stamp)
}

/// Shows itself on a terminal only.
fn progress(n_records: u64) -> ProgressBar {
    let bar = ProgressBar::new(n_records);
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// How long to wait for the receiver to end the connection.
const LAST_RECEIPT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_or_a_time() {
        assert_eq!(from("12"), Ok(Seek::Sequence(12)));
        assert_eq!(from("1970-01-02"), Ok(Seek::Time(Timestamp(86_400_000))));
        assert!(from("soon").is_err());
    }
}
