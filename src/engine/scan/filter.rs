//! Filters of a scan, evaluated granule by granule.
//!
//! Conjuncts run in the order written and each sees only rows that passed the earlier ones, so `x <> 0 AND 10 / x > 1`
//! never divides by zero, and a deleted row never raises an error. A conjunct that cannot fail may look at more rows
//! than it must: as long as many rows are left it runs over the whole granule without a copy and its mask is joined.
//! Columns are loaded on first use: a conjunct that drops every row saves the columns after it. A conjunct over one column
//! that is kept as codes is evaluated once on the distinct values and then on codes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Schema, SchemaRef, UInt8Type, UInt16Type};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use roaring::RoaringBitmap;
use tributary_store::live_mask;

use super::prune::Slice;
use super::row_source::{RowSource, Values};

/// An infallible conjunct runs over all rows of the granule while at least one row in this many is left.
const FULL_EVALUATION_SHARE: usize = 8;

/// Slices of fewer rows do not make a mask of their chunk.
const MASKED_ROWS_MIN: usize = 512;

/// Rows a dynamic filter looks at before its use is judged.
const DYNAMIC_TRIAL_ROWS: usize = 4 * 8_192;

/// One condition of the filter, with its columns renumbered to a batch of just those columns.
#[derive(Clone, Debug)]
pub(crate) struct Conjunct {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    schema: SchemaRef,
    infallible: bool,
    /// Whether the condition may change while the query runs: it may be left out, its producer checks again.
    pub(crate) dynamic: bool,
    /// Whether the condition has no value before the query runs: it cannot prune while planning.
    pub(crate) late: bool,
}

impl Conjunct {
    /// Prepares a condition over the columns of `table`.
    pub(crate) fn try_new(expr: &Arc<dyn PhysicalExpr>, table: &Schema) -> Result<Self> {
        let mut columns = Vec::new();
        let (mut dynamic, mut late) = (false, false);
        expr.apply(|node| {
            dynamic |= node.is::<DynamicFilterPhysicalExpr>();
            late |= node.is::<ScalarSubqueryExpr>();
            if let Some(column) = node.downcast_ref::<Column>()
                && !columns.contains(&column.index())
            {
                columns.push(column.index());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        columns.sort_unstable();
        let compact = Arc::clone(expr).transform(|node| match node.downcast_ref::<Column>() {
            Some(column) => match columns.binary_search(&column.index()) {
                Ok(index) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>)),
                Err(_) => internal_err!("column {} is not among those of its own filter", column.name()),
            },
            None => Ok(Transformed::no(node)),
        })?;
        let fields: Vec<_> = columns.iter().map(|&column| Arc::clone(&table.fields()[column])).collect();
        Ok(Self {
            // A dynamic filter is replaced by later conditions of unknown shape.
            infallible: !dynamic && infallible(&compact.data),
            expr: compact.data,
            columns,
            schema: Arc::new(Schema::new(fields)),
            dynamic,
            late: late || dynamic,
        })
    }

    fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanBuffer> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        match self.expr.evaluate(&batch)? {
            ColumnarValue::Scalar(value) => {
                let passes = matches!(value, datafusion::common::ScalarValue::Boolean(Some(true)));
                Ok(if passes { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) })
            }
            ColumnarValue::Array(array) => {
                let Some(values) = array.as_any().downcast_ref::<BooleanArray>() else {
                    return internal_err!("a filter gave {} instead of boolean", array.data_type());
                };
                // A NULL condition is false.
                Ok(match values.nulls().filter(|nulls| nulls.null_count() > 0) {
                    Some(nulls) => values.values() & nulls.inner(),
                    None => values.values().clone(),
                })
            }
        }
    }
}

/// Whether an expression can never raise an error, whatever the row holds.
fn infallible(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let node = expr.as_ref();
    let safe = node.is::<Column>()
        || node.is::<Literal>()
        || node.is::<NotExpr>()
        || node.is::<IsNullExpr>()
        || node.is::<IsNotNullExpr>()
        || node.is::<InListExpr>()
        || node.downcast_ref::<BinaryExpr>().is_some_and(|binary| infallible_operator(*binary.op()))
        // A pattern that ends in a lone escape is refused when it is evaluated.
        || node.downcast_ref::<LikeExpr>().is_some_and(|like| literal_pattern_is_sound(like.pattern()));
    safe && expr.children().into_iter().all(infallible)
}

fn infallible_operator(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn literal_pattern_is_sound(pattern: &Arc<dyn PhysicalExpr>) -> bool {
    pattern
        .downcast_ref::<Literal>()
        .and_then(|literal| literal.value().try_as_str().flatten().map(|text| !text.contains('\\')))
        .unwrap_or(false)
}

/// Rows of a granule that are still in: all of them, or those of a mask with their count.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// Every row.
    All,
    /// The set rows.
    Some(BooleanBuffer, usize),
    /// No row.
    None,
}

impl Selection {
    fn new(mask: BooleanBuffer) -> Self {
        match mask.count_set_bits() {
            0 => Self::None,
            count if count == mask.len() => Self::All,
            count => Self::Some(mask, count),
        }
    }

    /// Rows that are in, of a granule of `rows`.
    pub(crate) fn count(&self, rows: usize) -> usize {
        match self {
            Self::All => rows,
            Self::Some(_, count) => *count,
            Self::None => 0,
        }
    }

    /// Narrows by a mask over all rows.
    pub(crate) fn and(self, mask: BooleanBuffer) -> Self {
        match self {
            Self::All => Self::new(mask),
            Self::Some(old, _) => Self::new(&old & &mask),
            Self::None => Self::None,
        }
    }

    /// Narrows by a mask over the rows that are in.
    fn and_dense(self, dense: &BooleanBuffer) -> Self {
        let Self::Some(mask, _) = self else {
            return self.and(dense.clone());
        };
        let mut out = MutableBuffer::from_len_zeroed(mask.len().div_ceil(8));
        let bytes = out.as_slice_mut();
        let mut count = 0;
        for (index, row) in mask.set_indices().enumerate() {
            if dense.value(index) {
                bytes[row / 8] |= 1 << (row % 8);
                count += 1;
            }
        }
        match count {
            0 => Self::None,
            _ => Self::Some(BooleanBuffer::new(out.into(), 0, mask.len()), count),
        }
    }
}

/// The rows of a slice that are not deleted. A whole granule takes them from the mask of its chunk, which outlives the
/// statement; a few rows are cheaper to look up.
pub(crate) fn live_rows(source: &dyn RowSource, slice: Slice) -> Selection {
    let (first, rows) = (slice.first as usize, slice.rows as usize);
    if rows >= MASKED_ROWS_MIN
        && let Some(mask) = source.live_mask(slice.chunk as usize)
    {
        return Selection::new(mask.slice(first, rows));
    }
    rows_not_in(source.deletes(), source.chunk(slice.chunk as usize).0 + first as u64, rows)
}

fn rows_not_in(deletes: Option<&RoaringBitmap>, first_row: u64, rows: usize) -> Selection {
    let Some(deletes) = deletes else { return Selection::All };
    // A source holds fewer than 2^32 rows: delete vectors are 32 bit.
    let (Ok(first), Ok(last)) = (u32::try_from(first_row), u32::try_from(first_row + rows as u64 - 1)) else {
        return Selection::All;
    };
    if deletes.range_cardinality(first..=last) == 0 {
        return Selection::All;
    }
    Selection::new(live_mask(deletes, first_row, rows))
}

/// What a partition has learnt of a conjunct.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    seen: usize,
    dropped: usize,
    /// The distinct values it was last evaluated on, and which of them pass; `None` if one of them raised an error.
    codes: Option<(ArrayRef, Option<CodeMask>)>,
}

impl Judge {
    /// Whether a dynamic filter is worth evaluating row by row, judged by what it dropped.
    fn worth_it(&self) -> bool {
        self.seen < DYNAMIC_TRIAL_ROWS || self.dropped * 10 >= self.seen
    }

    /// The filter has changed: judge it anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Which of the distinct values of a column pass. `None` where they must not be judged in advance: a value that
    /// raises an error may occur only in rows that are deleted or dropped before.
    fn codes(&mut self, conjunct: &Conjunct, values: &ArrayRef) -> Option<&CodeMask> {
        let known = self.codes.as_ref().is_some_and(|(judged, _)| Arc::ptr_eq(judged, values));
        if !known {
            let mask = CodeMask::of(conjunct, values).ok();
            self.codes = Some((Arc::clone(values), mask));
        }
        self.codes.as_ref().and_then(|(_, mask)| mask.as_ref())
    }
}

/// Which codes pass a conjunct.
#[derive(Debug)]
struct CodeMask {
    passes: Vec<bool>,
    null_passes: bool,
}

impl CodeMask {
    fn of(conjunct: &Conjunct, values: &ArrayRef) -> Result<Self> {
        let passes = conjunct.evaluate(vec![Arc::clone(values)], values.len())?;
        let null = conjunct.evaluate(vec![new_null_array(values.data_type(), 1)], 1)?;
        Ok(Self { passes: passes.iter().collect(), null_passes: null.value(0) })
    }

    fn select(&self, keys: &ArrayRef) -> Result<BooleanBuffer> {
        let pass = |code: usize| self.passes.get(code).copied().unwrap_or(false);
        let mask = match keys.data_type() {
            DataType::UInt8 => {
                let codes = keys.as_primitive::<UInt8Type>().values();
                BooleanBuffer::collect_bool(codes.len(), |row| pass(codes[row] as usize))
            }
            DataType::UInt16 => {
                let codes = keys.as_primitive::<UInt16Type>().values();
                BooleanBuffer::collect_bool(codes.len(), |row| pass(codes[row] as usize))
            }
            other => return internal_err!("codes of type {other}"),
        };
        Ok(match keys.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => mask,
            Some(nulls) if self.null_passes => &mask | &!nulls.inner(),
            Some(nulls) => &mask & nulls.inner(),
        })
    }
}

/// Runs the conjuncts over one granule. `load` gives a column's values for all its rows.
pub(crate) fn select(
    conjuncts: &[Conjunct],
    judges: &mut [Judge],
    mut selection: Selection,
    rows: usize,
    mut load: impl FnMut(usize) -> Result<Values>,
) -> Result<Selection> {
    for (conjunct, judge) in conjuncts.iter().zip(judges) {
        let before = selection.count(rows);
        if before == 0 {
            return Ok(Selection::None);
        }
        if conjunct.dynamic && !judge.worth_it() {
            continue;
        }
        let columns = conjunct.columns.iter().map(|&column| load(column)).collect::<Result<Vec<_>>>()?;
        if let ([Values::Codes { keys, values }], false) = (columns.as_slice(), conjunct.late)
            && let Some(mask) = judge.codes(conjunct, values)
        {
            selection = selection.and(mask.select(keys)?);
            continue;
        }
        let columns = columns.iter().map(Values::decoded).collect::<Result<Vec<_>>>()?;
        let whole =
            matches!(selection, Selection::All) || conjunct.infallible && before * FULL_EVALUATION_SHARE >= rows;
        selection = if whole {
            selection.and(conjunct.evaluate(columns, rows)?)
        } else {
            let Selection::Some(mask, count) = &selection else { return Ok(Selection::None) };
            let mask = BooleanArray::new(mask.clone(), None);
            let columns = columns.iter().map(|column| Ok(filter(column, &mask)?)).collect::<Result<Vec<_>>>()?;
            let dense = conjunct.evaluate(columns, *count)?;
            selection.and_dense(&dense)
        };
        if conjunct.dynamic {
            judge.seen += before;
            judge.dropped += before - selection.count(rows);
        }
    }
    Ok(selection)
}
