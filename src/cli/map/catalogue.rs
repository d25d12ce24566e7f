//! `cefgate map catalogue`: every class id that the mappings can give, and files that receivers import.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::table::Rows;
use crate::cli::out;
use crate::event::Target;
use crate::mapping::catalogue::{Category, Entry, catalogue, category};
use crate::mapping::layer::Merged;
use crate::mapping::schema::Schema;
use crate::mapping::set::GENERIC;

/// What to make of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A table for people, all as CSV or JSON, or a file that a receiver imports.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// Comma-separated, with a head.
    Csv,
    /// An array of objects.
    Json,
    /// An ArcSight categorizer file: `user/agent/acp/categorizer/current/<vendor>/<product>.csv` of a connector.
    Arcsight,
    /// A QRadar QID map: `qidmap_cli.sh -i -f FILE`; then map each event id to its QID in the DSM editor.
    Qradar,
}

/// Prints it.
pub fn run(args: &Args, merged: &Merged, target: &Target) -> anyhow::Result<()> {
    let mut entries = catalogue(&merged.mappings, Schema::embedded(), target);
    entries.retain(|entry| entry.mapping != GENERIC);
    out::print(&match args.format {
        Format::Text => text(&entries),
        Format::Csv => csv(&entries),
        Format::Json => serde_json::to_string_pretty(&entries)? + "\n",
        Format::Arcsight => arcsight(&entries),
        Format::Qradar => qradar(&entries),
    })
}

fn text(entries: &[Entry]) -> String {
    let mut rows = Rows::new(["class id", "severity", "name", "category", "mapping"]);
    for entry in entries {
        let severity = entry.severity.map_or("by record".to_owned(), |severity| severity.to_string());
        rows.push([
            entry.class_id.clone(),
            severity,
            entry.name.clone(),
            entry.category.clone(),
            entry.mapping.clone(),
        ]);
    }
    let mut text = rows.to_string();
    let _ = writeln!(
        text,
        "\n{} class ids. A table without a mapping has its own name as class id.",
        entries.len()
    );
    text
}

fn csv(entries: &[Entry]) -> String {
    let mut text = "class_id,name,severity,category,table,mapping\n".to_owned();
    for entry in entries {
        let severity = entry.severity.map(|severity| severity.to_string()).unwrap_or_default();
        line(
            &mut text,
            [&entry.class_id, &entry.name, &severity, &entry.category, &entry.table, &entry.mapping],
        );
    }
    text
}

fn arcsight(entries: &[Entry]) -> String {
    let mut text = "event.deviceEventClassId,set.event.categoryObject,set.event.categoryBehavior,\
                    set.event.categoryOutcome,set.event.categorySignificance,set.event.categoryDeviceGroup\n"
        .to_owned();
    for (entry, category) in once_each(entries) {
        line(
            &mut text,
            [
                &entry.class_id,
                &category.object,
                &category.behavior,
                &category.outcome,
                &category.significance,
                &category.group,
            ],
        );
    }
    text
}

/// One line a QID: number (QRadar gives one), name, description, severity, low-level category.
fn qradar(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (entry, category) in once_each(entries) {
        let plain = |text: &str| text.replace([',', '"', '\n'], " ");
        let shared = entries.iter().any(|other| other.name == entry.name && other.class_id != entry.class_id);
        // Two events of one name could not be told apart.
        let name = if shared { format!("{}: {}", entry.name, entry.class_id) } else { entry.name.clone() };
        let severity = entry.severity.unwrap_or(UNSAID);
        let _ = writeln!(
            text,
            ",{},Event ID {} of {},{severity},{}",
            plain(&name),
            plain(&entry.class_id),
            plain(&entry.table),
            category.qradar
        );
    }
    text
}

/// Several mappings give the same id; a receiver knows it once.
fn once_each(entries: &[Entry]) -> Vec<(&Entry, &Category)> {
    let mut found: Vec<(&Entry, _)> = Vec::new();
    for entry in entries {
        if let Some(category) = category_of(entry)
            && !found.iter().any(|(known, _)| known.class_id == entry.class_id)
        {
            found.push((entry, category));
        }
    }
    found
}

/// In LEEF the event id of an alert begins with what detected it, and receivers sort by what follows.
fn category_of(entry: &Entry) -> Option<&'static Category> {
    category(&entry.class_id).or_else(|| {
        let (_, kind) = entry.class_id.split_once(':').filter(|_| entry.table.ends_with(".alert"))?;
        category(&format!("Alert:{kind}"))
    })
}

fn line<const N: usize>(text: &mut String, cells: [&str; N]) {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    });
    let _ = writeln!(text, "{}", quoted.join(","));
}

/// Of an event whose severity each record brings: QRadar takes the event's own where it has one.
const UNSAID: u8 = 5;
