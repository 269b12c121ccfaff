//! Smallest, greatest, NULLs and NaNs of a column, per granule and per part.
//!
//! For: pruning and exact statistics. Promises: a minimum is never above and a maximum never below any value of its
//! rows; the exact flags are set only when the value occurs. Floats compare by IEEE total order after
//! canonicalisation, so NaN is the greatest value, as in PostgreSQL. Does not: have bounds for lists, structs and
//! intervals (their bounds are NULL = unknown), nor prune anything itself.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray, StringViewArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;

use crate::error::{Result, StoreError};
use crate::ipc;

/// Rows of a granule, the unit of pruning.
pub const GRANULE_ROWS: usize = 8_192;
/// Limit: bytes of a text or binary bound; longer ones are cut and flagged inexact.
pub const BOUND_BYTES_MAX: usize = 32;

/// One entry per granule of [`GRANULE_ROWS`] rows, in row order.
#[derive(Debug, Clone)]
pub struct Zones {
    /// Lower bounds in the column's type; NULL = no bound known, or no value.
    pub min: ArrayRef,
    /// Upper bounds in the column's type; NULL = no bound known, or no value.
    pub max: ArrayRef,
    /// NULLs per granule.
    pub null_count: UInt64Array,
    /// Whether the lower bound occurs in the granule.
    pub min_exact: BooleanArray,
    /// Whether the upper bound occurs in the granule.
    pub max_exact: BooleanArray,
    /// Whether the granule holds a NaN (which is then the maximum).
    pub nan: BooleanArray,
    /// Rows per granule; the last one may have fewer.
    pub granule_rows: usize,
}

/// A column of a whole part.
#[derive(Debug, Clone)]
pub struct ColumnSummary {
    /// One row: lower bound; NULL = no bound known, or no value.
    pub min: ArrayRef,
    /// One row: upper bound; NULL = no bound known, or no value.
    pub max: ArrayRef,
    /// NULLs of the column.
    pub null_count: u64,
    /// Whether the lower bound occurs.
    pub min_exact: bool,
    /// Whether the upper bound occurs.
    pub max_exact: bool,
    /// Whether any value is NaN.
    pub nan: bool,
    /// Bytes of the column in the file.
    pub bytes: u64,
}

/// Collects bounds chunk by chunk; every chunk but the last has a multiple of [`GRANULE_ROWS`] rows.
#[derive(Debug, Default)]
pub(crate) struct ZoneBuilder {
    min: Vec<ArrayRef>,
    max: Vec<ArrayRef>,
    null_count: Vec<u64>,
    nan: Vec<bool>,
}

impl ZoneBuilder {
    pub(crate) fn push(&mut self, chunk: &ArrayRef) -> Result<()> {
        let mut min_rows = Vec::new();
        let mut max_rows = Vec::new();
        for start in (0..chunk.len()).step_by(GRANULE_ROWS) {
            let granule = chunk.slice(start, GRANULE_ROWS.min(chunk.len() - start));
            self.null_count.push(granule.logical_null_count() as u64);
            self.nan.push(has_nan(&granule));
            let base = u32::try_from(start).map_err(|_| StoreError::internal("a chunk has too many rows"))?;
            let extremes = extremes(&granule);
            min_rows.push(extremes.map(|(min, _)| base + min));
            max_rows.push(extremes.map(|(_, max)| base + max));
        }
        self.min.push(ipc::exact(&arrow::compute::take(chunk, &UInt32Array::from(min_rows), None)?));
        self.max.push(ipc::exact(&arrow::compute::take(chunk, &UInt32Array::from(max_rows), None)?));
        Ok(())
    }

    pub(crate) fn finish(self, data_type: &DataType, bytes: u64) -> Result<(Zones, ColumnSummary)> {
        let min = concat(&self.min, data_type)?;
        let max = concat(&self.max, data_type)?;
        let (min, min_exact) = cut(&min, false);
        let (max, max_exact) = cut(&max, true);
        let zones = Zones {
            min,
            max,
            null_count: UInt64Array::from(self.null_count),
            min_exact,
            max_exact,
            nan: BooleanArray::from(self.nan),
            granule_rows: GRANULE_ROWS,
        };
        let summary = summarize(&zones, bytes)?;
        Ok((zones, summary))
    }
}

fn concat(pieces: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    if pieces.is_empty() {
        return Ok(new_null_array(data_type, 0));
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    Ok(arrow::compute::concat(&pieces)?)
}

fn summarize(zones: &Zones, bytes: u64) -> Result<ColumnSummary> {
    let no_bound = |bounds: &ArrayRef, wanted: usize| {
        // A granule with values but without a bound (cut to nothing) leaves the whole column without one.
        bounds.null_count() > wanted
    };
    let empty = (0..zones.null_count.len()).filter(|&i| zones.min.is_null(i)).count();
    let least = extremes(&zones.min).map(|(min, _)| min);
    let most = extremes(&zones.max).map(|(_, max)| max).filter(|_| !no_bound(&zones.max, empty));
    let pick = |bounds: &ArrayRef, row: Option<u32>| arrow::compute::take(bounds, &UInt32Array::from(vec![row]), None);
    Ok(ColumnSummary {
        min: ipc::exact(&pick(&zones.min, least)?),
        max: ipc::exact(&pick(&zones.max, most)?),
        null_count: zones.null_count.values().iter().sum(),
        min_exact: least.is_some_and(|row| zones.min_exact.value(row as usize)),
        max_exact: most.is_some_and(|row| zones.max_exact.value(row as usize)),
        nan: zones.nan.true_count() > 0,
        bytes,
    })
}

fn has_nan(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan),
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan),
        _ => false,
    }
}

/// Row indices of the smallest and the greatest value; None without values or without an order we use.
fn extremes(array: &ArrayRef) -> Option<(u32, u32)> {
    use arrow::array::downcast_primitive_array;
    let array = array.as_ref();
    downcast_primitive_array! {
        array => if matches!(array.data_type(), DataType::Interval(_) | DataType::Duration(_)) {
            None
        } else {
            primitive_extremes(array)
        },
        DataType::Boolean | DataType::Utf8View | DataType::BinaryView | DataType::FixedSizeBinary(_)
        | DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary => ordered_extremes(array),
        _ => None
    }
}

fn primitive_extremes<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Option<(u32, u32)> {
    let values = array.values();
    let first = (0..array.len()).find(|&i| array.is_valid(i))?;
    let (mut min, mut max) = (first, first);
    let nullable = array.null_count() > 0;
    for (i, value) in values.iter().enumerate().skip(first + 1) {
        if nullable && array.is_null(i) {
            continue;
        }
        if value.is_lt(values[min]) {
            min = i;
        } else if value.is_gt(values[max]) {
            max = i;
        }
    }
    Some((u32::try_from(min).ok()?, u32::try_from(max).ok()?))
}

fn ordered_extremes(array: &dyn Array) -> Option<(u32, u32)> {
    let compare = arrow::array::make_comparator(array, array, SortOptions::default()).ok()?;
    let first = (0..array.len()).find(|&i| array.is_valid(i))?;
    let (mut min, mut max) = (first, first);
    for i in first + 1..array.len() {
        if array.is_null(i) {
            continue;
        }
        if compare(i, min) == Ordering::Less {
            min = i;
        } else if compare(i, max) == Ordering::Greater {
            max = i;
        }
    }
    Some((u32::try_from(min).ok()?, u32::try_from(max).ok()?))
}

/// Cuts long text and binary bounds to [`BOUND_BYTES_MAX`]; an upper bound is rounded up, or dropped.
fn cut(bounds: &ArrayRef, upper: bool) -> (ArrayRef, BooleanArray) {
    let exact_where = |long: &dyn Fn(usize) -> bool| -> BooleanArray {
        (0..bounds.len()).map(|i| Some(bounds.is_valid(i) && !long(i))).collect()
    };
    match bounds.data_type() {
        DataType::Utf8View => {
            let text = bounds.as_string_view();
            let cut: StringViewArray = text.iter().map(|v| v.and_then(|v| cut_text(v, upper))).collect();
            (Arc::new(cut), exact_where(&|i| text.value(i).len() > BOUND_BYTES_MAX))
        }
        DataType::BinaryView => {
            let binary = bounds.as_binary_view();
            let cut: BinaryViewArray = binary.iter().map(|v| v.and_then(|v| cut_binary(v, upper))).collect();
            (Arc::new(cut), exact_where(&|i| binary.value(i).len() > BOUND_BYTES_MAX))
        }
        _ => (Arc::clone(bounds), exact_where(&|_| false)),
    }
}

fn cut_text(value: &str, upper: bool) -> Option<String> {
    if value.len() <= BOUND_BYTES_MAX {
        return Some(value.to_owned());
    }
    let mut prefix = &value[..value.floor_char_boundary(BOUND_BYTES_MAX)];
    if !upper {
        return Some(prefix.to_owned());
    }
    while let Some(last) = prefix.chars().next_back() {
        prefix = &prefix[..prefix.len() - last.len_utf8()];
        // The scalar values skip the surrogates; the next one of a longer encoding is still greater in byte order.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            return Some(format!("{prefix}{next}"));
        }
    }
    None
}

fn cut_binary(value: &[u8], upper: bool) -> Option<Vec<u8>> {
    if value.len() <= BOUND_BYTES_MAX {
        return Some(value.to_vec());
    }
    let mut prefix = value[..BOUND_BYTES_MAX].to_vec();
    if !upper {
        return Some(prefix);
    }
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}

impl Zones {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(&self.min),
            Arc::clone(&self.max),
            Arc::new(self.null_count.clone()),
            Arc::new(self.min_exact.clone()),
            Arc::new(self.max_exact.clone()),
            Arc::new(self.nan.clone()),
        ];
        let batch = ipc::stripped(&columns, self.null_count.len())?;
        ipc::encode(&batch.schema(), &[batch])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let batch = one_batch(bytes, 6)?;
        let column = |i: usize| batch.column(i);
        let bad = || StoreError::damaged("zone statistics have a wrong type");
        Ok(Self {
            min: Arc::clone(column(0)),
            max: Arc::clone(column(1)),
            null_count: column(2).as_primitive_opt().ok_or_else(bad)?.clone(),
            min_exact: column(3).as_boolean_opt().ok_or_else(bad)?.clone(),
            max_exact: column(4).as_boolean_opt().ok_or_else(bad)?.clone(),
            nan: column(5).as_boolean_opt().ok_or_else(bad)?.clone(),
            granule_rows: GRANULE_ROWS,
        })
    }

    /// The same bounds in another type, for a column that was widened since; None when they do not convert.
    pub(crate) fn cast(mut self, data_type: &DataType) -> Option<Self> {
        if self.min.data_type() != data_type {
            self.min = arrow::compute::cast(&self.min, data_type).ok()?;
            self.max = arrow::compute::cast(&self.max, data_type).ok()?;
        }
        Some(self)
    }
}

impl ColumnSummary {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(&self.min),
            Arc::clone(&self.max),
            Arc::new(UInt64Array::from(vec![self.null_count])),
            Arc::new(UInt64Array::from(vec![self.bytes])),
            Arc::new(BooleanArray::from(vec![self.min_exact])),
            Arc::new(BooleanArray::from(vec![self.max_exact])),
            Arc::new(BooleanArray::from(vec![self.nan])),
        ];
        let batch = ipc::stripped(&columns, 1)?;
        ipc::encode(&batch.schema(), &[batch])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let batch = one_batch(bytes, 7)?;
        if batch.num_rows() != 1 {
            return Err(StoreError::damaged("column statistics are not one row"));
        }
        let bad = || StoreError::damaged("column statistics have a wrong type");
        let count = |i: usize| -> Result<u64> {
            let counts: &UInt64Array = batch.column(i).as_primitive_opt().ok_or_else(bad)?;
            Ok(counts.value(0))
        };
        let flag = |i: usize| -> Result<bool> { Ok(batch.column(i).as_boolean_opt().ok_or_else(bad)?.value(0)) };
        Ok(Self {
            min: Arc::clone(batch.column(0)),
            max: Arc::clone(batch.column(1)),
            null_count: count(2)?,
            bytes: count(3)?,
            min_exact: flag(4)?,
            max_exact: flag(5)?,
            nan: flag(6)?,
        })
    }

    /// The same bounds in another type; None when they do not convert.
    pub(crate) fn cast(mut self, data_type: &DataType) -> Option<Self> {
        if self.min.data_type() != data_type {
            self.min = arrow::compute::cast(&self.min, data_type).ok()?;
            self.max = arrow::compute::cast(&self.max, data_type).ok()?;
        }
        Some(self)
    }
}

fn one_batch(bytes: &[u8], columns: usize) -> Result<RecordBatch> {
    let (_, mut batches) = ipc::decode(bytes)?;
    match batches.pop() {
        Some(batch) if batch.num_columns() == columns && batches.is_empty() => Ok(batch),
        _ => Err(StoreError::damaged("statistics record has a wrong shape")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use proptest::prelude::*;

    fn zones(array: ArrayRef) -> (Zones, ColumnSummary) {
        let mut builder = ZoneBuilder::default();
        builder.push(&array).unwrap();
        builder.finish(array.data_type(), 0).unwrap()
    }

    #[test]
    fn nan_is_the_maximum_and_flagged() {
        let (zones, summary) = zones(Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(-2.0)])));
        assert_eq!(zones.min.as_primitive::<Float64Type>().value(0), -2.0);
        assert!(zones.max.as_primitive::<Float64Type>().value(0).is_nan());
        assert!(zones.nan.value(0) && summary.nan);
        assert_eq!(summary.null_count, 1);
    }

    #[test]
    fn granules_and_empty_granules() {
        let values = (0..20_000).map(|i| if (8_192..16_384).contains(&i) { None } else { Some(i) });
        let (zones, summary) = zones(Arc::new(values.collect::<Int64Array>()));
        assert_eq!(zones.min.len(), 3);
        assert!(zones.min.is_null(1) && zones.max.is_null(1));
        assert_eq!(zones.null_count.value(1), 8_192);
        let max = summary.max.as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!((max.value(0), summary.min_exact, summary.max_exact), (19_999, true, true));
    }

    #[test]
    fn a_bound_that_cannot_be_rounded_up_is_absent() {
        let long = "\u{10FFFF}".repeat(20);
        let (zones, summary) = zones(Arc::new(StringViewArray::from(vec![Some("a"), Some(&long)])));
        assert!(zones.max.is_null(0) && summary.max.is_null(0) && !summary.max_exact);
        assert_eq!(summary.min.as_string_view().value(0), "a");
    }

    proptest! {
        #[test]
        fn bounds_hold_for_text(values in prop::collection::vec(prop::option::of(".{0,60}"), 1..50)) {
            let array: ArrayRef = Arc::new(values.iter().map(|v| v.as_deref()).collect::<StringViewArray>());
            let (zones, summary) = zones(array);
            let decoded = Zones::decode(&zones.encode().unwrap()).unwrap();
            prop_assert_eq!(&decoded.min, &zones.min);
            prop_assert_eq!(&ColumnSummary::decode(&summary.encode().unwrap()).unwrap().max, &summary.max);
            let (min, max) = (zones.min.as_string_view(), zones.max.as_string_view());
            for value in values.iter().flatten() {
                prop_assert!(min.value(0) <= value.as_str());
                prop_assert!(max.is_null(0) || max.value(0) >= value.as_str());
            }
            let truth = values.iter().flatten().max();
            if zones.max_exact.value(0) {
                prop_assert_eq!(truth.map(String::as_str), Some(max.value(0)));
            }
        }
    }
}
