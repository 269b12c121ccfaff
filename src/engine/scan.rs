//! The scan of a base table: one snapshot, its own filters, no copy where none is needed.
//!
//! [`PartSource`] is DataFusion's `DataSource` over the sources of a snapshot. It promises exact filters (the planner
//! drops its own), pruning by source and granule, delete vectors applied before any filter sees a row, and statistics
//! that are exact only when they are (see [`statistics`]). By default it declares no order: partitions take units of
//! granules from one queue, so no core idles while rows are left. What it deliberately does not do: choose the snapshot
//! (the transaction does) or write.

mod filter;
mod key_lookup;
mod ordered;
pub(crate) mod ordered_scan;
mod prune;
pub(crate) mod row_source;
mod statistics;
mod stored;
mod stream;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraints, Result, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source::{DataSource, DataSourceExec, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::coop::{cooperative, make_cooperative};
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, SortOrderPushdownResult};

use filter::Conjunct;
use ordered::{Clip, Ordered};
use prune::{Pruner, Selected, Slice};
use row_source::RowSource;
use stream::{Feed, Queue, ScanStream};

use crate::engine::row_locks::LockedRows;

pub(crate) use key_lookup::ScanKey;
pub(crate) use stored::StoredSource;

/// Name of the hidden row address column.
pub(crate) const ADDR: &str = "_addr";

/// Granules that a partition takes from the queue at a time: one chunk of a part.
const UNIT_ROWS: usize = 65_536;

/// What is scanned: the rows of one table at one snapshot.
#[derive(Debug)]
pub(crate) struct ScanTable {
    /// Name for EXPLAIN.
    pub name: String,
    /// Columns as the planner sees them, the row address last if it is offered.
    pub schema: SchemaRef,
    /// Sources of the snapshot, then the transaction's own rows.
    pub sources: Vec<Arc<dyn RowSource>>,
    /// Index of the row address column.
    pub addr: Option<usize>,
    /// Columns by which parts are sorted.
    pub order_by: Vec<usize>,
    /// Keys that hold, in column indices of `schema`.
    pub constraints: Constraints,
    /// Indexes by which rows can be looked up.
    pub keys: Vec<ScanKey>,
    /// OID of the table, and who is told of the rows that are handed out.
    pub locked: Option<(u32, LockedRows)>,
    /// What was worked out of its columns.
    pub distinct: statistics::DistinctCounts,
}

impl ScanTable {
    /// The schema with the row address appended.
    pub(crate) fn schema_with_addr(schema: &Schema) -> SchemaRef {
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(ADDR, DataType::UInt64, false)));
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

/// What the planner wants of a scan.
#[derive(Debug, Default)]
pub(crate) struct ScanRequest {
    /// Columns to hand out, by index.
    pub projection: Option<Vec<usize>>,
    /// Conditions over the table's schema, in the order written.
    pub filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows wanted at most.
    pub limit: Option<usize>,
    /// Partitions wanted.
    pub partitions: usize,
}

/// A scan of one table.
#[derive(Clone, Debug)]
pub(crate) struct PartSource {
    table: Arc<ScanTable>,
    projection: Arc<[usize]>,
    projected_schema: SchemaRef,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    conjuncts: Arc<[Conjunct]>,
    selected: Arc<Selected>,
    /// Name of the key by which rows were looked up.
    key: Option<Arc<str>>,
    /// The selected slices in the order they are visited.
    slices: Arc<[Slice]>,
    /// What is taken from the queue at a time, as ranges of `slices`.
    units: Arc<[Range<usize>]>,
    partitions: usize,
    /// Column and direction by which granules are visited, for EXPLAIN.
    visiting: Option<(usize, SortOptions)>,
    /// Set in ordered mode.
    ordered: Option<Arc<Ordered>>,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
    statistics: Arc<OnceLock<Arc<Statistics>>>,
}

impl PartSource {
    /// Plans a scan: prunes, and cuts what is left into units.
    pub(crate) fn try_new(table: Arc<ScanTable>, request: ScanRequest) -> Result<Self> {
        let projection: Arc<[usize]> = match request.projection {
            Some(projection) => projection.into(),
            None => (0..table.schema.fields().len()).collect(),
        };
        let empty: Arc<[Slice]> = Arc::new([]);
        let scan = Self {
            projected_schema: Arc::new(table.schema.project(&projection)?),
            projection,
            filters: Vec::new(),
            conjuncts: Arc::new([]),
            selected: Arc::default(),
            key: None,
            slices: empty,
            units: Arc::new([]),
            partitions: request.partitions.max(1),
            visiting: None,
            ordered: None,
            fetch: request.limit,
            metrics: ExecutionPlanMetricsSet::new(),
            statistics: Arc::default(),
            table,
        };
        let mut scan = scan.with_filters(request.filters)?;
        scan.partitions = scan.partitions.min(scan.units.len()).max(1);
        Ok(scan)
    }

    /// The plan node of this scan.
    pub(crate) fn into_exec(self) -> Arc<dyn ExecutionPlan> {
        DataSourceExec::from_data_source(self)
    }

    /// What pruning left, for EXPLAIN.
    pub(crate) fn selected(&self) -> &Selected {
        &self.selected
    }

    /// Name of the key by which rows are looked up, if they are.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The scanned table.
    pub(crate) fn table(&self) -> &ScanTable {
        &self.table
    }

    /// Rows of the granules that are left, deleted ones included.
    pub(crate) fn rows_to_read(&self) -> usize {
        self.slices.iter().map(|slice| slice.rows as usize).sum()
    }

    /// What the scan has counted so far.
    pub(crate) fn metrics_set(&self) -> MetricsSet {
        self.metrics.clone_inner()
    }

    /// Conditions the scan applies.
    pub(crate) fn filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }

    fn late_filters(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.filters.iter().zip(self.conjuncts.iter()).filter_map(|(filter, conjunct)| conjunct.late.then_some(filter))
    }

    /// The scan with more conditions, static ones first. The partition count never changes here: the plan above the
    /// scan is built for it.
    fn with_filters(&self, more: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let mut filters = self.filters.clone();
        filters.extend(more);
        let prepared = filters.iter().map(|filter| Conjunct::try_new(filter, &self.table.schema));
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let pairs = filters.into_iter().zip(prepared);
        let (last, first): (Vec<_>, Vec<_>) = pairs.partition(|(_, conjunct)| conjunct.dynamic);
        let known = first.iter().filter(|(_, conjunct)| !conjunct.late);
        let known: Vec<_> = known.map(|(filter, _)| Arc::clone(filter)).collect();
        let lookup = key_lookup::choose(&self.table.keys, &known, &self.table.schema)?;
        let found = match &lookup {
            Some(lookup) => lookup.select(&self.table.sources)?,
            None => None,
        };
        let key = lookup.filter(|_| found.is_some()).map(|lookup| Arc::from(lookup.name()));
        let selected = match found {
            Some(selected) => selected,
            None => prune::select(&self.table.sources, Pruner::new(&known, &self.table.schema).as_ref())?,
        };
        let (filters, conjuncts): (Vec<_>, Vec<_>) = first.into_iter().chain(last).unzip();
        let mut scan = self.clone();
        scan.key = key;
        scan.filters = filters;
        scan.conjuncts = conjuncts.into();
        scan.slices = selected.slices.as_slice().into();
        scan.units = units(&scan.slices).into();
        scan.selected = Arc::new(selected);
        scan.statistics = Arc::default();
        match self.visiting {
            Some((column, options)) => scan.visiting(column, options),
            // The ranges of partitions stay: the plan above is built for them.
            None => Ok(scan),
        }
    }

    /// The scan with its granules visited by their bounds in `column`, so that a TopK above it fills early.
    fn visiting(mut self, column: usize, options: SortOptions) -> Result<Self> {
        self.slices = prune::visiting_order(&self.table.sources, &self.slices, column, options)?.into();
        self.units = (0..self.slices.len()).map(|index| index..index + 1).collect();
        self.visiting = Some((column, options));
        Ok(self)
    }

    /// An expression over the output columns, over the table's columns instead.
    fn over_table(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let over_table = expr.transform(|node| match node.downcast_ref::<Column>() {
            Some(column) => match self.projection.get(column.index()) {
                Some(&index) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as _)),
                None => internal_err!("filter column {column} is not in the scan"),
            },
            None => Ok(Transformed::no(node)),
        })?;
        Ok(over_table.data)
    }

    /// The same scan in ordered mode with about `partitions` partitions; `None` if the table has no order that the scan
    /// hands out.
    pub(crate) fn into_ordered(self, partitions: usize) -> Result<Option<Self>> {
        if self.fetch.is_some() {
            return Ok(None);
        }
        let Some(ordered) = Ordered::plan(&self, partitions)? else { return Ok(None) };
        Ok(Some(Self {
            partitions: ordered.partition_count(),
            ordered: Some(Arc::new(ordered)),
            visiting: None,
            statistics: Arc::default(),
            ..self
        }))
    }

    /// The column by which parts are sorted first.
    pub(crate) fn leading(&self) -> Option<usize> {
        self.table.order_by.first().copied()
    }

    /// The table's column behind an output column.
    pub(crate) fn table_column(&self, output: usize) -> Option<usize> {
        self.projection.get(output).copied()
    }

    /// Whether rows already come in order.
    pub(crate) fn in_order(&self) -> bool {
        self.ordered.is_some()
    }

    fn open_stream(&self, partition: usize, queue: Queue) -> SendableRecordBatchStream {
        Box::pin(cooperative(ScanStream::new(self.clone(), partition, Feed::Units(queue), Clip::default())))
    }
}

/// Neighbouring slices of one source, up to a chunk's worth of rows together.
fn units(slices: &[Slice]) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::new();
    let mut rows = 0;
    for (index, slice) in slices.iter().enumerate() {
        let slice_rows = slice.rows as usize;
        match units.last_mut() {
            Some(unit) if slices[unit.start].source == slice.source && rows + slice_rows <= UNIT_ROWS => {
                unit.end = index + 1;
                rows += slice_rows;
            }
            _ => {
                units.push(index..index + 1);
                rows = slice_rows;
            }
        }
    }
    units
}

impl DataSource for PartSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Some(ordered) = &self.ordered {
            return Ok(make_cooperative(ordered.open(self, partition, &context)?));
        }
        Ok(self.open_stream(partition, Queue::Dealt { next: partition, step: self.partitions }))
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        let stealing =
            config.execution.enable_file_stream_work_stealing && self.partitions > 1 && self.ordered.is_none();
        stealing.then(|| Arc::new(AtomicUsize::new(0)) as _)
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        match args.sibling_state.map(Arc::downcast::<AtomicUsize>) {
            Some(Ok(next)) => Ok(self.open_stream(args.partition, Queue::Shared(next))),
            _ => self.open(args.partition, args.context),
        }
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(format, DisplayFormatType::TreeRender) { "\n" } else { ", " };
        write!(f, "table={}{separator}partitions={}", self.table.name, self.partitions)?;
        let names: Vec<&str> = self.projected_schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "{separator}projection=[{}]", names.join(", "))?;
        if !self.filters.is_empty() {
            let filters: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
            write!(f, "{separator}filters=[{}]", filters.join(" AND "))?;
        }
        if let Some(key) = &self.key {
            write!(f, "{separator}key={key}")?;
        }
        if let Some((column, options)) = self.visiting {
            let direction = if options.descending { "DESC" } else { "ASC" };
            write!(f, "{separator}visiting={} {direction}", self.table.schema.field(column).name())?;
        }
        if let Some(ordered) = &self.ordered {
            let names = ordered.columns().iter().map(|&column| self.table.schema.field(column).name().as_str());
            write!(f, "{separator}ordered by=[{}]", names.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(fetch) = self.fetch {
            write!(f, "{separator}fetch={fetch}")?;
        }
        let Selected { parts, parts_total, granules, granules_total, .. } = *self.selected;
        write!(f, "{separator}parts={parts}/{parts_total}{separator}granules={granules}/{granules_total}")
    }

    fn output_partitioning(&self) -> Partitioning {
        let ordered = self.ordered.as_ref().and_then(|ordered| ordered.partitioning(self).ok());
        ordered.unwrap_or(Partitioning::UnknownPartitioning(self.partitions))
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        let ordering = self.ordered.as_ref().and_then(|ordered| ordered.ordering(self));
        let properties = EquivalenceProperties::new_with_orderings(Arc::clone(&self.projected_schema), ordering);
        match self.table.constraints.project(&self.projection) {
            Some(constraints) => properties.with_constraints(constraints),
            None => properties,
        }
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::Cooperative
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let whole = match self.statistics.get() {
            Some(statistics) => Arc::clone(statistics),
            None => Arc::clone(self.statistics.get_or_init({
                let statistics = Arc::new(statistics::of_scan(self)?);
                || statistics
            })),
        };
        if partition.is_none() || self.partitions == 1 {
            return Ok(whole);
        }
        // Who reads which granule is decided while running: nothing is exact, and bounds are those of the table.
        let mut share = Statistics::clone(&whole).to_inexact();
        share.num_rows = share.num_rows.map(|rows| rows.div_ceil(self.partitions));
        Ok(Arc::new(share))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self { fetch: limit, statistics: Arc::default(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let mut columns = Vec::new();
        for expr in projection.iter() {
            let Some(column) = expr.expr.downcast_ref::<Column>().filter(|column| column.name() == expr.alias) else {
                return Ok(None);
            };
            columns.push(self.projection[column.index()]);
        }
        if self.ordered.as_ref().is_some_and(|ordered| ordered.columns().iter().any(|column| !columns.contains(column)))
        {
            return Ok(None);
        }
        let projected_schema = Arc::new(self.table.schema.project(&columns)?);
        let scan = Self { projection: columns.into(), projected_schema, statistics: Arc::default(), ..self.clone() };
        Ok(Some(Arc::new(scan)))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let mut taken = Vec::new();
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            // A limited scan has already chosen its rows, and a volatile filter must run once for each row above.
            if self.fetch.is_some() || is_volatile(&filter) {
                answers.push(PushedDown::No);
                continue;
            }
            let filter = self.over_table(filter)?;
            // A dynamic filter is used to skip rows, but not always evaluated: its producer must not rely on it.
            let dynamic = Conjunct::try_new(&filter, &self.table.schema)?.dynamic;
            answers.push(if dynamic { PushedDown::No } else { PushedDown::Yes });
            taken.push(filter);
        }
        let result = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        if taken.is_empty() {
            return Ok(result);
        }
        Ok(result.with_updated_node(Arc::new(self.with_filters(taken)?) as Arc<dyn DataSource>))
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        let Some(first) = order.first() else { return Ok(SortOrderPushdownResult::Unsupported) };
        if self.ordered.is_some() {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        let Some(column) = first.expr.downcast_ref::<Column>() else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let column = self.projection[column.index()];
        let bounded = self.table.sources.iter().any(|source| source.zones(column).is_some());
        if !bounded || self.slices.len() < 2 || self.fetch.is_some() {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        let scan = self.clone().visiting(column, first.options)?;
        Ok(SortOrderPushdownResult::Inexact { inner: Arc::new(scan) })
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.filters {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}
