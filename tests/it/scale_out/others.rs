//! Sources without a service that cuts readers off: a REST resource is asked for by one instance, each container is
//! followed by one, and their places go with them.

use std::time::Duration;

use super::{CONTAINER, LONG, SHORT, checkpoints};
use crate::defender_api::UNLIMITED;
use crate::harness::azurite::{ACCOUNT, Azurite};
use crate::harness::defender::{Defender, ago};
use crate::harness::gateway::Gateway;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

#[test]
fn alerts_that_one_instance_has_read_another_does_not_read_again() {
    read_in_turns(Records::alerts());
}

#[test]
fn rows_that_one_instance_has_hunted_another_does_not_hunt_again() {
    read_in_turns(Records::rows());
}

fn read_in_turns(mut world: Records) {
    let mut gateways = [(); 2].map(|()| world.instance(LONG));
    for round in 0..4 {
        // Some are new, some are changed ones of before: both look back over what was read.
        world.put(100);
        gateways[round % 2].start();
        world.until_all();
        gateways[round % 2].terminate();
    }
    assert_eq!(world.siem.received.n_duplicates, 0);
    let n_spooled = gateways.each_ref().map(Gateway::n_spooled);
    assert_eq!(n_spooled.iter().sum::<u64>(), world.siem.received.n_distinct());
    assert!(n_spooled.iter().all(|n| *n > 100), "{n_spooled:?}");
}

#[test]
fn an_instance_that_asks_and_is_killed_is_followed_by_another_that_waited() {
    let mut world = Records::alerts();
    let mut gateways = [(); 2].map(|()| world.instance(SHORT));
    world.put(100);
    gateways.iter_mut().for_each(Gateway::start);
    world.until_all();
    let n_spooled = gateways.each_ref().map(Gateway::n_spooled);
    assert_eq!(n_spooled.iter().filter(|n| **n == 0).count(), 1, "one of them asks: {n_spooled:?}");
    let asks = usize::from(n_spooled[0] == 0);
    gateways[asks].kill();
    world.put(100);
    world.until_all();
    gateways[1 - asks].terminate();
    assert!(gateways[1 - asks].n_spooled() > 0);
}

#[test]
fn without_a_lease_nobody_asks_on() {
    let mut world = Records::alerts();
    let mut gateway = world.instance(SHORT);
    world.put(10);
    gateway.start();
    world.until_all();
    world.azurite.signal("STOP");
    gateway.until_logged("leaving the partition before its lease ends", 0);
    let n_asked = world.defender.state().n_requests;
    // It is still tried to renew it.
    let from = gateway.log().len();
    gateway.until_logged("no answer in time", from);
    assert_eq!(world.defender.state().n_requests, n_asked);
    world.put(10);
    world.azurite.signal("CONT");
    world.until_all();
    gateway.terminate();
    assert_eq!(world.siem.received.n_duplicates, 0);
}

#[test]
fn containers_are_divided_among_instances_and_their_lines_arrive_once_each() {
    let mut world = Lines::new();
    let mut gateways = [(); 2].map(|()| world.instance(SHORT));
    gateways[0].start();
    world.append(100);
    world.until_all();
    gateways[1].start();
    until("each has two containers", || {
        let owners = world.owners();
        let n_of = |owner: &String| owners.iter().filter(|other| *other == owner).count();
        (owners.len() == 4 && owners.iter().all(|owner| n_of(owner) == 2)).then_some(())
    });
    world.append(100);
    world.until_all();
    gateways[1].kill();
    world.append(100);
    world.until_all();
    gateways[0].terminate();
    // The other way round, from where the first has come to.
    world.append(100);
    gateways[1].start();
    world.until_all();
    gateways[1].terminate();
}

#[test]
fn a_container_goes_from_one_instance_to_another_and_back_without_a_repeat() {
    let mut world = Lines::new();
    let mut gateways = [(); 2].map(|()| world.instance(LONG));
    for round in 0..4 {
        world.append(100);
        gateways[round % 2].start();
        world.until_all();
        gateways[round % 2].terminate();
    }
    assert_eq!(world.siem.received.n_duplicates, 0);
}

#[test]
fn an_instance_that_was_killed_has_its_containers_back_at_once() {
    let mut world = Lines::new();
    let mut gateway = world.instance(LONG);
    for _ in 0..3 {
        world.append(100);
        gateway.start();
        world.until_all();
        gateway.kill();
    }
    assert!(!gateway.log().contains("name of this one"), "{}", gateway.log());
}

/// A service with records, a container for checkpoints, a receiver.
struct Records {
    defender: Defender,
    azurite: Azurite,
    siem: Siem,
    table: &'static str,
    source: &'static str,
    n: u64,
}

impl Records {
    fn alerts() -> Self {
        Self::new("lastUpdateDateTime", "graph.alert", "defender_api]\nresource = 'graph_alerts'")
    }

    fn rows() -> Self {
        Self::new("Timestamp", "EmailEvents", "advanced_hunting]\ntable = 'EmailEvents'")
    }

    fn new(updated: &'static str, table: &'static str, source: &'static str) -> Self {
        let (defender, azurite) = (Defender::started(updated), Azurite::started());
        defender.trust(&azurite.ca_file());
        azurite.create_container(CONTAINER);
        Self { defender, azurite, siem: Siem::started(Mode::Reads), table, source, n: 0 }
    }

    fn instance(&self, more: &str) -> Gateway {
        let destination = self.siem.destination("siem", "rotate_bytes = 200_000\nquiet = '100ms'");
        let gateway = Gateway::new("", std::slice::from_ref(&destination));
        gateway.number(self.table);
        let source = format!(
            "{}[source.numbers.{}\ntenant = 'corp'\npoll = '20ms'\n{}\n",
            self.defender.tenant(UNLIMITED),
            self.source,
            checkpoints(&self.azurite, more)
        );
        gateway.configure_source("", &source, &[destination]);
        gateway
    }

    /// So many states more, of new records and of those there are.
    fn put(&mut self, n: u64) {
        let mut state = self.defender.state();
        for number in self.n + 1..=self.n + n {
            let id = if number % 3 == 0 { number - 2 } else { number };
            state.put(&format!("record-{id}"), ago(Duration::ZERO), number, false);
        }
        self.n += n;
    }

    /// Waits until the last state of each record has arrived.
    fn until_all(&mut self) {
        let last: Vec<u64> = self.defender.state().records.values().map(|record| record.n).collect();
        until("the records arrive", || self.siem.received.read().has_each("records", &last).then_some(()));
    }
}

/// An account with four containers of lines, a receiver.
struct Lines {
    azurite: Azurite,
    siem: Siem,
    n: u64,
}

const STREAMS: [&str; 4] = ["c0", "c1", "c2", "c3"];

impl Lines {
    fn new() -> Self {
        let azurite = Azurite::started();
        azurite.create_container(CONTAINER);
        for stream in STREAMS {
            azurite.create_container(&format!("logs-{stream}"));
            azurite.create(&blob(stream));
        }
        Self { azurite, siem: Siem::started(Mode::Reads), n: 0 }
    }

    fn instance(&self, more: &str) -> Gateway {
        let destination = self.siem.destination("siem", "rotate_bytes = 200_000\nquiet = '100ms'");
        let gateway = Gateway::new("", std::slice::from_ref(&destination));
        let source = format!(
            "[network]\nca_file = '{}'\n[source.numbers.blob_storage]\naccount = '{ACCOUNT}'\nurl = '{}'\n\
             key = {{ file = '{}' }}\ntable = 'Numbered'\ncontainer_prefix = 'logs-'\npoll = '20ms'\nsweep = '1s'\n{}\n",
            self.azurite.ca_file().display(),
            self.azurite.url(),
            self.azurite.file("key").display(),
            checkpoints(&self.azurite, more)
        );
        gateway.configure_source("", &source, &[destination]);
        gateway
    }

    /// So many lines more in each container.
    fn append(&mut self, n: u64) {
        for stream in STREAMS {
            let line = |number| format!("{{\"stream\":\"{stream}\",\"n\":{number}}}\r\n");
            let lines: String = (self.n + 1..=self.n + n).map(line).collect();
            self.azurite.append(&blob(stream), &lines);
        }
        self.n += n;
    }

    fn until_all(&mut self) {
        let n = self.n;
        until("the lines arrive", || {
            self.siem.received.read();
            STREAMS.iter().all(|stream| self.siem.received.has_all(stream, n)).then_some(())
        });
    }

    /// The owner of each container.
    fn owners(&self) -> Vec<String> {
        let prefix = format!("{ACCOUNT}/numbers/containers/ownership/");
        let blobs = self.azurite.blobs(CONTAINER, &prefix);
        blobs.into_values().map(|blob| blob.metadata["ownerid"].clone()).collect()
    }
}

fn blob(stream: &str) -> String {
    let day = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
    let day = format!("y={:04}/m={:02}/d={:02}", day.year(), day.month(), day.day());
    format!("logs-{stream}/tenantId=2f6a4c1e-93b7-4d58-8a06-5be1c7d09f34/{day}/h=09/m=00/PT1H.json")
}
