//! A first look at a service: is it there, does it give a token, may the application read, do the clocks agree?

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;

use super::{ApiError, Client};
use crate::duration;
use crate::finding::Finding;
use crate::telemetry;

impl Client {
    /// What a person wants to know before the first question. One of `permissions` is needed to ask it.
    pub async fn look(&self, permissions: &[&str]) -> Vec<Finding> {
        let mut findings = vec![self.look_at_clock().await];
        if let [Finding::Bad(_)] = findings.as_slice() {
            return findings;
        }
        match self.tenant.token_for(self.service).await {
            Err(error) => findings.push(Finding::Bad(telemetry::chain(&error))),
            Ok(token) => {
                let valid = duration::text(Duration::from_secs(token.valid_for().as_secs()));
                // A token that is not readable is a matter between the services.
                let roles = token.claims().map(|claims| claims.roles);
                let shown = match &roles {
                    None => String::new(),
                    Some(roles) if roles.is_empty() => ", no roles".to_owned(),
                    Some(roles) => format!(", roles {}", roles.join(", ")),
                };
                findings.push(Finding::Good(format!("token valid for {valid}{shown}")));
                let lacks =
                    |roles: &Vec<String>| !roles.iter().any(|role| permissions.contains(&role.as_str()));
                if let (true, Some(first)) = (roles.as_ref().is_some_and(lacks), permissions.first()) {
                    findings.push(Finding::Bad(format!(
                        "the token lacks `{first}`: add it to the application's permissions and grant admin consent"
                    )));
                }
            }
        }
        findings
    }

    /// The same, and what a first question finds, which is asked if nothing is in its way.
    pub async fn look_and(
        &self,
        permissions: &[&str],
        question: impl Future<Output = Result<String, ApiError>>,
    ) -> Vec<Finding> {
        let mut findings = self.look(permissions).await;
        if !findings.iter().any(|finding| matches!(finding, Finding::Bad(_))) {
            findings.push(Finding::of(question.await, |error| telemetry::chain(error)));
        }
        findings
    }

    /// Compares clocks: signed statements and times of records need them to agree.
    async fn look_at_clock(&self) -> Finding {
        let before = Timestamp::now();
        let answer = match self.http.get(&self.root).timeout(PATIENCE).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = ApiError::unreachable(&error);
                return Finding::Bad(format!("{}: {}", self.root, telemetry::chain(&error)));
            }
        };
        let date = answer.headers().get(DATE).and_then(|value| value.to_str().ok());
        let Some(theirs) = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else {
            return Finding::Good(format!("{} answers", self.root));
        };
        // It is written in whole seconds, and some time has passed on the way.
        let ahead = theirs.timestamp().duration_since(before);
        let off = Duration::from_secs(ahead.unsigned_abs().as_secs());
        let text = duration::text(off);
        match (off > MOST_OFF, ahead > SignedDuration::ZERO) {
            (false, _) => Finding::Good(format!("{} answers, clocks agree to {text}", self.root)),
            (true, is_ahead) => {
                let way = if is_ahead { "behind" } else { "ahead of" };
                Finding::Bad(format!(
                    "{}: this machine's clock is {text} {way} the service's: set it",
                    self.root
                ))
            }
        }
    }
}

/// Microsoft Entra ID takes signed statements from clocks that are up to five minutes off.
const MOST_OFF: Duration = Duration::from_mins(2);
const PATIENCE: Duration = Duration::from_secs(30);
