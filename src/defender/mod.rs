//! Asking Microsoft's Defender services: one request with its token and its limits, and what an answer means.
//!
//! `error` says for a person what a refusal means · `look` is a first look at a service · `own` knows this program's
//! changes again · `page` takes a list apart without reading its records. It retries nothing but an expired token: how
//! long to wait and what to ask instead is the caller's.

mod error;
mod look;
mod own;
mod page;

pub use self::error::ApiError;
pub use self::own::{OwnMemory, OwnUpdates};
pub use self::page::Page;

use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use crate::azure::{Claims, Limiter, Service, Tenant, Token};
use crate::telemetry;

/// One service of one tenant.
#[derive(Clone, Debug)]
pub struct Client {
    tenant: Tenant,
    service: Service,
    root: String,
    limiter: Option<Limiter>,
    longest_wait: Option<Duration>,
    http: reqwest::Client,
    most_bytes: usize,
}

impl Client {
    /// The service of the tenant's cloud; `None` where that cloud has none.
    #[must_use]
    pub fn new(tenant: Tenant, service: Service, most_bytes: usize) -> Option<Self> {
        let root = tenant.config().root(service)?;
        let http = tenant.network().http_client();
        let limiter = tenant.limiter(service).cloned();
        Some(Self { tenant, service, root, limiter, longest_wait: None, http, most_bytes })
    }

    /// One that waits no longer than this for its turn within the limits: then it is told that there are too many
    /// requests, and nothing was sent.
    #[must_use]
    pub fn waiting_at_most(self, longest_wait: Duration) -> Self {
        Self { longest_wait: Some(longest_wait), ..self }
    }

    /// The same for questions of advanced hunting, which have limits of their own.
    #[must_use]
    pub fn hunting(tenant: Tenant, most_bytes: usize) -> Option<Self> {
        let limiter = Some(tenant.hunting_limiter().clone());
        Some(Self { limiter, ..Self::new(tenant, Service::Graph, most_bytes)? })
    }

    /// The address of a path below the service's root, with its query.
    ///
    /// # Errors
    /// The root is not an address to build on.
    pub fn url(&self, path: &str, query: &[(&str, String)]) -> Result<Url, ApiError> {
        let mut url = Url::parse(&format!("{}{path}", self.root)).map_err(|_| ApiError::Address)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// A page of a list.
    ///
    /// # Errors
    /// It could not be had, or is not one.
    pub async fn page(&self, url: &Url) -> Result<Page, ApiError> {
        let (body, status) = self.ask(|| self.http.get(url.clone())).await?;
        Ok(Page { is_partial: status == StatusCode::PARTIAL_CONTENT, ..Page::read(body, url)? })
    }

    /// The rows that answer a query of advanced hunting.
    ///
    /// # Errors
    /// It could not be had, or is not an answer to one.
    pub async fn rows(&self, query: &str) -> Result<Vec<Bytes>, ApiError> {
        let url = self.url("/v1.0/security/runHuntingQuery", &[])?;
        let body = serde_json::json!({ "Query": query }).to_string();
        let request = || self.http.post(url.clone()).header(CONTENT_TYPE, JSON).body(body.clone());
        match self.ask(request).await? {
            // A part of the tables did not answer; rows have no later time by which they would be found.
            (_, StatusCode::PARTIAL_CONTENT) => Err(ApiError::Partial),
            (body, _) => Ok(Page::read(body, &url)?.records),
        }
    }

    /// Gets a token, so that the next request need not.
    ///
    /// # Errors
    /// There is none.
    pub async fn ready(&self) -> Result<(), ApiError> {
        Ok(self.tenant.token_for(self.service).await.map(|_| ())?)
    }

    /// Asks for, changes or removes one thing, with a body or without, and gives back the object in the answer; `Null`
    /// where the answer is empty.
    ///
    /// # Errors
    /// The service did not do it; or something has answered that is not the service, or not all of it, and whether it was
    /// done is not known.
    pub async fn object(&self, method: Method, url: &Url, body: &Value) -> Result<Value, ApiError> {
        let body = (!body.is_null()).then(|| body.to_string());
        let request = || {
            let request = self.http.request(method.clone(), url.clone());
            match &body {
                Some(body) => request.header(CONTENT_TYPE, JSON).body(body.clone()),
                None => request,
            }
        };
        match self.ask(request).await? {
            (_, StatusCode::PARTIAL_CONTENT) => Err(ApiError::Partial),
            (body, status)
                if body.is_empty() && (status == StatusCode::NO_CONTENT || method == Method::POST) =>
            {
                Ok(Value::Null)
            }
            (body, _) => match serde_json::from_slice(&body) {
                Ok(Value::Object(object)) if !object.contains_key("error") => Ok(object.into()),
                _ => Err(ApiError::strange(&body)),
            },
        }
    }

    /// Makes a request; once more with another token when the first one is refused.
    async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Result<(Vec<u8>, StatusCode), ApiError> {
        let token = self.tenant.token_for(self.service).await?;
        match self.once(&request, token.expose()).await {
            Err(ApiError::Unauthorized) => {
                self.tenant.refused(self.service, &token);
                let token = self.tenant.token_for(self.service).await?;
                self.once(&request, token.expose()).await
            }
            answer => answer,
        }
        .inspect_err(|error| self.tell(error, &token))
    }

    /// Says what stands in a token that does not open what it should.
    fn tell(&self, error: &ApiError, token: &Token) {
        if matches!(error, ApiError::Unauthorized | ApiError::Refused { status: 403, .. }) {
            let Claims { aud, roles } = token.claims().unwrap_or_default();
            warn!(tenant = %self.tenant.name(), service = self.service.name(), aud, ?roles, "the token that was refused");
        }
    }

    async fn once(
        &self,
        request: impl Fn() -> RequestBuilder,
        token: &str,
    ) -> Result<(Vec<u8>, StatusCode), ApiError> {
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ApiError::Unauthorized)?;
        bearer.set_sensitive(true);
        let before = Instant::now();
        let permit = match &self.limiter {
            Some(limiter) => {
                let permit = limiter.permit(self.longest_wait).await;
                Some(permit.map_err(|wait| ApiError::TooMany { retry_after: Some(wait) })?)
            }
            None => None,
        };
        let waited = before.elapsed();
        if waited > LONG {
            info!(tenant = %self.tenant.name(), service = self.service.name(), ?waited, "waited to keep to the limits of the service");
        }
        let request = request()
            .header(AUTHORIZATION, bearer)
            .header("Prefer", "include-unknown-enum-members")
            .header("client-request-id", uuid::Uuid::new_v4().to_string())
            .timeout(PATIENCE);
        let response = request.send().await.map_err(|error| ApiError::unreachable(&error))?;
        drop(permit);
        let status = response.status();
        let labels = [("tenant", self.tenant.name().to_string()), ("status", status.as_u16().to_string())];
        counter!(telemetry::API_REQUESTS, &labels).increment(1);
        let retry_after = retry_after(&response);
        let body = self.bounded(response).await?;
        match status {
            StatusCode::OK
            | StatusCode::CREATED
            | StatusCode::NO_CONTENT
            // One of several services behind it has not answered in time (Graph, `Warning: 199`).
            | StatusCode::PARTIAL_CONTENT => Ok((body, status)),
            StatusCode::UNAUTHORIZED => Err(ApiError::Unauthorized),
            StatusCode::TOO_MANY_REQUESTS => {
                // It means every request, not only those of the source that was told.
                if let (Some(limiter), Some(wait)) = (&self.limiter, retry_after) {
                    limiter.pause(wait);
                }
                Err(ApiError::TooMany { retry_after })
            }
            status => Err(ApiError::refused(status.as_u16(), &body, retry_after)),
        }
    }

    /// The body, if it is not longer than this client takes.
    async fn bounded(&self, mut response: Response) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::unreachable(&error))? {
            if body.len() + chunk.len() > self.most_bytes {
                return Err(ApiError::TooLong { most_bytes: self.most_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// How long the service asks to wait: seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
}

/// For one answer, its body included: queries of advanced hunting may take three minutes.
const PATIENCE: Duration = Duration::from_secs(200);
/// Without the charset, Graph takes letters outside ASCII for others ("Run hunting query").
const JSON: &str = "application/json; charset=utf-8";
/// A longer wait for the limits is said.
const LONG: Duration = Duration::from_mins(1);
