//! Buckets, runs and merges: what parts look like after flush, staging and compaction, and that no row is lost on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use crate::sim::{SimClock, SimDisk, SimMeta, SimRandom};
use crate::source::Body;
use crate::{BucketUnit, Isolation, Object, Oid, Partition, Source, Store, StoreConfig, TableLayout};

const EVENTS: Oid = 16_384;
const DAY_US: i64 = 86_400_000_000;

/// A row: number (unique), person, time.
type Event = (i64, Option<i64>, Option<i64>);

struct World {
    disk: SimDisk,
    clock: Arc<SimClock>,
    store: Store,
    partition: bool,
}

fn layout(order: bool, partition: bool) -> TableLayout {
    let mut layout = TableLayout::new([
        Arc::new(Field::new("number", DataType::Int64, false)),
        Arc::new(Field::new("person", DataType::Int64, true)),
        Arc::new(Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)),
        Arc::new(Field::new("kind", DataType::Utf8View, true)),
    ]);
    layout.order_by = if order { vec![2, 3] } else { Vec::new() };
    layout.partition = partition.then_some(Partition { column: 3, unit: BucketUnit::Day });
    layout
}

fn kind_of(number: i64) -> String {
    ["view", "a kind of event with a long name", "cart", "pay"][number.unsigned_abs() as usize % 4].to_owned()
}

fn batch(layout: &TableLayout, events: &[Event]) -> RecordBatch {
    let numbers: Int64Array = events.iter().map(|event| Some(event.0)).collect();
    let persons: Int64Array = events.iter().map(|event| event.1).collect();
    let times: TimestampMicrosecondArray = events.iter().map(|event| event.2).collect();
    let kinds: StringViewArray = events.iter().map(|event| Some(kind_of(event.0))).collect();
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(numbers), Arc::new(persons), Arc::new(times.with_timezone("UTC")), Arc::new(kinds)];
    RecordBatch::try_new(layout.schema(), columns).unwrap()
}

impl World {
    fn new(config: StoreConfig, order: bool, partition: bool) -> Self {
        let (disk, meta) = (SimDisk::new(), SimMeta::new());
        let clock = Arc::<SimClock>::default();
        let store = Store::open_simulated(&config, &disk, Arc::clone(&clock), &meta).unwrap();
        let world = Self { disk, clock, store, partition };
        let mut txn = world.store.begin(Isolation::ReadCommitted);
        let layout = Some(Arc::new(layout(order, partition)));
        txn.ddl(Object { oid: EVENTS, kind: b't', name_key: [].into(), body: [].into(), layout }).unwrap();
        world.commit(txn);
        world
    }

    fn commit(&self, txn: crate::Txn) {
        let ticket = self.store.commit(txn);
        self.store.step_commit();
        ticket.try_wait().unwrap().unwrap();
    }

    fn insert(&self, events: &[Event]) {
        let mut txn = self.store.begin(Isolation::ReadCommitted);
        let layout = txn.layout(EVENTS).unwrap();
        txn.append(EVENTS, batch(&layout, events)).unwrap();
        self.commit(txn);
    }

    fn sources(&self) -> Vec<Arc<Source>> {
        self.store.snapshot().table(EVENTS).unwrap().sources().to_vec()
    }

    /// Rows of a source in their order, with their place.
    fn rows_of(&self, source: &Source) -> Vec<(Event, u32)> {
        let snapshot = self.store.snapshot();
        let columns: Vec<_> = snapshot.table(EVENTS).unwrap().layout().live_columns().cloned().collect();
        let mut out = Vec::new();
        for (index, chunk) in source.chunks().iter().enumerate() {
            let column = |i: usize| source.column(index, &columns[i]).unwrap();
            let (numbers, persons, times, kinds) = (column(0), column(1), column(2), column(3));
            let numbers = numbers.as_primitive::<Int64Type>();
            let persons = persons.as_primitive::<Int64Type>();
            let times = times.as_primitive::<TimestampMicrosecondType>();
            for row in 0..chunk.rows {
                let at = u32::try_from(chunk.first_row).unwrap() + u32::try_from(row).unwrap();
                let valid = |array: &dyn Array| array.is_valid(row);
                let person = valid(persons).then(|| persons.value(row));
                let time = valid(times).then(|| times.value(row));
                assert_eq!(kinds.as_string_view().value(row), kind_of(numbers.value(row)));
                if !source.deletes().is_some_and(|deletes| deletes.contains(at)) {
                    out.push(((numbers.value(row), person, time), at));
                }
            }
        }
        out
    }

    fn live(&self) -> BTreeMap<i64, (Event, u32, u32)> {
        let mut out = BTreeMap::new();
        for source in self.sources() {
            for (event, row) in self.rows_of(&source) {
                assert!(out.insert(event.0, (event, source.number(), row)).is_none(), "event {} twice", event.0);
            }
        }
        out
    }

    /// Every part holds one bucket in the table's order; parts of a run share no person.
    fn check_parts(&self, rows_max: u64) {
        let mut runs: BTreeMap<(i64, u32), Vec<(Key, Key)>> = BTreeMap::new();
        for source in self.sources() {
            let Body::Part(part) = &source.body else { continue };
            assert!(source.rows() <= rows_max, "{} rows in a part", source.rows());
            let rows = self.rows_of(&source);
            if self.partition {
                let bucket_of = |event: &Event| event.2.map_or(i64::MIN, |ts| ts.div_euclid(DAY_US));
                assert!(rows.iter().all(|(event, _)| bucket_of(event) == part.entry.bucket), "buckets are mixed");
            }
            let keys: Vec<_> = rows.iter().map(|(event, _)| (key(event.1), key(event.2))).collect();
            assert!(keys.is_sorted(), "part {} is not in order", source.number());
            if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
                runs.entry((part.entry.bucket, part.entry.run)).or_default().push((first.0, last.0));
            }
        }
        for (run, mut bounds) in runs {
            bounds.sort_unstable();
            let alone = bounds.windows(2).all(|pair| pair[0].1 < pair[1].0);
            assert!(alone, "parts of run {run:?} overlap: {bounds:?}");
        }
    }
}

/// NULLS LAST.
type Key = (bool, i64);
fn key(value: Option<i64>) -> Key {
    (value.is_none(), value.unwrap_or(0))
}

fn config() -> StoreConfig {
    StoreConfig {
        wal_segment_bytes_first: 1 << 15,
        wal_segment_bytes_max: 1 << 17,
        carry_table_bytes: 0,
        compaction_fan_in: 3,
        parts_soft: 10_000,
        parts_hard: 10_000,
        ..StoreConfig::at("/sim/data")
    }
}

fn events(random: &mut SimRandom, first: i64, count: i64, days: u64) -> Vec<Event> {
    let mut event = |number| {
        let person = (!random.chance(3)).then(|| random.below(40).cast_signed());
        let day = (!random.chance(4)).then(|| random.below(days).cast_signed() - 2);
        (number, person, day.map(|day| day * DAY_US + random.below(DAY_US as u64).cast_signed()))
    };
    (first..first + count).map(&mut event).collect()
}

#[test]
fn parts_never_mix_buckets_whatever_made_them() {
    let mut random = SimRandom::new(3);
    let world = World::new(StoreConfig { stage_rows_max: 300, ..config() }, true, true);
    let mut model: BTreeMap<i64, Event> = BTreeMap::new();
    let mut next = 0;
    for round in 0..40 {
        // One in four is staged while it arrives.
        let count = if round % 4 == 3 { 700 } else { 60 };
        let new = events(&mut random, next, count, 5);
        next += count;
        world.insert(&new);
        model.extend(new.iter().map(|event| (event.0, *event)));
        let live = world.live();
        let victims: Vec<i64> = model.keys().copied().filter(|_| random.chance(2)).collect();
        let mut txn = world.store.begin(Isolation::ReadCommitted);
        for number in victims {
            let (_, source, row) = live[&number];
            txn.delete(EVENTS, source, &RoaringBitmap::from_iter([row])).unwrap();
            model.remove(&number);
        }
        world.commit(txn);
        match random.below(3) {
            0 => world.store.flush(EVENTS).unwrap(),
            1 => drop(world.store.compact(EVENTS).unwrap()),
            _ => drop(world.store.checkpoint().unwrap()),
        }
        world.check_parts(u64::MAX);
    }
    world.store.flush(EVENTS).unwrap();
    world.store.compact(EVENTS).unwrap();
    world.check_parts(u64::MAX);
    let found: BTreeMap<i64, Event> = world.live().into_iter().map(|(number, (event, ..))| (number, event)).collect();
    assert_eq!(found, model);
    let buckets: std::collections::BTreeSet<i64> = world.sources().iter().map(|s| bucket(s)).collect();
    assert_eq!(buckets.into_iter().collect::<Vec<_>>(), [i64::MIN, -2, -1, 0, 1, 2]);
    assert!(world.sources().len() < 40, "{} parts are left", world.sources().len());
}

fn bucket(source: &Source) -> i64 {
    match &source.body {
        Body::Part(part) => part.entry.bucket,
        Body::Delta(_) => panic!("everything was flushed"),
    }
}

#[test]
fn own_rows_staged_into_several_buckets_can_be_deleted_again() {
    let world = World::new(StoreConfig { stage_rows_max: 100, ..config() }, true, true);
    let layout = layout(true, true);
    let all: Vec<Event> = (0..250).map(|n| (n, Some(n % 7), Some((n % 3) * DAY_US + n))).collect();
    let mut txn = world.store.begin(Isolation::ReadCommitted);
    txn.append(EVENTS, batch(&layout, &all[..90])).unwrap();
    // A scan of the session takes addresses, then the rows move to disk, then they are deleted by those addresses.
    let overlay = txn.overlay(EVENTS).unwrap();
    let memory = Arc::clone(&overlay.sources[0]);
    let victims: RoaringBitmap =
        world.rows_of(&memory).iter().filter(|(event, _)| event.0 % 4 == 0).map(|(_, row)| *row).collect();
    let number = memory.number();
    txn.append(EVENTS, batch(&layout, &all[90..])).unwrap();
    assert!(txn.overlay(EVENTS).unwrap().sources.len() == 3, "one part per bucket is staged");
    txn.delete(EVENTS, number, &victims).unwrap();
    world.commit(txn);
    let expected: Vec<i64> = (0..250).filter(|n| *n >= 90 || n % 4 != 0).collect();
    assert_eq!(world.live().into_keys().collect::<Vec<_>>(), expected);
    world.check_parts(u64::MAX);
}

/// Large merges are arranged range by range; a small limit of rows makes that happen with few rows.
#[test]
fn merges_larger_than_a_range_give_runs_of_disjoint_parts() {
    for (order, partition) in [(true, false), (true, true), (false, false)] {
        let mut random = SimRandom::new(5);
        let config = StoreConfig { part_rows_max: 8_192, stage_rows_max: 1 << 20, ..config() };
        let world = World::new(config, order, partition);
        let mut model: BTreeMap<i64, Event> = BTreeMap::new();
        let mut next = 0;
        for _ in 0..3 {
            let mut new = events(&mut random, next, 20_000, 1);
            // One person with more rows than a part takes.
            new.iter_mut().filter(|event| event.0 % 2 == 0).for_each(|event| event.1 = Some(17));
            next += 20_000;
            for some in new.chunks(5_000) {
                world.insert(some);
            }
            model.extend(new.iter().map(|event| (event.0, *event)));
            world.store.flush(EVENTS).unwrap();
        }
        // Deletes that commit while the merge is written, and some of before.
        let delete_every = |step: i64, from: i64, model: &mut BTreeMap<i64, Event>| {
            let live = world.live();
            let mut txn = world.store.begin(Isolation::ReadCommitted);
            for number in (from..next).step_by(usize::try_from(step).unwrap()) {
                let Some((_, source, row)) = live.get(&number) else { continue };
                txn.delete(EVENTS, *source, &RoaringBitmap::from_iter([*row])).unwrap();
                model.remove(&number);
            }
            txn
        };
        let txn = delete_every(101, 0, &mut model);
        world.commit(txn);
        let late = delete_every(97, 1, &mut model);
        let store = world.store.clone();
        *world.store.shared().before_install.lock().unwrap() = Some(Box::new(move || drop(store.commit(late))));
        assert!(world.store.compact(EVENTS).unwrap() >= 1);
        let found: BTreeMap<i64, Event> = world.live().into_iter().map(|(n, (event, ..))| (n, event)).collect();
        assert_eq!(found, model, "order {order}, partition {partition}");
        if order {
            for source in world.sources() {
                assert!(source.rows() <= 8_192 * 3 / 2, "{} rows in a part", source.rows());
            }
            check_order_with_a_giant(&world);
        } else {
            let numbers: Vec<i64> =
                world.sources().iter().flat_map(|s| world.rows_of(s)).map(|(event, _)| event.0).collect();
            assert!(numbers.is_sorted(), "without an order rows stay in order of arrival");
        }
    }
}

/// As `check_parts`, but a person larger than a part may be in several.
fn check_order_with_a_giant(world: &World) {
    let mut by_run: BTreeMap<(i64, u32), Vec<(Key, Key)>> = BTreeMap::new();
    for source in world.sources() {
        let Body::Part(part) = &source.body else { continue };
        let persons: Vec<_> = world.rows_of(&source).iter().map(|(event, _)| key(event.1)).collect();
        assert!(persons.is_sorted());
        let bounds = (persons[0], persons[persons.len() - 1]);
        by_run.entry((part.entry.bucket, part.entry.run)).or_default().push(bounds);
    }
    for (_, mut bounds) in by_run {
        bounds.sort_unstable();
        for pair in bounds.windows(2) {
            let giant = (false, 17);
            assert!(pair[0].1 < pair[1].0 || (pair[0].1, pair[1].0) == (giant, giant), "{bounds:?}");
        }
    }
}

#[test]
fn many_buckets_are_no_reason_to_hold_writers_back() {
    let config = StoreConfig { parts_soft: 3, parts_hard: 6, ..config() };
    let world = World::new(config, false, true);
    let events: Vec<Event> = (0..50).map(|n| (n, Some(1), Some(n * DAY_US))).collect();
    world.insert(&events);
    world.store.flush(EVENTS).unwrap();
    assert_eq!(world.sources().len(), 50);
    world.insert(&[(50, None, None)]);
    assert_eq!(world.live().len(), 51);
}

#[test]
fn replaced_files_go_also_when_nobody_writes_any_more() {
    let world = World::new(config(), true, false);
    for round in 0..3 {
        world.insert(&[(round, Some(round), None)]);
        world.store.flush(EVENTS).unwrap();
    }
    assert_eq!(world.store.compact(EVENTS).unwrap(), 1);
    let files = || world.disk.files().iter().filter(|path| path.extension().is_some_and(|e| e == "arrow")).count();
    assert_eq!(files(), 4);
    for _ in 0..3 {
        world.clock.advance_us(400_000_000);
        world.store.shared().maintain();
    }
    assert_eq!(files(), 1);
}
