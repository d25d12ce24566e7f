//! The one integration test binary: each module a promise of the whole program.
#![allow(clippy::unwrap_used, clippy::panic)]

mod advanced_hunting;
mod allocation;
mod blob_storage;
mod catalogue;
mod check_online;
mod cli;
mod config;
mod content;
mod credentials;
mod dedupe;
mod defender_api;
mod delivery;
mod encode;
mod event_hubs;
mod golden;
mod harness;
mod manual;
mod map_commands;
mod mapping;
mod mapping_faults;
mod metrics;
mod oversized;
mod readers;
mod receiver_rules;
mod receivers;
#[allow(dead_code, reason = "the benchmarks use the rest of it")]
#[path = "../../benches/records.rs"]
mod records;
mod replay;
mod rest_bodies;
mod restart;
mod retirements;
mod scale_out;
mod site_patch;
mod tidy;
mod write_back;
