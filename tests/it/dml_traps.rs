//! The trap suite: writes that other engines get wrong, each with PostgreSQL's answer and the rows that remain.
//!
//! Every statement runs alone, in a block that is rolled back, with RETURNING, through the extended protocol with its
//! numbers as parameters, and without the optional rules of the optimizer. The answer is the same each time.

use tokio_postgres::types::{ToSql, Type};
use tributary::engine::EngineConfig;
use tributary_store::StoreConfig;

use crate::database::{Client, Database};
use crate::dml::{SET_UP, set_up};
use crate::harness::Harness;

const TRAPS: &str = include_str!("../data/dml/traps.txt");

const ROWS: &str = "SELECT count(*), sum(x), sum(y), count(z) FROM t";

const CLEAR: &str = "DROP VIEW IF EXISTS v; DROP TABLE IF EXISTS t, s";

/// Statement, tag or error, rows that remain.
type Trap = (&'static str, &'static str, &'static str);

fn traps() -> impl Iterator<Item = Trap> {
    let mut lines = TRAPS.lines().filter(|line| !line.starts_with('#'));
    std::iter::from_fn(move || {
        let statement = lines.next()?;
        Some((statement, lines.next()?.trim(), lines.next()?.trim()))
    })
}

/// An error as the file has it.
fn shown_error(code: &str, message: &str, detail: Option<&str>) -> String {
    let detail = detail.filter(|_| code.starts_with("23")).map(|detail| format!(" / {detail}"));
    format!("{code} {message}{}", detail.unwrap_or_default())
}

/// The tag, or the error as the file has it.
async fn outcome(client: &mut Client, text: &str) -> String {
    match client.run(text).await {
        Ok(lines) => lines.last().cloned().unwrap_or_default(),
        Err(error) => shown_error(error.code.as_str(), &error.message, error.detail.as_deref()),
    }
}

/// Runs all traps on one database, each on fresh tables; gives the answers that are wrong.
async fn wrong_answers(database: &Database) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut client = database.connect();
    for (statement, expected, rows) in traps() {
        client.ok(CLEAR).await;
        set_up(&mut client).await;
        let before = client.ok(ROWS).await.remove(0);
        // Inside a block that is rolled back nothing is left of it.
        client.ok("BEGIN").await;
        let in_block = outcome(&mut client, statement).await;
        client.ok("ROLLBACK").await;
        let after_rollback = client.ok(ROWS).await.remove(0);
        let alone = outcome(&mut client, statement).await;
        let after = client.ok(ROWS).await.remove(0);
        if (in_block.as_str(), after_rollback.as_str()) != (expected, before.as_str()) {
            wrong.push(format!("in a block: {statement}\n  {in_block}, not {expected}\n  {after_rollback}"));
        }
        if (alone.as_str(), after.as_str()) != (expected, rows) {
            wrong.push(format!("alone: {statement}\n  {alone}, not {expected}\n  {after}, not {rows}"));
        }
    }
    wrong
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_trap_has_postgresqls_answer() {
    assert_none(&wrong_answers(&Database::new()).await);
}

#[tokio::test]
async fn no_answer_depends_on_the_optimizer() {
    let engine = EngineConfig { optimizer: false, ..EngineConfig::default() };
    assert_none(&wrong_answers(&Database::with_engine(StoreConfig::default(), engine)).await);
}

#[tokio::test]
async fn returning_gives_a_row_for_each_row_written() {
    let database = Database::new();
    let mut client = database.connect();
    let mut seen = 0;
    for (statement, expected, _) in traps().filter(|(_, expected, _)| !expected.contains(|c: char| c.is_lowercase())) {
        let Some(count) = expected.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()) else { continue };
        client.ok(CLEAR).await;
        set_up(&mut client).await;
        // The target may go by another name.
        let lines = client.ok(&format!("{statement} RETURNING *")).await;
        assert_eq!((lines.len() - 1, lines.last().map(String::as_str)), (count, Some(expected)), "{statement}");
        seen += 1;
    }
    assert!(seen > 100, "only {seen} statements were tried");
}

/// The statement with each whole number that fits an int4 as a parameter.
fn parameterised(statement: &str) -> (String, Vec<i32>) {
    let (mut text, mut values) = (String::new(), Vec::new());
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            'a'..='z' | 'A'..='Z' | '_' => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
            '0'..='9' => rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        match rest[..end].parse::<i32>() {
            Ok(value) => {
                values.push(value);
                text.push_str(&format!("${}", values.len()));
            }
            Err(_) => text.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    (text, values)
}

#[test]
fn numbers_may_be_parameters_of_the_extended_protocol() {
    let server = Harness::start();
    let client = server.block_on(server.connect());
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (statement, expected, rows) in traps() {
        let (text, values) = parameterised(statement);
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let (got, after) = server.block_on(async {
            client.batch_execute(CLEAR).await.expect("drops");
            client.batch_execute(&SET_UP.join(";")).await.expect("makes");
            let run = async {
                let prepared = client.prepare_typed(&text, &vec![Type::INT4; values.len()]).await?;
                client.execute(&prepared, &parameters).await
            };
            let got = match run.await {
                Ok(count) => count.to_string(),
                Err(error) => match error.as_db_error() {
                    Some(error) => shown_error(error.code().code(), error.message(), error.detail()),
                    None => error.to_string(),
                },
            };
            let row = client.query_one("SELECT format('%s|%s|%s|%s', count(*), sum(x), sum(y), count(z)) FROM t", &[]);
            (got, row.await.expect("counts").get::<_, String>(0))
        });
        let count = expected.rsplit(' ').next().filter(|count| count.parse::<u64>().is_ok());
        let expected = if expected.starts_with("TRUNCATE") { "0" } else { count.unwrap_or(expected) };
        if (got.as_str(), after.as_str()) != (expected, rows) {
            wrong.push(format!("{text}\n  {got}, not {expected}\n  {after}, not {rows}"));
        }
        seen += values.len();
    }
    assert_none(&wrong);
    assert!(seen > 100, "only {seen} parameters were tried");
}

#[tokio::test]
async fn a_volatile_condition_is_asked_once_a_row() {
    let database = Database::new();
    let mut client = database.connect();
    client.ok("CREATE TABLE r (i int)").await;
    client.ok("INSERT INTO r SELECT i FROM generate_series(1, 1000) AS g(i)").await;
    let mut left = 1000;
    // Rows given back are those removed, and nothing else is.
    for _ in 0..5 {
        let mut lines = client.ok("DELETE FROM r WHERE random() < 0.3 RETURNING i").await;
        let tag = lines.pop().expect("a tag");
        left -= lines.len();
        assert_eq!(tag, format!("DELETE {}", lines.len()));
        assert_eq!(client.ok("SELECT count(*), count(DISTINCT i) FROM r").await[0], format!("{left}|{left}"));
        let given = lines.join(",");
        let again = format!("SELECT count(*) FROM r WHERE i IN (-1{}{given})", if given.is_empty() { "" } else { "," });
        assert_eq!(client.ok(&again).await[0], "0");
    }
    assert!(left < 1000, "nothing was removed in five tries");
}
