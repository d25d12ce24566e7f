//! The way back: what a SIEM decided about alerts and incidents, and the indicators it wants watched, to Defender.
//!
//! `words` is what each service takes · `change` checks before anything is sent · `send` sends · `proof` tells an own
//! change from what else has happened to an object · `indicator` checks and `indicators` sends indicators · `failure` says
//! what went wrong and the way out · `endpoint` is the door for SIEMs.
//! Nothing here reads a record or touches the spool.

pub mod change;
pub mod endpoint;
pub mod failure;
pub mod indicator;
pub mod indicators;
mod proof;
mod send;
pub mod words;

pub use self::change::{Change, Checked};
pub use self::failure::{Failure, Kind};
pub use self::indicator::Indicator;
pub use self::indicators::Indicators;
pub use self::send::{Done, Patience, Writer};
pub use self::words::{Object, Row};
