//! Checkpoints: cutting the log.
//!
//! For: a bounded start time and bounded disk. Steps: seal every generation and note the end of the log; flush them;
//! make the meta store durable; write the dump and read it back; write CHECKPOINT; unlink what only older logs needed.
//! Promises: writers are never stopped; the last two dumps and the log back to the older one are kept, so one damaged
//! dump is survivable; a failure at any step leaves the checkpoint before. Does not: carry small generations over (all
//! are flushed).

use std::sync::{Arc, PoisonError};

use crate::disk::at;
use crate::error::{Result, StoreError};
use crate::flush::flush_table;
use crate::format::Checkpoint;
use crate::frame::Position;
use crate::state::{Retired, entries};
use crate::store::Shared;
use crate::{Oid, Seq, dump, wal};

/// Takes a checkpoint; gives the commit it holds. The caller holds the maintenance lock.
pub(crate) fn checkpoint(shared: &Arc<Shared>) -> Result<Seq> {
    let (wal_start, sealed_seq) = shared.seal(None)?;
    let snapshot = shared.published.load_full();
    let with_delta: Vec<Oid> = snapshot
        .tables()
        .filter(|(_, table)| table.sources.iter().any(|source| !source.is_part()))
        .map(|(oid, _)| oid)
        .collect();
    for table in with_delta {
        match flush_table(shared, table) {
            // Dropped or truncated meanwhile: then there is nothing left to flush.
            Err(error) if error.sqlstate == "40001" => flush_again(shared, table)?,
            other => drop(other?),
        }
    }
    let snapshot = shared.published.load_full();
    let applied = shared.meta.checkpoint(shared)?;
    if applied < snapshot.seq {
        return Err(StoreError::internal("the meta store is behind after its checkpoint"));
    }
    let all = entries(&snapshot)?;
    let disk = shared.disk.as_ref();
    let data_dir = &shared.config.data_dir;
    let digest = dump::write(disk, data_dir, snapshot.seq, wal_start, &all)?;
    let wal_written = shared.committer().wal.written;
    let mut last = shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
    let next = Checkpoint {
        seq: snapshot.seq,
        wal_start,
        base: snapshot.seq,
        digest,
        previous_seq: last.checkpoint.base,
        previous_wal_start: last.checkpoint.wal_start,
    };
    next.write(disk, data_dir)?;
    let swept_to = std::mem::replace(&mut last.sealed_seq, sealed_seq);
    last.checkpoint = next;
    last.at = shared.clock.monotonic();
    last.wal_written = wal_written;
    drop(last);
    sweep(shared, &next, swept_to)?;
    Ok(next.seq)
}

fn flush_again(shared: &Arc<Shared>, table: Oid) -> Result<()> {
    flush_table(shared, table).map(drop)
}

/// Unlinks log segments, dumps and files that neither of the last two checkpoints needs.
fn sweep(shared: &Shared, checkpoint: &Checkpoint, swept_to: Seq) -> Result<()> {
    let disk = shared.disk.as_ref();
    let data_dir = &shared.config.data_dir;
    let keep_from: Position = checkpoint.previous_wal_start;
    for number in wal::segments(disk, data_dir)? {
        if number < keep_from.segment() {
            let path = wal::segment_path(data_dir, number);
            at("unlink", &path, disk.unlink(&path))?;
        }
    }
    for seq in dump::dumps(disk, data_dir)? {
        if seq != checkpoint.base && seq != checkpoint.previous_seq {
            let path = dump::dump_path(data_dir, seq);
            at("unlink", &path, disk.unlink(&path))?;
        }
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
