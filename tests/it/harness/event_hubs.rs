//! A namespace of Event Hubs on Qpid Proton, an AMQP engine that is not ours, with faults on command.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use base64::Engine as _;
use cefgate::certs::Development;

use super::{owner_only, port, until};

/// A running namespace with one hub of four partitions.
pub struct EventHubs {
    pub port: u16,
    /// Entra's token endpoint, an HTTP proxy, AMQP over WebSocket.
    token_port: u16,
    pub proxy_port: u16,
    pub websocket_port: u16,
    directory: tempfile::TempDir,
    child: Child,
    commands: ChildStdin,
}

pub const NAMESPACE: &str = "contoso.servicebus.example";
pub const HUB: &str = "defender";
const KEY: &str = "c3RhbmQtaW4tb2YtYS1rZXk=";

impl EventHubs {
    /// Empty.
    pub fn started() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certs = directory.path().join("certs");
        Development::new(&[]).unwrap().write(&certs).unwrap();
        let [port, token_port, proxy_port, websocket_port] = std::array::from_fn(|_| port());
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/peers/event_hubs/bin/python");
        assert!(python.exists(), "{} is missing: run tests/peers", python.display());
        let mut child = Command::new(python)
            .arg(root.join("tests/it/harness/event_hubs.py"))
            .arg(format!("{port},{token_port},{proxy_port},{websocket_port}"))
            .args([certs.join("server.pem"), certs.join("server.key")])
            .args([NAMESPACE, KEY, "4", HUB])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let hubs = Self { port, token_port, proxy_port, websocket_port, directory, child, commands };
        let text = format!("Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName=listen;SharedAccessKey={KEY}");
        hubs.write_connection_string(&text);
        until("the stand-in listens", || hubs.log().contains("listening").then_some(()));
        hubs
    }

    /// The section that reads it.
    pub fn source(&self, more: &str) -> String {
        let key = self.key_file();
        self.source_opened_by("", &format!("connection_string = {{ file = '{}' }}\n{more}", key.display()))
    }

    /// The same by tokens of Entra.
    pub fn source_of_tenant(&self, more: &str) -> String {
        let secret = self.directory.path().join("secret");
        fs::write(&secret, "hunter2").unwrap();
        owner_only(&secret);
        let tenant = format!(
            "[tenant.corp]\nid = '11111111-2222-3333-4444-555555555555'\nlogin_url = 'https://localhost:{}'\n\
             client_id = '66666666-7777-8888-9999-000000000000'\nclient_secret = {{ file = '{}' }}\n",
            self.token_port,
            secret.display()
        );
        self.source_opened_by(&tenant, &format!("tenant = 'corp'\n{more}"))
    }

    fn source_opened_by(&self, tenant: &str, more: &str) -> String {
        format!(
            "[network]\nca_file = '{}'\n{tenant}[source.numbers.event_hubs]\nnamespace = '{NAMESPACE}'\n\
             host = '127.0.0.1'\nport = {}\nhubs = ['{HUB}']\n{more}\n",
            self.directory.path().join("certs/ca.pem").display(),
            self.port,
        )
    }

    /// Lets readers of its authority's file trust another one too.
    pub fn trust(&self, authority: &Path) {
        let file = self.directory.path().join("certs/ca.pem");
        let own = fs::read_to_string(&file).unwrap();
        fs::write(&file, own + &fs::read_to_string(authority).unwrap()).unwrap();
    }

    /// Replaces the connection string.
    pub fn write_connection_string(&self, text: &str) {
        fs::write(self.key_file(), text).unwrap();
        owner_only(&self.key_file());
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        super::signal(name, self.child.id());
    }

    /// Gives it a command; see the head of the program.
    pub fn command(&mut self, line: &str) {
        writeln!(self.commands, "{line}").unwrap();
    }

    /// Appends `n` numbered events behind the `n_before` that are there.
    pub fn append(&mut self, partition: usize, stream: &str, n_before: u64, n: u64) {
        self.command(&format!("append {HUB} {partition} {stream} {} {n}", n_before + 1));
    }

    /// Appends one event.
    pub fn append_body(&mut self, partition: usize, body: &[u8]) {
        let body = base64::prelude::BASE64_STANDARD.encode(body);
        self.command(&format!("body {HUB} {partition} {body}"));
    }

    /// Appends one event of encoded AMQP sections, behind annotations (`sections`) or without (`bare`).
    pub fn append_encoded(&mut self, kind: &str, partition: usize, sections: &[u8]) {
        let sections = base64::prelude::BASE64_STANDARD.encode(sections);
        self.command(&format!("{kind} {HUB} {partition} {sections}"));
    }

    /// What it has told.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// How many lines of what it has told begin like this.
    pub fn n_told(&self, beginning: &str) -> usize {
        self.log().lines().filter(|line| line.starts_with(beginning)).count()
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("connection_string")
    }
}

impl Drop for EventHubs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the stand-in's log ends:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
