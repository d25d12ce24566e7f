//! A site's patch does what it says, outlives an upgrade of the package, and is shown where it came from.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::shipped::{folder, root};

/// Moves a field, renames a slot, adds a lookup, and leaves out a noisy process.
const PATCH: &str = r#"schema       = 1
id           = "xdr.DeviceProcessEvents"
base_version = "^1.0"

[extension]
duid        = false
flexString2 = { label = "AccountSid", from = "AccountSid" }
cs4         = { label = "CommandLine", from = "ProcessCommandLine" }
cs5         = { label = "BusinessUnit", from = "DeviceName | lookup_prefix(unit)" }

[lookup.unit]
"ws-" = "Workplaces"
"*"   = "Other"

[[rule]]
when   = "FileName == 'backup.exe' and AccountName == 'backup-svc'"
action = "drop"
reason = "site: backup"

[[test]]
name       = "the backup is not sent"
input      = '{"FileName":"Backup.exe","AccountName":"backup-svc"}'
events     = 0
dropped_by = "site: backup"
"#;

#[test]
fn a_site_patch_works_outlives_an_upgrade_and_is_shown_with_its_origin() {
    let place = tempfile::tempdir().unwrap();
    let (shipped, site) = (place.path().join("shipped"), place.path().join("site"));
    copy(&root().join("mappings"), &shipped);
    fs::create_dir(&site).unwrap();
    fs::write(site.join("50-processes.toml"), PATCH).unwrap();
    let map = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cefgate"))
            .arg("map")
            .args(arguments)
            .args(["--shipped".as_ref(), shipped.as_os_str(), "--directory".as_ref(), site.as_os_str()])
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let record = folder("DeviceProcessEvents").join("created.json");
    let record = record.to_str().unwrap();
    let works = || {
        let (right, explained, faults) = map(&["explain", record]);
        assert!(right, "{faults}");
        for (key, value, at) in [
            ("flexString2 (AccountSid)", "\"S-1-5-21-1004336348-1177238915-682003330-1104\"", 7),
            ("cs4 (CommandLine)", "\"powershell.exe", 8),
            ("cs5 (BusinessUnit)", "\"Workplaces\"", 9),
        ] {
            let line =
                explained.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or(&explained);
            assert!(line.contains(value) && line.ends_with(&format!("50-processes.toml:{at}")), "{line}");
        }
        assert!(!explained.contains("  duid "), "{explained}");
        let (right, shown, _) = map(&["show", "xdr.DeviceProcessEvents"]);
        assert!(right && shown.contains("device_process_events.toml:"), "{shown}");
        for (text, at) in [("cs5 = ", 9), ("ws- = ", 12), ("reason = \"site: backup\"", 18)] {
            let line = shown.lines().find(|line| line.starts_with(text)).unwrap_or(&shown);
            assert!(line.ends_with(&format!("50-processes.toml:{at}")), "{line}");
        }
        let (right, list, _) = map(&["list"]);
        let line = list.lines().find(|line| line.starts_with("xdr.DeviceProcessEvents ")).unwrap();
        assert!(right && line.contains(" site "), "{line}");
        let (right, tests, faults) = map(&["test", "xdr.DeviceProcessEvents"]);
        assert!(right && tests.contains(" 0 failed"), "{tests}{faults}");
    };
    works();
    let (right, _, warnings) = map(&["check", "--strict"]);
    assert!(right && warnings.is_empty(), "{warnings}");

    // A new package: another version of the file, with a key more and one given another value.
    let file = shipped.join("device_process_events.toml");
    let old = fs::read_to_string(&file).unwrap();
    let new = old
        .replace("version = \"1.0.0\"", "version = \"1.1.0\"")
        .replace("fname  = \"FileName\"", "fname  = \"FileName | lower\"\ndeviceFacility = \"MachineGroup\"");
    assert!(old != new);
    fs::write(&file, &new).unwrap();
    works();
    let (_, explained, _) = map(&["explain", record]);
    assert!(explained.contains("deviceFacility") && explained.contains("FileName | lower"), "{explained}");
    let (right, _, warnings) = map(&["check", "--strict"]);
    assert!(right, "{warnings}");

    // One in which keys mean something else: the patch still applies, and its author is told to look.
    fs::write(&file, new.replace("version = \"1.1.0\"", "version = \"2.0.0\"")).unwrap();
    works();
    let (right, _, warnings) = map(&["check"]);
    assert!(
        right && warnings.contains("written for version ^1.0") && warnings.contains("50-processes.toml:3"),
        "{warnings}"
    );
    let (right, _, _) = map(&["check", "--strict"]);
    assert!(!right);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
