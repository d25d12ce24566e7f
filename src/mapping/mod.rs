//! Mapping files: from text to a flat program that turns a record into events.

pub mod ast;
pub mod diagnostic;
mod read;
mod time;
mod value;
