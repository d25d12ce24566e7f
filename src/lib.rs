//! cefgate: Microsoft Defender records in, CEF or LEEF over TLS syslog out, nothing lost.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod backoff;
pub mod cef;
pub mod certs;
pub mod clean;
pub mod cli;
pub mod config;
pub mod dictionary;
pub mod duration;
pub mod event;
pub mod json;
pub mod leef;
pub mod mapping;
pub mod oversized;
pub mod pipeline;
pub mod profile;
pub mod record;
pub mod secret;
pub mod sink;
pub mod source;
pub mod spool;
pub mod syslog;
pub mod tcp_info;
pub mod telemetry;
pub mod tls;
pub mod wire;
