//! Sends a part of the spool once more: for mappings that were repaired and receivers that lost something.
//!
//! It reads the spool from beside the process that owns it and leaves every cursor and the account alone. What
//! breaks on the way is sent again from the last receipt.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::pipeline::{Frames, Pipeline};
use crate::record::Timestamp;
use crate::sink::{SendError, Sink};
use crate::spool::{Cursor, ReadOnly, Seek, SpoolError};

/// What to send and where.
pub struct Replay {
    /// The records.
    pub spool: ReadOnly,
    /// The destination's mappings, without its dedupe: here repeating is the purpose.
    pub pipeline: Pipeline,
    /// A connection of its own.
    pub sink: Sink,
    /// The first record.
    pub from: Cursor,
    /// The record after the last one.
    pub to: Cursor,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// All before this record is received for certain.
    pub confirmed: Cursor,
    /// Records sent, each counted once; the others are damaged or no longer in the spool.
    pub n_records: u64,
    /// Events written, resent ones included.
    pub n_events: u64,
    /// Records that a rule has filtered out.
    pub n_filtered: u64,
    /// Records sent again after a break.
    pub n_resent: u64,
}

/// How a replay ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything is received for certain.
    Complete,
    /// Everything was sent, but this receiver gives no receipts.
    NoReceipt,
    /// It was told to stop.
    Stopped,
}

/// What is told on the way.
#[derive(Clone, Debug)]
pub enum Progress<'e> {
    /// All before this record is written.
    Sent(Cursor),
    /// The connection broke; after a wait it goes on from this record.
    Interrupted(Cursor, &'e SendError, Duration),
}

/// Why a replay did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The spool cannot be read.
    #[error("read the spool")]
    Spool(#[from] SpoolError),
    /// The receiver was not reached, or broke off again and again.
    #[error("send records; all before record {} are received for certain", confirmed.0)]
    GaveUp {
        /// Where to go on.
        confirmed: Cursor,
        /// The last of several errors.
        source: SendError,
    },
}

enum Attempt {
    Done(Ending),
    Failed(SendError),
}

impl Replay {
    /// Sends until everything is received, until told to stop, or until no try succeeds any more.
    ///
    /// # Errors
    /// The spool cannot be read, or the receiver not be reached.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        mut tell: impl FnMut(Progress<'_>),
    ) -> Result<Summary, ReplayError> {
        let mut summary = Summary {
            ending: Ending::Complete,
            confirmed: self.from,
            n_records: 0,
            n_events: 0,
            n_filtered: 0,
            n_resent: 0,
        };
        let mut furthest = self.from;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut tries = 0;
        while summary.confirmed < self.to {
            let before = summary.confirmed;
            let attempt = tokio::select! {
                biased;
                () = stop.cancelled() => Attempt::Done(Ending::Stopped),
                attempt = self.attempt(&mut summary, &mut furthest, &mut tell) => attempt?,
            };
            let error = match attempt {
                Attempt::Done(ending) => {
                    summary.ending = ending;
                    break;
                }
                Attempt::Failed(error) => error,
            };
            if summary.confirmed > before {
                tries = 0;
                backoff.reset();
            }
            tries += 1;
            if tries == MOST_TRIES || !error.is_retryable() {
                return Err(ReplayError::GaveUp { confirmed: summary.confirmed, source: error });
            }
            let wait = backoff.wait();
            tell(Progress::Interrupted(summary.confirmed, &error, wait));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        if summary.ending == Ending::Stopped
            && let Some(end) = self.sink.finish(STOP_BOUND).await
        {
            summary.confirmed = summary.confirmed.max(end);
        }
        Ok(summary)
    }

    /// Sends everything from the last receipt on.
    async fn attempt(
        &mut self,
        summary: &mut Summary,
        furthest: &mut Cursor,
        tell: &mut impl FnMut(Progress<'_>),
    ) -> Result<Attempt, SpoolError> {
        let mut reader = self.spool.reader(Seek::Sequence(summary.confirmed.0)).await?;
        let mut frames = Frames::default();
        let mut sent = Cursor(0);
        while sent < self.to
            && let Some(mut chunk) = reader.next().await?
        {
            chunk.records.retain(|record| record.sequence < self.to.0);
            sent = chunk.end.min(self.to);
            frames.clear();
            self.pipeline.encode(&chunk.records, Timestamp::now(), &mut frames);
            let result = self.sink.send(sent, &frames.bytes).await;
            summary.confirmed = summary.confirmed.max(self.sink.settled().unwrap_or_default());
            if let Err(error) = result {
                return Ok(Attempt::Failed(error));
            }
            summary.n_events += frames.n_events as u64;
            let n_resent = chunk.records.iter().filter(|record| record.sequence < furthest.0).count();
            summary.n_resent += n_resent as u64;
            summary.n_records += (chunk.records.len() - n_resent) as u64;
            let is_new =
                |place: usize| chunk.records.get(place).is_some_and(|record| record.sequence >= furthest.0);
            summary.n_filtered +=
                frames.filtered.iter().filter(|filtered| is_new(filtered.place)).count() as u64;
            *furthest = sent.max(*furthest);
            tell(Progress::Sent(sent));
        }
        Ok(self.last_receipt(summary, sent).await)
    }

    async fn last_receipt(&mut self, summary: &mut Summary, sent: Cursor) -> Attempt {
        let end = self.sink.finish(RECEIPT_BOUND).await;
        summary.confirmed = summary.confirmed.max(end.unwrap_or_default());
        if summary.confirmed >= sent {
            // What may lie behind the last readable record is damaged: there is nothing more to send.
            summary.confirmed = self.to;
            return Attempt::Done(Ending::Complete);
        }
        let status = self.sink.status();
        if status.confirm == NO_RECEIPTS {
            return Attempt::Done(Ending::NoReceipt);
        }
        tokio::select! {
            biased;
            Err(error) = self.sink.confirmed() => Attempt::Failed(error),
            () = std::future::ready(()) => Attempt::Failed(SendError::Timeout {
                address: status.connected.unwrap_or_else(|| "the receiver".to_owned()),
                during: "waiting for its last receipt",
                after: RECEIPT_BOUND,
            }),
        }
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Tries in a row without a receipt. A person waits for the answer, unlike with `run`.
const MOST_TRIES: u32 = 5;
/// Longer than a receiver needs to read what lies in its buffers.
const RECEIPT_BOUND: Duration = Duration::from_secs(30);
const STOP_BOUND: Duration = Duration::from_secs(5);
/// [`crate::sink::Status::confirm`] where the end of a connection tells nothing.
const NO_RECEIPTS: &str = "window";
