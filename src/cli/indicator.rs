//! `cefgate indicator`: what Defender for Endpoint shall look for.

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::exit::Usage;
use super::update::{PATIENCE, Report, lines, stdin, tenant, tenant_name};
use super::{Global, out};
use crate::telemetry;
use crate::write_back::{Failure, Indicator, Indicators, change, indicator, indicators};

/// What to do with indicators.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add indicators, or change those of the same type and value.
    Add(Box<Add>),
    /// List indicators.
    List(List),
    /// Remove indicators.
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The tenant, by its name in the configuration. Without it: the only one there is.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The outcome as one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The hash, address, name or URL; `-` imports lines `{"indicatorValue": "…", …}` from standard input, 500 a request.
    /// What a line leaves out is taken from the options.
    value: String,
    /// FileSha1, FileSha256, FileMd5, CertificateThumbprint, IpAddress, DomainName or Url.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Warn, Block, Audit, BlockAndRemediate or Allowed.
    #[arg(long)]
    action: Option<String>,
    /// The title of the alerts it raises.
    #[arg(long)]
    title: Option<String>,
    /// The description of the alerts it raises.
    #[arg(long)]
    description: Option<String>,
    /// Informational, Low, Medium or High.
    #[arg(long)]
    severity: Option<String>,
    /// Raise alerts; Audit needs it.
    #[arg(long)]
    generate_alert: bool,
    /// Until when it holds: a time, or a span such as `30d`.
    #[arg(long, value_name = "TIME|SPAN")]
    expires: Option<String>,
    /// The application it comes from.
    #[arg(long)]
    application: Option<String>,
    /// What an analyst should do.
    #[arg(long, value_name = "TEXT")]
    recommended_actions: Option<String>,
    /// A device group it holds for; several are possible.
    #[arg(long = "group", value_name = "NAME")]
    groups: Option<Vec<String>>,
    /// Where a user who is blocked or warned can read more.
    #[arg(long, value_name = "URL")]
    educate_url: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only of this value.
    #[arg(long)]
    value: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Their ids, as `list` shows them; `-` reads one a line from standard input.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Does it.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Add(args) => add(global, *args).await,
        Action::List(args) => list(global, &args).await,
        Action::Remove(args) => remove(global, args).await,
    }
}

fn open(global: &Global, common: &Common) -> anyhow::Result<Indicators> {
    let config = global.load()?;
    let name = tenant_name(&config, common.tenant.as_deref())?;
    telemetry::start_logs(&config.log).context("start logging")?;
    let no_service =
        || format!("the cloud of tenant `{name}` has no Defender for Endpoint API: set `mde_url`");
    Indicators::new(tenant(&config, &name)?, PATIENCE).with_context(no_service)
}

fn report(common: &Common, n: usize) -> Report {
    Report { json: common.json, object: "indicator", n, n_failed: 0 }
}

async fn add(global: &Global, args: Add) -> anyhow::Result<()> {
    let Add { value, kind, action, title, description, severity, generate_alert, expires, .. } = args;
    let options = Indicator {
        indicator_value: None,
        indicator_type: kind,
        action,
        title,
        description,
        severity,
        generate_alert: generate_alert.then_some(true),
        application: args.application,
        expiration_time: expires,
        recommended_actions: args.recommended_actions,
        rbac_group_names: args.groups,
        educate_url: args.educate_url,
    };
    let now = Timestamp::now();
    if value == "-" {
        return import(global, &args.common, &options, now).await;
    }
    let indicator = Indicator { indicator_value: Some(value.clone()), ..options };
    let indicator = indicator.checked(now).map_err(|refused| Usage(refused.0.join("\n  ")))?;
    let indicators = open(global, &args.common)?;
    let mut report = report(&args.common, 1);
    match indicators.add(&indicator).await {
        Ok(id) => added(&report, &value, &id)?,
        Err(failure) => report.failed(&value, &failure)?,
    }
    report.end()
}

async fn import(global: &Global, common: &Common, options: &Indicator, now: Timestamp) -> anyhow::Result<()> {
    let text = stdin()?;
    let mut passed = Vec::new();
    let mut refused = Vec::new();
    for (number, line) in lines(&text) {
        let read = serde_json::from_str::<Indicator>(line).map_err(|error| error.to_string());
        let value = read.as_ref().ok().and_then(|indicator| indicator.indicator_value.clone());
        match read.and_then(|read| read.or(options).checked(now).map_err(|refused| refused.to_string())) {
            Ok(indicator) => passed.push(indicator),
            Err(fault) => {
                refused.push((value.unwrap_or_else(|| format!("line {number}")), Failure::wrong(fault)));
            }
        }
    }
    let indicators = open(global, common)?;
    let mut report = report(common, passed.len() + refused.len());
    for (value, failure) in &refused {
        report.failed(value, failure)?;
    }
    let mut printed = Ok(());
    indicators
        .import(&passed, |place, outcome| {
            let value = passed.get(place).and_then(|indicator| indicator.indicator_value.as_deref());
            let value = value.unwrap_or_default();
            let told = match outcome {
                Ok(id) => added(&report, value, &id),
                Err(failure) => report.failed(value, &failure),
            };
            printed = std::mem::replace(&mut printed, Ok(())).and(told);
        })
        .await;
    printed?;
    report.end()
}

fn added(report: &Report, value: &str, id: &str) -> anyhow::Result<()> {
    report.tell(json!({ "id": id, "indicator": value, "ok": true }), || {
        format!("indicator {value}: added as {id}")
    })
}

async fn list(global: &Global, args: &List) -> anyhow::Result<()> {
    let kind = args.kind.as_deref().map(indicator::kind).transpose();
    let kind = kind.map_err(|refused| Usage(refused.to_string()))?;
    let indicators = open(global, &args.common)?;
    let filter = indicators::filter(kind, args.value.as_deref());
    let found = indicators.list(filter.as_deref()).await?;
    let mut text = String::new();
    for record in &found {
        if args.common.json {
            // A record is one line, whatever blanks the service has put in.
            let value: Value = serde_json::from_slice(record).context("read an indicator")?;
            text += &format!("{value}\n");
        } else {
            text += &(out::printable(&line(record)) + "\n");
        }
    }
    out::print(&text)
}

fn line(record: &[u8]) -> String {
    let record: Value = serde_json::from_slice(record).unwrap_or_default();
    let text = |name: &str| match &record[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let names = ["id", "indicatorType", "indicatorValue", "action", "expirationTime", "title"];
    names.map(text).join("  ")
}

async fn remove(global: &Global, args: Remove) -> anyhow::Result<()> {
    let text = if args.ids == ["-"] { stdin()? } else { String::new() };
    let ids = match args.ids.as_slice() {
        [only] if only == "-" => lines(&text).map(|(_, id)| id.trim().to_owned()).collect(),
        _ => args.ids,
    };
    let indicators = open(global, &args.common)?;
    let mut report = report(&args.common, ids.len());
    for id in &ids {
        let removed = match change::check_id(id) {
            Ok(()) => indicators.remove(id).await,
            Err(fault) => Err(Failure::wrong(fault)),
        };
        match removed {
            Ok(()) => report.tell(json!({ "id": id, "ok": true }), || format!("indicator {id}: removed"))?,
            Err(failure) => report.failed(id, &failure)?,
        }
    }
    report.end()
}
