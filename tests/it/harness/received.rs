//! What a receiver has read, message by message: which records, how often, in which order.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use cefgate::cef;

/// Read on from the receiver's file as it grows.
pub struct Received {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
    process: u64,
    streams: BTreeMap<String, Stream>,
    /// The last number of each stream on each connection.
    last: HashMap<(u64, u64, String), u64>,
    /// Messages, repeated ones included.
    pub n_messages: u64,
    /// Messages of a record that was there before.
    pub n_duplicates: u64,
    /// First arrivals of a record behind a later one of its stream.
    pub n_late: u64,
    /// Messages that are not what was sent, and connections whose records are not in order.
    pub faults: Vec<String>,
    /// The CEF of the last message.
    pub newest: String,
}

#[derive(Default)]
struct Stream {
    seen: Vec<bool>,
    n_seen: u64,
    highest: u64,
}

impl Received {
    /// Of the file of a receiver.
    pub fn from(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            rest: Vec::new(),
            process: 0,
            streams: BTreeMap::new(),
            last: HashMap::new(),
            n_messages: 0,
            n_duplicates: 0,
            n_late: 0,
            faults: Vec::new(),
            newest: String::new(),
        }
    }

    /// Takes in what has come since.
    pub fn read(&mut self) -> &mut Self {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return self };
        let mut bytes = std::mem::take(&mut self.rest);
        file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.rest = bytes.split_off(whole);
        for line in bytes.split(|byte| *byte == b'\n') {
            match std::str::from_utf8(line).unwrap() {
                "" => {}
                "!process" => self.process += 1,
                fault if fault.starts_with('!') => self.faults.push(fault.to_owned()),
                line => self.take(line),
            }
        }
        self
    }

    /// Records that have arrived, each counted once.
    pub fn n_distinct(&self) -> u64 {
        self.streams.values().map(|stream| stream.n_seen).sum()
    }

    /// Whether the records `1..=n` of a stream have all arrived, and nothing else of it.
    pub fn has_all(&self, stream: &str, n: u64) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.n_seen == n && stream.highest == n)
    }

    /// Whether each of these records of a stream has arrived.
    pub fn has_each(&self, stream: &str, numbers: &[u64]) -> bool {
        let seen = self.streams.get(stream).map(|stream| stream.seen.as_slice()).unwrap_or_default();
        numbers.iter().all(|n| seen.get(usize::try_from(*n).unwrap()).copied().unwrap_or(false))
    }

    /// The first few records of `1..=n` of a stream that are missing.
    pub fn missing(&self, stream: &str, n: u64) -> Vec<u64> {
        let seen = self.streams.get(stream).map(|stream| stream.seen.as_slice()).unwrap_or_default();
        let is_missing =
            |number: &u64| !seen.get(usize::try_from(*number).unwrap()).copied().unwrap_or(false);
        (1..=n).filter(is_missing).take(10).collect()
    }

    fn take(&mut self, line: &str) {
        self.n_messages += 1;
        let event = line.find("CEF:").and_then(|start| cef::parse::parse(&line[start..]).ok());
        let field = |key| event.as_ref().and_then(|event| event.value(key));
        let number = field("cn1").and_then(|number| number.parse::<u64>().ok());
        let (Some(stream), Some(number), Some(connection)) =
            (field("cs1"), number, line.split(' ').next().and_then(|number| number.parse().ok()))
        else {
            // A killed process leaves the line it was writing.
            self.faults.push(line.to_owned());
            return;
        };
        let before = self.last.insert((self.process, connection, stream.to_owned()), number);
        if before.is_some_and(|before| before >= number) {
            self.faults.push(format!("connection {connection}: {number} of {stream} behind {before:?}"));
        }
        let seen = self.streams.entry(stream.to_owned()).or_default();
        let place = usize::try_from(number).unwrap();
        if seen.seen.len() <= place {
            seen.seen.resize(place + 1, false);
        }
        if std::mem::replace(&mut seen.seen[place], true) {
            self.n_duplicates += 1;
        } else {
            self.n_late += u64::from(number < seen.highest);
            seen.highest = seen.highest.max(number);
            seen.n_seen += 1;
        }
        self.newest = line.to_owned();
    }
}
