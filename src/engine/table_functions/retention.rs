//! `cohort_retention(events, unit => ..., ts => ..., ...)`: of the units that started in a period, how many were active in each later one.
//!
//! One aggregation by unit tells its cohorts and when it was active, one by cohort counts. The rows of a cohort are those of the periods
//! that have begun at `as_of`, zeros included.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use tributary_pg::zone::Zone;
use tributary_udfs::behaviour::cohort_unit::{CohortRule, cohort_rows, cohort_unit};
use tributary_udfs::behaviour::time::TimeType;

use super::TableFunction;
use super::calendar::{Period, period_number, period_start};
use super::call::{Call, column_name, external, field, invalid, mismatch};

pub(super) const COHORT_RETENTION: TableFunction = TableFunction {
    name: "cohort_retention",
    options: &[
        "unit", "ts", "start", "active", "period", "periods", "rule", "clock", "cohort", "value", "by", "tz", "as_of",
    ],
    required: 2,
    expand: cohort_retention,
};

/// Periods where none are asked for.
const PERIODS_DEFAULT: i32 = 12;
/// Most periods of a cohort. Reason: every cohort has a row for each.
const PERIODS_MAX: i32 = 10_000;
const COLUMNS: [&str; 7] = ["cohort", "period", "size", "retained", "rate", "complete", "value"];

fn cohort_retention(mut call: Call) -> Result<LogicalPlan> {
    let unit = call.required("unit")?;
    let ts = call.required("ts")?;
    let (time, ts_type) = call.time_of(&ts)?;
    if time == TimeType::Integer {
        return Err(mismatch("ts", "a date or a timestamp", &ts_type));
    }
    let period = call.choice("period", &Period::NAMES)?.unwrap_or(Period::Week);
    let rule = rule(&mut call, time, period)?;
    let zone = call.text("tz")?.unwrap_or_else(|| "UTC".to_owned());
    let number = period_number(period, Zone::parse_argument(&zone).map_err(external)?);
    let as_of = call.outer("as_of")?.map(|as_of| cast(as_of, ts_type));
    let (by, value) = (call.expr("by")?, call.expr("value")?);
    let by_name = by.as_ref().map(|by| column_name(by, "by", &COLUMNS));
    let with_value = value.is_some();

    let value = value.map_or(lit(ScalarValue::Float64(None)), |value| cast(value.expr, DataType::Float64));
    let carried = named_struct(vec![lit("period"), number.call(vec![ts.expr.clone()]), lit("value"), value]);
    let mut columns = vec![unit.expr.alias("unit"), ts.expr.alias("ts"), carried.alias("carried")];
    let mut arguments = vec![ident("ts"), lit(ScalarValue::Null), ident("carried"), lit(ScalarValue::Null)];
    if let Some(by) = by {
        columns.push(by.expr.alias("by"));
        arguments[1] = ident("by");
    }
    for name in ["start", "active"] {
        let condition = call.expr(name)?;
        if let Some(condition) = &condition {
            let found = call.type_of(condition)?;
            if !matches!(found, DataType::Boolean | DataType::Null) {
                return Err(mismatch(name, "boolean", &found));
            }
        }
        columns.push(condition.map_or(lit(true), |condition| cast(condition.expr, DataType::Boolean)).alias(name));
        arguments.push(ident(name));
    }
    let mut known = ident("unit").is_not_null().and(ident("ts").is_not_null());
    if let Some(as_of) = &as_of {
        known = known.and(ident("ts").lt_eq(as_of.clone()));
    }
    let units = LogicalPlanBuilder::from(call.relation)
        .project(columns)?
        .filter(known)?
        .aggregate(vec![ident("unit")], vec![cohort_unit(rule).call(arguments).alias("cohorts")])?
        .project(["last_ts", "memberships"].map(|name| field(ident("cohorts"), name).alias(name)))?;
    let (units, as_of) = match as_of {
        Some(as_of) => (units, as_of),
        None => {
            let last = Expr::from(WindowFunction::new(max_udaf(), vec![ident("last_ts")]));
            (units.window(vec![last.alias("as_of")])?, ident("as_of"))
        }
    };
    let as_of_period = number.call(vec![as_of.clone()]);
    let members = units
        .project(vec![ident("memberships"), as_of.alias("seen_at"), as_of_period.alias("seen_period")])?
        .unnest_column("memberships")?;
    rows(members, rule, period, by_name, with_value)
}

/// The rows of each cohort from the memberships.
fn rows(
    members: LogicalPlanBuilder,
    rule: CohortRule,
    period: Period,
    by_name: Option<String>,
    with_value: bool,
) -> Result<LogicalPlan> {
    let membership = |name: &str| field(ident("memberships"), name).alias(name);
    let mut columns = ["cohort", "entered_at", "active", "value_periods", "values"].map(membership).to_vec();
    columns.extend([ident("seen_at"), ident("seen_period")]);
    columns.extend(by_name.as_ref().map(|_| membership("by")));
    let mut groups = vec![ident("cohort")];
    groups.extend(by_name.as_ref().map(|_| ident("by")));
    let arguments = ["cohort", "entered_at", "active", "value_periods", "values", "seen_at", "seen_period"].map(ident);
    let mut result = vec![period_start(period).call(vec![ident("cohort")]).alias("cohort")];
    result.extend(by_name.as_ref().map(|name| ident("by").alias(name.clone())));
    let shown = if with_value { &COLUMNS[1..] } else { &COLUMNS[1..6] };
    result.extend(shown.iter().map(|name| field(ident("row"), name).alias(*name)));
    let order = |name: &str| Sort::new(ident(name), true, false);
    let mut orders = vec![order("cohort")];
    orders.extend(by_name.as_deref().map(order));
    orders.push(order("period"));
    members
        .project(columns)?
        .aggregate(groups, vec![cohort_rows(rule).call(arguments.to_vec()).alias("row")])?
        .unnest_column("row")?
        .project(result)?
        .sort(orders)?
        .build()
}

fn rule(call: &mut Call, time: TimeType, period: Period) -> Result<CohortRule> {
    let or_after = call.choice("rule", &[("on", false), ("on_or_after", true)])?.unwrap_or(false);
    let rolling = call.choice("clock", &[("calendar", false), ("rolling", true)])?.unwrap_or(false);
    let every = call.choice("cohort", &[("first", false), ("every", true)])?.unwrap_or(false);
    let period_max = match call.constant("periods")? {
        None => PERIODS_DEFAULT,
        Some(value) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(periods))) if (0..=i64::from(PERIODS_MAX)).contains(&periods) => periods as i32,
            _ => return Err(invalid(format!("periods must be between 0 and {PERIODS_MAX}"))),
        },
    };
    let rolling = match (rolling, period.rolling_days()) {
        (false, _) => None,
        (true, Some(days)) => Some(time.window(Some(&ScalarValue::new_interval_mdn(0, days, 0)), "period")?),
        (true, None) => return Err(invalid("a rolling clock needs period day, week or month")),
    };
    Ok(CohortRule { every, rolling, or_after, period_max })
}
