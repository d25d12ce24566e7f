//! What ArcSight and QRadar sort events by, for each class id: `mappings/catalogue/categories.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::mapping::embedded;

/// The categories of some class ids.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Class ids; `*` stands for any text.
    ids: Vec<String>,
    /// ArcSight: what is acted on.
    pub object: String,
    /// ArcSight: what is done.
    pub behavior: String,
    /// ArcSight: whether it worked.
    pub outcome: String,
    /// ArcSight: how it matters.
    pub significance: String,
    /// ArcSight: the group of devices.
    pub group: String,
    /// QRadar: the low-level category.
    pub qradar: u32,
}

/// The first entry for a class id.
#[must_use]
pub fn category(class_id: &str) -> Option<&'static Category> {
    CATEGORIES.class.iter().find(|category| category.ids.iter().any(|pattern| fits(pattern, class_id)))
}

/// Whether a text is what a pattern says, without case.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    text.ends_with(last)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Categories {
    class: Vec<Category>,
}

static CATEGORIES: LazyLock<Categories> = LazyLock::new(|| {
    let text = embedded::categories();
    toml::from_str(&text).expect("the embedded categories are read by a test")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_is_any_text() {
        for (pattern, text, expected) in [
            ("Alert", "alert", true),
            ("Alert", "Alert:Malware", false),
            ("Alert:*", "Alert:Malware", true),
            ("*LogonEvents:*Failed", "DeviceLogonEvents:LogonFailed", true),
            ("*LogonEvents:*Failed", "DeviceLogonEvents:FailedLogon", false),
            ("DeviceEvents:*Malware*", "DeviceEvents:AntivirusMalwareFound", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
