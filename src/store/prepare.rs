//! From a transaction to what the commit thread needs, on the session's own thread.
//!
//! For: keeping encoding and staging out of the commit thread. Promises: what is logged fits a frame: more rows than
//! the limits are staged as parts, bigger delete sets become blobs. Does not: look at the committed state.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::blob::Blob;
use crate::config::{INLINE_BYTES_MAX, LOGGED_BYTES_MAX, LOGGED_ROWS_MAX};
use crate::delta::{Delta, DeltaBatch};
use crate::error::Result;
use crate::key_check::NewKeys;
use crate::object::TableLayout;
use crate::op::{self, Rows};
use crate::part::Part;
use crate::source::Source;
use crate::store::Shared;
use crate::txn::{TableWrites, Txn};
use crate::{Oid, Seq};

/// Rows deleted from one committed source.
pub(crate) struct PreparedDelete {
    pub(crate) source: u32,
    pub(crate) rows: Arc<RoaringBitmap>,
    #[expect(dead_code, reason = "kept for diagnosis: conflicts are found against the newest delete vectors")]
    pub(crate) snapshot_seq: Seq,
    pub(crate) blob: Option<Arc<Blob>>,
}

/// Writes to one table, encoded.
pub(crate) struct PreparedTable {
    pub(crate) table: Oid,
    pub(crate) schema_version: u32,
    pub(crate) truncated: bool,
    pub(crate) deletes: Vec<PreparedDelete>,
    pub(crate) staged: Vec<(Arc<Part>, Option<Arc<RoaringBitmap>>)>,
    pub(crate) appends: Vec<(Rows, Arc<Vec<u8>>)>,
    /// None without new rows or without unique keys.
    pub(crate) new_keys: Option<NewKeys>,
}

/// A transaction ready for the commit thread.
pub(crate) struct Prepared {
    /// Objects, puts and reads are taken from here; the tables are in `tables`.
    pub(crate) txn: Txn,
    pub(crate) tables: Vec<PreparedTable>,
    pub(crate) bytes: usize,
}

pub(crate) fn prepare(mut txn: Txn) -> Result<Prepared> {
    let shared = Arc::clone(&txn.shared);
    let tables: Vec<Oid> = txn.writes.tables.keys().copied().collect();
    for table in &tables {
        let memory = &txn.writes.tables[table].memory;
        if memory.rows() > LOGGED_ROWS_MAX as u64 || memory.bytes() > LOGGED_BYTES_MAX as u64 {
            txn.stage(*table)?;
        }
    }
    let mut logged: usize = tables.iter().map(|t| bytes_of(&txn.writes.tables[t])).sum();
    // Several tables may pass the limit together: the biggest go to disk until the rest fits.
    while logged > LOGGED_BYTES_MAX {
        let biggest = tables.iter().copied().max_by_key(|t| bytes_of(&txn.writes.tables[t]));
        let Some(biggest) = biggest.filter(|t| bytes_of(&txn.writes.tables[t]) > 0) else { break };
        logged -= bytes_of(&txn.writes.tables[&biggest]);
        txn.stage(biggest)?;
    }
    let mut inline_left = 16 * INLINE_BYTES_MAX;
    let prepared = tables
        .into_iter()
        .map(|table| {
            let layout = txn.layout(table);
            prepare_table(&shared, table, layout, &txn.writes.tables[&table], &mut inline_left)
        })
        .collect::<Result<Vec<_>>>()?;
    let appended: usize = prepared.iter().flat_map(|t| &t.appends).map(|(_, ipc)| ipc.len()).sum();
    let values: u64 = txn.writes.puts.values().filter_map(|put| put.value.as_ref()).map(|value| value.size()).sum();
    let bytes = appended + usize::try_from(values).unwrap_or(usize::MAX).min(64 << 20) + 256;
    Ok(Prepared { txn, tables: prepared, bytes })
}

fn bytes_of(writes: &TableWrites) -> usize {
    usize::try_from(writes.memory.bytes()).unwrap_or(usize::MAX)
}

fn prepare_table(
    shared: &Arc<Shared>,
    table: Oid,
    layout: Option<Arc<TableLayout>>,
    writes: &TableWrites,
    inline_left: &mut usize,
) -> Result<PreparedTable> {
    let mut deletes = Vec::with_capacity(writes.deletes.len());
    for (source, entry) in &writes.deletes {
        let size = entry.rows.serialized_size();
        let blob = if size > INLINE_BYTES_MAX || size > *inline_left {
            Some(Arc::new(Blob::write(&shared.place, shared.allocate_blob(), &op::bitmap_bytes(&entry.rows))?))
        } else {
            *inline_left -= size;
            None
        };
        let (source, rows) = (*source, Arc::clone(&entry.rows));
        deletes.push(PreparedDelete { source, rows, snapshot_seq: entry.snapshot_seq, blob });
    }
    let staged: Vec<(Arc<Part>, Option<Arc<RoaringBitmap>>)> = writes
        .staged
        .iter()
        .map(|(number, part)| (Arc::clone(part), writes.own_deletes.get(number).cloned()))
        .collect();
    let own = writes.own_deletes.get(&writes.generation);
    let mut pieces = Vec::new();
    for (chunk, batch) in writes.memory.chunks().iter().zip(writes.memory.batches()) {
        let rows = without_deleted(batch, chunk.first_row, own.map(AsRef::as_ref))?;
        if rows.rows > 0 {
            pieces.push(rows);
        }
    }
    let mut appends = Vec::new();
    for rows in join(pieces)? {
        let ipc = Arc::new(op::encode_rows(&rows)?);
        appends.push((rows, ipc));
    }
    let new_keys = new_keys(layout, writes, &staged, &appends)?;
    Ok(PreparedTable {
        table,
        schema_version: writes.schema_version,
        truncated: writes.truncated,
        deletes,
        staged,
        appends,
        new_keys,
    })
}

fn new_keys(
    layout: Option<Arc<TableLayout>>,
    writes: &TableWrites,
    staged: &[(Arc<Part>, Option<Arc<RoaringBitmap>>)],
    appends: &[(Rows, Arc<Vec<u8>>)],
) -> Result<Option<NewKeys>> {
    let (Some(layout), Some(seen)) = (layout, writes.keys_seen.clone()) else { return Ok(None) };
    let mut delta = Delta::default();
    for (rows, _) in appends {
        delta.push(DeltaBatch::new(Arc::clone(&rows.ids), rows.columns.clone(), rows.rows))?;
    }
    let parts = staged.iter().map(|(part, deletes)| Source::part(0, Arc::clone(part), deletes.clone()));
    let rows = parts.chain([Source::delta(0, Arc::new(delta), None)]).filter(|source| source.live_rows() > 0);
    let rows: Vec<Source> = rows.collect();
    Ok((!rows.is_empty()).then_some(NewKeys { layout, seen, rows, upsert: writes.upsert }))
}

fn without_deleted(batch: &DeltaBatch, first_row: u64, deleted: Option<&RoaringBitmap>) -> Result<Rows> {
    let whole = Rows { ids: Arc::clone(&batch.ids), columns: batch.columns.clone(), rows: batch.rows };
    let Some(deleted) = deleted else { return Ok(whole) };
    let first = u32::try_from(first_row).expect("row numbers of a source fit 32 bits");
    let last = first + u32::try_from(batch.rows).expect("row numbers of a source fit 32 bits");
    let keep: arrow::array::BooleanArray = (first..last).map(|row| Some(!deleted.contains(row))).collect();
    let columns = whole
        .columns
        .iter()
        .map(|column| arrow::compute::filter(column, &keep))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Rows { ids: whole.ids, columns, rows: keep.true_count() })
}

/// Neighbours of one shape become one batch: an append costs about 2 KiB of headers, whatever its rows.
fn join(pieces: Vec<Rows>) -> Result<Vec<Rows>> {
    let mut out: Vec<Vec<Rows>> = Vec::new();
    for piece in pieces {
        match out.last_mut() {
            Some(group) if group[0].ids == piece.ids && same_types(&group[0], &piece) => group.push(piece),
            _ => out.push(vec![piece]),
        }
    }
    out.into_iter().map(join_group).collect()
}

fn join_group(mut group: Vec<Rows>) -> Result<Rows> {
    if group.len() == 1 {
        return Ok(group.remove(0));
    }
    let rows = group.iter().map(|piece| piece.rows).sum();
    let columns = (0..group[0].columns.len())
        .map(|column| {
            let arrays: Vec<&dyn arrow::array::Array> = group.iter().map(|p| p.columns[column].as_ref()).collect();
            arrow::compute::concat(&arrays)
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let columns = columns.iter().map(crate::ipc::compact).collect();
    Ok(Rows { ids: Arc::clone(&group[0].ids), columns, rows })
}

fn same_types(a: &Rows, b: &Rows) -> bool {
    a.columns.iter().zip(&b.columns).all(|(x, y)| x.data_type() == y.data_type())
}
