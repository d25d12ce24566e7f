//! Answers: JSON, with a status that says whose fault it was.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::write_back::{Failure, Kind};

/// What is sent back.
pub type Answer = Response<Full<Bytes>>;

/// What was done, as JSON.
#[must_use]
pub fn done(body: &Value) -> Answer {
    json(StatusCode::OK, body)
}

/// What was not done, and why: `{"error": {"code": …, "message": …, "fix": …}}`.
#[must_use]
pub fn refused(status: StatusCode, code: &str, message: &str, fix: &str) -> Answer {
    let mut error = json!({ "code": code, "message": message });
    if !fix.is_empty() {
        error["fix"] = fix.into();
    }
    let mut answer = json(status, &json!({ "error": error }));
    let header = match status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer realm=\"cefgate\"")),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "PATCH")),
        _ => None,
    };
    if let Some((name, value)) = header {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The same, with the time to wait in whole seconds.
#[must_use]
pub fn later(status: StatusCode, code: &str, message: &str, wait: Duration) -> Answer {
    let mut answer = refused(status, code, message, "");
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}

/// A failure on the way to Defender. The caller's own faults are 4xx, those behind this program 5xx.
#[must_use]
pub fn failed(failure: &Failure) -> Answer {
    let Failure { kind, cause, fix, retry_after } = failure;
    let status = match kind {
        Kind::WrongValue | Kind::Refused => StatusCode::BAD_REQUEST,
        Kind::UnknownId => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooManyRequests => StatusCode::SERVICE_UNAVAILABLE,
        Kind::MissingPermission | Kind::NoToken | Kind::NoAnswer => StatusCode::BAD_GATEWAY,
    };
    let code = code(*kind);
    match retry_after {
        Some(wait) => later(status, &code, cause, *wait),
        None => refused(status, &code, cause, fix),
    }
}

/// The word for a kind of failure.
#[must_use]
pub fn code(kind: Kind) -> String {
    match json!(kind) {
        Value::String(code) => code,
        _ => String::new(),
    }
}

fn json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
