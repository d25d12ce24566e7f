//! The command line: one file per command, and the one place that prints an error and chooses the exit code.

mod account;
mod alert;
mod certs;
mod check;
mod config;
mod demo;
mod exit;
mod incident;
mod indicator;
mod listen;
mod map;
mod moment;
mod online;
mod out;
mod replay;
mod run;
mod status;
mod update;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Faults};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to tell when standard error is closed.
            let _ = error.print();
            return if error.use_stderr() { exit::usage() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .thread_name("cefgate")
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(arguments.command.run(&arguments.global)),
        Err(error) => Err(anyhow::Error::new(error).context("start the runtime")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

/// Microsoft Defender records in, CEF or LEEF over TLS syslog out, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "cefgate", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command accepts.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// The configuration file. Without it: the variable CEFGATE_CONFIG, else /etc/cefgate/cefgate.toml.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Global {
    /// The file that is meant.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        let variable =
            || std::env::var_os("CEFGATE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(variable).unwrap_or_else(|| Config::DEFAULT_FILE.into())
    }

    /// Loads the configuration, or all its faults.
    pub fn load(&self) -> Result<Config, Faults> {
        Config::load(&self.config_file(), std::env::vars_os())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export how many records were read and what became of them, as CSV.
    Account(account::Args),
    /// Change alerts in Defender.
    Alert(alert::Args),
    /// Make certificates for a trial.
    Certs(certs::Args),
    /// Check the configuration and all it names, without running.
    Check(check::Args),
    /// Look at the configuration.
    Config(config::Args),
    /// Show sample Defender records on their way to a receiver.
    Demo(demo::Args),
    /// Change incidents in Defender.
    Incident(incident::Args),
    /// Add, list and remove the indicators of Defender for Endpoint.
    Indicator(indicator::Args),
    /// Receive CEF or LEEF over syslog and show it: a stand-in for a SIEM.
    Listen(listen::Args),
    /// Look at mappings, test them, and see what they make of a record.
    Map(map::Args),
    /// Send a part of the spool to a destination once more.
    Replay(replay::Args),
    /// Run from the configured sources to the configured destinations.
    Run(run::Args),
    /// How the spool stands: what is kept, what waits for whom, what came in that nobody knows.
    Status(status::Args),
}

impl Command {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Account(args) => account::run(global, &args),
            Self::Alert(args) => alert::run(global, args).await,
            Self::Certs(args) => certs::run(&args),
            Self::Check(args) => check::run(global, &args).await,
            Self::Config(args) => config::run(global, &args),
            Self::Demo(args) => demo::run(args).await,
            Self::Incident(args) => incident::run(global, args).await,
            Self::Indicator(args) => indicator::run(global, args).await,
            Self::Listen(args) => listen::run(args).await,
            Self::Map(args) => map::run(&args),
            Self::Replay(args) => replay::run(global, &args).await,
            Self::Run(args) => run::run(global, &args).await,
            Self::Status(args) => status::run(global, &args),
        }
    }
}

/// One for the spool and mapping of a busy destination, one for everything that must answer meanwhile.
const WORKER_THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Arguments::command().debug_assert();
    }
}
