//! The log while other threads work on its files.

use std::sync::Arc;

use super::gate::{Call, GatedDisk};
use super::kit::{TABLE, ids, rows, table};
use crate::sim::{SimClock, SimDisk, SimMeta};
use crate::{Isolation, Store, StoreConfig};

fn config() -> StoreConfig {
    StoreConfig {
        wal_segment_bytes_first: 1 << 14,
        wal_segment_bytes_max: 1 << 14,
        carry_table_bytes: 0,
        ..StoreConfig::at("/sim/data")
    }
}

fn open(disk: &GatedDisk, meta: &SimMeta) -> Store {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::<SimClock>::default());
    Store::open_with(&config(), disk, clock, Arc::new(meta.clone()), true).unwrap()
}

fn put(store: &Store, next: &mut i64) {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows(*next..*next + 20)).unwrap();
    let ticket = store.commit(txn);
    store.step_commit();
    ticket.try_wait().unwrap().unwrap();
    *next += 20;
}

/// The commit thread needs a new segment before the one that is being prepared is there.
#[test]
fn a_segment_that_is_prepared_late_harms_no_acknowledged_commit() {
    for (call, recycles) in [(Call::Create, false), (Call::CreateAndFail, false), (Call::Rename, true)] {
        let (disk, meta) = (GatedDisk::new(&SimDisk::new()), SimMeta::new());
        let store = open(&disk, &meta);
        let mut txn = store.begin(Isolation::ReadCommitted);
        txn.ddl(table(TABLE)).unwrap();
        drop(store.commit(txn));
        store.step_commit();
        let mut next = 0;
        while recycles && store.shared().recyclable().is_empty() {
            (0..60).for_each(|_| put(&store, &mut next));
            store.checkpoint().unwrap();
        }
        while !store.shared().committer().wal.wants_segment() {
            put(&store, &mut next);
        }
        let number = store.shared().committer().wal.end().segment();
        let held = disk.hold(call, ".wal");
        std::thread::scope(|scope| {
            let late = scope.spawn(|| store.shared().prepare_segment());
            held.reached();
            while store.shared().committer().wal.end().segment() == number {
                put(&store, &mut next);
            }
            held.release();
            late.join().unwrap();
        });
        // Several more, so that late segments lie between used ones.
        (0..100).for_each(|_| put(&store, &mut next));
        store.shared().prepare_segment();
        drop(store);
        assert_eq!(ids(&open(&disk, &meta)), (0..next).collect::<Vec<_>>());
    }
}
