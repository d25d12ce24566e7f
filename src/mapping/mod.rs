//! Mapping files: from text to a flat program that turns a record into events.

pub mod ast;
pub mod diagnostic;
pub mod expr;
pub mod file;
pub mod place;
pub mod tree;
pub mod vocabulary;
