//! Ownerships and checkpoints as blobs, as the blob checkpoint stores of the Azure SDKs write them.
//!
//! ```text
//! <group>/ownership/<partition>    metadata ownerid: who reads it, empty when nobody does
//! <group>/checkpoint/<partition>   metadata offset, sequencenumber: how far it was read
//! ```
//!
//! The group of a hub is `<namespace>/<hub>/<consumer group>`. All names are in lower case. How old an ownership is, the
//! service says: its own clock wrote the one time and tells the other.

use std::time::Duration;

use super::Checkpoint;
use crate::azure::storage::{Account, Condition, StorageError, Version, Whole};

/// The blobs of one group of partitions.
#[derive(Clone)]
pub struct Store {
    account: Account,
    container: String,
    group: String,
}

/// Who reads a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The partition.
    pub id: String,
    /// Its reader; empty when it was given up.
    pub owner: String,
    /// The version of the blob that says so.
    pub etag: String,
    /// How long ago that was written.
    pub age: Duration,
}

impl Store {
    /// The blobs of a group in a container.
    pub fn new(account: Account, container: String, group: &str) -> Self {
        Self { account, container, group: group.to_lowercase() }
    }

    /// What all blobs of the group begin with.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// All ownerships, and the time it is now by the clock of the service, in seconds since 1970.
    pub async fn ownerships(&self) -> Result<(Vec<Ownership>, i64), StorageError> {
        let prefix = format!("{}/ownership/", self.group);
        let (mut ownerships, mut marker) = (Vec::new(), String::new());
        loop {
            let page = self.account.blobs(&self.container, &prefix, false, &marker).await?;
            let now = page.answered;
            if now == 0 {
                let reason =
                    "it does not say what time it is: something on the way removes `Date`".to_owned();
                return Err(StorageError::Answer { what: "list the blobs", reason });
            }
            ownerships.extend(page.blobs.into_iter().map(|mut blob| Ownership {
                id: blob.name.get(prefix.len()..).unwrap_or_default().to_owned(),
                owner: blob.metadata.remove("ownerid").unwrap_or_default(),
                etag: blob.etag,
                age: Duration::from_secs(u64::try_from(now - blob.modified).unwrap_or(0)),
            }));
            match page.next {
                Some(next) => marker = next,
                None => return Ok((ownerships, now)),
            }
        }
    }

    /// Claims a partition over the ownership that was seen, if any; `None` when another was first. Without an owner it
    /// is given up.
    pub async fn claim(
        &self,
        id: &str,
        owner: &str,
        seen: Option<&str>,
    ) -> Result<Option<Version>, StorageError> {
        let metadata = [("ownerid", owner)];
        let name = self.name("ownership", id);
        self.account.write(&self.container, &name, over(seen), &metadata, Default::default()).await
    }

    /// The checkpoint of a partition.
    pub async fn read(&self, id: &str) -> Result<Option<Whole>, StorageError> {
        self.account.read(&self.container, &self.name("checkpoint", id)).await
    }

    /// Writes a checkpoint over the version that was seen; `None` when another was first.
    pub async fn write(
        &self,
        id: &str,
        checkpoint: &Checkpoint,
        seen: Option<&str>,
    ) -> Result<Option<Version>, StorageError> {
        let metadata: Vec<(&str, &str)> =
            checkpoint.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = self.name("checkpoint", id);
        self.account.write(&self.container, &name, over(seen), &metadata, checkpoint.body.clone()).await
    }

    fn name(&self, kind: &str, id: &str) -> String {
        format!("{}/{kind}/{}", self.group, id.to_lowercase())
    }
}

fn over(seen: Option<&str>) -> Condition<'_> {
    seen.map_or(Condition::Absent, Condition::Unchanged)
}
