//! What opens a storage account: its key, a shared access signature, or a tenant's token.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::azure::{AzureAccessKey, AzureCredential, split_sas};
use object_store::client::CredentialProvider;

use crate::azure::{Service, Tenant};
use crate::secret::Secret;

/// How requests are signed. Secrets are read at every use, so that a rotated one needs no restart.
pub enum Credential {
    /// The account's key, in base64 as the portal shows it.
    Key(Secret),
    /// A shared access signature: `sv=…&sig=…`.
    Sas(Secret),
    /// A token of Entra.
    Entra(Tenant),
}

#[async_trait]
impl CredentialProvider for Credential {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let credential = match self {
            Self::Key(key) => AzureCredential::AccessKey(AzureAccessKey::try_new(&text(key)?)?),
            Self::Sas(sas) => AzureCredential::SASToken(split_sas(&text(sas)?)?),
            Self::Entra(tenant) => {
                let token = tenant.token_for(Service::Storage).await.map_err(refused)?;
                AzureCredential::BearerToken(token.expose().to_owned())
            }
        };
        Ok(Arc::new(credential))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(secret) => write!(out, "Key({secret})"),
            Self::Sas(secret) => write!(out, "Sas({secret})"),
            Self::Entra(tenant) => write!(out, "Entra({})", tenant.name()),
        }
    }
}

fn text(secret: &Secret) -> object_store::Result<String> {
    let secret = secret.read().map_err(refused)?;
    match secret.expose_text() {
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(refused(NotText)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the secret is not text")]
struct NotText;

fn refused(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "credential", source: Box::new(source) }
}
