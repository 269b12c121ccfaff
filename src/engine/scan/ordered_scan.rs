//! The physical rule that turns scans to ordered mode.
//!
//! It runs first, before distribution and order are enforced, so that what is enforced finds the scan's order and ranges
//! and adds neither sort nor repartition. A scan is turned when an aggregate or window above it, through filters and
//! projections only, groups by the leading column of the table's order and is guessed to have many groups, or when a sort
//! or window above it asks for rows in the table's order.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::PartSource;
use super::ordered::ORDER;

/// Groups from which order pays: below, a hash table stays in the cache.
const GROUPS_MIN: usize = 65_536;

/// Rows a group is guessed to have.
const ROWS_PER_GROUP: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct OrderedScan;

impl PhysicalOptimizerRule for OrderedScan {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = config.execution.target_partitions;
        plan.transform_down(|node| {
            let wish = wish_of(&node);
            let Some(wish) = wish else { return Ok(Transformed::no(node)) };
            let Some(input) = node.children().first().map(|child| Arc::clone(child)) else {
                return Ok(Transformed::no(node));
            };
            match turned(&input, &wish, partitions)? {
                Some(input) => Ok(Transformed::yes(over(node, input)?)),
                None => Ok(Transformed::no(node)),
            }
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "ordered_scan"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a node would gain from an ordered input.
#[derive(Clone, Debug)]
enum Wish {
    /// Rows of equal values in these columns together.
    Groups(Vec<usize>),
    /// Rows sorted by exactly these columns.
    Order(Vec<usize>),
}

fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

fn wish_of(node: &Arc<dyn ExecutionPlan>) -> Option<Wish> {
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let over_input = matches!(
            aggregate.mode(),
            AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
        );
        let plain = aggregate.group_expr().is_single();
        let columns = aggregate.group_expr().expr().iter().filter_map(|(expr, _)| column_of(expr)).collect();
        return (over_input && plain).then_some(Wish::Groups(columns));
    }
    let partition_keys = |keys: Vec<Arc<dyn PhysicalExpr>>| Wish::Groups(keys.iter().filter_map(column_of).collect());
    if let Some(window) = node.downcast_ref::<WindowAggExec>() {
        return Some(partition_keys(window.partition_keys()));
    }
    if let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() {
        return Some(partition_keys(window.partition_keys()));
    }
    let sort = node.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_none())?;
    let columns: Option<Vec<usize>> =
        sort.expr().iter().map(|sort| column_of(&sort.expr).filter(|_| sort.options == ORDER)).collect();
    columns.map(Wish::Order)
}

/// The input with its scan in ordered mode, if there is one and the wish is worth it.
fn turned(plan: &Arc<dyn ExecutionPlan>, wish: &Wish, partitions: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let Some(scan) = source.data_source().downcast_ref::<PartSource>() else { return Ok(None) };
        if scan.in_order() || !worth_it(scan, wish) {
            return Ok(None);
        }
        return Ok(scan.clone().into_ordered(partitions)?.map(PartSource::into_exec));
    }
    let below = if plan.is::<FilterExec>() {
        // Its columns are its input's, unless it hands out only some of them.
        plan.downcast_ref::<FilterExec>().and_then(|filter| match filter.projection().as_ref() {
            None => Some(wish.clone()),
            Some(columns) => wish.mapped(|column| columns.get(column).copied()),
        })
    } else {
        plan.downcast_ref::<ProjectionExec>().and_then(|projection| {
            wish.mapped(|column| projection.expr().get(column).and_then(|expr| column_of(&expr.expr)))
        })
    };
    let (Some(below), Some(input)) = (below, plan.children().first().map(|child| Arc::clone(child))) else {
        return Ok(None);
    };
    match turned(&input, &below, partitions)? {
        Some(input) => Ok(Some(over(Arc::clone(plan), input)?)),
        None => Ok(None),
    }
}

/// The node over another input.
fn over(node: Arc<dyn ExecutionPlan>, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    node.replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

impl Wish {
    /// The same below a node that renames columns; what it computes cannot be wished for.
    fn mapped(&self, map: impl Fn(usize) -> Option<usize>) -> Option<Self> {
        match self {
            Self::Groups(columns) => {
                let columns: Vec<usize> = columns.iter().filter_map(|&column| map(column)).collect();
                (!columns.is_empty()).then_some(Self::Groups(columns))
            }
            Self::Order(columns) => columns.iter().map(|&column| map(column)).collect::<Option<_>>().map(Self::Order),
        }
    }
}

fn worth_it(scan: &PartSource, wish: &Wish) -> bool {
    match wish {
        Wish::Groups(columns) => {
            let leading = scan.leading();
            let leads = columns.iter().any(|&column| leading.is_some() && scan.table_column(column) == leading);
            leads && scan.rows_to_read() / ROWS_PER_GROUP >= GROUPS_MIN
        }
        Wish::Order(columns) => {
            let order = &scan.table().order_by;
            let wanted: Option<Vec<usize>> = columns.iter().map(|&column| scan.table_column(column)).collect();
            wanted.is_some_and(|wanted| !wanted.is_empty() && order.starts_with(&wanted))
        }
    }
}
