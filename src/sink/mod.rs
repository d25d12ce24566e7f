//! Where frames go, and when they count as received.
//!
//! A sink takes whole frames with the cursor they reach, and gives cursors back once the receiver has them for
//! certain. After an error the caller goes back to its last commit and sends again from there: duplicates are
//! possible, gaps are not. What to wait between tries is the caller's business, as is the only commit.
//!
//! ```text
//! send(end, frames) ──▶ written        confirmed() ──▶ end of what is received for certain
//!                                                  └─▶ error: nothing since the last commit counts
//! ```

pub mod file;
pub mod tls_syslog;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::finding::Finding;
use crate::telemetry;
use crate::tls;

pub use crate::spool::Cursor;

/// A destination's transport and its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one for each destination")]
pub enum SinkConfig {
    /// Syslog over TLS (or, on demand, plain TCP).
    TlsSyslog(tls_syslog::Config),
    /// A file or standard output.
    File(file::Config),
}

impl SinkConfig {
    /// Reads every file the sink will need, to report faults at startup.
    ///
    /// # Errors
    /// A file is missing or does not hold what its key says.
    pub fn check(&self) -> Result<(), SendError> {
        match self {
            Self::TlsSyslog(config) => config.check(),
            Self::File(_) => Ok(()),
        }
    }

    /// Connects to the receiver once, sends nothing, and says what came of it.
    pub async fn look(&self, name: &str) -> Vec<Finding> {
        match self {
            Self::TlsSyslog(config) => {
                let connected = tls_syslog::Client::new(name, config.clone()).connect().await;
                let layer = if config.insecure_plain_tcp { "plain TCP" } else { "TLS" };
                let connected = connected.map(|address| format!("{address} takes a connection over {layer}"));
                vec![Finding::of(connected, |error| telemetry::chain(error))]
            }
            // Files need nobody's answer.
            Self::File(_) => Vec::new(),
        }
    }

    /// The sink of the destination `name`. Nothing is connected or opened before the first `send`.
    #[must_use]
    pub fn open(self, name: &str) -> Sink {
        match self {
            Self::TlsSyslog(config) => Sink::TlsSyslog(tls_syslog::Client::new(name, config)),
            Self::File(config) => Sink::File(file::Writer::new(config)),
        }
    }
}

/// One destination's connection to its receiver.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each destination")]
pub enum Sink {
    /// Syslog over TLS (or, on demand, plain TCP).
    TlsSyslog(tls_syslog::Client),
    /// A file or standard output.
    File(file::Writer),
}

impl Sink {
    /// Writes whole frames; `end` is the cursor they reach. Connects first when there is no connection. `Ok` means
    /// written, not received. Dropped half-way, it counts as not sent.
    ///
    /// # Errors
    /// The receiver cannot be reached or the connection broke: everything since the last commit must be sent again.
    pub async fn send(&mut self, end: Cursor, frames: &[u8]) -> Result<(), SendError> {
        match self {
            Self::TlsSyslog(client) => client.send(end, frames).await,
            Self::File(writer) => writer.send(end, frames).await,
        }
    }

    /// Waits until more is received for certain. Cancel-safe; pending while nothing new is. It also drives the
    /// timers (rotation, quiet link), so poll it whenever there is nothing to send.
    ///
    /// # Errors
    /// The connection broke: everything since the last commit must be sent again.
    pub async fn confirmed(&mut self) -> Result<Cursor, SendError> {
        match self {
            Self::TlsSyslog(client) => client.confirmed().await,
            Self::File(writer) => writer.confirmed().await,
        }
    }

    /// A receipt that came in and was not returned yet, without waiting. To be asked after an error of `send`,
    /// before going back: it may spare a resend.
    pub fn settled(&mut self) -> Option<Cursor> {
        match self {
            Self::TlsSyslog(client) => client.settled(),
            Self::File(writer) => writer.settled(),
        }
    }

    /// Ends the connection in good order and waits, at most `bound`, for the last receipt.
    pub async fn finish(&mut self, bound: Duration) -> Option<Cursor> {
        match self {
            Self::TlsSyslog(client) => client.finish(bound).await,
            Self::File(writer) => writer.finish().await,
        }
    }

    /// What an operator wants to know of it now.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::TlsSyslog(client) => client.status(),
            Self::File(writer) => writer.status(),
        }
    }
}

/// The state of a sink, for `/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it is connected to, if it is.
    pub connected: Option<String>,
    /// Bytes sent and not yet confirmed.
    pub unconfirmed_bytes: u64,
    /// How confirmations come: `receipt`, `window`, `estimate`, `sync`.
    pub confirm: &'static str,
    /// The receiver does not answer the end of a connection, so `window` is used in place of receipts.
    pub unanswered: bool,
}

/// Why frames did not get through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection.
    #[error("connect to `{address}`")]
    Connect {
        /// The receiver.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A TLS file that cannot be used.
    #[error("prepare TLS for `{address}`")]
    Prepare {
        /// The receiver.
        address: String,
        /// Which file, and what is wrong with it.
        source: tls::TlsError,
    },
    /// The two sides do not agree on TLS.
    #[error("speak TLS with `{address}`")]
    Refused {
        /// The receiver.
        address: String,
        /// What to do about it.
        source: tls::Refusal,
    },
    /// The receiver closed before we did.
    #[error("`{address}` closed the connection")]
    Closed {
        /// The receiver.
        address: String,
    },
    /// The receiver ended its side of a rotated connection in a way that anybody on the way can forge.
    #[error("`{address}` ended a connection without close_notify")]
    NoReceipt {
        /// The receiver.
        address: String,
    },
    /// The connection broke.
    #[error("connection to `{address}` broke")]
    Broken {
        /// The receiver.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// No progress for too long.
    #[error("`{address}`: no progress for {} s while {during}", after.as_secs_f32())]
    Timeout {
        /// The receiver.
        address: String,
        /// What was waited for.
        during: &'static str,
        /// How long.
        after: Duration,
    },
    /// The file sink cannot write.
    #[error("write `{}`", path.display())]
    File {
        /// The file, `-` for standard output.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl SendError {
    /// Whether the same may succeed later without anybody doing anything here. Remote faults always may: the
    /// other side is repaired. A closed standard output does not come back.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
