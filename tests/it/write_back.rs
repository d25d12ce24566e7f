//! What a SIEM decides reaches Defender, comes back as the changed record, and nothing wrong is sent or left unsaid.

mod door;
mod endpoint;
mod own_updates;

use std::io::Write as _;
use std::process::{Command, Stdio};

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::defender::{Defender, ago};
use crate::harness::login::SECRET;
use crate::harness::workplace::Done;

/// Each API: object, `--api`, member of the time, path, and the words of that API.
const APIS: [(&str, &str, &str, &str, [&str; 3]); 4] = [
    (
        "alert",
        "graph",
        "lastUpdateDateTime",
        "/v1.0/security/alerts_v2/",
        ["resolved", "truePositive", "malware"],
    ),
    ("alert", "mde", "lastUpdateTime", "/api/alerts/", ["Resolved", "TruePositive", "Malware"]),
    (
        "incident",
        "graph",
        "lastUpdateDateTime",
        "/v1.0/security/incidents/",
        ["resolved", "truePositive", "malware"],
    ),
    ("incident", "xdr", "lastUpdateTime", "/api/incidents/", ["Resolved", "TruePositive", "Malware"]),
];

#[test]
fn a_change_is_made_at_each_service_in_its_own_words() {
    for (object, api, updated, path, [status, classification, determination]) in APIS {
        let world = World::new(updated);
        let done = world.cefgate(
            &[
                object,
                "update",
                "17",
                "--api",
                api,
                "--status",
                "Resolved",
                "--classification",
                "true-positive",
                "--determination",
                "MALWARE",
                "--assign",
                "erin@corp.example",
                "--comment",
                "closed by the SIEM",
            ],
            "",
        );
        assert_eq!(done.code, Some(0), "{}", done.error);
        assert!(
            done.out.contains(&format!(
                "{object} 17: status, classification, determination, assign, comment changed"
            )),
            "{}",
            done.out
        );
        let state = world.defender.state();
        let changed = &state.records["17"].changed;
        let expected = [status, classification, determination, "erin@corp.example"];
        let members = ["status", "classification", "determination", "assignedTo"];
        assert_eq!(members.map(|member| changed[member].as_str().unwrap()), expected);
        if api == "graph" {
            assert_eq!(state.writes.comments, [("17".to_owned(), "closed by the SIEM".to_owned())]);
            assert_eq!(state.writes.requests, [format!("PATCH {path}17"), format!("POST {path}17/comments")]);
        } else {
            assert_eq!(changed["comment"], "closed by the SIEM");
            assert_eq!(state.writes.requests, [format!("PATCH {path}17")]);
        }
        // Nobody else's record has changed.
        assert!(state.records["18"].changed.is_empty());
    }
}

#[test]
fn the_tags_of_incidents_go_where_each_service_keeps_them() {
    for (api, updated, member) in
        [("graph", "lastUpdateDateTime", "customTags"), ("xdr", "lastUpdateTime", "tags")]
    {
        let world = World::new(updated);
        let done =
            world.cefgate(&["incident", "update", "17", "--api", api, "--tag", "vip", "--tag", "case 7"], "");
        assert_eq!(done.code, Some(0), "{}", done.error);
        assert_eq!(world.defender.state().records["17"].changed[member], json!(["vip", "case 7"]));
    }
}

#[test]
fn a_wrong_word_is_refused_before_anything_is_sent() {
    let world = World::new("lastUpdateDateTime");
    for (arguments, expected) in [
        (&["alert", "update", "17", "--status", "resolvd"][..], "did you mean `resolved`?"),
        (&["alert", "update", "17", "--api", "mde", "--status", "closed"], "`New`, `InProgress`, `Resolved`"),
        (&["alert", "update", "17", "--determination", "phishing"], "add `truePositive`"),
        (
            &["alert", "update", "17", "--classification", "falsePositive", "--determination", "malware"],
            "it belongs to `truePositive`",
        ),
        (&["alert", "update", "17", "--api", "xdr", "--status", "new"], "`graph` or `mde`"),
        (&["alert", "update", "17"], "nothing to change"),
        (&["alert", "update", "17", "-", "--status", "new"], "`-` stands for all ids"),
        (&["alert", "update", "17", "--tenant", "crop", "--status", "new"], "did you mean `corp`?"),
    ] {
        let done = world.cefgate(arguments, "");
        assert_eq!(done.code, Some(64), "{arguments:?}: {}", done.error);
        assert!(done.error.contains(expected), "{arguments:?}: {}", done.error);
    }
    assert_eq!(world.defender.state().n_requests, 0);
}

#[test]
fn each_refusal_is_said_with_its_cause_and_its_way_out() {
    for (object, api, updated, _, _) in APIS {
        let world = World::new(updated);
        let update = |id: &str, more: &[&str]| {
            world.cefgate(&[&[object, "update", id, "--api", api][..], more].concat(), "")
        };
        let fails = |done: &Done, expected: &[&str]| {
            assert_eq!(done.code, Some(1), "{}", done.error);
            for part in expected {
                assert!(done.out.contains(part), "{object} {api}: {part}: {}", done.out);
            }
        };
        let status = ["--status", "resolved"];
        fails(
            &update("nobody", &status),
            &[&format!("{object} nobody: FAILED:"), "knows no such", "is the id complete"],
        );
        world.defender.state().writes.conflicts.insert("17".to_owned());
        fails(
            &update("17", &status),
            &["changed by somebody else", "The resource was modified", "send the change again"],
        );
        fails(
            &update("18", &["--classification", "truePositive", "--determination", "Apt", "--unchecked"]),
            &["status 400 InvalidInput: \"Apt\" is not a valid determination", "change what is named there"],
        );
        world.defender.state().writes.forbidden = true;
        let permission = match (object, api) {
            ("alert", "graph") => "SecurityAlert.ReadWrite.All",
            ("alert", _) => "permission Alert.ReadWrite.All",
            (_, "graph") => "SecurityIncident.ReadWrite.All",
            _ => "permission Incident.ReadWrite.All",
        };
        fails(&update("18", &status), &["Missing application roles", permission, "grant admin consent"]);
        assert!(world.defender.state().records.values().all(|record| record.changed.is_empty()));
    }
}

#[test]
fn a_service_that_asks_to_wait_is_waited_for_a_few_times_only() {
    let world = World::new("lastUpdateDateTime");
    world.defender.state().writes.put_off = 3;
    let done = world.cefgate(&["alert", "update", "17", "--status", "resolved"], "");
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert_eq!(world.defender.state().writes.requests.len(), 4);
    world.defender.state().writes.put_off = 100;
    let done = world.cefgate(&["alert", "update", "17", "--status", "new"], "");
    assert_eq!(done.code, Some(1), "{}", done.out);
    assert!(done.out.contains("too many requests"), "{}", done.out);
    assert_eq!(world.defender.state().writes.requests.len(), 4 + 5);
    // Nobody waits for an hour, and what holds for one holds for the rest.
    world.defender.state().writes.wait = 3600;
    let done = world.cefgate(&["alert", "update", "17", "18", "19", "--status", "new"], "");
    assert_eq!(done.code, Some(1), "{}", done.out);
    assert!(done.error.contains("3 of 3 failed"), "{}", done.error);
    assert_eq!(world.defender.state().writes.requests.len(), 4 + 5 + 1);
}

#[test]
fn what_was_not_sent_is_not_said_to_be_changed_in_part() {
    let world = World::new("lastUpdateDateTime");
    {
        let writes = &mut world.defender.state().writes;
        (writes.taken_first, writes.put_off, writes.wait) = (1, 100, 3600);
    }
    let arguments = ["alert", "update", "17", "18", "19", "--status", "resolved", "--comment", "x", "--json"];
    let done = world.cefgate(&arguments, "");
    assert_eq!(done.code, Some(1), "{}", done.error);
    let told: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let causes: Vec<&str> = told.iter().map(|line| line["cause"].as_str().unwrap()).collect();
    assert_eq!(causes[0], "all but the comment was changed: Microsoft Graph has had too many requests");
    assert_eq!(causes[1..], ["not sent, since it was asked to wait by Microsoft Graph"; 2]);
    assert!(told.iter().all(|line| line["error"] == "too_many_requests"), "{}", done.out);
    let state = world.defender.state();
    assert!(state.records["18"].changed.is_empty() && state.writes.requests.len() == 2);
}

#[test]
fn an_answer_that_is_not_the_services_is_not_taken_for_its_yes() {
    let page = (StatusCode::OK, "<html>Sign in to the network</html>");
    let world = World::new("lastUpdateDateTime");
    let update = ["alert", "update", "17", "--status", "resolved"];
    let remove = ["indicator", "remove", "101"];
    let options = ["--type", "DomainName", "--action", "Block", "--title", "t", "--description", "d"];
    let add = [&["indicator", "add", "evil.example"][..], &options].concat();
    let import = [&["indicator", "add", "-"][..], &options].concat();
    for (answer, arguments, expected) in [
        (page, &update[..], "the answer is a web page"),
        (page, &[&update[..], &["--comment", "x"]].concat(), "the answer is a web page"),
        (page, &add, "the answer is a web page"),
        (page, &remove, "the answer is a web page"),
        ((StatusCode::OK, "[1]"), &update, "other or broken JSON"),
        ((StatusCode::PARTIAL_CONTENT, "{}"), &update, "a part of the service has not answered"),
        ((StatusCode::OK, ""), &update, "the answer is empty"),
        ((StatusCode::OK, "{\"error\":\"login\"}"), &update, "other or broken JSON"),
        ((StatusCode::BAD_GATEWAY, "<html>"), &update, "has failed: status 502"),
        ((StatusCode::OK, "{}"), &add, "other or broken JSON"),
        ((StatusCode::OK, "{}"), &import, "other or broken JSON"),
    ] {
        world.defender.state().writes.answers = Some(answer);
        let done = world.cefgate(arguments, "{\"indicatorValue\":\"evil.example\"}");
        assert_eq!(done.code, Some(1), "{arguments:?}: {}{}", done.out, done.error);
        let fix = "whether the change was made is not known";
        assert!(done.out.contains(expected), "{arguments:?}: {}", done.out);
        assert!(done.out.contains(fix), "{arguments:?}: {}", done.out);
    }
    world.defender.state().writes.answers = Some((StatusCode::NO_CONTENT, ""));
    let done = world.cefgate(&update, "");
    assert_eq!(done.code, Some(0), "{}", done.out);
}

#[test]
fn a_batch_with_right_and_wrong_lines_tells_the_outcome_of_each() {
    let world = World::new("lastUpdateDateTime");
    world.defender.state().writes.conflicts.insert("19".to_owned());
    let lines = "{\"id\":\"17\",\"comment\":\"its own\"}\n\n{\"id\":\"nobody\"}\n{\"id\":\"18\",\"status\":\"solved\"}\n\
                 not JSON\n{\"id\":18}\n{\"id\":\"19\"}\n";
    let done = world.cefgate(&["alert", "update", "-", "--status", "inProgress", "--json"], lines);
    assert_eq!(done.code, Some(1), "{}", done.error);
    assert!(done.error.contains("4 of 6 failed"), "{}", done.error);
    let told: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<(&str, &str)> = told
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), line["error"].as_str().unwrap_or("ok")))
        .collect();
    // What is wrong in itself is told first: it is found before anything is sent.
    assert_eq!(
        outcomes,
        [
            ("18", "wrong_value"),
            ("line 5", "wrong_value"),
            ("17", "ok"),
            ("nobody", "unknown_id"),
            ("18", "ok"),
            ("19", "conflict"),
        ]
    );
    assert!(told[2]["updated"].is_string() && told[0]["cause"].as_str().unwrap().contains("`inProgress`"));
    assert_eq!(world.defender.state().records["17"].changed["status"], "inProgress");
    assert_eq!(world.defender.state().writes.comments.len(), 1);
}

#[test]
fn one_change_for_many_alerts_is_one_request_unless_one_of_them_is_to_blame() {
    let world = World::new("lastUpdateTime");
    let update = |ids: &[&str]| {
        let arguments = [&["alert", "update", "--api", "mde", "--status", "resolved"][..], ids].concat();
        world.cefgate(&arguments, "")
    };
    let done = update(&["17", "18", "19"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert_eq!(world.defender.state().writes.requests, ["POST /api/alerts/batchUpdate"]);
    assert!(world.defender.state().records.values().all(|record| record.changed["status"] == "Resolved"));
    let done = update(&["17", "nobody", "19"]);
    assert_eq!(done.code, Some(1), "{}", done.error);
    assert!(
        done.out.contains("alert nobody: FAILED") && done.out.contains("alert 19: status changed"),
        "{}",
        done.out
    );
}

#[test]
fn indicators_are_added_listed_changed_and_removed() {
    let world = World::new("lastUpdateTime");
    let options = ["--type", "DomainName", "--title", "C2", "--description", "of a report"];
    let add = |value: &str, more: &[&str]| {
        world.cefgate(&[&["indicator", "add", value][..], &options, more].concat(), "")
    };
    let done = add("evil.example", &["--action", "block", "--expires", "30d"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "indicator evil.example: added as 101\n"),
        "{}",
        done.error
    );
    let done = add("bad.example", &["--action", "Audit", "--generate-alert", "--group", "servers"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    // The same type and value once more changes it.
    assert!(add("evil.example", &["--action", "Warn"]).out.contains("added as 101"));
    let list = world.cefgate(&["indicator", "list"], "").out;
    assert!(list.contains("101  DomainName  evil.example  Warn") && list.lines().count() == 2, "{list}");
    let wrong = world.cefgate(&["indicator", "list", "--type", "Domain"], "");
    assert!(wrong.code == Some(64) && wrong.error.contains("`DomainName`"), "{}", wrong.error);
    let arguments = ["indicator", "list", "--type", "domain-name", "--value", "bad.example", "--json"];
    let list = world.cefgate(&arguments, "").out;
    let only: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&only["generateAlert"], &only["rbacGroupNames"][0]), (&json!(true), &json!("servers")));
    let done = world.cefgate(&["indicator", "remove", "101", "999"], "");
    assert_eq!(done.code, Some(1), "{}", done.error);
    assert!(done.out.contains("indicator 101: removed\nindicator 999: FAILED: "), "{}", done.out);
    assert_eq!(world.defender.state().writes.indicators.keys().collect::<Vec<_>>(), [&102]);
}

#[test]
fn a_wrong_indicator_is_refused_before_anything_is_sent() {
    let world = World::new("lastUpdateTime");
    for (arguments, expected) in [
        (&["192.0.2.0/24", "--type", "IpAddress", "--action", "Block"][..], "takes no networks"),
        (&["evil.example", "--type", "DomainName", "--action", "Audit"], "`generateAlert` must be true"),
        (&["evil.example", "--type", "DomainName", "--action", "AlertAndBlock"], "superseded by `Block`"),
        (&["evil.example", "--type", "Domain", "--action", "Block"], "`DomainName`"),
    ] {
        let named = ["--title", "t", "--description", "d"];
        let done = world.cefgate(&[&["indicator", "add"][..], arguments, &named].concat(), "");
        assert_eq!(done.code, Some(64), "{arguments:?}: {}", done.error);
        assert!(done.error.contains(expected), "{arguments:?}: {}", done.error);
    }
    let done = world.cefgate(&["indicator", "add", "evil.example"], "");
    assert!(
        done.error.contains("`title` is missing") && done.error.contains("`action` is missing"),
        "{}",
        done.error
    );
    assert_eq!(world.defender.state().n_requests, 0);
}

#[test]
fn a_feed_is_imported_500_at_a_time_with_the_outcome_of_each() {
    let world = World::new("lastUpdateTime");
    let mut lines: String = (0..1200).map(|n| format!("{{\"indicatorValue\":\"c{n}.example\"}}\n")).collect();
    lines +=
        "{\"indicatorValue\":\"c2.invalid\"}\n{\"indicatorValue\":\"192.0.2.0/24\"}\n{\"value\":\"x\"}\n";
    let options = [
        "--type",
        "DomainName",
        "--action",
        "Block",
        "--title",
        "C2",
        "--description",
        "of a feed",
        "--json",
    ];
    let done = world.cefgate(&[&["indicator", "add", "-"][..], &options].concat(), &lines);
    assert_eq!(done.code, Some(1), "{}", done.error);
    assert!(done.error.contains("3 of 1203 failed"), "{}", done.error);
    assert_eq!(world.defender.state().writes.requests, ["POST /api/indicators/import"; 3]);
    assert_eq!(world.defender.state().writes.indicators.len(), 1200);
    assert!(
        done.out.contains("the domain name is not valid") && done.out.contains("unknown field `value`"),
        "{}",
        done.out
    );
    world.defender.state().writes.forbidden = true;
    let done = world.cefgate(&["indicator", "remove", "101"], "");
    assert!(done.out.contains("the permission Ti.ReadWrite"), "{}", done.out);
}

/// A service with three records, and a configuration that leads there.
struct World {
    defender: Defender,
    directory: tempfile::TempDir,
}

impl World {
    fn new(updated: &'static str) -> Self {
        let defender = Defender::started(updated);
        for (id, n) in [("17", 1), ("18", 2), ("19", 3)] {
            defender.state().put(id, ago(std::time::Duration::from_hours(1)), n, false);
        }
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        let limits = "mde_limits = ['100000/1s']\ngraph_limits = ['100000/1s']\nxdr_limits = ['100000/1s']";
        let text = format!(
            "[spool]\ndirectory = '{place}/spool'\n[source.none.file]\npath = '{place}/none'\n\
             [destination.look.file]\npath = '{place}/out'\n{}",
            defender.tenant(limits)
        );
        std::fs::write(directory.path().join("cefgate.toml"), text).unwrap();
        Self { defender, directory }
    }

    /// Runs a command; no secret is ever in what it prints.
    fn cefgate(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.args(arguments).arg("--config").arg(self.directory.path().join("cefgate.toml")).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that needs no input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let done = Done { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) };
        assert!(!format!("{done:?}").contains(SECRET) && !format!("{done:?}").contains("token-"), "{done:?}");
        done
    }
}
