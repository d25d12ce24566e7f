//! A folder with a configuration, in which commands are run.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The folder; it goes with the value.
pub struct Workplace {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Workplace {
    /// A spool, and a source `defender` that reads `records` once; `more` is appended to the configuration.
    pub fn new(records: &str, more: &str) -> Self {
        let workplace = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(workplace.path("records.ndjson"), records).unwrap();
        workplace.configure("follow = false", more);
        workplace
    }

    /// Writes the configuration anew. `DIR` in `more` stands for the folder.
    pub fn configure(&self, source: &str, more: &str) {
        let text = "[spool]\ndirectory = 'DIR/spool'\n\
                    [mapping]\ndirectory = 'DIR/mappings.d'\nshipped = 'DIR/none'\n\
                    [source.defender.file]\npath = 'DIR/records.ndjson'\n";
        let text = format!("{text}{source}\n{more}\n").replace("DIR", self.folder.path().to_str().unwrap());
        fs::write(self.path("cefgate.toml"), text).unwrap();
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file inside, as lines; none while it does not exist.
    pub fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Runs a command to its end.
    pub fn cefgate(&self, arguments: &[&str]) -> Done {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code(), out: text(stdout), error: text(stderr) }
    }

    /// Starts a command.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The program in the folder, with nothing of this process's environment but the path.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("CEFGATE_CONFIG", self.path("cefgate.toml"));
        command
    }
}

/// A command that runs until the value is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while std::time::Instant::now() < until {
        if let Some(answer) = ask() {
            return answer;
        }
        // A pause between two looks at the condition.
        let _ = nothing.recv_timeout(std::time::Duration::from_millis(20));
    }
    panic!("waited too long for {what}");
}

/// Sample records of several tables.
pub const SAMPLES: &str = include_str!("../../../src/cli/demo/records.ndjson");
