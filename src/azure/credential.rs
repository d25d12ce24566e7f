//! From a credential to a token: each way to log in as one request.
//!
//! Secrets and files are read at each request, so that replacing them needs no restart.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::assertion;
use super::config::{Config, IdentityUrl, Login, WorkloadIdentity};
use super::token::{self, Proof, Token, TokenError};
use crate::network::Network;
use crate::secret::SecretError;
use crate::telemetry;

/// Whether the parts of a credential that lie on this machine can be used; else the setting and what is wrong.
///
/// # Errors
/// A secret or a file cannot be read, or is not what it should be.
pub fn check(config: &Config) -> Result<(), (&'static str, TokenError)> {
    match &config.login {
        Login::Secret(_, secret) => {
            let read = secret.read().map_err(|error| unreadable(&error));
            read.map(drop).map_err(|error| ("client_secret", error))
        }
        Login::Certificate(client, certificate) => {
            assertion::sign(certificate, client, "", 0).map(drop).map_err(|error| ("certificate", error))
        }
        // The token file comes and goes; without it the source says so and waits.
        Login::Workload(..) | Login::Managed(_) => Ok(()),
    }
}

fn unreadable(error: &SecretError) -> TokenError {
    TokenError::Credential { what: "read `client_secret`".to_owned(), cause: telemetry::chain(error) }
}

/// Asks for a token for a scope.
pub(super) async fn ask(config: &Config, network: &Network, scope: &str) -> Result<Token, TokenError> {
    let url = config.token_url();
    let (client, proof) = match &config.login {
        Login::Managed(client) => return ask_machine(config, network, client.as_deref(), scope).await,
        Login::Secret(client, secret) => {
            let secret = secret.read().map_err(|error| unreadable(&error))?;
            (client, Proof::Secret(secret))
        }
        Login::Certificate(client, certificate) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            (client, Proof::Assertion(assertion::sign(certificate, client, &url, now)?))
        }
        Login::Workload(client, identity) => (client, Proof::Assertion(federated(identity)?)),
    };
    token::request(&network.http_client(), &url, client, proof, scope).await
}

/// The token somebody else has made out.
fn federated(identity: &WorkloadIdentity) -> Result<String, TokenError> {
    let failed = |cause| TokenError::Credential {
        what: "read the token file of `workload_identity`".to_owned(),
        cause,
    };
    let path = match &identity.token_file {
        Some(path) => path.clone(),
        None => std::env::var_os(TOKEN_FILE)
            .map(PathBuf::from)
            .ok_or_else(|| failed(format!("neither `token_file` nor `{TOKEN_FILE}` is set")))?,
    };
    let text =
        std::fs::read_to_string(&path).map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
    match text.trim() {
        "" => Err(failed(format!("`{}` is empty", path.display()))),
        text => Ok(text.to_owned()),
    }
}

/// Asks the machine's own endpoint, never through a proxy.
async fn ask_machine(
    config: &Config,
    network: &Network,
    client: Option<&str>,
    scope: &str,
) -> Result<Token, TokenError> {
    let resource = scope.trim_end_matches("/.default");
    let mut query = vec![("resource", resource)];
    query.extend(client.map(|client| ("client_id", client)));
    let http = network.direct_client();
    let app_service = std::env::var("IDENTITY_ENDPOINT").ok().zip(std::env::var("IDENTITY_HEADER").ok());
    let (url, request) = match (&config.written.identity_url, app_service) {
        (None, Some((url, header))) => {
            let request =
                http.get(&url).query(&[("api-version", "2019-08-01")]).header("X-IDENTITY-HEADER", header);
            (url, request)
        }
        (set, _) => {
            let url = match set {
                Some(IdentityUrl(url)) => format!("{}{IMDS_PATH}", url.as_str().trim_end_matches('/')),
                None => format!("{IMDS}{IMDS_PATH}"),
            };
            let request = http.get(&url).query(&[("api-version", "2018-02-01")]).header("Metadata", "true");
            (url, request)
        }
    };
    token::request_from_machine(request.query(&query), token::host(&url)).await
}

/// Azure's instance metadata service.
const IMDS: &str = "http://169.254.169.254";
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// Set by the workload identity webhook of Kubernetes.
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
