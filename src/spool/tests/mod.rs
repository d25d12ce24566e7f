//! The promises of the spool as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::disk::Disk;
use super::{Chunk, Config, Cursor, Intake, Reader, Spool};
use crate::record::{Batch, Partition, Position, Table};

mod crash;
mod delivery;
mod model;
mod space;

/// A spool in a folder of its own.
struct World {
    folder: tempfile::TempDir,
    config: Config,
    disk: Disk,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::in_directory(folder.path());
        Self { folder, config, disk: Disk::default() }
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::new();
        change(&mut world.config);
        world
    }

    fn open(&self) -> Spool {
        self.open_for(&["siem"])
    }

    fn open_for(&self, destinations: &[&str]) -> Spool {
        let destinations: Vec<String> = destinations.iter().map(|name| (*name).to_owned()).collect();
        Spool::open_on(&self.config, &destinations, self.disk.clone()).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The segment files, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        super::segment::list(self.path()).unwrap().into_iter().map(|(_, path)| path).collect()
    }
}

/// The source all tests use.
fn intake(spool: &Spool) -> Intake {
    spool.intake("file".into(), "tenant".into())
}

/// A batch of partition `p` whose bodies are the given texts.
fn batch(position: &str, bodies: &[&str]) -> Batch {
    Batch {
        partition: Partition("p".into()),
        position: Position(position.into()),
        records: bodies
            .iter()
            .map(|body| (Table::new("t"), Bytes::copy_from_slice(body.as_bytes())))
            .collect(),
    }
}

/// Bodies of a size that fill segments quickly, numbered.
fn numbered(from: usize, n_records: usize, size: usize) -> Batch {
    let bodies: Vec<String> =
        (from..from + n_records).map(|number| format!("{number:08}{}", "x".repeat(size - 8))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    batch(&format!("{}", from + n_records), &bodies)
}

fn position(intake: &Intake) -> Option<String> {
    intake.position(&Partition("p".into())).map(|position| position.0)
}

fn bodies(chunk: &Chunk) -> Vec<String> {
    chunk.records.iter().map(|record| String::from_utf8(record.body.to_vec()).unwrap()).collect()
}

/// Reads up to a cursor; the sequence numbers and bodies.
async fn read_to(reader: &mut Reader, end: u64) -> Vec<(u64, String)> {
    let mut records = Vec::new();
    while records.last().is_none_or(|(sequence, _)| *sequence + 1 < end) {
        let chunk = within(reader.next()).await.unwrap();
        records.extend(chunk.records.iter().map(|record| record.sequence).zip(bodies(&chunk)));
        assert_eq!(chunk.end, Cursor(records.last().unwrap().0 + 1));
    }
    records
}

/// The records of the account's rows with a text in them.
fn accounted(world: &World, rows: &str) -> u64 {
    let mut csv = Vec::new();
    super::account::export(world.path(), None, None, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let rows = csv.lines().filter(|line| line.contains(rows));
    rows.map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Gives up on what should have happened long ago.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens in time")
}

/// Waits until something holds.
async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
