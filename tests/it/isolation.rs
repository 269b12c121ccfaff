//! What each isolation level promises, and what it allows.

use crate::database::{Client, Database};

/// What a statement gives: its first line, or the SQLSTATE.
async fn got(client: &mut Client, text: &str) -> String {
    match client.run(text).await {
        Ok(lines) => lines[0].clone(),
        Err(error) => error.code.to_string(),
    }
}

/// Isolation level; count after another's insert; and the end of a transaction that changed a row another changed first.
const LEVELS: &[(&str, &str, &str)] = &[
    ("READ UNCOMMITTED", "3", "UPDATE 1 COMMIT"),
    ("READ COMMITTED", "3", "UPDATE 1 COMMIT"),
    ("REPEATABLE READ", "2", "UPDATE 1 40001"),
    ("SERIALIZABLE", "2", "UPDATE 1 40001"),
];

#[tokio::test]
async fn snapshots_are_taken_per_statement_or_per_transaction() {
    for (level, count, end) in LEVELS {
        let database = Database::new();
        let (mut one, mut two) = (database.connect(), database.connect());
        one.ok("CREATE TABLE t (x int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)").await;
        one.ok(&format!("BEGIN ISOLATION LEVEL {level}")).await;
        assert_eq!(one.ok("SELECT count(*) FROM t").await[0], "2");
        two.ok("BEGIN; INSERT INTO t VALUES (3, 0); UPDATE t SET n = n + 1 WHERE x = 1").await;
        assert_eq!(one.ok("SELECT count(*), sum(n) FROM t").await[0], "2|0", "{level}: nothing uncommitted is seen");
        two.ok("COMMIT").await;
        assert_eq!(one.ok("SELECT count(*) FROM t").await[0], *count, "{level}");
        // A flush or a merge in between changes nothing.
        database.flush();
        assert_eq!(one.ok("SELECT count(*) FROM t").await[0], *count, "{level}");
        let update = got(&mut one, "UPDATE t SET n = n + 10 WHERE x = 1").await;
        assert_eq!(format!("{update} {}", got(&mut one, "COMMIT").await), *end, "{level}");
        let sum = if end.ends_with("COMMIT") { "11" } else { "1" };
        assert_eq!(two.ok("SELECT sum(n) FROM t").await[0], sum, "{level}: no update is lost");
    }
}

#[tokio::test]
async fn a_change_of_a_row_that_another_changed_since_the_statement_fails_at_every_level() {
    for (level, _, _) in LEVELS {
        for flushed in [false, true] {
            let database = Database::new();
            let (mut one, mut two) = (database.connect(), database.connect());
            one.ok("CREATE TABLE t (x int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)").await;
            one.ok(&format!("BEGIN ISOLATION LEVEL {level}; UPDATE t SET n = 5 WHERE x = 1")).await;
            two.ok("DELETE FROM t WHERE x = 1").await;
            if flushed {
                database.flush();
            }
            let error = one.error("COMMIT").await;
            assert_eq!((error.code.as_str(), error.hint.as_deref()), ("40001", Some("Retry the transaction.")));
            assert_eq!(one.ok("SELECT x, n FROM t").await, ["2|0", "SELECT 1"], "it leaves nothing behind");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_and_its_sum_stays() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE bank (id int PRIMARY KEY, n int)").await;
    client.ok("INSERT INTO bank SELECT i, 100 FROM generate_series(0, 7) AS g(i)").await;
    let movers: Vec<_> = (0..4)
        .map(|mover| {
            let mut client = database.connect();
            tokio::spawn(async move {
                for round in 0..10 {
                    let (from, to) = ((mover + round) % 8, (mover * 3 + round + 1) % 8);
                    let change = format!(
                        "UPDATE bank SET n = n + CASE WHEN id = {from} THEN -1 ELSE 1 END WHERE id IN ({from}, {to})"
                    );
                    if from != to {
                        client.ok(&change).await;
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(client.ok("SELECT sum(n), count(*) FROM bank").await[0], "800|8");
    }
    for mover in movers {
        mover.await.expect("ends");
    }
    assert_eq!(client.ok("SELECT sum(n), count(*) FROM bank").await[0], "800|8");
}

#[tokio::test]
async fn serializable_transactions_that_read_what_the_other_writes_do_not_both_commit() {
    for (level, outcome) in [("SERIALIZABLE", "40001"), ("REPEATABLE READ", "")] {
        let database = Database::new();
        let (mut one, mut two) = (database.connect(), database.connect());
        one.ok("CREATE TABLE doctors (name text PRIMARY KEY, on_call boolean)").await;
        one.ok("INSERT INTO doctors VALUES ('a', true), ('b', true)").await;
        for (client, name) in [(&mut one, "a"), (&mut two, "b")] {
            client.ok(&format!("BEGIN ISOLATION LEVEL {level}")).await;
            assert_eq!(client.ok("SELECT count(*) FROM doctors WHERE on_call").await[0], "2");
            client.ok(&format!("UPDATE doctors SET on_call = false WHERE name = '{name}'")).await;
        }
        one.ok("COMMIT").await;
        let got = match two.run("COMMIT").await {
            Ok(_) => String::new(),
            Err(error) => error.code.to_string(),
        };
        assert_eq!(got, outcome, "{level}");
    }
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok("CREATE TABLE t (x int PRIMARY KEY); CREATE TABLE other (x int)").await;
    one.ok("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM t; CREATE TABLE own (x int); SELECT * FROM own").await;
    one.ok("INSERT INTO t VALUES (1)").await;
    two.ok("INSERT INTO other VALUES (1)").await;
    // Rows that only move are no change.
    database.flush();
    one.ok("COMMIT").await;
}
