//! Keys: what is equal, what clashes, who wins, and that nobody else is held up.

use crate::database::{Client, Database};

/// Columns and key of a table, a row, and rows that are tried after it: true where PostgreSQL 15 gives 23505.
type Case = (&'static str, &'static str, &'static [(&'static str, bool)]);

/// See [`Case`].
const KEYS: &[Case] = &[
    ("id bigint PRIMARY KEY", "1", &[("1", true), ("2", false), ("-1", false)]),
    (
        "t text UNIQUE",
        "'a text beyond twelve bytes'",
        &[("'a text beyond twelve bytes'", true), ("'a text'", false), ("NULL", false)],
    ),
    ("t text UNIQUE", "NULL", &[("NULL", false), ("''", false)]),
    ("t text, UNIQUE NULLS NOT DISTINCT (t)", "NULL", &[("NULL", true), ("''", false)]),
    ("a int, b int, UNIQUE (b, a)", "1, 2", &[("1, 2", true), ("2, 1", false), ("1, NULL", false), ("1, 3", false)]),
    (
        "a int, b int, UNIQUE NULLS NOT DISTINCT (a, b)",
        "1, NULL",
        &[("1, NULL", true), ("NULL, 1", false), ("NULL, NULL", false)],
    ),
    (
        "a text, b text, PRIMARY KEY (a, b)",
        "'ab', 'c'",
        &[("'ab', 'c'", true), ("'a', 'bc'", false), ("'abc', ''", false)],
    ),
    ("n numeric PRIMARY KEY", "1.0", &[("1.00", true), ("1", true), ("1.01", false), ("100", false)]),
    ("n numeric(10,2) PRIMARY KEY", "1.5", &[("1.50", true), ("1.499", true), ("1.51", false)]),
    ("f float8 PRIMARY KEY", "0.0", &[("'-0'", true), ("'NaN'", false), ("'1e-300'", false)]),
    ("f float8 PRIMARY KEY", "'NaN'", &[("'NaN'", true), ("'Infinity'", false)]),
    ("b boolean PRIMARY KEY", "true", &[("true", true), ("false", false)]),
    (
        "d date, s smallint, PRIMARY KEY (d, s)",
        "'2024-02-29', 1",
        &[("'2024-02-29', 1", true), ("'2024-02-29', 2", false)],
    ),
    (
        "t timestamptz PRIMARY KEY",
        "'2024-01-01 00:00+00'",
        &[("'2024-01-01 01:00+01'", true), ("'2024-01-01 00:00+01'", false)],
    ),
    ("t time PRIMARY KEY", "'12:00'", &[("'12:00:00.000000'", true), ("'12:00:00.000001'", false)]),
    ("i interval PRIMARY KEY", "'1 month'", &[("'30 days'", true), ("'720 hours'", true), ("'31 days'", false)]),
    (
        "u uuid PRIMARY KEY",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        &[("'A0EEBC999C0B4EF8BB6D6BB9BD380A11'", true), ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'", false)],
    ),
    ("b bytea PRIMARY KEY", "'\\x00ff'", &[("'\\x00FF'", true), ("'\\x00'", false)]),
    ("a int[] PRIMARY KEY", "'{1,NULL}'", &[("'{1,NULL}'", true), ("'{1}'", false), ("'{NULL,1}'", false)]),
];

async fn refused(client: &mut Client, row: &str) -> bool {
    match client.run(&format!("INSERT INTO k VALUES ({row})")).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code.as_str(), "23505", "{row}: {error:?}");
            true
        }
    }
}

#[tokio::test]
async fn equal_keys_are_refused_wherever_the_first_row_lies() {
    for (columns, first, others) in KEYS {
        for place in ["delta", "part", "own", "statement"] {
            for (row, clashes) in *others {
                let database = Database::new();
                let mut client = database.connect();
                client.ok(&format!("CREATE TABLE k ({columns})")).await;
                let what = format!("{columns}: {first}, then {row} ({place})");
                let got = match place {
                    "statement" => refused(&mut client, &format!("{first}), ({row}")).await,
                    "own" => {
                        client.ok(&format!("BEGIN; INSERT INTO k VALUES ({first})")).await;
                        refused(&mut client, row).await
                    }
                    _ => {
                        client.ok(&format!("INSERT INTO k VALUES ({first})")).await;
                        if place == "part" {
                            database.flush();
                        }
                        refused(&mut client, row).await
                    }
                };
                assert_eq!(got, *clashes, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn blocks_that_write_different_keys_of_a_table_all_commit() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE k (id int PRIMARY KEY, t text UNIQUE)").await;
    let mut others: Vec<Client> = (0..8).map(|_| database.connect()).collect();
    for (id, other) in others.iter_mut().enumerate() {
        other.ok(&format!("BEGIN; INSERT INTO k VALUES ({id}, 'text {id}')")).await;
    }
    client.ok("INSERT INTO k VALUES (100, 'text 3')").await;
    for (id, other) in others.iter_mut().enumerate() {
        let committed = other.run("COMMIT").await;
        if id == 3 {
            let error = committed.expect_err("another has the text");
            assert_eq!((error.code.as_str(), error.constraint.as_deref()), ("23505", Some("k_t_key")));
            assert_eq!(error.detail.as_deref(), Some("Key (t)=(text 3) already exists."));
        } else {
            committed.expect("nobody else has its key");
        }
    }
    assert_eq!(client.ok("SELECT count(*) FROM k").await[0], "8");
}

#[tokio::test]
async fn an_upsert_in_a_block_that_missed_a_row_is_to_be_retried() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok("CREATE TABLE k (id int PRIMARY KEY, n int)").await;
    let upsert = "INSERT INTO k VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = k.n + 1";
    one.ok(&format!("BEGIN; {upsert}")).await;
    two.ok(upsert).await;
    let error = one.error("COMMIT").await;
    assert_eq!((error.code.as_str(), error.hint.as_deref()), ("40001", Some("Retry the transaction.")));
    one.ok(&format!("BEGIN; {upsert}; COMMIT")).await;
    assert_eq!(one.ok("SELECT * FROM k").await[0], "1|2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_upsert_of_a_contended_key_counts() {
    let database = Database::new();
    database.connect().ok("CREATE TABLE k (id int PRIMARY KEY, n int)").await;
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let mut client = database.connect();
            tokio::spawn(async move {
                for round in 0..12 {
                    let id = (worker + round) % 2;
                    client
                        .ok(&format!("INSERT INTO k VALUES ({id}, 1) ON CONFLICT (id) DO UPDATE SET n = k.n + 1"))
                        .await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("ends");
    }
    assert_eq!(database.connect().ok("SELECT count(*), sum(n) FROM k").await[0], "2|96");
}

#[tokio::test]
async fn a_row_left_out_for_one_key_leaves_its_other_keys_free() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE k (a int UNIQUE, b int UNIQUE)").await;
    client.ok("INSERT INTO k VALUES (1, 1)").await;
    let insert = "INSERT INTO k VALUES (1, 5), (9, 5), (9, 6), (NULL, 7), (NULL, 7) ON CONFLICT DO NOTHING";
    assert_eq!(client.ok(insert).await, ["INSERT 0 2"]);
    assert_eq!(client.ok("SELECT a, b FROM k ORDER BY b").await[..3], ["1|1", "9|5", "|7"]);
}

#[tokio::test]
async fn a_unique_index_is_enforced_and_can_be_inferred() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE k (a int, b int); CREATE UNIQUE INDEX k_ab ON k (a, b)").await;
    client.ok("INSERT INTO k VALUES (1, 1)").await;
    let error = client.error("INSERT INTO k VALUES (1, 1)").await;
    assert_eq!(error.message, "duplicate key value violates unique constraint \"k_ab\"");
    assert_eq!(error.detail.as_deref(), Some("Key (a, b)=(1, 1) already exists."));
    client.ok("INSERT INTO k VALUES (1, 1), (1, 2) ON CONFLICT (b, a) DO UPDATE SET b = 10").await;
    assert_eq!(client.ok("SELECT a, b FROM k ORDER BY b").await[..2], ["1|2", "1|10"]);
}

#[tokio::test]
async fn a_key_beyond_its_limit_is_refused_and_nothing_is_written() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE k (t text PRIMARY KEY)").await;
    let error = client.error("INSERT INTO k VALUES ('short'), (repeat('x', 2000))").await;
    assert_eq!(error.code.as_str(), "54000");
    assert_eq!(client.ok("SELECT count(*) FROM k").await[0], "0");
}
