//! The numbers an operator sees are the right ones, and each is described.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use cefgate::certs::Development;
use cefgate::listener::Listener;
use cefgate::telemetry::{Kind, METRICS};
use cefgate::tls;
use tokio_util::sync::CancellationToken;

use crate::harness::until;
use crate::harness::workplace::{SAMPLES, Workplace};
use crate::manual::kept;

#[test]
fn a_running_gateway_tells_how_much_it_has_read_stored_sent_and_confirmed() {
    let certificates = Development::new(&[]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = &certificates.server;
    let server = tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), None).unwrap();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = runtime.block_on(Listener::bind(anywhere, Some(server), 1 << 20)).unwrap();
    let address = listener.address().unwrap();
    let (sender, mut arrivals) = tokio::sync::mpsc::channel(64);
    runtime.spawn(listener.run(sender, CancellationToken::new()));
    runtime.spawn(async move { while arrivals.recv().await.is_some() {} });

    let metrics = free_address();
    let siem = format!(
        "[destination.siem.tls_syslog]\naddress = '{address}'\nca_file = 'DIR/certs/ca.pem'\nquiet = '50ms'\n\
         [metrics]\nlisten = '{metrics}'\n"
    );
    // One of them is not a JSON object.
    let n_records = SAMPLES.lines().count();
    let workplace = Workplace::new(SAMPLES, &siem);
    workplace.configure("follow = true\npoll = '20ms'", &siem);
    certificates.write(&workplace.path("certs")).unwrap();
    let _gateway = workplace.start(&["run"]);

    let n = n_records.to_string();
    let next = (n_records + 1).to_string();
    let expected: [(&str, &str); 15] = [
        ("cefgate_build_info{version=\"0.1.0\"}", "1"),
        ("cefgate_source_records_total{source=\"defender\"}", &n),
        ("cefgate_source_unparsed_total{source=\"defender\"}", "1"),
        ("cefgate_source_lag_bytes{source=\"defender\"}", "0"),
        ("cefgate_source_files_open{source=\"defender\"}", "1"),
        ("cefgate_spool_records_total{source=\"defender\"}", &n),
        ("cefgate_spool_oldest_sequence", "1"),
        ("cefgate_spool_next_sequence", &next),
        ("cefgate_spool_cursor{destination=\"siem\"}", &next),
        ("cefgate_spool_lag_records{destination=\"siem\"}", "0"),
        ("cefgate_spool_segments", "1"),
        ("cefgate_destination_events_total{destination=\"siem\"}", &n),
        ("cefgate_mapping_events_total{destination=\"siem\",mapping=\"unparsed\"}", "1"),
        ("cefgate_sink_receipts_total{destination=\"siem\"}", "1"),
        ("cefgate_sink_unconfirmed_bytes{destination=\"siem\"}", "0"),
    ];
    // All records are confirmed and every gauge was set after that.
    let text = until("the last receipt is counted", || {
        let text = scrape(metrics)?;
        let settled = expected.iter().filter(|(name, _)| ENDS.iter().any(|end| name.starts_with(end)));
        settled.clone().all(|(name, value)| has(&text, name, value)).then_some(text)
    });
    let wrong: Vec<_> = expected.iter().filter(|(name, value)| !has(&text, name, value)).collect();
    assert!(wrong.is_empty(), "{wrong:?} in\n{text}");
    let unknown: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| line.split(['{', ' ']).next())
        .filter(|name| METRICS.iter().all(|metric| metric.name != *name))
        .collect();
    assert!(unknown.is_empty(), "not described: {unknown:?}");
}

#[test]
fn the_manual_lists_every_metric() {
    let mut text = String::from(HEAD);
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        writeln!(text, "| `{}` | {kind} | {} |", metric.name, metric.description).unwrap();
    }
    kept(Path::new("docs/metrics.md"), &text);
}

/// What comes last.
const ENDS: &[&str] = &[
    "cefgate_mapping_events",
    "cefgate_sink_receipts",
    "cefgate_source_files",
    "cefgate_source_lag",
    "cefgate_spool_cursor",
    "cefgate_spool_lag",
    "cefgate_spool_next",
];

fn has(text: &str, name: &str, value: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')) == Some(value))
}

const HEAD: &str = "\
# Metrics

Served in Prometheus' text format where `[metrics] listen` says, at `/metrics`. This file is written by the test
`the_manual_lists_every_metric`. A counter appears with the first thing it counts.

Worth an alert: `cefgate_spool_lag_records` that grows for longer than a receiver is allowed to be away;
`cefgate_spool_waiting` at 1; any growth of `cefgate_spool_dropped_records_total`,
`cefgate_spool_corrupt_records_total`, `cefgate_source_unparsed_total` or
`cefgate_sink_unanswered_ends_total`.

| name | kind | what it tells |
|---|---|---|
";

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// What `/metrics` answers.
pub fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}
