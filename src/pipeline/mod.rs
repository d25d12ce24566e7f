//! Record → frames: parse, map, encode, syslog header, framing.
//!
//! A pipeline belongs to one destination. It does no IO, reads no clock and cannot fail: what cannot be mapped
//! goes out through the mapping `unparsed`, with the reason.

mod settings;

pub use self::settings::Settings;

use std::sync::Arc;

use bumpalo::Bump;

use crate::event::Finished;
use crate::mapping::evaluate::Fault;
use crate::mapping::run::{Outcome, State};
use crate::mapping::set::{GENERIC, MappingSet, UNPARSED};
use crate::oversized;
use crate::record::{Name, Record, Table, Timestamp};
use crate::syslog::{self, Framer};

/// What a destination's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// CEF or LEEF, by the mappings.
    Event,
    /// The record as received, on one line.
    Json,
}

/// Which time the syslog header shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    /// The event's own, or the append time where it has none.
    #[default]
    Event,
    /// The time of sending.
    Sent,
}

/// Maps and frames the records of one destination.
pub struct Pipeline {
    set: Arc<MappingSet>,
    states: Vec<State>,
    framer: Framer,
    message_kind: Message,
    stamp: Stamp,
    now: Timestamp,
    arena: Bump,
    message: Vec<u8>,
    routes: Vec<Route>,
    unparsed: Vec<usize>,
}

/// The programs for a table, found once.
struct Route {
    table: Name,
    candidates: Vec<usize>,
    /// Records that no mapping of the table took.
    unmatched: u64,
}

/// Frames of consecutive records, and what became of each record.
#[derive(Debug, Default)]
pub struct Frames {
    /// Whole frames, one behind the other.
    pub bytes: Vec<u8>,
    /// How many.
    pub n_events: usize,
    /// Records filtered out, in order.
    pub filtered: Vec<Filtered>,
    /// Records that went out through `unparsed`, by their place in the chunk.
    pub unparsed: Vec<usize>,
}

/// A record that a rule, or the dedupe, has filtered out.
#[derive(Clone, Copy, Debug)]
pub struct Filtered {
    /// Its place in the chunk.
    pub place: usize,
    program: usize,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Rule(usize),
    Duplicate,
    /// The list that gets an event for each element is empty, and the mapping wants none then.
    EmptyFanout,
}

/// What a pipeline counts beside events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Events written.
    Events,
    /// Values that were not what their key takes, by kind.
    Fault(&'static str),
    /// Values cut to their limit.
    Cut,
    /// Values left out or cut because the event was too large.
    Shed,
    /// Records of a table, named as the key, that only `generic` took.
    Unmatched,
}

impl Frames {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.n_events = 0;
        self.filtered.clear();
        self.unparsed.clear();
    }
}

impl Pipeline {
    /// A pipeline over compiled mappings.
    #[must_use]
    pub fn new(set: Arc<MappingSet>, framer: Framer, message_kind: Message, stamp: Stamp) -> Self {
        let states = set.programs.iter().map(State::new).collect();
        let unparsed = set.candidates(UNPARSED);
        Self {
            set,
            states,
            framer,
            message_kind,
            stamp,
            now: Timestamp::default(),
            arena: Bump::new(),
            message: Vec::new(),
            routes: Vec::new(),
            unparsed,
        }
    }

    /// Swaps the mappings; counts of the old ones are given back for reporting.
    pub fn replace(&mut self, set: Arc<MappingSet>) {
        *self = Self::new(set, self.framer.clone(), self.message_kind, self.stamp);
    }

    /// The compiled mappings.
    #[must_use]
    pub fn set(&self) -> &MappingSet {
        &self.set
    }

    /// The name of what filtered a record out.
    #[must_use]
    pub fn reason(&self, filtered: &Filtered) -> Name {
        match filtered.cause {
            Cause::Rule(rule) => self.set.programs[filtered.program].rules[rule].reason.clone(),
            Cause::Duplicate => DUPLICATE.into(),
            Cause::EmptyFanout => EMPTY_FANOUT.into(),
        }
    }

    /// What was counted since the last call: mapping, key, what, how often.
    pub fn take_counts(&mut self, mut each: impl FnMut(&str, &str, Count, u64)) {
        for (program, state) in self.set.programs.iter().zip(&mut self.states) {
            let mut take = |key: &str, count: Count, number: &mut u64| match std::mem::take(number) {
                0 => {}
                number => each(&program.id, key, count, number),
            };
            take("", Count::Events, &mut state.events);
            for (place, field) in program.all_fields().enumerate() {
                for (kind, (name, _)) in Fault::NAMES.iter().enumerate() {
                    take(&field.key, Count::Fault(name), &mut state.faults[place][kind]);
                }
                take(&field.key, Count::Cut, &mut state.cut[place]);
                take(&field.key, Count::Shed, &mut state.shed[place]);
            }
        }
        for route in self.routes.iter_mut().filter(|route| route.unmatched > 0) {
            each(GENERIC, &route.table, Count::Unmatched, std::mem::take(&mut route.unmatched));
        }
    }

    /// Appends the frames of these records, sent at `now`.
    pub fn encode(&mut self, records: &[Record], now: Timestamp, frames: &mut Frames) {
        self.now = now;
        for (place, record) in records.iter().enumerate() {
            self.record(place, record, frames);
            self.arena.reset();
        }
    }

    fn record(&mut self, place: usize, record: &Record, frames: &mut Frames) {
        if self.message_kind == Message::Json {
            one_line(&record.body, &mut self.message);
            self.framer.frame(&mut frames.bytes, INFORMATIONAL, record.received, &self.message);
            frames.n_events += 1;
            return;
        }
        if &*record.table.0 == Table::UNPARSED {
            let reason = match oversized::read(&record.body) {
                Some(_) => "larger than max_record_bytes",
                None => "not a JSON object",
            };
            return self.unparsed(place, record, reason, frames);
        }
        let route = self.route(&record.table);
        let body = match std::str::from_utf8(&record.body) {
            Ok(text) => text,
            Err(_) => &*self.arena.alloc_str(&String::from_utf8_lossy(&record.body)),
        };
        let set = &self.set;
        for &number in &self.routes[route].candidates {
            let framer = &mut self.framer;
            let before = (frames.bytes.len(), frames.n_events);
            let header_time = HeaderTime { stamp: self.stamp, now: self.now, received: record.received };
            let emit = |event: Finished<'_>| emit(event, header_time, framer, frames);
            let outcome = set.programs[number].run(
                &set.target,
                record,
                "",
                body,
                &self.arena,
                &mut self.states[number],
                &mut self.message,
                emit,
            );
            let cause = match outcome {
                Ok(Outcome::NoMatch) => continue,
                Ok(Outcome::Events(0)) => Cause::EmptyFanout,
                Ok(Outcome::Events(_)) => {
                    self.routes[route].unmatched += u64::from(set.programs[number].table == GENERIC);
                    return;
                }
                Ok(Outcome::Filtered(rule)) => Cause::Rule(rule),
                Ok(Outcome::Duplicate) => Cause::Duplicate,
                Ok(Outcome::Rejected(field)) => {
                    // The record goes out whole in another form: not also in part.
                    frames.bytes.truncate(before.0);
                    frames.n_events = before.1;
                    let program = &set.programs[number];
                    let key = program.all_fields().nth(field).map_or("", |field| &field.key);
                    let reason = format!("`{key}` of mapping {} has a value of the wrong type", program.id);
                    return self.unparsed(place, record, &reason, frames);
                }
                Err(not_an_object) => {
                    return self.unparsed(place, record, &not_an_object.to_string(), frames);
                }
            };
            return frames.filtered.push(Filtered { place, program: number, cause });
        }
        self.unparsed(place, record, "no mapping takes it", frames);
    }

    /// Sends a record through the mapping `unparsed`; as it is where no such mapping makes an event of it.
    fn unparsed(&mut self, place: usize, record: &Record, reason: &str, frames: &mut Frames) {
        let set = &self.set;
        for &number in &self.unparsed {
            let framer = &mut self.framer;
            let before = (frames.bytes.len(), frames.n_events);
            let header_time = HeaderTime { stamp: self.stamp, now: self.now, received: record.received };
            let emit = |event: Finished<'_>| emit(event, header_time, framer, frames);
            let outcome = set.programs[number].run(
                &set.target,
                record,
                reason,
                "",
                &self.arena,
                &mut self.states[number],
                &mut self.message,
                emit,
            );
            let cause = match outcome {
                Ok(Outcome::Filtered(rule)) => Cause::Rule(rule),
                Ok(Outcome::Duplicate) => Cause::Duplicate,
                Ok(Outcome::Events(0)) => Cause::EmptyFanout,
                Ok(Outcome::Events(_)) => return frames.unparsed.push(place),
                Ok(Outcome::NoMatch | Outcome::Rejected(_)) | Err(_) => {
                    frames.bytes.truncate(before.0);
                    frames.n_events = before.1;
                    continue;
                }
            };
            return frames.filtered.push(Filtered { place, program: number, cause });
        }
        frames.unparsed.push(place);
        one_line(&record.body, &mut self.message);
        self.framer.frame(&mut frames.bytes, INFORMATIONAL, record.received, &self.message);
        frames.n_events += 1;
    }

    fn route(&mut self, table: &Table) -> usize {
        if let Some(place) = self.routes.iter().position(|route| Arc::ptr_eq(&route.table, &table.0)) {
            return place;
        }
        if let Some(place) = self.routes.iter().position(|route| *route.table == *table.0) {
            return place;
        }
        if self.routes.len() == MAX_ROUTES {
            self.routes.clear();
        }
        self.routes.push(Route {
            table: table.0.clone(),
            candidates: self.set.candidates(&table.0),
            unmatched: 0,
        });
        self.routes.len() - 1
    }
}

/// The times among which a syslog header chooses.
#[derive(Clone, Copy)]
struct HeaderTime {
    stamp: Stamp,
    now: Timestamp,
    received: Timestamp,
}

fn emit(event: Finished<'_>, time: HeaderTime, framer: &mut Framer, frames: &mut Frames) {
    let time = match time.stamp {
        Stamp::Event => event.time.unwrap_or(time.received),
        Stamp::Sent => time.now,
    };
    framer.frame(&mut frames.bytes, syslog::severity(event.severity), time, event.message);
    frames.n_events += 1;
}

/// The record's bytes without line ends: between JSON tokens they are blanks, inside strings they are not legal.
fn one_line(body: &[u8], message: &mut Vec<u8>) {
    message.clear();
    message.extend_from_slice(String::from_utf8_lossy(body).as_bytes());
    message.iter_mut().filter(|byte| **byte < b' ').for_each(|byte| *byte = b' ');
}

/// The reason of records that the dedupe filters out.
const DUPLICATE: &str = "duplicate";

/// The reason of records whose fan-out list is empty.
const EMPTY_FANOUT: &str = "empty fan-out";

/// RFC 5424 §6.2.1.
const INFORMATIONAL: u8 = 6;

/// Far above the number of tables: a bound for sources that invent table names.
const MAX_ROUTES: usize = 4096;
