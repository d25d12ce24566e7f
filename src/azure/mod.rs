//! Who asks the services of Microsoft: clouds with their hosts, credentials, tokens, and the limits on asking.
//!
//! One `[tenant.<name>]` serves every source that names it: `cloud` knows hosts and scopes · `config` is the section ·
//! `credential` proves who we are · `token` asks for tokens and reads the answers · `tenant` keeps tokens and
//! limits, and is what sources are handed · `limit` spaces requests · `storage` is an account of Azure Storage.

mod assertion;
mod cloud;
mod config;
mod credential;
mod limit;
pub mod storage;
mod tenant;
mod token;

pub use cloud::{Cloud, Service};
pub use config::{Certificate, Config, IdentityUrl, Login, ServiceUrl, TenantId, WorkloadIdentity, Written};
pub use credential::check;
pub use limit::{Limiter, Permit, Rate};
pub use tenant::{Tenant, Tenants, TenantsError};
pub use token::{Claims, Token, TokenError};
