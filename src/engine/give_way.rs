//! Joins that give way: no statement keeps a query thread from the others, and each can be stopped.
//!
//! The engine's own cooperation counts batches that leave scans. A join of two large inputs makes billions of pairs from
//! one batch of a scan, and one whose condition holds for none of them hands out nothing either: it would run for hours
//! without looking up. So the last physical rule lets joins count the batches they hand out, and puts their conditions
//! behind one that, at every batch of pairs, asks whether the statement must stop and, from time to time, leaves its
//! query thread to others.
//!
//! Rules of the optimizer look up as well before each pass over a plan.
//!
//! It does not bound the work: that is what `statement_timeout` is for.

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::activity::Backend;
use super::few_rows;
use super::session_vars::SessionVars;

/// Batches of pairs between two times a condition leaves its thread: some milliseconds of work.
const BATCHES_A_TURN: u32 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct GiveWay;

impl PhysicalOptimizerRule for GiveWay {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let vars = config.extensions.get::<SessionVars>();
        let stop =
            vars.and_then(|vars| Some(Stop { backend: vars.backend.clone()?, abandoned: Arc::clone(&vars.abandoned) }));
        plan.transform_up(|node| {
            let node = match &stop {
                Some(stop) => with_stoppable_condition(node, stop)?,
                None => node,
            };
            let node = few_rows::before_series(node)?;
            let multiplies = node.is::<NestedLoopJoinExec>()
                || node.is::<CrossJoinExec>()
                || node.is::<HashJoinExec>()
                || node.is::<SortMergeJoinExec>()
                || node.is::<UnnestExec>();
            Ok(if multiplies {
                Transformed::yes(Arc::new(CooperativeExec::new(node)) as _)
            } else {
                Transformed::no(node)
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "give_way"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A rule of the logical optimizer that is not begun once its statement must stop: there are many, and many passes.
#[derive(Debug)]
pub(super) struct StoppableRule(pub Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for StoppableRule {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let Some(backend) = config.options().extensions.get::<SessionVars>().and_then(|vars| vars.backend.as_ref()) {
            check_running(backend)?;
        }
        let _folding = Folding(FOLDING.replace(self.name() == "simplify_expressions"));
        self.0.rewrite(plan, config)
    }
}

thread_local! {
    /// Whether this thread is in the rule that computes constants.
    static FOLDING: Cell<bool> = const { Cell::new(false) };
}

/// Puts the mark back, also when a rule panics.
struct Folding(bool);

impl Drop for Folding {
    fn drop(&mut self) {
        FOLDING.set(self.0);
    }
}

/// Whether functions are called to make constants of a plan.
pub(super) fn folding() -> bool {
    FOLDING.get()
}

fn check_running(backend: &Backend) -> Result<()> {
    backend.check_running().map_err(|error| DataFusionError::External(Box::new(error)))
}

/// How a plan learns that it must stop.
#[derive(Clone, Debug)]
struct Stop {
    backend: Arc<Backend>,
    /// Set when the rows of the plan are no longer waited for: the session may be at its next statement then.
    abandoned: Arc<AtomicBool>,
}

impl Stop {
    fn check(&self) -> Result<()> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution("nobody waits for these rows".to_owned()));
        }
        check_running(&self.backend)
    }
}

fn with_stoppable_condition(node: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(condition) = join.filter()
    {
        let condition = stoppable(condition, stop);
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(Some(condition)).build()?));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(condition) = join.filter()
    {
        return join.builder().with_filter(Some(stoppable(condition, stop))).build_exec();
    }
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>()
        && let Some(condition) = join.filter()
    {
        return Ok(Arc::new(SortMergeJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.on().to_vec(),
            Some(stoppable(condition, stop)),
            join.join_type(),
            join.sort_options().to_vec(),
            join.null_equality(),
        )?));
    }
    Ok(node)
}

fn stoppable(condition: &JoinFilter, stop: &Stop) -> JoinFilter {
    let inner = Arc::clone(condition.expression());
    let expression = Stoppable { inner, stop: stop.clone(), batches: Arc::default() };
    JoinFilter::new(Arc::new(expression), condition.column_indices().to_vec(), Arc::clone(condition.schema()))
}

/// A join's condition that fails once its statement must stop.
#[derive(Debug)]
struct Stoppable {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
    /// Batches judged so far, by all partitions.
    batches: Arc<AtomicU32>,
}

impl PhysicalExpr for Stoppable {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.stop.check()?;
        if self.batches.fetch_add(1, Ordering::Relaxed) % BATCHES_A_TURN == BATCHES_A_TURN - 1 {
            aside(|| self.inner.evaluate(batch))
        } else {
            self.inner.evaluate(batch)
        }
    }

    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.inner.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.inner.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [inner] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a join's condition has one child".to_owned()))?;
        Ok(Arc::new(Self { inner, stop: self.stop.clone(), batches: Arc::clone(&self.batches) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Does long work beside the query threads: others go on in a new thread, this one rejoins them when its task next waits.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let shared = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if shared { tokio::task::block_in_place(work) } else { work() }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

// Two are the same condition if what they wrap is: the statement is one.
impl PartialEq for Stoppable {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Stoppable {}

impl Hash for Stoppable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
