//! What can go wrong with a storage account, and what a person can do about it.

use http::{HeaderMap, StatusCode};
use object_store::client::HttpError;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The key, signature or token cannot be had.
    #[error("sign a request to the storage account")]
    Credential {
        /// Why.
        source: object_store::Error,
    },
    /// No answer.
    #[error("{what} of the storage account")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// What the connection said.
        source: HttpError,
    },
    /// The service says no.
    #[error("{what} of the storage account: {status}{}{}", code.as_deref().map(|code| format!(" {code}")).unwrap_or_default(), hint(what, *status, code.as_deref()))]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// The service's own code, `AuthorizationPermissionMismatch`.
        code: Option<String>,
    },
    /// An answer that is not one of this service.
    #[error("{what} of the storage account: {reason}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Not the name of a container.
    #[error("container `{name}`")]
    Container {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: object_store::Error,
    },
    /// A blob cannot be read or written.
    #[error("blob `{name}`")]
    Blob {
        /// The blob.
        name: String,
        /// What happened.
        source: object_store::Error,
    },
}

impl StorageError {
    pub(super) fn refused(what: &'static str, status: StatusCode, headers: &HeaderMap) -> Self {
        let code = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
        Self::Refused { what, status, code }
    }

    /// Whether another was first: what was to be changed is not what it was.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT, .. })
    }

    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::NOT_FOUND,
            Self::Blob { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }
}

/// The usual cause and the way out.
fn hint(what: &str, status: StatusCode, code: Option<&str>) -> &'static str {
    match (status.as_u16(), code) {
        (403, Some("AuthorizationPermissionMismatch")) if what.starts_with("write") => {
            "; assign the role Storage Blob Data Contributor on its container, it takes some minutes to count"
        }
        (403, Some("AuthorizationPermissionMismatch")) => {
            "; assign the role Storage Blob Data Reader on this account, it takes some minutes to count"
        }
        (403, Some("AuthorizationFailure")) => "; the account's network rules do not let this machine in",
        (403, Some("AuthenticationFailed")) => {
            "; the key or signature is wrong or has expired, or this machine's clock is wrong"
        }
        (403, _) if what.starts_with("write") => {
            "; the credential may not write: a signature needs `sp=rcwl`"
        }
        (403, _) => "; the credential may not list: a signature needs `sr=c` or `srt=sco` with `sp=rl`",
        (400, Some("InvalidAuthenticationInfo")) => "; the key or signature is not of this account",
        (401, _) => "; the token is of another tenant or cloud",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_cause_and_way_out() {
        let check = |status: u16, code: Option<&'static str>, expected: &str| {
            let mut headers = HeaderMap::new();
            if let Some(code) = code {
                headers.insert("x-ms-error-code", code.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(StorageError::refused("list the containers", status, &headers).to_string(), expected);
        };
        check(
            403,
            Some("AuthorizationPermissionMismatch"),
            "list the containers of the storage account: 403 Forbidden AuthorizationPermissionMismatch; assign the \
             role Storage Blob Data Reader on this account, it takes some minutes to count",
        );
        check(
            503,
            Some("ServerBusy"),
            "list the containers of the storage account: 503 Service Unavailable ServerBusy",
        );
        check(
            401,
            None,
            "list the containers of the storage account: 401 Unauthorized; the token is of another tenant or cloud",
        );
    }
}
