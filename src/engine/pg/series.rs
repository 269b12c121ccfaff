//! `generate_series` in FROM as a source that streams: a series of any length takes the memory of one batch.
//!
//! The relation planner resolves the call as PostgreSQL does and makes a plan node of its bounds, so parameters and
//! constant folding work in them; the physical planner computes them and starts the source. Series over columns of
//! other relations, and numeric ones, are lists that are unnested (`kernels::array`).

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result as EngineResult};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::zone::Zone;
use tributary_pg::{datetime, interval};

use super::kernels::zero_step;
use crate::engine::session_vars::SessionVars;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;

/// The plan node: first value, last value and step, of the column's type (the step of times is an interval).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    bounds: Vec<Expr>,
    schema: DFSchemaRef,
}

impl Series {
    /// A series with the column that `schema` describes.
    pub(super) fn new(bounds: Vec<Expr>, schema: DFSchemaRef) -> Series {
        Series { bounds, schema }
    }
}

impl PartialOrd for Series {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.bounds.partial_cmp(&other.bounds)
    }
}

impl UserDefinedLogicalNodeCore for Series {
    fn name(&self) -> &str {
        "Series"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.bounds.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds: Vec<String> = self.bounds.iter().map(ToString::to_string).collect();
        write!(f, "Series: {}", bounds.join(", "))
    }

    fn with_exprs_and_inputs(&self, bounds: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> EngineResult<Self> {
        Ok(Series { bounds, schema: Arc::clone(&self.schema) })
    }
}

/// DataFusion's planner with our nodes.
#[derive(Debug)]
pub(super) struct EnginePlanner;

impl QueryPlanner for EnginePlanner {
    fn create_physical_plan<'a, 'b, 'c, 'd>(
        &'a self,
        plan: &'b LogicalPlan,
        session: &'c dyn Session,
    ) -> Pin<Box<dyn Future<Output = EngineResult<Arc<dyn ExecutionPlan>>> + Send + 'd>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        Box::pin(async move {
            let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SeriesPlanner)]);
            planner.create_physical_plan(plan, session).await
        })
    }
}

struct SeriesPlanner;

impl ExtensionPlanner for SeriesPlanner {
    fn plan_extension<'a, 'b, 'c, 'd, 'e, 'f, 'g, 'h, 'i>(
        &'a self,
        planner: &'b dyn PhysicalPlanner,
        node: &'c dyn UserDefinedLogicalNode,
        _logical_inputs: &'d [&'e LogicalPlan],
        _physical_inputs: &'f [Arc<dyn ExecutionPlan>],
        session: &'g dyn Session,
        context: &'h PhysicalPlanningContext,
    ) -> Pin<Box<dyn Future<Output = EngineResult<Option<Arc<dyn ExecutionPlan>>>> + Send + 'i>>
    where
        'a: 'i,
        'b: 'i,
        'c: 'i,
        'd: 'i,
        'e: 'i,
        'f: 'i,
        'g: 'i,
        'h: 'i,
        Self: 'i,
    {
        let planned = node
            .as_any()
            .downcast_ref::<Series>()
            .map(|series| physical(series, planner, session, context))
            .transpose();
        Box::pin(std::future::ready(planned))
    }
}

fn physical(
    series: &Series,
    planner: &dyn PhysicalPlanner,
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let none = DFSchema::empty();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::clone(none.inner()), Vec::new(), &options)?;
    let mut bounds = Vec::with_capacity(series.bounds.len());
    for bound in &series.bounds {
        let value = planner.create_physical_expr(bound, &none, session, context)?.evaluate(&one_row)?;
        bounds.push(ScalarValue::try_from_array(&value.to_array(1)?, 0)?);
    }
    let schema = Arc::clone(series.schema.inner());
    if bounds.iter().any(ScalarValue::is_null) {
        return Ok(Arc::new(EmptyExec::new(schema)));
    }
    let zone = SessionVars::of(session.config_options())
        .and_then(|vars| vars.setting("TimeZone"))
        .and_then(|name| Zone::parse_setting(&name).ok());
    let steps = Steps::new(&bounds, zone).map_err(external)?;
    let order = PhysicalSortExpr {
        expr: Arc::new(expressions::Column::new(schema.field(0).name(), 0)),
        options: SortOptions { descending: !steps.rises(), nulls_first: false },
    };
    let source = Source { schema: Arc::clone(&schema), steps };
    let ordering = LexOrdering::new([order]);
    Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(source)], None, ordering, false, None)?))
}

fn external(error: PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Where a series stands and how it goes on.
#[derive(Clone, Debug)]
enum Steps {
    Whole { next: Option<i64>, last: i64, step: i64 },
    Times { next: Option<i64>, last: i64, step: arrow::datatypes::IntervalMonthDayNano, zone: Option<Zone> },
}

impl Steps {
    fn new(bounds: &[ScalarValue], zone: Option<Zone>) -> Result<Steps, PgError> {
        let steps = match bounds {
            [ScalarValue::Int32(Some(next)), ScalarValue::Int32(Some(last)), ScalarValue::Int32(Some(step))] => {
                Steps::Whole { next: Some((*next).into()), last: (*last).into(), step: (*step).into() }
            }
            [ScalarValue::Int64(Some(next)), ScalarValue::Int64(Some(last)), ScalarValue::Int64(Some(step))] => {
                Steps::Whole { next: Some(*next), last: *last, step: *step }
            }
            [
                ScalarValue::TimestampMicrosecond(Some(next), zoned),
                ScalarValue::TimestampMicrosecond(Some(last), _),
                ScalarValue::IntervalMonthDayNano(Some(step)),
            ] => {
                let zone = zone.filter(|_| zoned.is_some());
                Steps::Times { next: Some(*next), last: *last, step: *step, zone }
            }
            _ => return Err(PgError::internal("a series has bounds of other types")),
        };
        if steps.direction() == 0 { Err(zero_step()) } else { Ok(steps) }
    }

    fn direction(&self) -> i64 {
        match self {
            Steps::Whole { step, .. } => step.signum(),
            Steps::Times { step, .. } => interval::key(*step).signum() as i64,
        }
    }

    fn rises(&self) -> bool {
        self.direction() > 0
    }

    /// The next values, at most a batch; empty at the end.
    fn take(&mut self) -> Result<Vec<i64>, PgError> {
        let rises = self.rises();
        let mut values = Vec::new();
        while values.len() < BATCH_ROWS {
            match self {
                Steps::Whole { next, last, step } => {
                    let Some(value) = next.filter(|one| if rises { one <= last } else { one >= last }) else { break };
                    values.push(value);
                    *next = value.checked_add(*step);
                }
                Steps::Times { next, last, step, zone } => {
                    let Some(value) = next.filter(|one| if rises { one <= last } else { one >= last }) else { break };
                    values.push(value);
                    let after = match zone {
                        Some(zone) => datetime::add_interval_in(value, *step, zone)?,
                        None => datetime::add_interval(value, *step)?,
                    };
                    if datetime::infinite(after) {
                        return Err(datetime::timestamp_out_of_range());
                    }
                    *next = Some(after);
                }
            }
        }
        Ok(values)
    }
}

#[derive(Debug)]
struct Source {
    schema: SchemaRef,
    steps: Steps,
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = futures::stream::try_unfold(self.steps.clone(), move |mut steps| {
            let batch = batch(&mut steps, &schema);
            async move { Ok(batch?.map(|batch| (batch, steps))) }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

fn batch(steps: &mut Steps, schema: &SchemaRef) -> EngineResult<Option<RecordBatch>> {
    let values = steps.take().map_err(external)?;
    if values.is_empty() {
        return Ok(None);
    }
    let column: ArrayRef = match schema.field(0).data_type() {
        // The bounds were int4, and the values lie between them.
        DataType::Int32 => Arc::new(values.into_iter().map(|one| one as i32).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(Int64Array::from(values)),
        other => Arc::new(TimestampMicrosecondArray::from(values).with_data_type(other.clone())),
    };
    Ok(Some(RecordBatch::try_new(Arc::clone(schema), vec![column])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bounds: [i64; 3]) -> Vec<i64> {
        let bounds = bounds.map(|one| ScalarValue::Int64(Some(one)));
        let mut steps = Steps::new(&bounds, None).expect("a series");
        let mut values = Vec::new();
        loop {
            let more = steps.take().expect("whole numbers");
            if more.is_empty() {
                return values;
            }
            values.extend(more);
        }
    }

    #[test]
    fn series_end_where_they_should() {
        assert_eq!(all([1, 5, 2]), [1, 3, 5]);
        assert_eq!(all([5, 1, -2]), [5, 3, 1]);
        assert_eq!(all([2, 1, 1]), [0; 0]);
        assert_eq!(all([i64::MAX - 1, i64::MAX, 1]), [i64::MAX - 1, i64::MAX]);
        assert_eq!(all([i64::MIN + 1, i64::MIN, -1]), [i64::MIN + 1, i64::MIN]);
        assert_eq!(all([1, 20_000, 1]), (1..=20_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_step_of_nothing_is_an_error() {
        let bounds = [1, 2, 0].map(|one| ScalarValue::Int64(Some(one)));
        assert!(Steps::new(&bounds, None).is_err());
    }
}
