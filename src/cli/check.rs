//! `cefgate check`: everything a start does, short of running, and a look at how things stand.

use std::io;
use std::path::Path;

use indicatif::BinaryBytes;
use rustix::fs::Access;

use super::{Global, out};
use crate::config::{Config, Destination};
use crate::event::Format;
use crate::gateway::{self, Plan, Planned};
use crate::mapping::trial;
use crate::pipeline::Message;
use crate::sink::SinkConfig;
use crate::sink::tls_syslog::Confirm;
use crate::source::SourceConfig;
use crate::source::file::PathPattern;
use crate::spool::{self, ReadOnly, Spool, SpoolError};

/// How strict to be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
}

/// Loads the configuration, compiles and tests the mappings, reads every file that is named, and says what it found.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    let config = global.load()?;
    let plan = gateway::plan(&config);
    let plan = match (plan, spool_fault(&config.spool)) {
        (Ok(plan), None) => plan,
        (Ok(_), Some(fault)) => return Err(gateway::StartFaults::from(fault).into()),
        (Err(faults), fault) => return Err(faults.and(fault).into()),
    };
    let report = Report::of(&config, &plan)?;
    if !plan.warnings.is_empty() {
        eprintln!("{}", plan.warnings.trim_end());
    }
    report.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let n_warnings =
        report.warnings.len() + plan.warnings.lines().filter(|line| line.starts_with("warning")).count();
    anyhow::ensure!(
        !args.strict || n_warnings == 0,
        "{n_warnings} warnings, and `--strict` takes them for errors"
    );
    out::print(&format!("{}: ok\n{}\n", global.config_file().display(), report.lines.join("\n")))
}

/// What a person wants to know before a start.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn of(config: &Config, plan: &Plan) -> Result<Self, SpoolError> {
        let mut report = Self::default();
        let spool = report.spool(&config.spool)?;
        for (name, source) in &config.sources {
            let SourceConfig::File(file) = source;
            report.source(name, &file.path);
        }
        for planned in &plan.destinations {
            if let Some(destination) = config.destinations.get(&planned.name) {
                report.destination(planned, destination, spool.as_ref())?;
            }
        }
        Ok(report)
    }

    fn spool(&mut self, config: &spool::Config) -> Result<Option<ReadOnly>, SpoolError> {
        let directory = config.directory.display();
        let most = BinaryBytes(config.max_bytes);
        let spool = match config.directory.is_dir() {
            true => Some(Spool::open_for_reading(config)?),
            false => None,
        };
        self.lines.push(match &spool {
            Some(spool) => {
                let n_records = spool.next_sequence() - spool.oldest_sequence();
                let bytes = BinaryBytes(spool.bytes());
                format!("spool        {directory}: {n_records} records, {bytes} of at most {most}")
            }
            None => format!("spool        {directory}: made at the first start, at most {most}"),
        });
        let used = spool.as_ref().map_or(0, ReadOnly::bytes);
        if let Ok(disk) = rustix::fs::statvfs(existing(&config.directory)) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free.saturating_add(used) < config.max_bytes {
                self.warnings.push(format!(
                    "spool: `max_bytes` is {most}, but `{directory}` has room for {} only: sources wait when the \
                     disk is full",
                    BinaryBytes(free)
                ));
            }
        }
        Ok(spool)
    }

    fn source(&mut self, name: &str, path: &PathPattern) {
        let (what, n_files) = match path {
            PathPattern::Stdin => ("standard input".to_owned(), None),
            PathPattern::File(path) => (path.display().to_string(), Some(usize::from(path.is_file()))),
            PathPattern::Glob(pattern) => {
                let n_files =
                    glob::glob(pattern).map(|found| found.flatten().filter(|path| path.is_file()).count());
                (pattern.clone(), Some(n_files.unwrap_or_default()))
            }
        };
        let found = match n_files {
            None => String::new(),
            Some(1) => ", 1 file now".to_owned(),
            Some(n_files) => format!(", {n_files} files now"),
        };
        self.lines.push(format!("source       {name}: {what}{found}"));
        if n_files == Some(0) {
            self.warnings.push(format!("source `{name}`: no file `{what}` yet"));
        }
    }

    fn destination(
        &mut self,
        planned: &Planned,
        destination: &Destination,
        spool: Option<&ReadOnly>,
    ) -> Result<(), SpoolError> {
        let name = &planned.name;
        let format = match (planned.settings.message, planned.settings.target.format) {
            (Message::Json, _) => "JSON",
            (Message::Event, Format::Cef(_)) => "CEF",
            (Message::Event, Format::Leef(_)) => "LEEF",
        };
        let way = match &destination.sink {
            SinkConfig::File(file) => format!("to `{}`", file.path.display()),
            SinkConfig::TlsSyslog(tls_syslog) => {
                if tls_syslog.insecure_plain_tcp {
                    let warning = "`insecure_plain_tcp`: anybody on the way can read and change events";
                    self.warnings.push(format!("destination `{name}`: {warning}"));
                }
                if tls_syslog.confirm == Confirm::Estimate {
                    let warning = "`confirm = \"estimate\"` can lose events when the receiver is killed";
                    self.warnings.push(format!("destination `{name}`: {warning}"));
                }
                let layer = if tls_syslog.insecure_plain_tcp { "plain TCP" } else { "TLS" };
                format!("over {layer} to {}", tls_syslog.address)
            }
        };
        let mappings = &planned.merged.mappings;
        let reports = mappings.iter().map(|mapping| trial::run(mapping, &planned.settings.target));
        let n_tests: usize = reports.map(|report| report.n_run).sum();
        let waiting = match spool {
            Some(spool) => {
                let cursors = spool.cursors()?;
                let own = cursors.iter().find(|(known, _)| known == name);
                let cursor = own.map_or(spool.oldest_sequence(), |(_, cursor)| cursor.0);
                format!(", {} records wait", spool.next_sequence().saturating_sub(cursor))
            }
            None => String::new(),
        };
        self.lines.push(format!(
            "destination  {name}: {format} {way}, profile {}, {} mappings, {n_tests} tests passed{waiting}",
            destination.profile,
            mappings.len(),
        ));
        Ok(())
    }
}

/// What keeps a start from writing to the spool. Nothing is made or changed.
fn spool_fault(config: &spool::Config) -> Option<String> {
    let directory = existing(&config.directory);
    let writable = match directory.is_dir() {
        true => rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from),
        false => Err(io::ErrorKind::NotADirectory.into()),
    };
    let error = io::Result::err(writable)?;
    let text = format!("[spool] write to directory `{}`: {error}", config.directory.display());
    let above = directory != config.directory && error.kind() == io::ErrorKind::PermissionDenied;
    Some(if above {
        format!("{text}; it does not exist and cannot be made in `{}`", directory.display())
    } else {
        text
    })
}

/// The path itself, or what there is of it.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|path| path.exists());
    there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
