//! Where records come from: one module a source, and what they share.
//!
//! A source is a function that appends batches to its [`Intake`] until it is told to stop. `envelope` splits
//! what it receives into records, `lines` cuts streams of bytes into messages.

mod document;
pub mod envelope;
pub mod file;
mod kind;
mod lines;
mod walk;

use std::io;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::spool::{Intake, SpoolError};

/// The settings of one source; the kind chooses the variant.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceConfig {
    /// Files or standard input.
    File(file::Config),
}

impl SourceConfig {
    /// Reads until told to stop, or until the source is at its end.
    ///
    /// # Errors
    /// Only what no waiting can repair: remote errors are retried for ever.
    pub async fn run(self, intake: Intake, stop: CancellationToken) -> Result<(), SourceError> {
        match self {
            Self::File(config) => file::run(config, intake, stop).await,
        }
    }

    /// The label for the records of this source; may be empty.
    #[must_use]
    pub fn tenant(&self) -> &str {
        match self {
            Self::File(config) => &config.tenant,
        }
    }
}

/// Why a source has ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
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
