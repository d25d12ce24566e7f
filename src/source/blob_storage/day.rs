//! How far the blobs of one day have been read: what stands in the spool as a position.
//!
//! Blobs are named `tenantId=<guid>/y=2026/m=03/d=04/h=09/m=00/PT1H.json`, one an hour. All blobs of a day share one
//! partition and one position, so that what is remembered grows with the days and not with the hours. A blob whose name
//! has another form is a partition of its own.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

use crate::record::{Partition, Position};

/// Which blobs belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder {
    /// The container.
    pub container: String,
    /// The beginning of the blobs' names, with its `/`; or the whole name of one blob.
    pub path: String,
}

impl Folder {
    /// The folder of a blob and the rest of its name.
    #[must_use]
    pub fn of<'n>(container: &str, name: &'n str) -> (Self, &'n str) {
        let end = day_at(name).map_or(name.len(), |(end, _)| end);
        (Self { container: container.to_owned(), path: name[..end].to_owned() }, &name[end..])
    }

    /// The day in its path, if there is one.
    #[must_use]
    pub fn day(&self) -> Option<Date> {
        day_at(&self.path).map(|(_, day)| day)
    }

    /// The partition of its records.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition(format!("{}/{}", self.container, self.path))
    }

    /// The folder of a partition.
    #[must_use]
    pub fn read(partition: &Partition) -> Option<Self> {
        let (container, path) = partition.0.split_once('/')?;
        Some(Self { container: container.to_owned(), path: path.to_owned() })
    }
}

/// The end of `y=…/m=…/d=…/` in a name, and the day it says.
fn day_at(name: &str) -> Option<(usize, Date)> {
    let mut start = 0;
    loop {
        let rest = &name[start..];
        let found = day_here(rest);
        if let Some((length, day)) = found {
            return Some((start + length, day));
        }
        start += rest.find('/')? + 1;
    }
}

fn day_here(text: &str) -> Option<(usize, Date)> {
    let mut parts = text.split_inclusive('/');
    let (mut length, mut numbers) = (0, [0; 3]);
    for (number, mark) in numbers.iter_mut().zip(["y=", "m=", "d="]) {
        let part = parts.next()?;
        *number = part.strip_prefix(mark)?.strip_suffix('/')?.parse::<i16>().ok()?;
        length += part.len();
    }
    let [year, month, day] = numbers;
    Some((length, Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?))
}

/// The beginning of the names of a day's blobs, behind the tenant's folder.
#[must_use]
pub fn day_path(day: Date) -> String {
    format!("y={:04}/m={:02}/d={:02}/", day.year(), day.month(), day.day())
}

/// The day some seconds after 1970 lie in, UTC.
#[must_use]
pub fn day_of(seconds: i64) -> Date {
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let start = date(1970, 1, 1);
    let days = timestamp.as_second().div_euclid(24 * 60 * 60);
    start.checked_add(jiff::Span::new().days(days)).unwrap_or(start)
}

/// The place in each blob of a folder, by the rest of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places(pub BTreeMap<String, Place>);

/// How far a blob has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(
    /// All bytes before are records in the spool.
    pub u64,
    /// When the blob was created, in seconds since 1970: one made anew under the same name has another.
    pub i64,
);

impl Places {
    /// The places as a position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(serde_json::to_string(self).unwrap_or_default())
    }

    /// Adds what another instance has read: of each blob the later one, and of that the more.
    pub fn join(&mut self, other: Self) {
        for (rest, Place(offset, created)) in other.0 {
            let known = self.0.entry(rest).or_insert(Place(offset, created));
            let order = |place: &Place| (place.1, place.0);
            if order(&Place(offset, created)) > order(known) {
                *known = Place(offset, created);
            }
        }
    }

    /// The places in a position; none when another version wrote it in a way not known here.
    #[must_use]
    pub fn read(position: &Position) -> Self {
        serde_json::from_str(&position.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_of_a_day_share_a_partition() {
        let check = |name: &str, path: &str, rest: &str, day: Option<Date>| {
            let (folder, found) = Folder::of("c", name);
            assert_eq!((folder.path.as_str(), found, folder.day()), (path, rest, day), "{name}");
            assert_eq!(Folder::read(&folder.partition()), Some(folder));
        };
        check(
            "tenantId=1/y=2026/m=03/d=04/h=09/m=00/PT1H.json",
            "tenantId=1/y=2026/m=03/d=04/",
            "h=09/m=00/PT1H.json",
            Some(date(2026, 3, 4)),
        );
        check("a/b/c.json", "a/b/c.json", "", None);
        check("c.json", "c.json", "", None);
        check("y=2026/m=13/d=01/x", "y=2026/m=13/d=01/x", "", None);
        assert_eq!(day_path(date(2026, 3, 4)), "y=2026/m=03/d=04/");
        assert_eq!((day_of(-1), day_of(1_772_614_801)), (date(1969, 12, 31), date(2026, 3, 4)));
    }

    #[test]
    fn places_survive_as_text_and_an_unknown_text_is_none() {
        let places = Places([("h=09/m=00/PT1H.json".to_owned(), Place(37, 1_772_614_801))].into());
        assert_eq!(places.position().0, r#"{"h=09/m=00/PT1H.json":[37,1772614801]}"#);
        assert_eq!(Places::read(&places.position()), places);
        assert_eq!(Places::read(&Position("9".into())), Places::default());
    }

    #[test]
    fn places_of_two_instances_are_joined_blob_by_blob() {
        let read = |text: &str| Places::read(&Position(text.into()));
        let mut places = read(r#"{"a":[10,1],"b":[10,1],"c":[90,1],"d":[5,5]}"#);
        places.join(read(r#"{"a":[20,1],"b":[5,1],"c":[7,2],"d":[9,4],"e":[1,1]}"#));
        assert_eq!(places, read(r#"{"a":[20,1],"b":[10,1],"c":[7,2],"d":[5,5],"e":[1,1]}"#));
    }
}
