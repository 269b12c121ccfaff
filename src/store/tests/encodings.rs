//! Every type through log, delta, part and restart, at the sizes where batches and granules end.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, StringViewArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use arrow::ipc::reader::FileReader;
use arrow::record_batch::RecordBatch;

use super::kit::{self, open, open_config};
use crate::sim::{SimClock, SimDisk, SimMeta};
use crate::{GRANULE_ROWS, Isolation, Object, Oid, ScanIo, Store, StoreConfig, TableLayout};

const TABLE: Oid = 16_384;

/// A value for a row: NULLs in runs, singly, or never.
fn is_null(row: usize, pattern: usize) -> bool {
    match pattern {
        0 => false,
        1 => row.is_multiple_of(3),
        _ => (row / 5_000) % 2 == 1,
    }
}

fn column(data_type: &DataType, rows: usize, pattern: usize) -> ArrayRef {
    let present = |row: &usize| !is_null(*row, pattern);
    let numbers = || (0..rows).map(|row| Some(row).filter(present).map(|row| (row as i64 * 37) % 10_007 - 5_000));
    match data_type {
        DataType::Boolean => Arc::new(numbers().map(|n| n.map(|n| n % 2 == 0)).collect::<BooleanArray>()),
        DataType::Utf8View => {
            let text = |n: i64| if n % 3 == 0 { format!("{n}") } else { format!("a text that is not inlined {n}") };
            Arc::new(numbers().map(|n| n.map(text)).collect::<StringViewArray>())
        }
        DataType::BinaryView => {
            let bytes = |n: i64| vec![0xFE; n.unsigned_abs() as usize % 40];
            Arc::new(numbers().map(|n| n.map(bytes)).collect::<BinaryViewArray>())
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = numbers().map(|n| n.map(|n| i128::from(n).to_be_bytes()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).unwrap())
        }
        DataType::Interval(_) => {
            let interval = |n: i64| IntervalMonthDayNano::new(i32::try_from(n).unwrap(), 1, n * 1_000);
            Arc::new(numbers().map(|n| n.map(interval)).collect::<IntervalMonthDayNanoArray>())
        }
        DataType::List(_) => {
            let list = |n: i64| (0..n.unsigned_abs() % 4).map(|i| Some(i.cast_signed())).collect::<Vec<_>>();
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(numbers().map(|n| n.map(list))))
        }
        other => arrow::compute::cast(&numbers().collect::<Int64Array>(), other).unwrap(),
    }
}

fn types() -> Vec<DataType> {
    vec![
        DataType::Boolean,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal128(38, 4),
        DataType::Decimal256(60, 4),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Utf8View,
        DataType::BinaryView,
        DataType::FixedSizeBinary(16),
        DataType::new_list(DataType::Int64, true),
    ]
}

fn all_types(rows: usize, pattern: usize) -> (Object, RecordBatch) {
    let field = |(i, data_type): (usize, DataType)| -> FieldRef {
        let metadata = [("pg.type".to_owned(), format!("type {i}"))].into();
        Arc::new(Field::new(format!("c{i}"), data_type, true).with_metadata(metadata))
    };
    let layout = TableLayout::new(types().into_iter().enumerate().map(field));
    let columns = types().iter().map(|data_type| column(data_type, rows, pattern)).collect();
    let batch = RecordBatch::try_new(layout.schema(), columns).unwrap();
    let object =
        Object { oid: TABLE, kind: b't', name_key: [].into(), body: [].into(), layout: Some(Arc::new(layout)) };
    (object, batch)
}

fn check(store: &Store, batch: &RecordBatch, what: &str) {
    let snapshot = store.snapshot();
    let table = snapshot.table(TABLE).unwrap();
    assert_eq!(table.live_rows(), batch.num_rows() as u64, "{what}");
    let mut first = 0;
    for source in table.sources() {
        for (index, chunk) in source.chunks().iter().enumerate() {
            for (i, column) in table.layout().live_columns().enumerate() {
                let found = source.column(index, column).unwrap();
                assert_eq!(*found, *batch.column(i).slice(first, chunk.rows), "{what}, {}", column.field);
            }
            first += chunk.rows;
        }
        for (i, column) in table.layout().live_columns().enumerate() {
            let Some(zones) = source.zones(column.id) else { continue };
            assert_eq!(zones.null_count.len(), (source.rows() as usize).div_ceil(GRANULE_ROWS), "{what}");
            let nulls: u64 = zones.null_count.values().iter().sum();
            assert_eq!(nulls, batch.column(i).null_count() as u64, "{what}");
            assert_eq!(source.summary(column.id).unwrap().null_count, nulls, "{what}");
        }
    }
    assert_eq!(first, batch.num_rows(), "{what}");
}

#[test]
fn every_type_and_null_pattern_at_the_edges_of_granules_and_batches() {
    for rows in [0, 1, 8_191, 8_192, 8_193, 65_537] {
        for pattern in 0..3 {
            if rows > 10_000 && pattern == 0 {
                continue;
            }
            let what = format!("{rows} rows, NULL pattern {pattern}");
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path()).unwrap();
            let (object, batch) = all_types(rows, pattern);
            let mut txn = store.begin(Isolation::ReadCommitted);
            txn.ddl(object).unwrap();
            txn.append(TABLE, batch.clone()).unwrap();
            store.commit(txn).wait().unwrap();
            check(&store, &batch, &what);
            drop(store);
            let store = open(dir.path()).unwrap();
            check(&store, &batch, &format!("{what}, from the log"));
            store.flush(TABLE).unwrap();
            check(&store, &batch, &format!("{what}, from the part"));
            drop(store);
            let store = open(dir.path()).unwrap();
            check(&store, &batch, &format!("{what}, from the part after a restart"));
            read_plainly(&store, &batch);
        }
    }
}

/// Any Arrow reader opens a part, and finds the metadata of the fields.
fn read_plainly(store: &Store, batch: &RecordBatch) {
    let mut found = 0;
    let Ok(dir) = std::fs::read_dir(store.data_dir().join(format!("parts/{TABLE}"))) else { return };
    for entry in dir {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "arrow") {
            continue;
        }
        let reader = FileReader::try_new(File::open(path).unwrap(), None).unwrap();
        assert_eq!(reader.schema().field(3).metadata()["pg.type"], "type 3");
        assert_eq!(reader.schema().metadata()["tributary.table_oid"], TABLE.to_string());
        for part in reader {
            let part = part.unwrap();
            for (a, b) in part.columns().iter().zip(batch.columns()) {
                let plain = arrow::compute::cast(a, b.data_type()).unwrap();
                assert_eq!(*plain, *b.slice(found, part.num_rows()));
            }
            found += part.num_rows();
        }
    }
    assert_eq!(found, batch.num_rows());
}

#[test]
fn texts_of_few_values_are_codes_and_come_out_as_views() {
    for (distinct, repeats, stored) in [(256, 1, "UInt8"), (257, 8, "UInt16"), (257, 7, "plain"), (9_000, 8, "UInt16")]
    {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let mut layout = TableLayout::new([Arc::new(Field::new("t", DataType::Utf8View, true))]);
        layout.order_by = vec![1];
        let text = |n: usize| format!("{n:05}{}", if n.is_multiple_of(2) { "" } else { " and too long for a view" });
        let mut texts: Vec<Option<String>> = (0..distinct * repeats).map(|i| Some(text(i % distinct))).collect();
        texts.extend([None, None, None]);
        let array: StringViewArray = texts.iter().map(Option::as_deref).collect();
        let batch = RecordBatch::try_new(layout.schema(), vec![Arc::new(array)]).unwrap();
        let mut txn = store.begin(Isolation::ReadCommitted);
        let layout = Some(Arc::new(layout));
        txn.ddl(Object { oid: TABLE, kind: b't', name_key: [].into(), body: [].into(), layout }).unwrap();
        txn.append(TABLE, batch).unwrap();
        store.commit(txn).wait().unwrap();
        store.flush(TABLE).unwrap();
        let snapshot = store.snapshot();
        let table = snapshot.table(TABLE).unwrap();
        let (source, column) = (&table.sources()[0], table.layout().column(1).unwrap());
        texts.sort_by(|a, b| (a.is_none(), a).cmp(&(b.is_none(), b)));
        let mut first = 0;
        for (index, chunk) in source.chunks().iter().enumerate() {
            let found = source.column(index, column).unwrap();
            let found: Vec<Option<&str>> = found.as_string_view().iter().collect();
            let expected: Vec<Option<&str>> = texts[first..first + chunk.rows].iter().map(Option::as_deref).collect();
            assert_eq!(found, expected, "{distinct} distinct, {repeats} times");
            first += chunk.rows;
            let encoding = match source.encoded(index, column).unwrap().unwrap() {
                crate::Encoded::Plain(_) => "plain".to_owned(),
                crate::Encoded::Dictionary { keys, values } => {
                    assert_eq!(values.data_type(), &DataType::Utf8View);
                    keys.data_type().to_string()
                }
            };
            assert_eq!(encoding, stored, "{distinct} distinct, {repeats} times");
        }
        let zones = source.zones(1).unwrap();
        assert_eq!(zones.min.as_string_view().value(0), texts[0].as_deref().unwrap());
    }
}

#[test]
fn floats_are_stored_with_one_zero_and_one_nan() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let layout = TableLayout::new([Arc::new(Field::new("f", DataType::Float64, true))]);
    let odd = vec![-0.0, f64::from_bits(0xFFF8_0000_0000_0001), 1.5, -f64::NAN];
    let batch = RecordBatch::try_new(layout.schema(), vec![Arc::new(Float64Array::from(odd))]).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    let layout = Some(Arc::new(layout));
    txn.ddl(Object { oid: TABLE, kind: b't', name_key: [].into(), body: [].into(), layout }).unwrap();
    txn.append(TABLE, batch).unwrap();
    store.commit(txn).wait().unwrap();
    let snapshot = store.snapshot();
    let table = snapshot.table(TABLE).unwrap();
    let column = table.sources()[0].column(0, table.layout().column(1).unwrap()).unwrap();
    let bits: Vec<u64> =
        column.as_primitive::<arrow::datatypes::Float64Type>().values().iter().map(|v| v.to_bits()).collect();
    assert_eq!(bits, [0, f64::NAN.to_bits(), 1.5f64.to_bits(), f64::NAN.to_bits()]);
}

/// Rows come out equal whichever way the files are read.
#[test]
fn read_and_mapped_parts_give_equal_rows() {
    for (rows, pattern) in [(1, 0), (8_193, 1), (70_000, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let config = |scan_io| StoreConfig { scan_io, background: false, ..StoreConfig::at(dir.path()) };
        let store = open_config(&config(ScanIo::Pread)).unwrap();
        let (object, batch) = all_types(rows, pattern);
        let mut txn = store.begin(Isolation::ReadCommitted);
        txn.ddl(object).unwrap();
        txn.append(TABLE, batch.clone()).unwrap();
        store.commit(txn).wait().unwrap();
        store.flush(TABLE).unwrap();
        check(&store, &batch, &format!("{rows} rows, just written"));
        drop(store);
        for scan_io in [ScanIo::Pread, ScanIo::Mmap] {
            let store = open_config(&config(scan_io)).unwrap();
            check(&store, &batch, &format!("{rows} rows, {scan_io:?}"));
            check(&store, &batch, &format!("{rows} rows, {scan_io:?} again"));
        }
    }
}

/// What is read is checked at every use: damage that comes later is found too, and a file that cannot be read is an error
/// of who reads it.
#[test]
fn parts_that_are_read_are_checked_each_time() {
    let (disk, meta, clock) = (SimDisk::new(), SimMeta::new(), Arc::<SimClock>::default());
    let config = StoreConfig { scan_io: ScanIo::Pread, ..StoreConfig::at("/sim/data") };
    let store = Store::open_simulated(&config, &disk, clock, &meta).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(kit::table(TABLE)).unwrap();
    txn.append(TABLE, kit::rows(0..30_000)).unwrap();
    let ticket = store.commit(txn);
    store.step_commit();
    ticket.try_wait().unwrap().unwrap();
    store.flush(TABLE).unwrap();
    let expected: Vec<i64> = (0..30_000).collect();
    assert_eq!(kit::ids(&store), expected);
    let path = disk.files().into_iter().find(|path| path.extension().is_some_and(|e| e == "arrow")).unwrap();
    let at = disk.content(&path).unwrap().windows(8).position(|window| window == 20_000i64.to_le_bytes()).unwrap();
    for _ in 0..2 {
        disk.damage(&path, |bytes| bytes[at] ^= 4).unwrap();
        let error = kit::try_read(&store.snapshot()).unwrap_err();
        assert!(error.sqlstate == "XX001" && error.detail.unwrap().contains("column \"id\", batch 0"));
        disk.damage(&path, |bytes| bytes[at] ^= 4).unwrap();
        assert_eq!(kit::ids(&store), expected);
    }
    disk.fail_call_after(3, std::io::ErrorKind::Other);
    assert_eq!(kit::try_read(&store.snapshot()).unwrap_err().sqlstate, "58030");
    assert_eq!(kit::ids(&store), expected);
}
