//! How far a source has come: the time up to which everything was read, and what was read since a while before it.
//!
//! It stands in the spool beside the records, so that both are durable together. A poll adds lines to it
//! ([`line`]); now and then it is written whole and short ([`Place::whole`]).

use std::collections::HashMap;
use std::fmt::Write as _;

use aws_lc_rs::digest;
use tracing::warn;

use super::ticks::Ticks;

/// The place of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where the first run began: what lies before is not wanted.
    pub begin: Option<Ticks>,
    /// Everything up to here was read.
    pub watermark: Option<Ticks>,
    /// When a wider time was last asked for.
    pub rescanned: Option<Ticks>,
    /// What was read last did not say when it is from; `None` where all does.
    pub timeless: Option<bool>,
    /// Fingerprints of what was read, with the time it bears.
    seen: HashMap<u64, Ticks>,
}

impl Place {
    /// Reads what the spool holds. Lines it does not know are of a later version and are left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut place = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let ticks = |word: Option<&str>| word.and_then(|word| word.parse().ok()).map(Ticks);
            match words.next() {
                Some("b") => place.begin = ticks(words.next()).or(place.begin),
                Some("w") => place.watermark = ticks(words.next()).or(place.watermark),
                Some("r") => place.rescanned = ticks(words.next()).or(place.rescanned),
                Some("t") => place.timeless = Some(words.next() == Some("1")),
                Some("s") => {
                    let at = ticks(words.next());
                    let key = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
                    if let (Some(at), Some(key)) = (at, key) {
                        place.seen.insert(key, at);
                    }
                }
                _ => {}
            }
        }
        place
    }

    /// Adds what another instance has read: whatever either says was read is stored somewhere.
    pub fn join(&mut self, other: &Self) {
        self.begin = match (self.begin, other.begin) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.watermark = self.watermark.max(other.watermark);
        self.timeless = other.timeless.or(self.timeless);
        self.rescanned = self.rescanned.max(other.rescanned);
        for (key, at) in &other.seen {
            let latest = self.seen.entry(*key).or_default();
            *latest = (*latest).max(*at);
        }
    }

    /// The times alone, as they stand in the spool.
    #[must_use]
    pub fn marks(&self) -> String {
        let mut text = String::new();
        for (word, at) in [("b", self.begin), ("w", self.watermark), ("r", self.rescanned)] {
            if let Some(Ticks(at)) = at {
                let _ = writeln!(text, "{word} {at}");
            }
        }
        if let Some(timeless) = self.timeless {
            let _ = writeln!(text, "t {}", u8::from(timeless));
        }
        text
    }

    /// All of it, without what lies before `oldest`, and without the oldest of what is more than can be kept.
    pub fn whole(&mut self, oldest: Ticks) -> String {
        self.seen.retain(|_, at| *at >= oldest);
        if let n_more @ 1.. = self.seen.len().saturating_sub(MOST_SEEN) {
            let mut times: Vec<Ticks> = self.seen.values().copied().collect();
            let (_, newest_forgotten, _) = times.select_nth_unstable(n_more - 1);
            let newest_forgotten = *newest_forgotten;
            self.seen.retain(|_, at| *at > newest_forgotten);
            warn!(
                n_more,
                until = newest_forgotten.text(),
                "more was read within the time that is asked for again than is remembered; some may come twice"
            );
        }
        let mut text = self.marks();
        for (key, at) in &self.seen {
            text += &line(*key, *at);
        }
        text
    }

    /// With which time this was read before.
    #[must_use]
    pub fn seen(&self, key: u64) -> Option<Ticks> {
        self.seen.get(&key).copied()
    }

    /// Notes that it was read.
    pub fn see(&mut self, key: u64, at: Ticks) {
        self.seen.insert(key, at);
    }
}

/// What the position in the spool grows by when something is seen.
pub fn line(key: u64, Ticks(at): Ticks) -> String {
    format!("s {at} {key:x}\n")
}

/// A fingerprint of texts, the same in every run and every version: it stands in spools.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let digest = context.finish();
    digest.as_ref().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// So many records are remembered; 37 bytes each in the spool, whose frames hold 64 MiB.
const MOST_SEEN: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_whole_or_line_by_line_is_read_back() {
        let mut place = Place {
            watermark: Some(Ticks(50)),
            rescanned: Some(Ticks(7)),
            timeless: Some(true),
            ..Place::default()
        };
        let mut text = place.whole(Ticks(0));
        for (parts, at) in [(["a", "1"], 60), (["b", ""], 40)] {
            place.see(fingerprint(&parts), Ticks(at));
            text += &line(fingerprint(&parts), Ticks(at));
        }
        text += "x of a later version\n";
        assert_eq!(Place::read(&text), place);
        assert_eq!(place.seen(fingerprint(&["b", ""])), Some(Ticks(40)));
        assert_eq!(place.seen(fingerprint(&["a1"])), None);
        let whole = place.whole(Ticks(50));
        assert_eq!(Place::read(&whole), place);
        assert_eq!(place.seen.len(), 1);
    }

    #[test]
    fn places_of_two_instances_are_joined_to_one_that_has_read_what_either_has() {
        let mut one = Place::read("b 9\nw 50\nr 7\ns 40 a\ns 45 b\n");
        one.join(&Place::read("b 8\nw 60\ns 41 a\ns 55 c\n"));
        assert_eq!(one, Place::read("b 8\nw 60\nr 7\ns 41 a\ns 45 b\ns 55 c\n"));
        let before = one.clone();
        one.join(&Place::default());
        assert_eq!(one, before);
    }

    #[test]
    fn a_fingerprint_is_the_same_in_every_run() {
        assert_eq!(fingerprint(&["da1_1", "2026"]), 9_910_058_305_177_998_728);
        assert_ne!(fingerprint(&["da1_1", "2026"]), fingerprint(&["da1_12", "026"]));
    }
}
