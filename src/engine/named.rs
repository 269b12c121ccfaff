//! Prepared statements and cursors as `pg_prepared_statements` and `pg_cursors` show them.
//!
//! Only texts and numbers: a plan may hold the session's variables, and those hold this list, so keeping plans here would
//! keep a session alive for ever.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::prepared::Prepared;

/// What a session has given names to.
#[derive(Debug, Default)]
pub struct NamedObjects {
    /// Prepared statements by name; the unnamed one is not shown.
    pub prepared: BTreeMap<String, PreparedEntry>,
    /// Cursors by name.
    pub cursors: BTreeMap<String, CursorEntry>,
}

/// A line of `pg_prepared_statements`.
#[derive(Clone, Debug)]
pub struct PreparedEntry {
    /// The text it came from: for SQL's PREPARE that whole statement.
    pub statement: String,
    /// When it was prepared.
    pub prepared_at: SystemTime,
    /// Type OIDs of its parameters.
    pub parameter_types: Vec<u32>,
    /// Made by SQL's PREPARE.
    pub from_sql: bool,
}

impl PreparedEntry {
    /// The line of a prepared statement.
    pub fn new(prepared: &Prepared) -> Self {
        Self {
            statement: prepared.statement.text.to_string(),
            prepared_at: prepared.prepared_at,
            parameter_types: prepared.parameter_types.clone(),
            from_sql: prepared.from_sql,
        }
    }
}

/// A line of `pg_cursors`.
#[derive(Clone, Debug)]
pub struct CursorEntry {
    /// The text it came from.
    pub statement: String,
    /// WITH HOLD.
    pub holdable: bool,
    /// BINARY.
    pub binary: bool,
    /// May be read backwards.
    pub scrollable: bool,
    /// When it was opened.
    pub created_at: SystemTime,
}
