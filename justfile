# The usual commands. `just --list` shows them.

# Everything a change must pass; installs what it needs.
test:
    ./tests/run

# Format and lints only.
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# The speed of each stage and of the whole process, beside syslog-ng and rsyslog.
bench:
    cargo bench

# Sample records through the real spool, mapping and TLS to a built-in receiver.
demo:
    cargo run --quiet -- demo

# Write the expected outputs anew; read the difference before committing it.
golden:
    UPDATE_GOLDEN=1 cargo test
    git diff --stat -- tests
