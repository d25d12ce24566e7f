//! The name a receiver's certificate must carry.

use serde::{Deserialize, Serialize};

/// A host name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(pub(super) rustls::pki_types::ServerName<'static>);

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0.to_str().into_owned()
    }
}

impl TryFrom<String> for ServerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        rustls::pki_types::ServerName::try_from(bare.to_owned())
            .map(Self)
            .map_err(|_| format!("`{text}` is neither a host name nor an address"))
    }
}
