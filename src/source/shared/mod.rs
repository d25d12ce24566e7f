//! Several instances that read the same partitions: who reads which, and from where on.
//!
//! Both stand in blobs, in the layout that the blob checkpoint stores of the Azure SDKs use. `config` is the section ·
//! `store` the blobs · `balance` decides what to claim · `claims` claims it, renews it, gives it up · `holding` is one
//! partition while it is held.
//!
//! ```text
//! claims ──claim──▶ ownership blob          every change over the version that was seen (If-Match)
//!    │ starts, stops
//!    ▼
//! holding: checkpoint ──adopt──▶ spool ──▶ the source reads on ──▶ spool ──▶ checkpoint
//! ```
//!
//! Whatever a position or a checkpoint says was read is durable in some instance's spool (or delivered, with
//! `checkpoint = "delivered"`). So at a takeover the one that is ahead is right: nothing that is not durable is skipped.

mod balance;
mod claims;
mod config;
mod holding;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use self::claims::run;
pub use self::config::{Config, ContainerName, Moment, contradictions};
use self::store::Store;
use super::SourceError;
use crate::azure::Tenants;
use crate::azure::storage::Account;
use crate::record::{Batch, Partition, Position};
use crate::spool::{Intake, SpoolError};

/// What a source does for partitions it shares with other instances.
pub trait Work: Clone + Send + Sync + 'static {
    /// Whether the service itself cuts off a reader whose partition another one has claimed. Otherwise a partition is
    /// left in time by those who cannot renew their claim.
    const CUTS_OFF: bool;

    /// Makes what other instances have read durable here, as far as it is ahead of what this one knows.
    fn adopt(&self, id: &str, checkpoint: Checkpoint) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Nobody has read the partition: makes durable where it begins, if that depends on when it is asked.
    fn begin(
        &self,
        _id: &str,
        _stop: &CancellationToken,
    ) -> impl Future<Output = Result<(), SpoolError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Whether a partition nobody has read begins at another place whenever it is asked.
    fn begins_now(&self) -> bool {
        false
    }

    /// What is durable here; `None` before the first record.
    fn checkpoint(&self, id: &str) -> Option<Checkpoint>;

    /// Reads a partition until told to stop, or until there is no more of it. A later claim has a higher epoch.
    fn read(
        &self,
        id: String,
        epoch: u32,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), SpoolError>> + Send;
}

/// How far a partition was read, as it stands in a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// By name, in lower case.
    pub metadata: BTreeMap<String, String>,
    /// What does not fit there.
    pub body: Bytes,
}

/// The shared blobs as one source of one instance sees them. Clones share it.
#[derive(Clone)]
pub struct Sharing {
    config: Arc<Config>,
    account: Account,
    owner: Arc<str>,
    intake: Intake,
}

impl Sharing {
    /// Opens the account and finds out who this instance is.
    ///
    /// # Errors
    /// The account cannot be opened, or the spool failed.
    pub async fn open(
        config: &Config,
        tenant: Option<&str>,
        tenants: &Tenants,
        intake: &Intake,
    ) -> Result<Self, SourceError> {
        let account = config.access(tenant).open(tenants)?;
        let owner = owner(intake).await?.into();
        Ok(Self { config: Arc::new(config.clone()), account, owner, intake: intake.clone() })
    }

    /// The same where a source may be read alone.
    ///
    /// # Errors
    /// It is shared, and cannot be opened.
    pub async fn open_if(
        config: Option<&Config>,
        tenant: Option<&str>,
        tenants: &Tenants,
        intake: &Intake,
    ) -> Result<Option<Self>, SourceError> {
        match config {
            Some(config) => Self::open(config, tenant, tenants, intake).await.map(Some),
            None => Ok(None),
        }
    }

    /// The blobs of one group of partitions.
    fn store(&self, group: &str) -> Store {
        Store::new(self.account.clone(), self.config.container.0.clone(), group)
    }
}

/// The name of this instance. It lives in the spool, so that after a crash it has at once what it had before: nobody
/// else can have that spool.
async fn owner(intake: &Intake) -> Result<String, SpoolError> {
    let partition = Partition(OWNER.to_owned());
    if let Some(Position(owner)) = intake.position(&partition) {
        return Ok(owner);
    }
    let owner = uuid::Uuid::new_v4().to_string();
    intake.append(Batch { partition, position: Position(owner.clone()), records: Vec::new() }).await?;
    Ok(owner)
}

/// The partition whose position is the name of this instance.
const OWNER: &str = "instance";
