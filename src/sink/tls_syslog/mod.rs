//! Syslog over TLS, confirmed by receipts.
//!
//! Syslog has no reply, so the clean end of a connection is the receipt for all it carried: close_notify,
//! shutdown, and the receiver's own end without a reset. Connections are therefore rotated (after `rotate_bytes`,
//! after `rotate_seconds`, or when the link goes quiet): the next one is opened and used first, the old one is
//! ended and drained beside it. Receipts count in the order of the connections. Any break on any of them is an
//! error, after which nothing since the last receipt counts.
//!
//! A receiver that never answers the end of a connection is named once, and its destination goes on by `window`
//! until it answers after all. What is written, sent, or acknowledged by the receiver's kernel confirms nothing.

mod config;
mod connection;
mod fallback;
mod ledger;
mod route;
mod stream;

use std::collections::VecDeque;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

pub use config::{Address, Config, Confirm};
use connection::{Connection, Draining, Event, Events};
use fallback::Fallback;
use ledger::Ledger;
use route::Route;

use super::{Cursor, SendError, Status};
use crate::telemetry::{BREAKS, CONNECTIONS, RECEIPTS, UNANSWERED, UNCONFIRMED_BYTES, chain};

/// The connections of one destination.
#[derive(Debug)]
pub struct Client {
    name: Arc<str>,
    config: Config,
    route: Arc<Route>,
    ledger: Ledger,
    /// Takes the frames.
    current: Option<Connection>,
    /// A write was begun and not ended: the stream stands within a frame.
    torn: bool,
    /// Takes them next.
    opening: Option<Opening>,
    /// Give the receipts.
    draining: VecDeque<Draining>,
    /// Whether the next connection may be opened before the last has ended.
    overlap: bool,
    confirm: Confirm,
    fallback: Fallback,
    settled: Option<Cursor>,
    failure: Option<SendError>,
    next_id: u64,
    events: (Events, UnboundedReceiver<(u64, Event)>),
}

impl Client {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(name: &str, config: Config) -> Self {
        let name: Arc<str> = name.into();
        if config.insecure_plain_tcp {
            warn!(
                destination = %name,
                address = %config.address,
                "insecure_plain_tcp: events go out unencrypted and anybody on the way can change them"
            );
        }
        Self {
            route: Arc::new(Route::new(Arc::clone(&name), config.clone())),
            name,
            ledger: Ledger::default(),
            current: None,
            torn: false,
            opening: None,
            draining: VecDeque::new(),
            overlap: config.rotate_overlap,
            confirm: config.confirm,
            fallback: Fallback::default(),
            settled: None,
            failure: None,
            next_id: 0,
            #[expect(
                clippy::disallowed_methods,
                reason = "a connection tells a few things and ends; few live at once"
            )]
            events: unbounded_channel(),
            config,
        }
    }

    /// Opens a connection and sends nothing. Returns the address that took it.
    ///
    /// # Errors
    /// As for [`super::Sink::send`].
    pub async fn connect(&mut self) -> Result<String, SendError> {
        Ok(self.connection().await?.address.to_string())
    }

    /// See [`super::Sink::send`].
    ///
    /// # Errors
    /// See [`super::Sink::send`].
    pub async fn send(&mut self, end: Cursor, frames: &[u8]) -> Result<(), SendError> {
        let result = self.write(end, frames).await;
        result.map_err(|error| self.give_up(error))
    }

    /// See [`super::Sink::confirmed`].
    ///
    /// # Errors
    /// See [`super::Sink::confirmed`].
    pub async fn confirmed(&mut self) -> Result<Cursor, SendError> {
        loop {
            self.take_events();
            if let Some(cursor) = self.settled.take() {
                return Ok(cursor);
            }
            if let Some(error) = self.failure.take() {
                return Err(self.give_up(error));
            }
            self.rotate_when_due();
            let due = self.next_timer();
            tokio::select! {
                Some((id, event)) = self.events.1.recv() => self.note(id, event),
                opened = finished(&mut self.opening) => self.opened(opened),
                () = until(due) => self.estimate(),
            }
        }
    }

    /// See [`super::Sink::settled`].
    pub fn settled(&mut self) -> Option<Cursor> {
        self.take_events();
        self.settled.take()
    }

    /// See [`super::Sink::finish`].
    pub async fn finish(&mut self, bound: Duration) -> Option<Cursor> {
        let deadline = Instant::now() + bound;
        self.opening = None;
        self.retire();
        // what is held has not answered for long and is not waited for again
        while self.failure.is_none() && self.draining.iter().any(|draining| !draining.held) {
            match timeout_at(deadline, self.events.1.recv()).await {
                Ok(Some((id, event))) => self.note(id, event),
                _ => break,
            }
        }
        self.draining.clear();
        self.ledger.clear();
        self.settled.take()
    }

    /// See [`super::Sink::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            connected: self.current.as_ref().map(|connection| connection.address.to_string()),
            unconfirmed_bytes: self.ledger.unconfirmed(),
            confirm: self.confirm.word(),
            unanswered: self.confirm != self.config.confirm,
        }
    }

    async fn write(&mut self, end: Cursor, frames: &[u8]) -> Result<(), SendError> {
        self.take_events();
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if self.torn {
            self.retire();
        }
        let connection = self.connection().await?;
        let id = connection.id;
        self.torn = true; // until the whole is written: a caller may drop us half-way
        let Some(connection) = &mut self.current else { return Ok(()) };
        if let Err(error) = connection.write(frames, self.config.write_timeout).await {
            return Err(self.reason(id, error).await);
        }
        let wire = connection.wire();
        self.torn = false;
        self.ledger.sent(id, end, frames.len() as u64, wire);
        self.estimate();
        self.rotate_when_due();
        Ok(())
    }

    /// The connection to write to.
    async fn connection(&mut self) -> Result<&mut Connection, SendError> {
        loop {
            if self.opening.as_ref().is_some_and(|opening| opening.0.is_finished()) {
                let opened = finished(&mut self.opening).await;
                self.opened(opened);
            }
            if self.current.as_ref().is_some_and(Connection::is_over) {
                self.take_events();
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.current.is_some() {
                break;
            }
            if self.drains_first() {
                if let Some((id, event)) = self.events.1.recv().await {
                    self.note(id, event);
                }
                continue;
            }
            if self.opening.is_none() {
                self.open();
            }
            let opened = finished(&mut self.opening).await;
            self.opened(opened);
        }
        self.current.as_mut().ok_or_else(|| SendError::Closed { address: self.config.address.to_string() })
    }

    /// Whether the old connection must have ended before a new one is opened.
    fn drains_first(&self) -> bool {
        !self.overlap && self.draining.iter().any(|draining| !draining.held)
    }

    fn open(&mut self) {
        self.next_id += 1;
        let task = Arc::clone(&self.route).open(self.next_id, self.events.0.clone());
        self.opening = Some(Opening(tokio::spawn(task)));
    }

    fn opened(&mut self, opened: Result<Connection, SendError>) {
        match opened {
            Ok(connection) => {
                debug!(destination = %self.name, address = %connection.address, id = connection.id, "connected");
                counter!(CONNECTIONS, "destination" => Arc::clone(&self.name)).increment(1);
                self.retire();
                self.current = Some(connection);
            }
            Err(error) if self.current.is_some() => {
                // a receiver that takes one connection at a time, or is going away: the old one decides
                info!(
                    destination = %self.name,
                    error = chain(&error),
                    "no second connection for the rotation; the old one is ended first from now on"
                );
                self.overlap = false;
                self.retire();
            }
            Err(error) => self.failure = Some(error),
        }
    }

    /// Ends the current connection for its receipt.
    fn retire(&mut self) {
        self.torn = false;
        if let Some(connection) = self.current.take() {
            self.draining.push_back(connection.retire(self.config.drain_timeout));
        }
    }

    fn rotate_when_due(&mut self) {
        let is_due = self.rotation_due().is_some_and(|due| due <= Instant::now());
        if !is_due || self.opening.is_some() {
            return;
        }
        if self.confirm == Confirm::Window {
            self.fallback.on_trial(self.current.as_ref().map(|connection| connection.id));
        }
        if self.overlap { self.open() } else { self.retire() }
    }

    /// When the current connection is to be rotated.
    fn rotation_due(&self) -> Option<Instant> {
        let draining = self.draining.iter().filter(|draining| !draining.held).count();
        if draining >= MOST_DRAINING {
            return None;
        }
        let connection = self.current.as_ref()?;
        let (first, last) = connection.used?;
        if self.confirm == Confirm::Window {
            return self.fallback.try_again_at.filter(|_| self.config.confirm != Confirm::Window);
        }
        if connection.bytes >= self.config.rotate_bytes {
            return Some(first);
        }
        Some((first + Duration::from_secs(self.config.rotate_seconds)).min(last + self.config.quiet))
    }

    fn next_timer(&self) -> Option<Instant> {
        let rotation = self.rotation_due().filter(|_| self.opening.is_none());
        let is_estimating = self.confirm == Confirm::Estimate && self.ledger.unconfirmed() > 0;
        let estimate = is_estimating.then(|| Instant::now() + ESTIMATE_EVERY);
        rotation.into_iter().chain(estimate).min()
    }

    /// Moves the cursor by the rules that need no receipt, where they are in force.
    fn estimate(&mut self) {
        let confirmed = match self.confirm {
            Confirm::Receipt => None,
            Confirm::Window => self.ledger.beyond(self.config.replay_window),
            Confirm::Estimate => self.current.as_mut().and_then(|connection| {
                let wire = connection.estimate()?;
                self.ledger.estimate(connection.id, wire)
            }),
        };
        self.settle(confirmed);
    }

    fn settle(&mut self, confirmed: Option<Cursor>) {
        if confirmed.is_some() {
            self.settled = confirmed;
        }
        gauge!(UNCONFIRMED_BYTES, "destination" => Arc::clone(&self.name))
            .set(self.ledger.unconfirmed() as f64);
    }

    fn take_events(&mut self) {
        while let Ok((id, event)) = self.events.1.try_recv() {
            self.note(id, event);
        }
    }

    fn note(&mut self, id: u64, event: Event) {
        match event {
            Event::Clean => {
                self.forget(id);
                counter!(RECEIPTS, "destination" => Arc::clone(&self.name)).increment(1);
                let confirmed = self.ledger.receipt(id);
                self.settle(confirmed);
                self.answered(id);
            }
            Event::Unanswered { over } => self.unanswered(id, over),
            Event::Failed(error) => {
                let counts = self.ledger.is_open(id) || self.torn && self.is_current(id);
                self.forget(id);
                if counts {
                    counter!(BREAKS, "destination" => Arc::clone(&self.name)).increment(1);
                    self.failure.get_or_insert(error);
                } else {
                    debug!(destination = %self.name, error = chain(&error), "connection without anything unconfirmed ended");
                }
            }
        }
    }

    fn is_current(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|connection| connection.id == id)
    }

    fn forget(&mut self, id: u64) {
        self.draining.retain(|draining| draining.id != id);
        if self.is_current(id) {
            self.current = None;
        }
    }

    /// A failed write only says that the connection is gone; its reader may know why.
    async fn reason(&mut self, id: u64, error: SendError) -> SendError {
        let deadline = Instant::now() + REASON_COMES_WITHIN;
        while self.failure.is_none() && self.is_current(id) {
            match timeout_at(deadline, self.events.1.recv()).await {
                Ok(Some((id, event))) => self.note(id, event),
                _ => break,
            }
        }
        self.failure.take().unwrap_or(error)
    }

    /// Nothing unconfirmed counts any more: the caller goes back to its last commit.
    fn give_up(&mut self, error: SendError) -> SendError {
        if let Some(connection) = self.current.take().filter(|_| !self.torn) {
            connection.dismiss();
        }
        self.torn = false;
        self.opening = None;
        self.draining.clear();
        self.ledger.clear();
        self.failure = None;
        // what comes back may be another receiver: it is asked anew for receipts
        self.overlap = self.config.rotate_overlap;
        self.confirm = self.config.confirm;
        self.settle(None);
        error
    }
}

/// A connection being made; dropped, it is not made.
#[derive(Debug)]
struct Opening(JoinHandle<Result<Connection, SendError>>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The connection being made, once it is; never, while none is.
async fn finished(opening: &mut Option<Opening>) -> Result<Connection, SendError> {
    let Some(task) = opening else { return future::pending().await };
    let result = (&mut task.0).await;
    *opening = None;
    result.unwrap_or_else(|error| {
        Err(SendError::Connect { address: "receiver".to_owned(), source: error.into() })
    })
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => future::pending().await,
    }
}

/// More than a few connections ending at once means a slow receiver: the current one then carries more.
const MOST_DRAINING: usize = 3;

const ESTIMATE_EVERY: Duration = Duration::from_millis(250);

const REASON_COMES_WITHIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
