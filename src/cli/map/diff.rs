//! `cefgate map diff`: the events of the same records before and after a change of the site's files.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::explain::{Explained, explain_all};
use super::{Args as MapArgs, Loaded, load_from, place};
use crate::cli::out;
use crate::mapping::ast::Sources;
use crate::mapping::trace::{EventTrace, FieldTrace};

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory with the site's mapping files as they were.
    old: PathBuf,
    /// The same as they shall be; one that does not exist holds no files.
    new: PathBuf,
    /// A file with records as Defender gives them; `-` for standard input.
    file: PathBuf,
    /// The table of the records, when they do not tell it themselves.
    #[arg(long)]
    table: Option<String>,
}

/// Prints the keys that differ: `-` as it was, `+` as it shall be.
pub fn run(args: &Args, map: &MapArgs) -> anyhow::Result<()> {
    let Loaded { merged: old, target, .. } = load_from(map, &args.old)?;
    let before = explain_all(&args.file, args.table.as_deref(), &old, target)?;
    let Loaded { merged: new, target, .. } = load_from(map, &args.new)?;
    let after = explain_all(&args.file, args.table.as_deref(), &new, target)?;
    let mut text = String::new();
    let mut n_changed = 0;
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        let lines = record(before, &old.sources, after, &new.sources);
        if !lines.is_empty() {
            n_changed += 1;
            let _ = writeln!(text, "record {}, table {}\n{lines}", number + 1, after.table);
        }
    }
    let _ = writeln!(text, "{n_changed} of {} records change", after.len());
    out::print(&text)
}

fn record(before: &Explained, old: &Sources, after: &Explained, new: &Sources) -> String {
    let mut text = String::new();
    for (name, before, after) in [
        ("mapping", &before.mapping, &after.mapping),
        ("filtered out", &before.filtered_by, &after.filtered_by),
        ("refused", &before.error, &after.error),
    ] {
        if before != after {
            for (sign, value) in [('-', before), ('+', after)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "  {sign} {name}: {value}");
                }
            }
        }
    }
    let n_events = before.events.len().max(after.events.len());
    for number in 0..n_events {
        let lines = event(before.events.get(number), old, after.events.get(number), new);
        if !lines.is_empty() && n_events > 1 {
            let _ = writeln!(text, "  event {}", number + 1);
        }
        text += &lines;
    }
    text
}

fn event(before: Option<&EventTrace>, old: &Sources, after: Option<&EventTrace>, new: &Sources) -> String {
    let all = |event: Option<&EventTrace>| -> Vec<(String, String)> {
        let fields = event.into_iter().flat_map(|event| event.header.iter().chain(&event.fields));
        fields.filter_map(pair).collect()
    };
    let (was, shall_be) = (all(before), all(after));
    let find = |event: Option<&EventTrace>, key: &str, sources: &Sources| {
        let fields = event.into_iter().flat_map(|event| event.header.iter().chain(&event.fields));
        let found = fields.into_iter().find(|field| field.key == key);
        found.map(|field| place(&field.span, sources)).unwrap_or_default()
    };
    let mut text = String::new();
    for (key, value) in &was {
        match shall_be.iter().find(|(other, _)| other == key) {
            Some((_, same)) if same == value => {}
            found => {
                let _ = writeln!(text, "  - {key}={value}  # {}", find(before, key, old));
                if let Some((_, value)) = found {
                    let _ = writeln!(text, "  + {key}={value}  # {}", find(after, key, new));
                }
            }
        }
    }
    for (key, value) in shall_be.iter().filter(|(key, _)| was.iter().all(|(other, _)| other != key)) {
        let _ = writeln!(text, "  + {key}={value}  # {}", find(after, key, new));
    }
    text
}

/// A key with its value, and with its label where it has one: another label is another field to a receiver.
fn pair(field: &FieldTrace) -> Option<(String, String)> {
    let label = field.label.as_ref().map(|(_, label)| format!(" ({label})")).unwrap_or_default();
    field.value.as_ref().map(|value| (field.key.clone(), format!("{value:?}{label}")))
}
