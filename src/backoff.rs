//! How long to wait before the next try: doubling, bounded, with jitter, and never shorter than a server asks.
//!
//! It only computes; the caller waits.

use std::time::Duration;

/// Growing waits between tries of one operation.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Waits that start near `first` and grow to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        // the hasher's keys are random per instance: enough to keep a fleet from retrying in step
        let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
        Self::seeded(first, longest, random)
    }

    /// The same with a chosen seed, for tests that need the same waits again.
    #[must_use]
    pub fn seeded(first: Duration, longest: Duration, seed: u64) -> Self {
        let first = first.min(longest);
        Self { first, longest, next: first, random: seed | 1 }
    }

    /// The wait before the next try: between half of the current step and the whole of it.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        let half = step / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(self.random() % span.max(1))
    }

    /// The wait when the server named one (`Retry-After`): at least that, but never above `ceiling`.
    pub fn wait_at_least(&mut self, asked: Duration, ceiling: Duration) -> Duration {
        self.wait().max(asked.min(ceiling))
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// xorshift64 (Marsaglia 2003): spread, not secrecy.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Default for Backoff {
    /// From half a second to half a minute.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::seeded(seconds(1), seconds(5), 7);
        for step in [1, 2, 4, 5, 5] {
            let wait = backoff.wait();
            assert!(wait >= seconds(step) / 2 && wait <= seconds(step), "{step}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= seconds(1));
    }

    #[test]
    fn a_server_s_wish_is_kept_up_to_the_ceiling() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::seeded(seconds(1), seconds(5), 7);
        assert_eq!(backoff.wait_at_least(seconds(20), seconds(60)), seconds(20));
        assert_eq!(backoff.wait_at_least(seconds(86_400), seconds(60)), seconds(60));
        assert!(backoff.wait_at_least(Duration::ZERO, seconds(60)) >= seconds(2));
    }

    proptest! {
        #[test]
        fn a_wait_never_leaves_its_bounds(first in 0_u64..1 << 50, longest in 0_u64..1 << 50, seed: u64) {
            let (first, longest) = (Duration::from_nanos(first), Duration::from_nanos(longest));
            let mut backoff = Backoff::seeded(first, longest, seed);
            for _ in 0..100 {
                prop_assert!(backoff.wait() <= longest.max(Duration::from_nanos(1)));
            }
        }
    }
}
