//! DDL beside other sessions: what was checked is what holds, temporary objects are nobody else's and end with their session.

use crate::database::Database;
use crate::harness::Harness;

#[tokio::test]
async fn a_constraint_holds_for_rows_that_came_while_it_was_checked() {
    for (ddl, row) in [
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "-1"),
        ("ALTER TABLE t ADD UNIQUE (a)", "1"),
        ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", "NULL"),
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint", "2"),
        ("CREATE UNIQUE INDEX i ON t (a)", "1"),
    ] {
        let database = Database::new();
        let (mut one, mut two) = (database.connect(), database.connect());
        one.ok("CREATE TABLE t (a int)").await;
        one.ok("INSERT INTO t VALUES (1)").await;
        one.ok("BEGIN").await;
        one.ok(ddl).await;
        // Not seen by the check, committed before the constraint.
        two.ok(&format!("INSERT INTO t VALUES ({row})")).await;
        assert_eq!(one.error("COMMIT").await.code.as_str(), "40001", "{ddl}");
        assert_eq!(two.ok("SELECT count(*) FROM t").await[0], "2", "{ddl}");
        // The other way round the row meets the constraint, or a table it was not planned for.
        two.ok("DELETE FROM t").await;
        two.ok("INSERT INTO t VALUES (1)").await;
        two.ok("BEGIN").await;
        two.ok(&format!("INSERT INTO t VALUES ({row})")).await;
        one.ok(ddl).await;
        let error = two.error("COMMIT").await;
        assert!(["40001", "23505"].contains(&error.code.as_str()), "{ddl}: {error:?}");
        assert_eq!(two.ok("SELECT count(*) FROM t").await[0], "1", "{ddl}");
    }
}

#[tokio::test]
async fn a_table_of_another_type_is_there_after_a_restart_of_its_readers() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok("CREATE TABLE t (a int PRIMARY KEY, b text)").await;
    one.ok("INSERT INTO t SELECT g, g FROM generate_series(1, 100) AS g").await;
    // Rows in a part and rows in memory, some deleted.
    one.ok("CHECKPOINT").await;
    one.ok("INSERT INTO t SELECT g, g FROM generate_series(101, 200) AS g").await;
    one.ok("DELETE FROM t WHERE a % 10 = 0").await;
    two.ok("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(two.ok("SELECT count(*), sum(b::int) FROM t").await[0], "180|18000");
    one.ok("ALTER TABLE t ALTER COLUMN b TYPE int USING b::int * 2, ADD COLUMN c int DEFAULT 5").await;
    assert_eq!(one.ok("SELECT count(*), sum(b), sum(c) FROM t").await[0], "180|36000|900");
    one.ok("UPDATE t SET c = 6 WHERE a = 1").await;
    assert_eq!(one.error("INSERT INTO t VALUES (1, 1, 1)").await.code.as_str(), "23505");
    two.ok("ROLLBACK").await;
    one.ok("CHECKPOINT").await;
    assert_eq!(two.ok("SELECT count(*), sum(b), sum(c) FROM t").await[0], "180|36000|901");
}

#[tokio::test]
async fn temporary_objects_belong_to_one_session_and_end_with_it() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok("CREATE TEMP TABLE t (a int)").await;
    one.ok("CREATE TEMP SEQUENCE s").await;
    one.ok("INSERT INTO t VALUES (1)").await;
    assert_eq!(two.error("SELECT * FROM t").await.code.as_str(), "42P01");
    two.ok("CREATE TEMP TABLE t (b text)").await;
    two.ok("INSERT INTO t VALUES ('two')").await;
    assert_eq!(one.ok("SELECT * FROM t").await, ["1", "SELECT 1"]);
    assert_eq!(two.ok("SELECT * FROM t").await, ["two", "SELECT 1"]);
    let list = "SELECT count(*) FROM pg_class WHERE relpersistence = 't'";
    assert_eq!(two.ok(list).await[0], "3");
    drop(one);
    assert_eq!(two.ok(list).await[0], "1");
    // In a block that never ends, too.
    two.ok("BEGIN").await;
    two.ok("INSERT INTO t VALUES ('three')").await;
    drop(two);
    let mut three = database.connect();
    assert_eq!(three.ok(list).await[0], "0");
    assert_eq!(three.error("SELECT nextval('s')").await.code.as_str(), "42P01");
}

#[test]
fn temporary_objects_of_a_killed_server_are_gone_at_the_next_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let server = crate::crash::RunningServer::start_with(directory.path(), &[]).expect("starts");
        let client = server.connect().await.expect("connects");
        let made = "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE p (a int)";
        client.batch_execute(made).await.expect("makes");
        // Dropped here: SIGKILL.
    });
    let path = directory.path().to_owned();
    let server = Harness::start_with(|config| config.data_dir = Some(path));
    let client = server.block_on(server.connect());
    let row = server.block_on(client.query_one(
        "SELECT count(*), count(*) FILTER (WHERE relpersistence = 't') FROM pg_class WHERE relname IN ('t', 'p')",
        &[],
    ));
    let row = row.expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0));
}
