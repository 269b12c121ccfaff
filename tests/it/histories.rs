//! Isolation under concurrency: sessions write and read at once, and what they saw is checked afterwards.
//!
//! Every write carries a value of its own, so that a wrong reading names the write it came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::database::{Client, Database};

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// Runs a transaction; gives the rows of its queries, or nothing if another was faster.
async fn transaction(client: &mut Client, level: &str, statements: &[String]) -> Option<Vec<String>> {
    let mut seen = Vec::new();
    client.ok(&format!("BEGIN ISOLATION LEVEL {level}")).await;
    for statement in statements.iter().map(String::as_str).chain(["COMMIT"]) {
        match client.run(statement).await {
            Ok(mut lines) => {
                lines.pop();
                seen.extend(lines);
            }
            Err(error) => {
                assert_eq!(error.code.as_str(), "40001", "{statement}: {error:?}");
                client.ok("ROLLBACK").await;
                return None;
            }
        }
    }
    Some(seen)
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut out = Vec::new();
    for task in tasks {
        out.push(task.await.expect("a session ends"));
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_answered_is_seen_by_every_session_from_then_on() {
    for level in LEVELS {
        let database = Database::new();
        let mut sessions = [database.connect(), database.connect(), database.connect()];
        sessions[0].ok("CREATE TABLE token (n int)").await;
        for round in 0..60 {
            let (insert, read) = (format!("INSERT INTO token VALUES ({round})"), "SELECT max(n) FROM token".to_owned());
            let inserted = transaction(&mut sessions[round % 3], level, &[insert, read.clone()]).await;
            assert_eq!(inserted, Some(vec![round.to_string()]), "{level}: own writes are seen");
            let seen = transaction(&mut sessions[(round + 1) % 3], level, &[read]).await;
            assert_eq!(seen, Some(vec![round.to_string()]), "{level}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_half_a_commit_or_what_was_rolled_back() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE pair (id int PRIMARY KEY, v int); INSERT INTO pair VALUES (1, 0), (2, 0)").await;
    let writers = (1..=3).map(|writer| {
        let mut client = database.connect();
        tokio::spawn(async move {
            for round in 0..15 {
                let value = writer * 1_000 + round;
                client.ok("BEGIN").await;
                client.ok(&format!("UPDATE pair SET v = -{value} WHERE id = 1")).await;
                if round % 3 == 0 {
                    client.ok("ROLLBACK").await;
                    continue;
                }
                client.ok(&format!("UPDATE pair SET v = {value}")).await;
                if let Err(error) = client.run("COMMIT").await {
                    assert_eq!(error.code.as_str(), "40001");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let seen = client.ok("SELECT count(DISTINCT v), min(v) >= 0, count(*) FROM pair").await;
        assert_eq!(seen[0], "1|t|2");
        tokio::task::yield_now().await;
    }
    all(writers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_is_lost() {
    for level in LEVELS {
        let database = Database::new();
        let mut client = database.connect();
        client.ok("CREATE TABLE c (id int PRIMARY KEY, n int); INSERT INTO c VALUES (1, 0)").await;
        let clients = (0..8).map(|_| {
            let mut client = database.connect();
            tokio::spawn(async move {
                let mut committed = 0;
                for _ in 0..6 {
                    let increment = ["UPDATE c SET n = n + 1 WHERE id = 1".to_owned()];
                    committed += usize::from(transaction(&mut client, level, &increment).await.is_some());
                }
                committed
            })
        });
        let committed: usize = all(clients.collect()).await.into_iter().sum();
        assert!(committed > 0, "{level}");
        assert_eq!(client.ok("SELECT n FROM c").await[0], committed.to_string(), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upserts_of_one_row_all_get_their_turn() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE c (id int PRIMARY KEY, n int)").await;
    let upsert = "INSERT INTO c VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = c.n + 1";
    let clients = (0..16).map(|_| {
        let mut client = database.connect();
        tokio::spawn(async move {
            for _ in 0..5 {
                client.ok(upsert).await;
            }
        })
    });
    all(clients.collect()).await;
    assert_eq!(client.ok("SELECT n FROM c").await[0], "80");
}

/// Two writers of one value each: no two readers disagree about which came first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_agree_on_the_order_of_commits() {
    for (level, reads) in [
        ("READ COMMITTED", vec!["SELECT x.n, y.n FROM x, y".to_owned()]),
        ("REPEATABLE READ", vec!["SELECT n FROM x".to_owned(), "SELECT n FROM y".to_owned()]),
    ] {
        let database = Database::new();
        let mut client = database.connect();
        client
            .ok("CREATE TABLE x (n int); CREATE TABLE y (n int); INSERT INTO x VALUES (0); INSERT INTO y VALUES (0)")
            .await;
        let writers = ["x", "y"].map(|table| {
            let mut client = database.connect();
            tokio::spawn(async move {
                for _ in 0..25 {
                    client.ok(&format!("UPDATE {table} SET n = n + 1")).await;
                }
            })
        });
        let done = Arc::new(AtomicBool::new(false));
        let readers = (0..2).map(|_| {
            let mut client = database.connect();
            let (reads, done) = (reads.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen: Vec<Vec<i32>> = Vec::new();
                while !done.load(Ordering::Acquire) {
                    // Sessions of a server have threads of their own; here they share two.
                    tokio::task::yield_now().await;
                    let lines = transaction(&mut client, level, &reads).await.expect("readers never fail");
                    let numbers = lines.iter().flat_map(|line| line.split('|')).map(|n| n.parse().expect("a number"));
                    seen.push(numbers.collect());
                }
                seen
            })
        });
        let readers: Vec<_> = readers.collect();
        for writer in writers {
            let ended = writer.await;
            done.fetch_or(ended.is_err(), Ordering::AcqRel);
            ended.expect("a writer ends");
        }
        done.store(true, Ordering::Release);
        let mut seen: Vec<Vec<i32>> = all(readers).await.concat();
        seen.sort();
        let disagreeing = seen.windows(2).find(|pair| pair[0][1] > pair[1][1]);
        assert_eq!(disagreeing, None, "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_outlives_every_flush_and_merge_after_it() {
    let database = Database::new();
    let (mut reader, mut writer) = (database.connect(), database.connect());
    writer.ok("CREATE TABLE t (k int, n int) WITH (order_by = 'k'); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) AS g(i)").await;
    let question = "SELECT count(*), sum(n), min(n), max(n) FROM t";
    reader.ok("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    let before = reader.ok(question).await;
    for round in 0..100 {
        writer.ok(&format!("INSERT INTO t VALUES ({round}, -{round}); DELETE FROM t WHERE k = {round} + 1")).await;
        database.flush();
        if round % 10 == 9 {
            writer.ok("VACUUM t").await;
        }
    }
    writer.ok("VACUUM FULL t").await;
    assert_eq!(reader.ok(question).await, before);
    reader.ok("COMMIT").await;
    assert_ne!(reader.ok(question).await, before);
}
