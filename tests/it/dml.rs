//! Writes mean what they mean in PostgreSQL: counts, errors and the rows that remain.

use crate::database::{Client, Database};

/// Ten rows, two of them with NULL, and a smaller table with a duplicate and a NULL.
pub const SET_UP: [&str; 5] = [
    "CREATE TABLE t (x int PRIMARY KEY, y int CHECK (y >= 0), z varchar(5) DEFAULT 'dflt')",
    "CREATE TABLE s (x int, y int)",
    "CREATE VIEW v AS SELECT x FROM t UNION ALL SELECT 1",
    "INSERT INTO t VALUES (1,10,'a'),(2,20,'b'),(3,NULL,'c'),(4,40,NULL),(5,50,'ae'),(6,NULL,'f'),\
     (7,70,'g'),(8,80,'ah'),(9,90,'i'),(10,100,'j')",
    "INSERT INTO s VALUES (1,5),(2,25),(2,25),(3,30),(NULL,1)",
];

/// Makes them.
pub async fn set_up(client: &mut Client) {
    for statement in SET_UP {
        client.ok(statement).await;
    }
}

#[tokio::test]
async fn returning_sees_what_was_written_or_removed() {
    let database = Database::new();
    let mut client = database.connect();
    set_up(&mut client).await;
    let inserted = client.ok("INSERT INTO t (x) VALUES (11), (12) RETURNING *, x * 2 AS double").await;
    assert_eq!(inserted, ["11||dflt|22", "12||dflt|24", "INSERT 0 2"]);
    assert_eq!(client.ok("UPDATE t SET y = 1, z = 'n' WHERE x = 12 RETURNING t.x, y, z").await, ["12|1|n", "UPDATE 1"]);
    assert_eq!(client.ok("DELETE FROM t AS d WHERE x > 10 RETURNING d.x, z").await, ["11|dflt", "12|n", "DELETE 2"]);
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_others_do_not() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    set_up(&mut one).await;
    one.ok("BEGIN").await;
    one.ok("INSERT INTO t VALUES (11, 1, 'n')").await;
    one.ok("DELETE FROM t WHERE x <= 5").await;
    one.ok("UPDATE t SET y = 0 WHERE x = 11").await;
    assert_eq!(one.ok("SELECT count(*), sum(x), min(y) FROM t").await[0], "6|51|0");
    assert_eq!(two.ok("SELECT count(*), sum(x), min(y) FROM t").await[0], "10|55|10");
    one.ok("SAVEPOINT a").await;
    one.ok("TRUNCATE t").await;
    assert_eq!(one.ok("SELECT count(*) FROM t").await[0], "0");
    one.ok("ROLLBACK TO a").await;
    assert_eq!(one.ok("SELECT count(*), sum(x), min(y) FROM t").await[0], "6|51|0");
    one.ok("COMMIT").await;
    assert_eq!(two.ok("SELECT count(*), sum(x), min(y) FROM t").await[0], "6|51|0");
}

#[tokio::test]
async fn a_read_only_transaction_refuses_every_write() {
    let database = Database::new();
    let mut client = database.connect();
    set_up(&mut client).await;
    for (statement, verb) in [
        ("INSERT INTO t VALUES (11)", "INSERT"),
        ("UPDATE t SET y = 1", "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("TRUNCATE t", "TRUNCATE TABLE"),
        ("COPY t FROM STDIN", "COPY FROM"),
    ] {
        client.ok("BEGIN READ ONLY").await;
        let error = client.error(statement).await;
        assert_eq!(error.code.as_str(), "25006");
        assert_eq!(error.message, format!("cannot execute {verb} in a read-only transaction"));
        client.ok("ROLLBACK").await;
    }
}

#[tokio::test]
async fn concurrent_updates_of_one_row_all_count() {
    let database = Database::new();
    database.connect().ok("CREATE TABLE c (n int)").await;
    database.connect().ok("INSERT INTO c VALUES (0)").await;
    let mut one = database.connect();
    let mut two = database.connect();
    // Both have read the row before either commits; the one that loses is rerun.
    for _ in 0..10 {
        let (left, right) = tokio::join!(one.run("UPDATE c SET n = n + 1"), two.run("UPDATE c SET n = n + 1"));
        assert_eq!(
            (left.expect("counts"), right.expect("counts")),
            (vec!["UPDATE 1".to_owned()], vec!["UPDATE 1".to_owned()])
        );
    }
    assert_eq!(one.ok("SELECT n FROM c").await[0], "20");
    // Inside blocks there is no rerun: the client must know.
    one.ok("BEGIN; UPDATE c SET n = n + 1").await;
    two.ok("UPDATE c SET n = n + 1").await;
    assert_eq!(one.error("COMMIT").await.code.as_str(), "40001");
    assert_eq!(two.ok("SELECT n FROM c").await[0], "21");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_cannot_both_insert_one_key() {
    let database = Database::new();
    database.connect().ok("CREATE TABLE k (id int PRIMARY KEY, who int)").await;
    let workers = (0..4).map(|who| {
        let mut client = database.connect();
        tokio::spawn(async move {
            let mut won = 0;
            for id in 0..25 {
                match client.run(&format!("INSERT INTO k VALUES ({id}, {who})")).await {
                    Ok(_) => won += 1,
                    Err(error) => assert_eq!(error.code.as_str(), "23505", "{error:?}"),
                }
            }
            won
        })
    });
    let mut won = 0;
    for worker in workers.collect::<Vec<_>>() {
        won += worker.await.expect("ends");
    }
    assert_eq!(won, 25);
    let mut client = database.connect();
    assert_eq!(client.ok("SELECT count(*), count(DISTINCT id) FROM k").await[0], "25|25");
    // In blocks neither sees the other's key; the second to commit must not succeed.
    let mut other = database.connect();
    client.ok("BEGIN; INSERT INTO k VALUES (100, 1)").await;
    other.ok("BEGIN; INSERT INTO k VALUES (100, 2)").await;
    client.ok("COMMIT").await;
    let error = other.error("COMMIT").await;
    assert_eq!(error.code.as_str(), "23505");
    assert_eq!(error.message, "duplicate key value violates unique constraint \"k_pkey\"");
    assert_eq!(error.detail.as_deref(), Some("Key (id)=(100) already exists."));
    assert_eq!(client.ok("SELECT who FROM k WHERE id = 100").await[0], "1");
}

/// Statement, tag or error, and `SELECT * FROM u ORDER BY id` after it. Answers of PostgreSQL 15.18.
const UPSERTS: &[(&str, &str, &str)] = &[
    (
        "INSERT INTO u VALUES (1, 'x', 1), (9, 'y', 2) ON CONFLICT (id) DO UPDATE SET n = u.n + excluded.n",
        "INSERT 0 2",
        "1,a,11 2,b,20 3,c,30 9,y,2",
    ),
    (
        "INSERT INTO u VALUES (2, 'x', 1) ON CONFLICT (id) DO UPDATE SET t = excluded.t, n = DEFAULT WHERE u.n > 100",
        "INSERT 0 0",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u AS w VALUES (2, 'x', 1) ON CONFLICT ON CONSTRAINT u_pkey DO UPDATE SET t = w.t || excluded.t",
        "INSERT 0 1",
        "1,a,10 2,bx,20 3,c,30",
    ),
    (
        "INSERT INTO u VALUES (5, 'e', 1), (5, 'f', 2) ON CONFLICT (id) DO UPDATE SET n = 0",
        "21000 ON CONFLICT DO UPDATE command cannot affect row a second time",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u VALUES (1, 'b', 1) ON CONFLICT (id) DO UPDATE SET t = excluded.t",
        "23505 duplicate key value violates unique constraint \"u_t_key\"",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u VALUES (7, 'b', 1) ON CONFLICT (id) DO UPDATE SET n = 1",
        "23505 duplicate key value violates unique constraint \"u_t_key\"",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u VALUES (7, 'b', 1) ON CONFLICT (t) DO UPDATE SET id = excluded.id",
        "INSERT 0 1",
        "1,a,10 3,c,30 7,b,20",
    ),
    (
        "INSERT INTO u VALUES (1, 'z', -5) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        "23514 new row for relation \"u\" violates check constraint \"u_n_check\"",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u SELECT id + 1, t || '2', n FROM u ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        "INSERT 0 3",
        "1,a,10 2,b,10 3,c,20 4,c2,30",
    ),
    (
        "INSERT INTO u VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET n = n + 1",
        "42702 column reference \"n\" is ambiguous",
        "1,a,10 2,b,20 3,c,30",
    ),
    (
        "INSERT INTO u VALUES (1, 'x', 1) ON CONFLICT DO UPDATE SET n = 1",
        "42601 ON CONFLICT DO UPDATE requires inference specification or constraint name",
        "1,a,10 2,b,20 3,c,30",
    ),
];

#[tokio::test]
async fn upserts_have_postgresqls_answers() {
    for (statement, expected, rows) in UPSERTS {
        let database = Database::new();
        let mut client = database.connect();
        client.ok("CREATE TABLE u (id int PRIMARY KEY, t text UNIQUE, n int DEFAULT 7 CHECK (n >= 0))").await;
        client.ok("INSERT INTO u VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 30)").await;
        let got = match client.run(statement).await {
            Ok(lines) => lines.join(" "),
            Err(error) => format!("{} {}", error.code, error.message),
        };
        let mut after = client.ok("SELECT * FROM u ORDER BY id").await;
        after.pop();
        assert_eq!((got.as_str(), after.join(" ").replace('|', ",").as_str()), (*expected, *rows), "{statement}");
    }
}

#[tokio::test]
async fn an_upsert_returns_inserted_and_updated_rows() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE u (id int PRIMARY KEY, n int)").await;
    client.ok("INSERT INTO u VALUES (1, 10)").await;
    let upsert =
        "INSERT INTO u VALUES (1, 5), (2, 6) ON CONFLICT (id) DO UPDATE SET n = u.n + excluded.n RETURNING id, n";
    let mut lines = client.ok(upsert).await;
    assert_eq!(lines.pop().as_deref(), Some("INSERT 0 2"));
    lines.sort_unstable();
    assert_eq!(lines, ["1|15", "2|6"]);
}

#[tokio::test]
async fn errors_of_writes_point_into_the_statement() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE c (a int, b int)").await;
    // Positions of PostgreSQL 15.18.
    for (statement, position) in [
        ("insert into c(a,a) values (1,2)", 17),
        ("insert into c(zz) values (1)", 15),
        ("insert into c values (1,2,3)", 27),
        ("insert into c(a,b) values (1)", 17),
        ("insert into c values (1),(2,3)", 27),
        ("insert into c values ('x')", 23),
        ("update c set c.a = 1", 14),
        ("update c set nope = 1", 14),
    ] {
        assert_eq!(client.error(statement).await.position, Some(position), "{statement}");
    }
}
