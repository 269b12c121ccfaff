//! Flush, compaction, checkpoints and back-pressure over time.

use std::sync::Arc;

use super::kit::*;
use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom, Vice};
use crate::state::{digest, entries};
use crate::{Isolation, Store, StoreConfig};

fn sim(config: StoreConfig) -> (SimDisk, SimMeta, Arc<SimClock>, Store) {
    let (disk, meta, clock) = (SimDisk::new(), SimMeta::new(), Arc::<SimClock>::default());
    let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
    (disk, meta, clock, store)
}

fn small() -> StoreConfig {
    StoreConfig {
        wal_segment_bytes_first: 1 << 15,
        wal_segment_bytes_max: 1 << 17,
        carry_table_bytes: 0,
        compaction_fan_in: 4,
        ..StoreConfig::at("/sim/data")
    }
}

fn put_rows(store: &Store, ids: impl IntoIterator<Item = i64>) -> crate::Ticket {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows(ids)).unwrap();
    store.commit(txn)
}

fn now(store: &Store, ticket: crate::Ticket) {
    store.step_commit();
    ticket.try_wait().unwrap().unwrap();
}

fn make_table(store: &Store) {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(table(TABLE)).unwrap();
    now(store, store.commit(txn));
}

fn parts(store: &Store) -> usize {
    store.snapshot().table(TABLE).unwrap().sources().iter().filter(|source| source.is_part()).count()
}

#[test]
fn many_small_flushes_become_few_sorted_runs() {
    let (disk, meta, clock, store) = sim(small());
    make_table(&store);
    for round in 0..16i64 {
        now(&store, put_rows(&store, (0..20).map(|i| i * 16 + round)));
        store.flush(TABLE).unwrap();
    }
    assert_eq!(parts(&store), 16);
    let mut in_flight = store.begin(Isolation::RepeatableRead);
    delete_in(&mut in_flight, &[17, 200]);
    let old = store.snapshot();
    assert_eq!(store.compact(TABLE).unwrap(), 5, "four merges of four, and one of the four results");
    assert_eq!(parts(&store), 1);
    let order: Vec<(u32, u32)> = read(&store).into_values().collect();
    assert!(order.is_sorted(), "the merged run is in the order of the key");
    now(&store, store.commit(in_flight));
    let expected: Vec<i64> = (0..320).filter(|id| ![17, 200].contains(id)).collect();
    assert_eq!(ids(&store), expected);
    assert_eq!(try_read(&old).unwrap().len(), 320, "a reader from before keeps its parts");
    let names =
        |disk: &SimDisk| disk.files().iter().filter(|path| path.extension().is_some_and(|e| e == "arrow")).count();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    assert_eq!(names(&disk), 17, "the old reader still needs sixteen");
    drop(old);
    store.checkpoint().unwrap();
    assert_eq!(names(&disk), 1);
    drop(store);
    let store = Store::open_simulated(&small(), &disk, clock, &meta).unwrap();
    assert_eq!(ids(&store), expected);
}

#[test]
fn a_part_with_many_deleted_rows_is_rewritten_alone() {
    let (_disk, _meta, _clock, store) = sim(small());
    make_table(&store);
    for range in [0..100, 100..200] {
        now(&store, put_rows(&store, range));
        store.flush(TABLE).unwrap();
    }
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &(0..15).collect::<Vec<_>>());
    now(&store, store.commit(txn));
    assert_eq!(store.compact(TABLE).unwrap(), 0, "15 of 100 is not more than 15 percent");
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[50]);
    now(&store, store.commit(txn));
    assert_eq!(store.compact(TABLE).unwrap(), 1);
    let snapshot = store.snapshot();
    let sources = snapshot.table(TABLE).unwrap().sources();
    assert_eq!(sources.iter().map(|source| source.rows()).collect::<Vec<_>>(), [100, 84]);
    assert!(sources.iter().all(|source| source.deletes().is_none()));
}

#[test]
fn flushes_go_on_while_parts_with_deleted_rows_are_rewritten() {
    let (_disk, _meta, _clock, store) = sim(StoreConfig { delta_flush_rows: 5, ..small() });
    make_table(&store);
    now(&store, put_rows(&store, 0..100));
    store.flush(TABLE).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[3]);
    now(&store, store.commit(txn));
    let (beside, done) = (store.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let flag = Arc::clone(&done);
    *store.shared().before_install.lock().unwrap() = Some(Box::new(move || {
        assert!(beside.shared().maintenance_is_free(), "a flush would wait");
        now(&beside, put_rows(&beside, 100..110));
        beside.shared().maintain();
        assert_eq!(parts(&beside), 2, "the rows that came meanwhile are a part");
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    }));
    store.rewrite_deleted(TABLE).unwrap();
    assert!(done.load(std::sync::atomic::Ordering::Relaxed));
    let snapshot = store.snapshot();
    assert!(snapshot.table(TABLE).unwrap().sources().iter().all(|source| source.deletes().is_none()));
    assert_eq!(ids(&store), (0..110).filter(|id| *id != 3).collect::<Vec<_>>());
}

#[test]
fn a_part_that_cannot_be_read_does_not_keep_the_disk_busy_or_others_from_being_merged() {
    let config = StoreConfig { compaction_fan_in: 2, ..small() };
    let (disk, meta, clock, store) = sim(config.clone());
    make_table(&store);
    for round in 0..4 {
        now(&store, put_rows(&store, round * 100..(round + 1) * 100));
        store.flush(TABLE).unwrap();
    }
    store.checkpoint().unwrap();
    drop(store);
    let mut data = disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "arrow"));
    let (path, middle) = (data.next().unwrap(), disk.content(&data.next().unwrap()).unwrap().len() / 2);
    disk.damage(&path, |bytes| bytes[middle] ^= 1).unwrap();
    let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
    // Rounds a second apart, as the background thread makes them: those that touched the disk.
    let mut busy = Vec::new();
    for second in 0..100 {
        let before = disk.calls();
        crate::compact::compact_all(store.shared());
        if disk.calls() != before {
            busy.push(second);
        }
        clock.advance_us(1_000_000);
    }
    assert_eq!(parts(&store), 2, "the others are merged");
    assert_eq!(busy, [0, 1, 10, 30, 70]);
    assert_eq!(store.compact(TABLE).unwrap_err().sqlstate, "XX001", "who asks is told");
    disk.damage(&path, |bytes| bytes[middle] ^= 1).unwrap();
    drop(store);
    let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
    crate::compact::compact_all(store.shared());
    assert_eq!((parts(&store), ids(&store)), (1, (0..400).collect()));
}

/// Several threads merge: each takes a table nobody has, and goes past one that somebody has.
#[test]
fn a_table_that_is_being_rewritten_keeps_no_thread_from_the_others() {
    let (_disk, _meta, _clock, store) = sim(StoreConfig { compaction_fan_in: 2, ..small() });
    for table in [TABLE, TABLE + 1] {
        let mut txn = store.begin(Isolation::ReadCommitted);
        txn.ddl(super::kit::table(table)).unwrap();
        now(&store, store.commit(txn));
        for round in 0..2 {
            let mut txn = store.begin(Isolation::ReadCommitted);
            txn.append(table, rows(round * 10..(round + 1) * 10)).unwrap();
            now(&store, store.commit(txn));
            store.flush(table).unwrap();
        }
    }
    let parts = || [TABLE, TABLE + 1].map(|table| store.snapshot().table(table).unwrap().sources().len());
    let claim = store.shared().rewriting.claim(TABLE);
    for _ in 0..2 {
        crate::compact::compact_all(store.shared());
        assert_eq!(parts(), [2, 1], "going past a claim does not release it");
    }
    drop(claim);
    crate::compact::compact_all(store.shared());
    assert_eq!(parts(), [1, 1]);
}

#[test]
fn writers_wait_for_room_and_are_told_when_there_is_none() {
    let config = StoreConfig { parts_soft: 2, parts_hard: 4, compaction_fan_in: 3, ..small() };
    let (_disk, _meta, clock, store) = sim(config);
    make_table(&store);
    for round in 0..3 {
        now(&store, put_rows(&store, [round]));
        store.flush(TABLE).unwrap();
    }
    let waiting = put_rows(&store, [10]);
    let cancelled = put_rows(&store, [11]);
    store.step_commit();
    assert!(waiting.try_wait().is_none(), "three parts are more than two");
    drop(cancelled);
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[0]);
    now(&store, store.commit(txn));
    assert_eq!(store.compact(TABLE).unwrap(), 1, "the part whose only row was deleted goes");
    now(&store, put_rows(&store, []));
    assert!(waiting.try_wait().unwrap().is_ok());
    store.flush(TABLE).unwrap();
    assert_eq!(ids(&store), [1, 2, 10], "the cancelled one is not there");

    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.truncate(TABLE).unwrap();
    now(&store, store.commit(txn));
    for round in 0..3 {
        now(&store, put_rows(&store, [round]));
        store.flush(TABLE).unwrap();
    }
    let late = put_rows(&store, [20]);
    store.step_commit();
    clock.advance_us(30_000_000);
    let other = put_rows(&store, [21]);
    store.step_commit();
    let error = late.try_wait().unwrap().unwrap_err();
    assert_eq!((error.sqlstate, error.message), ("53400", format!("table {TABLE} has too many parts")));
    assert_eq!(error.hint.as_deref(), Some("Insert in larger batches or run VACUUM."));
    assert!(other.try_wait().is_none());
}

/// Runs too large for any merge grow in number for ever: they must neither hold writers back nor be counted with those
/// that a merge can help, which would be rewritten again and again.
#[test]
fn a_table_of_runs_too_large_to_be_merged_takes_more_rows() {
    let limits = [(8_000, u64::MAX), (u64::MAX, 100)];
    for (merge_bytes_max, merge_rows_max) in limits {
        let merging = StoreConfig {
            parts_soft: 3,
            parts_hard: 6,
            compaction_fan_in: 3,
            merge_bytes_max,
            merge_rows_max,
            ..small()
        };
        let (_disk, _meta, _clock, store) = sim(merging);
        make_table(&store);
        let mut merges = 0;
        for round in 0..60 {
            now(&store, put_rows(&store, round * 20..(round + 1) * 20));
            store.flush(TABLE).unwrap();
            merges += store.compact(TABLE).unwrap();
        }
        assert_eq!(ids(&store), (0..1_200).collect::<Vec<_>>());
        assert!(parts(&store) > 8, "{} parts, {merges} merges", parts(&store));
        // A row takes part in one merge, or two where a run stayed below half of the limit.
        assert!((10..=40).contains(&merges), "{merges} merges");
    }
}

#[test]
fn any_history_replays_to_the_same_metadata_and_rows() {
    for seed in 0..20 {
        let mut random = SimRandom::new(seed);
        let (disk, meta, clock, store) = sim(small());
        make_table(&store);
        let mut next = 0;
        for _ in 0..40 {
            match random.below(10) {
                0..=4 => {
                    let count = 1 + random.below(30).cast_signed();
                    now(&store, put_rows(&store, next..next + count));
                    next += count;
                }
                5 | 6 => {
                    let live = ids(&store);
                    if !live.is_empty() {
                        let mut txn = store.begin(Isolation::ReadCommitted);
                        delete_in(&mut txn, &[live[random.below(live.len() as u64) as usize]]);
                        now(&store, store.commit(txn));
                    }
                }
                7 => store.flush(TABLE).unwrap(),
                8 => drop(store.compact(TABLE).unwrap()),
                _ if random.chance(30) => drop(store.checkpoint().unwrap()),
                _ => drop(store.step_meta()),
            }
        }
        let of = |store: &Store| (digest(&entries(&store.snapshot()).unwrap()), read(store));
        let expected = of(&store);
        drop(store);
        for vice in [None, Some(Vice::Empty), Some(Vice::OldCopy)] {
            let (disk, meta) = (disk.fork(), meta.fork());
            if let Some(vice) = vice {
                meta.arm(vice);
            }
            let store = Store::open_simulated(&small(), &disk, Arc::clone(&clock), &meta).unwrap();
            assert_eq!(of(&store), expected, "seed {seed}, {vice:?}");
        }
    }
}

#[test]
fn the_background_threads_flush_checkpoint_and_merge_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        delta_flush_rows: 100,
        checkpoint_wal_bytes: 1 << 16,
        compaction_fan_in: 2,
        ..StoreConfig::at(dir.path())
    };
    let store = open_config(&config).unwrap();
    create(&store);
    let mut next = 0;
    // Bounded by work, not by time: each round commits rows until all three things were seen to happen.
    let (mut checkpointed, mut merged) = (false, false);
    while !(checkpointed && merged) {
        insert(&store, next..next + 50);
        next += 50;
        checkpointed |= store.status().checkpoint_seq > 0;
        let snapshot = store.snapshot();
        let sources = snapshot.table(TABLE).unwrap().sources();
        merged |= sources.iter().any(|source| source.is_part() && source.rows() > 400);
        assert!(next < 5_000_000, "checkpointed {checkpointed}, merged {merged}");
    }
    store.close().unwrap();
    assert_eq!(ids(&open(dir.path()).unwrap()), (0..next).collect::<Vec<_>>());
}

#[test]
fn who_waits_for_room_when_the_store_closes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { background: false, parts_soft: 0, parts_hard: 4, ..StoreConfig::at(dir.path()) };
    let store = open_config(&config).unwrap();
    create(&store);
    insert(&store, [1]);
    store.flush(TABLE).unwrap();
    let idle = store.begin(Isolation::ReadCommitted);
    let waiting = put_rows(&store, [2]);
    store.close().unwrap();
    assert_eq!(waiting.wait().unwrap_err().sqlstate, "57P01");
    drop(idle);
    assert_eq!(ids(&open(dir.path()).unwrap()), [1]);
}

#[test]
fn small_deltas_are_carried_over_checkpoints_with_their_addresses() {
    let config = StoreConfig { carry_table_bytes: 1 << 20, ..small() };
    let (disk, meta, clock, store) = sim(config.clone());
    make_table(&store);
    now(&store, put_rows(&store, 0..50));
    let mut in_flight = store.begin(Isolation::RepeatableRead);
    delete_in(&mut in_flight, &[7]);
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[3]);
    now(&store, store.commit(txn));
    let places = read(&store);
    let log_before = disk.files().iter().filter(|path| path.extension().is_some_and(|e| e == "wal")).count();
    for _ in 0..3 {
        store.checkpoint().unwrap();
        assert_eq!((parts(&store), &read(&store)), (0, &places));
    }
    now(&store, store.commit(in_flight));
    now(&store, put_rows(&store, 50..60));
    let places = read(&store);
    assert_eq!(places.len(), 58);
    assert!(disk.files().iter().filter(|path| path.extension().is_some_and(|e| e == "wal")).count() <= log_before + 2);
    drop(store);
    for vice in [None, Some(Vice::Empty), Some(Vice::OldCopy)] {
        let (disk, meta) = (disk.fork(), meta.fork());
        if let Some(vice) = vice {
            meta.arm(vice);
        }
        let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
        assert_eq!(read(&store), places, "{vice:?}");
        store.close().unwrap();
        let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
        assert_eq!((parts(&store), ids(&store)), (1, places.keys().copied().collect()), "a clean stop flushes");
    }
}

#[test]
fn segments_are_recycled_and_what_they_held_never_comes_back() {
    let config = StoreConfig { wal_segment_bytes_first: 1 << 14, wal_segment_bytes_max: 1 << 14, ..small() };
    let (disk, meta, clock, store) = sim(config.clone());
    make_table(&store);
    let logs = |disk: &SimDisk| -> Vec<std::path::PathBuf> {
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "wal")).collect()
    };
    let mut next = 0;
    let mut recycled = 0;
    for _ in 0..60 {
        now(&store, put_rows(&store, next..next + 30));
        next += 30;
        store.shared().maintain();
        if next % 300 == 0 {
            store.checkpoint().unwrap();
        }
        // A file with frames in it and no header of its own number: renamed, not yet used.
        let number =
            |path: &std::path::Path| u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
        recycled += logs(&disk)
            .iter()
            .filter(|path| {
                let bytes = disk.content(path).unwrap();
                bytes.starts_with(crate::frame::SEGMENT_MAGIC) && bytes[36..44] != number(path).to_le_bytes()
            })
            .count();
    }
    assert!(recycled > 10, "segments were recycled {recycled} times");
    assert!(logs(&disk).len() < 12, "{} segments", logs(&disk).len());
    drop(store);
    let store = Store::open_simulated(&config, &disk, clock, &meta).unwrap();
    assert_eq!(ids(&store), (0..next).collect::<Vec<_>>());
}

/// The log that a start had to read counts towards the next checkpoint, over all its segments, and once.
#[test]
fn a_long_log_found_at_start_is_cut_soon_and_a_short_one_is_not() {
    let config = StoreConfig {
        wal_segment_bytes_first: 1 << 14,
        wal_segment_bytes_max: 1 << 14,
        checkpoint_wal_bytes: 100_000,
        ..small()
    };
    for (commits, cut) in [(5, false), (20, false), (28, true), (60, true)] {
        let (disk, meta, clock, store) = sim(config.clone());
        let mut random = SimRandom::new(7);
        for number in 0..commits {
            let noise: Vec<u8> = (0..4_000).map(|_| random.bits().to_le_bytes()[0]).collect();
            let mut txn = store.begin(Isolation::ReadCommitted);
            txn.put(crate::Space::Kv, &[number], &noise).unwrap();
            now(&store, store.commit(txn));
        }
        drop(store);
        let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            clock.advance_us(1_000_000);
            let before = disk.calls();
            store.shared().maintain();
            seen.push((store.status().checkpoint_seq > 0, disk.calls() - before > 5));
        }
        assert_eq!(seen, [(cut, cut), (cut, false), (cut, false)], "{commits} commits");
    }
}

/// What the sketches of parts say together, against exact counts, over everything that makes and remakes parts.
#[test]
fn sketches_of_parts_together_estimate_the_distinct_values_of_a_table() {
    let (disk, meta, clock, store) = sim(small());
    make_table(&store);
    let check = |store: &Store, what: &str| {
        let snapshot = store.snapshot();
        let state = snapshot.table(TABLE).unwrap();
        let expected: Vec<std::collections::BTreeSet<Option<String>>> = {
            let ids = ids(store);
            let names = ids.iter().map(|id| name_of(*id)).filter(Option::is_some).collect();
            vec![ids.iter().map(|id| Some(id.to_string())).collect(), names]
        };
        for (column, expected) in state.layout().live_columns().zip(expected) {
            let mut all = crate::Sketch::default();
            assert!(state.sources().iter().all(|source| source.merge_sketch(column, &mut all)), "{what}");
            let (estimate, exact) = (all.estimate(), expected.len() as f64);
            assert!((estimate - exact).abs() <= exact * 0.07, "{what}: {} {estimate}, {exact}", column.field.name());
        }
    };
    for round in 0..6 {
        now(&store, put_rows(&store, round * 1_000..(round + 1) * 1_000));
        store.analyze(TABLE).unwrap();
        check(&store, "flushed");
    }
    assert!(parts(&store) > 3);
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &(0..3_000).collect::<Vec<_>>());
    now(&store, store.commit(txn));
    store.rewrite_deleted(TABLE).unwrap();
    check(&store, "after deletes");
    store.compact(TABLE).unwrap();
    check(&store, "merged");
    now(&store, put_rows(&store, 6_000..6_010));
    store.analyze(TABLE).unwrap();
    let snapshot = store.snapshot();
    assert!(snapshot.table(TABLE).unwrap().sources().iter().any(|source| !source.is_part()), "too few to be written");
    drop((snapshot, store));
    for path in disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "idx")) {
        crate::Disk::unlink(&disk, &path).unwrap();
    }
    let store = Store::open_simulated(&small(), &disk, clock, &meta).unwrap();
    store.flush(TABLE).unwrap();
    check(&store, "indexes rebuilt");
}

/// 16 writers faster than the flush: what is in memory stays within twice the budget and one group of commits.
#[test]
fn the_delta_budget_holds_under_sixteen_writers() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        delta_memory: 1 << 20,
        delta_flush_bytes: 1 << 19,
        commit_group_bytes_max: 1 << 19,
        compaction_fan_in: 4,
        ..StoreConfig::at(dir.path())
    };
    let store = open_config(&config).unwrap();
    create(&store);
    let (writers, commits, per_commit) = (16i64, 12i64, 1_000i64);
    let highest = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (store, highest) = (store.clone(), &highest);
            scope.spawn(move || {
                for commit in 0..commits {
                    let first = (writer * commits + commit) * per_commit;
                    insert(&store, first..first + per_commit);
                    highest.fetch_max(store.status().delta_bytes, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let highest = highest.into_inner();
    // A group is measured as it is logged; in memory its rows are somewhat larger.
    let limit = 2 * config.delta_memory + 2 * config.commit_group_bytes_max as u64;
    assert!(highest <= limit, "{highest} bytes were in memory, {limit} are allowed");
    assert_eq!(ids(&store), (0..writers * commits * per_commit).collect::<Vec<_>>());
    println!("{} rows by 16 writers, {highest} bytes in memory at most", writers * commits * per_commit);
}
