//! Keys: lookups against a full scan, new keys against what others commit, sections old, damaged and colliding.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, FixedSizeBinaryArray, Int64Array, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::kit::TABLE;
use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom};
use crate::{
    Column, Isolation, KeyDef, KeyHash, KeyRows, KeySearch, Object, Result, Seq, Snapshot, Store, StoreConfig,
    StoreError, TableLayout, Txn,
};

struct World {
    disk: SimDisk,
    meta: SimMeta,
    clock: Arc<SimClock>,
    config: StoreConfig,
    /// None only while it restarts: a directory has one owner.
    running: Option<Store>,
}

impl World {
    fn new() -> Self {
        let (disk, meta, clock) = (SimDisk::new(), SimMeta::new(), Arc::<SimClock>::default());
        let config = StoreConfig {
            wal_segment_bytes_first: 1 << 15,
            wal_segment_bytes_max: 1 << 17,
            compaction_fan_in: 2,
            stage_rows_max: 40,
            ..StoreConfig::at("/sim/data")
        };
        let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
        Self { disk, meta, clock, config, running: Some(store) }
    }

    fn commit(&self, txn: Txn) -> Result<Seq> {
        let ticket = self.store().commit(txn);
        self.store().step_commit();
        ticket.try_wait().expect("one step answers")
    }

    fn define(&self, keys: Vec<KeyDef>) {
        let mut txn = self.store().begin(Isolation::ReadCommitted);
        txn.ddl(object(self.store(), keys)).unwrap();
        self.commit(txn).unwrap();
    }

    fn insert(&self, rows: RecordBatch) -> Result<Seq> {
        let mut txn = self.store().begin(Isolation::ReadCommitted);
        txn.append(TABLE, rows).unwrap();
        self.commit(txn)
    }

    fn store(&self) -> &Store {
        self.running.as_ref().expect("it runs")
    }

    fn restart(&mut self) {
        self.running = None;
        let store = Store::open_simulated(&self.config, &self.disk, Arc::clone(&self.clock), &self.meta).unwrap();
        self.running = Some(store);
    }
}

fn key(id: u32, columns: &[u32], nulls_distinct: bool, unique: bool, hash: KeyHash) -> KeyDef {
    KeyDef { id, columns: columns.to_vec(), unique, nulls_distinct, hash }
}

/// `id bigint, name text, amount numeric(12, 2), ts timestamp, mark uuid`, all of them nullable.
fn object(store: &Store, keys: Vec<KeyDef>) -> Object {
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let mut layout = TableLayout::new([
        field("id", DataType::Int64),
        field("name", DataType::Utf8View),
        field("amount", DataType::Decimal128(12, 2)),
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("mark", DataType::FixedSizeBinary(16)),
    ]);
    let known = store.snapshot().table(TABLE).map_or(0, |state| state.layout().schema_version);
    layout.schema_version = known + 1;
    layout.order_by = vec![1];
    layout.keys = keys;
    Object { oid: TABLE, kind: b't', name_key: b"t"[..].into(), body: b"{}"[..].into(), layout: Some(Arc::new(layout)) }
}

/// A row for each number: all columns follow from it, and are NULL where it says so.
fn rows(numbers: &[u32]) -> RecordBatch {
    let null = |n: u32, column: u32| n / 7 % 16 == column;
    let ids: Int64Array = numbers.iter().map(|n| (!null(*n, 1)).then_some(i64::from(*n % 50))).collect();
    let names: StringViewArray =
        numbers.iter().map(|n| (!null(*n, 2)).then(|| format!("a name of some length {}", n % 40))).collect();
    let amounts: Decimal128Array = numbers.iter().map(|n| (!null(*n, 3)).then_some(i128::from(*n % 30) * 50)).collect();
    let stamps: TimestampMicrosecondArray =
        numbers.iter().map(|n| (!null(*n, 4)).then_some(i64::from(*n % 20))).collect();
    let marks = numbers.iter().map(|n| (!null(*n, 5)).then(|| u128::from(*n % 60).to_be_bytes()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids),
        Arc::new(names),
        Arc::new(amounts.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(stamps),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(marks, 16).unwrap()),
    ];
    let fields = [
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("mark", DataType::FixedSizeBinary(16), true),
    ];
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields.to_vec())), columns).unwrap()
}

fn shown(columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let show = |array: &ArrayRef| array.is_valid(row).then(|| array_value_to_string(array, row).unwrap());
    columns.iter().map(show).collect()
}

fn columns_of(layout: &TableLayout, def: &KeyDef) -> Vec<Column> {
    def.columns.iter().map(|id| layout.column(*id).unwrap().clone()).collect()
}

/// Live rows with the values of a key's columns, by reading everything.
fn scan(snapshot: &Snapshot, def: &KeyDef) -> Vec<(Vec<Option<String>>, u32, u32)> {
    let state = snapshot.table(TABLE).unwrap();
    let columns = columns_of(state.layout(), def);
    let mut out = Vec::new();
    for source in state.sources() {
        for (index, chunk) in source.chunks().iter().enumerate() {
            let arrays: Vec<ArrayRef> = columns.iter().map(|c| source.column(index, c).unwrap()).collect();
            for row in 0..chunk.rows {
                let at = u32::try_from(chunk.first_row).unwrap() + u32::try_from(row).unwrap();
                if !source.deletes().is_some_and(|deletes| deletes.contains(at)) {
                    out.push((shown(&arrays, row), source.number(), at));
                }
            }
        }
    }
    out
}

/// The same rows for every key of `wanted`, by lookups.
fn look_up(snapshot: &Snapshot, def: &KeyDef, wanted: &RecordBatch) -> Vec<Vec<(u32, u32)>> {
    let state = snapshot.table(TABLE).unwrap();
    let columns = columns_of(state.layout(), def);
    let arrays: Vec<ArrayRef> = def.columns.iter().map(|id| Arc::clone(wanted.column(*id as usize - 1))).collect();
    let keys = KeyRows::new(def, &arrays).unwrap();
    let search = KeySearch::new(def, &columns, &keys, &arrays[0]).unwrap();
    let mut out = vec![Vec::new(); keys.len()];
    for source in state.sources() {
        let gone = |row: u32| source.deletes().is_some_and(|deletes| deletes.contains(row));
        for (index, row) in search.find(source, &gone).unwrap() {
            out[index].push((source.number(), row));
        }
    }
    out
}

fn check_lookups(snapshot: &Snapshot, wanted: &RecordBatch) {
    let layout = Arc::clone(snapshot.table(TABLE).unwrap().layout());
    for def in &layout.keys {
        let all = scan(snapshot, def);
        let arrays: Vec<ArrayRef> = def.columns.iter().map(|id| Arc::clone(wanted.column(*id as usize - 1))).collect();
        for (index, found) in look_up(snapshot, def, wanted).into_iter().enumerate() {
            let key = shown(&arrays, index);
            let has_key = !def.nulls_distinct || key.iter().all(Option::is_some);
            let expected: Vec<(u32, u32)> =
                all.iter().filter(|(other, _, _)| has_key && *other == key).map(|(_, s, r)| (*s, *r)).collect();
            assert_eq!(found, expected, "key {} {key:?}", def.id);
        }
    }
}

fn indexes(hash: KeyHash) -> Vec<KeyDef> {
    [(1, &[1][..], true), (2, &[2], true), (3, &[3, 4], false), (4, &[5], true), (5, &[4, 2, 1], false)]
        .into_iter()
        .map(|(id, columns, nulls_distinct)| key(id, columns, nulls_distinct, false, hash))
        .collect()
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Vec<u32>),
    Bulk(u32),
    Delete(u32),
    Flush,
    Compact,
    Rewrite,
    Restart,
    Reindex,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => prop::collection::vec(0..2_000u32, 1..8).prop_map(Op::Insert),
        1 => (0..1_000u32).prop_map(Op::Bulk),
        3 => (0..50u32).prop_map(Op::Delete),
        2 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Rewrite),
        1 => Just(Op::Restart),
        1 => Just(Op::Reindex),
    ]
}

fn apply(world: &mut World, op: &Op, next_key: &mut u32) {
    match op {
        Op::Insert(numbers) => drop(world.insert(rows(numbers)).unwrap()),
        Op::Bulk(first) => drop(world.insert(rows(&(*first..first + 90).collect::<Vec<_>>())).unwrap()),
        Op::Delete(nth) => {
            let def = key(1, &[1], true, false, KeyHash::Xxh3);
            let live = scan(&world.store().snapshot(), &def);
            let Some((_, source, row)) = live.get(*nth as usize % live.len().max(1)) else { return };
            let mut txn = world.store().begin(Isolation::ReadCommitted);
            txn.delete(TABLE, *source, &RoaringBitmap::from_iter([*row])).unwrap();
            world.commit(txn).unwrap();
        }
        Op::Flush => world.store().flush(TABLE).unwrap(),
        Op::Compact => drop(world.store().compact(TABLE).unwrap()),
        Op::Rewrite => world.store().rewrite_deleted(TABLE).unwrap(),
        Op::Restart => world.restart(),
        // A key under a new id: the parts that exist do not have its section.
        Op::Reindex => {
            let mut keys = world.store().snapshot().table(TABLE).unwrap().layout().keys.clone();
            *next_key += 1;
            keys[0].id = *next_key;
            world.define(keys);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookups_equal_a_full_scan_whatever_happened(
        ops in prop::collection::vec(op(), 1..25),
        wanted in prop::collection::vec(0..2_000u32, 1..30),
        colliding in any::<bool>(),
    ) {
        let mut world = World::new();
        world.define(indexes(if colliding { KeyHash::Colliding } else { KeyHash::Xxh3 }));
        let mut next_key = 100;
        for op in &ops {
            apply(&mut world, op, &mut next_key);
        }
        check_lookups(&world.store().snapshot(), &rows(&wanted));
        world.restart();
        check_lookups(&world.store().snapshot(), &rows(&wanted));
    }
}

fn ids(numbers: &[i64]) -> RecordBatch {
    let whole = rows(&vec![0; numbers.len()]);
    let mut columns = whole.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_new(whole.schema(), columns).unwrap()
}

/// Key and values of a clash.
type Clash = (u32, Vec<Option<String>>);

fn clash(error: &StoreError) -> (&'static str, Option<Clash>) {
    (error.sqlstate, error.key.as_ref().map(|clash| (clash.key, shown(&clash.values, 0))))
}

fn unique(hash: KeyHash) -> Vec<KeyDef> {
    vec![key(1, &[1], true, true, hash)]
}

#[test]
fn of_two_transactions_with_one_key_the_later_is_refused_and_different_keys_never_clash() {
    for hash in [KeyHash::Xxh3, KeyHash::Colliding] {
        let world = World::new();
        world.define(unique(hash));
        let begin = |numbers: &[i64]| {
            let mut txn = world.store().begin(Isolation::ReadCommitted);
            txn.append(TABLE, ids(numbers)).unwrap();
            txn
        };
        // In one group, with others between.
        let txns = [begin(&[1, 2]), begin(&[3]), begin(&[2, 4]), begin(&[4]), begin(&[5, 3])];
        let tickets: Vec<_> = txns.into_iter().map(|txn| world.store().commit(txn)).collect();
        world.store().step_commit();
        let answers: Vec<_> = tickets.iter().map(|ticket| ticket.try_wait().unwrap()).collect();
        assert!(answers[0].is_ok() && answers[1].is_ok() && answers[3].is_ok(), "{answers:?}");
        let found = |number: &str| ("23505", Some((1, vec![Some(number.to_owned())])));
        assert_eq!(clash(answers[2].as_ref().unwrap_err()), found("2"));
        assert_eq!(clash(answers[4].as_ref().unwrap_err()), found("3"));
        // Across a flush and a merge between the statement and its commit, staged rows on either side.
        let bulk: Vec<i64> = (100..250).collect();
        let (late, lucky, upsert) = (begin(&[249]), begin(&[250]), {
            let mut txn = begin(&[100]);
            txn.note_upsert(TABLE).unwrap();
            txn
        });
        let late_bulk = begin(&(240..400).collect::<Vec<_>>());
        world.commit(begin(&bulk)).unwrap();
        world.commit(begin(&[1_000])).unwrap();
        world.store().flush(TABLE).unwrap();
        world.store().compact(TABLE).unwrap();
        assert_eq!(clash(&world.commit(late).unwrap_err()), found("249"));
        assert_eq!(world.commit(late_bulk).unwrap_err().sqlstate, "23505");
        assert_eq!(clash(&world.commit(upsert).unwrap_err()), ("40001", None));
        world.commit(lucky).unwrap();
    }
}

#[test]
fn a_key_whose_row_the_transaction_replaces_is_free_for_it_wherever_the_row_has_moved() {
    let world = World::new();
    world.define(unique(KeyHash::Xxh3));
    world.insert(ids(&[1, 2, 3])).unwrap();
    let replace = |number: i64, by: &[i64]| {
        let mut txn = world.store().begin(Isolation::ReadCommitted);
        let def = &unique(KeyHash::Xxh3)[0];
        let live = scan(&world.store().snapshot(), def);
        let (_, source, row) =
            live.iter().find(|(key, _, _)| *key == [Some(number.to_string())]).expect("the row is there");
        txn.delete(TABLE, *source, &RoaringBitmap::from_iter([*row])).unwrap();
        txn.append(TABLE, ids(by)).unwrap();
        txn
    };
    let (same, taken) = (replace(1, &[1]), replace(2, &[3]));
    world.store().flush(TABLE).unwrap();
    world.insert(ids(&[9])).unwrap();
    world.commit(same).unwrap();
    assert_eq!(taken.overlay(TABLE).unwrap().sources.len(), 1);
    // The statement has to see the row with key 3; the commit need not look at what the statement saw, but it does
    // where the row has moved since.
    assert_eq!(world.commit(taken).unwrap_err().sqlstate, "23505");
    // Two that replace one row: a conflict of the row, not of the key.
    let (first, second) = (replace(1, &[1]), replace(1, &[1]));
    world.commit(first).unwrap();
    assert_eq!(world.commit(second).unwrap_err().sqlstate, "40001");
    // A key that was given up and taken by another.
    let (give_up, take) = (replace(2, &[20]), {
        let mut txn = world.store().begin(Isolation::ReadCommitted);
        txn.append(TABLE, ids(&[20])).unwrap();
        txn
    });
    world.commit(give_up).unwrap();
    assert_eq!(world.commit(take).unwrap_err().sqlstate, "23505");
    world.insert(ids(&[2])).unwrap();
}

#[test]
fn null_keys_clash_only_where_nulls_are_equal() {
    for (nulls_distinct, outcome) in [(true, Ok(())), (false, Err("23505"))] {
        let world = World::new();
        world.define(vec![key(1, &[3, 4], nulls_distinct, true, KeyHash::Xxh3)]);
        let null = rows(&[3 * 7, 3 * 7]).slice(0, 1);
        assert!(null.column(2).is_null(0));
        let second = {
            let mut txn = world.store().begin(Isolation::ReadCommitted);
            txn.append(TABLE, null.clone()).unwrap();
            txn
        };
        world.insert(null).unwrap();
        assert_eq!(world.commit(second).map(drop).map_err(|error| error.sqlstate), outcome);
    }
}

#[test]
fn a_truncating_transaction_and_a_savepoint_leave_no_keys_behind() {
    let world = World::new();
    world.define(unique(KeyHash::Xxh3));
    world.insert(ids(&[1, 2])).unwrap();
    let mut txn = world.store().begin(Isolation::ReadCommitted);
    txn.truncate(TABLE).unwrap();
    txn.append(TABLE, ids(&[1, 7])).unwrap();
    world.insert(ids(&[7])).unwrap();
    world.commit(txn).unwrap();
    let mut txn = world.store().begin(Isolation::ReadCommitted);
    let mark = txn.savepoint();
    txn.append(TABLE, ids(&[8])).unwrap();
    assert!(txn.rollback_to(mark));
    txn.append(TABLE, ids(&[9])).unwrap();
    world.insert(ids(&[8])).unwrap();
    world.commit(txn).unwrap();
}

#[test]
fn a_damaged_key_section_is_computed_from_the_rows_and_a_lost_index_has_its_keys_again() {
    let mut world = World::new();
    world.define(indexes(KeyHash::Xxh3));
    let numbers: Vec<u32> = (0..600).collect();
    world.insert(rows(&numbers)).unwrap();
    world.store().flush(TABLE).unwrap();
    world.store().checkpoint().unwrap();
    let is_idx = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "idx");
    for damage in [true, false] {
        for path in world.disk.files().into_iter().filter(is_idx) {
            if damage {
                // Most of an index are its keys.
                let flip = |bytes: &mut Vec<u8>| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                };
                world.disk.damage(&path, flip).unwrap();
            } else {
                crate::Disk::unlink(&world.disk, &path).unwrap();
            }
        }
        world.restart();
        check_lookups(&world.store().snapshot(), &rows(&numbers));
    }
    let mut random = SimRandom::new(1);
    let more: Vec<u32> = (0..50).map(|_| u32::try_from(random.below(2_000)).unwrap()).collect();
    world.insert(rows(&more)).unwrap();
    check_lookups(&world.store().snapshot(), &rows(&more));
}

#[test]
fn a_unique_key_is_added_only_to_the_rows_it_was_checked_against() {
    let world = World::new();
    world.define(vec![]);
    world.insert(ids(&[1])).unwrap();
    let add = || {
        let mut txn = world.store().begin(Isolation::ReadCommitted);
        txn.ddl(object(world.store(), unique(KeyHash::Xxh3))).unwrap();
        txn
    };
    let late = add();
    world.insert(ids(&[1])).unwrap();
    assert_eq!(world.commit(late).unwrap_err().sqlstate, "40001");
    let moved = add();
    world.store().flush(TABLE).unwrap();
    world.commit(moved).unwrap();
}

#[test]
fn who_is_refused_sees_what_it_lost_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = super::kit::open(dir.path()).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(object(&store, unique(KeyHash::Xxh3))).unwrap();
    store.commit(txn).wait().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for id in 0..50 {
                    let mut txn = store.begin(Isolation::ReadCommitted);
                    txn.append(TABLE, ids(&[id])).unwrap();
                    if store.commit(txn).wait().is_err() {
                        let known = scan(&store.snapshot(), &unique(KeyHash::Xxh3)[0]);
                        assert!(known.iter().any(|(key, _, _)| *key == [Some(id.to_string())]), "{id} is not there");
                    }
                }
            });
        }
    });
}
