//! Mapping files: from text to a flat program that turns a record into events.

pub mod ast;
pub mod compile;
mod convert;
mod dedupe;
pub mod diagnostic;
pub mod evaluate;
pub mod expr;
pub mod place;
pub mod program;
mod read;
pub mod run;
mod time;
mod transform;
pub mod tree;
mod value;
pub mod vocabulary;
