//! Debian's syslog-ng, unpacked beside rsyslog, with two TLS listeners: `syslog()` takes octet counting only,
//! `network()` lines only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peer::{Peer, free_port, missing};

/// A running syslog-ng.
pub struct SyslogNg {
    pub peer: Peer,
    /// Octet counting, RFC 5424.
    pub octet_port: u16,
    /// Lines.
    pub line_port: u16,
}

impl SyslogNg {
    /// Starts one that writes every message as it was received, one file a listener.
    pub fn start() -> Self {
        let root = root();
        let program = root.join("usr/sbin/syslog-ng");
        if !program.exists() {
            missing(program.to_str().unwrap(), &"there is no such file");
        }
        let (directory, certificates) = Peer::folder();
        let (octet_port, line_port) = (free_port(), free_port());
        let folder = directory.path().display();
        let tls = format!(
            "tls(key-file(\"{folder}/certs/server.key\") cert-file(\"{folder}/certs/server.pem\") \
             peer-verify(optional-untrusted))"
        );
        let configuration = format!(
            r#"@version: 3.38
options {{ log-msg-size(65536); keep-hostname(yes); stats-freq(0); }};
source octet {{ syslog(ip("127.0.0.1") port({octet_port}) transport("tls") {tls} flags(store-raw-message)); }};
source line {{ network(ip("127.0.0.1") port({line_port}) transport("tls") {tls} flags(syslog-protocol, store-raw-message)); }};
destination octet {{ file("{folder}/{OCTET}" template("${{RAWMSG}}\n")); }};
destination line {{ file("{folder}/{LINE}" template("${{RAWMSG}}\n")); }};
log {{ source(octet); destination(octet); }};
log {{ source(line); destination(line); }};
"#
        );
        let file = directory.path().join("syslog-ng.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", libraries(&root)).args(["-F", "--no-caps"]).arg("-f").arg(&file);
        command.arg(format!("--module-path={}", root.join("usr/lib/syslog-ng/3.38").display()));
        for (option, name) in [("persist-file", "persist"), ("pidfile", "pid"), ("control", "control")] {
            command.arg(format!("--{option}={}", directory.path().join(name).display()));
        }
        Self {
            peer: Peer::start(directory, certificates, command, &[octet_port, line_port]),
            octet_port,
            line_port,
        }
    }

    /// The first `n` messages that came octet-counted, as soon as they are there.
    pub fn received_octet(&mut self, n: usize) -> Vec<String> {
        self.peer.lines(OCTET, n)
    }

    /// The first `n` messages that came as lines, as soon as they are there.
    pub fn received_lines(&mut self, n: usize) -> Vec<String> {
        self.peer.lines(LINE, n)
    }
}

/// Where `tests/peers` unpacks it.
fn root() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng");
    std::env::var_os("CEFGATE_SYSLOG_NG").map_or_else(default, PathBuf::from)
}

fn libraries(root: &Path) -> String {
    let pattern = |end: &str| format!("{}/{end}", root.display());
    let folders = [pattern("usr/lib/*-linux-gnu"), pattern("lib/*-linux-gnu"), pattern("usr/lib/syslog-ng")];
    let folders = folders.iter().flat_map(|pattern| glob::glob(pattern).unwrap());
    folders.map(|folder| folder.unwrap().display().to_string()).collect::<Vec<_>>().join(":")
}

const OCTET: &str = "octet.log";
const LINE: &str = "line.log";
