//! Where records come from.

mod document;
pub mod envelope;
mod lines;
mod walk;
