//! A change that comes back is known again, and never takes somebody else's with it.

use http::StatusCode;
use serde_json::{Value, json};

use super::door::Door;
use crate::harness::defender::ago;

#[test]
fn a_change_goes_in_and_comes_back_marked_as_an_own_one() {
    let door = Door::opened("own_updates = 'tag'", "");
    door.arrives("17", |record| record["status"] == "new" && record["cefgateOwnUpdate"].is_null());
    let (status, answer) =
        door.patch("/v1/alerts/17", &json!({ "status": "resolved", "assign": "erin@corp.example" }));
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["changed"], json!(["status", "assign"]));
    door.arrives("17", |record| record["status"] == "resolved" && record["cefgateOwnUpdate"] == true);
    // A comment changes the time once more.
    let (status, answer) = door.patch("/v1/alerts/18", &json!({ "comment": "see case 7" }));
    assert_eq!(status, StatusCode::OK, "{answer}");
    door.arrives("18", |record| {
        record["comments"][0]["comment"] == "see case 7" && record["cefgateOwnUpdate"] == true
    });
    // Another's change is another's.
    door.defender.state().put("17", ago(std::time::Duration::ZERO), 99, false);
    door.arrives("17", |record| record["n"] == 99 && record["cefgateOwnUpdate"].is_null());
    // A command beside the gateway writes to the same memory.
    let done = door.command(&["alert", "update", "19", "--status", "inProgress"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    door.arrives("19", |record| record["status"] == "inProgress" && record["cefgateOwnUpdate"] == true);
}

#[test]
fn a_change_at_each_service_comes_back_through_its_source() {
    for (resource, updated, path, settings, status) in [
        ("graph_alerts", "lastUpdateDateTime", "/v1/alerts/17", "", "resolved"),
        ("mde_alerts", "lastUpdateTime", "/v1/alerts/17", "alert_api = 'mde'", "Resolved"),
        ("graph_incidents", "lastUpdateDateTime", "/v1/incidents/17", "", "resolved"),
        ("xdr_incidents", "lastUpdateTime", "/v1/incidents/17", "incident_api = 'xdr'", "Resolved"),
    ] {
        let door = Door::of(resource, updated, "own_updates = 'tag'", settings);
        door.arrives("17", |record| record["status"] != status && record["cefgateOwnUpdate"].is_null());
        let (answered, answer) = door.patch(path, &json!({ "status": "resolved", "comment": "done" }));
        assert_eq!(answered, StatusCode::OK, "{resource}: {answer}");
        door.arrives("17", |record| record["status"] == status && record["cefgateOwnUpdate"] == true);
    }
}

#[test]
fn an_own_change_that_is_to_be_left_out_does_not_arrive_and_everything_else_does() {
    let door = Door::opened("own_updates = 'suppress'", "");
    door.arrives("17", |record| record["status"] == "new");
    let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
    assert_eq!(status, StatusCode::OK, "{answer}");
    door.defender.state().put("20", ago(std::time::Duration::ZERO) + 10_000_000, 100, false);
    door.arrives("20", |_| true);
    assert!(!door.records().iter().any(|record| record["status"] == "resolved"));
}

#[test]
fn own_changes_one_after_the_other_are_left_out_like_one() {
    let door = Door::opened("own_updates = 'suppress'", "");
    door.arrives("17", |_| true);
    hide(&door, "17", true);
    for change in [json!({ "status": "inProgress" }), json!({ "status": "resolved", "comment": "done" })] {
        let (status, answer) = door.patch("/v1/alerts/17", &change);
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    hide(&door, "17", false);
    door.defender.state().put("20", ago(std::time::Duration::ZERO) + 10_000_000, 100, false);
    door.arrives("20", |_| true);
    assert!(door.records().iter().all(|record| record["status"] == "new"));
    // What somebody else does next arrives, with the own changes in it.
    door.defender.state().records.get_mut("17").unwrap().n = 50;
    door.defender.state().records.get_mut("17").unwrap().updated =
        ago(std::time::Duration::ZERO) + 20_000_000;
    door.arrives("17", |record| record["n"] == 50 && record["status"] == "resolved");
}

#[test]
fn an_own_change_on_top_of_what_was_never_sent_is_sent_with_its_mark() {
    let door = Door::opened("own_updates = 'suppress'", "");
    door.arrives("17", |_| true);
    hide(&door, "17", true);
    // An analyst changes it, and nobody has asked for that when the own change comes.
    door.defender.state().put("17", ago(std::time::Duration::ZERO), 50, true);
    let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
    assert_eq!(status, StatusCode::OK, "{answer}");
    hide(&door, "17", false);
    let is_it = |record: &Value| record["n"] == 50 && record["status"] == "resolved";
    door.arrives("17", |record| is_it(record) && record["cefgateOwnUpdate"] == true);
}

#[test]
fn an_own_change_with_somebody_elses_in_it_is_somebody_elses() {
    for own_updates in ["suppress", "tag"] {
        let door = Door::opened(&format!("own_updates = '{own_updates}'"), "");
        door.arrives("17", |_| true);
        door.defender.state().writes.meanwhile = Some("17".to_owned());
        let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
        assert_eq!(status, StatusCode::OK, "{answer}");
        let is_it = |record: &Value| record["severity"] == "high" && record["status"] == "resolved";
        door.arrives("17", |record| is_it(record) && record["cefgateOwnUpdate"].is_null());
    }
}

/// Takes an object out of the lists of the service, or puts it back there.
fn hide(door: &Door, id: &str, hidden: bool) {
    door.defender.state().records.get_mut(id).unwrap().hidden = hidden;
}
