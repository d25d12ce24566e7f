//! The door for SIEMs: HTTP over TLS, `PATCH /v1/alerts/{id}` and `PATCH /v1/incidents/{id}`.
//!
//! `config` is the section · `guard` says who may come in and how often · `request` takes one request to its end ·
//! `answer` is what is sent back. Connections, heads, bodies and time are bounded; the certificate is read at each
//! connection, so that renewing it needs no restart.

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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

pub use self::config::{AlertApi, Config, IncidentApi};

use self::request::Office;
use super::words::{self, Object};
use super::{Patience, Writer};
use crate::azure::Tenants;
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
        let mut writers = HashMap::new();
        for name in &config.tenants {
            let Some(tenant) = tenants.get(name) else { continue };
            for object in [Object::Alert, Object::Incident] {
                for row in object.apis().iter().filter_map(|api| words::row(object, api)) {
                    let own = own(name, row.table);
                    if let Some(writer) = Writer::new(tenant.clone(), row, PATIENCE, own) {
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
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        info!(address = %self.address, "changes for Defender are taken in");
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match (accepted, Arc::clone(&room).try_acquire_owned()) {
                (Ok((stream, peer)), Ok(permit)) => {
                    let (acceptor, office, stop) = (self.acceptor(), self.office.clone(), stop.clone());
                    connections.spawn(async move {
                        serve(stream, peer, acceptor, office, stop).await;
                        drop(permit);
                    });
                }
                (Ok((_, peer)), Err(_)) => {
                    warn!(%peer, most = MOST_CONNECTIONS, "turned away: too many connections")
                }
                (Err(error), _) => {
                    // Out of descriptors, most likely: room comes when a connection ends.
                    warn!(%error, "accept failed; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        // What takes longer is broken off; its caller learns that it does not know.
        let _ = tokio::time::timeout(LAST_REQUESTS, finished).await;
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
        let task = tokio::spawn(async move { office.serve(request, peer, certificate).await });
        async move {
            Ok::<_, Infallible>(task.await.unwrap_or_else(|_| {
                answer::refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "the request was not finished",
                    "",
                )
            }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD_BYTES);
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

/// Whoever sent the request is told to wait, and does not wait here.
const PATIENCE: Patience = Patience { tries: 1, longest: Duration::ZERO };
const MOST_CONNECTIONS: usize = 64;
const MOST_HEAD_BYTES: usize = 16 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request, and between two on one connection.
const HEAD: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LAST_REQUESTS: Duration = Duration::from_secs(10);
