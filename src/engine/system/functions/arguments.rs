//! Columns as cells, and cells as what a function wants.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt64Type};
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use crate::engine::system::rows::Cell;

/// The values of a column.
pub(super) fn cells(array: &ArrayRef) -> PgResult<Vec<Cell>> {
    let count = array.len();
    let cast_to =
        |to: &DataType| cast(array, to).map_err(|error| PgError::new(sqlstate::DATATYPE_MISMATCH, error.to_string()));
    Ok(match array.data_type() {
        DataType::Null => vec![Cell::Null; count],
        DataType::Boolean => array.as_boolean().iter().map(Cell::from).collect(),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => cast_to(&DataType::Int64)?.as_primitive::<Int64Type>().iter().map(Cell::from).collect(),
        DataType::UInt64 => array
            .as_primitive::<UInt64Type>()
            .iter()
            .map(|value| value.and_then(|value| i64::try_from(value).ok()).into())
            .collect(),
        DataType::Float32 | DataType::Float64 => {
            let values = cast_to(&DataType::Float64)?;
            let values = values.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
            values.iter().map(Cell::from).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let text = cast_to(&DataType::Utf8View)?;
            text.as_string_view().iter().map(|value| value.map(str::to_owned).into()).collect()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let mut out = Vec::with_capacity(count);
            for index in 0..count {
                out.push(if list.is_null(index) { Cell::Null } else { Cell::List(cells(&list.value(index))?) });
            }
            out
        }
        other if other.is_decimal() => {
            let text = cast_to(&DataType::Float64)?;
            let values = text.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
            values.iter().map(Cell::from).collect()
        }
        other => {
            return Err(PgError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("a system function takes no argument of type {other}"),
            ));
        }
    })
}

/// An OID: a number, or text that is one.
pub(super) fn oid(cell: &Cell) -> PgResult<u32> {
    match cell {
        Cell::Int(value) => u32::try_from(*value)
            .or_else(|_| i32::try_from(*value).map(i32::cast_unsigned))
            .map_err(|_| PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range")),
        Cell::Text(text) => text.trim().parse().map_err(|_| PgError::invalid_input("oid", text)),
        _ => Err(PgError::new(sqlstate::DATATYPE_MISMATCH, "an OID is a number")),
    }
}

/// Text.
pub(super) fn text(cell: &Cell) -> PgResult<&str> {
    match cell {
        Cell::Text(text) => Ok(text),
        Cell::Static(text) => Ok(text),
        _ => Err(PgError::new(sqlstate::DATATYPE_MISMATCH, "the argument must be text")),
    }
}

/// A whole number.
pub(super) fn integer(cell: &Cell) -> PgResult<i64> {
    match cell {
        Cell::Int(value) => Ok(*value),
        Cell::Text(text) => text.trim().parse().map_err(|_| PgError::invalid_input("integer", text)),
        _ => Err(PgError::new(sqlstate::DATATYPE_MISMATCH, "the argument must be an integer")),
    }
}

/// True or false.
pub(super) fn boolean(cell: &Cell) -> PgResult<bool> {
    match cell {
        Cell::Bool(value) => Ok(*value),
        Cell::Text(text) => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "1" => Ok(true),
            "f" | "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(PgError::invalid_input("boolean", text)),
        },
        _ => Err(PgError::new(sqlstate::DATATYPE_MISMATCH, "the argument must be boolean")),
    }
}
