//! One Azure Storage account: who may read it, what is in it, and the blobs themselves.
//!
//! Reading and writing blobs is `object_store`'s work. What it does not give, lists of containers, lists of blobs with
//! their creation time and metadata, and small blobs whose metadata and times matter ([`blob`]), is asked for here with
//! the same client and the same signature. See Microsoft's Blob service REST reference.

mod blob;
mod credential;
mod error;
mod list;

use std::fmt;
use std::sync::Arc;

use object_store::azure::{AzureAuthorizer, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{
    ClientOptions, CredentialProvider, HttpClient, HttpConnector, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};
use object_store::{BackoffConfig, RetryConfig};
use url::Url;

pub use blob::{Condition, Version, Whole};
pub use credential::Credential;
pub use error::StorageError;
pub use list::{Blob, Listing};

/// A storage account as one credential sees it. Clones share it.
#[derive(Clone)]
pub struct Account {
    name: String,
    url: Url,
    http: reqwest::Client,
    credential: Arc<Credential>,
}

impl Account {
    /// The account `name` behind `url`, `https://<name>.blob.core.windows.net`.
    #[must_use]
    pub fn new(name: String, url: Url, http: reqwest::Client, credential: Credential) -> Self {
        Self { name, url, http, credential: Arc::new(credential) }
    }

    /// The names of all containers that begin with `prefix`.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn containers(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut names = Vec::new();
        let mut marker = String::new();
        loop {
            let what = "list the containers";
            let query = [("comp", "list"), ("prefix", prefix), ("marker", &marker)];
            let response = self.call(what, self.list_request(what, None, &query)?).await?;
            let page = list::containers(&body(what, response).await?)?;
            names.extend(page.names);
            match page.next {
                Some(next) => marker = next,
                None => return Ok(names),
            }
        }
    }

    /// One page of the blobs of a container whose names begin with `prefix`, at most 5,000 of them.
    ///
    /// With `folders`, what lies below a folder is given as that folder. `marker` is empty for the first page.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn blobs(
        &self,
        container: &str,
        prefix: &str,
        folders: bool,
        marker: &str,
    ) -> Result<Listing, StorageError> {
        let mut query =
            vec![("restype", "container"), ("comp", "list"), ("prefix", prefix), ("marker", marker)];
        query.push(if folders { ("delimiter", "/") } else { ("include", "metadata") });
        let what = "list the blobs";
        let response = self.call(what, self.list_request(what, Some(container), &query)?).await?;
        let answered = blob::seconds(response.headers(), "date");
        let mut listing = list::blobs(&body(what, response).await?)?;
        listing.answered = answered;
        Ok(listing)
    }

    /// All blobs below a prefix, page after page.
    ///
    /// # Errors
    /// As for [`Account::blobs`].
    pub async fn all_blobs(&self, container: &str, prefix: &str) -> Result<(Vec<Blob>, u64), StorageError> {
        let (mut blobs, mut n_pages) = (Vec::new(), 0);
        let mut marker = String::new();
        loop {
            let page = self.blobs(container, prefix, false, &marker).await?;
            n_pages += 1;
            blobs.extend(page.blobs);
            match page.next {
                Some(next) => marker = next,
                None => return Ok((blobs, n_pages)),
            }
        }
    }

    /// The blobs of one container, to read and write. A request is tried twice; waiting longer is the caller's part.
    ///
    /// # Errors
    /// The name is not one of a container.
    pub fn container(&self, name: &str) -> Result<MicrosoftAzure, StorageError> {
        MicrosoftAzureBuilder::new()
            .with_account(&self.name)
            .with_endpoint(self.url.as_str().trim_end_matches('/').to_owned())
            .with_allow_http(self.url.scheme() == "http")
            .with_container_name(name)
            .with_credentials(self.credential.clone())
            .with_http_connector(Connector(self.http.clone()))
            .with_retry(RetryConfig {
                max_retries: 1,
                backoff: BackoffConfig::default(),
                ..RetryConfig::default()
            })
            .build()
            .map_err(|source| StorageError::Container { name: name.to_owned(), source })
    }

    fn list_request(
        &self,
        what: &'static str,
        container: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<HttpRequest, StorageError> {
        let mut url = self.url.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&match container {
            Some(name) => format!("{path}/{name}"),
            None => format!("{path}/"),
        });
        url.query_pairs_mut().extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
        http::Request::get(url.as_str())
            .body(HttpRequestBody::empty())
            .map_err(|error| StorageError::Answer { what, reason: error.to_string() })
    }

    /// The answer to a request, which is signed here; a refusal is an error.
    async fn call(&self, what: &'static str, mut request: HttpRequest) -> Result<HttpResponse, StorageError> {
        let credential =
            self.credential.get_credential().await.map_err(|source| StorageError::Credential { source })?;
        AzureAuthorizer::new(&credential, &self.name)
            .try_authorize(&mut request)
            .map_err(|source| StorageError::Credential { source })?;
        let response =
            self.http.call(request).await.map_err(|source| StorageError::Unreachable { what, source })?;
        let status = response.status();
        if !status.is_success() {
            return Err(StorageError::refused(what, status, response.headers()));
        }
        Ok(response)
    }
}

async fn body(what: &'static str, response: HttpResponse) -> Result<bytes::Bytes, StorageError> {
    let body = response.into_body().bytes().await;
    body.map_err(|source| StorageError::Unreachable { what, source })
}

impl fmt::Debug for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Account").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Hands `object_store` the client that all of this program uses.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
