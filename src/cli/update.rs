//! What `cefgate alert update` and `cefgate incident update` share: which objects, which change, and how it went.

use std::io::{self, Read as _};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::exit::Usage;
use super::{Global, exit, out};
use crate::azure::{Tenant, Tenants};
use crate::config::Config;
use crate::gateway;
use crate::mapping::vocabulary::suggestion;
use crate::telemetry;
use crate::write_back::{Change, Checked, Done, Failure, Object, Patience, Row, Writer, change, words};

/// Which objects, and what becomes of them.
#[derive(Debug, clap::Args)]
pub struct Update {
    /// The ids; `-` reads lines `{"id": "…", "status": "…"}` from standard input. What a line leaves out is taken from
    /// the options.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// The tenant, by its name in the configuration. Without it: the only one there is.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The service: `graph`; `mde` for alerts, `xdr` for incidents.
    #[arg(long, value_name = "API", default_value = "graph")]
    api: String,
    /// The status, such as `inProgress` or `resolved`.
    #[arg(long)]
    status: Option<String>,
    /// The classification, such as `truePositive`.
    #[arg(long)]
    classification: Option<String>,
    /// The determination, such as `malware`; it belongs to a classification.
    #[arg(long)]
    determination: Option<String>,
    /// Who has it to do: a user principal name.
    #[arg(long, value_name = "WHO")]
    assign: Option<String>,
    /// A comment, added to those there are.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Send words that the service is not known to take: it has the last word then.
    #[arg(long)]
    unchecked: bool,
    /// The outcome as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Checks all, sends what passes, tells the outcome of each.
pub async fn run(
    global: &Global,
    object: Object,
    update: Update,
    tags: Option<Vec<String>>,
) -> anyhow::Result<()> {
    let config = global.load()?;
    let row = row(object, &update.api)?;
    let tenant_name = tenant_name(&config, update.tenant.as_deref())?;
    let Update { ids, status, classification, determination, assign, comment, unchecked, json, .. } = update;
    let common = Change { status, classification, determination, assign, comment, tags };
    let items = items(&ids, &common, row, unchecked)?;
    telemetry::start_logs(&config.log).context("start logging")?;
    let tenant = tenant(&config, &tenant_name)?;
    let own = gateway::own_updates(&config, &tenant_name, row.table);
    let writer = Writer::new(tenant, row, PATIENCE, own).with_context(|| no_service(row, &tenant_name))?;
    let mut report = Report { json, object: object.name(), n: items.len(), n_failed: 0 };
    let mut passed: Vec<(String, Checked)> = Vec::new();
    for (id, checked) in items {
        match checked {
            Ok(checked) => passed.push((id, checked)),
            Err(failure) => report.failed(&id, &failure)?,
        }
    }
    let mut printed = Ok(());
    writer
        .change_all(&passed, |place, outcome| {
            let Some((id, change)) = passed.get(place) else { return };
            let told = match outcome {
                Ok(done) => report.done(id, change, &done),
                Err(failure) => report.failed(id, &failure),
            };
            printed = std::mem::replace(&mut printed, Ok(())).and(told);
        })
        .await;
    printed?;
    report.end()
}

/// The row of an object and a service.
fn row(object: Object, api: &str) -> Result<&'static Row, Usage> {
    words::row(object, api).ok_or_else(|| {
        let apis = object.apis();
        let meant = suggestion(api, apis.iter().copied()).map(|meant| format!("; {meant}"));
        let (object, apis) = (object.name(), apis.join("` or `"));
        Usage(format!("{object}s are not changed by `{api}`: `{apis}`{}", meant.unwrap_or_default()))
    })
}

/// The tenant that is meant.
pub fn tenant_name(config: &Config, given: Option<&str>) -> Result<String, Usage> {
    let mut names = config.tenants.keys();
    match (given, names.next(), names.next()) {
        (Some(name), ..) => {
            exit::known("tenant", name, config.tenants.keys())?;
            Ok(name.to_owned())
        }
        (None, Some(only), None) => Ok(only.clone()),
        (None, None, _) => {
            Err(Usage("there is no `[tenant.<name>]` in the configuration: add it".to_owned()))
        }
        (None, Some(_), Some(_)) => {
            let names: Vec<&str> = config.tenants.keys().map(String::as_str).collect();
            Err(Usage(format!(
                "several tenants are configured: say `--tenant {}`",
                names.join("` or `--tenant ")
            )))
        }
    }
}

/// The tenant itself.
pub fn tenant(config: &Config, name: &str) -> anyhow::Result<Tenant> {
    let tenants = Tenants::new(&config.tenants, &config.network)?;
    tenants.get(name).with_context(|| format!("there is no `[tenant.{name}]`"))
}

fn no_service(row: &Row, tenant: &str) -> String {
    let name = row.service.name();
    format!("the cloud of tenant `{tenant}` has no service `{name}`: set its address in the tenant's section")
}

type Item = (String, Result<Checked, Failure>);

/// What is to be changed, each checked. One change for all that is wrong is a wrong command line.
fn items(ids: &[String], common: &Change, row: &Row, trusting: bool) -> anyhow::Result<Vec<Item>> {
    if ids.iter().any(|id| id == "-") {
        anyhow::ensure!(
            ids.len() == 1,
            Usage("`-` stands for all ids: give it alone, or ids on the command line".to_owned())
        );
        return Ok(lines(&stdin()?)
            .map(|(number, line)| item(number, line, common, row, trusting))
            .collect());
    }
    let checked = common.checked(row, trusting).map_err(|refused| Usage(refused.0.join("\n  ")))?;
    let item = |id: &String| {
        let checked = change::check_id(id).map(|()| checked.clone()).map_err(Failure::wrong);
        (id.clone(), checked)
    };
    Ok(ids.iter().map(item).collect())
}

fn item(number: usize, text: &str, common: &Change, row: &Row, trusting: bool) -> Item {
    match change::line(text) {
        Ok((id, change)) => {
            let checked = change::check_id(&id)
                .map_err(Failure::wrong)
                .and_then(|()| change.or(common).checked(row, trusting).map_err(Failure::wrong));
            (id, checked)
        }
        Err(fault) => (format!("line {number}"), Err(Failure::wrong(fault))),
    }
}

/// Standard input, to its end.
pub fn stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(MOST_BYTES).read_to_string(&mut text).context("read standard input")?;
    anyhow::ensure!((text.len() as u64) < MOST_BYTES, "standard input is longer than {MOST_BYTES} bytes");
    Ok(text)
}

/// The lines that hold something, numbered from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Tells the outcome of each as it comes, and counts.
pub struct Report {
    /// For programs.
    pub json: bool,
    /// What things are called.
    pub object: &'static str,
    /// How many there are.
    pub n: usize,
    /// How many were not done.
    pub n_failed: usize,
}

impl Report {
    fn done(&mut self, id: &str, change: &Checked, done: &Done) -> anyhow::Result<()> {
        let names = change.names.join(", ");
        let at = done.updated.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        self.tell(json!({ "id": id, "ok": true, "updated": done.updated }), || {
            format!("{} {id}: {names} changed{at}", self.object)
        })
    }

    /// One was not done.
    pub fn failed(&mut self, id: &str, failure: &Failure) -> anyhow::Result<()> {
        self.n_failed += 1;
        let Failure { kind, cause, fix, .. } = failure;
        let fix_text = if fix.is_empty() { String::new() } else { format!("\n  {fix}") };
        self.tell(json!({ "id": id, "ok": false, "error": kind, "cause": cause, "fix": fix }), || {
            // What a service says is not to steer the terminal.
            out::printable(&format!("{} {id}: FAILED: {cause}", self.object)) + &fix_text
        })
    }

    /// A line for programs, or one for people.
    pub fn tell(&self, value: Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        out::print(&if self.json { format!("{value}\n") } else { text() + "\n" })
    }

    /// Whether all were done.
    pub fn end(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.n_failed == 0, "{} of {} failed", self.n_failed, self.n);
        Ok(())
    }
}

/// A command waits for a service a few times, and no one waits for it much longer.
pub const PATIENCE: Patience = Patience { tries: 5, longest: Duration::from_mins(5), turn: None };
const MOST_BYTES: u64 = 64 << 20;
