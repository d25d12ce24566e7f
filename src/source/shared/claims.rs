//! Claims partitions, renews the claims, and gives them up: one loop a group of partitions.
//!
//! What counts is the version of an ownership blob. Whoever has overwritten it has the partition; who finds another
//! version than his own has lost it. When the storage account is not reached nothing changes until it is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics::{counter, gauge};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::balance::{self, Claim};
use super::holding::{Holding, LAST, Lease};
use super::store::{Ownership, Store};
use super::{Sharing, Work};
use crate::azure::storage::{StorageError, Version};
use crate::backoff::Backoff;
use crate::source::resume;
use crate::spool::SpoolError;
use crate::telemetry;

/// Reads this instance's part of a group of partitions until told to stop. The partitions there are may change.
///
/// # Errors
/// The spool failed. The storage account is asked again for ever.
pub async fn run<W: Work>(
    sharing: &Sharing,
    group: &str,
    mut ids: watch::Receiver<Vec<String>>,
    work: W,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let store = sharing.store(group);
    info!(source = %sharing.intake.source(), group = store.group(), instance = %sharing.owner, "sharing partitions");
    let mut claims = Claims {
        sharing: sharing.clone(),
        store,
        work,
        stop: stop.clone(),
        held: HashMap::new(),
        tasks: JoinSet::new(),
        unsure: HashSet::new(),
        ended: HashSet::new(),
        left: None,
        look: Arc::new(Notify::new()),
    };
    let mut errors = Backoff::default();
    let mut pauses = Backoff::new(sharing.config.renew, sharing.config.renew);
    let mut retries = Backoff::new(CONFLICT, CONFLICT);
    while !stop.is_cancelled() {
        let current = ids.borrow_and_update().clone();
        let round = tokio::select! {
            round = claims.round(&current) => round,
            () = long_after(&stop) => break,
        };
        let wait = match round {
            Ok(is_settled) => {
                errors.reset();
                if is_settled { pauses.wait() } else { retries.wait().min(sharing.config.renew) }
            }
            Err(error) => claims.refused(&error, &mut errors),
        };
        let rest = tokio::time::sleep(wait);
        tokio::pin!(rest);
        let look = claims.look.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut rest => break,
                () = look.notified() => break,
                Some(ended) = claims.tasks.join_next() => {
                    claims.ended(ended.unwrap_or_else(resume)).await?;
                }
                Ok(()) = ids.changed() => {
                    claims.ended.clear();
                    break;
                }
            }
        }
    }
    claims.end().await
}

struct Claims<W> {
    sharing: Sharing,
    store: Store,
    work: W,
    stop: CancellationToken,
    held: HashMap<String, Held>,
    tasks: JoinSet<(String, Result<(), SpoolError>)>,
    /// Partitions whose last claim was not answered: it may have been heard.
    unsure: HashSet<String>,
    /// Partitions that there is no more of.
    ended: HashSet<String>,
    /// The versions of this instance's claims from before its start, as they were found first.
    left: Option<HashMap<String, String>>,
    /// Asks for a round now.
    look: Arc<Notify>,
}

/// A partition whose task runs.
struct Held {
    /// The version of its ownership.
    etag: String,
    lease: watch::Sender<Lease>,
    stop: CancellationToken,
}

impl<W: Work> Claims<W> {
    /// Renews what is held, and claims what is due. Whether that went as planned; another look soon is worth it if not.
    async fn round(&mut self, ids: &[String]) -> Result<bool, StorageError> {
        let began = Instant::now();
        let (mut ownerships, now) = limited(self.store.ownerships()).await?;
        self.recognise(&mut ownerships);
        let (store, owner) = (&self.store, &*self.sharing.owner);
        let renewals =
            self.held.iter().filter(|(_, held)| !held.lease.borrow().lost).map(|(id, held)| async move {
                (id.clone(), limited(store.claim(id, owner, Some(&held.etag))).await)
            });
        let mut failure = None;
        for (id, renewed) in join_all(renewals).await {
            let Some(held) = self.held.get_mut(&id) else { continue };
            match renewed {
                Ok(Some(version)) => {
                    held.etag = version.etag;
                    held.lease.send_modify(|lease| lease.renewed = began);
                }
                Ok(None) => self.lost(&id),
                Err(error) => {
                    self.unsure.insert(id);
                    failure = Some(error);
                }
            }
        }
        let ids: Vec<String> = ids.iter().filter(|id| !self.ended.contains(*id)).cloned().collect();
        let has: HashSet<&str> = self.held.keys().map(String::as_str).collect();
        let due = balance::claims(&self.sharing.owner, &has, &ids, &ownerships, self.sharing.config.lease);
        let mut is_settled = failure.is_none();
        for Claim { id, seen, steals } in due {
            match limited(self.store.claim(&id, &self.sharing.owner, seen.as_deref())).await {
                Ok(Some(version)) => self.start(id, version, now, steals, began),
                Ok(None) => is_settled = false,
                Err(error) => {
                    self.unsure.insert(id);
                    failure = Some(error);
                    break;
                }
            }
        }
        failure.map_or(Ok(is_settled), Err)
    }

    /// Tells what is this instance's own among what stands under its name: from before its start, or from a claim whose
    /// answer was lost. Anything else is a copy's.
    fn recognise(&mut self, ownerships: &mut [Ownership]) {
        let owner = self.sharing.owner.clone();
        let own = || ownerships.iter().filter(|found| *found.owner == *owner);
        let left = self
            .left
            .get_or_insert_with(|| own().map(|found| (found.id.clone(), found.etag.clone())).collect());
        for found in ownerships.iter_mut().filter(|found| *found.owner == *owner) {
            let is_unsure = self.unsure.remove(&found.id);
            match self.held.get_mut(&found.id) {
                Some(held) if is_unsure => held.etag.clone_from(&found.etag),
                Some(held) if held.etag == found.etag => {}
                None if is_unsure || left.get(&found.id) == Some(&found.etag) => found.owner.clear(),
                _ => {
                    error!(source = %self.sharing.intake.source(), instance = %self.sharing.owner, partition = found.id,
                        "another instance goes by the name of this one: its spool is a copy; give it an empty one");
                    found.owner.push_str(" (copy)");
                }
            }
        }
        self.unsure.clear();
    }

    fn start(&mut self, id: String, version: Version, now: i64, steals: bool, began: Instant) {
        let source = self.sharing.intake.source();
        // The service's clock at the claim: a later claim has a later time, and the hub cuts off the earlier reader.
        let epoch = u32::try_from(version.modified.max(now)).unwrap_or(u32::MAX);
        let how = if steals { "stolen" } else { "free" };
        info!(source = %source, group = self.store.group(), partition = id, how, epoch, "partition claimed");
        counter!(telemetry::PARTITIONS_CLAIMED, "source" => source.clone(), "how" => how).increment(1);
        gauge!(telemetry::PARTITIONS_OWNED, "source" => source.clone()).increment(1.0);
        let stop = self.stop.child_token();
        let (lease, watched) = watch::channel(Lease { renewed: began, lost: false });
        let holding = Holding {
            config: self.sharing.config.clone(),
            store: self.store.clone(),
            work: self.work.clone(),
            intake: self.sharing.intake.clone(),
            id: id.clone(),
            epoch,
            stop: stop.clone(),
            lease: watched,
            look: self.look.clone(),
        };
        self.held.insert(id.clone(), Held { etag: version.etag, lease, stop });
        self.tasks.spawn(async move {
            let result = holding.hold().await;
            (id, result)
        });
    }

    /// Gives everything up, all at the same time.
    async fn end(&mut self) -> Result<(), SpoolError> {
        let mut ended = Vec::new();
        while let Some(task) = self.tasks.join_next().await {
            let (id, result) = task.unwrap_or_else(resume);
            result?;
            ended.push(id);
        }
        let held: Vec<_> = ended.into_iter().filter_map(|id| Some((self.remove(&id)?, id))).collect();
        join_all(held.iter().map(|(held, id)| self.give_up(id, held))).await;
        Ok(())
    }

    /// Another instance has a partition: its task is told to stop.
    fn lost(&mut self, id: &str) {
        let Some(held) = self.held.get(id) else { return };
        held.lease.send_modify(|lease| lease.lost = true);
        held.stop.cancel();
        self.count_lost(id);
    }

    fn count_lost(&self, id: &str) {
        let source = self.sharing.intake.source();
        info!(source = %source, group = self.store.group(), partition = id, "partition lost to another instance");
        counter!(telemetry::PARTITIONS_LOST, "source" => source.clone()).increment(1);
    }

    /// The task of a partition has come to its end: gives the partition up, unless it was lost.
    async fn ended(&mut self, (id, result): (String, Result<(), SpoolError>)) -> Result<(), SpoolError> {
        result?;
        let Some(held) = self.remove(&id) else { return Ok(()) };
        if !self.give_up(&id, &held).await {
            self.unsure.insert(id.clone());
        }
        // One that was cut off may be this instance's again; one that came to its end is not to be had.
        if !W::CUTS_OFF && !held.stop.is_cancelled() {
            self.ended.insert(id);
        }
        Ok(())
    }

    fn remove(&mut self, id: &str) -> Option<Held> {
        let held = self.held.remove(id)?;
        let source = self.sharing.intake.source();
        gauge!(telemetry::PARTITIONS_OWNED, "source" => source.clone()).decrement(1.0);
        let is_lost = held.lease.borrow().lost;
        (!is_lost).then_some(held)
    }

    /// `false` when it is not known to be given up.
    async fn give_up(&self, id: &str, held: &Held) -> bool {
        let source = self.sharing.intake.source();
        let giving = limited(self.store.claim(id, "", Some(&held.etag)));
        match tokio::time::timeout(LAST, giving).await.unwrap_or_else(|_| Err(silent())) {
            Ok(Some(_)) => {
                info!(source = %source, group = self.store.group(), partition = id, "partition given up");
            }
            Ok(None) => self.count_lost(id),
            Err(error) => {
                warn!(source = %source, group = self.store.group(), partition = id, error = telemetry::chain(&error),
                    "partition not given up; it is free when its lease ends");
                return false;
            }
        }
        true
    }

    /// Says what is wrong and how long to wait.
    fn refused(&self, error: &StorageError, backoff: &mut Backoff) -> Duration {
        let wait = backoff.wait().min(self.sharing.config.renew);
        let source = self.sharing.intake.source();
        warn!(source = %source, group = self.store.group(), error = telemetry::chain(error), retry_in = ?wait, "shared blobs");
        counter!(telemetry::SOURCE_ERRORS, "source" => source.clone()).increment(1);
        wait
    }
}

/// The answer, if it comes in time.
pub async fn limited<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(silent()))
}

fn silent() -> StorageError {
    StorageError::Answer { what: "use the shared blobs", reason: "no answer in time".to_owned() }
}

/// Ready when a round that is under way at a stop has had its time.
async fn long_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_ROUND).await;
}

/// The longest wait for an answer; shorter than a lease, so that one silence does not cost it.
const PATIENCE: Duration = Duration::from_secs(5);
const LAST_ROUND: Duration = Duration::from_secs(1);
/// When another was first: look again so soon.
const CONFLICT: Duration = Duration::from_secs(1);
