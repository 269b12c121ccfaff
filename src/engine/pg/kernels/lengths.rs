//! Intervals in the form in which Arrow's comparisons, field by field, are PostgreSQL's comparisons by length.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::logical_expr::ColumnarValue;
use tributary_pg::error::PgError;
use tributary_pg::interval;

use super::super::call::{Call, over_arrays};
use super::Implementation;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "interval_key" => Implementation::strict(keys),
        "interval_array_key" => Implementation::shaped(keys, super::array::first_like),
        "interval_greatest" => Implementation::lenient(|call, values| extremes(call, values, Ordering::Greater)),
        "interval_least" => Implementation::lenient(|call, values| extremes(call, values, Ordering::Less)),
        _ => None,
    }
}

fn keys(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| Ok(by_length(&arrays[0])))
}

/// GREATEST and LEAST: of equally long ones the first, NULL only of NULLs.
fn extremes(call: &Call<'_>, values: &[ColumnarValue], wanted: Ordering) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let columns: Vec<_> = arrays.iter().map(|array| array.as_primitive::<IntervalMonthDayNanoType>()).collect();
        let best: PrimitiveArray<IntervalMonthDayNanoType> = (0..rows)
            .map(|row| {
                let given = columns.iter().filter(|column| column.is_valid(row)).map(|column| column.value(row));
                given.reduce(|best, one| if interval::compare(one, best) == wanted { one } else { best })
            })
            .collect();
        Ok(Arc::new(best))
    })
}

/// The same intervals, equal ones alike; lists of them too; anything else as it is.
pub(super) fn by_length(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            let keys: PrimitiveArray<IntervalMonthDayNanoType> = spans.unary(interval::canonical);
            Arc::new(keys)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (item, offsets, nulls) = (Arc::clone(item), list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::new(item, offsets, by_length(list.values()), nulls))
        }
        _ => Arc::clone(array),
    }
}
