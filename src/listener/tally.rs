//! What came, counted: by kind of event and by broken rule.

use std::collections::BTreeMap;
use std::fmt;

use super::{Arrival, Body, End, What};

/// Counts of everything that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages, whatever they held.
    pub messages: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that ended cleanly.
    pub clean: u64,
    /// Connections that ended in another way.
    pub broken: u64,
    /// Events by vendor, product and class id; what is no event stands under three dashes.
    pub kinds: BTreeMap<[String; 3], u64>,
    /// Broken rules and passed-over parts of the stream, by their text.
    pub violations: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one arrival.
    pub fn count(&mut self, arrival: &Arrival) {
        match &arrival.what {
            What::Opened => self.opened += 1,
            What::Closed(End::Clean) => self.clean += 1,
            What::Closed(_) => self.broken += 1,
            What::Skipped(fault) => *self.violations.entry(fault.to_string()).or_default() += 1,
            What::Message(message) => {
                self.messages += 1;
                let kind = match &message.body {
                    Body::Cef(event) => [&event.vendor, &event.product, &event.class_id].map(String::clone),
                    Body::Leef(event) => [&event.vendor, &event.product, &event.event_id].map(String::clone),
                    Body::Other(_) => ["-", "-", "-"].map(str::to_owned),
                };
                *self.kinds.entry(kind).or_default() += 1;
                for violation in &message.violations {
                    *self.violations.entry(violation.clone()).or_default() += 1;
                }
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, opened, clean, broken, .. } = self;
        writeln!(
            out,
            "{messages} messages, {opened} connections ({clean} ended cleanly, {broken} otherwise)"
        )?;
        for ([vendor, product, class_id], count) in &self.kinds {
            writeln!(out, "{count:>9}  {vendor} | {product} | {class_id}")?;
        }
        if self.violations.is_empty() {
            return write!(out, "no broken rules");
        }
        write!(out, "broken rules:")?;
        self.violations.iter().try_for_each(|(violation, count)| write!(out, "\n{count:>9}  {violation}"))
    }
}
