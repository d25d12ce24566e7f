//! What the tests of the whole program share.

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub mod azurite;
pub mod defender;
mod defender_hunting;
pub mod defender_writes;
pub mod event_hubs;
pub mod gateway;
pub mod login;
pub mod peer;
pub mod pipeline;
pub mod random;
pub mod readers;
pub mod received;
pub mod receiver;
pub mod rsyslog;
pub mod sender;
pub mod shipped;
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

/// A port that the system gives to nobody by itself, so that it stays ours while nobody listens there.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id() * 16;
        let port = 20_000 + u16::try_from(offset % 10_000).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Lets nobody else read a file.
pub fn owner_only(path: &std::path::Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).unwrap();
}

const PATIENCE: Duration = Duration::from_secs(120);
