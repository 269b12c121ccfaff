//! No value of a sequence is given twice: not by two sessions, not after kill -9, not after a clean stop.

use std::collections::BTreeSet;

use crate::crash::RunningServer;
use crate::database::Database;
use crate::harness::Harness;

/// Kills of the server.
const KILLS: usize = 5;

/// Values taken between two kills: over one block at least once, and never a multiple of it.
const TAKEN: usize = 370;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_given_once_across_sessions_and_kills() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut seen = BTreeSet::new();
    let mut rows = 0;
    for kill in 0..KILLS {
        let server = RunningServer::start_with(directory.path(), &[]).expect("starts");
        let client = server.connect().await.expect("connects");
        if kill == 0 {
            let made = "CREATE SEQUENCE s; BEGIN; CREATE TABLE t (id serial PRIMARY KEY, n int); \
                        INSERT INTO t (n) VALUES (0), (0), (0); COMMIT";
            client.batch_execute(made).await.expect("makes");
            rows += 3;
        }
        let mut takers = Vec::new();
        for _ in 0..2 {
            let client = server.connect().await.expect("connects");
            takers.push(tokio::spawn(async move {
                let mut values = Vec::new();
                for _ in 0..TAKEN {
                    let row = client.query_one("SELECT nextval('s')", &[]).await.expect("a value");
                    values.push(row.get::<_, i64>(0));
                }
                client
                    .execute("INSERT INTO t (n) SELECT g FROM generate_series(1, 100) AS g", &[])
                    .await
                    .expect("adds");
                values
            }));
        }
        for taker in takers {
            let values = taker.await.expect("ends");
            assert!(values.is_sorted(), "one session's values grow");
            for value in values {
                assert!(seen.insert(value), "{value} was given twice, kill {kill}");
            }
        }
        rows += 200;
        let row = client.query_one("SELECT count(*), count(DISTINCT id) FROM t", &[]).await.expect("counts");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (rows, rows));
        // Dropped here: SIGKILL.
    }
    assert_eq!(seen.len(), KILLS * 2 * TAKEN);
}

#[test]
fn a_clean_stop_leaves_no_gap() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for wanted in [1_i64, 3, 5] {
        let path = directory.path().join("data");
        let server = Harness::start_with(|config| config.data_dir = Some(path));
        let client = server.block_on(server.connect());
        let value = server.block_on(async {
            if wanted == 1 {
                client.batch_execute("CREATE SEQUENCE s").await.expect("makes");
            }
            client.query_one("SELECT nextval('s'), nextval('s')", &[]).await.expect("two values").get::<_, i64>(0)
        });
        assert_eq!(value, wanted);
        server.stop();
    }
}

/// Sequences that come and go leave nothing in memory, however their transactions end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_sequences_that_are_gone_leave_memory() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE t (id serial, n int); CREATE SEQUENCE s; SELECT nextval('s')").await;
    client.ok("INSERT INTO t (n) VALUES (1)").await;
    for round in [
        "TRUNCATE t RESTART IDENTITY; INSERT INTO t (n) VALUES (1)",
        "BEGIN; TRUNCATE t RESTART IDENTITY; INSERT INTO t (n) VALUES (1); ROLLBACK",
        "BEGIN; SAVEPOINT a; TRUNCATE t RESTART IDENTITY; INSERT INTO t (n) VALUES (1); ROLLBACK TO a; COMMIT",
        "CREATE TEMPORARY TABLE g (id serial, n int); INSERT INTO g (n) VALUES (1); DROP TABLE g",
        "BEGIN; CREATE TEMPORARY TABLE g (id serial, n int) ON COMMIT DROP; INSERT INTO g (n) VALUES (1); COMMIT",
        "ALTER SEQUENCE s RESTART; SELECT nextval('s')",
        "ALTER SEQUENCE s RESTART; SELECT setval('s', 1, false)",
    ] {
        for _ in 0..3 {
            client.ok(round).await;
            assert_eq!(database.engine.sequences_open(), 2, "{round}");
        }
    }
    assert_eq!(client.ok("SELECT id, nextval('s') FROM t").await[0], "1|1");
}
