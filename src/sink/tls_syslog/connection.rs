//! One connection: written by the client, read all the time by a task of its own, ended in good order by another.
//!
//! ```text
//! open ──▶ current ──retire──▶ draining: close_notify, shutdown(WR) ──▶ both FINs acknowledged ──▶ Clean (receipt)
//!             │                    ├─ FIN acknowledged, no answer for drain_timeout ──▶ Unanswered, still watched
//!             └──── EOF, alert ────┴─ RST, error, no progress ──▶ Failed
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::config::Address;
use super::stream::Stream;
use crate::sink::SendError;
use crate::tcp_info::{State, TcpInfo};
use crate::tls::{Connector, Refusal};

/// Where connections report to. A connection reports twice at most.
pub(super) type Events = UnboundedSender<(u64, Event)>;

/// What became of a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// The receiver has read every byte and said so.
    Clean,
    /// Our end is acknowledged and the receiver does not end its side, or ends it without the `close_notify`
    /// that only the receiver itself can have sent.
    Unanswered { over: bool },
    /// Anything else: what it carried must be sent again.
    Failed(SendError),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) address: Arc<str>,
    /// Bytes of frames written.
    pub(super) bytes: u64,
    /// When the first and the last of them were.
    pub(super) used: Option<(Instant, Instant)>,
    writer: WriteHalf<Stream>,
    reader: JoinHandle<()>,
    half_closed: Arc<AtomicBool>,
    probe: Arc<OwnedFd>,
    written: Arc<AtomicU64>,
    largest_window: u32,
    events: Events,
}

impl Connection {
    pub(super) fn new(
        id: u64,
        address: &Address,
        stream: Stream,
        connector: Option<Arc<Connector>>,
        probe: OwnedFd,
        written: Arc<AtomicU64>,
        events: &Events,
    ) -> Self {
        let address: Arc<str> = address.as_str().into();
        let half_closed = Arc::new(AtomicBool::new(false));
        let probe = Arc::new(probe);
        let (read_half, writer) = tokio::io::split(stream);
        let reader = Reader {
            id,
            address: Arc::clone(&address),
            stream: read_half,
            connector,
            half_closed: Arc::clone(&half_closed),
            probe: Arc::clone(&probe),
            events: events.clone(),
        };
        let reader = tokio::spawn(reader.run());
        Self {
            id,
            address,
            bytes: 0,
            used: None,
            writer,
            reader,
            half_closed,
            probe,
            written,
            largest_window: 0,
            events: events.clone(),
        }
    }

    /// Writes all of `frames` to the socket; `bound` is on time without progress.
    pub(super) async fn write(&mut self, frames: &[u8], bound: Duration) -> Result<(), SendError> {
        let mut rest = frames;
        let late = |address: &str| SendError::Timeout {
            address: address.to_owned(),
            during: "writing: the receiver does not read",
            after: bound,
        };
        let broken = |address: &str, source| SendError::Broken { address: address.to_owned(), source };
        while !rest.is_empty() {
            let written = timeout(bound, self.writer.write(rest))
                .await
                .map_err(|_| late(&self.address))?
                .map_err(|source| broken(&self.address, source))?;
            if written == 0 {
                return Err(broken(&self.address, io::ErrorKind::WriteZero.into()));
            }
            rest = &rest[written..];
        }
        timeout(bound, self.writer.flush())
            .await
            .map_err(|_| late(&self.address))?
            .map_err(|source| broken(&self.address, source))?;
        let now = Instant::now();
        self.used = Some((self.used.map_or(now, |(first, _)| first), now));
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// Bytes the kernel has taken for the wire.
    pub(super) fn wire(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Wire bytes the receiver's process has read, by the kernel's numbers (architecture §6): what is
    /// acknowledged, less what the window shrank from its largest, less a margin. An estimate, not a bound.
    pub(super) fn estimate(&mut self) -> Option<u64> {
        let info = TcpInfo::of(&self.probe).ok()?;
        let window = info.send_window?;
        self.largest_window = self.largest_window.max(window);
        let unread = u64::from(self.largest_window - window) + ESTIMATE_MARGIN;
        info.bytes_acknowledged.checked_sub(1 + unread) // 1: the SYN
    }

    /// Whether the reader has ended, and with it the connection.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    /// Ends it in good order beside whatever comes next.
    pub(super) fn retire(self, drain_timeout: Duration) -> Draining {
        let Self { id, address, writer, reader, half_closed, probe, events, .. } = self;
        half_closed.store(true, Ordering::Release);
        let abort = reader.abort_handle();
        let task = tokio::spawn(drain(id, address, writer, reader, probe, events, drain_timeout));
        Draining { id, held: false, aborts: [abort, task.abort_handle()] }
    }

    /// Ends it for nothing but courtesy: whatever it carried is sent again.
    pub(super) fn dismiss(self) {
        let Self { mut writer, reader, .. } = self;
        tokio::spawn(async move {
            // unread session tickets would turn the close into a reset, so the reader outlives the shutdown
            let end = async {
                writer.shutdown().await.ok();
                reader.await.ok();
            };
            timeout(COURTESY, end).await.ok();
        });
    }
}

/// A connection that is being ended. Dropping it closes the socket.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) id: u64,
    /// Named as unanswered and kept only to see what becomes of it.
    pub(super) held: bool,
    aborts: [tokio::task::AbortHandle; 2],
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// Sends the end, then watches that things move on until the reader has reported.
async fn drain(
    id: u64,
    address: Arc<str>,
    mut writer: WriteHalf<Stream>,
    mut reader: JoinHandle<()>,
    probe: Arc<OwnedFd>,
    events: Events,
    patience: Duration,
) {
    let mut progress = Progress::default();
    let mut since = Instant::now();
    let mut half_close = std::pin::pin!(writer.shutdown());
    let mut is_sent = false;
    loop {
        tokio::select! {
            _ = &mut reader => return,
            // an error here is the reader's to report
            _ = &mut half_close, if !is_sent => is_sent = true,
            () = sleep(patience / PROGRESS_CHECKS) => {}
        }
        let now = Progress::of(&probe);
        if now != progress {
            (progress, since) = (now, Instant::now());
        } else if since.elapsed() >= patience {
            break;
        }
    }
    if matches!(progress.state, State::FinAcknowledged) {
        events.send((id, Event::Unanswered { over: false })).ok();
        reader.await.ok();
    } else {
        let during = "ending a connection: the receiver does not read";
        let error = SendError::Timeout { address: address.to_string(), during, after: patience };
        events.send((id, Event::Failed(error))).ok();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    state: State,
    acknowledged: u64,
}

impl Progress {
    fn of(probe: &OwnedFd) -> Self {
        TcpInfo::of(probe)
            .map(|info| Self { state: info.state, acknowledged: info.bytes_acknowledged })
            .unwrap_or_default()
    }
}

/// Reads all the time: session tickets, alerts, the end.
struct Reader {
    id: u64,
    address: Arc<str>,
    stream: ReadHalf<Stream>,
    connector: Option<Arc<Connector>>,
    half_closed: Arc<AtomicBool>,
    probe: Arc<OwnedFd>,
    events: Events,
}

impl Reader {
    async fn run(mut self) {
        let event = self.end().await;
        self.events.send((self.id, event)).ok();
    }

    async fn end(&mut self) -> Event {
        let mut buffer = [0; 1024];
        let end = loop {
            match self.stream.read(&mut buffer).await {
                Ok(0) => break Ok(()),
                Ok(_) => {} // syslog has no replies; whatever it is, it is not one
                Err(error) => break Err(error),
            }
        };
        let is_ours = self.half_closed.load(Ordering::Acquire);
        match end {
            Ok(()) if is_ours => match self.both_ends_acknowledged().await {
                Ok(()) => Event::Clean,
                Err(error) => self.broken(error),
            },
            // a bare FIN: the receiver's kernel says that all was read, but anybody on the way can forge it
            Err(error) if is_ours && error.kind() == io::ErrorKind::UnexpectedEof => {
                match self.both_ends_acknowledged().await {
                    Ok(()) => Event::Unanswered { over: true },
                    Err(error) => self.broken(error),
                }
            }
            Ok(()) => self.closed(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.closed(),
            Err(error) => self.broken(error),
        }
    }

    /// The receiver's end alone is no receipt: it may have closed by itself while our last bytes were on their
    /// way, and its kernel then answers them with a reset. Only when both FINs are acknowledged is there none.
    async fn both_ends_acknowledged(&self) -> io::Result<()> {
        let mut wait = Duration::from_millis(1);
        loop {
            if TcpInfo::of(&self.probe)?.state == State::Over {
                return SockRef::from(&*self.probe).take_error()?.map_or(Ok(()), Err);
            }
            sleep(wait).await; // close_notify comes before the FIN, and no event tells of the latter
            wait = (wait * 2).min(LONGEST_CHECK);
        }
    }

    fn closed(&self) -> Event {
        let refusal =
            self.connector.as_ref().map(|connector| connector.refusal(&io::ErrorKind::UnexpectedEof.into()));
        Event::Failed(match refusal {
            Some(source @ Refusal::ClientCertificateDemanded) => {
                SendError::Refused { address: self.address.to_string(), source }
            }
            _ => SendError::Closed { address: self.address.to_string() },
        })
    }

    fn broken(&self, error: io::Error) -> Event {
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        let address = self.address.to_string();
        Event::Failed(match &self.connector {
            Some(connector) if is_tls => SendError::Refused { address, source: connector.refusal(&error) },
            _ => SendError::Broken { address, source: error },
        })
    }
}

/// Unread tails of up to 200 kB were seen not to shrink the window (architecture §6).
const ESTIMATE_MARGIN: u64 = 256 * 1024;

/// How often within `drain_timeout` progress is looked at.
const PROGRESS_CHECKS: u32 = 20;

const LONGEST_CHECK: Duration = Duration::from_millis(100);

/// How long a connection that no longer counts may take for its end.
const COURTESY: Duration = Duration::from_secs(2);
