//! External tables: columns, values, files found anew, what is refused, and files that change or are damaged.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tributary::engine::{Engine, EngineConfig, Implicit, Outcome};
use tributary_store::{RealDisk, Store, StoreConfig, SystemClock};

use crate::database::{Client, Database};

struct Place {
    database: Database,
    client: Client,
    inside: PathBuf,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let inside = directory.path().join("inside");
        std::fs::create_dir(&inside).expect("creates");
        let dirs = vec![inside.clone()];
        let config = StoreConfig { background: false, external_dirs: dirs, ..StoreConfig::default() };
        let database = Database::with(config);
        let client = database.connect();
        Self { database, client, inside, directory }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.inside.join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("creates");
        std::fs::write(&path, bytes).expect("writes");
        path.display().to_string()
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packs");
    encoder.finish().expect("packs")
}

const CSV: &str = "id,name,amount,born,seen,ok,code\n\
    1,\"Ann, A.\",1.5,2001-02-03,2024-05-01T12:00:00Z,true,007\n\
    2,,2,,2024-05-01 14:30:00+02:00,false,010\n\
    3,\"\",,1999-12-31,,,\n";

#[tokio::test]
async fn csv_files_are_read_with_postgresqls_types() {
    let mut place = Place::new();
    let plain = place.write("people.csv", CSV);
    let client = &mut place.client;
    let create = format!("CREATE EXTERNAL TABLE people STORED AS CSV LOCATION '{plain}'");
    assert_eq!(client.ok(&create).await, ["CREATE EXTERNAL TABLE"]);
    let columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attnum > 0 ORDER BY attnum";
    let expected = [
        "id|bigint",
        "name|text",
        "amount|double precision",
        "born|date",
        "seen|timestamp with time zone",
        "ok|boolean",
        "code|text",
    ];
    assert_eq!(client.ok(columns).await[..7], expected);
    let rows = client.ok("SELECT *, name IS NULL FROM people ORDER BY id").await;
    let expected = [
        "1|Ann, A.|1.5|2001-02-03|2024-05-01 12:00:00+00|t|007|f",
        "2||2||2024-05-01 12:30:00+00|f|010|t",
        "3|||1999-12-31||||f",
    ];
    assert_eq!(rows[..3], expected);
    assert_eq!(client.ok("SELECT count(*), sum(amount) FROM people WHERE id < 3").await[0], "2|3.5");
    assert_eq!(client.ok("SELECT count(*) FROM people").await[0], "3");
    assert_eq!(client.ok("SELECT ok, id FROM people ORDER BY id LIMIT 1").await[0], "t|1");
    // The catalog knows it as a foreign table.
    let class = "SELECT relkind, relam, relfilenode, s.srvname, ftoptions[1] FROM pg_class c JOIN pg_foreign_table f ON f.ftrelid = c.oid \
                 JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE relname = 'people'";
    assert_eq!(client.ok(class).await[0], "f|0|0|files|format=csv");
    // What psql's \\d asks.
    let options = "SELECT array_to_string(ARRAY(SELECT quote_ident(option_name) || ' ' || quote_literal(option_value) \
                   FROM pg_options_to_table(ftoptions)), ', ') FROM pg_foreign_table WHERE ftrelid = 'people'::regclass";
    assert_eq!(client.ok(options).await[0], format!("format 'csv', location '{plain}'"));
    let listed = "SELECT table_type, is_insertable_into FROM information_schema.tables WHERE table_name = 'people'";
    assert_eq!(client.ok(listed).await[0], "FOREIGN|NO");
    // It joins, is copied from, and views are made of it.
    client.ok("CREATE TABLE t AS SELECT id, amount FROM people; CREATE VIEW v AS SELECT name FROM people").await;
    assert_eq!(client.ok("SELECT count(*) FROM t JOIN people USING (id)").await[0], "3");
    assert_eq!(client.ok("SELECT name FROM v ORDER BY 1").await[1], "Ann, A.");
    let error = client.error("DROP FOREIGN TABLE people").await;
    assert_eq!(error.code.as_str(), "2BP01");
    assert_eq!(client.ok("DROP FOREIGN TABLE people CASCADE").await, ["DROP FOREIGN TABLE"]);
    assert_eq!(client.error("SELECT * FROM people").await.code.as_str(), "42P01");
}

#[tokio::test]
async fn columns_given_are_found_by_name_and_options_are_kept() {
    let mut place = Place::new();
    let shop = place.write("shop.csv", "b;a;z\n'it''s';1;x\nNIL;2;y\n");
    let bare = place.write("bare.csv", "1,one\n2,two\n");
    let client = &mut place.client;
    let options = "OPTIONS ('format.delimiter' ';', 'format.quote' '''', 'format.null_value' 'NIL')";
    client
        .ok(&format!(
            "CREATE EXTERNAL TABLE shop (a numeric(5,1), b varchar(4)) STORED AS CSV LOCATION '{shop}' {options}"
        ))
        .await;
    assert_eq!(client.ok("SELECT a, b, b IS NULL FROM shop ORDER BY a").await[..2], ["1.0|it's|f", "2.0||t"]);
    client
        .ok(&format!(
            "CREATE EXTERNAL TABLE bare (n int, word text) STORED AS CSV LOCATION '{bare}' OPTIONS (has_header false)"
        ))
        .await;
    assert_eq!(client.ok("SELECT word FROM bare WHERE n = 2").await[0], "two");
    client.ok(&format!("CREATE EXTERNAL TABLE named STORED AS CSV LOCATION '{bare}' OPTIONS (has_header false)")).await;
    // A byte order mark is no part of the first name; two columns of one name are none.
    let marked = place.inside.join("marked.csv");
    std::fs::write(&marked, "\u{feff}id,name\n1,Ann\n").expect("writes");
    client.ok(&format!("CREATE EXTERNAL TABLE marked STORED AS CSV LOCATION '{}'", marked.display())).await;
    assert_eq!(client.ok("SELECT id, name FROM marked").await[0], "1|Ann");
    std::fs::write(&marked, "id,name,id\n1,Ann,2\n").expect("writes");
    let error = client.error("SELECT name FROM marked").await;
    assert_eq!(error.message, format!("file \"{}\" has two columns \"id\"", marked.display()));
    assert_eq!(client.ok("SELECT column_1, column_2 FROM named ORDER BY 1").await[..2], ["1|one", "2|two"]);
    let cases = [
        ("STORED AS ORC LOCATION '/x'", "22023", "format \"orc\" of external tables not recognized"),
        (
            "STORED AS CSV LOCATION '/x' OPTIONS (has_headr true)",
            "22023",
            "unrecognized external table option \"has_headr\"",
        ),
        (
            "STORED AS CSV LOCATION '/x' OPTIONS (has_header maybe)",
            "22023",
            "invalid value for external table option \"has_header\": \"maybe\"",
        ),
        (
            "STORED AS JSON LOCATION '/x' OPTIONS (delimiter ',')",
            "22023",
            "option \"delimiter\" is not for this format",
        ),
        (
            "STORED AS CSV LOCATION '/x' OPTIONS (compression 'xz')",
            "22023",
            "invalid value for external table option \"compression\": \"xz\"",
        ),
        (
            "(a int PRIMARY KEY) STORED AS CSV LOCATION '@'",
            "0A000",
            "constraints and defaults are not supported on external tables",
        ),
        ("(a int, a text) STORED AS CSV LOCATION '@'", "42701", "column \"a\" specified more than once"),
        ("(a nonsense) STORED AS CSV LOCATION '@'", "42704", "type \"nonsense\" does not exist"),
    ];
    for (rest, code, message) in cases {
        let error = client.error(&format!("CREATE EXTERNAL TABLE x {}", rest.replace('@', &shop))).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{rest}");
    }
}

#[tokio::test]
async fn every_format_and_packing_gives_the_same_rows() {
    let mut place = Place::new();
    let at = |name: &str| place.inside.join(name).display().to_string();
    let (json, parquet) = (at("f.json"), at("f.parquet"));
    place.client.ok("CREATE TABLE t (a int8, b text, c float8, d bool, e jsonb)").await;
    place.client.ok("INSERT INTO t SELECT n, 'row ' || n, n / 4.0, n % 2 = 0, CASE WHEN n % 3 = 0 THEN '{\"k\": [1]}' ELSE '{}' END::jsonb FROM generate_series(1, 20000) n").await;
    place.client.ok("INSERT INTO t VALUES (20001, NULL, NULL, NULL, NULL)").await;
    place.client.ok(&format!("COPY t TO '{json}' (FORMAT json); COPY t TO '{parquet}' (FORMAT parquet)")).await;
    let text = std::fs::read_to_string(&json).expect("reads");
    let gz = place.write("g.json.gz", gzip(&text));
    let zst = place.write("z.json.zst", zstd_of(&text));
    let odd = place.write("odd.bin", gzip(&text));
    let client = &mut place.client;
    for (stored, location, options) in [
        ("JSON", &json, ""),
        ("PARQUET", &parquet, ""),
        ("JSON", &gz, ""),
        ("JSON", &zst, ""),
        ("JSON", &odd, "OPTIONS (compression gzip)"),
    ] {
        let create = format!("CREATE EXTERNAL TABLE x STORED AS {stored} LOCATION '{location}' {options}");
        client.ok(&create).await;
        let differ =
            "SELECT count(*) FROM (SELECT a, b, c, d, e::text FROM t EXCEPT ALL SELECT a, b, c, d, e::text FROM x) d";
        assert_eq!(client.ok(differ).await[0], "0", "{location}");
        assert_eq!(
            client.ok("SELECT count(*), count(b), max(a), sum(c) FROM x").await[0],
            "20001|20000|20001|50002500",
            "{location}"
        );
        client.ok("DROP TABLE x").await;
    }
}

fn zstd_of(text: &str) -> Vec<u8> {
    // Stored blocks are all a reader needs to see.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58];
    bytes.extend_from_slice(&u32::try_from(text.len()).expect("small").to_le_bytes());
    let blocks: Vec<&[u8]> = text.as_bytes().chunks(100_000).collect();
    for (index, block) in blocks.iter().enumerate() {
        let last = u32::from(index + 1 == blocks.len());
        let header = u32::try_from(block.len()).expect("small") << 3 | last;
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.extend_from_slice(block);
    }
    bytes
}

#[tokio::test]
async fn files_are_found_by_every_query() {
    let mut place = Place::new();
    place.write("many/one.csv", "a,b\n1,x\n");
    place.write("many/sub/two.csv", "b,a\ny,2\n");
    place.write("many/note.md", "not read");
    place.write("many/_temporary.csv", "a,b\n9,z\n");
    place.write("many/.hidden.csv", "a,b\n9,z\n");
    let many = place.inside.join("many").display().to_string();
    place.client.ok(&format!("CREATE EXTERNAL TABLE many STORED AS CSV LOCATION '{many}/'")).await;
    place.client.ok(&format!("CREATE EXTERNAL TABLE some STORED AS CSV LOCATION '{many}/*o?e*.csv'")).await;
    assert_eq!(place.client.ok("SELECT a, b FROM many ORDER BY a").await[..2], ["1|x", "2|y"]);
    assert_eq!(place.client.ok("SELECT a FROM some").await[0], "1");
    place.write("many/three.csv.gz", gzip("a,b\n3,\"line\nbreak\"\n"));
    assert_eq!(place.client.ok("SELECT sum(a), max(length(b)) FROM many").await[0], "6|10");
    std::fs::remove_dir_all(place.inside.join("many/sub")).expect("removes");
    assert_eq!(place.client.ok("SELECT sum(a) FROM many").await[0], "4");
    let strange = std::ffi::OsStr::from_bytes(b"\xff.csv");
    std::fs::write(place.inside.join("many").join(strange), "a,b\n7,x\n").expect("writes");
    let error = place.client.error("SELECT sum(a) FROM many").await;
    assert_eq!(error.message, format!("directory \"{many}\" has a file whose name is not valid UTF-8"));
    std::fs::remove_file(place.inside.join("many").join(strange)).expect("removes");
    // Empty of files: no rows; the directory gone: an error.
    for name in ["one.csv", "three.csv.gz"] {
        std::fs::remove_file(place.inside.join("many").join(name)).expect("removes");
    }
    assert_eq!(place.client.ok("SELECT count(*) FROM many").await[0], "0");
    let file = place.write("single.csv", "a\n1\n");
    place.client.ok(&format!("CREATE EXTERNAL TABLE single STORED AS CSV LOCATION '{file}'")).await;
    std::fs::remove_file(&file).expect("removes");
    let error = place.client.error("SELECT * FROM single").await;
    let expected = format!("could not open file \"{file}\" for reading: No such file or directory");
    assert_eq!((error.code.as_str(), error.message.as_str()), ("58P01", expected.as_str()));
    let error = place.client.error(&format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{many}'")).await;
    assert_eq!(error.code.as_str(), "58P01");
    place.client.ok(&format!("CREATE EXTERNAL TABLE IF NOT EXISTS single STORED AS CSV LOCATION '{many}'")).await;
}

#[tokio::test]
async fn nothing_writes_to_them() {
    let mut place = Place::new();
    let file = place.write("f.csv", "a,b\n1,x\n");
    let client = &mut place.client;
    client
        .ok(&format!(
            "CREATE EXTERNAL TABLE f STORED AS CSV LOCATION '{file}'; CREATE TABLE t (a int8 PRIMARY KEY, b text)"
        ))
        .await;
    let read_only = ("25006", "external table \"f\" is read-only");
    let cases = [
        ("INSERT INTO f VALUES (1, 'y')", read_only),
        ("UPDATE f SET b = 'y'", read_only),
        ("DELETE FROM f", read_only),
        ("TRUNCATE f", read_only),
        ("MERGE INTO f USING t ON f.a = t.a WHEN MATCHED THEN DELETE", read_only),
        ("COPY f FROM STDIN", read_only),
        ("COPY f TO STDOUT", ("42809", "cannot copy from foreign table \"f\"")),
        ("CREATE INDEX ON f (a)", ("42809", "cannot create index on relation \"f\"")),
        ("ALTER TABLE f ADD COLUMN c int", ("42809", "this ALTER TABLE action cannot be performed on relation \"f\"")),
        ("CREATE TABLE r (a int8 REFERENCES f)", ("42809", "referenced relation \"f\" is not a table")),
        ("BEGIN; LOCK TABLE f", ("42809", "\"f\" is not a table or view")),
        ("DROP VIEW f", ("42809", "\"f\" is not a view")),
        ("DROP FOREIGN TABLE t", ("42809", "\"t\" is not a foreign table")),
        ("DROP FOREIGN TABLE nowhere", ("42704", "foreign table \"nowhere\" does not exist")),
        ("CREATE TABLE f (a int)", ("42P07", "relation \"f\" already exists")),
    ];
    for (text, expected) in cases {
        let error = client.error(text).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), expected, "{text}");
        client.ok("ROLLBACK").await;
    }
    assert_eq!(client.ok("SELECT a FROM f FOR UPDATE").await[0], "1");
    // What leaves the files alone is fine.
    client.ok("INSERT INTO t SELECT * FROM f ON CONFLICT DO NOTHING; VACUUM").await;
    client.ok("ALTER TABLE f RENAME TO g; COMMENT ON TABLE g IS 'files'").await;
    assert_eq!(client.ok("SELECT b, obj_description('g'::regclass) FROM g").await[0], "x|files");
    // DDL is transactional.
    client.ok(&format!("BEGIN; CREATE EXTERNAL TABLE h STORED AS CSV LOCATION '{file}'; DROP TABLE g")).await;
    assert_eq!(client.ok("SELECT a FROM h").await[0], "1");
    client.ok("ROLLBACK").await;
    assert_eq!(client.error("SELECT * FROM h").await.code.as_str(), "42P01");
    assert_eq!(client.ok("SELECT a FROM g").await[0], "1");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), "a,b\n1,x\n");
}

#[tokio::test]
async fn paths_and_rights_hold_at_creation_and_at_each_query() {
    let mut place = Place::new();
    let outside = place.directory.path().join("outside.csv");
    std::fs::write(&outside, "a\n7\n").expect("writes");
    let file = place.write("d/f.csv", "a\n1\n");
    symlink(&outside, place.inside.join("leads_out.csv")).expect("links");
    let inside = place.inside.display().to_string();
    let client = &mut place.client;
    let refused = |path: &str| format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{path}'");
    for path in [
        "/etc/passwd",
        &format!("{inside}/../outside.csv"),
        &format!("{inside}/leads_out.csv"),
        &outside.display().to_string(),
        &format!("{inside}/*.csv"),
        "https://example.com/x.csv",
        "s3://bucket/x.csv",
        "f.csv",
        "",
    ] {
        for definition in ["", "(a int)"] {
            let text = refused(path).replace("x STORED", &format!("x {definition} STORED"));
            let wildcard = path.ends_with("*.csv");
            let outcome = client.run(&text).await;
            if wildcard && definition == "(a int)" {
                // Its files are only looked at by queries.
                outcome.expect("is made");
                assert_eq!(client.error("SELECT * FROM x").await.code.as_str(), "42501");
                client.ok("DROP TABLE x").await;
                continue;
            }
            let error = outcome.expect_err(path);
            let expected = ("42501", "path is outside the allowed directories");
            assert_eq!((error.code.as_str(), error.message.as_str()), expected, "{path}");
        }
    }
    client.ok(&format!("CREATE EXTERNAL TABLE d STORED AS CSV LOCATION '{inside}/d'")).await;
    assert_eq!(client.ok("SELECT a FROM d").await[0], "1");
    // A file that becomes a link out of the directories is as if it had always been one.
    std::fs::remove_file(&file).expect("removes");
    symlink(&outside, &file).expect("links");
    let error = client.error("SELECT * FROM d").await;
    assert_eq!((error.code.as_str(), error.message.as_str()), ("42501", "path is outside the allowed directories"));
    std::fs::remove_file(&file).expect("removes");
    std::fs::write(&file, "a\n2\n").expect("writes");
    // The right is the owner's, and must last.
    client.ok("CREATE ROLE maker; CREATE ROLE reader; GRANT CREATE ON SCHEMA public TO maker; SET ROLE maker").await;
    let create = format!("CREATE EXTERNAL TABLE own STORED AS CSV LOCATION '{inside}/d'");
    let error = client.error(&create).await;
    let expected = "must be superuser or have privileges of the pg_read_server_files role to create an external table";
    assert_eq!((error.code.as_str(), error.message.as_str()), ("42501", expected));
    client.ok("RESET ROLE; GRANT pg_read_server_files TO maker; SET ROLE maker").await;
    client.ok(&create).await;
    client.ok("GRANT SELECT ON own TO reader; RESET ROLE; SET ROLE reader").await;
    assert_eq!(client.ok("SELECT a FROM own").await[0], "2");
    assert_eq!(client.error("SELECT a FROM d").await.message, "permission denied for foreign table d");
    client.ok("RESET ROLE; REVOKE pg_read_server_files FROM maker; SET ROLE reader").await;
    assert_eq!(client.error("SELECT a FROM own").await.code.as_str(), "42501");
}

#[tokio::test]
async fn they_are_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("f.csv");
    std::fs::write(&file, "a\n5\n").expect("writes");
    let config = |allowed: bool| StoreConfig {
        background: false,
        external_dirs: allowed.then(|| directory.path().to_owned()).into_iter().collect(),
        data_dir: directory.path().join("data"),
        ..StoreConfig::default()
    };
    let open = |allowed: bool| {
        let store =
            Store::open(&config(allowed), Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).expect("opens");
        Engine::open(EngineConfig::default(), store).expect("opens")
    };
    let connect = |engine: &Arc<Engine>| {
        let login = tributary::engine::Login {
            user: "postgres".to_owned(),
            database: "tributary".to_owned(),
            ..Default::default()
        };
        Client { session: engine.connect(login).expect("connects") }
    };
    for (turn, allowed) in [true, true, false].into_iter().enumerate() {
        let engine = open(allowed);
        let mut client = connect(&engine);
        if turn == 0 {
            client.ok(&format!("CREATE EXTERNAL TABLE f STORED AS CSV LOCATION '{}'", file.display())).await;
        }
        match allowed {
            true => assert_eq!(client.ok("SELECT a FROM f").await[0], "5"),
            // The directory is not allowed any more.
            false => assert_eq!(client.error("SELECT a FROM f").await.code.as_str(), "42501"),
        }
        drop(client);
        let store = engine.store().clone();
        drop(engine);
        store.close().expect("closes");
    }
}

/// A Parquet file of many groups of rows, over every kind of bound, against the same rows in a table.
#[tokio::test]
async fn groups_of_rows_are_left_out_only_when_no_row_passes() {
    let mut place = Place::new();
    let columns = "a int8, i int4, f float8, n numeric(12,2), t text, d date, ts timestamptz";
    place.client.ok(&format!("CREATE TABLE t ({columns})")).await;
    place.client.ok(
        "INSERT INTO t SELECT g, CASE WHEN g % 1000 < 3 THEN NULL ELSE g / 7 END, CASE WHEN g = 17 THEN 'NaN' ELSE g / 2.0::float8 END, \
         g / 4.0, 'x' || g, date '2024-01-01' + (g / 100)::int, '2024-01-01 00:00+00'::timestamptz + g * interval '1 minute' \
         FROM generate_series(1, 5000) g",
    ).await;
    place.client.ok("INSERT INTO t (a) VALUES (NULL), (NULL)").await;
    let rows = place.client.ok("SELECT * FROM t ORDER BY a").await;
    assert_eq!(rows.len(), 5003);
    // Groups of 500 rows, as another program may write them.
    let small = write_groups(&mut place, 500).await;
    let client = &mut place.client;
    client.ok(&format!("CREATE EXTERNAL TABLE x ({columns}) STORED AS PARQUET LOCATION '{small}'")).await;
    assert_eq!(client.ok("SELECT count(*) FROM x").await[0], "5002");
    for filter in [
        "true",
        "a = 777",
        "a > 4990 OR a < 3",
        "a IS NULL",
        "a IS NOT NULL AND a < 10",
        "i IS NULL",
        "i = 100",
        "NOT i < 700",
        "f > 2490",
        "f = 'NaN'",
        "f >= 2499.5 AND a < 100",
        "n BETWEEN 600.25 AND 601",
        "t = 'x4321'",
        "t LIKE 'x49%'",
        "d = date '2024-02-01'",
        "ts >= '2024-01-04 00:00+00' AND ts < '2024-01-04 01:00+00'",
        "a IN (5, 4500)",
        "a % 2 = 0 AND a > 4000",
        "a + 0 > 4999",
    ] {
        let query =
            |table: &str| format!("SELECT count(*), sum(a), min(t), max(ts), sum(n) FROM {table} WHERE {filter}");
        assert_eq!(client.ok(&query("x")).await, client.ok(&query("t")).await, "{filter}");
    }
}

#[tokio::test]
async fn plans_say_what_is_read_and_scans_stop() {
    let mut place = Place::new();
    place.write("many/a.csv", "a\n1\n2\n");
    place.write("many/b.csv", "a\n3\n");
    let long: String = std::iter::once("a\n".to_owned()).chain((0..400_000).map(|n| format!("{n}\n"))).collect();
    let long = place.write("long.csv", long);
    let many = place.inside.join("many").display().to_string();
    let client = &mut place.client;
    client.ok(&format!("CREATE EXTERNAL TABLE many STORED AS CSV LOCATION '{many}'")).await;
    client.ok(&format!("CREATE EXTERNAL TABLE long STORED AS CSV LOCATION '{long}'")).await;
    let lines = client.ok("EXPLAIN SELECT a FROM many").await;
    let lines: Vec<&str> = lines.iter().map(|line| line.trim().trim_start_matches("->").trim()).collect();
    assert!(lines.iter().any(|line| line.starts_with("Foreign Scan on many")), "{lines:?}");
    assert!(lines.contains(&format!("Foreign File: {many}").as_str()), "{lines:?}");
    assert!(lines.contains(&"Foreign File Size: 10 b in 2 files"), "{lines:?}");
    assert_eq!(client.ok("SELECT a FROM many ORDER BY a LIMIT 2").await[..2], ["1", "2"]);
    assert_eq!(client.ok("SELECT count(*) FROM (SELECT a FROM many LIMIT 1) x").await[0], "1");
    // A scan that hands out nothing looks up from its file.
    client.ok("SET statement_timeout = '1ms'").await;
    let error = client.error("SELECT sum(a) FROM long WHERE a < 0").await;
    assert_eq!(error.code.as_str(), "57014");
}

/// The rows of t in a file of the external directory, in groups of so many rows.
async fn write_groups(place: &mut Place, rows: usize) -> String {
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use datafusion::parquet::file::properties::WriterProperties;
    let whole = place.inside.join("whole.parquet");
    place.client.ok(&format!("COPY (SELECT * FROM t ORDER BY a) TO '{}' (FORMAT parquet)", whole.display())).await;
    let file = std::fs::File::open(&whole).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("reads").build().expect("reads");
    let small = place.inside.join("small.parquet");
    let file = std::fs::File::create(&small).expect("creates");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows)).build();
    let mut writer: Option<ArrowWriter<std::fs::File>> = None;
    for batch in reader {
        let batch = batch.expect("reads");
        let begin = |file: &std::fs::File| {
            let file = file.try_clone().expect("clones");
            ArrowWriter::try_new(file, batch.schema(), Some(properties.clone())).expect("begins")
        };
        writer.get_or_insert_with(|| begin(&file)).write(&batch).expect("writes");
    }
    writer.expect("has rows").close().expect("ends");
    small.display().to_string()
}

/// Reads some rows, lets `meanwhile` change the file, and reads the rest.
async fn read_while(place: &mut Place, query: &str, meanwhile: impl FnOnce()) -> Result<usize, String> {
    let session = &mut place.client.session;
    session.begin_statement(query);
    let outcome = async {
        let statement = session.parse(query)?.remove(0);
        let prepared = session.analyze(statement, &[]).await?;
        let mut portal = session.bind(&prepared, Vec::new()).await?;
        let Outcome::Rows(_) = session.run(&mut portal).await? else { panic!("no rows: {query}") };
        let first = session.fetch(&mut portal, 10).await?.map_or(0, |batch| batch.num_rows());
        assert!(first > 0, "the scan has begun");
        meanwhile();
        let mut count = first;
        while let Some(batch) = session.fetch(&mut portal, usize::MAX).await? {
            count += batch.num_rows();
        }
        Ok(count)
    }
    .await;
    session.end_statement();
    match outcome {
        Ok(count) => {
            session.finish(Implicit::Commit).await.expect("ends");
            Ok(count)
        }
        Err(error) => {
            let error: tributary::error::PgError = error;
            session.fail();
            Err(format!("{} {}", error.code, error.message))
        }
    }
}

#[tokio::test]
async fn a_file_that_changes_during_a_scan_is_an_error() {
    let mut place = Place::new();
    let rows = 200_000;
    let csv: String = std::iter::once("a\n".to_owned()).chain((0..rows).map(|n| format!("{n}\n"))).collect();
    let json: String = (0..rows).map(|n| format!("{{\"a\": {n}}}\n")).collect();
    for (stored, name, contents) in [("CSV", "f.csv", csv.as_str()), ("JSON", "f.json", json.as_str())] {
        let file = place.write(name, contents);
        place.client.ok(&format!("CREATE EXTERNAL TABLE f STORED AS {stored} LOCATION '{file}'")).await;
        assert_eq!(read_while(&mut place, "SELECT a FROM f", || ()).await, Ok(rows), "{stored}");
        let grow = || {
            let mut open = std::fs::OpenOptions::new().append(true).open(&file).expect("opens");
            open.write_all(b"1\n").expect("writes");
        };
        let changed = Err(format!("58030 file \"{file}\" changed while it was being read"));
        assert_eq!(read_while(&mut place, "SELECT a FROM f", grow).await, changed, "{stored}");
        let cut =
            || std::fs::OpenOptions::new().write(true).open(&file).and_then(|open| open.set_len(100)).expect("cuts");
        std::fs::write(&file, contents).expect("writes");
        assert_eq!(read_while(&mut place, "SELECT a FROM f", cut).await, changed, "{stored}");
        place.client.ok("DROP TABLE f").await;
    }
    drop(place.database);
}

#[tokio::test]
async fn wrong_values_are_named_by_file_line_and_column() {
    let mut place = Place::new();
    let good: String = (0..10_000).map(|n| format!("{n},{n}\n")).collect();
    let csv = place.write("bad.csv", format!("a,b\n{good}x,1\n"));
    let json = place.write("bad.json", "{\"a\": 1}\n{\"a\": \"y\"}\n{\"a\": 99999999999}\n");
    let client = &mut place.client;
    client.ok(&format!("CREATE EXTERNAL TABLE c (a int, b int) STORED AS CSV LOCATION '{csv}'")).await;
    client.ok(&format!("CREATE EXTERNAL TABLE j (a int) STORED AS JSON LOCATION '{json}'")).await;
    let error = client.error("SELECT sum(a) FROM c").await;
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("22P02", "invalid input syntax for type integer: \"x\"")
    );
    assert_eq!(error.context.as_deref(), Some(format!("file \"{csv}\", line 10002, column a: \"x\"").as_str()));
    // A column that is not read is not parsed.
    assert_eq!(client.ok("SELECT count(b) FROM c").await[0], "10001");
    let error = client.error("SELECT sum(a) FROM j").await;
    assert_eq!(error.context.as_deref(), Some(format!("file \"{json}\", line 2, column a: \"y\"").as_str()));
    // Nothing of a COPY through it stays.
    client.ok("CREATE TABLE t (a int)").await;
    client.error("INSERT INTO t SELECT a FROM c").await;
    assert_eq!(client.ok("SELECT count(*) FROM t").await[0], "0");
}

/// Every damage is rows or an error with a code that blames the file, for a table made before and one made after.
#[tokio::test]
async fn damaged_files_are_errors() {
    let mut place = Place::new();
    let json = "{\"a\": 1, \"b\": \"x\\u00e9\", \"c\": [1, {\"d\": null}]}\n{\"a\": -2.5e3, \"b\": \"\", \"c\": {}}\n";
    let csv = "a,b,c\n1,\"x\"\"y\",2024-05-01\n2,\"two\nlines\",\n";
    let whole: [(&str, &str, Vec<u8>); 6] = [
        ("CSV", "f.csv", csv.as_bytes().to_vec()),
        ("JSON", "f.json", json.as_bytes().to_vec()),
        ("CSV", "f.csv.gz", gzip(csv)),
        ("JSON", "f.json.gz", gzip(json)),
        ("JSON", "f.json.zst", zstd_of(json)),
        ("CSV", "f.csv.zst", zstd_of(csv)),
    ];
    let blamed =
        ["22P04", "22P02", "22021", "22P05", "22003", "22007", "22008", "42701", "42602", "42622", "54000", "54001"];
    for (stored, name, bytes) in &whole {
        let file = place.write(name, bytes);
        let at = Path::new(&file);
        let client = &mut place.client;
        client.ok(&format!("CREATE EXTERNAL TABLE before STORED AS {stored} LOCATION '{file}'")).await;
        let all = client.ok("SELECT * FROM before").await;
        let step = (bytes.len() / 15).max(1);
        for place_of in (0..bytes.len()).step_by(step) {
            let mut damages = vec![bytes[..place_of].to_vec()];
            for byte in [0x00, 0xff, b'"', b'\n'] {
                let mut damaged = bytes.clone();
                damaged[place_of] = byte;
                damages.push(damaged);
            }
            for damaged in damages {
                std::fs::write(at, &damaged).expect("writes");
                let create = format!("CREATE EXTERNAL TABLE after STORED AS {stored} LOCATION '{file}'");
                for text in ["SELECT * FROM before", &create, "SELECT * FROM after", "DROP TABLE IF EXISTS after"] {
                    if let Err(error) = client.run(text).await {
                        let known = blamed.contains(&error.code.as_str()) || error.code.as_str() == "42P01";
                        assert!(known, "{name} at {place_of}: {text}: {error:?}");
                    }
                }
            }
        }
        std::fs::write(at, bytes).expect("writes");
        assert_eq!(client.ok("SELECT * FROM before").await, all, "{name}");
        client.ok("DROP TABLE before").await;
    }
}
