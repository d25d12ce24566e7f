//! Which records were seen before, for the dedupe of one mapping at one destination.
//!
//! A resend after a broken connection brings the same sequence numbers again, and must pass again: a key remembers
//! the record that first used it, and that record is never its own repetition.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::program::Dedupe;
use crate::record::Record;

/// Keys and the records that first used them, oldest first.
#[derive(Debug, Default)]
pub struct Seen {
    first: HashMap<u128, (u64, i64)>,
    order: VecDeque<(u128, u64)>,
}

impl Seen {
    /// Whether this record repeats an earlier one; if not, it is remembered.
    pub fn repeats<'k>(
        &mut self,
        dedupe: &Dedupe,
        record: &Record,
        key: impl Iterator<Item = Option<&'k str>> + Clone,
    ) -> bool {
        // A record without any of the key's values has no identity to compare.
        if key.clone().all(|part| part.is_none()) {
            return false;
        }
        let key = fingerprint(key);
        let now = record.received.0;
        self.forget(now - dedupe.window, usize::MAX);
        match self.first.get(&key) {
            // A record with a smaller number is resent: it came before the one that is remembered.
            Some((sequence, at)) if now - at <= dedupe.window => *sequence < record.sequence,
            _ => {
                self.forget(now - dedupe.window, dedupe.max_keys.max(1) - 1);
                self.first.insert(key, (record.sequence, now));
                self.order.push_back((key, record.sequence));
                false
            }
        }
    }

    /// Forgets what is older than `since`, and the oldest beyond `most`.
    fn forget(&mut self, since: i64, most: usize) {
        while let Some((key, sequence)) = self.order.front().copied() {
            let known = self.first.get(&key).filter(|(known, _)| *known == sequence);
            let keeps = known.is_some_and(|(_, at)| *at >= since);
            if keeps && self.first.len() <= most {
                return;
            }
            if known.is_some() {
                self.first.remove(&key);
            }
            self.order.pop_front();
        }
    }
}

/// Two independent 64-bit hashes: at the bound of keys a chance collision is out of the question.
fn fingerprint<'k>(key: impl Iterator<Item = Option<&'k str>> + Clone) -> u128 {
    let hash = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        key.clone().for_each(|part| part.hash(&mut hasher));
        hasher.finish()
    };
    u128::from(hash(0)) << 64 | u128::from(hash(1))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{Table, Timestamp};

    #[test]
    fn a_resent_record_passes_and_a_repeated_one_does_not() {
        let dedupe = Dedupe { key: Vec::new(), window: 1000, max_keys: 2 };
        let mut seen = Seen::default();
        let mut repeats = |sequence, at, key: &str| {
            let record = Record {
                sequence,
                received: Timestamp(at),
                source: "s".into(),
                tenant: "".into(),
                table: Table::new("t"),
                body: Bytes::new(),
            };
            seen.repeats(&dedupe, &record, [Some(key)].into_iter())
        };
        assert!(!repeats(1, 0, "a"));
        assert!(repeats(2, 10, "a"), "the same key again");
        assert!(!repeats(1, 20, "a"), "the same record again");
        assert!(!repeats(3, 2000, "a"), "outside the window");
        assert!(!repeats(4, 2001, "b"));
        assert!(!repeats(5, 2002, "c"), "bound on keys");
        assert!(!repeats(6, 2003, "a"), "forgotten for room");
        assert!(repeats(7, 2004, "c"));
        assert!(!repeats(1, 0, "a"), "resent after a later record took its key");
    }
}
