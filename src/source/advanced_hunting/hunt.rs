//! One round: window after window, from a while before what was read last up to the time it began.
//!
//! The rows of a window become durable with their fingerprints, then the watermark behind it. A kill in between costs the
//! question once more and no row twice. A window with too many rows is asked for in parts, down to a millisecond.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use tracing::{error, warn};

use super::config::Config;
use super::query::Query;
use crate::defender::{ApiError, Client};
use crate::record::Table;
use crate::source::envelope::Envelope;
use crate::source::rest::kept::Kept;
use crate::source::rest::member::texts;
use crate::source::rest::place::fingerprint;
use crate::source::rest::ticks::Ticks;
use crate::source::rest::{Asker, Interruption};
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A query being asked.
pub struct Hunter {
    client: Client,
    config: Config,
    query: Query,
    intake: Intake,
    kept: Kept,
    envelope: Envelope,
    /// The time that the next question is about.
    span: Duration,
    /// A round that was broken off: it is gone on with.
    round: Option<Round>,
    /// That round had brought rows at least.
    came_on: bool,
}

/// What a round has yet to ask for.
#[derive(Clone, Copy)]
struct Round {
    from: Ticks,
    end: Ticks,
    /// The service has failed here before.
    failed: bool,
}

impl Asker for Hunter {
    async fn round(&mut self) -> Result<u64, Interruption> {
        // It ends where it began to: what has appeared late meanwhile is the next one's, which looks back from there.
        let mut round = match self.round.take() {
            Some(round) => round,
            None => self.set_out().await?,
        };
        self.came_on = false;
        let mut n_new = 0;
        while round.from < round.end {
            let to = round.from.after(self.span).min(round.end);
            let rows =
                match self.client.rows(&self.query.between(&self.config.time_column, round.from, to)).await {
                    Ok(rows) if rows.len() >= MOST_ROWS && to > round.from.after(SHORTEST) => {
                        self.narrow(round.from, to, &ApiError::TooMuch("rows"));
                        continue;
                    }
                    Ok(rows) => rows,
                    Err(error) if error.is_too_much() && to > round.from.after(SHORTEST) => {
                        self.narrow(round.from, to, &error);
                        continue;
                    }
                    // Nobody can have these rows.
                    Err(error) if error.is_too_much() => {
                        self.pass_over(round.from, &error);
                        Vec::new()
                    }
                    Err(error) => {
                        if error.may_be_too_much() && round.failed {
                            self.narrow(round.from, to, &error);
                        }
                        self.round = Some(Round { failed: true, ..round });
                        return Err(error.into());
                    }
                };
            if rows.len() >= MOST_ROWS {
                self.pass_over(round.from, &ApiError::TooMuch("rows"));
            }
            n_new += self.take(rows, to).await?;
            self.reached(to).await?;
            round = Round { from: to, failed: false, ..round };
            self.came_on = true;
            self.span = self.span.saturating_mul(2).min(self.config.window);
        }
        Ok(n_new)
    }

    fn came_on(&self) -> bool {
        self.came_on
    }
}

impl Hunter {
    /// Goes on where the spool says that it was left.
    #[must_use]
    pub fn new(client: Client, config: Config, intake: Intake) -> Self {
        let kept = Kept::of(intake.clone());
        let query = config.asks();
        let envelope = Envelope::new(Some(Table::new(&config.table.0)), config.max_record_bytes.bytes());
        let span = config.window;
        Self { client, config, query, intake, kept, envelope, span, round: None, came_on: false }
    }

    /// What a new round asks for.
    async fn set_out(&mut self) -> Result<Round, SpoolError> {
        let now = Ticks::now();
        let first = now.before(self.config.lookback.0);
        let place = self.kept.place();
        let timeless = place.timeless == Some(true);
        let (mut begin, mut watermark) = (place.begin.unwrap_or(first), place.watermark.unwrap_or(first));
        if watermark > now || begin > now {
            // Rows were asked for by a clock that was ahead: which of them there were then, nobody knows.
            if place.watermark.is_some() {
                let source = self.intake.source();
                warn!(source = %source, read = watermark.text(), "this machine's clock was ahead; asking from `lookback` on again");
            }
            (begin, watermark) = (begin.min(first), watermark.min(first));
        }
        // Before the first row: a stop in the middle of the first round does not move it.
        let oldest = watermark.before(self.config.overlap);
        self.kept
            .mark(|place| (place.begin, place.watermark) = (Some(begin), Some(watermark)), oldest)
            .await?;
        let overlap = if timeless { Duration::ZERO } else { self.config.overlap };
        Ok(Round { from: watermark.before(overlap).max(begin), end: now, failed: false })
    }

    /// Asks for less at a time from now on.
    fn narrow(&mut self, from: Ticks, to: Ticks, error: &ApiError) {
        self.span = (to.since(from) / 4).max(SHORTEST);
        warn!(source = %self.intake.source(), error = telemetry::chain(error), window = ?self.span, "asking for less at a time");
    }

    /// Says that some rows of the shortest window cannot be had.
    fn pass_over(&self, from: Ticks, error: &ApiError) {
        let source = self.intake.source();
        counter!(telemetry::API_SKIPPED, "source" => source.clone()).increment(1);
        error!(source = %source, from = from.text(), error = telemetry::chain(error),
            "a millisecond has more rows than the service gives: some are missing; narrow the query");
    }

    /// Stores what is new of a window, with its fingerprints.
    async fn take(&mut self, rows: Vec<Bytes>, to: Ticks) -> Result<u64, SpoolError> {
        let mut n_new = 0;
        // Two rows may be equal and still tell of two events: each is known by what it says and the how-manieth it is.
        let mut n_equal: HashMap<u64, u64> = HashMap::new();
        let times: Vec<Option<Ticks>> = rows.iter().map(|row| self.time_of(row)).collect();
        let timeless = times.iter().all(Option::is_none);
        for (part, times) in rows.chunks(ROWS_AT_ONCE).zip(times.chunks(ROWS_AT_ONCE)) {
            let (mut records, mut seen) = (Vec::new(), Vec::new());
            for (row, time) in part.iter().zip(times) {
                if timeless {
                    self.envelope.split(row, &mut records);
                    continue;
                }
                let text = String::from_utf8_lossy(row);
                let n = n_equal.entry(fingerprint(&[&text])).or_default();
                let key = fingerprint(&[&text, &n.to_string()]);
                *n += 1;
                if self.kept.place().seen(key).is_none() {
                    self.envelope.split(row, &mut records);
                    // A query may ask by another time than the row bears; it is asked for again by the window's.
                    seen.push((key, time.map_or(to, |time| time.max(to))));
                }
            }
            n_new += records.len() as u64;
            self.envelope.take_tally().count(self.intake.source());
            if !records.is_empty() {
                self.kept.store(records, seen).await?;
            }
        }
        if !rows.is_empty() && self.kept.place().timeless.unwrap_or(false) != timeless {
            if timeless {
                let (source, column) = (self.intake.source(), &self.config.time_column);
                warn!(source = %source, column, "rows without this column cannot be known again: no window is asked for twice, and late rows are missed; keep the column in the query");
            }
            let oldest = Ticks(i64::MIN);
            self.kept.mark(|place| place.timeless = Some(timeless), oldest).await?;
        }
        Ok(n_new)
    }

    /// When a row is from, as it says itself.
    fn time_of(&self, row: &[u8]) -> Option<Ticks> {
        let [time] = texts(row, [&self.config.time_column]);
        Ticks::read(&time)
    }

    /// Everything up to here was read.
    async fn reached(&mut self, to: Ticks) -> Result<(), SpoolError> {
        let watermark = self.kept.place().watermark.map_or(to, |before| before.max(to));
        let oldest = watermark.before(self.config.overlap);
        self.kept.mark(|place| place.watermark = Some(watermark), oldest).await
    }
}

/// "Advanced hunting API": an answer has at most so many rows.
const MOST_ROWS: usize = 100_000;
const ROWS_AT_ONCE: usize = 2_000;
const SHORTEST: Duration = Duration::from_millis(1);
