//! `cefgate certs dev`: certificates for a trial, made on the spot.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::out;
use crate::certs::Development;

/// What to make.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a development authority, a server and a client certificate. Not for production.
    Dev {
        /// Where to write them; files that exist are never replaced.
        directory: PathBuf,
        /// A further host name or address of the server, beside `localhost`. May be repeated.
        #[arg(long = "name", value_name = "HOST")]
        names: Vec<String>,
    },
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Dev { directory, names } = &args.command;
    let files = Development::new(names)?.write(directory)?;
    let absolute = std::path::absolute(directory).context("find the directory")?;
    let host = names.first().map_or("localhost", String::as_str);
    let mut text = String::new();
    for (file, use_for) in files.iter().zip(USES) {
        text.push_str(&format!("{:<w$}  {use_for}\n", file.display(), w = width(&files)));
    }
    text.push_str(&usage(&absolute, host));
    out::print(&text)
}

fn usage(directory: &Path, host: &str) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    let (ca, client, client_key) = (at("ca.pem"), at("client.pem"), at("client.key"));
    let (server, server_key) = (at("server.pem"), at("server.key"));
    let (listen, host) = if host == "localhost" { ("127.0.0.1", host) } else { ("0.0.0.0", host) };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!(
        "\nA receiver to look at:\n    \
         cefgate listen --address {listen}:6514 --cert {server} --key {server_key} --client-ca {ca}\n\n\
         The destination that sends to it:\n    \
         [destination.trial.tls_syslog]\n    \
         address = \"{host}:6514\"\n    \
         ca_file = \"{ca}\"\n    \
         client_cert = \"{client}\"\n    \
         client_key = \"{client_key}\"\n"
    )
}

fn width(files: &[PathBuf]) -> usize {
    files.iter().map(|file| file.display().to_string().chars().count()).max().unwrap_or_default()
}

/// In the order of [`Development::write`].
const USES: [&str; 6] = [
    "the authority: `ca_file` of a destination, trusted root of a receiver",
    "its key: signs nothing any more; remove it",
    "the receiver's certificate",
    "its key",
    "cefgate's own certificate: `client_cert`",
    "its key: `client_key`",
];
