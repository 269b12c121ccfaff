//! A base table as the planner sees it.

use std::sync::Arc;

use datafusion::logical_expr::TableSource;
use tributary_pg::error::PgError;

use super::catalog::TableObject;
use super::planner::ReadView;

/// The rows of a table at the statement's snapshot.
pub(super) fn source(table: &Arc<TableObject>, _view: &ReadView) -> Result<Arc<dyn TableSource>, PgError> {
    Err(PgError::unsupported(format!("reading table {} is not supported yet", table.name)))
}
