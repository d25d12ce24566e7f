//! Where records come from: one module a source, and what they share.
//!
//! A source is a function that appends batches to its [`Intake`] until it is told to stop. `envelope` splits
//! what it receives into records, `lines` cuts streams of bytes into messages, `rest` is what sources that ask services have
//! in common, `shared` divides partitions among instances.

pub mod account;
pub mod advanced_hunting;
pub mod blob_storage;
pub mod defender_api;
mod document;
pub mod envelope;
pub mod event_hubs;
pub mod file;
mod in_flight;
mod kind;
mod lines;
mod rest;
pub mod shared;
mod walk;

use std::io;

use serde::{Deserialize, Serialize};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::azure::{Tenants, TenantsError};
use crate::finding::Finding;
use crate::spool::{Intake, SpoolError};

/// The settings of one source; the kind chooses the variant.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceConfig {
    /// Rows of a query of advanced hunting.
    AdvancedHunting(Box<advanced_hunting::Config>),
    /// Containers of an Azure Storage account.
    BlobStorage(Box<blob_storage::Config>),
    /// Alerts or incidents of a REST API.
    DefenderApi(Box<defender_api::Config>),
    /// Hubs of an Event Hubs namespace.
    EventHubs(Box<event_hubs::Config>),
    /// Files or standard input.
    File(file::Config),
}

impl SourceConfig {
    /// Reads until told to stop, or until the source is at its end. A source that asks a service of Microsoft finds its
    /// tenant among `tenants`.
    ///
    /// # Errors
    /// Only what no waiting can repair: remote errors are retried for ever.
    pub async fn run(
        self,
        intake: Intake,
        tenants: Tenants,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        match self {
            Self::AdvancedHunting(config) => advanced_hunting::run(*config, intake, tenants, stop).await,
            Self::BlobStorage(config) => blob_storage::run(*config, intake, tenants, stop).await,
            Self::DefenderApi(config) => defender_api::run(*config, intake, tenants, stop).await,
            Self::EventHubs(config) => event_hubs::run(*config, intake, tenants, stop).await,
            Self::File(config) => file::run(config, intake, stop).await,
        }
    }

    /// Asks the service for a little, once, and says what came of it.
    pub async fn look(&self, tenants: &Tenants) -> Vec<Finding> {
        match self {
            Self::AdvancedHunting(config) => advanced_hunting::look(config, tenants).await,
            Self::BlobStorage(config) => blob_storage::look(config, tenants).await,
            Self::DefenderApi(config) => defender_api::look(config, tenants).await,
            Self::EventHubs(config) => event_hubs::look(config, tenants).await,
            // Files need nobody's answer.
            Self::File(_) => Vec::new(),
        }
    }

    /// The tables it is set to give, as far as the settings tell; records may name others.
    #[must_use]
    pub fn tables(&self) -> Vec<&str> {
        match self {
            Self::AdvancedHunting(config) => vec![&config.table.0],
            Self::BlobStorage(config) => config.table.iter().map(|table| table.0.as_str()).collect(),
            Self::DefenderApi(config) => vec![config.resource.table()],
            Self::EventHubs(config) => config.table.iter().map(|table| table.0.as_str()).collect(),
            Self::File(config) => config.table.iter().map(|table| table.0.as_str()).collect(),
        }
    }

    /// How it is shared with other instances, if it is.
    #[must_use]
    pub fn checkpoints(&self) -> Option<&shared::Config> {
        match self {
            Self::AdvancedHunting(config) => config.checkpoints.as_ref(),
            Self::BlobStorage(config) => config.checkpoints.as_ref(),
            Self::DefenderApi(config) => config.checkpoints.as_ref(),
            Self::EventHubs(config) => config.checkpoints.as_ref(),
            Self::File(_) => None,
        }
    }

    /// The label for the records of this source; may be empty.
    #[must_use]
    pub fn tenant(&self) -> &str {
        match self {
            Self::AdvancedHunting(config) => &config.tenant,
            Self::BlobStorage(config) => config.tenant.as_deref().unwrap_or_default(),
            Self::DefenderApi(config) => &config.tenant,
            Self::EventHubs(config) => config.tenant.as_deref().unwrap_or_default(),
            Self::File(config) => &config.tenant,
        }
    }
}

/// Why a source has ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The way out cannot be opened.
    #[error("open the way out")]
    Network(#[from] TenantsError),
    /// No such section.
    #[error("there is no `[tenant.{0}]`")]
    Tenant(String),
    /// The tenant's cloud has no such service.
    #[error("the cloud of this tenant has no service `{service}`: set its address in the tenant's section")]
    NoService {
        /// Which.
        service: &'static str,
    },
    /// The settings of a storage account or a namespace contradict each other.
    #[error("{0}")]
    Account(String),
    /// The records could not be stored.
    #[error("store records in the spool")]
    Spool(#[from] SpoolError),
    /// `follow = false`, and no file.
    #[error("no file to read, and `follow = false`")]
    NothingToRead,
    /// Standard input failed.
    #[error("read standard input")]
    Stdin(#[source] io::Error),
    /// The system gave no thread to read standard input with.
    #[error("start a thread for standard input")]
    Thread(#[source] io::Error),
}

/// A panic of a task goes on in the one that waited for it.
fn resume<T>(error: JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}
