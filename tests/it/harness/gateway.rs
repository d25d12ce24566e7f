//! The real program in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `cefgate run` with this configuration until it ends by itself.
pub fn run_to_the_end(directory: &Path, configuration: &str) -> Output {
    let file = directory.join("cefgate.toml");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
    command.arg("run").arg("--config").arg(&file).env_clear();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
