//! One container: which of its blobs have grown, and reading them on.
//!
//! Append blobs are followed by byte offset. A read is bounded by the listed length and carries no `If-Match`: appends
//! never change earlier bytes, and a blob that grows between list and read would refuse. A blob that is shorter than
//! what was read of it, or has another creation time, is another one and is read from its beginning.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::civil::Date;
use metrics::counter;
use object_store::ObjectStoreExt as _;
use object_store::azure::MicrosoftAzure;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::config::Config;
use super::day::{Folder, Place, Places, day_of, day_path};
use crate::azure::storage::{Account, Blob, StorageError};
use crate::record::{Batch, Table, Timestamp};
use crate::source::envelope::Envelope;
use crate::source::in_flight::InFlight;
use crate::source::lines::{Ending, Lines};
use crate::spool::{Intake, SpoolError};
use crate::telemetry;

/// A container being followed.
pub struct Follower {
    account: Account,
    store: MicrosoftAzure,
    name: String,
    blob_prefix: String,
    lookback: Duration,
    sweep: Duration,
    quiet: Duration,
    folders: BTreeMap<Folder, Places>,
    /// What stands before the `y=` of blob names, as the last sweep found it.
    roots: HashSet<String>,
    /// Blobs read to their end: their length then. One of them is due again when it has grown.
    rested: HashMap<String, u64>,
    swept: Option<Instant>,
    lines: Lines,
    envelope: Envelope,
}

/// Why a round ended early.
#[derive(Debug)]
pub enum Interruption {
    /// The storage account did not do its part: the round is tried again.
    Storage(StorageError),
    /// The spool failed.
    Spool(SpoolError),
    /// Told to stop.
    Stopped,
}

impl From<StorageError> for Interruption {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<SpoolError> for Interruption {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

impl Follower {
    /// A container of an account, to go on where its partitions were left.
    ///
    /// # Errors
    /// The name is not one of a container.
    pub fn new(
        account: Account,
        name: String,
        config: &Config,
        intake: &Intake,
    ) -> Result<Self, StorageError> {
        let max_record_bytes = config.max_record_bytes.bytes();
        let table = config.table.as_ref().map(|table| Table::new(&table.0));
        let known = intake.partitions().into_iter().filter_map(|partition| {
            let folder = Folder::read(&partition).filter(|folder| folder.container == name)?;
            Some((folder, Places::read(&intake.position(&partition)?)))
        });
        Ok(Self {
            folders: known.collect(),
            store: account.container(&name)?,
            account,
            name,
            blob_prefix: config.blob_prefix.clone(),
            lookback: config.lookback,
            sweep: config.sweep,
            quiet: config.quiet,
            roots: HashSet::new(),
            rested: HashMap::new(),
            swept: None,
            lines: Lines::new(config.batch_bytes.bytes(), max_record_bytes),
            envelope: Envelope::new(table, max_record_bytes),
        })
    }

    /// Lists what is due and reads all that has grown. Returns how many bytes are left unread.
    ///
    /// # Errors
    /// The round could not be finished; what was read of it is on its way into the spool all the same.
    pub async fn round<'i>(
        &mut self,
        intake: &'i Intake,
        in_flight: &mut InFlight<'i>,
        stop: &CancellationToken,
    ) -> Result<u64, Interruption> {
        let now = Timestamp::now().0 / 1000;
        let sweeping = self.swept.is_none_or(|swept| swept.elapsed() >= self.sweep);
        let listing = self.list(sweeping, now);
        let blobs = in_flight.beside(listing, stop).await?.ok_or(Interruption::Stopped)??;
        if sweeping {
            self.forget_vanished(&blobs, now, intake, in_flight);
            self.swept = Some(Instant::now());
        }
        let mut lag = 0;
        for blob in &blobs {
            if self.is_due(blob, now) {
                match self.read(blob, now, intake, in_flight, stop).await {
                    Err(Interruption::Storage(error)) if error.is_not_found() => {
                        info!(
                            container = self.name,
                            blob = blob.name,
                            "blob is gone before it was read to its end"
                        );
                    }
                    read => lag += read?,
                }
            }
        }
        Ok(lag)
    }

    /// Whether there is nothing to read because the container is gone: then its places are forgotten.
    pub fn forget_all<'i>(&mut self, intake: &'i Intake, in_flight: &mut InFlight<'i>) {
        for folder in std::mem::take(&mut self.folders).into_keys() {
            forget(folder, intake, in_flight);
        }
    }

    async fn list(&mut self, sweeping: bool, now: i64) -> Result<Vec<Blob>, StorageError> {
        let mut prefixes = Vec::new();
        if !sweeping && !self.roots.is_empty() {
            for day in [day_of(now - SECONDS_A_DAY), day_of(now)] {
                prefixes.extend(self.roots.iter().map(|root| format!("{root}{}", day_path(day))));
            }
        } else {
            prefixes.push(self.blob_prefix.clone());
        }
        let mut blobs = Vec::new();
        for prefix in prefixes {
            let (found, n_pages) = self.account.all_blobs(&self.name, &prefix).await?;
            counter!(telemetry::BLOB_LISTS, "container" => self.name.clone()).increment(n_pages);
            blobs.extend(found);
        }
        let oldest = self.oldest(now);
        blobs.retain(|blob| Folder::of(&self.name, &blob.name).0.day().is_none_or(|day| day >= oldest));
        if sweeping {
            let root = |blob: &Blob| {
                let folder = Folder::of(&self.name, &blob.name).0;
                let day = folder.day()?;
                folder.path.strip_suffix(&day_path(day)).map(str::to_owned)
            };
            let roots: Option<HashSet<String>> = blobs.iter().map(root).collect();
            // One blob with another kind of name, and nothing can be narrowed to days.
            self.roots = roots.unwrap_or_default();
        }
        Ok(blobs)
    }

    /// The first day that is read.
    fn oldest(&self, now: i64) -> Date {
        day_of(now.saturating_sub(i64::try_from(self.lookback.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Drops the places of blobs that a full list no longer has.
    fn forget_vanished<'i>(
        &mut self,
        blobs: &[Blob],
        now: i64,
        intake: &'i Intake,
        in_flight: &mut InFlight<'i>,
    ) {
        let listed: HashSet<&str> = blobs.iter().map(|blob| blob.name.as_str()).collect();
        let oldest = self.oldest(now);
        self.rested.retain(|name, _| listed.contains(name.as_str()));
        self.folders.retain(|folder, places| {
            let before = places.0.len();
            places.0.retain(|rest, _| listed.contains(format!("{}{rest}", folder.path).as_str()));
            let too_old = folder.day().is_some_and(|day| day < oldest);
            if places.0.is_empty() || too_old {
                forget(folder.clone(), intake, in_flight);
                return false;
            }
            if places.0.len() < before {
                let batch =
                    Batch { partition: folder.partition(), position: places.position(), records: Vec::new() };
                in_flight.push(intake.append(batch));
            }
            true
        });
    }

    fn is_due(&self, blob: &Blob, now: i64) -> bool {
        let (folder, rest) = Folder::of(&self.name, &blob.name);
        match self.folders.get(&folder).and_then(|places| places.0.get(rest)) {
            Some(place) if is_same(*place, blob) && place.0 == blob.size => false,
            // Only a line without an end is left: it waits for more, or for being old enough.
            Some(place) if is_same(*place, blob) && self.rested.get(&blob.name) == Some(&blob.size) => {
                self.is_quiet(blob, now)
            }
            _ => blob.size > 0,
        }
    }

    fn is_quiet(&self, blob: &Blob, now: i64) -> bool {
        let quiet = i64::try_from(self.quiet.as_secs()).unwrap_or(i64::MAX);
        now.saturating_sub(blob.modified) >= quiet
    }

    /// Reads a blob from its place to its listed end. Returns how many bytes of it are not yet records.
    async fn read<'i>(
        &mut self,
        blob: &Blob,
        now: i64,
        intake: &'i Intake,
        in_flight: &mut InFlight<'i>,
        stop: &CancellationToken,
    ) -> Result<u64, Interruption> {
        let (folder, rest) = Folder::of(&self.name, &blob.name);
        let place = self.folders.get(&folder).and_then(|places| places.0.get(rest)).copied();
        let mut offset = match place {
            Some(place) if is_same(place, blob) => place.0,
            Some(place) => {
                warn!(
                    container = self.name,
                    blob = blob.name,
                    read = place.0,
                    length = blob.size,
                    "blob was made anew; reading it from its beginning"
                );
                counter!(telemetry::BLOBS_REPLACED, "source" => intake.source().clone()).increment(1);
                0
            }
            None => 0,
        };
        let blob_error = |source| StorageError::Blob { name: blob.name.clone(), source };
        let path = Path::parse(&blob.name).map_err(|error| blob_error(error.into()))?;
        let at_end = if self.is_quiet(blob, now) { Ending::Final } else { Ending::Open };
        self.lines.clear();
        loop {
            let begin = offset + self.lines.pending();
            let is_end = begin >= blob.size;
            if !is_end {
                let room = u64::try_from(self.lines.space().len()).unwrap_or(u64::MAX);
                let reading = self.store.get_range(&path, begin..blob.size.min(begin + room));
                let bytes = in_flight.beside(reading, stop).await?.ok_or(Interruption::Stopped)?;
                self.fill(&bytes.map_err(blob_error)?);
            }
            let ending = if is_end { at_end } else { Ending::Open };
            loop {
                let mut records = Vec::new();
                let taken = self.lines.take(ending, &mut self.envelope, &mut records);
                offset += taken;
                if taken == 0 {
                    break;
                }
                let places = self.folders.entry(folder.clone()).or_default();
                places.0.insert(rest.to_owned(), Place(offset, blob.created));
                self.envelope.take_tally().count(intake.source());
                let batch = Batch { partition: folder.partition(), position: places.position(), records };
                in_flight.push(intake.append(batch));
                if !in_flight.below(MAX_IN_FLIGHT, stop).await? {
                    return Err(Interruption::Stopped);
                }
            }
            if is_end {
                self.rested.insert(blob.name.clone(), blob.size);
                return Ok(blob.size.saturating_sub(offset));
            }
        }
    }

    fn fill(&mut self, bytes: &Bytes) {
        self.lines.space()[..bytes.len()].copy_from_slice(bytes);
        self.lines.fill(bytes.len());
    }
}

/// Whether what was read belongs to the blob that is there now.
fn is_same(place: Place, blob: &Blob) -> bool {
    let Place(offset, created) = place;
    offset <= blob.size && (created == blob.created || created == 0 || blob.created == 0)
}

fn forget<'i>(folder: Folder, intake: &'i Intake, in_flight: &mut InFlight<'i>) {
    in_flight.push(async move { intake.forget(&folder.partition()).await });
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;
/// Batches on their way into the spool at a time.
const MAX_IN_FLIGHT: usize = 4;
