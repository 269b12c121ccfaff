//! pg_proc: PostgreSQL's functions and the library of schema tributary.

use tributary_pg::error::PgResult;

use super::relations::small;
use crate::engine::catalog::{Catalog, oid};
use crate::engine::system::relation::relation;
use crate::engine::system::rows::{Cell, Rows};
use crate::engine::system::{fixed, library};

/// Language `internal`.
const INTERNAL: u32 = 12;

/// pg_proc
pub(super) fn proc(_: &Catalog, rows: &mut Rows) -> PgResult<()> {
    if let Some(relation) = relation("pg_catalog", "pg_proc") {
        fixed::append(relation, rows)?;
    }
    for function in library::all() {
        rows.push([
            ("oid", function.oid.into()),
            ("proname", function.name.clone().into()),
            ("pronamespace", oid::TRIBUTARY.into()),
            ("proowner", oid::BOOTSTRAP_ROLE.into()),
            ("prolang", INTERNAL.into()),
            ("procost", Cell::Float(1.0)),
            ("prokind", function.kind.into()),
            ("provolatile", "i".into()),
            ("proparallel", "s".into()),
            ("pronargs", small(function.argument_types.len())),
            ("prorettype", function.result_type.into()),
            ("proargtypes", function.argument_types.clone().into()),
            ("proargnames", function.argument_names.clone().into()),
            ("prosrc", function.name.clone().into()),
        ]);
    }
    Ok(())
}
