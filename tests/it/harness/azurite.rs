//! Azurite, Microsoft's emulator of Azure Storage, over HTTPS, and a writer of append blobs as Defender is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cefgate::azure::storage::{Account, Blob, Credential};
use cefgate::certs::Development;
use cefgate::secret::Secret;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequestBody, HttpResponse, HttpService as _};

use super::{port, until};

/// A running emulator with one account.
pub struct Azurite {
    pub port: u16,
    directory: tempfile::TempDir,
    child: Child,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    key: AzureCredential,
}

/// The account and key that Azurite is documented to have.
pub const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

impl Azurite {
    /// Empty.
    pub fn started() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certs = directory.path().join("certs");
        Development::new(&[]).unwrap().write(&certs).unwrap();
        let port = port();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("node");
        command
            .arg(program())
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args([
                "--disableTelemetry",
                "--skipApiVersionCheck",
                "--inMemoryPersistence",
                "--oauth",
                "basic",
            ])
            .arg("--cert")
            .arg(certs.join("server.pem"))
            .arg("--key")
            .arg(certs.join("server.key"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().expect("node runs Azurite; tests/peers installs it");
        let authority = fs::read(certs.join("ca.pem")).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
            .no_proxy()
            .build()
            .unwrap();
        let azurite = Self {
            port,
            directory,
            child,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            http,
            key: AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap()),
        };
        fs::write(azurite.file("key"), KEY).unwrap();
        super::owner_only(&azurite.file("key"));
        until("Azurite listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        azurite
    }

    /// Its Blob service.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The authority that signed its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.file("certs/ca.pem")
    }

    /// Makes a container.
    pub fn create_container(&self, name: &str) {
        self.done("PUT", &format!("{name}?restype=container"), &[], "");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        super::signal(name, self.child.id());
    }

    /// The blobs below a prefix, by the rest of their names.
    pub fn blobs(&self, container: &str, prefix: &str) -> BTreeMap<String, Blob> {
        let file = self.file("key").display().to_string();
        let key =
            toml::from_str::<BTreeMap<String, Secret>>(&format!("key = {{ file = '{file}' }}")).unwrap();
        let key = Credential::Key(key["key"].clone());
        let account = Account::new(ACCOUNT.into(), self.url().parse().unwrap(), self.http.clone(), key);
        let list = || self.runtime.block_on(account.all_blobs(container, prefix)).ok();
        // It closes idle connections without a word, and a request may just have been on its way.
        let (blobs, _) = until("the blobs are listed", list);
        blobs.into_iter().map(|blob| (blob.name[prefix.len()..].to_owned(), blob)).collect()
    }

    /// Makes an empty append blob, in place of what has its name.
    pub fn create(&self, blob: &str) {
        self.done("PUT", blob, &[("x-ms-blob-type", "AppendBlob")], "");
    }

    /// Appends one block.
    pub fn append(&self, blob: &str, text: &str) {
        self.done("PUT", &format!("{blob}?comp=appendblock"), &[], text);
    }

    /// Deletes a blob.
    pub fn delete(&self, blob: &str) {
        self.done("DELETE", blob, &[], "");
    }

    fn done(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let status = self.send(method, path, headers, body).status();
        assert!(status.is_success(), "{method} {path}: {status}");
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        let mut request = http::Request::builder().method(method).uri(format!("{}/{path}", self.url()));
        for (name, value) in
            headers.iter().copied().chain([("content-length", body.len().to_string().as_str())])
        {
            request = request.header(name, value);
        }
        let mut request = request.body(HttpRequestBody::from(body.to_owned())).unwrap();
        AzureAuthorizer::new(&self.key, ACCOUNT).try_authorize(&mut request).unwrap();
        self.runtime.block_on(self.http.call(request)).unwrap()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("azurite: {}", fs::read_to_string(self.file("log")).unwrap_or_default());
        }
    }
}

/// Where tests/peers has put it.
fn program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/peers/azurite/node_modules/azurite/dist/src/blob/main.js");
    assert!(program.exists(), "{} is missing: run tests/peers", program.display());
    program
}
