//! pg_proc: PostgreSQL's functions and the library of schema tributary.

use tributary_pg::error::PgResult;

use crate::engine::catalog::Catalog;
use crate::engine::system::fixed;
use crate::engine::system::relation::relation;
use crate::engine::system::rows::Rows;

/// pg_proc
pub(super) fn proc(_: &Catalog, rows: &mut Rows) -> PgResult<()> {
    match relation("pg_catalog", "pg_proc") {
        Some(relation) => fixed::append(relation, rows),
        None => Ok(()),
    }
}
