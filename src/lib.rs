//! cefgate: Microsoft Defender records in, CEF or LEEF over TLS syslog out, nothing lost.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod backoff;
pub mod certs;
pub mod mapping;
pub mod record;
pub mod sink;
pub mod tcp_info;
pub mod tls;
