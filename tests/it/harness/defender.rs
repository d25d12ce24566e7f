//! A service as Microsoft's APIs for alerts and incidents are documented, with the traps that users of them report, and
//! the token service in front of it. Over HTTPS, on this machine.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cefgate::certs::Development;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::defender_hunting;
use super::defender_writes::{self, Writes};
use super::login::{CLIENT, Login, SECRET, TENANT};
use super::random::Random;

/// A running service.
pub struct Defender {
    port: u16,
    directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

/// What it holds and how it misbehaves.
pub struct State {
    /// Records by id.
    pub records: BTreeMap<String, Record>,
    /// The status of all records.
    pub status: &'static str,
    /// The name of the member with the time of change.
    pub updated: &'static str,
    /// One of so many answers is another fault; 0: none.
    pub faults: u64,
    /// Pages without a link to the next.
    pub no_links: bool,
    /// Links to the next page are refused.
    pub dead_links: bool,
    /// With `$expand` every page ends in status 500.
    pub no_expand: bool,
    /// Newest first, whatever is asked for.
    pub ignores_order: bool,
    /// The alerts of incidents are refused.
    pub no_alerts: bool,
    /// Records that no page can hold: it ends in status 500.
    pub poisonous: Option<String>,
    /// Such a page is broken off instead.
    pub breaks_off: bool,
    /// What its clock is ahead of others.
    pub clock_ahead: jiff::SignedDuration,
    /// More rows than this are no answer to a query.
    pub most_rows: usize,
    /// Requests that are answered in any window of so long; 0: any number.
    pub limit: (usize, Duration),
    /// When they were answered.
    answered: VecDeque<Instant>,
    /// Requests that were refused for coming too fast.
    pub n_refused: u64,
    /// Records of one page, at most.
    pub most_on_page: usize,
    /// Requests with this in their path have no answer for a long time.
    pub held: Option<&'static str>,
    /// So many there were.
    pub n_held: u64,
    /// Every answer is this, when it is set.
    pub always: Option<(StatusCode, &'static str)>,
    /// Who gives the tokens that are taken.
    pub login: Login,
    /// Requests for records so far.
    pub n_requests: u64,
    /// What is sent to it beside questions.
    pub writes: Writes,
    random: Random,
}

/// One alert or incident.
#[derive(Clone)]
pub struct Record {
    /// 100 nanoseconds since 1970.
    pub updated: i64,
    /// The number of this state of it.
    pub n: u64,
    /// Not shown yet.
    pub hidden: bool,
    /// Members that somebody has changed.
    pub changed: Map<String, Value>,
}

impl Defender {
    /// Empty and well-behaved.
    pub fn started(updated: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certs = directory.path().join("certs");
        Development::new(&[]).unwrap().write(&certs).unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        super::owner_only(&directory.path().join("secret"));
        let chain = CertificateDer::pem_file_iter(certs.join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(certs.join("server.key")).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap();
        let state = Arc::new(Mutex::new(State {
            records: BTreeMap::new(),
            status: "new",
            updated,
            faults: 0,
            no_links: false,
            dead_links: false,
            no_expand: false,
            no_alerts: false,
            ignores_order: false,
            poisonous: None,
            breaks_off: false,
            clock_ahead: jiff::SignedDuration::ZERO,
            most_rows: usize::MAX,
            limit: (0, Duration::ZERO),
            answered: VecDeque::new(),
            n_refused: 0,
            most_on_page: MOST,
            held: None,
            n_held: 0,
            always: None,
            login: Login::new(),
            n_requests: 0,
            writes: Writes::default(),
            random: Random::new(),
        }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(serve(listener, acceptor, state.clone(), port));
        Self { port, directory, state, _runtime: runtime }
    }

    /// What it holds, to be changed.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// `[network]` and `[tenant.corp]` that lead here.
    pub fn tenant(&self, settings: &str) -> String {
        let (directory, port) = (self.directory.path().display(), self.port);
        let corp = self.tenant_of("corp", &format!("https://localhost:{port}"));
        format!("[network]\nca_file = '{directory}/certs/ca.pem'\n{corp}{settings}\n")
    }

    /// The section of a tenant whose services are all at one address.
    pub fn tenant_of(&self, name: &str, url: &str) -> String {
        let secret = self.secret_file();
        let credential = format!("client_secret = {{ file = '{}' }}", secret.display());
        tenant_with(name, url, &credential)
    }

    /// `[network]` and `[tenant.corp]` that leads here and logs in in another way.
    pub fn tenant_with(&self, credential: &str) -> String {
        let (directory, port) = (self.directory.path().display(), self.port);
        let corp = tenant_with("corp", &format!("https://localhost:{port}"), credential);
        format!("[network]\nca_file = '{directory}/certs/ca.pem'\n{corp}")
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A file beside its certificates.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets readers of its authority's file trust another one too.
    pub fn trust(&self, authority: &Path) {
        let file = self.directory.path().join("certs/ca.pem");
        let own = fs::read_to_string(&file).unwrap();
        fs::write(&file, own + &fs::read_to_string(authority).unwrap()).unwrap();
    }

    /// The file with the client's secret.
    pub fn secret_file(&self) -> PathBuf {
        self.directory.path().join("secret")
    }
}

fn tenant_with(name: &str, url: &str, credential: &str) -> String {
    let urls = ["login", "graph", "mde", "xdr"].map(|service| format!("{service}_url = '{url}'\n"));
    format!("[tenant.{name}]\nid = '{TENANT}'\nclient_id = '{CLIENT}'\n{credential}\n{}", urls.concat())
}

impl State {
    /// A record is made or changed.
    pub fn put(&mut self, id: &str, updated: i64, n: u64, hidden: bool) {
        self.records.insert(id.to_owned(), Record { updated, n, hidden, changed: Map::new() });
    }

    /// So many records, each changed a tick after the one before, from an hour ago on, which is returned.
    pub fn fill(&mut self, n: u64) -> i64 {
        let begin = ago(Duration::from_hours(1));
        (1..=n).for_each(|n| self.put(&n.to_string(), begin + i64::try_from(n).unwrap(), n, false));
        begin
    }

    /// Whether a request keeps to the limit.
    fn may_answer(&mut self) -> bool {
        let (most, window) = self.limit;
        if most == 0 {
            return true;
        }
        let now = Instant::now();
        while self.answered.front().is_some_and(|at| now.duration_since(*at) >= window) {
            self.answered.pop_front();
        }
        if self.answered.len() >= most {
            self.n_refused += 1;
            return false;
        }
        self.answered.push_back(now);
        true
    }

    /// The records that are shown, as a list asks for them.
    pub(super) fn list(&self, from: i64, ascending: bool) -> Vec<(&String, &Record)> {
        let mut found: Vec<_> =
            self.records.iter().filter(|(_, record)| !record.hidden && record.updated >= from).collect();
        found.sort_by_key(|(id, record)| (record.updated, (*id).clone()));
        if !ascending {
            found.reverse();
        }
        found
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    acceptor: TlsAcceptor,
    state: Arc<Mutex<State>>,
    port: u16,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), state.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, state.clone(), port));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// What goes back.
pub type Answer = Response<Full<Bytes>>;

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    port: u16,
) -> Result<Answer, std::io::Error> {
    let url = Url::parse(&format!("https://localhost:{port}{}", request.uri())).unwrap();
    let method = request.method().clone();
    let bearer =
        request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_metadata = request.headers().get("metadata").is_some_and(|value| value == "true");
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = Asked { method, url, bearer, is_metadata, body };
    let is_held = {
        let mut state = state.lock().unwrap();
        let is_held = state.held.is_some_and(|part| asked.url.path().contains(part));
        state.n_held += u64::from(is_held);
        is_held
    };
    if is_held {
        let _ = tokio::time::timeout(VERY_SLOW, std::future::pending::<()>()).await;
    }
    let answer = decide(&mut state.lock().unwrap(), &asked);
    if answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::GATEWAY_TIMEOUT) {
        // The service takes its time.
        let _ = tokio::time::timeout(SLOW, std::future::pending::<()>()).await;
    }
    answer
}

/// A request.
struct Asked {
    method: http::Method,
    url: Url,
    bearer: Option<String>,
    is_metadata: bool,
    body: Bytes,
}

fn decide(state: &mut State, asked: &Asked) -> Result<Answer, std::io::Error> {
    let Asked { method, url, bearer, is_metadata, body } = asked;
    if url.path() == "/" {
        let now = jiff::Timestamp::now() + state.clock_ahead;
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap();
        let mut answer = reply(StatusCode::NOT_FOUND, String::new());
        answer.headers_mut().insert("date", date.parse().unwrap());
        return Ok(answer);
    }
    if url.path().ends_with("/oauth2/v2.0/token") {
        return Ok(state.login.token(body));
    }
    if url.path() == "/metadata/identity/oauth2/token" {
        let query = url.query().unwrap_or_default().to_owned();
        return Ok(state.login.machine(&query, *is_metadata));
    }
    state.n_requests += 1;
    if let Some((status, text)) = state.always {
        return Ok(reply(status, text.to_owned()));
    }
    if !state.login.admits(bearer.as_deref()) {
        return Ok(refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", "expired"));
    }
    let faults = state.faults;
    if faults > 0 && state.random.below(faults) == 0 {
        let which = state.random.below(11);
        return fault(which, state, url);
    }
    if !state.may_answer() {
        let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "slow down");
        answer.headers_mut().insert("retry-after", "1".parse().unwrap());
        return Ok(answer);
    }
    if url.path().ends_with("/runHuntingQuery") {
        return Ok(defender_hunting::answer(state, body));
    }
    if let Some(incident) =
        url.path().strip_suffix("/alerts").and_then(|path| path.rsplit_once("/incidents/"))
    {
        return Ok(alerts(state, incident.1));
    }
    if let Some(answer) = defender_writes::answer(state, method, url, body) {
        return Ok(answer);
    }
    Ok(page(state, url))
}

/// The alerts of one incident: two.
fn alerts(state: &State, incident: &str) -> Answer {
    if state.no_alerts {
        return refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "");
    }
    let value: Vec<Value> =
        (1..=2).map(|n| json!({ "id": format!("{incident}-alert-{n}"), "title": "t".repeat(600) })).collect();
    reply(StatusCode::OK, json!({ "value": value }).to_string())
}

/// What services do now and then.
fn fault(which: u64, state: &mut State, url: &Url) -> Result<Answer, std::io::Error> {
    Ok(match which {
        0 => {
            let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "slow down");
            answer.headers_mut().insert("retry-after", "0".parse().unwrap());
            answer
        }
        // The token that was given is worthless from now on.
        1 => {
            state.login.revoke();
            refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", "expired")
        }
        2 => reply(StatusCode::OK, "{\"value\":[{\"id\":\"cut o".to_owned()),
        3 => reply(StatusCode::OK, "<html>Sign in to the network</html>".to_owned()),
        4 => reply(
            StatusCode::OK,
            json!({ "value": [], "@odata.nextLink": "https://127.0.0.1:1/elsewhere" }).to_string(),
        ),
        5 => {
            let mut answer = reply(StatusCode::FOUND, String::new());
            answer.headers_mut().insert("location", "https://127.0.0.1:1/elsewhere".parse().unwrap());
            answer
        }
        6 => {
            let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "try later");
            let now = jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&jiff::Timestamp::now());
            answer.headers_mut().insert("retry-after", now.unwrap().parse().unwrap());
            answer
        }
        // An empty page, and the real one behind it.
        7 => reply(StatusCode::OK, json!({ "value": [], "@odata.nextLink": url.as_str() }).to_string()),
        8 => reply(StatusCode::GATEWAY_TIMEOUT, "<html>".to_owned()),
        9 => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", ""),
        // The connection breaks.
        _ => return Err(std::io::Error::other("cut")),
    })
}

fn page(state: &mut State, url: &Url) -> Answer {
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let asked = match query.get("$skiptoken") {
        // Where a chain of pages had come when it was begun: a link that has grown old is refused.
        Some(token) => {
            let parts: Vec<&str> = token.split('.').collect();
            if state.dead_links || state.random.below(40) == 0 && state.faults > 0 {
                return refusal(StatusCode::NOT_FOUND, "", "the token has expired");
            }
            (
                parts[0].parse().unwrap(),
                parts[1] == "asc",
                parts[2].parse().unwrap(),
                parts[3].parse().unwrap(),
            )
        }
        None => {
            let filter = query.get("$filter").unwrap();
            let from = filter.strip_prefix(&format!("{} ge ", state.updated)).expect(filter);
            let from: jiff::Timestamp = from.parse().unwrap();
            let skip = number("$skip").unwrap_or(0);
            if skip > 500 && url.path().starts_with("/v1.0") {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "",
                    "The limit of '500' for Skip query has been exceeded.",
                );
            }
            let ascending = query.contains_key("$orderby") && !state.ignores_order;
            // A larger page than the service gives is cut down without a word.
            let top = number("$top").unwrap_or(50).min(state.most_on_page);
            (i64::try_from(from.as_nanosecond() / 100).unwrap(), ascending, skip, top)
        }
    };
    let (from, ascending, skip, top) = asked;
    if state.no_expand && query.contains_key("$expand") {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "");
    }
    let found = state.list(from, ascending);
    let on_page: Vec<_> = found.iter().skip(skip).take(top).collect();
    if on_page.iter().any(|(id, _)| Some(*id) == state.poisonous.as_ref()) {
        if state.breaks_off {
            return reply(StatusCode::OK, "{\"value\":[{\"id\":\"cut o".to_owned());
        }
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "");
    }
    let value: Vec<Value> = on_page.iter().map(|(id, record)| shown(state, id, record)).collect();
    let mut answer = json!({ "@odata.context": "x", "value": value });
    let next = skip + on_page.len();
    if next < found.len() && !state.no_links {
        let order = if ascending { "asc" } else { "desc" };
        let mut link = url.clone();
        link.set_query(Some(&format!("$skiptoken={from}.{order}.{next}.{top}")));
        answer["@odata.nextLink"] = link.as_str().into();
    }
    reply(StatusCode::OK, answer.to_string())
}

pub(super) fn shown(state: &State, id: &str, record: &Record) -> Value {
    let time = jiff::Timestamp::from_nanosecond(i128::from(record.updated) * 100).unwrap();
    let mut shown = json!({
        "id": id, "incidentId": id, "status": state.status, "stream": "records", "n": record.n,
        state.updated: format!("{time:.7}"), "nothing": null,
    });
    let members = shown.as_object_mut().unwrap();
    members.extend(record.changed.clone());
    members.extend(defender_writes::comments(state, id).map(|comments| ("comments".to_owned(), comments)));
    shown
}

/// A refusal as the services write it.
pub fn refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "error": { "code": code, "message": message, "innerError": { "request-id": "1" } } });
    reply(status, body.to_string())
}

/// An answer.
pub fn reply(status: StatusCode, body: String) -> Answer {
    Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
}

/// Times of the service: 100 nanoseconds since 1970, so long ago.
pub fn ago(duration: Duration) -> i64 {
    let now = jiff::Timestamp::now().as_nanosecond() / 100;
    i64::try_from(now).unwrap() - i64::try_from(duration.as_nanos() / 100).unwrap()
}

const VERY_SLOW: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_millis(300);
/// Records of one page, at most.
const MOST: usize = 50;
