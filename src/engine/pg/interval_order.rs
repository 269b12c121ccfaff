//! Intervals are sorted, grouped and told apart by length: a month is 30 days, a day is 24 hours.
//!
//! The engine compares them field by field, so a rule over the planned query puts the key of an interval where one sorts,
//! groups, joins or is made distinct; comparisons have got it while planning. A group shows one of the intervals that fell
//! into it, as in PostgreSQL. Where no key can be put, an interval is refused: inside rows and arrays that are sorted,
//! grouped or joined by, as a distinct argument of a sum, and in a recursive UNION.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result as EngineResult};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Case, Sort as SortKey, WindowFunction};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Sort, Window,
};
use datafusion::optimizer::AnalyzerRule;
use tributary_pg::PgError;

use super::kernels;
use super::signatures::oid;
use super::typed::Typed;

/// Name of the function that gives an interval's key.
const KEY: &str = "interval_key";

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
            LogicalPlan::Join(join) => joined(join),
            LogicalPlan::RecursiveQuery(query) if query.is_distinct => {
                let schema = query.static_term.schema();
                match schema.fields().iter().any(|field| is_span(field.data_type()) || holds_span(field.data_type())) {
                    true => Err(unsupported("a recursive UNION of intervals is not supported")),
                    false => Ok(Transformed::no(LogicalPlan::RecursiveQuery(query))),
                }
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|done| done.data)
    }
}

fn is_span(of: &DataType) -> bool {
    *of == DataType::Interval(IntervalUnit::MonthDayNano)
}

/// Whether there are intervals inside.
fn holds_span(of: &DataType) -> bool {
    match of {
        DataType::List(item) => is_span(item.data_type()) || holds_span(item.data_type()),
        DataType::Struct(fields) => {
            fields.iter().any(|field| is_span(field.data_type()) || holds_span(field.data_type()))
        }
        _ => false,
    }
}

/// Whether an expression that is about to be compared is an interval without its key. Values around intervals are refused.
fn is_interval(expr: &Expr, schema: &DFSchema) -> EngineResult<bool> {
    match expr {
        Expr::ScalarFunction(call) if call.name() == KEY => return Ok(false),
        Expr::Alias(alias) => return is_interval(&alias.expr, schema),
        _ => {}
    }
    let Ok(of) = expr.get_type(schema) else { return Ok(false) };
    if holds_span(&of) {
        return Err(unsupported("sorting, grouping or joining by values that contain intervals is not supported"));
    }
    Ok(is_span(&of))
}

fn unsupported(message: &str) -> DataFusionError {
    external(PgError::unsupported(message))
}

fn key(expr: Expr) -> EngineResult<Expr> {
    let call = kernels::call(KEY, vec![Typed::new(expr, oid::INTERVAL)], oid::INTERVAL);
    call.map(|key| key.expr).map_err(external)
}

fn external(error: PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
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
        found |= put_key(&mut one.expr, schema)?;
    }
    Ok(found)
}

/// Puts the key in the place of an interval; whether it was one.
fn put_key(expr: &mut Expr, schema: &DFSchema) -> EngineResult<bool> {
    let found = is_interval(expr, schema)?;
    if found {
        *expr = key(std::mem::take(expr))?;
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
        if is_interval(&one.expr, schema)? {
            one.expr = length(std::mem::take(&mut one.expr))?;
            found = true;
        }
    }
    for expr in &mut call.params.partition_by {
        found |= put_key(expr, schema)?;
    }
    Ok(found)
}

/// Groups by keys; the value shown is one of the group's.
fn grouped(aggregate: Aggregate) -> EngineResult<Transformed<LogicalPlan>> {
    let schema = Arc::clone(aggregate.input.schema());
    let mut found = false;
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for call in &aggregate.aggr_expr {
        let keyed = call_of_keys(call, &schema)?;
        found |= keyed.is_some();
        calls.push(keyed.unwrap_or_else(|| call.clone()));
    }
    let by: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
    let mut spans = Vec::with_capacity(by.len());
    for expr in &by {
        spans.push(is_interval(expr, &schema)?);
    }
    if !found && !spans.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    // The keys are columns of the input, so that grouping sets and grouping() can name them.
    let mut input: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut keys = Vec::new();
    let mut shown = Vec::with_capacity(by.len());
    for (index, expr) in by.iter().enumerate() {
        if spans[index] {
            let key_name = format!("\u{1}key{index}");
            input.push(key(expr.clone().unalias())?.alias(&key_name));
            let column = Expr::Column(Column::new_unqualified(key_name));
            let name = format!("\u{1}group{index}");
            calls.push(first_value_udaf().call(vec![expr.clone().unalias()]).alias(&name));
            // A set without this key shows none.
            let one = Box::new(Expr::Column(Column::new_unqualified(name)));
            let given = Box::new(Expr::IsNotNull(Box::new(column.clone())));
            shown.push(Expr::Case(Case::new(None, vec![(given, one)], None)));
            keys.push((expr.clone(), column));
        } else {
            let (relation, field) = aggregate.schema.qualified_field(index);
            shown.push(Expr::Column(Column::new(relation.cloned(), field.name())));
        }
    }
    let renamed_groups = renamed(shown, &aggregate.schema);
    let first = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
    let results = (first..aggregate.schema.fields().len()).map(|index| {
        let (relation, field) = aggregate.schema.qualified_field(index);
        Expr::Column(Column::new(relation.cloned(), field.name()))
    });
    let shown: Vec<Expr> = renamed_groups.into_iter().chain(results).collect();
    let in_keys = |expr: Expr| swapped(expr, &keys);
    let groups = aggregate.group_expr.into_iter().map(in_keys).collect::<EngineResult<Vec<_>>>()?;
    let calls = calls.into_iter().map(|call| of_grouping(call, &keys)).collect::<EngineResult<Vec<_>>>()?;
    let rebuilt = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .project(input)?
        .aggregate(groups, calls)?
        .project(shown)?
        .build()?;
    Ok(Transformed::yes(rebuilt))
}

/// The expression with keys in the place of intervals that are grouped by.
fn swapped(expr: Expr, keys: &[(Expr, Expr)]) -> EngineResult<Expr> {
    let done = expr.transform_down(|one| match keys.iter().find(|(interval, _)| *interval == one) {
        Some((_, key)) => Ok(Transformed::new(key.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(one)),
    })?;
    Ok(done.data)
}

/// grouping() names what is grouped by; every other call keeps its arguments.
fn of_grouping(call: Expr, keys: &[(Expr, Expr)]) -> EngineResult<Expr> {
    let inner = call.clone().unalias();
    match &inner {
        Expr::AggregateFunction(function) if function.func.name() == "grouping" => {
            let name = call.schema_name().to_string();
            Ok(swapped(inner, keys)?.alias(name))
        }
        _ => Ok(call),
    }
}

/// Equality of joins: of USING and NATURAL, and of EXCEPT and INTERSECT, which the engine makes joins of.
fn joined(mut join: Join) -> EngineResult<Transformed<LogicalPlan>> {
    let mut found = false;
    for (left, right) in &mut join.on {
        found |= put_key(left, join.left.schema())? | put_key(right, join.right.schema())?;
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), found))
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

/// An aggregate call that sorts its rows, or counts distinct ones, by key; None where it needs none.
fn call_of_keys(expr: &Expr, schema: &DFSchema) -> EngineResult<Option<Expr>> {
    let Expr::AggregateFunction(call) = expr.clone().unalias() else { return Ok(None) };
    let mut params = call.params;
    let mut found = rekey(&mut params.order_by, schema)?;
    let (name, distinct) = (call.func.name().to_owned(), params.distinct);
    // The shortest and the longest are the same among distinct ones.
    if distinct && !matches!(name.as_str(), "min_interval" | "max_interval") {
        for argument in &mut params.args {
            if is_interval(argument, schema)? && name != "count" {
                return Err(unsupported("DISTINCT over intervals is supported for count, min and max only"));
            }
            found |= put_key(argument, schema)?;
        }
    }
    if !found {
        return Ok(None);
    }
    let keyed = Expr::AggregateFunction(AggregateFunction { func: call.func, params });
    Ok(Some(keyed.alias(expr.schema_name().to_string())))
}

fn made_distinct(distinct: Distinct) -> EngineResult<Transformed<LogicalPlan>> {
    match distinct {
        Distinct::All(input) => {
            let schema = Arc::clone(input.schema());
            let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
            let mut found = false;
            for column in &columns {
                found |= is_interval(column, &schema)?;
            }
            if !found {
                return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
            }
            grouped(Aggregate::try_new(input, columns, Vec::new())?)
        }
        Distinct::On(mut on) => {
            let schema = Arc::clone(on.input.schema());
            let mut found = false;
            for expr in &mut on.on_expr {
                found |= put_key(expr, &schema)?;
            }
            if let Some(keys) = &mut on.sort_expr {
                found |= rekey(keys, &schema)?;
            }
            Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), found))
        }
    }
}
