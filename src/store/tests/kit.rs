//! A small table and the means to fill, change and read it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use roaring::RoaringBitmap;

use crate::{
    Isolation, Object, Oid, RealDisk, Result, Seq, Snapshot, Source, Store, StoreConfig, SystemClock, TableLayout, Txn,
};

pub(super) const TABLE: Oid = 16_384;

pub(super) fn open(dir: &Path) -> Result<Store> {
    let config = StoreConfig { background: false, ..StoreConfig::at(dir) };
    open_config(&config)
}

pub(super) fn open_config(config: &StoreConfig) -> Result<Store> {
    Store::open(config, Arc::new(RealDisk::new()), Arc::new(SystemClock::new()))
}

/// A count that CI keeps small and a campaign raises by a variable.
pub(super) fn campaign(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// `id bigint, name text`, ordered by id.
pub(super) fn table(oid: Oid) -> Object {
    let mut layout = TableLayout::new([
        Arc::new(Field::new("id", DataType::Int64, false)),
        Arc::new(Field::new("name", DataType::Utf8View, true)),
    ]);
    layout.order_by = vec![1];
    Object {
        oid,
        kind: b't',
        name_key: format!("t{oid}").into_bytes().into(),
        body: b"{}"[..].into(),
        layout: Some(Arc::new(layout)),
    }
}

pub(super) fn name_of(id: i64) -> Option<String> {
    (id % 7 != 0).then(|| format!("name {id}{}", "x".repeat(usize::try_from(id % 20).unwrap_or(0))))
}

pub(super) fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let names: StringViewArray = ids.iter().map(|id| name_of(*id)).collect();
    let schema = table(TABLE).layout.unwrap().schema();
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(ids)), Arc::new(names)]).unwrap()
}

pub(super) fn create(store: &Store) -> Seq {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.ddl(table(TABLE)).unwrap();
    store.commit(txn).wait().unwrap()
}

pub(super) fn insert(store: &Store, ids: impl IntoIterator<Item = i64>) -> Seq {
    let mut txn = store.begin(Isolation::ReadCommitted);
    txn.append(TABLE, rows(ids)).unwrap();
    store.commit(txn).wait().unwrap()
}

/// Live ids of some sources with their addresses, names checked.
fn read_sources<'a>(
    layout: &TableLayout,
    sources: impl Iterator<Item = &'a Arc<Source>>,
    more_deletes: &dyn Fn(u32) -> Option<RoaringBitmap>,
) -> Result<BTreeMap<i64, (u32, u32)>> {
    let columns: Vec<_> = layout.live_columns().collect();
    let mut out = BTreeMap::new();
    for source in sources {
        let extra = more_deletes(source.number()).unwrap_or_default();
        for (index, chunk) in source.chunks().iter().enumerate() {
            let ids = source.column(index, columns[0])?;
            let names = source.column(index, columns[1])?;
            let (ids, names) = (ids.as_primitive::<Int64Type>(), names.as_string_view());
            assert_eq!((ids.len(), names.len()), (chunk.rows, chunk.rows));
            for row in 0..chunk.rows {
                let at = u32::try_from(chunk.first_row + row as u64).unwrap();
                if source.deletes().is_some_and(|d| d.contains(at)) || extra.contains(at) {
                    continue;
                }
                let id = ids.value(row);
                let name = names.iter().nth(row).unwrap();
                assert_eq!(name.map(str::to_owned), name_of(id), "wrong row");
                assert!(out.insert(id, (source.number(), at)).is_none(), "id {id} twice");
            }
        }
    }
    Ok(out)
}

pub(super) fn try_read(snapshot: &Snapshot) -> Result<BTreeMap<i64, (u32, u32)>> {
    let Some(table) = snapshot.table(TABLE) else { return Ok(BTreeMap::new()) };
    read_sources(table.layout(), table.sources().iter(), &|_| None)
}

pub(super) fn read(store: &Store) -> BTreeMap<i64, (u32, u32)> {
    try_read(&store.snapshot()).unwrap()
}

pub(super) fn ids(store: &Store) -> Vec<i64> {
    read(store).into_keys().collect()
}

/// What a transaction sees of the table.
pub(super) fn read_txn(txn: &Txn) -> BTreeMap<i64, (u32, u32)> {
    let layout = txn.layout(TABLE).unwrap();
    let overlay = txn.overlay(TABLE);
    let mut sources = Vec::new();
    if overlay.as_ref().is_none_or(|overlay| !overlay.truncated()) {
        sources.extend(txn.snapshot().table(TABLE).map(|t| t.sources().to_vec()).unwrap_or_default());
    }
    if let Some(overlay) = &overlay {
        sources.extend(overlay.sources.iter().cloned());
    }
    let more = |number| overlay.as_ref().and_then(|overlay| overlay.deletes(number).cloned());
    read_sources(&layout, sources.iter(), &more).unwrap()
}

/// Deletes ids as the transaction sees them now.
pub(super) fn delete_in(txn: &mut Txn, ids: &[i64]) {
    let seen = read_txn(txn);
    for id in ids {
        let (source, row) = seen[id];
        txn.delete(TABLE, source, &RoaringBitmap::from_iter([row])).unwrap();
    }
}

pub(super) fn delete(store: &Store, ids: &[i64]) -> Result<Seq> {
    let mut txn = store.begin(Isolation::ReadCommitted);
    delete_in(&mut txn, ids);
    store.commit(txn).wait()
}
