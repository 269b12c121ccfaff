//! `tributary_assign(value, 'column')`: a value on its way into a column.
//!
//! Writes put every value they store into this call; there is no such function. The planner of calls knows the name, gives
//! literals and parameters the column's type and other values an assignment cast, and nothing of it is left in the plan.

use tributary_pg::error::PgError;

use crate::engine::catalog::ColumnObject;
use crate::engine::pg::PgType;

/// The name of the call.
pub(in crate::engine) const ASSIGN: &str = "tributary_assign";

/// The second argument for a column.
pub(super) fn description(column: &ColumnObject) -> String {
    format!("{}:{}:{}", column.type_oid, column.typmod, column.name)
}

/// Type and name of the column that a description stands for.
pub(in crate::engine) fn assignment_target(description: &str) -> Result<(PgType, &str), PgError> {
    let unreadable = || PgError::internal(format!("{ASSIGN} does not describe a column: {description}"));
    let (oid, rest) = description.split_once(':').ok_or_else(unreadable)?;
    let (typmod, name) = rest.split_once(':').ok_or_else(unreadable)?;
    let oid = oid.parse().map_err(|_| unreadable())?;
    let typmod = typmod.parse().map_err(|_| unreadable())?;
    Ok((PgType { oid, typmod }, name))
}
