//! Statements that would run for hours: others are served beside them, and each stops when told to.

use std::time::Duration;

use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::harness::Harness;

/// Long after anything here should have happened; only a server that hangs waits so long.
const HANGS: Duration = Duration::from_secs(120);

/// Each makes some 10^11 pairs, or has no end at all.
const ENDLESS: &[(&str, &str)] = &[
    ("pairs that never match", "SELECT count(*) FROM wide a, wide b WHERE a.v * b.v = -1"),
    ("pairs that match", "SELECT count(*) FROM wide a, wide b WHERE a.v <= b.v"),
    ("all pairs", "SELECT count(nullif(a.v, b.v)) FROM wide a CROSS JOIN wide b"),
    ("outer join on an inequality", "SELECT count(b.v) FROM wide a LEFT JOIN wide b ON a.v * b.v = -1"),
    (
        "existence by an inequality",
        "SELECT count(*) FROM wide a WHERE EXISTS (SELECT FROM wide b WHERE a.v * b.v = -1)",
    ),
    ("one key, pairs that never match", "SELECT count(*) FROM wide a JOIN wide b ON a.k = b.k AND a.v * b.v = -1"),
    ("one key, pairs that match", "SELECT count(*) FROM wide a JOIN wide b ON a.k = b.k AND a.v <= b.v"),
    ("one key", "SELECT count(a.v + b.v) FROM wide a JOIN wide b ON a.k = b.k"),
    (
        "a recursion without end",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n % 7 FROM t) SELECT count(*) FROM t",
    ),
    ("a scalar subquery a row", "SELECT sum((SELECT count(*) FROM wide b WHERE b.v * a.v = -1)) FROM wide a"),
    ("a series a row", "SELECT count(x) FROM (SELECT generate_series(1, 400000) AS x FROM wide) s"),
];

#[test]
fn long_statements_leave_room_and_stop_when_told() {
    let server = Harness::start_with(|config| config.query_threads = 2);
    server.block_on(async {
        let setup = server.connect().await;
        let made =
            "CREATE TABLE wide (v bigint, k int); INSERT INTO wide SELECT v, 1 FROM generate_series(1, 300000) v";
        setup.batch_execute(made).await.expect("makes the table");
        for (name, sql) in ENDLESS {
            eprintln!("{name}");
            let work = async {
                let clients = [server.connect().await, server.connect().await, server.connect().await];
                let cancels: Vec<_> = clients.iter().map(tokio_postgres::Client::cancel_token).collect();
                let running: Vec<_> = clients
                    .into_iter()
                    .map(|client| tokio::spawn(async move { client.simple_query(sql).await.map(drop) }))
                    .collect();
                // A cancel that comes before its statement begins is nobody's.
                let mut at_work = 0;
                while at_work < cancels.len() as i64 {
                    let counted = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
                    at_work = setup.query_one(counted, &[sql]).await.expect("answers beside them").get(0);
                }
                for cancel in cancels {
                    cancel.cancel_query(NoTls).await.expect("is sent");
                }
                for one in running {
                    let error = one.await.expect("runs").expect_err(name);
                    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{name}: {error}");
                }
            };
            tokio::time::timeout(HANGS, work).await.unwrap_or_else(|_| panic!("{name}: hangs"));
        }
    });
}

#[test]
fn a_timeout_stops_a_join_without_result() {
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        let join = "SELECT count(*) FROM generate_series(1, 300000) a(v), generate_series(1, 300000) b(v) WHERE a.v * b.v = -1";
        client.batch_execute("SET statement_timeout = '200ms'").await.expect("sets");
        let work = client.simple_query(join);
        let error = tokio::time::timeout(HANGS, work).await.expect("does not hang").expect_err("is stopped");
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    });
}
