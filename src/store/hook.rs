//! The one hook of the domain floors into a commit.
//!
//! For: incremental identity resolution and the like, which must see rows in commit order and add their own effects to
//! the very same frame. Promises: called by the commit thread, after validation and before the frame is written, with
//! the newest accepted state; an error rejects that one transaction. Does not: allow I/O or waiting; a hook is
//! CPU-bound, bounded and deterministic.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use crate::Oid;
use crate::error::Result;
use crate::snapshot::{Snapshot, Space};
use crate::source::Source;

/// What a transaction is about to do to a watched table.
#[derive(Debug)]
pub struct TableChange {
    /// The table.
    pub table: Oid,
    /// New rows, as sources with private numbers.
    pub appended: Vec<Arc<Source>>,
    /// Rows deleted, by committed source.
    pub deleted: Vec<(u32, Arc<RoaringBitmap>)>,
    /// Whether every committed row goes.
    pub truncated: bool,
}

/// What a hook adds to the frame.
#[derive(Debug, Default)]
pub struct HookWrites {
    /// Rows for other tables: exactly their live columns.
    pub appends: Vec<(Oid, RecordBatch)>,
    /// Rows of live sources to delete.
    pub deletes: Vec<(Oid, u32, RoaringBitmap)>,
    /// Values of at most 64 KiB to put.
    pub puts: Vec<(Space, Vec<u8>, Vec<u8>)>,
    /// Keys to remove.
    pub removes: Vec<(Space, Vec<u8>)>,
}

/// See the module.
pub trait CommitHook: Send + Sync {
    /// Whether commits that touch this table are shown to [`CommitHook::on_commit`].
    fn watches(&self, table: Oid) -> bool;
    /// `state` is the newest accepted state, without the transaction itself.
    fn on_commit(&self, state: &Snapshot, changes: &[TableChange]) -> Result<HookWrites>;
}
