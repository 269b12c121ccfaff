//! Checkpoints: cutting the log.
//!
//! For: a bounded start time and bounded disk. Steps: note the end of the log; flush every generation, or write it into
//! the log once more if it is small (a part of a few rows would have to be merged soon); make the meta store durable;
//! write the dump and read it back; write CHECKPOINT; recycle or unlink what only older logs needed. Promises: writers
//! are never stopped; the last two dumps and the log back to the older one are kept, so one damaged dump is survivable; a
//! failure at any step leaves the checkpoint before. Does not: choose the moment.

use std::sync::{Arc, PoisonError};

use crate::disk::at;
use crate::error::{Result, StoreError};
use crate::flush::flush_table;
use crate::format::Checkpoint;
use crate::frame::Position;
use crate::increment::{Increment, Since, increment_path, increments};
use crate::snapshot::Snapshot;
use crate::state::{Retired, digest, entries};
use crate::store::Shared;
use crate::{Oid, Seq, dump, wal};

/// Increments after a base before the next base.
const INCREMENTS_MAX: u32 = 64;
/// More keys than this go into a base at once.
const INCREMENT_KEYS_MAX: usize = 1_000_000;
/// Bytes of increments that are always worth keeping.
const INCREMENT_BYTES_MIN: u64 = 16 << 20;
/// Old segments that wait to become new ones.
const RECYCLED_MAX: usize = 2;

/// What becomes of small deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SmallDeltas {
    /// They stay in memory and are written into the log again.
    Carry,
    /// They become parts: at a clean stop, and before a backup.
    Flush,
}

/// Takes a checkpoint; gives the commit it holds. The caller holds the maintenance lock.
pub(crate) fn checkpoint(shared: &Arc<Shared>, small: SmallDeltas) -> Result<Seq> {
    let (wal_start, sealed_seq) = shared.seal(None)?;
    let snapshot = shared.published.load_full();
    let mut with_delta: Vec<(u64, Oid)> = snapshot
        .tables()
        .filter(|(_, table)| table.sources.iter().any(|source| !source.is_part()))
        .map(|(oid, table)| (table.delta_bytes(), oid))
        .collect();
    with_delta.sort_unstable();
    let mut carried = 0;
    for (bytes, table) in with_delta {
        let carries = small == SmallDeltas::Carry
            && bytes <= shared.config.carry_table_bytes
            && carried + bytes <= shared.config.carry_bytes;
        let outcome = if carries { shared.carry(table).map(drop) } else { flush_table(shared, table).map(drop) };
        match outcome {
            Ok(()) => carried += if carries { bytes } else { 0 },
            // Dropped or truncated meanwhile: then there is nothing left to flush. Grown: then it is time to.
            Err(error) if error.sqlstate == "40001" => drop(flush_table(shared, table)?),
            Err(error) => return Err(error),
        }
    }
    let (snapshot, since, taken) = shared.published_and_handed_on();
    match finish(shared, &snapshot, since, wal_start) {
        Ok(next) => {
            shared.meta.changes().settle(taken);
            let mut last = shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
            let swept_to = std::mem::replace(&mut last.sealed_seq, sealed_seq);
            drop(last);
            sweep(shared, &next, swept_to)?;
            Ok(next.seq)
        }
        Err(error) => {
            shared.meta.changes().put_back(taken);
            Err(error)
        }
    }
}

/// Makes the metadata durable, writes increment and dump, and points CHECKPOINT at them.
fn finish(shared: &Arc<Shared>, snapshot: &Snapshot, since: Option<Since>, wal_start: Position) -> Result<Checkpoint> {
    let applied = shared.meta.checkpoint(shared)?;
    if applied < snapshot.seq {
        return Err(StoreError::internal("the meta store is behind after its checkpoint"));
    }
    let all = entries(snapshot)?;
    let disk = shared.disk.as_ref();
    let data_dir = &shared.config.data_dir;
    let wal_written = shared.committer_written();
    // A copy: whoever asks for the age of the checkpoint must not wait for files. Only one checkpoint runs at a time.
    let mut last = shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let seq = snapshot.seq;
    let digest = digest(&all);
    let mut next = Checkpoint {
        seq,
        wal_start,
        base: last.checkpoint.base,
        increments: last.checkpoint.increments + 1,
        digest,
        previous_seq: last.checkpoint.seq,
        previous_wal_start: last.checkpoint.wal_start,
    };
    let since = since.filter(|since| since.seq < seq && since.keys.len() <= INCREMENT_KEYS_MAX);
    let incremental = since.is_some();
    if let Some(since) = since {
        let changes = Increment::of(&since.keys, &all);
        let increment = Increment { from: since.seq, seq, wal_start, digest, changes };
        last.increment_bytes += increment.write(disk, data_dir)?;
    }
    // Two bases of this life first: then each interval is in two files, and any one of them may be lost.
    let due = !incremental
        || last.bases < 2
        || next.increments >= INCREMENTS_MAX
        || last.increment_bytes > INCREMENT_BYTES_MIN.max(last.base_bytes / 2);
    if due {
        dump::write(disk, data_dir, seq, wal_start, &all)?;
        let path = dump::dump_path(data_dir, seq);
        last.base_bytes = at("stat", &path, disk.open(&path).and_then(|file| file.size()))?;
        last.increment_bytes = 0;
        last.bases = if incremental { last.bases + 1 } else { 1 };
        (next.base, next.increments) = (seq, 0);
    }
    next.write(disk, data_dir)?;
    last.checkpoint = next;
    last.at = shared.clock.monotonic();
    (last.wal_written, last.replayed_bytes) = (wal_written, 0);
    *shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = last;
    Ok(next)
}

/// Unlinks log segments, dumps and files that neither of the last two checkpoints needs.
fn sweep(shared: &Shared, checkpoint: &Checkpoint, swept_to: Seq) -> Result<()> {
    let disk = shared.disk.as_ref();
    let data_dir = &shared.config.data_dir;
    let keep_from: Position = checkpoint.previous_wal_start;
    sweep_log(shared, keep_from.segment())?;
    // The two newest bases, and every increment that can be put on the older of them.
    let bases: Vec<Seq> = dump::dumps(disk, data_dir)?.into_iter().filter(|seq| *seq <= checkpoint.seq).collect();
    let oldest = bases.len().checked_sub(2).map_or(0, |index| bases[index]);
    let bases = bases.into_iter().map(|seq| (seq, dump::dump_path(data_dir, seq)));
    let increments = increments(disk, data_dir)?.into_iter().map(|seq| (seq, increment_path(data_dir, seq)));
    for (_, path) in bases.filter(|(seq, _)| *seq < oldest).chain(increments.filter(|(seq, _)| *seq <= oldest)) {
        at("unlink", &path, disk.unlink(&path))?;
    }
    for retired in shared.take_retired(swept_to) {
        let paths = match &retired {
            Retired::Part(part) => part.paths().to_vec(),
            Retired::Blob(blob) => vec![blob.path()],
        };
        for path in paths {
            match disk.unlink(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "retired file could not be removed");
                }
                _ => {}
            }
        }
    }
    shared.relocations.purge(shared.open_txns.oldest());
    Ok(())
}

/// Keeps the two largest segments before `keep_from` for reuse and unlinks the others.
fn sweep_log(shared: &Shared, keep_from: u32) -> Result<()> {
    let disk = shared.disk.as_ref();
    let data_dir = &shared.config.data_dir;
    // Held while files are looked at: the maintenance thread renames what is in the list.
    let mut recyclable = shared.recyclable();
    recyclable.clear();
    let mut old = Vec::new();
    for number in wal::segments(disk, data_dir)?.into_iter().filter(|number| *number < keep_from) {
        old.push((wal::segment_bytes(disk, data_dir, number)?, number));
    }
    old.sort_unstable();
    let unlinked = old.len().saturating_sub(RECYCLED_MAX);
    for (_, number) in old.drain(..unlinked) {
        let path = wal::segment_path(data_dir, number);
        at("unlink", &path, disk.unlink(&path))?;
    }
    *recyclable = old;
    Ok(())
}
