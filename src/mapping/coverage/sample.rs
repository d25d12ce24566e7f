//! What real records hold and nobody knows: neither the schema nor a mapping.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Coverage, ODATA};

impl Coverage {
    /// Adds the members of a record that are not known here, by name, to their counts.
    pub fn unknown_members(&self, record: &Value, counts: &mut BTreeMap<String, u64>) {
        let Value::Object(top) = record else { return };
        let row = match top.get("properties") {
            Some(Value::Object(row)) if top.contains_key("category") => row,
            _ => top,
        };
        self.members(row, &mut Vec::new(), counts);
    }

    fn members<'r>(
        &self,
        object: &'r Map<String, Value>,
        place: &mut Vec<&'r str>,
        counts: &mut BTreeMap<String, u64>,
    ) {
        for (name, value) in object {
            if name.contains(ODATA) {
                continue;
            }
            place.push(name);
            if !self.is_known(place) {
                *counts.entry(place.join(".")).or_default() += 1;
            } else if self.is_above(place) {
                let elements = match value {
                    Value::Array(elements) => elements.as_slice(),
                    other => std::slice::from_ref(other),
                };
                for element in elements {
                    if let Value::Object(inner) = element {
                        self.members(inner, place, counts);
                    }
                }
            }
            place.pop();
        }
    }

    /// Whether it is a property, or above one, or below one.
    fn is_known(&self, place: &[&str]) -> bool {
        self.known
            .iter()
            .any(|known| known.iter().zip(place).all(|(names, name)| names.iter().any(|known| known == name)))
    }

    /// Whether the schema knows members of it.
    fn is_above(&self, place: &[&str]) -> bool {
        self.known.iter().any(|known| {
            known.len() > place.len()
                && known.iter().zip(place).all(|(names, name)| names.iter().any(|known| known == name))
        })
    }
}
