//! Figures, on request: `cargo test --release -p tributary-store measure -- --ignored --nocapture`.
//!
//! For: the numbers in documents and commit messages. Does not: assert anything about time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::record_batch::RecordBatch;

use super::kit::open;
use crate::sim::SimRandom;
use crate::{Isolation, Object, Oid, Store, TableLayout};

pub(super) const EVENTS: Oid = 16_384;

/// Twelve columns of an event.
pub(super) fn events(order_by: Vec<u32>) -> Object {
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8View, true));
    let number = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
    let mut layout = TableLayout::new([
        Arc::new(Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true)),
        number("user_id"),
        text("channel"),
        text("event"),
        text("campaign"),
        text("device_id"),
        Arc::new(Field::new("amount", DataType::Float64, true)),
        number("sess"),
        number("a"),
        number("b"),
        number("c"),
        text("page"),
    ]);
    layout.order_by = order_by;
    let name_key = b"events"[..].into();
    Object { oid: EVENTS, kind: b't', name_key, body: b"{}"[..].into(), layout: Some(Arc::new(layout)) }
}

pub(super) fn batch(schema: &arrow::datatypes::SchemaRef, first: i64, rows: usize) -> RecordBatch {
    let mut random = SimRandom::new(first.unsigned_abs());
    let mut numbers = |limit: u64| -> Vec<i64> { (0..rows).map(|_| random.below(limit).cast_signed()).collect() };
    let text = |numbers: Vec<i64>, prefix: &str| -> ArrayRef {
        Arc::new(numbers.iter().map(|n| Some(format!("{prefix}{n}"))).collect::<StringViewArray>())
    };
    let ts: Vec<i64> = (0..rows).map(|row| (first + row as i64) * 1_000).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(ts)),
        Arc::new(Int64Array::from(numbers(400_000))),
        text(numbers(12), "channel-"),
        text(numbers(8), "event-"),
        text(numbers(3_000), "camp-"),
        text(numbers(300_000), "0123456789-"),
        Arc::new(numbers(10_000).iter().map(|n| *n as f64 / 100.0).collect::<Float64Array>()),
        Arc::new(Int64Array::from(numbers(1 << 40))),
        Arc::new(Int64Array::from(numbers(100))),
        Arc::new(Int64Array::from(numbers(100))),
        Arc::new(Int64Array::from(numbers(100))),
        text(numbers(1_000), "/a/rather/long/path/of/a/page/"),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn prepared(order_by: Vec<u32>) -> (tempfile::TempDir, Store) {
    // Beside the build, not in /tmp, which may be memory.
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let store = open(dir.path()).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(events(order_by)).unwrap();
    store.commit(txn).wait().unwrap();
    (dir, store)
}

#[test]
#[ignore = "prints figures"]
fn measure_single_row_commits() {
    for clients in [1, 16] {
        let (_dir, store) = prepared(vec![]);
        let schema = events(vec![]).layout.unwrap().schema();
        let row = batch(&schema, 1, 1);
        let commits = Arc::new(AtomicU64::new(0));
        let slowest = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while started.elapsed() < Duration::from_secs(2) {
                        let at = Instant::now();
                        let mut txn = store.begin(Isolation::ReadCommitted);
                        txn.append(EVENTS, row.clone()).unwrap();
                        store.commit(txn).wait().unwrap();
                        commits.fetch_add(1, Ordering::Relaxed);
                        slowest.fetch_max(at.elapsed().as_micros() as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        let per_second = commits.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        println!(
            "{clients} clients: {per_second:.0} single-row commits/s, slowest {} us",
            slowest.load(Ordering::Relaxed)
        );
    }
}

#[test]
#[ignore = "prints figures"]
fn measure_part_write() {
    for order_by in [vec![], vec![2, 1]] {
        let (_dir, store) = prepared(order_by.clone());
        let schema = events(vec![]).layout.unwrap().schema();
        let batches: Vec<RecordBatch> = (0..200).map(|i| batch(&schema, i * 8_192, 8_192)).collect();
        let started = Instant::now();
        let mut txn = store.begin(Isolation::ReadCommitted);
        for batch in batches {
            txn.append(EVENTS, batch).unwrap();
        }
        store.commit(txn).wait().unwrap();
        let seconds = started.elapsed().as_secs_f64();
        let snapshot = store.snapshot();
        let table = snapshot.table(EVENTS).unwrap();
        let (rows, bytes) = (table.live_rows(), table.bytes());
        println!(
            "order_by {order_by:?}: {rows} rows in {} parts, {:.0} rows/s, {:.0} MB/s, {:.0} B/row",
            table.sources().len(),
            rows as f64 / seconds,
            bytes as f64 / seconds / 1e6,
            bytes as f64 / rows as f64,
        );
        let started = Instant::now();
        let column = table.layout().live_columns().next().unwrap();
        let chunks: usize = table
            .sources()
            .iter()
            .map(|source| {
                (0..source.chunks().len()).for_each(|c| drop(source.column(c, column).unwrap()));
                source.chunks().len()
            })
            .sum();
        println!("  first read of one column: {chunks} chunks in {} us", started.elapsed().as_micros());
    }
}

/// Files of a table against the bytes its live rows have as plain Arrow IPC.
#[test]
fn disk_after_compaction_is_not_more_than_the_live_rows_need() {
    for order_by in [vec![], vec![2, 1]] {
        let (dir, store) = prepared(order_by.clone());
        let schema = events(vec![]).layout.unwrap().schema();
        for piece in 0..6 {
            let mut txn = store.begin(Isolation::ReadCommitted);
            txn.append(EVENTS, batch(&schema, piece * 10_000, 10_000)).unwrap();
            store.commit(txn).wait().unwrap();
            store.flush(EVENTS).unwrap();
        }
        let mut txn = store.begin(Isolation::ReadCommitted);
        for source in store.snapshot().table(EVENTS).unwrap().sources() {
            let rows = u32::try_from(source.rows()).unwrap();
            txn.delete(EVENTS, source.number(), &(0..rows).filter(|row| row % 4 == 1).collect()).unwrap();
        }
        store.commit(txn).wait().unwrap();
        store.compact(EVENTS).unwrap();
        for _ in 0..3 {
            store.checkpoint().unwrap();
        }
        let snapshot = store.snapshot();
        let table = snapshot.table(EVENTS).unwrap();
        assert_eq!(table.live_rows(), 45_000);
        let mut plain = 0;
        for source in table.sources() {
            for chunk in 0..source.chunks().len() {
                let columns: Vec<ArrayRef> =
                    table.layout().live_columns().map(|column| source.column(chunk, column).unwrap()).collect();
                let columns: Vec<ArrayRef> = columns.iter().map(crate::ipc::compact).collect();
                let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
                plain += crate::ipc::encode(&schema, &[batch]).unwrap().len() as u64;
            }
        }
        let files = std::fs::read_dir(dir.path().join(format!("parts/{EVENTS}"))).unwrap();
        let disk: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        println!(
            "order_by {order_by:?}: {disk} bytes on disk, {plain} as plain IPC: {:.3}",
            disk as f64 / plain as f64
        );
        assert!(disk as f64 <= plain as f64 * 1.05, "{disk} bytes for {plain}");
    }
}
