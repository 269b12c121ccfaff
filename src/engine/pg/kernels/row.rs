//! Row access for functions that compute one value from one row of a few columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, PrimitiveArray, StringViewBuilder};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::logical_expr::ColumnarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::super::call::{Call, over_arrays};

/// Longest text a function may build. Reason: PostgreSQL's own limit of a value.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// One row of the arguments.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    arrays: &'a [ArrayRef],
    row: usize,
}

impl<'a> Row<'a> {
    /// The row of a call without arguments.
    pub fn nothing() -> Row<'static> {
        Row { arrays: &[], row: 0 }
    }

    /// How many arguments there are.
    pub fn width(&self) -> usize {
        self.arrays.len()
    }

    /// Whether an argument is NULL.
    pub fn null(&self, index: usize) -> bool {
        self.arrays[index].is_null(self.row)
    }

    /// Whether any argument is NULL.
    pub fn any_null(&self) -> bool {
        (0..self.width()).any(|index| self.null(index))
    }

    /// A text argument.
    pub fn text(&self, index: usize) -> &'a str {
        self.arrays[index].as_string_view().value(self.row)
    }

    /// A bytea argument.
    pub fn bytes(&self, index: usize) -> &'a [u8] {
        self.arrays[index].as_binary_view().value(self.row)
    }

    /// An int4 argument.
    pub fn int(&self, index: usize) -> i32 {
        self.arrays[index].as_primitive::<Int32Type>().value(self.row)
    }

    /// An int8 argument.
    pub fn long(&self, index: usize) -> i64 {
        self.arrays[index].as_primitive::<Int64Type>().value(self.row)
    }

    /// A boolean argument.
    pub fn boolean(&self, index: usize) -> bool {
        self.arrays[index].as_boolean().value(self.row)
    }

    /// An array argument's elements.
    pub fn list(&self, index: usize) -> ArrayRef {
        self.arrays[index].as_list::<i32>().value(self.row)
    }

    /// The column of an argument and the row in it.
    pub fn at(&self, index: usize) -> (&'a ArrayRef, usize) {
        (&self.arrays[index], self.row)
    }
}

fn each<T>(
    arrays: &[ArrayRef],
    rows: usize,
    strict: bool,
    mut compute: impl FnMut(Row<'_>) -> Result<Option<T>, PgError>,
    mut take: impl FnMut(Option<T>) -> Result<(), PgError>,
) -> Result<(), PgError> {
    for row in 0..rows {
        let row = Row { arrays, row };
        take(if strict && row.any_null() { None } else { compute(row)? })?;
    }
    Ok(())
}

/// Text from each row without NULL.
pub(super) fn texts(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnMut(Row<'_>) -> Result<Option<String>, PgError>,
) -> Result<ColumnarValue, PgError> {
    texts_where(call, values, true, compute)
}

/// Text from each row, NULLs included.
pub(super) fn lenient_texts(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnMut(Row<'_>) -> Result<Option<String>, PgError>,
) -> Result<ColumnarValue, PgError> {
    texts_where(call, values, false, compute)
}

fn texts_where(
    call: &Call<'_>,
    values: &[ColumnarValue],
    strict: bool,
    compute: impl FnMut(Row<'_>) -> Result<Option<String>, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut builder = StringViewBuilder::with_capacity(rows);
        each(arrays, rows, strict, compute, |text| {
            if text.as_ref().is_some_and(|text| text.len() >= TEXT_BYTES_MAX) {
                return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
            }
            builder.append_option(text);
            Ok(())
        })?;
        Ok(Arc::new(builder.finish()))
    })
}

/// Bytes from each row without NULL.
pub(super) fn bytes(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnMut(Row<'_>) -> Result<Option<Vec<u8>>, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut builder = BinaryViewBuilder::new();
        each(arrays, rows, true, compute, |one| {
            builder.append_option(one);
            Ok(())
        })?;
        Ok(Arc::new(builder.finish()))
    })
}

/// int4 from each row without NULL.
pub(super) fn ints(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnMut(Row<'_>) -> Result<Option<i32>, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        each(arrays, rows, true, compute, |one| {
            done.push(one);
            Ok(())
        })?;
        Ok(Arc::new(done.into_iter().collect::<PrimitiveArray<Int32Type>>()))
    })
}

/// Truth from each row without NULL.
pub(super) fn bools(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnMut(Row<'_>) -> Result<Option<bool>, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        each(arrays, rows, true, compute, |one| {
            done.push(one);
            Ok(())
        })?;
        Ok(Arc::new(BooleanArray::from(done)))
    })
}

/// A list from each row: its elements are texts.
pub(super) fn text_lists(
    call: &Call<'_>,
    values: &[ColumnarValue],
    strict: bool,
    compute: impl FnMut(Row<'_>) -> Result<Option<Vec<Option<String>>>, PgError>,
) -> Result<ColumnarValue, PgError> {
    use arrow::array::ListBuilder;
    over_arrays(call, values, |arrays, rows| {
        let mut builder = ListBuilder::new(StringViewBuilder::new());
        each(arrays, rows, strict, compute, |list| {
            builder.append_option(list);
            Ok(())
        })?;
        Ok(Arc::new(builder.finish()))
    })
}
