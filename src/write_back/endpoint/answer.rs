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

/// Why nothing was done, or it is not known whether.
#[derive(Debug)]
pub struct Refusal {
    /// Whose fault it was.
    pub status: StatusCode,
    code: String,
    message: String,
    fix: String,
    wait: Option<Duration>,
}

impl Refusal {
    /// Of this program itself.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), fix: String::new(), wait: None }
    }

    /// More requests than are taken; how long to wait.
    #[must_use]
    pub fn too_many(wait: Duration) -> Self {
        let refusal =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests; wait");
        Self { wait: Some(wait), ..refusal }
    }

    /// With what can be done about it.
    #[must_use]
    pub fn or(self, fix: &str) -> Self {
        Self { fix: fix.to_owned(), ..self }
    }

    /// For the audit log: what was wrong, in one line of bounded length.
    #[must_use]
    pub fn told(&self) -> String {
        let parts = [self.message.as_str(), self.fix.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        shortened(&parts.join("; "), MOST_TOLD)
    }

    /// `{"error": {"code": …, "message": …, "fix": …}}`, with the time to wait in whole seconds.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.fix.is_empty() {
            error["fix"] = self.fix.as_str().into();
        }
        let mut answer = json(self.status, &json!({ "error": error }));
        let headers = answer.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cefgate\""));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("PATCH"));
            }
            _ => {}
        }
        if let Some(wait) = self.wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// On the way to Defender. The caller's own faults are 4xx, those behind this program 5xx.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            Kind::WrongValue | Kind::Refused => StatusCode::BAD_REQUEST,
            Kind::UnknownId => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooManyRequests => StatusCode::SERVICE_UNAVAILABLE,
            Kind::MissingPermission | Kind::NoToken | Kind::NoAnswer => StatusCode::BAD_GATEWAY,
        };
        let Failure { kind, cause, fix, retry_after } = failure;
        let code = match json!(kind) {
            Value::String(code) => code,
            _ => String::new(),
        };
        Self { status, code, message: cause, fix, wait: retry_after }
    }
}

/// What was done, as JSON.
#[must_use]
pub fn done(body: &Value) -> Answer {
    json(StatusCode::OK, body)
}

/// So much of a text that somebody else has written.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

const MOST_TOLD: usize = 500;
