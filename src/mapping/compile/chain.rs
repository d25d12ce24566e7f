//! Expressions and conditions: names become slots, variables and transforms.

use super::Compiler;
use crate::mapping::ast::{Arg, Cond, Expr, Path, Root, Source, Span, Spanned, Step};
use crate::mapping::evaluate::parse_address;
use crate::mapping::program::{Chain, Condition, Constant, Fact, Network, Origin, Transform, Walk};
use crate::secret::SecretText;

/// What a bare path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The record's root.
    Record,
    /// The element of a list filter.
    Element,
}

impl Compiler<'_> {
    pub(super) fn chain(&mut self, expr: &Expr, scope: Scope) -> Chain {
        let transforms = expr.transforms.iter().map(|transform| self.transform(transform)).collect();
        let constant = |constant| Chain {
            origin: Origin::Constant(constant),
            walk: Box::default(),
            transforms: Box::default(),
            span: Span { file: 0, range: 0..0 },
        };
        let start = match &expr.source {
            Source::Text(text) => constant(Constant::Text(text.as_str().into())),
            Source::Number(digits) => constant(Constant::Number(digits.as_str().into())),
            Source::Path(path) => self.path(path, scope),
        };
        Chain { transforms, ..start }
    }

    fn path(&mut self, path: &Path, scope: Scope) -> Chain {
        let mut steps = &path.steps[..];
        let origin = match &path.root {
            Root::Bare if is_word(path, "true") => Origin::Constant(Constant::Bool(true)),
            Root::Bare if is_word(path, "false") => Origin::Constant(Constant::Bool(false)),
            Root::Bare if scope == Scope::Element => Origin::Element,
            Root::Bare if self.is_item(steps) => {
                steps = &steps[1..];
                Origin::Item
            }
            Root::Bare | Root::Record => {
                let root = self.root.clone();
                self.slot(&root, &mut steps)
            }
            Root::Envelope => self.slot(&[], &mut steps),
            Root::Var(name) => {
                self.vars.get(name.as_str()).map_or_else(nothing, |number| Origin::Var(*number))
            }
            Root::Counter(name) => {
                let known = Fact::NAMES.iter().find(|(known, _)| known == name);
                known.map_or_else(nothing, |(_, fact)| Origin::Fact(*fact))
            }
            Root::Finished(key) => Origin::Finished(Box::new(self.cef_field(key))),
        };
        if matches!(origin, Origin::Constant(_)) {
            steps = &[];
        }
        let walk = steps.iter().map(|step| self.step(step)).collect();
        Chain { origin, walk, transforms: Box::default(), span: path.span.clone() }
    }

    /// Takes the leading names of a path into the trie and leaves the steps that need a walk.
    fn slot(&mut self, root: &[String], steps: &mut &[Step]) -> Origin {
        let n_names = steps.iter().take_while(|step| matches!(step, Step::Name(_))).count();
        let (head, rest) = steps.split_at(n_names);
        let path: Vec<String> = root.iter().cloned().chain(names(head)).collect();
        *steps = rest;
        Origin::Slot(self.trie.slot(path.iter().map(String::as_str)))
    }

    fn is_item(&self, steps: &[Step]) -> bool {
        let item = self.mapping.fanout.as_ref().map(|fanout| fanout.item.as_str());
        matches!((steps.first(), item), (Some(Step::Name(name)), Some(item)) if name == item)
    }

    fn step(&mut self, step: &Step) -> Walk {
        match step {
            Step::Name(name) => Walk::Name(name.as_str().into()),
            Step::Index(index) => Walk::Index(*index),
            Step::All => Walk::All,
            Step::Filter(condition) => Walk::Filter(self.condition(condition, Scope::Element)),
        }
    }

    pub(super) fn condition(&mut self, condition: &Cond, scope: Scope) -> Condition {
        match condition {
            Cond::And(all) => Condition::And(all.iter().map(|inner| self.condition(inner, scope)).collect()),
            Cond::Or(any) => Condition::Or(any.iter().map(|inner| self.condition(inner, scope)).collect()),
            Cond::Not(inner) => Condition::Not(Box::new(self.condition(inner, scope))),
            Cond::Compare(left, op, right) => {
                Condition::Compare(self.chain(left, scope), *op, self.chain(right, scope))
            }
            Cond::In { value, list, negated } => {
                let candidates = list.iter().map(|candidate| self.chain(candidate, scope)).collect();
                Condition::In(self.chain(value, scope), candidates, *negated)
            }
            Cond::Call { name, subject, args } => {
                let subject = self.chain(subject, scope);
                let mut chains = || args.iter().map(|arg| self.chain(arg, scope)).collect();
                match name.value.as_str() {
                    "missing" => Condition::Not(Box::new(Condition::Exists(subject))),
                    "starts_with" => Condition::StartsWith(subject, chains()),
                    "ends_with" => Condition::EndsWith(subject, chains()),
                    "contains" => Condition::Contains(subject, chains()),
                    "in_cidr" => Condition::InCidr(
                        subject,
                        args.iter().filter_map(text_of).filter_map(network).collect(),
                    ),
                    _ => Condition::Exists(subject),
                }
            }
        }
    }

    fn transform(&mut self, transform: &Spanned<crate::mapping::ast::Transform>) -> Transform {
        let args = &transform.value.args;
        let text = |place: usize| -> Box<str> {
            args.get(place)
                .map(|arg| match &arg.value {
                    Arg::Text(text) | Arg::Number(text) | Arg::Word(text) => text.as_str().into(),
                })
                .unwrap_or_default()
        };
        let number = |place: usize, absent: i64| text(place).parse().unwrap_or(absent);
        let table = || self.mapping.lookups.get_index_of(&*text(0)).unwrap_or_default();
        match transform.value.name.as_str() {
            "lower" => Transform::Lower,
            "upper" => Transform::Upper,
            "squeeze" => Transform::Squeeze,
            "words" => Transform::Words,
            "path_join" => Transform::PathJoin(text(0), text(1)),
            "before" => Transform::Before(text(0)),
            "after" => Transform::After(text(0)),
            "basename" => Transform::Basename,
            "dirname" => Transform::Dirname,
            "substr" => Transform::Substr(number(0, 0), number(1, i64::MAX)),
            "replace" => Transform::Replace(text(0), text(1)),
            "prefix" => Transform::Prefix(text(0)),
            "suffix" => Transform::Suffix(text(0)),
            "int" => Transform::Int,
            "float" => Transform::Float,
            "bool01" => Transform::Bool01,
            "hex_dec" => Transform::HexDec,
            "lookup" => Transform::Lookup(table()),
            "lookup_prefix" => Transform::LookupPrefix(table()),
            "first" => Transform::First,
            "last" => Transform::Last,
            "nth" => Transform::Nth(number(0, 0)),
            "count" => Transform::Count,
            "distinct" => Transform::Distinct,
            "sort" => Transform::Sort,
            "join" => Transform::Join(text(0)),
            "max" => Transform::Max,
            "min" => Transform::Min,
            "json" => Transform::Json,
            "parse_json" => Transform::ParseJson,
            "user_part" => Transform::UserPart,
            "domain_part" => Transform::DomainPart,
            "null_if" => Transform::NullIf(text(0)),
            "default" => Transform::Default(text(0)),
            "epoch_ms" => Transform::EpochMs,
            "iso8601" => Transform::Iso8601,
            "date" => Transform::Date(text(0)),
            "sha256" => Transform::Sha256,
            "hmac" => {
                let key = self.target.secrets.get(&*text(0)).cloned();
                if key.is_none() {
                    self.missing_secrets.push(text(0));
                }
                Transform::Hmac(key.unwrap_or_else(|| SecretText::new("")))
            }
            "mask" => Transform::Mask(usize::try_from(number(0, 0)).unwrap_or(0)),
            _ => Transform::Trim,
        }
    }
}

/// The names of leading name steps.
pub fn names(steps: &[Step]) -> impl Iterator<Item = String> + '_ {
    steps.iter().map_while(|step| match step {
        Step::Name(name) => Some(name.clone()),
        _ => None,
    })
}

/// `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[must_use]
pub fn network(text: &str) -> Option<Network> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let bits = parse_address(address)?;
    let v4 = address.contains('.') && !address.contains(':');
    let most = if v4 { 32 } else { 128 };
    let length: u32 =
        length.map_or(Some(most), |length| length.parse().ok()).filter(|length| *length <= most)?;
    let prefix = if v4 { length + 96 } else { length };
    let mask = if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) };
    Some(Network { address: bits & mask, prefix })
}

fn is_word(path: &Path, word: &str) -> bool {
    matches!(&path.steps[..], [Step::Name(name)] if name == word)
}

fn text_of(expr: &Expr) -> Option<&str> {
    match &expr.source {
        Source::Text(text) => Some(text),
        _ => None,
    }
}

/// What an unknown name stands for; `check` has reported it.
fn nothing() -> Origin {
    Origin::Constant(Constant::Text(Box::default()))
}
