//! What bad input gets: the smallest thing is refused, with its code and words, and everybody else goes on.

use bytes::Bytes;
use futures::SinkExt;
use serde_json::Value;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, CopyInSink};

use crate::harness::Harness;
use crate::raw_client::{RawClient, frame, text};

const TABLES: &str =
    "CREATE TABLE events (id int PRIMARY KEY, n smallint NOT NULL, ts date, CONSTRAINT small CHECK (n < 100));
    INSERT INTO events VALUES (1, 1, '2024-01-01'); CREATE TABLE words (w text)";

/// What the server says of a statement that must fail.
async fn refusal(client: &Client, sql: &str) -> DbError {
    match client.batch_execute(sql).await {
        Ok(()) => panic!("accepted: {}", sql.chars().take(200).collect::<String>()),
        Err(error) => error.as_db_error().unwrap_or_else(|| panic!("{error}")).clone(),
    }
}

async fn goes_on(other: &Client, after: &str) {
    let count: i64 = other.query_one("SELECT count(*) FROM events", &[]).await.expect(after).get(0);
    assert_eq!(count, 1, "{after} changed something");
}

#[test]
fn statements_are_refused_with_their_code_and_words() {
    let columns = |count: usize| (0..count).map(|n| format!("c{n} int")).collect::<Vec<_>>().join(", ");
    let cases: Vec<(String, &str, &str)> = vec![
        (format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000)), "54001", "statement is nested too deeply"),
        (format!("CREATE TABLE wide ({})", columns(1_601)), "54011", "tables can have at most 1600 columns"),
        ("SELECT 2147483647 + 1".into(), "22003", "integer out of range"),
        ("SELECT 9223372036854775807 * 2".into(), "22003", "bigint out of range"),
        ("SELECT 70000::smallint".into(), "22003", "smallint out of range"),
        ("SELECT 1e38::numeric * 1e38".into(), "22003", ""),
        ("SELECT '1e400'::float8".into(), "22003", "\"1e400\" is out of range for type double precision"),
        ("SELECT '2024-02-30'::date".into(), "22008", "date/time field value out of range: \"2024-02-30\""),
        (
            "SELECT '10000000000 years'::interval".into(),
            "22015",
            "interval field value out of range: \"10000000000 years\"",
        ),
        ("SELECT 'x'::int".into(), "22P02", "invalid input syntax for type integer: \"x\""),
        ("SELECT '{1,'::int[]".into(), "22P02", "malformed array literal: \"{1,\""),
        ("SELECT 1 / 0".into(), "22012", "division by zero"),
        ("SELECT chr(0)".into(), "54000", "null character not permitted"),
        (
            "INSERT INTO events VALUES (1, 2)".into(),
            "23505",
            "duplicate key value violates unique constraint \"events_pkey\"",
        ),
        (
            "INSERT INTO events VALUES (2, NULL)".into(),
            "23502",
            "null value in column \"n\" of relation \"events\" violates not-null constraint",
        ),
        (
            "INSERT INTO events VALUES (2, 100)".into(),
            "23514",
            "new row for relation \"events\" violates check constraint \"small\"",
        ),
        ("SET no_such_setting = 1".into(), "42704", "unrecognized configuration parameter \"no_such_setting\""),
        ("SET work_mem = 'much'".into(), "22023", "invalid value for parameter \"work_mem\": \"much\""),
        ("CREATE TABLE o (a int) WITH (orderby = 'a')".into(), "22023", "unrecognized table option \"orderby\""),
        ("VACUUM (NOSUCH) events".into(), "42601", "unrecognized VACUUM option \"nosuch\""),
        ("COPY events FROM STDIN (NOSUCH true)".into(), "42601", "option \"nosuch\" not recognized"),
        ("SELEKT 1".into(), "42601", "syntax error at or near \"SELEKT\""),
        ("SELECT nix FROM events".into(), "42703", "column \"nix\" does not exist"),
        ("SELECT * FROM nix".into(), "42P01", "relation \"nix\" does not exist"),
        ("SELECT nix(1)".into(), "42883", "function nix(integer) does not exist"),
    ];
    let server = Harness::start();
    server.block_on(async {
        let (client, other) = (server.connect().await, server.connect().await);
        client.batch_execute(TABLES).await.expect("made");
        for (sql, code, message) in cases {
            let shown: String = sql.chars().take(80).collect();
            let error = refusal(&client, &sql).await;
            assert_eq!(error.code().code(), code, "{shown}: {error}");
            assert!(message.is_empty() || error.message() == message, "{shown}: {error}");
            goes_on(&other, &shown).await;
        }
        let error = refusal(&client, "INSERT INTO events VALUES (1, 2)").await;
        assert_eq!((error.table(), error.constraint()), (Some("events"), Some("events_pkey")));
        assert_eq!(error.detail(), Some("Key (id)=(1) already exists."));
        let error = refusal(&client, "INSERT INTO events VALUES (2, 100)").await;
        assert_eq!((error.table(), error.constraint()), (Some("events"), Some("small")));
        let error = refusal(&client, "INSERT INTO events VALUES (2, NULL)").await;
        assert_eq!((error.table(), error.column()), (Some("events"), Some("n")));
        let error = refusal(&client, "SET work_men = '1MB'").await;
        assert_eq!(error.hint(), Some("Perhaps you meant \"work_mem\"."));
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM events";
        client.batch_execute(begin).await.expect("open");
        other.batch_execute("UPDATE events SET n = 2").await.expect("the other is faster");
        client.batch_execute("UPDATE events SET n = 3").await.ok();
        let error = client.batch_execute("COMMIT").await.err();
        // The conflict is told at the UPDATE or at the COMMIT; either way nothing of it is there.
        if let Some(error) = error.as_ref().and_then(|error| error.as_db_error()) {
            assert_eq!((error.code().code(), error.hint()), ("40001", Some("Retry the transaction.")));
        }
        let n: i16 = other.query_one("SELECT n FROM events", &[]).await.expect("readable").get(0);
        assert_eq!(n, 2);
    });
}

#[test]
fn rows_of_copy_are_refused_with_their_line_and_column() {
    let cases: [(&str, &[u8], &str, &str, &str); 7] = [
        (
            "",
            b"2\t2\t\\N\n3\tx\t\\N\n",
            "22P02",
            "invalid input syntax for type smallint: \"x\"",
            "COPY events, line 2, column n: \"x\"",
        ),
        ("", b"2\t2\n", "22P04", "missing data for column \"ts\"", "COPY events, line 1: \"2\t2\""),
        (
            "",
            b"2\t2\t\\N\t4\n",
            "22P04",
            "extra data after last expected column",
            "COPY events, line 1: \"2\t2\t\\N\t4\"",
        ),
        ("(FORMAT csv)", b"2,\"2,\n", "22P04", "unterminated CSV quoted field", ""),
        (
            "",
            b"2\t2\t2024-13-01\n",
            "22008",
            "date/time field value out of range: \"2024-13-01\"",
            "COPY events, line 1, column ts: \"2024-13-01\"",
        ),
        ("", b"2\t2\t\xff\n", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff", "COPY events, line 1"),
        ("(FORMAT binary)", b"not the header of COPY", "22P04", "COPY file signature not recognized", ""),
    ];
    let server = Harness::start();
    server.block_on(async {
        let (client, other) = (server.connect().await, server.connect().await);
        client.batch_execute(TABLES).await.expect("made");
        for (options, data, code, message, context) in cases {
            let shown = String::from_utf8_lossy(data);
            let sink: CopyInSink<Bytes> =
                client.copy_in(&format!("COPY events FROM STDIN {options}")).await.expect("begun");
            let mut sink = std::pin::pin!(sink);
            sink.send(Bytes::copy_from_slice(data)).await.ok();
            let error = sink.as_mut().finish().await.expect_err(&shown);
            let error = error.as_db_error().unwrap_or_else(|| panic!("{shown}: {error}"));
            assert_eq!((error.code().code(), error.message()), (code, message), "{shown}");
            assert!(error.where_().unwrap_or_default().starts_with(context), "{shown}: {:?}", error.where_());
            goes_on(&other, &shown).await;
        }
    });
}

/// Parse, Bind of one binary parameter, Execute, Sync.
fn bound(sql: &str, of: u32, format: u16, value: &[u8]) -> Vec<u8> {
    let parse = [&text("")[..], &text(sql), &1_u16.to_be_bytes(), &of.to_be_bytes()].concat();
    let length = i32::try_from(value.len()).expect("short").to_be_bytes();
    let one = 1_u16.to_be_bytes();
    let bind =
        [&text("")[..], &text(""), &one, &format.to_be_bytes(), &one, &length, value, &0_u16.to_be_bytes()].concat();
    [frame(b'P', &parse), frame(b'B', &bind), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat()
}

fn told(answers: &[Value], code: &str) -> bool {
    answers.iter().any(|answer| answer.to_string().contains(&format!("\"{code}\"")))
}

#[test]
fn binary_values_that_are_none_are_refused() {
    let cases: [(&str, u32, &[u8], &str); 12] = [
        ("SELECT $1::int", 23, b"\0\0\0", "22P03"),
        ("SELECT $1::bigint", 20, b"\0\0\0\0\0\0\0\0\0", "22P03"),
        ("SELECT $1::bool", 16, b"", "22P03"),
        ("SELECT $1::date", 1082, b"\0", "22P03"),
        ("SELECT $1::interval", 1186, b"\0\0\0\0\0\0\0\0", "22P03"),
        ("SELECT $1::uuid", 2950, b"0123456789", "22P03"),
        ("SELECT $1::numeric", 1700, b"\xff\xff\0\0\0\0\0\0", "22P03"),
        ("SELECT $1::numeric", 1700, b"\0\x01\0\0\0\0\0\0\x27\x11", "22P03"),
        ("SELECT $1::int[]", 1007, b"\x7f\xff\xff\xff\0\0\0\0\0\0\0\x17", "22P03"),
        ("SELECT $1::int[]", 1007, b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01", "22P03"),
        ("SELECT $1::text", 25, b"a\xff", "22021"),
        ("SELECT $1::text", 25, b"a\0b", "22021"),
    ];
    let server = Harness::as_postgres();
    let (mut client, mut other) = (RawClient::postgres(server.address()), RawClient::postgres(server.address()));
    for (sql, of, value, code) in cases {
        client.send(&bound(sql, of, 1, value));
        let answers = client.answers(b'Z', 1);
        let allowed = [code, "54000", "22P02", "2202E", "08P01"];
        assert!(allowed.iter().any(|code| told(&answers, code)), "{sql} with {value:?}: {answers:?}");
        assert!(told(&answers, code) || code == "22P03", "{sql} with {value:?}: {answers:?}");
        assert!(format!("{:?}", other.query("SELECT 'goes on'")).contains("goes on"));
        assert!(format!("{:?}", client.query("SELECT 'goes on'")).contains("goes on"), "after {sql} with {value:?}");
    }
}

#[test]
fn messages_that_are_none_end_their_connection_alone() {
    let long = [&b"Q"[..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    // Where a length is nothing to go by PostgreSQL hangs up without a word, and so do we.
    let cases: [(&str, Vec<u8>, bool); 6] = [
        ("a type that does not exist", frame(b'~', b""), true),
        ("a length below its own four bytes", b"Q\0\0\0\x03".to_vec(), false),
        ("a length beyond the limit", long, false),
        ("a query without its end", frame(b'Q', b"SELECT 1"), true),
        ("a Bind that ends too early", frame(b'B', b"\0"), true),
        ("a password after the login", frame(b'p', b"x\0"), true),
    ];
    let server = Harness::as_postgres();
    let mut other = RawClient::postgres(server.address());
    for (name, bytes, worded) in cases {
        let mut client = RawClient::postgres(server.address());
        client.send(&bytes);
        let answers = client.until_closed();
        let all = format!("{answers:?}");
        assert!(all.contains("EOF"), "{name}: {all}");
        assert!(!worded || (all.contains("08P01") && all.contains("FATAL")), "{name}: {all}");
        assert!(format!("{:?}", other.query("SELECT 'goes on'")).contains("goes on"), "after {name}");
    }
}
