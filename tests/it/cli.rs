//! The command line tells a person what is wrong and a supervisor which kind of wrong it is.

use std::process::{Command, Output};

#[test]
fn the_exit_code_says_what_kind_of_wrong_it_is() {
    for (arguments, code, expected) in [
        (&["chek"][..], 64, "unrecognized subcommand 'chek'"),
        (&["check", "--config", "/nonexistent.toml"], 78, "/nonexistent.toml: there is no such file"),
        (&["check", "--config", "tests/config/invalid/unknown_keys.toml"], 78, "did you mean `address`?"),
        (&["check", "--config", "tests/config/valid/minimal.toml"], 0, ""),
        (&["config", "show", "--config", "tests/config/valid/minimal.toml"], 0, ""),
        (&["--version"], 0, ""),
    ] {
        let output = cefgate(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_wrong_configuration_prints_the_same_text_as_its_golden_file() {
    let output = cefgate(&["check", "--config", "tests/config/invalid/wrong_values.toml"]);
    let expected = std::fs::read_to_string("tests/config/invalid/wrong_values.txt").unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    assert!(output.stdout.is_empty());
}

/// Runs the program with nothing of this process's environment but the path.
fn cefgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cefgate"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap()
}
