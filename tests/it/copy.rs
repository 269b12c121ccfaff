//! COPY FROM and TO: values, defaults, errors with their lines, and nothing kept of a COPY that fails.

use tributary::engine::{EngineConfig, Implicit, Outcome};
use tributary_store::StoreConfig;

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

/// What PostgreSQL 15.18 writes for the two rows below in binary format.
const GOLDEN: &str = "\
    5047434f50590aff0d0a000000000000000000000f00000002000100000004fffffffe000000080000000000000003000000\
    083ff8000000000000000000077465787420c3a900000001010000000400002279000000080002b583417286080000000c00\
    02000000000004007b1194ffffffff0000000200ff0000002800000001000000010000001700000003000000010000000400\
    0000010000000400000002ffffffff0000001011111111222233334444555555555555000000100000000283baec00000000\
    0200000001000000080000000a0efaf240000f0000000200020000000400000000000000080000000000000000000000087f\
    f800000000000000000000000000010000000004ffffffff00000008fffffffffff0bdc00000000a0001ffff400000040001\
    0000000400000007000000000000000c00000000000000000000001700000010000000000000000000000000000000000000\
    00100000000000000000ffffffff0000000000000008000000141dd75fffffff";

const TYPED: &str = "CREATE TABLE typed (a int2, b int4, c int8, d float8, e text, f bool, g date, h timestamptz, \
                     i numeric(10,4), j int, k bytea, l int[], m uuid, n interval, o time)";

const TYPED_ROWS: &str = "INSERT INTO typed VALUES (1, -2, 3, 1.5, 'text \u{e9}', true, '2024-02-29', \
    '2024-02-29 12:34:56.789+00', 123.45, NULL, '\\x00ff', '{1,2,NULL}', '11111111-2222-3333-4444-555555555555', \
    '1 mon 2 days 03:00:00', '12:00:01'), (2, 0, 0, 'NaN', '', false, '1999-12-31', '1999-12-31 23:59:59+00', -0.0001, \
    7, '', '{}', '00000000-0000-0000-0000-000000000000', '-1 day', '23:59:59.999999')";

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
}

#[tokio::test]
async fn binary_data_is_postgresqls_both_ways() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok(TYPED).await;
    client.ok(TYPED_ROWS).await;
    let copy = "COPY (SELECT * FROM typed ORDER BY a) TO STDOUT (FORMAT binary)";
    let (data, tag) = client.copy_out_bytes(copy).await.expect("runs");
    assert_eq!(tag, "COPY 2");
    assert_eq!(data, bytes_of(GOLDEN));
    let before = client.ok("SELECT * FROM typed ORDER BY a").await;
    for size in [1, 7, data.len()] {
        client.ok("TRUNCATE typed").await;
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(client.copy_in("COPY typed FROM STDIN BINARY", &pieces).await.expect("loads"), "COPY 2");
        assert_eq!(client.ok("SELECT * FROM typed ORDER BY a").await, before);
    }
    let (data, tag) = client.copy_out_bytes("COPY (SELECT 1 WHERE false) TO STDOUT BINARY").await.expect("runs");
    assert_eq!((data, tag.as_str()), (bytes_of("5047434f50590aff0d0a000000000000000000ffff"), "COPY 0"));
}

/// A binary file of rows of `c (a, b, t)`.
fn binary_file(rows: &[[Option<&[u8]>; 3]]) -> Vec<u8> {
    let mut out = bytes_of("5047434f50590aff0d0a000000000000000000");
    for row in rows {
        out.extend_from_slice(&3_i16.to_be_bytes());
        for field in row {
            let length = field.map_or(-1, |field| i32::try_from(field.len()).expect("short"));
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(field.unwrap_or_default());
        }
    }
    out.extend_from_slice(&[0xff, 0xff]);
    out
}

#[tokio::test]
async fn bad_binary_rows_are_named_as_postgresql_does() {
    let (one, two, minus) = (1_i32.to_be_bytes(), 2_i32.to_be_bytes(), (-2_i32).to_be_bytes());
    let good: [Option<&[u8]>; 3] = [Some(&one), Some(&two), Some(b"x")];
    for (rows, code, message, context) in [
        (
            vec![good, [Some(&[0, 1]), Some(&two), None]],
            "08P01",
            "insufficient data left in message",
            "line 2, column a",
        ),
        (
            vec![[None, Some(&two), None]],
            "23502",
            "null value in column \"a\" of relation \"c\" violates not-null constraint",
            "line 1",
        ),
        (
            vec![[Some(&one), Some(&minus), None]],
            "23514",
            "new row for relation \"c\" violates check constraint \"c_b_check\"",
            "line 1",
        ),
        (vec![good, good], "23505", "duplicate key value violates unique constraint \"c_a_key\"", "line 2"),
        (
            vec![[Some(&one), Some(&two), Some(b"\xff")]],
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0xff",
            "line 1, column t",
        ),
        (
            vec![[Some(&one), Some(&two), Some(b"a\0b")]],
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
            "line 1, column t",
        ),
        (vec![[Some(b"12345"), Some(&two), None]], "22P03", "incorrect binary data format", "line 1, column a"),
    ] {
        let (_database, mut client) = table().await;
        let copy = "COPY c (a, b, t) FROM STDIN (FORMAT binary)";
        let error = client.copy_in(copy, &[&binary_file(&rows)]).await.expect_err(message);
        let got = (error.code.as_str(), error.message.as_str(), error.context.clone().unwrap_or_default());
        assert_eq!(got, (code, message, format!("COPY c, {context}")));
        assert_eq!(client.ok("SELECT count(*) FROM c").await[0], "0");
    }
}

#[tokio::test]
async fn a_row_that_never_ends_is_bounded_by_the_query_pool() {
    let engine = EngineConfig { query_memory_bytes: 4 << 20, ..EngineConfig::default() };
    let database = Database::with_engine(StoreConfig::default(), engine);
    let mut client = database.connect();
    client.ok("CREATE TABLE c (t text)").await;
    let piece = vec![b'x'; 1 << 20];
    for (copy, first) in [
        ("COPY c FROM STDIN", b"".as_slice()),
        ("COPY c FROM STDIN CSV", b"\""),
        ("COPY c FROM STDIN BINARY", &bytes_of("5047434f50590aff0d0a00000000000000000000017fffffff")),
    ] {
        let pieces: Vec<&[u8]> = std::iter::once(first).chain((0..100).map(|_| piece.as_slice())).collect();
        let error = client.copy_in(copy, &pieces).await.expect_err("too long");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("53200", "out of memory"), "{copy}");
        assert_eq!(client.copy_in("COPY c FROM STDIN", &[b"fine\n"]).await.expect("loads"), "COPY 1");
    }
}

#[tokio::test]
async fn others_see_how_far_a_copy_is() {
    let (database, mut client) = table().await;
    let mut other = database.connect();
    let shown = "SELECT relid = 'c'::regclass, command, type, bytes_processed, bytes_total, tuples_processed, tuples_excluded \
                 FROM pg_stat_progress_copy";
    assert_eq!(other.ok(shown).await, ["SELECT 0"]);
    let session = &mut client.session;
    let text = "COPY c (a) FROM STDIN WHERE a % 4 > 0";
    session.begin_statement(text);
    let statement = session.parse(text).expect("parses").remove(0);
    let prepared = session.analyze(statement, &[]).await.expect("is known");
    let mut portal = session.bind(&prepared, Vec::new()).await.expect("binds");
    let Outcome::CopyIn(mut copy) = session.run(&mut portal).await.expect("begins") else { panic!("no COPY FROM") };
    let data: String = (0..10_000).map(|n| format!("{n}\n")).collect();
    copy.push(session, data.as_bytes()).await.expect("takes");
    // What is not a whole batch waits.
    assert_eq!(other.ok(shown).await[0], format!("t|COPY FROM|PIPE|{}|0|6144|2048", data.len()));
    other.ok("CREATE ROLE clerk; SET ROLE clerk").await;
    assert_eq!(other.ok("SELECT pid > 0, command, bytes_processed FROM pg_stat_progress_copy").await[0], "t||");
    other.ok("RESET ROLE").await;
    assert_eq!(copy.finish(session).await.expect("ends"), "COPY 7500");
    session.end_statement();
    session.finish(Implicit::Commit).await.expect("commits");
    assert_eq!(other.ok(shown).await, ["SELECT 0"]);
}
