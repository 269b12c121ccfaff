//! Figures of keys, on request: `cargo test --release -p tributary-store measure_keys -- --ignored --nocapture --test-threads 1`.
//!
//! For: the numbers in documents and commit messages. Does not: assert anything about time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use super::measure::{EVENTS, batch, events};
use crate::sim::SimRandom;
use crate::{
    Column, Isolation, KeyDef, KeyHash, KeyRows, KeySearch, RealDisk, Store, StoreConfig, SystemClock, TableLayout, Txn,
};

const BATCH_ROWS: usize = 8_192;
const PARTS: i64 = 20;
const ROWS: i64 = 10_000_000;

/// Place and id of the key's column.
const KEY_PLACE: usize = 7;

fn key() -> KeyDef {
    KeyDef { id: 1, columns: vec![KEY_PLACE as u32 + 1], unique: true, nulls_distinct: true, hash: KeyHash::Xxh3 }
}

/// Twelve columns; the eighth is a key that is scattered over all numbers below 2^40, different for every `n`.
fn rows(numbers: &[i64]) -> RecordBatch {
    let schema = events(vec![]).layout.unwrap().schema();
    let whole = batch(&schema, numbers[0], numbers.len());
    let mut columns = whole.columns().to_vec();
    let scattered = |n: &i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()) & ((1 << 40) - 1);
    columns[KEY_PLACE] = Arc::new(numbers.iter().map(scattered).collect::<Int64Array>());
    RecordBatch::try_new(schema, columns).unwrap()
}

fn prepared() -> (tempfile::TempDir, Store) {
    // Beside the build, not in /tmp, which may be memory.
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let config = StoreConfig { background: false, ..StoreConfig::at(dir.path()) };
    let store = Store::open(&config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new())).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    let mut object = events(vec![]);
    let mut layout = TableLayout::clone(object.layout.as_ref().unwrap());
    layout.keys = vec![key()];
    object.layout = Some(Arc::new(layout));
    txn.ddl(object).unwrap();
    store.commit(txn).wait().unwrap();
    (dir, store)
}

/// Rows of committed and own sources with the keys of a batch, as the engine looks for them.
fn existing(txn: &Txn, columns: &[Column], batch: &RecordBatch) -> Vec<(usize, u32, u32)> {
    let def = key();
    let leading: ArrayRef = Arc::clone(batch.column(KEY_PLACE));
    let keys = KeyRows::new(&def, std::slice::from_ref(&leading)).unwrap();
    let search = KeySearch::new(&def, columns, &keys, &leading).unwrap();
    let own = txn.own_rows(EVENTS);
    let committed = txn.snapshot().table(EVENTS).unwrap().sources();
    let mut out = Vec::new();
    for source in committed.iter().chain(&own) {
        let gone = |row: u32| source.deletes().is_some_and(|deletes| deletes.contains(row));
        out.extend(search.find(source, &gone).unwrap().into_iter().map(|(key, row)| (key, source.number(), row)));
    }
    out
}

fn key_column() -> Vec<Column> {
    vec![events(vec![]).layout.unwrap().columns[KEY_PLACE].clone()]
}

/// Loads rows in equal transactions, each checked a batch at a time. Gives rows per second.
fn load(store: &Store, rows_in_all: i64, transactions: i64, keyed: bool) -> f64 {
    let columns = key_column();
    let mut spent = Duration::ZERO;
    for transaction in 0..transactions {
        let mut txn = store.begin(Isolation::ReadCommitted);
        let (from, to) = (transaction * rows_in_all / transactions, (transaction + 1) * rows_in_all / transactions);
        let numbers: Vec<i64> = (from..to).collect();
        for numbers in numbers.chunks(BATCH_ROWS) {
            let batch = rows(numbers);
            let started = Instant::now();
            if keyed {
                assert!(existing(&txn, &columns, &batch).is_empty());
            }
            txn.append(EVENTS, batch).unwrap();
            spent += started.elapsed();
        }
        let started = Instant::now();
        store.commit(txn).wait().unwrap();
        spent += started.elapsed();
    }
    rows_in_all as f64 / spent.as_secs_f64()
}

#[test]
#[ignore = "prints figures"]
fn measure_keys_load() {
    for keyed in [false, true] {
        let (_dir, store) = prepared();
        let per_second = load(&store, 3_000_000, 1, keyed);
        let snapshot = store.snapshot();
        let parts = snapshot.table(EVENTS).unwrap().sources().len();
        println!(
            "load of 3,000,000 rows, keys {}: {per_second:.0} rows/s, {parts} parts",
            if keyed { "looked up and indexed" } else { "only indexed" }
        );
    }
}

#[test]
#[ignore = "prints figures"]
fn measure_keys_lookup_and_upsert() {
    let (_dir, store) = prepared();
    let per_second = load(&store, ROWS, PARTS, true);
    let snapshot = store.snapshot();
    let table = snapshot.table(EVENTS).unwrap();
    println!("load of {ROWS} rows in {PARTS} transactions: {per_second:.0} rows/s, {} sources", table.sources().len());
    let columns = key_column();
    let all: Vec<Column> = table.layout().live_columns().cloned().collect();
    for (what, first) in [("present", 0), ("absent", ROWS)] {
        let mut random = SimRandom::new(1);
        let mut times = Vec::new();
        for _ in 0..2_000 {
            let number = first + random.below(ROWS.unsigned_abs()).cast_signed();
            let batch = rows(&[number]);
            let txn = store.begin(Isolation::ReadCommitted);
            let started = Instant::now();
            let found = existing(&txn, &columns, &batch);
            for (_, source, row) in &found {
                let source = table.source(*source).unwrap();
                all.iter().for_each(|column| drop(source.take_rows(column, &[*row]).unwrap()));
            }
            times.push(started.elapsed());
            assert_eq!(found.len(), usize::from(first == 0));
        }
        let first = times[0];
        times.sort_unstable();
        println!(
            "point lookup, {what}, {} columns: p50 {:?}, p99 {:?}, slowest {:?}, first {first:?}",
            all.len(),
            times[1_000],
            times[1_980],
            times[1_999]
        );
    }
    let mut random = SimRandom::new(2);
    let mut next = 2 * ROWS;
    let started = Instant::now();
    let mut spent = Duration::ZERO;
    let rounds = 200;
    for _ in 0..rounds {
        let mut numbers: Vec<i64> = (0..500).map(|_| random.below(ROWS.unsigned_abs()).cast_signed()).collect();
        numbers.extend(next..next + 500);
        next += 500;
        numbers.sort_unstable();
        numbers.dedup();
        let batch = rows(&numbers);
        let at = Instant::now();
        let mut txn = store.begin(Isolation::ReadCommitted);
        for (_, source, row) in existing(&txn, &columns, &batch) {
            txn.delete(EVENTS, source, &RoaringBitmap::from_iter([row])).unwrap();
        }
        txn.append(EVENTS, batch).unwrap();
        store.commit(txn).wait().unwrap();
        spent += at.elapsed();
    }
    println!(
        "upserts of 1,000, half of them existing: {:.0} rows/s ({:.0} with making the rows)",
        f64::from(rounds) * 1_000.0 / spent.as_secs_f64(),
        f64::from(rounds) * 1_000.0 / started.elapsed().as_secs_f64()
    );
}

#[test]
#[ignore = "prints figures"]
fn measure_keys_single_row_commits() {
    for clients in [1, 16] {
        let (_dir, store) = prepared();
        let next = AtomicI64::new(0);
        let started = Instant::now();
        let columns = key_column();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while started.elapsed() < Duration::from_secs(3) {
                        let row = rows(&[next.fetch_add(1, Ordering::Relaxed)]);
                        let mut txn = store.begin(Isolation::ReadCommitted);
                        assert!(existing(&txn, &columns, &row).is_empty());
                        txn.append(EVENTS, row).unwrap();
                        store.commit(txn).wait().unwrap();
                    }
                });
            }
        });
        let per_second = next.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        println!("{clients} clients: {per_second:.0} keyed single-row commits/s");
    }
}

#[test]
#[ignore = "prints figures"]
fn measure_live_masks() {
    let rows = 2_000_000u32;
    let mut random = SimRandom::new(3);
    let deletes: RoaringBitmap = (0..rows).filter(|_| random.chance(10)).collect();
    let chunks: Vec<crate::Chunk> = (0..rows.div_ceil(65_536))
        .map(|chunk| {
            let first = chunk * 65_536;
            crate::Chunk { first_row: u64::from(first), rows: (rows - first).min(65_536) as usize }
        })
        .collect();
    let masks = crate::live::LiveMasks::default();
    for what in ["first", "later"] {
        let started = Instant::now();
        let mut live = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            let mask = masks.of(&deletes, &chunks, index).unwrap();
            for first in (0..chunk.rows).step_by(8_192) {
                live += mask.slice(first, 8_192.min(chunk.rows - first)).count_set_bits();
            }
        }
        println!("masks of {rows} rows, {} deleted, {what} scan: {:?} ({live} live)", deletes.len(), started.elapsed());
    }
    let started = Instant::now();
    let mut live = 0;
    for first in (0..rows).step_by(8_192) {
        let last = (first + 8_191).min(rows - 1);
        let mut bytes = vec![0xffu8; 1_024];
        if deletes.range_cardinality(first..=last) > 0 {
            deletes
                .range(first..=last)
                .for_each(|row| bytes[(row - first) as usize / 8] &= !(1 << ((row - first) % 8)));
        }
        live += bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    }
    println!("the same walked granule by granule: {:?} ({live} bits set)", started.elapsed());
}
