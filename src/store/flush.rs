//! From delta to parts, and from parts to better parts.
//!
//! For: bounding memory, log and the number of files. Promises: the rows of all generations of a table that were sealed
//! become sorted parts; deletes that arrive while a part is written land on the right row, because the install maps
//! them; a rewrite that fails leaves its sources as they were and no files; its memory is four bytes a row of its input
//! and the sort keys of its largest range (see `split`). Does not: block writers or readers, or choose what to rewrite.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::Oid;
use crate::arrange::{self, Piece, no_places};
use crate::commit::{Install, Replaced};
use crate::cut::{Target, rows_per_part, write_parts};
use crate::error::{Result, StoreError};
use crate::history::{Rewrite, RewriteKind};
use crate::part::Part;
use crate::snapshot::Snapshot;
use crate::source::{Body, Source};
use crate::split::split;
use crate::store::Shared;

/// Limit: rows whose sort keys are in memory at once.
const RANGE_ROWS_MAX: usize = 2 << 20;

/// Where the parts of a rewrite belong: to a run that exists (with its bucket), or to new ones.
pub(crate) enum Into {
    Run { bucket: i64, run: u32, level: u8 },
    NewRuns { level: u8 },
}

/// Flushes the sealed generations of a table. True when something was written.
pub(crate) fn flush_table(shared: &Arc<Shared>, table: Oid) -> Result<bool> {
    shared.seal(Some(table))?;
    let snapshot = shared.published.load_full();
    let Some(state) = snapshot.table(table) else { return Ok(false) };
    let sealed = |source: &&Arc<Source>| !source.is_part() && state.open_generation != Some(source.number());
    let sources: Vec<Arc<Source>> = state.sources.iter().filter(sealed).cloned().collect();
    if sources.is_empty() {
        return Ok(false);
    }
    rewrite(shared, &snapshot, table, sources, &Into::NewRuns { level: 0 })?;
    Ok(true)
}

/// Rewrites every part of a table that has deleted rows, each in its run. The caller has claimed the table.
pub(crate) fn rewrite_deleted(shared: &Arc<Shared>, table: Oid) -> Result<()> {
    let numbers: Vec<u32> = match shared.published.load_full().table(table) {
        None => return Ok(()),
        Some(state) => {
            state.sources.iter().filter(|s| s.is_part() && s.deletes.is_some()).map(|s| s.number()).collect()
        }
    };
    for number in numbers {
        let snapshot = shared.published.load_full();
        let source = snapshot.table(table).and_then(|state| state.source(number)).cloned();
        let Some(source) = source.filter(|source| source.deletes.is_some()) else { continue };
        let Body::Part(part) = &source.body else { continue };
        let into = Into::Run { bucket: part.entry.bucket, run: part.entry.run, level: part.entry.level };
        rewrite(shared, &snapshot, table, vec![source], &into)?;
    }
    Ok(())
}

/// Writes the live rows of some sources as new parts and installs those in their place.
pub(crate) fn rewrite(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    table: Oid,
    sources: Vec<Arc<Source>>,
    into: &Into,
) -> Result<()> {
    let number = shared.history.begin(Rewrite {
        table,
        kind: match into {
            Into::Run { .. } => RewriteKind::Purge,
            Into::NewRuns { level: 0 } => RewriteKind::Flush,
            Into::NewRuns { .. } => RewriteKind::Merge,
        },
        started_at_us: shared.clock.now_us(),
        finished_at_us: None,
        sources: sources.len(),
        rows_in: sources.iter().map(|source| source.rows()).sum(),
        bytes_in: sources.iter().map(|source| source.bytes()).sum(),
        parts: 0,
        rows_out: 0,
        bytes_out: 0,
        error: None,
    });
    let outcome = write_and_install(shared, snapshot, table, sources, into);
    shared.history.end(number, |rewrite| {
        rewrite.finished_at_us = Some(shared.clock.now_us());
        match &outcome {
            Ok(written) => (rewrite.parts, rewrite.rows_out, rewrite.bytes_out) = *written,
            Err(error) => rewrite.error = Some(error.to_string()),
        }
    });
    outcome.map(drop)
}

/// Gives parts, rows and bytes written.
fn write_and_install(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    table: Oid,
    sources: Vec<Arc<Source>>,
    into: &Into,
) -> Result<(usize, u64, u64)> {
    let Some(state) = snapshot.table(table) else { return Ok((0, 0, 0)) };
    let layout = Arc::clone(&state.layout);
    let (bytes, rows) = sources.iter().fold((0, 0), |(b, r), source| (b + source.bytes(), r + source.rows()));
    let row_bytes = bytes / rows.max(1);
    let (level, mut runs) = match into {
        Into::Run { bucket, run, level } => (*level, BTreeMap::from([(*bucket, *run)])),
        Into::NewRuns { level } => (*level, BTreeMap::new()),
    };
    let target = Target {
        place: &shared.place,
        config: &shared.config,
        table,
        layout: &layout,
        min_seq: sources.iter().filter_map(|source| min_seq(source)).min().unwrap_or(snapshot.seq),
        max_seq: snapshot.seq,
        level,
        row_bytes,
    };
    let range_rows = rows_per_part(&shared.config, row_bytes).min(RANGE_ROWS_MAX);
    let mut places: Vec<Vec<u32>> = sources.iter().map(|source| no_places(source)).collect();
    let mut parts: Vec<(u32, Arc<Part>)> = Vec::new();
    let mut base = 0;
    for ranges in split(&layout, &sources, range_rows)? {
        if shared.stopping() {
            return Err(StoreError::closed());
        }
        let (pieces, mut maps) = pieces(&sources, &ranges, &mut places);
        let arranged = arrange::arrange(&layout, pieces)?;
        arranged.place_rows(base, &mut maps);
        for (first, part) in write_parts(&target, &arranged, &mut runs, &mut || shared.allocate_source(table))? {
            parts.push((base + u32::try_from(first).expect("row numbers fit 32 bits"), part));
        }
        base += u32::try_from(arranged.rows()).expect("row numbers fit 32 bits");
    }
    let replaced = sources
        .iter()
        .zip(places)
        .map(|(source, places)| Replaced {
            source: source.number(),
            deletes_seen: source.deletes.clone(),
            new_rows: Arc::new(places),
        })
        .collect();
    let (rows, bytes) = parts.iter().fold((0, 0), |(r, b), (_, part)| (r + part.entry.rows, b + part.entry.bytes));
    let written = (parts.len(), rows, bytes);
    shared.install(Install { table, replaced, parts })?;
    Ok(written)
}

/// The sources' rows of one range, with the map of each.
fn pieces<'a>(
    sources: &[Arc<Source>],
    ranges: &[Range<u32>],
    places: &'a mut [Vec<u32>],
) -> (Vec<Piece>, Vec<&'a mut Vec<u32>>) {
    let with_rows = sources.iter().zip(ranges).zip(places).filter(|((_, rows), _)| !rows.is_empty());
    with_rows.map(|((source, rows), places)| (Piece::range(Arc::clone(source), rows.clone()), places)).unzip()
}

fn min_seq(source: &Source) -> Option<u64> {
    match &source.body {
        Body::Part(part) => Some(part.entry.min_seq),
        Body::Delta(_) => None,
    }
}
