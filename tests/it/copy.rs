//! COPY FROM and TO: values, defaults, errors with their lines, and nothing kept of a COPY that fails.

use crate::database::{Client, Database};

async fn table() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client
        .ok("CREATE TABLE c (a int NOT NULL UNIQUE, b int CHECK (b > 0), t text DEFAULT 'none', d timestamptz)")
        .await;
    (database, client)
}

#[tokio::test]
async fn chunks_may_end_anywhere() {
    let data = "1\t2\tone\t2024-05-01 12:00:00+00\n2\t\\N\ta\\tb\\\\\t\\N\n3\t7\tthr\u{e9}e\t\\N\n\\.\n";
    for size in [1, 2, 3, 7, 1000] {
        let (_database, mut client) = table().await;
        let pieces: Vec<&[u8]> = data.as_bytes().chunks(size).collect();
        assert_eq!(client.copy_in("COPY c FROM STDIN", &pieces).await.expect("loads"), "COPY 3");
        let rows = client.ok("SELECT a, b, t, d FROM c ORDER BY a").await;
        assert_eq!(rows[..3], ["1|2|one|2024-05-01 12:00:00+00", "2||a\tb\\|", "3|7|thr\u{e9}e|"]);
    }
}

#[tokio::test]
async fn what_goes_out_comes_in_again() {
    let (_database, mut client) = table().await;
    client.ok("INSERT INTO c VALUES (1, 2, 'tab\there', NULL), (2, NULL, NULL, '2024-05-01'), (3, 1, '', NULL)").await;
    for options in
        ["", "(FORMAT csv)", "(FORMAT csv, HEADER, DELIMITER ';', FORCE_QUOTE *)", "DELIMITER '|' NULL 'nil'"]
    {
        let (data, tag) = client.copy_out(&format!("COPY c TO STDOUT {options}")).await.expect("runs");
        assert_eq!(tag, "COPY 3");
        client.ok("CREATE TABLE again (a int, b int, t text, d timestamptz)").await;
        let options = options.replace(", FORCE_QUOTE *", "");
        let copy = format!("COPY again FROM STDIN {options}");
        assert_eq!(client.copy_in(&copy, &[data.as_bytes()]).await.expect("loads"), "COPY 3");
        let list = |name: &str| format!("SELECT a, b, t IS NULL, t, d FROM {name} ORDER BY a");
        assert_eq!(client.ok(&list("again")).await, client.ok(&list("c")).await, "{options}");
        client.ok("DROP TABLE again").await;
    }
    let (data, tag) =
        client.copy_out("COPY (SELECT a, t FROM c WHERE a > 1 ORDER BY a) TO STDOUT CSV").await.expect("runs");
    assert_eq!((data.as_str(), tag.as_str()), ("2,\n3,\"\"\n", "COPY 2"));
}

#[tokio::test]
async fn columns_that_are_not_given_take_their_default_and_where_chooses() {
    let (_database, mut client) = table().await;
    let copy = "COPY c (b, a) FROM STDIN (FORMAT csv) WHERE a <> 2";
    assert_eq!(client.copy_in(copy, &[b"10,1\n20,2\n30,3\n"]).await.expect("loads"), "COPY 2");
    assert_eq!(client.ok("SELECT a, b, t FROM c ORDER BY a").await[..2], ["1|10|none", "3|30|none"]);
}

/// Data, SQLSTATE, message, DETAIL, CONTEXT: PostgreSQL 15.18's, for `COPY c (a, b) FROM STDIN (FORMAT csv)`.
const BAD: &[(&str, &str, &str, Option<&str>, &str)] = &[
    (
        "1,2\n,3\n",
        "23502",
        "null value in column \"a\" of relation \"c\" violates not-null constraint",
        Some("Failing row contains (null, 3, none, null)."),
        "COPY c, line 2: \",3\"",
    ),
    (
        "1,2\n3,-1\n",
        "23514",
        "new row for relation \"c\" violates check constraint \"c_b_check\"",
        Some("Failing row contains (3, -1, none, null)."),
        "COPY c, line 2: \"3,-1\"",
    ),
    (
        "1,2\n1,3\n",
        "23505",
        "duplicate key value violates unique constraint \"c_a_key\"",
        Some("Key (a)=(1) already exists."),
        "COPY c, line 2",
    ),
    ("1,2\n2,x\n", "22P02", "invalid input syntax for type integer: \"x\"", None, "COPY c, line 2, column b: \"x\""),
    ("1,2\n2\n", "22P04", "missing data for column \"b\"", None, "COPY c, line 2: \"2\""),
    ("1,2,3\n", "22P04", "extra data after last expected column", None, "COPY c, line 1: \"1,2,3\""),
    ("1,2\n3,\"4\n", "22P04", "unterminated CSV quoted field", None, "COPY c, line 3: \"3,\"4\n\""),
    (
        "99999999999,1\n",
        "22003",
        "value \"99999999999\" is out of range for type integer",
        None,
        "COPY c, line 1, column a: \"99999999999\"",
    ),
];

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_is_loaded() {
    for (data, code, message, detail, context) in BAD {
        let (_database, mut client) = table().await;
        let error = client.copy_in("COPY c (a, b) FROM STDIN (FORMAT csv)", &[data.as_bytes()]).await.expect_err(data);
        let got = (error.code.as_str(), error.message.as_str(), error.detail.as_deref(), error.context.as_deref());
        assert_eq!(got, (*code, *message, *detail, Some(*context)), "{data:?}");
        assert_eq!(client.ok("SELECT count(*) FROM c").await[0], "0", "{data:?}");
    }
}

#[tokio::test]
async fn keys_are_checked_against_rows_of_any_age() {
    let (_database, mut client) = table().await;
    client.ok("INSERT INTO c (a) VALUES (5)").await;
    let error = client.copy_in("COPY c (a) FROM STDIN", &[b"4\n5\n"]).await.expect_err("5 is there");
    assert_eq!(error.detail.as_deref(), Some("Key (a)=(5) already exists."));
    client.ok("BEGIN").await;
    client.ok("DELETE FROM c WHERE a = 5").await;
    assert_eq!(client.copy_in("COPY c (a) FROM STDIN", &[b"4\n5\n"]).await.expect("5 is gone"), "COPY 2");
    client.ok("COMMIT").await;
    assert_eq!(client.ok("SELECT a FROM c ORDER BY a").await, ["4", "5", "SELECT 2"]);
}

#[tokio::test]
async fn many_batches_load_and_count() {
    let (_database, mut client) = table().await;
    let data: String = (0..30_000).map(|row| format!("{row}\t{}\n", row + 1)).collect();
    let pieces: Vec<&[u8]> = data.as_bytes().chunks(10_000).collect();
    assert_eq!(client.copy_in("COPY c (a, b) FROM STDIN", &pieces).await.expect("loads"), "COPY 30000");
    assert_eq!(client.ok("SELECT count(*), sum(a), max(b) FROM c WHERE t = 'none'").await[0], "30000|449985000|30000");
}

#[tokio::test]
async fn statements_that_cannot_work_say_why() {
    let (_database, mut client) = table().await;
    client.ok("CREATE VIEW v AS SELECT 1 AS a").await;
    for (statement, code, message) in [
        ("COPY c (nope) FROM STDIN", "42703", "column \"nope\" of relation \"c\" does not exist"),
        ("COPY c (a, a) FROM STDIN", "42701", "column \"a\" specified more than once"),
        ("COPY nowhere FROM STDIN", "42P01", "relation \"nowhere\" does not exist"),
        ("COPY c FROM '/etc/passwd'", "42501", "path is outside the allowed directories"),
        ("COPY c FROM PROGRAM 'true'", "0A000", "COPY with a program is not supported"),
        ("COPY c FROM STDIN (nope 1)", "42601", "option \"nope\" not recognized"),
        ("COPY c TO STDOUT (FORMAT x)", "22023", "COPY format \"x\" not recognized"),
        ("COPY c TO STDOUT (HEADER match)", "0A000", "cannot use \"match\" with HEADER in COPY TO"),
        ("COPY c FROM STDIN CSV CSV", "42601", "conflicting or redundant options"),
        ("COPY v TO STDOUT", "42809", "cannot copy from view \"v\""),
        ("COPY v FROM STDIN", "42809", "cannot copy to view \"v\""),
        ("COPY c FROM STDIN (DELIMITER 'ab')", "0A000", "COPY delimiter must be a single one-byte character"),
    ] {
        let error = client.error(statement).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{statement}");
    }
}
