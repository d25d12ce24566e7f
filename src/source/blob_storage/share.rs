//! The containers of an account as several instances share them: each is followed by one, and the places in its blobs
//! stand in the checkpoint's blob.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::config::Config;
use super::day::{Folder, Places};
use crate::azure::storage::Account;
use crate::record::Batch;
use crate::source::shared::{Checkpoint, Work};
use crate::spool::{Intake, SpoolError};

/// Containers to be shared.
#[derive(Clone)]
pub struct Containers {
    pub account: Account,
    pub config: Arc<Config>,
    pub intake: Intake,
    pub turns: Arc<Semaphore>,
}

impl Work for Containers {
    /// Two that read the same blob both get it.
    const CUTS_OFF: bool = false;

    async fn adopt(&self, id: &str, checkpoint: Checkpoint) -> Result<(), SpoolError> {
        // What another version wrote in a way not known here is none.
        let shared: BTreeMap<String, Places> = serde_json::from_slice(&checkpoint.body).unwrap_or_default();
        info!(source = %self.intake.source(), container = id, n_folders = shared.len(), "going on at the shared checkpoint");
        for (path, shared) in shared {
            let partition = Folder { container: id.to_owned(), path }.partition();
            let local = self.intake.position(&partition).map(|position| Places::read(&position));
            let mut places = local.clone().unwrap_or_default();
            places.join(shared);
            if local.as_ref() != Some(&places) {
                let batch = Batch { partition, position: places.position(), records: Vec::new() };
                self.intake.append(batch).await?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self, id: &str) -> Option<Checkpoint> {
        let places: BTreeMap<String, Places> = self
            .intake
            .partitions()
            .into_iter()
            .filter_map(|partition| {
                let folder = Folder::read(&partition).filter(|folder| folder.container == id)?;
                Some((folder.path, Places::read(&self.intake.position(&partition)?)))
            })
            .collect();
        let body = serde_json::to_vec(&places).unwrap_or_default();
        (!places.is_empty()).then(|| Checkpoint { body: body.into(), ..Checkpoint::default() })
    }

    async fn read(&self, id: String, _epoch: u32, stop: CancellationToken) -> Result<(), SpoolError> {
        let Self { account, config, intake, turns } = self.clone();
        super::follow(account, id, config, intake, turns, stop).await.map(drop)
    }
}
