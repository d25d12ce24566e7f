//! Appends on their way, answered in order, so that a source reads on while batches are being stored.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::spool::SpoolError;

/// Futures that are all polled, in the order they were pushed: so their batches enter the spool in that order.
#[derive(Default)]
pub struct InFlight<'i> {
    /// The answer of a later one waits for those of the earlier.
    appends: VecDeque<(Option<Append<'i>>, Option<Answer>)>,
}

type Answer = Result<(), SpoolError>;
type Append<'i> = Pin<Box<dyn Future<Output = Answer> + Send + 'i>>;

impl<'i> InFlight<'i> {
    /// Adds one behind the others. It begins with the next call of [`next`](Self::next).
    pub fn push(&mut self, append: impl Future<Output = Answer> + Send + 'i) {
        self.appends.push_back((Some(Box::pin(append)), None));
    }

    /// The answer of the oldest. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Answer {
        poll_fn(|context| {
            for (append, answer) in &mut self.appends {
                if let Some(future) = append
                    && let Poll::Ready(ready) = future.as_mut().poll(context)
                {
                    *answer = Some(ready);
                    *append = None;
                }
            }
            match self.appends.front_mut().and_then(|(_, answer)| answer.take()) {
                Some(answer) => {
                    self.appends.pop_front();
                    Poll::Ready(answer)
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Does something else while batches are being stored; `None` when told to stop.
    ///
    /// # Errors
    /// A batch could not be stored.
    pub async fn beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
    ) -> Result<Option<T>, SpoolError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                stored = self.next(), if !self.is_empty() => stored?,
                done = &mut work => return Ok(Some(done)),
            }
        }
    }

    /// Waits until fewer than `n` are on their way; `false` when told to stop.
    ///
    /// # Errors
    /// A batch could not be stored.
    pub async fn below(&mut self, n: usize, stop: &CancellationToken) -> Result<bool, SpoolError> {
        while self.len() >= n {
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                stored = self.next() => stored?,
            }
        }
        Ok(true)
    }

    /// Waits a while for the answers to all: what is stored after a stop was not stored for nothing.
    ///
    /// # Errors
    /// A batch could not be stored.
    pub async fn settle(&mut self) -> Answer {
        let never = CancellationToken::new();
        let all = self.below(1, &never);
        // A full spool may take longer: then the batches that are left come again.
        tokio::time::timeout(SETTLING, all).await.unwrap_or(Ok(true)).map(drop)
    }

    /// How many have not been answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.appends.len()
    }

    /// Whether all have been answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }
}

const SETTLING: Duration = Duration::from_secs(2);
