//! What was sent on which connection, and how far it is confirmed. Pure accounting: no clock, no IO.
//!
//! Connections confirm in the order they were opened: a later receipt waits for the earlier one.

use std::collections::VecDeque;

use crate::sink::Cursor;

/// Everything sent since the last confirmation, in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    spans: VecDeque<Span>,
    sent: u64,
    confirmed: u64,
}

/// What one connection carried.
#[derive(Debug)]
struct Span {
    connection: u64,
    entries: VecDeque<Entry>,
    receipt: bool,
}

#[derive(Debug)]
struct Entry {
    end: Cursor,
    /// Bytes of frames sent up to and including this entry, over all connections.
    total: u64,
    /// Bytes on the wire of this connection up to the end of this entry.
    wire: u64,
}

impl Ledger {
    /// Frames were written whole.
    pub(super) fn sent(&mut self, connection: u64, end: Cursor, bytes: u64, wire: u64) {
        self.sent += bytes;
        let total = self.sent;
        if self.spans.back().is_none_or(|span| span.connection != connection) {
            self.spans.push_back(Span { connection, entries: VecDeque::new(), receipt: false });
        }
        let Some(span) = self.spans.back_mut() else { return };
        let grown = span.entries.len().checked_sub(2).and_then(|index| span.entries.get(index));
        let start = grown.map(|entry| entry.total);
        match (start, span.entries.back_mut()) {
            // small writes share an entry: it is confirmed with its last, so never too early
            (Some(start), Some(last)) if total - start <= GRAIN => *last = Entry { end, total, wire },
            _ => span.entries.push_back(Entry { end, total, wire }),
        }
    }

    /// The connection came to a clean end.
    pub(super) fn receipt(&mut self, connection: u64) -> Option<Cursor> {
        if let Some(span) = self.spans.iter_mut().find(|span| span.connection == connection) {
            span.receipt = true;
        }
        let mut confirmed = None;
        while self.spans.front().is_some_and(|span| span.receipt) {
            if let Some(last) = self.spans.pop_front().and_then(|mut span| span.entries.pop_back()) {
                self.confirmed = last.total;
                confirmed = Some(last.end);
            }
        }
        confirmed
    }

    /// Confirms what lies more than `window` bytes behind the end.
    pub(super) fn beyond(&mut self, window: u64) -> Option<Cursor> {
        let bound = self.sent.checked_sub(window)?;
        let mut confirmed = None;
        while let Some(span) = self.spans.front_mut() {
            while let Some(entry) = span.entries.pop_front_if(|entry| entry.total <= bound) {
                self.confirmed = entry.total;
                confirmed = Some(entry.end);
            }
            if !span.entries.is_empty() || self.spans.len() == 1 {
                break;
            }
            self.spans.pop_front();
        }
        confirmed
    }

    /// Confirms what the connection's receiver has read by the estimate, if nothing older is open.
    pub(super) fn estimate(&mut self, connection: u64, wire: u64) -> Option<Cursor> {
        let span = self.spans.front_mut().filter(|span| span.connection == connection)?;
        let mut confirmed = None;
        while let Some(entry) = span.entries.pop_front_if(|entry| entry.wire <= wire) {
            self.confirmed = entry.total;
            confirmed = Some(entry.end);
        }
        confirmed
    }

    /// Whether the connection carried something that is not confirmed.
    pub(super) fn is_open(&self, connection: u64) -> bool {
        self.spans
            .iter()
            .any(|span| span.connection == connection && !span.entries.is_empty() && !span.receipt)
    }

    /// The oldest connection with something unconfirmed.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.spans.iter().find(|span| !span.entries.is_empty() && !span.receipt).map(|span| span.connection)
    }

    /// Bytes sent and not confirmed.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.sent - self.confirmed
    }

    /// Nothing sent so far counts.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Entries are at least this long, so a window of 32 MiB has some 500.
const GRAIN: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn receipts_are_confirmed_in_the_order_of_their_connections() {
        let mut ledger = Ledger::default();
        ledger.sent(1, Cursor(10), 100, 0);
        ledger.sent(2, Cursor(20), 100, 0);
        ledger.sent(3, Cursor(30), 100, 0);
        assert_eq!(ledger.receipt(2), None);
        assert_eq!(ledger.receipt(1), Some(Cursor(20)));
        assert!(ledger.is_open(3) && !ledger.is_open(2));
        assert_eq!(ledger.unconfirmed(), 100);
        assert_eq!(ledger.receipt(9), None);
        assert_eq!(ledger.receipt(3), Some(Cursor(30)));
        assert_eq!(ledger.unconfirmed(), 0);
    }

    #[test]
    fn the_window_confirms_nothing_that_is_within_it() {
        let mut ledger = Ledger::default();
        for number in 1..=10 {
            ledger.sent(number / 4, Cursor(number), 100_000, 0);
        }
        assert_eq!(ledger.beyond(1_000_000), None);
        assert_eq!(ledger.beyond(950_000), None);
        assert_eq!(ledger.beyond(500_000), Some(Cursor(5)));
        assert_eq!(ledger.beyond(500_000), None);
        assert_eq!(ledger.beyond(0), Some(Cursor(10)));
    }

    #[test]
    fn the_estimate_confirms_only_on_the_oldest_connection() {
        let mut ledger = Ledger::default();
        ledger.sent(1, Cursor(1), 100_000, 101_000);
        ledger.sent(1, Cursor(2), 100_000, 202_000);
        ledger.sent(2, Cursor(3), 100_000, 101_000);
        assert_eq!(ledger.estimate(2, 999_999), None);
        assert_eq!(ledger.estimate(1, 201_999), Some(Cursor(1)));
        assert_eq!(ledger.estimate(1, 202_000), Some(Cursor(2)));
    }

    proptest! {
        #[test]
        fn small_writes_share_entries_and_are_never_confirmed_early(
            sizes in prop::collection::vec(1_u64..100_000, 1..300),
            window in 0_u64..5_000_000,
        ) {
            let mut ledger = Ledger::default();
            let mut totals = vec![0];
            for (number, size) in (1_u64..).zip(&sizes) {
                ledger.sent(1, Cursor(number), *size, 0);
                totals.push(totals.last().unwrap() + size);
            }
            let sent = *totals.last().unwrap();
            prop_assert!(ledger.spans[0].entries.len() as u64 <= 2 * (sent / GRAIN) + 3);
            if let Some(Cursor(confirmed)) = ledger.beyond(window) {
                prop_assert!(totals[usize::try_from(confirmed).unwrap()] + window <= sent);
            }
            prop_assert_eq!(ledger.receipt(1).unwrap_or(Cursor(sizes.len() as u64)), Cursor(sizes.len() as u64));
        }
    }
}
