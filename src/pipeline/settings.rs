//! What a profile and a destination say about the wire, as the encoders take it.

use std::collections::HashMap;

use super::{Message, Stamp};
use crate::cef;
use crate::event::{Format, Target};
use crate::leef;
use crate::record::Name;
use crate::syslog::{self, Framer};
use crate::wire::{self, Wire};

/// What a destination's pipeline is made of, beside its mappings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What events look like.
    pub target: Target,
    /// What is put around them.
    pub framer: Framer,
    /// Whether records are mapped at all.
    pub message: Message,
    /// Which time the syslog header shows.
    pub stamp: Stamp,
}

impl Settings {
    /// Settings of one destination. `wire` already lies over its profile; `machine` is the host's own name.
    #[must_use]
    pub fn new(destination: Name, identity: [String; 3], wire: &Wire, machine: &str) -> Self {
        let framer = framer(wire, machine);
        let max_frame_bytes = wire.max_frame_bytes.map_or(DEFAULT_MAX_FRAME_BYTES, |limit| limit.bytes());
        let cef = match wire.cef_version.unwrap_or_default() {
            wire::CefVersion::V0 => cef::Version::V0,
            wire::CefVersion::V1 => cef::Version::V1,
        };
        let format = match wire.format.unwrap_or_default() {
            wire::Format::Leef => Format::Leef(leef_layout(wire)),
            wire::Format::Cef | wire::Format::Json => Format::Cef(cef),
        };
        // The standard's paired keys for readers of CEF:0; LEEF and CEF:1 take both families in one key.
        let ipv6_inline = match wire.ipv6 {
            Some(ipv6) => ipv6 == wire::Ipv6::Inline,
            None => format != Format::Cef(cef::Version::V0),
        };
        let target = Target {
            destination,
            format,
            identity,
            ipv6_inline,
            text_time: wire.time.unwrap_or_default() == wire::TimeForm::TextUtc,
            max_message_bytes: (max_frame_bytes as usize).saturating_sub(framer.overhead()),
            secrets: HashMap::new(),
        };
        let message = match wire.format.unwrap_or_default() {
            wire::Format::Json => Message::Json,
            wire::Format::Cef | wire::Format::Leef => Message::Event,
        };
        let stamp = match wire.timestamp.unwrap_or_default() {
            wire::TimestampSource::Event => Stamp::Event,
            wire::TimestampSource::Sent => Stamp::Sent,
        };
        Self { target, framer, message, stamp }
    }
}

fn leef_layout(wire: &Wire) -> leef::Layout {
    match (wire.leef_version.unwrap_or_default(), wire.delimiter) {
        (wire::LeefVersion::V1, _) => leef::Layout::V1,
        (wire::LeefVersion::V2, Some(delimiter)) => leef::Layout::V2(delimiter),
        (wire::LeefVersion::V2, None) => leef::Layout::V2(leef::Delimiter::TAB),
    }
}

fn framer(wire: &Wire, machine: &str) -> Framer {
    let built_in = syslog::Format::default();
    Framer::new(&syslog::Format {
        header: wire.header.unwrap_or_default(),
        framing: wire.framing.unwrap_or_default(),
        facility: wire.facility.unwrap_or_default(),
        hostname: wire.hostname.as_ref().map_or(machine, |name| name.as_str()).to_owned(),
        app_name: wire.app_name.as_ref().map_or(built_in.app_name.clone(), |name| name.as_str().to_owned()),
        zone: wire.zone.as_ref().map_or(built_in.zone.clone(), |zone| zone.time_zone().clone()),
        ..built_in
    })
}

/// What an RFC 5425 receiver should take (§4.3.1).
const DEFAULT_MAX_FRAME_BYTES: u32 = 8192;
