//! `cefgate map coverage`: what becomes of every column and property that Defender's tables have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{place, samples};
use crate::cli::out;
use crate::mapping::ast::Sources;
use crate::mapping::coverage::{Coverage, Line, State, Totals};
use crate::mapping::layer::Merged;
use crate::mapping::schema::Schema;

/// Which table, and what to hold against it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// This table only, with every column: `DeviceEvents`, `graph.alert`.
    table: Option<String>,
    /// Files with records as Defender gives them: what they hold and nobody knows is shown too.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    samples: Vec<PathBuf>,
    /// The table of the records in them, when they do not tell it themselves.
    #[arg(long, value_name = "TABLE", requires = "samples")]
    samples_table: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// End with an error when something is neither mapped nor ignored, or is unknown.
    #[arg(long)]
    strict: bool,
}

/// Prints a line for each table, or for each column of one.
pub fn run(args: &Args, merged: &Merged) -> anyhow::Result<()> {
    let schema = Schema::embedded();
    let mut tables = match &args.table {
        None => Coverage::all(schema, &merged.mappings),
        Some(name) => {
            let (name, table) = schema.table(name).with_context(|| {
                let known: Vec<&str> = schema.tables.keys().map(String::as_str).collect();
                format!("the schema has no table `{name}`; it has `{}`", known.join("`, `"))
            })?;
            vec![Coverage::of(schema, name, table, &merged.mappings)]
        }
    };
    let unknown = unknown(args, &tables)?;
    if args.table.is_none() && !unknown.is_empty() {
        // The tables that the samples speak of come last, next to what is said of them.
        tables.sort_by_key(|coverage| unknown.contains_key(&coverage.table));
    }
    let text = if args.json {
        let all: Vec<Value> =
            tables.iter().map(|coverage| json_of(coverage, &merged.sources, &unknown)).collect();
        let mut text = serde_json::to_string_pretty(&json!({
            "tables": all, "total": json_totals(total(&tables)), "unknown_in_samples": unknown,
        }))?;
        text.push('\n');
        text
    } else {
        text_of(&tables, args.table.is_some(), &merged.sources, &unknown)
    };
    out::print(&text)?;
    let n_unnamed = total(&tables).unnamed;
    let n_strangers: usize = tables.iter().map(|coverage| coverage.strangers.len()).sum();
    let n_unknown: usize = unknown.values().map(BTreeMap::len).sum();
    if args.strict && n_unnamed + n_strangers + n_unknown > 0 {
        bail!(
            "{n_unnamed} properties are neither mapped nor ignored, {n_strangers} names are in no schema, \
             {n_unknown} members of the samples are unknown"
        );
    }
    Ok(())
}

/// What the samples hold and nobody knows: by table, name and number of records.
fn unknown(args: &Args, tables: &[Coverage]) -> anyhow::Result<BTreeMap<String, BTreeMap<String, u64>>> {
    let mut unknown: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for file in &args.samples {
        for (table, body) in samples::read(file, args.samples_table.as_deref())? {
            let name = table.to_string();
            let Some(coverage) = tables.iter().find(|known| known.table.eq_ignore_ascii_case(&name)) else {
                if args.table.is_none() {
                    *unknown.entry(name).or_default().entry("(the table itself)".to_owned()).or_default() +=
                        1;
                }
                continue;
            };
            let record: Value = serde_json::from_slice(&body).unwrap_or_default();
            let mut counts = BTreeMap::new();
            coverage.unknown_members(&record, &mut counts);
            for (member, _) in counts {
                *unknown.entry(coverage.table.clone()).or_default().entry(member).or_default() += 1;
            }
        }
    }
    Ok(unknown)
}

fn total(tables: &[Coverage]) -> Totals {
    tables.iter().fold(Totals::default(), |mut all, coverage| {
        all += coverage.totals();
        all
    })
}

fn text_of(
    tables: &[Coverage],
    each: bool,
    sources: &Sources,
    unknown: &BTreeMap<String, BTreeMap<String, u64>>,
) -> String {
    let mut text =
        format!("{:<44} {:>8} {:>8} {:>8} {:>8}\n", "table", "columns", "mapped", "ignored", "unnamed");
    let mut row = |name: &str, totals: Totals, note: &str| {
        let Totals { properties, mapped, ignored, unnamed } = totals;
        let _ = writeln!(text, "{name:<44} {properties:>8} {mapped:>8} {ignored:>8} {unnamed:>8}{note}");
    };
    for coverage in tables {
        let note = if coverage.mappings.is_empty() { "  no mapping: `generic` takes it" } else { "" };
        row(&coverage.table, coverage.totals(), note);
    }
    if tables.len() > 1 {
        row(&format!("all {} tables", tables.len()), total(tables), "");
    }
    for coverage in tables {
        if each {
            text.push('\n');
            coverage.lines.iter().for_each(|line| one(line, sources, &mut text));
        } else if !coverage.mappings.is_empty() && coverage.unnamed().next().is_some() {
            let _ = writeln!(text, "\n{}: neither mapped nor ignored", coverage.table);
            coverage.unnamed().for_each(|name| {
                let _ = writeln!(text, "  {name}");
            });
        }
        if !coverage.strangers.is_empty() {
            let _ = writeln!(text, "\n{}: named by a mapping, in no schema", coverage.table);
        }
        for stranger in &coverage.strangers {
            let help = stranger.help.as_ref().map(|help| format!(": {help}")).unwrap_or_default();
            let _ = writeln!(text, "  {:<40} # {}{help}", stranger.name, place(&stranger.span, sources));
        }
    }
    for (table, members) in unknown {
        let _ = writeln!(text, "\n{table}: in the samples, known to nobody");
        for (name, n_records) in members {
            let _ = writeln!(text, "  {name:<40} {n_records} records");
        }
    }
    text
}

fn one(line: &Line, sources: &Sources, text: &mut String) {
    let state = match &line.state {
        State::Mapped(by) => by.join(", "),
        State::Ignored { reason, span } => format!("ignored: {reason}  # {}", place(span, sources)),
        State::Unnamed => "UNNAMED".to_owned(),
    };
    let _ = writeln!(text, "{:<44} {:<10} {state}", line.name, line.kind);
}

fn json_of(
    coverage: &Coverage,
    sources: &Sources,
    unknown: &BTreeMap<String, BTreeMap<String, u64>>,
) -> Value {
    let column = |line: &Line| {
        let (state, by, reason, at) = match &line.state {
            State::Mapped(by) => ("mapped", Some(by), None, None),
            State::Ignored { reason, span } => ("ignored", None, Some(reason), Some(place(span, sources))),
            State::Unnamed => ("unnamed", None, None, None),
        };
        json!({ "name": line.name, "type": line.kind, "state": state, "by": by, "reason": reason, "at": at })
    };
    let stranger = |stranger: &crate::mapping::coverage::Stranger| {
        json!({
            "name": stranger.name, "ignored": stranger.ignored, "help": stranger.help,
            "at": place(&stranger.span, sources),
        })
    };
    json!({
        "table": coverage.table,
        "mappings": coverage.mappings,
        "total": json_totals(coverage.totals()),
        "columns": coverage.lines.iter().map(column).collect::<Vec<_>>(),
        "in_no_schema": coverage.strangers.iter().map(stranger).collect::<Vec<_>>(),
        "unknown_in_samples": unknown.get(&coverage.table),
    })
}

fn json_totals(totals: Totals) -> Value {
    let Totals { properties, mapped, ignored, unnamed } = totals;
    json!({ "columns": properties, "mapped": mapped, "ignored": ignored, "unnamed": unnamed })
}
