//! Queries of advanced hunting as a source: every row of every window is delivered, once.

use std::time::{Duration, Instant};

use crate::defender_api::{UNLIMITED, World};
use crate::harness::defender::{Defender, ago};
use crate::harness::login::SECRET;
use crate::harness::random::Random;
use crate::harness::until;

#[test]
fn every_row_arrives_once_whatever_the_service_and_the_machine_do() {
    let mut world = world("poll = '20ms'\nwindow = '2h'\noverlap = '11h'\nlookback = '11h'");
    {
        let mut state = world.defender.state();
        state.faults = 15;
        // Less than an hour has.
        state.most_rows = 300;
    }
    let mut random = Random::new();
    let (mut n, begin) = (0, ago(HOUR * 10));
    for _ in 0..6 {
        world.gateway.start();
        let (started, after) = (Instant::now(), Duration::from_millis(300 + random.below(900)));
        until("the instant of the kill comes", || {
            let mut state = world.defender.state();
            // Anywhere in the window that each round asks for once more: late rows.
            for _ in 0..random.below(60) {
                n += 1;
                let at = begin + i64::try_from(random.below(10 * 36_000_000_000)).unwrap();
                state.put(&n.to_string(), at, n, random.below(50) == 0);
            }
            (started.elapsed() >= after).then_some(())
        });
        world.gateway.kill();
    }
    world.defender.state().records.values_mut().for_each(|record| record.hidden = false);
    world.gateway.start();
    world.until_all(n);
    world.gateway.terminate();
    assert!(n >= 1_000, "{n} rows");
    assert_eq!(world.gateway.n_spooled(), n);
    let log = world.gateway.log();
    assert!(log.contains("asking for less at a time"), "no window was too large");
    assert!(!log.contains(SECRET) && !log.contains("token-"), "a secret in the log");
}

#[test]
fn rows_that_say_the_same_are_told_apart_by_their_number() {
    let mut world = world("poll = '20ms'");
    {
        let mut state = world.defender.state();
        let at = ago(Duration::from_mins(5));
        for id in ["one", "two", "three"] {
            state.put(id, at, 1, false);
        }
        state.put("four", at, 2, false);
    }
    world.gateway.start();
    world.until_all(2);
    // Asked for again and again, none comes once more.
    let n_requests = world.defender.state().n_requests;
    until("more rounds are made", || (world.defender.state().n_requests > n_requests + 5).then_some(()));
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 4);
}

#[test]
fn rows_that_do_not_say_when_they_are_from_are_asked_for_once_by_a_later_start_too() {
    let mut world = world("poll = '20ms'\ntime_column = 'Nothing'");
    for n in 1..=3 {
        world.defender.state().put(&n.to_string(), ago(Duration::from_mins(5)), n, false);
    }
    for _ in 0..2 {
        world.gateway.start();
        world.until_all(3);
        let n_requests = world.defender.state().n_requests;
        until("more rounds are made", || (world.defender.state().n_requests > n_requests + 5).then_some(()));
        world.gateway.terminate();
    }
    assert!(world.gateway.log().contains("cannot be known again"));
    assert_eq!(world.gateway.n_spooled(), 3);
}

#[test]
fn a_query_that_the_service_refuses_is_said_with_the_services_words() {
    let mut world = world("poll = '20ms'\nquery = 'Nonsense | where {window}'");
    world.gateway.start();
    let said = world.gateway.until_logged("the service refuses the question", 0);
    assert!(said.contains("Failed to resolve table 'Nonsense'"), "{said}");
    world.gateway.terminate();
}

fn world(settings: &str) -> World {
    let source =
        format!("[source.numbers.advanced_hunting]\ntenant = 'corp'\ntable = 'EmailEvents'\n{settings}\n");
    World::around(Defender::started("Timestamp"), "EmailEvents", UNLIMITED, &source)
}

const HOUR: Duration = Duration::from_hours(1);
