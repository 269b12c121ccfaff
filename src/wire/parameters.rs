//! Parameter values of Bind: text or binary to one-row arrays of the described types.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tributary_pg::error::{PgError, PgResult};

use super::rows::unsupported_format;

/// One value as an array of one row.
pub fn decode(value: Option<&[u8]>, format: i16, oid: u32) -> PgResult<ArrayRef> {
    let data_type = match oid {
        16 => DataType::Boolean,
        20 => DataType::Int64,
        21 => DataType::Int16,
        23 => DataType::Int32,
        701 => DataType::Float64,
        _ => DataType::Utf8View,
    };
    match format {
        0 => {}
        1 => return Err(PgError::unsupported("binary parameters are not supported yet")),
        other => return Err(unsupported_format(other)),
    }
    let Some(value) = value else { return Ok(new_null_array(&data_type, 1)) };
    let text = std::str::from_utf8(value).map_err(|error| PgError::internal(error.to_string()))?;
    let text: ArrayRef = Arc::new(StringViewArray::from_iter_values([text.trim()]));
    cast(&text, &data_type).map_err(|error| PgError::internal(error.to_string()))
}

/// CONTEXT of a value that cannot be read. The value itself is never repeated: it may be personal.
pub fn name_parameter(error: PgError, portal: &str, index: usize, format: i16) -> PgError {
    let number = index + 1;
    let shown = if format == 0 { " = '...'" } else { "" };
    if portal.is_empty() {
        error.context(format!("unnamed portal parameter ${number}{shown}"))
    } else {
        error.context(format!("portal \"{portal}\" parameter ${number}{shown}"))
    }
}
