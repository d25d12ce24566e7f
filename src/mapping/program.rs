//! A compiled mapping: plain data, numbered and flat, that `run` walks once for each record.
//!
//! `compile` builds it, `evaluate` computes single values of it, `run` writes events with it.

use std::collections::HashMap;

use super::ast::{Missing, OnError, Op, Overflow, Span};
use super::read::Trie;
use crate::dictionary::Kind;
use crate::record::Name;
use crate::secret::SecretText;

/// One mapping, ready to run for one destination.
#[derive(Debug)]
pub struct Program {
    /// The mapping's id.
    pub id: Name,
    /// The table it takes, in lower case.
    pub table: String,
    /// What else must hold for it to take a record.
    pub when: Option<Condition>,
    /// Among mappings of the same table, higher goes first.
    pub priority: i64,
    /// Which columns fill which slots.
    pub trie: Trie,
    /// `$name`, by number.
    pub vars: Vec<Chain>,
    /// In order of evaluation.
    pub rules: Vec<Rule>,
    /// When each overlay applies; the fan-out's own part is the overlay after the last.
    pub overlays: Vec<Condition>,
    /// CEF class id, or LEEF event id.
    pub class_id: Field,
    /// CEF name.
    pub name: Field,
    /// 0 to 10.
    pub severity: Field,
    /// Vendor, product and version where the file sets them.
    pub identity: [Option<Field>; 3],
    /// Extension keys or attributes, in the order of writing.
    pub fields: Vec<Field>,
    /// Which field is the event's time.
    pub time_field: Option<usize>,
    /// Fields to leave out first when an event is too large.
    pub shed: Vec<usize>,
    /// One event per element.
    pub fanout: Option<Fanout>,
    /// What makes two records the same.
    pub dedupe: Option<Dedupe>,
    /// Tables that values are looked up in.
    pub lookups: Vec<Lookup>,
    /// Secrets that are named and not configured: such a program must not run.
    pub missing_secrets: Vec<Box<str>>,
}

/// A value read from a record and changed on its way.
#[derive(Debug)]
pub struct Chain {
    /// Where it starts.
    pub origin: Origin,
    /// Steps into it.
    pub walk: Box<[Walk]>,
    /// Changes, in order.
    pub transforms: Box<[Transform]>,
    /// Where it is written.
    pub span: Span,
}

/// Where a chain starts.
#[derive(Debug)]
pub enum Origin {
    /// A column, by slot.
    Slot(usize),
    /// A variable, by number.
    Var(usize),
    /// The element of the fan-out.
    Item,
    /// The element of the innermost list filter.
    Element,
    /// Something known about the record rather than in it.
    Fact(Fact),
    /// The value that a CEF key has got.
    Finished(Box<Field>),
    /// A constant.
    Constant(Constant),
}

/// A constant, kept as the text it is written as.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Text.
    Text(Box<str>),
    /// A number, as its digits.
    Number(Box<str>),
    /// A truth value.
    Bool(bool),
}

/// `#name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Number of this element in the fan-out, from 1.
    Index,
    /// Number of elements in the fan-out.
    Count,
    /// Words that rules have added.
    Tags,
    /// Configured name of the source.
    Source,
    /// Configured tenant of the source.
    Tenant,
    /// Table of the record.
    Table,
    /// When the spool stored the record.
    Received,
    /// Sequence number in the spool.
    Sequence,
    /// Why the record is `unparsed`.
    Reason,
    /// The head of a record that is `unparsed`, or any record's whole text.
    Text,
    /// Its length in bytes as received.
    Length,
    /// The SHA-256 of the bytes as received.
    Sha256,
}

impl Fact {
    /// All of them, by the name they are written with.
    pub const NAMES: [(&'static str, Self); 12] = [
        ("index", Self::Index),
        ("count", Self::Count),
        ("tags", Self::Tags),
        ("source", Self::Source),
        ("tenant", Self::Tenant),
        ("table", Self::Table),
        ("received", Self::Received),
        ("sequence", Self::Sequence),
        ("reason", Self::Reason),
        ("text", Self::Text),
        ("length", Self::Length),
        ("sha256", Self::Sha256),
    ];
}

/// A step into a value.
#[derive(Debug)]
pub enum Walk {
    /// The member of this name.
    Name(Box<str>),
    /// The element at this place.
    Index(i64),
    /// All elements.
    All,
    /// The elements for which it holds.
    Filter(Condition),
}

/// A change of a value. The names are those of the mapping format.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is documented in the mapping format under its own name")]
pub enum Transform {
    Lower,
    Upper,
    Trim,
    Squeeze,
    Words,
    PathJoin(Box<str>, Box<str>),
    Before(Box<str>),
    After(Box<str>),
    Basename,
    Dirname,
    Substr(i64, i64),
    Replace(Box<str>, Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Int,
    Float,
    Bool01,
    HexDec,
    Lookup(usize),
    LookupPrefix(usize),
    First,
    Last,
    Nth(i64),
    Count,
    Distinct,
    Sort,
    Join(Box<str>),
    Max,
    Min,
    Json,
    ParseJson,
    UserPart,
    DomainPart,
    NullIf(Box<str>),
    Default(Box<str>),
    EpochMs,
    Iso8601,
    Date(Box<str>),
    Sha256,
    Hmac(SecretText),
    Mask(usize),
}

/// Whether something holds.
#[derive(Debug)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// Any of them.
    Or(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A comparison.
    Compare(Chain, Op, Chain),
    /// One of a list.
    In(Chain, Vec<Chain>, bool),
    /// There is a value.
    Exists(Chain),
    /// Text at the start.
    StartsWith(Chain, Vec<Chain>),
    /// Text at the end.
    EndsWith(Chain, Vec<Chain>),
    /// Text anywhere, or an element of a list.
    Contains(Chain, Vec<Chain>),
    /// An address in one of these networks.
    InCidr(Chain, Vec<Network>),
}

/// An address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Address with the host bits cleared; IPv4 in its mapped form.
    pub address: u128,
    /// Length of the prefix, counted in 128 bits.
    pub prefix: u32,
}

/// One key of an event and the ways to a value for it.
#[derive(Debug)]
pub struct Field {
    /// The CEF key or LEEF attribute, or the header field's name.
    pub key: Name,
    /// `key=`, ready to be written.
    pub prefix: Box<[u8]>,
    /// What the value must be.
    pub kind: Kind,
    /// Limit in characters.
    pub max: Option<u32>,
    /// Where an IPv6 value goes instead, with its label: ` c6a2=` and `c6a2Label=Source IPv6 Address`.
    pub paired: Option<(Box<[u8]>, Box<[u8]>)>,
    /// Without any overlay.
    pub base: Option<Choice>,
    /// What overlays put in its place, in order: the last that applies wins.
    pub variants: Vec<(usize, Option<Choice>)>,
}

/// A value form.
#[derive(Debug)]
pub struct Choice {
    /// Where the value comes from.
    pub supply: Supply,
    /// Only when this holds.
    pub when: Option<Condition>,
    /// Limit of the form itself.
    pub max: Option<u32>,
    /// Above the limit.
    pub overflow: Overflow,
    /// Of the wrong type.
    pub on_error: OnError,
    /// Replace the value by this many hex digits of its hash.
    pub digest: Option<usize>,
    /// `cs1Label=Name`, ready to be written.
    pub label: Option<Box<[u8]>>,
    /// Where it is written.
    pub span: Span,
}

/// Where a value form takes its value from.
#[derive(Debug)]
pub enum Supply {
    /// The first that gives one.
    First(Box<[Alternative]>),
    /// A constant.
    Constant(Constant),
    /// Text with holes.
    Template(Box<[Piece]>, Missing),
    /// The first that is a hash.
    Hash(Box<[Chain]>),
}

/// One of several sources of a value.
#[derive(Debug)]
pub enum Alternative {
    /// A chain.
    Chain(Chain),
    /// An inner form.
    Choice(Choice),
}

/// A piece of a template.
#[derive(Debug)]
pub enum Piece {
    /// Text.
    Text(Box<str>),
    /// A value.
    Hole(Chain),
}

/// What happens to a record before it is mapped.
#[derive(Debug)]
pub struct Rule {
    /// To which records.
    pub when: Condition,
    /// What.
    pub action: Action,
    /// Its name.
    pub reason: Name,
}

/// What a rule does.
#[derive(Debug)]
pub enum Action {
    /// Filter out.
    Drop,
    /// Stop looking at rules.
    Keep,
    /// Keep a share: the hash of the key below this bound.
    Sample(u64, Vec<Chain>),
    /// Add a word to `#tags`.
    Tag(Box<str>),
    /// `true` when this destination is among those named.
    Route(bool),
}

/// One event per element of a list.
#[derive(Debug)]
pub struct Fanout {
    /// The list.
    pub each: Chain,
    /// At most this many.
    pub max: usize,
    /// No event for an empty list.
    pub none_on_empty: bool,
}

/// What makes two records the same, and for how long.
#[derive(Debug)]
pub struct Dedupe {
    /// Values compared.
    pub key: Vec<Chain>,
    /// Milliseconds of append time.
    pub window: i64,
    /// Bound on remembered keys.
    pub max_keys: usize,
}

/// A table of values.
#[derive(Debug, Default)]
pub struct Lookup {
    /// By key, in lower case when `ignore_case`.
    pub entries: HashMap<Box<str>, Constant>,
    /// Keys longest first, for look-up by prefix.
    pub prefixes: Vec<Box<str>>,
    /// By network, longest prefix first.
    pub networks: Vec<(Network, Constant)>,
    /// Whether `A` finds `a`.
    pub ignore_case: bool,
    /// `"*"`.
    pub default: Option<Constant>,
}
