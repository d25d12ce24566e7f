//! Standard input as a source: read once, to its end.
//!
//! What was read cannot be read again, so the position is for looking only.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Config;
use crate::record::{Batch, Partition, Position, Table};
use crate::source::SourceError;
use crate::source::envelope::{Envelope, Tally};
use crate::source::in_flight::InFlight;
use crate::source::lines::{Ending, Lines};
use crate::spool::Intake;

/// Reads until the end of the input or until told to stop.
pub async fn run(config: Config, intake: Intake, stop: CancellationToken) -> Result<(), SourceError> {
    // A thread of its own: a read of a terminal or pipe can not be interrupted, and must not keep the process.
    let (sender, mut batches) = mpsc::channel(1);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read(io::stdin().lock(), &config, &sender))
        .map_err(SourceError::Thread)?;
    let mut in_flight = InFlight::default();
    let mut open = true;
    while open || !in_flight.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            stored = in_flight.next(), if !in_flight.is_empty() => stored?,
            batch = batches.recv(), if open && in_flight.len() < super::MAX_IN_FLIGHT => match batch {
                Some(Ok((batch, tally))) => {
                    tally.count(intake.source());
                    in_flight.push(intake.append(batch));
                }
                Some(Err(error)) => return Err(SourceError::Stdin(error)),
                None => open = false,
            },
        }
    }
    Ok(())
}

type Sent = io::Result<(Batch, Tally)>;

/// Reads all of `input` and sends it in batches; ends early when nobody listens any more.
fn read(mut input: impl Read, config: &Config, sender: &mpsc::Sender<Sent>) {
    let max_record_bytes = config.max_record_bytes.bytes();
    let mut envelope =
        Envelope::new(config.table.as_ref().map(|table| Table::new(&table.0)), max_record_bytes);
    let mut lines = Lines::new(config.batch_bytes.bytes(), max_record_bytes);
    let mut offset = 0;
    loop {
        let ending = match input.read(lines.space()) {
            Ok(0) => Ending::Final,
            Ok(n) => {
                lines.fill(n);
                Ending::Open
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The other end may be gone, which ends the thread as well.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        loop {
            let mut records = Vec::new();
            let taken = lines.take(ending, &mut envelope, &mut records);
            offset += taken;
            if !records.is_empty()
                && sender.blocking_send(Ok((batch(offset, records), envelope.take_tally()))).is_err()
            {
                return;
            }
            if taken == 0 {
                break;
            }
        }
        if ending == Ending::Final {
            return;
        }
    }
}

fn batch(offset: u64, records: Vec<(Table, Bytes)>) -> Batch {
    let position = Position(format!("{{\"offset\":{offset}}}"));
    Batch { partition: Partition("stdin".to_owned()), position, records }
}

#[cfg(test)]
mod tests {
    use super::super::PathPattern;
    use super::*;

    #[test]
    fn standard_input_is_read_to_its_end_and_its_last_line_needs_no_line_end() {
        let (sender, mut batches) = mpsc::channel(10);
        read(&b"{\"a\":1}\n{\"b\":2}"[..], &Config::new(PathPattern::Stdin), &sender);
        drop(sender);
        let mut bodies = Vec::new();
        while let Some(sent) = batches.blocking_recv() {
            bodies.extend(sent.unwrap().0.records.into_iter().map(|(_, body)| body));
        }
        assert_eq!(bodies, ["{\"a\":1}", "{\"b\":2}"]);
    }
}
