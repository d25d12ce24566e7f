//! Alerts and incidents of a service that behaves as Microsoft's do: every state that a poll can see is delivered, once.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::harness::defender::{Defender, ago};
use crate::harness::gateway::Gateway;
use crate::harness::login::SECRET;
use crate::harness::random::Random;
use crate::harness::siem::{Mode, Siem};
use crate::harness::until;

mod hard_cases;

#[test]
fn every_state_of_every_alert_arrives_whatever_the_service_and_the_machine_do() {
    run_model("", 50);
}

#[test]
fn no_wider_look_is_needed_for_what_is_shown_in_time() {
    run_model("rescan = '365d'\nrescan_window = '365d'\n", 0);
}

/// One of so many states is shown late; 0: none.
fn run_model(settings: &str, late: u64) {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", settings);
    world.defender.state().faults = 12;
    let mut random = Random::new();
    let mut model = Model { n: 0, now: ago(HOUR * 10), late };
    for round in 0..10_u64 {
        world.gateway.start();
        let (started, after) = (Instant::now(), Duration::from_millis(300 + random.below(900)));
        world.defender.state().ignores_order = round % 3 == 1;
        until("the instant of the kill comes", || {
            model.step(&mut world.defender.state(), &mut random);
            (started.elapsed() >= after).then_some(())
        });
        world.gateway.kill();
    }
    // What was held back is shown at last, hours behind the time it bears.
    world.defender.state().records.values_mut().for_each(|record| record.hidden = false);
    world.gateway.start();
    let last: Vec<u64> = world.defender.state().records.values().map(|record| record.n).collect();
    until("the last state of every alert arrives", || {
        world.siem.received.read().has_each("records", &last).then_some(())
    });
    let received = world.siem.received.read();
    let n_distinct = received.n_distinct();
    world.gateway.terminate();
    eprintln!("{} alerts in {} states, {n_distinct} of them delivered", last.len(), model.n);
    // A state is stored once, with what it is known by: no kill and no broken chain stores it again.
    assert_eq!(world.gateway.n_spooled(), n_distinct);
    assert!(last.len() >= 500 && n_distinct >= last.len() as u64);
    let log = world.gateway.log();
    assert!(!log.contains(SECRET) && !log.contains("token-"), "a secret in the log");
}

#[test]
fn what_is_wrong_is_said_with_its_way_out_and_needs_no_restart_once_it_is_right() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    world.defender.state().put("a", ago(HOUR), 1, false);
    std::fs::write(world.defender.secret_file(), "another").unwrap();
    world.gateway.start();
    let said = world.gateway.until_logged("gives no token", 0);
    assert!(said.contains("AADSTS7000215") && said.contains("`client_secret` is wrong"), "{said}");
    let missing = "{\"error\":{\"code\":\"Forbidden\",\"message\":\"Missing application roles. API required roles: SecurityAlert.Read.All, application roles: .\"}}";
    for (status, body, expected) in [
        (StatusCode::FORBIDDEN, missing, "grant admin consent"),
        (StatusCode::OK, "<html>Sign in</html>", "is there a login page or a proxy in between?"),
        (StatusCode::NOT_FOUND, "{}", "is the address of the service right for this cloud?"),
    ] {
        let from = world.gateway.log().len();
        world.defender.state().always = Some((status, body));
        std::fs::write(world.defender.secret_file(), SECRET).unwrap();
        let said = world.gateway.until_logged(expected, from);
        assert!(!said.contains(SECRET), "{said}");
    }
    world.defender.state().always = None;
    world.until_all(1);
    world.gateway.terminate();
}

#[test]
fn a_record_from_the_future_does_not_make_the_source_wait_for_it() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    let future = ago(Duration::ZERO) + 7 * 24 * 36_000_000_000;
    world.defender.state().put("future", future, 1, false);
    world.gateway.start();
    world.until_all(1);
    let n_requests = world.defender.state().n_requests;
    until("another round has begun", || (world.defender.state().n_requests > n_requests + 2).then_some(()));
    world.defender.state().put("now", ago(Duration::ZERO), 2, false);
    world.until_all(2);
    world.gateway.terminate();
}

#[test]
fn an_answer_of_a_part_of_the_service_is_taken_and_moves_no_watermark() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    let body = "{\"value\":[{\"id\":\"a\",\"lastUpdateDateTime\":\"2026-03-04T05:06:07Z\",\"stream\":\"records\",\"n\":1}]}";
    world.defender.state().always = Some((StatusCode::PARTIAL_CONTENT, body));
    world.gateway.start();
    world.until_all(1);
    world.gateway.terminate();
    let position = world.gateway.positions("numbers").into_values().collect::<String>();
    assert!(position.lines().any(|line| line.starts_with('s')), "{position}");
    assert!(!position.lines().any(|line| line.starts_with('w')), "{position}");
    // Whole again, it goes on.
    world.defender.state().always = None;
    world.defender.state().put("b", ago(HOUR), 2, false);
    world.gateway.start();
    world.until_all(2);
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 2);
}

#[test]
fn a_wider_look_does_not_reach_behind_the_begin_of_the_first_run() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "lookback = '1h'");
    world.defender.state().put("before", ago(HOUR * 3), 2, false);
    world.defender.state().put("after", ago(HOUR / 2), 1, false);
    world.gateway.start();
    world.until_all(1);
    let n_requests = world.defender.state().n_requests;
    // More rounds than fit between two wider looks.
    until("many rounds are made", || (world.defender.state().n_requests > n_requests + 150).then_some(()));
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 1);
}

#[test]
fn the_documented_limits_are_kept_without_a_refusal() {
    let mut world =
        World::with_tenant("graph_alerts", "lastUpdateDateTime", "", "graph_limits = ['2/500ms']");
    {
        let mut state = world.defender.state();
        // Of two requests one may be longer on its way.
        state.limit = (2, Duration::from_millis(450));
        state.fill(300);
    }
    world.gateway.start();
    world.until_all(300);
    world.gateway.terminate();
    let state = world.defender.state();
    assert_eq!(state.n_refused, 0, "of {} requests", state.n_requests);
    assert!(state.n_requests >= 6, "{} requests", state.n_requests);
}

#[test]
fn a_backlog_of_a_hundred_thousand_alerts_is_read_within_the_documented_limits() {
    let limits = "graph_limits = ['150/1m']";
    let mut world = World::with_tenant("graph_alerts", "lastUpdateDateTime", "", limits);
    {
        let mut state = world.defender.state();
        // "Microsoft Graph throttling limits": 150 requests a minute for an application in a tenant.
        state.limit = (150, Duration::from_mins(1));
        state.most_on_page = 1000;
        let begin = ago(HOUR * 23);
        for n in 1..=100_000 {
            state.put(&format!("{n}"), begin + i64::try_from(n * 6_000_000).unwrap(), n, false);
        }
    }
    world.gateway.start();
    world.until_all(100_000);
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 100_000);
    let state = world.defender.state();
    assert_eq!(state.n_refused, 0, "of {} requests", state.n_requests);
    assert!(state.n_requests >= 100, "{} requests", state.n_requests);
}

#[test]
fn a_record_of_nulls_arrives_once() {
    let mut world = World::new("graph_alerts", "lastUpdateDateTime", "");
    let body = r#"{"value":[{"id":null,"lastUpdateDateTime":null,"status":null,"stream":"records","n":1}]}"#;
    world.defender.state().always = Some((StatusCode::OK, body));
    world.gateway.start();
    world.until_all(1);
    let n_requests = world.defender.state().n_requests;
    until("it is asked for again", || (world.defender.state().n_requests > n_requests + 5).then_some(()));
    world.gateway.terminate();
    assert_eq!(world.gateway.n_spooled(), 1);
}

#[test]
fn of_the_changes_of_a_record_those_are_sent_that_are_wanted() {
    // Made, commented, resolved, commented: which of the four states arrive?
    for (updates, expected) in [("all", &[1, 2, 3, 4][..]), ("status_changes", &[1, 3]), ("first", &[1])] {
        let mut world = World::new("graph_alerts", "lastUpdateDateTime", &format!("updates = '{updates}'"));
        world.gateway.start();
        let begin = ago(HOUR);
        for (n, status) in (1..=4).zip(["new", "new", "resolved", "resolved"]) {
            {
                let mut state = world.defender.state();
                state.status = status;
                state.put("a", begin + i64::try_from(2 * n).unwrap(), n, false);
                // That this state was seen is known by a record behind it.
                state.put(&format!("sign-{n}"), begin + i64::try_from(2 * n + 1).unwrap(), 100 + n, false);
            }
            until("the sign arrives", || {
                world.siem.received.read().has_each("records", &[100 + n]).then_some(())
            });
        }
        let received = world.siem.received.read();
        let arrived: Vec<u64> = (1..=4).filter(|n| received.has_each("records", &[*n])).collect();
        assert_eq!(arrived, expected, "{updates}");
        world.gateway.terminate();
    }
}

#[test]
fn a_tenant_that_nobody_answers_slows_no_other() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let defender = Defender::started("lastUpdateDateTime");
    defender.state().put("a", ago(HOUR), 1, false);
    let silent = defender.tenant_of("silent", &format!("https://localhost:{port}"));
    let source = |name: &str, tenant: &str| {
        format!(
            "[source.{name}.defender_api]\ntenant = '{tenant}'\nresource = 'graph_alerts'\npoll = '20ms'\n"
        )
    };
    let sources = format!("{silent}{}{}", source("numbers", "corp"), source("others", "silent"));
    let mut world = World::around(defender, "graph.alert", UNLIMITED, &sources);
    world.gateway.start();
    world.until_all(1);
    for n in 2..=5 {
        world.defender.state().put("a", ago(HOUR) + i64::try_from(n).unwrap(), n, false);
        world.until_all(n);
    }
    world.gateway.terminate();
}

#[test]
fn an_answer_without_end_is_given_up_and_said() {
    let mut world =
        World::new("graph_alerts", "lastUpdateDateTime", "max_response_bytes = 2000\npage_size = 1");
    world.defender.state().always = Some((StatusCode::OK, LONG));
    world.gateway.start();
    let said = world.gateway.until_logged("the answer is longer than 2000 bytes", 0);
    assert!(said.contains("raise `max_response_bytes`"), "{said}");
    world.defender.state().always = None;
    world.defender.state().put("a", ago(HOUR), 1, false);
    world.until_all(1);
    world.gateway.terminate();
}

/// A service, a gateway that reads it, and a receiver.
pub struct World {
    pub defender: Defender,
    pub siem: Siem,
    pub gateway: Gateway,
}

impl World {
    fn new(resource: &str, updated: &'static str, settings: &str) -> Self {
        Self::with_tenant(resource, updated, settings, UNLIMITED)
    }

    fn with_tenant(resource: &str, updated: &'static str, settings: &str, tenant: &str) -> Self {
        let table = match resource {
            "graph_alerts" => "graph.alert",
            "graph_incidents" => "graph.incident",
            "mde_alerts" => "mde.alert",
            _ => "xdr.incident",
        };
        let wider = if settings.contains("rescan") { "" } else { "rescan = '1s'\nrescan_window = '24h'" };
        let source = format!(
            "[source.numbers.defender_api]\ntenant = 'corp'\nresource = '{resource}'\npoll = '20ms'\n\
             overlap = '1m'\n{wider}\n{settings}\n"
        );
        Self::around(Defender::started(updated), table, tenant, &source)
    }

    /// With a source of its own for the table.
    pub fn around(defender: Defender, table: &str, tenant: &str, source: &str) -> Self {
        let sections = format!("{}{source}", defender.tenant(tenant));
        Self::with_sections(defender, table, &sections)
    }

    /// With sections of its own for network, tenants and sources.
    pub fn with_sections(defender: Defender, table: &str, sections: &str) -> Self {
        let siem = Siem::started(Mode::Reads);
        let destination = siem.destination("siem", "rotate_bytes = 200_000\nquiet = '100ms'");
        let gateway = Gateway::new("", std::slice::from_ref(&destination));
        gateway.number(table);
        gateway.configure_source("", sections, &[destination]);
        Self { defender, siem, gateway }
    }

    pub fn until_all(&mut self, n: u64) {
        until("all records arrive", || self.siem.received.read().has_all("records", n).then_some(()));
    }
}

/// Limits that no test comes near.
pub const UNLIMITED: &str = "graph_limits = ['100000/1s']\nhunting_limits = ['100000/1s']\nmde_limits = ['100000/1s']\nxdr_limits = ['100000/1s']";

/// What happens at the service: alerts are made and changed, several in one tick, and some are shown late.
struct Model {
    n: u64,
    now: i64,
    late: u64,
}

impl Model {
    fn step(&mut self, state: &mut crate::harness::defender::State, random: &mut Random) {
        // Ticks pass in leaps, so that hours lie behind the last one.
        self.now += i64::try_from(random.below(3) * random.below(2_000_000)).unwrap();
        for _ in 0..random.below(12) {
            self.n += 1;
            let known = state.records.len() as u64;
            let id = match random.below(3) {
                0 if known > 0 => format!("alert-{}", random.below(known)),
                _ => format!("alert-{known}"),
            };
            let is_late = self.late > 0 && random.below(self.late) == 0;
            state.put(&id, self.now, self.n, is_late);
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

static LONG: &str = include_str!("defender_api.rs");
const HOUR: Duration = Duration::from_hours(1);
