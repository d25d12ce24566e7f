//! The token service in front of Microsoft's APIs, and the identity endpoint of a machine: whoever proves who it is gets a
//! token that is worth something for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;

use super::defender::{Answer, refusal, reply};

/// What it accepts, and what has been asked of it.
pub struct Login {
    /// The client's secret.
    pub secret: String,
    /// The permissions that tokens say they hold.
    pub roles: &'static [&'static str],
    /// How long a token is worth something.
    pub lifetime: Duration,
    /// Tokens given so far.
    pub n_given: u64,
    /// Signed statements and tokens of others that came in place of a secret.
    pub assertions: Vec<String>,
    /// Requests with a token that is worth nothing.
    pub n_unauthorized: u64,
    /// The tokens that are out, and when each ends.
    valid: HashMap<String, Instant>,
}

impl Login {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self {
            secret: SECRET.to_owned(),
            roles: &["SecurityAlert.Read.All"],
            lifetime: Duration::from_secs(3599),
            n_given: 0,
            assertions: Vec::new(),
            n_unauthorized: 0,
            valid: HashMap::new(),
        }
    }

    /// All tokens that are out are worthless from now on.
    pub fn revoke(&mut self) {
        self.valid.clear();
    }

    /// Whether a request may be answered.
    pub fn admits(&mut self, authorization: Option<&str>) -> bool {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let admits = self.valid.get(token).is_some_and(|end| Instant::now() < *end);
        self.n_unauthorized += u64::from(!admits);
        admits
    }

    /// RFC 6749 §4.4, and RFC 7523 §2.2 with a signed statement.
    pub fn token(&mut self, body: &[u8]) -> Answer {
        let given: BTreeMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
        let says = |key: &str, expected: &str| given.get(key).is_some_and(|value| value == expected);
        let proven = match given.get("client_assertion") {
            Some(assertion) => {
                self.assertions.push(assertion.clone());
                says("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            }
            None => says("client_secret", &self.secret),
        };
        if !proven || !says("client_id", CLIENT) || !says("grant_type", "client_credentials") {
            let refusal = json!({
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1",
            });
            return reply(StatusCode::UNAUTHORIZED, refusal.to_string());
        }
        let token = self.give();
        let answer =
            json!({ "token_type": "Bearer", "expires_in": self.lifetime.as_secs(), "access_token": token });
        reply(StatusCode::OK, answer.to_string())
    }

    /// "How to use managed identities to acquire an access token": numbers are texts.
    pub fn machine(&mut self, query: &str, asked_rightly: bool) -> Answer {
        if !asked_rightly || !query.contains("resource=https") {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Required metadata header not specified",
            );
        }
        let token = self.give();
        let lifetime = self.lifetime.as_secs().to_string();
        let answer = json!({ "token_type": "Bearer", "expires_in": lifetime, "access_token": token });
        reply(StatusCode::OK, answer.to_string())
    }

    fn give(&mut self) -> String {
        self.n_given += 1;
        let claims = json!({ "aud": "https://graph.microsoft.com", "roles": self.roles, "tid": TENANT });
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("token-{}.{claims}.unsigned", self.n_given);
        self.valid.insert(token.clone(), Instant::now() + self.lifetime);
        token
    }
}

pub const TENANT: &str = "2f6a4c1e-93b7-4d58-8a06-5be1c7d09f34";
pub const CLIENT: &str = "0f0e2b40-6f3a-4cde-9d37-3b1f6b0a7c11";
/// The client's secret.
pub const SECRET: &str = "a-secret-that-nobody-may-see";
