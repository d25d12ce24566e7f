//! What a mapping says must exist and fit: keys, labels, variables, lookups, transforms, tests.
//!
//! Works on the merged mapping, where everything that a name may refer to is known. What a value does to a record
//! is the compiler's business.

mod words;

use std::collections::HashSet;

use indexmap::IndexMap;

use super::ast::{
    Action, Alternative, Arg, Cond, Expr, Field, Form, From, Lookup, Mapping, Op, Parts, Piece, Source, Span,
    Spanned, Step,
};
use super::diagnostic::{
    AMBIGUOUS, BAD_VALUE, CONSUMER_KEY, Diagnostic, LABEL, SHAPE, UNKNOWN_CEF_KEY, UNKNOWN_KEY,
};
use super::vocabulary::{HEADER, Shape, suggestion};
use crate::dictionary::{self, Audience};

/// Checks one mapping against itself, the shared lookups and the dictionary.
pub fn mapping(mapping: &Mapping, shared: &IndexMap<String, Lookup>, faults: &mut Vec<Diagnostic>) {
    let mut checker = Checker {
        mapping,
        shared,
        vars: IndexMap::new(),
        keys: keys_set(mapping),
        in_leef: false,
        labels: IndexMap::new(),
        faults: Vec::new(),
    };
    checker.everything();
    faults.append(&mut checker.faults);
}

struct Checker<'a> {
    mapping: &'a Mapping,
    shared: &'a IndexMap<String, Lookup>,
    /// Variables defined so far.
    vars: IndexMap<String, Shape>,
    /// Extension keys set anywhere in the mapping.
    keys: HashSet<String>,
    in_leef: bool,
    /// Label texts and the key each belongs to.
    labels: IndexMap<String, String>,
    faults: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn everything(&mut self) {
        let mapping = self.mapping;
        for (name, expr) in &mapping.vars {
            let shape = self.expr(&expr.value);
            self.vars.insert(name.clone(), shape);
        }
        if let Some(when) = &mapping.matching.when {
            self.cond(&when.value, &when.span);
        }
        self.parts(&mapping.parts);
        for overlay in &mapping.overlays {
            self.cond(&overlay.when.value, &overlay.when.span);
            self.parts(&overlay.parts);
        }
        for rule in &mapping.rules {
            self.cond(&rule.when.value, &rule.when.span);
            if let Action::Sample { key, .. } = &rule.action {
                key.iter().for_each(|key| self.value(key));
            }
        }
        if let Some(dedupe) = &mapping.dedupe {
            dedupe.key.iter().for_each(|key| self.value(key));
        }
        if let Some(fanout) = &mapping.fanout {
            if self.expr(&fanout.each.value) == Shape::Scalar {
                self.error(SHAPE, &fanout.each.span, "`each` is a list, this is one value", None);
            }
            self.parts(&fanout.parts);
        }
        for key in &mapping.shed {
            // A key of the dictionary may be gone: a patch that removes it need not repeat the list.
            if !self.keys.contains(&key.value) && dictionary::find(&key.value).is_none() {
                let help = suggestion(&key.value, self.keys.iter().map(String::as_str));
                self.error(
                    BAD_VALUE,
                    &key.span,
                    format!("`{}` is not set, so it cannot be shed", key.value),
                    help,
                );
            }
        }
    }

    fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        self.faults.push(Diagnostic::error(code, span, message).help(help));
    }

    fn parts(&mut self, parts: &Parts) {
        for (name, field) in &parts.header {
            if !HEADER.contains(&name.as_str()) {
                let help =
                    suggestion(name, HEADER).unwrap_or_else(|| format!("one of {}", HEADER.join(", ")));
                self.error(UNKNOWN_KEY, &field.key, format!("unknown header field `{name}`"), Some(help));
            }
            self.no_label(name, field);
            self.field(field);
        }
        for (name, field) in &parts.extension {
            self.extension_key(name, field);
            self.field(field);
        }
        for (name, field) in &parts.extension_custom {
            if dictionary::find(name).is_some() {
                let help = Some("put it under [extension]".to_owned());
                self.error(UNKNOWN_CEF_KEY, &field.key, format!("`{name}` is a CEF key"), help);
            }
            self.attribute(name, field);
        }
        self.in_leef = true;
        if let Some(field) = &parts.leef.event_id {
            self.field(field);
        }
        for (name, field) in &parts.leef.extension {
            self.attribute(name, field);
        }
        self.in_leef = false;
    }

    /// A key that is not of the CEF dictionary: one word.
    fn attribute(&mut self, name: &str, field: &Field) {
        if !is_word(name) {
            self.error(UNKNOWN_CEF_KEY, &field.key, format!("`{name}` is not letters and digits"), None);
        }
        self.no_label(name, field);
        self.field(field);
    }

    fn extension_key(&mut self, name: &str, field: &Field) {
        if let Some(labelled) = dictionary::labelled_by(name) {
            let help = format!("write {} = {{ label = \"…\", from = \"…\" }}", labelled.name);
            let message = format!("`{name}` is written by the label option");
            return self.error(LABEL, &field.key, message, Some(help));
        }
        if dictionary::find(name).is_none() {
            let help = dictionary::nearest(name).map_or_else(
                || "keys of your own go under [extension_custom]".to_owned(),
                |key| format!("did you mean `{key}`?"),
            );
            self.error(UNKNOWN_CEF_KEY, &field.key, format!("`{name}` is not a CEF key"), Some(help));
            return;
        }
        if dictionary::find(name).is_some_and(|key| key.audience == Audience::Consumer) {
            let help =
                Some("ArcSight sets it from what it receives; a sender has keys of its own".to_owned());
            self.error(CONSUMER_KEY, &field.key, format!("`{name}` is the consumer's to write"), help);
        }
        if dictionary::label_of(name).is_some() {
            self.label(name, field);
        } else {
            self.no_label(name, field);
        }
    }

    fn label(&mut self, name: &str, field: &Field) {
        let Some(form) = &field.form else { return };
        let Some(label) = &form.label else {
            let help = Some("write { label = \"…\", from = … }".to_owned());
            return self.error(LABEL, &field.key, format!("`{name}` needs a label"), help);
        };
        if !is_word(&label.value) {
            let help = Some("some receivers make a field name of it: letters and digits only".to_owned());
            self.error(LABEL, &label.span, format!("the label `{}` is not one word", label.value), help);
        } else if let Some(key) =
            dictionary::KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(&label.value))
        {
            let help = Some("receivers that rename the field to its label would overwrite it".to_owned());
            self.error(
                LABEL,
                &label.span,
                format!("the label `{}` is the CEF key `{}`", label.value, key.name),
                help,
            );
        }
        match self.labels.get(&label.value.to_lowercase()) {
            Some(other) if other != name => {
                let message = format!("`{other}` already has the label `{}`", label.value);
                self.error(LABEL, &label.span, message, None);
            }
            _ => {
                self.labels.insert(label.value.to_lowercase(), name.to_owned());
            }
        }
    }

    fn no_label(&mut self, name: &str, field: &Field) {
        if let Some(label) = field.form.as_ref().and_then(|form| form.label.as_ref()) {
            let help = Some("only cs, cn, cfp, c6a, flex and deviceCustomDate keys have one".to_owned());
            self.error(LABEL, &label.span, format!("`{name}` takes no label"), help);
        }
    }

    fn field(&mut self, field: &Field) {
        if let Some(form) = &field.form {
            self.form(form);
        }
    }

    fn form(&mut self, form: &Form) {
        if let Some(when) = &form.when {
            self.cond(&when.value, &when.span);
        }
        match &form.from {
            From::FirstOf(alternatives) => {
                for alternative in alternatives {
                    match alternative {
                        Alternative::Expr(expr) => self.value(expr),
                        Alternative::Form(form) => self.form(form),
                    }
                }
            }
            From::Template { pieces, .. } => {
                for piece in pieces {
                    if let Piece::Hole(hole) = piece {
                        self.value(hole);
                    }
                }
            }
            From::Hash(exprs) => exprs.iter().for_each(|expr| self.value(expr)),
            From::Const(_) => {}
        }
    }
}

fn keys_set(mapping: &Mapping) -> HashSet<String> {
    let overlays = mapping.overlays.iter().map(|overlay| &overlay.parts);
    let fanout = mapping.fanout.iter().map(|fanout| &fanout.parts);
    std::iter::once(&mapping.parts)
        .chain(overlays)
        .chain(fanout)
        .flat_map(|parts| parts.extension.keys().chain(parts.extension_custom.keys()))
        .cloned()
        .collect()
}

fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Mappings that take the same record without an order between them.
pub fn ambiguities(mappings: &[Mapping], faults: &mut Vec<Diagnostic>) {
    for (index, mapping) in mappings.iter().enumerate() {
        let matching = &mapping.matching;
        let rival = mappings[..index].iter().find(|other| {
            other.matching.table.value.eq_ignore_ascii_case(&matching.table.value)
                && other.matching.priority == matching.priority
                && !disjoint(other.matching.when.as_ref(), matching.when.as_ref())
        });
        if let Some(rival) = rival {
            let message = format!(
                "`{}` and `{}` can both take a record of this table",
                mapping.id.value, rival.id.value
            );
            let help = "give one of them a priority".to_owned();
            faults.push(Diagnostic::error(AMBIGUOUS, &matching.table.span, message).help(help));
        }
    }
}

/// Whether no record can fulfil both: they ask the same path for different texts.
fn disjoint(a: Option<&Spanned<Cond>>, b: Option<&Spanned<Cond>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    match (wanted(&a.value), wanted(&b.value)) {
        (Some((path, texts)), Some((other, others))) => {
            path == other
                && texts.iter().all(|text| others.iter().all(|other| !text.eq_ignore_ascii_case(other)))
        }
        _ => false,
    }
}

/// The path and the texts of `path == 'a'` or `path in ['a', 'b']`.
fn wanted(cond: &Cond) -> Option<(Vec<&str>, Vec<&str>)> {
    let text = |expr: &'_ Expr| matches!(&expr.source, Source::Text(_)) && expr.transforms.is_empty();
    let (subject, texts) = match cond {
        Cond::Compare(left, Op::Eq | Op::Same, right) => (left, std::slice::from_ref(right)),
        Cond::In { value, list, negated: false } => (value, list.as_slice()),
        _ => return None,
    };
    let Source::Path(path) = &subject.source else { return None };
    if !subject.transforms.is_empty() || !texts.iter().all(text) || path.root != super::ast::Root::Bare {
        return None;
    }
    let steps =
        path.steps.iter().map(|step| if let Step::Name(name) = step { Some(name.as_str()) } else { None });
    let texts = texts
        .iter()
        .filter_map(|expr| if let Source::Text(text) = &expr.source { Some(text.as_str()) } else { None });
    Some((steps.collect::<Option<_>>()?, texts.collect()))
}

/// Gives a mapping the shared tables it uses and does not define.
pub fn keep_used_lookups(mapping: &mut Mapping, shared: &IndexMap<String, Lookup>) {
    let mut used = Vec::new();
    each_expr(mapping, &mut |expr| {
        for transform in expr.transforms.iter().filter(|each| each.value.name.starts_with("lookup")) {
            if let Some(Spanned { value: Arg::Word(name) | Arg::Text(name), .. }) =
                transform.value.args.first()
            {
                used.push(name.clone());
            }
        }
    });
    for name in used {
        if let Some(lookup) = shared.get(&name)
            && !mapping.lookups.contains_key(&name)
        {
            mapping.lookups.insert(name, lookup.clone());
        }
    }
}

/// Every expression of a mapping, those inside conditions and filters included.
fn each_expr(mapping: &Mapping, visit: &mut impl FnMut(&Expr)) {
    mapping.vars.values().for_each(|expr| in_expr(&expr.value, visit));
    mapping.matching.when.iter().for_each(|when| in_cond(&when.value, visit));
    in_parts(&mapping.parts, visit);
    for overlay in &mapping.overlays {
        in_cond(&overlay.when.value, visit);
        in_parts(&overlay.parts, visit);
    }
    for rule in &mapping.rules {
        in_cond(&rule.when.value, visit);
        if let Action::Sample { key, .. } = &rule.action {
            key.iter().for_each(|expr| in_expr(&expr.value, visit));
        }
    }
    mapping.dedupe.iter().flat_map(|dedupe| &dedupe.key).for_each(|expr| in_expr(&expr.value, visit));
    if let Some(fanout) = &mapping.fanout {
        in_expr(&fanout.each.value, visit);
        in_parts(&fanout.parts, visit);
    }
}

fn in_parts(parts: &Parts, visit: &mut impl FnMut(&Expr)) {
    let Parts { header, extension, extension_custom, leef } = parts;
    let fields = header.values().chain(extension.values()).chain(extension_custom.values());
    let fields = fields.chain(leef.event_id.iter()).chain(leef.extension.values());
    fields.filter_map(|field| field.form.as_ref()).for_each(|form| in_form(form, visit));
}

fn in_form(form: &Form, visit: &mut impl FnMut(&Expr)) {
    form.when.iter().for_each(|when| in_cond(&when.value, visit));
    match &form.from {
        From::FirstOf(alternatives) => alternatives.iter().for_each(|alternative| match alternative {
            Alternative::Expr(expr) => in_expr(&expr.value, visit),
            Alternative::Form(form) => in_form(form, visit),
        }),
        From::Template { pieces, .. } => pieces.iter().for_each(|piece| {
            if let Piece::Hole(expr) = piece {
                in_expr(&expr.value, visit);
            }
        }),
        From::Hash(exprs) => exprs.iter().for_each(|expr| in_expr(&expr.value, visit)),
        From::Const(_) => {}
    }
}

fn in_expr(expr: &Expr, visit: &mut impl FnMut(&Expr)) {
    visit(expr);
    if let Source::Path(path) = &expr.source {
        for step in &path.steps {
            if let Step::Filter(cond) = step {
                in_cond(cond, visit);
            }
        }
    }
}

fn in_cond(cond: &Cond, visit: &mut impl FnMut(&Expr)) {
    match cond {
        Cond::And(parts) | Cond::Or(parts) => parts.iter().for_each(|part| in_cond(part, visit)),
        Cond::Not(inner) => in_cond(inner, visit),
        Cond::Compare(left, _, right) => [left, right].into_iter().for_each(|side| in_expr(side, visit)),
        Cond::In { value, list, .. } => {
            std::iter::once(value).chain(list).for_each(|item| in_expr(item, visit))
        }
        Cond::Call { subject, args, .. } => {
            std::iter::once(subject).chain(args).for_each(|item| in_expr(item, visit))
        }
    }
}
