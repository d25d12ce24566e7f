//! Mapping files: from text to a flat program that turns a record into events.

pub mod ast;
pub mod check;
pub mod compile;
mod convert;
mod dedupe;
pub mod diagnostic;
pub mod embedded;
pub mod evaluate;
pub mod expr;
pub mod file;
pub mod layer;
pub mod place;
pub mod program;
mod read;
pub mod run;
pub mod set;
pub mod show;
mod time;
pub mod trace;
mod transform;
pub mod tree;
pub mod trial;
mod value;
pub mod version;
pub mod vocabulary;
