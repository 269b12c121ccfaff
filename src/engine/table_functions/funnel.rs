//! `funnel`, `funnel_people` and `funnel_time`.
//!
//! All three are one aggregation by unit, which tells each unit's level, times and `by` value, and differ in what they make of the units.
//! Whether a unit is still open depends on `as_of`, by default the last time in the relation: a window over the units, not a second scan.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_udfs::behaviour::funnel::{FunnelRule, STEPS_MAX};
use tributary_udfs::behaviour::funnel_reports::{funnel_counts, funnel_durations};
use tributary_udfs::behaviour::funnel_unit::{ByAt, funnel_unit};
use tributary_udfs::behaviour::window_funnel::read_mode;

use super::TableFunction;
use super::call::{Bound, Call, column_name, external, field, invalid, mismatch};
use crate::dialect::sqlparser::ast::{self, BinaryOperator, Value};

const OPTIONS: &[&str] =
    &["unit", "ts", "steps", "within", "mode", "labels", "exclude", "hold", "by", "by_at", "as_of"];

pub(super) const FUNNEL: TableFunction =
    TableFunction { name: "funnel", options: OPTIONS, required: 3, expand: funnel };
pub(super) const FUNNEL_PEOPLE: TableFunction =
    TableFunction { name: "funnel_people", options: OPTIONS, required: 3, expand: funnel_people };
pub(super) const FUNNEL_TIME: TableFunction =
    TableFunction { name: "funnel_time", options: OPTIONS, required: 3, expand: funnel_time };

const COUNTS: [&str; 7] = ["step", "label", "people", "open", "lost", "from_previous", "from_first"];
const DURATIONS: [&str; 9] = ["from_step", "to_step", "people", "mean_s", "min_s", "p10_s", "p50_s", "p90_s", "max_s"];
const PEOPLE: [&str; 6] = ["level", "started_at", "ended_at", "open", "times", "by"];

/// Internal columns; no user column is in scope beside them.
const UNIT: &str = "unit";
const TS: &str = "ts";
const RECORD: &str = "funnel";
const EXPIRES: &str = "expires";
const LAST_TS: &str = "last_ts";
const AS_OF: &str = "as_of";
const BY: &str = "by";
const ROW: &str = "report_row";

/// One row for each unit: [`UNIT`], `level`, `times`, `open` and, with `by`, [`BY`].
struct Units {
    plan: LogicalPlanBuilder,
    unit_name: String,
    by_name: Option<String>,
    labels: Vec<String>,
}

fn funnel(call: Call) -> Result<LogicalPlan> {
    let units = units(call, &COUNTS)?;
    let counts = funnel_counts(units.labels.clone()).call(vec![ident("level"), ident("open")]);
    report(units, counts, &COUNTS, "step")
}

fn funnel_time(call: Call) -> Result<LogicalPlan> {
    let units = units(call, &DURATIONS)?;
    let durations = funnel_durations(units.labels.len()).call(vec![ident("times")]);
    report(units, durations, &DURATIONS, "")
}

fn funnel_people(call: Call) -> Result<LogicalPlan> {
    let units = units(call, &PEOPLE)?;
    let mut columns = vec![ident(UNIT).alias(units.unit_name)];
    columns.extend(units.by_name.map(|name| ident(BY).alias(name)));
    columns.extend([
        ident("level"),
        array_element(ident("times"), lit(1_i64)).alias("started_at"),
        array_element(ident("times"), lit(-1_i64)).alias("ended_at"),
        ident("open"),
        ident("times"),
    ]);
    units.plan.project(columns)?.build()
}

/// Aggregates units by `by`, opens the list of records that `aggregate` returns and puts the rows in order.
fn report(units: Units, aggregate: Expr, fields: &[&str], step: &str) -> Result<LogicalPlan> {
    let groups: Vec<Expr> = units.by_name.iter().map(|_| ident(BY)).collect();
    let step = if step.is_empty() { fields[0] } else { step };
    let mut columns: Vec<Expr> = units.by_name.iter().map(|name| ident(BY).alias(name.clone())).collect();
    columns.extend(fields.iter().map(|name| field(ident(ROW), name).alias(*name)));
    let order = |name: &str| Sort::new(ident(name), true, false);
    let mut orders: Vec<Sort> = units.by_name.iter().map(|name| order(name)).collect();
    orders.push(order(step));
    // The durations of the whole funnel come after those of its parts, whose first steps are all below the last pair's.
    if fields[0] == "from_step" {
        orders.pop();
        let whole = ident("from_step").eq(lit(1)).and(ident("to_step").gt(lit(2)));
        orders.extend([Sort::new(whole, true, false), order("from_step")]);
    }
    units
        .plan
        .aggregate(groups, vec![aggregate.alias(ROW)])?
        .unnest_column(ROW)?
        .project(columns)?
        .sort(orders)?
        .build()
}

fn units(mut call: Call, taken: &[&str]) -> Result<Units> {
    let unit = call.required("unit")?;
    let ts = call.required("ts")?;
    let (time, ts_type) = call.time_of(&ts)?;
    let steps = steps(&mut call)?;
    let labels = labels(&mut call, &steps)?;
    let within = call.length("within", time, "window")?;
    let mode = call.text("mode")?.unwrap_or_else(|| "strict_once".to_owned());
    let rule = FunnelRule {
        step_count: steps.len(),
        window: within,
        mode: read_mode(&mode, "funnel")?,
        infinities: time.infinities(),
    };
    let by_at = call.choice("by_at", &[("first", ByAt::First), ("last", ByAt::Last)])?.unwrap_or_default();
    let as_of = call.outer("as_of")?.map(|as_of| cast(as_of, ts_type));
    let (by, hold, exclude) = (call.expr("by")?, call.expr("hold")?, call.expr("exclude")?);
    let unit_name = column_name(&unit, UNIT, taken);
    let by_name = by.as_ref().map(|by| column_name(by, BY, &[taken, &[unit_name.as_str()]].concat()));

    let mut columns = vec![unit.expr.alias(UNIT), ts.expr.alias(TS)];
    let mut arguments = vec![ident(TS)];
    for (name, option) in [(BY, by), ("hold", hold), ("exclude", exclude)] {
        arguments.push(if option.is_some() { ident(name) } else { lit(ScalarValue::Null) });
        columns.extend(option.map(|option| option.expr.alias(name)));
    }
    for (at, step) in steps.into_iter().enumerate() {
        let name = format!("step{}", at + 1);
        arguments.push(ident(name.clone()));
        columns.push(step.expr.alias(name));
    }
    let mut known = ident(UNIT).is_not_null().and(ident(TS).is_not_null());
    if let Some(as_of) = &as_of {
        known = known.and(ident(TS).lt_eq(as_of.clone()));
    }
    let plan = LogicalPlanBuilder::from(call.relation)
        .project(columns)?
        .filter(known)?
        .aggregate(vec![ident(UNIT)], vec![funnel_unit(rule, by_at).call(arguments).alias(RECORD)])?;
    let mut columns = vec![ident(UNIT)];
    columns.extend(["level", "times", EXPIRES, LAST_TS].map(|name| field(ident(RECORD), name).alias(name)));
    columns.extend(by_name.as_ref().map(|_| field(ident(RECORD), "by").alias(BY)));
    let plan = plan.project(columns)?;
    Ok(Units { plan: with_open(plan, within.is_some(), as_of, by_name.is_some())?, unit_name, by_name, labels })
}

/// Adds `open`: a chain is alive and its window ends after `as_of`.
fn with_open(
    plan: LogicalPlanBuilder,
    limited: bool,
    as_of: Option<Expr>,
    with_by: bool,
) -> Result<LogicalPlanBuilder> {
    let (plan, open) = match (limited, as_of) {
        (false, _) => (plan, lit(false)),
        (true, Some(as_of)) => (plan, expires_after(as_of)),
        (true, None) => {
            let last = Expr::from(WindowFunction::new(max_udaf(), vec![ident(LAST_TS)])).alias(AS_OF);
            (plan.window(vec![last])?, expires_after(ident(AS_OF)))
        }
    };
    let mut columns = vec![ident(UNIT), ident("level"), ident("times"), open.alias("open")];
    columns.extend(with_by.then(|| ident(BY)));
    plan.project(columns)
}

/// Not `IS TRUE`, whose physical form is nullable where the logical one is not.
fn expires_after(as_of: Expr) -> Expr {
    ident(EXPIRES).is_not_null().and(ident(EXPIRES).gt(as_of))
}

fn steps(call: &mut Call) -> Result<Vec<Bound>> {
    let steps = call.list("steps")?;
    if steps.is_empty() {
        return Err(invalid("steps must be a list of at least one condition"));
    }
    if steps.len() > STEPS_MAX {
        let message = format!("funnel takes at most {STEPS_MAX} steps");
        return Err(external(PgError::new(sqlstate::TOO_MANY_ARGUMENTS, message)));
    }
    for (at, step) in steps.iter().enumerate() {
        let found = call.type_of(step)?;
        if !matches!(found, DataType::Boolean | DataType::Null) {
            return Err(mismatch(&format!("step {}", at + 1), "boolean", &found));
        }
    }
    Ok(steps)
}

fn labels(call: &mut Call, steps: &[Bound]) -> Result<Vec<String>> {
    match call.texts("labels")? {
        None => Ok(steps.iter().map(|step| default_label(&step.text)).collect()),
        Some(labels) if labels.len() == steps.len() => Ok(labels),
        Some(labels) => Err(invalid(format!("labels has {} texts for {} steps", labels.len(), steps.len()))),
    }
}

/// The literal of `column = 'literal'`, else the condition as written.
fn default_label(step: &ast::Expr) -> String {
    if let ast::Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = step
        && let ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) = left.as_ref()
        && let ast::Expr::Value(value) = right.as_ref()
        && let Value::SingleQuotedString(text) = &value.value
    {
        return text.clone();
    }
    step.to_string()
}
