//! What the tests of the whole program share.

pub mod gateway;
pub mod peer;
pub mod pipeline;
pub mod rsyslog;
pub mod sender;
pub mod syslog_ng;
pub mod workplace;
