//! The `event_hubs` source: the hubs that Defender streams its tables into, over AMQP 1.0.
//!
//! One task and one connection a partition; see "AMQP 1.0 protocol guide" in Microsoft's documentation. `config` is the
//! section · `access` opens the hubs · `link` is a connection · `query` asks a hub about itself · `place` is what stands
//! in the spool · `event` is one event · `partition` follows one partition · `discovery` finds hubs by the names of tables
//! · `share` divides partitions among instances. Nothing is settled or checkpointed at the service: the place to resume
//! from is durable with the records, here.

mod access;
mod config;
mod discovery;
mod event;
mod link;
mod partition;
mod place;
mod query;
mod share;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::access::Access;
pub use self::config::{Config, HostName, Hubs, Opens, Start, Transport};
use self::link::{Link, LinkError, Namespace};
use super::SourceError;
use super::shared::{self, Sharing};
use crate::azure::Tenants;
use crate::backoff::Backoff;
use crate::finding::Finding;
use crate::source::resume;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// Follows all partitions of all hubs until told to stop.
///
/// # Errors
/// The spool failed. The hubs are asked again for ever.
pub async fn run(
    config: Config,
    intake: Intake,
    tenants: Tenants,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let namespace = namespace(&config, &tenants)?;
    let (checkpoints, tenant) = (config.checkpoints.as_ref(), config.tenant.as_deref());
    let sharing = Sharing::open_if(checkpoints, tenant, &tenants, &intake).await?;
    let config = Arc::new(config);
    let mut tasks: JoinSet<Result<(), SpoolError>> = JoinSet::new();
    match &config.hubs {
        Hubs::Named(hubs) => {
            for hub in hubs {
                let (namespace, config, hub) = (namespace.clone(), config.clone(), hub.clone());
                tasks.spawn(follow(namespace, config, hub, intake.clone(), sharing.clone(), stop.clone()));
            }
        }
        Hubs::OfTables(prefix, every) => {
            let (prefix, every) = (prefix.clone(), *every);
            tasks.spawn(discovery::follow(namespace, config.clone(), prefix, every, intake, sharing, stop));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(resume)?;
    }
    Ok(())
}

fn namespace(config: &Config, tenants: &Tenants) -> Result<Namespace, SourceError> {
    let access = match config.opens_with() {
        Ok(Opens::ConnectionString(text)) => Access::Key(text.clone(), config.signature_lifetime),
        Ok(Opens::Tenant(name)) => {
            Access::Tenant(tenants.get(name).ok_or_else(|| SourceError::Tenant(name.to_owned()))?)
        }
        Err(fault) => return Err(SourceError::Account(fault)),
    };
    let HostName(name) = config.namespace.clone();
    let host = config.host.as_ref().map_or_else(|| name.clone(), |host| host.0.clone());
    let (transport, port) = (config.transport, config.port());
    Ok(Namespace { name, host, port, transport, network: tenants.network()?, access })
}

/// Follows all partitions of one hub.
async fn follow(
    namespace: Namespace,
    config: Arc<Config>,
    hub: String,
    intake: Intake,
    sharing: Option<Sharing>,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let mut backoff = Backoff::default();
    let partitions = loop {
        let found = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            found = partitions(&namespace, &hub) => found,
        };
        match found {
            Ok(partitions) => break partitions,
            Err(error) => {
                let wait = refused(&intake, &hub, &error, &mut backoff);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    };
    info!(source = %intake.source(), hub, n_partitions = partitions.len(), "following a hub");
    let first: Arc<[String]> = partitions.clone().into();
    let (found, ids) = watch::channel(partitions);
    let watching = watch_partitions(namespace.clone(), hub.clone(), intake.clone(), found);
    let hub = share::Hub { namespace, config, hub, first, intake };
    let following = async {
        match sharing {
            Some(sharing) => shared::run(&sharing, &hub.group(), ids, hub, stop).await,
            None => follow_all(hub, ids, stop).await,
        }
    };
    tokio::select! {
        ended = following => ended,
        never = watching => match never {},
    }
}

/// Follows all partitions there are, and those that come.
async fn follow_all(
    hub: share::Hub,
    mut ids: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let (mut tasks, mut followed) = (JoinSet::new(), HashSet::new());
    while !stop.is_cancelled() {
        for id in ids.borrow_and_update().clone() {
            if followed.insert(id.clone()) {
                let share::Hub { namespace, hub: name, intake, .. } = hub.clone();
                tasks.spawn(partition::follow(namespace, hub.config_of(&id), name, id, intake, stop.clone()));
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Ok(()) = ids.changed() => {}
            Some(ended) = tasks.join_next() => {
                ended.unwrap_or_else(resume)?;
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(resume)?;
    }
    Ok(())
}

/// Tells of partitions that are added while the hub is read.
async fn watch_partitions(
    namespace: Namespace,
    hub: String,
    intake: Intake,
    found: watch::Sender<Vec<String>>,
) -> Infallible {
    loop {
        tokio::time::sleep(ASK_AGAIN).await;
        match partitions(&namespace, &hub).await {
            Ok(ids) => {
                found.send_if_modified(|known| {
                    let is_more = ids.iter().any(|id| !known.contains(id));
                    if is_more {
                        info!(source = %intake.source(), hub, n_partitions = ids.len(), "the hub has more partitions");
                        *known = ids;
                    }
                    is_more
                });
            }
            Err(error) => {
                warn!(source = %intake.source(), hub, error = telemetry::chain(&error), "event hub");
                counter!(telemetry::SOURCE_ERRORS, "source" => intake.source().clone()).increment(1);
            }
        }
    }
}

/// Asks each hub about itself, and says what came of it.
pub async fn look(config: &Config, tenants: &Tenants) -> Vec<Finding> {
    let namespace = match namespace(config, tenants) {
        Ok(namespace) => namespace,
        Err(error) => return vec![Finding::Bad(telemetry::chain(&error))],
    };
    let hubs = match &config.hubs {
        Hubs::Named(hubs) => hubs.clone(),
        Hubs::OfTables(prefix, _) => match discovery::present(&namespace, prefix).await {
            Ok(hubs) if hubs.is_empty() => {
                return vec![Finding::Bad(format!(
                    "the namespace has no hub {prefix}… of a known table yet"
                ))];
            }
            Ok(hubs) => hubs,
            Err(error) => return vec![Finding::Bad(telemetry::chain(&error))],
        },
    };
    let mut findings = Vec::new();
    for hub in hubs {
        let found = partitions(&namespace, &hub).await;
        let found = found.map(|partitions| format!("hub {hub} answers, {} partitions", partitions.len()));
        findings.push(Finding::of(found, |error| format!("hub {hub}: {}", telemetry::chain(error))));
    }
    findings
}

async fn partitions(namespace: &Namespace, hub: &str) -> Result<Vec<String>, LinkError> {
    Link::open(namespace, hub, None).await?.partitions().await
}

/// Says what is wrong with a hub, or with those of a prefix, and how long to wait.
fn refused(intake: &Intake, hub: &str, error: &LinkError, backoff: &mut Backoff) -> Duration {
    let wait = backoff.wait();
    warn!(source = %intake.source(), hub, error = telemetry::chain(error), retry_in = ?wait, "event hub");
    counter!(telemetry::SOURCE_ERRORS, "source" => intake.source().clone()).increment(1);
    wait
}

/// Partitions are added seldom; each question is a connection.
const ASK_AGAIN: Duration = Duration::from_mins(10);
