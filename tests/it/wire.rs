//! The wire protocol below SQL: negotiation, limits, errors, cancel, login, the end of connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::raw_client::{RawClient, frame, request, startup, text};

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const VERSION_3_0: u32 = 0x0003_0000;

/// Severity, SQLSTATE and message of the only error among the answers.
fn error(answers: &[Value]) -> (String, String, String) {
    let errors: Vec<&Value> = answers.iter().filter(|answer| answer[0] == "Error").collect();
    assert_eq!(errors.len(), 1, "{answers:?}");
    let field = |name: &str| errors[0][1][name].as_str().unwrap_or_default().to_owned();
    (field("S"), field("C"), field("M"))
}

fn fatal(code: &str, message: &str) -> (String, String, String) {
    ("FATAL".to_owned(), code.to_owned(), message.to_owned())
}

/// A session that works: whatever else happens, others are not disturbed.
fn assert_serves(address: SocketAddr) {
    let answers = RawClient::postgres(address).query("select 'fine'");
    assert!(answers.contains(&json!(["DataRow", ["fine"]])), "{answers:?}");
}

/// Waits for something another thread brings about. The bound is for broken builds only.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "not reached: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn encryption_is_declined_without_a_certificate_and_asked_for_once() {
    let server = Harness::as_postgres();
    for order in [[SSL_REQUEST, GSSENC_REQUEST], [GSSENC_REQUEST, SSL_REQUEST]] {
        let mut client = RawClient::silent(server.address());
        for code in order {
            client.send(&request(code));
            assert_eq!(client.byte(), Some(b'N'));
        }
        client.send(&startup(VERSION_3_0, &[("user", "postgres"), ("database", "tributary")]));
        assert_eq!(client.read_until(b'Z', 1).last().map(|(kind, _)| *kind), Some(b'Z'));
    }
    let mut twice = RawClient::silent(server.address());
    twice.send(&request(SSL_REQUEST));
    assert_eq!(twice.byte(), Some(b'N'));
    twice.send(&request(SSL_REQUEST));
    assert_eq!(error(&twice.until_closed()), fatal("08P01", "unexpected SSL request"));
}

#[test]
fn clear_bytes_behind_an_encryption_request_are_refused() {
    let server = Harness::as_postgres();
    for (code, message) in [
        (SSL_REQUEST, "received unencrypted data after SSL request"),
        (GSSENC_REQUEST, "received unencrypted data after GSSAPI encryption request"),
    ] {
        let mut client = RawClient::silent(server.address());
        client.send(&[request(code), frame(b'Q', &text("select 1"))].concat());
        assert_eq!(error(&client.until_closed()), fatal("08P01", message));
    }
}

#[test]
fn protocol_versions_are_negotiated_or_refused() {
    let server = Harness::as_postgres();
    let parameters = [("user", "postgres"), ("database", "postgres")];
    for version in [0x0003_0001, 0x0003_0002, 0x0003_270f] {
        let mut client = RawClient::silent(server.address());
        client.send(&startup(version, &parameters));
        assert_eq!(client.message(), Some((b'v', b"\0\x03\0\0\0\0\0\0".to_vec())));
        assert_eq!(client.read_until(b'Z', 1).last().map(|(kind, _)| *kind), Some(b'Z'));
    }
    let mut client = RawClient::silent(server.address());
    client.send(&startup(VERSION_3_0, &[parameters[0], parameters[1], ("_pq_.x", "1")]));
    assert_eq!(client.message(), Some((b'v', b"\0\x03\0\0\0\0\0\x01_pq_.x\0".to_vec())));
    let mut old = RawClient::silent(server.address());
    old.send(&startup(0x0002_0000, &parameters));
    let message = "unsupported frontend protocol 2.0: server supports 3.0 to 3.2";
    assert_eq!(error(&old.until_closed()), fatal("0A000", message));
}

#[test]
fn start_up_packets_are_bounded() {
    let server = Harness::as_postgres();
    let padding = |length: usize| "x".repeat(length);
    let packet = |length: usize| {
        let bare = startup(VERSION_3_0, &[("user", "postgres"), ("database", "postgres"), ("my.own", "")]).len();
        let value = padding(length - bare);
        startup(VERSION_3_0, &[("user", "postgres"), ("database", "postgres"), ("my.own", &value)])
    };
    let mut fits = RawClient::silent(server.address());
    fits.send(&packet(9_999));
    assert_eq!(fits.read_until(b'Z', 1).last().map(|(kind, _)| *kind), Some(b'Z'));
    let mut long = RawClient::silent(server.address());
    long.send(&packet(10_005));
    assert_eq!(error(&long.until_closed()), fatal("08P01", "invalid message length"));
    for bytes in [&b"\0\0\0\0"[..], b"\0\0\0\x03", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = RawClient::silent(server.address());
        client.send(bytes);
        let answers = client.until_closed();
        assert_eq!(answers.last(), Some(&json!(["EOF"])), "{answers:?}");
    }
    for (parameters, expect) in [
        (&[("database", "x")][..], fatal("28000", "no PostgreSQL user name specified in startup packet")),
        (&[("user", "postgres"), ("database", "nope")], fatal("3D000", "database \"nope\" does not exist")),
        (&[("user", "postgres"), ("replication", "true")], fatal("0A000", "replication connections are not supported")),
        (
            &[("user", "postgres"), ("options", "-c nosuch=1")],
            fatal("42704", "unrecognized configuration parameter \"nosuch\""),
        ),
        (
            &[("user", "postgres"), ("options", "-x")],
            fatal("42601", "invalid command-line argument for server process: -x"),
        ),
    ] {
        let mut client = RawClient::silent(server.address());
        client.send(&startup(VERSION_3_0, parameters));
        assert_eq!(error(&client.until_closed()), expect);
    }
}

#[test]
fn the_greeting_is_postgresqls() {
    let server = Harness::as_postgres();
    let mut client = RawClient::silent(server.address());
    client.send(&startup(VERSION_3_0, &[("user", "postgres"), ("application_name", "greeted")]));
    let messages = client.read_until(b'Z', 1);
    assert_eq!(messages.first(), Some(&(b'R', vec![0, 0, 0, 0])));
    let settings: Vec<(String, String)> = messages
        .iter()
        .filter(|(kind, _)| *kind == b'S')
        .map(|(_, body)| {
            let mut fields = body.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned());
            (fields.next().expect("a name"), fields.next().expect("a value"))
        })
        .collect();
    let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "application_name",
            "client_encoding",
            "DateStyle",
            "default_transaction_read_only",
            "in_hot_standby",
            "integer_datetimes",
            "IntervalStyle",
            "is_superuser",
            "server_encoding",
            "server_version",
            "session_authorization",
            "standard_conforming_strings",
            "TimeZone"
        ]
    );
    assert_eq!(settings[0].1, "greeted");
    assert!(settings[9].1.starts_with("15.18 (Tributary "), "{settings:?}");
    assert_eq!(messages[messages.len() - 2].0, b'K');
    assert!(client.key.expect("a key").0 > 0);
}

#[test]
fn broken_messages_end_their_connection_alone() {
    let server = Harness::as_postgres();
    for (bytes, message) in [
        (b"1\0\0\0\x04".to_vec(), "invalid frontend message type 49"),
        (b"Q\x7f\xff\xff\xff".to_vec(), "invalid message length"),
        (frame(b'Q', b"select 1"), "invalid string in message"),
        (frame(b'Q', b"select 1\0x"), "invalid message format"),
        (frame(b'P', b"\0select 1\0"), "insufficient data left in message"),
        (frame(b'B', b"\0\0\0\0\xff\xff"), "insufficient data left in message"),
        (frame(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xffx"), "insufficient data left in message"),
        (frame(b'E', b"\0\0"), "insufficient data left in message"),
        (frame(b'S', b"x"), "invalid message format"),
        (frame(b'p', b"x"), "invalid frontend message type 112"),
    ] {
        let mut client = RawClient::postgres(server.address());
        client.send(&bytes);
        assert_eq!(error(&client.until_closed()), fatal("08P01", message), "{bytes:?}");
    }
    for bytes in [&b"Q\0\0\0\0"[..], b"Q\0\0\0\x03", b"Q\xff\xff\xff\xff"] {
        let mut client = RawClient::postgres(server.address());
        client.send(bytes);
        assert_eq!(client.until_closed(), [json!(["EOF"])]);
    }
    assert_serves(server.address());
}

#[test]
fn malformed_text_is_an_error_of_its_statement() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    client.send(&frame(b'Q', b"select '\xff'\0"));
    let (severity, code, message) = error(&client.answers(b'Z', 1));
    assert_eq!((severity.as_str(), code.as_str()), ("ERROR", "22021"));
    assert_eq!(message, "invalid byte sequence for encoding \"UTF8\": 0xff");
    for (bytes, code, message) in [
        (frame(b'D', b"x\0"), "08P01", "invalid DESCRIBE message subtype 120"),
        (frame(b'C', b"x\0"), "08P01", "invalid CLOSE message subtype 120"),
    ] {
        client.send(&[bytes, frame(b'S', b"")].concat());
        let answers = client.answers(b'Z', 1);
        assert_eq!(error(&answers), ("ERROR".into(), code.into(), message.into()));
    }
    assert!(client.query("select 1").contains(&json!(["ReadyForQuery", "I"])));
}

#[test]
fn every_queued_sync_is_answered_after_an_error() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    let parse = |sql: &str| frame(b'P', &[&text("")[..], &text(sql), b"\0\0"].concat());
    let run = [frame(b'B', b"\0\0\0\0\0\0\0\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat();
    client.send(&[parse("selec"), run.clone(), parse("select 'b'"), run.clone(), frame(b'S', b"")].concat());
    let answers = client.answers(b'Z', 3);
    assert_eq!(error(&answers).1, "42601");
    assert_eq!(answers[1], json!(["ReadyForQuery", "I"]));
    assert!(answers.contains(&json!(["DataRow", ["b"]])), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer[0] == "ReadyForQuery").count(), 3);
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    const STATEMENTS: usize = 5_000;
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    let parse = frame(b'P', &[&text("s")[..], &text("select 'x'"), b"\0\0"].concat());
    client.send(&[parse, frame(b'S', b"")].concat());
    client.answers(b'Z', 1);
    let one =
        [frame(b'B', &[&text("")[..], &text("s"), b"\0\0\0\0\0\0"].concat()), frame(b'E', b"\0\0\0\0\0")].concat();
    let mut all = one.repeat(STATEMENTS);
    all.extend(frame(b'S', b""));
    // The server stops reading while its answers wait, so both directions must move at once.
    let mut sender = client.another_handle();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &all));
    let answers = client.answers(b'Z', 1);
    sending.join().expect("the sender ends").expect("all is sent");
    assert_eq!(answers.iter().filter(|answer| **answer == json!(["DataRow", ["x"]])).count(), STATEMENTS);
}

#[test]
fn time_spent_waiting_behind_another_statement_is_not_a_statement_s_own() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    let one = |sql: &str| {
        let parse = frame(b'P', &[&text("")[..], &text(sql), b"\0\0"].concat());
        [parse, frame(b'B', b"\0\0\0\0\0\0\0\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat()
    };
    // The third message has waited longer than the second allows when its turn comes.
    let all = [one("select pg_sleep(1.5)"), one("set statement_timeout = '1400ms'"), one("select 'in time'")];
    client.send(&all.concat());
    let answers = client.answers(b'Z', 3);
    assert!(answers.contains(&json!(["DataRow", ["in time"]])), "{answers:?}");
}

#[test]
fn a_cancel_with_wrong_numbers_or_at_rest_does_nothing() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    let (pid, secret) = client.key.expect("greeted");
    client.cancel();
    client.cancel_as(pid, secret.wrapping_add(1));
    client.cancel_as(pid.wrapping_add(1), secret);
    assert!(client.query("select 'still'").contains(&json!(["DataRow", ["still"]])));
}

/// 10 to the power of `exponent` rows that cost nothing to keep: each join holds ten.
fn rows(exponent: usize) -> String {
    let digits = |level| format!("(values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) v{level}(a{level})");
    (1..exponent).fold(digits(0), |inner, level| match level {
        1 => format!("{} cross join {inner}", digits(level)),
        _ => format!("{} cross join ({inner})", digits(level)),
    })
}

/// A query that runs until it is stopped.
fn endless() -> Vec<u8> {
    frame(b'Q', &text(&format!("select count(*) from {}", rows(18))))
}

#[test]
fn a_cancel_stops_the_running_statement() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    client.send(&endless());
    let pid = client.key.expect("greeted").0;
    let activity = server.engine().activity();
    eventually("the statement runs", || activity.get(pid).is_some_and(|b| b.status().state.as_str() == "active"));
    client.cancel();
    let (severity, code, message) = error(&client.answers(b'Z', 1));
    assert_eq!((severity.as_str(), code.as_str()), ("ERROR", "57014"));
    assert_eq!(message, "canceling statement due to user request");
    assert!(client.query("select 1").contains(&json!(["ReadyForQuery", "I"])));
}

#[test]
fn a_vanished_client_frees_its_query() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    client.send(&endless());
    let pid = client.key.expect("greeted").0;
    let activity = server.engine().activity();
    eventually("the statement runs", || activity.get(pid).is_some_and(|b| b.status().state.as_str() == "active"));
    drop(client);
    eventually("the session is gone", || activity.get(pid).is_none());
    assert_serves(server.address());
}

#[test]
fn a_client_that_reads_nothing_holds_its_own_query_only() {
    let server = Harness::as_postgres();
    let mut slow = RawClient::postgres(server.address());
    slow.send(&frame(b'Q', &text(&format!("select repeat('x', 5000) from {}", rows(4)))));
    // While its result waits in the sockets, others are served.
    for _ in 0..20 {
        assert_serves(server.address());
    }
    let rows = slow.read_until(b'Z', 1).iter().filter(|(kind, _)| *kind == b'D').count();
    assert_eq!(rows, 10_000);
}

#[test]
fn connections_beyond_the_bound_are_told_so() {
    let server = Harness::start_with(|config| {
        config.superuser = Some("postgres".to_owned());
        (config.connections_max, config.connections_reserved) = (3, 1);
    });
    let mut admitted: Vec<RawClient> = (0..3).map(|_| RawClient::postgres(server.address())).collect();
    for _ in 0..5 {
        let mut client = RawClient::silent(server.address());
        client.send(&startup(VERSION_3_0, &[("user", "postgres")]));
        assert_eq!(error(&client.until_closed()), fatal("53300", "sorry, too many clients already"));
    }
    assert!(admitted[0].query("select 1").contains(&json!(["ReadyForQuery", "I"])));
    admitted.pop();
    eventually("the slot is free", || {
        let mut client = RawClient::silent(server.address());
        client.send(&startup(VERSION_3_0, &[("user", "postgres")]));
        client.read_until(b'Z', 1).last().is_some_and(|(kind, _)| *kind == b'Z')
    });
}

#[test]
fn idle_sessions_end_with_their_timeout() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    client.send(&frame(b'Q', &text("set idle_session_timeout = '20ms'")));
    let answers = client.until_closed();
    assert_eq!(error(&answers), fatal("57P05", "terminating connection due to idle-session timeout"));
    let mut client = RawClient::postgres(server.address());
    client.send(&frame(b'Q', &text("set idle_in_transaction_session_timeout = '20ms'; begin")));
    let answers = client.until_closed();
    assert_eq!(error(&answers), fatal("25P03", "terminating connection due to idle-in-transaction timeout"));
}

#[test]
fn notifications_do_not_keep_an_idle_session_alive() {
    let server = Harness::as_postgres();
    let mut client = RawClient::postgres(server.address());
    client.query("listen c");
    client.send(&frame(b'Q', &text("set idle_session_timeout = '300ms'")));
    client.answers(b'Z', 1);
    // Notifications come faster than the timeout for as long as the session lives, or the broken build is given up.
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, address) = (std::sync::Arc::clone(&ended), server.address());
    let notifying = std::thread::spawn(move || {
        let mut other = RawClient::postgres(address);
        let patience = Instant::now() + Duration::from_secs(30);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < patience {
            other.query("notify c");
        }
        Instant::now() < patience
    });
    let answers = client.until_closed();
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(notifying.join().expect("the notifier ends"), "the session outlived its timeout");
    assert_eq!(error(&answers), fatal("57P05", "terminating connection due to idle-session timeout"));
}

#[test]
fn a_stopping_server_says_goodbye() {
    let server = Harness::start_with(|config| {
        config.superuser = Some("postgres".to_owned());
        config.shutdown_timeout = Duration::from_millis(100);
    });
    let mut idle = RawClient::postgres(server.address());
    let mut busy = RawClient::postgres(server.address());
    busy.send(&endless());
    let pid = busy.key.expect("greeted").0;
    let activity = std::sync::Arc::clone(server.engine().activity());
    eventually("the statement runs", || activity.get(pid).is_some_and(|b| b.status().state.as_str() == "active"));
    server.stop();
    let goodbye = fatal("57P01", "terminating connection due to administrator command");
    assert_eq!(error(&idle.until_closed()), goodbye);
    assert_eq!(error(&busy.until_closed()), goodbye);
}

#[test]
fn access_rules_decide() {
    let file = "[[access]]\naddress = \"loopback\"\nuser = \"eve\"\nmethod = \"reject\"\n\
                [[access]]\naddress = \"loopback\"\nuser = \"postgres\"\nmethod = \"trust\"\n";
    let server = Harness::with_file(file);
    let ask = |user: &str| {
        let mut client = RawClient::silent(server.address());
        client.send(&startup(VERSION_3_0, &[("user", user), ("database", "tributary")]));
        client.answers(b'Z', 1)
    };
    assert!(ask("postgres").contains(&json!(["ReadyForQuery", "I"])));
    for (user, what) in [("eve", "access rule rejects connection for"), ("bob", "no access rule for")] {
        let message = format!("{what} host \"127.0.0.1\", user \"{user}\", database \"tributary\", no encryption");
        assert_eq!(error(&ask(user)), fatal("28000", &message));
    }
}

#[test]
fn passwords_let_their_owner_in_and_nobody_else() {
    let server = Harness::with_file("");
    let password = std::fs::read_to_string(server.data_dir().join("superuser.password")).expect("was made");
    let connect = |user: &str, password: &str| {
        let dsn =
            format!("host=127.0.0.1 port={} user={user} password={password} dbname=tributary", server.address().port());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.simple_query("select 1").await.map(|messages| messages.len())
        })
    };
    assert!(connect("postgres", password.trim_end()).is_ok());
    for (user, password) in [("postgres", "wrong"), ("nobody", "wrong"), ("postgres", "")] {
        let error = connect(user, password).expect_err("must be refused");
        if password.is_empty() {
            continue;
        }
        let error = error.as_db_error().expect("an answer of the server");
        assert_eq!(error.code().code(), "28P01");
        assert_eq!(error.message(), format!("password authentication failed for user \"{user}\""));
    }
    assert!(connect("postgres", password.trim_end()).is_ok());
}

#[test]
fn silence_before_login_is_ended() {
    let server = Harness::start_with(|config| {
        config.superuser = Some("postgres".to_owned());
        config.authentication_timeout = Duration::from_millis(100);
    });
    let mut silent = RawClient::silent(server.address());
    assert_eq!(silent.until_closed(), [json!(["EOF"])]);
    let mut halfway = RawClient::silent(server.address());
    halfway.send(b"\0\0\0\x30\0\x03");
    assert_eq!(halfway.until_closed(), [json!(["EOF"])]);
    assert_serves(server.address());
}
