//! A receiver that can be killed: a process of its own, and what is known to have been read by it.
//!
//! The process is this test binary once more, so nothing has to be built for it. It writes every message it has
//! read to a file before it reads on, and ends a connection in good order only when all of it is in the file: so
//! the file is what a SIEM that answers for what it has read would have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cefgate::certs::Development;

use super::received::Received;
use super::receiver;
use super::{port, signal, until};

/// How the receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads as fast as it can.
    Reads,
    /// Reads a little at a time.
    Slow,
    /// Shakes hands and never reads.
    Deaf,
    /// Reads, and never ends its side of a connection.
    NeverEnds,
    /// Reads, from senders whose certificate its authority has signed.
    AsksForCertificate,
}

/// A receiver with a port and certificates; whether it runs is up to the test.
pub struct Siem {
    pub port: u16,
    pub received: Received,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Siem {
    /// Not running yet.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Development::new(&[]).unwrap().write(&directory.path().join("certs")).unwrap();
        let received = Received::from(directory.path().join("received"));
        Self { port: port(), received, directory, child: None }
    }

    /// Running.
    pub fn started(mode: Mode) -> Self {
        let mut siem = Self::new();
        siem.start(mode);
        siem
    }

    /// Starts the process and waits until it listens.
    pub fn start(&mut self, mode: Mode) {
        assert!(self.child.is_none(), "it runs");
        let ready = self.file("ready");
        let _ = fs::remove_file(&ready); // of the process before
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", receiver::ENTRY, "--nocapture"])
            .env(receiver::DIRECTORY, self.directory.path())
            .env(receiver::PORT, self.port.to_string())
            .env(receiver::MODE, format!("{mode:?}"))
            .stdin(Stdio::piped()) // closed when this process ends, however it does
            .stdout(Stdio::null())
            .stderr(fs::File::options().create(true).append(true).open(self.file("errors")).unwrap());
        self.child = Some(command.spawn().unwrap());
        until("the receiver listens", || ready.exists().then_some(()));
    }

    /// Kills the process, with whatever it has not read.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the process where it is; the kernel goes on taking in data for it.
    pub fn freeze(&mut self) {
        signal("STOP", self.child.as_ref().unwrap().id());
    }

    /// Lets a stopped process go on.
    pub fn thaw(&mut self) {
        signal("CONT", self.child.as_ref().unwrap().id());
    }

    /// Bytes that lie in the receiver's sockets and that its process has not read, as the kernel counts them.
    pub fn unread(&self) -> u64 {
        self.queued(LOCAL, |(_, receive)| receive)
    }

    /// Waits until the receiver's sockets are so full that nothing moves any more.
    pub fn until_nothing_moves(&self) {
        let (mut unsent, mut n_same) = (0, 0);
        until("nothing moves", || {
            let before = std::mem::replace(&mut unsent, self.queued(REMOTE, |(send, _)| send));
            n_same = if unsent > 0 && unsent == before { n_same + 1 } else { 0 };
            (n_same == 100).then_some(())
        });
    }

    /// Bytes in one of the two queues of the connections that have our port at one of their ends.
    fn queued(&self, end: usize, queue: impl for<'r> Fn((&'r str, &'r str)) -> &'r str) -> u64 {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X}", self.port);
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[end].ends_with(&port) && matches!(row[STATE], ESTABLISHED | CLOSE_WAIT))
            .map(|row| u64::from_str_radix(queue(row[QUEUES].split_once(':').unwrap()), 16).unwrap())
            .sum()
    }

    /// The certificate of the authority that signed the receiver's.
    pub fn ca_file(&self) -> PathBuf {
        self.file("certs/ca.pem")
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The section of a destination that goes here; `settings` are lines of the sink's own.
    pub fn destination(&self, name: &str, settings: &str) -> String {
        self.destination_trusting(name, &self.ca_file(), settings)
    }

    /// The same, trusting another authority.
    pub fn destination_trusting(&self, name: &str, ca_file: &Path, settings: &str) -> String {
        format!(
            "[destination.{name}]\nhostname = 'gateway.example'\n[destination.{name}.tls_syslog]\n\
             address = '127.0.0.1:{}'\nca_file = '{}'\n{settings}\n",
            self.port,
            ca_file.display()
        )
    }

    /// What the process has said.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.file("errors")).unwrap_or_default()
    }
}

impl Drop for Siem {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("receiver: {}", self.errors());
        }
    }
}

// proc(5), net/tcp: columns, and the states of a connection
const LOCAL: usize = 1;
const REMOTE: usize = 2;
const STATE: usize = 3;
const QUEUES: usize = 4;
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";
