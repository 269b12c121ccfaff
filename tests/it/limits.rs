//! Limits of resources: who passes one is told with its code and what to set, and others notice nothing.

use tokio_postgres::Client;
use tokio_postgres::error::DbError;

use crate::harness::Harness;

async fn refusal(client: &Client, sql: &str) -> DbError {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}")).clone()
}

#[test]
fn statements_over_their_limits_end_and_others_go_on() {
    let server = Harness::start_with(|config| {
        config.query_memory_bytes = Some(24 << 20);
        config.temp_bytes_max = 1 << 20;
    });
    let large = "SELECT m FROM (SELECT md5(g::text) AS m FROM generate_series(1, 1000000) g) s ORDER BY m";
    let cases = [
        ("SET statement_timeout = '50ms'", "SELECT count(*) FROM generate_series(1, 1000000000000)", "57014"),
        ("RESET statement_timeout", "SELECT array_agg(g) FROM generate_series(1, 100000000) g", "53200"),
        ("SELECT 1", large, "53400"),
        ("SELECT 1", "SELECT generate_series(1, 1000000000)", "54000"),
        ("SELECT 1", "SELECT repeat('x', 2000000000)", "54000"),
    ];
    server.block_on(async {
        let (client, other) = (server.connect().await, server.connect().await);
        for (before, sql, code) in cases {
            client.batch_execute(before).await.expect(before);
            let (error, answer) = tokio::join!(refusal(&client, sql), other.query_one("SELECT 1", &[]));
            let memory = matches!(error.code().code(), "53200" | "53400") && matches!(code, "53200" | "53400");
            assert!(error.code().code() == code || memory, "{sql}: {error}");
            assert!(!memory || error.hint().is_some(), "{sql}: {error:?}");
            assert_eq!(answer.expect("goes on").get::<_, i32>(0), 1);
            client.batch_execute("SELECT 1").await.expect("the session goes on");
        }
        // A transaction that waits too long ends, and what it held is free.
        other.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.expect("made");
        client
            .batch_execute("SET idle_in_transaction_session_timeout = '50ms'; BEGIN; INSERT INTO t VALUES (1)")
            .await
            .ok();
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
        other.batch_execute("INSERT INTO t VALUES (1)").await.expect("nobody holds the key");
    });
}
