//! The `cefgate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cefgate::cli::main()
}
