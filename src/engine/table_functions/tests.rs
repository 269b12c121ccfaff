//! Reports against the golden tables of the shop log, over several partitions and batch sizes, and their refusals.

use std::io::Read;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tributary_pg::error::PgError;

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/behaviour/ecom");

fn read(name: &str) -> String {
    let path = format!("{DATA}/{name}");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The shop log as one batch.
fn shop_log() -> RecordBatch {
    let mut text = String::new();
    let file = std::fs::File::open(format!("{DATA}/ecom.csv.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let names =
        ["user_id", "session_id", "event", "ts", "platform", "acquisition_channel", "user_cohort", "user_lifecycle"];
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let values: StringArray = rows.iter().map(|row| Some(row[at]).filter(|value| !value.is_empty())).collect();
        let column: ArrayRef = match name {
            "ts" => arrow::compute::cast(&values, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap(),
            _ => Arc::new(values),
        };
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A context with the reports over the shop log in this many partitions.
fn context(partitions: usize, batch_rows: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_rows);
    config.options_mut().sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    config.options_mut().sql_parser.enable_subquery_sort_elimination = false;
    let mut builder = SessionStateBuilder::new_with_default_features().with_config(config);
    builder = builder.with_relation_planners(relation_planners());
    let mut state = builder.build();
    tributary_udfs::register_all(&mut state).unwrap();
    let context = SessionContext::new_with_state(state);
    let log = shop_log();
    let rows = log.num_rows().div_ceil(partitions);
    let slices = (0..partitions).map(|at| {
        let slice = log.slice(at * rows, rows.min(log.num_rows() - at * rows));
        (0..slice.num_rows().div_ceil(1000))
            .map(|at| slice.slice(at * 1000, 1000.min(slice.num_rows() - at * 1000)))
            .collect()
    });
    let table = MemTable::try_new(log.schema(), slices.collect()).unwrap();
    context.register_table("ecom", Arc::new(table)).unwrap();
    context
}

async fn query(context: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>> {
    let batches = context.sql(sql).await?.collect().await?;
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S"));
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| cell(column, row, &options);
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    Ok(rows)
}

/// A value as the golden files have it.
fn cell(column: &ArrayRef, row: usize, options: &FormatOptions) -> String {
    if column.is_null(row) {
        return String::new();
    }
    match column.data_type() {
        DataType::Boolean => (if column.as_boolean().value(row) { "t" } else { "f" }).to_owned(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let formatter = ArrayFormatter::try_new(items.as_ref(), options).unwrap();
            let items: Vec<String> = (0..items.len()).map(|at| format!("\"{}\"", formatter.value(at))).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => ArrayFormatter::try_new(column.as_ref(), options).unwrap().value(row).to_string(),
    }
}

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

/// Golden queries of the reports there are.
fn golden() -> Vec<(String, String, Vec<Vec<String>>)> {
    let list: serde_json::Value = serde_json::from_str(&read("golden.json")).unwrap();
    let cases = list.as_array().unwrap().iter().filter(|case| {
        let sql = case["sql"].as_str().unwrap();
        names().iter().any(|name| sql.contains(&format!("FROM {name}(")))
    });
    cases
        .map(|case| {
            let rows = read(case["file"].as_str().unwrap()).lines().skip(1).map(split).collect::<Vec<_>>();
            assert_eq!(rows.len() as u64, case["rows"].as_u64().unwrap());
            // This context looks names up before it plans, so the relation is written as a subquery.
            let sql = case["sql"].as_str().unwrap().replace("(ecom,", "((SELECT * FROM ecom),");
            (case["id"].as_str().unwrap().to_owned(), sql, rows)
        })
        .collect()
}

#[tokio::test]
async fn golden_reports_on_any_partitioning_and_batch_size() {
    assert!(golden().len() >= 5);
    for (partitions, batch_rows) in [(1, 8192), (2, 8192), (7, 8192), (2, 1)] {
        let context = context(partitions, batch_rows);
        for (id, sql, mut expected) in golden() {
            let mut found = query(&context, &sql).await.unwrap_or_else(|error| panic!("{id}: {error}"));
            if id.starts_with("funnel_people") || id.starts_with("sessions") {
                found.sort();
                expected.sort();
            }
            assert_eq!(found.len(), expected.len(), "{id}");
            for (found, expected) in found.iter().zip(&expected) {
                let same = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| equal(f, e));
                assert!(same, "{id} on {partitions} partitions, batches of {batch_rows}:\n{found:?}\n{expected:?}");
            }
        }
    }
}

async fn refusal(sql: &str) -> PgError {
    let context = context(1, 8192);
    crate::engine::pg::map_error(query(&context, sql).await.expect_err(sql))
}

#[tokio::test]
async fn refused_calls() {
    let funnel =
        |options: &str| format!("SELECT * FROM funnel((SELECT * FROM ecom), unit => user_id, ts => ts{options})");
    for (options, code, message) in [
        ("", "42883", "function funnel(relation, unit => ..., ts => ...) does not exist"),
        (
            ", steps => [true], colour => 1",
            "42883",
            "function funnel(relation, unit => ..., ts => ..., steps => ..., colour => ...) does not exist",
        ),
        (", steps => [true], within => INTERVAL '1 month'", "22023", "window must have a fixed length"),
        (", steps => [true], within => -1", "22023", "window must not be negative"),
        (", steps => [true, event], within => 1", "42804", "step 2 must be boolean, not text"),
        (", steps => [true], mode => 'strict'", "22023", "unrecognized funnel mode \"strict\""),
        (", steps => [true], mode => 'allow_reentry'", "22023", "allow_reentry needs strict_order"),
        (", steps => [true], by_at => 'middle'", "22023", "unknown value \"middle\" for by_at"),
        (", steps => [true], labels => ['a', 'b']", "22023", "labels has 2 texts for 1 steps"),
        (
            ", steps => [true], labels => ['a'], labels => ['b']",
            "42601",
            "argument name \"labels\" used more than once",
        ),
    ] {
        let error = refusal(&funnel(options)).await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{options}");
    }
    let many = vec!["true"; 65].join(", ");
    let error = refusal(&funnel(&format!(", steps => [{many}]"))).await;
    assert_eq!((error.code.as_str(), error.message.as_str()), ("54023", "funnel takes at most 64 steps"));
    let error = refusal(&funnel("")).await;
    assert_eq!(error.detail.as_deref(), Some("Option steps is missing."));
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("unit, ts, steps (required), within")));
}

/// A small relation as text of a VALUES list.
async fn rows(sql: &str) -> Vec<String> {
    let found = query(&context(2, 8192), sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    found.into_iter().map(|row| row.join("|")).collect()
}

#[tokio::test]
async fn open_and_lost_by_as_of() {
    let sql = |as_of: &str| {
        format!(
            "SELECT step, people, open, lost FROM funnel((SELECT * FROM (VALUES (1, 0, 'a'), (2, 0, 'a'), (2, 5, 'b')) AS t(u, ts, e)), \
             unit => u, ts => ts, steps => [e = 'a', e = 'b'], within => 10{as_of})"
        )
    };
    assert_eq!(rows(&sql(", as_of => 9")).await, ["0|2|0|0", "1|2|1|0", "2|1|0|0"]);
    assert_eq!(rows(&sql(", as_of => 10")).await, ["0|2|0|0", "1|2|0|1", "2|1|0|0"]);
    // Without as_of it is the largest time, 5; rows after as_of are not seen.
    assert_eq!(rows(&sql("")).await, ["0|2|0|0", "1|2|1|0", "2|1|0|0"]);
    assert_eq!(rows(&sql(", as_of => 4")).await, ["0|2|0|0", "1|2|2|0", "2|0|0|0"]);
}

#[tokio::test]
async fn killed_chains_are_lost() {
    let sql = |options: &str| {
        format!(
            "SELECT step, people, open, lost FROM funnel((SELECT * FROM (VALUES (1, 0, 'a'), (1, 1, 'x')) AS t(u, ts, e)), \
             unit => u, ts => ts, steps => [e = 'a', e = 'b'], within => 10{options})"
        )
    };
    assert_eq!(rows(&sql("")).await[1], "1|1|1|0");
    assert_eq!(rows(&sql(", mode => 'strict_order'")).await[1], "1|1|0|1");
    assert_eq!(rows(&sql(", exclude => e = 'x'")).await[1], "1|1|0|1");
}

#[tokio::test]
async fn empty_relations() {
    let sql = |options: &str| {
        format!(
            "SELECT * FROM funnel((SELECT * FROM ecom WHERE false), unit => user_id, ts => ts, steps => [event = 'a', event <> 'b']{options})"
        )
    };
    assert_eq!(rows(&sql("")).await, ["0|(all)|0|0|0||", "1|a|0|0|0||", "2|event <> 'b'|0|0|0||"]);
    assert_eq!(rows(&sql(", by => platform")).await, Vec::<String>::new());
}

#[tokio::test]
async fn by_takes_the_value_of_the_chosen_row() {
    let sql = |by_at: &str| {
        format!(
            "SELECT * FROM funnel_people((SELECT * FROM (VALUES (1, 0, 'x', 'm'), (1, 1, 'a', 'n'), (1, 2, 'b', 'o'), (2, 3, 'x', NULL), (2, 3, 'y', 'q')) \
             AS t(u, ts, e, c)), unit => u, ts => ts, steps => [e = 'a', e = 'b', e = 'c'], by => c, by_at => '{by_at}') ORDER BY u"
        )
    };
    assert_eq!(rows(&sql("first")).await, ["1|n|2|1|2|f|{\"1\",\"2\"}", "2|q|0|||f|{}"]);
    assert_eq!(rows(&sql("last")).await, ["1|o|2|1|2|f|{\"1\",\"2\"}", "2|q|0|||f|{}"]);
}

/// The events of the attribution edge cases as two tables.
fn register_edge_cases(context: &SessionContext) {
    for (name, types) in [
        ("touches", ["Int64", "Int64", "Timestamp", "Utf8"]),
        ("conversions", ["Int64", "Int64", "Timestamp", "Float64"]),
    ] {
        let path = format!("{}/tests/data/attribution/events_edge/{name}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (at, column) in header.iter().enumerate() {
            let texts: StringArray = rows.iter().map(|row| Some(row[at]).filter(|value| !value.is_empty())).collect();
            let data_type = match types[at] {
                "Int64" => DataType::Int64,
                "Float64" => DataType::Float64,
                "Timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
                _ => DataType::Utf8,
            };
            columns.push(arrow::compute::cast(&texts, &data_type).unwrap());
            fields.push(Field::new(*column, data_type, true));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let halves = vec![vec![batch.slice(0, 7)], vec![batch.slice(7, batch.num_rows() - 7)]];
        let table = MemTable::try_new(batch.schema(), halves).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
}

const EDGE_CASES: &str = "attribution((SELECT * FROM touches), conversions => (SELECT *, value > 20 AS big FROM conversions), unit => user_id, ts => ts, \
    channel => channel, touch_id => touch_id, direct => channel = 'direct', value => value, conversion_id => conversion_id";

#[tokio::test]
async fn golden_attribution() {
    let models = "first last first_non_direct last_non_direct linear linear_distinct time_decay u_shaped j_shaped inverse_j participation";
    let list: Vec<String> = models.split(' ').map(|model| format!("'{model}'")).collect();
    for (partitions, batch_rows) in [(1, 8192), (2, 1), (7, 8192)] {
        let context = context(partitions, batch_rows);
        register_edge_cases(&context);
        for (file, options) in
            [("reuse", ""), ("consume", ", consume => true"), ("reuse", ", lookback => INTERVAL '30 days', by => big")]
        {
            let sql = format!(
                "SELECT conversion_id, position, path_length, channel, touch_id, value, {} FROM {EDGE_CASES}, models => [{}]{options}) \
                 ORDER BY conversion_id, position",
                models.replace(' ', ", "),
                list.join(", ")
            );
            let found = query(&context, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            let path = format!("{}/tests/data/attribution/events_edge/expected_{file}.csv", env!("CARGO_MANIFEST_DIR"));
            let mut expected: Vec<Vec<String>> =
                std::fs::read_to_string(path).unwrap().lines().skip(1).map(split).collect();
            expected.sort_by_key(|row| (row[0].parse::<i64>().unwrap(), row[1].parse::<i64>().unwrap()));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found.iter().zip(expected).all(|(f, e)| equal(f, e)), "{options}:\n{found:?}\n{expected:?}");
            }
        }
    }
}

#[tokio::test]
async fn attribution_hands_through_what_it_is_given() {
    let context = context(2, 8192);
    register_edge_cases(&context);
    let sql = format!(
        "SELECT * FROM {EDGE_CASES}, models => ['last'], by => [big, 'x']) WHERE conversion_id IN (2, 9) AND (last = 1) ORDER BY user_id"
    );
    let found: Vec<String> = query(&context, &sql).await.unwrap().into_iter().map(|row| row.join("|")).collect();
    assert_eq!(
        found,
        [
            "2|1|2|2026-03-31 12:00:00|40.0|t|x|0|0|(unattributed)|||1.0",
            "8|1|9|2026-03-31 12:00:00|30.0|t|x|4|4|a|2026-03-30 12:00:00|21|1.0"
        ]
    );
}

#[tokio::test]
async fn refused_attributions() {
    let context = context(1, 8192);
    register_edge_cases(&context);
    let call = |options: &str| format!("SELECT * FROM {EDGE_CASES}{options})");
    for (options, code, message) in [
        (", models => ['foo']", "22023", "unknown attribution model \"foo\""),
        (", models => ['last', 'last']", "22023", "model \"last\" is listed twice"),
        (", models => []", "22023", "models must be a constant list of names"),
        (", models => ['last'], max_touches => 0", "22023", "max_touches must be at least 1"),
        (", models => ['last'], repeats => 'x'", "22023", "unknown value \"x\" for repeats"),
        (", models => ['last'], lookback => INTERVAL '1 month'", "22023", "lookback must not contain months"),
        (
            ", models => ['last'], by => platform",
            "42703",
            "column \"platform\" does not exist in the conversions relation",
        ),
    ] {
        let error = crate::engine::pg::map_error(query(&context, &call(options)).await.expect_err(options));
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{options}");
    }
}

#[tokio::test]
async fn sessions_break_at_gaps_restarts_and_lengths() {
    let sql = |options: &str| {
        format!(
            "SELECT session, started_at, ended_at, seconds, events, first_event, last_event FROM sessions((SELECT * FROM (VALUES (1, 0, 'a'), \
             (1, 10, 'b'), (1, 21, 'c'), (1, 21, 'b'), (1, NULL, 'z'), (NULL, 1, 'z')) AS t(u, ts, e)), unit => u, ts => ts, gap => 10{options}) ORDER BY 1"
        )
    };
    assert_eq!(rows(&sql(", event => e")).await, ["1|0|10|10.0|2|a|b", "2|21|21|0.0|2|b|c"]);
    assert_eq!(rows(&sql("")).await, ["1|0|10|10.0|2||", "2|21|21|0.0|2||"]);
    assert_eq!(rows(&sql(", max_length => 9")).await.len(), 3);
    let restarted = rows(&sql(", event => e, restart => e = 'c'")).await;
    assert_eq!(restarted[1..], ["2|21|21|0.0|2|c|b"]);
    assert_eq!(rows(&sql(", as_of => 10")).await, ["1|0|10|10.0|2||"]);
}

#[tokio::test]
async fn components_of_edges() {
    let sql = "SELECT * FROM connected_components((SELECT * FROM (VALUES (5, 3), (3, 4), (9, 9), (7, NULL), (NULL, NULL)) AS t(x, y)), a => x, b => y)";
    assert_eq!(rows(sql).await, ["3|3|3", "4|3|3", "5|3|3", "7|7|1", "9|9|1"]);
    assert_eq!(
        rows("SELECT * FROM connected_components((SELECT user_id FROM ecom WHERE false), a => user_id, b => user_id)")
            .await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn cohorts_by_every_rule() {
    let sql = |options: &str| {
        format!(
            "SELECT * FROM cohort_retention((SELECT * FROM (VALUES (1, DATE '2024-01-01', 5.0), (1, DATE '2024-01-09', 2.5), (1, DATE '2024-01-16', 1), \
             (2, DATE '2024-01-07', 1), (2, DATE '2024-01-08', 0.5), (2, DATE '2024-01-16', NULL)) AS t(u, ts, v)), unit => u, ts => ts, periods => 2{options})"
        )
    };
    assert_eq!(
        rows(&sql(", value => v")).await,
        ["2024-01-01|0|2|2|1.0|t|6.0", "2024-01-01|1|2|2|1.0|t|3.0", "2024-01-01|2|2|2|1.0|f|1.0"]
    );
    let rolling = rows(&sql(", clock => 'rolling'")).await;
    assert_eq!(rolling, ["2024-01-01|0|2|2|1.0|t", "2024-01-01|1|2|2|1.0|f", "2024-01-01|2|2|1|0.5|f"]);
    let after =
        rows(&sql(", clock => 'rolling', rule => 'on_or_after', active => ts <> DATE '2024-01-16' OR u = 1")).await;
    assert_eq!(after, ["2024-01-01|0|2|2|1.0|t", "2024-01-01|1|2|1|0.5|f", "2024-01-01|2|2|1|0.5|f"]);
    let every = rows(&sql(", cohort => 'every', as_of => DATE '2024-01-14'")).await;
    assert_eq!(every, ["2024-01-01|0|2|2|1.0|t", "2024-01-01|1|2|2|1.0|f", "2024-01-08|0|2|2|1.0|f"]);
    let started = rows(&sql(", start => v > 4, by => u")).await;
    assert_eq!(started, ["2024-01-01|1|0|1|1|1.0|t", "2024-01-01|1|1|1|1|1.0|t", "2024-01-01|1|2|1|1|1.0|f"]);
}

#[tokio::test]
async fn refused_retentions() {
    for (options, code, message) in [
        ("period => 'decade'", "22023", "unknown value \"decade\" for period"),
        ("period => 'year', clock => 'rolling'", "22023", "a rolling clock needs period day, week or month"),
        ("periods => -1", "22023", "periods must be between 0 and 10000"),
        ("tz => 'Mars'", "22023", "time zone \"Mars\" not recognized"),
        ("start => platform", "42804", "start must be boolean, not text"),
    ] {
        let error = refusal(&format!(
            "SELECT * FROM cohort_retention((SELECT * FROM ecom), unit => user_id, ts => ts, {options})"
        ))
        .await;
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{options}");
    }
}
