//! The store's errors as the client sees them: same SQLSTATE, same words.

use tributary_pg::error::{PgError, SqlState};
use tributary_pg::sqlstate;
use tributary_store::StoreError;

/// The client's view of a store error.
pub(crate) fn store_error(error: StoreError) -> PgError {
    let code = SqlState::parse(error.sqlstate).unwrap_or(sqlstate::INTERNAL_ERROR);
    let mut mapped = PgError::new(code, error.message).hint_opt(error.hint);
    mapped.detail = error.detail;
    mapped
}
