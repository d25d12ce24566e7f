//! A namespace of Event Hubs with one hub of four partitions that holds the records: the stand-in of the tests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Running, cpu_seconds};

/// Running, and loaded.
pub struct Hubs {
    running: Running,
    /// Where it listens.
    pub port: u16,
    /// What loading has cost, in CPU seconds.
    pub before: f64,
}

impl Hubs {
    /// Loads the lines of a file, so many in a message; the connection string goes into `folder`.
    pub fn start(folder: &Path, input: &Path, n_a_message: u32) -> Self {
        let ports: [u16; 4] = std::array::from_fn(|_| free_port());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut running = Running::start(
            Command::new(root.join("target/peers/event_hubs/bin/python"))
                .arg(root.join("tests/it/harness/event_hubs.py"))
                .arg(ports.map(|port| port.to_string()).join(","))
                .args([folder.join("certs/server.pem"), folder.join("certs/server.key")])
                .args(["bench.servicebus.example", KEY, "4", "records"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let text = format!("SharedAccessKeyName=listen;SharedAccessKey={KEY}");
        let file = folder.join("connection_string");
        fs::write(&file, text).expect("write the connection string");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("close it to others");
        let commands = running.0.stdin.as_mut().expect("a pipe");
        writeln!(commands, "load records {} {n_a_message}", input.display()).expect("it reads");
        let mut told = BufReader::new(running.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        told.find(|line| line.starts_with("loaded")).expect("it loads the records");
        // What else it tells has to go somewhere.
        std::thread::spawn(move || told.for_each(drop));
        let before = cpu_seconds(running.0.id());
        Self { running, port: ports[0], before }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.running.0.id()
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it is bound").port()
}

const KEY: &str = "c3RhbmQtaW4tb2YtYS1rZXk=";
