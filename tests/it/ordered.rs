//! Ordered mode: plans without sort or repartition, and the rows of a scan without it.

use tributary::engine::EngineConfig;
use tributary_store::StoreConfig;

use crate::database::{Client, Database};

/// Events of many persons in three overlapping parts, some deleted, some in memory; one giant person, some without one.
async fn filled(partitions: usize, order: &str) -> (Database, Client) {
    let store = StoreConfig { background: false, stage_rows_max: 200_000, ..StoreConfig::default() };
    let engine = EngineConfig { target_partitions: partitions, ..EngineConfig::default() };
    let database = Database::with_engine(store, engine);
    let mut client = database.connect();
    client.ok(&format!("CREATE TABLE e (person int, ts int, channel text, n int) {order}")).await;
    for part in 0..3u64 {
        let mut state = part + 1;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let data: String = (0..200_000)
            .map(|_| {
                let person = match next(40) {
                    0 => "\\N".to_owned(),
                    1 | 2 => "777".to_owned(),
                    _ => next(90_000).to_string(),
                };
                format!("{person}\t{}\tc{}\t{}\n", next(1_000_000), next(5), next(100))
            })
            .collect();
        assert_eq!(client.copy_in("COPY e FROM STDIN", &[data.as_bytes()]).await.expect("loads"), "COPY 200000");
    }
    client.ok("DELETE FROM e WHERE n = 50").await;
    client.ok("INSERT INTO e SELECT person, ts + 1, 'late', n FROM e WHERE n = 7 AND ts < 200000").await;
    (database, client)
}

const ORDERED: &str = "WITH (order_by = 'person, ts')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_over_the_leading_column_need_no_sort_and_no_repartition() {
    let (_database, mut client) = filled(2, ORDERED).await;
    for query in [
        "SELECT person, count(*), sum(n) FROM e GROUP BY person",
        "SELECT person, channel, count(*) FROM e GROUP BY person, channel",
        "SELECT person, max(ts) FROM e WHERE n > 3 GROUP BY person",
        "SELECT DISTINCT person FROM e",
    ] {
        let plan = client.ok(&format!("EXPLAIN (ENGINE) {query}")).await.join("\n");
        assert!(plan.contains("ordered by=[person"), "{query}\n{plan}");
        assert!(!plan.contains("RepartitionExec") && !plan.contains("SortExec"), "{query}\n{plan}");
        assert!(
            plan.contains("ordering_mode=Sorted") || plan.contains("ordering_mode=PartiallySorted"),
            "{query}\n{plan}"
        );
    }
    let plan = client.ok("EXPLAIN (ENGINE) SELECT person, ts, n FROM e ORDER BY person, ts").await.join("\n");
    assert!(plan.contains("ordered by=[person, ts]") && !plan.contains("SortExec"), "{plan}");
    let window = "SELECT person, lag(ts) OVER (PARTITION BY person ORDER BY ts) FROM e";
    let plan = client.ok(&format!("EXPLAIN (ENGINE) {window}")).await.join("\n");
    assert!(plan.contains("ordered by=[person, ts]") && !plan.contains("SortExec"), "{plan}");
    // Lists in the table's order need no sort either.
    let lists = "SELECT person, array_agg(n ORDER BY ts), string_agg(channel, '>' ORDER BY ts) FROM e GROUP BY person";
    let plan = client.ok(&format!("EXPLAIN (ENGINE) {lists}")).await.join("\n");
    assert!(plan.contains("ordered by=[person, ts]") && !plan.contains("SortExec"), "{plan}");
    // As PostgreSQL calls it.
    let plan = client.ok("EXPLAIN SELECT person, count(*) FROM e GROUP BY person").await.join("\n");
    assert!(plan.contains("GroupAggregate") && !plan.contains("HashAggregate"), "{plan}");
    // Few groups, or another column: as ever.
    let plan = client.ok("EXPLAIN (ENGINE) SELECT channel, count(*) FROM e GROUP BY channel").await.join("\n");
    assert!(!plan.contains("ordered by"), "{plan}");
}

/// Memory of one person: neither the rows nor the mapped parts they come from are counted or kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grouping_in_order_needs_little_memory() {
    let store = StoreConfig { background: false, ..StoreConfig::default() };
    let memory =
        EngineConfig { target_partitions: 2, query_memory_bytes: 8 << 20, spill_bytes: 0, ..EngineConfig::default() };
    let database = Database::with_engine(store, memory);
    let mut client = database.connect();
    client.ok(&format!("CREATE TABLE e (person int, ts int, channel text, n int) {ORDERED}")).await;
    for load in 0..4 {
        let rows = format!("SELECT (g * 7919 + {load}) % 150000, (g * 31 + {load}) % 100003, 'c' || g % 5, g % 100");
        client.ok(&format!("INSERT INTO e {rows} FROM generate_series(1, 200000) AS g")).await;
        client.ok("CHECKPOINT").await;
    }
    let lists = "SELECT person, array_agg(ts ORDER BY ts) AS l, string_agg(channel, '>' ORDER BY ts) AS s FROM e GROUP BY person";
    let plan = client.ok(&format!("EXPLAIN (ENGINE) {lists}")).await.join("\n");
    assert!(plan.contains("ordered by=[person, ts]") && !plan.contains("SortExec"), "{plan}");
    let sums = format!("SELECT count(*), sum(array_length(l, 1)), sum(length(s)) FROM ({lists}) AS g");
    assert_eq!(client.ok(&sums).await, ["150000|800000|2250000", "SELECT 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_in_order_are_built_a_group_at_a_time() {
    let (_database, mut client) = filled(2, "").await;
    let lists = "SELECT channel, person, array_agg(n ORDER BY ts), count(*) FROM e GROUP BY channel, person";
    let plan = client.ok(&format!("EXPLAIN (ENGINE) {lists}")).await.join("\n");
    assert!(plan.contains("mode=SinglePartitioned") && plan.contains("ordering_mode=Sorted"), "{plan}");
    // Without order there is nothing to sort for.
    let plan =
        client.ok("EXPLAIN (ENGINE) SELECT person, array_agg(n), count(*) FROM e GROUP BY person").await.join("\n");
    assert!(!plan.contains("SortExec"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_and_unordered_scans_agree() {
    let queries = [
        "SELECT count(*), sum(c), max(c), sum(s), count(person) FROM \
         (SELECT person, count(*) AS c, sum(n) AS s FROM e GROUP BY person) AS g",
        "SELECT count(*), sum(c * c), max(person) FROM \
         (SELECT person, channel, count(*) AS c FROM e WHERE n < 60 GROUP BY person, channel) AS g",
        "SELECT count(*), count(person), sum(person) FROM (SELECT DISTINCT person FROM e) AS d",
        "SELECT count(*), sum(length(s)), sum(l[1]), sum(d[1]), sum(first), sum(f) FROM (SELECT person, \
         string_agg(channel, '>' ORDER BY ts, n, channel) AS s, array_agg(ts ORDER BY ts) AS l, array_agg(ts ORDER BY ts DESC) AS d, \
         min(ts) AS first, count(*) FILTER (WHERE n > 5) AS f FROM e WHERE n < 10 GROUP BY person) AS g",
        "SELECT md5(string_agg(s, ',' ORDER BY c)) FROM (SELECT channel || n AS c, \
         md5(string_agg(ts || ':' || coalesce(person, 0), ',' ORDER BY ts DESC, person)) AS s FROM e WHERE n < 10 GROUP BY channel || n) AS g",
        "SELECT count(*), sum(gap) FROM (SELECT ts - lag(ts) OVER (PARTITION BY person ORDER BY ts) AS gap FROM e) AS w",
        "SELECT count(*), sum(c) FROM (SELECT person, count(*) AS c FROM e WHERE person BETWEEN 700 AND 800 GROUP BY person) AS g",
        "SELECT sum(t.n) FROM e AS t JOIN (SELECT person, max(ts) AS last FROM e GROUP BY person) AS m \
         ON t.person = m.person AND t.ts = m.last",
    ];
    let mut expected: Option<Vec<Vec<String>>> = None;
    for (partitions, order) in [(2, ""), (1, ORDERED), (2, ORDERED), (7, ORDERED)] {
        let (_database, mut client) = filled(partitions, order).await;
        let mut answers = Vec::new();
        for query in queries {
            answers.push(client.ok(query).await);
        }
        match &expected {
            None => expected = Some(answers),
            Some(expected) => assert_eq!(&answers, expected, "{partitions} partitions"),
        }
        if !order.is_empty() {
            let rows = client.ok("SELECT person, ts FROM e ORDER BY person, ts").await;
            let keys: Vec<(bool, i64, i64)> = rows[..rows.len() - 1]
                .iter()
                .map(|row| {
                    let (person, ts) = row.split_once('|').expect("two columns");
                    (person.is_empty(), person.parse().unwrap_or(0), ts.parse().expect("a number"))
                })
                .collect();
            assert!(keys.is_sorted(), "{partitions} partitions");
        }
    }
}
