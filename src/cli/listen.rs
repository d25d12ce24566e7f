//! `cefgate listen`: shows what a receiver gets, and which rules of the formats it breaks.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::out::printable;
use crate::certs::Development;
use crate::listener::{Arrival, Body, End, Listener, Message, Syslog, Tally, What};
use crate::tls;

/// Receive CEF or LEEF over syslog and show it: a stand-in for a SIEM.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:6514", value_name = "IP:PORT")]
    pub address: SocketAddr,
    /// Plain TCP instead of TLS.
    #[arg(long, conflicts_with_all = ["cert", "key", "client_ca"])]
    pub plain: bool,
    /// Server certificate (PEM). Without it certificates are made for this run.
    #[arg(long, requires = "key", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, requires = "cert", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Demand client certificates signed by this authority (PEM).
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// One JSON object a message instead of the readable form.
    #[arg(long)]
    pub json: bool,
    /// Stop after this many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Longest message in bytes: longer ones are passed over and reported.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    pub max_bytes: usize,
}

/// Listens until interrupted, or until as many messages came as were asked for.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let made = Made::for_this_run(&args)?;
    let tls = if args.plain { None } else { Some(server(&args, made.as_ref())?) };
    let listener = Listener::bind(args.address, tls, args.max_bytes).await?;
    let address = listener.address().context("ask for the listening address")?;
    eprintln!("listening on {address} ({})", if args.plain { "plain TCP" } else { "TLS" });
    if let Some(made) = &made {
        eprintln!("made for this run: ca_file = \"{}\"", made.directory.join("ca.pem").display());
    }
    let (sender, arrivals) = mpsc::channel(CHANNEL);
    let stop = CancellationToken::new();
    let task = tokio::spawn(listener.run(sender, stop.clone()));
    let mut tally = Tally::default();
    let shown = show(&args, arrivals, &mut tally).await;
    stop.cancel();
    task.await.context("stop listening")?;
    eprintln!("{tally}");
    match shown {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("write to standard output"),
    }
}

async fn show(args: &Args, mut arrivals: mpsc::Receiver<Arrival>, tally: &mut Tally) -> io::Result<()> {
    let colour = !args.json && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = BufWriter::new(io::stdout());
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let arrival = tokio::select! {
            biased;
            _ = &mut interrupt => break,
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => arrival,
                None => break,
            },
        };
        tally.count(&arrival);
        match (&arrival.what, args.json) {
            (What::Message(message), true) => write_json(&mut out, message)?,
            (What::Message(message), false) => write_readable(&mut out, message, colour)?,
            (What::Skipped(fault), _) => eprintln!("{}: {fault}", arrival.from.peer),
            (What::Closed(End::Failed(reason)), _) => eprintln!("{}: {reason}", arrival.from.peer),
            (What::Closed(End::Torn(bytes)), _) => {
                eprintln!("{}: ended {bytes} bytes into a message", arrival.from.peer);
            }
            (What::Opened | What::Closed(End::Clean), _) => {}
        }
        if arrivals.is_empty() {
            out.flush()?;
        }
        if args.count.is_some_and(|count| tally.messages >= count) {
            break;
        }
    }
    out.flush()
}

fn write_json(out: &mut impl Write, message: &Message) -> io::Result<()> {
    serde_json::to_writer(&mut *out, message)?;
    out.write_all(b"\n")
}

/// A message over several lines: a head, then a line for each value, the label of a custom field in its place.
///
/// # Errors
/// The output takes no more.
pub fn write_readable(out: &mut impl Write, message: &Message, colour: bool) -> io::Result<()> {
    let paint = Paint { colour };
    if let Some(Syslog { timestamp, hostname, app_name, severity, .. }) = &message.syslog {
        let words = [timestamp.as_deref(), hostname.as_deref(), app_name.as_deref(), *severity];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        writeln!(out, "{}", paint.faint(&printable(&words.join(" "))))?;
    }
    match &message.body {
        Body::Cef(event) => {
            let head = format!("{} ({}) {}", event.name, event.severity, event.class_id);
            writeln!(out, "{}", paint.strong(&printable(&head)))?;
            let identity = format!(
                "CEF:{} {} | {} | {}",
                event.version, event.vendor, event.product, event.device_version
            );
            writeln!(out, "    {}", paint.faint(&printable(&identity)))?;
            let labels: BTreeSet<&str> = event
                .extension
                .iter()
                .filter_map(|(key, _)| crate::dictionary::label_of(key).map(|label| label.name))
                .collect();
            for (key, value) in event.extension.iter().filter(|(key, _)| !labels.contains(key.as_str())) {
                let label = crate::dictionary::label_of(key).and_then(|label| event.value(label.name));
                let name = label.map_or(key.clone(), |label| format!("{key} {label}"));
                write_pair(out, paint, &name, value)?;
            }
        }
        Body::Leef(event) => {
            writeln!(out, "{}", paint.strong(&printable(&event.event_id)))?;
            let identity = format!(
                "LEEF:{} {} | {} | {}",
                event.version, event.vendor, event.product, event.device_version
            );
            writeln!(out, "    {}", paint.faint(&printable(&identity)))?;
            event.attributes.iter().try_for_each(|(key, value)| write_pair(out, paint, key, value))?;
        }
        Body::Other(text) => writeln!(out, "{}", printable(text))?,
    }
    for violation in &message.violations {
        writeln!(out, "    {}", paint.alarm(&printable(&format!("! {violation}"))))?;
    }
    writeln!(out)
}

fn write_pair(out: &mut impl Write, paint: Paint, name: &str, value: &str) -> io::Result<()> {
    let padding = " ".repeat(NAME_WIDTH.saturating_sub(name.chars().count()));
    writeln!(out, "    {}{padding} {}", paint.name(&printable(name)), printable(value))
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn name(self, text: &str) -> String {
        self.with("36", text)
    }

    fn alarm(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Certificates of one run, on disk so that a sender can name them; they go when the run ends.
struct Made {
    directory: PathBuf,
    certificates: Development,
}

impl Made {
    fn for_this_run(args: &Args) -> anyhow::Result<Option<Self>> {
        if args.plain || args.cert.is_some() {
            return Ok(None);
        }
        let certificates = Development::new(&[args.address.ip().to_string()])?;
        let directory = std::env::temp_dir().join(format!("cefgate-listen-{}", std::process::id()));
        certificates.write(&directory)?;
        Ok(Some(Self { directory, certificates }))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Left behind, they are files of a temporary directory and of no use to anyone.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn server(args: &Args, made: Option<&Made>) -> anyhow::Result<Arc<ServerConfig>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("read `{}`", path.display()));
    let client_ca = args.client_ca.as_deref().map(read).transpose()?;
    let (certificate, key) = match (&args.cert, &args.key, made) {
        (Some(certificate), Some(key), _) => (read(certificate)?, read(key)?),
        (.., Some(Made { certificates, .. })) => {
            let server = &certificates.server;
            (server.certificate.clone().into_bytes(), server.key.clone().into_bytes())
        }
        _ => anyhow::bail!("a server certificate needs its private key"),
    };
    Ok(tls::server_config(&certificate, &key, client_ca.as_deref())?)
}

const CHANNEL: usize = 1024;
const NAME_WIDTH: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_with_labels_and_broken_rules_and_without_control_characters() {
        let line = "<134>1 2024-01-31T08:00:00.000Z gw cefgate - - - CEF:0|v|p|1|id|Odd\x1b[2J|5|\
                    cs1=a\\nb cs1Label=thing cn1Label=orphan";
        let message = Message::read(line.as_bytes());
        let mut out = Vec::new();
        write_readable(&mut out, &message, false).unwrap();
        let lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "2024-01-31T08:00:00+00:00 gw cefgate info",
                r"Odd\u{1b}[2J (5) id",
                "    CEF:0 v | p | 1",
                r"    cs1 thing                    a\nb",
                "    cn1Label                     orphan",
                "    ! control character in the line",
                "    ! `cn1Label` without the value it names",
                "",
            ]
        );
    }

    #[test]
    fn json_has_the_event_under_the_name_of_its_format() {
        let mut out = Vec::new();
        write_json(&mut out, &Message::read(b"CEF:0|v|p|1|id|n|5|act=x act=y")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["cef"]["extension"][1][1], "y");
        assert_eq!(value["violations"][0], "`act` stands twice");
        assert!(value["syslog"].is_null());
    }
}
