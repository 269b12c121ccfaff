//! How large a plan may be.
//!
//! A view or WITH query stands in a plan once for each time it is named, and those in it once more for each of these:
//! twenty lines can say a million scans. The copies share memory until the first rule rewrites them, so they are counted
//! before that.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// Nodes of a plan at most, each counted as often as it would run.
const NODES_MAX: u64 = 100_000;

/// 54001 if the plan is too large.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), PgError> {
    if count(plan, &mut HashMap::new()) <= NODES_MAX {
        return Ok(());
    }
    Err(PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "statement is too complex")
        .detail(format!("With its views and WITH queries in place, its plan would have more than {NODES_MAX} nodes."))
        .hint("Store the rows of a query that is named again and again in a table."))
}

/// Nodes of a plan, shared ones counted once for each place. `known` has those of the nodes met before.
fn count(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, u64>) -> u64 {
    if let Some(nodes) = known.get(&std::ptr::from_ref(plan)) {
        return *nodes;
    }
    let mut nodes = 1_u64;
    for input in plan.inputs() {
        nodes = nodes.saturating_add(count(input, known));
    }
    let walked = plan.apply_expressions(|expr| {
        expr.apply(|one| {
            let inner = match one {
                Expr::ScalarSubquery(inner) => Some(inner),
                Expr::Exists(exists) => Some(&exists.subquery),
                Expr::InSubquery(within) => Some(&within.subquery),
                Expr::SetComparison(compared) => Some(&compared.subquery),
                _ => None,
            };
            nodes = nodes.saturating_add(inner.map_or(0, |inner| count(&inner.subquery, known)));
            Ok(TreeNodeRecursion::Continue)
        })
    });
    if walked.is_err() {
        nodes = u64::MAX;
    }
    known.insert(std::ptr::from_ref(plan), nodes);
    nodes
}
