//! `cefgate map`: look at mappings, test them, and see what they make of a record. Needs no configuration.

use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bumpalo::Bump;
use bytes::Bytes;
use clap::Subcommand;

use super::out;
use crate::event::Target;
use crate::gateway;
use crate::mapping::ast::{Mapping, Sources, Span};
use crate::mapping::diagnostic::{Diagnostic, line_and_column, render};
use crate::mapping::layer::{Layers, Merged};
use crate::mapping::run::Outcome;
use crate::mapping::set::MappingSet;
use crate::mapping::trace::{EventTrace, FieldTrace};
use crate::mapping::{show, trial};
use crate::pipeline::Settings;
use crate::profile::{self, Directories, Profile};
use crate::record::{Record, Table, Timestamp};
use crate::source::envelope::Envelope;

/// Which mappings, and what to do with them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receiver profile whose patches apply.
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    profile: String,
    /// The site's own mapping files.
    #[arg(long, global = true, default_value = "/etc/cefgate/mappings.d", value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The mapping files a package ships.
    #[arg(long, global = true, default_value = "/usr/share/cefgate/mappings", value_name = "DIRECTORY")]
    shipped: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and check all mappings.
    Check {
        /// Warnings count as errors.
        #[arg(long)]
        strict: bool,
    },
    /// Run the tests that mappings carry with them.
    Test {
        /// Of this mapping only.
        id: Option<String>,
    },
    /// Print one mapping as it is in effect, each line with the file it came from; without an id, list them.
    Show {
        /// The mapping.
        id: Option<String>,
    },
    /// Show what becomes of records: each key, its value, and the file and line that gave it.
    Explain {
        /// A file with records as Defender gives them; `-` for standard input.
        file: PathBuf,
        /// The table of the records, when they do not tell it themselves.
        #[arg(long)]
        table: Option<String>,
    },
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (layers, merged, target) = load(args)?;
    match &args.command {
        Command::Check { strict } => check(&merged, *strict),
        Command::Test { id } => test(&layers, &merged, &target, id.as_deref()),
        Command::Show { id: Some(id) } => out::print(&show::show(find(&merged, id)?, &merged.sources)),
        Command::Show { id: None } => list(&merged),
        Command::Explain { file, table } => explain(&merged, target, file, table.as_deref()),
    }
}

fn load(args: &Args) -> anyhow::Result<(Layers, Merged, Target)> {
    let directories = Directories { shipped: args.shipped.clone(), site: args.directory.clone() };
    let profile = Profile::load(&args.profile, &directories)?;
    let layers = profile::layers(&args.profile, &directories)?;
    let merged = match layers.merge() {
        Ok(merged) => merged,
        Err(rejected) => {
            eprint(&rejected.diagnostics, &rejected.sources);
            bail!("the mappings have faults");
        }
    };
    let identity = [profile.vendor.as_str(), profile.product.as_str(), profile.version.as_str()];
    let identity = identity.map(str::to_owned);
    let settings = Settings::new("map".into(), identity, &profile.wire, &gateway::machine_name());
    Ok((layers, merged, settings.target))
}

fn check(merged: &Merged, strict: bool) -> anyhow::Result<()> {
    eprint(&merged.warnings, &merged.sources);
    if strict && !merged.warnings.is_empty() {
        bail!("the mappings have warnings");
    }
    out::print(&format!("{} mappings: ok\n", merged.mappings.len()))
}

fn test(layers: &Layers, merged: &Merged, target: &Target, id: Option<&str>) -> anyhow::Result<()> {
    if let Some(id) = id {
        find(merged, id)?;
    }
    let mut text = String::new();
    let mut failures = Vec::new();
    let reports = trial::run_all(layers, merged, target);
    for (id, report) in reports.into_iter().filter(|(own, _)| id.is_none_or(|id| id == own)) {
        let idle = if report.n_idle == 0 { String::new() } else { format!(", {} idle", report.n_idle) };
        let n_failed = report.failures.len();
        let _ = writeln!(text, "{id}: {} tests, {n_failed} failed{idle}", report.n_run);
        failures.extend(report.failures);
    }
    out::print(&text)?;
    eprint(&failures, &merged.sources);
    match failures.len() {
        0 => Ok(()),
        n => bail!("{n} expectations of mapping tests are not met"),
    }
}

fn list(merged: &Merged) -> anyhow::Result<()> {
    let line = |mapping: &Mapping| {
        format!("{:<28} {:<28} {}\n", mapping.id.value, mapping.matching.table.value, mapping.title)
    };
    out::print(&merged.mappings.iter().map(line).collect::<String>())
}

fn find<'m>(merged: &'m Merged, id: &str) -> anyhow::Result<&'m Mapping> {
    merged.mappings.iter().find(|mapping| mapping.id.value == id).with_context(|| {
        let known: Vec<&str> = merged.mappings.iter().map(|mapping| mapping.id.value.as_str()).collect();
        format!("there is no mapping `{id}`; there is `{}`", known.join("`, `"))
    })
}

fn explain(merged: &Merged, target: Target, file: &Path, table: Option<&str>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    } else {
        bytes = fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
    }
    let mut records = Vec::new();
    Envelope::new(table.map(Table::new), MAX_RECORD_BYTES).split(&Bytes::from(bytes), &mut records);
    let set = MappingSet::compile(&merged.mappings, target);
    let mut text = String::new();
    for (sequence, (table, body)) in (1..).zip(records) {
        let record = Record {
            sequence,
            received: Timestamp::now(),
            source: "explain".into(),
            tenant: "".into(),
            table,
            body,
        };
        let _ = writeln!(text, "record {sequence}, table {}", record.table);
        one(&set, &merged.sources, &record, &mut text);
    }
    out::print(&text)
}

/// The first mapping that takes the record, as a pipeline would choose it.
fn one(set: &MappingSet, sources: &Sources, record: &Record, text: &mut String) {
    let body = String::from_utf8_lossy(&record.body);
    let arena = Bump::new();
    for number in set.candidates(&record.table.0) {
        let program = &set.programs[number];
        let reason = if record.table.0.as_ref() == Table::UNPARSED { "not a JSON object" } else { "" };
        match program.trace(&set.target, record, reason, &body, &arena) {
            Ok(trace) if matches!(trace.outcome, Outcome::NoMatch) => {}
            Ok(trace) => {
                let _ = writeln!(text, "mapping {}", program.id);
                if let Some(reason) = trace.filtered_by {
                    let _ = writeln!(text, "  filtered out: {reason}");
                }
                trace.events.iter().for_each(|trace| event(trace, sources, text));
                return;
            }
            Err(error) => {
                let _ = writeln!(text, "  {error}: it goes out as `unparsed`");
                return;
            }
        }
    }
    text.push_str("  no mapping takes it\n");
}

fn event(trace: &EventTrace, sources: &Sources, text: &mut String) {
    text.push_str("event\n");
    trace.header.iter().chain(&trace.fields).for_each(|line| field(line, sources, text));
}

fn field(field: &FieldTrace, sources: &Sources, text: &mut String) {
    let (Some(value), note) = (&field.value, &field.note) else {
        if let Some(note) = &field.note {
            let _ =
                writeln!(text, "  {:<24} (no value: {note})  # {}", field.key, place(&field.span, sources));
        }
        return;
    };
    let label = field.label.as_ref().map(|(key, label)| format!("  [{key}={label}]")).unwrap_or_default();
    let note = note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
    let nth = if field.alternative == 0 {
        String::new()
    } else {
        format!(", alternative {}", field.alternative + 1)
    };
    let _ =
        writeln!(text, "  {:<24} {value:?}{label}{note}  # {}{nth}", field.key, place(&field.span, sources));
}

fn place(span: &Span, sources: &Sources) -> String {
    match sources.files.get(span.file) {
        Some((name, text)) => format!("{name}:{}", line_and_column(text, span.range.start).0),
        None => "built in".to_owned(),
    }
}

fn eprint(diagnostics: &[Diagnostic], sources: &Sources) {
    if !diagnostics.is_empty() {
        eprintln!("{}", render(diagnostics, sources, std::io::stderr().is_terminal()));
    }
}

/// What a person hands over is taken whole.
const MAX_RECORD_BYTES: usize = 64 << 20;
