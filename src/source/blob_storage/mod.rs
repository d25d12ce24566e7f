//! The `blob_storage` source: the containers that Defender streams its tables into.
//!
//! A container a table, a blob an hour, growing by appended lines; see "Stream Microsoft Defender XDR events to your
//! storage account" in Microsoft's documentation. `config` is the section · `day` is what stands in the spool ·
//! `follow` lists a container and reads on what has grown · `share` divides containers among instances. Nothing is ever
//! deleted: that is the account's own rule.

mod config;
mod day;
mod follow;
mod share;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use self::config::{Concurrency, Config};
use self::follow::{Follower, Interruption};
use super::SourceError;
use super::in_flight::InFlight;
use super::shared::{self, Sharing};
use crate::azure::Tenants;
use crate::azure::storage::{Account, StorageError};
use crate::backoff::Backoff;
use crate::finding::Finding;
use crate::source::resume;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// Follows all containers, those made later too, until told to stop.
///
/// # Errors
/// The spool failed. The storage account is asked again for ever.
pub async fn run(
    config: Config,
    intake: Intake,
    tenants: Tenants,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let account = config.access().open(&tenants)?;
    let (checkpoints, tenant) = (config.checkpoints.as_ref(), config.tenant.as_deref());
    let sharing = Sharing::open_if(checkpoints, tenant, &tenants, &intake).await?;
    let config = Arc::new(config);
    let turns = Arc::new(Semaphore::new(config.concurrency.0));
    if let Some(sharing) = sharing {
        let containers = share::Containers { account, config, intake, turns };
        return share(&sharing, containers, stop).await;
    }
    let mut followed = HashMap::new();
    let mut tasks: JoinSet<Result<String, SpoolError>> = JoinSet::new();
    let mut backoff = Backoff::default();
    loop {
        let listing = account.containers(&config.container_prefix);
        let found = tokio::select! {
            () = stop.cancelled() => return finish(tasks).await,
            found = listing => found,
        };
        let wait = match found {
            Ok(names) => {
                backoff.reset();
                told(&intake, &config, &names);
                for name in names {
                    if let Entry::Vacant(place) = followed.entry(name) {
                        let name = place.key().clone();
                        info!(source = %intake.source(), container = name, "following a container");
                        let task = follow(
                            account.clone(),
                            name,
                            config.clone(),
                            intake.clone(),
                            turns.clone(),
                            stop.clone(),
                        );
                        place.insert(tasks.spawn(task));
                    }
                }
                config.sweep.min(DISCOVERY)
            }
            Err(error) => refused(&intake, None, &error, &mut backoff),
        };
        let rest = tokio::time::sleep(wait);
        tokio::pin!(rest);
        loop {
            tokio::select! {
                () = stop.cancelled() => return finish(tasks).await,
                () = &mut rest => break,
                Some(ended) = tasks.join_next() => {
                    let name = ended.unwrap_or_else(resume)?;
                    followed.remove(&name);
                }
            }
        }
    }
}

/// Lists the containers, of which this instance follows its part, until told to stop.
async fn share(
    sharing: &Sharing,
    containers: share::Containers,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let share::Containers { account, config, intake, .. } = containers.clone();
    let group = format!("{}/{}/containers", config.account.0, intake.source());
    let (found, ids) = watch::channel(Vec::new());
    let list = async {
        let mut backoff = Backoff::default();
        loop {
            let wait = match account.containers(&config.container_prefix).await {
                Ok(names) => {
                    backoff.reset();
                    told(&intake, &config, &names);
                    found.send_replace(names);
                    config.sweep.min(DISCOVERY)
                }
                Err(error) => refused(&intake, None, &error, &mut backoff),
            };
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        ended = shared::run(sharing, &group, ids, containers, stop) => Ok(ended?),
        never = list => never,
    }
}

/// Lists the containers, and says what came of it.
pub async fn look(config: &Config, tenants: &Tenants) -> Vec<Finding> {
    let account = match config.access().open(tenants) {
        Ok(account) => account,
        Err(error) => return vec![Finding::Bad(telemetry::chain(&error))],
    };
    let prefix = &config.container_prefix;
    let found = account.containers(prefix).await.map(|names| match names.len() {
        0 => format!("the account answers; it has no container {prefix}* yet"),
        n => format!("the account answers, {n} containers {prefix}*"),
    });
    vec![Finding::of(found, |error| telemetry::chain(error))]
}

/// An account without containers is worth a word.
fn told(intake: &Intake, config: &Config, names: &[String]) {
    if names.is_empty() {
        warn!(source = %intake.source(), prefix = config.container_prefix,
            "no container yet: Defender makes one at the first record of a table");
    }
}

/// What was being stored is stored.
async fn finish(mut tasks: JoinSet<Result<String, SpoolError>>) -> Result<(), SourceError> {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(resume)?;
    }
    Ok(())
}

/// Follows one container until told to stop or until it is gone. Returns its name.
async fn follow(
    account: Account,
    name: String,
    config: Arc<Config>,
    intake: Intake,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
) -> Result<String, SpoolError> {
    let mut follower = match Follower::new(account, name.clone(), &config, &intake) {
        Ok(follower) => follower,
        Err(error) => {
            error!(source = %intake.source(), container = name, error = telemetry::chain(&error), "container cannot be followed");
            return Ok(name);
        }
    };
    let mut in_flight = InFlight::default();
    let mut backoff = Backoff::default();
    loop {
        let turn = in_flight.beside(turns.clone().acquire_owned(), &stop).await?;
        let Some(turn) = turn else { break };
        let wait = match follower.round(&intake, &mut in_flight, &stop).await {
            Ok(lag) => {
                backoff.reset();
                gauge!(telemetry::SOURCE_LAG, "source" => intake.source().clone(), "partition" => name.clone())
                    .set(float(lag));
                config.poll
            }
            Err(Interruption::Spool(error)) => return Err(error),
            Err(Interruption::Stopped) => break,
            Err(Interruption::Storage(error)) if error.is_not_found() => {
                info!(source = %intake.source(), container = name, "container is gone");
                follower.forget_all(&intake, &mut in_flight);
                in_flight.below(1, &stop).await?;
                return Ok(name);
            }
            Err(Interruption::Storage(error)) => refused(&intake, Some(&name), &error, &mut backoff),
        };
        drop(turn);
        if in_flight.beside(tokio::time::sleep(wait), &stop).await?.is_none() {
            break;
        }
    }
    in_flight.settle().await?;
    Ok(name)
}

/// Says what is wrong and how long to wait.
fn refused(
    intake: &Intake,
    container: Option<&str>,
    error: &StorageError,
    backoff: &mut Backoff,
) -> Duration {
    let wait = backoff.wait();
    warn!(source = %intake.source(), container, error = telemetry::chain(error), retry_in = ?wait, "storage account");
    metrics::counter!(telemetry::SOURCE_ERRORS, "source" => intake.source().clone()).increment(1);
    wait
}

/// For a gauge: exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

/// New containers are looked for at least this often.
const DISCOVERY: Duration = Duration::from_mins(10);
