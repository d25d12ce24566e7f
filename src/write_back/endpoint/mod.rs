//! The door for SIEMs: HTTP over TLS, `PATCH /v1/alerts/{id}` and `PATCH /v1/incidents/{id}`.
//!
//! `config` is the section · `guard` says who may come in and how often · `request` takes one request to its end ·
//! `answer` is what is sent back. Connections, heads, bodies and time are bounded, and a connection carries one request;
//! the certificate is read at each, so that renewing it needs no restart.

mod answer;
mod config;
mod guard;
mod request;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

pub use self::config::{AlertApi, Config, IncidentApi};

use self::answer::Refusal;
use self::guard::{Places, Turnstile};
use self::request::Office;
use super::words::{self, Object};
use super::{Patience, Writer};
use crate::azure::{Rate, Tenants};
use crate::defender::OwnUpdates;
use crate::tls::Pin;

/// A bound door.
pub struct Endpoint {
    socket: TcpListener,
    address: SocketAddr,
    config: Config,
    office: Arc<Office>,
    tls: Arc<ServerConfig>,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be bound.
    #[error("listen for `[write_back]` on `{address}`")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not usable.
    #[error("[write_back] `{0}`: {1}")]
    File(&'static str, String),
}

impl Endpoint {
    /// Binds the configured address; `None` when there is none. `own` says where own changes to records of a tenant's
    /// table are written down.
    ///
    /// # Errors
    /// The address cannot be bound, or a file is not usable.
    pub async fn bind(
        config: &Config,
        tenants: &Tenants,
        own: impl Fn(&str, &str) -> Option<OwnUpdates>,
    ) -> Result<Option<Self>, EndpointError> {
        let Some(address) = config.listen else { return Ok(None) };
        let tls = config.server().map_err(|(key, fault)| EndpointError::File(key, fault))?;
        // Whoever sent the request is told to wait, and does not wait here.
        let patience =
            Patience { tries: 1, longest: Duration::ZERO, turn: Some(LONGEST_TURN.min(config.timeout / 2)) };
        let mut writers = HashMap::new();
        for name in &config.tenants {
            let Some(tenant) = tenants.get(name) else { continue };
            for object in [Object::Alert, Object::Incident] {
                for row in object.apis().iter().filter_map(|api| words::row(object, api)) {
                    let own = own(name, row.table);
                    if let Some(writer) = Writer::new(tenant.clone(), row, patience, own) {
                        writers.insert((name.clone(), row.table), writer);
                    }
                }
            }
        }
        let socket =
            TcpListener::bind(address).await.map_err(|source| EndpointError::Bind { address, source })?;
        let office = Arc::new(Office::new(config.clone(), writers));
        Ok(Some(Self { socket, address, config: config.clone(), office, tls }))
    }

    /// Serves until told to stop; requests in hand are then finished.
    pub async fn run(mut self, stop: CancellationToken) {
        let places = Places::new(MOST_CONNECTIONS, MOST_OF_ONE);
        let turned_away = Turnstile::new(Rate { requests: 1, window: Duration::from_mins(1) });
        let mut connections = JoinSet::new();
        // Requests outlive their connections: each ends with its line in the audit log.
        let requests = TaskTracker::new();
        info!(address = %self.address, "changes for Defender are taken in");
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: room comes when a connection ends.
                    warn!(%error, "accept failed; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = places.take(peer.ip()) else {
                if turned_away.pass(Instant::now()).is_ok() {
                    warn!(%peer, MOST_CONNECTIONS, MOST_OF_ONE, "turned away: too many connections; said once a minute");
                }
                continue;
            };
            let (acceptor, office) = (self.acceptor(), self.office.clone());
            let (requests, stop) = (requests.clone(), stop.clone());
            let longest = HANDSHAKE + HEAD + office.longest() + LAST_WORDS;
            connections.spawn(async move {
                let served = serve(stream, peer, acceptor, office, requests, stop);
                if tokio::time::timeout(longest, served).await.is_err() {
                    debug!(%peer, "the connection took too long");
                }
                drop(place);
            });
        }
        requests.close();
        let mut finished = pin!(async {
            while connections.join_next().await.is_some() {}
            requests.wait().await;
        });
        if tokio::time::timeout(LAST_REQUESTS, &mut finished).await.is_err() {
            self.office.break_off();
            let _ = tokio::time::timeout(LAST_WORDS, finished).await;
        }
    }

    /// With the files as they are now; as they were, when they are not usable.
    fn acceptor(&mut self) -> TlsAcceptor {
        match self.config.server() {
            Ok(tls) => self.tls = tls,
            Err((key, fault)) => error!(key, fault, "[write_back] goes on with the certificate it had"),
        }
        TlsAcceptor::from(self.tls.clone())
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    office: Arc<Office>,
    requests: TaskTracker,
    stop: CancellationToken,
) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%peer, %error, "handshake failed"),
        Err(_) => return debug!(%peer, "handshake not finished in time"),
    };
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|own| Pin::of(own));
    let service = service_fn(move |request| {
        let office = office.clone();
        // A task of its own: a caller who hangs up neither breaks off a change nor keeps it out of the log.
        let task = requests.spawn(async move { office.serve(request, peer, certificate).await });
        async move {
            Ok::<_, Infallible>(task.await.unwrap_or_else(|_| {
                let message = "the request was not finished";
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).answer()
            }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD_BYTES).keep_alive(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection ended");
    }
}

/// Sources take their turns within the same limits; for so long a request stands in line with them.
const LONGEST_TURN: Duration = Duration::from_secs(5);
const MOST_CONNECTIONS: usize = 64;
/// Of them, of one address.
const MOST_OF_ONE: usize = 16;
const MOST_HEAD_BYTES: usize = 16 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// At the end of the program, for the requests in hand.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// For an answer to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);
