//! Opens connections: which address, the sockets' options, the handshake, and the wait for a late refusal.

use std::future::{Future as _, poll_fn};
use std::io;
use std::os::fd::AsFd as _;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rustls::ProtocolVersion;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tracing::{info, warn};

use super::config::{Address, Config};
use super::connection::{Connection, Events};
use super::stream::{Stream, Wire};
use crate::sink::SendError;
use crate::telemetry::chain;
use crate::tls;

/// The addresses of a destination and which of them to try first.
#[derive(Debug)]
pub(super) struct Route {
    name: Arc<str>,
    config: Config,
    /// The standby in use and when to try the first address again.
    failover: Mutex<Option<(usize, Instant)>>,
}

impl Route {
    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        Self { name, config, failover: Mutex::new(None) }
    }

    /// Opens connection number `id` to the first address that takes it.
    pub(super) async fn open(self: Arc<Self>, id: u64, events: Events) -> Result<Connection, SendError> {
        let addresses: Vec<&Address> =
            [&self.config.address].into_iter().chain(&self.config.standby).collect();
        let first = self.first();
        let mut failed = None;
        for offset in 0..addresses.len() {
            let index = (first + offset) % addresses.len();
            let address = addresses[index];
            match self.dial(address, id, &events).await {
                Ok(connection) => {
                    self.note(index, first, address);
                    return Ok(connection);
                }
                Err(error) => {
                    if addresses.len() > 1 {
                        warn!(destination = %self.name, %address, error = chain(&error), "receiver not reached; trying the next address");
                    }
                    // the first address is the one an operator looks at
                    if failed.is_none() || index == 0 {
                        failed = Some(error);
                    }
                }
            }
        }
        *self.failover.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Err(failed.unwrap_or_else(|| SendError::Closed { address: self.config.address.to_string() }))
    }

    fn first(&self) -> usize {
        match *self.failover.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((index, until)) if Instant::now() < until => index,
            _ => 0,
        }
    }

    fn note(&self, index: usize, first: usize, address: &Address) {
        let mut failover = self.failover.lock().unwrap_or_else(PoisonError::into_inner);
        let was = failover.map_or(0, |(index, _)| index);
        if index == 0 {
            *failover = None;
        } else if index != first || failover.is_none() {
            *failover = Some((index, Instant::now() + FIRST_ADDRESS_AGAIN));
        }
        if was != index {
            info!(destination = %self.name, %address, standby = index > 0, "receiver in use");
        }
    }

    async fn dial(&self, address: &Address, id: u64, events: &Events) -> Result<Connection, SendError> {
        let started = Instant::now();
        let timed_out = |during| SendError::Timeout {
            address: address.to_string(),
            during,
            after: self.config.connect_timeout,
        };
        let unreached = |source| SendError::Connect { address: address.to_string(), source };
        let tcp = timeout(self.config.connect_timeout, TcpStream::connect(address.as_str()))
            .await
            .map_err(|_| timed_out("connecting"))?
            .map_err(unreached)?;
        self.tune(&tcp).map_err(unreached)?;
        let probe = tcp.as_fd().try_clone_to_owned().map_err(unreached)?;
        let wire = Wire::new(tcp);
        let written = wire.written();
        if self.config.insecure_plain_tcp {
            let stream = Stream::Plain(wire);
            return Ok(Connection::new(id, address, stream, None, probe, written, events));
        }
        let connector = self.connector(address).await?;
        let left = self.config.connect_timeout.saturating_sub(started.elapsed());
        let stream = timeout(left, handshake(&connector, address, wire))
            .await
            .map_err(|_| timed_out("shaking hands"))?
            .map_err(|error| SendError::Refused {
                address: address.to_string(),
                source: connector.refusal(&error),
            })?;
        let stream = Stream::Tls(Box::new(stream));
        Ok(Connection::new(id, address, stream, Some(connector), probe, written, events))
    }

    fn tune(&self, tcp: &TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(tcp);
        let silence = self.config.keepalive;
        socket.set_tcp_keepalive(
            &TcpKeepalive::new().with_time(silence).with_interval(silence / 3).with_retries(3),
        )?;
        socket.set_tcp_user_timeout(Some(self.config.user_timeout))
    }

    /// The PEM files are read anew, off the runtime's threads.
    async fn connector(&self, address: &Address) -> Result<Arc<tls::Connector>, SendError> {
        let config = self.config.tls.clone();
        let unready = |source| SendError::Prepare { address: address.to_string(), source };
        match tokio::task::spawn_blocking(move || tls::Connector::new(&config)).await {
            Ok(connector) => connector.map(Arc::new).map_err(unready),
            Err(error) => Err(SendError::Connect { address: address.to_string(), source: error.into() }),
        }
    }
}

async fn handshake(connector: &tls::Connector, address: &Address, wire: Wire) -> io::Result<TlsStream<Wire>> {
    let mut stream = connector.connect(address.server_name(), wire).await?;
    if connector.was_asked_for_certificate() {
        late_refusal(&mut stream).await?;
    }
    Ok(stream)
}

/// The handshake of a client ends before the server has looked at its certificate (TLS 1.3; GnuTLS also in 1.2):
/// wait for the first session ticket, the refusal, or long enough.
async fn late_refusal(stream: &mut TlsStream<Wire>) -> io::Result<()> {
    let mut bound = pin!(sleep(LATE_REFUSAL));
    let is_tls13 = stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    poll_fn(|context| {
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending => {}
        }
        if is_tls13 && stream.get_ref().1.tls13_tickets_received() > 0 {
            return Poll::Ready(Ok(()));
        }
        bound.as_mut().poll(context).map(Ok)
    })
    .await
}

/// A receiver that refuses does so within a round trip; this is a long one.
const LATE_REFUSAL: Duration = Duration::from_millis(200);

/// How long a standby is preferred before the first address is tried again.
const FIRST_ADDRESS_AGAIN: Duration = Duration::from_secs(60);
