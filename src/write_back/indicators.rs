//! Adds, lists and removes the indicators of Defender for Endpoint.

use std::collections::HashMap;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::failure::{Asked, Failure, Kind};
use super::indicator::Indicator;
use super::send::{Patience, patiently};
use super::words::INDICATOR_PERMISSION;
use crate::azure::{Service, Tenant};
use crate::defender::{ApiError, Client};

/// The indicators of one tenant.
#[derive(Clone, Debug)]
pub struct Indicators {
    client: Client,
    patience: Patience,
}

impl Indicators {
    /// `None` where the tenant's cloud has no such service.
    #[must_use]
    pub fn new(tenant: Tenant, patience: Patience) -> Option<Self> {
        Some(Self { client: Client::new(tenant, Service::Mde, MOST_BYTES)?, patience })
    }

    /// Adds one, or changes the one of the same type and value. Gives its id.
    ///
    /// # Errors
    /// The service did not take it.
    pub async fn add(&self, indicator: &Indicator) -> Result<String, Failure> {
        let url = self.url(PATH)?;
        let body = json!(indicator);
        let answer = patiently(self.patience, || self.client.object(Method::POST, &url, &body)).await;
        let answer = answer.map_err(|error| failure(&error))?;
        named(&answer).ok_or_else(|| failure(&ApiError::strange(answer.to_string().as_bytes())))
    }

    /// Adds many, so many at a time as the service takes, and tells the outcome of each by its place.
    pub async fn import(
        &self,
        indicators: &[Indicator],
        mut tell: impl FnMut(usize, Result<String, Failure>),
    ) {
        for (n, chunk) in indicators.chunks(MOST_AT_ONCE).enumerate() {
            let mut answers = self.import_chunk(chunk).await;
            for (place, indicator) in chunk.iter().enumerate() {
                let outcome = match &mut answers {
                    Ok(answers) => answers.take(indicator),
                    Err(failure) => Err(failure.clone()),
                };
                tell(n * MOST_AT_ONCE + place, outcome);
            }
        }
    }

    async fn import_chunk(&self, indicators: &[Indicator]) -> Result<Answers, Failure> {
        let url = self.url(&format!("{PATH}/import"))?;
        let body = json!({ "Indicators": indicators });
        let answer = patiently(self.patience, || self.client.object(Method::POST, &url, &body)).await;
        let answer = answer.map_err(|error| failure(&error))?;
        Answers::read(&answer).ok_or_else(|| failure(&ApiError::strange(answer.to_string().as_bytes())))
    }

    /// All that a filter lets through, as the service gives them.
    ///
    /// # Errors
    /// The list could not be had to its end.
    pub async fn list(&self, filter: Option<&str>) -> Result<Vec<Bytes>, Failure> {
        let query: Vec<(&str, String)> =
            filter.map(|filter| ("$filter", filter.to_owned())).into_iter().collect();
        // Whatever comes of a question: nothing was changed.
        let failure = |error: &ApiError| match failure(error) {
            failure @ Failure { kind: Kind::NoAnswer, .. } => Failure { fix: String::new(), ..failure },
            failure => failure,
        };
        let mut next = Some(self.client.url(PATH, &query).map_err(|error| failure(&error))?);
        let mut found = Vec::new();
        while let Some(url) = next.take() {
            let page = patiently(self.patience, || self.client.page(&url)).await;
            let page = page.map_err(|error| failure(&error))?;
            found.extend(page.records);
            next = page.next;
        }
        Ok(found)
    }

    /// Removes one.
    ///
    /// # Errors
    /// There is none, or the service did not.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        let mut url = self.url(PATH)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        let answer =
            patiently(self.patience, || self.client.object(Method::DELETE, &url, &Value::Null)).await;
        answer.map(|_| ()).map_err(|error| failure(&error))
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.client.url(path, &[]).map_err(|error| failure(&error))
    }
}

/// A filter for a type and a value; both may be absent.
#[must_use]
pub fn filter(kind: Option<&str>, value: Option<&str>) -> Option<String> {
    let part = |(name, text): (&str, &str)| format!("{name} eq '{}'", text.replace('\'', "''"));
    let parts = [kind.map(|kind| ("indicatorType", kind)), value.map(|value| ("indicatorValue", value))];
    let parts: Vec<String> = parts.into_iter().flatten().map(part).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// What became of the indicators of one import. The answer names values and no places.
struct Answers(HashMap<String, Vec<Result<String, String>>>);

impl Answers {
    /// `None` when it is not an answer to an import.
    fn read(answer: &Value) -> Option<Self> {
        let mut outcomes: HashMap<String, Vec<_>> = HashMap::new();
        for item in answer["value"].as_array()? {
            let outcome = match (item["isFailed"].as_bool(), named(item)) {
                (Some(true), _) | (_, None) => Err(text(&item["failureReason"])),
                (_, Some(id)) => Ok(id),
            };
            outcomes.entry(text(&item["indicator"]).to_lowercase()).or_default().insert(0, outcome);
        }
        Some(Self(outcomes))
    }

    fn take(&mut self, indicator: &Indicator) -> Result<String, Failure> {
        let value = indicator.indicator_value.as_deref().unwrap_or_default().to_lowercase();
        let outcome = self.0.get_mut(&value).and_then(Vec::pop);
        let reason = match outcome {
            Some(Ok(id)) => return Ok(id),
            Some(Err(reason)) => format!("the service does not take it: {reason}"),
            None => "the answer of the service does not name it".to_owned(),
        };
        Err(Failure { kind: Kind::Refused, cause: reason, fix: String::new(), retry_after: None })
    }
}

/// The id that the service has given.
fn named(indicator: &Value) -> Option<String> {
    Some(text(&indicator["id"])).filter(|id| !id.is_empty())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn failure(error: &ApiError) -> Failure {
    let asked = Asked { service: Service::Mde, object: "indicator", permission: INDICATOR_PERMISSION };
    Failure::of(error, asked)
}

const PATH: &str = "/api/indicators";
/// "Import Indicators API": 500 at a time, 15,000 in a tenant.
const MOST_AT_ONCE: usize = 500;
const MOST_BYTES: usize = 64 << 20;
