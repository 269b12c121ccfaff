//! Transactions: own writes, conflicts, rows that move while a transaction is open, savepoints, definitions.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use super::kit::*;
use crate::{
    Column, CommitHook, Expect, HookWrites, Isolation, Object, PRIVATE_SOURCES_FROM, Snapshot, Space, Store,
    StoreConfig, StoreError, TableChange, TableLayout,
};

fn with_rows(ids: std::ops::Range<i64>) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    insert(&store, ids);
    (dir, store)
}

fn conflict(what: &str) -> (&'static str, String) {
    ("40001", format!("could not serialize access due to concurrent {what}"))
}

fn fields(error: StoreError) -> (&'static str, String) {
    (error.sqlstate, error.message)
}

#[test]
fn nothing_is_visible_before_the_commit_and_own_writes_are() {
    let (_dir, store) = with_rows(0..5);
    let before = store.snapshot();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows(10..13)).unwrap();
    delete_in(&mut txn, &[1, 11]);
    assert!(read_txn(&txn).keys().eq(&[0, 2, 3, 4, 10, 12]));
    assert!(txn.overlay(TABLE).unwrap().sources.iter().all(|source| source.number() >= PRIVATE_SOURCES_FROM));
    assert_eq!(ids(&store), [0, 1, 2, 3, 4]);
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store), [0, 2, 3, 4, 10, 12]);
    assert!(try_read(&before).unwrap().keys().eq(&[0, 1, 2, 3, 4]), "a snapshot changed");
    drop(store.begin(Isolation::ReadCommitted));
}

#[test]
fn two_deleting_one_row_the_second_gets_40001_and_leaves_nothing() {
    let (_dir, store) = with_rows(0..5);
    let mut first = store.begin(Isolation::RepeatableRead);
    let mut second = store.begin(Isolation::RepeatableRead);
    delete_in(&mut first, &[2]);
    delete_in(&mut second, &[2]);
    second.append(TABLE, rows([77])).unwrap();
    store.commit(first).wait().unwrap();
    let error = store.commit(second).wait().unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("Retry the transaction."));
    assert_eq!(fields(error), conflict("update"));
    assert_eq!(ids(&store), [0, 1, 3, 4]);
    delete(&store, &[3]).unwrap();
    assert_eq!(ids(&store), [0, 1, 4]);
}

#[test]
fn a_delete_in_flight_across_a_flush_lands_on_the_right_row() {
    let (_dir, store) = with_rows(0..50);
    insert(&store, (50..100).rev());
    let mut txn = store.begin(Isolation::RepeatableRead);
    delete_in(&mut txn, &[0, 17, 49, 50, 99]);
    let mut loser = store.begin(Isolation::RepeatableRead);
    delete_in(&mut loser, &[60]);
    delete(&store, &[60]).unwrap();
    store.flush(TABLE).unwrap();
    assert!(store.snapshot().table(TABLE).unwrap().sources().iter().all(|source| source.is_part()));
    store.commit(txn).wait().unwrap();
    let expected: Vec<i64> = (0..100).filter(|id| ![0, 17, 49, 50, 60, 99].contains(id)).collect();
    assert_eq!(ids(&store), expected);
    assert_eq!(fields(store.commit(loser).wait().unwrap_err()), conflict("update"), "its row did not survive the move");
    // And across a second move, from the part on.
    let mut txn = store.begin(Isolation::RepeatableRead);
    delete_in(&mut txn, &[33]);
    store.rewrite_deleted(TABLE).unwrap();
    store.commit(txn).wait().unwrap();
    assert!(!ids(&store).contains(&33));
    assert_eq!(ids(&store).len(), expected.len() - 1);
}

#[test]
fn a_delete_that_commits_while_a_part_is_written_moves_along() {
    use crate::sim::{SimClock, SimDisk, SimMeta};
    let (disk, meta) = (SimDisk::new(), SimMeta::new());
    let config = StoreConfig { wal_segment_bytes_first: 1 << 16, ..StoreConfig::at("/sim/data") };
    let store = Store::open_simulated(&config, &disk, Arc::new(SimClock::default()), &meta).unwrap();
    let run = |txn| {
        let ticket = store.commit(txn);
        store.step_commit();
        ticket.try_wait().unwrap()
    };
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(table(TABLE)).unwrap();
    txn.append(TABLE, rows((0..20).rev())).unwrap();
    run(txn).unwrap();
    let mut late = store.begin(Isolation::ReadCommitted);
    delete_in(&mut late, &[4, 15]);
    let mut later = store.begin(Isolation::ReadCommitted);
    delete_in(&mut later, &[6]);
    let answer = Arc::new(Mutex::new(None));
    let (queue, slot) = (store.clone(), Arc::clone(&answer));
    *store.shared().before_install.lock().unwrap() =
        Some(Box::new(move || *slot.lock().unwrap() = Some(queue.commit(late))));
    store.flush(TABLE).unwrap();
    let ticket = answer.lock().unwrap().take().expect("the flush had something to install");
    ticket.try_wait().unwrap().unwrap();
    let snapshot = store.snapshot();
    let source = &snapshot.table(TABLE).unwrap().sources()[0];
    assert!(source.is_part() && source.deletes().unwrap().len() == 2, "both deletes moved into the new part");
    run(later).unwrap();
    let expected: Vec<i64> = (0..20).filter(|id| ![4, 6, 15].contains(id)).collect();
    assert_eq!(ids(&store), expected);
    drop((snapshot, store));
    let store = Store::open_simulated(&config, &disk, Arc::new(SimClock::default()), &meta).unwrap();
    assert_eq!(ids(&store), expected);
}

#[test]
fn read_committed_maps_its_deletes_forward_at_each_statement() {
    let (_dir, store) = with_rows(0..20);
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[5]);
    store.flush(TABLE).unwrap();
    insert(&store, 20..22);
    txn.refresh_snapshot();
    assert!(read_txn(&txn).keys().eq((0..22).filter(|id| *id != 5).collect::<Vec<_>>().iter()));
    delete_in(&mut txn, &[21]);
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store).len(), 20);
    let mut fixed = store.begin(Isolation::RepeatableRead);
    insert(&store, [50]);
    fixed.refresh_snapshot();
    assert!(!read_txn(&fixed).contains_key(&50));
}

/// A savepoint remembers deletes by address; the rows have moved, and the map of the move is gone, when it is returned to.
#[test]
fn a_savepoint_keeps_its_deletes_when_rows_move_and_checkpoints_pass() {
    let (_dir, store) = with_rows(0..20);
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, &[5]);
    let mark = txn.savepoint();
    store.flush(TABLE).unwrap();
    txn.refresh_snapshot();
    delete_in(&mut txn, &[6]);
    store.checkpoint().unwrap();
    assert!(txn.rollback_to(mark));
    let expected: Vec<i64> = (0..20).filter(|id| *id != 5).collect();
    assert!(read_txn(&txn).keys().eq(expected.iter()));
    txn.refresh_snapshot();
    assert!(read_txn(&txn).keys().eq(expected.iter()));
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store), expected);
}

#[test]
fn savepoints_bring_back_rows_values_and_definitions() {
    let (_dir, store) = with_rows(0..5);
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows([10])).unwrap();
    let outer = txn.savepoint();
    delete_in(&mut txn, &[0, 10]);
    txn.put(Space::Kv, b"k", b"v").unwrap();
    let inner = txn.savepoint();
    txn.truncate(TABLE).unwrap();
    txn.append(TABLE, rows([20])).unwrap();
    txn.drop_object(99);
    assert!(read_txn(&txn).keys().eq(&[20]));
    assert!(txn.rollback_to(inner));
    assert!(read_txn(&txn).keys().eq(&[1, 2, 3, 4]));
    assert!(txn.rollback_to(outer));
    assert!(!txn.rollback_to(inner), "a mark behind the one returned to is gone");
    assert!(txn.get(Space::Kv, b"k").is_none());
    assert!(read_txn(&txn).keys().eq(&[0, 1, 2, 3, 4, 10]));
    txn.append(TABLE, rows([11])).unwrap();
    txn.release(outer);
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store), [0, 1, 2, 3, 4, 10, 11]);
}

#[test]
fn truncate_removes_everything_for_new_snapshots_only() {
    let (_dir, store) = with_rows(0..5);
    store.flush(TABLE).unwrap();
    insert(&store, 5..8);
    let old = store.snapshot();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.truncate(TABLE).unwrap();
    txn.append(TABLE, rows([100])).unwrap();
    let mut victim = store.begin(Isolation::ReadCommitted);
    delete_in(&mut victim, &[1]);
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store), [100]);
    assert_eq!(try_read(&old).unwrap().len(), 8);
    assert_eq!(fields(store.commit(victim).wait().unwrap_err()), conflict("update"));
}

fn added_column(default: Option<ArrayRef>) -> Object {
    let mut object = table(TABLE);
    let mut layout = TableLayout::clone(object.layout.as_ref().unwrap());
    layout.schema_version = 2;
    let field = Arc::new(Field::new("extra", DataType::Int64, true));
    layout.columns.push(Column { id: 3, field, added_default: default, dropped: false });
    layout.next_column_id = 4;
    object.layout = Some(Arc::new(layout));
    object
}

fn three_columns(id: i64, extra: Option<i64>) -> RecordBatch {
    let schema = added_column(None).layout.unwrap().schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![id])),
        Arc::new(StringViewArray::from(vec![name_of(id)])),
        Arc::new(Int64Array::from(vec![extra])),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn added_dropped_and_renamed_columns_work_over_old_rows() {
    let (dir, mut store) = with_rows(0..3);
    store.flush(TABLE).unwrap();
    insert(&store, 3..5);
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(added_column(Some(Arc::new(Int64Array::from(vec![7]))))).unwrap();
    txn.append(TABLE, three_columns(5, Some(1))).unwrap();
    store.commit(txn).wait().unwrap();
    let extras = |snapshot: &Snapshot| -> Vec<Option<i64>> {
        let table = snapshot.table(TABLE).unwrap();
        let column = table.layout().column(3).unwrap();
        let read = |source: &Arc<crate::Source>| {
            (0..source.chunks().len())
                .flat_map(|chunk| {
                    let array = source.column(chunk, column).unwrap();
                    array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        };
        table.sources().iter().flat_map(read).collect()
    };
    let expected = [Some(7); 5].into_iter().chain([Some(1)]).collect::<Vec<_>>();
    assert_eq!(extras(&store.snapshot()), expected);
    for _ in 0..2 {
        drop(store);
        store = open(dir.path()).unwrap();
        assert_eq!(extras(&store.snapshot()), expected, "after a restart");
        store.flush(TABLE).unwrap();
        assert_eq!(ids(&store), [0, 1, 2, 3, 4, 5]);
    }
    // Dropping hides the column, renaming changes only the layout; new parts no longer store what was dropped.
    let mut object = added_column(None);
    let mut layout = TableLayout::clone(object.layout.as_ref().unwrap());
    layout.schema_version = 3;
    layout.columns[2].dropped = true;
    layout.columns[0].field = Arc::new(Field::new("renamed", DataType::Int64, false));
    object.layout = Some(Arc::new(layout));
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(object).unwrap();
    store.commit(txn).wait().unwrap();
    insert(&store, 6..8);
    store.flush(TABLE).unwrap();
    assert_eq!(ids(&store), (0..8).collect::<Vec<_>>());
    let snapshot = store.snapshot();
    let sources = snapshot.table(TABLE).unwrap().sources();
    assert!(sources[0].has_column(1) && !sources.last().unwrap().has_column(3));
}

#[test]
fn planning_against_an_old_definition_is_refused() {
    let (_dir, store) = with_rows(0..3);
    let mut writer = store.begin(Isolation::ReadCommitted);
    writer.append(TABLE, rows([9])).unwrap();
    let mut rival = store.begin(Isolation::ReadCommitted);
    rival.ddl(added_column(None)).unwrap();
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(added_column(None)).unwrap();
    store.commit(txn).wait().unwrap();
    assert_eq!(fields(store.commit(writer).wait().unwrap_err()), conflict("schema change"));
    assert_eq!(fields(store.commit(rival).wait().unwrap_err()), conflict("schema change"));
    // Two objects of one name: the second creator loses; a rename that frees the name in the same commit does not.
    let mut first = store.begin(Isolation::ReadCommitted);
    let mut second = store.begin(Isolation::ReadCommitted);
    let named = |oid| Object { name_key: b"same"[..].into(), ..table(oid) };
    let (a, b) = (store.allocate_oid(), store.allocate_oid());
    first.ddl(named(a)).unwrap();
    second.ddl(named(b)).unwrap();
    store.commit(first).wait().unwrap();
    assert_eq!(fields(store.commit(second).wait().unwrap_err()), conflict("schema change"));
    let mut swap = store.begin(Isolation::ReadCommitted);
    swap.ddl(Object { name_key: b"other"[..].into(), ..table(a) }).unwrap();
    swap.ddl(named(b)).unwrap();
    store.commit(swap).wait().unwrap();
    let snapshot = store.snapshot();
    let oid_of = |name: &[u8]| snapshot.object_named(name).map(|object| object.oid);
    assert_eq!((oid_of(b"same"), oid_of(b"other")), (Some(b), Some(a)));
}

#[test]
fn expectations_and_serializable_reads_are_checked_at_commit() {
    let (_dir, store) = with_rows(0..3);
    let put = |expect| {
        let mut txn = store.begin(Isolation::ReadCommitted);
        txn.put_expecting(Space::Token, b"batch", b"1", expect).unwrap();
        store.commit(txn).wait()
    };
    let version = put(Expect::Absent).unwrap();
    assert_eq!(fields(put(Expect::Absent).unwrap_err()), conflict("update"));
    put(Expect::Version(version)).unwrap();
    assert_eq!(fields(put(Expect::Version(version)).unwrap_err()), conflict("update"));
    let mut doctor = store.begin(Isolation::Serializable);
    doctor.note_read(TABLE);
    doctor.put(Space::Kv, b"x", b"1").unwrap();
    insert(&store, [9]);
    let error = store.commit(doctor).wait().unwrap_err();
    assert_eq!(error.message, "could not serialize access due to read/write dependencies among transactions");
    let mut alone = store.begin(Isolation::Serializable);
    alone.note_read(TABLE);
    alone.note_read_space(Space::Kv);
    alone.append(TABLE, rows([10])).unwrap();
    // Rows that only move are no change.
    store.flush(TABLE).unwrap();
    store.commit(alone).wait().unwrap();
}

#[test]
fn more_rows_than_a_frame_takes_are_staged_and_vanish_with_the_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { background: false, stage_rows_max: 1_000, ..StoreConfig::at(dir.path()) };
    let store = open_config(&config).unwrap();
    create(&store);
    let parts = || std::fs::read_dir(dir.path().join(format!("parts/{TABLE}"))).map_or(0, Iterator::count);
    let mut txn = store.begin(Isolation::ReadCommitted);
    for i in 0..35 {
        txn.append(TABLE, rows((i * 100..(i + 1) * 100).rev())).unwrap();
    }
    assert_eq!(parts(), 6, "three parts with their indexes");
    drop(txn);
    assert_eq!(parts(), 0);

    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows(0..500)).unwrap();
    let seen = read_txn(&txn);
    txn.append(TABLE, rows((500..1_500).rev())).unwrap();
    // Addresses a scan gave out before the rows were staged still work.
    let (source, row) = seen[&123];
    txn.delete(TABLE, source, &RoaringBitmap::from_iter([row])).unwrap();
    txn.append(TABLE, rows(1_500..1_600)).unwrap();
    delete_in(&mut txn, &[1_000, 1_550]);
    let expected: Vec<i64> = (0..1_600).filter(|id| ![123, 1_000, 1_550].contains(id)).collect();
    assert!(read_txn(&txn).keys().eq(expected.iter()));
    store.commit(txn).wait().unwrap();
    assert_eq!(ids(&store), expected);
    drop(store);
    assert_eq!(ids(&open_config(&config).unwrap()), expected);
}

#[test]
fn wrong_and_too_large_input_is_refused_with_its_reason() {
    let (_dir, store) = with_rows(0..3);
    let mut txn = store.begin(Isolation::ReadCommitted);
    let error = txn.put(Space::Kv, &[1; 1_025], b"").unwrap_err();
    assert_eq!(fields(error), ("54000", "key of 1025 bytes exceeds the limit of 1024".to_owned()));
    let error = txn.put(Space::Kv, b"k", &vec![0; 71_303_168]).unwrap_err();
    assert_eq!(fields(error), ("54000", "value of 71303168 bytes exceeds the limit of 67108864".to_owned()));
    let error = txn.append(4711, rows([1])).unwrap_err();
    assert_eq!(fields(error), ("42P01", "relation with OID 4711 does not exist".to_owned()));
    assert_eq!(txn.put(Space::Catalog, b"k", b"").unwrap_err().sqlstate, "XX000");
    assert_eq!(txn.append(TABLE, three_columns(1, None)).unwrap_err().sqlstate, "XX000");
    let long = "x".repeat(71_303_168);
    let schema = table(TABLE).layout.unwrap().schema();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringViewArray::from(vec![long.as_str()]))];
    let error = txn.append(TABLE, RecordBatch::try_new(schema, columns).unwrap()).unwrap_err();
    assert_eq!(fields(error), ("54000", "value of 71303168 bytes exceeds the limit of 67108864".to_owned()));
    let union = DataType::RunEndEncoded(
        Arc::new(Field::new("ends", DataType::Int32, false)),
        Arc::new(Field::new("values", DataType::Int64, true)),
    );
    let layout = TableLayout::new([Arc::new(Field::new("c", union, true))]);
    let object = Object { layout: Some(Arc::new(layout)), ..table(20_000) };
    assert_eq!(txn.ddl(object).unwrap_err().sqlstate, "0A000");
}

/// Counts rows per table into a value of the same frame, and refuses id 13.
struct Counter {
    seen: Mutex<Vec<u64>>,
}

impl CommitHook for Counter {
    fn watches(&self, table: crate::Oid) -> bool {
        table == TABLE
    }

    fn on_commit(&self, state: &Snapshot, changes: &[TableChange]) -> crate::Result<HookWrites> {
        let layout = state.table(TABLE).map(|table| Arc::clone(table.layout()));
        let Some(layout) = layout else { return Ok(HookWrites::default()) };
        let before = state.get(Space::Kv, b"count").map_or(0, |value| value.read().unwrap()[0]);
        let mut count = u64::from(before);
        for source in &changes[0].appended {
            count += source.live_rows();
            for chunk in 0..source.chunks().len() {
                let column = source.column(chunk, layout.column(1).unwrap())?;
                if column.as_primitive::<Int64Type>().values().contains(&13) {
                    return Err(StoreError::new("23514", "no thirteen"));
                }
            }
        }
        count -= changes[0].deleted.iter().map(|(_, rows)| rows.len()).sum::<u64>();
        self.seen.lock().unwrap().push(count);
        let value = vec![u8::try_from(count).unwrap()];
        Ok(HookWrites { puts: vec![(Space::Kv, b"count".to_vec(), value)], ..HookWrites::default() })
    }
}

#[test]
fn the_commit_hook_sees_commits_in_order_and_joins_their_frame() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    create(&store);
    let hook = Arc::new(Counter { seen: Mutex::default() });
    store.set_commit_hook(Arc::clone(&hook) as Arc<dyn CommitHook>);
    insert(&store, 0..5);
    insert(&store, 5..7);
    delete(&store, &[0]).unwrap();
    let mut refused = store.begin(Isolation::ReadCommitted);
    refused.append(TABLE, rows([13])).unwrap();
    assert_eq!(store.commit(refused).wait().unwrap_err().message, "no thirteen");
    assert_eq!(*hook.seen.lock().unwrap(), [5, 7, 6]);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.snapshot().get(Space::Kv, b"count").unwrap().read().unwrap()[0], 6);
    assert_eq!(ids(&store), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn concurrent_writers_each_get_their_own_answer() {
    let (dir, store) = with_rows(0..1);
    std::thread::scope(|scope| {
        for client in 1..=8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..50 {
                    insert(store, [client * 1_000 + i]);
                    if i % 3 == 0 {
                        delete(store, &[client * 1_000 + i]).unwrap();
                    }
                    if i == 25 {
                        store.flush(TABLE).unwrap();
                    }
                }
            });
        }
    });
    let expected: Vec<i64> = [0]
        .into_iter()
        .chain((1..=8).flat_map(|c| (0..50).filter(|i| i % 3 != 0).map(move |i| c * 1_000 + i)))
        .collect();
    assert_eq!(ids(&store), expected);
    drop(store);
    assert_eq!(ids(&open(dir.path()).unwrap()), expected);
}
