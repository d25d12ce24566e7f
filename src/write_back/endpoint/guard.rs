//! Who may come in, and how often.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::Instant;
use tracing::error;

use crate::azure::Rate;
use crate::secret::Secret;
use crate::telemetry;
use crate::tls::Pin;

/// The bearer of a request: the name of its token, or the fingerprint of its certificate.
///
/// Tokens are read at each request, so that a new one needs no restart. All are compared, and none is compared letter
/// by letter, so that the time it takes tells nothing.
#[must_use]
pub fn caller(
    headers: &HeaderMap,
    certificate: Option<&Pin>,
    tokens: &BTreeMap<String, Secret>,
) -> Option<String> {
    if let Some(pin) = certificate {
        return Some(format!("certificate {pin}"));
    }
    let given = headers.get(AUTHORIZATION)?.as_bytes();
    let given =
        given.split_at_checked(SCHEME.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))?.1;
    let given = digest::digest(&digest::SHA256, given.trim_ascii());
    let mut found = None;
    for (name, token) in tokens {
        let token = match token.read() {
            Ok(token) => digest::digest(&digest::SHA256, token.expose()),
            Err(error) => {
                error!(
                    token = name,
                    error = telemetry::chain(&error),
                    "a token of [write_back] cannot be read"
                );
                continue;
            }
        };
        if constant_time::verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok() {
            found = Some(name.clone());
        }
    }
    found
}

/// So many in any window of so long; what is above is turned away, not kept waiting.
#[derive(Debug)]
pub struct Turnstile {
    rate: Rate,
    passed: Mutex<VecDeque<Instant>>,
}

impl Turnstile {
    /// Nobody has passed yet.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, passed: Mutex::default() }
    }

    /// Lets one pass, or says how long to wait.
    ///
    /// # Errors
    /// The window is full.
    pub fn pass(&self, now: Instant) -> Result<(), Duration> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        while passed.front().is_some_and(|at| now.duration_since(*at) >= self.rate.window) {
            passed.pop_front();
        }
        if passed.len() >= self.rate.requests {
            let oldest = passed.front().copied().unwrap_or(now);
            return Err(self.rate.window.saturating_sub(now.duration_since(oldest)));
        }
        passed.push_back(now);
        Ok(())
    }
}

/// The places of connections: so many in all, and so many for one address, so that none takes the places of all others.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    most_of_one: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// All free.
    #[must_use]
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, taken: Arc::default() }
    }

    /// One of them, until it is dropped; `None` when the address has as many as it may, or all have.
    #[must_use]
    pub fn take(&self, peer: IpAddr) -> Option<Place> {
        let peer = network(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.most || taken.get(&peer) >= Some(&self.most_of_one) {
            return None;
        }
        *taken.entry(peer).or_default() += 1;
        Some(Place { peer, taken: self.taken.clone() })
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct Place {
    peer: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = taken.get_mut(&self.peer) {
            *n -= 1;
        }
        taken.retain(|_, n| *n > 0);
    }
}

/// What belongs to one host: of IPv6 a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

const SCHEME: &[u8] = b"bearer ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    #[test]
    fn only_a_whole_token_or_a_certificate_opens() {
        let tokens: BTreeMap<String, Secret> = [("esm", "token-of-the-esm"), ("qradar", "another")]
            .map(|(name, token)| (name.to_owned(), Secret::Text(SecretText::new(token))))
            .into();
        for (header, expected) in [
            (Some("Bearer token-of-the-esm"), Some("esm")),
            (Some("bearer another"), Some("qradar")),
            (Some("Bearer token-of-the-es"), None),
            (Some("Bearer token-of-the-esm2"), None),
            (Some("Bearer "), None),
            (Some("Basic another"), None),
            (Some("another"), None),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(caller(&headers, None, &tokens).as_deref(), expected, "{header:?}");
        }
        let by_certificate = caller(&HeaderMap::new(), Some(&Pin::of(b"x")), &tokens).unwrap();
        assert!(by_certificate.starts_with("certificate sha-256:"), "{by_certificate}");
    }

    #[test]
    fn no_address_takes_the_places_of_all() {
        let places = Places::new(3, 2);
        let [one, other, third] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let taken = [places.take(one), places.take(one)];
        assert!(taken.iter().all(Option::is_some) && places.take(one).is_none());
        let last = places.take(other);
        assert!(last.is_some() && places.take(third).is_none());
        drop(taken);
        assert!(places.take(one).is_some() && places.take(third).is_some());
        drop(last);
        assert!(places.taken.lock().unwrap().is_empty());
        // One host has as many addresses of IPv6 as it likes, and more than one way to write its address of IPv4.
        let places = Places::new(9, 1);
        let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"];
        let taken = addresses.map(|text| places.take(text.parse().unwrap()));
        assert_eq!(taken.map(|place| place.is_some()), [true, false, true, true, false]);
    }

    #[test]
    fn a_full_window_turns_away_until_its_oldest_has_left() {
        let turnstile = Turnstile::new(Rate { requests: 2, window: Duration::from_secs(10) });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!([0, 4].map(|seconds| turnstile.pass(at(seconds))), [Ok(()), Ok(())]);
        assert_eq!(turnstile.pass(at(5)), Err(Duration::from_secs(5)));
        assert_eq!(turnstile.pass(at(10)), Ok(()));
        assert_eq!(turnstile.pass(at(11)), Err(Duration::from_secs(3)));
    }
}
