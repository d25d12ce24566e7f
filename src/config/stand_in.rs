//! Stand-ins for the Config structs of modules that are written in parallel.
#![allow(missing_docs)]

pub mod source {
    pub enum SourceConfig {
        File(file::Config),
    }
    impl std::fmt::Debug for SourceConfig {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("SourceConfig")
        }
    }
    pub mod file {
        use serde::{Deserialize, Serialize};
        #[derive(Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            pub path: String,
            pub table: Option<String>,
            #[serde(default)]
            pub tenant: String,
            #[serde(default)]
            pub follow: bool,
            #[serde(default)]
            pub max_record_bytes: u64,
            #[serde(default)]
            pub batch_bytes: u64,
            #[serde(default, with = "crate::duration")]
            pub poll: std::time::Duration,
        }
    }
}
