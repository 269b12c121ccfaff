//! Filters are pushed down as they are written: DataFusion's rule, kept from its shortcuts.
//!
//! The rule takes only one of several comparisons of a column with constants: of equalities that are not the same to the
//! letter it makes false (`x = 2 AND 2 = x`, `v = 0.0 AND v = '-0'`), of bounds it keeps the one with the greater value,
//! and NULL is a value to it (`x > NULL AND x > 3`). Such pairs are made by the rule itself, when a filter passes a
//! projection or meets another. So before the rule sees a filter, the filters below are joined to it and every comparison of
//! a column but the first of its kind is given a form the shortcut does not know.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

/// DataFusion's rule with what it may misunderstand put otherwise. See the module.
#[derive(Debug, Default)]
pub(super) struct SafePushDown(PushDownFilter);

impl OptimizerRule for SafePushDown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => {
                let (plan, changed) = kept_apart(filter)?;
                let pushed = self.0.rewrite(plan, config)?;
                Ok(if changed { Transformed::yes(pushed.data) } else { pushed })
            }
            plan => self.0.rewrite(plan, config),
        }
    }
}

/// A filter with those right below it, no two of whose conditions the shortcut would put together; and whether it is
/// another than before.
fn kept_apart(filter: Filter) -> Result<(LogicalPlan, bool)> {
    let mut levels = vec![split_conjunction_owned(filter.predicate)];
    let mut input = filter.input;
    while let LogicalPlan::Filter(below) = input.as_ref() {
        levels.push(split_conjunction_owned(below.predicate.clone()));
        input = Arc::clone(&below.input);
    }
    let mut changed = levels.len() > 1;
    let (mut known, mut seen, mut all) = (HashSet::new(), HashSet::new(), Vec::new());
    // What is filtered first stays first.
    for condition in levels.into_iter().rev().flatten() {
        if !known.insert(condition.clone()) {
            changed = true;
            continue;
        }
        match kind_of(&condition) {
            Some(kind) if !seen.insert(kind.clone()) => {
                changed = true;
                all.push(Expr::IsTrue(Box::new(condition)));
            }
            _ => all.push(condition),
        }
    }
    let Some(predicate) = conjunction(all) else { return Ok((Arc::unwrap_or_clone(input), true)) };
    Ok((LogicalPlan::Filter(Filter::try_new(predicate, input)?), changed))
}

/// What a comparison of a column with a constant limits: the column, and its value or one of its bounds.
fn kind_of(condition: &Expr) -> Option<(Column, Operator)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(..)) => (column, *op),
        (Expr::Literal(..), Expr::Column(column)) => (column, op.swap()?),
        _ => return None,
    };
    let kind = match op {
        Operator::Eq => Operator::Eq,
        Operator::Lt | Operator::LtEq => Operator::Lt,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    Some((column.clone(), kind))
}

/// DataFusion's physical rule, kept from plans it would read wrongly: it follows filters through a projection by name, so
/// two columns of one name (an outer join whose sides were exchanged) would be taken for each other.
#[derive(Debug)]
pub(super) struct NamedOnce(pub Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for NamedOnce {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let twice = plan.exists(|node| {
            let mut names = HashSet::new();
            Ok(node.is::<ProjectionExec>()
                && !node.schema().fields().iter().all(|field| names.insert(field.name().clone())))
        })?;
        if twice { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
