//! The `cefgate` command.

fn main() {}
