//! The place of a source in memory and in the spool, kept alike.

use bytes::Bytes;

use super::place::{self, Place};
use super::ticks::Ticks;
use crate::record::{Batch, Partition, Position, Table};
use crate::spool::{Intake, SpoolError};

/// A place with the way to make it durable.
pub struct Kept {
    intake: Intake,
    place: Place,
    /// Bytes that the position has grown by since it was last written whole.
    grown: usize,
}

impl Kept {
    /// As the spool says.
    #[must_use]
    pub fn of(intake: Intake) -> Self {
        let position = intake.position(&partition());
        let place = position.map(|position| Place::read(&position.0)).unwrap_or_default();
        // What the spool holds may be long from before: it is written short at the first opportunity.
        Self { intake, place, grown: usize::MAX }
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Stores records with what they are known by, and waits until both are durable: only then they count as seen.
    ///
    /// # Errors
    /// The spool failed.
    pub async fn store(
        &mut self,
        records: Vec<(Table, Bytes)>,
        seen: Vec<(u64, Ticks)>,
    ) -> Result<(), SpoolError> {
        let lines: String = seen.iter().map(|(key, at)| place::line(*key, *at)).collect();
        self.grown = self.grown.saturating_add(lines.len());
        self.intake.extend(Batch { partition: partition(), position: Position(lines), records }).await?;
        seen.into_iter().for_each(|(key, at)| self.place.see(key, at));
        Ok(())
    }

    /// Changes the marks and makes them durable; what was seen before `oldest` is forgotten now and then.
    ///
    /// # Errors
    /// The spool failed.
    pub async fn mark(&mut self, change: impl FnOnce(&mut Place), oldest: Ticks) -> Result<(), SpoolError> {
        let before = self.place.marks();
        change(&mut self.place);
        let marks = self.place.marks();
        if marks == before && self.grown <= MOST_GROWN {
            return Ok(());
        }
        let whole = self.grown.saturating_add(marks.len()) > MOST_GROWN;
        let position = Position(if whole { self.place.whole(oldest) } else { marks });
        self.grown = if whole { 0 } else { self.grown + position.0.len() };
        let batch = Batch { partition: partition(), position, records: Vec::new() };
        if whole { self.intake.append(batch).await } else { self.intake.extend(batch).await }
    }
}

/// All of a source is one partition.
#[must_use]
pub fn partition() -> Partition {
    Partition(String::new())
}

/// A position that has grown by so much is written whole, without what is forgotten.
const MOST_GROWN: usize = 256 << 10;
