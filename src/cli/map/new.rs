//! `cefgate map new`: a first mapping file for a table.

use std::path::PathBuf;

use anyhow::bail;
use serde_json::Value;

use super::samples;
use crate::cli::out;
use crate::mapping::layer::Merged;
use crate::mapping::schema::Schema;
use crate::mapping::starter::{Known, columns, starter};

/// Which table.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The table: `DeviceEvents`, `graph.alert`, or one that is new.
    table: String,
    /// Files with records as Defender gives them: their columns, and the first record as a test.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    samples: Vec<PathBuf>,
}

/// Prints it: send it to a file in the site's directory and go on from there.
pub fn run(args: &Args, merged: &Merged) -> anyhow::Result<()> {
    let schema = Schema::embedded();
    let stream = schema.table(&args.table).and_then(|(_, table)| table.stream);
    let mut known =
        Known { columns: columns(schema, &args.table), enveloped: stream.is_some(), sample: None };
    for file in &args.samples {
        for (table, body) in samples::read(file, Some(&args.table))? {
            if !table.0.eq_ignore_ascii_case(&args.table) {
                continue;
            }
            let Ok(record) = serde_json::from_slice::<Value>(&body) else { continue };
            let row = record.get(PROPERTIES).filter(|row| row.is_object());
            known.enveloped = row.is_some();
            for (column, value) in row.unwrap_or(&record).as_object().into_iter().flatten() {
                known.columns.entry(column.clone()).or_insert_with(|| kind(value).to_owned());
            }
            known.sample.get_or_insert_with(|| serde_json::to_string(&record).unwrap_or_default());
        }
    }
    if known.columns.is_empty() {
        bail!("no schema has the table `{}`: give records of it with --samples", args.table);
    }
    out::print(&starter(&args.table, &known, &merged.mappings))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "unknown",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The member of the envelope that holds the row.
const PROPERTIES: &str = "properties";
