//! A connection to a namespace: TLS, AMQP 1.0, tokens, what a hub says of itself, and the link that events come on.
//!
//! Nothing is awaited without a limit: a peer that does not answer is a peer that is gone. A connection is never
//! repaired: after an error it is dropped and another one made, from the durable place.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Session};
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use fe2o3_amqp_management::client::MgmtClient;
use fe2o3_amqp_management::error::Error as RequestError;
use fe2o3_amqp_types::definitions::{Fields, SenderSettleMode};
use fe2o3_amqp_types::messaging::{FilterSet, Source};
use fe2o3_amqp_types::primitives::{OrderedMap, Symbol, Timestamp, Value};
use fe2o3_amqp_ws::WebSocketStream;
use rustls::pki_types::ServerName;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use tokio_rustls::TlsConnector;

use super::access::{Access, AccessError};
use super::config::Transport;
use super::place::Place;
use super::query::{Read, Reply};
use crate::network::Network;

/// How a namespace is reached. Clones share it.
#[derive(Clone)]
pub struct Namespace {
    /// Its host name, which also stands in the addresses of links.
    pub name: String,
    /// What to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What carries AMQP there.
    pub transport: Transport,
    /// The way out.
    pub network: Network,
    /// What opens it.
    pub access: Access,
}

/// What a partition says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The oldest event that is still there.
    pub first: i64,
    /// The newest; -1 or one less than `first` when there is none.
    pub last: i64,
    /// The offset of the newest.
    pub last_offset: String,
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It cannot be made.
    #[error("connect to `{0}`")]
    Connect(String, #[source] io::Error),
    /// There is no answer.
    #[error("no answer: {0}")]
    Silent(&'static str),
    /// The service refuses, or the connection broke.
    #[error("{what}: {cause}{}", hint(cause))]
    Amqp {
        /// What was attempted.
        what: &'static str,
        /// What came of it.
        cause: String,
    },
    /// `$cbs` or `$management` answers with a status that is not success.
    #[error("{what}: status {status}, {text}{}", status_hint(*status))]
    Status {
        /// What was attempted.
        what: &'static str,
        /// As in HTTP.
        status: u16,
        /// The service's own words.
        text: String,
    },
    /// There is no token.
    #[error("open the hub")]
    Access(#[from] AccessError),
    /// Events have been left out.
    #[error("{1} sequence numbers are missing behind {0}; asking for them again")]
    Gap(i64, i64),
    /// The answer is not one of Event Hubs.
    #[error("the answer of `$management` has no usable `{0}`")]
    Strange(&'static str),
}

impl LinkError {
    /// Whether another reader with the same or a higher epoch has the partition.
    #[must_use]
    pub fn is_stolen(&self) -> bool {
        matches!(self, Self::Amqp { cause, .. } if cause.contains("LinkError(Stolen)"))
    }
}

/// An open connection for one hub.
pub struct Link {
    _connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
    tokens: CbsClient,
    management: MgmtClient,
    namespace: Namespace,
    hub: String,
    /// What tokens are handed over for.
    audiences: Vec<String>,
    renew_at: Instant,
}

impl Link {
    /// Connects and hands over the tokens for a hub and, if one is given, an entity within it.
    ///
    /// # Errors
    /// The namespace cannot be reached or refuses.
    pub async fn open(namespace: &Namespace, hub: &str, entity: Option<&str>) -> Result<Self, LinkError> {
        let mut link = Self::connect(namespace).await?;
        link.hub = hub.to_owned();
        let root = format!("amqps://{}/{hub}", namespace.name);
        link.audiences = vec![format!("{root}/$management")];
        link.audiences.extend(entity.map(|entity| format!("{root}/{entity}")));
        link.renew().await?;
        Ok(link)
    }

    /// Connects without a token, so for no hub yet.
    ///
    /// # Errors
    /// The namespace cannot be reached.
    pub async fn connect(namespace: &Namespace) -> Result<Self, LinkError> {
        let (host, port) = (&namespace.host, namespace.port);
        let failed = |error| LinkError::Connect(format!("{host}:{port}"), error);
        let tcp = namespace.network.connect(host, port).await.map_err(failed)?;
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let tls = TlsConnector::from(namespace.network.tls()).connect(name, tcp);
        let tls = tokio::time::timeout(PATIENCE, tls)
            .await
            .map_err(|_| LinkError::Silent("TLS handshake"))?
            .map_err(failed)?;
        let connection = Connection::builder()
            .container_id(format!("cefgate-{}", uuid::Uuid::new_v4()))
            .hostname(&*namespace.name)
            .scheme("amqp")
            .sasl_profile(SaslProfile::Anonymous)
            .max_frame_size(MAX_FRAME)
            .idle_time_out(IDLE);
        let mut connection = match namespace.transport {
            Transport::Amqp => within("open a connection", connection.open_with_stream(tls)).await?,
            Transport::Websocket => {
                let url = format!("wss://{}/$servicebus/websocket", namespace.name);
                let socket = WebSocketStream::connect_with_stream(url, tls);
                let socket = within("open a WebSocket", socket).await?;
                within("open a connection", connection.open_with_stream(socket)).await?
            }
        };
        let mut session = within("begin a session", Session::begin(&mut connection)).await?;
        let tokens = within("attach to `$cbs`", CbsClient::attach(&mut session)).await?;
        let management = within("attach to `$management`", MgmtClient::attach(&mut session, CLIENT_NODE));
        Ok(Self {
            management: management.await?,
            _connection: connection,
            session,
            tokens,
            namespace: namespace.clone(),
            hub: String::new(),
            audiences: Vec::new(),
            renew_at: Instant::now(),
        })
    }

    /// Asks another hub whether it is there, over the same connection.
    ///
    /// # Errors
    /// It is not, or may not be asked: [`LinkError::Status`]. All others end the connection.
    pub async fn turn_to(&mut self, hub: &str) -> Result<(), LinkError> {
        self.hub = hub.to_owned();
        self.audiences = vec![format!("amqps://{}/{hub}/$management", self.namespace.name)];
        self.renew().await?;
        self.read(None).await.map(drop)
    }

    /// How long the tokens need not be renewed.
    #[must_use]
    pub fn renew_in(&self) -> Duration {
        self.renew_at.saturating_duration_since(Instant::now())
    }

    /// Hands over fresh tokens.
    ///
    /// # Errors
    /// There are none, or the service refuses them.
    pub async fn renew(&mut self) -> Result<(), LinkError> {
        let root = format!("amqps://{}/{}", self.namespace.name, self.hub);
        let pass = tokio::time::timeout(PATIENCE, self.namespace.access.pass(&root));
        let pass = pass.await.map_err(|_| LinkError::Silent("ask for a token"))??;
        for audience in self.audiences.clone() {
            let expires = pass.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let expires =
                Timestamp::from_milliseconds(i64::try_from(expires.as_millis()).unwrap_or(i64::MAX));
            let token = CbsToken::new(pass.text.expose_text().unwrap_or_default(), pass.kind, expires);
            let handed = answered("hand over a token", self.tokens.put_token(audience, token)).await;
            if let Err(LinkError::Status { status: 401, .. }) = handed {
                self.namespace.access.refused(&pass);
            }
            handed?;
        }
        self.renew_at = Instant::now() + pass.renew_in;
        Ok(())
    }

    /// The ids of the hub's partitions.
    ///
    /// # Errors
    /// The hub does not say.
    pub async fn partitions(&mut self) -> Result<Vec<String>, LinkError> {
        let reply = self.read(None).await?;
        reply.texts("partition_ids").filter(|ids| !ids.is_empty()).ok_or(LinkError::Strange("partition_ids"))
    }

    /// What a partition says of itself.
    ///
    /// # Errors
    /// It does not say.
    pub async fn state(&mut self, partition: &str) -> Result<State, LinkError> {
        let reply = self.read(Some(partition)).await?;
        let number = |key| reply.number(key).ok_or(LinkError::Strange(key));
        Ok(State {
            first: number("begin_sequence_number")?,
            last: number("last_enqueued_sequence_number")?,
            last_offset: reply
                .text("last_enqueued_offset")
                .ok_or(LinkError::Strange("last_enqueued_offset"))?,
        })
    }

    async fn read(&mut self, partition: Option<&str>) -> Result<Reply, LinkError> {
        let request = Read { hub: self.hub.clone(), partition: partition.map(str::to_owned) };
        answered("ask `$management`", self.management.call(request)).await
    }

    /// Attaches to a partition behind a place. No event comes before credit is given.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn receiver(
        &mut self,
        entity: &str,
        place: &Place,
        epoch: Option<u32>,
    ) -> Result<Receiver, LinkError> {
        let filter = Value::Described(Box::new(Described {
            descriptor: Descriptor::Code(SELECTOR),
            value: Value::String(place.selector()),
        }));
        let mut filters = FilterSet::new();
        filters.insert(Symbol::from("apache.org:selector-filter:string"), filter);
        let address = format!("amqps://{}/{}/{entity}", self.namespace.name, self.hub);
        let source = Source::builder().address(address).filter(filters).build();
        let mut properties: Fields = OrderedMap::new();
        if let Some(epoch) = epoch {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(epoch.into()));
        }
        let receiver = Receiver::builder()
            .name(format!("cefgate-{}", uuid::Uuid::new_v4()))
            .source(source)
            .target("cefgate")
            .sender_settle_mode(SenderSettleMode::Settled)
            // Else `recv` waits with a delivery in its hands, and loses it when it is dropped there.
            .auto_accept(false)
            .credit_mode(CreditMode::Manual)
            .properties(properties)
            .verify_incoming_source(false)
            .verify_incoming_target(false)
            .attach(&mut self.session);
        within("attach to the partition", receiver).await
    }
}

/// The answer, if it comes in time.
///
/// # Errors
/// It does not, or says no.
pub async fn within<T, E: Debug>(
    what: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, LinkError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| LinkError::Silent(what))?;
    answer.map_err(|error| failed(what, &error))
}

/// The answer of `$cbs` or `$management`, if it comes in time.
async fn answered<T>(
    what: &'static str,
    answer: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, LinkError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| LinkError::Silent(what))?;
    answer.map_err(|error| match error {
        RequestError::Status(error) => {
            let mut text = error.description.unwrap_or_default();
            text.truncate(text.floor_char_boundary(MOST_CAUSE));
            LinkError::Status { what, status: error.code.0.get(), text }
        }
        error => failed(what, &error),
    })
}

/// What an operator can do about a condition.
fn hint(cause: &str) -> &'static str {
    let hints = [
        (
            "Stolen",
            ": another reader of this consumer group with an equal or higher `epoch` has the partition",
        ),
        (
            "UnauthorizedAccess",
            ": the role `Azure Event Hubs Data Receiver`, or a policy with `Listen`, is missing",
        ),
        ("NotFound", ": the namespace has no such hub, consumer group or partition"),
        (
            "quota",
            ": the consumer group has as many readers as the service lets in; use one for this program alone",
        ),
    ];
    hints.iter().find(|(condition, _)| cause.contains(condition)).map_or("", |(_, hint)| hint)
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 => ": the token or key is not accepted for this hub",
        404 => ": the namespace has no such hub",
        _ => "",
    }
}

/// With the condition of the service, which only the `Debug` form of these errors shows.
pub fn failed(what: &'static str, error: &impl Debug) -> LinkError {
    let mut cause = format!("{error:?}");
    cause.truncate(cause.floor_char_boundary(MOST_CAUSE));
    LinkError::Amqp { what, cause }
}

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_CAUSE: usize = 400;
/// In bytes; what the service itself offers.
const MAX_FRAME: u32 = 65_536;
/// In milliseconds: how long the peer may be silent before the connection counts as broken.
const IDLE: u32 = 60_000;
/// The descriptor of `apache.org:selector-filter:string`.
const SELECTOR: u64 = 0x0000_468C_0000_0004;
const CLIENT_NODE: &str = "cefgate-management";
