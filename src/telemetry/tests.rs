use super::*;

#[test]
fn every_metric_name_is_described_once() {
    let named: Vec<&str> = include_str!("names.rs")
        .lines()
        .filter(|line| line.starts_with("pub const ") && line.contains(": &str = \""))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let described: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(named, described);
    for metric in METRICS {
        assert!(metric.name.starts_with("cefgate_"), "{}", metric.name);
        assert!(metric.description.ends_with('.'), "{}", metric.name);
        let total = metric.name.ends_with("_total");
        assert_eq!(total, metric.kind == Kind::Counter, "{}: counters end in _total", metric.name);
    }
}

#[test]
fn a_level_is_checked_when_it_is_read() {
    for (text, accepted) in [
        ("info", true),
        ("warn,cefgate::sink=debug", true),
        ("off", true),
        ("loud", false),
        ("info,cefgate=loud", false),
        ("", false),
    ] {
        assert_eq!(Level::try_from(text.to_owned()).is_ok(), accepted, "{text}");
    }
}
