//! Exit codes and the printing of an error.

use std::fmt::Write;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::Faults;
use crate::config::fault::nearest;
use crate::gateway::StartFaults;
use crate::sink::SendError;

/// Prints the error and its causes, and chooses the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("{}", text(error));
    ExitCode::from(code(error))
}

/// `error: …`, then a line `caused by: …` for each cause that says something new.
fn text(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            let _ = write!(text, "\n  caused by: {cause}");
        }
        last = cause;
    }
    text
}

/// The first cause that has a code of its own decides.
fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Faults>() || cause.is::<StartFaults>() {
            return CONFIGURATION;
        }
        if cause.is::<Usage>() {
            return USAGE;
        }
        if cause.downcast_ref::<SendError>().is_some_and(|error| !matches!(error, SendError::File { .. })) {
            return UNAVAILABLE;
        }
        // The spool shares its last error among all who wait for it.
        let shared = cause.downcast_ref::<Arc<io::Error>>().map(AsRef::as_ref);
        if let Some(cause) = cause.downcast_ref::<io::Error>().or(shared) {
            return match cause.kind() {
                io::ErrorKind::PermissionDenied => PERMISSION,
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::TimedOut
                | io::ErrorKind::AddrInUse
                | io::ErrorKind::AddrNotAvailable => UNAVAILABLE,
                _ => IO,
            };
        }
    }
    FAILURE
}

// sysexits.h
const CONFIGURATION: u8 = 78;
const PERMISSION: u8 = 77;
const IO: u8 = 74;
const UNAVAILABLE: u8 = 69;
/// What was asked for did not succeed: a check that found something, a test that failed.
const FAILURE: u8 = 1;
/// The command line was wrong.
const USAGE: u8 = 64;

/// The command line asks for something that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Whether a name stands in the configuration; if not, what may have been meant.
pub fn known<'n>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'n String> + Clone,
) -> Result<(), Usage> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let advice = match nearest(name, names.clone().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: `{}`", names.map(String::as_str).collect::<Vec<_>>().join("`, `")),
    };
    Err(Usage(format!("there is no {what} `{name}` in the configuration; {advice}")))
}

/// The exit code for a command line that was not understood.
#[must_use]
pub fn usage() -> ExitCode {
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::source::SourceError;
    use crate::spool::SpoolError;

    #[test]
    fn the_exit_code_follows_the_cause() {
        let full = Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        let io = |kind| anyhow::Error::new(io::Error::from(kind)).context("open the spool");
        for (error, expected) in [
            (anyhow::Error::new(Faults::default()), 78),
            (io(io::ErrorKind::PermissionDenied), 77),
            (io(io::ErrorKind::StorageFull), 74),
            (io(io::ErrorKind::ConnectionRefused), 69),
            (anyhow::Error::new(SpoolError::Write { path: "/".into(), source: full.clone() }), 74),
            (
                anyhow::Error::new(SourceError::Spool(SpoolError::Write { path: "/".into(), source: full })),
                74,
            ),
            (anyhow::anyhow!("2 tests failed"), 1),
        ] {
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }

    #[test]
    fn an_error_is_printed_once_with_its_causes() {
        let error = Err::<(), _>(io::Error::other("the disk is on fire"))
            .context("write segment 3")
            .context("append")
            .unwrap_err();
        assert_eq!(
            text(&error),
            "error: append\n  caused by: write segment 3\n  caused by: the disk is on fire"
        );
    }
}
