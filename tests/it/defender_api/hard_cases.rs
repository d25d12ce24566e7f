//! Records that cannot be had as they are asked for: too many of one instant, too much with what belongs to them, not at
//! all; and services that ask to wait.

use std::path::Path;
use std::time::Duration;

use super::{HOUR, World};
use crate::harness::defender::ago;
use crate::harness::until;

#[test]
fn more_records_of_one_tick_than_a_page_holds_are_read_without_links_to_the_next_page() {
    let mut world = World::new("mde_alerts", "lastUpdateTime", "page_size = 20");
    {
        let mut state = world.defender.state();
        state.no_links = true;
        let at = ago(HOUR);
        for n in 1..=130 {
            state.put(&format!("tie-{n}"), at, n, false);
        }
    }
    world.gateway.start();
    world.until_all(130);
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 130);
}

#[test]
fn more_records_of_one_tick_than_can_be_asked_for_are_told_and_hold_up_no_other() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "page_size = 50");
    {
        let mut state = world.defender.state();
        state.no_links = true;
        let at = ago(HOUR);
        // "$skip" goes to 500, behind which one page more can be had.
        for n in 1..=700 {
            state.put(&format!("tie-{n:03}"), at, if n > 550 { 100 + n } else { n }, false);
        }
        state.put("later", at + 10, 551, false);
    }
    world.gateway.start();
    world.until_all(551);
    world.gateway.until_logged("more records bear one time than can be asked for", 0);
    world.gateway.terminate();
}

#[test]
fn one_record_that_cannot_be_had_holds_up_no_other() {
    without_the_poisonous("xdr_incidents", "lastUpdateTime", true, false);
}

#[test]
fn nor_does_one_in_a_chain_of_pages() {
    without_the_poisonous("graph_alerts", "lastUpdateDateTime", false, false);
}

#[test]
fn nor_does_one_at_which_the_service_breaks_off() {
    without_the_poisonous("graph_alerts", "lastUpdateDateTime", false, true);
}

#[test]
fn links_that_always_break_are_not_needed() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    {
        let mut state = world.defender.state();
        // So that the pages cannot be told apart by time.
        (state.ignores_order, state.dead_links) = (true, true);
        state.fill(170);
    }
    world.gateway.start();
    world.until_all(170);
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 170);
}

fn without_the_poisonous(resource: &str, updated: &'static str, no_links: bool, breaks_off: bool) {
    let mut world = World::new(resource, updated, "page_size = 16");
    {
        let mut state = world.defender.state();
        (state.no_links, state.breaks_off) = (no_links, breaks_off);
        state.poisonous = Some("bad".to_owned());
        let begin = state.fill(60);
        state.put("bad", begin + 30, 61, false);
    }
    world.gateway.start();
    world.until_all(60);
    assert!(world.gateway.log().contains("one record cannot be had and is passed over"));
    // Healed, it comes with the next wider look.
    world.defender.state().poisonous = None;
    world.until_all(61);
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 61);
}

#[test]
fn alerts_come_without_their_evidence_where_the_service_fails_with_it() {
    let mut world = World::new("mde_alerts", "lastUpdateTime", "");
    {
        let mut state = world.defender.state();
        state.no_expand = true;
        state.fill(5);
    }
    world.gateway.start();
    world.until_all(5);
    assert!(world.gateway.log().contains("asking for one record without its evidence"));
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 5);
}

#[test]
fn an_incident_brings_its_alerts_along() {
    let mut world = World::new("graph_incidents", "lastUpdateDateTime", "");
    world.defender.state().put("924565", ago(HOUR), 1, false);
    world.gateway.start();
    world.until_all(1);
    world.gateway.terminate();
    let spool = text_of(&world.gateway.file("spool"));
    assert!(
        spool.contains("\"alerts\":[{\"id\":\"924565-alert-1\"") && spool.contains("924565-alert-2"),
        "{spool}"
    );
}

#[test]
fn incidents_whose_alerts_cannot_be_had_go_without_them_and_again_with_them() {
    let mut world = World::new("graph_incidents", "lastUpdateDateTime", "");
    world.defender.state().no_alerts = true;
    world.defender.state().put("924565", ago(HOUR), 1, false);
    world.defender.state().put("924566", ago(HOUR), 2, false);
    world.gateway.start();
    world.until_all(2);
    world.gateway.until_logged("an incident goes without its alerts for now", 0);
    assert_eq!(world.gateway.n_spooled(), 2);
    world.defender.state().no_alerts = false;
    until("they come whole", || (world.gateway.n_spooled() == 4).then_some(()));
    let n_requests = world.defender.state().n_requests;
    until("it is looked at again", || (world.defender.state().n_requests > n_requests + 5).then_some(()));
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 4);
    assert!(text_of(&world.gateway.file("spool")).contains("924565-alert-2"));
}

#[test]
fn an_incident_that_is_too_long_with_its_alerts_goes_without_them() {
    let mut world = World::new("graph_incidents", "lastUpdateDateTime", "max_record_bytes = 1024");
    world.defender.state().put("924565", ago(HOUR), 1, false);
    world.gateway.start();
    world.until_all(1);
    let said = world.gateway.until_logged("an incident goes without its alerts", 0);
    assert!(said.contains("max_record_bytes"), "{said}");
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 1);
}

#[test]
fn a_service_that_asks_to_wait_is_not_asked_meanwhile() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    {
        let mut state = world.defender.state();
        // It answers two, refuses one, and names a second.
        state.limit = (2, Duration::from_millis(900));
        state.fill(300);
    }
    world.gateway.start();
    world.until_all(300);
    world.gateway.terminate();
    let state = world.defender.state();
    assert!(state.n_refused >= 1, "no request was refused");
    assert!(3 * state.n_refused <= state.n_requests, "{} of {}", state.n_refused, state.n_requests);
}

/// All files below a directory, one behind the other.
fn text_of(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: std::path::PathBuf| {
        if path.is_dir() {
            text_of(&path)
        } else {
            String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
        }
    };
    entries.map(text).collect()
}
