//! A place in the spool, as the sink sees it: a number that comes back when what it stands for is received.

/// The sequence number of the last record that something covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);
