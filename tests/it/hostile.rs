//! Statements made to hurt: each is answered or refused with its code, and the session goes on.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::Harness;

/// The first value of the answer.
async fn first(client: &Client, sql: &str) -> Result<String, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or("(nothing)").to_owned())
}

fn code(result: Result<String, tokio_postgres::Error>) -> String {
    match result {
        Ok(answer) => format!("the answer {answer}"),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

fn repeated(piece: &str, times: usize, by: &str) -> String {
    vec![piece; times].join(by)
}

#[test]
fn deep_and_wide_statements_are_refused() {
    let doubling: String =
        (1..40).map(|at| format!(", t{at} AS (SELECT a.x FROM t{} a, t{} b)", at - 1, at - 1)).collect();
    let cases = [
        ("parentheses", format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)), "54001"),
        ("signs", format!("SELECT {}1", "- ".repeat(5_000)), "54001"),
        ("casts", format!("SELECT 1{}", "::int".repeat(5_000)), "54001"),
        ("operators", format!("SELECT {}", repeated("1", 500_000, "+")), "54001"),
        ("conditions", format!("SELECT {}", repeated("1 = 1", 100_000, " AND ")), "54001"),
        ("calls", format!("SELECT {}1{}", "abs(".repeat(2_000), ")".repeat(2_000)), "54001"),
        (
            "queries",
            format!("SELECT * FROM {}(SELECT 1 AS a) t{}", "(SELECT * FROM ".repeat(300), ") t".repeat(300)),
            "54001",
        ),
        ("dimensions", format!("SELECT {}1{}", "ARRAY[".repeat(100), "]".repeat(100)), "54000"),
        (
            "WITH queries named twice each",
            format!("WITH t0 AS (SELECT 1 AS x){doubling} SELECT count(*) FROM t39"),
            "54001",
        ),
        ("JSON", format!("SELECT '{}{}'::jsonb", "[".repeat(100_000), "]".repeat(100_000)), "54001"),
        ("a series in memory", "SELECT generate_series(1, 1000000000)".to_owned(), "54000"),
    ];
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        for (name, sql, expected) in cases {
            assert_eq!(code(first(&client, &sql).await), expected, "{name}");
            assert_eq!(first(&client, "SELECT 1").await.expect("goes on"), "1", "after {name}");
        }
    });
}

#[test]
fn long_statements_are_answered() {
    let cases = [
        ("a sum", format!("SELECT {}", repeated("1", 1_000, " + ")), "1000"),
        ("a sum of columns", format!("SELECT {} FROM (SELECT 2 AS x) t", repeated("x", 300, " + ")), "600"),
        ("a sum with NULL", format!("SELECT {} + NULL + 1 IS NULL", repeated("1", 100, " + ")), "t"),
        ("a text", format!("SELECT length({})", repeated("'ab'", 500, " || ")), "1000"),
        ("conditions", format!("SELECT {} FROM (SELECT 1 AS x) t", repeated("x = 1", 200, " AND ")), "t"),
        ("choices", format!("SELECT {} OR x = 1 FROM (SELECT 1 AS x) t", repeated("x = 2", 200, " OR ")), "t"),
        ("conditions with NULL", format!("SELECT ({} AND NULL) IS NULL", repeated("true", 50, " AND ")), "t"),
        (
            "a list of casts",
            format!("SELECT date '2024-01-01'::date IN ({})", repeated("'2024-01-01'::date", 300, ", ")),
            "t",
        ),
        (
            "series of many rows",
            "SELECT count(x) FROM (SELECT generate_series(1, 4000000) AS x FROM generate_series(1, 20) r) s".to_owned(),
            "80000000",
        ),
        (
            "series of columns",
            "SELECT sum(x) FROM (SELECT generate_series(1, r) AS x FROM generate_series(1, 200) r) s".to_owned(),
            "1353400",
        ),
        ("a list", format!("SELECT 7 IN ({})", (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")), "t"),
        ("subtractions, from the left", format!("SELECT 1000 - {}", repeated("1", 100, " - ")), "900"),
        ("divisions and sums", format!("SELECT 1024 {}", repeated("/ 2 + 0", 20, " ")), "512"),
    ];
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        for (name, sql, answer) in cases {
            assert_eq!(first(&client, &sql).await.unwrap_or_else(|error| panic!("{name}: {error}")), answer, "{name}");
        }
        let overflow = format!("SELECT {}", repeated("2000000000", 40, " + "));
        assert_eq!(code(first(&client, &overflow).await), "22003");
    });
}
