//! EXCEPT ALL and INTERSECT ALL count rows: each row of the right side takes or keeps one of the left.
//!
//! The engine joins the two sides on all columns, which makes one row on the right answer for all like it on the left. A
//! rule numbers equal rows on both sides, so that the first meets the first and the second the second.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result as EngineResult};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

/// The column that numbers equal rows.
const NUMBER: &str = "\u{1}number";

/// The rule.
#[derive(Debug)]
pub(super) struct Multisets;

impl AnalyzerRule for Multisets {
    fn name(&self) -> &str {
        "multisets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> EngineResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Join(join) if counts(&join) => Ok(Transformed::yes(numbered(join)?)),
            other => Ok(Transformed::no(other)),
        })
        .map(|done| done.data)
    }
}

/// Whether the join stands for a set operation that counts. Before the optimizer ran, only set operations are half joins in
/// which NULL equals NULL; on the left of those that do not count stand distinct rows.
fn counts(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

fn numbered(join: Join) -> EngineResult<LogicalPlan> {
    let shown: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let (mut left_keys, mut right_keys): (Vec<Expr>, Vec<Expr>) = join.on.into_iter().unzip();
    let left = with_number(&join.left, &left_keys)?;
    let right = with_number(&join.right, &right_keys)?;
    let number = || Expr::Column(Column::new_unqualified(NUMBER));
    left_keys.push(number());
    right_keys.push(number());
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        left_keys.into_iter().zip(right_keys).collect(),
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(shown)?.build()
}

fn with_number(side: &LogicalPlan, keys: &[Expr]) -> EngineResult<LogicalPlan> {
    let number = row_number().partition_by(keys.to_vec()).build()?;
    let name = number.schema_name().to_string();
    let columns = side.schema().columns().into_iter().map(Expr::Column);
    let shown: Vec<Expr> = columns.chain([Expr::Column(Column::new_unqualified(name)).alias(NUMBER)]).collect();
    LogicalPlanBuilder::from(side.clone()).window([number])?.project(shown)?.build()
}
