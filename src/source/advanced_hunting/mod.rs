//! The `advanced_hunting` source: the rows of a query that is asked again and again, through Microsoft Graph.
//!
//! For tables that Defender does not stream, and for sites that do not stream any. `config` is the section · `query` the
//! text that is asked, for one window of time · `hunt` one round: window after window up to now, the rows of each durable
//! before the next one is asked for.

mod config;
mod hunt;
mod query;

use tokio_util::sync::CancellationToken;

pub use self::config::Config;
pub use self::query::{Lookback, Query};

use self::hunt::Hunter;
use super::SourceError;
use super::rest::{self, Question, ticks::Ticks};
use crate::azure::{Service, Tenants};
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
        table: &config.table.0,
        poll: config.poll,
        checkpoints: config.checkpoints.as_ref(),
    };
    let asked = config.clone();
    let hunter = move |intake| Hunter::new(client.clone(), asked.clone(), intake);
    rest::run(question, hunter, intake, &tenants, stop).await
}

fn client(config: &Config, tenants: &Tenants) -> Result<Client, SourceError> {
    let tenant = tenants.get(&config.tenant).ok_or_else(|| SourceError::Tenant(config.tenant.clone()))?;
    Client::hunting(tenant, config.max_response_bytes)
        .ok_or(SourceError::NoService { service: Service::Graph.name() })
}

/// Asks the query for one row, and says what came of it.
pub async fn look(config: &Config, tenants: &Tenants) -> Vec<Finding> {
    let client = match client(config, tenants) {
        Ok(client) => client,
        Err(error) => return vec![Finding::Bad(error.to_string())],
    };
    let now = Ticks::now();
    let query = config.asks().between(&config.time_column, now.before(config.lookback.0), now);
    // A statement may end in a semicolon, behind which nothing can be taken.
    let query = format!("{}\n| take 1", query.trim_end().trim_end_matches(';'));
    let question = async {
        Ok(match client.rows(&query).await?.len() {
            0 => {
                format!("the query is answered, with no row of {}", crate::duration::text(config.lookback.0))
            }
            _ => "the query is answered with a row".to_owned(),
        })
    };
    client.look_and(PERMISSIONS, question).await
}

/// Each lets an application ask.
const PERMISSIONS: &[&str] = &["ThreatHunting.Read.All"];
