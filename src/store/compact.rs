//! Merging parts, so that their number grows with the logarithm of the rows.
//!
//! For: tables that get many small flushes. A run is a list of parts with disjoint keys; its class is
//! `floor(log8(bytes / 64 MiB))`. When `fan_in` runs of one class exist they become one run; a part with too many
//! deleted rows is rewritten alone. Promises: reads see either the old parts or the new; deletes that arrive meanwhile
//! move along; killed at any point it leaves only files nobody names. Does not: merge more than 1 GiB at once (its sort
//! keys are held in memory), or start without twice its input and 256 MiB of free space.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Oid;
use crate::config::StoreConfig;
use crate::error::Result;
use crate::flush::rewrite;
use crate::snapshot::{Snapshot, TableState};
use crate::source::{Body, Source};
use crate::store::Shared;

/// Bytes of a run of class 0.
const CLASS_BYTES: f64 = (64u64 << 20) as f64;
/// Limit: bytes of one merge.
const INPUT_BYTES_MAX: u64 = 1 << 30;
/// Free space that stays, whatever is merged.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// What to merge, and the run the result belongs to (a new one if None).
struct Merge {
    sources: Vec<Arc<Source>>,
    run: Option<u32>,
    level: u8,
}

fn class(bytes: u64) -> i32 {
    // A few dozen classes at most: the logarithm is far inside the range of i32.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let class = ((bytes.max(1) as f64 / CLASS_BYTES).ln() / 8f64.ln()).floor() as i32;
    class
}

/// The next merge that is due in a table.
fn due(config: &StoreConfig, table: &TableState) -> Option<Merge> {
    let mut runs: BTreeMap<(i64, u32), Vec<&Arc<Source>>> = BTreeMap::new();
    for source in &table.sources {
        let Body::Part(part) = &source.body else { continue };
        let deleted = source.deletes().map_or(0, |deletes| deletes.len());
        if deleted as f64 > source.rows() as f64 * config.rewrite_deleted_ratio {
            let (run, level) = (Some(part.entry.run), part.entry.level);
            return Some(Merge { sources: vec![Arc::clone(source)], run, level });
        }
        runs.entry((part.entry.bucket, part.entry.run)).or_default().push(source);
    }
    let mut classes: BTreeMap<(i64, i32), Vec<Vec<&Arc<Source>>>> = BTreeMap::new();
    for ((bucket, _), parts) in runs {
        let bytes = parts.iter().map(|part| part.bytes()).sum();
        classes.entry((bucket, class(bytes))).or_default().push(parts);
    }
    for runs in classes.into_values().filter(|runs| runs.len() >= config.compaction_fan_in) {
        let mut sources: Vec<Arc<Source>> =
            runs.into_iter().take(config.compaction_fan_in).flatten().map(Arc::clone).collect();
        sources.sort_by_key(|source| source.number());
        if sources.iter().map(|source| source.bytes()).sum::<u64>() > INPUT_BYTES_MAX {
            continue;
        }
        let level = sources.iter().filter_map(|source| match &source.body {
            Body::Part(part) => Some(part.entry.level),
            Body::Delta(_) => None,
        });
        let level = level.max().unwrap_or(0).saturating_add(1);
        return Some(Merge { sources, run: None, level });
    }
    None
}

/// Runs every merge that is due in a table; gives their number. The caller holds the compaction lock.
pub(crate) fn compact_table(shared: &Arc<Shared>, table: Oid) -> Result<usize> {
    let mut merges = 0;
    loop {
        let snapshot = shared.published.load_full();
        let Some(merge) = snapshot.table(table).and_then(|state| due(&shared.config, state)) else { return Ok(merges) };
        if shared.stopping() || !has_room(shared, &merge)? {
            return Ok(merges);
        }
        let started = shared.clock.monotonic();
        run(shared, &snapshot, table, merge)?;
        merges += 1;
        let took = shared.clock.monotonic().saturating_sub(started);
        metrics::histogram!("compaction_seconds").record(took.as_secs_f64());
    }
}

fn run(shared: &Arc<Shared>, snapshot: &Snapshot, table: Oid, merge: Merge) -> Result<()> {
    rewrite(shared, snapshot, table, merge.sources, merge.level, merge.run)
}

fn has_room(shared: &Shared, merge: &Merge) -> Result<bool> {
    let dir = &shared.config.data_dir;
    let free = crate::disk::at("stat", dir, shared.disk.free_space(dir))?;
    let input: u64 = merge.sources.iter().map(|source| source.bytes()).sum();
    let enough = free >= input.saturating_mul(2).saturating_add(FREE_BYTES_MIN);
    if !enough {
        tracing::warn!(free, input, "compaction waits for free space");
    }
    Ok(enough)
}

/// Runs what is due in any table.
pub(crate) fn compact_all(shared: &Arc<Shared>) {
    let snapshot = shared.published.load_full();
    for (oid, _) in snapshot.tables() {
        match compact_table(shared, oid) {
            Ok(_) => {}
            // A source was truncated or rewritten meanwhile: the next round sees the new state.
            Err(error) if error.sqlstate == "40001" => {}
            Err(error) => tracing::warn!(table = oid, %error, "compaction failed; it is tried again"),
        }
    }
}
