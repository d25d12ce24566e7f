//! `cefgate demo`: sample Defender records through the real spool, mapping and TLS to a built-in receiver.
//!
//! Nothing is configured and nothing is left behind: certificates, spool and files live in a directory that goes
//! when the demo ends.

use std::io::{self, IsTerminal as _, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::listen::write_readable;
use crate::certs::Development;
use crate::config::Config;
use crate::gateway;
use crate::listener::{Arrival, Listener, Message, Tally, What};
use crate::tls;

/// Show sample Defender records on their way to a receiver.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The receiver profile to show.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub profile: String,
}

/// Runs the demo.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let workplace = Workplace::new()?;
    let certificates = Development::new(&[])?;
    certificates.write(&workplace.path)?;
    let server = &certificates.server;
    let server = tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), None)?;
    let listener =
        Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(server), MAX_BYTES).await?;
    let address = listener.address().context("ask for the listening address")?;
    let config = workplace.configure(address, &args.profile)?;

    let (sender, arrivals) = mpsc::channel(CHANNEL);
    let stop = CancellationToken::new();
    let listening = tokio::spawn(listener.run(sender, stop.clone()));
    let records: Vec<&str> = RECORDS.lines().filter(|line| !line.is_empty()).collect();
    // The gateway ends by itself once the receiver has confirmed everything; then nobody needs the receiver.
    let gateway = async {
        let ended = tokio::time::timeout(PATIENCE, gateway::run(config)).await;
        stop.cancel();
        ended.context("the receiver did not get all records in time")?
    };
    let (tally, ended) = tokio::join!(show(&records, arrivals), gateway);
    ended?;
    let tally = tally.context("write to standard output")?;
    listening.await.context("stop the receiver")?;

    let mut out = io::stdout();
    writeln!(out, "{} records went in, {} events came out over TLS", records.len(), tally.messages)?;
    let n_violations: u64 = tally.violations.values().sum();
    writeln!(out, "{n_violations} of them break a rule of the format")?;
    anyhow::ensure!(
        tally.messages == records.len() as u64 && n_violations == 0,
        "the demo lost or broke something"
    );
    Ok(())
}

/// Prints each record beside its event, until the receiver has ended.
async fn show(records: &[&str], mut arrivals: mpsc::Receiver<Arrival>) -> io::Result<Tally> {
    let mut out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut tally = Tally::default();
    while let Some(arrival) = arrivals.recv().await {
        tally.count(&arrival);
        if let What::Message(message) = arrival.what {
            let place = usize::try_from(tally.messages).unwrap_or(records.len());
            pair(&mut out, place, records, &message, colour)?;
        }
    }
    Ok(tally)
}

fn pair(
    out: &mut impl Write,
    place: usize,
    records: &[&str],
    message: &Message,
    colour: bool,
) -> io::Result<()> {
    let record = records.get(place - 1).copied().unwrap_or_default();
    let head: String = record.chars().take(RECORD_WIDTH).collect();
    let more = if head.len() < record.len() { " …" } else { "" };
    writeln!(out, "── record {place} of {}: {} bytes", records.len(), record.len())?;
    writeln!(out, "{head}{more}\n")?;
    write_readable(out, message, colour)
}

/// A directory of this run alone; it goes when the run ends.
struct Workplace {
    path: PathBuf,
}

impl Workplace {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("cefgate-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("create `{}`", path.display()))?;
        Ok(Self { path })
    }

    /// Writes the records and a configuration, and loads it as `cefgate run` would.
    fn configure(&self, address: SocketAddr, profile: &str) -> anyhow::Result<Config> {
        let inside = |name: &str| self.path.join(name);
        write(&inside("records.ndjson"), RECORDS)?;
        let quoted = |path: PathBuf| toml::Value::String(path.display().to_string()).to_string();
        let text = format!(
            "[spool]\ndirectory = {}\n\
             [mapping]\ndirectory = {}\n\
             [source.samples.file]\npath = {}\nfollow = false\n\
             [destination.siem]\nprofile = {}\n\
             [destination.siem.tls_syslog]\naddress = \"{address}\"\nca_file = {}\n",
            quoted(inside("spool")),
            quoted(inside("mappings.d")),
            quoted(inside("records.ndjson")),
            toml::Value::String(profile.to_owned()),
            quoted(inside("ca.pem")),
        );
        let file = inside("cefgate.toml");
        write(&file, &text)?;
        Ok(Config::load(&file, [])?)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary directory and goes with it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

const RECORDS: &str = include_str!("records.ndjson");
const PATIENCE: Duration = Duration::from_secs(60);
const CHANNEL: usize = 64;
const MAX_BYTES: usize = 1 << 20;
/// About three lines of a terminal.
const RECORD_WIDTH: usize = 300;
