//! Streamed hubs, as a stand-in on Qpid Proton serves them: every event arrives, in the order of its partition.

use std::time::{Duration, Instant};

use crate::harness::event_hubs::{EventHubs, HUB, NAMESPACE};
use crate::harness::gateway::Gateway;
use crate::harness::random::Random;
use crate::harness::siem::{Mode, Siem};
use crate::harness::{port, until};
use crate::metrics::scrape;

/// The table of all records, so that the events are numbers only.
const NUMBERED: &str = "table = 'Numbered'";
const STREAMS: [&str; 4] = ["p0", "p1", "p2", "p3"];

#[test]
fn events_of_all_partitions_arrive_once_each_and_in_order() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    append_to_all(&mut hubs, 0, 500);
    gateway.start();
    until("the first events arrive", || (siem.received.read().n_distinct() == 2_000).then_some(()));
    append_to_all(&mut hubs, 500, 500);
    until("the later events arrive", || (siem.received.read().n_distinct() == 4_000).then_some(()));
    gateway.terminate();
    let received = siem.received.read();
    assert!(STREAMS.iter().all(|stream| received.has_all(stream, 1_000)));
    assert_eq!((received.n_duplicates, received.n_late, &received.faults[..]), (0, 0, &[][..]));
    let places = gateway.positions("numbers");
    let place = places.get(&format!("{NAMESPACE}/{HUB}/$Default/3")).map(String::as_str);
    assert_eq!(place, Some("999 99900"), "{places:?}");
}

#[test]
fn no_event_is_lost_whatever_breaks_and_the_gateway_killed_at_random() {
    const EACH: u64 = 50_000;
    let World { mut hubs, mut siem, mut gateway } =
        World::new("segment_bytes = 8_000_000", "signature_lifetime = '3s'\nbatch_bytes = 60_000");
    let mut random = Random::new();
    let mut n_sent = 0;
    for round in 0..10 {
        let n_attached = hubs.n_told("attach");
        gateway.start();
        until("it is attached", || (hubs.n_told("attach") >= n_attached + 4).then_some(()));
        let (started, after) = (Instant::now(), Duration::from_millis(1_000 + random.below(1_000)));
        let mut n_steps = 0;
        until("the instant of the kill comes", || {
            if n_sent < EACH && n_steps < 5 && started.elapsed() > Duration::from_millis(180) * (n_steps + 1)
            {
                append_to_all(&mut hubs, n_sent, 1_000);
                n_sent += 1_000;
                n_steps += 1;
                hubs.command(["drop", "detach", "busy 3"][usize::try_from(random.below(3)).unwrap()]);
            }
            (started.elapsed() >= after).then_some(())
        });
        if round < 9 {
            gateway.kill();
        }
    }
    append_to_all(&mut hubs, n_sent, EACH - n_sent);
    until("all events arrive", || (siem.received.read().n_distinct() >= 4 * EACH).then_some(()));
    // One more token than it began with: it has been renewed.
    let n_tokens = hubs.n_told("token");
    until("a token is renewed", || (hubs.n_told("token") > n_tokens).then_some(()));
    gateway.terminate();
    let received = siem.received.read();
    eprintln!(
        "{} messages, {} duplicates, {} late; {} drops, {} detaches, {} refusals, {tokens} tokens",
        received.n_messages,
        received.n_duplicates,
        received.n_late,
        hubs.n_told("dropped"),
        hubs.n_told("detached"),
        hubs.n_told("refused"),
        tokens = hubs.n_told("token"),
    );
    for stream in STREAMS {
        assert!(received.has_all(stream, EACH), "{stream}: {:?} missing", received.missing(stream, EACH));
    }
    assert_eq!(received.n_late, 0, "order within a partition");
    assert!(!gateway.log().contains("nothing arrives"), "a break went unnoticed: {}", gateway.log());
    // Those of nine kills: what the destination had not confirmed, at most two connections of messages of 100 bytes.
    assert!(received.n_duplicates < 9 * 2 * 5_000, "{}", received.n_duplicates);
    assert!(hubs.n_told("dropped") > 0 && hubs.n_told("detached") > 0 && hubs.n_told("refused") > 0);
}

#[test]
fn a_hub_that_hangs_without_a_word_is_left_and_read_on_when_it_answers_again() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    append_to_all(&mut hubs, 0, 500);
    gateway.start();
    until("the first events arrive", || (siem.received.read().n_distinct() == 2_000).then_some(()));
    let n_attached = hubs.n_told("attach");
    // Appended while it stands still: it reads its commands once it goes on.
    hubs.signal("STOP");
    append_to_all(&mut hubs, 500, 500);
    // Each connection has an idle time of its own.
    for partition in 0..4 {
        gateway.until_logged(&format!("partition=\"{partition}\" error="), 0);
    }
    hubs.signal("CONT");
    until("the later events arrive", || (siem.received.read().n_distinct() == 4_000).then_some(()));
    gateway.terminate();
    assert!(hubs.n_told("attach") >= n_attached + 4, "the silence ends all four connections");
    let received = siem.received.read();
    assert!(STREAMS.iter().all(|stream| received.has_all(stream, 1_000)));
    assert_eq!((received.n_duplicates, received.n_late), (0, 0));
}

#[test]
fn a_record_of_a_category_that_nobody_knows_goes_out_under_its_own_name() {
    let World { mut hubs, mut siem, mut gateway } = World::opened(|hubs| hubs.source(""));
    let row = r#"{"category":"AdvancedHunting-TableOfTomorrow","properties":{"Anything":1}}"#;
    hubs.append_body(0, format!(r#"{{"records":[{row}]}}"#).as_bytes());
    gateway.start();
    until("it arrives", || (siem.received.read().n_messages == 1).then_some(()));
    gateway.terminate();
    // It has no number, which is all that the receiver finds at fault.
    let event = &siem.received.faults[0];
    assert!(event.contains("|TableOfTomorrow|Table Of Tomorrow|") && event.contains("Anything"), "{event}");
}

#[test]
fn a_refused_link_is_asked_for_again_at_once() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    hubs.command("busy 8");
    append_to_all(&mut hubs, 0, 100);
    until("the commands are read", || (hubs.n_told("command append") == 4).then_some(()));
    gateway.start();
    until("all events arrive", || (siem.received.read().n_distinct() == 400).then_some(()));
    gateway.terminate();
    assert_eq!(hubs.n_told("refused"), 8);
    for condition in ["server-busy", "ResourceLimitExceeded"] {
        assert!(gateway.log().contains(condition), "{condition}: {}", gateway.log());
    }
    assert!(!gateway.log().contains("nothing arrives"), "{}", gateway.log());
}

#[test]
fn a_body_of_any_shape_reaches_the_siem_and_none_blocks_its_partition() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    let large: Vec<String> = (1..=40_000).map(|n| format!(r#"{{"stream":"large","n":{n}}}"#)).collect();
    let large = format!("{{\"records\":[{}]}}", large.join(","));
    let bodies: [&[u8]; 10] = [
        br#"{"records":[]}"#,
        br#"{"stream":"p0","n":1}"#,
        br#"[{"stream":"p0","n":2},{"stream":"p0","n":3}]"#,
        b"\xef\xbb\xbf{\"records\":[{\"stream\":\"p0\",\"n\":4}]}",
        br#"{"records":[{"stream":"p0","n":5},{"stream":"#,
        b"plain text",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b"",
        &large.as_bytes()[..1_000_000],
        br#"{"records":[{"stream":"p0","n":6}]}"#,
    ];
    for body in bodies {
        hubs.append_body(0, body);
    }
    gateway.start();
    until("the last event arrives", || siem.received.read().has_all("p0", 6).then_some(()));
    gateway.terminate();
    // Two broken off, two that are no JSON.
    let n_large = large[..1_000_000].matches('}').count();
    assert_eq!(siem.received.read().n_messages, 6 + u64::try_from(n_large).unwrap() + 4);
    assert_eq!(siem.received.missing("large", n_large.try_into().unwrap()), [0_u64; 0]);
}

#[test]
fn no_event_of_several_frames_is_lost_between_frames() {
    let World { mut hubs, mut siem, mut gateway } =
        World::new("", "batch_bytes = 8_000_000\nprefetch_bytes = 64_000_000");
    hubs.command("padding 66000");
    append_to_all(&mut hubs, 0, 500);
    until("the commands are read", || (hubs.n_told("command append") == 4).then_some(()));
    gateway.start();
    until("all events arrive", || (siem.received.read().n_distinct() == 2_000).then_some(()));
    gateway.terminate();
    assert!(!gateway.log().contains("missing"), "{}", gateway.log());
    assert_eq!(hubs.n_told("attach"), 4);
}

#[test]
fn an_event_left_out_is_asked_for_again_and_a_number_that_no_event_has_holds_nothing_up() {
    let metrics = port();
    let World { mut hubs, mut siem, mut gateway } =
        World::new("", &format!("[metrics]\nlisten = '127.0.0.1:{metrics}'"));
    hubs.command("omit 5");
    hubs.append(0, "p0", 0, 20);
    gateway.start();
    until("the events arrive", || siem.received.read().has_all("p0", 20).then_some(()));
    assert_eq!(hubs.n_told("attach"), 5, "asked for once more");
    assert!(gateway.log().contains("1 sequence numbers are missing behind 4"));
    for n in [20, 21] {
        hubs.command(&format!("hole {HUB} 0"));
        hubs.append(0, "p0", n, 1);
    }
    until("the later events arrive", || siem.received.read().has_all("p0", 22).then_some(()));
    assert_eq!(hubs.n_told("attach"), 6, "at the first hole only");
    let line = "cefgate_source_events_missing_total{source=\"numbers\"} 2\n";
    assert!(scrape(([127, 0, 0, 1], metrics).into()).unwrap().contains(line));
    gateway.terminate();
    assert_eq!(siem.received.read().n_duplicates, 0);
}

#[test]
fn every_form_of_an_amqp_body_is_taken_and_what_is_no_message_is_passed_over_and_counted() {
    let metrics = port();
    let World { mut hubs, mut siem, mut gateway } =
        World::new("", &format!("[metrics]\nlisten = '127.0.0.1:{metrics}'"));
    let numbered = |n: u8| format!(r#"{{"records":[{{"stream":"p0","n":{n}}}]}}"#).into_bytes();
    // AMQP 1.0 part 3 §3.2: data 0x75, sequence 0x76, value 0x77.
    let section = |code: u8, kind: u8, content: &[u8]| {
        [&[0, 0x53, code, kind, u8::try_from(content.len()).unwrap()], content].concat()
    };
    let (head, tail) = (&numbered(1)[..9], &numbered(1)[9..]);
    let well_formed = [
        [section(0x75, 0xa0, head), section(0x75, 0xa0, tail)].concat(),
        section(0x77, 0xa1, &numbered(2)),
        section(0x77, 0xa0, &numbered(3)),
        vec![0, 0x53, 0x77, 0x40],
        vec![0, 0x53, 0x76, 0x45],
        vec![],
    ];
    for sections in &well_formed {
        hubs.append_encoded("sections", 0, sections);
    }
    for sections in [&b"\x00\x53\x75\xb0\xff\xff\xff\xff"[..], b"\x00\x53\x99\x40", b"no AMQP at all"] {
        hubs.append_encoded("sections", 0, sections);
    }
    hubs.append_encoded("bare", 0, &section(0x75, 0xa0, &numbered(4)));
    hubs.append_encoded("bare", 0, b"\xff");
    hubs.append_body(0, &numbered(5));
    gateway.start();
    until("the last event arrives", || siem.received.read().has_all("p0", 5).then_some(()));
    let scraped = scrape(([127, 0, 0, 1], metrics).into()).unwrap();
    for (name, n) in [("undecodable", 4), ("unnumbered", 1)] {
        let line = format!("cefgate_source_events_{name}_total{{source=\"numbers\"}} {n}\n");
        assert!(scraped.contains(&line), "{line}{scraped}");
    }
    assert!(
        !scraped.contains("cefgate_source_events_missing_total{"),
        "each number is accounted for: {scraped}"
    );
    gateway.terminate();
    assert_eq!(hubs.n_told("attach"), 4, "none made it connect again");
    assert!(gateway.log().contains("passed over"));
    let place = gateway.positions("numbers");
    assert_eq!(place.get(&format!("{NAMESPACE}/{HUB}/$Default/0")).map(String::as_str), Some("11 1100"));
}

#[test]
fn latest_is_resolved_once_so_that_what_comes_while_it_is_away_is_not_skipped() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "start = 'latest'");
    append_to_all(&mut hubs, 0, 10);
    gateway.start();
    until("all partitions are attached", || (hubs.n_told("attach defender") == 4).then_some(()));
    gateway.kill();
    append_to_all(&mut hubs, 10, 10);
    gateway.start();
    until("the later events arrive", || (siem.received.read().n_distinct() == 40).then_some(()));
    gateway.terminate();
    assert_eq!(siem.received.read().missing("p0", 20), (1..=10).collect::<Vec<_>>());
}

#[test]
fn events_expired_before_they_were_read_are_counted_in_the_log_and_the_rest_arrives() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    hubs.append(0, "p0", 0, 10);
    gateway.start();
    until("the first events arrive", || (siem.received.read().n_distinct() == 10).then_some(()));
    gateway.terminate();
    hubs.append(0, "p0", 10, 30);
    hubs.command(&format!("trim {HUB} 0 25"));
    gateway.start();
    assert!(gateway.until_logged("events expired", 0).contains("n_gone=15"));
    until("the rest arrives", || (siem.received.read().n_distinct() == 25).then_some(()));
    gateway.terminate();
}

#[test]
fn a_hub_that_keeps_its_events_back_is_told_with_the_usual_cause() {
    let metrics = port();
    let World { mut hubs, mut siem, mut gateway } =
        World::new("", &format!("silence = '300ms'\n[metrics]\nlisten = '127.0.0.1:{metrics}'"));
    let stalled = |n: u64| {
        let line = format!("partition_stalled{{source=\"numbers\",partition=\"{HUB}/0\"}} {n}\n");
        until(&line, || scrape(([127, 0, 0, 1], metrics).into())?.contains(&line).then_some(()));
    };
    hubs.command("silence on");
    hubs.append(0, "p0", 0, 10);
    gateway.start();
    assert!(gateway.until_logged("nothing arrives", 0).contains("Azure Event Hubs Data Receiver"));
    stalled(1);
    hubs.command("silence off");
    until("the events arrive", || siem.received.read().has_all("p0", 10).then_some(()));
    stalled(0);
    gateway.terminate();
}

#[test]
fn a_wrong_key_is_refused_and_the_right_one_is_taken_without_a_restart() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    let text = |key| format!("SharedAccessKeyName=listen;SharedAccessKey={key}");
    hubs.write_connection_string(&text("d3Jvbmc="));
    hubs.append(0, "p0", 0, 10);
    gateway.start();
    assert!(gateway.until_logged("event hub", 0).contains("InvalidSignature"));
    hubs.write_connection_string(&text("c3RhbmQtaW4tb2YtYS1rZXk="));
    until("the events arrive", || siem.received.read().has_all("p0", 10).then_some(()));
    gateway.terminate();
    assert!(!gateway.log().contains("d3Jvbmc") && !gateway.log().contains("c3RhbmQ"));
}

#[test]
fn tokens_of_entra_open_the_hub_and_are_renewed_and_a_wrong_audience_is_named() {
    let World { mut hubs, mut siem, mut gateway } = World::opened(|hubs| hubs.source_of_tenant(NUMBERED));
    hubs.command("lifetime 4");
    hubs.command("audience https://servicebus.example");
    append_to_all(&mut hubs, 0, 10);
    until("the commands are read", || (hubs.n_told("command append") == 4).then_some(()));
    gateway.start();
    let refusal = gateway.until_logged("InvalidAudience", 0);
    assert!(refusal.contains("status 401") && refusal.contains("not accepted for this hub"), "{refusal}");
    hubs.command("audience https://eventhubs.azure.net");
    until("the events arrive", || (siem.received.read().n_distinct() == 40).then_some(()));
    let (n_attached, n_issued) = (hubs.n_told("attach"), hubs.n_told("issued"));
    until("tokens are renewed twice", || (hubs.n_told("issued") >= n_issued + 2).then_some(()));
    append_to_all(&mut hubs, 10, 10);
    until("the later events arrive", || (siem.received.read().n_distinct() == 80).then_some(()));
    gateway.terminate();
    assert_eq!(hubs.n_told("attach"), n_attached, "a renewal needs no new link");
    assert_eq!(hubs.n_told("detached"), 0, "no token ran out");
    assert!(!gateway.log().contains("hunter2") && !gateway.log().contains("eyJ"), "a secret in the log");
}

#[test]
fn a_reader_with_a_higher_epoch_takes_over_and_ours_says_so_and_goes_on_trying() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "epoch = 5");
    append_to_all(&mut hubs, 0, 10);
    gateway.start();
    until("the events arrive", || (siem.received.read().n_distinct() == 40).then_some(()));
    let mut other = configured(&siem, "", &hubs.source(&format!("{NUMBERED}\nepoch = 6")));
    let n_refused = hubs.n_told("refused");
    other.start();
    assert!(gateway.until_logged("Stolen", 0).contains("equal or higher `epoch`"));
    until("ours is refused several times", || (hubs.n_told("refused") >= n_refused + 8).then_some(()));
    other.terminate();
    append_to_all(&mut hubs, 10, 10);
    until("the later events arrive", || (siem.received.read().n_distinct() == 80).then_some(()));
    gateway.terminate();
    let places = gateway.positions("numbers");
    assert_eq!(places.get(&format!("{NAMESPACE}/{HUB}/$Default/2")).map(String::as_str), Some("19 1900"));
}

#[test]
fn a_start_at_a_time_leaves_out_what_was_stored_before_it_and_holds_over_a_restart() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "start = '1970-01-01T00:01:00Z'");
    hubs.command("clock 59999");
    append_to_all(&mut hubs, 0, 5);
    until("the commands are read", || (hubs.n_told("command append") == 4).then_some(()));
    gateway.start();
    until("all partitions are attached", || (hubs.n_told("attach") == 4).then_some(()));
    gateway.kill();
    hubs.command("clock 60000");
    append_to_all(&mut hubs, 5, 5);
    gateway.start();
    until("the later events arrive", || (siem.received.read().n_distinct() == 20).then_some(()));
    gateway.terminate();
    assert_eq!(siem.received.read().missing("p3", 10), (1..=5).collect::<Vec<_>>());
}

#[test]
fn a_hub_that_was_made_anew_is_read_from_its_beginning() {
    let World { mut hubs, mut siem, mut gateway } = World::new("", "");
    append_to_all(&mut hubs, 0, 20);
    gateway.start();
    until("the events arrive", || (siem.received.read().n_distinct() == 80).then_some(()));
    hubs.command(&format!("anew {HUB}"));
    append_to_all(&mut hubs, 20, 5);
    until("those of the new hub arrive", || (siem.received.read().n_distinct() == 100).then_some(()));
    gateway.terminate();
    assert!(gateway.log().contains("made anew"));
    let places = gateway.positions("numbers");
    assert_eq!(places.get(&format!("{NAMESPACE}/{HUB}/$Default/1")).map(String::as_str), Some("4 400"));
}

#[test]
fn hubs_named_by_tables_are_found_those_made_later_too() {
    const PREFIX: &str = "insights-logs-advancedhunting-";
    let World { mut hubs, mut siem, mut gateway } = World::opened(|hubs| {
        let by_prefix = format!("hubs = {{ prefix = '{PREFIX}', every = '500ms' }}\n");
        // A hub that is made later is new from its first event on.
        let source = hubs.source(&format!("{NUMBERED}\nstart = 'latest'"));
        source.replace(&format!("hubs = ['{HUB}']\n"), &by_prefix)
    });
    hubs.append(0, "p0", 0, 10);
    gateway.start();
    gateway.until_logged("has no hub of a known table", 0);
    for (table, stream) in [("alertinfo", "p1"), ("deviceprocessevents", "p2")] {
        hubs.command(&format!("make {PREFIX}{table}"));
        hubs.command(&format!("append {PREFIX}{table} 3 {stream} 1 10"));
        until("its events arrive", || siem.received.read().has_all(stream, 10).then_some(()));
    }
    gateway.terminate();
    assert_eq!(siem.received.read().n_distinct(), 20, "{HUB} is none of them");
    assert_eq!(gateway.positions("numbers").len(), 8);
}

#[test]
fn the_hub_is_reached_through_an_http_proxy() {
    let World { mut hubs, mut siem, mut gateway } = World::opened(|hubs| {
        let proxy = format!("[network]\nproxy = 'http://127.0.0.1:{}'\n", hubs.proxy_port);
        hubs.source(NUMBERED).replace("[network]\n", &proxy)
    });
    append_to_all(&mut hubs, 0, 500);
    gateway.start();
    until("the events arrive", || (siem.received.read().n_distinct() == 2_000).then_some(()));
    gateway.terminate();
    // One asks for the partitions, four read them.
    assert_eq!(hubs.n_told(&format!("proxied CONNECT 127.0.0.1:{}", hubs.port)), 5);
}

#[test]
fn amqp_goes_through_a_websocket_and_a_proxy_where_only_https_gets_out() {
    let World { mut hubs, mut siem, mut gateway } = World::opened(|hubs| {
        let proxy = format!("[network]\nproxy = 'http://127.0.0.1:{}'\n", hubs.proxy_port);
        let port = format!("port = {}\ntransport = 'websocket'\n", hubs.websocket_port);
        hubs.source(NUMBERED)
            .replace("[network]\n", &proxy)
            .replace(&format!("port = {}\n", hubs.port), &port)
    });
    append_to_all(&mut hubs, 0, 2_000);
    hubs.append_body(0, format!("{}{}", " ".repeat(900_000), r#"{"stream":"p0","n":2001}"#).as_bytes());
    gateway.start();
    until("all events arrive", || (siem.received.read().n_distinct() == 8_001).then_some(()));
    hubs.command("drop");
    append_to_all(&mut hubs, 2_001, 10);
    until("the later events arrive", || (siem.received.read().n_distinct() == 8_041).then_some(()));
    gateway.terminate();
    assert!(hubs.n_told("websocket /$servicebus/websocket amqp") >= 9);
    assert!(hubs.n_told(&format!("proxied CONNECT 127.0.0.1:{}", hubs.websocket_port)) >= 9);
    assert_eq!(siem.received.read().n_late, 0);
}

/// A namespace, a gateway that reads it, and a receiver.
struct World {
    hubs: EventHubs,
    siem: Siem,
    gateway: Gateway,
}

impl World {
    fn new(spool: &str, more: &str) -> Self {
        Self::with(spool, |hubs| hubs.source(&format!("{NUMBERED}\n{more}")))
    }

    fn opened(source: impl Fn(&EventHubs) -> String) -> Self {
        Self::with("", source)
    }

    fn with(spool: &str, source: impl Fn(&EventHubs) -> String) -> Self {
        let hubs = EventHubs::started();
        let siem = Siem::started(Mode::Reads);
        let gateway = configured(&siem, spool, &source(&hubs));
        Self { hubs, siem, gateway }
    }
}

/// A gateway with these sections of a source.
fn configured(siem: &Siem, spool: &str, source: &str) -> Gateway {
    let destination =
        siem.destination("siem", "rotate_bytes = 500_000\nquiet = '100ms'\nrotate_overlap = false");
    let gateway = Gateway::new(spool, std::slice::from_ref(&destination));
    gateway.configure_source(spool, source, &[destination]);
    gateway
}

/// The next `n` numbered events of each partition's own stream.
fn append_to_all(hubs: &mut EventHubs, n_before: u64, n: u64) {
    for (partition, stream) in STREAMS.iter().enumerate() {
        hubs.append(partition, stream, n_before, n);
    }
}
