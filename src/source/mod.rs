//! Where records come from.

pub mod envelope;
mod walk;
