//! Which granules a scan must read: first whole sources by their summary, then granules by their zones.
//!
//! Pruning may only drop granules in which no row can pass. Bounds cover deleted rows too, which keeps them valid
//! (a bound may be too wide, never too narrow), and a column with a NaN has no upper bound, because NaN is above every
//! number. What has no bounds, the delta and own writes, is always read.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array, new_null_array};
use arrow::compute::{SortOptions, interleave, sort_to_indices};
use arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use super::row_source::{GRANULE_ROWS, RowSource, Zones};

/// Limit: longer IN lists are not checked against bounds value by value.
const IN_LIST_VALUES_MAX: usize = 1_024;

/// Rows of one granule, or of one small chunk that has no granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Index of the source in the scan.
    pub source: u32,
    /// Chunk of the source.
    pub chunk: u32,
    /// First row within the chunk.
    pub first: u32,
    /// Rows.
    pub rows: u32,
}

impl Slice {
    /// Number of the granule within its source; the source must have zones.
    pub(crate) fn granule(&self, source: &dyn RowSource) -> usize {
        ((source.chunk(self.chunk as usize).0 + u64::from(self.first)) / GRANULE_ROWS as u64) as usize
    }
}

/// What a scan reads and what it was spared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selected {
    /// Slices in source and row order.
    pub slices: Vec<Slice>,
    /// Parts of the table and those with a granule left.
    pub parts_total: usize,
    pub parts: usize,
    /// Granules of all sources and those left.
    pub granules_total: usize,
    pub granules: usize,
}

/// A filter in the form that judges bounds.
#[derive(Debug)]
pub(crate) struct Pruner {
    predicate: Arc<PruningPredicate>,
    schema: SchemaRef,
    /// Columns the filter reads.
    columns: Vec<usize>,
}

impl Pruner {
    /// `None` if the filter cannot prune.
    pub(crate) fn new(filters: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Option<Self> {
        if filters.is_empty() {
            return None;
        }
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(schema))
            .with_max_in_list_size(IN_LIST_VALUES_MAX)
            .build(conjunction(filters.iter().cloned()))?;
        let columns = collect_columns(predicate.orig_expr()).into_iter().map(|column| column.index()).collect();
        Some(Self { predicate, schema: Arc::clone(schema), columns })
    }

    fn sources_kept(&self, sources: &[Arc<dyn RowSource>]) -> Result<Vec<bool>> {
        self.predicate.prune(&SourceBounds { sources, schema: &self.schema })
    }

    /// Which of a source's slices, given in row order, may hold a row that passes.
    pub(crate) fn slices_kept(&self, source: &dyn RowSource, slices: &[Slice]) -> Result<Vec<bool>> {
        let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return Ok(Vec::new()) };
        if !self.columns.iter().any(|&column| source.zones(column).is_some()) {
            return Ok(vec![true; slices.len()]);
        }
        let granules = first.granule(source)..last.granule(source) + 1;
        let start = granules.start;
        let keep = self.predicate.prune(&GranuleBounds { source, schema: &self.schema, granules })?;
        Ok(slices.iter().map(|slice| keep[slice.granule(source) - start]).collect())
    }
}

/// Chooses the slices to read. Without a pruner that is all of them.
pub(crate) fn select(sources: &[Arc<dyn RowSource>], pruner: Option<&Pruner>) -> Result<Selected> {
    let keep = match pruner {
        Some(pruner) => pruner.sources_kept(sources)?,
        None => vec![true; sources.len()],
    };
    let mut selected = Selected::default();
    for (index, (source, keep)) in sources.iter().zip(keep).enumerate() {
        let slices = slices_of(source.as_ref(), index);
        selected.granules_total += slices.len();
        selected.parts_total += usize::from(source.part());
        if !keep {
            continue;
        }
        let before = selected.slices.len();
        match pruner {
            Some(pruner) => {
                let keep = pruner.slices_kept(source.as_ref(), &slices)?;
                selected.slices.extend(slices.into_iter().zip(keep).filter_map(|(slice, keep)| keep.then_some(slice)));
            }
            None => selected.slices.extend(slices),
        }
        selected.parts += usize::from(source.part() && selected.slices.len() > before);
    }
    selected.granules = selected.slices.len();
    Ok(selected)
}

fn slices_of(source: &dyn RowSource, index: usize) -> Vec<Slice> {
    let mut slices = Vec::new();
    for chunk in 0..source.chunk_count() {
        let (_, rows) = source.chunk(chunk);
        for first in (0..rows).step_by(GRANULE_ROWS) {
            slices.push(Slice {
                source: index as u32,
                chunk: chunk as u32,
                first: first as u32,
                rows: GRANULE_ROWS.min(rows - first) as u32,
            });
        }
    }
    slices
}

/// The slices ordered by their bound in a column: by maximum for a descending order, else by minimum. What has no
/// bound, and NULLs where they come first, is visited first.
pub(crate) fn visiting_order(
    sources: &[Arc<dyn RowSource>],
    slices: &[Slice],
    column: usize,
    options: SortOptions,
) -> Result<Vec<Slice>> {
    let zones: Vec<Option<Zones>> = sources.iter().map(|source| source.zones(column)).collect();
    let bound = |zones: &Zones| Arc::clone(if options.descending { &zones.max } else { &zones.min });
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(zones.len() + 1);
    let mut array_of = vec![0; sources.len()];
    for (source, zones) in zones.iter().enumerate() {
        let Some(zones) = zones else { continue };
        if arrays.is_empty() {
            arrays.push(new_null_array(zones.min.data_type(), 1));
        }
        array_of[source] = arrays.len();
        arrays.push(bound(zones));
    }
    if arrays.is_empty() {
        return Ok(slices.to_vec());
    }
    let places: Vec<(usize, usize)> = slices
        .iter()
        .map(|slice| {
            let source = slice.source as usize;
            let Some(zones) = &zones[source] else { return (0, 0) };
            let granule = slice.granule(sources[source].as_ref());
            let nulls = zones.null_count.as_primitive::<UInt64Type>();
            let nulls_here = nulls.is_null(granule) || nulls.value(granule) > 0;
            if options.nulls_first && nulls_here { (0, 0) } else { (array_of[source], granule) }
        })
        .collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let bounds = interleave(&arrays, &places)?;
    let order = sort_to_indices(&bounds, Some(SortOptions { nulls_first: true, ..options }), None)?;
    Ok(order.values().iter().map(|&index| slices[index as usize]).collect())
}

fn column_index(schema: &SchemaRef, column: &Column) -> Option<usize> {
    schema.index_of(&column.name).ok()
}

/// Bounds of whole sources.
struct SourceBounds<'a> {
    sources: &'a [Arc<dyn RowSource>],
    schema: &'a SchemaRef,
}

impl SourceBounds<'_> {
    fn values(&self, column: &Column, max: bool) -> Option<ArrayRef> {
        let index = column_index(self.schema, column)?;
        let unknown = ScalarValue::try_from(self.schema.field(index).data_type()).ok()?;
        let values = self.sources.iter().map(|source| match source.summary(index) {
            Some(summary) if max && !summary.nan => summary.max,
            Some(summary) if !max => summary.min,
            _ => unknown.clone(),
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for SourceBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, false)
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, true)
    }
    fn num_containers(&self) -> usize {
        self.sources.len()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = column_index(self.schema, column)?;
        let counts = self.sources.iter().map(|source| source.summary(index).map(|summary| summary.null_count));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.sources.iter().map(|source| Some(source.rows())).collect::<UInt64Array>()))
    }
    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Bounds of the granules of one source.
struct GranuleBounds<'a> {
    source: &'a dyn RowSource,
    schema: &'a SchemaRef,
    granules: Range<usize>,
}

impl GranuleBounds<'_> {
    fn zones(&self, column: &Column) -> Option<Zones> {
        self.source.zones(column_index(self.schema, column)?)
    }

    fn cut(&self, values: &ArrayRef) -> ArrayRef {
        values.slice(self.granules.start, self.granules.len())
    }
}

impl PruningStatistics for GranuleBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.cut(&self.zones(column)?.min))
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.cut(&self.zones(column)?.max))
    }
    fn num_containers(&self) -> usize {
        self.granules.len()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.cut(&self.zones(column)?.null_count))
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.granules.clone().map(|granule| {
            let first = (granule * GRANULE_ROWS) as u64;
            Some((self.source.rows() - first).min(GRANULE_ROWS as u64))
        });
        Some(Arc::new(rows.collect::<UInt64Array>()))
    }
    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
