//! Reports: table functions over a relation, expanded to ordinary plans while a statement is planned.
//!
//! `SELECT * FROM funnel(events, unit => person_id, ts => ts, steps => [event = 'view', event = 'pay'])`: the first argument is a table
//! name, a parenthesised subquery or another table function; the rest are options by name, in any order, whose expressions are bound to
//! the relation's columns. The expansion is made of plain plan nodes over the aggregates of `tributary_udfs`, so EXPLAIN, pruning, memory
//! limits and cancellation apply as to any query. Nothing here runs anything or looks at data.
//!
//! To add a report: write its expansion in `table_functions/`, add it to [`FUNCTIONS`].

mod attribution;
mod calendar;
mod call;
mod components;
mod funnel;
mod retention;
mod sessions;
mod window_rules;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};

use crate::dialect::sqlparser::ast::{FunctionArg, ObjectName, TableFactor};
use call::Call;

/// A report.
struct TableFunction {
    name: &'static str,
    /// Names of the options, required ones first.
    options: &'static [&'static str],
    /// How many of them are required.
    required: usize,
    expand: fn(Call) -> Result<LogicalPlan>,
}

/// Every report. The one list.
const FUNCTIONS: &[TableFunction] = &[
    attribution::ATTRIBUTION,
    components::CONNECTED_COMPONENTS,
    funnel::FUNNEL,
    funnel::FUNNEL_PEOPLE,
    funnel::FUNNEL_TIME,
    retention::COHORT_RETENTION,
    sessions::SESSIONS,
];

/// The planner of the reports, to be asked before DataFusion's own.
pub(super) fn relation_planners() -> Vec<Arc<dyn RelationPlanner>> {
    vec![Arc::new(ReportPlanner)]
}

/// The planner of what our window functions ask of their windows.
pub(super) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(window_rules::WindowRules)]
}

/// Whether a report is called so.
pub(super) fn is_report(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.name == name)
}

/// Names of the reports.
pub(super) fn names() -> Vec<&'static str> {
    FUNCTIONS.iter().map(|function| function.name).collect()
}

#[derive(Debug)]
struct ReportPlanner;

impl RelationPlanner for ReportPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let function = match called(&relation) {
            Some(name) => FUNCTIONS.iter().find(|function| is_called(name, function.name)),
            None => None,
        };
        let Some(function) = function else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let (arguments, alias) = match relation {
            TableFactor::Table { args: Some(args), alias, with_ordinality: false, .. } => (args.args, alias),
            TableFactor::Function { args, alias, with_ordinality: false, .. } => (args, alias),
            _ => return Err(call::not_with_ordinality(function.name)),
        };
        let plan = expand(function, arguments, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn called(relation: &TableFactor) -> Option<&ObjectName> {
    match relation {
        TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => Some(name),
        _ => None,
    }
}

/// Whether a name in the text, without schema, means the function.
fn is_called(name: &ObjectName, function: &str) -> bool {
    match name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| match ident.quote_style {
            None => ident.value.eq_ignore_ascii_case(function),
            Some(_) => ident.value == function,
        }),
        _ => false,
    }
}

fn expand(
    function: &'static TableFunction,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    (function.expand)(Call::new(function, arguments, context)?)
}

#[cfg(test)]
#[path = "table_functions/tests.rs"]
mod tests;
