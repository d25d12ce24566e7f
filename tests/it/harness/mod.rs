//! What the tests of the whole program share.

use std::process::Command;
use std::time::{Duration, Instant};

pub mod gateway;
pub mod peer;
pub mod pipeline;
pub mod random;
pub mod received;
pub mod receiver;
pub mod rsyslog;
pub mod sender;
pub mod siem;
pub mod syslog_ng;
pub mod workplace;

/// Waits until there is an answer.
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Sends a signal to a process that this one has started.
pub fn signal(name: &str, process: u32) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status().unwrap();
    assert!(status.success(), "kill -{name} {process}: {status}");
}

const PATIENCE: Duration = Duration::from_secs(120);
