//! Why a service did not answer as asked, and what a person can do about it. Nothing here repeats a token or a body.

use std::time::Duration;

use serde_json::Value;

use crate::azure::TokenError;
use crate::telemetry;

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no token to ask with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody answers, or the connection breaks.
    #[error("the service cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody was asked, and has not answered in time.
    #[error("no answer in time")]
    Late,
    /// The service has answered for a part of itself only.
    #[error("a part of the service has not answered")]
    Partial,
    /// There is more than the service gives in one answer.
    #[error("the answer has more {0} than the service gives at a time")]
    TooMuch(&'static str),
    /// The token is not taken, not even a new one.
    #[error("the service refuses the token: is it the right cloud, and the right `…_scope`?")]
    Unauthorized,
    /// Requests come too fast, whatever the limits say.
    #[error(
        "the service asks to wait: too many requests. Another program may use the same application: lower the `…_limits` of the tenant"
    )]
    TooMany {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The service says no, or that something broke.
    #[error("the service answers {status} {code}{}{}{}", quoted(message), request_of(request), hint_of(*status, message))]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The service's own word; may be empty.
        code: String,
        /// Its first line.
        message: String,
        /// The number under which the service knows the request; may be empty.
        request: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Something else answered: a login page, a proxy.
    #[error("the answer is {0} where JSON was expected: is there a login page or a proxy in between?")]
    Strange(&'static str),
    /// More than this program takes in one piece.
    #[error("the answer is longer than {most_bytes} bytes: lower `page_size`, or raise `max_response_bytes`")]
    TooLong {
        /// The bound.
        most_bytes: usize,
    },
    /// The next page is said to be elsewhere, where the token must not go.
    #[error("the next page is said to be at `{0}`, which is not the host that was asked")]
    Elsewhere(String),
    /// The tenant's address of the service is none to build on.
    #[error("the address of the service is not one")]
    Address,
}

impl ApiError {
    pub(super) fn unreachable(error: &reqwest::Error) -> Self {
        // Nobody there is not the same as somebody who thinks for long.
        if error.is_timeout() && !error.is_connect() {
            return Self::Late;
        }
        let mut error: &dyn std::error::Error = error;
        // The first link names the address with its query, which is long and says nothing.
        while let Some(source) = error.source() {
            error = source;
        }
        Self::Unreachable(telemetry::chain(error))
    }

    pub(super) fn refused(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            if status >= 500 || body.is_empty() {
                let (code, message, request) = Default::default();
                return Self::Refused { status, code, message, request, retry_after };
            }
            return Self::strange(body);
        };
        let error = &answer["error"];
        let inner = ["innerError", "innererror"].iter().find_map(|key| error[key]["request-id"].as_str());
        Self::Refused {
            status,
            code: first_line(error["code"].as_str()),
            message: first_line(error["message"].as_str()),
            request: first_line(inner.or(error["target"].as_str())),
            retry_after,
        }
    }

    /// This is not what was asked for.
    #[must_use]
    pub fn strange(body: &[u8]) -> Self {
        Self::Strange(kind(body))
    }

    /// Whether it was asked for more than it gives at a time.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::TooMuch(_) => true,
            // "The limit of '1000' for Top query has been exceeded", "exceeded the allowed result size".
            Self::Refused { status: 400, message, .. } => {
                message.contains("Top") || message.contains("allowed result size")
            }
            _ => false,
        }
    }

    /// Whether, when it happens again at the same place, asking for less may help: services fail in these ways when a
    /// page is too much for them, and when they are down.
    #[must_use]
    pub fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Refused { status: 500 | 502..=504, retry_after: None, .. } | Self::Late)
    }

    /// Whether, when it happens again and again at the same place, a record there may be the cause: a service that fails
    /// amid its answer breaks it off.
    #[must_use]
    pub fn may_come_of_a_record(&self) -> bool {
        matches!(self, Self::Strange(_) | Self::Unreachable(_) | Self::Refused { status: 500..=599, .. })
    }

    /// Whether a chain of pages has broken and must be begun again.
    #[must_use]
    pub fn breaks_a_chain(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 404 | 410, .. } | Self::Elsewhere(_) | Self::Strange(_))
    }

    /// Whether a person has to change something first: asking again soon only adds noise.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Token(error) => error.needs_a_person(),
            Self::Unauthorized | Self::Refused { status: 403, .. } | Self::Address => true,
            _ => false,
        }
    }

    /// How long the service asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after } | Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What a body is that nobody can use, without repeating it.
fn kind(body: &[u8]) -> &'static str {
    match body.trim_ascii_start().first() {
        None => "empty",
        Some(b'<') => "a web page",
        Some(b'{' | b'[') => "other or broken JSON",
        Some(_) => "text that is no JSON",
    }
}

/// What goes into messages: one line of bounded length, without what could steer a terminal.
fn first_line(text: Option<&str>) -> String {
    let line = text.unwrap_or_default().lines().next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).take(MOST).collect()
}

fn request_of(request: &str) -> String {
    if request.is_empty() { String::new() } else { format!(" (request {request})") }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn hint_of(status: u16, message: &str) -> String {
    let hint = match status {
        403 if message.contains("not provisioned") => {
            "the tenant has no licence for this service, or it was never opened in the Defender portal"
        }
        403 => {
            "give the application the permission named there (SecurityAlert.Read.All, SecurityIncident.Read.All, \
             ThreatHunting.Read.All for Graph; Alert.Read.All for Defender for Endpoint; Incident.Read.All for \
             Defender XDR) and grant admin consent"
        }
        404 => "is the address of the service right for this cloud?",
        _ => return String::new(),
    };
    format!("; {hint}")
}

const MOST: usize = 300;
