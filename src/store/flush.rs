//! From delta to parts.
//!
//! For: bounding memory and log. Promises: the rows of all generations of a table that were sealed become sorted
//! parts; deletes that arrive while a part is written land on the right row, because the install maps them; a flush
//! that fails leaves the delta as it was and no files. Does not: block writers or readers.

use std::sync::Arc;

use crate::Oid;
use crate::arrange::{self, Piece};
use crate::commit::{Install, Replaced};
use crate::error::Result;
use crate::part::{self, Part, PartSpec};
use crate::snapshot::Snapshot;
use crate::source::{Body, Source};
use crate::store::Shared;

/// Which rows become parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Every sealed delta generation.
    Deltas,
    /// Every part with deletes, and the deltas too.
    DeletedParts,
}

/// Flushes the sealed generations of a table. True when something was written.
pub(crate) fn flush_table(shared: &Arc<Shared>, table: Oid, what: Rewrite) -> Result<bool> {
    shared.seal(Some(table))?;
    let snapshot = shared.published.load_full();
    let Some(state) = snapshot.table(table) else { return Ok(false) };
    let wanted = |source: &&Arc<Source>| match &source.body {
        Body::Delta(_) => state.open_generation != Some(source.number()),
        Body::Part(_) => what == Rewrite::DeletedParts && source.deletes.is_some(),
    };
    let sources: Vec<Arc<Source>> = state.sources.iter().filter(wanted).cloned().collect();
    if sources.is_empty() {
        return Ok(false);
    }
    rewrite(shared, &snapshot, table, sources, 0, None)?;
    Ok(true)
}

/// Writes the live rows of some sources as new parts and installs those in their place. The parts belong to `run`, or
/// to one named after the first of them.
pub(crate) fn rewrite(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    table: Oid,
    sources: Vec<Arc<Source>>,
    level: u8,
    run: Option<u32>,
) -> Result<()> {
    let Some(state) = snapshot.table(table) else { return Ok(()) };
    let layout = Arc::clone(&state.layout);
    let bytes: u64 = sources.iter().map(|source| source.bytes()).sum();
    let pieces = sources.iter().map(|source| Piece { source: Arc::clone(source), skip_deleted: true }).collect();
    let arranged = arrange::arrange(&layout, pieces)?;
    let rows = arranged.rows();
    let per_part = rows_per_part(shared, rows, bytes);
    let (ids, fields) = arrange::part_columns(&layout);
    let mut parts: Vec<(u32, Arc<Part>)> = Vec::new();
    let mut run = run;
    for start in (0..rows).step_by(per_part) {
        let number = shared.allocate_source(table);
        let run = *run.get_or_insert(number);
        let spec = PartSpec {
            table,
            number,
            ids: &ids,
            fields: &fields,
            keys: &layout.keys,
            min_seq: sources.iter().filter_map(|source| seqs(source)).map(|(min, _)| min).min().unwrap_or(0),
            max_seq: snapshot.seq,
            level,
            run,
        };
        let part = part::write(&shared.place, &spec, &arranged, start..rows.min(start + per_part))?;
        parts.push((u32::try_from(start).expect("row numbers fit 32 bits"), Arc::new(part)));
    }
    let replaced = sources
        .iter()
        .enumerate()
        .map(|(piece, source)| Replaced {
            source: source.number(),
            deletes_seen: source.deletes.clone(),
            new_rows: Arc::new(arranged.new_rows(piece)),
        })
        .collect();
    shared.install(Install { table, replaced, parts })?;
    Ok(())
}

fn seqs(source: &Source) -> Option<(u64, u64)> {
    match &source.body {
        Body::Part(part) => Some((part.entry.min_seq, part.entry.max_seq)),
        Body::Delta(_) => None,
    }
}

/// Rows per part, so that none passes its limits: whole batches, at least one.
fn rows_per_part(shared: &Shared, rows: usize, bytes: u64) -> usize {
    let row_bytes = (bytes / (rows.max(1) as u64)).max(1);
    let by_bytes = shared.config.part_bytes_max / row_bytes;
    let limit = by_bytes.min(shared.config.part_rows_max);
    let limit = usize::try_from(limit).unwrap_or(part::BATCH_ROWS);
    (limit / part::BATCH_ROWS * part::BATCH_ROWS).max(part::BATCH_ROWS)
}
