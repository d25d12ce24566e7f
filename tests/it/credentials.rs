//! Each way to log in to a tenant, and how long a token serves. What the token service gets is judged by PyJWT.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;

use crate::defender_api::World;
use crate::harness::defender::{Defender, ago};
use crate::harness::login::{CLIENT, SECRET, TENANT};
use crate::harness::{owner_only, until};

#[test]
fn a_certificates_statement_is_one_that_pyjwt_accepts_and_a_new_certificate_needs_no_restart() {
    let defender = Defender::started(UPDATED);
    let (certificate, key) = (defender.file("client.pem"), defender.file("client.key"));
    write_certificate(&certificate, &key);
    let credential =
        format!("certificate = {{ file = '{}', key = '{}' }}", certificate.display(), key.display());
    let audience = format!("{}/{TENANT}/oauth2/v2.0/token", defender.url());
    let mut world = world(defender, &credential);
    world.gateway.start();
    world.until_all(1);
    let first = world.defender.state().login.assertions.last().unwrap().clone();
    let claims = judged_by_pyjwt(&first, &certificate, &audience);
    assert_eq!((&claims["iss"], &claims["sub"]), (&CLIENT.into(), &CLIENT.into()));
    // Each statement serves once, for minutes.
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() > 20));
    assert!(claims["exp"].as_u64().unwrap() - claims["nbf"].as_u64().unwrap() <= 600);
    // Another certificate in the same files, and the token of the first is worth nothing any more.
    write_certificate(&certificate, &key);
    change(&world, 2);
    world.until_all(2);
    let second = world.defender.state().login.assertions.last().unwrap().clone();
    let again = judged_by_pyjwt(&second, &certificate, &audience);
    assert_ne!(claims["jti"], again["jti"]);
    world.gateway.terminate();
    says_no_secret(&world, &[&first, &second, &fs::read_to_string(&key).unwrap()]);
}

#[test]
fn a_new_secret_needs_no_restart() {
    let defender = Defender::started(UPDATED);
    let credential = format!("client_secret = {{ file = '{}' }}", defender.secret_file().display());
    let mut world = world(defender, &credential);
    world.gateway.start();
    world.until_all(1);
    "another-that-nobody-may-see".clone_into(&mut world.defender.state().login.secret);
    fs::write(world.defender.secret_file(), "another-that-nobody-may-see\n").unwrap();
    change(&world, 2);
    world.until_all(2);
    world.gateway.terminate();
    says_no_secret(&world, &["another-that-nobody-may-see"]);
}

#[test]
fn the_token_of_a_workload_is_read_anew_at_each_use() {
    let defender = Defender::started(UPDATED);
    let file = defender.file("workload");
    fs::write(&file, "first.of.kubernetes\n").unwrap();
    let mut world = world(defender, &format!("workload_identity = {{ token_file = '{}' }}", file.display()));
    world.gateway.start();
    world.until_all(1);
    fs::write(&file, "second.of.kubernetes\n").unwrap();
    change(&world, 2);
    world.until_all(2);
    world.gateway.terminate();
    assert_eq!(world.defender.state().login.assertions, ["first.of.kubernetes", "second.of.kubernetes"]);
    says_no_secret(&world, &["first.of.kubernetes", "second.of.kubernetes"]);
}

#[test]
fn a_machine_proves_itself_to_its_own_endpoint() {
    let defender = Defender::started(UPDATED);
    let credential = format!("managed_identity = true\nidentity_url = '{}'", defender.url());
    let mut world = world(defender, &credential);
    world.gateway.start();
    world.until_all(1);
    world.gateway.terminate();
    assert!(world.defender.state().login.n_given == 1 && world.defender.state().login.assertions.is_empty());
}

#[test]
fn a_token_is_shared_by_all_who_need_it_and_renewed_before_its_end() {
    let defender = Defender::started(UPDATED);
    defender.state().login.lifetime = Duration::from_secs(4);
    let mut world = world(defender, &format!("client_secret = {{ file = '{}' }}", "SECRET_FILE"));
    world.gateway.start();
    world.until_all(1);
    until("the third token is given", || (world.defender.state().login.n_given == 3).then_some(()));
    world.gateway.terminate();
    let state = world.defender.state();
    assert_eq!(state.login.n_unauthorized, 0, "requests with a token that had ended");
    assert!(state.n_requests > 20, "{} requests with three tokens", state.n_requests);
}

/// A record, and two sources of one tenant that ask for it.
fn world(defender: Defender, credential: &str) -> World {
    defender.state().put("a", ago(HOUR), 1, false);
    let credential = credential.replace("SECRET_FILE", &defender.secret_file().display().to_string());
    let source = |name: &str, settings: &str| {
        format!(
            "[source.{name}.defender_api]\ntenant = 'corp'\nresource = 'graph_alerts'\npoll = '50ms'\n{settings}"
        )
    };
    let limits = "graph_limits = ['100000/1s']\n";
    let (one, other) = (source("numbers", ""), source("others", "page_size = 5\n"));
    let sections = format!("{}{limits}{one}{other}", defender.tenant_with(&credential));
    World::with_sections(defender, "graph.alert", &sections)
}

/// The record changes, and no token that is out is worth anything.
fn change(world: &World, n: u64) {
    let mut state = world.defender.state();
    state.login.revoke();
    state.put("a", ago(HOUR) + i64::try_from(n).unwrap(), n, false);
}

fn says_no_secret(world: &World, secrets: &[&str]) {
    let show = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.args(arguments).arg("--config").arg(world.gateway.file("cefgate.toml")).env_clear();
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    for text in [world.gateway.log(), show(&["check"]), show(&["config", "show"])] {
        assert!(!text.is_empty());
        for secret in secrets.iter().chain(&[SECRET, "token-"]) {
            let lines: Vec<&str> =
                secret.lines().filter(|line| line.len() > 5 && !line.starts_with("-----")).collect();
            assert!(lines.iter().all(|line| !text.contains(line)), "a secret in: {text}");
        }
    }
}

fn write_certificate(certificate: &Path, key: &Path) {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let signed =
        CertificateParams::new(vec!["cefgate.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
    fs::write(certificate, signed.pem()).unwrap();
    fs::write(key, pair.serialize_pem()).unwrap();
    owner_only(key);
}

/// The claims of a statement, if it is signed with the certificate's key as its header says.
fn judged_by_pyjwt(statement: &str, certificate: &Path, audience: &str) -> Value {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/cefp/bin/python");
    let mut command = Command::new(&python);
    command.args(["-c", JUDGE, statement]).arg(certificate).args([audience, CLIENT]);
    let output = command.stdin(Stdio::null()).output().expect("tests/peers installs PyJWT");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// RFC 7515 and the rules of Microsoft Entra ID: PS256 and the SHA-256 thumbprint.
const JUDGE: &str = r"
import base64, json, sys, jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
statement, path, audience, client = sys.argv[1:]
certificate = x509.load_pem_x509_certificate(open(path, 'rb').read())
header = jwt.get_unverified_header(statement)
thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b'=').decode()
assert header == {'alg': 'PS256', 'typ': 'JWT', 'x5t#S256': thumbprint}, header
claims = jwt.decode(statement, certificate.public_key(), algorithms=['PS256'], audience=audience, issuer=client,
                    options={'require': ['exp', 'nbf', 'iat', 'jti', 'sub', 'aud', 'iss']})
print(json.dumps(claims))
";
const UPDATED: &str = "lastUpdateDateTime";
const HOUR: Duration = Duration::from_hours(1);
