//! The name, kind and meaning of every metric.

use metrics::Unit;

use super::{Kind, Metric};

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
/// Tokens asked for.
pub const SOURCE_ERRORS: &str = "cefgate_source_errors_total";
/// See [`METRICS`].
pub const BLOB_LISTS: &str = "cefgate_source_blob_lists_total";
/// See [`METRICS`].
pub const BLOBS_REPLACED: &str = "cefgate_source_blobs_replaced_total";
/// See [`METRICS`].
pub const API_REQUESTS: &str = "cefgate_tenant_requests_total";
/// See [`METRICS`].
pub const API_SKIPPED: &str = "cefgate_source_api_skipped_total";
/// See [`METRICS`].
pub const API_BARE: &str = "cefgate_source_api_bare_total";
/// See [`METRICS`].
pub const API_LATE: &str = "cefgate_source_api_late_total";
/// See [`METRICS`].
pub const API_OWN: &str = "cefgate_source_own_updates_total";
/// See [`METRICS`].
pub const WRITE_BACK_REQUESTS: &str = "cefgate_write_back_requests_total";
/// See [`METRICS`].
pub const HUBS_REPLACED: &str = "cefgate_source_hubs_replaced_total";
/// See [`METRICS`].
pub const EVENTS_EXPIRED: &str = "cefgate_source_events_expired_total";
/// See [`METRICS`].
pub const EVENTS_REPEATED: &str = "cefgate_source_events_repeated_total";
/// See [`METRICS`].
pub const EVENTS_MISSING: &str = "cefgate_source_events_missing_total";
/// See [`METRICS`].
pub const EVENTS_UNDECODABLE: &str = "cefgate_source_events_undecodable_total";
/// See [`METRICS`].
pub const EVENTS_UNNUMBERED: &str = "cefgate_source_events_unnumbered_total";
/// See [`METRICS`].
pub const PARTITION_STALLED: &str = "cefgate_source_partition_stalled";
/// See [`METRICS`].
pub const PARTITIONS_OWNED: &str = "cefgate_source_partitions_owned";
/// See [`METRICS`].
pub const PARTITIONS_CLAIMED: &str = "cefgate_source_partitions_claimed_total";
/// See [`METRICS`].
pub const PARTITIONS_LOST: &str = "cefgate_source_partitions_lost_total";
/// See [`METRICS`].
pub const CHECKPOINTS: &str = "cefgate_source_checkpoints_total";
/// See [`METRICS`].
pub const TOKENS: &str = "cefgate_tenant_tokens_total";
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
/// Records of tables that nobody knows.
pub const SCHEMA_UNKNOWN_TABLE: &str = "cefgate_schema_unknown_table_records_total";
/// Columns that nobody knows.
pub const SCHEMA_UNKNOWN_COLUMNS: &str = "cefgate_schema_unknown_columns_total";
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
        SOURCE_ERRORS,
        Unit::Count,
        "Requests that a service refused or did not answer; they are tried again. Label `source`.",
    ),
    counter(
        BLOB_LISTS,
        Unit::Count,
        "Pages of blob lists asked for; each is billed as a write operation. Label `container`.",
    ),
    counter(
        BLOBS_REPLACED,
        Unit::Count,
        "Blobs that were made anew under the name of one read before; label `source`.",
    ),
    counter(
        API_REQUESTS,
        Unit::Count,
        "Requests to Defender's services; labels `tenant` and `status`, the one HTTP answered with.",
    ),
    counter(
        API_SKIPPED,
        Unit::Count,
        "Records of an API, or alerts of an incident, that could not be had and were passed over; label `source`.",
    ),
    counter(
        API_BARE,
        Unit::Count,
        "Alerts that went without their evidence, and incidents without their alerts, because those could not be had; label `source`.",
    ),
    counter(
        API_LATE,
        Unit::Count,
        "Records that only a wider look has found, because the service showed them late; label `source`.",
    ),
    counter(
        API_OWN,
        Unit::Count,
        "Records known again as changes this program has made, tagged or left out by `own_updates`; label `source`.",
    ),
    counter(
        WRITE_BACK_REQUESTS,
        Unit::Count,
        "Requests to `[write_back]`; labels `object` and `status`, the one HTTP was answered with.",
    ),
    counter(
        HUBS_REPLACED,
        Unit::Count,
        "Partitions of hubs that were made anew under the name of one read before; label `source`.",
    ),
    counter(
        EVENTS_EXPIRED,
        Unit::Count,
        "Events that a hub's retention removed before they were read: they are lost. Label `source`.",
    ),
    counter(
        EVENTS_REPEATED,
        Unit::Count,
        "Events that a hub sent again and that were left out; label `source`.",
    ),
    counter(
        EVENTS_MISSING,
        Unit::Count,
        "Sequence numbers that a hub left out between two events; label `source`.",
    ),
    counter(
        EVENTS_UNDECODABLE,
        Unit::Count,
        "Events that are not well-formed AMQP messages and were passed over; label `source`.",
    ),
    counter(
        EVENTS_UNNUMBERED,
        Unit::Count,
        "Events without a sequence number or an offset: taken in, perhaps again after a break. Label `source`.",
    ),
    gauge(
        PARTITION_STALLED,
        Unit::Count,
        "1 while a partition has events and none arrives: usually the role Data Receiver is missing. Labels `source` \
         and `partition`.",
    ),
    gauge(PARTITIONS_OWNED, Unit::Count, "Shared partitions that this instance has; label `source`."),
    counter(PARTITIONS_CLAIMED, Unit::Count, "Shared partitions claimed; labels `source`, `how`."),
    counter(PARTITIONS_LOST, Unit::Count, "Shared partitions taken by another; label `source`."),
    counter(CHECKPOINTS, Unit::Count, "Checkpoints written for other instances; label `source`."),
    counter(TOKENS, Unit::Count, "Tokens asked for; labels `tenant` and `result`, `ok` or `failed`."),
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
    counter(
        SCHEMA_UNKNOWN_TABLE,
        Unit::Count,
        "Records of tables that neither the schema nor a mapping knows; `cefgate status` names them.",
    ),
    counter(
        SCHEMA_UNKNOWN_COLUMNS,
        Unit::Count,
        "Unknown columns met in the records that were looked into; label `table` is a known table.",
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

const fn counter(name: &'static str, unit: Unit, description: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, description }
}

const fn gauge(name: &'static str, unit: Unit, description: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, description }
}
