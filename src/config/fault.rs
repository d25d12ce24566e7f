//! What is wrong with a configuration, all of it, each with its place.

use std::fmt;
use std::path::PathBuf;

/// Everything wrong with a configuration. Prints one line a fault, those of the file in its order.
#[derive(Debug, Default, thiserror::Error)]
pub struct Faults(Vec<Fault>);

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where to go to repair it.
    pub place: Place,
    /// The key's whole path, `destination.siem.tls_syslog.address`; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and, where known, what would be right.
    pub message: String,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the configuration file, counted from 1; 0 for the file as a whole.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// No place: a built-in default, or nothing where something is needed and no file was read.
    Nowhere,
}

impl Faults {
    /// Adds one.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Takes one back that turned out to be another one.
    pub fn retract(&mut self, fault: &Fault) {
        self.0.retain(|other| other != fault);
    }

    /// None found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file, then the environment.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }

    /// Each fault.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => out.write_str("the configuration has a fault")?,
            n => write!(out, "the configuration has {n} faults")?,
        }
        self.0.iter().try_for_each(|fault| write!(out, "\n  {fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(out, "`{}`: ", self.key)?;
        }
        out.write_str(&self.message)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, 0) => write!(out, "{}", path.display()),
            Self::File(path, line) => write!(out, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(out, "environment {variable}"),
            Self::Nowhere => out.write_str("configuration"),
        }
    }
}

/// The nearest of the known words, when one is near enough to be meant.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let (distance, best) = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .min()?;
    (distance <= 1 + word.len() / 4).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_near_or_absent() {
        for (word, expected) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("rotate_byte", Some("rotate_bytes")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, ["address", "rotate_bytes", "pin"]), expected, "{word}");
        }
    }
}
