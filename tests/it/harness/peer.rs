//! A receiver that is not ours: a program started for one test, ended by its own process id.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cefgate::certs::Development;

/// A running receiver, its folder, and the certificates it shows.
pub struct Peer {
    pub directory: tempfile::TempDir,
    pub certificates: Development,
    child: Child,
}

impl Peer {
    /// Starts the program that `command` makes of a folder with certificates in `certs`, and waits until it
    /// listens on all of `ports`. Its output goes to `output.log`.
    pub fn start(
        directory: tempfile::TempDir,
        certificates: Development,
        mut command: Command,
        ports: &[u16],
    ) -> Self {
        let output = fs::File::create(directory.path().join("output.log")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child =
            command.spawn().unwrap_or_else(|error| missing(command.get_program().to_str().unwrap(), &error));
        let mut peer = Self { directory, certificates, child };
        for port in ports {
            peer.wait_until("it listens", |peer| {
                let ended = peer.child.try_wait().unwrap();
                assert!(ended.is_none(), "ended at once: {}", peer.output());
                TcpStream::connect(address(*port)).is_ok()
            });
        }
        peer
    }

    /// A folder with fresh certificates.
    pub fn folder() -> (tempfile::TempDir, Development) {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Development::new(&[]).unwrap();
        certificates.write(&directory.path().join("certs")).unwrap();
        (directory, certificates)
    }

    /// The certificate of the authority that signed the receiver's.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("certs/ca.pem")
    }

    /// The first `n` lines that the receiver has written to this file, as soon as they are there.
    pub fn lines(&mut self, file: &str, n: usize) -> Vec<String> {
        let path = self.directory.path().join(file);
        self.wait_until(&format!("{n} messages are in {file}"), |_| written(&path).len() >= n);
        written(&path)
    }

    fn wait_until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "waited in vain until {what}: {}", self.all());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Everything it has written: what it says and what it received.
    fn all(&self) -> String {
        let files = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        texts.map(|path| format!("\n{}:\n{}", path.display(), fs::read_to_string(&path).unwrap())).collect()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output.log")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen or will not care for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The local address of a port.
pub fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Fails the test with the command that installs what is missing.
pub fn missing(program: &str, error: &dyn std::fmt::Display) -> ! {
    panic!("cannot start {program}: {error}; install the receivers for tests with `tests/peers`")
}

fn written(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
