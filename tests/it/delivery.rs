//! Whatever happens around the gateway (receivers die, do not read or are not there, the disk is full), every record
//! arrives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::gateway::Gateway;
use crate::harness::random::Random;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

#[test]
fn a_receiver_killed_twenty_times_half_of_them_with_unread_data_gets_every_record() {
    let mut random = Random::new();
    let mut siem = Siem::started(Mode::Reads);
    let settings = "rotate_bytes = 200_000\nquiet = '200ms'";
    let mut gateway = Gateway::new("", &[siem.destination("siem", settings)]);
    let mut feed = gateway.feed("a");
    gateway.start();
    let mut unread = Vec::new();
    for round in 0..20 {
        let arrived = siem.received.read().n_distinct() + 1 + random.below(2_000);
        until("records arrive", || {
            if feed.n_records < arrived + 1_000 {
                feed.append(500);
            }
            (siem.received.read().n_distinct() >= arrived).then_some(())
        });
        if round % 2 == 1 {
            siem.freeze();
            feed.append(1 + random.below(3_000));
            unread.push(until("there is unread data", || Some(siem.unread()).filter(|bytes| *bytes > 0)));
        }
        siem.kill();
        siem.start(Mode::Reads);
    }
    until("all records arrive", || siem.received.read().has_all("a", feed.n_records).then_some(()));
    gateway.terminate();
    let received = siem.received.read();
    eprintln!(
        "20 kills, 10 of them with {unread:?} bytes unread; {} records, {} messages, {} duplicates",
        feed.n_records, received.n_messages, received.n_duplicates
    );
    assert_eq!(received.missing("a", feed.n_records), [0; 0]);
    assert_eq!(gateway.n_confirmed("siem"), feed.n_records);
}

/// What these tests look for, made to happen: a write that counts as a receipt loses what was not read. The setting
/// is not meant for anybody.
#[test]
fn records_confirmed_when_written_are_lost_with_a_receiver_that_has_not_read_them() {
    let mut siem = Siem::started(Mode::Reads);
    let settings = "confirm = 'window'\nreplay_window = 0";
    let mut gateway = Gateway::new("", &[siem.destination("siem", settings)]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(1);
    until("the record arrives", || siem.received.read().has_all("a", 1).then_some(()));
    siem.freeze();
    feed.append(1_000);
    gateway.until_confirmed("siem", 1_001);
    assert!(siem.unread() > 0);
    siem.kill();
    siem.start(Mode::Reads);
    until("a later record arrives", || {
        feed.append(1);
        (siem.received.read().n_distinct() > 1).then_some(())
    });
    assert!(!siem.received.missing("a", 1_001).is_empty());
}

#[test]
fn records_wait_in_the_spool_while_nobody_listens_and_arrive_once_somebody_does() {
    let mut siem = Siem::new();
    let mut gateway = Gateway::new("", &[siem.destination("siem", "")]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(10_000);
    gateway.until_spooled(10_000);
    gateway.until_logged("delivery interrupted; resending from the last commit", 0);
    gateway.kill();
    gateway.start();
    feed.append(10_000);
    gateway.until_spooled(20_000);
    assert_eq!(gateway.n_confirmed("siem"), 0);
    siem.start(Mode::Reads);
    until("all records arrive", || siem.received.read().has_all("a", 20_000).then_some(()));
    gateway.terminate();
    assert_eq!(siem.received.n_duplicates, 0);
}

#[test]
fn a_receiver_that_takes_connections_and_does_not_read_gets_every_record_once_it_does() {
    let mut siem = Siem::started(Mode::Deaf);
    let settings = "write_timeout = '1s'\nconnect_timeout = '1s'\ndrain_timeout = '1s'";
    let mut gateway = Gateway::new("", &[siem.destination("siem", settings)]);
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(60_000);
    gateway.until_spooled(60_000);
    gateway.until_logged("the receiver does not read", 0);
    siem.kill();
    siem.start(Mode::Reads);
    until("all records arrive", || siem.received.read().has_all("a", 60_000).then_some(()));
    siem.freeze();
    let from = gateway.log().len();
    feed.append(60_000);
    gateway.until_spooled(120_000);
    gateway.until_logged("no progress for 1 s while", from);
    siem.thaw();
    until("all records arrive", || siem.received.read().has_all("a", 120_000).then_some(()));
    gateway.terminate();
    assert_eq!(gateway.n_confirmed("siem"), 120_000);
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let mut siem = Siem::new();
    let mut gateway =
        Gateway::new("segment_bytes = 1_000_000", &[siem.destination("siem", "quiet = '200ms'")]);
    let disk = SmallDisk::on(gateway.file("spool"));
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(5_000);
    gateway.until_spooled(5_000);
    disk.fill();
    feed.append(20_000);
    gateway.until_logged("the disk is full; sources wait", 0);
    let n_spooled = gateway.n_spooled();
    assert!((5_000..25_000).contains(&n_spooled), "{n_spooled}");
    // What is in the spool goes out, and the cursor moves, on a full disk as well.
    siem.start(Mode::Reads);
    until("what is spooled arrives", || (siem.received.read().n_distinct() >= n_spooled).then_some(()));
    gateway.until_confirmed("siem", n_spooled);
    disk.free();
    gateway.until_logged("the spool takes records again", 0);
    until("all records arrive", || siem.received.read().has_all("a", 25_000).then_some(()));
    gateway.terminate();
    assert_eq!(gateway.n_confirmed("siem"), 25_000);
}

#[test]
fn killed_on_a_full_disk_it_starts_again_and_nothing_is_lost() {
    let mut siem = Siem::started(Mode::Reads);
    let mut gateway =
        Gateway::new("segment_bytes = 1_000_000", &[siem.destination("siem", "quiet = '200ms'")]);
    let disk = SmallDisk::on(gateway.file("spool"));
    let mut feed = gateway.feed("a");
    feed.append(5_000);
    gateway.start();
    gateway.until_spooled(5_000);
    disk.fill();
    feed.append(20_000);
    gateway.until_logged("the disk is full; sources wait", 0);
    gateway.kill();
    let from = gateway.log().len();
    gateway.start();
    gateway.until_logged("the disk is full; sources wait", from);
    disk.free();
    until("all records arrive", || siem.received.read().has_all("a", 25_000).then_some(()));
    gateway.terminate();
}

#[test]
fn a_destination_that_is_stuck_holds_the_others_only_when_the_spool_is_full() {
    let (mut fast, mut slow, mut stuck) =
        (Siem::started(Mode::Reads), Siem::started(Mode::Slow), Siem::started(Mode::Deaf));
    let timeouts = "write_timeout = '1s'\ndrain_timeout = '1s'\nquiet = '200ms'";
    let mut gateway = Gateway::new(
        "max_bytes = 4_000_000",
        &[
            fast.destination("fast", timeouts),
            slow.destination("slow", timeouts),
            stuck.destination("stuck", timeouts),
        ],
    );
    let mut feed = gateway.feed("a");
    gateway.start();
    feed.append(10_000);
    for siem in [&mut fast, &mut slow] {
        until("all records arrive", || siem.received.read().has_all("a", 10_000).then_some(()));
    }
    assert_eq!(gateway.n_confirmed("stuck"), 0);
    feed.append(60_000);
    gateway.until_logged("the spool is full; sources wait for a destination", 0);
    let n_spooled = gateway.n_spooled();
    assert!(n_spooled < 70_000, "{n_spooled}");
    until("what is spooled arrives", || (fast.received.read().n_distinct() >= n_spooled).then_some(()));
    stuck.kill();
    stuck.start(Mode::Reads);
    for siem in [&mut fast, &mut slow, &mut stuck] {
        until("all records arrive", || siem.received.read().has_all("a", 70_000).then_some(()));
    }
    gateway.terminate();
    assert_eq!(fast.received.n_duplicates, 0);
}

#[test]
fn a_receiver_that_demands_a_certificate_says_which_settings_are_missing() {
    let siem = Siem::started(Mode::AsksForCertificate);
    let mut gateway = Gateway::new("", &[siem.destination("siem", "")]);
    golden("client_certificate_demanded.txt", &first_complaint(&mut gateway, [&siem, &siem]));
}

#[test]
fn a_receiver_signed_by_an_unknown_authority_says_what_to_do() {
    let (siem, other) = (Siem::started(Mode::Reads), Siem::new());
    let destination = siem.destination_trusting("siem", &other.ca_file(), "");
    let mut gateway = Gateway::new("", &[destination]);
    golden("wrong_authority.txt", &first_complaint(&mut gateway, [&siem, &other]));
}

#[test]
fn a_client_certificate_opens_a_receiver_that_demands_one() {
    let mut siem = Siem::started(Mode::AsksForCertificate);
    let settings = format!(
        "client_cert = '{}'\nclient_key = '{}'",
        siem.file("certs/client.pem").display(),
        siem.file("certs/client.key").display()
    );
    let mut gateway = Gateway::new("", &[siem.destination("siem", &settings)]);
    gateway.feed("a").append(100);
    gateway.start();
    until("all records arrive", || siem.received.read().has_all("a", 100).then_some(()));
    gateway.terminate();
}

/// The line that tells a person why nothing goes out, without what differs in each run.
fn first_complaint(gateway: &mut Gateway, siems: [&Siem; 2]) -> String {
    gateway.feed("a").append(1);
    gateway.start();
    let line = gateway.until_logged("delivery interrupted", 0);
    let time = line.split_whitespace().next().unwrap().to_owned();
    let mut line = line.replace(&time, "TIME");
    for siem in siems {
        line = line
            .replace(&format!(":{}", siem.port), ":PORT")
            .replace(siem.file("").to_str().unwrap(), "DIR/");
    }
    for (start, end, word) in
        [("sha-256:", "\"", "sha-256:FINGERPRINT"), ("retry_in=", "\n", "retry_in=WAIT")]
    {
        if let Some(found) = line.find(start) {
            let length = line[found..].find(end).unwrap_or(line.len() - found);
            line.replace_range(found..found + length, word);
        }
    }
    format!("{}\n", line.trim())
}

/// Compares with the file, or writes it when `UPDATE_GOLDEN` is set.
fn golden(name: &str, actual: &str) {
    let path = Path::new("tests/delivery").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{}: run with UPDATE_GOLDEN=1 and read the difference", path.display());
}

/// A file system of its own, small enough to be filled.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn on(folder: PathBuf) -> Self {
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "cefgate-test"])
            .arg(&folder)
            .output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "the tests of a full disk mount a small one, which takes root: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(folder)
    }

    /// Takes all the space there is.
    fn fill(&self) {
        let error = fs::File::create(self.0.join("filler"))
            .and_then(|mut file| std::io::copy(&mut std::io::repeat(0), &mut file))
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives it back.
    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the gateway may still run when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
