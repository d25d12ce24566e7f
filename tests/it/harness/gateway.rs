//! The real program in a folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use cefgate::spool::{self, Spool};

use super::{signal, until};

/// Runs `cefgate run` with this configuration until it ends by itself.
pub fn run_to_the_end(directory: &Path, configuration: &str) -> Output {
    let file = directory.join("cefgate.toml");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
    command.arg("run").arg("--config").arg(&file).env_clear();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// `cefgate run` that can be killed and started again, with numbered records to read.
pub struct Gateway {
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Gateway {
    /// Reads `input/*.json`, with these destinations; not running yet.
    pub fn new(spool: &str, destinations: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["input", "site", "spool"] {
            fs::create_dir(directory.path().join(folder)).unwrap();
        }
        fs::write(directory.path().join("site/numbered.toml"), MAPPING).unwrap();
        let gateway = Self { directory, child: None };
        gateway.configure(
            spool,
            &format!("path = '{}/*.json'\npoll = '20ms'", gateway.file("input").display()),
            destinations,
        );
        gateway
    }

    /// Writes the configuration anew.
    pub fn configure(&self, spool: &str, source: &str, destinations: &[String]) {
        let source = format!("[source.numbers.file]\ntable = 'Numbered'\n{source}\n");
        self.configure_source(spool, &source, destinations);
    }

    /// The same with sections of another kind of source.
    pub fn configure_source(&self, spool: &str, sections: &str, destinations: &[String]) {
        let directory = self.directory.path().display();
        let text = format!(
            "[spool]\ndirectory = '{directory}/spool'\n{spool}\n\
             [mapping]\ndirectory = '{directory}/site'\nshipped = '{directory}/none'\n{sections}{}",
            destinations.concat()
        );
        fs::write(self.file("cefgate.toml"), text).unwrap();
    }

    /// Puts the numbers of a shipped table's records into its events: the site's mapping stands in the shipped one's
    /// place.
    pub fn number(&self, table: &str) {
        let id = if table.contains('.') { table.to_owned() } else { format!("xdr.{table}") };
        let mapping = MAPPING
            .replace("site.numbered", &id)
            .replace("\"Numbered\"\n\n[header]", &format!("\"{table}\"\n\n[header]"));
        fs::write(self.file("site/numbered.toml"), mapping).unwrap();
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A growing input file.
    pub fn feed(&self, stream: &'static str) -> Feed {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.file(&format!("input/{stream}.json")))
            .unwrap();
        Feed { file, stream, n_records: 0 }
    }

    /// Starts it and does not wait for anything.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        let mut command = self.command();
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// The command line, for runs of another kind.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.arg("run").arg("--config").arg(self.file("cefgate.toml")).env_clear().stdout(Stdio::null());
        command
    }

    /// Kills it as a power cut would, as far as a process can know.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(name, self.child.as_ref().unwrap().id());
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = until("the gateway ends", || child.try_wait().unwrap());
        self.child = None;
        status
    }

    /// SIGTERM, and the end it brings.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Records in the spool since it was new, delivered or not.
    pub fn n_spooled(&self) -> u64 {
        let config = spool::Config::in_directory(self.file("spool"));
        Spool::open_for_reading(&config).map_or(0, |spool| spool.next_sequence() - 1)
    }

    /// Records of which a destination has confirmed the receipt.
    pub fn n_confirmed(&self, destination: &str) -> u64 {
        let config = spool::Config::in_directory(self.file("spool"));
        let Ok(cursors) = Spool::open_for_reading(&config).and_then(|spool| spool.cursors()) else {
            return 0;
        };
        cursors.iter().find(|(name, _)| name == destination).map_or(0, |(_, cursor)| cursor.0 - 1)
    }

    /// The position of each partition of a source, while the gateway does not run.
    pub fn positions(&self, source: &str) -> BTreeMap<String, String> {
        let spool = Spool::open(&spool::Config::in_directory(self.file("spool")), &[]).unwrap();
        let intake = spool.intake(source.into(), "".into());
        let position = |partition| Some((intake.position(&partition)?, partition));
        intake
            .partitions()
            .into_iter()
            .filter_map(position)
            .map(|(at, partition)| (partition.0, at.0))
            .collect()
    }

    /// Waits until so many records are in the spool.
    pub fn until_spooled(&self, n: u64) {
        until("the records are in the spool", || (self.n_spooled() >= n).then_some(()));
    }

    /// Waits until so many records are confirmed.
    pub fn until_confirmed(&self, destination: &str, n: u64) {
        until("the records are confirmed", || (self.n_confirmed(destination) >= n).then_some(()));
    }

    /// Waits for the first line of the log, from byte `from` on, with this in it.
    pub fn until_logged(&self, part: &str, from: usize) -> String {
        until(part, || self.log().get(from..)?.lines().find(|line| line.contains(part)).map(str::to_owned))
    }

    /// All it has logged, over all starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the gateway's log ends:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

/// A file of numbered records that grows.
pub struct Feed {
    file: File,
    pub stream: &'static str,
    /// How many are in it.
    pub n_records: u64,
}

impl Feed {
    /// Appends the next `n` records in one write.
    pub fn append(&mut self, n: u64) {
        let mut text = Vec::new();
        for number in self.n_records + 1..=self.n_records + n {
            let (stream, padding) = (self.stream, "x".repeat(usize::try_from(number % 50).unwrap()));
            writeln!(text, "{{\"stream\":\"{stream}\",\"n\":{number},\"padding\":\"{padding}\"}}").unwrap();
        }
        self.file.write_all(&text).unwrap();
        self.n_records += n;
    }
}

/// Where the number of a record goes.
pub const MAPPING: &str = r#"
schema  = 1
kind    = "mapping"
id      = "site.numbered"
version = "1.0.0"
title   = "Numbered records"

[match]
table = "Numbered"

[header]
class_id = { const = "numbered" }
name     = { const = "Numbered" }
severity = { const = 1 }

[extension]
cn1 = { label = "Number", from = "n" }
cs1 = { label = "Stream", from = "stream" }

[[test]]
name   = "number and stream"
input  = '{"stream":"a","n":7}'
events = 1
[test.expect.extension]
cn1 = "7"
cs1 = "a"
"#;
