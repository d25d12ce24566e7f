//! The configuration: file and environment in, the modules' own `Config` structs out, or every fault at once.
//!
//! `tree` lays the environment over the file and remembers places · `reading` is the serde deserializer over it ·
//! `section` reads one struct with all its faults · `fault` prints them.

pub mod fault;
mod reading;
mod section;
mod tree;

pub use fault::{Fault, Faults, Place};
