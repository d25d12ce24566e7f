//! Which properties a mapping reads, and for which of its keys.
//!
//! The walk begins at what is written out: header, extension, LEEF, overlays, fan-out (a switched-off one too: it is
//! there to be switched on), rules and dedupe. A variable counts where it is used; so do the paths inside filters.

use std::collections::BTreeSet;

use crate::mapping::ast::{
    Action, Alternative, Arg, Cond, Expr, Field, Form, From, Mapping, Op, Parts, Path, Piece, Root, Source,
    Span, Spanned, Step,
};
use crate::mapping::schema::Schema;

/// One property read by a mapping.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Where it is.
    pub place: Place,
    /// Everything beneath it is written too.
    pub whole: bool,
    /// What reads it: a key with the label it has, `header name`, `rule …`.
    pub by: String,
    /// A condition reads it: it decides and is not sent.
    pub decides: bool,
    /// Where the path stands.
    pub span: Span,
}

/// The place of a property in a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In the wrapper of the row, not in the row.
    pub envelope: bool,
    /// From the column to the member.
    pub steps: Vec<Member>,
}

/// One member on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Of a list with kinds, those that a filter lets through; `None`: all.
    pub kinds: Option<BTreeSet<String>>,
}

/// Everything a mapping reads. The schema tells which columns are lists with kinds of elements.
#[must_use]
pub fn usages(mapping: &Mapping, schema: &Schema) -> Vec<Usage> {
    reading(mapping, schema).0
}

/// The same, and the texts that conditions and lookup tables hold against a place.
#[must_use]
pub fn reading(mapping: &Mapping, schema: &Schema) -> (Vec<Usage>, Vec<(Place, String)>) {
    let (found, values) = (Vec::new(), Vec::new());
    let mut walk =
        Walk { mapping, schema, by: String::new(), decides: false, item: None, found, values, depth: 0 };
    walk.mapping();
    (walk.found, walk.values)
}

struct Walk<'m> {
    mapping: &'m Mapping,
    schema: &'m Schema,
    by: String,
    decides: bool,
    /// The fan-out's word for an element, and where its list is.
    item: Option<(&'m str, Place)>,
    found: Vec<Usage>,
    values: Vec<(Place, String)>,
    depth: usize,
}

impl<'m> Walk<'m> {
    fn mapping(&mut self) {
        let mapping = self.mapping;
        if let Some(when) = &mapping.matching.when {
            self.under("match", |walk| walk.cond(&when.value, None));
        }
        self.parts(&mapping.parts);
        for overlay in &mapping.overlays {
            self.under("overlay", |walk| walk.cond(&overlay.when.value, None));
            self.parts(&overlay.parts);
        }
        for rule in &mapping.rules {
            self.under(&format!("rule {}", rule.reason.value), |walk| {
                walk.cond(&rule.when.value, None);
                if let Action::Sample { key, .. } = &rule.action {
                    key.iter().for_each(|expr| walk.expr(expr, None));
                }
            });
        }
        if let Some(dedupe) = &mapping.dedupe {
            self.under("dedupe", |walk| dedupe.key.iter().for_each(|expr| walk.expr(expr, None)));
        }
        for fanout in mapping.fanout.iter().chain(&mapping.dormant_fanout) {
            let mut each = None;
            self.under("fanout", |walk| {
                walk.expr(&fanout.each, None);
                if let Source::Path(path) = &fanout.each.value.source {
                    each = walk.place(path, None);
                }
            });
            self.item = each.map(|place| (fanout.item.as_str(), place));
            self.parts(&fanout.parts);
            self.item = None;
        }
    }

    fn under(&mut self, by: &str, inner: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.by, by.to_owned());
        inner(self);
        self.by = before;
    }

    fn parts(&mut self, parts: &'m Parts) {
        let leef = parts.leef.event_id.iter().map(|field| ("event_id".to_owned(), field));
        let leef = leef.chain(parts.leef.extension.iter().map(|(key, field)| (key.clone(), field)));
        let header = parts.header.iter().map(|(key, field)| (format!("header {key}"), field));
        let keys = parts.extension.iter().chain(&parts.extension_custom);
        let keys = keys.map(|(key, field)| (key.clone(), field));
        let all: Vec<(String, &Field)> =
            header.chain(keys).chain(leef.map(|(key, field)| (format!("leef {key}"), field))).collect();
        for (key, field) in all {
            if let Some(form) = &field.form {
                self.under(&key, |walk| walk.form(form));
            }
        }
    }

    fn form(&mut self, form: &'m Form) {
        if let Some(label) = &form.label {
            let key = self.by.split(' ').next().unwrap_or_default();
            return self.under(&format!("{key} {}", label.value), |walk| walk.unlabelled(form));
        }
        self.unlabelled(form);
    }

    fn unlabelled(&mut self, form: &'m Form) {
        match &form.from {
            From::FirstOf(alternatives) => {
                for alternative in alternatives {
                    match alternative {
                        Alternative::Expr(expr) => self.expr(expr, None),
                        Alternative::Form(form) => self.form(form),
                    }
                }
            }
            From::Const(_) => {}
            From::Template { pieces, .. } => {
                for piece in pieces {
                    if let Piece::Hole(expr) = piece {
                        self.expr(expr, None);
                    }
                }
            }
            From::Hash(exprs) => exprs.iter().for_each(|expr| self.expr(expr, None)),
        }
        if let Some(when) = &form.when {
            self.cond(&when.value, None);
        }
    }

    fn expr(&mut self, expr: &'m Spanned<Expr>, element: Option<&Place>) {
        self.bare_expr(&expr.value, element);
    }

    fn bare_expr(&mut self, expr: &'m Expr, element: Option<&Place>) {
        let Source::Path(path) = &expr.source else { return };
        let Some(place) = self.place(path, element) else { return };
        let mut whole = false;
        for transform in &expr.transforms {
            let transform = &transform.value;
            whole |= transform.name == "json";
            if transform.name == "lookup"
                && let Some(Arg::Word(table)) = transform.args.first().map(|arg| &arg.value)
                && let Some(table) = self.mapping.lookups.get(table)
            {
                self.values.extend(table.entries.keys().map(|key| (place.clone(), key.clone())));
            }
            if transform.name == "path_join" {
                for arg in &transform.args {
                    if let Arg::Text(name) = &arg.value {
                        let mut member = place.clone();
                        member.push(name);
                        self.use_of(member, false, &path.span);
                    }
                }
            }
        }
        self.use_of(place, whole, &path.span);
    }

    fn use_of(&mut self, place: Place, whole: bool, span: &Span) {
        if !place.steps.is_empty() {
            let (by, decides) = (self.by.clone(), self.decides);
            self.found.push(Usage { place, whole, by, decides, span: span.clone() });
        }
    }

    fn cond(&mut self, cond: &'m Cond, element: Option<&Place>) {
        let before = std::mem::replace(&mut self.decides, true);
        self.deciding(cond, element);
        self.decides = before;
    }

    fn deciding(&mut self, cond: &'m Cond, element: Option<&Place>) {
        match cond {
            Cond::And(all) | Cond::Or(all) => all.iter().for_each(|cond| self.deciding(cond, element)),
            Cond::Not(cond) => self.deciding(cond, element),
            Cond::Compare(left, _, right) => {
                self.held_against(left, std::slice::from_ref(right), element);
                self.bare_expr(left, element);
                self.bare_expr(right, element);
            }
            Cond::In { value, list, .. } => {
                self.held_against(value, list, element);
                self.bare_expr(value, element);
                list.iter().for_each(|expr| self.bare_expr(expr, element));
            }
            Cond::Call { subject, args, .. } => {
                self.bare_expr(subject, element);
                args.iter().for_each(|expr| self.bare_expr(expr, element));
            }
        }
    }

    fn held_against(&mut self, left: &'m Expr, texts: &'m [Expr], element: Option<&Place>) {
        if let Source::Path(path) = &left.source
            && left.transforms.is_empty()
            && let Some(place) = self.place(path, element)
        {
            let texts = texts.iter().filter_map(text_of);
            self.values.extend(texts.map(|text| (place.clone(), text.to_owned())));
        }
    }

    /// Where a path leads; `None` for what is not in the record. Filters on the way are walked too.
    fn place(&mut self, path: &'m Path, element: Option<&Place>) -> Option<Place> {
        let mut steps = path.steps.as_slice();
        let mut place = match &path.root {
            Root::Bare => match (element, &self.item, steps.first()) {
                (Some(element), ..) => element.clone(),
                (None, Some((item, place)), Some(Step::Name(name))) if name == item => {
                    steps = &steps[1..];
                    place.clone()
                }
                _ => Place::default(),
            },
            Root::Record => Place::default(),
            Root::Envelope => Place { envelope: true, steps: Vec::new() },
            Root::Var(name) => self.variable(name)?,
            Root::Counter(_) | Root::Finished(_) => return None,
        };
        for step in steps {
            match step {
                Step::Name(name) => place.push(name),
                Step::Index(_) | Step::All => {}
                Step::Filter(cond) => {
                    self.restrict(&mut place, cond);
                    self.cond(cond, Some(&place));
                }
            }
        }
        self.normal(&mut place);
        Some(place)
    }

    fn variable(&mut self, name: &str) -> Option<Place> {
        let expr = self.mapping.vars.get(name)?;
        // A variable may use earlier ones only, so this ends; a set with faults never comes here.
        if self.depth > self.mapping.vars.len() {
            return None;
        }
        self.depth += 1;
        let place = match &expr.value.source {
            Source::Path(path) => self.place(path, None),
            _ => None,
        };
        self.depth -= 1;
        place
    }

    /// `^` of a record without a wrapper is the record; `^root.x` is the column x.
    fn normal(&self, place: &mut Place) {
        if !place.envelope {
            return;
        }
        let root: Vec<&str> = match &self.mapping.root {
            Some(root) => root.value.steps.iter().filter_map(name_of).collect(),
            None => Vec::new(),
        };
        let inside = place.steps.len() > root.len() || (root.is_empty() && !place.steps.is_empty());
        if inside && root.iter().zip(&place.steps).all(|(name, member)| member.name == **name) {
            place.steps.drain(..root.len());
            place.envelope = false;
        }
    }

    /// Narrows the kinds of elements of a list to those for which a filter can hold.
    fn restrict(&self, place: &mut Place, cond: &Cond) {
        let Some(kind) = self.kind_of(place) else { return };
        let Some((discriminator, prefix)) = self.schema.discriminator(kind) else { return };
        let admitted = self
            .schema
            .kinds(kind)
            .filter(|kind| holds(cond, discriminator, &format!("{prefix}{kind}")) != Some(false))
            .map(ToOwned::to_owned);
        let admitted: BTreeSet<String> = admitted.collect();
        if let Some(last) = place.steps.last_mut() {
            last.kinds = Some(match last.kinds.take() {
                Some(kinds) => kinds.intersection(&admitted).cloned().collect(),
                None => admitted,
            });
        }
    }

    /// The schema's type of the elements of a list at the top of the record.
    fn kind_of(&self, place: &Place) -> Option<&'m str> {
        let [member] = place.steps.as_slice() else { return None };
        let (_, table) = self.schema.table(&self.mapping.matching.table.value)?;
        self.schema.columns(table).get(&member.name).map(|column| column.kind.as_str())
    }
}

impl Place {
    fn push(&mut self, name: &str) {
        self.steps.push(Member { name: name.to_owned(), kinds: None });
    }

    /// As a person would write it.
    #[must_use]
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|member| member.name.as_str()).collect();
        format!("{}{}", if self.envelope { "^" } else { "" }, names.join("."))
    }
}

/// Whether a filter holds for an element of that kind, as far as its discriminator decides it.
fn holds(cond: &Cond, discriminator: &str, kind: &str) -> Option<bool> {
    match cond {
        Cond::And(all) => {
            let each: Vec<Option<bool>> = all.iter().map(|cond| holds(cond, discriminator, kind)).collect();
            if each.contains(&Some(false)) {
                Some(false)
            } else {
                each.iter().all(|each| *each == Some(true)).then_some(true)
            }
        }
        Cond::Or(any) => {
            let each: Vec<Option<bool>> = any.iter().map(|cond| holds(cond, discriminator, kind)).collect();
            if each.contains(&Some(true)) {
                Some(true)
            } else {
                each.iter().all(|each| *each == Some(false)).then_some(false)
            }
        }
        Cond::Not(cond) => holds(cond, discriminator, kind).map(|holds| !holds),
        Cond::Compare(left, op, right) => {
            let text = match (reads(left, discriminator), reads(right, discriminator)) {
                (true, false) => text_of(right),
                (false, true) => text_of(left),
                _ => None,
            }?;
            match op {
                Op::Eq => Some(text.eq_ignore_ascii_case(kind)),
                Op::Same => Some(text == kind),
                Op::Ne => Some(!text.eq_ignore_ascii_case(kind)),
                _ => None,
            }
        }
        Cond::In { value, list, negated } if reads(value, discriminator) => {
            let texts: Option<Vec<&str>> = list.iter().map(text_of).collect();
            Some(texts?.iter().any(|text| text.eq_ignore_ascii_case(kind)) != *negated)
        }
        Cond::Call { name, subject, args } if reads(subject, discriminator) => {
            let text = args.first().and_then(text_of)?.to_lowercase();
            let kind = kind.to_lowercase();
            match name.value.as_str() {
                "contains" => Some(kind.contains(&text)),
                "starts_with" => Some(kind.starts_with(&text)),
                "ends_with" => Some(kind.ends_with(&text)),
                _ => None,
            }
        }
        Cond::In { .. } | Cond::Call { .. } => None,
    }
}

fn reads(expr: &Expr, member: &str) -> bool {
    let Source::Path(path) = &expr.source else { return false };
    matches!((&path.root, path.steps.as_slice()), (Root::Bare, [Step::Name(name)]) if name == member)
}

fn text_of(expr: &Expr) -> Option<&str> {
    match &expr.source {
        Source::Text(text) => Some(text),
        _ => None,
    }
}

fn name_of(step: &Step) -> Option<&str> {
    match step {
        Step::Name(name) => Some(name),
        _ => None,
    }
}
