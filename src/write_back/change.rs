//! A change as a person or a SIEM writes it, and its check: every word is looked up before anything is sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::words::{Comment, Row, same};
use crate::mapping::vocabulary::suggestion;

/// What shall become of an alert or an incident. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The status.
    pub status: Option<String>,
    /// The classification.
    pub classification: Option<String>,
    /// The determination; it belongs to a classification.
    pub determination: Option<String>,
    /// Who has it to do.
    #[serde(alias = "assignedTo")]
    pub assign: Option<String>,
    /// A comment, added to those there are.
    pub comment: Option<String>,
    /// The tags of an incident; they take the place of those it has.
    pub tags: Option<Vec<String>>,
}

/// A change in the words of a service, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The members to send; a comment among them, where it goes there.
    pub members: Map<String, Value>,
    /// A comment that is sent by itself.
    pub posted: Option<String>,
    /// The names of what changes, for reports and logs.
    pub names: Vec<&'static str>,
}

/// What is wrong with a change, all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refused(pub Vec<String>);

impl Checked {
    /// The comment, however it gets there.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.posted.as_deref().or_else(|| self.members.get("comment")?.as_str())
    }
}

impl Change {
    /// What another change says where this one is silent.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            status: self.status.or_else(|| other.status.clone()),
            classification: self.classification.or_else(|| other.classification.clone()),
            determination: self.determination.or_else(|| other.determination.clone()),
            assign: self.assign.or_else(|| other.assign.clone()),
            comment: self.comment.or_else(|| other.comment.clone()),
            tags: self.tags.or_else(|| other.tags.clone()),
        }
    }

    /// In the words of the service. With `trusting` words that it is not known to take pass as they are.
    ///
    /// # Errors
    /// A word that the service does not take, or nothing to change.
    pub fn checked(&self, row: &Row, trusting: bool) -> Result<Checked, Refused> {
        let mut faults = Vec::new();
        let mut members = Map::new();
        let mut names = Vec::new();
        let mut put = |name: &'static str, member: &str, value: Value| {
            members.insert(member.to_owned(), value);
            names.push(name);
        };
        if let Some(status) = &self.status {
            match word("status", status, row.statuses, trusting) {
                Ok(word) => put("status", "status", word.into()),
                Err(fault) => faults.push(fault),
            }
        }
        let classifications: Vec<&str> = row.classifications.iter().map(|(word, _)| *word).collect();
        let classification = self
            .classification
            .as_ref()
            .map(|classification| word("classification", classification, &classifications, trusting));
        match &classification {
            Some(Ok(word)) => put("classification", "classification", word.clone().into()),
            Some(Err(fault)) => faults.push(fault.clone()),
            None => {}
        }
        if let Some(determination) = &self.determination {
            match determined(row, classification.as_ref(), determination, trusting) {
                Ok(Some(word)) => put("determination", "determination", word.into()),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        if let Some(assign) = &self.assign {
            match text("assign", assign, LONGEST_NAME) {
                Ok(()) => put("assign", "assignedTo", assign.as_str().into()),
                Err(fault) => faults.push(fault),
            }
        }
        match (&self.tags, row.tags) {
            (Some(tags), Some(member)) => {
                faults.extend(tags.iter().filter_map(|tag| text("tags", tag, LONGEST_NAME).err()));
                put("tags", member, json!(tags));
            }
            (Some(_), None) => {
                faults.push(format!("`tags`: {} has none for {}s", row.service.name(), row.object.name()))
            }
            (None, _) => {}
        }
        let mut posted = None;
        if let Some(comment) = &self.comment {
            match (text("comment", comment, LONGEST_COMMENT), row.comment) {
                (Err(fault), _) => faults.push(fault),
                (Ok(()), Comment::Member) => put("comment", "comment", comment.as_str().into()),
                (Ok(()), Comment::Posted) => {
                    posted = Some(comment.clone());
                    names.push("comment");
                }
            }
        }
        if faults.is_empty() && names.is_empty() {
            faults.push(format!("nothing to change: give one of {}", fields(row)));
        }
        if faults.is_empty() { Ok(Checked { members, posted, names }) } else { Err(Refused(faults)) }
    }
}

/// The service's own spelling of a word.
fn word(field: &str, given: &str, words: &[&str], trusting: bool) -> Result<String, String> {
    match same(given, words.iter().copied()) {
        Some(word) => Ok(word.to_owned()),
        None if trusting => Ok(given.to_owned()),
        None => Err(unknown(field, given, words)),
    }
}

fn unknown(field: &str, given: &str, words: &[&str]) -> String {
    let meant = suggestion(given, words.iter().copied()).map(|meant| format!("; {meant}"));
    format!("`{field}`: `{given}` is not one of `{}`{}", words.join("`, `"), meant.unwrap_or_default())
}

/// The determination, if it belongs to the classification. `None` when the classification is refused already.
fn determined(
    row: &Row,
    classification: Option<&Result<String, String>>,
    given: &str,
    trusting: bool,
) -> Result<Option<String>, String> {
    let classification = match classification {
        Some(Ok(word)) => word.as_str(),
        Some(Err(_)) => return Ok(None),
        None if trusting => return Ok(Some(given.to_owned())),
        None => return Err(without_classification(row, given)),
    };
    let words = row.classifications.iter().find(|(word, _)| *word == classification).map(|(_, words)| *words);
    let words = words.unwrap_or_default();
    match word("determination", given, words, trusting) {
        Ok(word) => Ok(Some(word)),
        Err(_) => {
            let meant = suggestion(given, words.iter().copied());
            let elsewhere = owners(row, given);
            let help = match (meant, elsewhere.is_empty()) {
                (Some(meant), _) => format!("; {meant}"),
                (None, false) => format!("; it belongs to `{}`", elsewhere.join("`, `")),
                (None, true) => String::new(),
            };
            Err(format!(
                "`determination`: `{given}` is not one of those of `{classification}`: `{}`{help}",
                words.join("`, `")
            ))
        }
    }
}

fn without_classification(row: &Row, given: &str) -> String {
    let owners = owners(row, given);
    if owners.is_empty() {
        let words: Vec<&str> =
            row.classifications.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        let mut known: Vec<&str> = Vec::new();
        words.into_iter().for_each(|word| {
            if !known.contains(&word) {
                known.push(word);
            }
        });
        return unknown("determination", given, &known);
    }
    format!("`determination`: `{given}` belongs to a classification: add `{}`", owners.join("` or `"))
}

/// The classifications a determination belongs to.
fn owners(row: &Row, determination: &str) -> Vec<&'static str> {
    let has = |words: &[&'static str]| same(determination, words.iter().copied()).is_some();
    row.classifications.iter().filter(|(_, words)| has(words)).map(|(word, _)| *word).collect()
}

fn text(field: &str, given: &str, longest: usize) -> Result<(), String> {
    if given.trim().is_empty() {
        return Err(format!("`{field}` is empty"));
    }
    if given.chars().count() > longest {
        return Err(format!("`{field}` is longer than {longest} characters"));
    }
    let odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if given.contains(odd) {
        return Err(format!("`{field}` holds a control character"));
    }
    Ok(())
}

fn fields(row: &Row) -> &'static str {
    match row.tags {
        Some(_) => "`status`, `classification`, `determination`, `assign`, `comment`, `tags`",
        None => "`status`, `classification`, `determination`, `assign`, `comment`",
    }
}

/// Checks the name of an object, which becomes part of an address.
///
/// # Errors
/// It is none that a service could have given.
pub fn check_id(id: &str) -> Result<(), String> {
    let odd = |letter: char| letter.is_control() || letter.is_whitespace();
    if id.is_empty() || id.len() > LONGEST_ID || matches!(id, "." | "..") || id.contains(odd) {
        let shown: String = id.chars().take(40).flat_map(char::escape_default).collect();
        return Err(format!("`{shown}` is not an id: 1 to {LONGEST_ID} characters without blanks"));
    }
    Ok(())
}

/// A line of a batch, or the body of a request: an object's name beside the change.
///
/// # Errors
/// It is not a JSON object, has no id, or members that no change has.
pub fn line(text: &str) -> Result<(String, Change), String> {
    let mut members: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("it is not a JSON object: {error}"))?;
    let id = match members.remove("id") {
        Some(Value::String(id)) => id,
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err("`id` is missing".to_owned()),
    };
    let change = serde_json::from_value(members.into()).map_err(|error| error.to_string())?;
    Ok((id, change))
}

const LONGEST_ID: usize = 256;
const LONGEST_NAME: usize = 256;
/// Portals show about so much; the services name no bound.
const LONGEST_COMMENT: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_back::words::{Object, row};

    fn check(object: Object, api: &str, change: &str, expected: Result<&str, &str>) {
        let change: Change = serde_json::from_str(change).unwrap();
        let checked = change.checked(row(object, api).unwrap(), false);
        let found = checked
            .map(|checked| Value::from(checked.members).to_string())
            .map_err(|refused| refused.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{change:?}");
    }

    #[test]
    fn words_are_sent_as_the_service_spells_them() {
        for (api, expected) in [
            (
                "graph",
                r#"{"status":"inProgress","classification":"truePositive","determination":"malware","assignedTo":"a@b"}"#,
            ),
            (
                "mde",
                r#"{"status":"InProgress","classification":"TruePositive","determination":"Malware","assignedTo":"a@b"}"#,
            ),
        ] {
            let change = r#"{"status":"in_progress","classification":"TruePositive","determination":"MALWARE","assignedTo":"a@b"}"#;
            check(Object::Alert, api, change, Ok(expected));
        }
        let tags = r#"{"tags":["vip"],"comment":"seen"}"#;
        check(Object::Incident, "graph", tags, Ok(r#"{"customTags":["vip"]}"#));
        check(Object::Incident, "xdr", tags, Ok(r#"{"tags":["vip"],"comment":"seen"}"#));
    }

    #[test]
    fn a_wrong_word_is_refused_with_those_that_are_taken_and_the_one_that_is_meant() {
        let refused = |api, change, expected| check(Object::Alert, api, change, Err(expected));
        refused(
            "graph",
            r#"{"status":"resolvd"}"#,
            "`status`: `resolvd` is not one of `new`, `inProgress`, `resolved`; did you mean `resolved`?",
        );
        refused(
            "mde",
            r#"{"classification":"true"}"#,
            "`classification`: `true` is not one of `TruePositive`, `InformationalExpectedActivity`, `FalsePositive`",
        );
        refused(
            "graph",
            r#"{"determination":"malware"}"#,
            "`determination`: `malware` belongs to a classification: add `truePositive`",
        );
        refused(
            "graph",
            r#"{"classification":"falsePositive","determination":"phishing"}"#,
            "`determination`: `phishing` is not one of those of `falsePositive`: `notMalicious`, \
             `notEnoughDataToValidate`, `other`; it belongs to `truePositive`",
        );
        refused(
            "graph",
            r#"{"status":"x","tags":["a"],"comment":" ","classification":"y","determination":"z"}"#,
            "`status`: `x` is not one of `new`, `inProgress`, `resolved`; `classification`: `y` is not one of \
             `truePositive`, `informationalExpectedActivity`, `falsePositive`, `unknown`; `tags`: Microsoft Graph has \
             none for alerts; `comment` is empty",
        );
        refused(
            "graph",
            "{}",
            "nothing to change: give one of `status`, `classification`, `determination`, `assign`, `comment`",
        );
    }

    #[test]
    fn words_that_nobody_knows_pass_on_demand_only() {
        let change = Change { determination: Some("Apt".to_owned()), ..Change::default() };
        let row = row(Object::Alert, "mde").unwrap();
        assert!(change.checked(row, false).is_err());
        assert_eq!(change.checked(row, true).unwrap().members["determination"], "Apt");
    }

    #[test]
    fn a_line_names_its_object_and_an_id_cannot_change_the_address() {
        assert_eq!(line(r#"{"id":924521,"status":"x"}"#).unwrap().0, "924521");
        for (wrong, expected) in [
            ("[]", "it is not a JSON object"),
            (r#"{"status":"new"}"#, "`id` is missing"),
            (r#"{"id":"a","state":"new"}"#, "unknown field `state`"),
        ] {
            let fault = line(wrong).unwrap_err();
            assert!(fault.contains(expected), "{fault}");
        }
        assert!(check_id("da637472900382838869_-1364969609").is_ok());
        for wrong in ["", ".", "..", "a b", "a\n", &"x".repeat(257)] {
            assert!(check_id(wrong).is_err(), "{wrong:?}");
        }
    }
}
