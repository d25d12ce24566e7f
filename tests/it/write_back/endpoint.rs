//! The door for SIEMs lets in whom it should, changes what it is told, and writes down every request.

use std::fs;
use std::net::TcpStream;

use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::door::{Door, TOKEN, client};
use crate::harness::defender::Defender;
use crate::harness::{signal, until};

#[test]
fn every_refusal_has_its_status_and_says_why() {
    let door = Door::opened("", "max_body_bytes = 1000");
    door.defender.state().writes.conflicts.insert("19".to_owned());
    let resolved = json!({ "status": "resolved" });
    for (path, body, status, code, expected) in [
        ("/v1/alerts/17", json!({ "status": "resolvd" }), 400, "wrong_value", "did you mean `resolved`?"),
        ("/v1/alerts/17", json!({ "state": "resolved" }), 400, "wrong_value", "unknown field `state`"),
        ("/v1/alerts/17", json!([1]), 400, "wrong_value", "not a JSON object"),
        ("/v1/alerts/17", json!({}), 400, "wrong_value", "nothing to change"),
        ("/v1/alerts/17", json!({ "tags": ["x"] }), 400, "wrong_value", "`tags`: Microsoft Graph has none"),
        (
            "/v1/alerts/17",
            json!({ "status": "new", "tenant": "lab" }),
            400,
            "wrong_value",
            "`lab` is not one of `corp`",
        ),
        ("/v1/alerts/17", json!({ "status": "new", "api": "xdr" }), 400, "wrong_value", "`graph`, `mde`"),
        (
            "/v1/alerts/17",
            json!({ "classification": "truePositive", "determination": "compromisedAccount" }),
            400,
            "refused",
            "is not a valid determination",
        ),
        ("/v1/alerts/nobody", resolved.clone(), 404, "unknown_id", "knows no such alert"),
        ("/v1/incidents/nobody", resolved.clone(), 404, "unknown_id", "knows no such incident"),
        ("/v1/alerts/19", resolved.clone(), 409, "conflict", "by somebody else"),
        ("/v1/alerts/a%20b", resolved.clone(), 400, "wrong_value", "is not an id"),
        ("/v1/machines/17", resolved.clone(), 404, "unknown_path", "`/v1/alerts/{id}`"),
        ("/v1/alerts/17", json!({ "comment": "x".repeat(1000) }), 413, "too_long", "longer than 1000 bytes"),
    ] {
        let (found, answer) = door.patch(path, &body);
        let error = &answer["error"];
        assert_eq!((found.as_u16(), error["code"].as_str()), (status, Some(code)), "{path} {body}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{path} {body}: {answer}");
    }
    // Not a byte more is taken when the length was not said.
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = (0..100).map(|_| Ok(vec![b' '; 500])).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(door.ask(|request| request.body(stream)).0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        door.send(reqwest::Method::GET, "/v1/alerts/17", Some(TOKEN), "").0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    door.defender.state().writes.put_off = 1;
    door.defender.state().writes.wait = 7;
    let (status, answer) = door.patch("/v1/alerts/17", &resolved);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("too_many_requests"))
    );
    // Each has its line, with what was asked for as far as it was understood.
    let log = door.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("write_back who=")).collect();
    assert_eq!(refused.len(), 17, "{log}");
    for parts in [
        &[
            "id=\"17\"",
            "tenant=\"corp\"",
            "api=\"graph\"",
            "status=400",
            "failure=\"`status`: `resolvd` is not",
        ][..],
        &["tenant=\"lab\"", "api=\"graph\"", "change=\"status=\\\"new\\\"\"", "`lab` is not one of `corp`"],
        &["tenant=\"corp\"", "api=\"xdr\"", "`api`: `xdr` is not one of"],
        &["id=\"nobody\"", "status=404", "knows no such incident"],
        &["id=\"19\"", "status=409", "change=\"status=\\\"resolved\\\"\"", "by somebody else"],
        &["id=\"a b\"", "status=400", "is not an id"],
        &["object=\"\"", "status=404", "`/v1/alerts/{id}`"],
        &["status=413", "longer than 1000 bytes"],
        &["id=\"17\"", "status=405", "changed with PATCH"],
        &["id=\"17\"", "status=503", "too many requests"],
    ] {
        let is_there = refused.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(is_there, "{parts:?}: {log}");
    }
}

#[test]
fn while_the_service_asks_to_wait_everybody_is_told_so_at_once() {
    let door = Door::opened("", "");
    door.defender.state().writes.put_off = 1;
    door.defender.state().writes.wait = 600;
    for _ in 0..3 {
        let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert_eq!(answer["error"]["code"], "too_many_requests");
    }
    assert_eq!(door.defender.state().writes.requests.len(), 1);
}

#[test]
fn what_takes_too_long_is_said_to_be_sent_or_not() {
    let door = Door::opened("", "timeout = '1s'");
    door.defender.state().held = Some("/alerts_v2/17");
    let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::GATEWAY_TIMEOUT, &json!("no_answer")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!(message, "it took too long; whether the change was made is not known");
    let defender = Defender::started("lastUpdateDateTime");
    defender.state().held = Some("/oauth2/v2.0/token");
    let door = Door::before(defender, "graph_alerts", "", "timeout = '1s'");
    let (status, answer) = door.patch("/v1/alerts/17", &json!({ "status": "resolved" }));
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer["error"]["message"], "it took too long; nothing was sent");
}

#[test]
fn a_change_in_hand_at_the_end_of_the_program_is_answered_and_written_down() {
    let door = Door::opened("", "");
    door.defender.state().held = Some("/alerts_v2/17");
    let (status, answer) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| door.patch("/v1/alerts/17", &json!({ "status": "resolved" })));
        until("the change is on its way", || (door.defender.state().n_held > 0).then_some(()));
        signal("TERM", door.child.id());
        asked.join().unwrap()
    });
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{answer}");
    let lines = door.log();
    let expected = "this program ends; whether the change was made is not known";
    assert!(lines.lines().any(|line| line.contains("id=\"17\"") && line.contains(expected)), "{lines}");
}

#[test]
fn connections_are_short_and_nobody_takes_the_places_of_all() {
    let door = Door::opened("", "");
    let answer = client(&door, None).patch(door.url("/v1/alerts/17")).body("{}");
    let answer = door.runtime.block_on(answer.send()).unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["connection"], "close");
    let idle: Vec<TcpStream> =
        (0..16).map(|_| TcpStream::connect(("127.0.0.1", door.port)).unwrap()).collect();
    let one_more = || {
        let request = client(&door, None).patch(door.url("/v1/alerts/17")).body("{}");
        door.runtime.block_on(request.send()).map(|answer| answer.status())
    };
    until("all places are taken", || one_more().is_err().then_some(()));
    assert!(one_more().is_err());
    assert_eq!(door.log().matches("turned away: too many connections").count(), 1, "{}", door.log());
    drop(idle);
    until("they are free again", || one_more().ok());
}

#[test]
fn a_missing_permission_is_named() {
    let door = Door::opened("", "");
    door.defender.state().writes.forbidden = true;
    let (status, answer) = door.patch("/v1/incidents/17", &json!({ "status": "resolved", "tags": ["vip"] }));
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_GATEWAY, &json!("missing_permission")));
    assert!(answer["error"]["fix"].as_str().unwrap().contains("SecurityIncident.ReadWrite.All"), "{answer}");
}

#[test]
fn nobody_comes_in_without_a_right_token_and_every_request_is_written_down_without_it() {
    let door = Door::opened("", "");
    let body = json!({ "status": "resolved", "comment": "between us" }).to_string();
    for wrong in [None, Some("wrong"), Some(""), Some(&TOKEN[..TOKEN.len() - 1])] {
        let (status, answer) = door.send(reqwest::Method::PATCH, "/v1/alerts/17", wrong, &body);
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::UNAUTHORIZED, &json!("unauthorized")),
            "{wrong:?}"
        );
    }
    assert!(door.defender.state().records["17"].changed.is_empty());
    assert_eq!(door.send(reqwest::Method::PATCH, "/v1/alerts/17", Some(TOKEN), &body).0, StatusCode::OK);
    let log = door.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("write_back") && line.contains("who=")).collect();
    assert_eq!(lines.len(), 5, "{log}");
    assert!(
        lines[..4].iter().all(|line| line.contains("who=\"unknown\"") && line.contains("status=401")),
        "{log}"
    );
    for part in [
        "who=\"esm\"",
        "peer=127.0.0.1:",
        "object=\"alert\"",
        "id=\"17\"",
        "tenant=\"corp\"",
        "api=\"graph\"",
        "comment\" status=200",
    ] {
        assert!(lines[4].contains(part), "{part}: {}", lines[4]);
    }
    // A new token needs no restart.
    fs::write(door.path("token"), "0123456789abcdef0123456789abcdef-new").unwrap();
    assert_eq!(door.patch("/v1/alerts/17", &json!({ "status": "new" })).0, StatusCode::UNAUTHORIZED);
}

#[test]
fn too_many_requests_are_turned_away_and_told_how_long_to_wait() {
    let door = Door::opened("", "rate = '2/1h'");
    let body = json!({ "status": "resolved" });
    for _ in 0..2 {
        assert_eq!(door.patch("/v1/alerts/17", &body).0, StatusCode::OK);
    }
    let (status, answer) = door.patch("/v1/alerts/17", &body);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("too_many_requests"))
    );
    assert_eq!(door.defender.state().writes.requests.len(), 2);
    // Guesses at tokens are turned away too, and keep nobody else out.
    let guesses = (0..70).map(|_| door.send(reqwest::Method::PATCH, "/v1/alerts/17", Some("guess"), "{}").0);
    let guesses: Vec<StatusCode> = guesses.collect();
    assert_eq!(guesses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count(), 60);
    assert_eq!(guesses.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
}

#[test]
fn a_client_certificate_opens_in_place_of_a_token() {
    let door = Door::opened("", "client_ca = 'DIR/certs/ca.pem'");
    let certs = door.path("certs");
    let chain = vec![CertificateDer::from_pem_file(certs.join("client.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certs.join("client.key")).unwrap();
    let client = client(&door, Some((chain, key)));
    let request = client.patch(door.url("/v1/alerts/17")).body("{\"status\":\"resolved\"}");
    assert_eq!(door.runtime.block_on(request.send()).unwrap().status(), StatusCode::OK);
    assert!(door.log().contains("who=\"certificate sha-256:"), "{}", door.log());
    let (status, _) = door.send(reqwest::Method::PATCH, "/v1/alerts/17", None, "{\"status\":\"new\"}");
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(door.patch("/v1/alerts/17", &json!({ "status": "new" })).0, StatusCode::OK);
}

#[test]
fn a_check_tells_of_the_door_and_of_the_permission_that_it_lacks() {
    let door = Door::opened("", "");
    door.defender.state().login.roles = &["SecurityAlert.ReadWrite.All", "SecurityIncident.Read.All"];
    let output = door.command(&["check", "--online"]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for expected in [
        "write_back   changes taken in on 127.0.0.1:",
        "ok   write_back   corp, alerts: token valid",
        "BAD  write_back   corp, incidents: the token lacks `SecurityIncident.ReadWrite.All`",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
