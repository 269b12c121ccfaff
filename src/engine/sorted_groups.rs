//! The physical rule that sorts rows into groups for aggregates that want order within them.
//!
//! For: `array_agg(x ORDER BY ts) ... GROUP BY person`. The engine would sort by `ts`, build the lists of all groups at once in two
//! stages, and merge them row by row. Sorted by `person, ts` instead, one group is built at a time, its rows already in
//! order; and a sort spills where lists could not. Does not: touch input that is in such order already, aggregates without
//! groups, or those that are merely quicker with order (`first_value`).

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Any order brings the rows of a group together.
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// See the module.
#[derive(Debug)]
pub(super) struct SortedGroups;

impl PhysicalOptimizerRule for SortedGroups {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = config.execution.target_partitions;
        plan.transform_down(|node| {
            Ok(match in_one_stage(&node, partitions)? {
                Some(aggregate) => Transformed::yes(aggregate),
                None => Transformed::no(node),
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "sorted_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The two stages of an aggregate as one over rows sorted by group and by what its lists are ordered by.
fn in_one_stage(node: &Arc<dyn ExecutionPlan>, partitions: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let Some(first) = last.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let stages = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && *first.mode() == AggregateMode::Partial;
    let groups = first.group_expr();
    if !stages || !groups.is_single() || groups.expr().is_empty() {
        return Ok(None);
    }
    let Some(keys) = keys(first) else { return Ok(None) };
    let input = first.input();
    if input.equivalence_properties().ordering_satisfy(keys.clone())? {
        return Ok(None);
    }
    let groups_hashed = groups.input_exprs();
    let (spread, mode): (Arc<dyn ExecutionPlan>, _) = if partitions > 1 {
        let by_group = Partitioning::Hash(groups_hashed, partitions);
        (Arc::new(RepartitionExec::try_new(Arc::clone(input), by_group)?), AggregateMode::SinglePartitioned)
    } else {
        (Arc::clone(input), AggregateMode::Single)
    };
    let sorted = SortExec::new(keys, spread).with_preserve_partitioning(partitions > 1);
    let aggregate = AggregateExec::try_new(
        mode,
        groups.clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        Arc::new(sorted),
        first.input_schema(),
    )?;
    Ok(Some(Arc::new(aggregate.with_limit_options(last.limit_options()))))
}

/// The groups, then the order of the first list that has one.
fn keys(aggregate: &AggregateExec) -> Option<LexOrdering> {
    let groups = aggregate.group_expr().input_exprs();
    let ordered = aggregate.aggr_expr().iter().find(|list| {
        let wants = matches!(
            list.order_sensitivity(),
            AggregateOrderSensitivity::SoftRequirement | AggregateOrderSensitivity::HardRequirement
        );
        wants && list.order_bys().iter().any(|key| !groups.contains(&key.expr))
    })?;
    let groups = groups.iter().map(|expr| PhysicalSortExpr::new(Arc::clone(expr), ORDER));
    LexOrdering::new(groups.chain(ordered.order_bys().iter().cloned()))
}
