//! Sends checked changes, one after the other: a service sees them in the order they were given in.
//!
//! Only what a service has put off is sent again. What broke off may have been done, and a comment would stand there
//! twice.

use std::io;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};
use tracing::{debug, warn};
use url::Url;

use super::change::Checked;
use super::failure::{Asked, Failure, Kind};
use super::proof;
use super::words::Row;
use crate::azure::Tenant;
use crate::defender::{ApiError, Client, OwnUpdates};
use crate::finding::Finding;
use crate::telemetry;

/// The way to one kind of object of one tenant.
#[derive(Clone, Debug)]
pub struct Writer {
    client: Client,
    tenant: Tenant,
    row: &'static Row,
    patience: Patience,
    own: Option<OwnUpdates>,
}

/// How long a service is waited for that asks to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// So many times in all it is asked.
    pub tries: u32,
    /// A longer wait is a failure.
    pub longest: Duration,
    /// A longer wait for a turn within the tenant's limits is one, too; any is taken where this is `None`.
    pub turn: Option<Duration>,
}

/// A change that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// When, by the service's clock, where it says so.
    pub updated: Option<String>,
}

impl Writer {
    /// Asks the service of the row. `None` where the tenant's cloud has none. With `own` it keeps what the service
    /// answers, so that sources can tell these changes from those of others.
    #[must_use]
    pub fn new(
        tenant: Tenant,
        row: &'static Row,
        patience: Patience,
        own: Option<OwnUpdates>,
    ) -> Option<Self> {
        let mut client = Client::new(tenant.clone(), row.service, MOST_BYTES)?;
        if let Some(turn) = patience.turn {
            client = client.waiting_at_most(turn);
        }
        Some(Self { client, tenant, row, patience, own })
    }

    /// A look before the first change: whether there is a token, and whether it allows changes. Nothing is changed.
    pub async fn look(&self) -> Vec<Finding> {
        self.client.look(&[self.row.permission]).await
    }

    /// Gets what a change needs before it is sent.
    ///
    /// # Errors
    /// There is no token.
    pub async fn ready(&self) -> Result<(), Failure> {
        self.client.ready().await.map_err(|error| self.failure(&error))
    }

    /// Makes one change.
    ///
    /// # Errors
    /// It was not made, or not all of it; the failure says which.
    pub async fn change(&self, id: &str, change: &Checked) -> Result<Done, Failure> {
        self.note(id, |own, table, tenant| own.begin(table, tenant, id));
        let outcome = self.change_noted(id, change).await;
        self.note(id, |own, table, tenant| own.end(table, tenant, id));
        outcome
    }

    async fn change_noted(&self, id: &str, change: &Checked) -> Result<Done, Failure> {
        let url = self.object(id)?;
        let mut done = Done::default();
        let mut state = match self.own {
            Some(_) => self.state(id, &url).await,
            None => Value::Null,
        };
        if !change.members.is_empty() {
            let body = Value::from(change.members.clone());
            let answer = self.patiently(|| self.client.object(Method::PATCH, &url, &body)).await;
            let answer = answer.map_err(|error| self.failure(&error))?;
            done.updated = self.updated(&answer);
            state = self.follow(id, &url, state, answer, &change.members, change.comment()).await;
        }
        if let Some(comment) = &change.posted {
            let made = if change.members.is_empty() { "" } else { "all but the comment was changed" };
            let answer = self.comment(&url, comment).await.map_err(|failure| match made {
                "" => failure,
                made => failure.after(made),
            })?;
            state = self.follow(id, &url, state, answer, &Map::new(), Some(comment)).await;
        }
        done.updated = self.updated(&state).or(done.updated);
        Ok(done)
    }

    /// The state of an object after a part of a change; it is remembered as an own one if it holds nothing else than the
    /// one before and the change.
    async fn follow(
        &self,
        id: &str,
        url: &Url,
        before: Value,
        answer: Value,
        set: &Map<String, Value>,
        comment: Option<&str>,
    ) -> Value {
        let Some(members) = before.as_object() else { return Value::Null };
        let is_whole = members.keys().all(|member| answer.get(member).is_some());
        let after = if is_whole { answer } else { self.state(id, url).await };
        match (self.updated(&before), self.updated(&after)) {
            (Some(prior), Some(updated)) if proof::is_only(set, comment, self.row, &before, &after) => {
                self.note(id, |own, table, tenant| own.remember(table, tenant, id, &prior, &updated));
            }
            _ => {
                debug!(id, "nobody can tell it from somebody else's: the change will come back as another's")
            }
        }
        after
    }

    /// The state of an object; `Null` when it cannot be had.
    async fn state(&self, id: &str, url: &Url) -> Value {
        let asked = self.client.object(Method::GET, url, &Value::Null);
        // It is not worth more: the change itself waits for it.
        let error = match tokio::time::timeout(LONGEST_LOOK, asked).await {
            Ok(Ok(state)) => return state,
            Ok(Err(error)) => telemetry::chain(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(id, error, "a change of it will come back as if it were another's");
        Value::Null
    }

    fn updated(&self, state: &Value) -> Option<String> {
        state[self.row.updated].as_str().map(str::to_owned)
    }

    /// Makes many changes and tells the outcome of each, by its place, in their order.
    pub async fn change_all(
        &self,
        changes: &[(String, Checked)],
        mut tell: impl FnMut(usize, Result<Done, Failure>),
    ) {
        let mut first = 0;
        while let Some((id, change)) = changes.get(first) {
            let alike = changes[first..].iter().take_while(|(_, other)| other == change).count();
            let n = alike.min(MOST_AT_ONCE);
            // An answer to many names no time, so that nothing could be known again by it.
            let path = self.row.batch.filter(|_| n > 1 && self.own.is_none());
            let (outcome, n) = match path {
                Some(path) => match self.at_once(path, &changes[first..first + n]).await {
                    // Only one by one it shows which of them is to blame.
                    Err(ApiError::Refused { status: 400 | 404, .. }) => (self.change(id, change).await, 1),
                    outcome => (outcome.map(|()| Done::default()).map_err(|error| self.failure(&error)), n),
                },
                None => (self.change(id, change).await, 1),
            };
            (first..first + n).for_each(|place| tell(place, outcome.clone()));
            first += n;
            // What holds for one holds for the rest: nobody is asked in vain for each.
            if let Err(failure @ Failure { kind: Kind::TooManyRequests | Kind::NoToken, .. }) = outcome {
                let rest = failure.of_the_rest(self.row.service);
                (first..changes.len()).for_each(|place| tell(place, Err(rest.clone())));
                return;
            }
        }
    }

    /// One change for many.
    async fn at_once(&self, path: &str, changes: &[(String, Checked)]) -> Result<(), ApiError> {
        let url = self.client.url(path, &[])?;
        let ids: Vec<&str> = changes.iter().map(|(id, _)| id.as_str()).collect();
        let mut body = Map::from_iter([("alertIds".to_owned(), json!(ids))]);
        body.extend(changes.first().map(|(_, change)| change.members.clone()).unwrap_or_default());
        let body = Value::from(body);
        self.patiently(|| self.client.object(Method::POST, &url, &body)).await.map(|_| ())
    }

    async fn comment(&self, object: &Url, comment: &str) -> Result<Value, Failure> {
        let mut url = object.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push("comments");
        }
        let body = json!({ "@odata.type": "microsoft.graph.security.alertComment", "comment": comment });
        let answer = self.patiently(|| self.client.object(Method::POST, &url, &body)).await;
        answer.map_err(|error| self.failure(&error))
    }

    /// Asks; again while the service asks to wait.
    async fn patiently<F>(&self, ask: impl Fn() -> F) -> Result<Value, ApiError>
    where
        F: Future<Output = Result<Value, ApiError>>,
    {
        patiently(self.patience, ask).await
    }

    /// Writes to the memory of own changes, where there is one. A change is not held up by it.
    fn note(&self, id: &str, write: impl FnOnce(&OwnUpdates, &str, &str) -> io::Result<()>) {
        if let Some(own) = &self.own
            && let Err(error) = write(own, self.row.table, self.tenant.name())
        {
            warn!(id, %error, "this change may come back as if it were another's");
        }
    }

    fn object(&self, id: &str) -> Result<Url, Failure> {
        let mut url = self.client.url(self.row.path, &[]).map_err(|error| self.failure(&error))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        Ok(url)
    }

    fn failure(&self, error: &ApiError) -> Failure {
        let Row { service, object, permission, .. } = *self.row;
        Failure::of(error, Asked { service, object: object.name(), permission })
    }
}

/// Asks; again while the service asks to wait and patience lasts.
pub(super) async fn patiently<T, F>(patience: Patience, ask: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let mut n_tries = 1;
    loop {
        let error = match ask().await {
            Err(error) if n_tries < patience.tries && is_put_off(&error) => error,
            answer => return answer,
        };
        let wait = error.retry_after().unwrap_or(DEFAULT_WAIT);
        if wait > patience.longest {
            return Err(error);
        }
        warn!(?wait, "the service asks to wait");
        tokio::time::sleep(wait).await;
        n_tries += 1;
    }
}

/// The service has done nothing and says when it will.
fn is_put_off(error: &ApiError) -> bool {
    match error {
        ApiError::TooMany { .. } => true,
        ApiError::Refused { status: 503, retry_after, .. } => retry_after.is_some(),
        _ => false,
    }
}

/// For the state of an object beside a change.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// The documents name no bound; this many ids are sent in one request.
const MOST_AT_ONCE: usize = 100;
/// An alert with all its evidence is far below.
const MOST_BYTES: usize = 16 << 20;
/// When the service does not say how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
