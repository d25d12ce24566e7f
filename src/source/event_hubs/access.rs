//! What opens a hub: the token of a tenant, or a signature made with the key of a connection string.
//!
//! See "Generate SAS tokens" in Microsoft's Event Hubs documentation. Both are handed over by `put-token` (AMQP
//! Claims-based Security).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use url::form_urlencoded::byte_serialize;

use crate::azure::{Service, Tenant, Token, TokenError};
use crate::secret::{Secret, SecretError, SecretText};

/// What opens the hubs of a namespace. Clones share it.
#[derive(Clone)]
pub enum Access {
    /// Microsoft Entra ID.
    Tenant(Tenant),
    /// The connection string, and how long a signature is valid.
    Key(Secret, Duration),
}

/// What `put-token` hands over.
pub struct Pass {
    /// Its type on the wire.
    pub kind: &'static str,
    /// It itself.
    pub text: SecretText,
    /// When it ends.
    pub expires: SystemTime,
    /// After how long another one is needed.
    pub renew_in: Duration,
    token: Option<Arc<Token>>,
}

/// Why there is nothing to hand over.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No connection string.
    #[error("read `connection_string`")]
    Secret(#[from] SecretError),
    /// Not a connection string.
    #[error("`connection_string` has no `{0}=`")]
    Incomplete(&'static str),
}

impl Access {
    /// A pass for a hub, `amqps://<namespace>/<hub>`.
    ///
    /// # Errors
    /// The token service gives none, or the connection string cannot be used.
    pub async fn pass(&self, resource: &str) -> Result<Pass, AccessError> {
        match self {
            Self::Tenant(tenant) => {
                let token = tenant.token_for(Service::EventHubs).await?;
                Ok(Pass {
                    kind: "jwt",
                    text: SecretText::new(token.expose()),
                    expires: token.expires(),
                    renew_in: renewal(token.valid_for()),
                    token: Some(token),
                })
            }
            Self::Key(secret, lifetime) => signed(&secret.read()?, resource, *lifetime, SystemTime::now()),
        }
    }

    /// The service does not take it: the next one must be another.
    pub fn refused(&self, pass: &Pass) {
        if let (Self::Tenant(tenant), Some(token)) = (self, &pass.token) {
            tenant.refused(Service::EventHubs, token);
        }
    }
}

fn signed(
    text: &SecretText,
    resource: &str,
    lifetime: Duration,
    now: SystemTime,
) -> Result<Pass, AccessError> {
    let part = |name: &'static str| {
        let parts = text.expose_text().unwrap_or_default().split(';');
        let value = parts.filter_map(|part| part.trim().split_once('=')).find(|(key, _)| *key == name);
        value.map(|(_, value)| value).ok_or(AccessError::Incomplete(name))
    };
    let (name, key) = (part("SharedAccessKeyName")?, part("SharedAccessKey")?);
    let expires = now + lifetime;
    let seconds = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let resource = encoded(resource);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = hmac::sign(&key, format!("{resource}\n{seconds}").as_bytes());
    let signature = encoded(&BASE64_STANDARD.encode(signature));
    let name = encoded(name);
    Ok(Pass {
        kind: "servicebus.windows.net:sastoken",
        text: SecretText::new(format!(
            "SharedAccessSignature sr={resource}&sig={signature}&se={seconds}&skn={name}"
        )),
        expires,
        renew_in: renewal(lifetime),
        token: None,
    })
}

/// Early enough for several tries before the end.
fn renewal(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(Duration::from_mins(5).min(lifetime / 2)).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_documentation_s_recipe() {
        let text = SecretText::new(
            "Endpoint=sb://ns.example/;SharedAccessKeyName=listen;SharedAccessKey=a2V5a2V5a2V5a2V5",
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let pass = signed(&text, "amqps://ns.example/hub", Duration::from_hours(1), now).unwrap();
        // The signature is that of Python's hmac over the same text.
        assert_eq!(
            pass.text.expose_text().unwrap(),
            "SharedAccessSignature sr=amqps%3A%2F%2Fns.example%2Fhub&sig=C%2B6RbM%2FxmGn%2FgrMaYVlerzgqVEwCyXOVBtiXn8FslDc%3D&se=4600&skn=listen"
        );
        assert_eq!(pass.renew_in, Duration::from_mins(55));
    }

    #[test]
    fn a_text_that_is_no_connection_string_is_told_without_it() {
        let text = SecretText::new("hunter2");
        let error = signed(&text, "amqps://ns.example/hub", Duration::from_hours(1), SystemTime::UNIX_EPOCH);
        assert_eq!(error.err().unwrap().to_string(), "`connection_string` has no `SharedAccessKeyName=`");
    }
}
