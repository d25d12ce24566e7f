//! Standard output of the commands that print and end.

use std::io::{self, Write};

/// Prints. A reader that has gone away, as in `cefgate config show | head`, is no failure.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Control characters in their escaped form: what arrives is not to steer the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, char| {
        if char.is_control() {
            clean.extend(char.escape_default())
        } else {
            clean.push(char)
        }
        clean
    })
}
