//! Types of `$1`, `$2`, ...: declared by the client or inferred from where they stand.

use datafusion::logical_expr::LogicalPlan;
use tributary_pg::error::PgError;

/// OIDs of the plan's parameters, `$1` first.
pub(in crate::engine) fn parameter_types(_plan: &LogicalPlan, declared: &[u32]) -> Result<Vec<u32>, PgError> {
    Ok(declared.to_vec())
}
