//! Random transactions side by side against a model, with seeds that shrink.
//!
//! Up to three transactions are open at once: they add, delete and rewrite rows, put and remove values, set savepoints and
//! return to them, start new statements, commit alone or as a group; between them flushes, merges, checkpoints and
//! restarts. The model knows what each must see at every moment and whether its commit must be refused: a row it deletes
//! was deleted by another one since. It is plain maps and shares no code with the store. A sequence that fails is shrunk and
//! kept in `tests/model-seeds.txt`, which is run first from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use roaring::RoaringBitmap;

use super::kit::{self, TABLE, read_txn, rows};
use crate::sim::{SimClock, SimDisk, SimMeta};
use crate::{Isolation, Mark, Space, Store, StoreConfig, Ticket, Txn};

const SLOTS: usize = 3;
const KEYS: u8 = 3;

#[derive(Debug, Clone)]
enum Op {
    Begin(usize, bool),
    Statement(usize),
    Insert(usize, u8),
    Delete(usize, u16),
    /// Deletes a row and adds it again.
    Rewrite(usize, u16),
    Put(usize, u8, u8),
    Remove(usize, u8),
    Savepoint(usize),
    RollbackTo(usize, u8),
    Commit(usize),
    Rollback(usize),
    CommitAll,
    Flush,
    Compact,
    RewriteDeleted,
    Checkpoint,
    Meta,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    prop_oneof![
        6 => (slot(), any::<bool>()).prop_map(|(slot, repeatable)| Op::Begin(slot, repeatable)),
        5 => slot().prop_map(Op::Statement),
        6 => (slot(), 1..40u8).prop_map(|(slot, count)| Op::Insert(slot, count)),
        6 => (slot(), any::<u16>()).prop_map(|(slot, nth)| Op::Delete(slot, nth)),
        4 => (slot(), any::<u16>()).prop_map(|(slot, nth)| Op::Rewrite(slot, nth)),
        2 => (slot(), 0..KEYS, any::<u8>()).prop_map(|(slot, key, value)| Op::Put(slot, key, value)),
        1 => (slot(), 0..KEYS).prop_map(|(slot, key)| Op::Remove(slot, key)),
        3 => slot().prop_map(Op::Savepoint),
        3 => (slot(), any::<u8>()).prop_map(|(slot, nth)| Op::RollbackTo(slot, nth)),
        2 => slot().prop_map(Op::Commit),
        1 => slot().prop_map(Op::Rollback),
        1 => Just(Op::CommitAll),
        4 => Just(Op::Flush),
        2 => Just(Op::Compact),
        1 => Just(Op::RewriteDeleted),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Meta),
        1 => Just(Op::Restart),
    ]
}

/// Rows by id, each with a number that no other row has; and values.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    rows: BTreeMap<i64, u64>,
    values: BTreeMap<u8, u8>,
}

/// What a transaction wants.
#[derive(Debug, Clone, Default)]
struct Wants {
    /// Numbers of committed rows it deletes.
    deleted: BTreeSet<u64>,
    added: BTreeMap<i64, u64>,
    values: BTreeMap<u8, Option<u8>>,
}

impl Wants {
    fn over(&self, base: &State) -> State {
        let mut out = base.clone();
        out.rows.retain(|_, number| !self.deleted.contains(number));
        out.rows.extend(&self.added);
        for (key, value) in &self.values {
            match value {
                Some(value) => drop(out.values.insert(*key, *value)),
                None => drop(out.values.remove(key)),
            }
        }
        out
    }
}

struct Open {
    txn: Txn,
    base: State,
    wants: Wants,
    marks: Vec<(Mark, Wants)>,
}

impl Open {
    /// Another one deleted a row this one deletes, and it has seen that: it may see the row and what replaced it, and its
    /// commit is refused.
    fn doomed(&self) -> bool {
        let there: BTreeSet<u64> = self.base.rows.values().copied().collect();
        !self.wants.deleted.is_subset(&there)
    }
}

struct World {
    config: StoreConfig,
    disk: SimDisk,
    meta: SimMeta,
    store: Option<Store>,
    committed: State,
    open: [Option<Open>; SLOTS],
    next: i64,
    next_number: u64,
}

fn values(get: impl Fn(&[u8]) -> Option<crate::Value>) -> BTreeMap<u8, u8> {
    (0..KEYS).filter_map(|key| Some((key, get(&[key])?.read().unwrap()[0]))).collect()
}

impl World {
    fn new() -> Self {
        let config = StoreConfig {
            wal_segment_bytes_first: 1 << 14,
            wal_segment_bytes_max: 1 << 14,
            carry_table_bytes: 2_000,
            compaction_fan_in: 2,
            stage_rows_max: 60,
            ..StoreConfig::at("/sim/data")
        };
        let mut world = Self {
            config,
            disk: SimDisk::new(),
            meta: SimMeta::new(),
            store: None,
            committed: State::default(),
            open: Default::default(),
            next: 0,
            next_number: 0,
        };
        world.restart();
        let mut txn = world.store().begin(Isolation::ReadCommitted);
        txn.ddl(kit::table(TABLE)).unwrap();
        let ticket = world.store().commit(txn);
        world.store().step_commit();
        ticket.try_wait().unwrap().unwrap();
        world
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between operations")
    }

    fn restart(&mut self) {
        self.open = Default::default();
        self.store = None;
        let clock = Arc::<SimClock>::default();
        self.store = Some(Store::open_simulated(&self.config, &self.disk, clock, &self.meta).unwrap());
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn insert(&mut self, slot: usize, count: u8) {
        let ids = self.next..self.next + i64::from(count);
        let new: Vec<(i64, u64)> = ids.clone().map(|id| (id, self.number())).collect();
        let Some(open) = &mut self.open[slot] else { return };
        self.next = ids.end;
        open.txn.append(TABLE, rows(ids)).unwrap();
        open.wants.added.extend(new);
    }

    fn delete(&mut self, slot: usize, nth: u16, again: bool) {
        let number = self.number();
        let Some(open) = self.open[slot].as_mut().filter(|open| !open.doomed()) else { return };
        let seen = open.wants.over(&open.base);
        let Some((id, old)) = seen.rows.iter().nth(usize::from(nth) % seen.rows.len().max(1)) else { return };
        let (source, row) = read_txn(&open.txn)[id];
        open.txn.delete(TABLE, source, &RoaringBitmap::from_iter([row])).unwrap();
        if open.wants.added.get(id) == Some(old) {
            open.wants.added.remove(id);
        } else {
            open.wants.deleted.insert(*old);
        }
        if again {
            open.txn.append(TABLE, rows([*id])).unwrap();
            open.wants.added.insert(*id, number);
        }
    }

    /// Queues the commit of some transactions, which are then one group.
    fn commit(&mut self, slots: &[usize]) {
        let taken: Vec<Open> = slots.iter().filter_map(|slot| self.open[*slot].take()).collect();
        let store = self.store().clone();
        let queued: Vec<(Ticket, Wants)> = taken.into_iter().map(|open| (store.commit(open.txn), open.wants)).collect();
        store.step_commit();
        for (ticket, wants) in queued {
            let there: BTreeSet<u64> = self.committed.rows.values().copied().collect();
            let expected = if wants.deleted.is_subset(&there) { Ok(()) } else { Err("40001") };
            let answer = ticket.try_wait().expect("answered");
            assert_eq!(answer.map(drop).map_err(|error| error.sqlstate), expected, "{wants:?}");
            if expected.is_ok() {
                self.committed = wants.over(&self.committed);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Begin(slot, repeatable) if self.open[slot].is_none() => {
                let level = if repeatable { Isolation::RepeatableRead } else { Isolation::ReadCommitted };
                let txn = self.store().begin(level);
                let base = self.committed.clone();
                self.open[slot] = Some(Open { txn, base, wants: Wants::default(), marks: Vec::new() });
            }
            Op::Begin(..) => {}
            Op::Statement(slot) => {
                let Some(open) = &mut self.open[slot] else { return };
                open.txn.refresh_snapshot();
                if open.txn.isolation() == Isolation::ReadCommitted {
                    open.base = self.committed.clone();
                }
            }
            Op::Insert(slot, count) => self.insert(slot, count),
            Op::Delete(slot, nth) => self.delete(slot, nth, false),
            Op::Rewrite(slot, nth) => self.delete(slot, nth, true),
            Op::Put(slot, key, value) => {
                let Some(open) = &mut self.open[slot] else { return };
                open.txn.put(Space::Kv, &[key], &[value]).unwrap();
                open.wants.values.insert(key, Some(value));
            }
            Op::Remove(slot, key) => {
                let Some(open) = &mut self.open[slot] else { return };
                open.txn.remove(Space::Kv, &[key]).unwrap();
                open.wants.values.insert(key, None);
            }
            Op::Savepoint(slot) => {
                let Some(open) = &mut self.open[slot] else { return };
                open.marks.push((open.txn.savepoint(), open.wants.clone()));
            }
            Op::RollbackTo(slot, nth) => {
                let Some(open) = &mut self.open[slot] else { return };
                if open.marks.is_empty() {
                    return;
                }
                open.marks.truncate(usize::from(nth) % open.marks.len() + 1);
                let (mark, wants) = open.marks.last().expect("at least one is left");
                assert!(open.txn.rollback_to(*mark));
                open.wants = wants.clone();
            }
            Op::Commit(slot) => self.commit(&[slot]),
            Op::Rollback(slot) => self.open[slot] = None,
            Op::CommitAll => self.commit(&[0, 1, 2]),
            Op::Flush => self.store().flush(TABLE).unwrap(),
            Op::Compact => drop(self.store().compact(TABLE).unwrap()),
            Op::RewriteDeleted => self.store().rewrite_deleted(TABLE).unwrap(),
            Op::Checkpoint => drop(self.store().checkpoint().unwrap()),
            Op::Meta => drop(self.store().step_meta()),
            Op::Restart => self.restart(),
        }
    }

    fn compare(&self) {
        let snapshot = self.store().snapshot();
        assert!(kit::ids(self.store()).iter().eq(self.committed.rows.keys()), "committed rows");
        assert_eq!(values(|key| snapshot.get(Space::Kv, key)), self.committed.values, "committed values");
        for open in self.open.iter().flatten().filter(|open| !open.doomed()) {
            let seen = open.wants.over(&open.base);
            assert!(read_txn(&open.txn).keys().eq(seen.rows.keys()), "rows of a transaction: {:?}", open.wants);
            assert_eq!(values(|key| open.txn.get(Space::Kv, key)), seen.values, "values of a transaction");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: u32::try_from(kit::campaign("CRASH_MODEL_CASES", 100)).unwrap_or(u32::MAX),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model-seeds.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_transaction_sees_and_does_what_the_model_says(ops in prop::collection::vec(op(), 1..200)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
            world.compare();
        }
        world.restart();
        world.compare();
    }
}
