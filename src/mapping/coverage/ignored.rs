//! The entries of `[ignore]`: a column, a member, or a member of elements of one kind, and all that is beneath.

use super::{ODATA, is_named};
use crate::mapping::ast::{Mapping, Span};
use crate::mapping::schema::{Property, Schema};

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As it is written.
    pub name: String,
    pub reason: String,
    pub span: Span,
    envelope: bool,
    /// Members with the kind of elements they belong to.
    segments: Vec<(String, Option<String>)>,
}

/// The entries of a mapping, those of its fragments among them.
pub(super) fn entries(mapping: &Mapping) -> Vec<Entry> {
    let entry = |(name, reason): (&String, &crate::mapping::ast::Spanned<String>)| {
        let (envelope, rest) = match name.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        Entry {
            name: name.clone(),
            reason: reason.value.clone(),
            span: reason.span.clone(),
            envelope,
            segments: segments(rest),
        }
    };
    mapping.ignore.iter().map(entry).collect()
}

impl Entry {
    /// Whether it names the property or something above it.
    pub fn covers(&self, property: &Property) -> bool {
        !self.envelope && self.segments.len() <= property.segments.len() && self.leads_to(property)
    }

    fn leads_to(&self, property: &Property) -> bool {
        self.segments
            .iter()
            .zip(&property.segments)
            .all(|((name, kind), segment)| is_named(segment, name) && (kind.is_none() || *kind == segment.of))
    }

    /// Whether there is such a thing.
    pub fn is_known(&self, schema: &Schema, known: &[Property]) -> bool {
        match self.segments.first() {
            Some((name, _)) if self.envelope => schema.envelope.contains_key(name),
            _ if self.segments.iter().any(|(name, _)| name.starts_with(ODATA)) => true,
            _ => known.iter().any(|property| self.leads_to(property)),
        }
    }

    /// The members on the way to it; `None` for the wrapper's.
    pub fn names(&self) -> Option<Vec<String>> {
        (!self.envelope).then(|| self.segments.iter().map(|(name, _)| name.clone()).collect())
    }

    /// The last member it names.
    pub fn last(&self) -> &str {
        self.segments.last().map_or("", |(name, _)| name)
    }
}

/// `evidence[deviceEvidence].vmMetadata`; names that begin with `@` keep their dot.
fn segments(text: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let skip = if rest.starts_with(ODATA) { ODATA.len() } else { 0 };
        let end = rest[skip..].find(['.', '[']).map_or(rest.len(), |at| skip + at);
        let name = rest[..end].trim_matches('"').to_owned();
        rest = &rest[end..];
        let mut kind = None;
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').unwrap_or(inner.len());
            kind = Some(inner[..end].to_owned());
            rest = inner.get(end + 1..).unwrap_or_default();
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        found.push((name, kind));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_apart_into_members_and_kinds() {
        let check = |text: &str, expected: &[(&str, Option<&str>)]| {
            let found = segments(text);
            let found: Vec<(&str, Option<&str>)> =
                found.iter().map(|(name, kind)| (name.as_str(), kind.as_deref())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("DeviceName", &[("DeviceName", None)]);
        check("alerts.devices.osBuild", &[("alerts", None), ("devices", None), ("osBuild", None)]);
        check(
            "evidence[deviceEvidence].vmMetadata",
            &[("evidence", Some("deviceEvidence")), ("vmMetadata", None)],
        );
        check("evidence[*].tags", &[("evidence", Some("*")), ("tags", None)]);
        check("evidence[fileEvidence]", &[("evidence", Some("fileEvidence"))]);
        check("@odata.type", &[("@odata.type", None)]);
        check("evidence.@odata.type", &[("evidence", None), ("@odata.type", None)]);
        check("a[", &[("a", Some(""))]);
    }
}
