//! Debian's rsyslog with `imtcp` over TLS: one port that takes octet counting and lines alike.

use std::fs;
use std::process::Command;

use super::peer::{Peer, free_port};

/// A running rsyslog.
pub struct Rsyslog {
    pub peer: Peer,
    pub port: u16,
}

impl Rsyslog {
    /// Starts one that writes every message as it was received.
    pub fn start() -> Self {
        let (directory, certificates) = Peer::folder();
        let port = free_port();
        let folder = directory.path().display();
        let configuration = format!(
            r#"global(
  workDirectory="{folder}"
  maxMessageSize="64k"
  defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{folder}/certs/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/certs/server.pem"
  defaultNetstreamDriverKeyFile="{folder}/certs/server.key"
)
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="raw" type="string" string="%rawmsg%\n")
action(type="omfile" file="{folder}/{RECEIVED}" template="raw")
"#
        );
        let file = directory.path().join("rsyslog.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(&file).arg("-i").arg(directory.path().join("pid"));
        Self { peer: Peer::start(directory, certificates, command, &[port]), port }
    }

    /// The first `n` messages, as soon as they are there.
    pub fn received(&mut self, n: usize) -> Vec<String> {
        self.peer.lines(RECEIVED, n)
    }
}

const RECEIVED: &str = "received.log";
