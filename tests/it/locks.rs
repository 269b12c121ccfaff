//! SELECT ... FOR UPDATE and LOCK TABLE: what a transaction may rely on until it commits.

use crate::database::{Client, Database};

const TABLES: &str =
    "CREATE TABLE t (x int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 5) AS g(i);
    CREATE TABLE other (x int, n int); INSERT INTO other VALUES (1, 0), (2, 0); CREATE TABLE log (x int);
    CREATE VIEW some AS SELECT x, n FROM t WHERE x < 3";

/// The end of a transaction that ran `reads` before another ran `change`.
async fn end_of(level: &str, reads: &str, change: &str, flushed: bool) -> String {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok(TABLES).await;
    one.ok(&format!("BEGIN ISOLATION LEVEL {level}")).await;
    one.ok(reads).await;
    two.ok(change).await;
    if flushed {
        database.flush();
    }
    // Another statement, on a newer snapshot where the level gives one.
    one.ok("INSERT INTO log VALUES (1)").await;
    match one.run("COMMIT").await {
        Ok(lines) => lines[0].clone(),
        Err(error) => error.code.to_string(),
    }
}

#[tokio::test]
async fn rows_read_for_update_are_unchanged_at_commit() {
    for (reads, change, conflict) in [
        ("SELECT * FROM t WHERE x = 2 FOR UPDATE", "UPDATE t SET n = 1 WHERE x = 2", true),
        ("SELECT * FROM t WHERE x = 2 FOR SHARE", "DELETE FROM t WHERE x = 2", true),
        ("SELECT * FROM t WHERE x = 2 FOR NO KEY UPDATE NOWAIT", "UPDATE t SET n = 1 WHERE x = 2", true),
        ("SELECT * FROM t WHERE x = 2 FOR KEY SHARE SKIP LOCKED", "TRUNCATE t", true),
        ("SELECT * FROM t WHERE x = 2 FOR UPDATE", "UPDATE t SET n = 1 WHERE x = 3", false),
        ("SELECT * FROM t WHERE x = 2 FOR UPDATE", "INSERT INTO t VALUES (9, 9)", false),
        ("SELECT * FROM t WHERE x = 2", "UPDATE t SET n = 1 WHERE x = 2", false),
        ("SELECT x FROM t WHERE n = 0 LIMIT 1 FOR UPDATE", "UPDATE t SET n = 1 WHERE x = 1", true),
        ("SELECT x FROM t WHERE n = 0 FOR UPDATE LIMIT 1", "UPDATE t SET n = 1 WHERE x = 5", false),
        ("SELECT x FROM t FOR UPDATE OFFSET 4 ROWS FETCH FIRST ROW ONLY", "UPDATE t SET n = 1 WHERE x = 5", true),
        ("SELECT t.x FROM t JOIN other AS o USING (x) FOR UPDATE", "UPDATE other SET n = 1 WHERE x = 2", true),
        ("SELECT t.x FROM t JOIN other AS o USING (x) FOR UPDATE OF t", "UPDATE other SET n = 1 WHERE x = 2", false),
        ("SELECT t.x FROM t JOIN other AS o USING (x) FOR UPDATE OF t, o", "UPDATE other SET n = 1 WHERE x = 2", true),
        ("SELECT t.x FROM t, other WHERE t.x = 3 FOR UPDATE OF t FOR SHARE OF other", "DELETE FROM other", true),
        ("SELECT * FROM (SELECT x FROM t WHERE x = 4) AS s FOR UPDATE", "DELETE FROM t WHERE x = 4", true),
        ("SELECT count(*) FROM (SELECT x FROM t FOR UPDATE) AS s", "DELETE FROM t WHERE x = 4", true),
        ("SELECT 1 WHERE 2 IN (SELECT x FROM t WHERE x = 2 FOR UPDATE)", "DELETE FROM t WHERE x = 2", true),
        ("SELECT * FROM some FOR UPDATE", "DELETE FROM t WHERE x = 2", true),
        ("SELECT * FROM some FOR UPDATE", "DELETE FROM t WHERE x = 3", false),
        ("WITH t AS (SELECT * FROM other) SELECT * FROM t FOR UPDATE", "DELETE FROM t; DELETE FROM other", false),
        ("WITH c AS (SELECT * FROM other FOR UPDATE) SELECT * FROM c", "DELETE FROM other", true),
        ("SELECT t.n, public.t.x FROM public.t WHERE t.x = 2 FOR UPDATE OF t", "DELETE FROM t WHERE x = 2", true),
        ("SELECT tableoid::regclass FROM t AS a WHERE x = 2 FOR UPDATE", "DELETE FROM t WHERE x = 2", true),
        ("PREPARE p AS SELECT * FROM t WHERE x = $1 FOR UPDATE; EXECUTE p(2)", "DELETE FROM t WHERE x = 2", true),
        ("DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE; FETCH 2 FROM c", "DELETE FROM t WHERE x = 2", true),
        ("CREATE TABLE copy AS SELECT * FROM t FOR UPDATE", "DELETE FROM t WHERE x = 2", true),
        ("SAVEPOINT a; SELECT * FROM t FOR UPDATE; ROLLBACK TO a", "DELETE FROM t WHERE x = 2", false),
        ("SAVEPOINT a; SELECT * FROM t FOR UPDATE; RELEASE a", "DELETE FROM t WHERE x = 2", true),
        ("SELECT * FROM t FOR UPDATE; SAVEPOINT a; SELECT 1; ROLLBACK TO a", "DELETE FROM t WHERE x = 2", true),
        ("UPDATE t SET n = 7 WHERE x = 3; SELECT * FROM t WHERE x = 3 FOR UPDATE", "DELETE FROM t WHERE x = 2", false),
    ] {
        for level in ["READ COMMITTED", "REPEATABLE READ"] {
            for flushed in [false, true] {
                let end = end_of(level, reads, change, flushed).await;
                let expected = if conflict { "40001" } else { "COMMIT" };
                assert_eq!(end, expected, "{level}, flushed {flushed}: {reads}; {change}");
            }
        }
    }
}

#[tokio::test]
async fn rows_locked_in_a_part_are_followed_when_parts_are_merged() {
    for (change, end) in [("DELETE FROM t WHERE x = 2", "40001"), ("DELETE FROM t WHERE x = 3", "COMMIT")] {
        for change_first in [true, false] {
            let database = Database::new();
            let (mut one, mut two) = (database.connect(), database.connect());
            one.ok(TABLES).await;
            database.flush();
            one.ok("BEGIN; SELECT * FROM t WHERE x = 2 FOR UPDATE").await;
            if change_first {
                two.ok(change).await;
            }
            two.ok("VACUUM FULL t; DELETE FROM t WHERE x = 5; VACUUM FULL t").await;
            if !change_first {
                two.ok(change).await;
            }
            one.ok("INSERT INTO log VALUES (1)").await;
            let ended = match one.run("COMMIT").await {
                Ok(lines) => lines[0].clone(),
                Err(error) => error.code.to_string(),
            };
            assert_eq!(ended, end, "{change}, first: {change_first}");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_only_locks_is_told_at_its_end_too() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok(TABLES).await;
    one.ok("BEGIN; SELECT * FROM t WHERE x = 1 FOR UPDATE").await;
    two.ok("UPDATE t SET n = 1 WHERE x = 1").await;
    let error = one.error("COMMIT").await;
    assert_eq!((error.code.as_str(), error.hint.as_deref()), ("40001", Some("Retry the transaction.")));
    one.ok("BEGIN; SELECT * FROM t WHERE x = 1 FOR UPDATE").await;
    two.ok("UPDATE t SET n = 1 WHERE x = 2").await;
    one.ok("COMMIT").await;
    // Two who lock one row and change it: one of them.
    one.ok("BEGIN; SELECT * FROM t WHERE x = 1 FOR UPDATE").await;
    two.ok("BEGIN; SELECT * FROM t WHERE x = 1 FOR UPDATE").await;
    one.ok("UPDATE t SET n = n + 1 WHERE x = 1; COMMIT").await;
    two.ok("UPDATE t SET n = n + 1 WHERE x = 1").await;
    assert_eq!(two.error("COMMIT").await.code.as_str(), "40001");
    assert_eq!(one.ok("SELECT n FROM t WHERE x = 1").await[0], "2");
    // Outside a transaction nothing changes.
    assert_eq!(one.ok("SELECT x FROM t WHERE x = 1 FOR UPDATE").await, ["1", "SELECT 1"]);
}

async fn code(client: &mut Client, text: &str) -> String {
    match client.run(text).await {
        Ok(lines) => lines.last().cloned().unwrap_or_default(),
        Err(error) => format!("{} {}", error.code, error.message),
    }
}

#[tokio::test]
async fn modes_of_lock_table_conflict_as_in_postgresql() {
    const MODES: [&str; 8] = [
        "ACCESS SHARE",
        "ROW SHARE",
        "ROW EXCLUSIVE",
        "SHARE UPDATE EXCLUSIVE",
        "SHARE",
        "SHARE ROW EXCLUSIVE",
        "EXCLUSIVE",
        "ACCESS EXCLUSIVE",
    ];
    // The table of PostgreSQL's manual, chapter "Explicit Locking".
    const CONFLICTS: [&str; 8] =
        [".......x", "......xx", "....xxxx", "...xxxxx", "..xx.xxx", "..xxxxxx", ".xxxxxxx", "xxxxxxxx"];
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok(TABLES).await;
    for (held, row) in MODES.iter().zip(CONFLICTS) {
        for (wanted, conflict) in MODES.iter().zip(row.chars()) {
            one.ok(&format!("BEGIN; LOCK TABLE t IN {held} MODE; LOCK t IN {wanted} MODE; ROLLBACK")).await;
            one.ok(&format!("BEGIN; LOCK TABLE t IN {held} MODE")).await;
            two.ok("BEGIN").await;
            let got = code(&mut two, &format!("LOCK TABLE other, t IN {wanted} MODE NOWAIT")).await;
            let refused = "55P03 could not obtain lock on relation \"t\"";
            assert_eq!(got, if conflict == 'x' { refused } else { "LOCK TABLE" }, "{held}, {wanted}");
            two.ok("ROLLBACK").await;
            one.ok("ROLLBACK").await;
        }
    }
}

#[tokio::test]
async fn a_lock_of_a_table_lasts_until_the_end_and_is_waited_for() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok(TABLES).await;
    assert_eq!(code(&mut one, "LOCK TABLE t").await, "25P01 LOCK TABLE can only be used in transaction blocks");
    one.ok("BEGIN; LOCK TABLE some").await;
    two.ok("SET lock_timeout = '20ms'; BEGIN").await;
    assert_eq!(code(&mut two, "LOCK TABLE t IN SHARE MODE").await, "55P03 canceling statement due to lock timeout");
    two.ok("ROLLBACK; RESET lock_timeout; BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    // The snapshot is taken after the wait: it has what the holder did.
    one.ok("UPDATE t SET n = 5 WHERE x = 1").await;
    let waits = tokio::spawn(async move {
        let got = two.ok("LOCK TABLE t IN EXCLUSIVE MODE").await;
        (two, got)
    });
    tokio::task::yield_now().await;
    one.ok("COMMIT").await;
    let (mut two, got) = waits.await.expect("ends");
    assert_eq!(got, ["LOCK TABLE"]);
    assert_eq!(two.ok("SELECT n FROM t WHERE x = 1").await[0], "5");
    // A savepoint gives back what was locked after it; a failed transaction gives back all.
    two.ok("SAVEPOINT a; LOCK TABLE other; ROLLBACK TO a").await;
    one.ok("BEGIN; LOCK TABLE other NOWAIT; ROLLBACK").await;
    assert_eq!(code(&mut two, "SELECT 1 / 0").await, "22012 division by zero");
    two.ok("ROLLBACK").await;
    one.ok("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK").await;
    // A session that is gone holds nothing.
    two.ok("BEGIN; LOCK TABLE t").await;
    drop(two);
    one.ok("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK").await;
}

#[tokio::test]
async fn whoever_waits_for_himself_is_told_so() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok(TABLES).await;
    one.ok("BEGIN; LOCK TABLE t").await;
    two.ok("BEGIN; LOCK TABLE other").await;
    let waits = tokio::spawn(async move {
        let got = code(&mut one, "LOCK TABLE other").await;
        code(&mut one, "ROLLBACK").await;
        got
    });
    tokio::task::yield_now().await;
    let got = code(&mut two, "LOCK TABLE t").await;
    code(&mut two, "ROLLBACK").await;
    let mut both = [waits.await.expect("ends"), got];
    both.sort();
    assert_eq!(both, ["40P01 deadlock detected", "LOCK TABLE"]);
}

#[tokio::test]
async fn a_writer_that_does_not_lock_makes_the_holder_fail_not_err() {
    for (mode, end) in [("SHARE", "40001"), ("ROW EXCLUSIVE", "COMMIT")] {
        let database = Database::new();
        let (mut one, mut two) = (database.connect(), database.connect());
        one.ok(TABLES).await;
        one.ok(&format!("BEGIN; LOCK TABLE t IN {mode} MODE")).await;
        assert_eq!(one.ok("SELECT count(*) FROM t").await[0], "5");
        two.ok("INSERT INTO t VALUES (6, 0)").await;
        one.ok("INSERT INTO log VALUES (5)").await;
        let ended = match one.run("COMMIT").await {
            Ok(lines) => lines[0].clone(),
            Err(error) => error.code.to_string(),
        };
        assert_eq!(ended, end, "{mode}");
    }
}
