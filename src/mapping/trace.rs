//! What a program makes of one record, value by value, before escaping: for `map explain` and inline tests.
//!
//! It computes every value with the same functions as `run`; only the writing differs.

use bumpalo::Bump;

use super::ast::Span;
use super::convert::{Converted, convert};
use super::evaluate::{Context, Fault};
use super::program::{Alternative, Choice, Field, Program, Supply};
use super::read::NotAnObject;
use super::run::{Outcome, severity_number};
use super::value::Value;
use crate::event::Target;
use crate::record::Record;

/// What became of a record.
#[derive(Debug)]
pub struct Trace {
    /// The outcome, as `run` gives it.
    pub outcome: Outcome,
    /// The reason of the rule that filtered it out.
    pub filtered_by: Option<String>,
    /// One entry an event.
    pub events: Vec<EventTrace>,
}

/// One event.
#[derive(Debug, Default)]
pub struct EventTrace {
    /// class_id, name, severity, and vendor, product, version where the mapping sets them.
    pub header: Vec<FieldTrace>,
    /// Keys in the order of writing; also those that got no value.
    pub fields: Vec<FieldTrace>,
}

/// One key.
#[derive(Debug)]
pub struct FieldTrace {
    /// The key.
    pub key: String,
    /// Its value before escaping.
    pub value: Option<String>,
    /// The label key and text written with it.
    pub label: Option<(String, String)>,
    /// Which alternative of the form gave the value, from 0.
    pub alternative: usize,
    /// Where the form, or the alternative that won, is written.
    pub span: Span,
    /// What was cut or left out, and why.
    pub note: Option<String>,
    /// What else could have given the value and did not.
    pub losers: Vec<Loser>,
}

/// A form, or an alternative of one, that did not give the value of a key.
#[derive(Debug)]
pub struct Loser {
    /// Where it is written.
    pub span: Span,
    /// Why not.
    pub why: &'static str,
}

impl EventTrace {
    /// The value of a key or label.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let written = self.fields.iter().filter(|field| field.value.is_some());
        written
            .flat_map(|field| {
                let label = field.label.as_ref().map(|(key, text)| (key.as_str(), text.as_str()));
                [Some((field.key.as_str(), field.value.as_deref().unwrap_or_default())), label]
                    .into_iter()
                    .flatten()
            })
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|field| field.key == name)?.value.as_deref()
    }
}

impl Program {
    /// Runs over one record and tells everything.
    pub fn trace<'r>(
        &'r self,
        target: &Target,
        record: &'r Record,
        reason: &'r str,
        body: &'r str,
        arena: &'r Bump,
    ) -> Result<Trace, NotAnObject> {
        let context = self.context(record, reason, body, arena)?;
        if self.when.as_ref().is_some_and(|when| !context.holds(when, Value::Missing)) {
            return Ok(Trace { outcome: Outcome::NoMatch, filtered_by: None, events: Vec::new() });
        }
        if let Some(rule) = self.filtered_by(&context) {
            let filtered_by = Some(self.rules[rule].reason.to_string());
            return Ok(Trace { outcome: Outcome::Filtered(rule), filtered_by, events: Vec::new() });
        }
        let mut events = Vec::new();
        for (index, item) in self.items(&context).iter().enumerate() {
            context.enter(item, index + 1);
            events.push(self.event_trace(&context, target));
        }
        Ok(Trace { outcome: Outcome::Events(events.len()), filtered_by: None, events })
    }

    fn event_trace<'r>(&'r self, context: &Context<'r>, target: &Target) -> EventTrace {
        let severity =
            context.field_text(&self.severity).and_then(severity_number).unwrap_or(5.0).clamp(0.0, 10.0);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits above")]
        let severity = severity as u8;
        let own = self.identity.iter().flatten();
        let mut header: Vec<FieldTrace> =
            [&self.class_id, &self.name].into_iter().chain(own).map(|f| plain(f, context)).collect();
        header.push(FieldTrace { value: Some(severity.to_string()), ..plain(&self.severity, context) });
        EventTrace {
            header,
            fields: self.fields.iter().map(|field| typed(field, severity, context, target)).collect(),
        }
    }
}

fn plain<'r>(field: &'r Field, context: &Context<'r>) -> FieldTrace {
    let choice = context.applicable(field);
    let alternative = choice.map_or(0, |choice| context.choice(choice).1);
    let value = context.field_text(field).map(str::to_owned);
    FieldTrace {
        key: field.key.to_string(),
        losers: losers(field, alternative, value.is_some(), context),
        value,
        label: None,
        alternative,
        span: choice.map_or(Span { file: usize::MAX, range: 0..0 }, |choice| written_at(choice, alternative)),
        note: context.fault.take().map(fault_text),
    }
}

fn typed<'r>(field: &'r Field, severity: u8, context: &Context<'r>, target: &Target) -> FieldTrace {
    let mut trace = FieldTrace {
        key: field.key.to_string(),
        value: None,
        label: None,
        alternative: 0,
        span: Span { file: usize::MAX, range: 0..0 },
        note: None,
        losers: Vec::new(),
    };
    let Some(choice) = context.applicable(field) else {
        trace.note =
            field.variants.iter().any(|(_, choice)| choice.is_none()).then(|| "removed here".to_owned());
        trace.losers = losers(field, 0, false, context);
        return trace;
    };
    let (value, alternative) = context.choice(choice);
    trace.alternative = alternative;
    trace.span = written_at(choice, alternative);
    trace.losers = losers(field, alternative, !value.is_missing(context.arena), context);
    let converted = convert(field, choice, value, severity, context, target);
    trace.note = context.fault.take().map(fault_text);
    let max = field.max.into_iter().chain(choice.max).min();
    let (text, label) = match converted {
        Converted::Text(text) | Converted::Time(_, text) => (text, choice.label.as_deref()),
        Converted::Paired(text) => {
            if let Some((prefix, _)) = &field.paired {
                trace.key = String::from_utf8_lossy(prefix).trim_end_matches('=').to_owned();
            }
            (text, field.paired.as_ref().map(|(_, label)| &**label))
        }
        Converted::Rejected => {
            let fault = trace.note.take().unwrap_or_default();
            trace.note = Some(format!("{fault}: the record goes out as `unparsed`"));
            return trace;
        }
        Converted::Missing => return trace,
    };
    let text = text.trim();
    let n_characters = text.chars().count();
    let kept: String = text.chars().take(max.map_or(usize::MAX, |max| max as usize)).collect();
    if kept.len() < text.len() {
        trace.note = Some(format!("cut from {n_characters} to {} characters", max.unwrap_or_default()));
    }
    trace.label = label.and_then(|label| {
        let label = String::from_utf8_lossy(label).into_owned();
        label.split_once('=').map(|(key, text)| (key.to_owned(), text.to_owned()))
    });
    trace.value = Some(kept).filter(|text| !text.is_empty());
    trace
}

/// The other forms of a field: those below an overlay's, and the alternatives before the one that won.
fn losers<'r>(field: &'r Field, alternative: usize, won: bool, context: &Context<'r>) -> Vec<Loser> {
    let applicable = context.applicable(field);
    let mut losers = Vec::new();
    if let Some(Supply::First(alternatives)) = applicable.map(|choice| &choice.supply) {
        let n_tried = if won { alternative } else { alternatives.len() };
        for tried in alternatives.iter().take(n_tried) {
            losers.push(match tried {
                Alternative::Chain(chain) => Loser { span: chain.span.clone(), why: "no value" },
                Alternative::Choice(inner) => {
                    let holds = inner.when.as_ref().is_none_or(|when| context.holds(when, Value::Missing));
                    let why = if holds { "no value" } else { "its condition does not hold" };
                    Loser { span: inner.span.clone(), why }
                }
            });
        }
    }
    let others = field.base.iter().chain(field.variants.iter().filter_map(|(_, choice)| choice.as_ref()));
    for other in others.filter(|other| applicable.is_none_or(|choice| choice.span != other.span)) {
        let base = field.base.as_ref().is_some_and(|base| base.span == other.span);
        let why = if base { "an overlay stands over it" } else { "its overlay does not apply" };
        losers.push(Loser { span: other.span.clone(), why });
    }
    losers
}

fn written_at(choice: &Choice, alternative: usize) -> Span {
    match &choice.supply {
        Supply::First(alternatives) => match alternatives.get(alternative) {
            Some(Alternative::Chain(chain)) => chain.span.clone(),
            Some(Alternative::Choice(inner)) => inner.span.clone(),
            None => choice.span.clone(),
        },
        _ => choice.span.clone(),
    }
}

fn fault_text(fault: Fault) -> String {
    let text = match fault {
        Fault::Type => "not of the key's type",
        Fault::Time => "not a time",
        Fault::Zone => "a time without a zone, taken as UTC",
        Fault::Address => "not an address",
        Fault::Range => "beyond the key's range",
        Fault::Lookup => "not in the lookup table, which has no default",
        Fault::Json => "not JSON",
    };
    text.to_owned()
}
