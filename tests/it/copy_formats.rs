//! COPY in JSON and Parquet format: what goes out comes in again, what other programs write is taken by name and value,
//! and damaged files are errors that leave nothing behind.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use datafusion::parquet::arrow::ArrowWriter;
use tributary_store::StoreConfig;

use crate::database::{Client, Database};

struct Place {
    _database: Database,
    client: Client,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dirs = vec![directory.path().to_owned()];
        let config = StoreConfig { background: false, external_dirs: dirs, ..StoreConfig::default() };
        let database = Database::with(config);
        let client = database.connect();
        Self { _database: database, client, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

const TYPES: &str = "b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12,3), t text, \
                     v varchar(9), y bytea, d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid, j jsonb, \
                     a int[], at text[]";

const ROWS: [&str; 3] = [
    "(true, -7, 8, 9007199254740993, 1.5, -0.1, 12345678901234567890.0123456789, -1.5, E'tab\\t\"quoted\" \\\\ \u{e9}', 'nine char', \
     '\\x00ff', '2024-02-29', '23:59:59.999999', '2024-05-01 12:00:00.123456', '2024-05-01 12:00+02', '1 mon 2 days 03:00', \
     '00000000-0000-4000-8000-000000000001', '{\"k\": [1, null, \"x\"]}', '{1,NULL,3}', '{a,\"b,c\",NULL,\"q\\\"\"}')",
    "(false, 32767, -2147483648, -9223372036854775808, 'NaN', 'Infinity', 0, 0, '', '', '', '0001-01-01', '00:00', 'infinity', \
     '-infinity', '-1 day', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '\"s\"', '{}', '{}')",
    "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
];

#[tokio::test]
async fn every_type_comes_in_as_it_went_out() {
    let mut place = Place::new();
    place.client.ok(&format!("CREATE TABLE t ({TYPES})")).await;
    place.client.ok(&format!("INSERT INTO t VALUES {}", ROWS.join(", "))).await;
    for format in ["json", "parquet"] {
        let file = place.path(format).display().to_string();
        let client = &mut place.client;
        assert_eq!(client.ok(&format!("COPY t TO '{file}' (FORMAT {format})")).await, ["COPY 3"]);
        client.ok("CREATE TABLE again (LIKE t)").await;
        assert_eq!(client.ok(&format!("COPY again FROM '{file}' (FORMAT {format})")).await, ["COPY 3"], "{format}");
        let (before, after) =
            (client.ok("SELECT * FROM t ORDER BY i2").await, client.ok("SELECT * FROM again ORDER BY i2").await);
        assert_eq!(before, after, "{format}");
        client.ok("DROP TABLE again").await;
    }
}

/// PostgreSQL 15's `row_to_json`.
#[tokio::test]
async fn json_is_postgresqls_and_in_order() {
    let mut place = Place::new();
    let query = "SELECT n AS a, 'x' || n AS \"B c\", n % 2 = 0 AS even, CASE WHEN n > 1 THEN n / 4.0::float8 END AS q, \
                 timestamp '2024-05-01 12:00' AS ts, ARRAY[n, NULL] AS l FROM generate_series(1, 3) n ORDER BY n DESC";
    let (data, tag) = place.client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT json)")).await.expect("runs");
    let expected = "\
{\"a\":3,\"B c\":\"x3\",\"even\":false,\"q\":0.75,\"ts\":\"2024-05-01T12:00:00\",\"l\":[3,null]}
{\"a\":2,\"B c\":\"x2\",\"even\":true,\"q\":0.5,\"ts\":\"2024-05-01T12:00:00\",\"l\":[2,null]}
{\"a\":1,\"B c\":\"x1\",\"even\":false,\"q\":null,\"ts\":\"2024-05-01T12:00:00\",\"l\":[1,null]}
";
    assert_eq!((data.as_str(), tag.as_str()), (expected, "COPY 3"));
}

#[tokio::test]
async fn json_from_the_client_names_line_and_column() {
    let mut place = Place::new();
    let client = &mut place.client;
    client.ok("CREATE TABLE t (a int NOT NULL, b text DEFAULT 'none', c numeric(40,2), l int[])").await;
    let data = "{\"a\": 1, \"c\": 12345678901234567890123456789.125, \"l\": [1, 2]}\n\n{\"b\": null, \"a\": \"2\"}\n";
    for size in [1, 5, 1000] {
        let pieces: Vec<&[u8]> = data.as_bytes().chunks(size).collect();
        assert_eq!(client.copy_in("COPY t FROM STDIN (FORMAT json)", &pieces).await.expect("loads"), "COPY 2");
        let rows = client.ok("DELETE FROM t RETURNING *").await;
        assert_eq!(rows[..2], ["1||12345678901234567890123456789.13|{1,2}", "2|||"], "{size}");
    }
    // Columns that are not listed take their default, and their members are not read.
    let listed = "COPY t (a) FROM STDIN (FORMAT json)";
    assert_eq!(client.copy_in(listed, &[b"{\"a\": 3, \"b\": \"x\", \"z\": 1}"]).await.expect("loads"), "COPY 1");
    assert_eq!(client.ok("SELECT * FROM t").await[0], "3|none||");
    let cases: [(&str, &str, &str, &str); 5] = [
        (
            "{\"a\": 1}\n{\"a\": 1.5}",
            "22P02",
            "invalid input syntax for type integer: \"1.5\"",
            "COPY t, line 2, column a: \"1.5\"",
        ),
        (
            "{\"a\": 1}\n{\"b\": \"x\"}",
            "23502",
            "null value in column \"a\" of relation \"t\" violates not-null constraint",
            "COPY t, line 2: \"{\"b\": \"x\"}\"",
        ),
        (
            "{\"a\": 1, \"z\": 1}",
            "22P04",
            "JSON member \"z\" is not a column of the target",
            "COPY t, line 1: \"{\"a\": 1, \"z\": 1}\"",
        ),
        ("{\"a\": 1}\n[]", "22P04", "line is not a JSON object", "COPY t, line 2: \"[]\""),
        (
            "{\"l\": [1, \"x\"]}",
            "22P02",
            "invalid input syntax for type integer: \"x\"",
            "COPY t, line 1, column l: \"{\"1\",\"x\"}\"",
        ),
    ];
    for (data, code, message, context) in cases {
        let error = client.copy_in("COPY t FROM STDIN (FORMAT json)", &[data.as_bytes()]).await.expect_err(data);
        let got = (error.code.as_str(), error.message.as_str(), error.context.as_deref());
        assert_eq!(got, (code, message, Some(context)), "{data}");
        assert_eq!(client.ok("SELECT count(*) FROM t").await[0], "1", "{data}");
    }
}

/// A file as another program writes it.
fn foreign(rows: i64) -> Vec<u8> {
    let numbers: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
    let words: DictionaryArray<Int32Type> = (0..rows).map(|row| (row % 5 > 0).then_some("word")).collect();
    let times = TimestampNanosecondArray::from_iter_values((0..rows).map(|row| row * 1_000_000_000 + 999));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("z", Arc::new((0..rows).map(|row| Some(format!("text {row}"))).collect::<StringArray>())),
        ("big", Arc::new((0..rows as u64).collect::<UInt64Array>())),
        ("a", numbers),
        ("word", Arc::new(words)),
        ("at", Arc::new(times.with_timezone("UTC"))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("begins");
    writer.write(&batch).expect("writes");
    writer.close().expect("ends");
    bytes
}

#[tokio::test]
async fn parquet_of_other_programs_is_taken_by_name() {
    let mut place = Place::new();
    let file = place.path("foreign.parquet");
    std::fs::write(&file, foreign(20_000)).expect("writes");
    let file = file.display().to_string();
    let client = &mut place.client;
    client
        .ok("CREATE TABLE t (a int, at timestamptz, word varchar(10), z text, big numeric, extra int DEFAULT 7)")
        .await;
    let copy = format!("COPY t (z, big, a, word, at) FROM '{file}' (FORMAT parquet) WHERE a >= 10");
    assert_eq!(client.ok(&copy).await, ["COPY 19990"]);
    let rows = client.ok("SELECT * FROM t WHERE a IN (10, 19999) ORDER BY a").await;
    assert_eq!(rows[0], "10|1970-01-01 00:00:10+00||text 10|10|7");
    assert_eq!(rows[1], "19999|1970-01-01 05:33:19+00|word|text 19999|19999|7");
    // Of the columns listed alone.
    client.ok("TRUNCATE t").await;
    assert_eq!(client.ok(&format!("COPY t (word) FROM '{file}' (FORMAT parquet)")).await, ["COPY 20000"]);
    assert_eq!(client.ok("SELECT count(word), count(a), sum(extra) FROM t").await[0], "16000|0|140000");
    client.ok("TRUNCATE t; CREATE TABLE small (z varchar(8), a int2 CHECK (a < 7), word text, big int, at text)").await;
    let cases = [
        ("t", "22P04", "file \"{}\" has no column \"extra\"".to_owned(), None),
        ("t (a, word, extra)", "22P04", "file \"{}\" has no column \"extra\"".to_owned(), None),
        ("u", "22P04", "column \"z\" of file \"{}\" is not a column of the target".to_owned(), None),
        (
            "small (z)",
            "22001",
            "value too long for type character varying(8)".to_owned(),
            Some("file \"{}\", row 1001, column z"),
        ),
        (
            "small (a)",
            "23514",
            "new row for relation \"small\" violates check constraint \"small_a_check\"".to_owned(),
            Some("COPY small, line 8"),
        ),
        (
            "small (at, word, big, z)",
            "22001",
            "value too long for type character varying(8)".to_owned(),
            Some("file \"{}\", row 1001, column z"),
        ),
    ];
    client.ok("CREATE TABLE u (a int, at timestamptz, word text, big numeric)").await;
    for (target, code, message, context) in cases {
        let error = client.error(&format!("COPY {target} FROM '{file}' (FORMAT parquet)")).await;
        let (message, context) =
            (message.replace("{}", &file), context.map(|context: &str| context.replace("{}", &file)));
        assert_eq!((error.code.as_str(), &error.message, error.context.clone()), (code, &message, context), "{target}");
    }
    assert_eq!(client.ok("SELECT count(*) FROM small").await[0], "0");
    let error = client.copy_in("COPY t FROM STDIN (FORMAT parquet)", &[]).await.expect_err("needs a file");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("0A000", "COPY FROM STDIN in Parquet format is not supported")
    );
    let error = client.error(&format!("COPY (SELECT 1 AS a, 2 AS a) TO '{file}.2' (FORMAT parquet)")).await;
    assert_eq!((error.code.as_str(), error.message.as_str()), ("42701", "column name \"a\" specified more than once"));
}

/// Every place of a small file damaged, and every length: an answer each time, and all rows or none.
#[tokio::test]
async fn damaged_parquet_files_are_errors() {
    let mut place = Place::new();
    let whole = foreign(50);
    let file = place.path("damaged.parquet");
    let client = &mut place.client;
    client.ok("CREATE TABLE t (a int8, at timestamptz, word text, z text, big numeric)").await;
    let copy = format!("COPY t FROM '{}' (FORMAT parquet)", file.display());
    let mut refused = 0;
    let steps = (0..whole.len()).step_by(whole.len() / 150);
    for (step, cut) in steps.enumerate() {
        let mut flipped = whole.clone();
        flipped[cut] ^= [0xff, 0x01, 0x80][step % 3];
        for bytes in [&whole[..cut], &flipped] {
            std::fs::write(&file, bytes).expect("writes");
            match client.run(&copy).await {
                Ok(tag) => assert!(tag[0].starts_with("COPY "), "{tag:?}"),
                Err(error) => {
                    refused += 1;
                    let known = ["22P04", "22021", "22008", "22003", "0A000", "XX000"].contains(&error.code.as_str());
                    assert!(known && error.code.as_str() != "XX000", "{cut}: {error:?}");
                    assert_eq!(client.ok("SELECT count(*) FROM t").await[0], "0", "{cut}");
                }
            }
            client.ok("TRUNCATE t").await;
        }
    }
    assert!(refused > 150, "{refused} of 300 were refused");
    std::fs::write(&file, &whole).expect("writes");
    assert_eq!(client.ok(&copy).await, ["COPY 50"]);
}
