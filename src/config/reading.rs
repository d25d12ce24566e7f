//! Reads a Rust value out of the tree: a serde deserializer whose failures keep path and kind apart.
//!
//! It accepts what the environment can express (numbers, truth values and comma-separated lists as text) and refuses
//! plain text for secrets in the file. It stops at the first failure; `section` makes it go on.

use std::fmt;

use indexmap::IndexMap;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::fault::nearest;
use super::tree::{Node, Origin, Value};
use crate::secret::Secret;

/// Reads one value.
#[derive(Clone, Copy)]
pub struct Reading<'n>(pub &'n Node);

/// Why a value could not be read, and which.
#[derive(Debug)]
pub struct Failure {
    /// Keys from the section to the value.
    pub path: Vec<String>,
    /// What is wrong with it.
    pub kind: FailureKind,
}

/// The failures that are told apart.
#[derive(Debug)]
pub enum FailureKind {
    /// No such key; the ones there are.
    Unknown(String, &'static [&'static str]),
    /// A key that has no default is not there.
    Missing(&'static str),
    /// Anything else, said in words.
    Wrong(String),
}

/// The keys of a struct; none for anything else.
#[must_use]
pub fn field_names<'de, T: de::Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(FieldNames) {
        Err(Failure { kind: FailureKind::Unknown(_, fields), .. }) => fields,
        _ => &[],
    }
}

/// Fails with the names of the fields it is asked for.
struct FieldNames;

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Failure> {
        Err(de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Failure> {
        Err(Failure::new(FailureKind::Unknown(String::new(), fields)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// How often a hole may try another stand-in.
pub const STAND_INS: usize = STAND_IN_TEXTS.len();

impl<'de> Reading<'de> {
    fn wrong_type<V: Visitor<'de>>(self, visitor: &V) -> Failure {
        de::Error::invalid_type(unexpected(&self.0.value), visitor)
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Value::Text(text) => match (text.trim().parse::<u64>(), text.trim().parse::<i64>()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => Err(self.wrong_type(&visitor)),
            },
            Value::Hole(_) => visitor.visit_u64(1),
            _ => Err(self.wrong_type(&visitor)),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Hole(attempt) => visitor.visit_str(STAND_IN_TEXTS.get(*attempt).unwrap_or(&"")),
            _ => Err(self.wrong_type(&visitor)),
        }
    }
}

impl<'de> Deserializer<'de> for Reading<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Text(_) | Value::Hole(_) => self.text(visitor),
            Value::Integer(_) => self.integer(visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.iter(), value: None }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Text(text) if text == "true" => visitor.visit_bool(true),
            Value::Text(text) if text == "false" => visitor.visit_bool(false),
            Value::Hole(_) => visitor.visit_bool(false),
            _ => Err(self.wrong_type(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => match text.trim().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(self.wrong_type(&visitor)),
            },
            _ => self.integer(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Hole(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == Secret::MARKER
            && !matches!(self.0.value, Value::Table(_) | Value::Hole(_))
            && matches!(self.0.origin, Origin::Line(_))
        {
            return Err(de::Error::custom(
                "a secret does not stand in the configuration file: write `{ file = \"/path\" }` or \
                 `{ credential = \"name\" }`, or set it in the environment",
            ));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Text(text) if self.0.origin == Origin::Environment => {
                let items: Vec<Node> = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Node { value: Value::Text(item.to_owned()), origin: Origin::Environment })
                    .collect();
                visitor.visit_seq(OwnedItems { items: items.into_iter() })
            }
            Value::Hole(_) => visitor.visit_seq(Items { items: [].iter().enumerate() }),
            _ => Err(self.wrong_type(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Value::Table(table) => visitor.visit_map(Entries { entries: table.iter(), value: None }),
            _ => Err(self.wrong_type(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let word = match &self.0.value {
            Value::Text(text) => text.as_str(),
            Value::Hole(_) => variants.first().copied().unwrap_or_default(),
            _ => return Err(de::Error::invalid_type(unexpected(&self.0.value), &OneOf(variants))),
        };
        let word: StrDeserializer<'_, Failure> = word.into_deserializer();
        visitor.visit_enum(word)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.integer(visitor)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.text(visitor)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.text(visitor)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.text(visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Entries<'n> {
    entries: indexmap::map::Iter<'n, String, Node>,
    value: Option<(&'n str, &'n Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, node));
        let key: StrDeserializer<'_, Failure> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let (key, node) = self.value.take().expect("serde asks for a value only after its key");
        seed.deserialize(Reading(node)).map_err(|failure| failure.within(key))
    }
}

struct Items<'n> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reading(node)).map(Some).map_err(|failure| failure.within(&format!("[{index}]")))
    }
}

/// The items of a list the environment gave as one text; they live no longer than the reading.
struct OwnedItems {
    items: std::vec::IntoIter<Node>,
}

impl<'de> de::SeqAccess<'de> for OwnedItems {
    type Error = Failure;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some(Node { value: Value::Text(text), .. }) = self.items.next() else { return Ok(None) };
        seed.deserialize(de::value::StringDeserializer::new(text)).map(Some)
    }
}

impl Failure {
    fn within(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }

    fn new(kind: FailureKind) -> Self {
        Self { path: Vec::new(), kind }
    }
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let mut message = message.to_string();
        if message == "invalid socket address syntax" {
            message = "expected an address and a port such as `127.0.0.1:9464`".to_owned();
        }
        // A struct with a flattened part says only this much about a key it does not know.
        match message.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`')) {
            Some(field) => Self::new(FailureKind::Unknown(field.to_owned(), &[])),
            None => Self::new(FailureKind::Wrong(message)),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = expected.to_string();
        let expected = match PLAIN_WORDS.iter().find(|(word, _)| *word == expected) {
            Some((_, plain)) => plain,
            None if expected.starts_with("struct ") => "a table",
            None => expected.as_str(),
        };
        Self::custom(format_args!("expected {expected}, found {unexpected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let meant = nearest(variant, expected.iter().copied());
        let meant = meant.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        Self::custom(format_args!("`{variant}` is not {}{meant}", OneOf(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(FailureKind::Unknown(field.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(FailureKind::Missing(field))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Unknown(field, _) => write!(out, "unknown key `{field}`"),
            FailureKind::Missing(field) => write!(out, "missing key `{field}`"),
            FailureKind::Wrong(message) => out.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Text(text) => Unexpected::Str(text),
        Value::Integer(number) => Unexpected::Signed(*number),
        Value::Float(number) => Unexpected::Float(*number),
        Value::Boolean(value) => Unexpected::Bool(*value),
        Value::List(_) => Unexpected::Other("a list"),
        Value::Table(_) => Unexpected::Other("a table"),
        Value::Hole(_) => Unexpected::Unit,
    }
}

/// The words one may choose from.
struct OneOf(&'static [&'static str]);

impl fmt::Display for OneOf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("one of ")?;
        for (index, word) in self.0.iter().enumerate() {
            write!(out, "{}`{word}`", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl de::Expected for OneOf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Texts that the newtypes of this program accept: names, addresses, durations, paths, numbers.
const STAND_IN_TEXTS: &[&str] = &["x", "127.0.0.1:1", "1s", "/", "1", "UTC", "sha-256:00", ""];

/// What serde calls a type, and what a person calls it.
const PLAIN_WORDS: &[(&str, &str)] = &[
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("a boolean", "`true` or `false`"),
    ("a string", "a text"),
    ("path string", "a path"),
    ("a sequence", "a list"),
];

/// Keys of a table in the order they are read; used by `section` to edit it.
pub type Table = IndexMap<String, Node>;
