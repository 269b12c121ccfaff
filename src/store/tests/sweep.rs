//! Every I/O call of a day in the store's life fails once, in each of three ways.
//!
//! One scripted life meets every kind of work: definitions, small and staged inserts, deletes, values and blobs, flush,
//! merge, carry, checkpoints, recycled segments, backup, restart. It is run once to count its calls; then once per call
//! and way of failing: an I/O error, a full disk, the power (and the power again during recovery). Promises checked:
//! a refused commit has no effect, an acknowledged one stays, the store goes on after every error but a failed sync of
//! the log, and after that acknowledges nothing; the next start finds everything. The points are those of the disk, so
//! none can be forgotten; the list below fails if the script no longer reaches one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::kit::{self, TABLE};
use crate::check::check_with;
use crate::sim::{Point, SimClock, SimDisk, SimMeta, SimRandom};
use crate::{Disk, Isolation, MetaOpener, Result, Space, Store, StoreConfig, Ticket, Txn};

/// What the sweep must reach.
const POINTS: [Point; 35] = [
    ("create", "wal"),
    ("write_at", "wal"),
    ("sync_all", "wal"),
    ("sync_data", "wal"),
    ("rename", "wal"),
    ("unlink", "wal"),
    ("sync_dir", "wal"),
    ("create", "arrow"),
    ("write_at", "arrow"),
    ("sync_all", "arrow"),
    ("rename", "arrow"),
    ("unlink", "arrow"),
    ("link", "arrow"),
    ("map", "arrow"),
    ("create", "idx"),
    ("write_at", "idx"),
    ("sync_all", "idx"),
    ("rename", "idx"),
    ("link", "idx"),
    ("sync_dir", "table"),
    ("sync_dir", "parts"),
    ("rename", "blob"),
    ("unlink", "blob"),
    ("sync_dir", "blobs"),
    ("rename", "base"),
    ("rename", "inc"),
    ("unlink", "base"),
    ("sync_dir", "ckpt"),
    ("rename", "CHECKPOINT"),
    ("rename", "FORMAT"),
    ("create", "tmp"),
    ("write_at", "tmp"),
    ("sync_all", "tmp"),
    ("sync_dir", "data"),
    ("lock", "LOCK"),
];

fn config() -> StoreConfig {
    StoreConfig {
        wal_segment_bytes_first: 1 << 14,
        wal_segment_bytes_max: 1 << 14,
        compaction_fan_in: 2,
        stage_rows_max: 400,
        carry_table_bytes: 2_000,
        ..StoreConfig::at("/sim/data")
    }
}

/// What must be there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    exists: bool,
    ids: BTreeSet<i64>,
    values: BTreeMap<u8, Vec<u8>>,
}

struct Life {
    disk: SimDisk,
    meta: SimMeta,
    clock: Arc<SimClock>,
    model: Model,
    /// States that commits of unknown outcome would have led to.
    perhaps: Option<Model>,
    /// SQLSTATEs of commits that were refused.
    refused: Vec<&'static str>,
}

impl Life {
    fn new() -> Self {
        let (disk, meta) = (SimDisk::new(), SimMeta::new());
        Self { disk, meta, clock: Arc::default(), model: Model::default(), perhaps: None, refused: Vec::new() }
    }

    fn open(&self) -> Result<Store> {
        Store::open_simulated(&config(), &self.disk, Arc::clone(&self.clock), &self.meta)
    }

    /// Commits what `build` writes; the model follows if it was acknowledged.
    fn commit(&mut self, store: &Store, change: impl Fn(&mut Model), build: impl Fn(&mut Txn) -> Result<()>) {
        let mut txn = store.begin(Isolation::ReadCommitted);
        if let Err(error) = build(&mut txn) {
            self.refused.push(error.sqlstate);
            return;
        }
        let ticket: Ticket = store.commit(txn);
        store.step_commit();
        let mut after = self.model.clone();
        change(&mut after);
        match ticket.try_wait() {
            Some(Ok(_)) => {
                assert!(store.failed().is_none(), "acknowledged after storage failed");
                self.model = after;
            }
            // Unknown: there or not, but only if it is the first; later ones are refused.
            Some(Err(error)) if error.sqlstate == "08007" || self.disk.crashed() => {
                self.perhaps.get_or_insert(after);
            }
            Some(Err(error)) => self.refused.push(error.sqlstate),
            None => panic!("a commit was left without an answer"),
        }
    }

    fn insert(&mut self, store: &Store, ids: std::ops::Range<i64>) {
        let new = ids.clone();
        self.commit(store, |model| model.ids.extend(new.clone()), |txn| txn.append(TABLE, kit::rows(ids.clone())));
    }

    fn delete(&mut self, store: &Store, gone: std::ops::Range<i64>) {
        let Ok(found) = kit::try_read(&store.snapshot()) else { return };
        let mut rows: BTreeMap<u32, roaring::RoaringBitmap> = BTreeMap::new();
        for (_, (source, row)) in found.range(gone.clone()) {
            rows.entry(*source).or_default().insert(*row);
        }
        let change = |model: &mut Model| model.ids.retain(|id| !gone.contains(id));
        self.commit(store, change, |txn| rows.iter().try_for_each(|(source, rows)| txn.delete(TABLE, *source, rows)));
    }

    fn put(&mut self, store: &Store, key: u8, len: usize) {
        // Noise, so that the log really grows.
        let mut random = SimRandom::new(len as u64);
        let value: Vec<u8> = (0..len).map(|_| random.bits().to_le_bytes()[0]).collect();
        let change = |model: &mut Model| drop(model.values.insert(key, value.clone()));
        self.commit(store, change, |txn| txn.put(Space::Kv, &[key], &value));
    }

    /// Errors of upkeep are for the log; what matters is that nothing is lost by them.
    fn upkeep(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            let expected = ["58030", "53100", "08007", "40001", "XX001", "57P01", "58P02"];
            assert!(self.disk.crashed() || expected.contains(&error.sqlstate), "{error:?}");
        }
    }

    fn script(&mut self, store: &Store) {
        self.commit(store, |model| model.exists = true, |txn| txn.ddl(kit::table(TABLE)));
        for round in 0..6 {
            self.insert(store, round * 100..round * 100 + 40);
            self.put(store, 1, if round % 2 == 0 { 70_000 } else { 6_000 });
            self.put(store, 2, 5_000);
            self.delete(store, round * 100 + 5..round * 100 + 6);
            self.upkeep(store.flush(TABLE));
            self.insert(store, round * 100 + 50..round * 100 + 60);
            store.shared().maintain();
            while store.step_meta() {}
            if round % 2 == 1 {
                self.upkeep(store.compact(TABLE).map(drop));
                self.upkeep(store.checkpoint().map(drop));
            }
        }
        // Staged while it arrives.
        self.insert(store, 10_000..10_500);
        self.delete(store, 10_000..10_120);
        self.upkeep(store.rewrite_deleted(TABLE));
        self.upkeep(store.backup(Path::new("/sim/backup")).map(drop));
        for round in 0..3 {
            self.insert(store, 20_000 + round..20_001 + round);
            self.put(store, 3, 9_000);
            self.upkeep(store.checkpoint().map(drop));
            store.shared().maintain();
        }
    }

    fn found(store: &Store) -> Result<Model> {
        let snapshot = store.snapshot();
        let mut values = BTreeMap::new();
        for (key, value) in snapshot.scan(Space::Kv, b"") {
            values.insert(key[0], value.read()?.to_vec());
        }
        let ids = kit::try_read(&snapshot)?.into_keys().collect();
        Ok(Model { exists: snapshot.table(TABLE).is_some(), ids, values })
    }

    /// Reads go on after any error; one injected into a read is an error of that read.
    fn compare(&self, store: &Store, what: &str) {
        if self.disk.crashed() {
            return;
        }
        let found = Self::found(store).or_else(|_| Self::found(store));
        if self.disk.crashed() {
            return;
        }
        let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
        if Some(&found) != self.perhaps.as_ref() {
            let perhaps = self.perhaps.as_ref().map(|perhaps| unlike(perhaps, &found));
            assert!(found == self.model, "{what}: {}, or {perhaps:?}", unlike(&self.model, &found));
        }
    }

    /// Starts until it works, with the power going again on the way if it was that.
    fn restart(&mut self, random: &mut SimRandom, what: &str) {
        self.disk.crash(random);
        self.meta.crash(random);
        for _ in 0..3 {
            self.disk.crash_after(1 + random.below(60));
            if let Ok(store) = self.open()
                && !self.disk.crashed()
            {
                self.compare(&store, what);
            }
            self.disk.crash(random);
            self.meta.crash(random);
        }
        let store = self.open().unwrap_or_else(|error| panic!("{what}: the next start refused: {error}"));
        self.compare(&store, what);
    }
}

fn unlike(expected: &Model, found: &Model) -> String {
    let missing: Vec<_> = expected.ids.difference(&found.ids).collect();
    let extra: Vec<_> = found.ids.difference(&expected.ids).collect();
    let keys = |model: &Model| model.values.iter().map(|(key, value)| (*key, value.len())).collect::<Vec<_>>();
    format!("missing {missing:?}, extra {extra:?}, values {:?} / {:?}", keys(expected), keys(found))
}

/// Calls of the whole script, and what they touched.
fn count() -> (u64, BTreeSet<Point>) {
    let mut life = Life::new();
    let store = life.open().unwrap();
    life.script(&store);
    life.compare(&store, "without faults");
    assert!(life.perhaps.is_none());
    store.close().unwrap();
    let mut points = life.disk.points();
    drop(life.open().unwrap());
    points.extend(life.disk.points());
    (life.disk.calls(), points)
}

#[test]
fn every_point_is_reached() {
    let (calls, points) = count();
    let missing: Vec<&Point> = POINTS.iter().filter(|point| !points.contains(point)).collect();
    assert!(missing.is_empty(), "not reached: {missing:?}\nreached: {points:?}");
    println!("{calls} calls at {} points", points.len());
}

/// Every `step`-th call fails; a campaign takes each.
fn sweep(error: Option<ErrorKind>, step: u64) {
    let (calls, _) = count();
    let mut hit = BTreeSet::new();
    let mut stopped = 0;
    let mut at = 1;
    while at <= calls {
        let what = format!("{error:?} at call {at}");
        let mut life = Life::new();
        match error {
            Some(kind) => life.disk.fail_call_after(at, kind),
            None => life.disk.crash_after(at),
        }
        let mut random = SimRandom::new(at);
        if let Ok(store) = life.open() {
            life.script(&store);
            if let Some(point) = life.disk.failed_point() {
                let ended = store.failed().is_some();
                assert_eq!(ended, point == ("sync_data", "wal"), "{what}, {point:?}");
                stopped += u32::from(ended);
            }
            life.compare(&store, &what);
            if let Err(error) = store.close() {
                life.upkeep(Err(error));
            }
        }
        hit.extend(life.disk.failed_point());
        life.restart(&mut random, &what);
        at += step;
    }
    println!("{error:?}: {} of {calls} calls at {} points, {stopped} stopped the store", calls / step, hit.len());
}

fn step() -> u64 {
    // Every call in a campaign; a prime step hits every phase of the script otherwise.
    kit::campaign("CRASH_SWEEP_STEP", 13)
}

#[test]
fn an_io_error_anywhere_loses_nothing() {
    sweep(Some(ErrorKind::Other), step());
}

#[test]
fn a_full_disk_anywhere_loses_nothing() {
    sweep(Some(ErrorKind::StorageFull), step());
}

#[test]
fn the_power_may_go_anywhere() {
    sweep(None, step());
}

/// A disk of every size fills up while work goes on: reads never fail, what does not fit is refused with 53100 and has no
/// effect, and when there is room again everything goes on without a start.
#[test]
fn a_disk_of_any_size_fills_up_and_is_emptied_again() {
    let room = 1 << 30;
    let mut whole = Life::new();
    let store = whole.open().unwrap();
    whole.disk.limit(Some(room));
    whole.script(&store);
    assert_eq!(whole.refused, [""; 0]);
    let disk: &dyn Disk = &whole.disk;
    let needed = room - disk.free_space(Path::new("/sim/data")).unwrap();
    let sizes = kit::campaign("CRASH_FULL_DISKS", 16);
    let mut refused = 0;
    for size in 0..sizes {
        let what = format!("{} of {needed} bytes", needed * size / sizes);
        let mut life = Life::new();
        let store = life.open().unwrap();
        life.disk.limit(Some(needed * size / sizes));
        life.script(&store);
        assert!(store.failed().is_none() && life.perhaps.is_none(), "{what}: {:?}", store.failed());
        life.compare(&store, &what);
        // What was staged and did not fit is refused in the statement, what was not, at commit.
        assert!(life.refused.iter().all(|sqlstate| *sqlstate == "53100"), "{what}: {:?}", life.refused);
        refused += life.refused.len();
        life.disk.limit(None);
        store.shared().maintain();
        life.refused.clear();
        life.insert(&store, 50_000..50_600);
        life.delete(&store, 50_000..50_100);
        life.put(&store, 4, 100_000);
        assert_eq!(life.refused, [""; 0], "{what}: writing did not go on");
        store.flush(TABLE).unwrap();
        store.compact(TABLE).unwrap();
        store.checkpoint().unwrap();
        life.compare(&store, &what);
        store.backup(Path::new("/sim/later")).unwrap();
        store.close().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(life.disk.clone());
        for dir in [Path::new("/sim/data"), Path::new("/sim/later")] {
            let opener: Option<&dyn MetaOpener> = dir.ends_with("data").then_some(&life.meta);
            let damage: Vec<_> = check_with(dir, &disk, opener).unwrap().into_iter().filter(|f| f.damage).collect();
            assert_eq!(damage, [], "{what}");
        }
        life.restart(&mut SimRandom::new(size), &what);
    }
    println!("{sizes} disks of up to {needed} bytes, {refused} commits refused");
    assert!(refused > 50, "{refused} commits were refused");
}
