//! `cefgate map schema`: the JSON Schema of mapping files.

use crate::cli::out;
use crate::mapping::json_schema::json_schema;

/// Prints it.
pub fn run() -> anyhow::Result<()> {
    out::print(&(serde_json::to_string_pretty(&json_schema())? + "\n"))
}
