//! What to do with a receiver that gives no receipts: go on by the window, and see now and then whether it does.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Client, Confirm, MOST_DRAINING, UNANSWERED};
use crate::sink::SendError;

/// What is known of a receiver that gives no receipts.
#[derive(Debug)]
pub(super) struct Fallback {
    /// It was logged.
    pub(super) named: bool,
    /// Ends without close_notify since the last receipt.
    pub(super) bare_ends: u32,
    /// When a connection is ended to see whether it gives one now, and how long after that once more.
    pub(super) try_again_at: Option<Instant>,
    pub(super) try_again_after: Duration,
    /// The connection ended for that.
    pub(super) trial: Option<u64>,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { named: false, bare_ends: 0, try_again_at: None, try_again_after: TRY_AGAIN_AFTER, trial: None }
    }
}

impl Fallback {
    /// `connection` is ended to see whether it brings a receipt.
    pub(super) fn on_trial(&mut self, connection: Option<u64>) {
        self.trial = connection;
        self.try_again_after = (self.try_again_after * 2).min(TRY_AGAIN_AT_LEAST_EVERY);
        self.try_again_at = Some(Instant::now() + self.try_again_after);
    }
}

impl Client {
    /// The receiver did not answer the end of connection `id`, or (`over`) not in a way that counts.
    pub(super) fn unanswered(&mut self, id: u64, over: bool) {
        counter!(UNANSWERED, "destination" => Arc::clone(&self.name)).increment(1);
        match self.draining.iter_mut().find(|draining| draining.id == id) {
            Some(draining) if !over => draining.held = true,
            _ => self.forget(id),
        }
        self.release_oldest_held();
        if over {
            self.fallback.bare_ends += 1;
        }
        if self.confirm == Confirm::Window {
            return;
        }
        if over && self.fallback.bare_ends < BARE_ENDS_ARE_A_HABIT {
            // a receiver killed just after it had read all looks the same
            self.failure.get_or_insert(SendError::NoReceipt { address: self.config.address.to_string() });
            return;
        }
        self.confirm = Confirm::Window;
        self.fallback.try_again_at = Some(Instant::now() + self.fallback.try_again_after);
        if !self.fallback.named {
            self.fallback.named = true;
            warn!(
                destination = %self.name,
                address = %self.config.address,
                how = if over { "closed without close_notify" } else { "did not close" },
                replay_window = self.config.replay_window,
                "the receiver gives no receipt at the end of a connection; the last `replay_window` bytes stay \
                 unconfirmed and are sent again after a break"
            );
        }
    }

    /// The receiver has ended connection `id` in good order: does it give receipts after all?
    pub(super) fn answered(&mut self, id: u64) {
        self.fallback.bare_ends = 0;
        if self.confirm == self.config.confirm {
            return;
        }
        if self.fallback.trial == Some(id) {
            self.draining.retain(|draining| !draining.held);
        }
        if self.draining.iter().any(|draining| draining.held) {
            return;
        }
        info!(destination = %self.name, "the receiver gives receipts again");
        self.confirm = self.config.confirm;
        self.fallback = Fallback { try_again_after: self.fallback.try_again_after, ..Fallback::default() };
        // what was sent on a connection that is gone without a receipt would stand in the way for ever
        let is_lost = |id| !self.is_current(id) && !self.draining.iter().any(|draining| draining.id == id);
        if self.ledger.oldest().is_some_and(is_lost) {
            self.failure.get_or_insert(SendError::NoReceipt { address: self.config.address.to_string() });
        }
    }

    fn release_oldest_held(&mut self) {
        let mut held = self.draining.iter().filter(|draining| draining.held).count();
        self.draining.retain(|draining| {
            let is_kept = !draining.held || held <= MOST_DRAINING;
            held -= usize::from(draining.held);
            is_kept
        });
    }
}

/// So many ends without close_notify in a row are how the receiver is, and no accident.
const BARE_ENDS_ARE_A_HABIT: u32 = 2;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(300);

const TRY_AGAIN_AT_LEAST_EVERY: Duration = Duration::from_secs(6 * 3600);
