//! The command line tells a person what is wrong and a supervisor which kind of wrong it is.

use crate::harness::workplace::{Done, SAMPLES, Workplace};

const LOOK: &str = "[destination.look]\nframing = 'lf'\nfile.path = 'DIR/out.log'";

#[test]
fn the_exit_code_says_what_kind_of_wrong_it_is() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    let root = env!("CARGO_MANIFEST_DIR");
    let unknown_keys = format!("{root}/tests/config/invalid/unknown_keys.toml");
    std::fs::write(workplace.path("file"), "").unwrap();
    std::fs::create_dir(workplace.path("certs")).unwrap();
    std::fs::write(workplace.path("certs/ca.pem"), "").unwrap();
    for (arguments, code, expected) in [
        (&["chek"][..], 64, "unrecognized subcommand 'chek'"),
        (&["certs"], 64, "Usage: cefgate certs"),
        (&["listen", "--cert", "x.pem"], 64, "--key <FILE>"),
        (&["check", "--config", "/nonexistent.toml"], 78, "/nonexistent.toml: there is no such file"),
        (&["check", "--config", &unknown_keys], 78, "did you mean `address`?"),
        (
            &["replay", "--destination", "lok", "--from", "1"],
            64,
            "no destination `lok` in the configuration; did you mean `look`?",
        ),
        (&["replay", "--destination", "siem", "--from", "1"], 64, "known: `look`"),
        (&["replay", "--destination", "look"], 64, "--from <TIME|NUMBER>"),
        (&["replay", "--destination", "look", "--from", "soon"], 64, "`soon` is not a time such as"),
        (&["account", "--until", "soon"], 64, "`soon` is not a time such as"),
        // Nothing has run yet: there is no spool.
        (&["account"], 74, "spool`"),
        (&["status"], 74, "spool`"),
        (&["replay", "--destination", "look", "--from", "1"], 74, "spool`"),
        (&["certs", "dev", "certs"], 74, "write `certs/ca.pem`"),
        (&["certs", "dev", "other", "--name", "ümlaut"], 1, "ümlaut"),
        (&["map", "show", "xdr.Nothing"], 1, "xdr.Nothing"),
        (&["demo", "--profile", "nothing"], 78, "nothing"),
        (&["--version"], 0, ""),
    ] {
        let done = workplace.cefgate(arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {}", done.error);
        assert!(done.error.contains(expected), "{arguments:?}: {}", done.error);
    }
}

#[test]
fn status_tells_what_waits_and_what_came_in_that_nobody_knows() {
    let records = r#"{"category":"AdvancedHunting-BrandNewEvents","properties":{"Timestamp":"2026-03-04T05:06:07Z"}}
{"category":"AdvancedHunting-DeviceInfo","properties":{"Timestamp":"2026-03-04T05:06:07Z","BrandNew":"x"}}
"#;
    let workplace = Workplace::new(records, LOOK);
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    // A destination that has had nothing yet.
    workplace.configure("", &format!("{LOOK}\n[destination.late]\nfile.path = 'DIR/late.log'"));
    let Done { code, out, error } = workplace.cefgate(&["status"]);
    assert_eq!(code, Some(0), "{error}");
    for expected in [
        "spool: 2 records, ",
        "destination  late: 2 records wait\n",
        "destination  look: 0 records wait\n",
        "unknown      table BrandNewEvents: since 2",
        "unknown      DeviceInfo: column BrandNew since 2",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let standing: serde_json::Value =
        serde_json::from_str(&workplace.cefgate(&["status", "--json"]).out).unwrap();
    assert_eq!(standing["destinations"][0], serde_json::json!({ "name": "late", "n_waiting": 2 }));
    assert_eq!(standing["unknown"].as_array().unwrap().len(), 2, "{standing}");
}

#[test]
fn every_command_prints_something_useful() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    let n_samples = SAMPLES.lines().count();
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    assert_eq!(workplace.lines("out.log").len(), n_samples);
    let directory = workplace.path("");
    let directory = directory.to_str().unwrap().trim_end_matches('/');
    for (arguments, expected) in [
        (&["check"][..], format!("spool        {directory}/spool: {n_samples} records")),
        (&["check"], format!("source       defender: {directory}/records.ndjson, 1 file now")),
        (&["check"], format!("destination  look: CEF to `{directory}/out.log`, profile default")),
        (&["check"], "tests passed, 0 records wait".to_owned()),
        (&["config", "show"], format!("path = \"{directory}/out.log\"")),
        (&["account"], ",defender,DeviceProcessEvents,look,delivered,,".to_owned()),
        (
            &["account", "--until", "2000-01-01"],
            "hour,source,table,destination,outcome,rule,records".to_owned(),
        ),
        (&["map", "check"], "mappings: ok".to_owned()),
        (&["map", "test"], "xdr.DeviceProcessEvents: ".to_owned()),
        (&["map", "show"], "xdr.DeviceProcessEvents".to_owned()),
        (&["map", "show", "xdr.DeviceProcessEvents"], "[extension]".to_owned()),
        (&["map", "explain", "records.ndjson"], "mapping xdr.DeviceProcessEvents".to_owned()),
        (&["certs", "dev", "certs", "--name", "siem.example"], "address = \"siem.example:6514\"".to_owned()),
        (&["demo"], format!("{n_samples} records went in, {n_samples} events came out over TLS")),
        (&["--help"], "replay".to_owned()),
    ] {
        let done = workplace.cefgate(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.error);
        assert!(done.out.contains(&expected), "{arguments:?}: {}\n{}", done.out, done.error);
    }
    let rows = workplace.cefgate(&["account"]).out;
    let done = workplace.cefgate(&["account", "--output", "account.csv"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert_eq!(std::fs::read_to_string(workplace.path("account.csv")).unwrap(), rows);
}

#[test]
fn a_strict_check_takes_warnings_for_errors() {
    let insecure = "[destination.siem.tls_syslog]\naddress = 'siem.example:601'\ninsecure_plain_tcp = true";
    let workplace = Workplace::new(SAMPLES, insecure);
    let warning =
        "warning: destination `siem`: `insecure_plain_tcp`: anybody on the way can read and change events";
    let Done { code, error, .. } = workplace.cefgate(&["check"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains(warning), "{error}");
    let Done { code, error, out } = workplace.cefgate(&["check", "--strict"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(warning) && error.contains("`--strict` takes them for errors"), "{error}");
    assert!(out.is_empty());
}

#[test]
fn a_check_finds_all_that_keeps_a_start_from_succeeding() {
    let siem = "[destination.siem.tls_syslog]\naddress = 'siem.example:6514'\nca_file = 'DIR/ca.pem'\n\
                [destination.other]\nprofile = 'nothing'\nfile.path = '-'";
    let workplace = Workplace::new(SAMPLES, siem);
    std::fs::write(workplace.path("spool"), "a file in the place of the directory").unwrap();
    let done = workplace.cefgate(&["check"]);
    assert_eq!(done.code, Some(78), "{}", done.error);
    for part in ["destination.siem.tls_syslog.ca_file", "[destination.other]", "[spool] write to directory"] {
        assert!(done.error.contains(part), "{part}: {}", done.error);
    }
}

#[test]
fn what_the_readme_shows_works() {
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [configuration, patch] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    let workplace = Workplace::new("", "");
    std::fs::write(workplace.path("cefgate.toml"), configuration).unwrap();
    let done = workplace.cefgate(&["config", "show"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    std::fs::create_dir(workplace.path("mappings.d")).unwrap();
    std::fs::write(workplace.path("mappings.d/50-processes.toml"), patch).unwrap();
    let done = workplace.cefgate(&["map", "--directory", "mappings.d", "test"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    let done = workplace.cefgate(&["map", "--directory", "mappings.d", "show", "xdr.DeviceProcessEvents"]);
    assert!(done.out.contains("BusinessUnit"), "{}", done.out);
}

#[test]
fn a_wrong_configuration_prints_the_same_text_as_its_golden_file() {
    let workplace = Workplace::new("", "");
    let root = env!("CARGO_MANIFEST_DIR");
    let name = "tests/config/invalid/wrong_values";
    let done = workplace.cefgate(&["check", "--config", &format!("{root}/{name}.toml")]);
    let expected = std::fs::read_to_string(format!("{root}/{name}.txt")).unwrap();
    assert_eq!(done.error.replace(&format!("{root}/"), ""), expected);
    assert!(done.out.is_empty());
}

#[test]
fn a_pseudonym_needs_its_secret_and_is_what_openssl_computes() {
    const PATCH: &str =
        "id = 'xdr.DeviceProcessEvents'\n[extension]\ndvchost = 'DeviceName | hmac(people)'\n";
    const SECRET: &str = "correct horse battery staple";
    let workplace = Workplace::new(SAMPLES, LOOK);
    std::fs::create_dir_all(workplace.path("mappings.d")).unwrap();
    std::fs::write(workplace.path("mappings.d/50-people.toml"), format!("schema = 1\n{PATCH}")).unwrap();
    let refused = workplace.cefgate(&["check"]);
    assert_eq!(refused.code, Some(78), "{}", refused.error);
    let advice = "names the secret `people`, which is not configured: add `people = { file = \"…\" }`";
    assert!(refused.error.contains(advice), "{}", refused.error);

    std::fs::write(workplace.path("people.key"), SECRET).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(workplace.path("people.key"), mode).unwrap();
    workplace.configure(
        "follow = false",
        &format!("{LOOK}\n[mapping.secrets]\npeople = {{ file = 'DIR/people.key' }}"),
    );
    let done = workplace.cefgate(&["run"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    let name = "ws-0417.ber.corp.example";
    let openssl = std::process::Command::new("sh")
        .args(["-c", &format!("printf %s {name} | openssl dgst -sha256 -hmac '{SECRET}' -r")])
        .output()
        .unwrap();
    let expected = String::from_utf8(openssl.stdout).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(expected.len(), 64, "the program openssl is missing");
    let pseudonyms = workplace.lines("out.log").iter().filter(|line| line.contains(&expected)).count();
    assert!(pseudonyms > 0, "{expected} in {:#?}", workplace.lines("out.log"));
    for output in [done.error, workplace.cefgate(&["config", "show"]).out, refused.error] {
        assert!(!output.contains(SECRET), "{output}");
    }
}
