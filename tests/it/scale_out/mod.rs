//! Several instances that share a hub through a container: each partition is read by one of them, and what one has read
//! the others do not read again. Azurite has the container, a stand-in on Qpid Proton the hub.

mod others;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::azurite::{ACCOUNT, Azurite};
use crate::harness::event_hubs::{EventHubs, HUB, NAMESPACE};
use crate::harness::gateway::Gateway;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

const STREAMS: [&str; 4] = ["p0", "p1", "p2", "p3"];
const CONTAINER: &str = "shared";
/// So short that a test sees them end.
const SHORT: &str = "renew = '500ms', lease = '4s'";
/// Longer than any test: what is had before its end was given up, or is one's own.
const LONG: &str = "renew = '500ms', lease = '1h'";

#[test]
fn instances_that_come_go_and_are_killed_share_the_partitions_and_nothing_is_lost() {
    let mut world = World::new();
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| world.instance(SHORT));
    world.append_to_all(0, 1_000);
    a.start();
    world.until_balanced(&[4]);
    b.start();
    c.start();
    world.append_to_all(1_000, 1_000);
    world.until_balanced(&[2, 1, 1]);
    world.append_to_all(2_000, 1_000);
    b.kill();
    world.until_balanced(&[2, 2]);
    world.append_to_all(3_000, 1_000);
    d.start();
    world.until_balanced(&[2, 1, 1]);
    world.append_to_all(4_000, 1_000);
    // What it had spooled and not delivered is nowhere else.
    b.start();
    world.until_balanced(&[1, 1, 1, 1]);
    until("all events arrive", || (world.siem.received.read().n_distinct() == 4 * 5_000).then_some(()));
    [&mut a, &mut b, &mut c, &mut d].into_iter().for_each(Gateway::terminate);
    for log in [&a, &b, &c, &d].map(Gateway::log) {
        assert!(!log.contains("name of this one") && !log.contains("ERROR"), "{log}");
    }
    let received = world.siem.received.read();
    eprintln!("{} messages, {} duplicates", received.n_messages, received.n_duplicates);
    assert!(STREAMS.iter().all(|stream| received.has_all(stream, 5_000)));
    assert!(world.owners().values().all(String::is_empty), "{:?}", world.owners());
    // Once a later owner is attached, an earlier one never is again.
    let epochs: Vec<_> = (0..4).map(|partition| world.epochs(partition)).collect();
    assert!(epochs.iter().all(|epochs| epochs.is_sorted()), "{epochs:?}");
    assert!(epochs.concat().len() >= 4 + 4, "at least four changes of owner: {epochs:?}");
}

#[test]
fn what_one_instance_gives_up_another_goes_on_with_and_back_without_a_repeat() {
    let mut world = World::new();
    let mut gateways = [(); 2].map(|()| world.instance(LONG));
    for round in 0..4 {
        let (gateway, n_before) = (&mut gateways[round % 2], u64::try_from(round).unwrap() * 200);
        world.append_to_all(n_before, 200);
        gateway.start();
        until("the events arrive", || {
            (world.siem.received.read().n_distinct() == 4 * (n_before + 200)).then_some(())
        });
        gateway.terminate();
    }
    assert_eq!(world.siem.received.read().n_duplicates, 0);
    assert_eq!(world.checkpoints(), (0..4).map(|n| (n.to_string(), "799 79900".to_owned())).collect());
}

#[test]
fn an_instance_that_sleeps_longer_than_its_lease_does_not_read_on_when_it_wakes() {
    let mut world = World::new();
    let [mut a, mut b] = [(); 2].map(|()| world.instance(SHORT));
    world.append_to_all(0, 1_000);
    a.start();
    until("the events arrive", || (world.siem.received.read().n_distinct() == 4_000).then_some(()));
    let owner = world.owners()["0"].clone();
    a.signal("STOP");
    b.start();
    until("the other has everything", || world.owners().values().all(|other| *other != owner).then_some(()));
    world.append_to_all(1_000, 1_000);
    until("the later events arrive", || (world.siem.received.read().n_distinct() == 8_000).then_some(()));
    a.signal("CONT");
    a.until_logged("partition lost", 0);
    world.until_balanced(&[2, 2]);
    world.append_to_all(2_000, 1_000);
    until("all events arrive", || (world.siem.received.read().n_distinct() == 12_000).then_some(()));
    [&mut a, &mut b].into_iter().for_each(Gateway::terminate);
    let epochs: Vec<_> = (0..4).map(|partition| world.epochs(partition)).collect();
    assert!(epochs.iter().all(|epochs| epochs.is_sorted()), "{epochs:?}");
}

#[test]
fn latest_is_the_same_place_for_all_instances() {
    let mut world = World::new();
    let [mut a, mut b] = [(); 2]
        .map(|()| world.instance_with("start = 'latest'", &format!("{LONG}, checkpoint = 'delivered'")));
    world.append_to_all(0, 10);
    a.start();
    until("its beginning is written", || {
        let checkpoints = world.checkpoints();
        (checkpoints.len() == 4 && checkpoints.values().all(|place| place == "9 900")).then_some(())
    });
    a.terminate();
    world.append_to_all(10, 10);
    b.start();
    until("the later events arrive", || (world.siem.received.read().n_distinct() == 40).then_some(()));
    b.terminate();
    assert_eq!(world.siem.received.read().missing("p0", 20), (1..=10).collect::<Vec<_>>());
}

#[test]
fn hubs_are_read_on_while_the_storage_account_is_away() {
    let mut world = World::new();
    let mut gateway = world.instance(SHORT);
    world.append_to_all(0, 100);
    gateway.start();
    until("the first events arrive", || (world.siem.received.read().n_distinct() == 400).then_some(()));
    let owners = world.owners();
    world.azurite.signal("STOP");
    gateway.until_logged("no answer in time", 0);
    world.append_to_all(100, 100);
    until("the later events arrive", || (world.siem.received.read().n_distinct() == 800).then_some(()));
    world.azurite.signal("CONT");
    until("they are checkpointed", || {
        world.checkpoints().values().all(|place| place == "199 19900").then_some(())
    });
    assert_eq!(world.owners(), owners);
    gateway.terminate();
    assert_eq!(world.siem.received.read().n_duplicates, 0);
    assert!(!gateway.log().contains("partition lost") && !gateway.log().contains("name of this one"));
}

#[test]
fn an_instance_that_was_killed_has_its_partitions_back_at_once() {
    let mut world = World::new();
    let mut gateway = world.instance(LONG);
    world.append_to_all(0, 10);
    gateway.start();
    until("the events arrive", || (world.siem.received.read().n_distinct() == 40).then_some(()));
    let owners = world.owners();
    gateway.kill();
    world.append_to_all(10, 10);
    gateway.start();
    until("the later events arrive", || (world.siem.received.read().n_distinct() == 80).then_some(()));
    assert_eq!(world.owners(), owners);
    gateway.terminate();
}

#[test]
fn with_checkpoints_of_what_is_delivered_an_instance_may_be_lost_with_its_disk() {
    let mut world = World::new();
    let [mut a, mut b] = [(); 2].map(|()| world.instance(&format!("{SHORT}, checkpoint = 'delivered'")));
    world.append_to_all(0, 100);
    a.start();
    until("the first events are checkpointed", || {
        world.checkpoints().values().all(|place| place == "99 9900").then_some(())?;
        (world.checkpoints().len() == 4).then_some(())
    });
    world.siem.kill();
    world.append_to_all(100, 100);
    a.until_spooled(800);
    // Longer than a checkpoint would have taken.
    for _ in 0..6 {
        let before = world.ownerships();
        until("the claims are renewed", || (world.ownerships() != before).then_some(()));
    }
    a.kill();
    drop(a);
    world.siem.start(Mode::Reads);
    b.start();
    until("all events arrive", || (world.siem.received.read().n_distinct() == 800).then_some(()));
    b.terminate();
    assert!(STREAMS.iter().all(|stream| world.siem.received.has_all(stream, 200)));
}

#[test]
fn what_is_spooled_and_not_delivered_is_not_checkpointed_by_a_start_either() {
    let mut world = World::new();
    let [mut a, mut b] = [(); 2].map(|()| world.instance(&format!("{SHORT}, checkpoint = 'delivered'")));
    world.siem.kill();
    world.append_to_all(0, 100);
    a.start();
    a.until_spooled(400);
    a.kill();
    a.start();
    a.until_logged("partition claimed", a.log().len());
    for _ in 0..3 {
        let before = world.ownerships();
        until("the claims are renewed", || (world.ownerships() != before).then_some(()));
    }
    assert!(world.checkpoints().is_empty(), "{:?}", world.checkpoints());
    a.kill();
    drop(a);
    world.siem.start(Mode::Reads);
    b.start();
    until("all events arrive", || (world.siem.received.read().n_distinct() == 400).then_some(()));
    b.terminate();
}

#[test]
fn the_azure_sdk_reads_what_is_written_here_and_what_it_has_written_is_gone_on_with() {
    let mut world = World::new();
    let mut gateway = world.instance(LONG);
    world.append_to_all(0, 10);
    assert_eq!(world.sdk(&["update", "0", "4", "400"]), "");
    // Half of the partitions: this instance leaves them alone while that owner renews.
    assert_eq!(world.sdk(&["claim", "another-reader", "2", "3"]), r#"["2", "3"]"#);
    gateway.start();
    until("the events arrive", || (world.siem.received.read().n_distinct() == 15).then_some(()));
    let own = world.owners()["0"].clone();
    let ownership =
        format!(r#"{{"0": "{own}", "1": "{own}", "2": "another-reader", "3": "another-reader"}}"#);
    assert_eq!(world.sdk(&["ownership"]), ownership);
    until("the last checkpoint is written", || {
        (world.sdk(&["checkpoints"]) == r#"{"0": [9, "900"], "1": [9, "900"]}"#).then_some(())
    });
    gateway.terminate();
    assert_eq!(world.siem.received.read().missing("p0", 10), (1..=5).collect::<Vec<_>>());
    assert!(world.siem.received.has_all("p1", 10));
    assert_eq!(world.siem.received.missing("p2", 10).len(), 10);
    // Given up, they are free for it.
    assert_eq!(world.sdk(&["claim", "another-reader", "0", "1"]), r#"["0", "1"]"#);
}

/// A hub, a container, a receiver.
struct World {
    hubs: EventHubs,
    azurite: Azurite,
    siem: Siem,
}

impl World {
    fn new() -> Self {
        let (hubs, azurite) = (EventHubs::started(), Azurite::started());
        hubs.trust(&azurite.ca_file());
        azurite.create_container(CONTAINER);
        Self { hubs, azurite, siem: Siem::started(Mode::Reads) }
    }

    /// One more that reads the hub; not running yet.
    fn instance(&self, more: &str) -> Gateway {
        self.instance_with("", more)
    }

    fn instance_with(&self, settings: &str, more: &str) -> Gateway {
        let destination = self.siem.destination("siem", "rotate_bytes = 500_000\nquiet = '100ms'");
        let gateway = Gateway::new("", std::slice::from_ref(&destination));
        let checkpoints = checkpoints(&self.azurite, more);
        let source = self.hubs.source(&format!("table = 'Numbered'\n{settings}\n{checkpoints}"));
        gateway.configure_source("", &source, &[destination]);
        gateway
    }

    /// The next `n` numbered events of each partition's own stream.
    fn append_to_all(&mut self, n_before: u64, n: u64) {
        for (partition, stream) in STREAMS.iter().enumerate() {
            self.hubs.append(partition, stream, n_before, n);
        }
    }

    /// The owner of each partition.
    fn owners(&self) -> BTreeMap<String, String> {
        let blobs = self.azurite.blobs(CONTAINER, &group("ownership"));
        blobs.into_iter().map(|(id, blob)| (id, blob.metadata["ownerid"].clone())).collect()
    }

    /// The version of each ownership.
    fn ownerships(&self) -> Vec<String> {
        self.azurite.blobs(CONTAINER, &group("ownership")).into_values().map(|blob| blob.etag).collect()
    }

    /// Sequence number and offset of each partition.
    fn checkpoints(&self) -> BTreeMap<String, String> {
        let blobs = self.azurite.blobs(CONTAINER, &group("checkpoint"));
        let place =
            |data: &BTreeMap<String, String>| format!("{} {}", data["sequencenumber"], data["offset"]);
        blobs.into_iter().map(|(id, blob)| (id, place(&blob.metadata))).collect()
    }

    /// Waits until so many instances have so many partitions each.
    fn until_balanced(&self, expected: &[usize]) {
        until("the partitions are balanced", || {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            self.owners().into_values().for_each(|owner| *counts.entry(owner).or_default() += 1);
            let mut counts: Vec<usize> = counts.into_values().collect();
            counts.sort_by(|left, right| right.cmp(left));
            (counts == expected).then_some(())
        });
    }

    /// The epochs with which a partition was attached to, in that order.
    fn epochs(&self, partition: usize) -> Vec<u64> {
        let beginning = format!("attach {HUB} {partition} ");
        let log = self.hubs.log();
        let attaches = log.lines().filter(|line| line.starts_with(&beginning));
        attaches.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }

    /// What the SDK for Python says.
    fn sdk(&self, command: &[&str]) -> String {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/peers/event_hubs_sdk/bin/python");
        assert!(python.exists(), "{} is missing: run tests/peers", python.display());
        let output = Command::new(python)
            .arg(root.join("tests/it/harness/checkpoints.py"))
            .args([&self.azurite.url(), CONTAINER])
            .arg(self.azurite.file("key"))
            .args([NAMESPACE, HUB, "$Default"])
            .args(command)
            .env("REQUESTS_CA_BUNDLE", self.azurite.ca_file())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The setting of a source that is shared.
fn checkpoints(azurite: &Azurite, more: &str) -> String {
    format!(
        "checkpoints = {{ account = '{ACCOUNT}', url = '{}', key = {{ file = '{}' }}, container = '{CONTAINER}', {more} }}",
        azurite.url(),
        azurite.file("key").display()
    )
}

/// What the names of blobs begin with, in lower case as the SDKs write them.
fn group(kind: &str) -> String {
    format!("{NAMESPACE}/{HUB}/$default/{kind}/")
}
