//! Rows that SELECT ... FOR UPDATE has read and that must be unchanged when the transaction commits.
//!
//! Nobody waits for them. A scan notes what it hands out; before the next statement takes its snapshot, or at the end,
//! the store's transaction is told, which follows rows that move and answers 40001 for those that are gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;
use tributary_store::Txn;

/// Rows of a table's sources that the store has not been told of yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct LockedRows {
    rows: Arc<Mutex<BTreeMap<(u32, u32), RoaringBitmap>>>,
}

impl LockedRows {
    /// Notes rows of a source of a table.
    pub(crate) fn note(&self, table: u32, source: u32, rows: impl IntoIterator<Item = u32>) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).entry((table, source)).or_default().extend(rows);
    }

    /// Tells the store.
    pub(super) fn tell(&self, txn: &mut Txn) {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        for ((table, source), rows) in rows {
            txn.lock_rows(table, source, &rows);
        }
    }

    /// Forgets what the store was not told.
    pub(super) fn forget(&self) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What a statement does with rows it is asked to lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locking {
    /// `None` where the transaction ends with the statement: then there is nothing to keep.
    pub rows: Option<LockedRows>,
    /// 25006.
    pub read_only: bool,
}
