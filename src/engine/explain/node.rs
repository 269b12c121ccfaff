//! A physical plan as a tree of PostgreSQL's nodes, with estimates and, once run, figures.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode, displayable};
use tributary_pg::error::PgError;

use super::words::{shown, sort_keys};
use crate::engine::dml::WriteKind;
use crate::engine::external::ForeignScanExec;
use crate::engine::pg::map_error;
use crate::engine::scan::PartSource;

/// Rows assumed where nothing is known, as PostgreSQL assumes for functions.
const UNKNOWN_ROWS: usize = 1_000;

/// Bytes assumed of a value of variable length, as PostgreSQL does.
const TEXT_WIDTH: usize = 32;

/// What a node did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Actual {
    pub total_ms: f64,
    pub rows: u64,
}

/// One node.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// PostgreSQL's word.
    pub node_type: String,
    /// Table scanned or written.
    pub relation: Option<String>,
    /// Index by which rows are looked up.
    pub index: Option<String>,
    /// The engine's operator.
    pub operator: String,
    /// Label and text, in order.
    pub details: Vec<(String, String)>,
    pub cost: f64,
    pub rows: usize,
    pub width: usize,
    pub actual: Option<Actual>,
    pub children: Vec<Node>,
}

/// The tree of a plan; figures are read if it has run.
pub(super) fn tree(plan: &Arc<dyn ExecutionPlan>, ran: bool) -> Result<Node, PgError> {
    build(plan, ran, &StatisticsContext::new())
}

/// A write above the plan that finds its rows.
pub(super) fn of_write(child: Node, table: &str, kind: WriteKind, count: Option<u64>) -> Node {
    let verb = kind.verb();
    Node {
        node_type: format!("{}{}", &verb[..1], verb[1..].to_lowercase()),
        relation: Some(table.to_owned()),
        operator: "Sink".to_owned(),
        cost: child.cost,
        actual: child.actual.map(|actual| Actual { rows: 0, ..actual }),
        details: count.map(|count| ("Rows Written".to_owned(), count.to_string())).into_iter().collect(),
        children: vec![child],
        ..Node::default()
    }
}

fn build(plan: &Arc<dyn ExecutionPlan>, ran: bool, statistics: &StatisticsContext) -> Result<Node, PgError> {
    // What only moves columns, or yields to the scheduler, has no counterpart.
    if plan.is::<ProjectionExec>() || plan.name() == "CooperativeExec" || plan.name() == "CoalesceBatchesExec" {
        let mut below = build(plan.children()[0], ran, statistics)?;
        below.width = width_of(&plan.schema());
        return Ok(below);
    }
    let children = plan.children().into_iter().map(|child| build(child, ran, statistics));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    let estimate = statistics.compute(plan.as_ref(), &StatisticsArgs::new()).map_err(map_error)?;
    let known = estimate.num_rows.get_value().copied();
    let below = children.iter().map(|child| child.rows).max();
    let mut node = Node {
        operator: plan.name().to_owned(),
        rows: known.or(below).unwrap_or(UNKNOWN_ROWS),
        width: width_of(&plan.schema()),
        actual: ran.then(|| plan.metrics().map(|metrics| actual_of(&metrics)).unwrap_or_default()),
        children,
        ..Node::default()
    };
    describe(plan, &mut node);
    let below: f64 = node.children.iter().map(|child| child.cost).sum();
    node.cost += below + node.rows as f64 * 0.01;
    Ok(node)
}

/// Whether a source is one row of constants, which PostgreSQL computes without a scan.
fn one_row(source: &DataSourceExec) -> bool {
    source
        .data_source()
        .downcast_ref::<MemorySourceConfig>()
        .is_some_and(|memory| memory.partitions().iter().flatten().map(RecordBatch::num_rows).sum::<usize>() == 1)
}

fn describe(plan: &Arc<dyn ExecutionPlan>, node: &mut Node) {
    let mut detail = |label: &str, text: String| node.details.push((label.to_owned(), text));
    let name = if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        match source.data_source().downcast_ref::<PartSource>() {
            Some(scan) => return describe_scan(scan, node),
            None if one_row(source) => "Result".to_owned(),
            None => "Values Scan".to_owned(),
        }
    } else if let Some(scan) = plan.downcast_ref::<ForeignScanExec>() {
        node.relation = Some(scan.table.clone());
        let (files, bytes) = scan.files;
        detail("Foreign File", scan.location.clone());
        detail("Foreign File Size", format!("{bytes} b in {files} {}", if files == 1 { "file" } else { "files" }));
        "Foreign Scan".to_owned()
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        detail("Filter", shown(filter.predicate()));
        "Result".to_owned()
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let keys: Vec<String> = aggregate.group_expr().expr().iter().map(|(expr, _)| shown(expr)).collect();
        if !keys.is_empty() {
            detail("Group Key", keys.join(", "));
        }
        let word = match aggregate.input_order_mode() {
            _ if keys.is_empty() => "Aggregate",
            InputOrderMode::Sorted => "GroupAggregate",
            _ => "HashAggregate",
        };
        match aggregate.mode() {
            AggregateMode::Partial => format!("Partial {word}"),
            AggregateMode::Final | AggregateMode::FinalPartitioned => format!("Finalize {word}"),
            _ => word.to_owned(),
        }
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        detail("Sort Key", sort_keys(sort.expr()));
        if let Some(fetch) = sort.fetch() {
            detail("Top", fetch.to_string());
        }
        "Sort".to_owned()
    } else if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        detail("Sort Key", sort_keys(merge.expr()));
        "Gather Merge".to_owned()
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let pairs = join.on().iter().map(|(left, right)| format!("{} = {}", shown(left), shown(right)));
        detail("Hash Cond", format!("({})", pairs.collect::<Vec<_>>().join(" AND ")));
        if let Some(filter) = join.filter() {
            detail("Join Filter", shown(filter.expression()));
        }
        joined("Hash", &join.join_type().to_string())
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        if let Some(filter) = join.filter() {
            detail("Join Filter", shown(filter.expression()));
        }
        joined("Nested Loop", &join.join_type().to_string())
    } else if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        if limit.skip() > 0 {
            detail("Offset", limit.skip().to_string());
        }
        "Limit".to_owned()
    } else if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        detail("Partitioning", cleaned(&repartition.partitioning().to_string()));
        "Redistribute".to_owned()
    } else if plan.is::<CrossJoinExec>() {
        "Nested Loop".to_owned()
    } else if plan.is::<SortMergeJoinExec>() {
        "Merge Join".to_owned()
    } else if plan.is::<LocalLimitExec>() {
        "Limit".to_owned()
    } else if plan.is::<CoalescePartitionsExec>() {
        "Gather".to_owned()
    } else if plan.is::<UnionExec>() {
        "Append".to_owned()
    } else if plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>() {
        "WindowAgg".to_owned()
    } else if matches!(plan.name(), "EmptyExec" | "PlaceholderRowExec") {
        "Result".to_owned()
    } else {
        let line = displayable(plan.as_ref()).one_line().to_string();
        detail("Operator", cleaned(line.trim()));
        plan.name().trim_end_matches("Exec").to_owned()
    };
    node.node_type = name;
}

/// `Hash Left Join`, `Nested Loop Anti Join`; an inner join is `Hash Join` or `Nested Loop`.
fn joined(way: &str, kind: &str) -> String {
    match (way, kind) {
        ("Hash", "Inner") => "Hash Join".to_owned(),
        (way, "Inner") => way.to_owned(),
        (way, kind) => {
            let kind = kind.trim_start_matches("Left").trim_start_matches("Right");
            let kind = if kind.is_empty() { "Left" } else { kind };
            format!("{way} {kind} Join")
        }
    }
}

fn describe_scan(scan: &PartSource, node: &mut Node) {
    node.node_type = "Seq Scan".to_owned();
    if let Some(key) = scan.key() {
        node.node_type = "Index Scan".to_owned();
        node.index = Some(key.to_owned());
    }
    node.relation = Some(scan.table().name.clone());
    let filters: Vec<String> = scan.filters().iter().map(shown).collect();
    if !filters.is_empty() {
        node.details.push(("Filter".to_owned(), format!("({})", filters.join(" AND "))));
    }
    let selected = scan.selected();
    let pruned = format!(
        "{} of {}, granules: {} of {}",
        selected.parts, selected.parts_total, selected.granules, selected.granules_total
    );
    node.details.push(("Parts".to_owned(), pruned));
    if node.actual.is_some() {
        let metrics = scan.metrics_set();
        for (label, name) in [
            ("Rows Removed by Filter", "rows_removed_by_filter"),
            ("Granules Read", "granules_read"),
            ("Granules Pruned While Running", "granules_pruned_late"),
        ] {
            let value = metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
            if value > 0 {
                node.details.push((label.to_owned(), value.to_string()));
            }
        }
    }
    node.cost = (scan.rows_to_read() * node.width) as f64 / 8_192.0;
}

fn actual_of(metrics: &MetricsSet) -> Actual {
    let mut rows = 0;
    let (mut began, mut ended) = (None, None);
    for metric in metrics.iter() {
        match metric.value() {
            MetricValue::OutputRows(count) => rows += count.value() as u64,
            MetricValue::StartTimestamp(time) => {
                began = [began, time.value()].into_iter().flatten().min();
            }
            MetricValue::EndTimestamp(time) => {
                ended = [ended, time.value()].into_iter().flatten().max();
            }
            _ => {}
        }
    }
    let total_ms = match (began, ended) {
        (Some(began), Some(ended)) => (ended - began).num_microseconds().unwrap_or(0) as f64 / 1e3,
        _ => metrics.elapsed_compute().unwrap_or(0) as f64 / 1e6,
    };
    Actual { total_ms: total_ms.max(0.0), rows }
}

fn width_of(schema: &Schema) -> usize {
    schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Boolean => 1,
            other => other.primitive_width().unwrap_or(TEXT_WIDTH),
        })
        .sum()
}

/// The engine numbers columns: `x@0` is `x` to everybody else.
fn cleaned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..at]);
        if digits == 0 {
            out.push('@');
        }
        rest = &rest[at + 1 + digits..];
    }
    out.push_str(rest);
    out
}
