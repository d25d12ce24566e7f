use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::files::{Files, Step};
use super::*;
use crate::record::{Partition, Position};
use crate::spool::{self, Spool};

/// A folder with files, their reader, and what the spool would hold.
struct World {
    directory: tempfile::TempDir,
    config: Config,
    files: Files,
    positions: HashMap<Partition, Position>,
    bodies: Vec<String>,
}

impl World {
    fn new(pattern: &str) -> Self {
        Self::with(pattern, |_| ())
    }

    fn with(pattern: &str, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(pattern).to_str().unwrap().to_owned();
        let mut config = Config::new(path.try_into().unwrap());
        config.poll = Duration::from_millis(1);
        change(&mut config);
        let files = Files::new(config.clone(), Vec::new());
        Self { directory, config, files, positions: HashMap::new(), bodies: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn restart(&mut self) {
        self.files = Files::new(self.config.clone(), self.positions.clone().into_iter().collect());
    }

    fn step(&mut self) -> &'static str {
        match self.files.step() {
            Step::Batch(batch) => {
                self.positions.insert(batch.partition, batch.position);
                self.bodies
                    .extend(batch.records.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()));
                "batch"
            }
            Step::Forget(partition) => {
                assert!(self.positions.remove(&partition).is_some());
                "forget"
            }
            Step::Idle => "idle",
            Step::Done => "done",
        }
    }

    fn until(&mut self, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition(self) {
            assert!(Instant::now() < deadline, "in vain; read so far: {:?}", self.bodies);
            self.step();
        }
    }

    /// Reads until nothing is left for now, and returns what was read since the last call.
    fn read(&mut self) -> Vec<String> {
        // Another look must have been taken since the test changed a file.
        let (mut idle, start) = (0, Instant::now());
        while idle < 2 || start.elapsed() < 2 * self.config.poll {
            match self.step() {
                "batch" | "forget" => idle = 0,
                _ => idle += 1,
            }
        }
        std::mem::take(&mut self.bodies)
    }
}

#[test]
fn a_file_is_followed_as_it_grows_and_its_partial_last_line_waits() {
    let mut world = World::new("a.json");
    assert!(world.read().is_empty());
    world.write("a.json", "{\"a\":1}\n{\"a\":");
    assert_eq!(world.read(), ["{\"a\":1}"]);
    world.write("a.json", "2}");
    assert!(world.read().is_empty());
    world.write("a.json", "\r\n{\"a\":3}\n");
    assert_eq!(world.read(), ["{\"a\":2}", "{\"a\":3}"]);
}

#[test]
fn a_restart_goes_on_after_the_last_record_stored() {
    let mut world = World::new("a.json");
    world.write("a.json", "{\"a\":1}\n{\"a\":2");
    assert_eq!(world.read(), ["{\"a\":1}"]);
    world.restart();
    assert!(world.read().is_empty());
    world.write("a.json", "2}\n");
    world.restart();
    assert_eq!(world.read(), ["{\"a\":22}"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_beside_the_one_that_takes_its_name() {
    let mut world = World::new("a.json");
    world.write("a.json", "{\"a\":1}\n");
    assert_eq!(world.read(), ["{\"a\":1}"]);
    world.write("a.json", "{\"a\":2}\n");
    world.rename("a.json", "a.json.1");
    world.write("a.json", "{\"b\":1}\n");
    assert_eq!(world.read(), ["{\"a\":2}", "{\"b\":1}"]);
    world.write("a.json.1", "{\"a\":3}\n{\"a\":");
    assert_eq!(world.read(), ["{\"a\":3}"]);
    world.until(|world| world.positions.len() == 1);
    assert_eq!(world.bodies, ["{\"a\":"]);
}

#[test]
fn a_file_renamed_while_nobody_looked_is_found_beside_its_old_name() {
    let mut world = World::new("a.json");
    world.write("a.json", "{\"a\":1}\n");
    assert_eq!(world.read(), ["{\"a\":1}"]);
    world.write("a.json", "{\"a\":2}\n");
    world.rename("a.json", "a.json.1");
    world.write("other.txt", "not ours\n");
    world.write("a.json", "{\"b\":1}\n");
    world.restart();
    let mut bodies = world.read();
    bodies.sort();
    assert_eq!(bodies, ["{\"a\":2}", "{\"b\":1}"]);
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut world = World::new("a.json");
    world.write("a.json", "{\"a\":1}\n{\"a\":2}\npart");
    assert_eq!(world.read().len(), 2);
    fs::write(world.path("a.json"), "{\"b\":1}\n").unwrap();
    assert_eq!(world.read(), ["part", "{\"b\":1}"]);
    fs::write(world.path("a.json"), "{\"c\":1}\n{\"c\":2}\n").unwrap();
    assert_eq!(world.read(), ["{\"c\":1}", "{\"c\":2}"], "grown beyond its old length at once");
    fs::write(world.path("a.json"), "{\"d\":1}\n{\"d\":2}\n{\"d\":3}\n").unwrap();
    world.restart();
    assert_eq!(world.read(), ["{\"d\":1}", "{\"d\":2}", "{\"d\":3}"], "while nobody looked");
}

#[test]
fn all_files_of_a_pattern_are_read_and_new_ones_as_they_come() {
    let mut world = World::new("*.json");
    world.write("a.json", "{\"a\":1}\n{\"a\":");
    world.write("b.json", "{\"b\":1}\n{\"b\":");
    world.write("c.txt", "{\"c\":1}\n");
    fs::create_dir(world.path("d.json")).unwrap();
    assert_eq!(world.read(), ["{\"a\":1}", "{\"b\":1}"]);
    world.write("b.json", "2}\n");
    world.write("e.json", "{\"e\":1}\n");
    world.write("a.json", "2}\n");
    let mut bodies = world.read();
    bodies.sort();
    assert_eq!(bodies, ["{\"a\":2}", "{\"b\":2}", "{\"e\":1}"]);
    world.rename("a.json", "z.json");
    world.write("z.json", "{\"a\":3}\n");
    assert_eq!(world.read(), ["{\"a\":3}"], "renamed within the pattern");
}

#[test]
fn a_removed_file_is_read_to_its_end_and_forgotten() {
    let mut world = World::new("*.json");
    world.write("a.json", "{\"a\":1}\n");
    world.write("b.json", "{\"b\":1}\n");
    world.read();
    world.write("a.json", "last");
    fs::remove_file(world.path("a.json")).unwrap();
    world.until(|world| world.positions.len() == 1);
    assert_eq!(world.bodies, ["last"]);
    fs::remove_file(world.path("b.json")).unwrap();
    world.write("c.json", "{\"c\":1}\n");
    world.restart();
    world.until(|world| world.positions.len() == 1 && world.bodies.len() == 2);
}

#[test]
fn without_following_everything_is_taken_as_it_is() {
    let mut world = World::with("*", |config| config.follow = false);
    world.write("a", "{\"a\":1}\n{\"a\":2}");
    world.write("b", "{\n\"value\": [\n{\"b\":1},\n{\"b\":2}\n]\n}");
    world.write("c", "[\n{\"c\":1},\n{\"c\"");
    world.write("d", "");
    world.until(|world| world.files.have_been_read());
    while world.step() != "done" {}
    assert_eq!(
        world.bodies,
        ["{\"a\":1}", "{\"a\":2}", "{\"b\":1}", "{\"b\":2}", "[", "{\"c\":1}", "{\"c\""]
    );
}

#[test]
fn an_unfinished_document_holds_up_a_followed_file_for_a_moment_only() {
    let mut world = World::new("a.json");
    world.write("a.json", "[\n{\"a\":1},\n");
    world.step();
    assert!(world.bodies.is_empty());
    world.write("a.json", "{\"a\":2}\n]\n[\n{\"a\":3},\n");
    world.until(|world| world.bodies.len() == 4);
    assert_eq!(world.bodies, ["{\"a\":1}", "{\"a\":2}", "[", "{\"a\":3}"]);
}

#[test]
fn hostile_lines_hold_up_nothing() {
    let mut world = World::with("*.json", |config| config.max_record_bytes = 4096_u64.try_into().unwrap());
    let long = "x".repeat(20 << 20);
    let deep = "{\"a\":".repeat(800) + &"}".repeat(800);
    world.write("a.json", b"\0\0\n\xff\xfe\n{\"a\":\"\xff\"}\n");
    world.write("a.json", format!("{deep}\n{long}\n{{\"a\":1}}\n"));
    world.write("b.json", "{\"b\":1}\n");
    world.write("b.json", &long[..1 << 20]);
    let bodies = world.read();
    assert_eq!(bodies.len(), 7);
    assert_eq!(bodies.iter().filter(|body| body.len() > 10_000).count(), 1);
    assert!(bodies.contains(&"{\"a\":1}".to_owned()) && bodies.contains(&"{\"b\":1}".to_owned()));
    world.write("a.json", "{\"a\":2}\n");
    assert_eq!(world.read(), ["{\"a\":2}"]);
    world.write("b.json", "\n{\"b\":2}\n");
    let bodies = world.read();
    assert!(bodies[0].starts_with("#oversized length=1048576 "), "{}", &bodies[0][..80]);
    assert_eq!(bodies[1], "{\"b\":2}");
}

#[test]
fn a_file_that_cannot_be_read_is_taken_when_it_can() {
    let mut world = World::new("a.json");
    fs::create_dir(world.path("a.json")).unwrap();
    assert!(world.read().is_empty());
    fs::remove_dir(world.path("a.json")).unwrap();
    world.write("a.json", "{\"a\":1}\n");
    assert_eq!(world.read(), ["{\"a\":1}"]);
}

#[tokio::test]
async fn records_are_stored_in_order_with_their_position_and_a_second_run_adds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.json");
    let lines: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    fs::write(&path, lines.concat()).unwrap();
    let spool =
        Spool::open(&spool::Config::in_directory(directory.path().join("spool")), &["d".to_owned()]).unwrap();
    let mut config = Config::new(path.to_str().unwrap().to_owned().try_into().unwrap());
    config.follow = false;
    config.batch_bytes = 4096_u64.try_into().unwrap();
    for _ in 0..2 {
        let intake = spool.intake("s".into(), "t".into());
        run(config.clone(), intake, CancellationToken::new()).await.unwrap();
    }
    let mut reader = spool.reader("d").unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < lines.len() {
        let chunk = reader.next().await.unwrap();
        bodies.extend(
            chunk.records.iter().map(|record| format!("{}\n", str::from_utf8(&record.body).unwrap())),
        );
    }
    assert_eq!(bodies, lines);
    assert_eq!(spool.status().next_sequence, 20_001);
    let missing = Config { follow: false, ..Config::new("/nowhere/x".to_owned().try_into().unwrap()) };
    let ended = run(missing, spool.intake("s".into(), "t".into()), CancellationToken::new()).await;
    assert!(matches!(ended, Err(SourceError::NothingToRead)));
    spool.close().await;
}

#[tokio::test]
async fn a_stop_ends_a_source_at_rest() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(&spool::Config::in_directory(directory.path().join("spool")), &[]).unwrap();
    let stop = CancellationToken::new();
    let config = Config::new("/nowhere/x".to_owned().try_into().unwrap());
    let running = tokio::spawn(run(config, spool.intake("s".into(), "t".into()), stop.clone()));
    stop.cancel();
    running.await.unwrap().unwrap();
}
