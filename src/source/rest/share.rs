//! A source that asks as several instances share it: one of them asks, and its place stands in the checkpoint's blob.

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::kept::partition;
use super::place::Place;
use super::ticks::Ticks;
use crate::record::{Batch, Position};
use crate::source::shared::{self, Checkpoint, Sharing, Work};
use crate::spool::{Intake, SpoolError};

/// Asks while it is this instance's turn, until told to stop. The group is the same at all instances.
///
/// # Errors
/// The spool failed.
pub async fn run<F, R>(
    sharing: &Sharing,
    group: &str,
    intake: Intake,
    ask: F,
    stop: CancellationToken,
) -> Result<(), SpoolError>
where
    F: Fn(CancellationToken) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), SpoolError>> + Send,
{
    let (_unchanging, ids) = watch::channel(vec![ID.to_owned()]);
    shared::run(sharing, group, ids, Shared { intake, ask }, stop).await
}

#[derive(Clone)]
struct Shared<F> {
    intake: Intake,
    ask: F,
}

impl<F, R> Work for Shared<F>
where
    F: Fn(CancellationToken) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), SpoolError>> + Send,
{
    /// Two that ask at the same time are both answered.
    const CUTS_OFF: bool = false;

    async fn adopt(&self, _id: &str, checkpoint: Checkpoint) -> Result<(), SpoolError> {
        let Position(local) = self.intake.position(&partition()).unwrap_or_default();
        if checkpoint.body == local.as_bytes() {
            return Ok(());
        }
        let mut place = Place::read(&local);
        place.join(&Place::read(&String::from_utf8_lossy(&checkpoint.body)));
        info!(source = %self.intake.source(), watermark = place.watermark.map(Ticks::text), "going on at the shared checkpoint");
        // What is too old to be of use is forgotten as the source goes on.
        let position = Position(place.whole(Ticks(i64::MIN)));
        self.intake.append(Batch { partition: partition(), position, records: Vec::new() }).await
    }

    fn checkpoint(&self, _id: &str) -> Option<Checkpoint> {
        let Position(place) = self.intake.position(&partition())?;
        Some(Checkpoint { body: Bytes::from(place), ..Checkpoint::default() })
    }

    async fn read(&self, _id: String, _epoch: u32, stop: CancellationToken) -> Result<(), SpoolError> {
        (self.ask)(stop).await
    }
}

/// What the one partition is called among the shared blobs.
const ID: &str = "0";
