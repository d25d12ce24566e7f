//! One section of the configuration into one Rust type, with every fault in it instead of the first.
//!
//! serde stops at the first failure. So the section is read again after each: the failing key is taken out, a missing
//! one is replaced by a stand-in, until the rest can be read. What a removed key would have caused later is not reported.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{Fault, Faults, nearest};
use super::reading::{Failure, FailureKind, Reading, STAND_INS, Table, field_names};
use super::tree::{Node, Origin, Tree, Value};

/// Reads the table at `path` as a `T`. `None` after adding at least one fault. A table that is absent reads as empty.
pub fn read<T: DeserializeOwned>(tree: &Tree, path: &[&str], faults: &mut Faults) -> Option<T> {
    read_rest(tree, path, &[], faults)
}

/// As [`read`], leaving out keys that someone else reads.
pub fn read_rest<T: DeserializeOwned>(
    tree: &Tree,
    path: &[&str],
    elsewhere: &[&str],
    faults: &mut Faults,
) -> Option<T> {
    let node = copy(tree, path, |key| !elsewhere.contains(&key));
    Section { tree, path, more_keys: elsewhere }.read(node, faults).filter_whole()
}

/// As [`read`], with some keys of the table only; someone else reads the others.
pub fn read_only<T: DeserializeOwned>(
    tree: &Tree,
    path: &[&str],
    keys: &[&str],
    faults: &mut Faults,
) -> Option<T> {
    let node = copy(tree, path, |key| keys.contains(&key));
    Section { tree, path, more_keys: &[] }.read(node, faults).filter_whole()
}

/// Reads a table whose struct has a flattened part. serde buffers such a part and loses types and paths on the way; so
/// the part is read by itself from its own keys, and then put in its place.
pub fn read_flattened<T, Part>(
    tree: &Tree,
    path: &[&str],
    faults: &mut Faults,
    place: impl FnOnce(&mut T, Part),
) -> Option<T>
where
    T: DeserializeOwned + Serialize,
    Part: DeserializeOwned,
{
    let part_keys = field_names::<Part>();
    let own_keys = keys_of_filled::<T>();
    let own_keys = own_keys.iter().map(String::as_str).filter(|key| !part_keys.contains(key));
    let all_keys: Vec<&str> = own_keys.chain(part_keys.iter().copied()).collect();
    let section = Section { tree, path, more_keys: &all_keys };
    let part = match tree.node(path).map(|node| &node.value) {
        None | Some(Value::Table(_)) => {
            section.read(copy(tree, path, |key| part_keys.contains(&key)), faults)
        }
        // One fault is enough for it.
        Some(_) => Outcome::Unreadable,
    };
    let whole = section.read(copy(tree, path, |key| !part_keys.contains(&key)), faults);
    let (mut whole, part): (T, Part) = (whole.filter_whole()?, part.filter_whole()?);
    place(&mut whole, part);
    Some(whole)
}

/// The keys of a struct that cannot be asked for them, taken from one filled with stand-ins.
fn keys_of_filled<T: DeserializeOwned + Serialize>() -> Vec<String> {
    let tree = Tree { file: None, root: Node { value: Value::Table(Table::new()), origin: Origin::Absent } };
    let section = Section { tree: &tree, path: &[], more_keys: &[] };
    let filled = match section.read::<T>(tree.root.clone(), &mut Faults::default()) {
        Outcome::Whole(filled) | Outcome::WithStandIns(filled) => filled,
        Outcome::Unreadable => return Vec::new(),
    };
    match serde_json::to_value(filled) {
        Ok(serde_json::Value::Object(table)) => table.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

struct Section<'s> {
    tree: &'s Tree,
    path: &'s [&'s str],
    /// Keys of this table that the struct does not name itself.
    more_keys: &'s [&'s str],
}

enum Outcome<T> {
    Whole(T),
    /// Something was wrong and was said; the value is good for its form only.
    WithStandIns(T),
    Unreadable,
}

impl<T> Outcome<T> {
    fn filter_whole(self) -> Option<T> {
        match self {
            Self::Whole(value) => Some(value),
            Self::WithStandIns(_) | Self::Unreadable => None,
        }
    }
}

impl Section<'_> {
    fn read<T: DeserializeOwned>(&self, mut node: Node, faults: &mut Faults) -> Outcome<T> {
        let mut said: Vec<Vec<String>> = Vec::new();
        loop {
            let failure = match T::deserialize(Reading(&node)) {
                Ok(value) if said.is_empty() => return Outcome::Whole(value),
                Ok(value) => return Outcome::WithStandIns(value),
                Err(failure) => failure,
            };
            if self.step(&mut node, &failure, &mut said, faults).is_none() {
                return Outcome::Unreadable;
            }
        }
    }

    /// Says what is wrong and changes the table so that the next reading gets further. `None` when it would not.
    fn step(
        &self,
        node: &mut Node,
        failure: &Failure,
        said: &mut Vec<Vec<String>>,
        faults: &mut Faults,
    ) -> Option<()> {
        let Some(key) = key_of(failure) else {
            faults.push(fault(self.tree, self.path, &[], failure.to_string()));
            return None;
        };
        let (name, parent) = key.split_last()?;
        let table = table_at(node, parent)?;
        if let FailureKind::Missing(_) = failure.kind {
            table.insert(name.clone(), Node { value: Value::Hole(0), origin: Origin::Absent });
            if !said.contains(&key) {
                faults.push(fault(self.tree, self.path, &key, MISSING.to_owned()));
                said.push(key);
            }
            return Some(());
        }
        if let Some(Node { value: Value::Hole(attempt), .. }) = table.get_mut(name) {
            *attempt += 1;
            return (*attempt < STAND_INS).then_some(());
        }
        table.shift_remove(name)?;
        let message = match &failure.kind {
            FailureKind::Unknown(name, _) => {
                let known = self.known(failure);
                if let Some(word) = nearest(name, known.iter().copied()) {
                    // The misspelt key is not also called missing.
                    let meant: Vec<String> = parent.iter().cloned().chain([word.to_owned()]).collect();
                    faults.retract(&fault(self.tree, self.path, &meant, MISSING.to_owned()));
                    said.push(meant);
                }
                unknown(name, &known)
            }
            _ => match failure.path.iter().find(|segment| segment.starts_with('[')) {
                Some(position) => format!("item {}: {failure}", position.trim_matches(['[', ']'])),
                None => failure.to_string(),
            },
        };
        faults.push(fault(self.tree, self.path, &key, message));
        said.push(key);
        Some(())
    }

    /// The keys a person may have meant.
    fn known<'f>(&'f self, failure: &'f Failure) -> Vec<&'f str> {
        let named: &[&str] = match failure.kind {
            FailureKind::Unknown(_, names) => names,
            _ => &[],
        };
        let more = if failure.path.is_empty() { self.more_keys } else { &[] };
        let mut known: Vec<&str> = named.to_vec();
        known.extend(more.iter().filter(|key| !named.contains(key)));
        known
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(word) => format!("unknown key; did you mean `{word}`?"),
        None => format!("unknown key; known here: `{}`", known.join("`, `")),
    }
}

/// The table at a path, empty when absent, with some of its keys.
fn copy(tree: &Tree, path: &[&str], keep: impl Fn(&str) -> bool) -> Node {
    let absent = || Node { value: Value::Table(Table::new()), origin: Origin::Absent };
    let mut node = tree.node(path).cloned().unwrap_or_else(absent);
    if let Value::Table(table) = &mut node.value {
        table.retain(|key, _| keep(key));
    }
    node
}

/// The path of the entry to take out: list positions are left off, since a list is judged whole.
fn key_of(failure: &Failure) -> Option<Vec<String>> {
    let mut key: Vec<String> =
        failure.path.iter().take_while(|segment| !segment.starts_with('[')).cloned().collect();
    match &failure.kind {
        FailureKind::Unknown(name, _) => key.push(name.clone()),
        FailureKind::Missing(name) => key.push((*name).to_owned()),
        FailureKind::Wrong(_) => {}
    }
    (!key.is_empty()).then_some(key)
}

fn table_at<'n>(node: &'n mut Node, path: &[String]) -> Option<&'n mut Table> {
    let mut node = node;
    for segment in path {
        let Value::Table(table) = &mut node.value else { return None };
        node = table.get_mut(segment)?;
    }
    match &mut node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// A fault at a key below a section.
#[must_use]
pub fn fault(tree: &Tree, section: &[&str], key: &[String], message: String) -> Fault {
    let path: Vec<&str> = section.iter().copied().chain(key.iter().map(String::as_str)).collect();
    Fault { place: tree.place(&path), key: path.join("."), message }
}

const MISSING: &str = "missing, and it has no default";

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde::Deserialize;

    use super::*;
    use crate::secret::Secret;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Example {
        address: Address,
        name: String,
        #[serde(default)]
        bytes: u64,
        #[serde(default)]
        enabled: bool,
        #[serde(default)]
        format: Format,
        #[serde(default)]
        pin: Vec<Address>,
        file: Option<PathBuf>,
        password: Option<Secret>,
        nested: Option<Nested>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Nested {
        port: u16,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Format {
        #[default]
        Cef,
        Leef,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Address(#[allow(dead_code)] String);

    impl TryFrom<String> for Address {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            if text.contains(':') { Ok(Self(text)) } else { Err(format!("`{text}` is not `host:port`")) }
        }
    }

    fn check(text: &str, environment: &[(&str, &str)], expected: &[&str]) {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let tree = Tree::read(Some((Path::new("c.toml"), text)), environment).unwrap();
        let mut faults = Faults::default();
        let read = read::<Example>(&tree, &["a"], &mut faults);
        let found: Vec<String> = faults.sorted().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
        assert_eq!(read.is_some(), expected.is_empty());
    }

    #[test]
    fn every_fault_of_a_section_comes_out_at_once() {
        check(
            "[a]\naddres = 'x:1'\nbytes = 'many'\nenabled = 3\nformat = 'lef'\npin = ['a:1', 'b']\nfile = 4\n\
             nested = { port = 70000, x = 1 }\npassword = 'hunter2'\n",
            &[],
            &[
                "c.toml:1: `a.name`: missing, and it has no default",
                "c.toml:2: `a.addres`: unknown key; did you mean `address`?",
                "c.toml:3: `a.bytes`: expected a whole number, 0 or more, found string \"many\"",
                "c.toml:4: `a.enabled`: expected `true` or `false`, found integer `3`",
                "c.toml:5: `a.format`: `lef` is not one of `cef`, `leef`; did you mean `cef`?",
                "c.toml:6: `a.pin`: item 1: `b` is not `host:port`",
                "c.toml:7: `a.file`: expected a path, found integer `4`",
                "c.toml:8: `a.nested.port`: expected a whole number from 0 to 65535, found integer `70000`",
                "c.toml:8: `a.nested.x`: unknown key; known here: `port`",
                "c.toml:9: `a.password`: a secret does not stand in the configuration file: write \
                 `{ file = \"/path\" }` or `{ credential = \"name\" }`, or set it in the environment",
            ],
        );
    }

    #[test]
    fn numbers_truth_lists_and_secrets_come_from_the_environment_as_text() {
        check(
            "",
            &[
                ("CEFGATE_A__ADDRESS", "h:1"),
                ("CEFGATE_A__NAME", "12"),
                ("CEFGATE_A__BYTES", "17"),
                ("CEFGATE_A__ENABLED", "true"),
                ("CEFGATE_A__PIN", "a:1, b:2"),
                ("CEFGATE_A__PASSWORD", "hunter2"),
                ("CEFGATE_A__NESTED__PORT", "1"),
            ],
            &[],
        );
    }

    #[test]
    fn a_wrong_variable_is_named() {
        check(
            "[a]\naddress = 'h:1'\nname = ''\n",
            &[("CEFGATE_A__ADDRESS", "h")],
            &["environment CEFGATE_A__ADDRESS: `a.address`: `h` is not `host:port`"],
        );
    }

    #[test]
    fn a_section_that_is_not_a_table_is_one_fault() {
        check("a = 3\n", &[], &["c.toml:1: `a`: expected a table, found integer `3`"]);
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        size: u16,
        #[serde(flatten)]
        part: Part,
    }

    #[derive(Debug, Default, Deserialize, Serialize)]
    struct Part {
        #[serde(default)]
        pin: Vec<String>,
        depth: Option<u16>,
    }

    #[test]
    fn a_flattened_part_keeps_types_and_places() {
        let check = |text: &str, environment: &[(&str, &str)], expected: &[&str]| {
            let environment =
                environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let tree = Tree::read(Some((Path::new("c.toml"), text)), environment).unwrap();
            let mut faults = Faults::default();
            let read =
                read_flattened(&tree, &["a"], &mut faults, |outer: &mut Outer, part| outer.part = part);
            let found: Vec<String> = faults.sorted().iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
            read.map(|outer| (outer.size, outer.part.pin.len(), outer.part.depth))
        };
        let environment = [("CEFGATE_A__SIZE", "3"), ("CEFGATE_A__PIN", "x,y"), ("CEFGATE_A__DEPTH", "4")];
        assert_eq!(check("", &environment, &[]), Some((3, 2, Some(4))));
        check(
            "[a]\npim = 3\ndepth = 'x'\nsiz = 3\nother = 1\n",
            &[],
            &[
                "c.toml:2: `a.pim`: unknown key; did you mean `pin`?",
                "c.toml:3: `a.depth`: expected a whole number from 0 to 65535, found string \"x\"",
                "c.toml:4: `a.siz`: unknown key; did you mean `size`?",
                "c.toml:5: `a.other`: unknown key; known here: `size`, `pin`, `depth`",
            ],
        );
        check("a = 1\n", &[], &["c.toml:1: `a`: expected a table, found integer `1`"]);
    }

    #[test]
    fn a_secret_is_written_with_its_file() {
        check("[a]\naddress = 'h:1'\nname = ''\npassword = { file = '/x' }\n", &[], &[]);
    }
}
