//! A syslog receiver over TLS or TCP: what `listen`, `demo` and the tests look through to see what arrives.
//!
//! It reads each connection to its end and closes it cleanly, so that a sender gets its receipt: the receipt means
//! here that every message was handed on through the channel. It keeps nothing and is no store.

mod message;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::message::{Body, Message, Syslog};
pub use self::tally::Tally;
use crate::syslog::{Deframer, Fault, Step};

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    max_frame_bytes: usize,
}

impl Listener {
    /// Binds the address; `tls` is absent for plain TCP. Longer frames than `max_frame_bytes` are passed over and
    /// reported.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        max_frame_bytes: usize,
    ) -> Result<Self, ListenError> {
        let bind = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(bind)?;
        Ok(Self { socket, tls: tls.map(TlsAcceptor::from), max_frame_bytes })
    }

    /// Where it listens: with the port the system chose, where 0 was asked for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until told to stop or until nobody takes the arrivals any more. What was sent on
    /// connections that are open then is not acknowledged: they are broken off.
    pub async fn run(self, arrivals: mpsc::Sender<Arrival>, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = arrivals.closed() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        number += 1;
                        let from = From { connection: number, peer };
                        let connection = Connection { from, arrivals: arrivals.clone(), max_frame_bytes: self.max_frame_bytes };
                        connections.spawn(connection.serve(stream, self.tls.clone()));
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: room comes when a connection ends.
                        warn!(%error, "accept failed; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
}

/// Something a connection brought.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Which connection.
    pub from: From,
    /// What.
    pub what: What,
}

/// The connection something came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct From {
    /// Counted from 1 in the order of arrival.
    pub connection: u64,
    /// The other end.
    pub peer: SocketAddr,
}

/// What a connection brought.
#[derive(Clone, Debug)]
pub enum What {
    /// The handshake is done.
    Opened,
    /// A message.
    Message(Box<Message>),
    /// A part of the stream that was passed over.
    Skipped(Fault),
    /// The end.
    Closed(End),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender half-closed it between two messages, everything was read, and it was told so.
    Clean,
    /// The sender half-closed it in the middle of a message: how many bytes of one there were.
    Torn(usize),
    /// It failed.
    Failed(String),
}

/// Why nothing can be received.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("listen on `{address}`")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

struct Connection {
    from: From,
    arrivals: mpsc::Sender<Arrival>,
    max_frame_bytes: usize,
}

/// Nobody takes arrivals any more.
struct Gone;

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        break_off_when_dropped(&stream, true);
        let end = match tls {
            None => self.read(stream, |stream| stream).await,
            Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.read(stream, |stream| stream.get_ref().0).await,
                Ok(Err(error)) => Ok(End::Failed(format!("handshake: {error}"))),
                Err(_) => Ok(End::Failed("handshake: not finished in time".to_owned())),
            },
        };
        if let Ok(end) = end {
            debug!(peer = %self.from.peer, ?end, "connection ended");
            // Nobody is left to tell where this fails.
            let _ = self.tell(What::Closed(end)).await;
        }
    }

    /// Reads to the end, then closes.
    async fn read<S>(&self, mut stream: S, socket: fn(&S) -> &TcpStream) -> Result<End, Gone>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.tell(What::Opened).await?;
        let mut deframer = Deframer::new(self.max_frame_bytes);
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            buffer.reserve(READ_BYTES);
            match stream.read_buf(&mut buffer).await {
                Ok(0) => break,
                Ok(_) => self.take(&mut deframer, &mut buffer).await?,
                Err(error) => return Ok(End::Failed(error.to_string())),
            }
        }
        let end = match deframer.rest(&buffer) {
            None => End::Clean,
            Some(rest) => End::Torn(rest.len()),
        };
        break_off_when_dropped(socket(&stream), false);
        match tokio::time::timeout(CLOSE, stream.shutdown()).await {
            Ok(Ok(())) => Ok(end),
            Ok(Err(error)) => Ok(End::Failed(format!("close: {error}"))),
            Err(_) => Ok(End::Failed("close: not finished in time".to_owned())),
        }
    }

    /// Hands on every whole message in the buffer.
    async fn take(&self, deframer: &mut Deframer, buffer: &mut Vec<u8>) -> Result<(), Gone> {
        let mut taken = 0;
        loop {
            let (what, used) = match deframer.next(buffer.get(taken..).unwrap_or_default()) {
                Step::Message { message, used, .. } => {
                    (What::Message(Box::new(Message::read(message))), used)
                }
                Step::Fault { used, fault } => (What::Skipped(fault), used),
                Step::More { used } => {
                    buffer.drain(..taken + used);
                    return Ok(());
                }
            };
            taken += used;
            self.tell(what).await?;
        }
    }

    async fn tell(&self, what: What) -> Result<(), Gone> {
        self.arrivals.send(Arrival { from: self.from, what }).await.map_err(|_| Gone)
    }
}

/// A socket that is dropped early must not look like one that was read to its end: with this its end is a reset,
/// which no sender takes for a receipt.
fn break_off_when_dropped(stream: &TcpStream, wanted: bool) {
    if let Err(error) = SockRef::from(stream).set_linger(wanted.then_some(Duration::ZERO)) {
        debug!(%error, "linger not set");
    }
}

const READ_BYTES: usize = 64 * 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
