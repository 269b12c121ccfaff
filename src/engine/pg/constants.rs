//! Constant expressions are computed when a statement is bound, as in PostgreSQL: `1/0` is an error of Bind even where no
//! row would ever reach it.
//!
//! The engine's optimizer has folded what it could; a constant part that is left is one whose computation failed. Only the
//! largest such part is tried, so `coalesce(1, 1/0)` and CASE keep their laziness.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use tributary_pg::error::PgError;

/// Computes what an optimized plan has left of constants; their errors are the statement's.
pub(in crate::engine) fn check(state: &SessionState, plan: &LogicalPlan) -> Result<(), PgError> {
    let schema = DFSchema::empty();
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            let mut finder = Finder::default();
            expr.visit(&mut finder)?;
            for constant in finder.largest() {
                compute(state, constant, &schema)?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
    .map_err(super::map_error)
}

/// Whether a part of the plan is known to have no rows.
pub(in crate::engine) fn empties(plan: &LogicalPlan) -> bool {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row))).unwrap_or(false)
}

fn compute(state: &SessionState, constant: &Expr, schema: &DFSchema) -> EngineResult<()> {
    use arrow::array::{RecordBatch, RecordBatchOptions};
    let physical = state.create_physical_expr(constant.clone(), schema)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(std::sync::Arc::clone(schema.inner()), Vec::new(), &options)?;
    physical.evaluate(&one_row).map(drop)
}

/// Walks an expression once and remembers its largest constant parts.
#[derive(Default)]
struct Finder<'n> {
    /// One entry for each node on the way down: its children so far that are constant, and whether any is not.
    open: Vec<Open<'n>>,
    found: Vec<&'n Expr>,
    root: Option<&'n Expr>,
}

#[derive(Default)]
struct Open<'n> {
    constants: Vec<&'n Expr>,
    varies: bool,
}

impl<'n> Finder<'n> {
    fn largest(self) -> impl Iterator<Item = &'n Expr> {
        self.found.into_iter().chain(self.root).filter(|one| !plain(one))
    }
}

/// A literal, perhaps under a name: nothing to compute.
fn plain(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Alias(alias) => plain(&alias.expr),
        _ => false,
    }
}

/// Whether a node varies even if all below it is constant.
fn varies(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => function.func.signature().volatility != Volatility::Immutable,
        Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => false,
        _ => true,
    }
}

impl<'n> TreeNodeVisitor<'n> for Finder<'n> {
    type Node = Expr;

    fn f_down(&mut self, _: &'n Expr) -> EngineResult<TreeNodeRecursion> {
        self.open.push(Open::default());
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, node: &'n Expr) -> EngineResult<TreeNodeRecursion> {
        let Some(done) = self.open.pop() else { return Ok(TreeNodeRecursion::Continue) };
        let constant = !done.varies && !varies(node);
        if !constant {
            self.found.extend(done.constants);
        }
        match self.open.last_mut() {
            Some(parent) if constant => parent.constants.push(node),
            Some(parent) => parent.varies = true,
            None => self.root = constant.then_some(node),
        }
        Ok(TreeNodeRecursion::Continue)
    }
}
