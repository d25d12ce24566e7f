//! The settings that name an Azure Storage account and say what opens it, wherever a source has one.

use serde::{Deserialize, Serialize};
use url::Url;

use super::SourceError;
use crate::azure::storage::{Account, Credential};
use crate::azure::{Service, Tenants};
use crate::secret::Secret;

/// An account and what opens it, as a section says it.
#[derive(Clone, Copy)]
pub struct Access<'c> {
    /// The name of the account.
    pub account: &'c AccountName,
    /// Its Blob service, where the tenant's cloud does not tell it.
    pub url: Option<&'c Url>,
    /// The tenant whose token opens it.
    pub tenant: Option<&'c str>,
    /// Its key.
    pub key: Option<&'c Secret>,
    /// A shared access signature.
    pub sas: Option<&'c Secret>,
}

impl<'c> Access<'c> {
    /// What opens the account; the sections do not say it, or say it twice, when this is an error.
    ///
    /// # Errors
    /// The keys at fault.
    pub fn opens_with(&self) -> Result<Opens<'c>, String> {
        match (self.key, self.sas, self.tenant) {
            (Some(_), Some(_), _) => {
                Err("the account is opened with `key` and with `sas`: keep one".to_owned())
            }
            (Some(key), None, _) => Ok(Opens::Key(key)),
            (None, Some(sas), _) => Ok(Opens::Sas(sas)),
            (None, None, Some(tenant)) => Ok(Opens::Tenant(tenant)),
            (None, None, None) => Err("nothing opens the account: add `tenant`, `key` or `sas`".to_owned()),
        }
    }

    /// The account, to be asked.
    ///
    /// # Errors
    /// The settings contradict each other, or there is no way out.
    pub fn open(&self, tenants: &Tenants) -> Result<Account, SourceError> {
        let tenant = self.tenant.and_then(|name| tenants.get(name));
        let credential = match (self.opens_with(), &tenant) {
            (Ok(Opens::Key(key)), _) => Credential::Key(key.clone()),
            (Ok(Opens::Sas(sas)), _) => Credential::Sas(sas.clone()),
            (Ok(Opens::Tenant(_)), Some(tenant)) => Credential::Entra(tenant.clone()),
            (Ok(Opens::Tenant(name)), None) => return Err(SourceError::Tenant(name.to_owned())),
            (Err(fault), _) => return Err(SourceError::Account(fault)),
        };
        let cloud = tenant.as_ref().map(|tenant| tenant.config().written.cloud).unwrap_or_default();
        let AccountName(name) = self.account.clone();
        let url = match (self.url, cloud.root(Service::Storage)) {
            (Some(url), _) => url.clone(),
            (None, root) => Url::parse(&format!("https://{name}.{}", root.unwrap_or_default()))
                .map_err(|error| SourceError::Account(error.to_string()))?,
        };
        Ok(Account::new(name, url, tenants.network()?.http_client(), credential))
    }
}

/// What opens an account.
pub enum Opens<'c> {
    /// Its key.
    Key(&'c Secret),
    /// A shared access signature.
    Sas(&'c Secret),
    /// The token of a tenant.
    Tenant(&'c str),
}

/// The name of a storage account: 3 to 24 lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct AccountName(pub String);

impl TryFrom<String> for AccountName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if (3..=24).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text));
        }
        Err(format!("`{text}` is not the name of a storage account: 3 to 24 lower-case letters and digits"))
    }
}
