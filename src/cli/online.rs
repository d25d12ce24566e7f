//! `cefgate check --online`: every service asked once, every receiver connected to once.

use std::time::Duration;

use tokio::time::timeout;

use super::{out, update};
use crate::azure::Tenants;
use crate::config::Config;
use crate::finding::Finding;
use crate::write_back::Writer;

/// Looks at all of them, prints what it finds as it goes, and fails where a person has to do something.
pub async fn look(config: &Config) -> anyhow::Result<()> {
    let tenants = Tenants::new(&config.tenants, &config.network)?;
    let mut n_bad = 0;
    for (name, source) in &config.sources {
        n_bad += print("source     ", name, bounded(source.look(&tenants)).await)?;
    }
    for (name, row) in config.write_back.usual() {
        let writer = tenants.get(name).and_then(|tenant| Writer::new(tenant, row, update::PATIENCE, None));
        let findings = match writer {
            Some(writer) => bounded(writer.look()).await,
            None => vec![Finding::Bad(format!("its cloud has no service `{}`", row.service.name()))],
        };
        n_bad += print("write_back ", &format!("{name}, {}s", row.object.name()), findings)?;
    }
    for (name, destination) in &config.destinations {
        n_bad += print("destination", name, bounded(destination.sink.look(name)).await)?;
    }
    anyhow::ensure!(n_bad == 0, "{n_bad} of the services and receivers are not as they should be; see above");
    Ok(())
}

async fn bounded(look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = || vec![Finding::Bad(format!("no answer in {} s", PATIENCE.as_secs()))];
    timeout(PATIENCE, look).await.unwrap_or_else(|_| late())
}

/// Prints what was found, and returns how much of it is bad.
fn print(what: &str, name: &str, findings: Vec<Finding>) -> anyhow::Result<usize> {
    let mut n_bad = 0;
    for finding in findings {
        let (mark, text) = match &finding {
            Finding::Good(text) => ("ok  ", text),
            Finding::Bad(text) => ("BAD ", text),
        };
        n_bad += usize::from(matches!(finding, Finding::Bad(_)));
        out::print(&format!("{mark} {what}  {name}: {text}\n"))?;
    }
    Ok(n_bad)
}

/// For one source or destination, all its questions together.
const PATIENCE: Duration = Duration::from_mins(2);
