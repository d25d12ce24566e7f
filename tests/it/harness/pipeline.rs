//! A destination's pipeline as the gateway builds it, without spool and sink.

use std::path::Path;
use std::sync::Arc;

use cefgate::mapping::set::MappingSet;
use cefgate::pipeline::{Pipeline, Settings};
use cefgate::profile::{self, Directories, Profile};
use cefgate::record::{Record, Table, Timestamp};
use cefgate::wire::Wire;

/// The pipeline of a profile with nothing but shipped files, its destination settings laid over by `wire`.
pub fn pipeline(profile: &str, wire: Wire) -> Pipeline {
    let nowhere = Path::new("/nonexistent");
    let directories = Directories { shipped: nowhere.into(), site: nowhere.into() };
    let loaded = Profile::load(profile, &directories).unwrap();
    let wire = wire.over(loaded.wire.clone());
    let identity = [loaded.vendor.as_str(), loaded.product.as_str(), "1.0.0"].map(str::to_owned);
    let settings = Settings::new("siem".into(), identity, &wire, "gateway.example");
    let merged = profile::layers(profile, &directories).unwrap().merge().unwrap_or_else(|rejected| {
        panic!("{}", cefgate::mapping::diagnostic::render(&rejected.diagnostics, &rejected.sources, false))
    });
    let set = MappingSet::compile(&merged.mappings, settings.target.clone());
    Pipeline::new(Arc::new(set), settings.framer, settings.message, settings.stamp)
}

/// A record as the spool would give it.
pub fn record(sequence: u64, table: &Table, body: impl Into<bytes::Bytes>) -> Record {
    Record {
        sequence,
        received: Timestamp(1_767_225_600_000),
        source: "file".into(),
        tenant: "corp".into(),
        table: table.clone(),
        body: body.into(),
    }
}
