//! Parameter values of Bind: text or binary to one-row arrays of the described types.

use std::time::SystemTime;

use arrow::array::ArrayRef;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::{PgValue, TextStyle, types};

use super::frontend::Text;
use super::rows::unsupported_format;

/// One value as an array of one row. `index` counts from 0.
pub fn decode(
    value: Option<&bytes::Bytes>,
    format: i16,
    oid: u32,
    index: usize,
    style: &TextStyle,
) -> PgResult<ArrayRef> {
    let ty = types::by_oid(oid).ok_or_else(|| types::missing_oid(oid))?;
    let value = match (value, format) {
        (_, format) if !matches!(format, 0 | 1) => return Err(unsupported_format(format)),
        (None, _) => PgValue::null(ty, -1),
        (Some(bytes), 0) => {
            let text = Text(bytes.clone());
            let text = text.as_str()?;
            PgValue::from_text(ty, -1, text, style, now_us())?
        }
        (Some(bytes), _) => PgValue::from_binary(ty, -1, bytes, index + 1)?,
    };
    value.to_array()
}

/// What `now` means in a date or time value.
fn now_us() -> i64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
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
