//! The `file` source: files or standard input, one JSON object, array or wrapper a line.
//!
//! Files are followed as they grow and when they are renamed; each is a partition of its own. A JSON document
//! over several lines, such as a REST answer saved to disk, is taken as one message. Reading goes on while
//! batches are being stored: a few are on their way at a time, in order.

mod config;
mod files;
mod place;
mod stdin;
mod tail;

use metrics::gauge;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use self::config::{BatchSize, Config, PathPattern, RecordLimit, TableName};
use self::files::{Files, Step};
use super::SourceError;
use super::in_flight::InFlight;
use crate::source::resume;
use crate::spool::Intake;
use crate::telemetry;

/// Reads until told to stop, or until all is read where nothing is followed.
///
/// # Errors
/// The spool failed, or there is nothing to read and nothing to wait for.
pub async fn run(config: Config, intake: Intake, stop: CancellationToken) -> Result<(), SourceError> {
    if config.path == PathPattern::Stdin {
        return stdin::run(config, intake, stop).await;
    }
    let poll = config.poll;
    let positions = intake.partitions().into_iter().filter_map(|partition| {
        let position = intake.position(&partition)?;
        Some((partition, position))
    });
    let mut files = Files::new(config, positions.collect());
    let mut in_flight = InFlight::default();
    loop {
        let reading = spawn_blocking(move || {
            let step = files.step();
            (files, step)
        });
        let Some(read) = in_flight.beside(reading, &stop).await? else { return Ok(()) };
        let (returned, step) = read.unwrap_or_else(resume);
        files = returned;
        files.envelope().take_tally().count(intake.source());
        match step {
            Step::Batch(batch) => in_flight.push(intake.append(batch)),
            Step::Forget(partition) => {
                let intake = &intake;
                in_flight.push(async move { intake.forget(&partition).await });
            }
            Step::Idle => {
                let source = || intake.source().clone();
                gauge!(telemetry::SOURCE_LAG, "source" => source()).set(float(files.lag()));
                gauge!(telemetry::FILES_OPEN, "source" => source()).set(float(files.n_open() as u64));
                if in_flight.beside(tokio::time::sleep(poll), &stop).await?.is_none() {
                    return Ok(());
                }
            }
            Step::Done => {
                if !in_flight.below(1, &stop).await? {
                    return Ok(());
                }
                return if files.have_been_read() { Ok(()) } else { Err(SourceError::NothingToRead) };
            }
        }
        if !in_flight.below(MAX_IN_FLIGHT, &stop).await? {
            return Ok(());
        }
    }
}

/// For a gauge: exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

/// Batches on their way into the spool at a time, so that one sync stores several.
const MAX_IN_FLIGHT: usize = 4;

#[cfg(test)]
mod tests;
