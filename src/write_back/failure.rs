//! Why a change was not made, and what a person can do about it.

use std::time::Duration;

use serde::Serialize;

use crate::azure::Service;
use crate::defender::ApiError;
use crate::telemetry;

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}{}{fix}", if fix.is_empty() { "" } else { "; " })]
pub struct Failure {
    /// For programs.
    pub kind: Kind,
    /// What happened.
    pub cause: String,
    /// What can be done about it; may be empty.
    pub fix: String,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Found before anything was sent.
    WrongValue,
    /// There is no such object.
    UnknownId,
    /// Somebody else changed it at the same time.
    Conflict,
    /// The application may not.
    MissingPermission,
    /// The service does not take it.
    Refused,
    /// The service asks to wait, and went on asking.
    TooManyRequests,
    /// There is no token.
    NoToken,
    /// The service did not answer, or something else did.
    NoAnswer,
}

/// Who was asked for what.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The service.
    pub service: Service,
    /// What was to be changed.
    pub object: &'static str,
    /// The permission it takes.
    pub permission: &'static str,
}

impl Failure {
    /// Of a check before anything is sent.
    #[must_use]
    pub fn wrong(cause: impl ToString) -> Self {
        Self { kind: Kind::WrongValue, cause: cause.to_string(), fix: String::new(), retry_after: None }
    }

    /// Of an answer, or of its absence.
    #[must_use]
    pub fn of(error: &ApiError, asked: Asked) -> Self {
        let Asked { service, object, permission } = asked;
        let name = service.name();
        let (kind, cause, fix) = match error {
            ApiError::Token(error) => {
                (Kind::NoToken, telemetry::chain(error), "see `[tenant]` of the configuration".to_owned())
            }
            ApiError::TooMany { .. } => (
                Kind::TooManyRequests,
                format!("{name} has had too many requests"),
                "send it again later; another program may use the same application".to_owned(),
            ),
            ApiError::Refused { status, code, message, .. } => {
                let said = said(*status, code, message);
                match status {
                    400 | 422 => (
                        Kind::Refused,
                        format!("{name} does not take it: {said}"),
                        "change what is named there".to_owned(),
                    ),
                    403 if message.contains("not provisioned") => (
                        Kind::MissingPermission,
                        format!("{name} refuses: {said}"),
                        "the tenant has no licence for this service, or it was never opened in the Defender portal"
                            .to_owned(),
                    ),
                    403 => (
                        Kind::MissingPermission,
                        format!("{name} refuses: {said}"),
                        format!("give the application the permission {permission} for {name} and grant admin consent"),
                    ),
                    404 => (
                        Kind::UnknownId,
                        format!("{name} knows no such {object}: {said}"),
                        "is the id complete, and of this tenant and this API?".to_owned(),
                    ),
                    409 | 412 => (
                        Kind::Conflict,
                        format!("the {object} was changed by somebody else at the same time: {said}"),
                        "look at it, and send the change again".to_owned(),
                    ),
                    503 if error.retry_after().is_some() => (
                        Kind::TooManyRequests,
                        format!("{name} asks to wait: {said}"),
                        "send it again later".to_owned(),
                    ),
                    // A proxy that has waited in vain says so in the same words.
                    _ => (Kind::NoAnswer, format!("{name} has failed: {said}"), NOT_KNOWN.to_owned()),
                }
            }
            ApiError::Unauthorized => (
                Kind::NoToken,
                format!("{name} refuses the token"),
                "is it the right cloud, and the right `…_scope` of the tenant?".to_owned(),
            ),
            ApiError::Address => (Kind::NoAnswer, format!("{name}: {error}"), String::new()),
            // Something else has answered, or not all of an answer came.
            error => (Kind::NoAnswer, format!("{name}: {error}"), NOT_KNOWN.to_owned()),
        };
        Self { kind, cause, fix, retry_after: error.retry_after() }
    }

    /// For an object that was not sent since another of the same batch has failed in this way.
    #[must_use]
    pub fn of_the_rest(&self, service: Service) -> Self {
        let why = match self.kind {
            Kind::NoToken => "there is no token for",
            _ => "it was asked to wait by",
        };
        let cause = format!("not sent, since {why} {}", service.name());
        Self { cause, fix: "send it again later".to_owned(), ..self.clone() }
    }

    /// With something said before the cause.
    #[must_use]
    pub fn after(mut self, what: &str) -> Self {
        self.cause = format!("{what}: {}", self.cause);
        self
    }
}

const NOT_KNOWN: &str = "whether the change was made is not known: look at it before sending it again";

fn said(status: u16, code: &str, message: &str) -> String {
    let words: Vec<&str> = [code, message].into_iter().filter(|word| !word.is_empty()).collect();
    format!("status {status} {}", words.join(": ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_apart_and_names_its_way_out() {
        let asked = Asked { service: Service::Mde, object: "alert", permission: "Alert.ReadWrite.All" };
        for (status, kind, expected) in [
            (400, Kind::Refused, "does not take it: status 400 InvalidInput: Clean is no determination"),
            (
                403,
                Kind::MissingPermission,
                "the permission Alert.ReadWrite.All for the Defender for Endpoint API",
            ),
            (404, Kind::UnknownId, "knows no such alert"),
            (409, Kind::Conflict, "by somebody else"),
            (412, Kind::Conflict, "send the change again"),
            (500, Kind::NoAnswer, "has failed: status 500"),
        ] {
            let error = ApiError::Refused {
                request: String::new(),
                status,
                code: "InvalidInput".to_owned(),
                message: "Clean is no determination".to_owned(),
                retry_after: None,
            };
            let failure = Failure::of(&error, asked);
            assert_eq!(failure.kind, kind);
            assert!(failure.to_string().contains(expected), "{failure}");
        }
    }
}
