//! The words an expression may use: transforms, condition functions, counters, header fields.
//!
//! The checker reads this table for arity, shapes and suggestions; the compiler reads it for the same names, so that
//! a word exists in both or in neither. What a transform does is not here.

/// What a transform is called and what it takes and gives.
#[derive(Debug, PartialEq, Eq)]
pub struct TransformSpec {
    /// The word in a file.
    pub name: &'static str,
    /// Its arguments in order.
    pub args: &'static [ArgKind],
    /// How many of them, counted from the front, must be there.
    pub required: usize,
    /// What it takes.
    pub input: Shape,
    /// What it gives.
    pub output: Shape,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Quoted text.
    Text,
    /// A whole number, zero or more.
    Count,
    /// A whole number; negative counts from the end.
    Index,
    /// The name of a lookup table.
    Lookup,
    /// The name of a configured secret.
    Secret,
}

/// What is known of a value before any record is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whatever the record holds: a path without a filter or `[*]`.
    Any,
    /// Text, a number, a time.
    Scalar,
    /// A list.
    List,
}

/// A condition function: `name(subject, text…)`.
#[derive(Debug, PartialEq, Eq)]
pub struct ConditionSpec {
    /// The word in a file.
    pub name: &'static str,
    /// Fewest arguments after the subject.
    pub least: usize,
    /// Most arguments after the subject.
    pub most: usize,
}

/// The transform of that name.
#[must_use]
pub fn transform(name: &str) -> Option<&'static TransformSpec> {
    TRANSFORMS.iter().find(|spec| spec.name == name)
}

/// The condition function of that name.
#[must_use]
pub fn condition(name: &str) -> Option<&'static ConditionSpec> {
    CONDITIONS.iter().find(|spec| spec.name == name)
}

/// The candidate a person most likely meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean` for the nearest candidate.
#[must_use]
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

const fn spec(
    name: &'static str,
    args: &'static [ArgKind],
    required: usize,
    input: Shape,
    output: Shape,
) -> TransformSpec {
    TransformSpec { name, args, required, input, output }
}

use ArgKind::{Count, Index, Lookup, Secret, Text};
use Shape::{Any, List, Scalar};

/// Every transform.
pub static TRANSFORMS: &[TransformSpec] = &[
    spec("lower", &[], 0, Scalar, Scalar),
    spec("upper", &[], 0, Scalar, Scalar),
    spec("trim", &[], 0, Scalar, Scalar),
    spec("squeeze", &[], 0, Scalar, Scalar),
    spec("words", &[], 0, Scalar, Scalar),
    spec("path_join", &[Text, Text], 2, Any, Scalar),
    spec("before", &[Text], 1, Scalar, Scalar),
    spec("after", &[Text], 1, Scalar, Scalar),
    spec("basename", &[], 0, Scalar, Scalar),
    spec("dirname", &[], 0, Scalar, Scalar),
    spec("substr", &[Count, Count], 1, Scalar, Scalar),
    spec("replace", &[Text, Text], 2, Scalar, Scalar),
    spec("prefix", &[Text], 1, Scalar, Scalar),
    spec("suffix", &[Text], 1, Scalar, Scalar),
    spec("int", &[], 0, Scalar, Scalar),
    spec("float", &[], 0, Scalar, Scalar),
    spec("bool01", &[], 0, Scalar, Scalar),
    spec("hex_dec", &[], 0, Scalar, Scalar),
    spec("lookup", &[Lookup], 1, Scalar, Scalar),
    spec("lookup_prefix", &[Lookup], 1, Scalar, Scalar),
    spec("first", &[], 0, List, Any),
    spec("last", &[], 0, List, Any),
    spec("nth", &[Index], 1, List, Any),
    spec("count", &[], 0, List, Scalar),
    spec("distinct", &[], 0, List, List),
    spec("sort", &[], 0, List, List),
    spec("join", &[Text], 1, List, Scalar),
    spec("max", &[], 0, List, Scalar),
    spec("min", &[], 0, List, Scalar),
    // Takes anything, a list included: the only way to write an object.
    spec("json", &[], 0, Any, Scalar),
    spec("parse_json", &[], 0, Scalar, Any),
    spec("user_part", &[], 0, Scalar, Scalar),
    spec("domain_part", &[], 0, Scalar, Scalar),
    spec("null_if", &[Text], 1, Scalar, Scalar),
    spec("default", &[Text], 1, Scalar, Scalar),
    spec("epoch_ms", &[], 0, Scalar, Scalar),
    spec("iso8601", &[], 0, Scalar, Scalar),
    spec("date", &[Text], 1, Scalar, Scalar),
    spec("sha256", &[], 0, Scalar, Scalar),
    spec("hmac", &[Secret], 1, Scalar, Scalar),
    spec("mask", &[Count], 1, Scalar, Scalar),
];

/// Every condition function.
pub static CONDITIONS: &[ConditionSpec] = &[
    ConditionSpec { name: "exists", least: 0, most: 0 },
    ConditionSpec { name: "missing", least: 0, most: 0 },
    ConditionSpec { name: "starts_with", least: 1, most: 1 },
    ConditionSpec { name: "ends_with", least: 1, most: 1 },
    ConditionSpec { name: "contains", least: 1, most: 1 },
    ConditionSpec { name: "in_cidr", least: 1, most: 64 },
];

/// Values that belong to the record's way through cefgate and not to its text: `#name`.
pub const COUNTERS: [&str; 12] = [
    "index", "count", "tags", "source", "tenant", "table", "received", "sequence", "reason", "text",
    "length", "sha256",
];

/// Keys of `[header]`.
pub const HEADER: [&str; 6] = ["class_id", "name", "severity", "vendor", "product", "version"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_answered_with_the_word_that_was_meant() {
        let check =
            |word, expected| assert_eq!(nearest(word, TRANSFORMS.iter().map(|spec| spec.name)), expected);
        check("befor", Some("before"));
        check("Lower", Some("lower"));
        check("lokup", Some("lookup"));
        check("path-join", Some("path_join"));
        check("frobnicate", None);
    }

    #[test]
    fn names_are_unique_and_required_arguments_exist() {
        for (index, spec) in TRANSFORMS.iter().enumerate() {
            assert!(spec.required <= spec.args.len(), "{}", spec.name);
            assert!(TRANSFORMS[..index].iter().all(|other| other.name != spec.name), "{}", spec.name);
        }
    }
}
