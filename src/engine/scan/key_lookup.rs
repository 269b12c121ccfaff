//! Scans that name their rows by key: `=` and IN on every column of a PRIMARY KEY, UNIQUE constraint or index.
//!
//! The store finds such rows by hash in every part and in the delta, so the scan reads a few rows instead of granules. It
//! evaluates its filters on them all the same: the lookup only says where to look. Where a key turns out to name many
//! rows (an index need not be unique), reading granules is cheaper, and that is what happens.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column as ColumnExpr, InListExpr, Literal};
use tributary_store::{Column, KeyDef, KeyRows, KeySearch};

use super::prune::{Selected, Slice};
use super::row_source::{GRANULE_ROWS, RowSource};
use crate::engine::table::through_datafusion;

/// Limit: more keys than this are not looked up one by one.
const KEYS_MAX: usize = 1_024;

/// Limit: a source with more rows for the keys is read by granules.
const ROWS_MAX: usize = 4_096;

/// An index of a scanned table.
#[derive(Clone, Debug)]
pub(crate) struct ScanKey {
    /// Name, for EXPLAIN.
    pub name: String,
    /// Places of its columns in the scanned table, in key order.
    pub columns: Vec<usize>,
    /// What the store knows of it.
    pub def: KeyDef,
    /// The columns as the store has them.
    pub stored: Vec<Column>,
}

/// Keys that the filters of a scan name.
pub(super) struct Lookup<'a> {
    key: &'a ScanKey,
    keys: KeyRows,
    leading: ArrayRef,
}

/// The key whose columns the filters fix; a unique one if there is one.
pub(super) fn choose<'a>(
    keys: &'a [ScanKey],
    filters: &[Arc<dyn PhysicalExpr>],
    schema: &Schema,
) -> Result<Option<Lookup<'a>>> {
    if keys.is_empty() || filters.is_empty() {
        return Ok(None);
    }
    let mut fixed: Vec<(usize, Vec<ScalarValue>)> = Vec::new();
    for filter in filters {
        let Some((column, values)) = values_of(filter) else { continue };
        let typed = |value: &ScalarValue| !value.is_null() && value.data_type() == *schema.field(column).data_type();
        if values.iter().all(typed) && !fixed.iter().any(|(known, _)| *known == column) {
            fixed.push((column, values));
        }
    }
    let values_for = |column: &usize| fixed.iter().find(|(known, _)| known == column).map(|(_, values)| values);
    let covered = |key: &&ScanKey| key.columns.iter().all(|column| values_for(column).is_some());
    let chosen = keys.iter().filter(covered).min_by_key(|key| !key.def.unique);
    let Some(key) = chosen else { return Ok(None) };
    let lists: Vec<&Vec<ScalarValue>> = key.columns.iter().filter_map(values_for).collect();
    let count = lists.iter().try_fold(1usize, |count, list| count.checked_mul(list.len())).unwrap_or(usize::MAX);
    if count == 0 || count > KEYS_MAX {
        return Ok(None);
    }
    // Every combination: the last column changes fastest.
    let mut arrays = Vec::with_capacity(lists.len());
    let mut repeat = count;
    for list in lists {
        repeat /= list.len();
        let value = |row: usize| list[row / repeat % list.len()].clone();
        arrays.push(ScalarValue::iter_to_array((0..count).map(value))?);
    }
    let leading = Arc::clone(&arrays[0]);
    let keys = KeyRows::new(&key.def, &arrays).map_err(through_datafusion)?;
    Ok(Some(Lookup { key, keys, leading }))
}

/// The values to which a filter limits a column.
fn values_of(filter: &Arc<dyn PhysicalExpr>) -> Option<(usize, Vec<ScalarValue>)> {
    let literal = |expr: &Arc<dyn PhysicalExpr>| Some(expr.downcast_ref::<Literal>()?.value().clone());
    let column = |expr: &Arc<dyn PhysicalExpr>| Some(expr.downcast_ref::<ColumnExpr>()?.index());
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        if *binary.op() == Operator::Or {
            // What the planner makes of a short IN list.
            let ((column, mut values), (other, more)) = (values_of(binary.left())?, values_of(binary.right())?);
            values.extend(more);
            return (column == other).then_some((column, values));
        }
        if *binary.op() != Operator::Eq {
            return None;
        }
        return match (column(binary.left()), literal(binary.right())) {
            (Some(column), Some(value)) => Some((column, vec![value])),
            _ => Some((column(binary.right())?, vec![literal(binary.left())?])),
        };
    }
    let list = filter.downcast_ref::<InListExpr>().filter(|list| !list.negated())?;
    // A NULL in the list matches nothing.
    let values = list.list().iter().map(literal).collect::<Option<Vec<_>>>()?;
    Some((column(list.expr())?, values.into_iter().filter(|value| !value.is_null()).collect()))
}

impl Lookup<'_> {
    /// Name of the key.
    pub(super) fn name(&self) -> &str {
        &self.key.name
    }

    /// The rows with the keys, as slices; `None` if they are too many, or a source cannot look keys up.
    pub(super) fn select(&self, sources: &[Arc<dyn RowSource>]) -> Result<Option<Selected>> {
        let search = KeySearch::new(&self.key.def, &self.key.stored, &self.keys, &self.leading);
        let search = search.map_err(through_datafusion)?;
        let mut selected = Selected::default();
        for (index, source) in sources.iter().enumerate() {
            let Some(rows) = source.key_rows(&search, ROWS_MAX)? else { return Ok(None) };
            selected.parts_total += usize::from(source.part());
            selected.parts += usize::from(source.part() && !rows.is_empty());
            selected.granules_total +=
                (0..source.chunk_count()).map(|chunk| source.chunk(chunk).1.div_ceil(GRANULE_ROWS)).sum::<usize>();
            let before = selected.slices.len();
            add_slices(source.as_ref(), index, rows, &mut selected.slices);
            let mut last = None;
            for slice in &selected.slices[before..] {
                let granule = Some((slice.chunk, slice.first as usize / GRANULE_ROWS));
                selected.granules += usize::from(granule != last);
                last = granule;
            }
        }
        Ok(Some(selected))
    }
}

/// Rows of a source as slices that do not pass the end of a granule.
fn add_slices(source: &dyn RowSource, index: usize, mut rows: Vec<u32>, slices: &mut Vec<Slice>) {
    rows.sort_unstable();
    rows.dedup();
    let mut chunk = 0;
    for row in rows.into_iter().map(u64::from) {
        let beyond = |chunk: usize| {
            let (first, rows) = source.chunk(chunk);
            row >= first + rows as u64
        };
        while beyond(chunk) {
            chunk += 1;
        }
        let first = (row - source.chunk(chunk).0) as u32;
        match slices.last_mut() {
            Some(last)
                if (last.source as usize, last.chunk as usize) == (index, chunk)
                    && last.first + last.rows == first
                    && !(first as usize).is_multiple_of(GRANULE_ROWS) =>
            {
                last.rows += 1;
            }
            _ => slices.push(Slice { source: index as u32, chunk: chunk as u32, first, rows: 1 }),
        }
    }
}
