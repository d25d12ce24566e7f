//! Readers that are not ours: liblognorm, cefp, and one for LEEF after IBM's guide. Each takes lines and gives what it
//! read: header fields and pairs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// An event as a reader read it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Vendor, product, version, class id, name; LEEF has no name.
    pub header: Vec<String>,
    /// Keys with their values.
    pub pairs: BTreeMap<String, String>,
}

/// liblognorm 2.0.6, the version Debian has. It eats the first octet behind the seventh pipe, so a blank is put there
/// for it, and it takes `CEF:0` only.
pub fn liblognorm(lines: &[String]) -> Vec<Read> {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("cef.rulebase");
    std::fs::write(&rules, "version=2\nrule=:%cef:cef%\n").unwrap();
    let mut command = Command::new("lognormalizer");
    command.args(["-e", "json", "-r"]).arg(&rules);
    let input: Vec<String> = lines.iter().map(|line| with_a_blank(line)).collect();
    let read = run(command, &input, "install it with `apt-get install liblognorm-utils`");
    let one = |event: Value| {
        let event = &event["cef"];
        let names = ["DeviceVendor", "DeviceProduct", "DeviceVersion", "SignatureID", "Name"];
        Read {
            header: names.map(|name| event[name].as_str().unwrap_or_default().to_owned()).to_vec(),
            pairs: pairs(&event["Extensions"]),
        }
    };
    read.into_iter().map(one).collect()
}

/// cefp 0.0.2, from the Python package index.
pub fn cefp(lines: &[String]) -> Vec<Read> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/cefp/bin/python");
    let mut command = Command::new(python);
    command.args(["-c", CEFP]);
    let one = |event: Value| {
        let device = &event["device"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Read {
            header: vec![
                text(&device["vendor"]),
                text(&device["product"]),
                text(&device["version"]),
                text(&device["event_class_id"]),
                text(&event["name"]),
            ],
            pairs: pairs(&event["extension"]),
        }
    };
    run(command, lines, "install it with `tests/peers`").into_iter().map(one).collect()
}

/// LEEF 2.0 as IBM's guide describes it: five header fields and the delimiter between pipes, a character or `x` and its
/// code; attributes are `key=value` with the delimiter between them; of a key that comes twice the first counts.
pub fn leef(line: &str) -> Read {
    let fields: Vec<&str> = line.splitn(7, '|').collect();
    let [version, vendor, product, device_version, event_id, delimiter, attributes] = fields.as_slice()
    else {
        panic!("not LEEF 2.0: {line}");
    };
    assert_eq!(*version, "LEEF:2.0");
    let delimiter = match delimiter.strip_prefix("0x").or(delimiter.strip_prefix('x')) {
        Some(code) => char::from(u8::from_str_radix(code, 16).unwrap()),
        None => delimiter.chars().next().unwrap(),
    };
    let mut pairs = BTreeMap::new();
    for attribute in attributes.split(delimiter) {
        let (key, value) = attribute.split_once('=').unwrap_or_else(|| panic!("{attribute:?} in {line}"));
        pairs.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    Read {
        header: [vendor, product, device_version, event_id].map(|field| (*field).to_owned()).to_vec(),
        pairs,
    }
}

fn pairs(extension: &Value) -> BTreeMap<String, String> {
    let extension = extension.as_object().into_iter().flatten();
    extension.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Feeds lines to a program that answers each with a line of JSON.
fn run(mut command: Command, lines: &[String], help: &str) -> Vec<Value> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}; {help}", command.get_program()));
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let feeder = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The line with a blank behind the seventh pipe that ends a header field.
fn with_a_blank(line: &str) -> String {
    let (mut n_pipes, mut escaped) = (0, false);
    for (at, next) in line.char_indices() {
        match next {
            '|' if !escaped => n_pipes += 1,
            _ => {}
        }
        escaped = next == '\\' && !escaped;
        if n_pipes == 7 {
            let (header, extension) = line.split_at(at + 1);
            return format!("{header} {extension}");
        }
    }
    line.to_owned()
}

const CEFP: &str = "
import cefp, json, sys
sys.stdin.reconfigure(encoding='utf-8', newline='\\n')
for line in sys.stdin:
    print(json.dumps(cefp.parse(line.rstrip('\\n'))))
";
