//! The grammar of expressions, conditions and templates.
//!
//! ```text
//! expr      = source { "|" transform }
//! source    = path | 'text' | number | true | false
//! path      = ( name | "^" | "~" | "^"name | "~"name | "$"name | "#"name | "@"name ) { "." name | "[" step "]" }
//! step      = integer | "*" | cond
//! name      = letters, digits, "_", "-" | "any text"
//! transform = word [ "(" [ arg { "," arg } ] ")" ]
//! arg       = 'text' | number | word
//! cond      = and { "or" and }        and = not { "and" not }        not = [ "not" ] prim
//! prim      = "(" cond ")" | word "(" expr { "," expr } ")" | expr op expr | expr [ "not" ] "in" "[" expr { "," expr } "]"
//! template  = { text | "{{" | "}}" | "{" expr "}" }
//! ```
//!
//! Inside text a quote is written twice: `'it''s'`. There are no other escapes, so a backslash is a backslash.
//! Whether words, variables and tables exist is not asked here: see `check`.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, multispace0};
use nom::combinator::{cut, opt, recognize, verify};
use nom::multi::many0;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::ast::{Arg, Cond, Expr, Op, Path, Piece, Root, Source, Spanned, Step, Transform};
use super::diagnostic::{Diagnostic, EXPRESSION};
use super::place::Text;

/// An expression that fills the whole text.
pub fn expression(text: &Text<'_>) -> Result<Spanned<Expr>, Diagnostic> {
    let grammar = Grammar { text, depth: 0 };
    let result = grammar.expr(text.text).and_then(|(rest, expr)| {
        let rest = blank(rest);
        if rest.is_empty() { Ok(expr) } else { Err(after_expression(text.text, rest)) }
    });
    result.map_err(|fault| grammar.diagnostic(fault))
}

/// A condition that fills the whole text.
pub fn condition(text: &Text<'_>) -> Result<Spanned<Cond>, Diagnostic> {
    let grammar = Grammar { text, depth: 0 };
    let result = grammar.cond(text.text).and_then(|(rest, cond)| {
        let found = blank(rest);
        if found.is_empty() {
            Ok(Spanned { value: cond, span: grammar.between(text.text.trim_start(), rest) })
        } else {
            Err(after_condition(found))
        }
    });
    result.map_err(|fault| grammar.diagnostic(fault))
}

/// A template: text with `{expression}` holes.
pub fn template(text: &Text<'_>) -> Result<Vec<Piece>, Diagnostic> {
    let grammar = Grammar { text, depth: 0 };
    grammar.template(text.text).map_err(|fault| grammar.diagnostic(fault))
}

/// A path alone.
pub fn path(text: &Text<'_>) -> Result<Spanned<Path>, Diagnostic> {
    let expr = expression(text)?;
    match expr.value {
        Expr { source: Source::Path(path), transforms } if transforms.is_empty() => {
            Ok(Spanned { value: path, span: expr.span })
        }
        _ => Err(Diagnostic::error(EXPRESSION, &expr.span, "expected a path and nothing else")),
    }
}

#[derive(Clone, Copy)]
struct Grammar<'a> {
    text: &'a Text<'a>,
    depth: usize,
}

impl<'a> Grammar<'a> {
    fn expr(self, input: &'a str) -> Parsed<'a, Spanned<Expr>> {
        let start = blank(input);
        let (mut rest, source) = self.source(start)?;
        let mut transforms = Vec::new();
        while let Some(after) = blank(rest).strip_prefix('|') {
            if after.starts_with('|') {
                return failure(
                    blank(rest),
                    2,
                    "`||` is not an operator",
                    "write `or`, or a list of expressions",
                );
            }
            let (after, transform) = self.transform(blank(after))?;
            transforms.push(transform);
            rest = after;
        }
        let span = self.between(start, rest);
        Ok((rest, Spanned { value: Expr { source, transforms }, span }))
    }

    fn source(self, input: &'a str) -> Parsed<'a, Source> {
        if input.starts_with('\'') {
            return quoted(input).map(|(rest, text)| (rest, Source::Text(text)));
        }
        if let Ok((rest, digits)) = number(input) {
            if rest.starts_with(is_name) {
                let length = input.len() - rest.trim_start_matches(is_name).len();
                return failure(input, length, "a name begins with a letter", "put it in double quotes");
            }
            return Ok((rest, Source::Number(digits.to_owned())));
        }
        let (rest, path) = self.path(input)?;
        // Conditions compare as text, so the words of JSON are texts too; a column of that name is `"true"`.
        if let [Step::Name(name)] = path.steps.as_slice()
            && matches!(name.as_str(), "true" | "false")
            && input.starts_with(name.as_str())
        {
            return Ok((rest, Source::Text(name.clone())));
        }
        if rest.starts_with('(') && path.root == Root::Bare {
            let word = &input[..input.len() - rest.len()];
            let message = format!("`{word}` cannot be called here");
            return failure(
                input,
                word.len(),
                message,
                format!("a transform stands behind its value: `… | {word}`"),
            );
        }
        Ok((rest, Source::Path(path)))
    }

    fn path(self, input: &'a str) -> Parsed<'a, Path> {
        let mut steps = Vec::new();
        let (mut rest, root) = match input.chars().next() {
            Some(mark @ ('^' | '~')) => {
                let root = if mark == '^' { Root::Envelope } else { Root::Record };
                let (rest, first) = opt(name).parse(&input[1..])?;
                steps.extend(first.map(Step::Name));
                (rest, root)
            }
            Some(mark @ ('$' | '#' | '@')) => {
                let (rest, name) = name(&input[1..])?;
                let root = match mark {
                    '$' => Root::Var(name),
                    '#' => Root::Counter(name),
                    _ => Root::Finished(name),
                };
                (rest, root)
            }
            _ => {
                let (rest, first) = name(input)?;
                steps.push(Step::Name(first));
                (rest, Root::Bare)
            }
        };
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                let (after, next) = step_name(after)?;
                steps.push(Step::Name(next));
                rest = after;
            } else if rest.starts_with('[') {
                let (after, step) = self.bracket(rest)?;
                steps.push(step);
                rest = after;
            } else {
                let span = self.between(input, rest);
                return Ok((rest, Path { root, steps, span }));
            }
        }
    }

    fn bracket(self, input: &'a str) -> Parsed<'a, Step> {
        let inside = blank(&input[1..]);
        let index = verify(number, |digits: &str| !digits.contains('.'));
        if let Ok((rest, digits)) = terminated(index, (multispace0, char(']'))).parse(inside) {
            return match digits.parse() {
                Ok(index) => Ok((rest, Step::Index(index))),
                Err(_) => failure(inside, digits.len(), "this index is out of range", None::<String>),
            };
        }
        if let Some(rest) = inside.strip_prefix('*') {
            return close(rest, ']', input).map(|(rest, ())| (rest, Step::All));
        }
        let (rest, cond) = self.deeper(inside)?.cond(inside)?;
        close(rest, ']', input).map(|(rest, ())| (rest, Step::Filter(Box::new(cond))))
    }

    fn transform(self, input: &'a str) -> Parsed<'a, Spanned<Transform>> {
        let (mut rest, name) = match word(input) {
            Ok(found) => found,
            Err(_) => {
                return failure(
                    input,
                    1,
                    format!("expected a transform, found {}", found(input)),
                    None::<String>,
                );
            }
        };
        let mut args = Vec::new();
        if rest.starts_with('(') {
            let (after, found) = self.list(rest, ')', |input| self.arg(input))?;
            (rest, args) = (after, found);
        }
        let span = self.between(input, rest);
        Ok((rest, Spanned { value: Transform { name: name.to_owned(), args }, span }))
    }

    fn arg(self, input: &'a str) -> Parsed<'a, Spanned<Arg>> {
        let (rest, value) = if input.starts_with('\'') {
            quoted(input).map(|(rest, text)| (rest, Arg::Text(text)))?
        } else if let Ok((rest, digits)) = number(input) {
            (rest, Arg::Number(digits.to_owned()))
        } else if let Ok((rest, name)) = word(input) {
            (rest, Arg::Word(name.to_owned()))
        } else {
            return failure(
                input,
                1,
                format!("expected an argument, found {}", found(input)),
                None::<String>,
            );
        };
        Ok((rest, Spanned { value, span: self.between(input, rest) }))
    }

    /// `open item { "," item } close`, a comma at the end allowed, nothing inside allowed.
    fn list<T>(
        self,
        input: &'a str,
        end: char,
        mut item: impl FnMut(&'a str) -> Parsed<'a, T>,
    ) -> Parsed<'a, Vec<T>> {
        let mut items = Vec::new();
        let mut rest = blank(&input[1..]);
        loop {
            if let Some(after) = rest.strip_prefix(end) {
                return Ok((after, items));
            }
            if !items.is_empty() {
                match rest.strip_prefix(',') {
                    Some(after) => rest = blank(after),
                    None => return close(rest, end, input).map(|(rest, ())| (rest, items)),
                }
                if let Some(after) = rest.strip_prefix(end) {
                    return Ok((after, items));
                }
            }
            let (after, next) = item(rest)?;
            items.push(next);
            rest = blank(after);
        }
    }

    fn cond(self, input: &'a str) -> Parsed<'a, Cond> {
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
        if input.starts_with('(') {
            let (rest, cond) = self.deeper(input)?.cond(&input[1..])?;
            return close(rest, ')', input).map(|(rest, ())| (rest, cond));
        }
        if let Ok((rest, name)) = word(input)
            && rest.starts_with('(')
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

    fn template(self, input: &'a str) -> Result<Vec<Piece>, nom::Err<Fault<'a>>> {
        let (mut rest, mut pieces, mut literal) = (input, Vec::new(), String::new());
        loop {
            let run = rest.find(['{', '}']).unwrap_or(rest.len());
            literal.push_str(&rest[..run]);
            rest = &rest[run..];
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                literal.push_str(&rest[..1]);
                rest = after;
                continue;
            }
            if !literal.is_empty() && (rest.is_empty() || rest.starts_with('{')) {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            if rest.is_empty() {
                return Ok(pieces);
            }
            if rest.starts_with('}') {
                return failure(rest, 1, "`}` without `{`", "a brace that is text is written twice: `}}`")
                    .map(|(_, ())| pieces);
            }
            let (after, hole) = self.expr(&rest[1..])?;
            let (after, ()) = close(after, '}', rest)?;
            pieces.push(Piece::Hole(hole));
            rest = after;
        }
    }

    /// The grammar one level down. Bounded, because a file from a stranger must not exhaust the stack.
    fn deeper(self, input: &'a str) -> Result<Self, nom::Err<Fault<'a>>> {
        if self.depth == DEEPEST {
            let message = format!("more than {DEEPEST} levels of brackets");
            return Err(nom::Err::Failure(Fault { at: input, length: 1, message, help: None }));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn between(self, start: &str, rest: &str) -> super::ast::Span {
        let whole = self.text.text.len();
        self.text.span(whole - start.len()..whole - rest.len())
    }

    fn diagnostic(self, error: nom::Err<Fault<'a>>) -> Diagnostic {
        match error {
            nom::Err::Error(fault) | nom::Err::Failure(fault) => {
                let start = self.text.text.len() - fault.at.len();
                let length = fault.at.ceil_char_boundary(fault.length.min(fault.at.len()));
                let span = self.text.span(start..start + length);
                Diagnostic::error(EXPRESSION, &span, fault.message).help(fault.help)
            }
            nom::Err::Incomplete(_) => {
                Diagnostic::error(EXPRESSION, &self.text.whole(), "this text ends too early")
            }
        }
    }
}

/// What stopped the parser and where.
#[derive(Debug)]
struct Fault<'a> {
    at: &'a str,
    length: usize,
    message: String,
    help: Option<String>,
}

impl<'a> nom::error::ParseError<&'a str> for Fault<'a> {
    fn from_error_kind(at: &'a str, _: nom::error::ErrorKind) -> Self {
        Fault { at, length: 1, message: format!("unexpected {}", found(at)), help: None }
    }

    fn append(_: &'a str, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

type Parsed<'a, T> = IResult<&'a str, T, Fault<'a>>;

fn failure<'a, T>(
    at: &'a str,
    length: usize,
    message: impl Into<String>,
    help: impl Into<Help>,
) -> Parsed<'a, T> {
    let Help(help) = help.into();
    Err(nom::Err::Failure(Fault { at, length, message: message.into(), help }))
}

/// Text at the caret; a type of its own so that callers may pass what they have.
struct Help(Option<String>);

impl From<&str> for Help {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl From<String> for Help {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}

impl From<Option<String>> for Help {
    fn from(text: Option<String>) -> Self {
        Self(text)
    }
}

fn after_expression<'a>(whole: &str, rest: &'a str) -> nom::Err<Fault<'a>> {
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let help = if rest.starts_with(|next: char| is_name(next) || next == '\'') {
        format!("a bare string is a path; fixed text is written {{ const = \"{whole}\" }}")
    } else {
        "expected `|` and a transform, or the end".to_owned()
    };
    let message = format!("unexpected {} after the expression", found(rest));
    nom::Err::Failure(Fault { at: rest, length, message, help: Some(help) })
}

fn after_condition(rest: &str) -> nom::Err<Fault<'_>> {
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

/// The closing bracket, or a fault that points at the opening one.
fn close<'a>(input: &'a str, end: char, open: &'a str) -> Parsed<'a, ()> {
    let rest = blank(input);
    match rest.strip_prefix(end) {
        Some(rest) => Ok((rest, ())),
        None if rest.is_empty() => failure(open, 1, format!("`{end}` is missing"), None::<String>),
        None => failure(rest, 1, format!("expected `{end}`, found {}", found(rest)), None::<String>),
    }
}

fn quoted(input: &str) -> Parsed<'_, String> {
    let inside = |input| take_while(|next| next != '\'').parse(input);
    let (rest, text) = recognize((tag("'"), inside, many0((tag("''"), inside)))).parse(input)?;
    match rest.strip_prefix('\'') {
        Some(rest) => Ok((rest, text[1..].replace("''", "'"))),
        None => failure(input, 1, "this text has no end", "a closing `'` is missing"),
    }
}

fn number(input: &str) -> Parsed<'_, &str> {
    let digits = |input| take_while1(|next: char| next.is_ascii_digit()).parse(input);
    recognize((opt(char('-')), digits, opt((char('.'), digits)))).parse(input)
}

/// A word of the language: a transform, a function, a table.
fn word(input: &str) -> Parsed<'_, &str> {
    verify(take_while1(is_name), |text: &str| {
        !text.starts_with(|next: char| next.is_ascii_digit() || next == '-')
    })
    .parse(input)
}

/// A name in a path, which may be any text in double quotes.
fn name(input: &str) -> Parsed<'_, String> {
    if input.starts_with('"') {
        return quoted_name(input);
    }
    match word(input) {
        Ok((rest, name)) => Ok((rest, name.to_owned())),
        Err(_) => Err(nom::Err::Error(Fault {
            at: input,
            length: 1,
            message: format!("expected a path, found {}", found(input)),
            help: None,
        })),
    }
}

/// A name behind a dot: may begin with a digit.
fn step_name(input: &str) -> Parsed<'_, String> {
    if input.starts_with('"') {
        return quoted_name(input);
    }
    match alt((take_while1::<_, _, Fault<'_>>(is_name), tag("@"))).parse(input) {
        Ok((rest, name)) if name != "@" => Ok((rest, name.to_owned())),
        _ => failure(
            input,
            1,
            format!("expected a name after `.`, found {}", found(input)),
            "an odd name goes in double quotes",
        ),
    }
}

fn quoted_name(input: &str) -> Parsed<'_, String> {
    match input[1..].find('"') {
        Some(length) if length > 0 => Ok((&input[length + 2..], input[1..=length].to_owned())),
        Some(_) => failure(input, 2, "a name cannot be empty", None::<String>),
        None => failure(input, 1, "this name has no end", "a closing `\"` is missing"),
    }
}

fn keyword<'a>(input: &'a str, word: &str) -> Parsed<'a, ()> {
    match input.strip_prefix(word) {
        Some(rest) if !rest.starts_with(is_name) => Ok((rest, ())),
        _ => Err(nom::Err::Error(nom::error::ParseError::from_error_kind(input, nom::error::ErrorKind::Tag))),
    }
}

fn is_name(next: char) -> bool {
    next.is_alphanumeric() || next == '_' || next == '-'
}

fn blank(input: &str) -> &str {
    input.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn found(rest: &str) -> String {
    let rest = blank(rest);
    let length = rest.find(|next| !is_name(next)).unwrap_or(rest.len());
    match rest.chars().next() {
        None => "the end".to_owned(),
        Some(first) if length == 0 => format!("`{first}`"),
        Some(_) => format!("`{}`", &rest[..length]),
    }
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

/// Brackets, filters and `not` inside each other.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests;
