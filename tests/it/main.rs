//! The one integration test binary: each module a promise of the whole program.
#![allow(clippy::unwrap_used, clippy::panic)]

mod allocation;
mod cli;
mod config;
mod cli;
mod config;
mod config;
mod encode;
#[path = "../../benches/records.rs"]
mod records;

mod allocation;
mod content;
mod encode;
mod harness;
mod mapping;
#[path = "../../benches/records.rs"]
mod records;
mod tidy;
