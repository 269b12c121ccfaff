//! Ordered mode: rows come out in the table's `order_by`, one key range a partition.
//!
//! Parts are sorted, so a partition reads a stretch of each and merges them; rows that are not in parts yet are sorted
//! when they are read. All rows of one leading value are in one partition, which is declared as a range, never as a hash:
//! a join would trust the wrong one. What this deliberately does not do: decide when order is worth the merge (the rule in
//! `ordered_scan` does).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::{gt_eq, lt};
use arrow::compute::{SortOptions, concat, sort_to_indices, take};
use arrow::datatypes::{Field, SchemaRef, UInt64Type};
use datafusion::common::{Result, ScalarValue, SplitPoint};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, RangePartitioning};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;

use super::PartSource;
use super::prune::Slice;
use super::row_source::{RowSource, Values};
use super::stream::{Feed, ScanStream};

/// Order of rows in parts: ascending, NULLs last.
pub(crate) const ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Bytes of a text in a column, and about those of a value in a sort key.
const VIEW_WIDTH: usize = 16;

/// How an ordered scan is cut.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    /// The columns of the table that order it, as far as the scan hands them out.
    columns: Vec<usize>,
    /// Lower bounds of all partitions but the first, ascending.
    splits: Vec<ScalarValue>,
    /// Sorted sources that follow each other without overlap, chain by chain.
    chains: Vec<Vec<usize>>,
    /// Sources that are not sorted.
    loose: Vec<usize>,
}

impl Ordered {
    /// The cut of a scan into about `partitions` ranges; `None` if the scan cannot be ordered.
    pub(super) fn plan(scan: &PartSource, partitions: usize) -> Result<Option<Self>> {
        let order = scan.table.order_by.iter().copied();
        let columns: Vec<usize> = order.take_while(|column| scan.projection.contains(column)).collect();
        let Some(&leading) = columns.first() else { return Ok(None) };
        let mut sorted = Vec::new();
        let mut loose = Vec::new();
        for (index, source) in scan.table.sources.iter().enumerate().filter(|(_, source)| source.rows() > 0) {
            if source.part() && source.summary(leading).is_some() { sorted.push(index) } else { loose.push(index) }
        }
        let splits = splits(scan, leading, partitions)?;
        Ok(Some(Self { chains: chains(scan, leading, sorted), columns, splits, loose }))
    }

    /// Columns whose order the scan gives.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(super) fn partition_count(&self) -> usize {
        self.splits.len() + 1
    }

    /// The order of the rows, over the output columns.
    pub(super) fn ordering(&self, scan: &PartSource) -> Option<LexOrdering> {
        LexOrdering::new(self.columns.iter().filter_map(|&column| sort_expr(scan, column)))
    }

    /// What is in which partition.
    pub(super) fn partitioning(&self, scan: &PartSource) -> Result<Partitioning> {
        let leading =
            self.columns.first().and_then(|&column| sort_expr(scan, column)).and_then(|expr| LexOrdering::new([expr]));
        match leading {
            Some(leading) if !self.splits.is_empty() => {
                let points = self.splits.iter().map(|split| SplitPoint::new(vec![split.clone()]));
                Ok(Partitioning::Range(RangePartitioning::try_new(leading, points.collect())?))
            }
            _ => Ok(Partitioning::UnknownPartitioning(self.partition_count())),
        }
    }

    /// The rows of one partition.
    pub(super) fn open(
        &self,
        scan: &PartSource,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let clip = self.clip(partition);
        let Some(ordering) = self.ordering(scan) else {
            return datafusion::common::internal_err!("an ordered scan without order");
        };
        let mut streams: Vec<SendableRecordBatchStream> = Vec::new();
        for chain in &self.chains {
            let slices = clip.slices(scan, chain)?;
            if !slices.is_empty() {
                streams.push(Box::pin(ScanStream::new(
                    scan.clone(),
                    partition,
                    Feed::List(slices.into()),
                    clip.clone(),
                )));
            }
        }
        let slices = clip.slices(scan, &self.loose)?;
        if !slices.is_empty() {
            let loose = Loose { scan: scan.clone(), partition, slices, clip };
            streams.push(loose.sorted(ordering.clone(), context)?);
        }
        match streams.len() {
            0 => {
                let none = ScanStream::new(scan.clone(), partition, Feed::List(Vec::new().into()), Clip::default());
                Ok(Box::pin(none))
            }
            1 => Ok(streams.remove(0)),
            _ => merged(streams, &scan.projected_schema, &ordering, partition, context),
        }
    }

    fn clip(&self, partition: usize) -> Clip {
        if self.splits.is_empty() {
            return Clip::default();
        }
        Clip {
            column: self.columns.first().copied(),
            from: partition.checked_sub(1).and_then(|index| self.splits.get(index)).cloned(),
            to: self.splits.get(partition).cloned(),
        }
    }
}

/// Sorted streams as one.
///
/// The merge would count whole chunks of mapped files as its own for every batch that is a slice of them. What it holds
/// besides is a batch or two of every stream and their keys: that is paid for before it starts.
fn merged(
    streams: Vec<SendableRecordBatchStream>,
    schema: &SchemaRef,
    ordering: &LexOrdering,
    partition: usize,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let batch_size = context.session_config().batch_size();
    let width = |field: &Arc<Field>| field.data_type().primitive_width().unwrap_or(VIEW_WIDTH);
    let row_bytes = schema.fields().iter().map(width).sum::<usize>() + ordering.len() * VIEW_WIDTH;
    let share = MemoryConsumer::new("OrderedScan").register(context.memory_pool());
    share.try_grow(streams.len() * 2 * batch_size * row_bytes)?;
    let uncounted: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let rows = StreamingMergeBuilder::new()
        .with_streams(streams)
        .with_schema(Arc::clone(schema))
        .with_expressions(ordering)
        // The figures are those of the streams below.
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), partition))
        .with_batch_size(batch_size)
        .with_reservation(MemoryConsumer::new("merge of mapped rows").register(&uncounted))
        .with_round_robin_tie_breaker(false)
        .build()?;
    let paid = rows.inspect(move |_| debug_assert!(share.size() > 0, "paid while rows come"));
    Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), paid)))
}

fn sort_expr(scan: &PartSource, column: usize) -> Option<PhysicalSortExpr> {
    let index = scan.projection.iter().position(|projected| *projected == column)?;
    let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(scan.projected_schema.field(index).name(), index));
    Some(PhysicalSortExpr::new(expr, ORDER))
}

/// Up to `partitions - 1` distinct values of the leading column that part the rows to read into equal shares, as far as
/// the bounds of granules tell.
fn splits(scan: &PartSource, leading: usize, partitions: usize) -> Result<Vec<ScalarValue>> {
    let mut bounds: Vec<ArrayRef> = Vec::new();
    for (index, source) in scan.table.sources.iter().enumerate() {
        let Some(zones) = source.zones(leading) else { continue };
        let granules: UInt32Array = scan
            .slices
            .iter()
            .filter(|slice| slice.source as usize == index)
            .map(|slice| slice.granule(source.as_ref()) as u32)
            .collect();
        bounds.push(take(&zones.min, &granules, None)?);
    }
    if bounds.is_empty() || partitions < 2 {
        return Ok(Vec::new());
    }
    let bounds: Vec<&dyn Array> = bounds.iter().map(AsRef::as_ref).collect();
    let bounds = concat(&bounds)?;
    let order = sort_to_indices(&bounds, Some(ORDER), None)?;
    let known = bounds.len() - bounds.null_count();
    let mut splits: Vec<ScalarValue> = Vec::new();
    let Some(&lowest) = order.values().first() else { return Ok(splits) };
    let lowest = ScalarValue::try_from_array(&bounds, lowest as usize)?;
    for share in 1..partitions {
        let at = known * share / partitions;
        let Some(&row) = order.values().get(at).filter(|_| at < known) else { continue };
        let value = ScalarValue::try_from_array(&bounds, row as usize)?;
        // A range that starts at the lowest value would leave the first one empty.
        if value != lowest && splits.last() != Some(&value) {
            splits.push(value);
        }
    }
    Ok(splits)
}

/// Sorted sources in chains: in a chain each begins above the end of the one before.
fn chains(scan: &PartSource, leading: usize, sorted: Vec<usize>) -> Vec<Vec<usize>> {
    let mut bounded: Vec<(usize, Option<(ScalarValue, ScalarValue)>)> = sorted
        .into_iter()
        .map(|index| {
            let summary = scan.table.sources[index].summary(leading);
            // NULLs are last in their part, so nothing may follow it.
            let whole = summary.filter(|s| s.null_count == 0 && !s.nan && !s.min.is_null() && !s.max.is_null());
            (index, whole.map(|summary| (summary.min, summary.max)))
        })
        .collect();
    bounded.sort_by(|(_, left), (_, right)| match (left, right) {
        (Some(left), Some(right)) => left.0.partial_cmp(&right.0).unwrap_or(std::cmp::Ordering::Equal),
        (left, right) => right.is_some().cmp(&left.is_some()),
    });
    let mut chains: Vec<(Option<ScalarValue>, Vec<usize>)> = Vec::new();
    for (index, bounds) in bounded {
        let Some((min, max)) = bounds else {
            chains.push((None, vec![index]));
            continue;
        };
        let free = chains.iter_mut().find(|(end, _)| end.as_ref().is_some_and(|end| *end < min));
        match free {
            Some((end, chain)) => {
                *end = Some(max);
                chain.push(index);
            }
            None => chains.push((Some(max), vec![index])),
        }
    }
    chains.into_iter().map(|(_, chain)| chain).collect()
}

/// The rows of one partition that are in no part, as they come.
struct Loose {
    scan: PartSource,
    partition: usize,
    slices: Vec<Slice>,
    clip: Clip,
}

impl Loose {
    /// In order. The sort is paid for from the query pool, and spills.
    fn sorted(self, ordering: LexOrdering, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = Arc::clone(&self.scan.projected_schema);
        let rows = StreamingTableExec::try_new(schema, vec![Arc::new(self)], None, [], false, None)?;
        SortExec::new(ordering, Arc::new(rows)).execute(0, Arc::clone(context))
    }
}

impl fmt::Debug for Loose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loose").field("partition", &self.partition).field("slices", &self.slices.len()).finish()
    }
}

impl PartitionStream for Loose {
    fn schema(&self) -> &SchemaRef {
        &self.scan.projected_schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let feed = Feed::List(self.slices.clone().into());
        Box::pin(ScanStream::new(self.scan.clone(), self.partition, feed, self.clip.clone()))
    }
}

/// The range of one partition: from a value, below another. NULL is above every value.
#[derive(Clone, Debug, Default)]
pub(super) struct Clip {
    column: Option<usize>,
    from: Option<ScalarValue>,
    to: Option<ScalarValue>,
}

impl Clip {
    /// The slices of sources that may hold rows of the range, in row order.
    fn slices(&self, scan: &PartSource, sources: &[usize]) -> Result<Vec<Slice>> {
        let mut out = Vec::new();
        for &index in sources {
            for slice in scan.slices.iter().filter(|slice| slice.source as usize == index) {
                if self.reaches(scan.table.sources[index].as_ref(), *slice)? != Reach::None {
                    out.push(*slice);
                }
            }
        }
        // Visiting orders do not matter here: parts are read front to back.
        out.sort_by_key(|slice| {
            let place = sources.iter().position(|source| *source == slice.source as usize);
            (place, slice.chunk, slice.first)
        });
        Ok(out)
    }

    /// How much of a slice is in the range, as far as its bounds tell.
    fn reaches(&self, source: &dyn RowSource, slice: Slice) -> Result<Reach> {
        let Some(column) = self.column else { return Ok(Reach::All) };
        let Some(zones) = source.zones(column) else { return Ok(Reach::Some) };
        let granule = slice.granule(source);
        let value = |bounds: &ArrayRef| ScalarValue::try_from_array(bounds, granule);
        let (min, max) = (value(&zones.min)?, value(&zones.max)?);
        let nulls = zones.null_count.as_primitive::<UInt64Type>();
        let has_null = nulls.is_null(granule) || nulls.value(granule) > 0;
        let known = !min.is_null() && !max.is_null();
        let below_end = self.to.as_ref().is_none_or(|to| known && max < *to && !has_null);
        let above_start = self.from.as_ref().is_none_or(|from| known && min >= *from);
        let outside = known
            && (self.from.as_ref().is_some_and(|from| max < *from && !has_null)
                || self.to.as_ref().is_some_and(|to| min >= *to));
        Ok(match (outside, below_end && above_start) {
            (true, _) => Reach::None,
            (_, true) => Reach::All,
            _ => Reach::Some,
        })
    }

    /// The rows of a slice that are in the range; `None` for all of them.
    pub(super) fn select(
        &self,
        source: &dyn RowSource,
        slice: Slice,
        load: impl FnOnce(usize) -> Result<Values>,
    ) -> Result<Option<BooleanBuffer>> {
        let (Some(column), Reach::Some) = (self.column, self.reaches(source, slice)?) else { return Ok(None) };
        let values = load(column)?.decoded()?;
        let mut mask = BooleanBuffer::new_set(values.len());
        let known = |mask: &BooleanBuffer, compared: &BooleanArray, null_is_in: bool| match compared.nulls() {
            None => mask & compared.values(),
            Some(nulls) if null_is_in => mask & &(compared.values() | &!nulls.inner()),
            Some(nulls) => mask & &(compared.values() & nulls.inner()),
        };
        if let Some(from) = &self.from {
            mask = known(&mask, &gt_eq(&values, &from.to_scalar()?)?, true);
        }
        if let Some(to) = &self.to {
            mask = known(&mask, &lt(&values, &to.to_scalar()?)?, false);
        }
        Ok(Some(mask))
    }
}

/// How much of a slice is in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    None,
    Some,
    All,
}
