//! One round: everything that has changed since a while before the watermark.
//!
//! Each page is durable, with the fingerprints of its records, before the next one is asked for; the watermark moves
//! when the last page is. So a kill at any instant, a broken chain of pages or a record that comes again costs a
//! question, and neither loses nor repeats a record.

use metrics::counter;
use tracing::{error, warn};
use url::Url;

use super::config::Config;
use super::course::{Course, Next};
use super::resource::Row;
use super::take::{Found, Taker};
use crate::defender::{ApiError, Client, Page};
use crate::record::Name;
use crate::source::rest::place::Place;
use crate::source::rest::ticks::Ticks;
use crate::source::rest::{Asker, Interruption};
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A resource being read.
pub struct Poller {
    client: Client,
    config: Config,
    row: &'static Row,
    source: Name,
    taker: Taker,
    page_size: usize,
    /// So many records are asked for at that size before it is tried with more: among them is one that was too much.
    careful: usize,
    /// Evidence is asked for with the records.
    expand: bool,
    /// So many records in a row could be had without their evidence only.
    n_bare: u32,
    /// A round that was broken off: it is gone on with.
    course: Option<Course>,
}

impl Asker for Poller {
    async fn round(&mut self) -> Result<u64, Interruption> {
        let mut course = match self.course.take() {
            Some(course) => course,
            None => self.set_out().await?,
        };
        loop {
            match self.pages(&mut course).await {
                Ok(()) => break,
                Err(Interruption::Api(error)) => {
                    let Err(error) = self.degrade(&mut course, error).await else { continue };
                    self.course = Some(course);
                    return Err(error.into());
                }
                Err(error) => return Err(error),
            }
        }
        self.begin_large();
        if !course.whole {
            warn!(source = %self.source, "the service did not answer whole; what it answered is stored, and the same time is asked for again");
        }
        let (now, latest, rescanned) = (course.begun, course.latest(), course.rescanning && course.whole);
        let watermark = self.taker.place().watermark;
        // A record may bear a time to come; what is made until then is not to wait for it.
        let reached = watermark.map(|at| at.min(now)).max(Some(latest.min(now)));
        let watermark = if course.whole { reached } else { watermark };
        let mark = |place: &mut Place| {
            place.watermark = watermark;
            place.rescanned = if rescanned { Some(now) } else { place.rescanned };
        };
        self.taker.mark(mark, now).await?;
        Ok(course.n_new)
    }

    fn came_on(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.n_failures == 1)
    }
}

impl Poller {
    /// Goes on where the spool says that it was left.
    #[must_use]
    pub fn new(client: Client, config: Config, intake: Intake) -> Self {
        let row = config.resource.row();
        let page_size = full_page(&config, row);
        let source = intake.source().clone();
        let taker = Taker::new(client.clone(), config.clone(), intake);
        let (expand, course) = (true, None);
        Self { client, row, source, taker, page_size, careful: 0, expand, n_bare: 0, course, config }
    }

    /// Where a round begins.
    async fn set_out(&mut self) -> Result<Course, SpoolError> {
        let now = Ticks::now();
        let place = self.taker.place();
        if place.begin.is_some_and(|begin| begin > now) || place.rescanned.is_some_and(|at| at > now) {
            warn!(source = %self.source, "this machine's clock was ahead; looking back as if this were the first run");
        }
        // Before the first record: a stop in the middle of the first round does not move it.
        let begin = place.begin.filter(|begin| *begin <= now).or_else(|| {
            let is_first = place.watermark.is_none() || place.begin.is_some();
            is_first.then(|| now.before(self.config.lookback))
        });
        let rescanned = place.rescanned.filter(|at| *at <= now);
        let rescanning = rescanned.is_none_or(|at| at <= now.before(self.config.rescan));
        let back = if rescanning { self.config.rescan_window } else { self.config.overlap };
        let begin_at = begin.unwrap_or(Ticks(i64::MIN));
        let from = match place.watermark {
            Some(watermark) => watermark.min(now).before(back.max(self.config.overlap)).max(begin_at),
            None => begin_at,
        };
        self.taker.mark(|place| (place.begin, place.rescanned) = (begin, rescanned), now).await?;
        Ok(Course::new(from, now, self.row.order.is_some(), rescanning))
    }

    /// Asks for less, or passes over what cannot be had; gives the error back where a while has to pass first.
    async fn degrade(&mut self, course: &mut Course, error: ApiError) -> Result<(), ApiError> {
        course.fail();
        let is_sure = error.is_too_much();
        // A service that is down fails in the same ways, and is up again soon. The record itself is at fault only when
        // the one behind it can be had, so that nothing is lost by impatience.
        let is_patient = self.careful == 0 && course.n_failures <= PATIENT_FAILURES;
        let is_careful = self.careful > 0 && error.retry_after().is_none();
        let is_stubborn = is_careful || course.n_failures > MOST_FAILURES;
        let may_be = error.may_be_too_much() && !is_patient || error.may_come_of_a_record() && is_stubborn;
        if !(is_sure || may_be) {
            course.begin_again();
            return Err(error);
        }
        let n_before = course.go_to_failure(self.row.most_skipped);
        let text = telemetry::chain(&error);
        if self.page_size > 1 {
            self.careful = n_before + self.page_size;
            self.page_size = (self.page_size / 4).max(1);
            warn!(source = %self.source, error = text, page_size = self.page_size, "asking for less at a time");
            return Ok(());
        }
        if self.expand && self.row.expand.is_some() {
            self.expand = false;
            self.n_bare += 1;
            self.careful = self.careful.max(1);
            warn!(source = %self.source, error = text, "asking for one record without its evidence");
            return Ok(());
        }
        // One record is at fault when the one behind it can be had; else it is the service.
        let mut behind = course.clone();
        behind.pass_over();
        let can_skip = behind.skip <= self.row.most_skipped;
        if !can_skip || self.client.page(&self.list(&behind)?).await.is_err() {
            self.begin_large();
            return Err(error);
        }
        // Unless the service was, and has recovered in between.
        if self.client.page(&self.list(course)?).await.is_ok() {
            return Err(error);
        }
        *course = behind;
        counter!(telemetry::API_SKIPPED, "source" => self.source.clone()).increment(1);
        warn!(source = %self.source, error = text, after = course.from.text(),
            "one record cannot be had and is passed over; the next wider look tries it again");
        Ok(())
    }

    /// Asks for as much as the service gives.
    fn begin_large(&mut self) {
        (self.page_size, self.careful) = (full_page(&self.config, self.row), 0);
        (self.expand, self.n_bare) = (true, 0);
    }

    /// Asks for more again, behind what was too much.
    fn recover(&mut self, n_records: usize) {
        if self.careful == 0 || n_records == 0 {
            return;
        }
        if self.expand {
            self.n_bare = 0;
        } else {
            // One record may be too much with its evidence; when every one is, the service has a trouble of its own.
            self.expand = self.n_bare < MOST_BARE;
        }
        self.careful = self.careful.saturating_sub(n_records);
        if self.careful == 0 {
            let full = full_page(&self.config, self.row);
            self.page_size = (self.page_size * 4).min(full);
            self.careful = if self.page_size < full { self.page_size } else { 0 };
        }
    }

    /// Reads pages from where the course is to their end.
    async fn pages(&mut self, course: &mut Course) -> Result<(), Interruption> {
        let mut next: Option<Url> = None;
        let mut n_empty = 0;
        loop {
            let is_chain = next.is_some();
            let url = match next.take() {
                Some(url) => url,
                None => self.list(course)?,
            };
            let page = match self.client.page(&url).await {
                Ok(page) => page,
                // The link has expired, or leads astray: the question is asked anew from where its pages had come.
                Err(error)
                    if is_chain && self.careful == 0 && error.breaks_a_chain() && course.may_restart() =>
                {
                    warn!(source = %self.source, error = telemetry::chain(&error), from = course.latest().text(),
                        "a chain of pages has broken; it is begun again");
                    course.begin_again();
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Page { records, next: link, is_partial } = page;
            course.whole &= !is_partial;
            let found: Vec<Found> =
                records.into_iter().map(|body| Found::of(body, self.row, course.begun)).collect();
            let times: Vec<Option<Ticks>> = found.iter().map(|found| found.updated).collect();
            let n_records = times.len();
            let is_bare = !self.expand && self.row.expand.is_some();
            course.n_new += self.taker.take(found, is_bare).await?;
            course.pass(times);
            let has_link = link.is_some();
            let turn = course.turn(n_records, self.page_size, has_link, self.row.most_skipped);
            self.recover(n_records);
            n_empty = if n_records > 0 { 0 } else { n_empty + 1 };
            match turn {
                Next::End => return Ok(()),
                Next::List => {}
                Next::Link if n_empty > MOST_EMPTY || n_records > 0 && link.as_ref() == Some(&url) => {
                    course.whole = false;
                    warn!(source = %self.source, n_empty, "pages lead nowhere");
                    return Ok(());
                }
                Next::Link => next = link,
                Next::BehindInstant => {
                    counter!(telemetry::API_SKIPPED, "source" => self.source.clone()).increment(1);
                    error!(source = %self.source, before = course.from.text(), "more records bear one time than can be asked for");
                }
                Next::Lost => {
                    counter!(telemetry::API_SKIPPED, "source" => self.source.clone()).increment(1);
                    error!(source = %self.source, from = course.from.text(), "more records have changed than can be asked for, and they come in no order");
                    return Ok(());
                }
            }
        }
    }

    /// The address of the list from where the course is.
    fn list(&self, course: &Course) -> Result<Url, ApiError> {
        let row = self.row;
        let mut query = vec![("$filter", format!("{} ge {}", row.updated, course.from.text()))];
        query.extend(row.order.map(|order| ("$orderby", order.to_owned())));
        query.push(("$top", self.page_size.to_string()));
        if course.skip > 0 {
            query.push(("$skip", course.skip.to_string()));
        }
        query.extend(row.expand.filter(|_| self.expand).map(|expand| ("$expand", expand.to_owned())));
        self.client.url(row.path, &query)
    }
}

fn full_page(config: &Config, row: &Row) -> usize {
    config.page_size.map_or(row.page_size, |size| size.0.min(row.page_size))
}

/// So often a service may fail at one place before it is asked for less.
const PATIENT_FAILURES: u32 = 2;
/// The same where it fails in a way that hardly ever is the fault of what was asked for.
const MOST_FAILURES: u32 = 4;
/// So many records in a row without their evidence, and it is not tried for the next ones of the round.
const MOST_BARE: u32 = 3;
/// So many empty pages in a row, each with a link to the next, are followed.
const MOST_EMPTY: usize = 50;
