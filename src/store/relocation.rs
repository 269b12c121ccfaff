//! Where rows went when a flush or a compaction replaced their source.
//!
//! For: transactions that found rows to delete in a source that is gone when they commit. Promises: a map lives while
//! a transaction older than its install is open; when maps pass their memory limit the oldest go, and transactions
//! that needed them get 40001. Does not: survive a restart; frames always name sources live at their seq, so recovery
//! needs no maps.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use roaring::RoaringBitmap;

use crate::snapshot::{Snapshot, TableState};
use crate::{Oid, Seq};

/// Limit: bytes of all maps.
const MAP_BYTES_MAX: usize = 256 << 20;

/// Parts that took over, each with its first row in the arrangement.
pub(crate) type Targets = Arc<[(u32, u32)]>;

struct Relocation {
    installed_at: Seq,
    /// Place in the arrangement by old row; `u32::MAX` = the row was deleted.
    rows: Arc<Vec<u32>>,
    targets: Targets,
}

#[derive(Default)]
struct Maps {
    by_source: HashMap<(Oid, u32), Relocation>,
    oldest_first: VecDeque<(Oid, u32)>,
    bytes: usize,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Relocations {
    maps: Mutex<Maps>,
}

impl Relocations {
    fn maps(&self) -> MutexGuard<'_, Maps> {
        // Every change below is complete before anything can panic.
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, table: Oid, source: u32, installed_at: Seq, rows: Arc<Vec<u32>>, targets: Targets) {
        let mut maps = self.maps();
        maps.bytes += rows.len() * 4;
        maps.oldest_first.push_back((table, source));
        if let Some(old) = maps.by_source.insert((table, source), Relocation { installed_at, rows, targets }) {
            maps.bytes -= old.rows.len() * 4;
        }
        while maps.bytes > MAP_BYTES_MAX {
            let Some(oldest) = maps.oldest_first.pop_front() else { break };
            if let Some(old) = maps.by_source.remove(&oldest) {
                maps.bytes -= old.rows.len() * 4;
            }
        }
    }

    /// Drops maps no open transaction can need: those installed at or before `oldest`; all when None is open.
    pub(crate) fn purge(&self, oldest: Option<Seq>) {
        let mut maps = self.maps();
        let Maps { by_source, oldest_first, bytes } = &mut *maps;
        by_source.retain(|_, map| {
            let needed = oldest.is_some_and(|oldest| map.installed_at > oldest);
            if !needed {
                *bytes -= map.rows.len() * 4;
            }
            needed
        });
        oldest_first.retain(|key| by_source.contains_key(key));
    }

    /// Rows of a source that is not in `state`, by the live sources that hold them now. None when the source was not
    /// relocated (dropped, truncated, map gone) or when one of the rows was deleted before the move.
    pub(crate) fn forward(
        &self,
        table: Oid,
        state: &TableState,
        source: u32,
        rows: &RoaringBitmap,
    ) -> Option<BTreeMap<u32, RoaringBitmap>> {
        let maps = self.maps();
        let mut live = BTreeMap::new();
        let mut todo = vec![(source, rows.clone())];
        while let Some((source, rows)) = todo.pop() {
            if state.source(source).is_some() {
                *live.entry(source).or_insert_with(RoaringBitmap::new) |= rows;
                continue;
            }
            let map = maps.by_source.get(&(table, source))?;
            let mut moved: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
            for row in rows {
                let place = *map.rows.get(row as usize)?;
                let (target, row) = locate(&map.targets, place)?;
                moved.entry(target).or_default().insert(row);
            }
            todo.extend(moved);
        }
        Some(live)
    }
}

/// The part and row of a place in an arrangement; None for a row that was left out.
pub(crate) fn locate(targets: &[(u32, u32)], place: u32) -> Option<(u32, u32)> {
    if place == u32::MAX {
        return None;
    }
    let index = targets.partition_point(|(_, first)| *first <= place).checked_sub(1)?;
    let (part, first) = targets[index];
    Some((part, place - first))
}

/// Open transactions by the commit they may have started from.
#[derive(Default)]
pub(crate) struct OpenTxns {
    by_seq: Mutex<BTreeMap<Seq, usize>>,
}

impl OpenTxns {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Seq, usize>> {
        self.by_seq.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a transaction whose snapshot will be at least the returned commit.
    pub(crate) fn enter(&self, published: &ArcSwap<Snapshot>) -> Seq {
        let mut map = self.map();
        let seq = published.load().seq;
        *map.entry(seq).or_insert(0) += 1;
        seq
    }

    pub(crate) fn leave(&self, seq: Seq) {
        let mut map = self.map();
        if let Some(count) = map.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                map.remove(&seq);
            }
        }
    }

    pub(crate) fn oldest(&self) -> Option<Seq> {
        self.map().keys().next().copied()
    }
}
