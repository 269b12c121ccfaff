//! New keys against keys committed meanwhile.
//!
//! For: the commit thread. A statement has compared its new keys with all rows of its snapshot; what is left is what
//! others committed since: rows appended to the delta, parts staged, and parts that a flush or a merge made of either.
//! Promises: two transactions that bring one key never both commit; a transaction is refused only for a key, never for
//! the table. Cost: the new keys times the sources that changed, usually one batch of the delta. Does not: look at what
//! the snapshot had.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::Oid;
use crate::error::{KeyClash, Result, StoreError};
use crate::key::KeyDef;
use crate::key_probe::{clash, columns_of, values_at};
use crate::object::TableLayout;
use crate::op::DeleteSet;
use crate::snapshot::TableState;
use crate::source::Source;

/// Rows of each source of a table at a snapshot: those whose keys a statement has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeysSeen {
    sources: Arc<[(u32, u64)]>,
}

impl KeysSeen {
    pub(crate) fn of(state: Option<&TableState>) -> Self {
        let sources = state.map(|state| state.sources()).unwrap_or_default();
        Self { sources: sources.iter().map(|source| (source.number(), source.rows())).collect() }
    }

    /// Rows of a source that were seen; None = it did not exist.
    fn rows(&self, number: u32) -> Option<u64> {
        let index = self.sources.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.sources[index].1)
    }
}

/// The new rows of a table with unique keys, for the check at commit.
#[derive(Debug, Clone)]
pub(crate) struct NewKeys {
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) seen: KeysSeen,
    /// New rows with their own deletes.
    pub(crate) rows: Vec<Source>,
    /// A clash may be gone when the statement is run again: it would update the row instead.
    pub(crate) upsert: bool,
}

impl NewKeys {
    /// 23505, or 40001 for an upsert, if a key was committed by another since. `deletes` are this transaction's.
    pub(crate) fn check(&self, table: Oid, state: &TableState, deletes: &[DeleteSet]) -> Result<()> {
        for old in state.sources() {
            let seen = self.seen.rows(old.number());
            if seen.is_some_and(|seen| old.is_part() || seen >= old.rows()) {
                continue;
            }
            let from = u32::try_from(seen.unwrap_or(0)).expect("row numbers of a source fit 32 bits");
            let deleted: Vec<&RoaringBitmap> =
                deletes.iter().filter(|set| set.source == old.number()).map(|set| set.rows.as_ref()).collect();
            let gone = |row: u32| deleted.iter().any(|rows| rows.contains(row));
            for def in self.layout.keys.iter().filter(|def| def.unique) {
                let columns = columns_of(&self.layout, def)?;
                for new in &self.rows {
                    if let Some(row) = clash(def, &columns, new, old, from, &gone)? {
                        return Err(self.refusal(table, def, values_at(new, &columns, row)?));
                    }
                }
            }
        }
        Ok(())
    }

    fn refusal(&self, table: Oid, def: &KeyDef, values: Vec<arrow::array::ArrayRef>) -> StoreError {
        if self.upsert {
            return StoreError::conflict("update");
        }
        let message = format!("duplicate key value violates unique constraint {} of table {table}", def.id);
        StoreError::new("23505", message).with_key(KeyClash { table, key: def.id, values })
    }
}
