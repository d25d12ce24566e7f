//! Receivers that are not ours take what we send, as we sent it.

use crate::harness::gateway::run_to_the_end;
use crate::harness::rsyslog::Rsyslog;
use crate::harness::sender::send;
use crate::harness::syslog_ng::SyslogNg;

const FIRST: &str = "<134>1 2026-01-01T00:00:00.000Z host cefgate - - - CEF:0|a|b|c|1|first|5| msg=x\\=y";
const SECOND: &str = "<134>1 2026-01-01T00:00:01.000Z host cefgate - - - CEF:0|a|b|c|2|second|5| msg=z";

#[test]
fn rsyslog_logs_frames_of_both_kinds_as_they_were_sent() {
    let mut rsyslog = Rsyslog::start();
    send(&rsyslog.peer, rsyslog.port, octet_counted().as_bytes());
    assert_eq!(rsyslog.received(2), [FIRST, SECOND]);
    send(&rsyslog.peer, rsyslog.port, format!("{FIRST}\n{SECOND}\n").as_bytes());
    assert_eq!(rsyslog.received(4)[2..], [FIRST, SECOND]);
}

#[test]
fn syslog_ng_logs_octet_counted_frames_on_one_listener_and_lines_on_the_other() {
    let mut syslog_ng = SyslogNg::start();
    send(&syslog_ng.peer, syslog_ng.octet_port, octet_counted().as_bytes());
    assert_eq!(syslog_ng.received_octet(2), [FIRST, SECOND]);
    send(&syslog_ng.peer, syslog_ng.line_port, format!("{FIRST}\n{SECOND}\n").as_bytes());
    assert_eq!(syslog_ng.received_lines(2), [FIRST, SECOND]);
}

#[test]
fn the_demo_records_arrive_identical_at_rsyslog_and_syslog_ng_by_octets_and_by_lines() {
    let directory = tempfile::tempdir().unwrap();
    let mut rsyslog = Rsyslog::start();
    let mut by_lines = Rsyslog::start();
    let mut syslog_ng = SyslogNg::start();
    let destinations = [
        ("rsyslog_octet", "octet", rsyslog.port, rsyslog.peer.ca_file()),
        ("rsyslog_lines", "lf", by_lines.port, by_lines.peer.ca_file()),
        ("syslog_ng_octet", "octet", syslog_ng.octet_port, syslog_ng.peer.ca_file()),
        ("syslog_ng_lines", "lf", syslog_ng.line_port, syslog_ng.peer.ca_file()),
    ];
    let mut configuration = format!(
        "[spool]\ndirectory = '{0}/spool'\n[mapping]\ndirectory = '{0}/none'\nshipped = '{0}/none'\n\
         [source.demo.file]\npath = '{RECORDS}'\nfollow = false\n",
        directory.path().display()
    );
    for (name, framing, port, ca_file) in destinations {
        configuration += &format!(
            "[destination.{name}]\nframing = '{framing}'\nhostname = 'gateway.example'\n\
             [destination.{name}.tls_syslog]\naddress = 'localhost:{port}'\nca_file = '{}'\n",
            ca_file.display()
        );
    }
    run_to_the_end(directory.path(), &configuration);
    let n_records = std::fs::read_to_string(RECORDS).unwrap().lines().count();
    let expected = rsyslog.received(n_records);
    assert_eq!(expected.len(), n_records);
    assert!(
        expected.iter().all(|line| line.contains(" gateway.example cefgate ") && line.contains(" CEF:0|"))
    );
    assert_eq!(by_lines.received(n_records), expected);
    assert_eq!(syslog_ng.received_octet(n_records), expected);
    assert_eq!(syslog_ng.received_lines(n_records), expected);
}

fn octet_counted() -> String {
    [FIRST, SECOND].map(|message| format!("{} {message}", message.len())).concat()
}

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo/records.ndjson");
