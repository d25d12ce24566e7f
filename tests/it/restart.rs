//! Stopped in whatever way, the gateway goes on where it was: nothing is lost, and nothing that was confirmed is
//! sent again.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::gateway::{Feed, Gateway};
use crate::harness::random::Random;
use crate::harness::received::Received;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

#[test]
fn killed_at_fifty_random_instants_it_loses_nothing_and_keeps_the_order_of_each_file() {
    // The order over several connections is promised without overlap; within one connection always.
    let received = kill_at_random_instants(50, 200_000, "rotate_overlap = false");
    assert_eq!(received.n_late, 0);
}

#[test]
fn killed_while_connections_overlap_it_loses_nothing() {
    kill_at_random_instants(20, 40_000, "rotate_overlap = true");
}

/// Kills the gateway while records flow from two growing files, until all have arrived.
fn kill_at_random_instants(n_kills: u64, n_records: u64, settings: &str) -> Received {
    let mut random = Random::new();
    let mut siem = Siem::started(Mode::Reads);
    let settings = format!("rotate_bytes = 200_000\nquiet = '100ms'\n{settings}");
    let mut gateway = Gateway::new("segment_bytes = 2_000_000", &[siem.destination("siem", &settings)]);
    let mut feeds = [gateway.feed("a"), gateway.feed("b")];
    let mut n_in_flight = 0;
    for round in 1..=n_kills {
        let (n_written, limit) = (written(&feeds), round * (n_records / n_kills));
        gateway.start();
        let started = Instant::now();
        // Half of the instants lie anywhere from the first instruction on, half where records arrive.
        let after = (random.below(2) == 0).then(|| Duration::from_millis(1 + random.below(800)));
        let n_before = siem.received.read().n_distinct();
        let arrived = n_before + 1 + random.below(limit - n_before);
        until("the instant of the kill comes", || match after {
            Some(after) => {
                let elapsed = started.elapsed().min(after).as_millis();
                let part = u128::from(limit - n_written) * elapsed / after.as_millis();
                grow(&mut feeds, n_written + u64::try_from(part).unwrap(), &mut random);
                (started.elapsed() >= after).then_some(())
            }
            None => {
                // A little at a time, so that there is always something under way.
                let next = written(&feeds) + 60;
                grow(&mut feeds, limit.min(next), &mut random);
                (siem.received.read().n_distinct() >= arrived).then_some(())
            }
        });
        n_in_flight += u64::from(gateway.n_confirmed("siem") < written(&feeds));
        gateway.kill();
    }
    let from = gateway.log().len();
    gateway.start();
    until("all records arrive", || {
        grow(&mut feeds, n_records, &mut random);
        (siem.received.read().n_distinct() >= n_records).then_some(())
    });
    gateway.until_confirmed("siem", n_records);
    // All may have been there before this start: it is to end as one that runs.
    gateway.until_logged("running", from);
    gateway.terminate();
    let nothing = Received::from(siem.file("received"));
    let received = std::mem::replace(siem.received.read(), nothing);
    eprintln!(
        "{n_kills} kills, {n_in_flight} of them with records under way; {n_records} records, {} messages, {} duplicates",
        received.n_messages, received.n_duplicates
    );
    for feed in &feeds {
        assert_eq!(received.missing(feed.stream, feed.n_records), [0; 0], "missing of {}", feed.stream);
        assert!(received.has_all(feed.stream, feed.n_records));
    }
    assert_eq!(received.faults, [""; 0]);
    assert!(n_in_flight >= n_kills / 3, "{n_in_flight} of {n_kills} kills met records under way");
    received
}

#[test]
fn what_the_receiver_has_answered_for_is_not_sent_again_after_a_stop() {
    let mut siem = Siem::started(Mode::Reads);
    // Only the stop itself can bring a receipt.
    let mut gateway = Gateway::new("", &[siem.destination("siem", "quiet = '1h'\nrotate_seconds = 3600")]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(5_000);
    until("the records arrive", || (siem.received.read().n_distinct() == 5_000).then_some(()));
    assert_eq!(gateway.n_confirmed("siem"), 0);
    gateway.terminate();
    assert_eq!(gateway.n_confirmed("siem"), 5_000);
    gateway.start();
    feed.append(10);
    until("the new records arrive", || (siem.received.read().n_distinct() == 5_010).then_some(()));
    gateway.terminate();
    assert_eq!(siem.received.read().n_duplicates, 0);
}

#[test]
fn a_stop_amid_the_flow_repeats_and_loses_nothing() {
    let mut siem = Siem::started(Mode::Slow);
    let mut gateway = Gateway::new("", &[siem.destination("siem", "rotate_bytes = 500_000")]);
    let mut feed = gateway.feed("a");
    feed.append(100_000);
    for n_arrived in [1, 30_000, 60_000] {
        gateway.start();
        until("records arrive", || (siem.received.read().n_distinct() >= n_arrived).then_some(()));
        gateway.terminate();
    }
    gateway.start();
    until("all records arrive", || siem.received.read().has_all("a", 100_000).then_some(()));
    gateway.terminate();
    assert_eq!(siem.received.read().n_duplicates, 0);
}

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_does_not_read() {
    let mut siem = Siem::started(Mode::Deaf);
    // Without a bound of its own the stop would last until the write gives up.
    let mut gateway = Gateway::new("", &[siem.destination("siem", "write_timeout = '1h'")]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(100_000);
    gateway.until_spooled(100_000);
    siem.until_nothing_moves();
    gateway.terminate();
    siem.kill();
    siem.start(Mode::Reads);
    gateway.start();
    until("all records arrive", || siem.received.read().has_all("a", 100_000).then_some(()));
}

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_does_not_shake_hands() {
    let mut siem = Siem::started(Mode::Reads);
    siem.freeze();
    let mut gateway = Gateway::new("", &[siem.destination("siem", "connect_timeout = '1h'")]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(10);
    until("the receiver has something to read", || (siem.unread() > 0).then_some(()));
    gateway.terminate();
    siem.thaw();
    gateway.start();
    until("all records arrive", || siem.received.read().has_all("a", 10).then_some(()));
}

#[test]
fn a_file_piped_in_is_delivered_whole_and_the_program_ends_by_itself() {
    let mut siem = Siem::started(Mode::Reads);
    let gateway = Gateway::new("", &[]);
    gateway.configure("", "path = '-'", &[siem.destination("siem", "")]);
    gateway.feed("a").append(20_000);
    assert!(pipe(&gateway, "input/a.json"));
    assert!(siem.received.read().has_all("a", 20_000));
    assert_eq!((gateway.n_confirmed("siem"), siem.received.n_duplicates), (20_000, 0));
    File::create(gateway.file("nothing")).unwrap();
    assert!(pipe(&gateway, "nothing"));
    assert_eq!(siem.received.read().n_duplicates, 0);
}

#[test]
fn a_file_piped_in_ends_the_program_even_where_the_receiver_never_ends_a_connection() {
    let mut siem = Siem::started(Mode::NeverEnds);
    let gateway = Gateway::new("", &[]);
    gateway.configure("", "path = '-'", &[siem.destination("siem", "drain_timeout = '500ms'")]);
    gateway.feed("a").append(1_000);
    assert!(pipe(&gateway, "input/a.json"));
    assert!(siem.received.read().has_all("a", 1_000));
    assert_eq!(gateway.n_confirmed("siem"), 0, "confirmed without a receipt");
}

#[test]
fn a_good_patch_takes_effect_on_sighup_and_a_bad_one_is_refused_whole() {
    let mut siem = Siem::started(Mode::Reads);
    let mut gateway = Gateway::new("", &[siem.destination("siem", "")]);
    let patched = gateway.file("site/50-patch.toml");
    let patch = |extension: &str| {
        let text =
            format!("schema = 1\nkind = \"patch\"\nid = \"site.numbered\"\n[extension]\n{extension}\n");
        fs::write(&patched, text).unwrap();
    };
    let mut feed = gateway.feed("a");
    let mut next = |siem: &mut Siem| {
        feed.append(1);
        until("the record arrives", || siem.received.read().has_all("a", feed.n_records).then_some(()));
        siem.received.newest.clone()
    };
    gateway.start();
    assert!(!next(&mut siem).contains("msg="));
    patch("msg = { const = \"patched\" }");
    gateway.signal("HUP");
    gateway.until_logged("mappings reloaded", 0);
    assert!(next(&mut siem).contains("msg=patched"));
    patch("msg = { const = \"worse\" }\nnosuchkey = \"n\"");
    gateway.signal("HUP");
    gateway.until_logged("mappings not reloaded; the old ones stay", 0);
    gateway.until_logged("nosuchkey", 0);
    assert!(next(&mut siem).contains("msg=patched"));
    gateway.terminate();
    assert_eq!(siem.received.n_duplicates, 0);
}

/// Appends a part of what is missing to the limit.
fn grow(feeds: &mut [Feed], limit: u64, random: &mut Random) {
    let missing = limit - written(feeds);
    if missing > 0 {
        let feed = usize::try_from(random.below(feeds.len() as u64)).unwrap();
        feeds[feed].append(missing.min(1 + random.below(400)));
    }
}

fn written(feeds: &[Feed]) -> u64 {
    feeds.iter().map(|feed| feed.n_records).sum()
}

/// `cat file | cefgate run`; whether it ended well.
fn pipe(gateway: &Gateway, file: &str) -> bool {
    let mut cat = Command::new("cat").arg(gateway.file(file)).stdout(Stdio::piped()).spawn().unwrap();
    let log = File::options().create(true).append(true).open(gateway.file("log")).unwrap();
    let mut child = gateway.command().stdin(cat.stdout.take().unwrap()).stderr(log).spawn().unwrap();
    let status = until("the gateway ends", || child.try_wait().unwrap());
    cat.wait().unwrap();
    status.success()
}
