//! One request, from its head to its answer and its line in the audit log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use metrics::counter;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::answer::{self, Answer, Refusal};
use super::config::Config;
use super::guard::{self, Turnstile};
use crate::azure::Rate;
use crate::telemetry;
use crate::tls::Pin;
use crate::write_back::{Change, Checked, Failure, Kind, Object, Row, Writer, change, words};

/// What all requests share.
pub struct Office {
    config: Config,
    /// By tenant and table.
    writers: HashMap<(String, &'static str), Writer>,
    taken: Turnstile,
    strangers: Turnstile,
    broken_off: CancellationToken,
}

/// What is known of a request, for the audit log; filled as it becomes known.
#[derive(Default)]
struct Entry {
    who: Option<String>,
    object: Option<Object>,
    id: Option<String>,
    tenant: Option<String>,
    api: Option<String>,
    change: Option<String>,
    /// From here on it may have been done.
    is_sent: bool,
}

impl Office {
    /// With the ways to the tenants it may write to.
    #[must_use]
    pub fn new(config: Config, writers: HashMap<(String, &'static str), Writer>) -> Self {
        let strangers = Rate { requests: MOST_STRANGERS, window: Duration::from_mins(1) };
        let (taken, strangers) = (Turnstile::new(config.rate), Turnstile::new(strangers));
        Self { config, writers, taken, strangers, broken_off: CancellationToken::new() }
    }

    /// The longest time that a request may take.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.config.timeout
    }

    /// Answers what is still waited for, and writes it down: the program ends.
    pub fn break_off(&self) {
        self.broken_off.cancel();
    }

    /// Answers a request and writes down who wanted what and what became of it.
    pub async fn serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        certificate: Option<Pin>,
    ) -> Answer {
        let mut entry = Entry::default();
        let outcome = tokio::select! {
            // What is known by now is said, whatever ends at the same time.
            biased;
            outcome = self.answer(request, certificate.as_ref(), &mut entry) => Ok(outcome),
            () = tokio::time::sleep(self.config.timeout) => Err("it took too long"),
            () = self.broken_off.cancelled() => Err("this program ends"),
        };
        let outcome = outcome.unwrap_or_else(|why| Err(unfinished(why, entry.is_sent)));
        entry.log(peer, outcome.as_ref().err());
        outcome.map_or_else(|refusal| refusal.answer(), |done| answer::done(&done))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<&Pin>,
        entry: &mut Entry,
    ) -> Result<Value, Refusal> {
        entry.who = guard::caller(request.headers(), certificate, &self.config.tokens);
        if entry.who.is_none() {
            self.strangers.pass(Instant::now()).map_err(Refusal::too_many)?;
            let message = "a bearer token that is known here is missing";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
        }
        let place = place(request.uri().path());
        if let Some((object, id)) = &place {
            entry.object = Some(*object);
            entry.id = Some(answer::shortened(id, MOST_OF_ID));
        }
        self.taken.pass(Instant::now()).map_err(Refusal::too_many)?;
        let (object, id) = place.ok_or_else(|| {
            let message = "there are `/v1/alerts/{id}` and `/v1/incidents/{id}`";
            Refusal::new(StatusCode::NOT_FOUND, "unknown_path", message)
        })?;
        if request.method() != Method::PATCH {
            let message = "alerts and incidents are changed with PATCH";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message));
        }
        change::check_id(&id).map_err(Failure::wrong)?;
        let body = self.body(request).await?;
        let wanted = self.wanted(object, &body, entry)?;
        wanted.writer.ready().await?;
        entry.is_sent = true;
        let done = wanted.writer.change(&id, &wanted.change).await?;
        Ok(json!({ "id": id, "changed": wanted.change.names, "updated": done.updated }))
    }

    /// The body, if it is short enough. Some of what is too long is read all the same: a connection that is closed
    /// while the caller still sends takes the answer with it.
    async fn body(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refusal> {
        let most = self.config.max_body_bytes;
        let mut incoming = request.into_body();
        let (mut body, mut n_bytes) = (Vec::new(), 0);
        while let Some(frame) = incoming.frame().await {
            let cut_off = |_| Refusal::new(StatusCode::BAD_REQUEST, "cut_off", "the body does not end");
            let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
            n_bytes += data.len();
            if n_bytes <= most {
                body.extend_from_slice(&data);
            } else if n_bytes > most.saturating_add(MOST_THROWN_AWAY) {
                break;
            }
        }
        if n_bytes <= most {
            return Ok(body);
        }
        let message = format!("the body is longer than {most} bytes");
        Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message))
    }

    /// What a body asks for.
    fn wanted(&self, object: Object, body: &[u8], entry: &mut Entry) -> Result<Wanted<'_>, Failure> {
        let mut members: Map<String, Value> = serde_json::from_slice(body)
            // Without the parser's words, which repeat what was sent.
            .map_err(|error| {
                format!("the body is not a JSON object: line {}, column {}", error.line(), error.column())
            })
            .map_err(Failure::wrong)?;
        let mut word = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::wrong(format!("`{name}` is not a text"))),
        };
        let (tenant, api) = (word("tenant")?, word("api")?);
        let default = self.config.tenants.first().cloned().unwrap_or_default();
        let tenant = tenant.unwrap_or(default);
        let api = api.as_deref().unwrap_or(self.config.api(object));
        entry.tenant = Some(answer::shortened(&tenant, MOST_SHOWN));
        entry.api = Some(answer::shortened(api, MOST_SHOWN));
        let row = row(object, api)?;
        let change: Change = serde_json::from_value(members.into()).map_err(Failure::wrong)?;
        let checked = change.checked(row, false).map_err(Failure::wrong)?;
        entry.change = Some(answer::shortened(&described(&checked), MOST_OF_CHANGE));
        let known = self.config.tenants.contains(&tenant);
        let unknown = || {
            Failure::wrong(format!(
                "`tenant`: `{tenant}` is not one of `{}`",
                self.config.tenants.join("`, `")
            ))
        };
        let writer =
            self.writers.get(&(tenant.clone(), row.table)).filter(|_| known).ok_or_else(|| match known {
                false => unknown(),
                true => Failure {
                    kind: Kind::NoAnswer,
                    cause: format!("the cloud of tenant `{tenant}` has no service `{}`", row.service.name()),
                    fix: "name another `api`".to_owned(),
                    retry_after: None,
                },
            })?;
        Ok(Wanted { writer, change: checked })
    }
}

struct Wanted<'o> {
    writer: &'o Writer,
    change: Checked,
}

impl Entry {
    fn log(self, peer: SocketAddr, refusal: Option<&Refusal>) {
        let status = refusal.map_or(StatusCode::OK, |refusal| refusal.status);
        let object = self.object.map_or("", Object::name);
        counter!(telemetry::WRITE_BACK_REQUESTS, "object" => object, "status" => status.as_u16().to_string())
            .increment(1);
        if self.who.is_none() && status == StatusCode::TOO_MANY_REQUESTS {
            // Whoever has no token does not fill the log either: it tells of the first ones of each minute.
            return debug!(%peer, "turned away: too many requests without a right token");
        }
        let Self { who, id, tenant, api, change, .. } = self;
        let or_none = |text: Option<String>| text.unwrap_or_default();
        info!(
            target: AUDIT,
            who = who.as_deref().unwrap_or("unknown"),
            peer = %peer,
            object,
            id = or_none(id),
            tenant = or_none(tenant),
            api = or_none(api),
            change = or_none(change),
            status = status.as_u16(),
            failure = or_none(refusal.map(Refusal::told)),
            "write_back"
        );
    }
}

/// What changes, for the log: a comment may tell more than belongs there.
fn described(change: &Checked) -> String {
    let members = change.members.iter().filter(|(name, _)| *name != "comment");
    let mut words: Vec<String> = members.map(|(name, value)| format!("{name}={value}")).collect();
    words.extend(change.names.contains(&"comment").then(|| "comment".to_owned()));
    words.join(" ")
}

fn row(object: Object, api: &str) -> Result<&'static Row, Failure> {
    words::row(object, api).ok_or_else(|| {
        Failure::wrong(format!("`api`: `{api}` is not one of `{}`", object.apis().join("`, `")))
    })
}

/// `/v1/alerts/<id>` or `/v1/incidents/<id>`.
fn place(path: &str) -> Option<(Object, String)> {
    let rest = path.strip_prefix("/v1/")?;
    let (kind, id) = rest.split_once('/')?;
    let object = match kind {
        "alerts" => Object::Alert,
        "incidents" => Object::Incident,
        _ => return None,
    };
    (!id.is_empty() && !id.contains('/')).then(|| (object, decoded(id)))
}

/// Without percent signs. The decoder is that of forms, so what is special only there is put out of its way.
fn decoded(segment: &str) -> String {
    let form = format!("x={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, id)| id.into_owned()).unwrap_or_default()
}

/// What is answered when no outcome came.
fn unfinished(why: &str, is_sent: bool) -> Refusal {
    let (outcome, fix) = match is_sent {
        true => ("whether the change was made is not known", "look before sending it again"),
        false => ("nothing was sent", "send it again"),
    };
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "no_answer", format!("{why}; {outcome}")).or(fix)
}

/// The name by which a level is set for audit lines: `warn,cefgate::audit=info`.
const AUDIT: &str = "cefgate::audit";
/// So much of what a caller has written stands in the log: of names, of an id, of a change.
const MOST_SHOWN: usize = 100;
const MOST_OF_ID: usize = 256;
const MOST_OF_CHANGE: usize = 1000;
/// So much is read of a body that is too long, beyond what is taken.
const MOST_THROWN_AWAY: usize = 1 << 20;
/// So many requests a minute without a right token are answered as such.
const MOST_STRANGERS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_object() {
        for (path, expected) in [
            ("/v1/alerts/da1_-2", Some((Object::Alert, "da1_-2"))),
            ("/v1/incidents/7", Some((Object::Incident, "7"))),
            ("/v1/alerts/a%2Fb+c&d%25", Some((Object::Alert, "a/b+c&d%"))),
            ("/v1/alerts/", None),
            ("/v1/alerts/a/b", None),
            ("/v1/machines/a", None),
            ("/", None),
        ] {
            let found = place(path);
            assert_eq!(found.as_ref().map(|(object, id)| (*object, id.as_str())), expected, "{path}");
        }
    }
}
