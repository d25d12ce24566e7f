//! What a source is handed: a tenant that gives tokens and keeps to the limits.
//!
//! A token is kept for each scope and asked for by one task at a time, whoever waits. It is renewed before its end; when
//! that fails, the old one serves until it ends. Every tenant stands for itself: none waits for another.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tracing::warn;

use super::cloud::Service;
use super::config::Config;
use super::credential;
use super::limit::Limiter;
use super::token::{Token, TokenError};
use crate::network::{self, Network, NetworkError};
use crate::record::Name;
use crate::telemetry;

/// All tenants of the configuration, by name, and the way out. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tenants(Arc<All>);

#[derive(Debug, Default)]
struct All {
    tenants: BTreeMap<String, Tenant>,
    config: network::Config,
    network: OnceLock<Network>,
}

/// Why no tenant can be served.
#[derive(Debug, thiserror::Error)]
#[error("open the way to the services of Microsoft")]
pub struct TenantsError(#[from] NetworkError);

impl Tenants {
    /// Opens the network when there is a tenant to serve; nothing is sent yet.
    ///
    /// # Errors
    /// The files or the environment of `[network]` are not usable.
    pub fn new<'c>(
        configs: impl IntoIterator<Item = (&'c String, &'c Config)>,
        network: &network::Config,
    ) -> Result<Self, TenantsError> {
        let mut configs = configs.into_iter().peekable();
        let mut all = All { config: network.clone(), ..All::default() };
        if configs.peek().is_some() {
            let network = Network::new(network)?;
            all.network = network.clone().into();
            let tenant = |(name, config): (&String, &Config)| {
                (name.clone(), Tenant::new(name, config.clone(), network.clone()))
            };
            all.tenants = configs.map(tenant).collect();
        }
        Ok(Self(Arc::new(all)))
    }

    /// The tenant of `[tenant.<name>]`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Tenant> {
        self.0.tenants.get(name).cloned()
    }

    /// The way out, for sources that need no token.
    ///
    /// # Errors
    /// The files or the environment of `[network]` are not usable.
    pub fn network(&self) -> Result<Network, TenantsError> {
        match self.0.network.get() {
            Some(network) => Ok(network.clone()),
            None => {
                let network = Network::new(&self.0.config)?;
                Ok(self.0.network.get_or_init(|| network).clone())
            }
        }
    }
}

/// One tenant. Clones share its tokens and its limits.
#[derive(Clone)]
pub struct Tenant(Arc<Shared>);

struct Shared {
    name: Name,
    config: Config,
    network: Network,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    graph: Limiter,
    hunting: Limiter,
    mde: Limiter,
    xdr: Limiter,
}

/// The token of one scope.
#[derive(Default)]
struct Slot {
    held: Mutex<Held>,
    /// Held by the one task that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// Counts failures, so that those who waited through one need not repeat it.
    n_failures: u64,
    failure: Option<TokenError>,
    /// While the old token still serves, the next try to renew it.
    not_before: Option<Instant>,
}

impl Tenant {
    /// A tenant by itself.
    #[must_use]
    pub fn new(name: &str, config: Config, network: Network) -> Self {
        let written = &config.written;
        Self(Arc::new(Shared {
            name: name.into(),
            graph: Limiter::new(&written.graph_limits),
            hunting: Limiter::new(&written.hunting_limits),
            mde: Limiter::new(&written.mde_limits),
            xdr: Limiter::new(&written.xdr_limits),
            config,
            network,
            slots: Mutex::default(),
        }))
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The label for its records.
    #[must_use]
    pub fn label(&self) -> &str {
        self.0.config.written.label.as_deref().unwrap_or(&self.0.name)
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The way out.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// The limits on requests to a service; none are known for storage and Event Hubs.
    #[must_use]
    pub fn limiter(&self, service: Service) -> Option<&Limiter> {
        match service {
            Service::Graph => Some(&self.0.graph),
            Service::Mde => Some(&self.0.mde),
            Service::Xdr => Some(&self.0.xdr),
            Service::Storage | Service::EventHubs => None,
        }
    }

    /// The limits on advanced hunting.
    #[must_use]
    pub fn hunting_limiter(&self) -> &Limiter {
        &self.0.hunting
    }

    /// A token for a service, of the tenant's scope for it.
    ///
    /// # Errors
    /// As for [`Tenant::token`].
    pub async fn token_for(&self, service: Service) -> Result<Arc<Token>, TokenError> {
        self.token(&self.0.config.scope(service)).await
    }

    /// A token for a scope: the one at hand, or a new one.
    ///
    /// # Errors
    /// There is none that can still be used, and none was given.
    pub async fn token(&self, scope: &str) -> Result<Arc<Token>, TokenError> {
        let slot = lock(&self.0.slots).entry(scope.to_owned()).or_default().clone();
        let n_failures = match slot.at_hand() {
            Ok(token) => return Ok(token),
            Err(n_failures) => n_failures,
        };
        let _asking = slot.asking.lock().await;
        // Another task may have asked meanwhile.
        if let Ok(token) = slot.at_hand() {
            return Ok(token);
        }
        if let Some(failure) = slot.failed_since(n_failures) {
            return Err(failure);
        }
        let asked = credential::ask(&self.0.config, &self.0.network, scope).await;
        let result = if asked.is_ok() { "ok" } else { "failed" };
        counter!(telemetry::TOKENS, "tenant" => self.0.name.clone(), "result" => result).increment(1);
        let mut held = lock(&slot.held);
        match asked {
            Ok(token) => {
                let token = Arc::new(token);
                *held = Held { token: Some(token.clone()), n_failures: held.n_failures, ..Held::default() };
                Ok(token)
            }
            Err(error) => {
                held.n_failures += 1;
                held.failure = Some(error.clone());
                match held.token.clone().filter(|token| !token.valid_for().is_zero()) {
                    Some(token) => {
                        let tenant = &self.0.name;
                        warn!(tenant = %tenant, %error, valid_for = ?token.valid_for(), "token not renewed; the old one serves on");
                        held.not_before = Some(Instant::now() + RENEW_AGAIN);
                        Ok(token)
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Forgets a token that a service has refused, so that the next request asks for a new one.
    pub fn refused(&self, service: Service, token: &Arc<Token>) {
        let slot = lock(&self.0.slots).get(&self.0.config.scope(service)).cloned();
        if let Some(slot) = slot {
            let mut held = lock(&slot.held);
            if held.token.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
                held.token = None;
            }
        }
    }
}

impl Slot {
    /// A token that need not be renewed now; or how many failures there have been.
    fn at_hand(&self) -> Result<Arc<Token>, u64> {
        let held = lock(&self.held);
        let now = Instant::now();
        match &held.token {
            Some(token) if now < token.refresh => Ok(token.clone()),
            Some(token) if held.not_before.is_some_and(|at| now < at) && !token.valid_for().is_zero() => {
                Ok(token.clone())
            }
            _ => Err(held.n_failures),
        }
    }

    fn failed_since(&self, n_failures: u64) -> Option<TokenError> {
        let held = lock(&self.held);
        (held.n_failures > n_failures).then(|| held.failure.clone()).flatten()
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tenant")
            .field("name", &self.0.name)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How soon a failed renewal is tried again while the old token serves.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
