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

mod condition;
mod token;

use nom::Parser;
use nom::character::complete::{char, multispace0};
use nom::combinator::{opt, verify};
use nom::sequence::terminated;

use self::condition::after_condition;
use self::token::{
    Fault, Parsed, blank, close, failure, found, is_name, name, number, quoted, step_name, word,
};
use super::ast::{Arg, Cond, Expr, Path, Piece, Root, Source, Spanned, Step, Transform};
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

/// Brackets, filters and `not` inside each other.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests;
