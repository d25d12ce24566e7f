//! The door for SIEMs lets in whom it should, changes what it is told, and writes down every request.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cefgate::certs::Development;
use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::harness::defender::{Defender, ago};
use crate::harness::login::SECRET;
use crate::harness::{owner_only, port, signal, until};

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
    door.arrives("18", |record| record["n"].as_u64() > Some(3) && record["cefgateOwnUpdate"] == true);
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
    let log = door.log();
    for expected in
        ["id=\"nobody\"", "status=404", "status=409", "status=413", "change=\"status=\\\"resolved\\\"\""]
    {
        assert!(log.contains(expected), "{expected}: {log}");
    }
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

/// A gateway with its door open, a service behind it, and the records it sends in a file.
struct Door {
    defender: Defender,
    directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    port: u16,
    child: Child,
}

impl Door {
    /// `DIR` in the settings stands for its folder.
    fn opened(source: &str, settings: &str) -> Self {
        Self::of("graph_alerts", "lastUpdateDateTime", source, settings)
    }

    fn of(resource: &str, updated: &'static str, source: &str, settings: &str) -> Self {
        let defender = Defender::started(updated);
        for (id, n) in [("17", 1), ("18", 2), ("19", 3)] {
            defender.state().put(id, ago(std::time::Duration::from_hours(1)), n, false);
        }
        let directory = tempfile::tempdir().unwrap();
        Development::new(&[]).unwrap().write(&directory.path().join("certs")).unwrap();
        fs::write(directory.path().join("token"), TOKEN).unwrap();
        owner_only(&directory.path().join("token"));
        let port = port();
        let text = format!(
            "[spool]\ndirectory = 'DIR/spool'\n\
             [source.alerts.defender_api]\ntenant = 'corp'\nresource = '{resource}'\npoll = '20ms'\n{source}\n\
             [destination.look]\nformat = 'json'\nframing = 'lf'\nheader = 'none'\nfile.path = 'DIR/out'\n\
             [write_back]\nlisten = '127.0.0.1:{port}'\ncert = 'DIR/certs/server.pem'\nkey = 'DIR/certs/server.key'\n\
             tenants = ['corp']\n{settings}\n[write_back.tokens]\nesm = {{ file = 'DIR/token' }}\n{}",
            defender.tenant(
                "graph_limits = ['100000/1s']\nmde_limits = ['100000/1s']\nxdr_limits = ['100000/1s']"
            )
        );
        let text = text.replace("DIR", directory.path().to_str().unwrap());
        fs::write(directory.path().join("cefgate.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.arg("run").arg("--config").arg(directory.path().join("cefgate.toml")).env_clear();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let door = Self { defender, directory, runtime, port, child };
        until("the door is open", || door.log().contains("changes for Defender are taken in").then_some(()));
        door
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn patch(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(reqwest::Method::PATCH, path, Some(TOKEN), &body.to_string())
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, Value) {
        let mut request = client(self, None).request(method, self.url(path)).body(body.to_owned());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        self.answer(request)
    }

    fn ask(
        &self,
        with: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (StatusCode, Value) {
        self.answer(with(client(self, None).patch(self.url("/v1/alerts/17")).bearer_auth(TOKEN)))
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers().contains_key("retry-after"), waits, "{status}");
            (status, answer.json().await.unwrap())
        })
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.args(arguments).arg("--config").arg(self.path("cefgate.toml")).env_clear().output().unwrap()
    }

    /// The records that were sent, as far as they are whole.
    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("out")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn arrives(&self, id: &str, is: impl Fn(&Value) -> bool) {
        until("the record arrives", || {
            self.records().iter().any(|record| record["id"] == id && is(record)).then_some(())
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        signal("TERM", self.child.id());
        let status = self.child.wait().unwrap();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{log}");
            return;
        }
        assert!(status.success(), "{status}: {log}");
        for secret in [TOKEN, SECRET, "token-1", "between us"] {
            assert!(!log.contains(secret), "a secret in the log: {log}");
        }
    }
}

fn client(
    door: &Door,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(door.path("certs/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots);
    let tls = match own {
        Some((chain, key)) => tls.with_client_auth_cert(chain, key).unwrap(),
        None => tls.with_no_client_auth(),
    };
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef-esm";
