//! Committed rows that are not yet in a part.
//!
//! For: a generation of a table's delta, and the own rows of a transaction. Promises: a row's ordinal in its
//! generation never changes; a clone shares every batch; small batches are merged (8 of like size into one, up to
//! 8,192 rows), so a million single-row commits leave about 130 batches, at O(log8 n) copies per row.
//! Does not: know deletes; they are a bitmap beside the generation.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};

use crate::error::Result;
use crate::key_probe::KeyCache;
use crate::source::Chunk;
use crate::{ColumnId, ipc};

/// Rows a merged batch never passes.
const MERGED_ROWS_MAX: usize = 8_192;
/// Batches of like size that become one.
const MERGE_FAN_IN: usize = 8;

/// Some rows as columns by id.
#[derive(Debug)]
pub(crate) struct DeltaBatch {
    pub(crate) ids: Arc<[ColumnId]>,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Sections of keys that were looked for in it.
    pub(crate) keys: KeyCache,
}

impl DeltaBatch {
    pub(crate) fn new(ids: Arc<[ColumnId]>, columns: Vec<ArrayRef>, rows: usize) -> Self {
        let bytes = columns.iter().map(ipc::logical_bytes).sum();
        Self { ids, columns, rows, bytes, keys: KeyCache::default() }
    }

    pub(crate) fn column(&self, id: ColumnId) -> Option<&ArrayRef> {
        let index = self.ids.iter().position(|other| *other == id)?;
        self.columns.get(index)
    }

    fn class(&self) -> u32 {
        self.rows.max(1).ilog2() / 3
    }

    fn mergeable(&self, other: &Self) -> bool {
        self.class() == other.class()
            && self.ids == other.ids
            && self.columns.iter().zip(&other.columns).all(|(a, b)| a.data_type() == b.data_type())
    }
}

/// A generation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delta {
    batches: Vec<Arc<DeltaBatch>>,
    chunks: Vec<Chunk>,
    rows: u64,
    bytes: u64,
}

impl Delta {
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(crate) fn batches(&self) -> &[Arc<DeltaBatch>] {
        &self.batches
    }

    /// Adds rows behind all others.
    pub(crate) fn push(&mut self, batch: DeltaBatch) -> Result<()> {
        if batch.rows == 0 {
            return Ok(());
        }
        self.chunks.push(Chunk { first_row: self.rows, rows: batch.rows });
        self.rows += batch.rows as u64;
        self.bytes += batch.bytes as u64;
        self.batches.push(Arc::new(batch));
        while self.merge_tail()? {}
        Ok(())
    }

    fn merge_tail(&mut self) -> Result<bool> {
        let Some(start) = self.batches.len().checked_sub(MERGE_FAN_IN) else { return Ok(false) };
        let tail = &self.batches[start..];
        let rows: usize = tail.iter().map(|b| b.rows).sum();
        if rows > MERGED_ROWS_MAX || !tail.iter().all(|b| b.mergeable(&tail[0])) {
            return Ok(false);
        }
        let mut columns = Vec::with_capacity(tail[0].columns.len());
        for index in 0..tail[0].columns.len() {
            let pieces: Vec<&dyn Array> = tail.iter().map(|b| b.columns[index].as_ref()).collect();
            columns.push(ipc::compact(&arrow::compute::concat(&pieces)?));
        }
        let merged = DeltaBatch::new(Arc::clone(&tail[0].ids), columns, rows);
        let before: usize = tail.iter().map(|b| b.bytes).sum();
        self.bytes = self.bytes - before as u64 + merged.bytes as u64;
        let first_row = self.chunks[start].first_row;
        self.batches.truncate(start);
        self.chunks.truncate(start);
        self.batches.push(Arc::new(merged));
        self.chunks.push(Chunk { first_row, rows });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringViewArray};

    #[test]
    fn merging_keeps_ordinals_and_bounds_batches() {
        let ids: Arc<[ColumnId]> = [1].into();
        let mut delta = Delta::default();
        for i in 0..20_000 {
            let column: ArrayRef = Arc::new(StringViewArray::from(vec![format!("row number {i:09} is long")]));
            delta.push(DeltaBatch::new(Arc::clone(&ids), vec![column], 1)).unwrap();
        }
        assert_eq!(delta.rows(), 20_000);
        assert!(delta.batches().len() < 60, "{}", delta.batches().len());
        for (chunk, batch) in delta.chunks().iter().zip(delta.batches()) {
            let column = batch.columns[0].as_string_view();
            assert_eq!(column.len(), chunk.rows);
            assert!(column.data_buffers().len() <= 16);
            for row in 0..chunk.rows {
                assert_eq!(column.value(row), format!("row number {:09} is long", chunk.first_row + row as u64));
            }
        }
    }
}
