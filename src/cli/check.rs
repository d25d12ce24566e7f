//! `cefgate check`: everything a start does, short of running, and a look at how things stand.

use std::io;
use std::path::Path;

use indicatif::BinaryBytes;
use rustix::fs::Access;

use super::{Global, online, out, status};
use crate::config::{Config, Destination};
use crate::event::Format;
use crate::gateway::{self, Plan, Planned};
use crate::mapping::trial;
use crate::pipeline::Message;
use crate::sink::SinkConfig;
use crate::sink::tls_syslog::Confirm;
use crate::source::SourceConfig;
use crate::source::account::AccountName;
use crate::source::file::PathPattern;
use crate::source::shared;
use crate::spool::{self, ReadOnly, Spool, SpoolError};

/// How strict to be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Ask every service once and connect to every receiver: addresses, certificates, tokens, permissions, clocks.
    #[arg(long)]
    online: bool,
}

/// Loads the configuration, compiles and tests the mappings, reads every file that is named, and says what it found.
pub async fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
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
    out::print(&format!("{}: ok\n{}\n", global.config_file().display(), report.lines.join("\n")))?;
    if args.online { online::look(&config).await } else { Ok(()) }
}

/// What a person wants to know before a start.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn of(config: &Config, plan: &Plan) -> Result<Self, SpoolError> {
        let mut report = Self { warnings: plan.retirements(config), ..Self::default() };
        let spool = report.spool(&config.spool)?;
        report.drift(&config.spool.directory);
        for (name, source) in &config.sources {
            let shared = source.checkpoints().map(shared).unwrap_or_default();
            match source {
                SourceConfig::AdvancedHunting(hunting) => {
                    let (table, tenant) = (&hunting.table.0, &hunting.tenant);
                    report.lines.push(format!(
                        "source       {name}: rows of {table} hunted in tenant {tenant}{shared}"
                    ));
                }
                SourceConfig::BlobStorage(storage) => {
                    let AccountName(account) = &storage.account;
                    let containers = &storage.container_prefix;
                    report.lines.push(format!(
                        "source       {name}: containers {containers}* of account {account}{shared}"
                    ));
                }
                SourceConfig::DefenderApi(api) => {
                    let (table, tenant) = (api.resource.table(), &api.tenant);
                    report.lines.push(format!("source       {name}: {table} of tenant {tenant}{shared}"));
                }
                SourceConfig::EventHubs(hubs) => {
                    let (namespace, names) = (&hubs.namespace.0, &hubs.hubs);
                    report
                        .lines
                        .push(format!("source       {name}: hubs {names} of namespace {namespace}{shared}"));
                }
                SourceConfig::File(file) => report.source(name, &file.path),
            }
        }
        if let Some(address) = config.write_back.listen {
            let tenants = config.write_back.tenants.join(", ");
            report.lines.push(format!("write_back   changes taken in on {address} for tenants {tenants}"));
        }
        for planned in &plan.destinations {
            if let Some(destination) = config.destinations.get(&planned.name) {
                report.destination(planned, destination, spool.as_ref())?;
            }
        }
        Ok(report)
    }

    fn spool(&mut self, config: &spool::Config) -> Result<Option<ReadOnly>, SpoolError> {
        let (directory, most) = (config.directory.display(), BinaryBytes(config.max_bytes));
        let spool = match config.directory.is_dir() {
            true => Some(Spool::open_for_reading(config)?),
            false => None,
        };
        self.lines.push(status::kept(config, spool.as_ref()));
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

    /// What came in and nobody knows.
    fn drift(&mut self, folder: &Path) {
        match status::nobody_knows(folder, SHOWN_NAMES) {
            Ok(lines) => self.lines.extend(lines),
            Err(error) => self.warnings.push(format!("unknown tables and columns: {error}")),
        }
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
            Some(spool) => format!(", {} records wait", status::n_waiting(spool, &spool.cursors()?, name)),
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

/// Where a source is shared with other instances.
fn shared(checkpoints: &shared::Config) -> String {
    let when = match checkpoints.checkpoint {
        shared::Moment::Spooled => "spooled",
        shared::Moment::Delivered => "delivered",
    };
    let (AccountName(account), shared::ContainerName(container)) =
        (&checkpoints.account, &checkpoints.container);
    format!(", shared by container {container} of account {account}, checkpoints of what is {when}")
}

/// So many unknown tables and columns are shown by name.
const SHOWN_NAMES: usize = 20;

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
