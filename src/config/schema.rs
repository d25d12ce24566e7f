//! The JSON Schema of the configuration file, for editors: made of the structs that read it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::MappingConfig;
use super::compose::Settings;
use crate::azure;
use crate::network;
use crate::sink;
use crate::source;
use crate::spool;
use crate::telemetry::{LogConfig, MetricsConfig};
use crate::tls;
use crate::wire::Wire;
use crate::write_back::endpoint;

/// The schema, of draft 7: what editors for TOML take.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let source = one_of(
        &mut generator,
        &[
            ("advanced_hunting", of::<source::advanced_hunting::Config>),
            ("blob_storage", of::<source::blob_storage::Config>),
            ("defender_api", of::<source::defender_api::Config>),
            ("event_hubs", of::<source::event_hubs::Config>),
            ("file", of::<source::file::Config>),
        ],
    );
    let tls_syslog =
        merged([of::<sink::tls_syslog::Config>(&mut generator), of::<tls::Config>(&mut generator)]);
    let mut destination = merged([of::<Settings>(&mut generator), of::<Wire>(&mut generator)]);
    if let Some(properties) = destination.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("tls_syslog".to_owned(), tls_syslog);
        properties.insert("file".to_owned(), of::<sink::file::Config>(&mut generator));
    }
    let sections = [
        ("spool", of::<spool::Config>(&mut generator)),
        ("mapping", of::<MappingConfig>(&mut generator)),
        ("metrics", of::<MetricsConfig>(&mut generator)),
        ("log", of::<LogConfig>(&mut generator)),
        ("network", of::<network::Config>(&mut generator)),
        ("write_back", of::<endpoint::Config>(&mut generator)),
        ("tenant", each(of::<azure::Config>(&mut generator))),
        ("source", each(source)),
        ("destination", each(destination)),
    ];
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cefgate configuration",
        "type": "object",
        "properties": Map::from_iter(sections.map(|(name, schema)| (name.to_owned(), schema))),
        "required": ["source", "destination"],
        "additionalProperties": false,
        "definitions": generator.take_definitions(true),
    })
}

/// One struct, written out; what it consists of stays in the definitions.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    Schema::to_value(T::json_schema(generator))
}

/// A table of tables, each under the name that an operator gives it.
fn each(schema: Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z0-9_]+$" },
        "additionalProperties": schema,
    })
}

/// A table with exactly one of these.
fn one_of(generator: &mut SchemaGenerator, kinds: &[(&str, fn(&mut SchemaGenerator) -> Value)]) -> Value {
    let properties = kinds.iter().map(|(name, schema)| ((*name).to_owned(), schema(generator)));
    json!({
        "type": "object",
        "properties": Map::from_iter(properties),
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    })
}

/// One table that is read into two structs.
fn merged<const N: usize>(schemas: [Value; N]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for schema in &schemas {
        properties.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    }
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}
