//! Single values: chains, conditions and value forms, computed from the slots of one record.

use std::cell::Cell;
use std::net::IpAddr;

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::ast::{Missing, Op};
use super::program::{
    Alternative, Chain, Choice, Condition, Constant, Fact, Field, Network, Origin, Piece, Program, Supply,
    Walk,
};
use super::transform;
use super::value::Value;
use crate::oversized;
use crate::record::Record;

/// One record on its way through a program.
pub struct Context<'r> {
    /// The program that runs.
    pub program: &'r Program,
    /// Holds every text made for this record.
    pub arena: &'r Bump,
    /// The record's columns.
    pub slots: &'r [Cell<Value<'r>>],
    /// Variables that were needed so far.
    pub vars: &'r [Cell<Option<Value<'r>>>],
    /// One bit for each overlay that applies.
    pub overlays: &'r [Cell<u64>],
    /// The record itself, for facts about it.
    pub record: &'r Record,
    /// Why it is `unparsed`, if it is.
    pub reason: &'r str,
    /// Words added by rules.
    pub tags: Cell<&'r str>,
    /// The fan-out element.
    pub item: Cell<Value<'r>>,
    /// Its number, from 1.
    pub index: Cell<usize>,
    /// How many there are.
    pub count: Cell<usize>,
    /// The last fault met while computing a value; taken by whoever counts it.
    pub fault: Cell<Option<Fault>>,
}

/// What can be wrong with a value. It is counted, never raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not of the key's type.
    Type,
    /// Not a time.
    Time,
    /// A time without a zone: UTC was taken.
    Zone,
    /// Not an address.
    Address,
    /// A number beyond the key's range.
    Range,
    /// Not in the lookup table, which has no default.
    Lookup,
    /// Not JSON.
    Json,
}

impl Fault {
    /// All of them, by the name they have in metrics.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("type", Self::Type),
        ("time", Self::Time),
        ("zone", Self::Zone),
        ("address", Self::Address),
        ("range", Self::Range),
        ("lookup", Self::Lookup),
        ("json", Self::Json),
    ];
}

impl<'r> Context<'r> {
    /// The value of a chain; `element` is what bare paths inside a list filter start from.
    pub fn chain(&self, chain: &'r Chain, element: Value<'r>) -> Value<'r> {
        let mut value = self.origin(&chain.origin, element);
        for step in &chain.walk {
            value = self.step(step, value);
        }
        for change in &chain.transforms {
            value = transform::apply(change, value, self);
        }
        value
    }

    /// The value of a form, and which of its alternatives gave it.
    pub fn choice(&self, choice: &'r Choice) -> (Value<'r>, usize) {
        if choice.when.as_ref().is_some_and(|when| !self.holds(when, Value::Missing)) {
            return (Value::Missing, 0);
        }
        let (value, alternative) = match &choice.supply {
            Supply::First(alternatives) => self.first(alternatives),
            Supply::Constant(constant) => (constant.value(), 0),
            Supply::Template(pieces, missing) => (self.template(pieces, *missing), 0),
            Supply::Hash(chains) => self.hash(chains),
        };
        let Some(n_digits) = choice.digest else { return (value, alternative) };
        match value.scalar(self.arena) {
            Some(text) => (transform::digest(text, n_digits, self.arena), alternative),
            None => (value, alternative),
        }
    }

    /// The form of a field that applies: the last overlay's, or its own.
    pub fn applicable(&self, field: &'r Field) -> Option<&'r Choice> {
        for (overlay, choice) in field.variants.iter().rev() {
            if self.overlays[overlay / 64].get() >> (overlay % 64) & 1 == 1 {
                return choice.as_ref();
            }
        }
        field.base.as_ref()
    }

    /// Whether a condition holds.
    pub fn holds(&self, condition: &'r Condition, element: Value<'r>) -> bool {
        let any_text = |subject: &'r Chain, args: &'r [Chain], test: fn(&str, &str) -> bool| {
            let holds = |value: Value<'r>| {
                value.scalar(self.arena).is_some_and(|text| {
                    args.iter()
                        .filter_map(|arg| self.chain(arg, element).scalar(self.arena))
                        .any(|arg| test(text, arg))
                })
            };
            match self.chain(subject, element) {
                list @ (Value::Array(_) | Value::List(_)) => {
                    list.elements(self.arena).iter().any(|value| holds(*value))
                }
                value => holds(value),
            }
        };
        match condition {
            Condition::And(all) => all.iter().all(|inner| self.holds(inner, element)),
            Condition::Or(any) => any.iter().any(|inner| self.holds(inner, element)),
            Condition::Not(inner) => !self.holds(inner, element),
            Condition::Compare(left, op, right) => self.compare(left, *op, right, element),
            Condition::In(value, list, negated) => {
                let value = self.chain(value, element);
                !value.is_missing(self.arena)
                    && list.iter().any(|item| self.equal(value, self.chain(item, element))) != *negated
            }
            Condition::Exists(chain) => !self.chain(chain, element).is_missing(self.arena),
            Condition::StartsWith(subject, args) => any_text(subject, args, starts_with),
            Condition::EndsWith(subject, args) => any_text(subject, args, ends_with),
            Condition::Contains(subject, args) => any_text(subject, args, contains),
            Condition::InCidr(subject, networks) => {
                let address = self.chain(subject, element).scalar(self.arena).and_then(parse_address);
                address.is_some_and(|address| networks.iter().any(|network| network.holds(address)))
            }
        }
    }

    fn origin(&self, origin: &'r Origin, element: Value<'r>) -> Value<'r> {
        match origin {
            Origin::Slot(slot) => self.slot(*slot),
            Origin::Var(number) => self.vars[*number].get().unwrap_or_else(|| {
                let value = self.chain(&self.program.vars[*number], Value::Missing);
                self.vars[*number].set(Some(value));
                value
            }),
            Origin::Item => self.item.get(),
            Origin::Element => element,
            Origin::Fact(fact) => self.fact(*fact),
            Origin::Finished(field) => {
                self.applicable(field).map_or(Value::Missing, |choice| self.choice(choice).0)
            }
            Origin::Constant(constant) => constant.value(),
        }
    }

    /// A column. Text with escapes is decoded when it is first looked at, and only then.
    fn slot(&self, slot: usize) -> Value<'r> {
        match self.slots[slot].get() {
            Value::Raw(text) if text.escaped => {
                let value = Value::text(text.decode(self.arena));
                self.slots[slot].set(value);
                value
            }
            value => value,
        }
    }

    fn step(&self, step: &'r Walk, value: Value<'r>) -> Value<'r> {
        match step {
            Walk::Name(name) => value.member(name, self.arena),
            Walk::Index(index) => value.element(*index, self.arena),
            Walk::All => match value {
                Value::Array(_) => Value::List(value.elements(self.arena)),
                Value::List(lists) => self.flat(lists),
                _ => Value::Missing,
            },
            Walk::Filter(condition) => {
                let elements = match value {
                    Value::Array(_) | Value::List(_) => value.elements(self.arena),
                    _ => return Value::Missing,
                };
                let mut kept = BumpVec::new_in(self.arena);
                kept.extend(elements.iter().copied().filter(|element| self.holds(condition, *element)));
                Value::list(kept)
            }
        }
    }

    /// The elements of lists that a path has collected, in one list: `alerts[*].techniques[*]`.
    fn flat(&self, lists: &'r [Value<'r>]) -> Value<'r> {
        if !lists.iter().any(|list| matches!(list, Value::Array(_) | Value::List(_))) {
            return Value::List(lists);
        }
        let mut elements = BumpVec::new_in(self.arena);
        lists.iter().for_each(|list| elements.extend_from_slice(list.elements(self.arena)));
        Value::list(elements)
    }

    fn fact(&self, fact: Fact) -> Value<'r> {
        let number = |number: u64| Value::Number(self.arena.alloc_str(itoa::Buffer::new().format(number)));
        match fact {
            Fact::Index => number(self.index.get() as u64),
            Fact::Count => number(self.count.get() as u64),
            Fact::Tags => Value::text(self.tags.get()),
            Fact::Source => Value::text(&self.record.source),
            Fact::Tenant => Value::text(&self.record.tenant),
            Fact::Table => Value::text(&self.record.table.0),
            Fact::Received => {
                Value::Number(self.arena.alloc_str(itoa::Buffer::new().format(self.record.received.0)))
            }
            Fact::Sequence => number(self.record.sequence),
            Fact::Reason => Value::text(self.reason),
            Fact::Text => {
                let body = oversized::read(&self.record.body).map_or(&*self.record.body, |parts| parts.head);
                let head = &body[..body.len().min(MAX_TEXT_BYTES)];
                Value::text(self.arena.alloc_str(&String::from_utf8_lossy(head)))
            }
            Fact::Length => {
                let body = &self.record.body;
                number(oversized::read(body).map_or(body.len() as u64, |parts| parts.length))
            }
            Fact::Sha256 => match oversized::read(&self.record.body) {
                Some(parts) => Value::text(self.arena.alloc_str(parts.sha256)),
                None => transform::digest_bytes(&self.record.body, 64, self.arena),
            },
        }
    }

    /// The first alternative that gives a value. A list or an object cannot be written: one stands for the key only
    /// where no other alternative has anything, and is then the fault of that key.
    fn first(&self, alternatives: &'r [Alternative]) -> (Value<'r>, usize) {
        let mut unwritable = None;
        for (number, alternative) in alternatives.iter().enumerate() {
            let value = match alternative {
                Alternative::Chain(chain) => self.chain(chain, Value::Missing),
                Alternative::Choice(choice) => self.choice(choice).0,
            };
            match value {
                Value::Array(_) | Value::Object(_) | Value::List(_) => {
                    unwritable = unwritable.or(Some((value, number)));
                }
                value if !value.is_missing(self.arena) => return (value, number),
                _ => {}
            }
        }
        unwritable.unwrap_or((Value::Missing, 0))
    }

    fn template(&self, pieces: &'r [Piece], missing: Missing) -> Value<'r> {
        let mut out = BumpString::new_in(self.arena);
        let mut any = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(chain) => match self.chain(chain, Value::Missing).scalar(self.arena) {
                    Some(text) => {
                        any = true;
                        out.push_str(text);
                    }
                    None if missing == Missing::Skip => return Value::Missing,
                    None => {}
                },
            }
        }
        // A template of which no hole was filled says nothing about the record.
        if any || pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            Value::text(out.into_bump_str())
        } else {
            Value::Missing
        }
    }

    fn hash(&self, chains: &'r [Chain]) -> (Value<'r>, usize) {
        for (number, chain) in chains.iter().enumerate() {
            if let Some(text) = self.chain(chain, Value::Missing).scalar(self.arena)
                && matches!(text.len(), 64 | 40 | 32)
                && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                return (Value::Text(text), number);
            }
        }
        (Value::Missing, 0)
    }

    fn compare(&self, left: &'r Chain, op: Op, right: &'r Chain, element: Value<'r>) -> bool {
        let (left, right) = (self.chain(left, element), self.chain(right, element));
        if left.is_missing(self.arena) || right.is_missing(self.arena) {
            return false;
        }
        match op {
            Op::Eq => self.equal(left, right),
            Op::Ne => !self.equal(left, right),
            Op::Same => left.scalar(self.arena).is_some_and(|text| right.scalar(self.arena) == Some(text)),
            Op::Lt | Op::Le | Op::Gt | Op::Ge => self.order(left, right).is_some_and(|order| match op {
                Op::Lt => order.is_lt(),
                Op::Le => order.is_le(),
                Op::Gt => order.is_gt(),
                _ => order.is_ge(),
            }),
        }
    }

    /// Equal without case; numbers by value; a list when any of its elements is.
    fn equal(&self, left: Value<'r>, right: Value<'r>) -> bool {
        if let Value::Array(_) | Value::List(_) = left {
            return left.elements(self.arena).iter().any(|element| self.equal(*element, right));
        }
        let (Some(left_text), Some(right_text)) = (left.scalar(self.arena), right.scalar(self.arena)) else {
            return false;
        };
        let numeric = || compare_numbers(left_text, right_text).is_some_and(std::cmp::Ordering::is_eq);
        equal_ignoring_case(left_text, right_text)
            || (matches!((left, right), (Value::Number(_), _) | (_, Value::Number(_))) && numeric())
    }

    fn order(&self, left: Value<'r>, right: Value<'r>) -> Option<std::cmp::Ordering> {
        let (left, right) = (left.scalar(self.arena)?, right.scalar(self.arena)?);
        compare_numbers(left, right).or_else(|| Some(left.to_lowercase().cmp(&right.to_lowercase())))
    }
}

impl Constant {
    /// As a value.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::text(text),
            Self::Number(digits) => Value::Number(digits),
            Self::Bool(flag) => Value::Bool(*flag),
        }
    }
}

impl Network {
    /// Whether the address, in its mapped form, lies in it.
    #[must_use]
    pub fn holds(&self, address: u128) -> bool {
        self.prefix == 0 || (address ^ self.address) >> (128 - self.prefix) == 0
    }
}

/// An address as 128 bits, IPv4 in its mapped form.
#[must_use]
pub fn parse_address(text: &str) -> Option<u128> {
    match text.trim().parse().ok()? {
        IpAddr::V4(address) => Some(address.to_ipv6_mapped().to_bits()),
        IpAddr::V6(address) => Some(address.to_bits()),
    }
}

/// How two numbers compare; whole ones exactly, whatever their size.
#[must_use]
pub fn compare_numbers(left: &str, right: &str) -> Option<std::cmp::Ordering> {
    if let (Ok(left), Ok(right)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return Some(left.cmp(&right));
    }
    left.parse::<f64>().ok()?.partial_cmp(&right.parse::<f64>().ok()?)
}

fn equal_ignoring_case(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
        || (!(left.is_ascii() && right.is_ascii()) && left.to_lowercase() == right.to_lowercase())
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        || (!text.is_ascii() && text.to_lowercase().starts_with(&start.to_lowercase()))
}

fn ends_with(text: &str, end: &str) -> bool {
    let tail = text.len().checked_sub(end.len()).and_then(|at| text.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        || (!text.is_ascii() && text.to_lowercase().ends_with(&end.to_lowercase()))
}

fn contains(text: &str, part: &str) -> bool {
    if part.is_ascii() && text.is_ascii() {
        return part.is_empty()
            || text
                .as_bytes()
                .windows(part.len())
                .any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    }
    text.to_lowercase().contains(&part.to_lowercase())
}

/// As much of a record as `#text` shows: several times the longest value any key takes.
const MAX_TEXT_BYTES: usize = 65_536;
