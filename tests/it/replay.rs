//! What is still in the spool can be sent once more, and nothing else changes by it.

use std::collections::HashSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::until;
use crate::harness::workplace::{SAMPLES, Workplace};

const LOOK: &str = "[destination.look]\nframing = 'lf'\nfile.path = 'DIR/out.log'";

#[test]
fn the_same_records_go_out_again_and_no_cursor_moves() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    let n_samples = SAMPLES.lines().count();
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    let first = workplace.lines("out.log");
    assert_eq!(first.len(), n_samples);
    let cursor = std::fs::read(workplace.path("spool/look.cursor")).unwrap();

    let done = workplace.cefgate(&["replay", "--destination", "look", "--from", "1"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert!(done.error.contains("the receiver has read all of them"), "{}", done.error);
    assert_eq!(workplace.lines("out.log")[n_samples..], first);

    let done = workplace.cefgate(&["replay", "--destination", "look", "--from", "3", "--to", "5"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert_eq!(workplace.lines("out.log")[n_samples * 2..], first[2..4]);

    assert_eq!(std::fs::read(workplace.path("spool/look.cursor")).unwrap(), cursor);
}

#[test]
fn a_replay_begins_at_a_time() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    let n_samples = SAMPLES.lines().count();
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    for (from, n_lines) in [("2000-01-01", 2), ("1h ago", 3), ("2999-01-01T00:00:00Z", 3), ("99", 3)] {
        let done = workplace.cefgate(&["replay", "--destination", "look", "--from", from]);
        assert_eq!(done.code, Some(0), "{from}: {}", done.error);
        assert_eq!(workplace.lines("out.log").len(), n_samples * n_lines, "{from}: {}", done.error);
    }
}

#[test]
fn a_repaired_mapping_reaches_the_receiver_by_a_replay() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    let before = workplace.lines("out.log");
    assert!(!before.iter().any(|line| line.contains("repaired")));
    std::fs::create_dir(workplace.path("mappings.d")).unwrap();
    std::fs::write(
        workplace.path("mappings.d/50.toml"),
        "schema = 1\nkind = 'patch'\nid = 'xdr.DeviceProcessEvents'\n\
         [extension]\nmsg = { const = 'repaired' }\n\
         [dedupe]\nkey = ['ActionType']\nwindow = '10m'\n",
    )
    .unwrap();
    let done = workplace.cefgate(&["replay", "--destination", "look", "--from", "1"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    let after = workplace.lines("out.log");
    // The dedupe is off: all of them come.
    assert_eq!(after.len(), before.len() * 2);
    assert!(after.iter().any(|line| line.contains("msg=repaired")));
}

#[test]
fn a_replay_works_beside_a_running_gateway() {
    let workplace = Workplace::new(SAMPLES, LOOK);
    workplace.configure("follow = true\npoll = '20ms'", LOOK);
    let n_samples = SAMPLES.lines().count();
    let _gateway = workplace.start(&["run"]);
    let lines = |n_lines| {
        until("the events are in the file", || {
            let lines = workplace.lines("out.log");
            (lines.len() >= n_lines).then_some(lines)
        })
    };
    lines(n_samples);
    let done = workplace.cefgate(&["replay", "--destination", "look", "--from", "1", "--to", "1000000"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    let records = format!("{SAMPLES}{}\n", SAMPLES.lines().next().unwrap());
    std::fs::write(workplace.path("records.ndjson"), records).unwrap();
    assert_eq!(lines(n_samples * 2 + 1).len(), n_samples * 2 + 1);
}

#[test]
fn what_a_break_cuts_off_is_sent_again_from_the_last_receipt() {
    let records: Vec<String> = (0..3000)
        .map(|number| {
            format!(
                "{{\"category\":\"X\",\"properties\":{{\"n\":{number},\"pad\":\"{}\"}}}}",
                "x".repeat(1000)
            )
        })
        .collect();
    let raw = "[destination.siem]\nformat = 'json'\nheader = 'none'\nframing = 'lf'\n";
    let workplace = Workplace::new(&(records.join("\n") + "\n"), &format!("{raw}file.path = '/dev/null'"));
    let done = workplace.cefgate(&["run"]);
    assert_eq!(done.code, Some(0), "{}", done.error);

    let receiver = Receiver::start(|connection| connection == 0);
    let plain = format!(
        "{raw}[destination.siem.tls_syslog]\naddress = '127.0.0.1:{}'\ninsecure_plain_tcp = true\nrotate_bytes = 100000\n",
        receiver.port
    );
    workplace.configure("follow = false", &plain);
    let done = workplace.cefgate(&["replay", "--destination", "siem", "--from", "1"]);
    assert_eq!(done.code, Some(0), "{}", done.error);
    assert!(done.error.contains("sending again from record"), "{}", done.error);

    // A connection that overlaps the broken one may bring later records first.
    let received = receiver.received();
    let received: HashSet<&str> = received.lines().collect();
    assert_eq!(records.iter().find(|record| !received.contains(record.as_str())), None);
    assert_eq!(received.len(), records.len());
}

#[test]
fn a_receiver_that_is_not_there_is_given_up_after_some_tries() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let workplace = Workplace::new(SAMPLES, "[destination.siem]\nfile.path = '/dev/null'");
    assert_eq!(workplace.cefgate(&["run"]).code, Some(0));
    let siem =
        format!("[destination.siem.tls_syslog]\naddress = '127.0.0.1:{port}'\ninsecure_plain_tcp = true");
    workplace.configure("follow = false", &siem);
    let done = workplace.cefgate(&["replay", "--destination", "siem", "--from", "1"]);
    assert_eq!(done.code, Some(69), "{}", done.error);
    assert!(done.error.contains(&format!("connect to `127.0.0.1:{port}`")), "{}", done.error);
    assert!(done.error.contains("before record 1 are received for certain"), "{}", done.error);
}

/// Reads connections to their end, but resets some of them.
struct Receiver {
    port: u16,
    /// What came on each connection that ended cleanly.
    read: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start(resets: fn(usize) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&read);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(stream.unwrap(), resets(number), &all));
            }
        });
        Self { port, read }
    }

    /// Everything from whole connections.
    fn received(&self) -> String {
        self.read.lock().unwrap().concat()
    }
}

fn serve(mut stream: TcpStream, resets: bool, all: &Mutex<Vec<String>>) {
    if resets {
        stream.read_exact(&mut [0; 1000]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        return;
    }
    let mut text = String::new();
    // A connection that breaks was given up by the sender: it counts for nothing.
    if stream.read_to_string(&mut text).is_ok() {
        all.lock().unwrap().push(text);
    }
}
