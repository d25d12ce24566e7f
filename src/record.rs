//! The unit that flows: one Defender object as it was received, and the place it came from.
//!
//! Nothing here looks inside the JSON beyond its first and last byte: that is the work of `source::envelope`
//! (which table) and of `mapping` (which fields).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// One Defender object, byte for byte as received, with the number and time the spool gave it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Place in the spool: contiguous, starting at 1. Zero until the spool has stored the record.
    pub sequence: u64,
    /// When the spool stored it.
    pub received: Timestamp,
    /// The configured name of the source.
    pub source: Name,
    /// The configured tenant label of the source; empty when none is configured.
    pub tenant: Name,
    /// What kind of record this is.
    pub table: Table,
    /// The bytes as received, without the line end.
    pub body: Bytes,
}

/// Records of one partition and the position to resume from once they are durable.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The ordered stream these records belong to.
    pub partition: Partition,
    /// Where to resume after these records.
    pub position: Position,
    /// Table and body of each record, in order.
    pub records: Vec<(Table, Bytes)>,
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The wall clock. Only IO floors call it; mapping gets its time with the record.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }
}

/// A shared short text: a configured name or a table name.
pub type Name = Arc<str>;

/// The type of a record: an advanced-hunting table or an API resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(pub Name);

impl Table {
    /// The table of input that is not a JSON object.
    pub const UNPARSED: &'static str = "unparsed";

    /// A table by name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An ordered stream within a source. Order holds within it and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub String);

/// A resume point in a partition, opaque to all but the source that wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub String);
