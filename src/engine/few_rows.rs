//! Small batches before series: `SELECT generate_series(1, n) FROM t` makes the lists of a few rows at a time.
//!
//! A set-returning function of a SELECT list is evaluated to one list a row and unnested. The lists of a whole batch of
//! rows would be thousands of series in memory at once.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::TryStreamExt;

/// Rows whose series are in memory together.
const ROWS: usize = 16;

/// Values of folded series that are in memory together.
const VALUES: usize = 1 << 20;

/// Unnesting of series, with their rows handed on a few at a time; other nodes as they are.
pub(super) fn before_series(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(projection) = node.children().first().and_then(|child| child.downcast_ref::<ProjectionExec>()) else {
        return Ok(node);
    };
    let rows = projection.expr().iter().filter_map(|one| rows_of(&one.expr)).min();
    let (true, Some(rows)) = (node.is::<UnnestExec>(), rows) else { return Ok(node) };
    let rows: Arc<dyn ExecutionPlan> = Arc::new(FewRowsExec { input: Arc::clone(projection.input()), rows });
    let projection: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), rows)?);
    node.replace_children(vec![projection], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Rows for which the lists of an expression fit into memory, if it makes long ones.
fn rows_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let mut rows = None;
    let walked = expr.apply(|one| {
        let function = one.downcast_ref::<ScalarFunctionExpr>();
        if function.is_some_and(|function| function.name().starts_with("generate_series")) {
            rows = Some(ROWS);
        } else if let Some(ScalarValue::List(folded)) = one.downcast_ref::<Literal>().map(Literal::value) {
            rows = Some((VALUES / folded.values().len().max(1)).clamp(1, ROWS));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok().and(rows)
}

/// Its input in batches of so many rows.
#[derive(Debug)]
struct FewRowsExec {
    input: Arc<dyn ExecutionPlan>,
    rows: usize,
}

impl DisplayAs for FewRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FewRowsExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for FewRowsExec {
    fn name(&self) -> &str {
        "FewRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self { input, rows: self.rows })),
            _ => datafusion::common::internal_err!("small batches have one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, rows) = (input.schema(), self.rows);
        let pieces = input.map_ok(move |batch| {
            let starts = (0..batch.num_rows()).step_by(rows);
            futures::stream::iter(starts.map(move |start| Ok(batch.slice(start, rows.min(batch.num_rows() - start)))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, pieces.try_flatten())))
    }
}
