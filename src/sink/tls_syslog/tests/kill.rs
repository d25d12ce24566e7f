//! The promise the product is for: whatever the receiver does, nothing is confirmed that it has not read, and
//! everything arrives.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

use super::receiver::{Plan, Receiver, World, lines};
use super::*;

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn plan(&mut self) -> Plan {
        let bytes = usize::try_from(self.below(400_000)).unwrap();
        match self.below(8) {
            0 => Plan::Reset(bytes),
            1 => Plan::Close(bytes),
            2 => Plan::StopThenReset(bytes, Duration::from_micros(self.below(20_000))),
            3 => Plan::ReadSlowly,
            _ => Plan::ReadAll,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_nothing_is_confirmed_unread_and_everything_arrives() {
    let world = World::new();
    let receipts = Config { rotate_bytes: 200_000, ..world.config("127.0.0.1:1".parse().unwrap()) };
    run(&world, Config { quiet: Duration::from_millis(5), ..receipts }, ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_plain_tcp_nothing_is_confirmed_unread_and_everything_arrives() {
    let world = World::new();
    let receipts = Config { rotate_bytes: 200_000, ..world.config("127.0.0.1:1".parse().unwrap()) };
    run(&world, Config { insecure_plain_tcp: true, quiet: Duration::from_millis(5), ..receipts }, ROUNDS)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_overlap_nothing_is_confirmed_unread_and_everything_arrives() {
    let world = World::new();
    let receipts = Config { rotate_bytes: 200_000, ..world.config("127.0.0.1:1".parse().unwrap()) };
    let strict = Config { rotate_overlap: false, quiet: Duration::from_millis(5), ..receipts };
    run(&world, strict, ROUNDS / 4).await;
}

/// Sends until the receiver has ended `rounds` connections, then lets it read the rest.
async fn run(world: &World, config: Config, rounds: usize) {
    let seed = RandomState::new().hash_one(0) | 1;
    let mut random = Random(seed);
    let plans = Mutex::new(Random(seed.rotate_left(17) | 1));
    let tls = if config.insecure_plain_tcp { None } else { world.server() };
    let receiver =
        Receiver::start(
            tls,
            move |number| {
                if number < rounds { plans.lock().unwrap().plan() } else { Plan::ReadAll }
            },
        )
        .await;
    let address = Address::try_from(receiver.address.to_string()).unwrap();
    let mut client = Client::new("siem", Config { address, ..config });
    client.fallback.try_again_after = Duration::from_millis(20);

    let (mut committed, mut sent, mut breaks, mut receipts) = (0, 0, 0, 0);
    loop {
        let is_last = receiver.log.lock().unwrap().accepted >= rounds;
        if is_last && sent == committed {
            break;
        }
        // after two bare ends in a row only further traffic can show that receipts are given again
        let is_resting =
            sent > committed && (is_last && !client.status().unanswered || random.below(20) == 0);
        let result = if is_resting {
            match timeout(Duration::from_millis(100), client.confirmed()).await {
                Ok(confirmed) => confirmed.map(Some),
                Err(_) => continue,
            }
        } else {
            let end = sent + 1 + random.below(40);
            let frames = lines(sent + 1..=end, usize::try_from(random.below(4000)).unwrap() + 20);
            let written = client.send(Cursor(end), &frames).await;
            if written.is_ok() {
                sent = end;
            }
            written.map(|()| client.settled())
        };
        let confirmed = match result {
            Ok(confirmed) => confirmed,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                breaks += 1;
                let last = client.settled();
                sent = last.map_or(committed, |cursor| cursor.0);
                last
            }
        };
        if let Some(Cursor(confirmed)) = confirmed {
            assert!(confirmed > committed, "{confirmed} after {committed}");
            assert!(
                receiver.has(committed + 1..=confirmed),
                "seed {seed}: {confirmed} is confirmed and not read"
            );
            committed = confirmed;
            receipts += 1;
        }
    }
    assert!(receiver.has(1..=committed));
    assert!(breaks > 0 && receipts > 0, "seed {seed}: {breaks} breaks, {receipts} receipts");
}

const ROUNDS: usize = 200;
