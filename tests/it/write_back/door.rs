//! A gateway that lets SIEMs in, for tests.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cefgate::certs::Development;
use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::harness::defender::{Defender, ago};
use crate::harness::login::SECRET;
use crate::harness::{owner_only, port, signal, until};

/// A gateway with its door open, a service behind it, and the records it sends in a file.
pub struct Door {
    pub defender: Defender,
    directory: tempfile::TempDir,
    pub runtime: tokio::runtime::Runtime,
    pub port: u16,
    pub child: Child,
}

impl Door {
    /// `DIR` in the settings stands for its folder.
    pub fn opened(source: &str, settings: &str) -> Self {
        Self::of("graph_alerts", "lastUpdateDateTime", source, settings)
    }

    pub fn of(resource: &str, updated: &'static str, source: &str, settings: &str) -> Self {
        Self::before(Defender::started(updated), resource, source, settings)
    }

    /// In front of this service, which gets three records.
    pub fn before(defender: Defender, resource: &str, source: &str, settings: &str) -> Self {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub fn patch(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(reqwest::Method::PATCH, path, Some(TOKEN), &body.to_string())
    }

    pub fn send(
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

    pub fn ask(
        &self,
        with: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (StatusCode, Value) {
        self.answer(with(client(self, None).patch(self.url("/v1/alerts/17")).bearer_auth(TOKEN)))
    }

    pub fn answer(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers().contains_key("retry-after"), waits, "{status}");
            (status, answer.json().await.unwrap())
        })
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.args(arguments).arg("--config").arg(self.path("cefgate.toml")).env_clear().output().unwrap()
    }

    /// The records that were sent, as far as they are whole.
    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("out")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn arrives(&self, id: &str, is: impl Fn(&Value) -> bool) {
        until("the record arrives", || {
            self.records().iter().any(|record| record["id"] == id && is(record)).then_some(())
        });
    }

    pub fn log(&self) -> String {
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

pub fn client(
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

/// What lets a caller in.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef-esm";
