//! `cefgate check --online` says of each service and each receiver what a person has to do before a start.

use std::process::{Command, Output};

use jiff::SignedDuration;

use crate::defender_api::{UNLIMITED, World};
use crate::harness::defender::{Defender, ago};
use crate::harness::login::SECRET;

#[test]
fn all_is_well_with_token_roles_clocks_a_record_and_the_receiver() {
    let (world, output) = looked_at("graph_alerts", |_| {});
    let text = text_of(&output);
    assert!(output.status.success(), "{text}");
    for expected in [
        "answers, clocks agree to ",
        "token valid for 59m",
        "roles SecurityAlert.Read.All",
        "a graph.alert was fetched",
        "takes a connection over TLS",
    ] {
        assert!(text.contains(expected), "{expected} in: {text}");
    }
    assert!(!text.contains("BAD") && !text.contains(SECRET) && !text.contains("token-"), "{text}");
    // It has stored nothing and left nothing behind.
    assert_eq!(world.gateway.n_spooled(), 0);
}

#[test]
fn what_a_person_has_to_do_is_said_for_each_fault() {
    type Spoil = fn(&mut World);
    let rows: [(&str, Spoil, &str); 4] = [
        (
            "graph_alerts",
            |world| world.defender.state().login.roles = &["User.Read.All"],
            "the token lacks `SecurityAlert.Read.All`: add it to the application's permissions and grant admin consent",
        ),
        (
            "graph_incidents",
            |world| "another".clone_into(&mut world.defender.state().login.secret),
            "`client_secret` is wrong",
        ),
        (
            "mde_alerts",
            |world| world.defender.state().clock_ahead = SignedDuration::from_mins(-9),
            "ahead of the service's: set it",
        ),
        ("graph_alerts", |world| world.siem.kill(), "destination  siem: "),
    ];
    for (resource, spoil, expected) in rows {
        let (_world, output) = looked_at(resource, spoil);
        let text = text_of(&output);
        assert!(!output.status.success(), "{text}");
        let bad: Vec<&str> = text.lines().filter(|line| line.starts_with("BAD ")).collect();
        assert!(bad.len() == 1 && bad[0].contains(expected), "{expected} in: {text}");
        assert!(text.contains("1 of the services and receivers are not as they should be"), "{text}");
    }
}

fn looked_at(resource: &str, spoil: impl FnOnce(&mut World)) -> (World, Output) {
    let source = format!("[source.numbers.defender_api]\ntenant = 'corp'\nresource = '{resource}'\n");
    let defender = Defender::started("lastUpdateDateTime");
    defender.state().put("a", ago(std::time::Duration::from_secs(60)), 1, false);
    let mut world = World::around(defender, "graph.alert", UNLIMITED, &source);
    spoil(&mut world);
    let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
    command.args(["check", "--online", "--config"]).arg(world.gateway.file("cefgate.toml")).env_clear();
    let output = command.output().unwrap();
    (world, output)
}

fn text_of(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
