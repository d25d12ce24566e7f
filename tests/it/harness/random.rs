//! Numbers that are drawn anew in each run and can be had again from the seed that a failure prints.

use std::hash::{BuildHasher as _, RandomState};

/// xorshift64
pub struct Random(u64);

impl Random {
    /// From the variable `CEFGATE_TEST_SEED`, else from the system. Prints the seed: it is shown when the test fails.
    pub fn new() -> Self {
        let given = std::env::var("CEFGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0) | 1);
        eprintln!("to repeat: CEFGATE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
