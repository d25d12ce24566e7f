//! One partition while it is held: takes over what others have read, lets the source read on, and writes how far.
//!
//! A checkpoint is written over the version that was seen. When another has written, the claim is looked at first, so
//! that one who has lost the partition and does not know it yet never sets it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claims::limited;
use super::config::{Config, Moment};
use super::store::Store;
use super::{Checkpoint, Work};
use crate::azure::storage::StorageError;
use crate::backoff::Backoff;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A partition to be held.
pub struct Holding<W> {
    pub config: Arc<Config>,
    pub store: Store,
    pub work: W,
    pub intake: Intake,
    pub id: String,
    pub epoch: u32,
    pub stop: CancellationToken,
    pub lease: watch::Receiver<Lease>,
    /// Asks for a look at the claims.
    pub look: Arc<Notify>,
}

/// How a claim stands.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// It was good at this time.
    pub renewed: Instant,
    /// Another instance has the partition.
    pub lost: bool,
}

impl<W: Work> Holding<W> {
    /// Reads the partition until told to stop or until there is no more of it.
    ///
    /// # Errors
    /// The spool failed.
    pub async fn hold(self) -> Result<(), SpoolError> {
        let Some(mut keeper) = self.taken_over().await? else { return Ok(()) };
        let done = CancellationToken::new();
        let reading = async {
            let result = self.work.read(self.id.clone(), self.epoch, self.stop.clone()).await;
            done.cancel();
            result
        };
        tokio::join!(self.leave_in_time(&done), reading, keeper.keep(&done)).1
    }

    /// Stops reading before another may begin, where no service sees to it.
    async fn leave_in_time(&self, done: &CancellationToken) {
        if W::CUTS_OFF {
            return;
        }
        let longest = self.config.lease * 3 / 4;
        loop {
            let left = longest.saturating_sub(self.lease.borrow().renewed.elapsed());
            if left.is_zero() {
                warn!(source = %self.intake.source(), group = self.store.group(), partition = self.id,
                    "the claim could not be renewed; leaving the partition before its lease ends");
                return self.stop.cancel();
            }
            tokio::select! {
                () = done.cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// What others have read is durable here, and where reading begins stands in the checkpoint: another instance could
    /// begin at another place and leave a gap. `None` when told to stop before.
    async fn taken_over(&self) -> Result<Option<Keeper<'_, W>>, SpoolError> {
        let mut backoff = Backoff::default();
        loop {
            let Some(stored) = self.checkpoint().await else { return Ok(None) };
            let mut keeper =
                Keeper { holding: self, etag: None, written: None, waiting: VecDeque::new(), doubted: None };
            if let Some((etag, checkpoint)) = stored {
                self.work.adopt(&self.id, checkpoint.clone()).await?;
                (keeper.etag, keeper.written) = (Some(etag), Some(checkpoint));
                return Ok(Some(keeper));
            }
            let was_read = self.work.checkpoint(&self.id).is_some();
            self.work.begin(&self.id, &self.stop).await?;
            let Some(first) = self.work.checkpoint(&self.id) else { return Ok(Some(keeper)) };
            // What was read may not be delivered. Whoever else begins, begins no later.
            if was_read && self.config.checkpoint == Moment::Delivered && !self.work.begins_now() {
                return Ok(Some(keeper));
            }
            let wait = match keeper.write(first).await {
                Ok(()) if keeper.written.is_some() => return Ok(Some(keeper)),
                // Another was first: that is to be taken over.
                Ok(()) => backoff.wait(),
                Err(error) => self.refused(&error, &mut backoff),
            };
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What stands there, with its version. The outer `None` when told to stop before it could be had.
    async fn checkpoint(&self) -> Option<Option<(String, Checkpoint)>> {
        let mut backoff = Backoff::default();
        loop {
            let read = tokio::select! {
                () = self.stop.cancelled() => return None,
                read = limited(self.store.read(&self.id)) => read,
            };
            let wait = match read {
                Ok(stored) => {
                    return Some(stored.map(|whole| {
                        (whole.etag, Checkpoint { metadata: whole.metadata, body: whole.body })
                    }));
                }
                Err(error) => self.refused(&error, &mut backoff),
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Says what is wrong and how long to wait.
    fn refused(&self, error: &StorageError, backoff: &mut Backoff) -> Duration {
        let wait = backoff.wait();
        let source = self.intake.source();
        warn!(source = %source, group = self.store.group(), partition = self.id, error = telemetry::chain(error), retry_in = ?wait, "checkpoint");
        counter!(telemetry::SOURCE_ERRORS, "source" => source.clone()).increment(1);
        wait
    }
}

/// Keeps the checkpoint of a partition.
struct Keeper<'h, W> {
    holding: &'h Holding<W>,
    /// The version of the blob; `None` when there is none.
    etag: Option<String>,
    written: Option<Checkpoint>,
    /// What is durable here but not delivered, with the number of the record behind it.
    waiting: VecDeque<(u64, Checkpoint)>,
    /// Since when the claim is in doubt: another has written the checkpoint.
    doubted: Option<Instant>,
}

impl<W: Work> Keeper<'_, W> {
    /// Writes what is new now and then until `done`, and then once more.
    async fn keep(&mut self, done: &CancellationToken) {
        let mut backoff = Backoff::default();
        let mut wait = PAUSE;
        loop {
            tokio::select! {
                () = done.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.step().await {
                Ok(()) => {
                    backoff.reset();
                    PAUSE
                }
                Err(error) => self.holding.refused(&error, &mut backoff),
            };
        }
        if !self.holding.lease.borrow().lost
            && let Ok(Err(error)) = tokio::time::timeout(LAST, self.step()).await
        {
            self.holding.refused(&error, &mut backoff);
        }
    }

    async fn step(&mut self) -> Result<(), StorageError> {
        match self.due().filter(|due| Some(due) != self.written.as_ref()) {
            Some(checkpoint) => self.write(checkpoint).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, checkpoint: Checkpoint) -> Result<(), StorageError> {
        let holding = self.holding;
        if let Some(since) = self.doubted {
            let lease = *holding.lease.borrow();
            if lease.lost || lease.renewed <= since {
                return Ok(());
            }
            self.etag = limited(holding.store.read(&holding.id)).await?.map(|whole| whole.etag);
            self.doubted = None;
        }
        match limited(holding.store.write(&holding.id, &checkpoint, self.etag.as_deref())).await? {
            Some(version) => {
                self.etag = Some(version.etag);
                self.written = Some(checkpoint);
                counter!(telemetry::CHECKPOINTS, "source" => holding.intake.source().clone()).increment(1);
            }
            None => {
                self.doubted = Some(Instant::now());
                holding.look.notify_one();
            }
        }
        Ok(())
    }

    /// What may stand in the checkpoint now.
    fn due(&mut self) -> Option<Checkpoint> {
        let durable = self.holding.work.checkpoint(&self.holding.id);
        match self.holding.config.checkpoint {
            Moment::Spooled => durable,
            Moment::Delivered => {
                // In this order: all records of that checkpoint have smaller numbers.
                let end = self.holding.intake.end();
                let is_new = durable.as_ref() != self.waiting.back().map(|(_, last)| last);
                if let Some(durable) = durable.filter(|_| is_new && self.waiting.len() < MOST_WAITING) {
                    self.waiting.push_back((end, durable));
                }
                let delivered = self.holding.intake.delivered();
                // The last one stays, to be compared with.
                while self.waiting.get(1).is_some_and(|(end, _)| *end <= delivered) {
                    self.waiting.pop_front();
                }
                let front = self.waiting.front().filter(|(end, _)| *end <= delivered);
                front.map(|(_, checkpoint)| checkpoint.clone())
            }
        }
    }
}

/// Between two checkpoints of one partition.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last one may take: what it does not tell comes twice.
pub const LAST: Duration = Duration::from_secs(2);
/// Checkpoints that wait for delivery; a destination that is long away makes them coarser.
const MOST_WAITING: usize = 120;
