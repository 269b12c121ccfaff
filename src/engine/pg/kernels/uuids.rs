//! gen_random_uuid: identifiers of 122 random bits.

use std::sync::Arc;

use arrow::array::FixedSizeBinaryBuilder;
use datafusion::logical_expr::ColumnarValue;
use rand::RngCore;
use tributary_pg::error::PgError;

use super::super::call::Call;
use super::Implementation;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "gen_random_uuid" => Implementation::strict(random_uuids),
        _ => None,
    }
}

/// Version 4, one a row.
fn random_uuids(call: &Call<'_>, _: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let internal = |error: arrow::error::ArrowError| PgError::internal(error.to_string());
    let mut builder = FixedSizeBinaryBuilder::with_capacity(call.rows, 16);
    let mut random = rand::rng();
    for _ in 0..call.rows {
        let mut bytes = [0_u8; 16];
        random.fill_bytes(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        builder.append_value(bytes).map_err(internal)?;
    }
    Ok(ColumnarValue::Array(Arc::new(builder.finish())))
}
