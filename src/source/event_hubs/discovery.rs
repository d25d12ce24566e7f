//! Hubs that Defender makes itself, one for each table, `insights-logs-advancedhunting-<table in lower case>`.
//!
//! AMQP has no list of hubs, and the lists over HTTPS ask for rights to manage the namespace. So each known table's hub
//! is asked for by name; those that are not there are asked for again later, for Defender makes a hub with the first
//! record of its table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::config::Config;
use super::link::{Link, LinkError, Namespace};
use crate::backoff::Backoff;
use crate::mapping::schema::Schema;
use crate::source::resume;
use crate::source::shared::Sharing;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// Follows the hubs that are there, and those that come, until told to stop.
///
/// # Errors
/// The spool failed.
pub async fn follow(
    namespace: Namespace,
    config: Arc<Config>,
    prefix: String,
    every: Duration,
    intake: Intake,
    sharing: Option<Sharing>,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let mut missing = hubs(&prefix);
    let mut followed = JoinSet::new();
    // What is found later has come later: all of it is new.
    let mut is_later = is_known(&intake, &config);
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let looked = tokio::select! {
            () = stop.cancelled() => break,
            looked = look(&namespace, &missing) => looked,
        };
        let wait = match looked {
            Ok(Looked { found, refusal: Some(error) }) if found.is_empty() && followed.is_empty() => {
                super::refused(&intake, &prefix, &error, &mut backoff)
            }
            Ok(Looked { found, .. }) => {
                backoff.reset();
                for hub in found {
                    missing.remove(&hub);
                    let config = if is_later { config.of_new() } else { config.clone() };
                    let (namespace, intake) = (namespace.clone(), intake.clone());
                    let (sharing, stop) = (sharing.clone(), stop.clone());
                    followed.spawn(super::follow(namespace, config, hub, intake, sharing, stop));
                }
                is_later = true;
                if followed.is_empty() {
                    warn!(source = %intake.source(), prefix, look_again_in = ?every,
                        "the namespace has no hub of a known table under this prefix yet");
                }
                every
            }
            Err(error) => super::refused(&intake, &prefix, &error, &mut backoff),
        };
        let waiting = tokio::time::sleep(wait);
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                () = &mut waiting => break,
                () = stop.cancelled() => break,
                Some(ended) = followed.join_next() => {
                    ended.unwrap_or_else(resume)?;
                }
            }
        }
    }
    while let Some(ended) = followed.join_next().await {
        ended.unwrap_or_else(resume)?;
    }
    Ok(())
}

/// Whether the source has read of this namespace before.
fn is_known(intake: &Intake, config: &Config) -> bool {
    let namespace = format!("{}/", config.namespace.0);
    intake.partitions().iter().any(|partition| partition.0.starts_with(&namespace))
}

/// The hubs of tables that are there.
///
/// # Errors
/// The namespace does not answer, or lets none be read.
pub async fn present(namespace: &Namespace, prefix: &str) -> Result<Vec<String>, LinkError> {
    match look(namespace, &hubs(prefix)).await? {
        Looked { found, refusal: Some(refusal) } if found.is_empty() => Err(refusal),
        Looked { found, .. } => Ok(found),
    }
}

/// What a look has found.
struct Looked {
    found: Vec<String>,
    /// Why a hub was passed over.
    refusal: Option<LinkError>,
}

/// Which of these are there. A hub that is refused is as good as missing.
async fn look(namespace: &Namespace, hubs: &BTreeSet<String>) -> Result<Looked, LinkError> {
    let mut link = Link::connect(namespace).await?;
    let mut looked = Looked { found: Vec::new(), refusal: None };
    for hub in hubs {
        match link.turn_to(hub).await {
            Ok(()) => looked.found.push(hub.clone()),
            Err(LinkError::Status { status: 404, .. }) => {}
            Err(error @ LinkError::Status { .. }) => {
                debug!(hub, error = telemetry::chain(&error), "passed over");
                looked.refusal = Some(error);
            }
            // What was found is not to wait for the others.
            Err(error) if !looked.found.is_empty() => {
                looked.refusal = Some(error);
                return Ok(looked);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(looked)
}

fn hubs(prefix: &str) -> BTreeSet<String> {
    tables().map(|table| format!("{prefix}{table}")).collect()
}

/// The tables of advanced hunting, in lower case.
fn tables() -> impl Iterator<Item = String> {
    // Those of REST resources have a point in their names.
    Schema::embedded().tables.keys().filter(|name| !name.contains('.')).map(|name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_streamed_table_is_looked_for_and_no_rest_resource() {
        let tables: Vec<String> = tables().collect();
        assert!(tables.len() >= 60, "{}", tables.len());
        for table in
            ["deviceprocessevents", "alertevidence", "behaviorinfo", "urlclickevents", "callactivityevents"]
        {
            assert!(tables.iter().any(|known| known == table), "{table}");
        }
        assert!(
            tables.iter().all(|table| table.bytes().all(|byte| byte.is_ascii_alphanumeric())),
            "{tables:?}"
        );
    }
}
