//! What sources that ask a service have in common: rounds of questions, for ever, and a place in the spool.
//!
//! `member` reads single members of records · `ticks` are times to their last digit · `place` is what stands in the spool · `kept` keeps it there ·
//! `share` leaves the asking to one of several instances.

pub mod kept;
pub mod member;
pub mod place;
mod share;
pub mod ticks;

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::SourceError;
use super::shared::{self, Sharing};
use crate::azure::Tenants;
use crate::backoff::Backoff;
use crate::defender::ApiError;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// Who asks.
pub trait Asker {
    /// Reads all that is new. Returns how many records that were.
    ///
    /// # Errors
    /// It could not be read to its end; what was read is stored all the same, and the next round goes on behind it.
    fn round(&mut self) -> impl Future<Output = Result<u64, Interruption>> + Send;

    /// Whether the round that was broken off had come further than the one before: asking is worth its while.
    fn came_on(&self) -> bool;
}

/// Why a round ended early.
#[derive(Debug)]
pub enum Interruption {
    /// The service did not do its part: the round is gone on with later.
    Api(ApiError),
    /// The spool failed.
    Spool(SpoolError),
}

impl From<ApiError> for Interruption {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<SpoolError> for Interruption {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// What a source asks, and how often; alone, or in turn with other instances.
pub struct Question<'c> {
    /// The `[tenant.<name>]` that is asked for.
    pub tenant: &'c str,
    /// The table of what comes.
    pub table: &'c str,
    /// How long to rest between two rounds.
    pub poll: Duration,
    /// Where it stands whose turn it is.
    pub checkpoints: Option<&'c shared::Config>,
}

/// Asks for ever, whenever it is this instance's turn.
///
/// # Errors
/// The spool failed, or the section names a tenant or an account that cannot be had.
pub async fn run<A: Asker + Send>(
    question: Question<'_>,
    asker: impl Fn(Intake) -> A + Clone + Send + Sync + 'static,
    intake: Intake,
    tenants: &Tenants,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let Question { tenant, table, poll, checkpoints } = question;
    let Some(checkpoints) = checkpoints else {
        return Ok(repeat(asker(intake.clone()), poll, intake, stop).await?);
    };
    let sharing = Sharing::open(checkpoints, Some(tenant), tenants, &intake).await?;
    let directory = tenants.get(tenant).ok_or_else(|| SourceError::Tenant(tenant.to_owned()))?;
    let group = format!("{}/{table}/{}", directory.config().written.id.0, intake.source());
    let own = intake.clone();
    let ask = move |stop| repeat(asker(own.clone()), poll, own.clone(), stop);
    Ok(share::run(&sharing, &group, intake, ask, stop).await?)
}

/// Asks round after round until told to stop. What the service refuses is said and tried again.
///
/// # Errors
/// The spool failed.
async fn repeat(
    mut asker: impl Asker,
    poll: Duration,
    intake: Intake,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
    loop {
        let round = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            round = asker.round() => round,
        };
        let wait = match round {
            Ok(n_new) => {
                backoff.reset();
                if n_new > 0 {
                    info!(source = %intake.source(), n_new, "new or changed");
                }
                poll
            }
            Err(Interruption::Spool(error)) => return Err(error),
            Err(Interruption::Api(error)) => {
                if asker.came_on() {
                    backoff.reset();
                }
                refused(&intake, &error, &mut backoff)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Says what is wrong and how long to wait.
fn refused(intake: &Intake, error: &ApiError, backoff: &mut Backoff) -> Duration {
    counter!(telemetry::SOURCE_ERRORS, "source" => intake.source().clone()).increment(1);
    let wait = backoff.wait_at_least(error.retry_after().unwrap_or_default(), LONGEST_ASKED);
    let (source, text) = (intake.source(), telemetry::chain(error));
    if matches!(error, ApiError::Refused { status: 400, .. }) {
        error!(source = %source, error = text, retry_in = ?wait, "the service refuses the question; a query can be tried in the Defender portal");
    } else if error.needs_a_person() {
        error!(source = %source, error = text, retry_in = ?wait, "the service needs a person");
    } else {
        warn!(source = %source, error = text, retry_in = ?wait, "the service did not answer as asked");
    }
    wait
}

/// A service that asks for longer is asked again all the same.
const LONGEST_ASKED: Duration = Duration::from_mins(30);
