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
