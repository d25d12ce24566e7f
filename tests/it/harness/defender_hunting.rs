//! Advanced hunting at the stand-in: rows are the records of the lists.

use http::StatusCode;
use serde_json::{Value, json};

use super::defender::{Answer, Record, State, refusal, reply};

/// The rows of the window that stands in the query.
pub fn answer(state: &State, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap();
    let query = body["Query"].as_str().unwrap();
    if query.contains("Nonsense") {
        return refusal(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "'where' operator: Failed to resolve table 'Nonsense'",
        );
    }
    let times: Vec<i64> = query
        .split("datetime(")
        .skip(1)
        .map(|text| text.split_once(')').unwrap().0.parse::<jiff::Timestamp>().unwrap())
        .map(|time| i64::try_from(time.as_nanosecond() / 100).unwrap())
        .collect();
    let [from, to] = times[..] else { panic!("{query}") };
    let found = state.list(from, true);
    let rows: Vec<Value> =
        found.iter().filter(|(_, record)| record.updated < to).map(|(_, record)| row(record)).collect();
    if rows.len() > state.most_rows {
        return refusal(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "Query execution has exceeded the allowed result size. Optimize your query and try again.",
        );
    }
    let schema = json!([{ "name": "Timestamp", "type": "DateTime" }, { "name": "n", "type": "Int64" }]);
    reply(StatusCode::OK, json!({ "@odata.context": "x", "schema": schema, "results": rows }).to_string())
}

fn row(record: &Record) -> Value {
    let time = jiff::Timestamp::from_nanosecond(i128::from(record.updated) * 100).unwrap();
    json!({ "Timestamp": format!("{time:.7}"), "stream": "records", "n": record.n, "Nothing": null })
}
