//! The JSON Schema of mapping files, for editors: completion of keys, and the first half of what `map check` says.
//!
//! It knows shapes and words. What an expression means, which lookup exists and what a patch removes is the checker's.

use serde_json::{Map, Value, json};

use super::vocabulary::{CONDITIONS, COUNTERS, HEADER, TRANSFORMS};
use crate::dictionary::{self, Audience, KEYS, Key};

/// The schema, of draft 7: what editors for TOML take.
#[must_use]
pub fn json_schema() -> Value {
    let parts = parts();
    let mut properties = about();
    properties.extend(body());
    properties.extend(parts.clone());
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cefgate mapping file",
        "type": "object",
        "required": ["schema"],
        "additionalProperties": false,
        "properties": properties,
        "definitions": {
            "expression": expression(),
            "expressions": {
                "description": "One expression or several.",
                "oneOf": [reference("expression"), array(reference("expression"))],
            },
            "condition": condition(),
            "form": form(false),
            "labelled": form(true),
            "scalar": { "type": ["string", "number", "boolean"] },
            "overlay": overlay(&parts),
            "rule": rule(),
            "fanout": fanout(&parts),
            "test": test(),
        },
    })
}

/// What a file says about itself.
fn about() -> Map<String, Value> {
    object([
        ("schema", json!({ "const": 1, "description": "Version of this file format." })),
        (
            "kind",
            json!({
                "enum": ["mapping", "fragment", "patch"],
                "description": "Shipped files are mappings unless they say otherwise, files of a site are patches.",
            }),
        ),
        (
            "id",
            json!({
                "type": "string", "pattern": "^[A-Za-z0-9._-]+$",
                "description": "A stable name: metrics, logs and patches use it. Of a patch: what it changes.",
            }),
        ),
        ("version", text("Semantic version of the content.")),
        ("title", text("One line that says which records these are.")),
        (
            "retires",
            json!({
                "type": "object",
                "description": "The source of these records will be switched off.",
                "properties": { "date": text("The day, `2027-02-01`."), "note": text("What ends, and what to use instead.") },
                "required": ["date", "note"],
                "additionalProperties": false,
            }),
        ),
        (
            "include",
            described(
                array(json!({ "type": "string" })),
                "Fragments, laid under this file from left to right.",
            ),
        ),
        ("base_version", text("Of a patch: the versions it is written for, `^1.0`. Others give a warning.")),
    ])
}

/// The sections that stand once in a file.
fn body() -> Map<String, Value> {
    object([
        (
            "match",
            json!({
                "type": "object",
                "description": "Which records this file takes.",
                "properties": {
                    "table": text("The advanced hunting table or API resource, without case."),
                    "when": reference("condition"),
                    "priority": { "type": "integer", "description": "Of several files for a table the highest is asked first." },
                },
                "required": ["table"],
                "additionalProperties": false,
            }),
        ),
        (
            "record",
            json!({
                "type": "object",
                "properties": {
                    "root": text("Where bare paths begin: `properties` for rows of the Streaming API."),
                    "json_columns": described(array(json!({ "type": "string" })), "String columns that hold JSON."),
                },
                "additionalProperties": false,
            }),
        ),
        (
            "vars",
            json!({
                "type": "object",
                "description": "Named expressions, used as `$name`.",
                "additionalProperties": { "oneOf": [reference("expression"), { "const": false }] },
            }),
        ),
        (
            "lookup",
            json!({
                "type": "object",
                "description": "Tables of values for `lookup` and `lookup_prefix`. `\"*\"` is anything else.",
                "additionalProperties": { "type": "object" },
            }),
        ),
        (
            "overlay",
            described(
                array(reference("overlay")),
                "What is different while a condition holds; later ones win.",
            ),
        ),
        (
            "rule",
            described(
                array(reference("rule")),
                "What is not sent, or sent elsewhere. The first that holds decides.",
            ),
        ),
        (
            "dedupe",
            json!({
                "description": "Records that repeat within a time are sent once.",
                "oneOf": [{ "const": false }, {
                    "type": "object",
                    "properties": {
                        "enabled": { "type": "boolean" },
                        "key": reference("expressions"),
                        "window": text("A duration: `24h`."),
                        "max_keys": { "type": "integer", "minimum": 1 },
                    },
                    "additionalProperties": false,
                }],
            }),
        ),
        ("fanout", json!({ "oneOf": [{ "const": false }, reference("fanout")] })),
        (
            "limits",
            json!({
                "type": "object",
                "properties": {
                    "shed": described(array(json!({ "type": "string" })), "Keys to leave out first when an event is too long."),
                },
                "additionalProperties": false,
            }),
        ),
        (
            "ignore",
            json!({
                "type": "object",
                "description": "Columns that are left out on purpose, each with the reason.",
                "additionalProperties": { "oneOf": [{ "type": "string" }, { "const": false }] },
            }),
        ),
        ("test", array(reference("test"))),
    ])
}

/// What a file, an overlay and the fan-out set alike.
fn parts() -> Map<String, Value> {
    let header = HEADER.map(|name| (name, removable(reference("form"))));
    let written =
        KEYS.iter().filter(|key| key.audience != Audience::Consumer && !dictionary::is_label(key.name));
    let extension = Map::from_iter(written.map(|key| (key.name.to_owned(), removable(extension_key(key)))));
    object([
        (
            "header",
            json!({
                "type": "object", "properties": object(header), "additionalProperties": false,
            }),
        ),
        (
            "extension",
            json!({
                "type": "object",
                "description": "CEF keys. The dictionary's type decides how a value is converted.",
                "properties": extension,
                "additionalProperties": false,
            }),
        ),
        (
            "extension_custom",
            json!({
                "type": "object",
                "description": "Keys that are in no dictionary, on purpose.",
                "additionalProperties": removable(reference("form")),
            }),
        ),
        (
            "leef",
            json!({
                "type": "object",
                "properties": {
                    "event_id": reference("form"),
                    "delimiter": text("Of LEEF 2.0: one character, or `0x` and hexadecimal digits."),
                    "extension": {
                        "type": "object",
                        "description": "Attributes that are not what the CEF keys give. `@key` is a finished CEF value.",
                        "additionalProperties": removable(reference("form")),
                    },
                },
                "additionalProperties": false,
            }),
        ),
    ])
}

fn extension_key(key: &Key) -> Value {
    let form = if dictionary::label_of(key.name).is_some() { "labelled" } else { "form" };
    let limit = key.max.map(|max| format!(", at most {max} characters")).unwrap_or_default();
    // Beside `$ref` nothing is read in draft 7.
    json!({ "allOf": [reference(form)], "description": format!("{} ({:?}{limit})", key.full_name, key.kind) })
}

fn expression() -> Value {
    let transforms: Vec<&str> = TRANSFORMS.iter().map(|spec| spec.name).collect();
    let counters: Vec<String> = COUNTERS.iter().map(|name| format!("#{name}")).collect();
    json!({
        "type": "string",
        "minLength": 1,
        "description": format!(
            "A path and transforms: `DeviceName | before('.') | lower`. Paths: `a.b`, `list[0]`, `list[key == 'v']`, \
             `list[*].x`; `^` is the envelope, `$` a variable. Counters: {}. Transforms: {}.",
            counters.join(", "),
            transforms.join(", ")
        ),
    })
}

fn condition() -> Value {
    let functions: Vec<&str> = CONDITIONS.iter().map(|spec| spec.name).collect();
    json!({
        "type": "string",
        "minLength": 1,
        "description": format!(
            "`==`, `===` (with case), `!=`, `<`, `in [...]`, `not in`, and, or, not, brackets, and {}.",
            functions.join(", ")
        ),
    })
}

/// A value form. Custom fields have a label and are then always written out.
fn form(labelled: bool) -> Value {
    let mut properties = object([
        ("from", reference("expressions")),
        ("const", reference("scalar")),
        ("template", text("Text with holes: `{a}/{b | lower}`. `{{` is a brace.")),
        ("hash", described(reference("expressions"), "The first value that is a SHA-256, SHA-1 or MD5.")),
        ("missing", json!({ "enum": ["skip", "empty"], "description": "What a hole without a value does." })),
        ("label", json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]*$" })),
        (
            "max",
            json!({ "type": "integer", "minimum": 1, "description": "Characters, below the key's own limit." }),
        ),
        ("overflow", json!({ "enum": ["cut", "drop"] })),
        (
            "on_error",
            json!({ "enum": ["skip", "text", "reject"], "description": "What a value of the wrong type does." }),
        ),
        ("when", reference("condition")),
        (
            "digest",
            json!({ "type": "integer", "minimum": 1, "maximum": 64, "description": "This many hexadecimal digits of its SHA-256 instead of the value." }),
        ),
    ]);
    if !labelled {
        properties.remove("label");
    }
    // A list takes expressions and forms alike.
    let alternatives = array(json!({ "oneOf": [reference("expression"), { "type": "object" }] }));
    if let Some(from) = properties.get_mut("from") {
        *from = json!({ "oneOf": [reference("expression"), alternatives.clone()] });
    }
    let one_origin = ["from", "const", "template", "hash"].map(|origin| json!({ "required": [origin] }));
    let mut written = json!({
        "type": "object", "properties": properties, "additionalProperties": false, "oneOf": one_origin,
    });
    if labelled {
        written["required"] = json!(["label"]);
        return written;
    }
    json!({ "oneOf": [reference("expression"), alternatives, written] })
}

fn overlay(parts: &Map<String, Value>) -> Value {
    let mut properties =
        object([("when", reference("condition")), ("enabled", json!({ "type": "boolean" }))]);
    properties.extend(parts.clone());
    json!({ "type": "object", "properties": properties, "required": ["when"], "additionalProperties": false })
}

fn fanout(parts: &Map<String, Value>) -> Value {
    let mut properties = object([
        ("enabled", json!({ "type": "boolean" })),
        ("each", described(reference("expression"), "The list: one event for each element.")),
        ("as", text("The word for an element; `item` unless set.")),
        ("max", json!({ "type": "integer", "minimum": 1 })),
        (
            "on_empty",
            json!({ "enum": ["one", "none"], "description": "How many events an empty list gives." }),
        ),
    ]);
    properties.extend(parts.clone());
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn rule() -> Value {
    json!({
        "type": "object",
        "properties": {
            "when": reference("condition"),
            "action": { "enum": ["drop", "keep", "sample", "tag", "route"] },
            "reason": text("Counted under this word."),
            "before": { "type": "boolean", "description": "Ahead of the rules that are shipped." },
            "enabled": { "type": "boolean" },
            "keep": { "type": "number", "minimum": 0, "maximum": 1, "description": "The share that a sample keeps." },
            "key": reference("expressions"),
            "tag": text("The word that is added to `#tags`."),
            "route": described(array(json!({ "type": "string" })), "The destinations that get it."),
        },
        "required": ["when", "action", "reason"],
        "additionalProperties": false,
    })
}

fn test() -> Value {
    let values = |absent: bool| {
        let mut properties = Map::new();
        if absent {
            properties.insert("absent".to_owned(), array(json!({ "type": "string" })));
        }
        json!({ "type": "object", "properties": properties, "additionalProperties": reference("scalar") })
    };
    json!({
        "type": "object",
        "properties": {
            "name": text("What it promises."),
            "table": text("The record's table, where it is not the file's."),
            "input": text("The record, as JSON."),
            "input_file": text("A file with it, below the mappings directory."),
            "events": { "type": "integer", "minimum": 0 },
            "dropped_by": text("The reason of the rule that leaves it out."),
            "enabled": { "type": "boolean" },
            "expect": {
                "type": "object",
                "properties": { "header": values(false), "extension": values(true), "leef": values(true) },
                "additionalProperties": false,
            },
        },
        "required": ["name"],
        "additionalProperties": false,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn removable(form: Value) -> Value {
    json!({ "oneOf": [form, { "const": false }] })
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn described(schema: Value, description: &str) -> Value {
    json!({ "allOf": [schema], "description": description })
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    Map::from_iter(entries.map(|(name, schema)| (name.to_owned(), schema)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::file::{FANOUT_KEYS, FORM_KEYS, SECTIONS};

    fn names(schema: &Value) -> Vec<&str> {
        let mut names: Vec<&str> =
            schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn sorted<'a>(words: &[&'a str]) -> Vec<&'a str> {
        let mut words = words.to_vec();
        words.sort_unstable();
        words
    }

    #[test]
    fn it_has_the_words_that_a_file_is_read_with() {
        let schema = json_schema();
        assert_eq!(names(&schema), sorted(&SECTIONS));
        let definitions = &schema["definitions"];
        assert_eq!(names(&definitions["fanout"]), sorted(&FANOUT_KEYS));
        assert_eq!(names(&definitions["labelled"]), sorted(&FORM_KEYS));
    }
}
