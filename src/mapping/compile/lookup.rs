//! Lookup tables.

use super::chain::network;
use crate::mapping::ast::{self, Scalar};
use crate::mapping::program::{Constant, Lookup};

/// Compiles one table.
pub fn compile(table: &ast::Lookup) -> Lookup {
    let key = |key: &String| -> Box<str> {
        if table.ignore_case { key.to_lowercase().into() } else { key.as_str().into() }
    };
    let mut lookup = Lookup {
        ignore_case: table.ignore_case,
        default: table.default.as_ref().map(|default| constant(&default.value)),
        ..Lookup::default()
    };
    if table.cidr {
        lookup.networks = table
            .entries
            .iter()
            .filter_map(|(text, value)| Some((network(text)?, constant(&value.value))))
            .collect();
        lookup.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix));
        return lookup;
    }
    lookup.entries = table.entries.iter().map(|(text, value)| (key(text), constant(&value.value))).collect();
    lookup.prefixes = table.entries.keys().map(key).collect();
    lookup.prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
    lookup
}

/// A constant as the text it is written as.
pub fn constant(scalar: &Scalar) -> Constant {
    match scalar {
        Scalar::Text(text) => Constant::Text(text.as_str().into()),
        Scalar::Int(number) => Constant::Number(number.to_string().into()),
        Scalar::Float(number) => Constant::Number(number.to_string().into()),
        Scalar::Bool(flag) => Constant::Bool(*flag),
    }
}
