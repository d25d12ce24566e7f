//! One section of the configuration into one Rust type, with every fault in it instead of the first.
//!
//! serde stops at the first failure. So the section is read again after each: the failing key is taken out, a missing
//! one is replaced by a stand-in, until the rest can be read. What a removed key would have caused later is not reported.

use serde::de::DeserializeOwned;

use super::fault::{Fault, Faults, nearest};
use super::reading::{Failure, FailureKind, Reading, STAND_INS, Table};
use super::tree::{Node, Origin, Tree, Value};

/// Reads the table at `path` as a `T`. `None` after adding at least one fault. A table that is absent reads as empty.
pub fn read<T: DeserializeOwned>(tree: &Tree, path: &[&str], faults: &mut Faults) -> Option<T> {
    read_rest(tree, path, &[], faults)
}

/// As [`read`], leaving out keys that someone else reads.
pub fn read_rest<T: DeserializeOwned>(
    tree: &Tree,
    path: &[&str],
    elsewhere: &[&'static str],
    faults: &mut Faults,
) -> Option<T> {
    let mut node = tree
        .node(path)
        .cloned()
        .unwrap_or(Node { value: Value::Table(Table::new()), origin: Origin::Absent });
    if let Value::Table(table) = &mut node.value {
        table.retain(|key, _| !elsewhere.contains(&key.as_str()));
    }
    let mut reported: Vec<Vec<String>> = Vec::new();
    let mut meant: Vec<Vec<String>> = Vec::new();
    loop {
        let failure = match T::deserialize(Reading(&node)) {
            Ok(value) => return reported.is_empty().then_some(value),
            Err(failure) => failure,
        };
        let Some(mut key) = key_of(&failure) else {
            faults.push(fault(tree, path, &[], failure.to_string()));
            return None;
        };
        if let FailureKind::Missing(_) = failure.kind {
            if !reported.contains(&key) && !meant.contains(&key) {
                faults.push(fault(tree, path, &key, "missing, and it has no default".to_owned()));
            }
            reported.push(key.clone());
            let name = key.pop().unwrap_or_default();
            table_at(&mut node, &key)?.insert(name, Node { value: Value::Hole(0), origin: Origin::Absent });
            continue;
        }
        let name = key.last().cloned().unwrap_or_default();
        let table = table_at(&mut node, &key[..key.len() - 1])?;
        if let Some(Node { value: Value::Hole(attempt), .. }) = table.get_mut(&name) {
            *attempt += 1;
            if *attempt >= STAND_INS {
                return None;
            }
            continue;
        }
        table.shift_remove(&name)?;
        if let FailureKind::Unknown(name, known) = &failure.kind
            && let Some(word) = nearest(name, known.iter().copied())
        {
            let mut key = key.clone();
            key.pop();
            key.push(word.to_owned());
            meant.push(key);
        }
        faults.push(fault(tree, path, &key, describe(&failure, elsewhere)));
        reported.push(key);
    }
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

fn describe(failure: &Failure, elsewhere: &[&'static str]) -> String {
    let position = failure.path.iter().find(|segment| segment.starts_with('['));
    match &failure.kind {
        FailureKind::Unknown(name, known) => {
            let known = known.iter().chain(elsewhere).copied();
            match nearest(name, known.clone()) {
                Some(word) => format!("unknown key; did you mean `{word}`?"),
                None => {
                    let known: Vec<_> = known.map(|word| format!("`{word}`")).collect();
                    format!("unknown key; known here: {}", known.join(", "))
                }
            }
        }
        _ => match position {
            Some(position) => format!("item {}: {failure}", position.trim_matches(['[', ']'])),
            None => failure.to_string(),
        },
    }
}

/// A fault at a key below a section.
#[must_use]
pub fn fault(tree: &Tree, section: &[&str], key: &[String], message: String) -> Fault {
    let path: Vec<&str> = section.iter().copied().chain(key.iter().map(String::as_str)).collect();
    Fault { place: tree.place(&path), key: path.join("."), message }
}

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

    #[test]
    fn a_secret_is_written_with_its_file() {
        check("[a]\naddress = 'h:1'\nname = ''\npassword = { file = '/x' }\n", &[], &[]);
    }
}
