//! Sizes: pg_relation_size and its kin, pg_size_pretty.
//!
//! Bytes come from the store once it keeps the tables; a relation it does not know has none.

use tributary_pg::error::PgResult;

use super::arguments::{integer, oid};
use super::{Definition, Scope, function};
use crate::engine::system::rows::Cell;

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    function("pg_relation_size", &[1, 2], "int8", table_bytes),
    function("pg_table_size", &[1], "int8", table_bytes),
    function("pg_total_relation_size", &[1], "int8", table_bytes),
    function("pg_indexes_size", &[1], "int8", |_, _| Ok(0_i64.into())),
    function("pg_database_size", &[1], "int8", |scope, _| Ok(all_bytes(scope).into())),
    function("pg_tablespace_size", &[1], "int8", |scope, _| Ok(all_bytes(scope).into())),
    function("pg_size_pretty", &[1], "text", |_, args| Ok(pretty(bytes(&args[0])?).into())),
    function("pg_stat_get_numscans", &[1], "int8", |_, _| Ok(0_i64.into())),
];

fn table_bytes(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let relation = oid(&args[0])?;
    let known = super::names::relation_name(scope.catalog, relation).is_some();
    Ok(if known { scope.vars.table_bytes(relation).into() } else { Cell::Null })
}

fn all_bytes(scope: &Scope<'_>) -> i64 {
    scope.catalog.tables.keys().map(|table| scope.vars.table_bytes(*table)).sum()
}

fn bytes(cell: &Cell) -> PgResult<i64> {
    match cell {
        Cell::Float(value) => Ok(*value as i64),
        other => integer(other),
    }
}

/// pg_size_pretty: whole numbers below 10 kB in bytes, else below 10240 of the unit, rounded half away from zero.
fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // Counted in halves of the unit, so that the last bit decides the rounding.
    let mut halves = bytes / 512;
    let mut unit = 1;
    while unit < UNITS.len() - 1 && halves.unsigned_abs() >= 20 * 1024 - 1 {
        halves /= 1024;
        unit += 1;
    }
    format!("{} {}", half_rounded(halves), UNITS[unit])
}

fn half_rounded(doubled: i64) -> i64 {
    (doubled + doubled.signum()) / 2
}

#[cfg(test)]
mod tests {
    use super::pretty;

    /// Answers of PostgreSQL 15.
    #[test]
    fn sizes_are_printed_as_postgresql_does() {
        for (bytes, expect) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (10752, "11 kB"),
            (10485247, "10239 kB"),
            (10485248, "10 MB"),
            (1_000_000_000, "954 MB"),
            (-1_000_000_000_000, "-931 GB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(pretty(bytes), expect, "{bytes}");
        }
    }
}
