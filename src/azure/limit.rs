//! Requests spaced so that the service never has to say "too many".
//!
//! A rate is so many requests in any window of so long. A place in the window is taken before the request and is free
//! again one window after its *answer* began: whatever the way there took, the service has then seen both requests at
//! least one window apart.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::duration;

/// So many requests in any window of so long. Written `150/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// How many.
    pub requests: usize,
    /// In how long.
    pub window: Duration,
}

impl Rate {
    pub(super) fn a_minute(requests: usize) -> Self {
        Self { requests, window: Duration::from_mins(1) }
    }

    pub(super) fn an_hour(requests: usize) -> Self {
        Self { requests, window: Duration::from_hours(1) }
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (requests, window) = text.split_once('/')?;
            let requests = requests.trim().parse().ok().filter(|n| (1..=MOST_REQUESTS).contains(n))?;
            let window = duration::parse(window).ok().filter(|window| !window.is_zero())?;
            Some(Self { requests, window })
        };
        read().ok_or_else(|| format!("`{text}` is not a rate such as `100/1m` or `1500/1h`"))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        format!("{}/{}", rate.requests, duration::text(rate.window))
    }
}

/// Keeps several rates at once. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    windows: Mutex<Vec<Window>>,
    /// The service has asked for silence until then.
    paused: Mutex<Option<Instant>>,
    freed: Notify,
}

struct Window {
    rate: Rate,
    in_flight: usize,
    /// When the places of answered requests are free again, in order.
    free_at: VecDeque<Instant>,
}

impl Limiter {
    /// With no request made yet.
    #[must_use]
    pub fn new(rates: &[Rate]) -> Self {
        let windows =
            rates.iter().map(|rate| Window { rate: *rate, in_flight: 0, free_at: VecDeque::new() }).collect();
        Self(Arc::new(Shared {
            windows: Mutex::new(windows),
            paused: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// No request before `wait` has passed: the service has said so (`Retry-After`), and means every request.
    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_PAUSE);
        let mut paused = self.0.paused.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = paused.map_or(Some(until), |before| Some(before.max(until)));
    }

    /// Waits until a request may be made, but no longer than this where a longest wait is given. The permit is dropped when
    /// its answer has begun.
    ///
    /// # Errors
    /// It would take longer, or did; with the wait that is left as far as it is known. Nothing is taken then.
    pub async fn permit(&self, longest: Option<Duration>) -> Result<Permit, Duration> {
        let deadline = longest.map(|longest| Instant::now() + longest);
        loop {
            let freed = self.0.freed.notified();
            let now = Instant::now();
            let free = match self.0.take(now) {
                Ok(()) => return Ok(Permit(self.0.clone())),
                Err(free) => free,
            };
            match (free, deadline) {
                (Some(at), Some(deadline)) if at > deadline => return Err(at - now),
                (None, Some(deadline)) if now >= deadline => return Err(UNKNOWN_WAIT),
                _ => {}
            }
            match free.or(deadline) {
                Some(look_again) => tokio::select! {
                    () = tokio::time::sleep_until(look_again) => {}
                    () = freed => {}
                },
                None => freed.await,
            }
        }
    }
}

impl Shared {
    /// Takes a place in every window, or tells when to look again; `None` when that depends on an answer.
    fn take(&self, now: Instant) -> Result<(), Option<Instant>> {
        let paused = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = paused.filter(|until| *until > now) {
            return Err(Some(until));
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for window in windows.iter_mut() {
            while window.free_at.front().is_some_and(|at| *at <= now) {
                window.free_at.pop_front();
            }
        }
        let full = |window: &&Window| window.in_flight + window.free_at.len() >= window.rate.requests;
        if let Some(window) = windows.iter().find(full) {
            return Err(window.free_at.front().copied());
        }
        windows.iter_mut().for_each(|window| window.in_flight += 1);
        Ok(())
    }
}

/// A request that may be made.
pub struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        for window in self.0.windows.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            window.in_flight -= 1;
            window.free_at.push_back(now + window.rate.window + MARGIN);
        }
        self.0.freed.notify_waiters();
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        out.debug_list().entries(windows.iter().map(|window| String::from(window.rate))).finish()
    }
}

/// Bounds the memory of a window.
const MOST_REQUESTS: usize = 100_000;
/// Whatever a service asks for, it is asked again within half an hour.
const LONGEST_PAUSE: Duration = Duration::from_mins(30);
/// When all places are taken by requests that have no answer yet.
const UNKNOWN_WAIT: Duration = Duration::from_secs(1);
/// Two clocks do not run alike.
const MARGIN: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_requests_and_window() {
        for (text, expected) in [
            ("150/1m", Some((150, 60))),
            ("1500/1h", Some((1500, 3600))),
            ("150", None),
            ("0/1m", None),
            ("5/0s", None),
            ("x/1m", None),
        ] {
            let rate = Rate::try_from(text.to_owned()).ok();
            assert_eq!(rate.map(|rate| (rate.requests, rate.window.as_secs())), expected, "{text}");
            if let Some(rate) = rate {
                assert_eq!(Rate::try_from(String::from(rate)), Ok(rate));
            }
        }
    }

    #[test]
    fn no_window_of_any_rate_holds_more_than_it_may() {
        let rates = [Rate { requests: 3, window: Duration::from_secs(1) }, Rate::a_minute(5)];
        let limiter = Limiter::new(&rates);
        let start = Instant::now();
        assert_eq!([(); 4].map(|()| limiter.0.take(start)), [Ok(()), Ok(()), Ok(()), Err(None)]);
        let mut windows = limiter.0.windows.lock().unwrap();
        for window in windows.iter_mut() {
            window.in_flight = 0;
            window.free_at.extend([start + window.rate.window; 3]);
        }
        drop(windows);
        let second = start + Duration::from_secs(1);
        assert_eq!(limiter.0.take(start), Err(Some(second)));
        assert_eq!([(); 2].map(|()| limiter.0.take(second)), [Ok(()), Ok(())]);
        assert_eq!(
            limiter.0.take(second),
            Err(Some(start + Duration::from_mins(1))),
            "the rate of the minute holds too"
        );
    }

    #[tokio::test]
    async fn an_answered_request_frees_its_place_after_one_window() {
        let limiter = Limiter::new(&[Rate { requests: 2, window: Duration::from_millis(50) }]);
        let mut answered: VecDeque<Instant> = VecDeque::new();
        for _ in 0..6 {
            let permit = limiter.permit(None).await.unwrap();
            if answered.len() == 2 {
                let earlier = answered.pop_front().unwrap();
                assert!(earlier.elapsed() >= Duration::from_millis(50));
            }
            answered.push_back(Instant::now());
            drop(permit);
        }
    }
}
