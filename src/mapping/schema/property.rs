//! The properties of a table, from its columns down to the last member: one line for each thing that can be mapped.
//!
//! Objects are followed into their members. Of a list whose elements have kinds, as the evidence of a Graph alert,
//! the members of each kind are properties of their own. Not followed: a kind inside another kind (a device inside a
//! logon session), and a list with kinds inside another list: those are one property each.

use super::{Column, Columns, Schema, Table, Type};
use indexmap::IndexMap;

/// One property of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// From the column to the member.
    pub segments: Vec<Segment>,
    /// Its type, as the schema writes it.
    pub kind: String,
}

/// One step of a property's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The member.
    pub name: String,
    /// Its other name, on the wire.
    pub alias: Option<String>,
    /// Of a list with kinds: which kind of element the rest belongs to, `*` for all.
    pub of: Option<String>,
}

impl Property {
    /// The way `[ignore]` writes it: `evidence[deviceEvidence].vmMetadata.vmId`.
    #[must_use]
    pub fn name(&self) -> String {
        let segments = self.segments.iter().map(|segment| match &segment.of {
            Some(of) => format!("{}[{of}]", segment.name),
            None => segment.name.clone(),
        });
        segments.collect::<Vec<_>>().join(".")
    }
}

/// Every property of a table, in the order of the schema.
#[must_use]
pub fn properties(schema: &Schema, table: &Table) -> Vec<Property> {
    let mut walk = Walk { schema, found: Vec::new(), types: Vec::new() };
    if let Columns::Of(name) = &table.columns {
        walk.types.push(name);
    }
    walk.columns(schema.columns(table), &[]);
    walk.found
}

impl Schema {
    /// The member that tells the kind of the elements of a column, and what stands before the kind there.
    #[must_use]
    pub fn discriminator(&self, kind: &str) -> Option<(&str, &str)> {
        let of = self.types.get(kind)?;
        Some((of.discriminator.as_deref()?, &of.prefix))
    }

    /// The kinds of a type that has some.
    pub fn kinds<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s str> {
        self.types.iter().filter(move |(_, of)| of.of.as_deref() == Some(kind)).map(|(name, _)| name.as_str())
    }

    pub(super) fn of(&self, kind: &str) -> Option<&Type> {
        self.types.get(kind)
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    found: Vec<Property>,
    /// The types that are being followed: a type inside itself is not followed again.
    types: Vec<&'s str>,
}

impl<'s> Walk<'s> {
    fn columns(&mut self, columns: &'s IndexMap<String, Column>, above: &[Segment]) {
        for (name, column) in columns {
            let mut place = above.to_vec();
            place.push(Segment { name: name.clone(), alias: column.alias.clone(), of: None });
            match self.schema.of(&column.kind) {
                Some(of) if of.discriminator.is_some() && !self.types.contains(&column.kind.as_str()) => {
                    self.types.push(&column.kind);
                    self.kinds(&column.kind, of, &place);
                    self.types.pop();
                }
                Some(of) if self.is_followed(&column.kind, of) => {
                    self.types.push(&column.kind);
                    self.columns(&of.columns, &place);
                    self.types.pop();
                }
                _ => {
                    let kind = if column.list { format!("[{}]", column.kind) } else { column.kind.clone() };
                    self.found.push(Property { segments: place, kind });
                }
            }
        }
    }

    fn kinds(&mut self, name: &'s str, of: &'s Type, place: &[Segment]) {
        let all = [("*", of)];
        let schema = self.schema;
        let each = schema.kinds(name).filter_map(|kind| Some((kind, schema.of(kind)?)));
        for (kind, of) in all.into_iter().chain(each) {
            let mut place = place.to_vec();
            if let Some(last) = place.last_mut() {
                last.of = Some(kind.to_owned());
            }
            self.types.push(kind);
            self.columns(&of.columns, &place);
            self.types.pop();
        }
    }

    fn is_followed(&self, kind: &str, of: &Type) -> bool {
        of.discriminator.is_none() && !self.types.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(table: &str) -> Vec<String> {
        let schema = Schema::embedded();
        let (_, table) = schema.table(table).unwrap();
        properties(schema, table).iter().map(Property::name).collect()
    }

    #[test]
    fn properties_reach_down_to_the_last_member_of_each_kind() {
        let alert = names("graph.alert");
        for name in [
            "title",
            "comments.createdByDisplayName",
            "additionalData",
            "evidence[*].createdDateTime",
            "evidence[deviceEvidence].vmMetadata.vmId",
            "evidence[processEvidence].imageFile.sha256Ac",
            "evidence[userEvidence].userAccount.resourceAccessEvents.ipAddress",
            "evidence[activeDirectoryDomainEvidence].trustedDomains",
            "evidence[cloudLogonSessionEvidence].account.userAccount.userSid",
            "evidence[kubernetesClusterEvidence].cloudResource",
        ] {
            assert!(alert.iter().any(|known| known == name), "{name}");
        }
        let incident = names("graph.incident");
        assert!(incident.contains(&"alerts.evidence[ipEvidence].ipAddress".to_owned()), "{incident:?}");
        let xdr = names("xdr.incident");
        assert!(xdr.contains(&"alerts.devices.osBuild".to_owned()), "{xdr:?}");
        assert!(xdr.contains(&"alerts.entities.registryValue".to_owned()), "{xdr:?}");
    }
}
