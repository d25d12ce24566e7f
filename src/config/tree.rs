//! File and environment laid over each other: one tree of values that remember where they came from.
//!
//! The `config` crate does the layering; the lines come from a second, spanned reading of the file, which the crate
//! does not keep. Nothing here knows which keys exist.

use std::path::{Path, PathBuf};

use config::{Environment, FileFormat, Source, ValueKind};
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};

/// The whole configuration before it is understood.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The file it was read from, if any.
    pub file: Option<PathBuf>,
    /// The table at the top.
    pub root: Node,
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// A value as TOML knows it. The environment gives `Text` only.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(IndexMap<String, Node>),
    /// Stands in for a missing value after it was reported, so that reading can go on to the next fault.
    Hole(usize),
}

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, counted from 1.
    Line(usize),
    /// A variable, whose name follows from the key.
    Environment,
    /// Nowhere.
    Absent,
}

impl Tree {
    /// Lays the environment's `CEFGATE_…__…` variables over the file.
    pub fn read(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let text = file.map_or("", |(_, text)| text);
        let spanned = match DeTable::parse(text) {
            Ok(spanned) => spanned.into_inner(),
            Err(error) => {
                let line = error.span().map_or(0, |span| line_of(text, span.start));
                let place = Place::File(file.map_or_else(PathBuf::new, |(path, _)| path.to_owned()), line);
                return Err(vec![Fault { place, key: String::new(), message: one_line(error.message()) }]);
            }
        };
        let mut faults = Vec::new();
        let variables = settings(environment, &mut faults);
        let layered = config::Config::builder()
            .add_source(config::File::from_str(text, FileFormat::Toml))
            .add_source(
                Environment::with_prefix("CEFGATE")
                    .prefix_separator("_")
                    .separator("__")
                    .try_parsing(false)
                    .source(Some(variables.into_iter().collect())),
            )
            .build()
            .and_then(|built| built.collect());
        match layered {
            Ok(map) if faults.is_empty() => {
                let table = convert_table(map, Some(&spanned), text);
                let root = Node { value: Value::Table(table), origin: Origin::Absent };
                Ok(Self { file: file.map(|(path, _)| path.to_owned()), root })
            }
            Ok(_) => Err(faults),
            Err(error) => {
                let place = file.map_or(Place::Nowhere, |(path, _)| Place::File(path.to_owned(), 0));
                faults.push(Fault { place, key: String::new(), message: one_line(&error.to_string()) });
                Err(faults)
            }
        }
    }

    /// The place of a key. A key that is not there has the place of the nearest table around it.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Place {
        let mut node = &self.root;
        let mut origin = Origin::Absent;
        for segment in path {
            let Value::Table(table) = &node.value else { break };
            let Some(next) = table.get(*segment) else { break };
            node = next;
            origin = next.origin;
        }
        match (origin, &self.file) {
            (Origin::Line(line), Some(file)) => Place::File(file.clone(), line),
            (Origin::Environment, _) => Place::Environment(variable(path)),
            (_, Some(file)) => Place::File(file.clone(), 0),
            (_, None) => Place::Nowhere,
        }
    }

    /// The value at a path.
    #[must_use]
    pub fn node(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, segment| node.table()?.get(*segment))
    }
}

impl Node {
    /// The table, when it is one.
    #[must_use]
    pub fn table(&self) -> Option<&IndexMap<String, Node>> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

/// The environment variable that sets a key.
#[must_use]
pub fn variable(path: &[&str]) -> String {
    format!("CEFGATE_{}", path.join("__").to_uppercase())
}

/// Those variables that are settings, under names the `config` crate reads as plain paths.
fn settings(
    environment: impl IntoIterator<Item = (String, String)>,
    faults: &mut Vec<Fault>,
) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (name, value) in environment {
        let Some(path) = name.strip_prefix("CEFGATE_") else { continue };
        if NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let plain = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if path.split("__").all(plain) {
            settings.push((name, value));
        } else {
            let message =
                "the name of a variable is `CEFGATE_`, then the key's path joined by `__`".to_owned();
            faults.push(Fault { place: Place::Environment(name), key: String::new(), message });
        }
    }
    settings
}

fn convert_table(
    map: impl IntoIterator<Item = (String, config::Value)>,
    spanned: Option<&DeTable<'_>>,
    text: &str,
) -> IndexMap<String, Node> {
    let mut table: IndexMap<String, Node> = map
        .into_iter()
        .map(|(key, value)| {
            let found = spanned.and_then(|spanned| spanned.iter().find(|(name, _)| *name.get_ref() == key));
            let (origin, inner) = match found {
                _ if value.origin().is_some() => (Origin::Environment, None),
                Some((name, inner)) => {
                    (Origin::Line(line_of(text, name.span().start)), Some(inner.get_ref()))
                }
                None => (Origin::Environment, None),
            };
            let node = convert(value, origin, inner, text);
            (key, node)
        })
        .collect();
    // The crate's own tables have no order: the file's order is restored, the environment's keys follow by name.
    table.sort_by(|left_key, left, right_key, right| {
        left.order().cmp(&right.order()).then_with(|| left_key.cmp(right_key))
    });
    table
}

impl Node {
    fn order(&self) -> usize {
        match self.origin {
            Origin::Line(line) => line,
            Origin::Environment | Origin::Absent => usize::MAX,
        }
    }
}

fn convert(value: config::Value, origin: Origin, spanned: Option<&DeValue<'_>>, text: &str) -> Node {
    let value = match value.kind {
        ValueKind::Table(table) => {
            let spanned = match spanned {
                Some(DeValue::Table(spanned)) => Some(spanned),
                _ => None,
            };
            Value::Table(convert_table(table, spanned, text))
        }
        ValueKind::Array(items) => {
            Value::List(items.into_iter().map(|item| convert(item, origin, None, text)).collect())
        }
        ValueKind::Boolean(value) => Value::Boolean(value),
        ValueKind::I64(value) => Value::Integer(value),
        ValueKind::Float(value) => Value::Float(value),
        ValueKind::String(value) => Value::Text(value),
        // The TOML reader above gives none of these.
        ValueKind::Nil => Value::Text(String::new()),
        ValueKind::I128(value) => Value::Text(value.to_string()),
        ValueKind::U64(value) => Value::Text(value.to_string()),
        ValueKind::U128(value) => Value::Text(value.to_string()),
    };
    Node { value, origin }
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text.bytes().take(position).filter(|byte| *byte == b'\n').count()
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// Variables that steer the command line and not the configuration.
const NOT_SETTINGS: &[&str] = &["CEFGATE_CONFIG"];

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str, environment: &[(&str, &str)]) -> Tree {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Tree::read(Some((Path::new("c.toml"), text)), environment).unwrap()
    }

    #[test]
    fn the_environment_overrides_the_file_key_by_key() {
        let tree = tree(
            "[spool]\nmax_bytes = 1\nkeep = \"1h\"\n",
            &[("CEFGATE_SPOOL__MAX_BYTES", "2"), ("CEFGATE_LOG__LEVEL", "debug"), ("OTHER", "x")],
        );
        assert_eq!(tree.node(&["spool", "max_bytes"]).unwrap().value, Value::Text("2".into()));
        assert_eq!(tree.node(&["spool", "keep"]).unwrap().value, Value::Text("1h".into()));
        assert_eq!(tree.root.table().unwrap().len(), 2);
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = tree(
            "# a comment\n[destination.siem]\nformat = \"cef\"\n\n[destination.siem.tls_syslog]\naddress = 'a:1'\n",
            &[("CEFGATE_DESTINATION__SIEM__TLS_SYSLOG__CA_FILE", "/ca")],
        );
        let line = |line| Place::File("c.toml".into(), line);
        for (path, expected) in [
            (&["destination", "siem", "format"][..], line(3)),
            (&["destination", "siem", "tls_syslog", "address"], line(6)),
            (&["destination", "siem", "tls_syslog"], line(5)),
            (&["destination", "siem", "tls_syslog", "missing"], line(5)),
            (&["nothing"], line(0)),
            (
                &["destination", "siem", "tls_syslog", "ca_file"],
                Place::Environment("CEFGATE_DESTINATION__SIEM__TLS_SYSLOG__CA_FILE".into()),
            ),
        ] {
            assert_eq!(tree.place(path), expected, "{path:?}");
        }
    }

    #[test]
    fn the_variable_that_names_the_file_is_not_a_setting() {
        assert!(tree("", &[("CEFGATE_CONFIG", "/x")]).root.table().unwrap().is_empty());
    }

    #[test]
    fn a_syntax_error_and_an_odd_variable_are_faults_with_a_place() {
        let broken = Tree::read(Some((Path::new("c.toml"), "[a]\nb = \n")), []).unwrap_err();
        assert_eq!(broken[0].place, Place::File("c.toml".into(), 2));
        let odd = Tree::read(None, [("CEFGATE_A-B__C".to_owned(), String::new())]).unwrap_err();
        assert_eq!(odd[0].place, Place::Environment("CEFGATE_A-B__C".into()));
    }
}
