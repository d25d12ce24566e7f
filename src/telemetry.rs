//! Logs and metrics: how they are set up, and the name and meaning of every metric.
//!
//! Logs are for operators and go to standard error; counts are metrics, served in Prometheus' text format. Nothing here
//! decides what is logged or counted.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

mod names;

pub use names::*;

/// What to log and how.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`; also by module: `info,cefgate::sink=debug`.
    #[serde(default)]
    pub level: Level,
    /// `text` for people (in colour on a terminal), `json` for machines: one object a line.
    #[serde(default)]
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: Level::default(), format: LogFormat::Text }
    }
}

/// A level that is known to be one.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Level(String);

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut levels = text.split(',').map(|part| part.rsplit('=').next().unwrap_or_default().trim());
        let wrong =
            |level: &&str| level.is_empty() || level.parse::<tracing::level_filters::LevelFilter>().is_err();
        match levels.find(wrong) {
            Some(level) => {
                Err(format!("`{level}` is not a log level: error, warn, info, debug, trace or off"))
            }
            None => Ok(Self(text)),
        }
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.0
    }
}

/// The look of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Where metrics are served.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address and port of the metrics listener, `127.0.0.1:9464`; without it nothing listens.
    pub listen: Option<SocketAddr>,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address is taken or not ours.
    #[error("listen for metrics on `{address}`")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the listener said.
        source: metrics_exporter_prometheus::BuildError,
    },
    /// A recorder or subscriber was there before.
    #[error("telemetry was set up twice")]
    Twice,
}

/// Starts logging to standard error. Once per process.
pub fn start_logs(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse_lossy(&config.level.0);
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match config.format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts counting, and serving the counts when an address is configured. Once per process, inside a runtime.
    pub fn start(config: &MetricsConfig) -> Result<Self, TelemetryError> {
        let builder = PrometheusBuilder::new();
        let recorder = match config.listen {
            None => builder.build_recorder(),
            Some(address) => {
                let (recorder, listener) = builder
                    .with_http_listener(address)
                    .build()
                    .map_err(|source| TelemetryError::Listen { address, source })?;
                tokio::spawn(listener);
                recorder
            }
        };
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Twice)?;
        describe();
        metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!(START_TIME).set(started.as_secs_f64());
        Ok(Self(handle))
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// One metric: what it is called, what kind it is, what it tells.
pub struct Metric {
    /// `cefgate_…`
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// What its number counts.
    pub unit: Unit,
    /// One sentence for the person who reads a dashboard, with its labels.
    pub description: &'static str,
}

/// The kinds in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// An error and its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn describe() {
    for Metric { name, kind, unit, description } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *description),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *description),
        }
    }
}

#[cfg(test)]
mod tests;
