//! A receiver on 127.0.0.1 that does as it is told and knows what its process has read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::{Address, Config};
use crate::certs::Development;
use crate::tls;

/// What to do with one connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// Read to the end and end in good order.
    ReadAll,
    /// Read to the end, in small bites with pauses.
    ReadSlowly,
    /// Read so many bytes, then reset.
    Reset(usize),
    /// Read so many bytes, then close with whatever is unread.
    Close(usize),
    /// Read so many bytes, pause, then reset.
    StopThenReset(usize, Duration),
    /// Read to the end, and end nothing until `release`.
    Hold,
    /// Read to the end and close without close_notify.
    BareEnd,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// All numbers read, over all connections.
    pub(super) numbers: BTreeSet<u64>,
    /// First number of each connection with one, in the order they were read.
    pub(super) first: Vec<u64>,
    pub(super) accepted: usize,
    pub(super) ended: usize,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    pub(super) log: Arc<Mutex<Log>>,
    changed: watch::Sender<u64>,
    release: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// `plan` is asked for each connection by its number, from 0.
    pub(super) async fn start(
        tls: Option<Arc<ServerConfig>>,
        plan: impl Fn(usize) -> Plan + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, tls, plan)
    }

    pub(super) fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        plan: impl Fn(usize) -> Plan + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let changed = watch::Sender::new(0);
        let release = watch::Sender::new(false);
        let state = (Arc::clone(&log), changed.clone(), release.clone());
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = {
                    let mut log = state.0.lock().unwrap();
                    log.accepted += 1;
                    log.accepted - 1
                };
                state.1.send_modify(|version| *version += 1);
                let (tls, plan, state) = (tls.clone(), plan(number), state.clone());
                tokio::spawn(async move {
                    let visit = Visit { log: state.0, changed: state.1, release: state.2.subscribe() };
                    visit.run(tcp, tls, plan).await;
                });
            }
        });
        Self { address, log, changed, release, task }
    }

    pub(super) fn release(&self) {
        self.release.send_replace(true);
    }

    /// Waits until the log satisfies `condition`.
    pub(super) async fn until(&self, condition: impl Fn(&Log) -> bool) {
        let mut changed = self.changed.subscribe();
        while !condition(&self.log.lock().unwrap()) {
            changed.changed().await.unwrap();
        }
    }

    pub(super) fn has(&self, numbers: std::ops::RangeInclusive<u64>) -> bool {
        let log = self.log.lock().unwrap();
        numbers.into_iter().all(|number| log.numbers.contains(&number))
    }
}

struct Visit {
    log: Arc<Mutex<Log>>,
    changed: watch::Sender<u64>,
    release: watch::Receiver<bool>,
}

impl Visit {
    async fn run(mut self, tcp: TcpStream, tls: Option<Arc<ServerConfig>>, plan: Plan) {
        let resets = matches!(plan, Plan::Reset(_) | Plan::StopThenReset(..));
        if resets {
            SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        }
        match tls {
            None => self.follow(tcp, plan).await,
            Some(tls) => {
                if let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await {
                    self.follow(stream, plan).await;
                }
            }
        }
        self.log.lock().unwrap().ended += 1;
        self.changed.send_modify(|version| *version += 1);
    }

    async fn follow<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut stream: S, plan: Plan) {
        match plan {
            Plan::ReadAll => self.read(&mut stream, usize::MAX, 64 * 1024, None).await,
            Plan::ReadSlowly => {
                self.read(&mut stream, usize::MAX, 4000, Some(Duration::from_micros(200))).await;
            }
            Plan::Reset(bytes) | Plan::Close(bytes) => {
                self.read(&mut stream, bytes, 4096, None).await;
                return;
            }
            Plan::StopThenReset(bytes, pause) => {
                self.read(&mut stream, bytes, 4096, None).await;
                tokio::time::sleep(pause).await;
                return;
            }
            Plan::Hold => {
                self.read(&mut stream, usize::MAX, 64 * 1024, None).await;
                self.release.wait_for(|released| *released).await.ok();
            }
            Plan::BareEnd => {
                self.read(&mut stream, usize::MAX, 64 * 1024, None).await;
                return;
            }
        }
        stream.shutdown().await.ok();
    }

    /// Reads lines of numbers up to `bytes` or the end.
    async fn read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        bytes: usize,
        bite: usize,
        pause: Option<Duration>,
    ) {
        let mut buffer = vec![0; bite];
        let mut line = Vec::new();
        let mut total = 0;
        let mut is_first = true;
        while total < bytes {
            let Ok(read @ 1..) = stream.read(&mut buffer).await else { break };
            total += read;
            {
                let mut log = self.log.lock().unwrap();
                for byte in &buffer[..read] {
                    if *byte != b'\n' {
                        line.push(*byte);
                        continue;
                    }
                    let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
                    let number = text.split(' ').next().unwrap().parse().unwrap();
                    log.numbers.insert(number);
                    if std::mem::take(&mut is_first) {
                        log.first.push(number);
                    }
                }
            }
            self.changed.send_modify(|version| *version += 1);
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Certificates, and the files a destination names.
pub(super) struct World {
    pub(super) certificates: Development,
    pub(super) directory: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let certificates = Development::new(&[]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        certificates.write(directory.path()).unwrap();
        Self { certificates, directory }
    }

    pub(super) fn server(&self) -> Option<Arc<ServerConfig>> {
        let Development { server, .. } = &self.certificates;
        Some(tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), None).unwrap())
    }

    pub(super) fn server_that_asks(&self) -> Option<Arc<ServerConfig>> {
        let Development { server, authority, .. } = &self.certificates;
        let authority = Some(authority.certificate.as_bytes());
        Some(tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), authority).unwrap())
    }

    /// A destination that rotates on nothing but a short quiet.
    pub(super) fn config(&self, address: SocketAddr) -> Config {
        let mut config = Config::new(Address::try_from(address.to_string()).unwrap());
        config.tls.ca_file = Some(self.directory.path().join("ca.pem"));
        config.quiet = Duration::from_millis(20);
        config
    }
}

/// A line with its number, `bytes` long.
pub(super) fn line(number: u64, bytes: usize) -> Vec<u8> {
    let mut line = format!("{number} ").into_bytes();
    line.resize(bytes.max(line.len() + 1) - 1, b'x');
    line.push(b'\n');
    line
}

/// Lines of a range of numbers.
pub(super) fn lines(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<u8> {
    numbers.flat_map(|number| line(number, bytes)).collect()
}
