//! The way in: a source's handle for appending batches and asking where to resume.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::writer::{Append, Change};
use super::{Owner, SpoolError, frame, lock, writer};
use crate::record::{Batch, Name, Partition, Position};

/// One source's way into the spool. Clones share it.
#[derive(Clone, Debug)]
pub struct Intake {
    owner: Arc<Owner>,
    source: Name,
    tenant: Name,
}

impl Intake {
    pub(super) fn new(owner: Arc<Owner>, source: Name, tenant: Name) -> Self {
        Self { owner, source, tenant }
    }

    /// The source this intake belongs to.
    #[must_use]
    pub fn source(&self) -> &Name {
        &self.source
    }

    /// The folder of the spool, for what a source keeps beside it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.owner.shared.config.directory
    }

    /// Where to resume; `None` on the first run.
    #[must_use]
    pub fn position(&self, partition: &Partition) -> Option<Position> {
        self.owner.shared.log().positions.get(&(self.source.clone(), partition.clone())).cloned()
    }

    /// The number that the next record gets: all with a smaller one are durable.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.owner.shared.log().next()
    }

    /// Records with a smaller number than this are confirmed by every destination, or were removed on purpose.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let log = self.owner.shared.log();
        log.destinations.iter().map(|destination| destination.cursor).min().unwrap_or_else(|| log.next())
    }

    /// The partitions of this source that have a position.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let log = self.owner.shared.log();
        log.positions
            .keys()
            .filter(|(source, _)| *source == self.source)
            .map(|(_, part)| part.clone())
            .collect()
    }

    /// Returns once records and position are durable. That return is the acknowledgement.
    ///
    /// Waits while the spool or the disk is full. Dropping the future gives up the answer, not the batch: it may
    /// still be stored. One batch without records stores its position alone.
    ///
    /// # Errors
    /// A record is too large, the spool is closed, or the disk failed for good.
    pub async fn append(&self, batch: Batch) -> Result<(), SpoolError> {
        self.store(batch, frame::Position::Replaces).await
    }

    /// As [`Intake::append`], but the batch's position is put behind the one there is: for a source whose position is
    /// long and changes a little at a time. What it grows to is the source's business; `append` makes it short again.
    ///
    /// # Errors
    /// As for [`Intake::append`].
    pub async fn extend(&self, batch: Batch) -> Result<(), SpoolError> {
        self.store(batch, frame::Position::Extends).await
    }

    async fn store(&self, batch: Batch, position: frame::Position) -> Result<(), SpoolError> {
        let mut buffer = self.buffer();
        frame::encode(&mut buffer, &self.source, &self.tenant, &batch, position)
            .map_err(|frame::TooLarge| SpoolError::TooLarge)?;
        let tally = writer::tally(&batch.records);
        let change = match position {
            frame::Position::Replaces => Change::Resume(batch.partition, batch.position),
            frame::Position::Extends => Change::Extend(batch.partition, batch.position),
        };
        drop(batch.records);
        self.send(buffer, tally, change).await
    }

    /// Forgets the position of a partition that is gone for good.
    ///
    /// # Errors
    /// As for [`Intake::append`].
    pub async fn forget(&self, partition: &Partition) -> Result<(), SpoolError> {
        let mut buffer = self.buffer();
        frame::encode_forget(&mut buffer, &self.source, &self.tenant, &partition.0)
            .map_err(|frame::TooLarge| SpoolError::TooLarge)?;
        self.send(buffer, Vec::new(), Change::Forget(partition.clone())).await
    }

    async fn send(
        &self,
        buffer: Vec<u8>,
        tally: writer::ReadTally,
        change: Change,
    ) -> Result<(), SpoolError> {
        let shared = &self.owner.shared;
        let weight = buffer.len().min(writer::QUEUE_BYTES);
        let weight = u32::try_from(weight).map_err(|_| SpoolError::TooLarge)?;
        let Ok(room) = shared.room.clone().acquire_many_owned(weight).await else {
            return Err(lock(&shared.queue).error());
        };
        let (answer, answered) = oneshot::channel();
        let append = Append { buffer, source: self.source.clone(), tally, change, answer, room };
        {
            let mut queue = lock(&shared.queue);
            if queue.closing {
                return Err(queue.error());
            }
            queue.appends.push_back(append);
        }
        shared.wake.notify_one();
        answered.await.unwrap_or(Err(SpoolError::Closed))
    }

    fn buffer(&self) -> Vec<u8> {
        lock(&self.owner.shared.buffers).pop().unwrap_or_default()
    }
}
