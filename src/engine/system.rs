//! Relations the server itself fills: pg_catalog, information_schema, tributary.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::TableSource;
use tributary_pg::error::PgError;

use super::planner::ReadView;

/// Whether a system schema has a relation of that name.
pub fn exists(_schema: &str, _name: &str) -> bool {
    false
}

/// The rows of a system relation.
pub(super) fn source(schema: &str, name: &str, _view: &ReadView) -> Result<Arc<dyn TableSource>, PgError> {
    Err(PgError::internal(format!("no system relation {schema}.{name}")))
}

/// System-information functions.
pub(super) fn register_functions(_registry: &mut dyn FunctionRegistry) -> datafusion::common::Result<()> {
    Ok(())
}
