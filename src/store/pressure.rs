//! Back-pressure: writers wait when flush or compaction fall behind.
//!
//! For: bounding memory and the number of parts. Promises: a transaction that adds rows waits, without blocking its
//! thread and cancellable by dropping its ticket, while the delta is over twice its budget or a bucket of a table has
//! more than `parts_soft` runs that wait to be merged (a run is at least one part; a large table has many parts, and runs
//! too large for any merge, and is not behind for that); after 30 seconds, or at once above `parts_hard`, it gets 53400 naming the cause. Deletes,
//! definitions and keyed values pass. Does not: throttle reads.

use std::time::Duration;

use crate::compact::runs_behind;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::prepare::Prepared;
use crate::snapshot::Snapshot;

/// How long a writer waits for room.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

/// Whether a transaction may go on.
pub(crate) enum Room {
    Now,
    /// Not yet; the error is for the one who waited too long.
    Later(StoreError),
    Never(StoreError),
}

/// Whether all deltas together are over twice their budget.
pub(crate) fn delta_full(config: &StoreConfig, state: &Snapshot) -> bool {
    state.tables().map(|(_, table)| table.delta_bytes()).sum::<u64>() > config.delta_memory.saturating_mul(2)
}

fn full(cause: String) -> StoreError {
    StoreError::new("53400", cause).with_hint("Insert in larger batches or run VACUUM.")
}

pub(crate) fn room(config: &StoreConfig, prepared: &Prepared, state: &Snapshot, delta_full: bool) -> Room {
    for table in &prepared.tables {
        if table.appends.is_empty() && table.staged.is_empty() {
            continue;
        }
        let parts = state.table(table.table).map_or(0, |state| runs_behind(config, state));
        let cause = || {
            full(format!("table {} has too many parts", table.table))
                .with_detail(format!("{parts} runs of them wait to be merged."))
        };
        if parts > config.parts_hard {
            return Room::Never(cause());
        }
        if parts > config.parts_soft {
            return Room::Later(cause());
        }
        if delta_full && !table.appends.is_empty() {
            return Room::Later(full("delta memory is full".to_owned()));
        }
    }
    Room::Now
}
