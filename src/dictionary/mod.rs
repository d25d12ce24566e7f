//! The CEF extension keys: what each is called, what it may hold, and what LEEF calls it.
//!
//! A table and look-ups over it. Nothing here formats a value: that is the work of `cef` and `leef`.

mod keys;

pub use keys::KEYS;

/// One CEF extension key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The word on the wire, `act`.
    pub name: &'static str,
    /// The word in the standard's second column, `deviceAction`. Keys of specification 1.2 have blanks in it.
    pub full_name: &'static str,
    /// What a value must look like.
    pub kind: Kind,
    /// Most characters of a value.
    pub max: Option<u32>,
    /// Who may write it.
    pub audience: Audience,
    /// Specification that introduced it.
    pub since: Since,
    /// The predefined LEEF attribute of the same meaning.
    ///
    /// - `src` `dst` `spt` `dpt` `smac` `dmac` `proto` `cat`: the same thing under QRadar's name.
    /// - `sourceTranslatedAddress/Port`, `destinationTranslatedAddress/Port`: CEF gives the address *after*
    ///   translation, hence the `…PostNAT` attributes; `src` and `dst` are then what stood before it.
    /// - `in` → `srcBytes`, `out` → `dstBytes`: CEF's `in` counts what flows from source to destination.
    /// - `suser` → `usrName`, `sntdom` → `domain`: QRadar has one user an event. `duser` and `dntdom` stand in
    ///   for them when an event has no source user: the writer does that.
    /// - `dvchost` → `resource` (typically the computer's name); together with `dvc` → `identSrc` the writer adds
    ///   `identHostName`, which QRadar reads only beside `identSrc`.
    /// - `request` → `url`, `spriv` → `role`: the same meaning.
    /// - Times keep their CEF full names: `devTime` is the event's time and the writer sets it from there.
    /// - `dvcmac` keeps its full name because `identMAC` is reserved.
    pub leef: Option<&'static str>,
}

impl Key {
    /// The LEEF attribute: the predefined one, else the full name as a custom attribute, else (where the full
    /// name is several words) the short name.
    #[must_use]
    pub fn leef_name(&self) -> &'static str {
        match self.leef {
            Some(name) => name,
            None if self.full_name.contains(' ') => self.name,
            None => self.full_name,
        }
    }
}

/// What a value of a key must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Any text.
    Text,
    /// A signed 32-bit number.
    Int,
    /// A port: 0 to 65535.
    Port,
    /// A signed 64-bit number.
    Long,
    /// A floating-point number.
    Double,
    /// An IPv4 address. Newer receivers take IPv6 there as well.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An address of either family.
    Ip,
    /// Six bytes in hexadecimal, separated by colons.
    Mac,
    /// Milliseconds since 1970, or one of the standard's four text forms.
    Time,
}

/// Who may write a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The device that reports.
    Producer,
    /// The consumer that stores: a producer must leave the key alone.
    Consumer,
    /// Either.
    Both,
}

/// The specification that introduced a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// `CEF:0`.
    V0_1,
    /// `CEF:1`.
    V1_2,
}

/// The key of exactly this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().and_then(|at| KEYS.get(at))
}

/// The key that names a custom field: `cs1` → `cs1Label`.
#[must_use]
pub fn label_of(name: &str) -> Option<&'static Key> {
    let after = KEYS.partition_point(|key| key.name <= name);
    // `cs1Label` stands right behind `cs1`: no other key continues the name of a custom field.
    KEYS.get(after).filter(|key| key.name.strip_suffix(LABEL) == Some(name))
}

/// The custom field a label names: `cs1Label` → `cs1`.
#[must_use]
pub fn labelled_by(name: &str) -> Option<&'static Key> {
    name.strip_suffix(LABEL).and_then(find)
}

/// Whether a name is that of a label.
#[must_use]
pub fn is_label(name: &str) -> bool {
    labelled_by(name).is_some()
}

/// The key that was probably meant: another case, the full name, or a slip of the finger.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let same = |key: &&Key| key.name.eq_ignore_ascii_case(name) || key.full_name.eq_ignore_ascii_case(name);
    if let Some(key) = KEYS.iter().find(same) {
        return Some(key.name);
    }
    let wanted = name.to_ascii_lowercase();
    let distance = |key: &'static Key| {
        let to = |text: &str| strsim::damerau_levenshtein(&wanted, &text.to_ascii_lowercase());
        to(key.name).min(to(key.full_name))
    };
    let (far, key) = KEYS.iter().map(|key| (distance(key), key)).min_by_key(|(far, _)| *far)?;
    // One slip in four characters: more and every short word would be near to some key.
    (far <= (name.chars().count() / 4).max(1) && name.chars().count() > 2).then_some(key.name)
}

const LABEL: &str = "Label";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_key_with_its_type_and_limit() {
        let rows: Vec<String> = KEYS
            .iter()
            .map(|key| {
                let max = key.max.map_or("-".to_owned(), |max| max.to_string());
                let (name, full) = (key.name, key.full_name);
                format!("{name}\t{full}\t{:?}\t{max}\t{:?}\t{:?}", key.kind, key.audience, key.since)
            })
            .collect();
        let wanted: Vec<&str> = include_str!("../../tests/fixtures/cef-keys.tsv").lines().collect();
        assert_eq!(wanted.len(), 181);
        assert_eq!(rows, wanted);
        let count = |audience| KEYS.iter().filter(|key| key.audience == audience).count();
        assert_eq!([Audience::Producer, Audience::Consumer, Audience::Both].map(count), [129, 35, 17]);
    }

    #[test]
    fn every_key_is_found_and_no_name_stands_twice() {
        assert!(KEYS.is_sorted_by(|one, next| one.name < next.name));
        for key in KEYS {
            assert_eq!(find(key.name), Some(key));
        }
        assert_eq!(find("Act"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn every_custom_field_has_its_label_and_nothing_else_has_one() {
        let labelled: Vec<&str> =
            KEYS.iter().filter(|key| label_of(key.name).is_some()).map(|key| key.name).collect();
        assert_eq!(
            labelled,
            [
                "c6a1",
                "c6a2",
                "c6a3",
                "c6a4",
                "cfp1",
                "cfp2",
                "cfp3",
                "cfp4",
                "cn1",
                "cn2",
                "cn3",
                "cs1",
                "cs2",
                "cs3",
                "cs4",
                "cs5",
                "cs6",
                "deviceCustomDate1",
                "deviceCustomDate2",
                "flexDate1",
                "flexNumber1",
                "flexNumber2",
                "flexString1",
                "flexString2"
            ]
        );
        let labels = KEYS.iter().filter(|key| key.name.ends_with(LABEL)).count();
        assert_eq!(labels, labelled.len());
        assert!(is_label("cs1Label") && !is_label("cs1") && !is_label("fooLabel"));
        assert_eq!(labelled_by("cn3Label").map(|key| key.name), Some("cn3"));
    }

    #[test]
    fn a_mistyped_key_is_answered_with_the_one_that_was_meant() {
        let check = |typed: &str, meant: Option<&str>| assert_eq!(nearest(typed), meant, "{typed}");
        check("deviceAction", Some("act"));
        check("deviceaction", Some("act"));
        check("SUSER", Some("suser"));
        check("dvchosts", Some("dvchost"));
        check("externalID", Some("externalId"));
        check("filepaht", Some("filePath"));
        check("deviceCustomString1", Some("cs1"));
        check("cs7", Some("cs1"));
        check("helloWorld", None);
        check("q", None);
    }

    #[test]
    fn leef_names_are_single_words_and_none_stands_for_two_keys() {
        let mut names: Vec<&str> = KEYS.iter().map(Key::leef_name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
