//! Appends on their way, answered in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

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
