//! The loop: one record in, zero, one or several events out, written straight into the message.
//!
//! A field that turns out to have no value rolls the message back to where it began, so nothing is built twice.

use std::cell::Cell;

use bumpalo::Bump;

use super::ast::Overflow;
use super::convert::{Converted, convert};
use super::dedupe::Seen;
use super::evaluate::{Context, Fault};
use super::program::{Action, Chain, Choice, Condition, Field, Program};
use super::read::NotAnObject;
use super::value::Value;
use crate::cef::Written;
use crate::event::{Finished, Format, Target};
use crate::record::{Record, Timestamp};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many events were written.
    Events(usize),
    /// It is not for this mapping after all: `[match] when` does not hold.
    NoMatch,
    /// A rule, by number, filtered it out.
    Filtered(usize),
    /// It repeats a record seen within the dedupe window.
    Duplicate,
    /// A field whose mapping says `on_error = "reject"`, by number.
    Rejected(usize),
}

/// What a program counts and remembers over the records of one destination.
#[derive(Debug)]
pub struct State {
    /// Events written.
    pub events: u64,
    /// Faults by field and kind.
    pub faults: Vec<[u64; Fault::NAMES.len()]>,
    /// Values cut, by field.
    pub cut: Vec<u64>,
    /// Fields left out because the event was too large, by field.
    pub shed: Vec<u64>,
    seen: Seen,
}

impl State {
    /// Nothing counted, nothing seen.
    #[must_use]
    pub fn new(program: &Program) -> Self {
        let n_fields = program.fields.len() + N_HEADER_FIELDS;
        Self {
            events: 0,
            faults: vec![[0; Fault::NAMES.len()]; n_fields],
            cut: vec![0; n_fields],
            shed: vec![0; n_fields],
            seen: Seen::default(),
        }
    }
}

impl Program {
    /// Maps one record. `body` is its text; `message` is scratch space, overwritten for each event.
    #[allow(clippy::too_many_arguments, reason = "one call site; a struct would only rename the arguments")]
    pub fn run<'r>(
        &'r self,
        target: &'r Target,
        record: &'r Record,
        reason: &'r str,
        body: &'r str,
        arena: &'r Bump,
        state: &mut State,
        message: &mut Vec<u8>,
        mut emit: impl FnMut(Finished<'_>),
    ) -> Result<Outcome, NotAnObject> {
        let context = self.context(record, reason, body, arena)?;
        if self.when.as_ref().is_some_and(|when| !context.holds_for(when)) {
            return Ok(Outcome::NoMatch);
        }
        if let Some(rule) = self.filtered_by(&context) {
            return Ok(Outcome::Filtered(rule));
        }
        if let Some(dedupe) = &self.dedupe
            && state.seen.repeats(
                dedupe,
                record,
                dedupe.key.iter().map(|chain| context.chain(chain, Value::Missing).scalar(arena)),
            )
        {
            return Ok(Outcome::Duplicate);
        }
        let mut n_events = 0;
        for item in self.items(&context) {
            context.enter(item, n_events + 1);
            let mut event = Event { program: self, context: &context, target, state, message };
            match event.write() {
                Ok(finished) => emit(finished),
                Err(Reject(field)) => return Ok(Outcome::Rejected(field)),
            }
            n_events += 1;
        }
        state.events += n_events as u64;
        Ok(Outcome::Events(n_events))
    }

    /// Reads a record into a context, overlays chosen.
    pub fn context<'r>(
        &'r self,
        record: &'r Record,
        reason: &'r str,
        body: &'r str,
        arena: &'r Bump,
    ) -> Result<Context<'r>, NotAnObject> {
        // A record with a reason is not a JSON object: there is nothing to read.
        let slots = if reason.is_empty() { self.trie.read(body, arena)? } else { self.trie.empty(arena) };
        let context = Context {
            program: self,
            arena,
            slots,
            vars: arena.alloc_slice_fill_with(self.vars.len(), |_| Cell::new(None)),
            overlays: arena.alloc_slice_fill_with(self.overlays.len() / 64 + 1, |_| Cell::new(0)),
            record,
            reason,
            tags: Cell::new(""),
            item: Cell::new(Value::Missing),
            index: Cell::new(0),
            count: Cell::new(0),
            fault: Cell::new(None),
        };
        Ok(context)
    }

    /// The rule that filters the record out, if any; rules that tag leave their word in the context.
    pub fn filtered_by<'r>(&'r self, context: &Context<'r>) -> Option<usize> {
        for (number, rule) in self.rules.iter().enumerate() {
            if !context.holds_for(&rule.when) {
                continue;
            }
            match &rule.action {
                Action::Drop | Action::Route(false) => return Some(number),
                Action::Keep | Action::Route(true) => return None,
                Action::Sample(bound, key) => return (context.sample(key) > *bound).then_some(number),
                Action::Tag(word) => context.add_tag(word),
            }
        }
        None
    }

    /// The elements to write an event for; a single missing one where there is no fan-out.
    pub fn items<'r>(&'r self, context: &Context<'r>) -> &'r [Value<'r>] {
        const ONE: &[Value<'static>] = &[Value::Missing];
        let Some(fanout) = &self.fanout else { return ONE };
        let elements = context.chain(&fanout.each, Value::Missing).elements(context.arena);
        context.count.set(elements.len().min(fanout.max));
        match elements {
            [] if fanout.none_on_empty => &[],
            [] => ONE,
            elements => &elements[..elements.len().min(fanout.max)],
        }
    }

    /// All fields in counting order: extension first, then class id, name and severity.
    pub fn all_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().chain([&self.class_id, &self.name, &self.severity])
    }
}

/// One event being written.
struct Event<'e, 'r> {
    program: &'r Program,
    context: &'e Context<'r>,
    target: &'r Target,
    state: &'e mut State,
    message: &'e mut Vec<u8>,
}

/// A field refused the record.
struct Reject(usize);

impl<'r> Event<'_, 'r> {
    fn write(&mut self) -> Result<Finished<'_>, Reject> {
        let program = self.program;
        let context = self.context;
        // Rules and overlays look at values on their own account.
        context.fault.set(None);
        let severity = self.severity();
        let class_id = self.header_text(&program.class_id, 0).unwrap_or(&program.id);
        let name = self.header_text(&program.name, 1).unwrap_or(&context.record.table.0);
        let mut identity = [&*self.target.identity[0], &*self.target.identity[1], &*self.target.identity[2]];
        for (place, field) in program.identity.iter().enumerate() {
            if let Some(text) = field.as_ref().and_then(|field| context.field_text(field)) {
                identity[place] = text;
            }
        }
        context.fault.set(None);
        self.message.clear();
        self.target.format.header(self.message, identity, class_id, name, severity);
        let start = self.message.len();
        let sizes = context.arena.alloc_slice_fill_copy(program.fields.len(), 0_usize);
        let mut time = None;
        for (number, field) in program.fields.iter().enumerate() {
            let from = self.message.len();
            self.field(number, field, severity, &mut time, usize::MAX, start)?;
            sizes[number] = self.message.len() - from;
        }
        if self.message.len() > self.target.max_message_bytes {
            self.shrink(sizes, start, severity)?;
        }
        Ok(Finished { message: self.message, severity, time })
    }

    /// Writes one pair, its label after it, in at most `allowance` bytes; nothing when there is no value.
    fn field(
        &mut self,
        number: usize,
        field: &'r Field,
        severity: u8,
        time: &mut Option<Timestamp>,
        allowance: usize,
        start: usize,
    ) -> Result<(), Reject> {
        let context = self.context;
        let Some(choice) = context.applicable(field) else { return Ok(()) };
        let (value, _) = context.choice(choice);
        let converted = convert(field, choice, value, severity, context, self.target);
        if let Some(fault) = context.fault.take() {
            self.state.faults[number][fault as usize] += 1;
        }
        let (prefix, label, text) = match converted {
            Converted::Text(text) => (&field.prefix, choice.label.as_ref(), text),
            Converted::Time(at, text) => {
                if self.program.time_field == Some(number) {
                    *time = Some(at);
                }
                (&field.prefix, choice.label.as_ref(), text)
            }
            Converted::Paired(text) => match &field.paired {
                Some((prefix, label)) => (prefix, Some(label), text),
                None => return Ok(()),
            },
            Converted::Missing => return Ok(()),
            Converted::Rejected => return Err(Reject(number)),
        };
        self.pair(number, field, choice, prefix, label.map(|label| &**label), text, allowance, start);
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the second half of `field`, apart only for its length")]
    fn pair(
        &mut self,
        number: usize,
        field: &Field,
        choice: &Choice,
        prefix: &[u8],
        label: Option<&[u8]>,
        text: &str,
        allowance: usize,
        start: usize,
    ) {
        let max = field.max.into_iter().chain(choice.max).min();
        if choice.overflow == Overflow::Drop
            && max.is_some_and(|max| text.len() > max as usize && text.chars().count() > max as usize)
        {
            self.state.cut[number] += 1;
            return;
        }
        let format = self.target.format;
        let from = self.message.len();
        if from > start {
            self.message.push(format.separator());
        }
        self.message.extend_from_slice(prefix);
        let label_size = label.map_or(0, |label| label.len() + 1);
        let value_at = self.message.len();
        let room = allowance.saturating_sub(value_at - from + label_size);
        match self.value_within(format, text, max, room) {
            Written::Empty => self.message.truncate(from),
            written => {
                self.state.cut[number] += u64::from(written == Written::Cut);
                if let Some(label) = label {
                    self.message.push(format.separator());
                    self.message.extend_from_slice(label);
                }
            }
        }
    }

    /// Writes a value in at most `room` bytes: fewer characters until it fits.
    fn value_within(&mut self, format: Format, text: &str, max: Option<u32>, room: usize) -> Written {
        let at = self.message.len();
        let written = format.value(self.message, text, max);
        if self.message.len() - at <= room {
            return written;
        }
        let mut limit = text.chars().count().min(max.map_or(usize::MAX, |max| max as usize));
        loop {
            let size = self.message.len() - at;
            if size <= room {
                return Written::Cut;
            }
            limit = (limit * room / size).min(limit.saturating_sub(1));
            self.message.truncate(at);
            if limit == 0 {
                return Written::Empty;
            }
            format.value(self.message, text, u32::try_from(limit).ok());
        }
    }

    /// Writes the event again, within the budget: the fields of `[limits] shed` go first, then the longest is cut.
    fn shrink(&mut self, sizes: &[usize], start: usize, severity: u8) -> Result<(), Reject> {
        let allowances = self.context.arena.alloc_slice_copy(sizes);
        let budget = self.target.max_message_bytes.saturating_sub(start);
        let mut total: usize = allowances.iter().sum();
        for &field in &self.program.shed {
            if total <= budget {
                break;
            }
            total -= std::mem::take(&mut allowances[field]);
        }
        while total > budget {
            let Some(longest) = (0..allowances.len()).max_by_key(|&field| allowances[field]) else { break };
            if allowances[longest] == 0 {
                break;
            }
            let second =
                (0..allowances.len()).filter(|&f| f != longest).map(|f| allowances[f]).max().unwrap_or(0);
            let surplus = total - budget;
            // Cut the longest down to the next one before touching that.
            let cut = surplus.min(allowances[longest] - second.min(allowances[longest] - 1));
            allowances[longest] -= cut;
            total -= cut;
        }
        self.message.truncate(start);
        // The first pass has counted what was wrong and what was cut.
        let (faults, cut) = (self.state.faults.clone(), self.state.cut.clone());
        for (number, field) in self.program.fields.iter().enumerate() {
            let mut time = None;
            if allowances[number] > 0 {
                self.field(number, field, severity, &mut time, allowances[number], start)?;
            }
            self.state.shed[number] += u64::from(allowances[number] < sizes[number]);
        }
        (self.state.faults, self.state.cut) = (faults, cut);
        Ok(())
    }

    fn severity(&mut self) -> u8 {
        let text = self.header_text(&self.program.severity, 2);
        let number = text.and_then(severity_number);
        if text.is_some() && number.is_none() {
            self.state.faults[self.program.fields.len() + 2][Fault::Type as usize] += 1;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped to what fits; digits after the point go"
        )]
        number.map_or(DEFAULT_SEVERITY, |number| number.clamp(0.0, 10.0) as u8)
    }

    fn header_text(&mut self, field: &'r Field, place: usize) -> Option<&'r str> {
        let text = self.context.field_text(field);
        if text.is_none() {
            self.context.fault.set(Some(self.context.fault.take().unwrap_or(Fault::Type)));
        }
        if let Some(fault) = self.context.fault.take() {
            self.state.faults[self.program.fields.len() + place][fault as usize] += 1;
        }
        text
    }
}

impl<'r> Context<'r> {
    /// Moves to an element of the fan-out, or to the one event of a record, and chooses the overlays for it.
    ///
    /// Variables are computed anew: they may depend on the element, and on the words that rules have added.
    pub fn enter(&self, item: &Value<'r>, index: usize) {
        self.item.set(*item);
        self.index.set(index);
        self.vars.iter().for_each(|var| var.set(None));
        self.overlays.iter().for_each(|word| word.set(0));
        let apply = |number: usize| {
            let word = &self.overlays[number / 64];
            word.set(word.get() | 1 << (number % 64));
        };
        for (number, condition) in self.program.overlays.iter().enumerate() {
            if self.holds_for(condition) {
                apply(number);
            }
        }
        if !item.is_missing(self.arena) {
            apply(self.program.overlays.len());
        }
    }

    /// The text of a header field.
    pub fn field_text(&self, field: &'r Field) -> Option<&'r str> {
        self.applicable(field).and_then(|choice| self.choice(choice).0.scalar(self.arena))
    }

    /// Adds a word to `#tags`.
    pub fn add_tag(&self, word: &'r str) {
        let tags = self.tags.get();
        self.tags.set(if tags.is_empty() { word } else { self.arena.alloc_str(&format!("{tags},{word}")) });
    }

    /// A number that depends on the key's values alone: the same key is always kept or always dropped.
    fn sample(&self, key: &'r [Chain]) -> u64 {
        let mut text = bumpalo::collections::String::new_in(self.arena);
        for chain in key {
            text.push_str(self.chain(chain, Value::Missing).scalar(self.arena).unwrap_or_default());
            text.push('\u{1f}');
        }
        if key.is_empty() {
            text.push_str(itoa::Buffer::new().format(self.record.sequence));
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
    }

    fn holds_for(&self, condition: &'r Condition) -> bool {
        self.holds(condition, Value::Missing)
    }
}

/// The number a severity text stands for.
pub fn severity_number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

/// Class id, name and severity are counted after the extension fields.
const N_HEADER_FIELDS: usize = 3;

/// Where a mapping gives no severity: medium, so that nobody overlooks the event.
const DEFAULT_SEVERITY: u8 = 5;
