//! The receiver's process: what `siem` starts.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cefgate::syslog::{Deframer, Step};
use cefgate::tls;
use rustls::{ServerConnection, StreamOwned};

use super::sender::send_trusting;
use super::siem::{Mode, Siem};

/// Serves when `siem` has started this process for it; otherwise it is a test like any other.
#[test]
fn the_receiver_of_these_tests_ends_a_connection_when_all_of_it_is_in_its_file() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        serve(directory.into()).unwrap();
        return;
    }
    let mut siem = Siem::started(Mode::Reads);
    let message = "<134>1 - - - - - - CEF:0|v|p|1|id|n|1|cn1=1 cs1=a";
    let frames =
        format!("{} {message}{} {}", message.len(), message.len(), message.replace("cn1=1", "cn1=2"));
    send_trusting(&fs::read(siem.ca_file()).unwrap(), siem.port, frames.as_bytes());
    siem.received.read();
    assert_eq!((siem.received.n_messages, siem.received.n_distinct()), (2, 2));
}

fn serve(directory: PathBuf) -> io::Result<()> {
    let text = |name: &str| std::env::var(name).unwrap();
    let mode = match text(MODE).as_str() {
        "Slow" => Mode::Slow,
        "Deaf" => Mode::Deaf,
        "NeverEnds" => Mode::NeverEnds,
        "AsksForCertificate" => Mode::AsksForCertificate,
        _ => Mode::Reads,
    };
    let pem = |name: &str| fs::read(directory.join("certs").join(name));
    let authority = (mode == Mode::AsksForCertificate).then(|| pem("ca.pem")).transpose()?;
    let config = tls::server_config(&pem("server.pem")?, &pem("server.key")?, authority.as_deref()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", text(PORT).parse::<u16>().unwrap()))?;
    let mut log = File::options().create(true).append(true).open(directory.join("received"))?;
    // What a process before this one was writing when it was killed.
    log.write_all(b"\n!process\n")?;
    let log = Arc::new(Mutex::new(log));
    fs::write(directory.join("ready"), "")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is to be closed: the receiver is not missed by anybody"
    )]
    std::thread::spawn(|| {
        // The test that started this process has ended.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    for number in 0.. {
        let (tcp, _) = listener.accept()?;
        let (config, log) = (Arc::clone(&config), Arc::clone(&log));
        std::thread::spawn(move || {
            let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
            if let Err(error) = take(stream, number, mode, &log) {
                eprintln!("connection {number}: {error}");
            }
        });
    }
    Ok(())
}

/// Reads one connection to its end. A message is in the file before anything more is read.
fn take(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    number: u64,
    mode: Mode,
    log: &Mutex<File>,
) -> io::Result<()> {
    if mode == Mode::Deaf {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        loop {
            std::thread::park();
        }
    }
    let mut deframer = Deframer::new(1 << 20);
    let mut bytes = Vec::new();
    let mut buffer = vec![0; if mode == Mode::Slow { 8_000 } else { 64 << 10 }];
    let mut lines = Vec::new();
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let mut taken = 0;
        loop {
            match deframer.next(&bytes[taken..]) {
                Step::Message { message, used, .. } => {
                    write!(lines, "{number} ")?;
                    lines.extend_from_slice(message);
                    lines.push(b'\n');
                    taken += used;
                }
                Step::Fault { used, fault } => {
                    writeln!(lines, "!fault {fault}")?;
                    taken += used;
                }
                Step::More { used } => {
                    taken += used;
                    break;
                }
            }
        }
        bytes.drain(..taken);
        log.lock().unwrap().write_all(&lines)?;
        lines.clear();
        if mode == Mode::Slow {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
    if mode == Mode::NeverEnds {
        loop {
            std::thread::park();
        }
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// This test's name, for starting it alone.
pub const ENTRY: &str =
    "harness::receiver::the_receiver_of_these_tests_ends_a_connection_when_all_of_it_is_in_its_file";
pub const DIRECTORY: &str = "CEFGATE_TEST_RECEIVER_DIRECTORY";
pub const PORT: &str = "CEFGATE_TEST_RECEIVER_PORT";
pub const MODE: &str = "CEFGATE_TEST_RECEIVER_MODE";
