//! One partition: from its durable place on, again after every break.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::{MessageDecodeError, RecvError};
use fe2o3_amqp_types::messaging::Body;
use fe2o3_amqp_types::primitives::Value;
use futures_util::FutureExt as _;
use metrics::{counter, gauge};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::config::{Config, Start};
use super::event::Event;
use super::link::{Link, LinkError, Namespace, State, failed, within};
use super::place::Place;
use crate::backoff::Backoff;
use crate::record::{Batch, Partition, Table};
use crate::source::envelope::Envelope;
use crate::source::in_flight::InFlight;
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A partition to be followed.
pub struct Follower {
    namespace: Namespace,
    config: Arc<Config>,
    hub: String,
    id: String,
    partition: Partition,
    intake: Intake,
    stop: CancellationToken,
    envelope: Envelope,
    /// The largest event lately, in bytes: what credit is counted in.
    largest: u64,
    /// Events since the last one with a number whose number is not known.
    n_nameless: i64,
    /// Connected again to see whether what is missing behind this event comes after all.
    gap_behind: Option<i64>,
    /// It did not come.
    gaps_are_real: bool,
    /// As last told.
    stalled: Option<bool>,
    backoff: Backoff,
}

/// Why following ended.
enum Interruption {
    Link(LinkError),
    Spool(SpoolError),
    Stopped,
}

impl From<LinkError> for Interruption {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl From<SpoolError> for Interruption {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// Follows a partition until told to stop; where it is shared, until another instance has it.
///
/// # Errors
/// The spool failed.
pub async fn follow(
    namespace: Namespace,
    config: Arc<Config>,
    hub: String,
    id: String,
    intake: Intake,
    stop: CancellationToken,
) -> Result<(), SpoolError> {
    let partition = partition(&config, &hub, &id);
    let table = config.table.as_ref().map(|table| Table::new(&table.0));
    let envelope = Envelope::new(table, config.max_record_bytes.bytes());
    let appender = intake.clone();
    let mut follower = Follower {
        namespace,
        config,
        hub,
        id,
        partition,
        intake,
        stop,
        envelope,
        largest: LARGEST,
        n_nameless: 0,
        gap_behind: None,
        gaps_are_real: false,
        stalled: None,
        backoff: Backoff::default(),
    };
    let mut in_flight = InFlight::default();
    loop {
        let error = match follower.session(&appender, &mut in_flight).await {
            Ok(()) | Err(Interruption::Stopped) => return in_flight.settle().await,
            Err(Interruption::Spool(error)) => return Err(error),
            // Whose it is now, the claims tell.
            Err(Interruption::Link(error)) if error.is_stolen() && follower.config.checkpoints.is_some() => {
                return in_flight.settle().await;
            }
            Err(Interruption::Link(error)) => error,
        };
        let wait = follower.refused(&error);
        if in_flight.beside(tokio::time::sleep(wait), &follower.stop).await?.is_none() {
            return Ok(());
        }
    }
}

/// Where a partition begins that nobody has read.
pub fn first_place(start: Start, state: &State) -> Place {
    match start {
        Start::Earliest => Place::oldest(),
        Start::At(time) => Place::Since(time.as_millisecond()),
        Start::Latest if state.last < state.first => Place::oldest(),
        Start::Latest => Place::Behind(state.last, state.last_offset.clone()),
    }
}

/// What a partition is called in the spool.
pub fn partition(config: &Config, hub: &str, id: &str) -> Partition {
    Partition(format!("{}/{hub}/{}/{id}", config.namespace.0, config.consumer_group))
}

impl Follower {
    /// One connection, from the durable place to its end.
    async fn session<'i>(
        &mut self,
        intake: &'i Intake,
        in_flight: &mut InFlight<'i>,
    ) -> Result<(), Interruption> {
        // Only what is durable counts: what is still on its way would be asked for twice.
        let stop = self.stop.clone();
        if !in_flight.below(1, &stop).await? {
            return Ok(());
        }
        let entity = format!("ConsumerGroups/{}/Partitions/{}", self.config.consumer_group, self.id);
        let opening = async {
            let mut link = Link::open(&self.namespace, &self.hub, Some(&entity)).await?;
            let state = link.state(&self.id).await?;
            Ok::<_, LinkError>((link, state))
        };
        let opened = in_flight.beside(opening, &stop).await?.ok_or(Interruption::Stopped)?;
        let (mut link, state) = opened?;
        let mut place = self.place(&state).await?;
        let attaching = link.receiver(&entity, &place, self.config.epoch);
        let mut receiver = in_flight.beside(attaching, &stop).await?.ok_or(Interruption::Stopped)??;
        info!(source = %intake.source(), hub = self.hub, partition = self.id, place = place.position().0, "attached");
        let mut heard = Instant::now();
        self.n_nameless = 0;
        loop {
            self.give_credit(&mut receiver).await?;
            let patience =
                self.config.silence.saturating_sub(heard.elapsed()).min(link.renew_in()).max(SHORTEST);
            let receiving = timeout(patience, receiver.recv::<Body<Value>>());
            let received = in_flight.beside(receiving, &stop).await?.ok_or(Interruption::Stopped)?;
            if let Ok(first) = received {
                let mut next = Some(first);
                let (mut records, mut n_bytes, mut n_events) = (Vec::new(), 0, 0);
                let (mut settled, mut broken): (Vec<DeliveryInfo>, _) = (Vec::new(), None);
                while let Some(delivery) = next.take() {
                    match delivery {
                        Ok(delivery) => {
                            settled.push((&delivery).into());
                            let event = Event::of(delivery);
                            n_bytes += event.body.len();
                            if let Err(gap) = self.take(event, &mut place, &mut records) {
                                broken = Some(gap);
                                break;
                            }
                            n_events += 1;
                        }
                        // The link is sound; connecting again would bring the same event.
                        Err(RecvError::MessageDecode(error)) => {
                            n_events += 1;
                            self.undecodable(&error, &place);
                        }
                        Err(error) => {
                            broken = Some(failed("receive", &error));
                            break;
                        }
                    }
                    if n_bytes < self.config.batch_bytes.bytes() {
                        next = receiver.recv::<Body<Value>>().now_or_never();
                    }
                }
                if n_events > 0 {
                    heard = Instant::now();
                    self.backoff.reset();
                    self.stalled(false);
                    self.envelope.take_tally().count(intake.source());
                    let batch =
                        Batch { partition: self.partition.clone(), position: place.position(), records };
                    in_flight.push(intake.append(batch));
                    if !in_flight.below(MAX_IN_FLIGHT, &stop).await? {
                        return Ok(());
                    }
                }
                if let Some(error) = broken {
                    return Err(error.into());
                }
                within("settle events", receiver.accept_all(settled)).await?;
            }
            if link.renew_in().is_zero() {
                in_flight.beside(link.renew(), &stop).await?.ok_or(Interruption::Stopped)??;
            }
            if heard.elapsed() >= self.config.silence {
                let asking = link.state(&self.id);
                let state = in_flight.beside(asking, &stop).await?.ok_or(Interruption::Stopped)??;
                self.examine(&state, &place)?;
                heard = Instant::now();
            }
        }
    }

    /// Where to attach: what is durable, as far as the hub still has it; on the first run what is configured.
    async fn place(&self, state: &State) -> Result<Place, Interruption> {
        let source = self.intake.source();
        let stored = self.intake.position(&self.partition);
        let known = stored.as_ref().and_then(Place::read);
        if let (Some(stored), None) = (&stored, &known) {
            warn!(source = %source, position = stored.0, "position is not one of Event Hubs; beginning with the oldest event");
            return Ok(Place::oldest());
        }
        let Some(place) = known else {
            let place = first_place(self.config.start, state);
            // Resolved once: what comes while there is no connection must not be skipped.
            let position = place.position();
            let batch = Batch { partition: self.partition.clone(), position, records: Vec::new() };
            self.intake.append(batch).await?;
            return Ok(place);
        };
        let Some(sequence) = place.sequence() else { return Ok(place) };
        if state.last < sequence {
            error!(source = %source, hub = self.hub, partition = self.id, read = sequence, newest = state.last,
                "the hub has less than was read of it: it was made anew; beginning with its oldest event");
            counter!(telemetry::HUBS_REPLACED, "source" => source.clone()).increment(1);
            return Ok(Place::oldest());
        }
        let n_gone = state.first.saturating_sub(sequence.saturating_add(1));
        if n_gone > 0 {
            error!(source = %source, hub = self.hub, partition = self.id, n_gone,
                "events expired before they were read; going on with the oldest that is left");
            counter!(telemetry::EVENTS_EXPIRED, "source" => source.clone())
                .increment(n_gone.try_into().unwrap_or(0));
            return Ok(Place::oldest());
        }
        Ok(place)
    }

    /// Takes in one event, unless it has been here before.
    ///
    /// # Errors
    /// Something is missing before it, which a new connection may bring.
    fn take(
        &mut self,
        event: Event,
        place: &mut Place,
        records: &mut Vec<(Table, bytes::Bytes)>,
    ) -> Result<(), LinkError> {
        let source = self.intake.source();
        let n_bytes = u64::try_from(event.body.len()).unwrap_or(u64::MAX).saturating_add(OVERHEAD);
        // Falls slowly, so that one large event is remembered for some hundreds.
        self.largest = n_bytes.max(self.largest - self.largest / 256);
        let Some((sequence, offset)) = event.place else {
            counter!(telemetry::EVENTS_UNNUMBERED, "source" => source.clone()).increment(1);
            self.n_nameless += 1;
            self.envelope.split(&event.body, records);
            return Ok(());
        };
        if let Some(before) = place.sequence() {
            if sequence <= before {
                counter!(telemetry::EVENTS_REPEATED, "source" => source.clone()).increment(1);
                return Ok(());
            }
            let n_missing = (sequence - before - 1).saturating_sub(self.n_nameless);
            if n_missing > 0 && !self.gaps_are_real {
                if self.gap_behind != Some(before) {
                    self.gap_behind = Some(before);
                    return Err(LinkError::Gap(before, n_missing));
                }
                // The hub itself leaves numbers out: it need not be asked at each.
                self.gaps_are_real = true;
            }
            if n_missing > 0 {
                warn!(source = %source, hub = self.hub, partition = self.id, behind = before, n_missing, "sequence numbers are missing");
                counter!(telemetry::EVENTS_MISSING, "source" => source.clone())
                    .increment(n_missing.try_into().unwrap_or(0));
            }
        }
        self.n_nameless = 0;
        self.envelope.split(&event.body, records);
        *place = Place::Behind(sequence, offset);
        Ok(())
    }

    /// Passes over an event that is not a well-formed message.
    fn undecodable(&mut self, error: &MessageDecodeError, place: &Place) {
        let source = self.intake.source();
        // Once for several in a row.
        if self.n_nameless == 0 {
            error!(source = %source, hub = self.hub, partition = self.id, behind = place.position().0,
                error = %error.source, "an event is not a well-formed AMQP message and is passed over");
        }
        counter!(telemetry::EVENTS_UNDECODABLE, "source" => source.clone()).increment(1);
        self.n_nameless += 1;
    }

    /// Lets as many events come as are sure to fit.
    async fn give_credit(&self, receiver: &mut Receiver) -> Result<(), LinkError> {
        let credit = (self.config.prefetch_bytes / self.largest.max(1)).clamp(1, MOST_CREDIT);
        let credit = u32::try_from(credit).unwrap_or(1);
        if receiver.credit() > credit / 2 {
            return Ok(());
        }
        within("give credit", receiver.set_credit(credit)).await
    }

    /// Nothing has come for a while: is there nothing, or is it kept from us?
    fn examine(&mut self, state: &State, place: &Place) -> Result<(), LinkError> {
        let behind = match place {
            Place::Since(_) => 0,
            Place::Behind(sequence, _) => state.last.saturating_sub((*sequence).max(state.first - 1)),
        };
        self.stalled(behind > 0);
        if behind <= 0 {
            return Ok(());
        }
        error!(source = %self.intake.source(), hub = self.hub, partition = self.id, behind,
            "connected, but nothing arrives though the hub has events: the usual cause is that the application lacks the role \
             `Azure Event Hubs Data Receiver` on the hub; connecting again");
        Err(LinkError::Silent("wait for events"))
    }

    /// Tells whether events are kept from us, when that has changed.
    fn stalled(&mut self, stalled: bool) {
        if self.stalled != Some(stalled) {
            self.stalled = Some(stalled);
            let partition = format!("{}/{}", self.hub, self.id);
            gauge!(telemetry::PARTITION_STALLED, "source" => self.intake.source().clone(), "partition" => partition)
                .set(if stalled { 1.0 } else { 0.0 });
        }
    }

    /// Says what is wrong and how long to wait.
    fn refused(&mut self, error: &LinkError) -> Duration {
        let wait = self.backoff.wait();
        let source = self.intake.source();
        warn!(source = %source, hub = self.hub, partition = self.id, error = telemetry::chain(error), retry_in = ?wait, "event hub");
        counter!(telemetry::SOURCE_ERRORS, "source" => source.clone()).increment(1);
        wait
    }
}

/// Batches on their way into the spool at a time.
const MAX_IN_FLIGHT: usize = 4;
/// Before anything is known of a partition: the most that the service takes as one event.
const LARGEST: u64 = 1 << 20;
/// What an event takes beside its body, about.
const OVERHEAD: u64 = 256;
const MOST_CREDIT: u64 = 2_000;
/// The shortest wait for an event.
const SHORTEST: Duration = Duration::from_millis(5);
