//! Conditions: `when`, and the filters of lists.

use nom::Parser;
use nom::character::complete::multispace0;
use nom::combinator::cut;
use nom::multi::many0;
use nom::sequence::preceded;

use super::Grammar;
use super::token::{Fault, Parsed, blank, close, failure, found, keyword, word};
use crate::mapping::ast::{Cond, Op, Spanned};
use crate::mapping::vocabulary;

impl<'a> Grammar<'a> {
    pub(super) fn cond(self, input: &'a str) -> Parsed<'a, Cond> {
        let (rest, first) = self.and(blank(input))?;
        let more =
            preceded((multispace0, |input| keyword(input, "or"), multispace0), cut(|input| self.and(input)));
        let (rest, more) = many0(more).parse(rest)?;
        Ok((rest, if more.is_empty() { first } else { Cond::Or(joined(first, more)) }))
    }

    fn and(self, input: &'a str) -> Parsed<'a, Cond> {
        let (rest, first) = self.not(input)?;
        let more =
            preceded((multispace0, |input| keyword(input, "and"), multispace0), cut(|input| self.not(input)));
        let (rest, more) = many0(more).parse(rest)?;
        Ok((rest, if more.is_empty() { first } else { Cond::And(joined(first, more)) }))
    }

    fn not(self, input: &'a str) -> Parsed<'a, Cond> {
        if let Ok((rest, ())) = keyword(input, "not") {
            let (rest, cond) = self.deeper(input)?.not(blank(rest))?;
            return Ok((rest, Cond::Not(Box::new(cond))));
        }
        if input.starts_with('!') {
            return failure(input, 1, "`!` is not an operator", "write `not`");
        }
        self.prim(input)
    }

    fn prim(self, input: &'a str) -> Parsed<'a, Cond> {
        if let Some(inside) = input.strip_prefix('(') {
            let (rest, cond) = self.deeper(input)?.cond(inside)?;
            return close(rest, ')', input).map(|(rest, ())| (rest, cond));
        }
        if let Ok((rest, name)) = word(input)
            && rest.starts_with('(')
            // A transform written like a function is read as an expression, which says where it belongs.
            && (vocabulary::transform(name).is_none() || vocabulary::condition(name).is_some())
        {
            return self.call(input, rest, name);
        }
        let (rest, left) = self.expr(input)?;
        let at = blank(rest);
        let negated = keyword(at, "not");
        let is_negated = negated.is_ok();
        let after_not = negated.map_or(at, |(rest, ())| blank(rest));
        if let Ok((after, ())) = keyword(after_not, "in") {
            let open = blank(after);
            if !open.starts_with('[') {
                return failure(open, 1, "expected `[` after `in`", "write `in ['a', 'b']`".to_owned());
            }
            let (rest, list) = self.list(open, ']', |input| self.expr(input))?;
            let list = list.into_iter().map(|item| item.value).collect();
            return Ok((rest, Cond::In { value: left.value, list, negated: is_negated }));
        }
        let (rest, op) = operator(at, input)?;
        let (rest, right) = self.expr(rest)?;
        Ok((rest, Cond::Compare(left.value, op, right.value)))
    }

    fn call(self, input: &'a str, rest: &'a str, name: &str) -> Parsed<'a, Cond> {
        let (rest, args) = self.list(rest, ')', |input| self.expr(input))?;
        let mut args = args.into_iter().map(|arg| arg.value);
        let Some(subject) = args.next() else {
            return failure(
                input,
                name.len(),
                format!("`{name}` needs what it asks about"),
                format!("write `{name}(path)`"),
            );
        };
        let name = Spanned { value: name.to_owned(), span: self.between(input, &input[name.len()..]) };
        Ok((rest, Cond::Call { name, subject, args: args.collect() }))
    }
}

pub(super) fn after_condition(rest: &str) -> nom::Err<Fault<'_>> {
    let help = match rest.get(..2) {
        Some("&&") => "write `and`",
        Some("||") => "write `or`",
        _ => "expected `and`, `or`, or the end",
    };
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let message = format!("unexpected {} after the condition", found(rest));
    nom::Err::Failure(Fault { at: rest, length, message, help: Some(help.to_owned()) })
}

fn operator<'a>(input: &'a str, left: &'a str) -> Parsed<'a, Op> {
    let known = OPERATORS.iter().find(|(text, _)| input.starts_with(text));
    match known {
        Some((text, op)) => Ok((&input[text.len()..], *op)),
        None if input.starts_with('=') => failure(input, 1, "`=` is not an operator", "write `==`"),
        None => {
            let left = left[..left.len() - input.len()].trim_end();
            let help = format!("compare it, for example `{left} == 'value'`, or ask `exists({left})`");
            failure(input, 1, format!("expected a comparison, found {}", found(input)), help)
        }
    }
}

fn joined(first: Cond, more: Vec<Cond>) -> Vec<Cond> {
    std::iter::once(first).chain(more).collect()
}

/// Longest first.
const OPERATORS: [(&str, Op); 7] = [
    ("===", Op::Same),
    ("==", Op::Eq),
    ("!=", Op::Ne),
    ("<=", Op::Le),
    (">=", Op::Ge),
    ("<", Op::Lt),
    (">", Op::Gt),
];
