//! Config → open everything → spawn → supervise → stop. `check` is this without the spawn.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use metrics::counter;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::azure::Tenants;
use crate::config::{Config, Destination};
use crate::defender::OwnUpdates;
use crate::deliver::Delivery;
use crate::drift::Drift;
use crate::mapping::diagnostic::{Diagnostic, render};
use crate::mapping::layer::Merged;
use crate::mapping::retire;
use crate::mapping::set::MappingSet;
use crate::mapping::trial;
use crate::pipeline::{Pipeline, Settings};
use crate::profile::{self, Directories, Profile};
use crate::record::Name;
use crate::secret::SecretText;
use crate::sink::SinkConfig;
use crate::source::SourceConfig;
use crate::source::defender_api::Own;
use crate::spool::Spool;
use crate::syslog::Framing;
use crate::telemetry;
use crate::write_back::endpoint::Endpoint;

/// What a start needs to know of each destination, and what it needs compiled.
pub struct Plan {
    /// In the order of the configuration.
    pub destinations: Vec<Planned>,
    /// Warnings of the mappings, ready to be shown.
    pub warnings: String,
}

impl Plan {
    /// Notices of the mappings that configured sources use and whose own source will be switched off.
    #[must_use]
    pub fn retirements(&self, config: &Config) -> Vec<String> {
        let tables: Vec<&str> = config.sources.values().flat_map(SourceConfig::tables).collect();
        let mut notices: Vec<String> = self
            .destinations
            .iter()
            .flat_map(|planned| retire::notices(&planned.merged.mappings, &tables))
            .collect();
        notices.sort();
        notices.dedup();
        notices
    }
}

/// One destination, ready to open.
pub struct Planned {
    /// Its name.
    pub name: String,
    /// How its events look.
    pub settings: Settings,
    /// Its mappings.
    pub mappings: Arc<MappingSet>,
    /// The same before compiling, for the commands that look at them.
    pub merged: Merged,
}

/// Everything that keeps the configuration from being started.
#[derive(Debug)]
pub struct StartFaults(Vec<String>);

impl StartFaults {
    /// These, and one that was found elsewhere.
    #[must_use]
    pub fn and(mut self, other: Option<String>) -> Self {
        self.0.extend(other);
        self
    }
}

impl From<String> for StartFaults {
    fn from(fault: String) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for StartFaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n\n"))
    }
}

impl std::error::Error for StartFaults {}

/// Compiles the mappings of every destination, runs their tests and reads the files its sink names.
///
/// # Errors
/// Every fault there is, at once.
pub fn plan(config: &Config) -> Result<Plan, StartFaults> {
    let directories =
        Directories { shipped: config.mapping.shipped.clone(), site: config.mapping.directory.clone() };
    let machine = machine_name();
    let mut merged: HashMap<&str, Result<Merged, String>> = HashMap::new();
    let mut plan = Plan { destinations: Vec::new(), warnings: String::new() };
    let mut faults: Vec<String> =
        config.examine().err().map(|faults| faults.to_string()).into_iter().collect();
    let secrets = secrets(config, &mut faults);
    for (name, destination) in &config.destinations {
        let profile = match Profile::load(&destination.profile, &directories) {
            Ok(profile) => profile,
            Err(fault) => {
                faults.push(format!("[destination.{name}] {}", telemetry::chain(&fault)));
                continue;
            }
        };
        let mut settings = settings(name, destination, &profile, &machine);
        settings.target.secrets.clone_from(&secrets);
        let merged = merged
            .entry(&destination.profile)
            .or_insert_with(|| merge(&destination.profile, &directories, &settings))
            .clone();
        match merged {
            Ok(merged) => {
                let mappings = Arc::new(MappingSet::compile(&merged.mappings, settings.target.clone()));
                missing_secrets(&mappings, &mut faults);
                let warnings = render(&merged.warnings, &merged.sources, false);
                if !plan.warnings.contains(&warnings) {
                    plan.warnings.push_str(&warnings);
                }
                plan.destinations.push(Planned { name: name.clone(), settings, mappings, merged });
            }
            Err(fault) if !faults.contains(&fault) => faults.push(fault),
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok(plan) } else { Err(StartFaults(faults)) }
}

/// The keys of the `hmac` transform.
fn secrets(config: &Config, faults: &mut Vec<String>) -> HashMap<String, SecretText> {
    let mut texts = HashMap::new();
    for (name, secret) in &config.mapping.secrets {
        match secret.read() {
            Ok(text) if !text.expose().is_empty() => {
                texts.insert(name.clone(), text);
            }
            Ok(_) => faults
                .push(format!("[mapping.secrets] `{name}` is empty: anyone could compute its pseudonyms")),
            Err(fault) => faults.push(format!("[mapping.secrets] `{name}`: {}", telemetry::chain(&fault))),
        }
    }
    texts
}

fn missing_secrets(mappings: &MappingSet, faults: &mut Vec<String>) {
    for program in &mappings.programs {
        for name in &program.missing_secrets {
            let id = &program.id;
            let fault = format!(
                "mapping {id} names the secret `{name}`, which is not configured: \
                 add `{name} = {{ file = \"…\" }}` to `[mapping.secrets]`"
            );
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
}

/// Settings of one destination: its own over its profile's.
#[must_use]
pub fn settings(name: &str, destination: &Destination, profile: &Profile, machine: &str) -> Settings {
    let mut wire = destination.wire.clone();
    if matches!(destination.sink, SinkConfig::File(_)) {
        // A file is for looking at: a line a record, whatever the profile's receiver wants.
        wire.framing = wire.framing.or(Some(Framing::Lf));
    }
    let wire = wire.over(profile.wire.clone());
    let identity = [profile.vendor.as_str(), profile.product.as_str(), profile.version.as_str()];
    Settings::new(name.into(), identity.map(str::to_owned), &wire, machine)
}

/// The mappings of one profile, their tests passed; or what is wrong, as text.
fn merge(profile: &str, directories: &Directories, settings: &Settings) -> Result<Merged, String> {
    let layers = profile::layers(profile, directories).map_err(|fault| telemetry::chain(&fault))?;
    let merged =
        layers.merge().map_err(|rejected| render(&rejected.diagnostics, &rejected.sources, false))?;
    let failures: Vec<Diagnostic> = trial::run_all(&layers, &merged, &settings.target)
        .into_iter()
        .flat_map(|(_, report)| report.failures)
        .collect();
    if failures.is_empty() { Ok(merged) } else { Err(render(&failures, &merged.sources, false)) }
}

/// The name of this machine, for the syslog header.
#[must_use]
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "cefgate".to_owned(),
        name => name.to_owned(),
    }
}

/// Where own changes to records of a table are written down, when a source wants to know them again.
#[must_use]
pub fn own_updates(config: &Config, tenant: &str, table: &str) -> Option<OwnUpdates> {
    let wants = |source: &SourceConfig| match source {
        SourceConfig::DefenderApi(api) => {
            api.own_updates != Own::Keep && api.tenant == tenant && api.resource.table() == table
        }
        _ => false,
    };
    config.sources.values().any(wants).then(|| OwnUpdates::beside(&config.spool.directory))
}

/// Runs until a signal, until all sources have ended and everything is delivered, or until the spool fails.
///
/// # Errors
/// The start fails, or the spool does.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // First of all: a signal before that would end the process as if nobody had prepared for it.
    let mut signals = Signals::listen()?;
    let plan = plan(&config)?;
    if !plan.warnings.is_empty() {
        warn!("mappings:\n{}", plan.warnings);
    }
    plan.retirements(&config).iter().for_each(|notice| warn!("{notice}"));
    let names: Vec<String> = config.destinations.keys().cloned().collect();
    let spool = Spool::open(&config.spool, &names).context("open the spool")?;
    let (stop, drain) = (CancellationToken::new(), CancellationToken::new());
    let known = plan.destinations.first().map_or(&[][..], |planned| &planned.merged.mappings);
    let drift = Drift::open(&config.spool.directory, known);
    tokio::spawn(drift.clone().keep(stop.clone()));
    let mut reloads = Reloads { senders: Vec::new(), drift: drift.clone() };
    let mut deliveries = JoinSet::new();
    for planned in plan.destinations {
        let Some(destination) = config.destinations.get(&planned.name) else { continue };
        let (sender, mappings) = watch::channel(planned.mappings.clone());
        reloads.senders.push((planned.name.clone(), sender));
        let Settings { framer, message, stamp, .. } = planned.settings;
        let delivery = Delivery {
            destination: planned.name.as_str().into(),
            reader: spool.reader(&planned.name).context("open the spool")?,
            pipeline: Pipeline::new(planned.mappings, framer, message, stamp),
            sink: destination.sink.clone().open(&planned.name),
            account: spool.account().clone(),
            drift: drift.clone(),
            mappings,
            stop: stop.clone(),
            drain: drain.clone(),
        };
        deliveries.spawn(delivery.run());
    }
    let tenants = Tenants::new(&config.tenants, &config.network)?;
    let own = |tenant: &str, table: &str| own_updates(&config, tenant, table);
    let endpoint = Endpoint::bind(&config.write_back, &tenants, own).await?;
    let endpoint = endpoint.map(|endpoint| tokio::spawn(endpoint.run(stop.clone())));
    let mut sources = JoinSet::new();
    for (name, source) in &config.sources {
        let name: Name = name.as_str().into();
        let tenant = tenants.get(source.tenant());
        let label = tenant.as_ref().map_or(source.tenant(), |tenant| tenant.label());
        let intake = spool.intake(name.clone(), label.into());
        let (source, tenants, stop) = (source.clone(), tenants.clone(), stop.clone());
        sources.spawn(async move { (name, source.run(intake, tenants, stop).await) });
    }
    info!(n_sources = sources.len(), n_destinations = deliveries.len(), "running");
    let outcome =
        supervise(&config, &mut signals, &stop, &drain, &mut sources, &mut deliveries, &reloads).await;
    stop.cancel();
    if let Some(endpoint) = endpoint {
        endpoint.await.context("stop `[write_back]`")?;
    }
    while sources.join_next().await.is_some() {}
    while let Some(ended) = deliveries.join_next().await {
        report(ended.context("deliver")?.context("deliver"));
    }
    drift.save();
    spool.close().await;
    info!("stopped");
    outcome
}

/// Who is told of new mappings.
struct Reloads {
    senders: Vec<(String, watch::Sender<Arc<MappingSet>>)>,
    drift: Drift,
}

/// What an operator tells a running gateway.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            hang_up: signal(SignalKind::hangup()).context("listen for SIGHUP")?,
        })
    }
}

/// Waits for whatever ends the run.
async fn supervise(
    config: &Config,
    signals: &mut Signals,
    stop: &CancellationToken,
    drain: &CancellationToken,
    sources: &mut JoinSet<(Name, Result<(), crate::source::SourceError>)>,
    deliveries: &mut JoinSet<Result<(), crate::spool::SpoolError>>,
    reloads: &Reloads,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => reload(config, reloads),
            Some(ended) = sources.join_next() => {
                let (name, result) = ended.context("read from a source")?;
                result.with_context(|| format!("read from source `{name}`"))?;
                if !stop.is_cancelled() {
                    info!(source = %name, "source ended");
                }
                if sources.is_empty() {
                    drain.cancel();
                }
            }
            Some(ended) = deliveries.join_next() => {
                ended.context("deliver")?.context("deliver")?;
                if deliveries.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

/// Compiles the mapping files anew and swaps them whole, or keeps the old ones whole.
fn reload(config: &Config, reloads: &Reloads) {
    match plan(config) {
        Ok(plan) => {
            if let Some(planned) = plan.destinations.first() {
                reloads.drift.replace(&planned.merged.mappings);
            }
            for planned in plan.destinations {
                if let Some((_, sender)) = reloads.senders.iter().find(|(name, _)| *name == planned.name) {
                    // A delivery that has ended needs no mappings.
                    let _ = sender.send(planned.mappings);
                }
            }
            counter!(telemetry::MAPPING_RELOADS, "result" => "ok").increment(1);
            info!("mappings reloaded");
        }
        Err(faults) => {
            counter!(telemetry::MAPPING_RELOADS, "result" => "refused").increment(1);
            error!("mappings not reloaded; the old ones stay:\n{faults}");
        }
    }
}

fn report(result: anyhow::Result<()>) {
    if let Err(error) = result {
        error!(error = %format!("{error:#}"), "delivery ended");
    }
}
