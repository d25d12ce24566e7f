//! The house rules that a compiler does not check: floors, file sizes, words that do not belong here.

use std::fs;
use std::path::{Path, PathBuf};

/// Which floor a module stands on; it may name modules of lower floors only. A new module is added here.
const FLOORS: &[(u32, &[&str])] = &[
    (0, &["backoff", "duration", "finding", "record", "secret", "tcp_info", "telemetry"]),
    (1, &["clean", "dictionary", "json", "oversized"]),
    (2, &["cef", "leef", "syslog"]),
    (3, &["event", "wire"]),
    (4, &["mapping", "tls"]),
    (5, &["certs", "network", "profile", "spool"]),
    (6, &["azure"]),
    (7, &["defender"]),
    (8, &["drift", "listener", "pipeline", "sink", "source", "write_back"]),
    (9, &["deliver", "replay"]),
    (10, &["config"]),
    (11, &["gateway"]),
    (12, &["cli", "main"]),
];

/// Modules that do no IO and read no clock.
const PURE: &[&str] = &["dictionary", "json", "cef", "leef", "syslog", "event", "mapping", "pipeline"];

/// Files that are data in the form of Rust.
const TABLES: &[&str] = &["src/dictionary.rs", "src/dictionary/keys.rs"];

const MOST_LINES: usize = 500;

#[test]
fn a_module_names_only_lower_floors() {
    let mut faults = Vec::new();
    let files = rust_files("src");
    assert!(files.len() >= 15, "only {} files found", files.len());
    for path in files {
        let module = module_of(&path);
        // The crate's root names everything; a file of tests may.
        if module == "lib" || path.ends_with("tests.rs") {
            continue;
        }
        let Some(floor) = floor_of(&module) else {
            faults.push(format!("{}: module `{module}` has no floor; add it to FLOORS", path.display()));
            continue;
        };
        for (line, text) in production(&read(&path)) {
            for named in modules_named(&text).into_iter().filter(|named| *named != module) {
                match floor_of(&named) {
                    Some(below) if below < floor => {}
                    _ => faults.push(format!("{}:{line}: `{module}` names `{named}`", path.display())),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_pure_floors_do_no_io_and_read_no_clock() {
    let words = [
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "tokio::",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "std::env",
    ];
    let mut faults = Vec::new();
    for path in rust_files("src").into_iter().filter(|path| PURE.contains(&module_of(path).as_str())) {
        for (line, text) in production(&read(&path)) {
            for word in words.iter().filter(|word| text.contains(**word)) {
                faults.push(format!("{}:{line}: `{word}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_file_can_be_read_in_one_sitting() {
    let faults: Vec<String> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(rust_files)
        .filter(|path| !TABLES.iter().any(|table| path == Path::new(table)))
        .filter_map(|path| {
            let lines = read(&path).lines().count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines, {MOST_LINES} at most", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn words_that_do_not_belong_here_are_absent() {
    // Put together from halves, so that this file does not find itself.
    let everywhere: Vec<String> = [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("dbg", "!("),
        ("#[ign", "ore"),
        ("/ho", "me/"),
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("registry.npm", "js"),
        ("static.crates", ".io"),
        ("index.crates", ".io"),
        ("files.python", "hosted"),
    ]
    .map(|(left, right)| format!("{left}{right}"))
    .into();
    let sleeps = [("thread::sl", "eep("), ("time::sl", "eep(")].map(|(left, right)| format!("{left}{right}"));
    let mut faults = Vec::new();
    let files = text_files();
    assert!(files.len() >= 25, "only {} files found", files.len());
    for path in files {
        let text = read(&path);
        let is_test = path.starts_with("tests");
        let tests_begin = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
        // A record may well tell of a file in somebody's home.
        let is_data =
            path.starts_with("tests/golden") || path.starts_with("mappings") || text.contains("DeviceName");
        for word in everywhere.iter().filter(|word| !(is_data && word.starts_with('/'))) {
            if let Some(found) = text.find(word.as_str()) {
                faults.push(format!("{}:{}: `{word}`", path.display(), line_of(&text, found)));
            }
        }
        for word in &sleeps {
            let from = if is_test { 0 } else { tests_begin };
            if let Some(found) = text[from..].find(word.as_str()) {
                faults.push(format!("{}:{}: a test sleeps", path.display(), line_of(&text, from + found)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_tcp_info_is_unsafe() {
    let word = ["unsa", "fe "].concat();
    let faults: Vec<String> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(rust_files)
        .filter(|path| path != Path::new("src/tcp_info.rs"))
        .filter(|path| {
            read(path).lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(&format!("{word}{{"))
                    || code.contains(&format!("{word}fn"))
                    || code.contains(&format!("{word}impl"))
            })
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The lines that are neither comments nor tests, numbered from 1.
fn production(text: &str) -> Vec<(usize, String)> {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

/// `crate::a::b` gives `a`; `crate::{a, b::c}` gives `a` and `b` when it stands on one line.
fn modules_named(line: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (position, _) in line.match_indices("crate::") {
        if line[..position].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &line[position + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut item = String::new();
                for letter in group.chars() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => named.push(std::mem::take(&mut item)),
                        _ if depth == 0 => item.push(letter),
                        _ => {}
                    }
                }
                named.push(item);
            }
            None => named.push(rest.to_owned()),
        }
    }
    named
        .into_iter()
        .map(|path| {
            path.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        })
        // A capital or nothing: an item of the crate's root, or a macro.
        .filter(|name: &String| name.starts_with(|letter: char| letter.is_lowercase()))
        .collect()
}

fn floor_of(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// `src/a.rs` and `src/a/b/c.rs` belong to `a`.
fn module_of(path: &Path) -> String {
    let first = path.components().nth(1).unwrap().as_os_str();
    Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

/// Everything that is written by hand.
fn text_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "mappings", "deploy", "docs", "certs", ".ci"] {
        walk(Path::new(folder), &mut found);
    }
    for file in fs::read_dir(".").unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if file.is_file() && name != "Cargo.lock" && name != ".git" {
            found.push(name.into());
        }
    }
    found.retain(|path| fs::read_to_string(path).is_ok());
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text[..position].matches('\n').count()
}

#[test]
fn the_modules_named_by_a_line_are_found() {
    for (line, expected) in [
        ("use crate::spool::Cursor;", &["spool"][..]),
        ("use crate::{cef, record::{Name, Table}, leef};", &["cef", "record", "leef"]),
        ("    crate::sink::file::open(crate::tls::x)", &["sink", "tls"]),
        ("use mycrate::sink;", &[]),
        ("pub(crate) fn x()", &[]),
    ] {
        assert_eq!(modules_named(line), expected, "{line}");
    }
}
