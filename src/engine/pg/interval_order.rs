//! Intervals are sorted, grouped and told apart by length: a month is 30 days, a day is 24 hours.
//!
//! The engine compares them field by field, so a rule over the planned query puts the key of an interval where one sorts,
//! groups or is made distinct; comparisons have got it while planning. A group shows one of the intervals that fell into
//! it, as in PostgreSQL.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result as EngineResult};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort as SortKey, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Sort, Window,
};
use datafusion::optimizer::AnalyzerRule;
use tributary_pg::PgError;

use super::kernels;
use super::signatures::oid;
use super::typed::Typed;

/// The rule.
#[derive(Debug)]
pub(super) struct IntervalOrder;

impl AnalyzerRule for IntervalOrder {
    fn name(&self) -> &str {
        "interval_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> EngineResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Sort(sort) => sorted(sort),
            LogicalPlan::Window(window) => windowed(window),
            LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
            LogicalPlan::Distinct(distinct) => made_distinct(distinct),
            other => Ok(Transformed::no(other)),
        })
        .map(|done| done.data)
    }
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| of == DataType::Interval(IntervalUnit::MonthDayNano))
}

fn key(expr: Expr) -> EngineResult<Expr> {
    let call = kernels::call("interval_key", vec![Typed::new(expr, oid::INTERVAL)], oid::INTERVAL);
    call.map(|key| key.expr).map_err(external)
}

fn external(error: PgError) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::External(Box::new(error))
}

/// The length as a number: frames are found by arithmetic on it.
fn length(expr: Expr) -> EngineResult<Expr> {
    let call = kernels::call("interval_length", vec![Typed::new(expr, oid::INTERVAL)], oid::NUMERIC);
    call.map(|key| key.expr).map_err(external)
}

/// Puts keys into sort keys; whether there was an interval.
fn rekey(keys: &mut [SortKey], schema: &DFSchema) -> EngineResult<bool> {
    let mut found = false;
    for one in keys {
        if is_interval(&one.expr, schema) {
            one.expr = key(std::mem::take(&mut one.expr))?;
            found = true;
        }
    }
    Ok(found)
}

fn sorted(mut sort: Sort) -> EngineResult<Transformed<LogicalPlan>> {
    let schema = Arc::clone(sort.input.schema());
    let found = rekey(&mut sort.expr, &schema)?;
    Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), found))
}

fn windowed(window: Window) -> EngineResult<Transformed<LogicalPlan>> {
    let schema = Arc::clone(window.input.schema());
    let mut found = false;
    let mut exprs = Vec::with_capacity(window.window_expr.len());
    for expr in &window.window_expr {
        let (name, mut inner) = (expr.schema_name().to_string(), expr.clone());
        let mut changed = false;
        if let Expr::WindowFunction(call) = &mut inner {
            changed = rekey_window(call, &schema)?;
        }
        found |= changed;
        exprs.push(if changed { inner.alias(name) } else { inner });
    }
    if !found {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let rebuilt = LogicalPlanBuilder::from(window.input.as_ref().clone()).window(exprs)?.build()?;
    Ok(Transformed::yes(rebuilt))
}

fn rekey_window(call: &mut WindowFunction, schema: &DFSchema) -> EngineResult<bool> {
    let mut found = false;
    for one in &mut call.params.order_by {
        if is_interval(&one.expr, schema) {
            one.expr = length(std::mem::take(&mut one.expr))?;
            found = true;
        }
    }
    for expr in &mut call.params.partition_by {
        if is_interval(expr, schema) {
            *expr = key(std::mem::take(expr))?;
            found = true;
        }
    }
    Ok(found)
}

/// Groups by keys; the value shown is one of the group's.
fn grouped(aggregate: Aggregate) -> EngineResult<Transformed<LogicalPlan>> {
    let schema = Arc::clone(aggregate.input.schema());
    let counted = aggregate.aggr_expr.iter().any(|one| distinct_interval(one, &schema));
    let by_interval = aggregate.group_expr.iter().any(|one| is_interval(one, &schema));
    let sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    if sets || !(counted || by_interval) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let mut groups = Vec::with_capacity(aggregate.group_expr.len());
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for call in &aggregate.aggr_expr {
        calls.push(if distinct_interval(call, &schema) { count_of_keys(call)? } else { call.clone() });
    }
    let mut shown = Vec::with_capacity(groups.len());
    for (index, expr) in aggregate.group_expr.iter().enumerate() {
        if is_interval(expr, &schema) {
            groups.push(key(expr.clone())?.alias(format!("\u{1}key{index}")));
            let name = format!("\u{1}group{index}");
            calls.push(first_value_udaf().call(vec![expr.clone()]).alias(&name));
            shown.push(Expr::Column(Column::new_unqualified(name)));
        } else {
            groups.push(expr.clone());
            let (relation, field) = aggregate.schema.qualified_field(index);
            shown.push(Expr::Column(Column::new(relation.cloned(), field.name())));
        }
    }
    let from = groups.len();
    for index in from..aggregate.schema.fields().len() {
        let (relation, field) = aggregate.schema.qualified_field(index);
        shown.push(Expr::Column(Column::new(relation.cloned(), field.name())));
    }
    let shown = renamed(shown, &aggregate.schema);
    let rebuilt =
        LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).aggregate(groups, calls)?.project(shown)?.build()?;
    Ok(Transformed::yes(rebuilt))
}

fn renamed(exprs: Vec<Expr>, schema: &DFSchema) -> Vec<Expr> {
    exprs
        .into_iter()
        .enumerate()
        .map(|(index, expr)| {
            let (relation, field) = schema.qualified_field(index);
            match &expr {
                Expr::Column(column) if column.name == *field.name() => expr,
                _ => expr.alias_qualified(relation.cloned(), field.name()),
            }
        })
        .collect()
}

/// `count(DISTINCT interval)`.
fn distinct_interval(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Alias(alias) => distinct_interval(&alias.expr, schema),
        Expr::AggregateFunction(call) => {
            call.func.name() == "count"
                && call.params.distinct
                && call.params.args.iter().any(|one| is_interval(one, schema))
        }
        _ => false,
    }
}

fn count_of_keys(expr: &Expr) -> EngineResult<Expr> {
    let name = expr.schema_name().to_string();
    let inner = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(call) = inner else { return Ok(expr.clone()) };
    let mut params = call.params.clone();
    params.args = params.args.into_iter().map(key).collect::<EngineResult<_>>()?;
    Ok(Expr::AggregateFunction(AggregateFunction { func: Arc::clone(&call.func), params }).alias(name))
}

fn made_distinct(distinct: Distinct) -> EngineResult<Transformed<LogicalPlan>> {
    match distinct {
        Distinct::All(input) => {
            let schema = Arc::clone(input.schema());
            let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
            if !columns.iter().any(|one| is_interval(one, &schema)) {
                return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
            }
            grouped(Aggregate::try_new(input, columns, Vec::new())?)
        }
        Distinct::On(mut on) => {
            let schema = Arc::clone(on.input.schema());
            let mut found = false;
            for expr in &mut on.on_expr {
                if is_interval(expr, &schema) {
                    *expr = key(std::mem::take(expr))?;
                    found = true;
                }
            }
            if let Some(keys) = &mut on.sort_expr {
                found |= rekey(keys, &schema)?;
            }
            let DistinctOn { .. } = on;
            Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), found))
        }
    }
}
