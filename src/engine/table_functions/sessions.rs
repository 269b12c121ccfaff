//! `sessions(events, unit => ..., ts => ..., ...)`: one row for each session of a unit.
//!
//! A new session starts where more than `gap` lies between a row and the one before it, where `restart` is true, and where a row is later
//! than `max_length` after its session's start. Rows of one instant are ordered by `tie`, restarting ones first, then event.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use tributary_udfs::behaviour::session_unit::{SessionRule, session_unit};

use super::TableFunction;
use super::call::{Call, column_name, field, mismatch};

pub(super) const SESSIONS: TableFunction = TableFunction {
    name: "sessions",
    options: &["unit", "ts", "gap", "restart", "max_length", "event", "tie", "as_of"],
    required: 2,
    expand: sessions,
};

const COLUMNS: [&str; 7] = ["session", "started_at", "ended_at", "seconds", "events", "first_event", "last_event"];

fn sessions(mut call: Call) -> Result<LogicalPlan> {
    let unit = call.required("unit")?;
    let ts = call.required("ts")?;
    let (time, ts_type) = call.time_of(&ts)?;
    let half_hour = ScalarValue::new_interval_mdn(0, 0, 1_800_000_000_000);
    let gap = match call.length("gap", time, "gap")? {
        Some(gap) => gap,
        None => time.window(Some(&half_hour), "gap")?,
    };
    let length_max = call.length("max_length", time, "max_length")?;
    let as_of = call.outer("as_of")?.map(|as_of| cast(as_of, ts_type.clone()));
    let restart = call.expr("restart")?;
    if let Some(restart) = &restart {
        let found = call.type_of(restart)?;
        if !matches!(found, DataType::Boolean | DataType::Null) {
            return Err(mismatch("restart", "boolean", &found));
        }
    }
    let (event, tie) = (call.expr("event")?, call.expr("tie")?);
    let unit_name = column_name(&unit, "unit", &COLUMNS);

    let mut columns = vec![unit.expr.alias("unit"), ts.expr.alias("ts")];
    let mut arguments = vec![ident("ts")];
    let event = event.map(|event| cast(event.expr, DataType::Utf8));
    for (name, option) in [("tie", tie.map(|tie| tie.expr)), ("event", event), ("restart", restart.map(|r| r.expr))] {
        arguments.push(match &option {
            Some(_) => ident(name),
            None if name == "event" => lit(ScalarValue::Utf8(None)),
            None => lit(ScalarValue::Null),
        });
        columns.extend(option.map(|option| option.alias(name)));
    }
    arguments.push(lit(true));
    let mut known = ident("unit").is_not_null().and(ident("ts").is_not_null());
    if let Some(as_of) = as_of {
        known = known.and(ident("ts").lt_eq(as_of));
    }
    let mut result = vec![ident("unit").alias(unit_name)];
    result.extend(COLUMNS.map(|name| field(ident("row"), name).alias(name)));
    let rule = SessionRule { gap, length_max };
    LogicalPlanBuilder::from(call.relation)
        .project(columns)?
        .filter(known)?
        .aggregate(vec![ident("unit")], vec![session_unit(rule).call(arguments).alias("row")])?
        .unnest_column("row")?
        .project(result)?
        .build()
}
