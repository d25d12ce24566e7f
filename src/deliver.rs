//! The loop of hop 2: spool → pipeline → sink → commit. One task a destination, and the only caller of `commit`.
//!
//! A chunk is mapped and sent as soon as it is read; the cursor follows when the sink has a receipt. When the
//! connection breaks, reading goes back to the last commit: what was sent since is sent again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::drift::Drift;
use crate::mapping::set::MappingSet;
use crate::pipeline::{Count, Frames, Pipeline};
use crate::record::{Name, Timestamp};
use crate::sink::tls_syslog::Confirm;
use crate::sink::{SendError, Sink};
use crate::spool::account::{Account, Outcome, Tally};
use crate::spool::{Chunk, Cursor, Reader, SpoolError};
use crate::telemetry;

/// Everything one destination needs.
pub struct Delivery {
    /// Its configured name.
    pub destination: Name,
    /// Its way out of the spool.
    pub reader: Reader,
    /// Its mappings.
    pub pipeline: Pipeline,
    /// Its connection.
    pub sink: Sink,
    /// What became of records, counted once they are confirmed.
    pub account: Account,
    /// Notes tables and columns that nobody knows.
    pub drift: Drift,
    /// New mappings, when they were reloaded.
    pub mappings: watch::Receiver<Arc<MappingSet>>,
    /// Stop now: what is confirmed stays confirmed, the rest is sent at the next start.
    pub stop: CancellationToken,
    /// All sources have ended: stop once everything in the spool is confirmed.
    pub drain: CancellationToken,
}

/// How the wait for the last receipt has ended.
enum Drained {
    /// There is nothing more to wait for.
    Ended,
    /// Without a receipt for everything.
    Resend,
    /// By an order to stop.
    Stopped,
}

enum Step {
    Chunk(Chunk),
    Receipt(Result<Cursor, SendError>),
    Mappings,
    Drain,
    Stop,
}

impl Delivery {
    /// Delivers until it is told to stop.
    ///
    /// # Errors
    /// The spool cannot be read, or the cursor cannot be written.
    pub async fn run(mut self) -> Result<(), SpoolError> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut frames = Frames::default();
        let mut pending: VecDeque<(Cursor, Tally)> = VecDeque::new();
        let mut sent = self.reader.cursor();
        loop {
            match self.step(sent).await? {
                Step::Stop => break,
                // Records may have come in while this step was waiting.
                Step::Drain if sent < self.reader.end() => {}
                Step::Drain => match self.drained(sent, &mut pending).await? {
                    Drained::Ended => return Ok(()),
                    Drained::Resend => sent = self.rewind(&mut pending),
                    Drained::Stopped => {}
                },
                Step::Mappings => {
                    let set = self.mappings.borrow_and_update().clone();
                    self.report();
                    self.pipeline.replace(set);
                }
                Step::Receipt(Ok(end)) => {
                    backoff.reset();
                    self.commit(end, &mut pending).await?;
                }
                Step::Receipt(Err(error)) => {
                    if !self.interrupted(&error, &mut backoff, &mut pending).await? {
                        break;
                    }
                    sent = self.reader.cursor();
                }
                Step::Chunk(chunk) => {
                    frames.clear();
                    self.drift.look(&chunk.records);
                    self.pipeline.encode(&chunk.records, Timestamp::now(), &mut frames);
                    pending.push_back((chunk.end, self.tally(&chunk, &frames)));
                    let result = tokio::select! {
                        result = self.sink.send(chunk.end, &frames.bytes) => result,
                        () = long_after(&self.stop) => break,
                    };
                    self.count(&frames);
                    match result {
                        Ok(()) => sent = chunk.end,
                        Err(error) => {
                            if !self.interrupted(&error, &mut backoff, &mut pending).await? {
                                break;
                            }
                            sent = self.reader.cursor();
                        }
                    }
                }
            }
        }
        if let Some(end) = self.sink.finish(STOP_BOUND).await {
            self.commit(end, &mut pending).await?;
        }
        self.report();
        Ok(())
    }

    async fn step(&mut self, sent: Cursor) -> Result<Step, SpoolError> {
        let all_sent = sent >= self.reader.end();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ok(Step::Stop),
            receipt = self.sink.confirmed() => Ok(Step::Receipt(receipt)),
            Ok(()) = self.mappings.changed() => Ok(Step::Mappings),
            chunk = self.reader.next() => Ok(Step::Chunk(chunk?)),
            () = self.drain.cancelled(), if all_sent => Ok(Step::Drain),
        }
    }

    /// Ends the connection to get the last receipt. How long that takes is up to the receiver, as long as it reads.
    async fn drained(
        &mut self,
        sent: Cursor,
        pending: &mut VecDeque<(Cursor, Tally)>,
    ) -> Result<Drained, SpoolError> {
        let receipt = tokio::select! {
            receipt = self.sink.finish(DRAIN_BOUND) => receipt,
            () = self.stop.cancelled() => return Ok(Drained::Stopped),
        };
        if let Some(end) = receipt {
            self.commit(end, pending).await?;
        }
        self.report();
        if self.reader.cursor() >= sent {
            return Ok(Drained::Ended);
        }
        let status = self.sink.status();
        if status.confirm != Confirm::Window.word() {
            return Ok(Drained::Resend);
        }
        // Sent again, it would be as unconfirmed as before.
        warn!(
            destination = %self.destination,
            n_records = sent.0 - self.reader.cursor().0,
            "everything is sent, but the receiver gives no receipt; the next start sends these records again"
        );
        Ok(Drained::Ended)
    }

    async fn commit(
        &mut self,
        end: Cursor,
        pending: &mut VecDeque<(Cursor, Tally)>,
    ) -> Result<(), SpoolError> {
        self.reader.commit(end).await?;
        while pending.front().is_some_and(|(last, _)| *last <= end) {
            if let Some((_, tally)) = pending.pop_front() {
                self.account.add(&self.destination, &tally);
            }
        }
        self.report();
        Ok(())
    }

    fn rewind(&mut self, pending: &mut VecDeque<(Cursor, Tally)>) -> Cursor {
        pending.clear();
        self.reader.rewind();
        self.reader.cursor()
    }

    /// Goes back to the last commit and waits before the next try; `false` when there is none.
    async fn interrupted(
        &mut self,
        error: &SendError,
        backoff: &mut Backoff,
        pending: &mut VecDeque<(Cursor, Tally)>,
    ) -> Result<bool, SpoolError> {
        if let Some(end) = self.sink.settled() {
            self.commit(end, pending).await?;
        }
        self.rewind(pending);
        counter!(telemetry::DELIVERY_INTERRUPTIONS, "destination" => self.destination.to_string())
            .increment(1);
        if !error.is_retryable() {
            warn!(destination = %self.destination, error = %telemetry::chain(error), "delivery ended");
            return Ok(false);
        }
        let wait = backoff.wait();
        warn!(destination = %self.destination, error = %telemetry::chain(error), retry_in = ?wait, "delivery interrupted; resending from the last commit");
        tokio::select! {
            () = self.stop.cancelled() => {
                info!(destination = %self.destination, "stopped while the receiver could not be reached");
                Ok(false)
            }
            () = tokio::time::sleep(wait) => Ok(true),
        }
    }

    /// What became of each record of a chunk, should all of it be confirmed.
    fn tally(&self, chunk: &Chunk, frames: &Frames) -> Tally {
        let mut tally = Tally::default();
        let mut filtered = frames.filtered.iter().peekable();
        let mut unparsed = frames.unparsed.iter().peekable();
        for (place, record) in chunk.records.iter().enumerate() {
            let by_rule = filtered.next_if(|filtered| filtered.place == place);
            let was_unparsed = unparsed.next_if(|unparsed| **unparsed == place).is_some();
            let outcome = match by_rule {
                Some(filtered) => Outcome::Filtered(self.pipeline.reason(filtered)),
                None if was_unparsed => Outcome::Unparsed,
                None => Outcome::Delivered,
            };
            tally.add(&record.source, &record.table, record.received, &outcome);
        }
        tally
    }

    fn count(&self, frames: &Frames) {
        let destination = || self.destination.clone();
        counter!(telemetry::EVENTS_SENT, "destination" => destination()).increment(frames.n_events as u64);
        counter!(telemetry::BYTES_SENT, "destination" => destination()).increment(frames.bytes.len() as u64);
        if !frames.unparsed.is_empty() {
            counter!(telemetry::MAPPING_UNPARSED, "destination" => destination())
                .increment(frames.unparsed.len() as u64);
        }
        // A rule that filters usually does so for many records in a row.
        let mut rest = frames.filtered.as_slice();
        while let Some(first) = rest.first() {
            let reason = self.pipeline.reason(first);
            let n_records =
                rest.iter().take_while(|filtered| self.pipeline.reason(filtered) == reason).count();
            counter!(telemetry::MAPPING_DROPPED, "destination" => destination(), "reason" => reason)
                .increment(n_records as u64);
            rest = rest.get(n_records..).unwrap_or_default();
        }
    }

    /// Hands what the mappings have counted to the metrics.
    fn report(&mut self) {
        let destination = self.destination.to_string();
        self.pipeline.take_counts(|mapping, key, count, n_records| {
            let labels = [("destination", destination.clone()), ("mapping", mapping.to_string())];
            match count {
                Count::Events => counter!(telemetry::MAPPING_EVENTS, &labels).increment(n_records),
                Count::Fault(kind) => {
                    counter!(telemetry::MAPPING_FIELD_ERRORS, "mapping" => mapping.to_string(), "key" => key.to_string(), "kind" => kind)
                        .increment(n_records);
                }
                Count::Cut => {
                    counter!(telemetry::MAPPING_TRUNCATED, "mapping" => mapping.to_string(), "key" => key.to_string())
                        .increment(n_records);
                }
                Count::Unmatched => {
                    let labels = [("destination", destination.clone()), ("table", key.to_string())];
                    counter!(telemetry::MAPPING_UNMATCHED, &labels).increment(n_records);
                }
                Count::Shed => {
                    counter!(telemetry::MAPPING_SHED, "mapping" => mapping.to_string(), "key" => key.to_string())
                        .increment(n_records);
                }
            }
        });
    }
}

/// Ready when the last write before a stop has had its time.
async fn long_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_WRITE).await;
}

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a stop waits for the last receipt: the rest is sent again at the next start.
const STOP_BOUND: Duration = Duration::from_secs(10);
/// How long before that a write may go on: given up half-way, it leaves half an event at the receiver.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// The sink gives up earlier by itself, when the receiver makes no progress.
const DRAIN_BOUND: Duration = Duration::from_hours(24);
