//! Single members of a record, whatever stands in the others: half a character in a title costs no record its id.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The members of these names as text; empty where there is none.
#[must_use]
pub fn texts<const N: usize>(body: &[u8], names: [&str; N]) -> [String; N] {
    let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    names.map(|name| {
        let value = members.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
        match value {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_elsewhere_in_a_record_costs_no_member() {
        let body = br#"{"title":"\ud83d","score":1e999,"id":"da1","incidentId":7,"status":null}"#;
        assert_eq!(texts(body, ["id", "incidentId", "status", "none"]), ["da1", "7", "", ""]);
        assert_eq!(texts(b"no JSON", ["id"]), [""]);
    }
}
