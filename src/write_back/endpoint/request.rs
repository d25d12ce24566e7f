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
use tracing::{debug, info};

use super::answer::{self, Answer};
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
    outcome: Option<String>,
}

impl Office {
    /// With the ways to the tenants it may write to.
    #[must_use]
    pub fn new(config: Config, writers: HashMap<(String, &'static str), Writer>) -> Self {
        let strangers = Rate { requests: MOST_STRANGERS, window: Duration::from_mins(1) };
        Self { taken: Turnstile::new(config.rate), strangers: Turnstile::new(strangers), config, writers }
    }

    /// Answers a request and writes down who wanted what and what became of it.
    pub async fn serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        certificate: Option<Pin>,
    ) -> Answer {
        let mut entry = Entry::default();
        let answer = match tokio::time::timeout(
            self.config.timeout,
            self.answer(request, certificate.as_ref(), &mut entry),
        )
        .await
        {
            Ok(Ok(answer) | Err(answer)) => answer,
            Err(_) => {
                let message = "it took too long; whether the change was made is not known";
                answer::refused(
                    StatusCode::GATEWAY_TIMEOUT,
                    "no_answer",
                    message,
                    "look before sending it again",
                )
            }
        };
        entry.log(peer, answer.status());
        answer
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<&Pin>,
        entry: &mut Entry,
    ) -> Result<Answer, Answer> {
        entry.who = guard::caller(request.headers(), certificate, &self.config.tokens);
        if entry.who.is_none() {
            self.strangers.pass(Instant::now()).map_err(too_many)?;
            let message = "a bearer token that is known here is missing";
            return Err(answer::refused(StatusCode::UNAUTHORIZED, "unauthorized", message, ""));
        }
        self.taken.pass(Instant::now()).map_err(too_many)?;
        let (object, id) = place(request.uri().path()).ok_or_else(|| {
            let message = "there are `/v1/alerts/{id}` and `/v1/incidents/{id}`";
            answer::refused(StatusCode::NOT_FOUND, "unknown_path", message, "")
        })?;
        entry.object = Some(object);
        if request.method() != Method::PATCH {
            let message = "alerts and incidents are changed with PATCH";
            return Err(answer::refused(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message, ""));
        }
        change::check_id(&id).map_err(|fault| answer::failed(&Failure::wrong(fault)))?;
        entry.id = Some(id.clone());
        let body = self.body(request).await?;
        let wanted = self.wanted(object, &body, entry).map_err(|failure| answer::failed(&failure))?;
        let outcome = wanted.writer.change(&id, &wanted.change).await;
        match outcome {
            Ok(done) => {
                let names = &wanted.change.names;
                Ok(answer::done(&json!({ "id": id, "changed": names, "updated": done.updated })))
            }
            Err(failure) => {
                entry.outcome = Some(failure.to_string());
                Err(answer::failed(&failure))
            }
        }
    }

    /// The body, if it is short enough. Some of what is too long is read all the same: a connection that is closed
    /// while the caller still sends takes the answer with it.
    async fn body(&self, request: Request<Incoming>) -> Result<Vec<u8>, Answer> {
        let most = self.config.max_body_bytes;
        let mut incoming = request.into_body();
        let (mut body, mut n_bytes) = (Vec::new(), 0);
        while let Some(frame) = incoming.frame().await {
            let cut_off =
                |_| answer::refused(StatusCode::BAD_REQUEST, "cut_off", "the body does not end", "");
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
        Err(answer::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_long", &message, ""))
    }

    /// What a body asks for.
    fn wanted(&self, object: Object, body: &[u8], entry: &mut Entry) -> Result<Wanted<'_>, Failure> {
        let mut members: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Failure::wrong(format!("the body is not a JSON object: {error}")))?;
        let mut word = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::wrong(format!("`{name}` is not a text"))),
        };
        let (tenant, api) = (word("tenant")?, word("api")?);
        let default = self.config.tenants.first().cloned().unwrap_or_default();
        let tenant = tenant.unwrap_or(default);
        let row = row(object, api.as_deref().unwrap_or(self.config.api(object)))?;
        let change: Change = serde_json::from_value(members.into()).map_err(Failure::wrong)?;
        let checked = change.checked(row, false).map_err(Failure::wrong)?;
        let known = self.config.tenants.contains(&tenant);
        entry.tenant = known.then(|| tenant.clone());
        entry.api = Some(row.api.to_owned());
        entry.change = Some(described(&checked));
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
    fn log(self, peer: SocketAddr, status: StatusCode) {
        let object = self.object.map_or("", Object::name);
        counter!(telemetry::WRITE_BACK_REQUESTS, "object" => object, "status" => status.as_u16().to_string())
            .increment(1);
        if self.who.is_none() && status == StatusCode::TOO_MANY_REQUESTS {
            // Whoever has no token does not fill the log either: it tells of the first ones of each minute.
            return debug!(%peer, "turned away: too many requests without a right token");
        }
        let Self { who, id, tenant, api, change, outcome, .. } = self;
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
            failure = or_none(outcome),
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

fn too_many(wait: Duration) -> Answer {
    answer::later(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests; wait", wait)
}

/// The name by which a level is set for audit lines: `warn,cefgate::audit=info`.
const AUDIT: &str = "cefgate::audit";
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
