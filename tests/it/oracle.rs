//! PostgreSQL's recorded answers, statement by statement.
//!
//! Each file replays in one session of a fresh server. Column names, values and SQLSTATEs must be PostgreSQL's; numbers
//! that differ only in trailing zeros count as equal. A floor on the agreeing share keeps what is reached, and no
//! statement at all may end in an internal error.

use std::path::PathBuf;

use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::Harness;

/// What a server says to one statement.
#[derive(Debug, PartialEq)]
enum Answer {
    Error(String),
    Rows(Vec<String>, Vec<Vec<Option<String>>>),
}

fn probes(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/postgres").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn recorded(probe: &Value) -> Answer {
    if let Some(state) = probe["state"].as_str() {
        return Answer::Error(state.to_owned());
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let names = list(&probe["columns"]).iter().map(|column| text(&column[0]).unwrap_or_default()).collect();
    let rows = list(&probe["rows"]).iter().map(|row| list(row).iter().map(text).collect()).collect();
    Answer::Rows(names, rows)
}

async fn asked(client: &Client, sql: &str) -> Answer {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => {
            let state = error.code().map_or_else(|| format!("no SQLSTATE: {error}"), |code| code.code().to_owned());
            return Answer::Error(state);
        }
    };
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                names = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
            }
            _ => {}
        }
    }
    Answer::Rows(names, rows)
}

/// A number without what only its scale says.
fn unscaled(value: Option<String>) -> Option<String> {
    let value = value?;
    let numeric = value.contains('.') && value.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
    Some(if numeric { value.trim_end_matches('0').trim_end_matches('.').to_owned() } else { value })
}

fn comparable(answer: Answer, ordered: bool) -> Answer {
    match answer {
        Answer::Rows(names, rows) => {
            let mut rows: Vec<Vec<Option<String>>> =
                rows.into_iter().map(|row| row.into_iter().map(unscaled).collect()).collect();
            if !ordered {
                rows.sort();
            }
            Answer::Rows(names, rows)
        }
        error => error,
    }
}

/// Replays a file; panics below the floor or on an internal error.
fn replay(file: &str, floor: f64) {
    let server = Harness::as_postgres();
    let probes = probes(file);
    let (mut agreeing, mut internal, mut differing) = (0_usize, Vec::new(), Vec::new());
    server.block_on(async {
        let client = server.connect_as("postgres").await;
        client.batch_execute("SET timezone = 'UTC'").await.expect("the zone is known");
        for probe in &probes {
            let sql = probe["sql"].as_str().expect("a probe has its SQL");
            let ordered = sql.to_lowercase().contains("order by");
            let got = comparable(asked(&client, sql).await, ordered);
            let want = comparable(recorded(probe), ordered);
            if let Answer::Error(state) = &got
                && (state == "XX000" || state.starts_with("no SQLSTATE"))
            {
                internal.push(format!("{state}: {sql}"));
            }
            if got == want {
                agreeing += 1;
            } else {
                differing.push(format!("{}: {sql}\n  want {want:?}\n  got  {got:?}", probe["name"]));
            }
        }
    });
    assert!(internal.is_empty(), "internal errors:\n{}", internal.join("\n"));
    let share = agreeing as f64 / probes.len() as f64;
    assert!(
        share >= floor,
        "{agreeing} of {} agree, {share:.3} is below {floor}; the first that differ:\n{}",
        probes.len(),
        differing.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn hand_written_probes_answer_as_postgresql() {
    replay("exprs.jsonl", 0.89);
}

#[test]
fn generated_probes_answer_as_postgresql() {
    replay("generated.jsonl", 0.995);
}
