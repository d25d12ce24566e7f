//! A token, how it is asked for, and what a refusal means for a person.
//!
//! The exchange is OAuth 2.0 client credentials (RFC 6749 §4.4) by the `oauth2` crate over this program's HTTP client;
//! a managed identity is asked over plain HTTP on the machine itself. No error and no `Debug` holds any part of a token,
//! a secret or a reply's body.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, ExtraTokenFields, HttpRequest,
    HttpResponse, RequestTokenError, Scope, StandardErrorResponse, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::secret::SecretText;
use crate::telemetry;

/// Permission to ask a service, for about an hour.
pub struct Token {
    text: SecretText,
    /// When it is worth nothing any more.
    expires: Instant,
    /// When a new one is asked for.
    pub(super) refresh: Instant,
}

impl Token {
    pub(super) fn new(text: String, lifetime: Duration, refresh_in: Option<Duration>) -> Self {
        let now = Instant::now();
        // A fixed margin would never let short tokens be used, nor long ones be renewed early enough.
        let refresh =
            refresh_in.unwrap_or_else(|| lifetime.saturating_sub(EARLY.max(lifetime / 10).min(lifetime / 2)));
        let lifetime = lifetime.min(LONGEST);
        Self { text: SecretText::new(text), expires: now + lifetime, refresh: now + refresh.min(lifetime) }
    }

    /// The text that goes behind `Bearer`. The name is long on purpose, as with every secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_text().unwrap_or_default()
    }

    /// How long it can still be used.
    #[must_use]
    pub fn valid_for(&self) -> Duration {
        self.expires.saturating_duration_since(Instant::now())
    }

    /// Until when it can be used, by the wall clock.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        SystemTime::now() + self.valid_for()
    }

    /// What it says about itself. Not verified: it is for messages only.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        let payload = self.expose().split('.').nth(1)?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token").field("valid_for", &self.valid_for()).finish_non_exhaustive()
    }
}

/// What a token says about itself, as far as it helps a person.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Claims {
    /// The service it is for.
    #[serde(default)]
    pub aud: String,
    /// The application permissions in it.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// The credential itself cannot be had or used.
    #[error("{what}: {cause}")]
    Credential {
        /// What was attempted.
        what: String,
        /// What is wrong.
        cause: String,
    },
    /// The token service cannot be reached.
    #[error("ask `{host}` for a token: {cause}")]
    Unreachable {
        /// The host.
        host: String,
        /// What happened.
        cause: String,
    },
    /// The token service said no.
    #[error("`{host}` gives no token: {error}{}: {reason}{}", code.map(|code| format!(" (AADSTS{code})")).unwrap_or_default(), hint_text(*hint))]
    Refused {
        /// The host.
        host: String,
        /// The OAuth error word.
        error: String,
        /// The number behind `AADSTS`.
        code: Option<u32>,
        /// Its first sentence.
        reason: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The answer is not one of a token service.
    #[error(
        "`{host}` answered with {found} where a token was expected: is there a login page or a proxy in between?"
    )]
    Strange {
        /// The host.
        host: String,
        /// What came.
        found: String,
    },
}

impl TokenError {
    /// Whether a person has to change something before it can work: asking again soon only adds noise.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { error, .. } => error != "temporarily_unavailable" && error != "server_error",
            Self::Credential { .. } => true,
            Self::Unreachable { .. } | Self::Strange { .. } => false,
        }
    }
}

/// What goes into a request beside client id and scope.
pub(super) enum Proof {
    Secret(SecretText),
    Assertion(String),
}

/// Asks a token endpoint.
pub(super) async fn request(
    http: &reqwest::Client,
    url: &str,
    client_id: &str,
    proof: Proof,
    scope: &str,
) -> Result<Token, TokenError> {
    let host = host(url);
    let token_url = TokenUrl::new(url.to_owned())
        .map_err(|error| TokenError::Unreachable { host: host.clone(), cause: error.to_string() })?;
    let mut client = Client::new(ClientId::new(client_id.to_owned())).set_auth_type(AuthType::RequestBody);
    if let Proof::Secret(secret) = &proof {
        let text = secret.expose_text().unwrap_or_default();
        client = client.set_client_secret(ClientSecret::new(text.to_owned()));
    }
    let client = client.set_token_uri(token_url);
    let mut request = client.exchange_client_credentials().add_scope(Scope::new(scope.to_owned()));
    if let Proof::Assertion(assertion) = &proof {
        request = request
            .add_extra_param("client_assertion_type", ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion.as_str());
    }
    let sender = Sender { http: http.clone(), status: AtomicU16::new(0) };
    let status = || sender.status.load(Ordering::Relaxed);
    let answer = request.request_async(&sender).await.map_err(|error| match error {
        RequestTokenError::ServerResponse(refusal) => refused(&host, &refusal),
        RequestTokenError::Request(error) => {
            TokenError::Unreachable { host: host.clone(), cause: telemetry::chain(&error) }
        }
        RequestTokenError::Parse(_, body) => {
            TokenError::Strange { host: host.clone(), found: describe(status(), &body) }
        }
        RequestTokenError::Other(_) => {
            TokenError::Strange { host: host.clone(), found: describe(status(), b"") }
        }
    })?;
    let lifetime = answer.expires_in().unwrap_or(UNKNOWN_LIFETIME);
    let refresh = answer.extra_fields().refresh_in.map(Duration::from_secs);
    Ok(Token::new(answer.access_token().secret().clone(), lifetime, refresh))
}

/// Hands requests of `oauth2` to this program's HTTP client.
struct Sender {
    http: reqwest::Client,
    /// Of the last answer.
    status: AtomicU16,
}

impl<'s> AsyncHttpClient<'s> for Sender {
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, io::Error>> + Send + 's>>;

    fn call(&'s self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(plain)?;
            let response = self.http.execute(request).await.map_err(plain)?;
            self.status.store(response.status().as_u16(), Ordering::Relaxed);
            let mut answer = http::Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            answer.body(bounded(response).await?).map_err(io::Error::other)
        })
    }
}

/// The body, if it is of a size that a token's can be.
async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, io::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(plain)? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(io::Error::other("the answer is longer than any token's"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Asks the identity endpoint of the machine.
pub(super) async fn request_from_machine(
    request: reqwest::RequestBuilder,
    host: String,
) -> Result<Token, TokenError> {
    let unreachable = |error: io::Error| TokenError::Unreachable {
        host: host.clone(),
        cause: format!("{}; is this machine one with a managed identity?", telemetry::chain(&error)),
    };
    let response = request.send().await.map_err(plain).map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = bounded(response).await.map_err(unreachable)?;
    let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
        return Err(TokenError::Strange { host, found: describe(status, &body) });
    };
    // Numbers come as text here, and either lifetime or end may be missing.
    let number = |key: &str| match answer.get(key)? {
        Value::String(text) => text.parse::<u64>().ok(),
        value => value.as_u64(),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let until = number("expires_on").map(|end| Duration::from_secs(end).saturating_sub(now));
    let lifetime = number("expires_in").map(Duration::from_secs).or(until).unwrap_or(UNKNOWN_LIFETIME);
    if let (Some(text), 200) = (answer.get("access_token").and_then(Value::as_str), status) {
        return Ok(Token::new(text.to_owned(), lifetime, number("refresh_in").map(Duration::from_secs)));
    }
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let hint = (status == 400).then_some("assign a managed identity to this machine, or correct `client_id`");
    let (error, reason) = (
        format!("status {status} {}", first_sentence(&text("error"))),
        first_sentence(&text("error_description")),
    );
    if status == 429 || status >= 500 || status == 404 || status == 410 {
        return Err(TokenError::Unreachable { host, cause: format!("{error} {reason}") });
    }
    Err(TokenError::Refused { host, error, code: None, reason, hint })
}

fn refused(host: &str, refusal: &BasicErrorResponse) -> TokenError {
    let description = refusal.error_description().map_or("", String::as_str);
    let code = description.split("AADSTS").nth(1).and_then(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    TokenError::Refused {
        host: host.to_owned(),
        error: first_sentence(refusal.error().as_ref()),
        code,
        reason: first_sentence(description),
        hint: code.and_then(hint),
    }
}

/// What to do about a number that Microsoft Entra ID gives. The numbers may change: they serve hints only.
fn hint(code: u32) -> Option<&'static str> {
    Some(match code {
        7_000_215 => "`client_secret` is wrong: is it the secret's value, and not its id?",
        7_000_222 => "the client secret has expired: make a new one in the application's registration",
        700_016 => "`client_id` is not known in this tenant: is `id` the right tenant, and has it consented?",
        90_002 | 900_023 | 90_023 => "`id` is not a tenant of this cloud: check `id` and `cloud`",
        7_000_112 => "the application is disabled in this tenant: enable it in its enterprise application",
        700_027 | 1_000_502 => "the certificate has expired or is not registered for this application",
        700_024 => {
            "the assertion is not valid now: check this machine's clock, and that the token file is renewed"
        }
        700_021 | 700_023 => "the assertion is for another application or tenant: check `client_id` and `id`",
        70_011 | 1_002_012 | 500_011 => {
            "the scope is not known in this cloud: check `cloud` and the `…_scope` settings"
        }
        70_021 => {
            "no federated credential matches the token file: check issuer and subject in the registration"
        }
        _ => return None,
    })
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

/// The first line, without control characters, and short.
fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" Trace ID:").next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).take(MOST_REASON).collect()
}

/// What a body is that nobody can use, without repeating it.
fn describe(status: u16, body: &[u8]) -> String {
    let start = body.trim_ascii_start();
    let kind = match start.first() {
        None => "an empty body",
        Some(b'<') => "a web page",
        Some(b'{' | b'[') => "other JSON",
        Some(_) => "text that is no JSON",
    };
    format!("status {status} and {kind}")
}

pub(super) fn host(url: &str) -> String {
    url::Url::parse(url).ok().and_then(|url| Some(url.host_str()?.to_owned())).unwrap_or_default()
}

/// `oauth2` wants an error it can own; the URL is named by the caller.
fn plain(error: reqwest::Error) -> io::Error {
    io::Error::other(error.without_url())
}

type Client<HasTokenUrl = EndpointNotSet> = oauth2::Client<
    StandardErrorResponse<oauth2::basic::BasicErrorResponseType>,
    StandardTokenResponse<Extra, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

/// What Microsoft adds to the standard's answer.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Extra {
    /// When the service would like to be asked again, in seconds.
    refresh_in: Option<u64>,
}

impl ExtraTokenFields for Extra {}

// RFC 7523 §2.2
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A token is renewed this long before its end, or at nine tenths of a longer life.
const EARLY: Duration = Duration::from_mins(5);
/// When the answer does not say.
const UNKNOWN_LIFETIME: Duration = Duration::from_mins(10);
/// No token lives longer; bounds the arithmetic.
const LONGEST: Duration = Duration::from_hours(48);
const MOST_BYTES: usize = 1 << 20;
const MOST_REASON: usize = 300;
