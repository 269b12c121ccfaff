//! LOCK TABLE: an agreement between sessions that use it, held until the end of the transaction.
//!
//! Modes conflict as PostgreSQL's do, but only among LOCK TABLE statements: a plain write never waits for one. Who waits can
//! be canceled, and who would wait for himself through others is told so (40P01).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use crate::dialect::sqlparser::ast::LockTableMode;

/// Modes that one waits for, a bit each; bits as [`bit`] gives them.
fn conflicts(mode: &LockTableMode) -> u8 {
    match mode {
        LockTableMode::AccessShare => 0b1000_0000,
        LockTableMode::RowShare => 0b1100_0000,
        LockTableMode::RowExclusive => 0b1111_0000,
        LockTableMode::ShareUpdateExclusive => 0b1111_1000,
        LockTableMode::Share => 0b1110_1100,
        LockTableMode::ShareRowExclusive => 0b1111_1100,
        LockTableMode::Exclusive => 0b1111_1110,
        LockTableMode::AccessExclusive => 0b1111_1111,
    }
}

fn bit(mode: &LockTableMode) -> u8 {
    let place = match mode {
        LockTableMode::AccessShare => 0,
        LockTableMode::RowShare => 1,
        LockTableMode::RowExclusive => 2,
        LockTableMode::ShareUpdateExclusive => 3,
        LockTableMode::Share => 4,
        LockTableMode::ShareRowExclusive => 5,
        LockTableMode::Exclusive => 6,
        LockTableMode::AccessExclusive => 7,
    };
    1 << place
}

/// Whether the mode keeps writers out, as seen by its holder.
pub(super) fn excludes_writers(mode: &LockTableMode) -> bool {
    conflicts(mode) & bit(&LockTableMode::RowExclusive) != 0
}

/// One lock that is held.
#[derive(Debug)]
struct Held {
    id: u64,
    owner: i32,
    mode: u8,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    held: HashMap<u32, Vec<Held>>,
    /// What each waiting session waits for: a table, and the modes in its way.
    waiting: HashMap<i32, (u32, u8)>,
}

impl State {
    /// Sessions other than `owner` that hold one of the modes.
    fn in_the_way(&self, owner: i32, table: u32, modes: u8) -> impl Iterator<Item = i32> {
        let held = self.held.get(&table).into_iter().flatten();
        held.filter(move |held| held.owner != owner && held.mode & modes != 0).map(|held| held.owner)
    }

    /// Whether a session that waits for a table waits for itself in the end.
    fn deadlocks(&self, owner: i32, table: u32, modes: u8) -> bool {
        let mut seen = HashSet::new();
        let mut todo: Vec<i32> = self.in_the_way(owner, table, modes).collect();
        while let Some(other) = todo.pop() {
            if other == owner {
                return true;
            }
            if let Some((table, modes)) = self.waiting.get(&other).filter(|_| seen.insert(other)) {
                todo.extend(self.in_the_way(other, *table, *modes));
            }
        }
        false
    }
}

/// All locks of the process.
#[derive(Debug, Default)]
pub(super) struct TableLocks {
    state: Mutex<State>,
    released: Notify,
}

/// A lock; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct TableLock {
    locks: Arc<TableLocks>,
    table: u32,
    id: u64,
}

impl Drop for TableLock {
    fn drop(&mut self) {
        let mut state = self.locks.state();
        if let Some(held) = state.held.get_mut(&self.table) {
            held.retain(|held| held.id != self.id);
            if held.is_empty() {
                state.held.remove(&self.table);
            }
        }
        drop(state);
        self.locks.released.notify_waiters();
    }
}

/// Says that a session waits, until it is dropped.
struct Waiting<'a>(&'a TableLocks, i32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting.remove(&self.1);
    }
}

impl TableLocks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if nobody is in its way.
    pub(super) fn try_take(self: &Arc<Self>, owner: i32, table: u32, mode: &LockTableMode) -> Option<TableLock> {
        let mut state = self.state();
        if state.in_the_way(owner, table, conflicts(mode)).next().is_some() {
            return None;
        }
        state.next_id += 1;
        let id = state.next_id;
        state.held.entry(table).or_default().push(Held { id, owner, mode: bit(mode) });
        Some(TableLock { locks: Arc::clone(self), table, id })
    }

    /// Waits for the lock.
    pub(super) async fn take(
        self: &Arc<Self>,
        owner: i32,
        table: u32,
        mode: &LockTableMode,
    ) -> Result<TableLock, PgError> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // From here on no release is missed.
            released.as_mut().enable();
            if let Some(lock) = self.try_take(owner, table, mode) {
                return Ok(lock);
            }
            let _waiting = self.wait(owner, table, mode)?;
            released.await;
        }
    }

    /// Says what a session waits for.
    fn wait(&self, owner: i32, table: u32, mode: &LockTableMode) -> Result<Waiting<'_>, PgError> {
        let mut state = self.state();
        if state.deadlocks(owner, table, conflicts(mode)) {
            let error = PgError::new(sqlstate::T_R_DEADLOCK_DETECTED, "deadlock detected");
            return Err(error.hint("Take locks in the same order everywhere."));
        }
        state.waiting.insert(owner, (table, conflicts(mode)));
        Ok(Waiting(self, owner))
    }
}
