//! Series a few rows at a time: `SELECT generate_series(1, n) FROM t` never has the lists of a whole batch in memory.
//!
//! A set-returning function of a SELECT list is evaluated to one list a row and unnested. This evaluates it for some rows,
//! and for half of them where their lists together are too long, down to one row, whose list may be too long by itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// Rows whose series are in memory together at first.
const ROWS: usize = 16;

/// Values of folded series that are in memory together.
const VALUES: usize = 1 << 20;

/// Rows of a batch as they come.
const BATCH: usize = 8_192;

/// Unnesting of series, which are then made for a few rows at a time; other nodes as they are.
pub(super) fn before_series(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(projection) = node.children().first().and_then(|child| child.downcast_ref::<ProjectionExec>()) else {
        return Ok(node);
    };
    let rows = projection.expr().iter().filter_map(|one| rows_of(&one.expr)).min();
    let (true, Some(rows)) = (node.is::<UnnestExec>(), rows) else { return Ok(node) };
    let series: Arc<dyn ExecutionPlan> = Arc::new(SeriesExec {
        input: Arc::clone(projection.input()),
        exprs: projection.expr().iter().map(|one| Arc::clone(&one.expr)).collect(),
        properties: Arc::clone(projection.properties()),
        rows,
    });
    node.replace_children(vec![series], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Rows for which the lists of an expression likely fit into memory, if it makes long ones.
fn rows_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let mut rows = None;
    let walked = expr.apply(|one| {
        let function = one.downcast_ref::<ScalarFunctionExpr>();
        if function.is_some_and(|function| function.name().starts_with("generate_series")) {
            rows = Some(ROWS);
        } else if let Some(ScalarValue::List(folded)) = one.downcast_ref::<Literal>().map(Literal::value) {
            rows = Some((VALUES / folded.values().len().max(1)).clamp(1, BATCH));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok().and(rows)
}

/// A projection that is evaluated for so many rows of its input, or fewer.
#[derive(Debug)]
struct SeriesExec {
    input: Arc<dyn ExecutionPlan>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    rows: usize,
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeriesExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in &self.exprs {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self {
                input,
                exprs: self.exprs.clone(),
                properties: Arc::clone(&self.properties),
                rows: self.rows,
            })),
            _ => datafusion::common::internal_err!("series have one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let series = Series { schema: self.schema(), exprs: self.exprs.clone() };
        let schema = Arc::clone(&series.schema);
        let rows = self.rows;
        let batches = input.map_ok(move |batch| {
            let starts = (0..batch.num_rows()).step_by(rows);
            let slices = starts.map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect();
            futures::stream::iter(Slices { left: slices, series: series.clone() })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten().boxed())))
    }
}

#[derive(Clone)]
struct Series {
    schema: arrow::datatypes::SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Series {
    fn of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let columns = self.exprs.iter().map(|expr| expr.evaluate(rows)?.into_array(count)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The rows left of a batch, and what is made of them.
struct Slices {
    left: VecDeque<RecordBatch>,
    series: Series,
}

impl Iterator for Slices {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rows = self.left.pop_front()?;
            match self.series.of(&rows) {
                Err(error) if rows.num_rows() > 1 && is_too_long(&error) => {
                    let half = rows.num_rows() / 2;
                    self.left.push_front(rows.slice(half, rows.num_rows() - half));
                    self.left.push_front(rows.slice(0, half));
                }
                done => return Some(done),
            }
        }
    }
}

fn is_too_long(error: &DataFusionError) -> bool {
    let DataFusionError::External(error) = error.find_root() else { return false };
    error.downcast_ref::<PgError>().is_some_and(|error| error.code == sqlstate::PROGRAM_LIMIT_EXCEEDED)
}
