//! Where a partition is resumed, as it stands in the spool: `<sequence number> <offset>`, or `since <milliseconds>`
//! until the first event of a partition that begins at a time.

use crate::record::Position;

/// Where to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the event with this sequence number and offset. Offsets are the service's own text; empty when only the
    /// number is known.
    Behind(i64, String),
    /// With the first event stored at or after these milliseconds since 1970.
    Since(i64),
}

impl Place {
    /// Before everything.
    #[must_use]
    pub fn oldest() -> Self {
        Self::Behind(-1, "-1".to_owned())
    }

    /// From the spool; `None` when it is not one of ours.
    #[must_use]
    pub fn read(position: &Position) -> Option<Self> {
        let (first, second) = position.0.split_once(' ')?;
        match first {
            "since" => second.parse().ok().map(Self::Since),
            number => Some(Self::Behind(number.parse().ok()?, second.to_owned())),
        }
    }

    /// For the spool.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(match self {
            Self::Behind(sequence, offset) => format!("{sequence} {offset}"),
            Self::Since(time) => format!("since {time}"),
        })
    }

    /// The last event that is done with.
    #[must_use]
    pub fn sequence(&self) -> Option<i64> {
        match self {
            Self::Behind(sequence, _) if *sequence >= 0 => Some(*sequence),
            _ => None,
        }
    }

    /// What lets only later events through (`apache.org:selector-filter:string`).
    #[must_use]
    pub fn selector(&self) -> String {
        match self {
            Self::Behind(sequence, offset) if offset.is_empty() => {
                format!("amqp.annotation.x-opt-sequence-number > '{sequence}'")
            }
            Self::Behind(_, offset) => {
                format!("amqp.annotation.x-opt-offset > '{}'", offset.replace('\'', ""))
            }
            Self::Since(time) => format!("amqp.annotation.x-opt-enqueued-time >= '{time}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_lets_later_events_through() {
        let check = |place: Place, written: &str, selector: &str| {
            assert_eq!(place.position().0, written);
            assert_eq!(Place::read(&place.position()), Some(place.clone()));
            assert_eq!(place.selector(), selector);
        };
        check(Place::Behind(7, "700".into()), "7 700", "amqp.annotation.x-opt-offset > '700'");
        check(Place::oldest(), "-1 -1", "amqp.annotation.x-opt-offset > '-1'");
        check(Place::Behind(7, String::new()), "7 ", "amqp.annotation.x-opt-sequence-number > '7'");
        check(Place::Since(12), "since 12", "amqp.annotation.x-opt-enqueued-time >= '12'");
        assert_eq!(Place::read(&Position("x".into())), None);
        assert_eq!(Place::read(&Position("x 1".into())), None);
        assert_eq!((Place::oldest().sequence(), Place::Behind(0, "0".into()).sequence()), (None, Some(0)));
    }
}
