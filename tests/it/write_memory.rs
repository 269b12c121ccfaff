//! Writes and cursors within a small query pool: what must be kept is paid for, the rest streams or spills.

use tributary::engine::EngineConfig;
use tributary_store::StoreConfig;

use crate::database::Database;

const MIB: usize = 1 << 20;

/// Rows of the large table.
const ROWS: usize = 300_000;

/// A pool of `memory` bytes, and part files for own rows from 64 Ki rows on.
fn small(memory: usize) -> Database {
    let store = StoreConfig { stage_rows_max: 65_536, ..StoreConfig::default() };
    Database::with_engine(store, EngineConfig { query_memory_bytes: memory, ..EngineConfig::default() })
}

async fn filled(memory: usize, table: &str) -> Database {
    let database = small(memory);
    let mut client = database.connect();
    client.ok(table).await;
    let rows = format!("SELECT i, i % 10, 'text of row ' || i FROM generate_series(1, {ROWS}) AS g(i)");
    assert_eq!(client.ok(&format!("INSERT INTO big {rows}")).await, [format!("INSERT 0 {ROWS}")]);
    database
}

const PLAIN: &str = "CREATE TABLE big (id int, v int, t text)";

const SUMS: &str = "SELECT count(*), sum(v), count(DISTINCT id) FROM big";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_keys_need_no_memory_however_many_they_are() {
    let database = filled(24 * MIB, PLAIN).await;
    let mut client = database.connect();
    assert_eq!(client.ok("INSERT INTO big SELECT id + 1000000, v, t FROM big").await, [format!("INSERT 0 {ROWS}")]);
    client.ok("BEGIN").await;
    assert_eq!(client.ok("UPDATE big SET v = v + 1").await, [format!("UPDATE {}", 2 * ROWS)]);
    assert_eq!(client.ok("UPDATE big SET v = v + 1 WHERE id > 1000000").await, [format!("UPDATE {ROWS}")]);
    assert_eq!(client.ok("DELETE FROM big WHERE id <= 1000000").await, [format!("DELETE {ROWS}")]);
    client.ok("COMMIT").await;
    let sum = ROWS / 10 * 45 + 2 * ROWS;
    assert_eq!(client.ok("SELECT count(*), sum(v), min(id) FROM big").await[0], format!("{ROWS}|{sum}|1000001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_joins_spills_its_rows() {
    let database = filled(24 * MIB, PLAIN).await;
    let mut client = database.connect();
    // Every row is found twice, with equal new values.
    let update = "UPDATE big SET v = big.v + f.n FROM (VALUES (0, 1), (0, 1)) AS f(k, n) WHERE f.k <= big.v";
    assert_eq!(client.ok(update).await, [format!("UPDATE {ROWS}")]);
    assert_eq!(client.ok(SUMS).await[0], format!("{ROWS}|{}|{ROWS}", ROWS / 10 * 45 + ROWS));
    let twice = "UPDATE big SET v = f.n FROM (VALUES (0, 1), (0, 2)) AS f(k, n) WHERE f.k <= big.v";
    assert_eq!(client.error(twice).await.code.as_str(), "21000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_spills_its_rows() {
    let database = filled(48 * MIB, PLAIN).await;
    let mut client = database.connect();
    let half = ROWS / 2;
    let merge = format!(
        "MERGE INTO big USING (SELECT i, i % 7 AS v FROM generate_series({half} + 1, {ROWS} + {half}) AS g(i)) AS n \
         ON big.id = n.i WHEN MATCHED AND n.v = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 100 \
         WHEN NOT MATCHED THEN INSERT (id, v) VALUES (n.i, 1)"
    );
    assert_eq!(client.ok(&merge).await, [format!("MERGE {ROWS}")]);
    // Of the half that matched a seventh is gone.
    let gone = (half + 1..=ROWS).filter(|i| i % 7 == 0).count();
    let row = client.ok("SELECT count(*), count(*) FILTER (WHERE v = 100), count(DISTINCT id) FROM big").await;
    let rows = ROWS + half - gone;
    assert_eq!(row[0], format!("{rows}|{}|{rows}", half - gone));
}

/// A statement that must keep more than the pool has fails, leaves nothing behind and disturbs nobody.
async fn refused(database: &Database, statement: &str) {
    let mut client = database.connect();
    let before = client.ok(SUMS).await;
    for block in [false, true] {
        if block {
            client.ok("BEGIN").await;
        }
        let error = client.error(statement).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), ("53200", "out of memory"), "{statement}");
        let hint = error.hint.clone().unwrap_or_default();
        assert!(hint.contains("server.query_memory"), "{statement}: {hint}");
        if block {
            client.ok("ROLLBACK").await;
        }
        assert_eq!(client.ok(SUMS).await, before, "{statement}");
    }
    // All of it has gone back to the pool.
    assert_eq!(client.ok("UPDATE big SET v = v WHERE id <= 10 RETURNING id").await.len(), 11);
    assert_eq!(client.ok(SUMS).await, before, "{statement}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_for_returning_are_paid_for() {
    let database = filled(8 * MIB, PLAIN).await;
    for statement in [
        "UPDATE big SET v = v + 1 RETURNING *",
        "DELETE FROM big RETURNING *",
        "INSERT INTO big SELECT id + 1000000, v, t FROM big RETURNING *",
        "INSERT INTO big SELECT id + 1000000, v, t FROM big RETURNING repeat(t, 10)",
    ] {
        refused(&database, statement).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_are_paid_for() {
    let database = small(8 * MIB);
    let mut client = database.connect();
    client.ok("CREATE TABLE big (id int PRIMARY KEY, v int, t text)").await;
    client.ok("INSERT INTO big SELECT i, i % 10, 'x' FROM generate_series(1, 1000) AS g(i)").await;
    // Keys of rows that are replaced are collected.
    let rows = format!("SELECT i, i, 'x' FROM generate_series(1001, {ROWS}) AS g(i)");
    refused(&database, &format!("INSERT INTO big {rows} ON CONFLICT (id) DO UPDATE SET v = excluded.v")).await;
    assert_eq!(client.ok("SELECT count(*) FROM big").await[0], "1000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_rows_that_are_only_added_need_no_memory_however_many_they_are() {
    let database = small(8 * MIB);
    let mut client = database.connect();
    client.ok("CREATE TABLE big (id int PRIMARY KEY, v int, t text UNIQUE)").await;
    client.ok("INSERT INTO big VALUES (5, 0, 'text 5')").await;
    let rows = format!("SELECT i, i, 'text ' || i FROM generate_series(1, {ROWS}) AS g(i)");
    let error = client.error(&format!("INSERT INTO big {rows}")).await;
    assert_eq!((error.code.as_str(), error.detail.as_deref()), ("23505", Some("Key (id)=(5) already exists.")));
    let insert = format!("INSERT INTO big {rows} ON CONFLICT DO NOTHING");
    assert_eq!(client.ok(&insert).await, [format!("INSERT 0 {}", ROWS - 1)]);
    let line = |id: usize| format!("{id}\t1\ttext {id}\n").into_bytes();
    let data: Vec<u8> = (ROWS + 1..2 * ROWS).flat_map(line).collect();
    let pieces: Vec<&[u8]> = data.chunks(65_536).collect();
    client.copy_in("COPY big FROM STDIN", &pieces).await.expect("all keys are new");
    // A key far back in what the same statement has staged.
    let again: Vec<u8> = (2 * ROWS..3 * ROWS).chain([2 * ROWS + 1]).flat_map(line).collect();
    let pieces: Vec<&[u8]> = again.chunks(65_536).collect();
    let error = client.copy_in("COPY big FROM STDIN", &pieces).await.expect_err("its last line repeats its second");
    let line = format!("COPY big, line {}", ROWS + 1);
    assert_eq!((error.code.as_str(), error.context.as_deref()), ("23505", Some(line.as_str())));
    assert_eq!(client.ok("SELECT count(*), max(id) FROM big").await[0], format!("{}|{}", 2 * ROWS - 1, 2 * ROWS - 1));
}

/// Rows of a series: they cost nothing until somebody keeps them.
const SERIES: usize = 3_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_moves_over_more_rows_than_there_is_memory_for() {
    let database = small(8 * MIB);
    let mut client = database.connect();
    client.ok(&format!("BEGIN; DECLARE c CURSOR FOR SELECT i FROM generate_series(1, {SERIES}) AS g(i)")).await;
    assert_eq!(client.ok("FETCH 2 FROM c").await, ["1", "2", "FETCH 2"]);
    assert_eq!(client.ok("MOVE 99998 IN c").await, ["MOVE 99998"]);
    assert_eq!(client.ok("FETCH RELATIVE 900000 FROM c").await, ["1000000", "FETCH 1"]);
    assert_eq!(client.ok("MOVE ABSOLUTE 2000000 FROM c").await, ["MOVE 1"]);
    assert_eq!(client.ok("MOVE ALL IN c").await, [format!("MOVE {}", SERIES - 2_000_000)]);
    assert_eq!(client.ok("FETCH c").await, ["FETCH 0"]);
    client.ok("COMMIT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_cursor_or_a_fetch_keeps_are_paid_for() {
    let database = small(8 * MIB);
    let (mut client, mut other) = (database.connect(), database.connect());
    let query = format!("FOR SELECT i, i + 1, i + 2 FROM generate_series(1, {SERIES}) AS g(i)");
    for (declare, fetch) in [
        ("DECLARE c CURSOR", "FETCH ALL FROM c"),
        ("DECLARE c SCROLL CURSOR", "FETCH ALL FROM c"),
        ("DECLARE c SCROLL CURSOR", "MOVE ABSOLUTE -1 IN c"),
        ("DECLARE c CURSOR WITH HOLD", "COMMIT"),
    ] {
        client.ok(&format!("BEGIN; SAVEPOINT a; {declare} {query}")).await;
        let error = client.error(fetch).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), ("53200", "out of memory"), "{declare}: {fetch}");
        client.ok("ROLLBACK").await;
        assert_eq!(client.ok("SELECT count(*) FROM pg_cursors").await[0], "0", "{declare}: {fetch}");
        assert_eq!(
            client.ok(&format!("SELECT count(*) FROM generate_series(1, {SERIES})")).await[0],
            SERIES.to_string()
        );
    }
    // Several cursors together may not keep more than the pool has, and closing one gives room.
    let held = |name: &str| {
        format!(
            "BEGIN; DECLARE {name} CURSOR WITH HOLD FOR SELECT i FROM generate_series(1::bigint, 600000) AS g(i); COMMIT"
        )
    };
    client.ok(&held("one")).await;
    assert_eq!(other.error(&held("two")).await.code.as_str(), "53200");
    assert_eq!(client.ok("FETCH 1 FROM one").await, ["1", "FETCH 1"]);
    client.ok("CLOSE one").await;
    other.ok(&held("two")).await;
    assert_eq!(other.ok("MOVE ALL IN two").await, ["MOVE 600000"]);
}

/// A FETCH that failed may have lost rows: the cursor is gone, it does not go on behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_whose_fetch_failed_gives_no_more_rows() {
    let database = small(8 * MIB);
    let mut client = database.connect();
    client.ok("BEGIN; DECLARE c CURSOR FOR SELECT 10 / (5 - i) FROM generate_series(1, 9) AS g(i); SAVEPOINT a").await;
    assert_eq!(client.error("FETCH ALL FROM c").await.code.as_str(), "22012");
    client.ok("ROLLBACK TO a").await;
    assert_eq!(client.error("FETCH ALL FROM c").await.code.as_str(), "34000");
}

/// Whichever operator meets a limit, and however many wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_met_has_its_code() {
    let engine = EngineConfig { query_memory_bytes: 8 * MIB, spill_bytes: MIB as u64, ..EngineConfig::default() };
    let database = Database::with_engine(StoreConfig::default(), engine);
    let mut client = database.connect();
    client.ok(&format!("CREATE TABLE s AS SELECT i FROM generate_series(1, {SERIES}) AS g(i)")).await;
    for (query, code, message) in [
        ("SELECT count(*) FROM s AS a JOIN s AS b USING (i)", "53200", "out of memory"),
        ("SELECT count(*) FROM s WHERE i IN (SELECT i FROM s)", "53200", "out of memory"),
        ("DELETE FROM s WHERE i IN (SELECT i FROM s)", "53200", "out of memory"),
        (
            "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY -i) AS n FROM s) AS t",
            "53400",
            "temporary files exceed their limit",
        ),
    ] {
        let error = client.error(query).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{query}: {error:?}");
    }
    assert_eq!(client.ok("SELECT count(*) FROM s").await[0], SERIES.to_string());
}
