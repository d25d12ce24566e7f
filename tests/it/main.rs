//! The one integration test binary: each module a promise of the whole program.
#![allow(clippy::unwrap_used, clippy::panic)]

mod allocation;
mod cli;
mod config;
mod content;
mod delivery;
mod encode;
mod harness;
mod mapping;
mod mapping_faults;
mod metrics;
mod oversized;
mod receivers;
#[allow(dead_code, reason = "the benchmarks use the rest of it")]
#[path = "../../benches/records.rs"]
mod records;
mod replay;
mod restart;
mod tidy;
