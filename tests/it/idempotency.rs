//! Idempotency tokens: what was sent twice is done once.

use std::time::Duration;

use tributary_store::StoreConfig;

use crate::database::{Client, Database};

async fn token(client: &mut Client, token: &str) {
    client.ok(&format!("SET tributary.idempotency_token = '{token}'")).await;
}

/// Notices since the last call.
fn notices(client: &mut Client) -> Vec<String> {
    client
        .session
        .drain_notices()
        .into_iter()
        .map(|notice| format!("{:?} {}", notice.severity, notice.message))
        .collect()
}

#[tokio::test]
async fn a_statement_sent_again_gives_its_tag_and_writes_nothing() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE t (x int PRIMARY KEY); CREATE TABLE other (x int)").await;
    for again in [false, true] {
        token(&mut client, "batch-42").await;
        assert_eq!(client.ok("INSERT INTO t VALUES (1), (2)").await, ["INSERT 0 2"]);
        let expected = if again { vec!["Notice token \"batch-42\" was already committed".to_owned()] } else { vec![] };
        assert_eq!(notices(&mut client), expected);
    }
    // Used up: the next statement has none.
    assert_eq!(client.ok("SHOW tributary.idempotency_token").await[0], "");
    assert_eq!(client.error("INSERT INTO t VALUES (1)").await.code.as_str(), "23505");
    token(&mut client, "batch-42").await;
    let error = client.error("INSERT INTO other VALUES (1)").await;
    assert_eq!(error.code.as_str(), "22023");
    // A statement that fails uses it up too, or the next one would pass for it.
    token(&mut client, "batch-43").await;
    assert_eq!(client.error("INSERT INTO t VALUES (1)").await.code.as_str(), "23505");
    client.ok("INSERT INTO t VALUES (3)").await;
    token(&mut client, "batch-43").await;
    assert_eq!(client.ok("INSERT INTO t VALUES (4)").await, ["INSERT 0 1"]);
    token(&mut client, "batch-44").await;
    assert_eq!(client.error("INSERT INTO t VALUES (9) RETURNING x").await.code.as_str(), "0A000");
    assert_eq!(client.ok("SELECT string_agg(x::text, ',' ORDER BY x) FROM t").await[0], "1,2,3,4");
}

#[tokio::test]
async fn a_copy_sent_again_is_read_and_dropped() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE t (x int)").await;
    for (data, rows) in [("1\n2\n", "2"), ("1\n2\n", "2"), ("not a number\n", "2")] {
        token(&mut client, "load").await;
        assert_eq!(
            client.copy_in("COPY t FROM STDIN", &[data.as_bytes()]).await.expect("loads"),
            format!("COPY {rows}")
        );
    }
    assert_eq!(client.ok("SELECT count(*) FROM t").await[0], "2");
    token(&mut client, "bad").await;
    client.copy_in("COPY t FROM STDIN", &[b"not a number\n"]).await.expect_err("cannot be read");
    token(&mut client, "bad").await;
    assert_eq!(client.copy_in("COPY t FROM STDIN", &[b"3\n"]).await.expect("loads"), "COPY 1");
}

#[tokio::test]
async fn a_token_commits_and_rolls_back_with_its_rows() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    one.ok("CREATE TABLE t (x int)").await;
    one.ok("BEGIN; SET LOCAL tributary.idempotency_token = 'a'; INSERT INTO t VALUES (1); ROLLBACK").await;
    one.ok("BEGIN; SET LOCAL tributary.idempotency_token = 'a'; INSERT INTO t VALUES (1)").await;
    one.ok("SET LOCAL tributary.idempotency_token = 'a'; INSERT INTO t VALUES (1)").await;
    assert_eq!(one.ok("SELECT count(*) FROM t").await[0], "1");
    // Not committed: another cannot know it, and only one of them commits.
    two.ok("BEGIN; SET tributary.idempotency_token = 'a'; INSERT INTO t VALUES (1)").await;
    one.ok("COMMIT").await;
    assert_eq!(two.error("COMMIT").await.code.as_str(), "40001");
    two.ok("BEGIN; SET tributary.idempotency_token = 'a'; INSERT INTO t VALUES (1); COMMIT").await;
    assert_eq!(two.ok("SELECT count(*) FROM t").await[0], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_with_one_token_one_writes_and_all_succeed() {
    let database = Database::new();
    database.connect().ok("CREATE TABLE t (x int)").await;
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let mut client = database.connect();
            tokio::spawn(async move {
                for batch in 0..5 {
                    token(&mut client, &format!("batch {batch}")).await;
                    if worker % 2 == 0 {
                        assert_eq!(client.ok("INSERT INTO t VALUES (1), (2), (3)").await, ["INSERT 0 3"]);
                    } else {
                        let tag = client.copy_in("COPY t FROM STDIN", &[b"1\n2\n3\n"]).await;
                        assert_eq!(tag.expect("loads"), "COPY 3");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("ends");
    }
    assert_eq!(database.connect().ok("SELECT count(*) FROM t").await[0], "15");
}

#[tokio::test]
async fn an_expired_token_counts_as_unknown() {
    let database = Database::with(StoreConfig { idempotency_retention: Duration::ZERO, ..StoreConfig::default() });
    let mut client = database.connect();
    client.ok("CREATE TABLE t (x int)").await;
    for rows in 1..4 {
        token(&mut client, "old").await;
        assert_eq!(client.ok("INSERT INTO t VALUES (1)").await, ["INSERT 0 1"]);
        assert_eq!(client.ok("SELECT count(*) FROM t").await[0], rows.to_string());
    }
}
