//! What a mapping does with each property that the schema knows: mapped, left out for a reason, or not named at all.
//! And the other way round: what a mapping names and no schema knows.

mod ignored;
mod sample;
#[cfg(test)]
mod tests;
pub mod usage;

use std::collections::BTreeSet;

use self::ignored::Entry;
use self::usage::{Place, Usage, usages};
use super::ast::{Mapping, Span};
use super::schema::{Property, Schema, Segment, Table, properties};
use super::vocabulary::suggestion;

/// One table, looked at from its schema.
#[derive(Debug)]
pub struct Coverage {
    /// Its name.
    pub table: String,
    /// The mappings that take its records; none: `generic` does.
    pub mappings: Vec<String>,
    /// Every property of the schema, in its order.
    pub lines: Vec<Line>,
    /// What the mappings name and the schema does not know.
    pub strangers: Vec<Stranger>,
    /// Everything that the schema or a mapping names: for each member on the way, its names.
    known: Vec<Vec<Vec<String>>>,
    named: Vec<Vec<String>>,
}

/// One property.
#[derive(Debug)]
pub struct Line {
    /// As `[ignore]` writes it.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// These keys and sections send it; or, with [`DECIDES`] before them, only ask it.
    Mapped(Vec<String>),
    /// It is left out on purpose.
    Ignored {
        /// Why.
        reason: String,
        /// Where that is written.
        span: Span,
    },
    /// Nothing names it.
    Unnamed,
}

/// A name in a mapping that no schema knows.
#[derive(Debug)]
pub struct Stranger {
    /// As it is written.
    pub name: String,
    /// Where.
    pub span: Span,
    /// In `[ignore]`; else it is read.
    pub ignored: bool,
    /// What may be meant.
    pub help: Option<String>,
}

/// How many properties are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All.
    pub properties: usize,
    /// Read by a key.
    pub mapped: usize,
    /// Left out for a reason.
    pub ignored: usize,
    /// Not named.
    pub unnamed: usize,
}

impl Coverage {
    /// Looks at every table of the schema.
    #[must_use]
    pub fn all(schema: &Schema, mappings: &[Mapping]) -> Vec<Self> {
        schema.tables.iter().map(|(name, table)| Self::of(schema, name, table, mappings)).collect()
    }

    /// Looks at one table.
    #[must_use]
    pub fn of(schema: &Schema, name: &str, table: &Table, mappings: &[Mapping]) -> Self {
        let own = mappings.iter().filter(|mapping| mapping.matching.table.value.eq_ignore_ascii_case(name));
        let own: Vec<&Mapping> = own.collect();
        let usages: Vec<Usage> = own.iter().flat_map(|mapping| usages(mapping, schema)).collect();
        let entries: Vec<Entry> = own.iter().flat_map(|mapping| ignored::entries(mapping)).collect();
        let known = properties(schema, table);
        let by_schema = known.iter().map(|property| {
            let names = |segment: &Segment| {
                [Some(&segment.name), segment.alias.as_ref()].into_iter().flatten().cloned().collect()
            };
            property.segments.iter().map(names).collect()
        });
        let used = usages.iter().filter(|usage| !usage.place.envelope);
        let used = used.map(|usage| usage.place.steps.iter().map(|member| member.name.clone()).collect());
        let named: Vec<Vec<String>> = used.chain(entries.iter().filter_map(Entry::names)).collect();
        let by_mapping = named.iter().map(|names| names.iter().map(|name| vec![name.clone()]).collect());
        let line = |property: &Property| Line {
            name: property.name(),
            kind: property.kind.clone(),
            state: state(property, &usages, &entries),
        };
        Self {
            table: name.to_owned(),
            mappings: own.iter().map(|mapping| mapping.id.value.clone()).collect(),
            lines: known.iter().map(line).collect(),
            known: by_schema.chain(by_mapping).collect(),
            named,
            strangers: strangers(schema, &own, &known, &usages, &entries),
        }
    }

    /// The count of each state.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for line in &self.lines {
            totals.properties += 1;
            match line.state {
                State::Mapped(_) => totals.mapped += 1,
                State::Ignored { .. } => totals.ignored += 1,
                State::Unnamed => totals.unnamed += 1,
            }
        }
        totals
    }

    /// The members that the mappings name, in use or in `[ignore]`, from the column down.
    pub fn named_by_mappings(&self) -> impl Iterator<Item = &[String]> {
        self.named.iter().map(Vec::as_slice)
    }

    /// The properties that nothing names.
    pub fn unnamed(&self) -> impl Iterator<Item = &str> {
        let unnamed = self.lines.iter().filter(|line| line.state == State::Unnamed);
        unnamed.map(|line| line.name.as_str())
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.properties += other.properties;
        self.mapped += other.mapped;
        self.ignored += other.ignored;
        self.unnamed += other.unnamed;
    }
}

fn state(property: &Property, usages: &[Usage], entries: &[Entry]) -> State {
    let reading: Vec<&Usage> = usages.iter().filter(|usage| covers(usage, property)).collect();
    let by = |decides: bool| -> BTreeSet<&str> {
        let chosen = reading.iter().filter(|usage| usage.decides == decides);
        chosen.map(|usage| usage.by.as_str()).collect()
    };
    let sent = by(false);
    if !sent.is_empty() {
        return State::Mapped(sent.into_iter().map(ToOwned::to_owned).collect());
    }
    let decided = by(true);
    if !decided.is_empty() {
        return State::Mapped(decided.into_iter().map(|by| format!("{DECIDES}{by}")).collect());
    }
    match entries.iter().find(|entry| entry.covers(property)) {
        Some(entry) => State::Ignored { reason: entry.reason.clone(), span: entry.span.clone() },
        None => State::Unnamed,
    }
}

/// Whether a mapping that reads this place reads this property, all of it or a part.
fn covers(usage: &Usage, property: &Property) -> bool {
    !usage.place.envelope
        && usage.place.steps.iter().zip(&property.segments).all(|(member, segment)| {
            let kind = match (&member.kinds, &segment.of) {
                (Some(kinds), Some(of)) => of == "*" || kinds.contains(of),
                _ => true,
            };
            kind && is_named(segment, &member.name)
        })
        && (usage.place.steps.len() >= property.segments.len() || usage.whole)
}

fn is_named(segment: &Segment, name: &str) -> bool {
    segment.name == name || segment.alias.as_deref() == Some(name)
}

fn strangers(
    schema: &Schema,
    mappings: &[&Mapping],
    known: &[Property],
    usages: &[Usage],
    entries: &[Entry],
) -> Vec<Stranger> {
    // A fragment serves many tables: there, a name is known when any table has it.
    let shared = |span: &Span, name: &str| {
        let own = mappings.iter().any(|mapping| mapping.id.span.file == span.file);
        !own && schema.knows(name)
    };
    let mut strangers: Vec<Stranger> = Vec::new();
    let mut add = |name: String, last: &str, span: &Span, ignored: bool| {
        if shared(span, last) || strangers.iter().any(|known| known.name == name && known.span == *span) {
            return;
        }
        let names: Vec<String> = known.iter().map(Property::name).collect();
        let help = suggestion(&name, names.iter().map(String::as_str));
        strangers.push(Stranger { name, span: span.clone(), ignored, help });
    };
    for usage in usages.iter().filter(|usage| !is_known(schema, known, &usage.place)) {
        let last = usage.place.steps.last().map_or("", |member| &member.name);
        add(usage.place.name(), last, &usage.span, false);
    }
    for entry in entries.iter().filter(|entry| !entry.is_known(schema, known)) {
        add(entry.name.clone(), entry.last(), &entry.span, true);
    }
    strangers
}

/// Whether a place is that of a property, above one, or inside one that the schema does not look into.
fn is_known(schema: &Schema, known: &[Property], place: &Place) -> bool {
    let Some(first) = place.steps.first() else { return true };
    if place.envelope {
        return schema.envelope.contains_key(&first.name);
    }
    if place.steps.iter().any(|member| member.name.starts_with(ODATA)) {
        return true;
    }
    known.iter().any(|property| {
        place.steps.iter().zip(&property.segments).all(|(member, segment)| {
            let kind = match (&member.kinds, &segment.of) {
                (Some(kinds), Some(of)) => of == "*" || kinds.contains(of),
                _ => true,
            };
            kind && is_named(segment, &member.name)
        })
    })
}

/// Before a key or section whose condition is all that reads a property.
pub const DECIDES: &str = "decides ";
/// What OData adds to any object.
const ODATA: &str = "@odata.";
