//! The partitions of a hub as several instances share them: a checkpoint is an offset and a sequence number, as the
//! Azure SDKs write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::config::{Config, Start};
use super::link::{Link, Namespace};
use super::partition;
use super::place::Place;
use crate::backoff::Backoff;
use crate::record::{Batch, Partition};
use crate::source::shared::{Checkpoint, Work};
use crate::spool::{Intake, SpoolError};

/// A hub, alone or shared.
#[derive(Clone)]
pub struct Hub {
    pub namespace: Namespace,
    pub config: Arc<Config>,
    pub hub: String,
    /// The partitions that there were at first.
    pub first: Arc<[String]>,
    pub intake: Intake,
}

impl Work for Hub {
    const CUTS_OFF: bool = true;

    async fn adopt(&self, id: &str, checkpoint: Checkpoint) -> Result<(), SpoolError> {
        let partition = self.partition(id);
        let local = self.intake.position(&partition).and_then(|position| Place::read(&position));
        let Some(place) = read(&checkpoint).filter(|shared| is_ahead(shared, local.as_ref())) else {
            return Ok(());
        };
        let position = place.position();
        info!(source = %self.intake.source(), hub = self.hub, partition = id, place = position.0, "going on at the shared checkpoint");
        self.intake.append(Batch { partition, position, records: Vec::new() }).await
    }

    async fn begin(&self, id: &str, stop: &CancellationToken) -> Result<(), SpoolError> {
        let partition = self.partition(id);
        // The other starts are the same for everybody.
        let start = self.config_of(id).start;
        if start != Start::Latest || self.intake.position(&partition).is_some() {
            return Ok(());
        }
        let mut backoff = Backoff::default();
        loop {
            let asking = async { Link::open(&self.namespace, &self.hub, None).await?.state(id).await };
            let error = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                state = asking => match state {
                    Ok(state) => {
                        let position = partition::first_place(start, &state).position();
                        return self.intake.append(Batch { partition, position, records: Vec::new() }).await;
                    }
                    Err(error) => error,
                },
            };
            let wait = super::refused(&self.intake, &self.hub, &error, &mut backoff);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn begins_now(&self) -> bool {
        self.config.start == Start::Latest
    }

    fn checkpoint(&self, id: &str) -> Option<Checkpoint> {
        let position = self.intake.position(&self.partition(id))?;
        match Place::read(&position)? {
            Place::Behind(sequence, offset) => Some(Checkpoint {
                metadata: BTreeMap::from([
                    ("offset".to_owned(), offset),
                    ("sequencenumber".to_owned(), sequence.to_string()),
                ]),
                ..Checkpoint::default()
            }),
            // The layout has no word for it, and nothing was read.
            Place::Since(_) => None,
        }
    }

    async fn read(&self, id: String, epoch: u32, stop: CancellationToken) -> Result<(), SpoolError> {
        let config = Arc::new(Config { epoch: Some(epoch), ..(*self.config_of(&id)).clone() });
        let Self { namespace, hub, intake, .. } = self.clone();
        partition::follow(namespace, config, hub, id, intake, stop).await
    }
}

impl Hub {
    /// What the hub's partitions are called in the container.
    pub fn group(&self) -> String {
        format!("{}/{}/{}", self.config.namespace.0, self.hub, self.config.consumer_group)
    }

    /// A partition that was added later is new from its beginning.
    pub fn config_of(&self, id: &str) -> Arc<Config> {
        if self.first.iter().any(|first| first == id) { self.config.clone() } else { self.config.of_new() }
    }

    fn partition(&self, id: &str) -> Partition {
        partition::partition(&self.config, &self.hub, id)
    }
}

/// SDKs may leave one of the two out: the other one is enough to go on from.
fn read(checkpoint: &Checkpoint) -> Option<Place> {
    let number = |name| checkpoint.metadata.get(name).and_then(|text| text.parse::<i64>().ok());
    // .NET writes the least number there is for one it does not have.
    let sequence = number("sequencenumber").filter(|number| *number >= 0);
    let offset = checkpoint
        .metadata
        .get("offset")
        .filter(|offset| number("offset") != Some(i64::MIN) && !offset.is_empty());
    match (sequence, offset) {
        (None, None) => None,
        (sequence, offset) => {
            Some(Place::Behind(sequence.unwrap_or(-1), offset.cloned().unwrap_or_default()))
        }
    }
}

fn is_ahead(shared: &Place, local: Option<&Place>) -> bool {
    match (local, shared) {
        (None | Some(Place::Since(_)), _) => true,
        (Some(local), shared) if local.sequence().is_some() && shared.sequence().is_some() => {
            shared.sequence() > local.sequence()
        }
        // Without numbers there are offsets, where they are numbers.
        (Some(Place::Behind(_, local)), Place::Behind(_, shared)) => {
            match (local.parse::<i64>(), shared.parse::<i64>()) {
                (Ok(local), Ok(shared)) => shared > local,
                _ => local == "-1" && shared != "-1",
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(pairs: &[(&str, &str)]) -> Checkpoint {
        let metadata = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Checkpoint { metadata, ..Checkpoint::default() }
    }

    #[test]
    fn checkpoints_of_every_sdk_are_read() {
        let check = |pairs: &[(&str, &str)], expected: Option<(i64, &str)>| {
            let expected = expected.map(|(sequence, offset)| Place::Behind(sequence, offset.to_owned()));
            assert_eq!(read(&checkpoint(pairs)), expected, "{pairs:?}");
        };
        check(&[("offset", "700"), ("sequencenumber", "7")], Some((7, "700")));
        check(&[("offset", "0:1:2"), ("sequencenumber", "7")], Some((7, "0:1:2")));
        check(&[("offset", "700"), ("sequencenumber", "null")], Some((-1, "700")));
        check(&[("offset", "-9223372036854775808"), ("sequencenumber", "7")], Some((7, "")));
        check(&[("offset", ""), ("sequencenumber", "7")], Some((7, "")));
        check(&[("offset", "-1"), ("sequencenumber", "-1")], Some((-1, "-1")));
        check(&[("sequencenumber", "-9223372036854775808")], None);
        check(&[], None);
    }

    #[test]
    fn the_one_that_is_ahead_is_right() {
        let place = |text: &str| Place::read(&crate::record::Position(text.to_owned())).unwrap();
        let check = |local: Option<&str>, shared: &str, expected: bool| {
            let local = local.map(place);
            assert_eq!(is_ahead(&place(shared), local.as_ref()), expected, "{local:?} {shared}");
        };
        check(None, "7 700", true);
        check(Some("since 5"), "7 700", true);
        check(Some("-1 -1"), "7 700", true);
        check(Some("-1 -1"), "0 0", true);
        check(Some("6 600"), "7 700", true);
        check(Some("7 700"), "7 700", false);
        check(Some("8 800"), "7 700", false);
        check(Some("8 800"), "-1 -1", false);
        check(Some("8 800"), "-1 900", true);
        check(Some("8 800"), "-1 700", false);
        check(Some("8 0:1"), "-1 0:2", false);
        check(Some("8 800"), "7 ", false);
        check(Some("6 600"), "7 ", true);
        check(Some("-1 600"), "7 ", false);
    }
}
