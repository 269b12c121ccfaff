//! What a scan is spared, through SQL: pruning lines, exact statistics, the order in which granules are visited.

use tributary_store::{ScanIo, StoreConfig};

use crate::database::{Client, Database};

/// 40,000 rows in two parts and 10 more in memory; `i` grows, `n` is NULL in the second part, `f` has NaNs.
async fn filled() -> (Database, Client) {
    let config = StoreConfig { background: false, stage_rows_max: 20_000, ..StoreConfig::default() };
    let database = Database::with(config);
    let mut client = database.connect();
    client.ok("CREATE TABLE e (i int, n int, f float8, t text)").await;
    for part in 0..2 {
        let rows = (0..20_000).map(|row| {
            let i = part * 20_000 + row;
            let n = if part == 0 { (i % 7).to_string() } else { "\\N".to_owned() };
            let f = if i % 1_000 == 1 { "NaN".to_owned() } else { format!("{}", i % 10) };
            format!("{i}\t{n}\t{f}\ttext {}\n", i % 3)
        });
        let data: String = rows.collect();
        assert_eq!(client.copy_in("COPY e FROM STDIN", &[data.as_bytes()]).await.expect("loads"), "COPY 20000");
    }
    client.ok("INSERT INTO e VALUES (-1, 1, 1, 'late'), (-2, NULL, 'NaN', NULL)").await;
    (database, client)
}

/// What the planner and the scan make of parts must not depend on how their bytes come in.
#[tokio::test]
async fn parts_that_are_read_answer_like_parts_that_are_mapped() {
    let mut answers = Vec::new();
    for scan_io in [ScanIo::Mmap, ScanIo::Pread] {
        let config = StoreConfig { background: false, stage_rows_max: 20_000, scan_io, ..StoreConfig::default() };
        let database = Database::with(config);
        let mut client = database.connect();
        client.ok("CREATE TABLE e (id int PRIMARY KEY, kind text, note text, amount numeric(12, 2))").await;
        let rows =
            (0..45_000).map(|i| format!("{i}\tkind {}\tnote of {i}, longer than a view\t{}.25\n", i % 5, i % 90));
        client.copy_in("COPY e FROM STDIN", &[rows.collect::<String>().as_bytes()]).await.expect("loads");
        client.ok("DELETE FROM e WHERE id % 11 = 3").await;
        database.flush();
        client.ok("ANALYZE e").await;
        let mut found = Vec::new();
        for query in [
            "SELECT kind, count(*), sum(amount), min(note), max(id) FROM e GROUP BY kind ORDER BY kind",
            "SELECT * FROM e WHERE kind LIKE '%3' AND id BETWEEN 19990 AND 20030 ORDER BY id",
            "SELECT * FROM e WHERE id IN (1, 3, 30000, 44999, 45000) ORDER BY id",
            "SELECT id, note FROM e ORDER BY id DESC LIMIT 5",
            "SELECT count(*), count(DISTINCT note) FROM e WHERE amount > 40",
        ] {
            found.push(client.ok(query).await);
        }
        client
            .ok("INSERT INTO e VALUES (7, 'again', 'x', 1) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind")
            .await;
        found.push(client.ok("SELECT kind, note FROM e WHERE id = 7").await);
        assert_eq!(client.error("INSERT INTO e VALUES (44999, '', '', 0)").await.code.as_str(), "23505");
        answers.push(found);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].iter().all(|rows| !rows.is_empty()));
}

fn line<'a>(lines: &'a [String], start: &str) -> &'a str {
    let found = lines.iter().map(|line| line.trim()).find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in {lines:#?}"))
}

#[tokio::test]
async fn explain_tells_what_was_pruned() {
    let (_database, mut client) = filled().await;
    // Two parts of three granules each, and the granule of rows in memory, which is always read.
    for (filter, pruned) in [
        ("i = 5", "Parts: 1 of 2, granules: 2 of 7"),
        ("i > 38000", "Parts: 1 of 2, granules: 2 of 7"),
        ("i BETWEEN 19000 AND 21000", "Parts: 2 of 2, granules: 3 of 7"),
        ("i IN (1, 39999)", "Parts: 2 of 2, granules: 3 of 7"),
        ("n IS NOT NULL", "Parts: 1 of 2, granules: 4 of 7"),
        ("n IS NULL", "Parts: 1 of 2, granules: 4 of 7"),
        ("f > 1000", "Parts: 2 of 2, granules: 7 of 7"),
        ("t = 'zebra'", "Parts: 0 of 2, granules: 1 of 7"),
        ("t LIKE 'text 2%'", "Parts: 2 of 2, granules: 7 of 7"),
    ] {
        let lines = client.ok(&format!("EXPLAIN SELECT * FROM e WHERE {filter}")).await;
        assert_eq!(line(&lines, "Parts:"), pruned, "{filter}");
    }
}

#[tokio::test]
async fn filters_on_pruned_and_unpruned_rows_agree() {
    let (_database, mut client) = filled().await;
    for (filter, count) in [
        ("i = 5", 1),
        ("i > 38000", 1_999),
        ("i BETWEEN 19000 AND 21000", 2_001),
        ("n IS NULL", 20_001),
        ("f > 1000", 41),
        ("f = 'NaN'", 41),
        ("t = 'zebra'", 0),
        ("i < 0", 2),
        ("i IN (SELECT n FROM e WHERE n IS NOT NULL)", 7),
        ("i > (SELECT avg(i) FROM e)", 20_001),
    ] {
        assert_eq!(
            client.ok(&format!("SELECT count(*) FROM e WHERE {filter}")).await[0],
            count.to_string(),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn counts_and_bounds_from_statistics_are_those_of_the_rows() {
    let (_database, mut client) = filled().await;
    let from_rows = "SELECT count(*), count(n), min(i), max(i), min(n), max(n) FROM e WHERE i + 0 = i OR i IS NULL";
    let from_statistics = "SELECT count(*), count(n), min(i), max(i), min(n), max(n) FROM e";
    assert_eq!(client.ok(from_statistics).await, client.ok(from_rows).await);
    client.ok("DELETE FROM e WHERE i < 0").await;
    assert_eq!(client.ok(from_statistics).await[0], "40000|20000|0|39999|0|6");
    client.ok("DELETE FROM e WHERE i = 39999 OR n = 6").await;
    assert_eq!(client.ok(from_statistics).await, client.ok(from_rows).await);
    assert_eq!(client.ok("SELECT max(f), min(f) FROM e").await[0], "NaN|0");
    client.ok("BEGIN").await;
    client.ok("INSERT INTO e (i) VALUES (100000)").await;
    assert_eq!(
        client.ok("SELECT max(i), count(*) - count(n) FROM e").await,
        client.ok("SELECT max(i), count(*) - count(n) FROM e WHERE i + 0 = i").await
    );
    client.ok("ROLLBACK").await;
}

#[tokio::test]
async fn the_newest_rows_are_found_without_reading_the_rest() {
    let (_database, mut client) = filled().await;
    let lines = client.ok("EXPLAIN ANALYZE SELECT * FROM e ORDER BY i DESC LIMIT 20").await;
    let read: usize = line(&lines, "Granules Read: ")["Granules Read: ".len()..].parse().expect("a number");
    assert!(read <= 3, "{read} granules were read: {lines:#?}");
    let rows = client.ok("SELECT i FROM e ORDER BY i DESC LIMIT 3").await;
    assert_eq!(rows, ["39999", "39998", "39997", "SELECT 3"]);
    let rows = client.ok("SELECT i FROM e ORDER BY i LIMIT 3").await;
    assert_eq!(rows, ["-2", "-1", "0", "SELECT 3"]);
    // Ties at the edge, and NULLs where they come first.
    assert_eq!(client.ok("SELECT count(n) FROM (SELECT n FROM e ORDER BY n DESC LIMIT 30000) AS x").await[0], "9999");
}

#[tokio::test]
async fn rows_named_by_key_are_looked_up() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE k (id bigint PRIMARY KEY, a text, b int, UNIQUE (b, a)); CREATE INDEX k_a ON k (a)").await;
    client.ok("INSERT INTO k SELECT i, 't' || i % 9000, i % 7 FROM generate_series(1, 30000) AS g(i)").await;
    database.flush();
    client.ok("INSERT INTO k SELECT i, 't' || i, 7 FROM generate_series(40001, 40100) AS g(i)").await;
    client.ok("DELETE FROM k WHERE id = 77; UPDATE k SET b = -1 WHERE id = 78").await;
    client.ok("BEGIN; INSERT INTO k VALUES (50000, 't5', 500)").await;
    for (condition, index, granules, ids) in [
        ("id = 12345", "k_pkey", 1, "12345"),
        ("12345 = id AND b = 4", "k_pkey", 1, "12345"),
        ("id = 12345 AND b = 3", "k_pkey", 1, ""),
        ("id = 40007", "k_pkey", 1, "40007"),
        ("id = 50000", "k_pkey", 1, "50000"),
        ("id = 77", "k_pkey", 0, ""),
        ("id = 78 AND b = -1", "k_pkey", 1, "78"),
        ("id IN (5, 29000, 40007, 99, NULL)", "k_pkey", 3, "5,99,29000,40007"),
        ("b IN (500, 5, 6) AND a IN ('t5', 't13')", "k_b_a_key", 3, "5,13,27005,50000"),
        ("a = 't100'", "k_a", 3, "100,9100,18100,27100"),
        ("a IN ('t3', 't4') AND id > 20000", "k_a", 3, "27003,27004"),
        ("id = 4 OR 5 = id", "k_pkey", 1, "4,5"),
    ] {
        let lines = client.ok(&format!("EXPLAIN SELECT id FROM k WHERE {condition}")).await;
        assert!(lines[0].starts_with(&format!("Index Scan using {index} on k  ")), "{condition}: {lines:#?}");
        let parts = line(&lines, "Parts: ");
        let read = parts.split("granules: ").nth(1).and_then(|text| text.split(' ').next());
        assert!(
            read.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n <= granules + 2),
            "{condition}: {lines:#?}"
        );
        let found = client.ok(&format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM k WHERE {condition}")).await;
        assert_eq!(found[0], ids, "{condition}");
    }
    for condition in
        ["id > 5", "b = 5", "id = b", "id = 5 OR b = 7", "id = 5 OR id > 7", "id <> 5", "id NOT IN (5)", "id = NULL"]
    {
        let lines = client.ok(&format!("EXPLAIN SELECT id FROM k WHERE {condition}")).await;
        assert!(!lines[0].contains("Index Scan"), "{condition}: {lines:#?}");
    }
    // One value of 30,000 rows: reading granules is cheaper than a lookup of each.
    client.ok("ROLLBACK; CREATE TABLE c (a int, b int); CREATE INDEX c_a ON c (a)").await;
    client.ok("INSERT INTO c SELECT 1, i FROM generate_series(1, 30000) AS g(i)").await;
    database.flush();
    assert!(line(&client.ok("EXPLAIN SELECT * FROM c WHERE a = 1").await, "Seq Scan on c").contains("rows="));
    assert_eq!(client.ok("SELECT count(*) FROM c WHERE a = 1").await[0], "30000");
    // An index made after the part was written.
    client.ok("CREATE INDEX c_b ON c (b)").await;
    assert!(line(&client.ok("EXPLAIN SELECT * FROM c WHERE b = 9").await, "Index Scan using c_b").contains("rows=1"));
    assert_eq!(client.ok("SELECT a, b FROM c WHERE b = 9").await, ["1|9", "SELECT 1"]);
}

#[tokio::test]
async fn explain_has_the_shape_tools_parse() {
    let (_database, mut client) = filled().await;
    let lines = client.ok("EXPLAIN SELECT t, count(*) FROM e WHERE i > 5 GROUP BY t").await;
    assert!(lines[0].contains("(cost=0.00.."), "{lines:#?}");
    assert!(lines.iter().any(|line| line.trim_start().starts_with("->  ")), "{lines:#?}");
    assert!(line(&lines, "Filter:").contains("i > 5"));
    assert!(line(&lines, "->  Seq Scan on e").contains(" width="));
    let lines = client.ok("EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT count(*) FROM e WHERE i >= 0").await;
    assert!(line(&lines, "->  Seq Scan on e").ends_with("(actual rows=40000 loops=1)"), "{lines:#?}");
    line(&lines, "Execution Time:");
    let json = client.ok("EXPLAIN (FORMAT json) SELECT * FROM e").await.remove(0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("parses");
    assert_eq!(json[0]["Plan"]["Node Type"], "Seq Scan");
    assert_eq!(json[0]["Plan"]["Relation Name"], "e");
    let lines = client.ok("EXPLAIN DELETE FROM e WHERE i < 100").await;
    assert!(lines[0].starts_with("Delete on e"), "{lines:#?}");
    assert_eq!(client.ok("SELECT count(*) FROM e").await[0], "40002");
    client.ok("EXPLAIN ANALYZE DELETE FROM e WHERE i < 100").await;
    assert_eq!(client.ok("SELECT count(*) FROM e").await[0], "39900");
    let lines = client.ok("EXPLAIN (ENGINE) SELECT 1").await;
    assert!(lines.contains(&"physical plan".to_owned()), "{lines:#?}");
    for (statement, code, message) in [
        ("EXPLAIN (NOPE) SELECT 1", "42601", "unrecognized EXPLAIN option \"nope\""),
        ("EXPLAIN (FORMAT xml) SELECT 1", "0A000", "EXPLAIN in format XML is not supported"),
        ("EXPLAIN (FORMAT nope) SELECT 1", "22023", "unrecognized value for EXPLAIN option \"format\": \"nope\""),
    ] {
        let error = client.error(statement).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{statement}");
    }
}
