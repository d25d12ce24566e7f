//! Expressions and conditions: do their words exist, do their arguments fit, does a list end before it is written.

use super::Checker;
use crate::mapping::ast::{Arg, Cond, Expr, Path, Root, Source, Span, Spanned, Step, Transform};
use crate::mapping::diagnostic::{
    ARGUMENTS, Diagnostic, FINISHED, SHAPE, UNKNOWN_CONDITION, UNKNOWN_COUNTER, UNKNOWN_LOOKUP,
    UNKNOWN_TRANSFORM, UNKNOWN_VAR,
};
use crate::mapping::file::is_network;
use crate::mapping::vocabulary::{self, ArgKind, CONDITIONS, COUNTERS, Shape, TRANSFORMS, suggestion};

impl Checker<'_> {
    /// An expression that must end in one value.
    pub fn value(&mut self, expr: &Spanned<Expr>) {
        if self.expr(&expr.value) == Shape::List {
            self.list_without_end(&expr.span);
        }
    }

    fn list_without_end(&mut self, span: &Span) {
        let help = "end it with first, last, nth, join, count, min or max".to_owned();
        self.faults.push(Diagnostic::error(SHAPE, span, "this is a list, one value is needed").help(help));
    }

    /// An expression of any shape.
    pub fn expr(&mut self, expr: &Expr) -> Shape {
        let mut shape = match &expr.source {
            Source::Path(path) => self.path(path),
            Source::Text(_) | Source::Number(_) => Shape::Scalar,
        };
        for transform in &expr.transforms {
            shape = self.transform(transform, shape);
        }
        shape
    }

    fn path(&mut self, path: &Path) -> Shape {
        let mut shape = match &path.root {
            Root::Var(name) => match self.vars.get(name) {
                Some(shape) => *shape,
                None => {
                    let known = self.vars.keys().map(String::as_str);
                    let help = suggestion(name, known)
                        .unwrap_or_else(|| "a variable is defined in [vars], above its use".to_owned());
                    let message = format!("unknown variable `${name}`");
                    self.faults.push(Diagnostic::error(UNKNOWN_VAR, &path.span, message).help(help));
                    Shape::Any
                }
            },
            Root::Counter(name) => {
                self.counter(name, &path.span);
                Shape::Scalar
            }
            Root::Finished(name) => {
                self.finished(name, &path.span);
                Shape::Scalar
            }
            Root::Bare | Root::Envelope | Root::Record => Shape::Any,
        };
        for (position, step) in path.steps.iter().enumerate() {
            match step {
                Step::Filter(cond) => {
                    self.cond(cond, &path.span);
                    shape = Shape::List;
                }
                Step::All => shape = Shape::List,
                // An index right behind a list variable takes from that list; further on it takes from each element.
                Step::Index(_) if position == 0 && shape == Shape::List => shape = Shape::Any,
                Step::Index(_) | Step::Name(_) => {}
            }
        }
        shape
    }

    fn counter(&mut self, name: &str, span: &Span) {
        if !COUNTERS.contains(&name) {
            let help =
                suggestion(name, COUNTERS).unwrap_or_else(|| format!("one of {}", COUNTERS.join(", ")));
            let fault = Diagnostic::error(UNKNOWN_COUNTER, span, format!("unknown counter `#{name}`"));
            self.faults.push(fault.help(help));
        }
    }

    fn finished(&mut self, name: &str, span: &Span) {
        let fault = if !self.in_leef {
            Diagnostic::error(FINISHED, span, format!("`@{name}` outside [leef]"))
                .help("a finished CEF value can be used in the LEEF part only".to_owned())
        } else if !self.keys.contains(name) {
            let message = format!("`@{name}`: no CEF key of that name is set");
            Diagnostic::error(FINISHED, span, message)
                .help(suggestion(name, self.keys.iter().map(String::as_str)))
        } else {
            return;
        };
        self.faults.push(fault);
    }

    fn transform(&mut self, transform: &Spanned<Transform>, input: Shape) -> Shape {
        let Spanned { value: Transform { name, args }, span } = transform;
        let word = Span { file: span.file, range: span.range.start..span.range.start + name.len() };
        let Some(spec) = vocabulary::transform(name) else {
            let help = suggestion(name, TRANSFORMS.iter().map(|spec| spec.name));
            let fault = Diagnostic::error(UNKNOWN_TRANSFORM, &word, format!("unknown transform `{name}`"));
            self.faults.push(fault.help(help));
            return Shape::Any;
        };
        match (spec.input, input) {
            (Shape::Scalar, Shape::List) => {
                let message = format!("`{name}` takes one value, this is a list");
                let help = "end the list before it, for example with first".to_owned();
                self.faults.push(Diagnostic::error(SHAPE, &word, message).help(help));
            }
            (Shape::List, Shape::Scalar) => {
                let message = format!("`{name}` takes a list, this is one value");
                self.faults.push(Diagnostic::error(SHAPE, &word, message));
            }
            _ => {}
        }
        if args.len() < spec.required || args.len() > spec.args.len() {
            let message =
                format!("`{name}` takes {}, found {}", counted(spec.required, spec.args.len()), args.len());
            self.faults.push(Diagnostic::error(ARGUMENTS, span, message));
        }
        for (arg, kind) in args.iter().zip(spec.args) {
            self.arg(name, arg, *kind);
        }
        spec.output
    }

    fn arg(&mut self, transform: &str, arg: &Spanned<Arg>, kind: ArgKind) {
        let whole = |digits: &str| digits.parse::<i32>().is_ok();
        let expected = match (kind, &arg.value) {
            (ArgKind::Text, Arg::Text(_)) | (ArgKind::Secret, Arg::Word(_) | Arg::Text(_)) => return,
            (ArgKind::Count, Arg::Number(digits)) if whole(digits) && !digits.starts_with('-') => return,
            (ArgKind::Index, Arg::Number(digits)) if whole(digits) => return,
            (ArgKind::Lookup, Arg::Word(name) | Arg::Text(name)) => return self.lookup(name, &arg.span),
            (ArgKind::Text, _) => "text in single quotes",
            (ArgKind::Count, _) => "a whole number, zero or more",
            (ArgKind::Index, _) => "a whole number",
            (ArgKind::Lookup, _) => "the name of a lookup table",
            (ArgKind::Secret, _) => "the name of a secret",
        };
        let message = format!("`{transform}` takes {expected} here");
        self.faults.push(Diagnostic::error(ARGUMENTS, &arg.span, message));
    }

    fn lookup(&mut self, name: &str, span: &Span) {
        if self.mapping.lookups.contains_key(name) || self.shared.contains_key(name) {
            return;
        }
        let known = self.mapping.lookups.keys().chain(self.shared.keys()).map(String::as_str);
        let help = suggestion(name, known).unwrap_or_else(|| format!("write it as [lookup.{name}]"));
        let fault = Diagnostic::error(UNKNOWN_LOOKUP, span, format!("unknown lookup `{name}`"));
        self.faults.push(fault.help(help));
    }

    /// A condition; `around` is shown where a part of it has no place of its own.
    pub fn cond(&mut self, cond: &Cond, around: &Span) {
        match cond {
            Cond::And(parts) | Cond::Or(parts) => parts.iter().for_each(|part| self.cond(part, around)),
            Cond::Not(inner) => self.cond(inner, around),
            Cond::Compare(left, _, right) => {
                self.side(left, around);
                self.side(right, around);
            }
            Cond::In { value, list, .. } => {
                self.side(value, around);
                list.iter().for_each(|item| self.side(item, around));
            }
            Cond::Call { name, subject, args } => self.call(name, subject, args, around),
        }
    }

    /// One side of a comparison.
    fn side(&mut self, expr: &Expr, around: &Span) {
        if self.expr(expr) == Shape::List {
            self.list_without_end(place(expr, around));
        }
    }

    fn call(&mut self, name: &Spanned<String>, subject: &Expr, args: &[Expr], around: &Span) {
        // A list may be asked whether it is there and what it contains.
        let shape = self.expr(subject);
        let Some(spec) = vocabulary::condition(&name.value) else {
            let help = suggestion(&name.value, CONDITIONS.iter().map(|spec| spec.name));
            let message = format!("unknown condition `{}`", name.value);
            self.faults.push(Diagnostic::error(UNKNOWN_CONDITION, &name.span, message).help(help));
            return;
        };
        if shape == Shape::List && !matches!(spec.name, "exists" | "missing" | "contains" | "in_cidr") {
            self.list_without_end(place(subject, around));
        }
        if args.len() < spec.least || args.len() > spec.most {
            let takes = counted(spec.least + 1, spec.most + 1);
            let message = format!("`{}` takes {takes}, found {}", spec.name, args.len() + 1);
            self.faults.push(Diagnostic::error(ARGUMENTS, &name.span, message));
        }
        for arg in args {
            match &arg.source {
                Source::Text(network) if spec.name == "in_cidr" && !is_network(network) => {
                    let message = format!("`{network}` is not a network");
                    let help = "for example '10.0.0.0/8'".to_owned();
                    self.faults.push(Diagnostic::error(ARGUMENTS, &name.span, message).help(help));
                }
                Source::Path(path) if spec.name == "in_cidr" => {
                    let fault =
                        Diagnostic::error(ARGUMENTS, &path.span, "`in_cidr` takes networks in single quotes");
                    self.faults.push(fault);
                }
                _ => self.side(arg, around),
            }
        }
    }
}

fn place<'a>(expr: &'a Expr, around: &'a Span) -> &'a Span {
    match &expr.source {
        Source::Path(path) => &path.span,
        Source::Text(_) | Source::Number(_) => around,
    }
}

fn counted(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        _ if least == most => format!("{most} arguments"),
        _ => format!("{least} to {most} arguments"),
    }
}
