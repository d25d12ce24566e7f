//! From a record's bytes to its slots: one pass over the JSON along a trie of the paths a mapping names.
//!
//! Columns that no path names are stepped over; those that are named become slices in a numbered slot.

use std::cell::Cell;

use bumpalo::Bump;

use super::value::{Value, parse_container};
use crate::json::{Json, Malformed, Scanner, Text};

/// The paths of one mapping, and the slot each of them fills.
#[derive(Debug, Default)]
pub struct Trie {
    nodes: Vec<Node>,
    /// The node bare paths start at, when it is not the top.
    root: Option<usize>,
    n_slots: usize,
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    /// A string here may hold JSON text.
    json: bool,
    names: Names,
}

/// Children of a node: open addressing over the member names, sized so that most look-ups end at the first probe.
#[derive(Debug, Default)]
struct Names {
    n_names: usize,
    table: Vec<Option<(u32, Box<str>, usize)>>,
}

/// Why a record has no slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnObject {
    /// JSON of another kind.
    #[error("not a JSON object")]
    Other,
    /// Not JSON.
    #[error("not JSON: expected {0}")]
    Malformed(#[from] Malformed),
}

impl Trie {
    /// A trie without paths.
    #[must_use]
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()], root: None, n_slots: 0 }
    }

    /// Makes bare paths start at `path`.
    pub fn set_root(&mut self, path: &[String]) {
        let node = self.node(path.iter().map(String::as_str));
        self.root = Some(node).filter(|&node| node != 0);
    }

    /// Says that strings at `path` may hold JSON text.
    pub fn set_json(&mut self, path: &[String]) {
        let node = self.node(path.iter().map(String::as_str));
        self.nodes[node].json = true;
    }

    /// The slot of `path`, which starts at the top of the record.
    pub fn slot<'p>(&mut self, path: impl Iterator<Item = &'p str>) -> usize {
        let node = self.node(path);
        *self.nodes[node].slot.get_or_insert_with(|| {
            self.n_slots += 1;
            self.n_slots - 1
        })
    }

    /// How many slots a record fills.
    #[must_use]
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Fills the slots from a record. A record that lacks the root is read as if it were the root: rows of
    /// advanced hunting come without the envelope.
    pub fn read<'r>(&self, body: &'r str, arena: &'r Bump) -> Result<&'r [Cell<Value<'r>>], NotAnObject> {
        let mut pass = Pass {
            trie: self,
            arena,
            slots: arena.alloc_slice_fill_copy(self.n_slots, Value::Missing),
            at_root: false,
        };
        pass.top(body, 0)?;
        if let Some(root) = self.root
            && !pass.at_root
        {
            pass.top(body, root)?;
        }
        Ok(Cell::from_mut(pass.slots).as_slice_of_cells())
    }

    /// Slots of a record that has no columns.
    #[must_use]
    pub fn empty<'r>(&self, arena: &'r Bump) -> &'r [Cell<Value<'r>>] {
        Cell::from_mut(arena.alloc_slice_fill_copy(self.n_slots, Value::Missing)).as_slice_of_cells()
    }

    fn node<'p>(&mut self, path: impl Iterator<Item = &'p str>) -> usize {
        path.fold(0, |node, name| {
            if let Some(child) = self.nodes[node].names.find(name) {
                return child;
            }
            self.nodes.push(Node::default());
            let child = self.nodes.len() - 1;
            self.nodes[node].names.insert(name, child);
            child
        })
    }
}

struct Pass<'t, 'r> {
    trie: &'t Trie,
    arena: &'r Bump,
    slots: &'r mut [Value<'r>],
    at_root: bool,
}

impl<'r> Pass<'_, 'r> {
    fn top(&mut self, body: &'r str, node: usize) -> Result<(), NotAnObject> {
        let mut scanner = Scanner::new(body);
        if scanner.peek() != Some(b'{') {
            let whole = scanner.value().and_then(|_| scanner.end());
            return Err(whole.map_or_else(NotAnObject::Malformed, |()| NotAnObject::Other));
        }
        self.object(node, &mut scanner)?;
        Ok(scanner.end()?)
    }

    fn object(&mut self, node: usize, scanner: &mut Scanner<'r>) -> Result<(), Malformed> {
        let trie = self.trie;
        let names = &trie.nodes[node].names;
        self.at_root |= trie.root == Some(node);
        scanner.open();
        let mut first = true;
        while let Some(key) = scanner.key(first)? {
            first = false;
            let name = if key.escaped { key.decode(self.arena) } else { key.raw };
            match names.find(name) {
                Some(child) => self.column(child, scanner)?,
                None => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn column(&mut self, node: usize, scanner: &mut Scanner<'r>) -> Result<(), Malformed> {
        let Node { slot, json, names } = &self.trie.nodes[node];
        let value = if names.n_names > 0 && scanner.peek() == Some(b'{') {
            let start = scanner.position();
            self.object(node, scanner)?;
            Value::of(Json::Object(scanner.since(start)))
        } else {
            match scanner.value()? {
                Json::Text(text) if *json => self.json_column(node, text),
                token => Value::of(token),
            }
        };
        if let Some(slot) = slot {
            self.slots[*slot] = value;
        }
        Ok(())
    }

    /// A string column that holds JSON: its members fill slots like those of an object; what is not JSON stays text.
    fn json_column(&mut self, node: usize, text: Text<'r>) -> Value<'r> {
        match parse_container(text.decode(self.arena)) {
            None => Value::of(Json::Text(text)),
            Some(Value::Object(inner)) => {
                let mut scanner = Scanner::new(inner);
                scanner.peek();
                self.object(node, &mut scanner).ok();
                Value::Object(inner)
            }
            Some(other) => other,
        }
    }
}

impl Names {
    fn find(&self, name: &str) -> Option<usize> {
        if self.n_names == 0 {
            return None;
        }
        let hash = hash(name);
        let mut at = hash as usize & (self.table.len() - 1);
        while let Some((known, candidate, child)) = &self.table[at] {
            if *known == hash && **candidate == *name {
                return Some(*child);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        None
    }

    fn insert(&mut self, name: &str, child: usize) {
        self.n_names += 1;
        let n_places = (self.n_names * 4).next_power_of_two();
        let held = std::mem::replace(&mut self.table, vec![None; n_places]);
        for entry in held.into_iter().flatten().chain([(hash(name), name.into(), child)]) {
            let mut at = entry.0 as usize & (n_places - 1);
            while self.table[at].is_some() {
                at = (at + 1) & (n_places - 1);
            }
            self.table[at] = Some(entry);
        }
    }
}

/// Mixes the length with the first and last eight bytes: enough to tell column names apart, whatever their length.
fn hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(head), Some(tail)) => u64::from_le_bytes(*head) ^ u64::from_le_bytes(*tail).rotate_left(29),
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mixed = (ends ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&str], root: &str, json: &[&str], body: &str) -> Vec<Option<String>> {
        let split = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        let arena = Bump::new();
        let mut trie = Trie::new();
        if !root.is_empty() {
            trie.set_root(&split(root));
        }
        json.iter().for_each(|path| trie.set_json(&split(path)));
        for path in paths {
            trie.slot(split(path).iter().map(String::as_str));
        }
        let slots = trie.read(body, &arena).unwrap();
        slots
            .iter()
            .map(|slot| match slot.get() {
                Value::Object(raw) | Value::Array(raw) => Some(raw.to_owned()),
                other => other.scalar(&arena).map(str::to_owned),
            })
            .collect()
    }

    #[test]
    fn named_columns_fill_their_slots() {
        let body = r#"{"t":"x","skip":[{"p":{}}],"p":{"A":"1","B":null,"C":{"d":2}},"t2":"\u0041"}"#;
        let found = read(&["t", "p.A", "p.B", "p.C", "p.C.d", "t2", "none"], "", &[], body);
        let expected = [Some("x"), Some("1"), None, Some(r#"{"d":2}"#), Some("2"), Some("A"), None];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn a_row_without_envelope_is_read_as_the_root() {
        assert_eq!(
            read(&["properties.A", "time"], "properties", &[], r#"{"A":"1"}"#),
            [Some("1".to_owned()), None]
        );
    }

    #[test]
    fn json_inside_a_string_is_opened_where_a_path_needs_it() {
        let paths = ["AF.x", "AF"];
        let rows = [
            (r#"{"AF":"{\"x\":\"a\\\\b\"}"}"#, [Some(r"a\b"), Some(r#"{"x":"a\\b"}"#)]),
            (r#"{"AF":{"x":1}}"#, [Some("1"), Some(r#"{"x":1}"#)]),
            (r#"{"AF":"{broken"}"#, [None, Some("{broken")]),
            (r#"{"AF":"{}"}"#, [None, None]),
        ];
        for (body, expected) in rows {
            assert_eq!(
                read(&paths, "", &["AF"], body),
                expected.map(|text| text.map(str::to_owned)),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_not_an_object_is_said_to_be_none() {
        let arena = Bump::new();
        let trie = Trie::new();
        for body in ["[]", "1", "", "{", "{\"a\":1}x", "nonsense"] {
            assert!(trie.read(body, &arena).is_err(), "{body}");
        }
    }
}
