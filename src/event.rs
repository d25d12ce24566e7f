//! The closed set of event formats, and what a destination wants of them.
//!
//! CEF keys are the vocabulary of mappings; [`Format`] is where CEF and LEEF part ways. It writes bytes and knows
//! nothing of records.

use std::collections::HashMap;

use crate::cef::{self, Written};
use crate::leef;
use crate::record::{Name, Timestamp};
use crate::secret::SecretText;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Common Event Format.
    Cef(cef::Version),
    /// Log Event Extended Format.
    Leef(leef::Layout),
}

/// What one destination wants of its events.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its configured name: rules may route by it.
    pub destination: Name,
    /// Format of the message.
    pub format: Format,
    /// Device vendor, product and version, unless a mapping sets its own.
    pub identity: [String; 3],
    /// Write IPv6 into `src`, `dst`, `dvc` rather than into the paired `c6a` key.
    pub ipv6_inline: bool,
    /// Write times as text (`Nov 07 2022 17:07:42`) rather than as milliseconds.
    pub text_time: bool,
    /// Bound on a message in bytes, without the syslog header.
    pub max_message_bytes: usize,
    /// Keys of the `hmac` transform, by name.
    pub secrets: HashMap<String, SecretText>,
}

/// A finished event.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'m> {
    /// The CEF or LEEF message.
    pub message: &'m [u8],
    /// 0 to 10.
    pub severity: u8,
    /// The event's own time, where it has one.
    pub time: Option<Timestamp>,
}

impl Format {
    /// Starts a message: everything up to the first key.
    pub fn header(self, out: &mut Vec<u8>, identity: [&str; 3], class_id: &str, name: &str, severity: u8) {
        let [vendor, product, version] = identity;
        match self {
            Self::Cef(cef) => cef::write_header(
                out,
                &cef::Header {
                    version: cef,
                    vendor,
                    product,
                    device_version: version,
                    class_id,
                    name,
                    severity,
                },
            ),
            Self::Leef(layout) => leef::write_header(
                out,
                layout,
                &leef::Header { vendor, product, device_version: version, event_id: class_id },
            ),
        }
    }

    /// What stands between two pairs.
    #[must_use]
    pub fn separator(self) -> u8 {
        match self {
            Self::Cef(_) => b' ',
            Self::Leef(layout) => layout.delimiter().byte(),
        }
    }

    /// Writes a value, escaped and cut as the format demands.
    pub fn value(self, out: &mut Vec<u8>, text: &str, max: Option<u32>) -> Written {
        match self {
            Self::Cef(_) => cef::write_value(out, text, max),
            Self::Leef(layout) => leef::write_value(out, text, max, layout.delimiter().byte()),
        }
    }
}
