//! Handshakes over an in-memory pipe: what comes through, and what each refusal says.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certs::{Development, Identity};

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn server(identity: &Identity, client_ca: Option<&Identity>) -> Arc<ServerConfig> {
    let authorities = client_ca.map(|identity| identity.certificate.as_bytes());
    server_config(identity.certificate.as_bytes(), identity.key.as_bytes(), authorities).unwrap()
}

fn tls12_only(identity: &Identity, client_ca: &Identity) -> Arc<ServerConfig> {
    let roots = pem::roots(client_ca.certificate.as_bytes(), "test").unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            pem::certificates(identity.certificate.as_bytes(), "test").unwrap(),
            pem::private_key(identity.key.as_bytes(), "test", None).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}

/// Shakes hands and reads until the first ticket or the refusal; the text of the refusal, or `ok`.
async fn outcome(config: &Config, host: &str, server: Arc<ServerConfig>) -> String {
    let connector = Connector::new(config).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let stream = TlsAcceptor::from(server).accept(far).await;
        if let Ok(mut stream) = stream {
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.ok();
        }
    });
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let result = match connector.connect(&host, near).await {
        Ok(mut stream) => stream.read(&mut [0; 16]).await.map(|_| ()),
        Err(error) => Err(error),
    };
    server.await.unwrap();
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => connector.refusal(&error).to_string(),
    }
}

/// A self-signed certificate with whatever is odd about it.
fn odd(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

#[tokio::test]
async fn each_refusal_says_what_a_person_needs_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let good = Development::new(&[]).unwrap();
    let other = Development::new(&[]).unwrap();
    let ca = write(directory.path(), "ca.pem", &good.authority.certificate);
    let trusting = Config { ca_file: Some(ca), ..Config::default() };
    let itself = |identity: &Identity| Config {
        ca_file: Some(write(directory.path(), "self.pem", &identity.certificate)),
        ..Config::default()
    };

    let ok = outcome(&trusting, "localhost", server(&good.server, None)).await;
    assert_eq!(ok, "ok");
    let ok = outcome(&trusting, "127.0.0.1", server(&good.server, None)).await;
    assert_eq!(ok, "ok");

    let text = outcome(&trusting, "localhost", server(&other.server, None)).await;
    assert!(text.contains("ca.pem") && text.contains("pin = [\"sha-256:"), "{text}");

    let text = outcome(&trusting, "siem.example", server(&good.server, None)).await;
    assert!(text.contains("`localhost`, `127.0.0.1`") && text.contains("`siem.example`"), "{text}");
    assert!(text.contains("`server_name`"), "{text}");
    let renamed =
        Config { server_name: Some("localhost".to_owned().try_into().unwrap()), ..trusting.clone() };
    assert_eq!(outcome(&renamed, "siem.example", server(&good.server, None)).await, "ok");

    let expired = odd(&["localhost"], |params| params.not_after = rcgen::date_time_ymd(2020, 5, 1));
    let text = outcome(&itself(&expired), "localhost", server(&expired, None)).await;
    assert!(text.contains("expired on 2020-05-01T00:00:00Z"), "{text}");

    let early = odd(&["localhost"], |params| params.not_before = rcgen::date_time_ymd(3020, 5, 1));
    let text = outcome(&itself(&early), "localhost", server(&early, None)).await;
    assert!(text.contains("not valid yet, only from 3020-05-01T00:00:00Z on"), "{text}");

    let nameless = odd(&[], |_| ());
    let text = outcome(&itself(&nameless), "localhost", server(&nameless, None)).await;
    assert!(text.contains("no subject alternative name") && text.contains("pin = [\"sha-256:"), "{text}");

    let authority = odd(&["localhost"], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let text = outcome(&itself(&authority), "localhost", server(&authority, None)).await;
    assert!(text.contains("CA:TRUE") && text.contains("pin = [\"sha-256:"), "{text}");
}

#[tokio::test]
async fn a_pin_replaces_path_and_name_checks_and_nothing_else_passes_it() {
    let identity = odd(&[], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let der = pem::certificates(identity.certificate.as_bytes(), "test").unwrap();
    let pinned = Config { pin: vec![Pin::of(&der[0])], ..Config::default() };
    assert_eq!(outcome(&pinned, "any.example", server(&identity, None)).await, "ok");

    let other = odd(&["localhost"], |_| ());
    let text = outcome(&pinned, "localhost", server(&other, None)).await;
    let other_der = pem::certificates(other.certificate.as_bytes(), "test").unwrap();
    assert!(
        text.contains("none of those in `pin`") && text.contains(&Pin::of(&other_der[0]).to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn a_demanded_client_certificate_is_named_on_both_protocol_versions() {
    let directory = tempfile::tempdir().unwrap();
    let good = Development::new(&[]).unwrap();
    let stranger = Development::new(&[]).unwrap();
    let ca = write(directory.path(), "ca.pem", &good.authority.certificate);
    let nobody = Config { ca_file: Some(ca), ..Config::default() };
    let known = |identity: &Identity, name: &str| Config {
        client_cert: Some(write(directory.path(), &format!("{name}.pem"), &identity.certificate)),
        client_key: Some(write(directory.path(), &format!("{name}.key"), &identity.key)),
        ..nobody.clone()
    };
    for receiver in [server(&good.server, Some(&good.authority)), tls12_only(&good.server, &good.authority)] {
        let text = outcome(&nobody, "localhost", Arc::clone(&receiver)).await;
        assert!(text.contains("demands a client certificate: set `client_cert`"), "{text}");
        let text = outcome(&known(&stranger.client, "stranger"), "localhost", Arc::clone(&receiver)).await;
        assert!(text.contains("does not accept the client certificate"), "{text}");
        assert_eq!(outcome(&known(&good.client, "client"), "localhost", receiver).await, "ok");
    }
}

#[tokio::test]
async fn a_peer_without_tls_or_with_an_old_protocol_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = Development::new(&[]).unwrap();
    let ca = write(directory.path(), "ca.pem", &good.authority.certificate);
    let modern = Config { ca_file: Some(ca), min_tls: MinTls::Tls13, ..Config::default() };
    let text = outcome(&modern, "localhost", tls12_only(&good.server, &good.authority)).await;
    assert!(text.contains("no protocol version or cipher suite in common"), "{text}");

    let connector = Connector::new(&modern).unwrap();
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    tokio::io::AsyncWriteExt::write_all(&mut far, b"220 mail.example ESMTP\r\n").await.unwrap();
    let host = ServerName::try_from("localhost".to_owned()).unwrap();
    let error = connector.connect(&host, near).await.unwrap_err();
    assert!(connector.refusal(&error).to_string().contains("does not speak TLS"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_key() {
    let directory = tempfile::tempdir().unwrap();
    let good = Development::new(&[]).unwrap();
    let other = Development::new(&[]).unwrap();
    let path = |name: &str, text: &str| Some(write(directory.path(), name, text));
    let ca_file = path("ca.pem", &good.authority.certificate);
    let client_cert = path("client.pem", &good.client.certificate);
    let check = |config: Config, expected: &[&str]| {
        let text = Connector::new(&config).unwrap_err().to_string();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    };
    let base = Config { ca_file, ..Config::default() };
    check(Config { ca_file: Some("/nonexistent".into()), ..base.clone() }, &["ca_file", "/nonexistent"]);
    check(
        Config { ca_file: path("key.pem", &good.client.key), ..base.clone() },
        &["ca_file", "BEGIN CERTIFICATE"],
    );
    check(Config { client_cert: client_cert.clone(), ..base.clone() }, &["`client_cert`", "`client_key`"]);
    let wrong = path("other.key", &other.client.key);
    check(Config { client_cert, client_key: wrong, ..base }, &["does not belong", "client.pem", "other.key"]);
}
