//! The promises of the sink, over real sockets.

mod kill;
mod receiver;

use std::time::Duration;

use receiver::{Plan, Receiver, World, line, lines};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_receiver_that_reads_everything_gives_a_receipt() {
    let world = World::new();
    for tls in [world.server(), None] {
        let is_plain = tls.is_none();
        let receiver = Receiver::start(tls, |_| Plan::ReadAll).await;
        let mut config = world.config(receiver.address);
        config.insecure_plain_tcp = is_plain;
        let mut client = Client::new("siem", config);
        client.send(Cursor(10), &lines(1..=10, 100)).await.unwrap();
        assert_eq!(client.status().unconfirmed_bytes, 1000);
        assert_eq!(client.confirmed().await.unwrap(), Cursor(10));
        assert!(receiver.has(1..=10));
        assert_eq!(client.status().unconfirmed_bytes, 0);
        assert_eq!(client.status().connected, Some(receiver.address.to_string()));
    }
}

#[tokio::test]
async fn finish_brings_the_last_receipt() {
    let world = World::new();
    for confirm in [Confirm::Receipt, Confirm::Window, Confirm::Estimate] {
        let receiver = Receiver::start(world.server(), |_| Plan::ReadSlowly).await;
        let mut client =
            Client::new("siem", Config { confirm, quiet: LONG, ..world.config(receiver.address) });
        client.send(Cursor(500), &lines(1..=500, 100)).await.unwrap();
        assert_eq!(client.finish(LONG).await, Some(Cursor(500)), "{confirm:?}");
        assert!(receiver.has(1..=500));
    }
}

#[tokio::test]
async fn finish_is_bounded_when_the_receiver_does_not_answer() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |_| Plan::Hold).await;
    let mut client = Client::new("siem", world.config(receiver.address));
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    assert_eq!(client.finish(Duration::from_millis(50)).await, None);
}

#[tokio::test]
async fn a_receiver_killed_with_unread_data_confirms_nothing() {
    let world = World::new();
    for plan in [Plan::Reset(2000), Plan::Close(2000)] {
        let receiver = Receiver::start(world.server(), move |number| match number {
            0 => plan,
            _ => Plan::ReadAll,
        })
        .await;
        let mut client = Client::new("siem", world.config(receiver.address));
        let first = client.send(Cursor(1000), &lines(1..=1000, 1000)).await;
        let error = match first {
            Ok(()) => client.confirmed().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.is_retryable());
        assert_eq!(client.settled(), None);
        assert_eq!(client.status().unconfirmed_bytes, 0, "after an error nothing counts as sent");

        client.send(Cursor(1000), &lines(1..=1000, 1000)).await.unwrap();
        assert_eq!(client.confirmed().await.unwrap(), Cursor(1000));
        assert!(receiver.has(1..=1000));
    }
}

#[tokio::test]
async fn a_receiver_that_closes_by_itself_confirms_nothing() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |_| Plan::Close(100)).await;
    let mut client = Client::new("siem", Config { quiet: LONG, ..world.config(receiver.address) });
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    let error = client.confirmed().await.unwrap_err();
    assert!(matches!(error, SendError::Closed { .. } | SendError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn an_idle_connection_may_be_closed_by_the_receiver_without_an_error() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = Receiver::on(listener, world.server(), |number| match number {
        1 => Plan::Close(0),
        _ => Plan::ReadAll,
    });
    let mut client = Client::new("siem", world.config(receiver.address));
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    assert_eq!(client.confirmed().await.unwrap(), Cursor(1));
    receiver.until(|log| log.accepted == 2 && log.ended == 2).await; // the connection opened for what comes next
    client.send(Cursor(2), &line(2, 100)).await.or_else(|_| Ok::<_, SendError>(())).unwrap();
    let confirmed = match client.confirmed().await {
        Ok(cursor) => cursor,
        Err(_) => {
            client.send(Cursor(2), &line(2, 100)).await.unwrap();
            client.confirmed().await.unwrap()
        }
    };
    assert_eq!(confirmed, Cursor(2));
}

#[tokio::test]
async fn a_receiver_that_never_ends_a_connection_falls_to_the_window_and_comes_back() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |number| match number {
        0 => Plan::Hold,
        _ => Plan::ReadAll,
    })
    .await;
    let config = Config {
        drain_timeout: Duration::from_millis(50),
        replay_window: 100_000,
        ..world.config(receiver.address)
    };
    let mut client = Client::new("siem", config);
    client.send(Cursor(1), &line(1, 1000)).await.unwrap();
    while client.status().confirm != "window" {
        let pending = tokio::time::timeout(Duration::from_millis(5), client.confirmed()).await;
        assert!(pending.is_err(), "{pending:?}");
    }
    assert!(client.status().unanswered);

    // nothing within the window is confirmed, what is beyond it is
    client.send(Cursor(100), &lines(2..=100, 1000)).await.unwrap();
    assert_eq!(client.settled(), None);
    client.send(Cursor(200), &lines(101..=200, 1000)).await.unwrap();
    assert_eq!(client.confirmed().await.unwrap(), Cursor(100));

    receiver.release();
    while client.status().unanswered {
        tokio::time::timeout(Duration::from_millis(5), client.confirmed()).await.ok();
    }
    assert_eq!(client.finish(LONG).await.or(Some(Cursor(200))), Some(Cursor(200)));
}

#[tokio::test]
async fn an_end_without_close_notify_is_no_receipt_and_its_habit_falls_to_the_window() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |number| match number {
        0..6 => Plan::BareEnd,
        _ => Plan::ReadAll,
    })
    .await;
    let mut client = Client::new("siem", world.config(receiver.address));
    client.fallback.try_again_after = Duration::from_millis(1);
    client.send(Cursor(1), &line(1, 1000)).await.unwrap();
    let error = client.confirmed().await.unwrap_err();
    assert!(matches!(error, SendError::NoReceipt { .. }), "{error}");
    client.send(Cursor(1), &line(1, 1000)).await.unwrap();
    while !client.status().unanswered {
        let pending = tokio::time::timeout(Duration::from_millis(5), client.confirmed()).await;
        assert!(pending.is_err(), "{pending:?}");
    }

    // the trial that is answered: what had no receipt is sent again, and then has one
    let mut number = 1;
    let error = loop {
        number += 1;
        if let Err(error) = client.send(Cursor(number), &line(number, 1000)).await {
            break error;
        }
        match tokio::time::timeout(Duration::from_millis(20), client.confirmed()).await {
            Ok(confirmed) => break confirmed.unwrap_err(),
            Err(_) => continue,
        }
    };
    assert!(matches!(error, SendError::NoReceipt { .. }), "{error}");
    assert!(!client.status().unanswered);
    client.send(Cursor(number), &lines(1..=number, 1000)).await.unwrap();
    assert_eq!(client.confirmed().await.unwrap(), Cursor(number));
}

#[tokio::test]
async fn a_receiver_that_stops_reading_is_an_error_and_not_a_missing_answer() {
    let world = World::new();
    let receiver =
        Receiver::start(world.server(), |_| Plan::StopThenReset(0, Duration::from_secs(3600))).await;
    let mut config = world.config(receiver.address);
    config.drain_timeout = Duration::from_millis(100);
    config.write_timeout = Duration::from_millis(100);
    let mut client = Client::new("siem", config);
    let mut number = 0;
    let error = loop {
        number += 1;
        if let Err(error) = client.send(Cursor(number), &line(number, 100_000)).await {
            break error;
        }
    };
    assert!(error.to_string().contains("the receiver does not read"), "{error}");
    assert!(!client.status().unanswered);
}

#[tokio::test]
async fn connections_rotate_by_bytes_and_by_time() {
    let world = World::new();
    let by_bytes =
        Config { rotate_bytes: 10_000, quiet: LONG, ..world.config("127.0.0.1:1".parse().unwrap()) };
    let by_time = Config { rotate_bytes: u64::MAX, rotate_seconds: 1, ..by_bytes.clone() };
    for (config, bytes) in [(by_bytes, 10_000), (by_time, 100)] {
        for rotate_overlap in [true, false] {
            let receiver = Receiver::start(world.server(), |_| Plan::ReadAll).await;
            let address = Address::try_from(receiver.address.to_string()).unwrap();
            let mut client = Client::new("siem", Config { rotate_overlap, address, ..config.clone() });
            for number in 1..=3 {
                client.send(Cursor(number), &line(number, bytes)).await.unwrap();
                if bytes == 100 {
                    // the clock of the sockets is not the test's: a second here is a second
                    assert_eq!(client.confirmed().await.unwrap(), Cursor(number));
                    break;
                }
                assert_eq!(client.confirmed().await.unwrap(), Cursor(number));
            }
            let accepted = receiver.log.lock().unwrap().accepted;
            assert!(accepted >= if bytes == 100 { 1 } else { 3 }, "{accepted}");
        }
    }
}

#[tokio::test]
async fn receipts_are_given_in_the_order_of_the_connections() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |number| match number {
        0 => Plan::Hold,
        _ => Plan::ReadAll,
    })
    .await;
    let config = Config { rotate_bytes: 1000, quiet: LONG, ..world.config(receiver.address) };
    let mut client = Client::new("siem", config);
    let mut number = 0;
    while receiver.log.lock().unwrap().ended < 1 {
        number += 1;
        client.send(Cursor(number), &line(number, 1000)).await.unwrap();
        let pending = tokio::time::timeout(Duration::from_millis(5), client.confirmed()).await;
        assert!(pending.is_err(), "the first connection has not ended: {pending:?}");
    }
    receiver.release();
    let confirmed = client.confirmed().await.unwrap();
    assert!(receiver.has(1..=confirmed.0));
}

#[tokio::test]
async fn without_overlap_a_connection_has_ended_before_the_next_begins() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |_| Plan::ReadSlowly).await;
    let config =
        Config { rotate_bytes: 50_000, rotate_overlap: false, quiet: LONG, ..world.config(receiver.address) };
    let mut client = Client::new("siem", config);
    for number in 1..=10 {
        client.send(Cursor(number), &line(number, 50_000)).await.unwrap();
        let log = receiver.log.lock().unwrap();
        assert!(log.accepted <= log.ended + 1, "{log:?}");
    }
    assert_eq!(client.finish(LONG).await, Some(Cursor(10)));
    assert!(receiver.log.lock().unwrap().first.is_sorted());
}

#[tokio::test]
async fn a_receiver_of_one_connection_at_a_time_still_gives_receipts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(world.server().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.ok();
            }
        }
    });
    let config = Config { connect_timeout: Duration::from_millis(200), ..world.config(address) };
    let mut client = Client::new("siem", config);
    for number in 1..=3 {
        client.send(Cursor(number), &line(number, 100)).await.unwrap();
        assert_eq!(client.confirmed().await.unwrap(), Cursor(number));
    }
    task.abort();
}

#[tokio::test]
async fn a_send_dropped_half_way_does_not_count_and_what_was_whole_still_does() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |number| match number {
        0 => Plan::ReadSlowly,
        _ => Plan::ReadAll,
    })
    .await;
    let mut client = Client::new("siem", Config { quiet: LONG, ..world.config(receiver.address) });
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    let large = line(2, 30 << 20);
    let dropped = tokio::time::timeout(Duration::from_millis(5), client.send(Cursor(2), &large)).await;
    assert!(dropped.is_err());
    client.send(Cursor(3), &lines(2..=3, 100)).await.unwrap();
    assert_eq!(client.finish(LONG).await, Some(Cursor(3)));
    assert!(receiver.has(1..=3));
}

#[tokio::test]
async fn a_missing_client_certificate_is_seen_before_anything_counts_as_sent() {
    let world = World::new();
    let receiver = Receiver::start(world.server_that_asks(), |_| Plan::ReadAll).await;
    let config = world.config(receiver.address);
    let mut client = Client::new("siem", config.clone());
    let error = client.send(Cursor(1), &line(1, 100)).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("demands a client certificate: set `client_cert`"), "{text}");
    assert!(error.is_retryable());

    let mut known = config;
    known.tls.client_cert = Some(world.directory.path().join("client.pem"));
    known.tls.client_key = Some(world.directory.path().join("client.key"));
    let mut client = Client::new("siem", known);
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    assert_eq!(client.confirmed().await.unwrap(), Cursor(1));
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_connection_is_named() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let check = async |config: Config, parts: &[&str]| {
        let error = Client::new("siem", config).send(Cursor(1), b"x").await.unwrap_err();
        let text = chain(&error);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    check(world.config(closed), &[&closed.to_string(), "refused"]).await;
    let impatient = Config { connect_timeout: Duration::from_millis(50), ..world.config(silent) };
    check(impatient, &[&silent.to_string(), "shaking hands"]).await;
    let mut unreadable = world.config(silent);
    unreadable.tls.ca_file = Some("/nonexistent/ca.pem".into());
    check(unreadable, &["ca_file", "/nonexistent/ca.pem"]).await;
}

#[tokio::test]
async fn a_standby_takes_over_while_the_first_address_is_away() {
    let world = World::new();
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let receiver = Receiver::start(world.server(), |_| Plan::ReadAll).await;
    let mut config = world.config(away);
    config.standby = vec![Address::try_from(receiver.address.to_string()).unwrap()];
    let mut client = Client::new("siem", config);
    client.send(Cursor(1), &line(1, 100)).await.unwrap();
    assert_eq!(client.confirmed().await.unwrap(), Cursor(1));
    assert_eq!(client.status().connected, Some(receiver.address.to_string()));
}

#[tokio::test]
async fn the_estimate_confirms_between_receipts_but_never_the_margin() {
    let world = World::new();
    let receiver = Receiver::start(world.server(), |_| Plan::ReadAll).await;
    let config = Config {
        confirm: Confirm::Estimate,
        rotate_bytes: u64::MAX,
        quiet: LONG,
        ..world.config(receiver.address)
    };
    let mut client = Client::new("siem", config);
    for number in 1..=20 {
        client.send(Cursor(number), &line(number, 100_000)).await.unwrap();
    }
    let confirmed = client.confirmed().await.unwrap();
    assert!(confirmed < Cursor(20), "{confirmed:?}");
    assert_eq!(receiver.log.lock().unwrap().accepted, 1);
}
