//! The columns of Defender's tables and the properties of its alerts and incidents, as data: what there is to map.
//!
//! The data are `mappings/schema/*.toml`, compiled in. They are no mappings: the layers do not read them.

mod property;

pub use self::property::{Property, Segment, properties};

use std::sync::LazyLock;

use indexmap::IndexMap;
use serde::Deserialize;

use super::embedded;

/// Everything that is known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The wrapper of a streamed row.
    #[serde(default)]
    pub envelope: IndexMap<String, Column>,
    /// Tables by their names.
    #[serde(default, rename = "table")]
    pub tables: IndexMap<String, Table>,
    /// Known values of columns that are texts of a small set, by the column's name.
    #[serde(default)]
    pub values: IndexMap<String, Vec<String>>,
    /// Types of objects by their names.
    #[serde(default, rename = "type")]
    types: IndexMap<String, Type>,
}

/// One table or API resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Whether it is streamed; `None` for what comes from an API.
    pub stream: Option<Stream>,
    /// Known values of `ActionType`.
    #[serde(default)]
    pub actions: Vec<String>,
    columns: Columns,
}

/// How it is known that a table is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// In the list of the documents.
    Documented,
    /// Met in streams, not in that list.
    Observed,
    /// The documents say that it will be.
    Announced,
    /// Neither listed nor met.
    Unknown,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Columns {
    Of(String),
    Own(IndexMap<String, Column>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Type {
    /// The type this is one kind of.
    of: Option<String>,
    /// The member that tells the kind, on a type that has kinds.
    discriminator: Option<String>,
    /// What stands before the kind's name in it.
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    columns: IndexMap<String, Column>,
}

/// One column or property.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Column {
    /// `string`, `datetime`, …, or the name of a type.
    pub kind: String,
    /// Whether it is a list of that.
    pub list: bool,
    /// Where it was met.
    pub known: Known,
    /// Its name on the wire, where that differs.
    pub alias: Option<String>,
}

/// Where a column is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The documents, and as far as can be told the wire.
    Both,
    /// The wire only.
    Wire,
    /// The documents only.
    Documents,
}

impl Schema {
    /// The schema that the program was built with.
    #[must_use]
    pub fn embedded() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
            embedded::schema().iter().fold(Schema::default(), |mut all, text| {
                // A test reads every file, so none can fail here.
                let part: Schema = toml::from_str(text).unwrap_or_default();
                all.envelope.extend(part.envelope);
                all.tables.extend(part.tables);
                all.types.extend(part.types);
                all.values.extend(part.values);
                all
            })
        });
        &SCHEMA
    }

    /// The table of that name, compared without case, with its name as it is written.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<(&str, &Table)> {
        let found = self.tables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(name, table)| (name.as_str(), table))
    }

    /// The columns of a table, not what is in them.
    #[must_use]
    pub fn columns<'s>(&'s self, table: &'s Table) -> &'s IndexMap<String, Column> {
        static NONE: LazyLock<IndexMap<String, Column>> = LazyLock::new(IndexMap::new);
        match &table.columns {
            Columns::Own(columns) => columns,
            Columns::Of(name) => self.types.get(name).map_or(&*NONE, |of| &of.columns),
        }
    }

    /// Whether a name is that of a column or property of any table.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        let tables = self.tables.values().map(|table| self.columns(table));
        let types = self.types.values().map(|of| &of.columns);
        tables.chain(types).any(|columns| {
            columns.iter().any(|(known, column)| known == name || column.alias.as_deref() == Some(name))
        })
    }
}

impl TryFrom<String> for Column {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, note) = text.split_once(',').unwrap_or((&text, ""));
        let list = kind.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let (known, alias) = match note.trim() {
            "" => (Known::Both, None),
            "wire" => (Known::Wire, None),
            "documents" => (Known::Documents, None),
            other => match other.strip_prefix("wire ") {
                Some(alias) => (Known::Both, Some(alias.to_owned())),
                None => return Err(format!("`{other}` says nothing about a column")),
            },
        };
        Ok(Self { kind: list.unwrap_or(kind).to_owned(), list: list.is_some(), known, alias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIMPLE: [&str; 9] =
        ["string", "datetime", "long", "int", "boolean", "real", "guid", "dynamic", "dictionary"];

    #[test]
    fn every_file_is_read_and_names_only_types_that_exist() {
        let files = embedded::schema();
        assert_eq!(files.len(), 4);
        for text in &files {
            toml::from_str::<Schema>(text).unwrap();
        }
        let schema = Schema::embedded();
        let named = schema.types.values().flat_map(|of| &of.columns);
        for (name, column) in schema.tables.values().flat_map(|table| schema.columns(table)).chain(named) {
            let known = SIMPLE.contains(&column.kind.as_str()) || schema.types.contains_key(&column.kind);
            assert!(known, "{name}: {}", column.kind);
        }
        for of in schema.types.values().filter_map(|of| of.of.as_deref()) {
            assert!(schema.types[of].discriminator.is_some(), "{of}");
        }
    }

    #[test]
    fn the_tables_and_their_columns_are_as_many_as_were_written_down() {
        let schema = Schema::embedded();
        let hunting: Vec<&Table> = schema.tables.values().filter(|table| table.stream.is_some()).collect();
        let n_columns: usize = hunting.iter().map(|table| schema.columns(table).len()).sum();
        assert_eq!((hunting.len(), n_columns), (63, 1_591));
        let streamed = [Stream::Documented, Stream::Observed, Stream::Announced]
            .map(|stream| hunting.iter().filter(|table| table.stream == Some(stream)).count());
        assert_eq!(streamed, [21, 9, 1]);
        let kinds = schema.types.values().filter(|of| of.of.as_deref() == Some("alertEvidence"));
        assert_eq!(kinds.count(), 48);
        for table in ["graph.alert", "graph.incident", "mde.alert", "xdr.incident"] {
            assert!(schema.columns(schema.table(table).unwrap().1).len() >= 14, "{table}");
        }
    }

    #[test]
    fn a_column_tells_its_type_and_where_it_was_met() {
        let check = |text: &str, expected: (&str, bool, Known, Option<&str>)| {
            let column = Column::try_from(text.to_owned()).unwrap();
            let told = (column.kind.as_str(), column.list, column.known, column.alias.as_deref());
            assert_eq!(told, expected, "{text}");
        };
        check("string", ("string", false, Known::Both, None));
        check("[mdeEvidence], wire", ("mdeEvidence", true, Known::Wire, None));
        check("long, documents", ("long", false, Known::Documents, None));
        check("string, wire ISP", ("string", false, Known::Both, Some("ISP")));
        assert!(Column::try_from("string, wirr".to_owned()).is_err());
    }
}
