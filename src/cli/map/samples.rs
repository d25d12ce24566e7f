//! Files with sample records, taken apart as a source would.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;

use crate::record::Table;
use crate::source::envelope::Envelope;

/// The records of a file, `-` for standard input, with their tables.
pub fn read(file: &Path, table: Option<&str>) -> anyhow::Result<Vec<(Table, Bytes)>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    } else {
        bytes = fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
    }
    let mut records = Vec::new();
    Envelope::new(table.map(Table::new), MAX_RECORD_BYTES).split(&Bytes::from(bytes), &mut records);
    Ok(records)
}

/// What a person hands over is taken whole.
const MAX_RECORD_BYTES: usize = 64 << 20;
