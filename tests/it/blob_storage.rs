//! Streamed containers, as Azurite serves them over HTTPS: every line arrives, whatever becomes of its blob.

use std::time::{Duration, Instant};

use crate::harness::azurite::{ACCOUNT, Azurite};
use crate::harness::gateway::Gateway;
use crate::harness::random::Random;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

#[test]
fn lines_of_a_blob_that_grows_while_it_is_read_arrive_once_each() {
    let world = World::new("");
    let blob = Blob::of(today(), 9);
    let (mut siem, mut gateway) = (world.siem, world.gateway);
    blob.create(&world.azurite);
    gateway.start();
    let mut feed = Lines::new("grows");
    let mut random = Random::new();
    while feed.n < 600 {
        // Cut anywhere, so that lines are joined over appends.
        let text = feed.next(1 + random.below(40));
        let cut = usize::try_from(random.below(text.len() as u64)).unwrap();
        blob.append(&world.azurite, &text[..cut]);
        blob.append(&world.azurite, &text[cut..]);
    }
    until("all lines arrive", || (siem.received.read().n_distinct() == feed.n).then_some(()));
    gateway.terminate();
    assert!(siem.received.read().has_all("grows", feed.n));
    assert_eq!((siem.received.n_duplicates, &siem.received.faults[..]), (0, &[][..]));
}

#[test]
fn closed_hours_that_grow_again_and_blobs_that_are_gone_or_made_anew_are_told_apart() {
    let world = World::new("");
    // Older than what a narrow list looks at.
    let (closed, gone) = (Blob::of(days_ago(5), 3), Blob::of(days_ago(4), 4));
    let anew = Blob::of(today(), 5);
    let (mut siem, mut gateway) = (world.siem, world.gateway);
    let mut feeds = ["closed", "gone", "anew"].map(Lines::new);
    for (blob, feed) in [&closed, &gone, &anew].into_iter().zip(&mut feeds) {
        blob.create(&world.azurite);
        blob.append(&world.azurite, &feed.next(50));
    }
    gateway.start();
    until("the first lines arrive", || (siem.received.read().n_distinct() == 150).then_some(()));
    closed.append(&world.azurite, &feeds[0].next(50));
    world.azurite.delete(&gone.path);
    // Longer than what was read of the one before: only its creation, a time in whole seconds, tells.
    pass_a_second();
    world.azurite.delete(&anew.path);
    anew.create(&world.azurite);
    anew.append(&world.azurite, &feeds[2].next(120));
    until("the later lines arrive", || (siem.received.read().n_distinct() == 320).then_some(()));
    gateway.terminate();
    let received = siem.received.read();
    for (stream, n) in [("closed", 100), ("gone", 50), ("anew", 170)] {
        assert!(received.has_all(stream, n), "{stream}: {:?} missing", received.missing(stream, n));
    }
    assert_eq!(received.n_duplicates, 0);
    let places = gateway.positions("numbers");
    assert!(places.keys().any(|name| name.contains(&closed.day)), "{places:?}");
    assert!(!places.keys().any(|name| name.contains(&gone.day)), "what is gone is forgotten: {places:?}");
}

#[test]
fn killed_at_random_while_many_blobs_grow_it_loses_no_line() {
    let world = World::new("segment_bytes = 2_000_000");
    let blobs: Vec<Blob> = (0..6).map(|hour| Blob::of(days_ago(hour % 2), hour)).collect();
    let names = ["h0", "h1", "h2", "h3", "h4", "h5"];
    let mut feeds = names.map(Lines::new);
    let (mut siem, mut gateway) = (world.siem, world.gateway);
    blobs.iter().for_each(|blob| blob.create(&world.azurite));
    let mut random = Random::new();
    for _ in 0..12 {
        gateway.start();
        let (started, after) = (Instant::now(), Duration::from_millis(50 + random.below(700)));
        until("the instant of the kill comes", || {
            let n = usize::try_from(random.below(6)).unwrap();
            blobs[n].append(&world.azurite, &feeds[n].next(1 + random.below(200)));
            (started.elapsed() >= after).then_some(())
        });
        gateway.kill();
    }
    gateway.start();
    let n_lines = feeds.iter().map(|feed| feed.n).sum::<u64>();
    until("all lines arrive", || (siem.received.read().n_distinct() >= n_lines).then_some(()));
    gateway.terminate();
    let received = siem.received.read();
    eprintln!("{n_lines} lines, {} messages, {} duplicates", received.n_messages, received.n_duplicates);
    for feed in &feeds {
        assert!(received.has_all(feed.stream, feed.n), "{:?}", received.missing(feed.stream, feed.n));
    }
}

#[test]
fn a_container_made_later_is_found_and_days_before_the_lookback_are_left_alone() {
    let world = World::new("");
    let old = Blob::of(days_ago(40), 1);
    old.create(&world.azurite);
    old.append(&world.azurite, &Lines::new("old").next(10));
    let (mut siem, mut gateway) = (world.siem, world.gateway);
    gateway.start();
    world.azurite.create_container("insights-logs-advancedhunting-later");
    let later = Blob::in_container("insights-logs-advancedhunting-later", today(), 2);
    later.create(&world.azurite);
    later.append(&world.azurite, &Lines::new("later").next(10));
    until("the lines of the new container arrive", || {
        (siem.received.read().n_distinct() == 10).then_some(())
    });
    gateway.terminate();
    assert!(siem.received.read().has_all("later", 10));
}

#[test]
fn a_wrong_key_is_said_with_its_way_out_and_the_right_one_is_taken_without_a_restart() {
    let world = World::new("");
    let key = std::fs::read_to_string(world.azurite.file("key")).unwrap();
    let wrong = key.replace("Eby8", "Wrong000");
    std::fs::write(world.azurite.file("key"), &wrong).unwrap();
    let blob = Blob::of(today(), 9);
    let (mut siem, mut gateway) = (world.siem, world.gateway);
    blob.create(&world.azurite);
    blob.append(&world.azurite, &Lines::new("a").next(10));
    gateway.start();
    let said = gateway.until_logged("storage account", 0);
    assert!(said.contains("the key or signature is"), "{said}");
    std::fs::write(world.azurite.file("key"), &key).unwrap();
    until("the lines arrive", || (siem.received.read().n_distinct() == 10).then_some(()));
    gateway.terminate();
    assert!(!gateway.log().contains(&wrong[..12]) && !gateway.log().contains(&key[..12]));
}

/// A storage account, a gateway that reads it, and a receiver.
struct World {
    azurite: Azurite,
    siem: Siem,
    gateway: Gateway,
}

const CONTAINER: &str = "insights-logs-advancedhunting-numbered";

impl World {
    fn new(spool: &str) -> Self {
        let azurite = Azurite::started();
        azurite.create_container(CONTAINER);
        let siem = Siem::started(Mode::Reads);
        let destination = siem.destination("siem", "rotate_bytes = 200_000\nquiet = '100ms'");
        let gateway = Gateway::new(spool, std::slice::from_ref(&destination));
        let source = format!(
            "[network]\nca_file = '{}'\n[source.numbers.blob_storage]\naccount = '{ACCOUNT}'\nurl = '{}'\n\
             key = {{ file = '{}' }}\ntable = 'Numbered'\npoll = '20ms'\nsweep = '200ms'\nbatch_bytes = 20_000\n",
            azurite.ca_file().display(),
            azurite.url(),
            azurite.file("key").display()
        );
        gateway.configure_source(spool, &source, &[destination]);
        Self { azurite, siem, gateway }
    }
}

/// Creation times have whole seconds.
fn pass_a_second() {
    let second = || jiff::Timestamp::now().as_second();
    let before = second();
    until("another second begins", || (second() > before).then_some(()));
}

/// An hour of a table.
struct Blob {
    path: String,
    day: String,
}

impl Blob {
    fn of(day: jiff::civil::Date, hour: i64) -> Self {
        Self::in_container(CONTAINER, day, hour)
    }

    fn in_container(container: &str, day: jiff::civil::Date, hour: i64) -> Self {
        let day = format!("y={:04}/m={:02}/d={:02}", day.year(), day.month(), day.day());
        let tenant = "tenantId=2f6a4c1e-93b7-4d58-8a06-5be1c7d09f34";
        Self { path: format!("{container}/{tenant}/{day}/h={hour:02}/m=00/PT1H.json"), day }
    }

    fn create(&self, azurite: &Azurite) {
        azurite.create(&self.path);
    }

    fn append(&self, azurite: &Azurite, text: &str) {
        if !text.is_empty() {
            azurite.append(&self.path, text);
        }
    }
}

/// Numbered lines, ended as Defender ends them.
struct Lines {
    stream: &'static str,
    n: u64,
}

impl Lines {
    fn new(stream: &'static str) -> Self {
        Self { stream, n: 0 }
    }

    fn next(&mut self, n: u64) -> String {
        let first = self.n + 1;
        self.n += n;
        let line = |number| format!("{{\"stream\":\"{}\",\"n\":{number}}}\r\n", self.stream);
        (first..=self.n).map(line).collect()
    }
}

fn today() -> jiff::civil::Date {
    days_ago(0)
}

fn days_ago(n: i64) -> jiff::civil::Date {
    let now = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
    now.checked_sub(jiff::Span::new().days(n)).unwrap()
}
