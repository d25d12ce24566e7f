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

/// What to log and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Where metrics are served.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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

const fn counter(name: &'static str, unit: Unit, description: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, description }
}

const fn gauge(name: &'static str, unit: Unit, description: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, description }
}

fn describe() {
    for Metric { name, kind, unit, description } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *description),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *description),
        }
    }
}

/// Always 1; the label `version` tells which program runs.
pub const BUILD_INFO: &str = "cefgate_build_info";
/// When the process started.
pub const START_TIME: &str = "cefgate_start_time_seconds";
/// Records taken from a source.
pub const RECORDS_READ: &str = "cefgate_source_records_total";
/// Those that were not a JSON object.
pub const RECORDS_UNPARSED: &str = "cefgate_source_unparsed_total";
/// Those above `max_record_bytes`.
pub const RECORDS_OVERSIZED: &str = "cefgate_source_oversized_total";
/// Wrappers with an empty list of records.
pub const WRAPPERS_EMPTY: &str = "cefgate_source_empty_total";
/// Bytes that are there and not yet read.
pub const SOURCE_LAG: &str = "cefgate_source_lag_bytes";
/// Files held open.
pub const FILES_OPEN: &str = "cefgate_source_files_open";
/// Files that are done with.
pub const FILES_LEFT: &str = "cefgate_source_files_left_total";
/// Events written.
pub const EVENTS_SENT: &str = "cefgate_destination_events_total";
/// Frame bytes written.
pub const BYTES_SENT: &str = "cefgate_destination_frame_bytes_total";
/// Broken deliveries.
pub const DELIVERY_INTERRUPTIONS: &str = "cefgate_destination_interruptions_total";
/// Events by mapping.
pub const MAPPING_EVENTS: &str = "cefgate_mapping_events_total";
/// Values of the wrong type.
pub const MAPPING_FIELD_ERRORS: &str = "cefgate_mapping_field_errors_total";
/// Values cut.
pub const MAPPING_TRUNCATED: &str = "cefgate_mapping_truncated_total";
/// Values shed.
pub const MAPPING_SHED: &str = "cefgate_mapping_shed_total";
/// Records filtered out.
pub const MAPPING_DROPPED: &str = "cefgate_mapping_dropped_total";
/// Unparsed records.
pub const MAPPING_UNPARSED: &str = "cefgate_mapping_unparsed_total";
/// Records without a mapping.
pub const MAPPING_UNMATCHED: &str = "cefgate_mapping_unmatched_total";
/// Reloads.
pub const MAPPING_RELOADS: &str = "cefgate_mapping_reloads_total";
/// Records made durable, by source.
pub const RECORDS_SPOOLED: &str = "cefgate_spool_records_total";
/// Body bytes made durable, by source.
pub const BYTES_SPOOLED: &str = "cefgate_spool_record_bytes_total";
/// Bytes of all segments.
pub const SPOOL_BYTES: &str = "cefgate_spool_bytes";
/// The bound on them.
pub const SPOOL_MAX_BYTES: &str = "cefgate_spool_max_bytes";
/// Segment files.
pub const SPOOL_SEGMENTS: &str = "cefgate_spool_segments";
/// 1 while sources wait, by reason (`max_bytes`, `disk`).
pub const SPOOL_WAITING: &str = "cefgate_spool_waiting";
/// The oldest record on disk.
pub const SPOOL_OLDEST: &str = "cefgate_spool_oldest_sequence";
/// The number the next record gets.
pub const SPOOL_NEXT: &str = "cefgate_spool_next_sequence";
/// The next record to deliver, by destination.
pub const SPOOL_CURSOR: &str = "cefgate_spool_cursor";
/// Records not delivered yet, by destination.
pub const SPOOL_LAG: &str = "cefgate_spool_lag_records";
/// Undelivered records removed, by destination and reason (`full`, `max_age`).
pub const RECORDS_DROPPED: &str = "cefgate_spool_dropped_records_total";
/// Records lost to damage on disk, by destination.
pub const RECORDS_CORRUPT: &str = "cefgate_spool_corrupt_records_total";
/// Segments in which a bad frame was met.
pub const SEGMENTS_CORRUPT: &str = "cefgate_spool_corrupt_segments_total";
/// Groups of appends made durable by one sync.
pub const SPOOL_SYNCS: &str = "cefgate_spool_syncs_total";
/// Writes or syncs that failed, by kind (`full`, `error`).
pub const SPOOL_WRITE_ERRORS: &str = "cefgate_spool_write_errors_total";
/// Connections opened, by destination.
pub const CONNECTIONS: &str = "cefgate_sink_connections_total";
/// Connections that ended as a receipt, by destination.
pub const RECEIPTS: &str = "cefgate_sink_receipts_total";
/// Connections that broke with something unconfirmed, by destination.
pub const BREAKS: &str = "cefgate_sink_breaks_total";
/// Connections whose end the receiver did not answer, by destination.
pub const UNANSWERED: &str = "cefgate_sink_unanswered_ends_total";
/// Bytes sent and not confirmed, by destination.
pub const UNCONFIRMED_BYTES: &str = "cefgate_sink_unconfirmed_bytes";

/// Every metric there is. A test holds this table against the constants above.
pub const METRICS: &[Metric] = &[
    gauge(BUILD_INFO, Unit::Count, "Always 1; label `version` is the running version."),
    gauge(START_TIME, Unit::Seconds, "When the process started, in seconds since 1970-01-01 UTC."),
    counter(RECORDS_READ, Unit::Count, "Records taken from a source; label `source`."),
    counter(
        RECORDS_UNPARSED,
        Unit::Count,
        "Input that was not a JSON object and was kept as a record of table `unparsed`; label `source`.",
    ),
    counter(
        RECORDS_OVERSIZED,
        Unit::Count,
        "Records above `max_record_bytes`, kept as head, length and SHA-256; label `source`.",
    ),
    counter(WRAPPERS_EMPTY, Unit::Count, "Wrappers with an empty list of records; label `source`."),
    gauge(
        SOURCE_LAG,
        Unit::Bytes,
        "Bytes in the files of a source that are not yet records; label `source`.",
    ),
    gauge(FILES_OPEN, Unit::Count, "Files held open; label `source`."),
    counter(FILES_LEFT, Unit::Count, "Files that were renamed or removed and have been read to their end."),
    counter(
        EVENTS_SENT,
        Unit::Count,
        "Events written to a connection, resent ones included; label `destination`.",
    ),
    counter(BYTES_SENT, Unit::Bytes, "Bytes of frames written, resent ones included; label `destination`."),
    counter(
        DELIVERY_INTERRUPTIONS,
        Unit::Count,
        "Times a connection failed and delivery went back to its last commit; label `destination`.",
    ),
    counter(MAPPING_EVENTS, Unit::Count, "Events made; labels `destination` and `mapping`."),
    counter(
        MAPPING_FIELD_ERRORS,
        Unit::Count,
        "Values that were not what their key takes; labels `mapping`, `key` and `kind`.",
    ),
    counter(
        MAPPING_TRUNCATED,
        Unit::Count,
        "Values cut to the length of their key; labels `mapping` and `key`.",
    ),
    counter(
        MAPPING_SHED,
        Unit::Count,
        "Values left out or cut because the event was too large; labels `mapping` and `key`.",
    ),
    counter(
        MAPPING_DROPPED,
        Unit::Count,
        "Records filtered out on purpose; labels `destination` and `reason`.",
    ),
    counter(MAPPING_UNPARSED, Unit::Count, "Records sent as `unparsed`; label `destination`."),
    counter(
        MAPPING_UNMATCHED,
        Unit::Count,
        "Records of tables without a mapping of their own; labels `destination` and `table`.",
    ),
    counter(MAPPING_RELOADS, Unit::Count, "Reloads of the mapping files; label `result`."),
    counter(RECORDS_SPOOLED, Unit::Count, "Records made durable; label `source`."),
    counter(BYTES_SPOOLED, Unit::Bytes, "Bytes of records made durable; label `source`."),
    gauge(SPOOL_BYTES, Unit::Bytes, "Bytes of all segments on disk."),
    gauge(SPOOL_MAX_BYTES, Unit::Bytes, "The most bytes the segments may take."),
    gauge(SPOOL_SEGMENTS, Unit::Count, "Segment files on disk."),
    gauge(
        SPOOL_WAITING,
        Unit::Count,
        "1 while sources wait for the spool; label `reason` is `max_bytes` or `disk`.",
    ),
    gauge(SPOOL_OLDEST, Unit::Count, "Number of the oldest record on disk: the first that can be replayed."),
    gauge(SPOOL_NEXT, Unit::Count, "Number that the next record gets."),
    gauge(
        SPOOL_CURSOR,
        Unit::Count,
        "Number of the next record to deliver: all before it are received for certain; label `destination`.",
    ),
    gauge(SPOOL_LAG, Unit::Count, "Records not delivered yet; label `destination`."),
    counter(
        RECORDS_DROPPED,
        Unit::Count,
        "Undelivered records removed; labels `destination` and `reason`, `full` or `max_age`.",
    ),
    counter(RECORDS_CORRUPT, Unit::Count, "Records lost to damage on disk; label `destination`."),
    counter(SEGMENTS_CORRUPT, Unit::Count, "Segments set aside because of a damaged frame."),
    counter(SPOOL_SYNCS, Unit::Count, "Groups of batches made durable by one sync."),
    counter(
        SPOOL_WRITE_ERRORS,
        Unit::Count,
        "Writes or syncs that failed; label `kind` is `full` or `error`.",
    ),
    counter(CONNECTIONS, Unit::Count, "Connections opened; label `destination`."),
    counter(RECEIPTS, Unit::Count, "Connections that ended as a receipt; label `destination`."),
    counter(BREAKS, Unit::Count, "Connections that broke with something unconfirmed; label `destination`."),
    counter(
        UNANSWERED,
        Unit::Count,
        "Connections whose end the receiver did not answer; label `destination`.",
    ),
    gauge(UNCONFIRMED_BYTES, Unit::Bytes, "Bytes sent and not confirmed yet; label `destination`."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_name_is_described_once() {
        let named: Vec<&str> = include_str!("telemetry.rs")
            .lines()
            .filter(|line| line.starts_with("pub const ") && line.contains(": &str = \""))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        let described: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(named, described);
        for metric in METRICS {
            assert!(metric.name.starts_with("cefgate_"), "{}", metric.name);
            assert!(metric.description.ends_with('.'), "{}", metric.name);
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}: counters end in _total", metric.name);
        }
    }

    #[test]
    fn a_level_is_checked_when_it_is_read() {
        for (text, accepted) in [
            ("info", true),
            ("warn,cefgate::sink=debug", true),
            ("off", true),
            ("loud", false),
            ("info,cefgate=loud", false),
            ("", false),
        ] {
            assert_eq!(Level::try_from(text.to_owned()).is_ok(), accepted, "{text}");
        }
    }
}
