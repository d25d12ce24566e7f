//! The clouds: which host serves what, and for whom a token must be made out.
//!
//! Tokens of one cloud are worth nothing in another. Every value here can be replaced in the tenant's section.

use serde::{Deserialize, Serialize};

/// A cloud of its own, with its own hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// The worldwide one.
    #[default]
    Global,
    /// US Government, Moderate.
    Gcc,
    /// US Government, High.
    GccHigh,
    /// US Department of Defense.
    Dod,
    /// China, run by 21Vianet. It has no Defender API.
    China,
}

/// What is reached with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Microsoft Graph.
    Graph,
    /// The Defender for Endpoint API.
    Mde,
    /// The Defender XDR API, once Microsoft 365 Defender.
    Xdr,
    /// Azure Storage, blobs.
    Storage,
    /// Azure Event Hubs.
    EventHubs,
}

impl Cloud {
    /// Where tokens come from.
    #[must_use]
    pub fn login(self) -> &'static str {
        match self {
            Self::Global | Self::Gcc => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// The root of a service: a URL, or for storage and Event Hubs the end of the host name. `None` where there is none.
    #[must_use]
    pub fn root(self, service: Service) -> Option<&'static str> {
        Some(match (service, self) {
            (Service::Graph, Self::Global | Self::Gcc) => "https://graph.microsoft.com",
            (Service::Graph, Self::GccHigh) => "https://graph.microsoft.us",
            (Service::Graph, Self::Dod) => "https://dod-graph.microsoft.us",
            (Service::Graph, Self::China) => "https://microsoftgraph.chinacloudapi.cn",
            (Service::Mde, Self::Global) => "https://api.security.microsoft.com",
            (Service::Mde, Self::Gcc) => "https://api-gcc.securitycenter.microsoft.us",
            (Service::Mde, Self::GccHigh | Self::Dod) => "https://api-gov.securitycenter.microsoft.us",
            (Service::Xdr, Self::Global) => "https://api.security.microsoft.com",
            (Service::Xdr, Self::Gcc) => "https://api-gcc.security.microsoft.us",
            (Service::Xdr, Self::GccHigh | Self::Dod) => "https://api-gov.security.microsoft.us",
            (Service::Mde | Service::Xdr, Self::China) => return None,
            (Service::Storage, Self::Global | Self::Gcc) => "blob.core.windows.net",
            (Service::Storage, Self::GccHigh | Self::Dod) => "blob.core.usgovcloudapi.net",
            (Service::Storage, Self::China) => "blob.core.chinacloudapi.cn",
            (Service::EventHubs, Self::Global | Self::Gcc) => "servicebus.windows.net",
            (Service::EventHubs, Self::GccHigh | Self::Dod) => "servicebus.usgovcloudapi.net",
            (Service::EventHubs, Self::China) => "servicebus.chinacloudapi.cn",
        })
    }

    /// The scope a token for a service must have.
    #[must_use]
    pub fn scope(self, service: Service) -> String {
        match service {
            // The audience is the older name; the newer host takes it, and only it.
            Service::Mde if self == Self::Global => {
                "https://api.securitycenter.microsoft.com/.default".to_owned()
            }
            Service::Graph | Service::Mde | Service::Xdr => {
                format!("{}/.default", self.root(service).unwrap_or("https://api.security.microsoft.com"))
            }
            Service::Storage => "https://storage.azure.com/.default".to_owned(),
            Service::EventHubs => "https://eventhubs.azure.net/.default".to_owned(),
        }
    }
}

impl Service {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "Microsoft Graph",
            Self::Mde => "the Defender for Endpoint API",
            Self::Xdr => "the Defender XDR API",
            Self::Storage => "Azure Storage",
            Self::EventHubs => "Azure Event Hubs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_scopes_are_those_of_the_cloud() {
        let check = |cloud: Cloud, service, root: Option<&str>, scope: &str| {
            assert_eq!((cloud.root(service), &*cloud.scope(service)), (root, scope), "{cloud:?} {service:?}");
        };
        let graph = "https://graph.microsoft.us";
        check(Cloud::GccHigh, Service::Graph, Some(graph), "https://graph.microsoft.us/.default");
        let dod = "https://dod-graph.microsoft.us";
        check(Cloud::Dod, Service::Graph, Some(dod), "https://dod-graph.microsoft.us/.default");
        let mde = "https://api.security.microsoft.com";
        check(Cloud::Global, Service::Mde, Some(mde), "https://api.securitycenter.microsoft.com/.default");
        let gcc = "https://api-gcc.securitycenter.microsoft.us";
        check(Cloud::Gcc, Service::Mde, Some(gcc), "https://api-gcc.securitycenter.microsoft.us/.default");
        let xdr = "https://api-gov.security.microsoft.us";
        check(Cloud::Dod, Service::Xdr, Some(xdr), "https://api-gov.security.microsoft.us/.default");
        assert_eq!(Cloud::China.root(Service::Mde), None);
        assert_eq!(Cloud::Gcc.login(), "https://login.microsoftonline.com");
        assert_eq!(Cloud::Dod.login(), "https://login.microsoftonline.us");
    }
}
