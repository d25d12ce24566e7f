//! Versions of mapping content, and the ranges a patch says it was written for.

/// Whether `version` is in `range`: `^1.2` (same major, at least), `1.2` (the same), `>=1.2`, `*`. `None` when either
/// cannot be read.
#[must_use]
pub fn matches(range: &str, version: &str) -> Option<bool> {
    let range = range.trim();
    if range == "*" {
        return Some(true);
    }
    let version = parts(version)?;
    if let Some(least) = range.strip_prefix('^') {
        let least = parts(least)?;
        // Below 1.0 the second number is the one that breaks.
        let significant = if least[0] == 0 { 2 } else { 1 };
        return Some(version >= least && version[..significant] == least[..significant]);
    }
    if let Some(least) = range.strip_prefix(">=") {
        return Some(version >= parts(least)?);
    }
    let exact = range.strip_prefix('=').unwrap_or(range);
    let given = exact.split('.').count().min(3);
    Some(version[..given] == parts(exact)?[..given])
}

fn parts(text: &str) -> Option<[u64; 3]> {
    let mut parts = [0; 3];
    let mut words = text.trim().split('.');
    for (index, part) in parts.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *part = word.parse().ok()?,
            None if index == 0 => return None,
            None => {}
        }
    }
    words.next().is_none().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_which_versions_it_knows() {
        let check =
            |range, version, expected| assert_eq!(matches(range, version), expected, "{range} {version}");
        check("^1.0", "1.4.2", Some(true));
        check("^1.2", "1.1.0", Some(false));
        check("^1.0", "2.0.0", Some(false));
        check("^0.2", "0.3.0", Some(false));
        check("1.2", "1.2.9", Some(true));
        check("=1.2.0", "1.2.9", Some(false));
        check(">=1.2", "3.0.0", Some(true));
        check("*", "odd", Some(true));
        check("^x", "1.0.0", None);
        check("^1", "one", None);
        check("", "1.0.0", None);
    }
}
