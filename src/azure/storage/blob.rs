//! Small blobs that several processes write: whole, with metadata, each change only over what was seen.
//!
//! See "Get Blob" and "Put Blob" in the REST reference.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use object_store::client::{HttpRequest, HttpRequestBody};

use super::list::seconds as seconds_of;
use super::{Account, StorageError, body};

/// A blob that was read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its version, as `If-Match` takes it.
    pub etag: String,
    /// Its metadata; names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// What is in it.
    pub body: Bytes,
}

/// What a blob is after it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its version, as `If-Match` takes it.
    pub etag: String,
    /// When it was written, by the clock of the service, in seconds since 1970.
    pub modified: i64,
}

/// Over what a blob is written.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'c> {
    /// Over nothing: there is none of its name.
    Absent,
    /// Over this version.
    Unchanged(&'c str),
}

impl Account {
    /// Reads a blob; `None` when there is none of this name.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn read(&self, container: &str, name: &str) -> Result<Option<Whole>, StorageError> {
        let what = "read a blob";
        let request = self.blob_request(what, http::Method::GET, container, name, &[], Bytes::new())?;
        let response = match self.call(what, request).await {
            Err(error) if error.is_not_found() => return Ok(None),
            response => response?,
        };
        let headers = response.headers();
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(METADATA)?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        });
        let (etag, metadata) = (text(headers, "etag").to_owned(), metadata.collect());
        Ok(Some(Whole { etag, metadata, body: body(what, response).await? }))
    }

    /// Writes a blob; `None` when another was first.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn write(
        &self,
        container: &str,
        name: &str,
        over: Condition<'_>,
        metadata: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Option<Version>, StorageError> {
        let what = "write a blob";
        let names: Vec<String> = metadata.iter().map(|(name, _)| format!("{METADATA}{name}")).collect();
        let length = body.len().to_string();
        let mut headers = vec![("x-ms-blob-type", "BlockBlob"), ("content-length", &length)];
        headers.push(match over {
            Condition::Absent => ("if-none-match", "*"),
            Condition::Unchanged(etag) => ("if-match", etag),
        });
        headers.extend(names.iter().map(String::as_str).zip(metadata.iter().map(|(_, value)| *value)));
        let request = self.blob_request(what, http::Method::PUT, container, name, &headers, body)?;
        match self.call(what, request).await {
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
            Ok(response) => {
                let etag = text(response.headers(), "etag").to_owned();
                Ok(Some(Version { etag, modified: seconds(response.headers(), "last-modified") }))
            }
        }
    }

    fn blob_request(
        &self,
        what: &'static str,
        method: http::Method,
        container: &str,
        name: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<HttpRequest, StorageError> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(container).extend(name.split('/'));
        }
        let mut request = http::Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .body(HttpRequestBody::from(body))
            .map_err(|error| StorageError::Answer { what, reason: error.to_string() })
    }
}

/// The time in a header, in seconds since 1970; 0 when there is none.
pub fn seconds(headers: &HeaderMap, name: &str) -> i64 {
    seconds_of(text(headers, name))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

const METADATA: &str = "x-ms-meta-";
