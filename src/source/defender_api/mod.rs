//! The `defender_api` source: alerts and incidents from Microsoft's REST APIs.
//!
//! `config` is the section · `resource` what is asked of which service · `poll` one round: ask for what has changed since
//! a while before the watermark, page by page · `course` where a round has come to · `take` stores what is new.

mod config;
mod course;
mod poll;
mod resource;
mod take;

use tokio_util::sync::CancellationToken;

pub use self::config::{Config, Own, PageSize, Updates};
pub use self::resource::Resource;

use self::poll::Poller;
use super::SourceError;
use super::rest::{self, Question, ticks::Ticks};
use crate::azure::Tenants;
use crate::defender::Client;
use crate::finding::Finding;
use crate::spool::Intake;

/// Asks again and again until told to stop.
///
/// # Errors
/// The spool failed, or the tenant's cloud has no such service. The service is asked again for ever.
pub async fn run(
    config: Config,
    intake: Intake,
    tenants: Tenants,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let client = client(&config, &tenants)?;
    let question = Question {
        tenant: &config.tenant,
        table: config.resource.table(),
        poll: config.poll,
        checkpoints: config.checkpoints.as_ref(),
    };
    let asked = config.clone();
    let poller = move |intake| Poller::new(client.clone(), asked.clone(), intake);
    rest::run(question, poller, intake, &tenants, stop).await
}

fn client(config: &Config, tenants: &Tenants) -> Result<Client, SourceError> {
    let service = config.resource.row().service;
    let tenant = tenants.get(&config.tenant).ok_or_else(|| SourceError::Tenant(config.tenant.clone()))?;
    Client::new(tenant, service, config.max_response_bytes)
        .ok_or(SourceError::NoService { service: service.name() })
}

/// Asks for one record, and says what came of it.
pub async fn look(config: &Config, tenants: &Tenants) -> Vec<Finding> {
    let row = config.resource.row();
    let client = match client(config, tenants) {
        Ok(client) => client,
        Err(error) => return vec![Finding::Bad(error.to_string())],
    };
    let since = Ticks::now().before(config.lookback).text();
    let query = [("$filter", format!("{} ge {since}", row.updated)), ("$top", "1".to_owned())];
    let question = async {
        let page = client.page(&client.url(row.path, &query)?).await?;
        Ok(match page.records.first() {
            Some(_) => format!("a {} was fetched", row.table),
            None => format!("no {} has changed in {}", row.table, crate::duration::text(config.lookback)),
        })
    };
    client.look_and(row.permissions, question).await
}
