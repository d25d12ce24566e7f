//! The writing half of the stand-in service: changes of alerts and incidents, comments, indicators, and the refusals
//! that the documents name. It has word lists of its own, so that a wrong one in the program is found.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use super::defender::{Answer, State, ago, refusal, reply, shown};

/// What was written, and what is refused.
#[derive(Default)]
pub struct Writes {
    /// Every request that was not a question: method and path.
    pub requests: Vec<String>,
    /// Objects that somebody else is changing.
    pub conflicts: BTreeSet<String>,
    /// The application may read only.
    pub forbidden: bool,
    /// So many requests are taken before any is put off.
    pub taken_first: u32,
    /// So many requests are put off before one is taken.
    pub put_off: u32,
    /// What answers in place of the service, once a change is made.
    pub answers: Option<(StatusCode, &'static str)>,
    /// An object that somebody else changes just before it is changed.
    pub meanwhile: Option<String>,
    /// What a request that is put off is told to wait, in seconds.
    pub wait: u32,
    /// Comments: object and text.
    pub comments: Vec<(String, String)>,
    /// Indicators by id.
    pub indicators: BTreeMap<u64, Value>,
}

/// Answers what is not a question for a list; `None`: it is one.
pub fn answer(state: &mut State, method: &Method, url: &Url, body: &[u8]) -> Option<Answer> {
    let path: Vec<String> = url.path_segments().unwrap().map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if *method != Method::GET {
        state.writes.requests.push(format!("{method} {}", url.path()));
        if let Some(refused) = refused(state) {
            return Some(refused);
        }
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let answer = matched(state, method, url, &path, body)?;
    match state.writes.answers {
        Some((status, text)) if *method != Method::GET => Some(reply(status, text.to_owned())),
        _ => Some(answer),
    }
}

fn matched(state: &mut State, method: &Method, url: &Url, path: &[&str], body: Value) -> Option<Answer> {
    Some(match (method.as_str(), path) {
        ("GET", ["api", "indicators"]) => indicators(state, url),
        ("POST", ["api", "indicators"]) => add(state, &body),
        ("POST", ["api", "indicators", "import"]) => import(state, &body),
        ("DELETE", ["api", "indicators", id]) => {
            match state.writes.indicators.remove(&id.parse().unwrap_or(0)) {
                Some(_) => reply(StatusCode::NO_CONTENT, String::new()),
                None => refusal(
                    StatusCode::NOT_FOUND,
                    "ResourceNotFound",
                    &format!("Indicator {id} was not found"),
                ),
            }
        }
        ("POST", ["api", "alerts", "batchUpdate"]) => batch(state, body),
        ("POST", ["v1.0", "security", kind, id, "comments"]) => comment(state, kind, id, &body),
        ("PATCH", ["v1.0", "security", kind, id]) => patch(state, kind, id, &body),
        ("PATCH", ["api", kind, id]) => patch(state, kind, id, &body),
        ("GET", ["v1.0", "security", _, id] | ["api", _, id]) => match state.records.get(*id) {
            Some(record) => reply(StatusCode::OK, shown(state, id, record).to_string()),
            None => unknown(id),
        },
        _ => return None,
    })
}

/// What is refused whatever is asked.
fn refused(state: &mut State) -> Option<Answer> {
    if state.writes.forbidden {
        let message =
            "Missing application roles. API required roles: x.ReadWrite.All, application roles: x.Read.All.";
        return Some(refusal(StatusCode::FORBIDDEN, "Forbidden", message));
    }
    if let Some(left) = state.writes.taken_first.checked_sub(1) {
        state.writes.taken_first = left;
        return None;
    }
    state.writes.put_off = state.writes.put_off.checked_sub(1)?;
    let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "slow down");
    answer.headers_mut().insert("retry-after", state.writes.wait.to_string().parse().unwrap());
    Some(answer)
}

fn patch(state: &mut State, kind: &str, id: &str, body: &Value) -> Answer {
    if state.writes.conflicts.contains(id) {
        return refusal(StatusCode::CONFLICT, "Conflict", "The resource was modified");
    }
    let Some(members) = body.as_object() else {
        return refusal(StatusCode::BAD_REQUEST, "InvalidRequestBody", "no object");
    };
    if !state.records.contains_key(id) {
        return unknown(id);
    }
    if let Err(message) = check(kind, state.updated == "lastUpdateDateTime", members) {
        return refusal(StatusCode::BAD_REQUEST, "InvalidInput", &message);
    }
    if state.writes.meanwhile.as_deref() == Some(id) {
        change(state, id, Map::from_iter([("severity".to_owned(), "high".into())]));
    }
    change(state, id, members.clone());
    reply(StatusCode::OK, shown(state, id, &state.records[id]).to_string())
}

/// The comments of an object, where there are any.
pub fn comments(state: &State, id: &str) -> Option<Value> {
    let of_it = state.writes.comments.iter().filter(|(of, _)| of == id);
    let comments: Vec<Value> = of_it.map(|(_, text)| json!({ "comment": text })).collect();
    (!comments.is_empty()).then(|| comments.into())
}

/// Its time of change is later than all others.
fn change(state: &mut State, id: &str, members: Map<String, Value>) {
    let latest = state.records.values().map(|record| record.updated).max().unwrap_or_default();
    let now = ago(std::time::Duration::ZERO).max(latest + 1);
    let record = state.records.get_mut(id).unwrap();
    record.updated = now;
    record.changed.extend(members);
}

fn batch(state: &mut State, mut body: Value) -> Answer {
    let Some(members) = body.as_object_mut() else {
        return refusal(StatusCode::BAD_REQUEST, "InvalidRequestBody", "no object");
    };
    let ids: Vec<String> =
        members.remove("alertIds").and_then(|ids| serde_json::from_value(ids).ok()).unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| !state.records.contains_key(*id)) {
        return refusal(StatusCode::BAD_REQUEST, "InvalidInput", &format!("Alert {id} was not found"));
    }
    if let Err(message) = check("alerts", false, members) {
        return refusal(StatusCode::BAD_REQUEST, "InvalidInput", &message);
    }
    ids.iter().for_each(|id| change(state, id, members.clone()));
    reply(StatusCode::OK, String::new())
}

fn comment(state: &mut State, _kind: &str, id: &str, body: &Value) -> Answer {
    if !state.records.contains_key(id) {
        return unknown(id);
    }
    if body["@odata.type"] != "microsoft.graph.security.alertComment" || !body["comment"].is_string() {
        return refusal(StatusCode::BAD_REQUEST, "BadRequest", "no comment");
    }
    let comment = body["comment"].as_str().unwrap().to_owned();
    state.writes.comments.push((id.to_owned(), comment));
    change(state, id, Map::new());
    reply(StatusCode::OK, json!({ "@odata.context": "x", "value": comments(state, id) }).to_string())
}

/// The members and words that the documents name.
fn check(kind: &str, is_graph: bool, members: &Map<String, Value>) -> Result<(), String> {
    let is_incident = kind == "incidents";
    for (member, value) in members {
        let words: &[&str] = match (member.as_str(), is_graph, is_incident) {
            ("status", true, false) => &["new", "inProgress", "resolved"],
            ("status", true, true) => &["active", "resolved", "inProgress", "redirected", "awaitingAction"],
            ("status", false, false) => &["New", "InProgress", "Resolved"],
            ("status", false, true) => &["Active", "Resolved", "InProgress", "Redirected"],
            ("classification", true, _) => {
                &["truePositive", "falsePositive", "informationalExpectedActivity"]
            }
            ("classification", false, _) => {
                &["TruePositive", "FalsePositive", "InformationalExpectedActivity"]
            }
            ("determination", true, _) => {
                &["malware", "phishing", "notMalicious", "securityTesting", "other"]
            }
            ("determination", false, _) => &["Malware", "Phishing", "Clean", "SecurityTesting", "Other"],
            ("assignedTo", ..) | ("comment", false, _) => continue,
            ("customTags", true, true) | ("tags", false, true) if value.is_array() => continue,
            _ => return Err(format!("{member} is not a member")),
        };
        if !value.as_str().is_some_and(|word| words.contains(&word)) {
            return Err(format!("{value} is not a valid {member}"));
        }
    }
    Ok(())
}

fn indicators(state: &State, url: &Url) -> Answer {
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let filter = query.get("$filter").cloned().unwrap_or_default();
    let fits = |indicator: &Value| {
        filter.split(" and ").filter(|part| !part.is_empty()).all(|part| {
            let (member, value) = part.split_once(" eq ").expect(part);
            indicator[member].as_str() == Some(&value.trim_matches('\'').replace("''", "'"))
        })
    };
    let value: Vec<&Value> = state.writes.indicators.values().filter(|indicator| fits(indicator)).collect();
    reply(StatusCode::OK, json!({ "value": value }).to_string())
}

fn add(state: &mut State, body: &Value) -> Answer {
    match stored(state, body) {
        Ok(indicator) => reply(StatusCode::OK, indicator.to_string()),
        Err(message) => refusal(StatusCode::BAD_REQUEST, "InvalidInput", &message),
    }
}

fn import(state: &mut State, body: &Value) -> Answer {
    let Some(list) = body["Indicators"].as_array().filter(|list| list.len() <= 500) else {
        return refusal(StatusCode::BAD_REQUEST, "MaximumBatchSizeExceeded", "500 at most");
    };
    let value: Vec<Value> = list
        .iter()
        .map(|indicator| match stored(state, indicator) {
            Ok(stored) => json!({ "id": stored["id"], "indicator": indicator["indicatorValue"], "isFailed": false, "failureReason": null }),
            Err(reason) => json!({ "id": null, "indicator": indicator["indicatorValue"], "isFailed": true, "failureReason": reason }),
        })
        .collect();
    reply(StatusCode::OK, json!({ "@odata.context": "x", "value": value }).to_string())
}

/// An indicator of the same value and type is updated.
fn stored(state: &mut State, indicator: &Value) -> Result<Value, String> {
    for member in ["indicatorValue", "indicatorType", "action", "title", "description"] {
        if indicator[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("{member} is required"));
        }
    }
    if indicator["indicatorValue"].as_str().unwrap().ends_with(".invalid") {
        return Err("the domain name is not valid".to_owned());
    }
    let same = |known: &Value| {
        ["indicatorValue", "indicatorType"].iter().all(|member| known[member] == indicator[member])
    };
    let known = state.writes.indicators.iter().find(|(_, known)| same(known)).map(|(id, _)| *id);
    let id = known.unwrap_or_else(|| state.writes.indicators.keys().max().unwrap_or(&100) + 1);
    let mut stored = indicator.clone();
    stored["id"] = id.to_string().into();
    state.writes.indicators.insert(id, stored.clone());
    Ok(stored)
}

fn unknown(id: &str) -> Answer {
    refusal(StatusCode::NOT_FOUND, "ResourceNotFound", &format!("Resource {id} was not found"))
}

fn decoded(segment: &str) -> String {
    let query = format!("x={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes()).next().unwrap().1.into_owned()
}
