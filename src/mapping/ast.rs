//! A mapping as written, after its layers were merged: what `file`, `expr` and `layer` produce and `compile` takes.
//!
//! Every part keeps the [`Span`] it was written at, so that a diagnostic can point at the character and
//! `map show` can name file and line of each effective field.

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;

/// A place in a mapping file: byte offsets into its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Sources`].
    pub file: usize,
    /// Byte range in that file.
    pub range: Range<usize>,
}

/// The texts of all files that were read, for diagnostics and provenance.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Display name (path as an operator knows it) and text of each file.
    pub files: Vec<(String, Arc<str>)>,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// One mapping with includes, profile and site patches already merged in.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Stable name: metrics, logs and patches use it.
    pub id: Spanned<String>,
    /// Semantic version of the content.
    pub version: Spanned<String>,
    /// One line of text.
    pub title: String,
    /// `retires`: the source of these records will be switched off.
    pub retires: Option<Retirement>,
    /// Files, by their number in [`Sources`], of the patches laid over it and its fragments.
    pub patched: Vec<usize>,
    /// `[match]`.
    pub matching: Match,
    /// `[record] root`: dotted path that bare paths start at.
    pub root: Option<Spanned<Path>>,
    /// `[record] json_columns`: string columns that hold JSON text.
    pub json_columns: Vec<Spanned<String>>,
    /// `[vars]`, in order of definition.
    pub vars: IndexMap<String, Spanned<Expr>>,
    /// `[header]`, `[extension]`, `[extension_custom]`, `[leef]`.
    pub parts: Parts,
    /// `[lookup.<name>]`, and the shared tables of `mappings/lookup/`.
    pub lookups: IndexMap<String, Lookup>,
    /// `[[overlay]]`, in order.
    pub overlays: Vec<Overlay>,
    /// `[[rule]]`, in order of evaluation (`before = true` already moved to the front).
    pub rules: Vec<Rule>,
    /// `[dedupe]`.
    pub dedupe: Option<Dedupe>,
    /// `[fanout]`.
    pub fanout: Option<Fanout>,
    /// `[fanout]` with `enabled = false`: what a site can switch on. Nothing runs it.
    pub dormant_fanout: Option<Fanout>,
    /// `[limits] shed`: keys dropped first when an event is above the destination's size.
    pub shed: Vec<Spanned<String>>,
    /// `[[test]]`.
    pub tests: Vec<Test>,
    /// `[ignore]`: source columns that are deliberately not mapped, with the reason.
    pub ignore: IndexMap<String, Spanned<String>>,
}

/// `retires`.
#[derive(Clone, Debug)]
pub struct Retirement {
    /// The day.
    pub date: Spanned<jiff::civil::Date>,
    /// What ends, and what to use instead.
    pub note: String,
}

/// `[match]`.
#[derive(Clone, Debug)]
pub struct Match {
    /// The table, compared without case.
    pub table: Spanned<String>,
    /// Further condition.
    pub when: Option<Spanned<Cond>>,
    /// Orders mappings that match the same table; higher first.
    pub priority: i64,
}

/// The parts that overlays and fan-out share with the file body.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Header fields by name: class_id, name, severity, vendor, product, version.
    pub header: IndexMap<String, Field>,
    /// CEF keys of the dictionary, in file order.
    pub extension: IndexMap<String, Field>,
    /// Keys that are not in the dictionary, on purpose.
    pub extension_custom: IndexMap<String, Field>,
    /// `[leef]`.
    pub leef: Leef,
}

/// `[leef]`.
#[derive(Clone, Debug, Default)]
pub struct Leef {
    /// LEEF event id instead of the CEF class id.
    pub event_id: Option<Field>,
    /// LEEF 2.0 delimiter.
    pub delimiter: Option<Spanned<String>>,
    /// LEEF attributes that differ from the built-in key table.
    pub extension: IndexMap<String, Field>,
}

/// One row: a key and its value form; `form` is `None` where a patch or overlay removes the field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where the key stands.
    pub key: Span,
    /// The value form, or `None` for `false`.
    pub form: Option<Form>,
}

/// A value form with its options.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where the value comes from.
    pub from: From,
    /// `label`, on custom slots.
    pub label: Option<Spanned<String>>,
    /// `max` in characters.
    pub max: Option<Spanned<u32>>,
    /// `overflow`.
    pub overflow: Overflow,
    /// `on_error`.
    pub on_error: OnError,
    /// `when`.
    pub when: Option<Spanned<Cond>>,
    /// `digest = n`: the value becomes n hex digits of its SHA-256.
    pub digest: Option<Spanned<u8>>,
    /// The whole value.
    pub span: Span,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// The first expression that gives a value.
    FirstOf(Vec<Alternative>),
    /// A constant.
    Const(Scalar),
    /// Text with holes.
    Template {
        /// Literal and hole pieces in order.
        pieces: Vec<Piece>,
        /// What a missing hole does.
        missing: Missing,
    },
    /// The first value that is hexadecimal of length 64, 40 or 32.
    Hash(Vec<Spanned<Expr>>),
}

/// One entry of a list form: an expression, or an inner constant or template form.
#[derive(Clone, Debug)]
pub enum Alternative {
    /// An expression.
    Expr(Spanned<Expr>),
    /// `{ const = … }`, `{ template = … }`, `{ hash = … }` inside a list.
    Form(Box<Form>),
}

/// A TOML scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// Integer.
    Int(i64),
    /// Float.
    Float(f64),
    /// Boolean.
    Bool(bool),
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// `{expression}`.
    Hole(Spanned<Expr>),
}

/// `missing` of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// A missing hole drops the field.
    #[default]
    Skip,
    /// A missing hole becomes nothing.
    Empty,
}

/// `overflow`: what happens to a value above its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Cut to the limit.
    #[default]
    Cut,
    /// Drop the field.
    Drop,
}

/// `on_error`: what happens to a value of the wrong type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Leave the field out and count.
    #[default]
    Skip,
    /// Write it as text.
    Text,
    /// Send the record through `unparsed`.
    Reject,
}

/// A source and the transforms after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What is read.
    pub source: Source,
    /// Applied left to right.
    pub transforms: Vec<Spanned<Transform>>,
}

/// What an expression starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A path.
    Path(Path),
    /// A quoted text.
    Text(String),
    /// A number, as its digits.
    Number(String),
}

/// A path: where it starts and the steps from there.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Where it starts.
    pub root: Root,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Where it stands.
    pub span: Span,
}

/// Where a path starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// Bare: the record's root, or, inside a list filter, the element; the fan-out name is also written bare.
    Bare,
    /// `^`: the envelope.
    Envelope,
    /// `~`: the record's root even inside a list filter.
    Record,
    /// `$name`.
    Var(String),
    /// `#name`: index, count, tags, source, tenant, table, received, reason.
    Counter(String),
    /// `@key`: a finished CEF value.
    Finished(String),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `.name`
    Name(String),
    /// `[n]`; negative counts from the end.
    Index(i64),
    /// `[*]`
    All,
    /// `[condition]`
    Filter(Box<Cond>),
}

/// `name(args)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Its name, not yet checked.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Spanned<Arg>>,
}

/// An argument: quoted text, a number, or a bare word (lookup and secret names).
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// `'text'`
    Text(String),
    /// `12`, `0.5`
    Number(String),
    /// `name`
    Word(String),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Cond {
    /// All of them.
    And(Vec<Cond>),
    /// Any of them.
    Or(Vec<Cond>),
    /// The opposite.
    Not(Box<Cond>),
    /// A comparison.
    Compare(Expr, Op, Expr),
    /// `value in [..]`; `negated` for `not in`.
    In {
        /// Left side.
        value: Expr,
        /// Candidates.
        list: Vec<Expr>,
        /// `not in`.
        negated: bool,
    },
    /// exists, missing, starts_with, ends_with, contains, in_cidr: name, subject and text arguments.
    Call {
        /// Function name, not yet checked.
        name: Spanned<String>,
        /// First argument.
        subject: Expr,
        /// The other arguments.
        args: Vec<Expr>,
    },
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `==`, without case.
    Eq,
    /// `===`, with case.
    Same,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// `[lookup.<name>]`.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Keys and values, in file order, without `"*"`.
    pub entries: IndexMap<String, Spanned<Scalar>>,
    /// `"*"`.
    pub default: Option<Spanned<Scalar>>,
    /// `ignore_case`, default true.
    pub ignore_case: bool,
    /// `kind = "cidr"`: keys are networks.
    pub cidr: bool,
    /// Where the table stands.
    pub span: Span,
}

/// `[[overlay]]`.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// When it applies.
    pub when: Spanned<Cond>,
    /// What it sets.
    pub parts: Parts,
}

/// `[[rule]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// When it applies.
    pub when: Spanned<Cond>,
    /// What it does.
    pub action: Action,
    /// Name in metrics and accounts.
    pub reason: Spanned<String>,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Filter the record out.
    Drop,
    /// Keep it and look at no further rule.
    Keep,
    /// Keep this share, chosen by the key expressions.
    Sample {
        /// 0.0 to 1.0.
        keep: f64,
        /// What decides; the sequence number of the record when empty.
        key: Vec<Spanned<Expr>>,
    },
    /// Add a word to `#tags` and go on with the next rule.
    Tag(String),
    /// Only to these destinations.
    Route(Vec<String>),
}

/// `[dedupe]`.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// What makes two records the same.
    pub key: Vec<Spanned<Expr>>,
    /// For how long, in milliseconds.
    pub window: i64,
    /// Bound on remembered keys.
    pub max_keys: usize,
}

/// `[fanout]`.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// The list.
    pub each: Spanned<Expr>,
    /// Name of the element in paths.
    pub item: String,
    /// At most this many events.
    pub max: usize,
    /// `on_empty = "none"`: no event for an empty list.
    pub none_on_empty: bool,
    /// What differs per element.
    pub parts: Parts,
}

/// `[[test]]`.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it promises.
    pub name: Spanned<String>,
    /// The record's table where the mapping takes more than one (`generic`); else that of `[match]`.
    pub table: Option<String>,
    /// The record, as text.
    pub input: Spanned<String>,
    /// Expected number of events.
    pub events: Option<usize>,
    /// Reason of the rule that must filter it out.
    pub dropped_by: Option<String>,
    /// `expect.header`.
    pub header: IndexMap<String, Spanned<Scalar>>,
    /// `expect.extension` without `absent`.
    pub extension: IndexMap<String, Spanned<Scalar>>,
    /// `expect.extension.absent`.
    pub absent: Vec<Spanned<String>>,
    /// `expect.leef`.
    pub leef: IndexMap<String, Spanned<Scalar>>,
}
