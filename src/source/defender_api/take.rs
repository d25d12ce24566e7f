//! Takes in the records of a page: what is new of them is stored, with its fingerprint, and nothing twice.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use metrics::counter;
use tracing::{info, warn};

use super::config::{Config, Own, Updates};
use super::resource::Row;
use crate::defender::{ApiError, Client, OwnMemory, OwnUpdates};
use crate::record::{Name, Table};
use crate::source::envelope::Envelope;
use crate::source::rest::Interruption;
use crate::source::rest::kept::Kept;
use crate::source::rest::member::texts;
use crate::source::rest::place::{Place, fingerprint};
use crate::source::rest::ticks::Ticks;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A record with what is known of it.
pub struct Found {
    body: Bytes,
    id: String,
    status: String,
    /// When it was changed, where it says so.
    pub updated: Option<Ticks>,
    /// The same, or else when it was found.
    at: Ticks,
}

impl Found {
    /// What a record says of itself.
    #[must_use]
    pub fn of(body: Bytes, row: &Row, now: Ticks) -> Self {
        let [id, status, updated] = texts(&body, [row.id, "status", row.updated]);
        let updated = Ticks::read(&updated);
        Self { id, status, updated, at: updated.unwrap_or(now), body }
    }

    /// What tells it from all others that shall be sent. Of a record without id or time that is all of it.
    fn key(&self, updates: Updates) -> u64 {
        match (updates, self.updated) {
            _ if self.id.is_empty() => fingerprint(&[&String::from_utf8_lossy(&self.body)]),
            (Updates::All, Some(at)) => state(&self.id, at),
            (Updates::All, None) => fingerprint(&[&String::from_utf8_lossy(&self.body)]),
            (Updates::StatusChanges, _) => fingerprint(&[&self.id, "status", &self.status]),
            (Updates::First, _) => fingerprint(&[&self.id]),
        }
    }
}

/// Stores records.
pub struct Taker {
    client: Client,
    config: Config,
    row: &'static Row,
    source: Name,
    kept: Kept,
    envelope: Envelope,
    /// This program's own changes, where they are not to look like any other.
    own: Option<OwnMemory>,
    /// Incidents whose alerts could not be had, and how often.
    failing: HashMap<String, u32>,
}

/// What is new of a page, on its way to be stored.
#[derive(Default)]
struct New {
    records: Vec<(Table, Bytes)>,
    seen: Vec<(u64, Ticks)>,
    keys: HashSet<u64>,
    n_late: u64,
    n_own: u64,
    n_bare: u64,
}

impl New {
    fn see(&mut self, key: u64, at: Ticks) {
        self.keys.insert(key);
        self.seen.push((key, at));
    }
}

impl Taker {
    /// Knows what the spool knows.
    #[must_use]
    pub fn new(client: Client, config: Config, intake: Intake) -> Self {
        let row = config.resource.row();
        let own =
            (config.own_updates != Own::Keep).then(|| OwnMemory::of(&OwnUpdates::beside(intake.directory())));
        let envelope = Envelope::new(Some(Table::new(row.table)), config.max_record_bytes.bytes());
        let source = intake.source().clone();
        Self { client, row, source, kept: Kept::of(intake), envelope, own, failing: HashMap::new(), config }
    }

    /// How far the source has come.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.kept.place()
    }

    /// Changes the marks. What was read is remembered for as long as it can be asked for again.
    ///
    /// # Errors
    /// The spool failed.
    pub async fn mark(&mut self, change: impl FnOnce(&mut Place), now: Ticks) -> Result<(), SpoolError> {
        let Place { begin, watermark, .. } = self.kept.place();
        self.failing.clear();
        let oldest = watermark.or(*begin).unwrap_or(now).min(now).before(self.config.memory());
        self.kept.mark(change, oldest).await
    }

    /// Stores what is new of a page, and waits until it is durable. `is_bare` when evidence was not asked for. Returns how
    /// many records that were.
    ///
    /// # Errors
    /// The spool failed, or something that belongs to a record could not be had; what came before it is stored.
    pub async fn take(&mut self, found: Vec<Found>, is_bare: bool) -> Result<u64, Interruption> {
        let mut new = New::default();
        let mut gathered = Ok(());
        for found in found {
            gathered = self.gather(found, is_bare, &mut new).await;
            if gathered.is_err() {
                break;
            }
        }
        let n_new = new.records.len() as u64;
        self.envelope.take_tally().count(&self.source);
        for (name, n) in [
            (telemetry::API_OWN, new.n_own),
            (telemetry::API_LATE, new.n_late),
            (telemetry::API_BARE, new.n_bare),
        ] {
            if n > 0 {
                counter!(name, "source" => self.source.clone()).increment(n);
            }
        }
        if new.n_late > 0 {
            info!(source = %self.source, n_late = new.n_late, "the service showed records late");
        }
        if !new.seen.is_empty() {
            self.kept.store(new.records, new.seen).await?;
        }
        gathered?;
        Ok(n_new)
    }

    /// Adds a record, unless it has been here before.
    async fn gather(&mut self, found: Found, is_bare: bool, new: &mut New) -> Result<(), ApiError> {
        let key = found.key(self.config.updates);
        match self.place().seen(key) {
            Some(at) if at == found.at => return Ok(()),
            Some(_) => {
                new.see(key, found.at);
                return Ok(());
            }
            None if new.keys.contains(&key) => return Ok(()),
            None => {}
        }
        let Found { body, id, at, .. } = found;
        let is_own = self.is_own(&id, at).await;
        new.n_own += u64::from(is_own);
        if is_own && self.config.own_updates == Own::Suppress && self.is_known_but_for_own(&id, at, new) {
            new.see(key, at);
            return Ok(());
        }
        let (mut body, has_alerts) = self.with_alerts(&id, body).await?;
        // What goes without a part of it is known by another key, so that the whole is taken once it can be had.
        let lacks = is_bare || !has_alerts;
        let key = if lacks { fingerprint(&[&key.to_string(), "bare"]) } else { key };
        if lacks && (self.place().seen(key).is_some() || new.keys.contains(&key)) {
            return Ok(());
        }
        if is_own {
            body = with_member(&body, b"\"cefgateOwnUpdate\":true");
        }
        let late = self.place().watermark.map(|watermark| watermark.before(self.config.overlap));
        new.n_late += u64::from(late.is_some_and(|late| at < late));
        new.n_bare += u64::from(lacks);
        self.envelope.split(&body, &mut new.records);
        new.see(key, at);
        Ok(())
    }

    /// Whether this state of an object is one that this program has made.
    async fn is_own(&mut self, id: &str, updated: Ticks) -> bool {
        let Some(own) = &mut self.own else { return false };
        own.knows(self.row.table, &self.config.tenant, id, i128::from(updated.0) * 100).await
    }

    /// Whether a state from which this one came by own changes alone is known to have been taken: only then nothing is lost
    /// by leaving this one out.
    fn is_known_but_for_own(&self, id: &str, updated: Ticks, new: &New) -> bool {
        let Some(own) = &self.own else { return false };
        let updated = i128::from(updated.0) * 100;
        let origins = own.origins(self.row.table, &self.config.tenant, id, updated);
        origins.filter_map(|at| i64::try_from(at / 100).ok()).any(|at| {
            let key = state(id, Ticks(at));
            self.place().seen(key).is_some() || new.keys.contains(&key)
        })
    }

    /// An incident with its alerts inside, and whether it has all of them that fit. Where they cannot be had it goes
    /// without, so that it holds up no other.
    async fn with_alerts(&mut self, id: &str, body: Bytes) -> Result<(Bytes, bool), ApiError> {
        let Some(alerts) = self.row.alerts.filter(|_| self.config.incident_alerts && !id.is_empty()) else {
            return Ok((body, true));
        };
        match self.alerts(id, alerts, body.len()).await {
            Ok(Some((pieces, is_whole))) => {
                self.failing.remove(id);
                Ok((joined(&body, &pieces), is_whole))
            }
            Ok(None) => {
                counter!(telemetry::API_SKIPPED, "source" => self.source.clone()).increment(1);
                warn!(source = %self.source, incident = id, most = self.config.max_record_bytes.bytes(),
                    "an incident goes without its alerts: with them it is longer than `max_record_bytes`");
                Ok((body, true))
            }
            Err(error) => {
                let n_failures = self.failing.entry(id.to_owned()).or_default();
                *n_failures += 1;
                let is_for_good = matches!(error, ApiError::Refused { status: 400..=499, .. });
                if !is_for_good && *n_failures < PATIENT_FAILURES {
                    return Err(error);
                }
                warn!(source = %self.source, incident = id, error = telemetry::chain(&error), "an incident goes without its alerts for now");
                Ok((body, false))
            }
        }
    }

    /// The alerts of an incident, and whether they are all; `None` when they are too long beside so many bytes.
    async fn alerts(
        &self,
        id: &str,
        path: &str,
        n_beside: usize,
    ) -> Result<Option<(Vec<Bytes>, bool)>, ApiError> {
        let mut url = self.client.url(self.row.path, &[])?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(id).push(path.trim_start_matches('/'));
        }
        let (mut pieces, mut is_whole) = (Vec::new(), true);
        let mut room = self.config.max_record_bytes.bytes().saturating_sub(n_beside + ROOM);
        let mut next = Some(url);
        for _ in 0..MOST_ALERT_PAGES {
            let Some(url) = next.take() else { return Ok(Some((pieces, is_whole))) };
            let page = self.client.page(&url).await?;
            is_whole &= !page.is_partial;
            for piece in page.records {
                match room.checked_sub(piece.len() + 1) {
                    Some(left) => room = left,
                    None => return Ok(None),
                }
                pieces.push(piece);
            }
            next = page.next;
        }
        Ok(None)
    }
}

/// What a state of an object is known by.
fn state(id: &str, Ticks(updated): Ticks) -> u64 {
    fingerprint(&[id, &updated.to_string()])
}

/// An incident with its alerts.
fn joined(body: &Bytes, alerts: &[Bytes]) -> Bytes {
    if alerts.is_empty() {
        return body.clone();
    }
    with_member(body, &[&b"\"alerts\":["[..], &alerts.join(&b","[..]), b"]"].concat())
}

/// The object with one member more.
fn with_member(body: &Bytes, member: &[u8]) -> Bytes {
    let Some(open) = body.trim_ascii().strip_suffix(b"}") else { return body.clone() };
    let comma: &[u8] = if open.trim_ascii().ends_with(b"{") { b"" } else { b"," };
    [open, comma, member, b"}"].concat().into()
}

/// So often the alerts of one incident are asked for before it goes without them.
const PATIENT_FAILURES: u32 = 3;
/// For the names of members around the alerts.
const ROOM: usize = 64;
const MOST_ALERT_PAGES: usize = 1_000;
