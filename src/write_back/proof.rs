//! Whether the step from one state of an object to the next is an own change and nothing besides. A service shows states,
//! never changes: one that bears the time of an own change may hold somebody else's from just before it.

use serde_json::{Map, Value};

use super::words::Row;

/// Whether `after` is `before` with these members set and the comment added, and nothing else. What the service writes in
/// consequence does not count.
#[must_use]
pub fn is_only(
    members: &Map<String, Value>,
    comment: Option<&str>,
    row: &Row,
    before: &Value,
    after: &Value,
) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return false };
    let time = |state: &Map<String, Value>| state.get(row.updated).filter(|time| time.is_string()).cloned();
    if time(before).is_none() || time(after).is_none() || time(before) == time(after) {
        return false;
    }
    let is_expected = |member: &str| {
        member.starts_with('@')
            || member == row.updated
            || member == "comment" && comment.is_some()
            || CONSEQUENCES.contains(&member)
    };
    before.keys().chain(after.keys()).filter(|member| !is_expected(member)).all(|member| {
        let (before, after) = (before.get(member), after.get(member));
        match members.get(member) {
            // What stands there instead is somebody else's, from just after it.
            Some(set) => after == Some(set),
            None => before == after || member == "comments" && is_one_more(before, after, comment),
        }
    })
}

/// Whether a list of comments has grown by this one.
fn is_one_more(before: Option<&Value>, after: Option<&Value>, comment: Option<&str>) -> bool {
    let list = |state: Option<&Value>| state.and_then(Value::as_array).cloned().unwrap_or_default();
    let (before, mut after) = (list(before), list(after));
    let own = after.iter().position(|entry| comment.is_some() && entry["comment"].as_str() == comment);
    own.map(|place| after.remove(place)).is_some() && before == after
}

/// Members that services write themselves when others change.
const CONSEQUENCES: &[&str] = &["resolvedDateTime", "resolvedTime", "lastModifiedBy"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::write_back::{Change, Object, words};

    #[test]
    fn a_state_with_somebody_elses_change_in_it_is_no_own_one() {
        let row = words::row(Object::Alert, "graph").unwrap();
        let text = |text: &str| Some(text.to_owned());
        let change = Change { status: text("resolved"), comment: text("done"), ..Change::default() };
        let change = change.checked(row, false).unwrap();
        let is_only =
            |before: &Value, after: &Value| is_only(&change.members, change.comment(), row, before, after);
        let note = |text: &str| json!({ "comment": text, "createdDateTime": "2026-03-04T09:12:41Z" });
        let state = |time: &str, status: &str, severity: &str, comments: &[&str]| {
            let comments: Vec<Value> = comments.iter().map(|text| note(text)).collect();
            json!({ "lastUpdateDateTime": time, "status": status, "severity": severity, "comments": comments })
        };
        let before = state("1", "new", "high", &["a"]);
        for (after, expected) in [
            (state("2", "resolved", "high", &["a"]), true),
            (state("2", "resolved", "high", &["a", "done"]), true),
            (state("1", "resolved", "high", &["a"]), false),
            (state("2", "resolved", "low", &["a"]), false),
            (state("2", "inProgress", "high", &["a", "done"]), false),
            (state("2", "resolved", "high", &["a", "b"]), false),
            (state("2", "resolved", "high", &["a", "b", "done"]), false),
            (state("2", "resolved", "high", &[]), false),
            (json!({ "lastUpdateDateTime": "2", "status": "resolved", "severity": "high" }), false),
            (Value::Null, false),
        ] {
            assert_eq!(is_only(&before, &after), expected, "{after}");
        }
        let mut after = state("2", "resolved", "high", &["a"]);
        after["resolvedDateTime"] = "2".into();
        assert!(is_only(&before, &after));
        after["tags"] = json!(["vip"]);
        assert!(!is_only(&before, &after));
    }
}
