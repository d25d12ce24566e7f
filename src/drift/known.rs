//! What is known of the tables: the schema, and what mappings name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::json::{Json, Scanner};
use crate::mapping::ast::Mapping;
use crate::mapping::coverage::Coverage;
use crate::mapping::schema::{Property, Schema, properties};
use crate::mapping::set::{GENERIC, UNPARSED};

/// Every known table.
pub(super) struct Known {
    /// By lower-case name.
    tables: HashMap<String, Members>,
}

/// What is known of one table.
#[derive(Clone)]
pub(super) enum Members {
    /// Nothing: there is no such table.
    Unknown,
    /// A mapping takes it, and the schema does not have it.
    Open,
    /// These members.
    Known {
        /// The table as the schema writes it.
        name: Arc<str>,
        /// The tree of names.
        nodes: Arc<Vec<Node>>,
    },
}

/// A member with the members in it; none: whatever is in it is not looked at.
#[derive(Default)]
pub(super) struct Node {
    children: HashMap<Box<str>, usize>,
    /// Of the elements of a list with kinds: the member that tells the kind, what stands before it, and the kinds.
    kinds: Option<(String, String, Vec<String>)>,
}

impl Known {
    pub fn new(mappings: &[Mapping]) -> Self {
        let schema = Schema::embedded();
        let mut tables = HashMap::new();
        for mapping in mappings {
            let table = mapping.matching.table.value.to_lowercase();
            if ![GENERIC, UNPARSED].contains(&table.as_str()) {
                tables.insert(table, Members::Open);
            }
        }
        for (name, table) in &schema.tables {
            let mut nodes = vec![Node::default()];
            for property in properties(schema, table) {
                add_property(&mut nodes, &property);
            }
            for (column, of) in schema.columns(table) {
                if let (Some((discriminator, prefix)), Some(&node)) =
                    (schema.discriminator(&of.kind), nodes[0].children.get(column.as_str()))
                {
                    let kinds = schema.kinds(&of.kind).map(str::to_owned).collect();
                    nodes[node].kinds = Some((discriminator.to_owned(), prefix.to_owned(), kinds));
                }
            }
            let coverage = Coverage::of(schema, name, table, mappings);
            for names in coverage.named_by_mappings() {
                add_names(&mut nodes, names);
            }
            let known = Members::Known { name: name.as_str().into(), nodes: Arc::new(nodes) };
            tables.insert(name.to_lowercase(), known);
        }
        Self { tables }
    }

    pub fn members(&self, table: &str) -> Members {
        self.tables.get(&table.to_lowercase()).cloned().unwrap_or(Members::Unknown)
    }

    /// Whether a table, or a column of it, is still unknown.
    pub fn lacks(&self, table: &str, column: &str) -> bool {
        match self.members(table) {
            Members::Unknown => true,
            Members::Open => false,
            Members::Known { nodes, .. } => {
                let mut node = 0;
                for name in column.split('.').filter(|name| !name.is_empty()) {
                    match nodes[node].children.get(name) {
                        Some(child) => node = *child,
                        None => return true,
                    }
                }
                false
            }
        }
    }
}

fn add_property(nodes: &mut Vec<Node>, property: &Property) {
    let mut at = vec![0];
    for segment in &property.segments {
        let names = [Some(&segment.name), segment.alias.as_ref()];
        let parents = std::mem::take(&mut at);
        for parent in parents {
            at.extend(names.into_iter().flatten().map(|name| child(nodes, parent, name)));
        }
    }
}

/// A name that a mapping adds beneath what the schema does not look into stays out: there, everything is allowed.
fn add_names(nodes: &mut Vec<Node>, names: &[String]) {
    let mut at = 0;
    for (depth, name) in names.iter().enumerate() {
        if depth > 0 && nodes[at].children.is_empty() {
            return;
        }
        at = child(nodes, at, name);
    }
}

fn child(nodes: &mut Vec<Node>, parent: usize, name: &str) -> usize {
    if let Some(known) = nodes[parent].children.get(name) {
        return *known;
    }
    nodes.push(Node::default());
    let new = nodes.len() - 1;
    nodes[parent].children.insert(name.into(), new);
    new
}

impl Members {
    /// Tells the unknown members of a record; how many there were.
    pub fn unknown(&self, body: &str, tell: &mut dyn FnMut(&str)) -> u64 {
        let Self::Known { nodes, .. } = self else { return 0 };
        let mut walk = Walk { nodes, tell, n_found: 0 };
        let row = row(body);
        walk.object(row, &nodes[0], None);
        walk.n_found
    }
}

/// The columns: in `properties` where a streamed row brings its wrapper.
fn row(body: &str) -> &str {
    let mut scanner = Scanner::new(body);
    if scanner.peek() != Some(b'{') {
        return "{}";
    }
    scanner.open();
    let (mut first, mut category, mut properties) = (true, false, None);
    while let Ok(Some(key)) = scanner.key(first) {
        first = false;
        category |= key.raw == "category";
        match scanner.value() {
            Ok(Json::Object(text)) if key.raw == "properties" => properties = Some(text),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    properties.filter(|_| category).unwrap_or(body)
}

/// The way from a column to a member, as a chain up the stack.
struct Above<'a> {
    name: &'a str,
    above: Option<&'a Above<'a>>,
}

struct Walk<'w> {
    nodes: &'w [Node],
    tell: &'w mut dyn FnMut(&str),
    n_found: u64,
}

impl Walk<'_> {
    fn object(&mut self, text: &str, node: &Node, above: Option<&Above<'_>>) {
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            return;
        }
        scanner.open();
        let mut first = true;
        while let Ok(Some(key)) = scanner.key(first) {
            first = false;
            let Ok(value) = scanner.value() else { return };
            if let (Some((discriminator, prefix, kinds)), Json::Text(kind)) = (&node.kinds, value)
                && key.raw == discriminator
            {
                let kind = kind.raw.strip_prefix(prefix.as_str()).unwrap_or(kind.raw);
                if !kinds.iter().any(|known| known == kind) {
                    // Its members are those of a kind that nobody knows: one name says it all.
                    return self.found(&format!("[{kind}]"), above);
                }
            }
            if key.raw.contains("@odata.") {
                continue;
            }
            let Some(&child) = node.children.get(key.raw) else {
                // An escape in a name: no name of Microsoft's has one.
                if !key.escaped {
                    self.found(key.raw, above);
                }
                continue;
            };
            let child = &self.nodes[child];
            if !child.children.is_empty() {
                self.value(value, child, &Above { name: key.raw, above });
            }
        }
    }

    fn value(&mut self, value: Json<'_>, node: &Node, above: &Above<'_>) {
        match value {
            Json::Object(text) => self.object(text, node, Some(above)),
            Json::Array(text) => {
                let mut scanner = Scanner::new(text);
                scanner.peek();
                scanner.open();
                let mut first = true;
                while let Ok(true) = scanner.element(first) {
                    first = false;
                    match scanner.value() {
                        Ok(Json::Object(text)) => self.object(text, node, Some(above)),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            }
            _ => {}
        }
    }

    fn found(&mut self, name: &str, above: Option<&Above<'_>>) {
        self.n_found += 1;
        let Some(mut link) = above else { return (self.tell)(name) };
        let mut names = vec![name, link.name];
        while let Some(next) = link.above {
            names.push(next.name);
            link = next;
        }
        names.reverse();
        (self.tell)(&names.join(".").replace(".[", "["));
    }
}
