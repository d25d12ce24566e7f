//! cefgate: Microsoft Defender records in, CEF or LEEF over TLS syslog out, nothing lost.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod json;
pub mod mapping;
pub mod oversized;
pub mod record;
pub mod source;
