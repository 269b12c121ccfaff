//! Behaviour functions and reports over the wire.

use tokio_postgres::SimpleQueryMessage;

use crate::harness::Harness;

/// Rows as text, columns joined by `|`, NULL as nothing; an error as SQLSTATE and message.
async fn run(client: &tokio_postgres::Client, sql: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => error.to_string(),
    })?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or_default()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    Ok(rows.collect())
}

const EVENTS: &str = "(SELECT * FROM (VALUES (1, TIMESTAMP '2024-05-01 10:00', 'view', 'ad'), (1, TIMESTAMP '2024-05-01 11:00', 'cart', 'ad'), \
    (1, TIMESTAMP '2024-05-01 12:00', 'pay', 'ad'), (2, TIMESTAMP '2024-05-01 10:00', 'view', 'mail'), (2, TIMESTAMP '2024-05-09 10:00', 'view', 'mail')) \
    AS t(person_id, ts, event, channel))";

#[test]
fn reports_answer_over_the_wire() {
    let harness = Harness::start();
    harness.block_on(async {
        let client = harness.connect().await;
        let steps = "steps => [event = 'view', event = 'cart', event = 'pay']";
        let funnel = |options: &str| format!("SELECT * FROM funnel({EVENTS}, unit => person_id, ts => ts, {steps}{options})");
        let cases = [
            (
                funnel(", within => INTERVAL '7 days'"),
                vec!["0|(all)|2|0|0||", "1|view|2|1|0|1|1", "2|cart|1|0|0|0.5|0.5", "3|pay|1|0|0|1|0.5"],
            ),
            (
                funnel(", within => INTERVAL '7 days', by => channel, as_of => TIMESTAMP '2024-06-01', labels => ['a', 'b', 'c']"),
                vec![
                    "ad|0|(all)|1|0|0||", "ad|1|a|1|0|0|1|1", "ad|2|b|1|0|0|1|1", "ad|3|c|1|0|0|1|1",
                    "mail|0|(all)|1|0|0||", "mail|1|a|1|0|1|1|1", "mail|2|b|0|0|0|0|0", "mail|3|c|0|0|0||0",
                ],
            ),
            (
                format!("SELECT * FROM funnel_people({EVENTS}, unit => person_id, ts => ts, {steps}, within => INTERVAL '7 days') ORDER BY person_id"),
                vec![
                    "1|3|2024-05-01 10:00:00|2024-05-01 12:00:00|f|{\"2024-05-01 10:00:00\",\"2024-05-01 11:00:00\",\"2024-05-01 12:00:00\"}",
                    // The chain that ends first is reported; open is it because of the later one.
                    "2|1|2024-05-01 10:00:00|2024-05-01 10:00:00|t|{\"2024-05-01 10:00:00\"}",
                ],
            ),
            (
                format!("SELECT * FROM sessions({EVENTS}, unit => person_id, ts => ts, event => event, gap => INTERVAL '2 hours') ORDER BY 1, 2"),
                vec![
                    "1|1|2024-05-01 10:00:00|2024-05-01 12:00:00|7200|3|view|pay",
                    "2|1|2024-05-01 10:00:00|2024-05-01 10:00:00|0|1|view|view",
                    "2|2|2024-05-09 10:00:00|2024-05-09 10:00:00|0|1|view|view",
                ],
            ),
            (
                format!("SELECT * FROM cohort_retention({EVENTS}, unit => person_id, ts => ts, periods => 1)"),
                vec!["2024-04-29|0|2|2|1|t", "2024-04-29|1|2|1|0.5|f"],
            ),
            (
                format!(
                    "SELECT person_id, channel, last, u_shaped FROM attribution({EVENTS}, conversions => (SELECT * FROM {EVENTS} AS e WHERE event = 'pay'), \
                     unit => person_id, ts => ts, channel => event, models => ['last', 'u_shaped'], lookback => INTERVAL '1 day') ORDER BY position"
                ),
                vec!["1|view|0|0.4", "1|cart|0|0.2", "1|pay|1|0.4"],
            ),
            (
                "SELECT * FROM connected_components((SELECT * FROM (VALUES (5, 3), (3, 4)) AS t(x, y)), a => x, b => y)".to_owned(),
                vec!["3|3|3", "4|3|3", "5|3|3"],
            ),
            (
                format!(
                    "SELECT (c).channel, (c).time_decay FROM (SELECT unnest(attribution(ts, event, event = 'pay', half_life => INTERVAL '1 hour')) AS c \
                     FROM {EVENTS} AS e GROUP BY person_id) AS x"
                ),
                vec!["view|0.14285714285714285", "cart|0.2857142857142857", "pay|0.5714285714285714"],
            ),
            (
                format!("SELECT person_id, sessionize(ts, INTERVAL '1 day') OVER (PARTITION BY person_id ORDER BY ts) FROM {EVENTS} AS e ORDER BY 1, ts"),
                vec!["1|1", "1|1", "1|1", "2|1", "2|2"],
            ),
            (
                format!("SELECT window_funnel(86400, ts, event = 'view', event = 'pay') OVER (PARTITION BY person_id) FROM {EVENTS} AS e ORDER BY 1 DESC LIMIT 1"),
                vec!["2"],
            ),
            (
                format!("WITH e AS {EVENTS} SELECT people FROM funnel(e, unit => person_id, ts => ts, steps => [event = 'view']) AS f WHERE f.step = 1"),
                vec!["2"],
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(run(&client, &sql).await, Ok(expected.into_iter().map(str::to_owned).collect()), "{sql}");
        }
    });
}

#[test]
fn refusals_name_their_sqlstate() {
    let harness = Harness::start();
    harness.block_on(async {
        let client = harness.connect().await;
        let funnel = |options: &str| format!("SELECT * FROM funnel({EVENTS}, unit => person_id, ts => ts{options})");
        let steps = |options: &str| funnel(&format!(", steps => [event = 'view', event = 'pay']{options}"));
        let many = vec!["event = 'view'"; 65].join(", ");
        for (sql, error) in [
            (funnel(""), "42883 function funnel(relation, unit => ..., ts => ...) does not exist"),
            (steps(", within => INTERVAL '1 month'"), "22023 window must have a fixed length"),
            (steps(", within => INTERVAL '-1 day'"), "22023 window must not be negative"),
            (steps(", mode => 'strict'"), "22023 unrecognized funnel mode \"strict\""),
            (funnel(", steps => [event = 'view', event]"), "42804 step 2 must be boolean, not text"),
            (funnel(&format!(", steps => [{many}]")), "54023 funnel takes at most 64 steps"),
            (steps(", exclude => missing_column = 1"), "42703 column \"missing_column\" does not exist"),
            (
                format!("SELECT window_funnel(INTERVAL '1 month', ts, event = 'view') FROM {EVENTS} AS e"),
                "22023 window must have a fixed length",
            ),
            (
                format!("SELECT window_funnel(1, 'allow_reentry', ts, event = 'view') FROM {EVENTS} AS e"),
                "22023 allow_reentry needs strict_order",
            ),
            (
                format!("SELECT attribution(ts, event, true, colour => 1) FROM {EVENTS} AS e"),
                "42883 function attribution has no such argument",
            ),
            (
                format!("SELECT sessionize(ts, 1) OVER (PARTITION BY person_id) FROM {EVENTS} AS e"),
                "42P20 sessionize needs ORDER BY",
            ),
            (
                format!("SELECT window_funnel(1, ts, event = 'view', event) FROM {EVENTS} AS e"),
                "42804 step 2 must be boolean, not text",
            ),
            (
                format!("SELECT window_funnel(1, ts, {many}) FROM {EVENTS} AS e"),
                "54023 window_funnel takes at most 64 steps",
            ),
        ] {
            assert_eq!(run(&client, &sql).await, Err(error.to_owned()), "{sql}");
        }
    });
}

const ECOM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/behaviour/ecom");

/// Reports of `golden.json` that the server has.
const REPORTS: [&str; 5] = ["funnel", "funnel_people", "funnel_time", "sessions", "cohort_retention"];

/// Splits a CSV line; quotes double inside quoted fields.
fn split(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

fn equal(found: &str, expected: &str) -> bool {
    match (found.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(found), Ok(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        _ => found == expected,
    }
}

async fn load_shop_log(client: &tokio_postgres::Client) {
    let columns = "user_id text, session_id text, event text, ts timestamp, platform text, acquisition_channel text, user_cohort text, user_lifecycle text";
    client.batch_execute(&format!("CREATE TABLE ecom ({columns})")).await.expect("creates");
    let mut text = Vec::new();
    let file = std::fs::File::open(format!("{ECOM}/ecom.csv.gz")).expect("opens");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut text).expect("reads");
    let copy =
        client.copy_in::<_, bytes::Bytes>("COPY ecom FROM STDIN WITH (FORMAT csv, HEADER)").await.expect("copies");
    let mut copy = std::pin::pin!(copy);
    for piece in text.chunks(100_000) {
        futures::SinkExt::send(&mut copy, bytes::Bytes::copy_from_slice(piece)).await.expect("sends");
    }
    assert_eq!(copy.finish().await.expect("ends"), 31_106);
}

#[test]
fn golden_reports_over_a_table() {
    for threads in [1, 2, 7] {
        check_golden_reports(threads);
    }
}

/// Every golden query, as many partitions as threads.
fn check_golden_reports(threads: usize) {
    let list = std::fs::read_to_string(format!("{ECOM}/golden.json")).expect("reads");
    let list: serde_json::Value = serde_json::from_str(&list).expect("is JSON");
    let harness = Harness::start_with(|config| config.query_threads = threads);
    harness.block_on(async {
        let client = harness.connect().await;
        load_shop_log(&client).await;
        let mut checked = 0;
        for case in list.as_array().expect("a list") {
            let (id, sql) = (case["id"].as_str().expect("text"), case["sql"].as_str().expect("text"));
            if !REPORTS.iter().any(|name| sql.contains(&format!("FROM {name}("))) {
                continue;
            }
            let file = format!("{ECOM}/{}", case["file"].as_str().expect("text"));
            let file = std::fs::read_to_string(file).expect("reads");
            let mut expected: Vec<Vec<String>> = file.lines().skip(1).map(split).collect();
            let found = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{id}: {error}"));
            let row = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect::<Vec<_>>())
                }
                _ => None,
            };
            let mut found: Vec<Vec<String>> = found.iter().filter_map(row).collect();
            if id.starts_with("funnel_people") || id.starts_with("sessions") {
                found.sort();
                expected.sort();
            }
            assert_eq!(found.len(), expected.len(), "{id}");
            for (found, expected) in found.iter().zip(&expected) {
                let same = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| equal(f, e));
                assert!(same, "{id} on {threads} threads:\n{found:?}\n{expected:?}");
            }
            checked += 1;
        }
        assert_eq!(checked, 8);
    });
}
