//! width_bucket.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{Float64Type, Int32Type};
use datafusion::logical_expr::ColumnarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::super::call::{Call, over_arrays};
use super::Implementation;
use super::numeric::{Decimal, value_at};

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "width_bucket_numeric" => Implementation::strict(|call, values| buckets(call, values, numeric_bucket)),
        "width_bucket_float8" => Implementation::strict(|call, values| buckets(call, values, float_bucket)),
        _ => None,
    }
}

fn invalid(message: &str) -> PgError {
    PgError::new(sqlstate::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, message)
}

/// The bucket of each row; the last argument is their number.
fn buckets(
    call: &Call<'_>,
    values: &[ColumnarValue],
    bucket: fn(&[ArrayRef], usize, i32) -> Result<i32, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let counts = arrays[3].as_primitive::<Int32Type>();
        let mut found = Vec::with_capacity(rows);
        for row in 0..rows {
            if arrays.iter().any(|array| array.is_null(row)) {
                found.push(None);
                continue;
            }
            let count = counts.value(row);
            if count <= 0 {
                return Err(invalid("count must be greater than zero"));
            }
            found.push(Some(bucket(arrays, row, count)?));
        }
        Ok(Arc::new(Int32Array::from(found)))
    })
}

/// The bucket beyond the last.
fn beyond(count: i32) -> Result<i32, PgError> {
    let error = || PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range");
    count.checked_add(1).ok_or_else(error)
}

fn numeric_bucket(arrays: &[ArrayRef], row: usize, count: i32) -> Result<i32, PgError> {
    let read = |index: usize| value_at(&arrays[index], row).ok_or_else(|| PgError::internal("a bound is no number"));
    let (value, low, high) = (read(0)?, read(1)?, read(2)?);
    let (span, way) = (high.minus(&low), value.minus(&low));
    if span.is_zero() {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    // Turned round, so that both cases count upwards.
    let zero = num_bigint::BigInt::from(0);
    let turn = |one: Decimal| Decimal { unscaled: -one.unscaled, scale: one.scale };
    let (span, way) = if span.unscaled < zero { (turn(span), turn(way)) } else { (span, way) };
    if way.unscaled < zero {
        return Ok(0);
    }
    if way.minus(&span).unscaled >= zero {
        return beyond(count);
    }
    let step = way.times(&Decimal::whole(count)).whole_quotient(&span)?;
    i32::try_from(step.unscaled).map_or_else(|_| beyond(count), beyond)
}

fn float_bucket(arrays: &[ArrayRef], row: usize, count: i32) -> Result<i32, PgError> {
    let read = |index: usize| arrays[index].as_primitive::<Float64Type>().value(row);
    let (value, low, high) = (read(0), read(1), read(2));
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(invalid("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(invalid("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let (outside, at_end) = if low < high { (value < low, value >= high) } else { (value > low, value <= high) };
    if outside {
        return Ok(0);
    }
    if at_end {
        return beyond(count);
    }
    // Halves keep the span finite.
    let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    beyond(((f64::from(count) * share) as i32).min(count - 1))
}
