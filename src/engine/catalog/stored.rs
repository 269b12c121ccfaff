//! Catalog objects in the store: body, table layout, the OID counter.
//!
//! The store keeps bodies without understanding them; for tables it also needs the layout of the rows. A column keeps its
//! entry in the layout for ever, so parts written before an ALTER stay readable.

use std::sync::Arc;

use arrow::array::ArrayRef;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::types;
use tributary_store::{Column, Isolation, KeyDef, KeyHash, Object, Snapshot, Space, Store, TableLayout, Txn};

use super::{CatalogObject, ColumnObject, IndexObject, TableObject, ddl, oid};
use crate::engine::store_error::store_error;

/// Where the OID counter is kept.
const NEXT_OID_KEY: &[u8] = b"catalog/next_oid";

/// All objects of a snapshot.
pub(in crate::engine) fn load(snapshot: &Snapshot) -> PgResult<Vec<CatalogObject>> {
    snapshot.objects().map(|object| CatalogObject::decode(object.kind, &object.body)).collect()
}

/// The first OID that was never given out, as far as the store knows.
pub(in crate::engine) fn next_oid(snapshot: &Snapshot) -> PgResult<u32> {
    let kept = match snapshot.get(Space::Kv, NEXT_OID_KEY) {
        None => 0,
        Some(value) => {
            let bytes = value.read().map_err(store_error)?;
            let bytes: [u8; 4] = bytes.as_ref().try_into().map_err(|_| {
                PgError::new(sqlstate::DATA_CORRUPTED, "the counter of object identifiers cannot be read")
            })?;
            u32::from_le_bytes(bytes)
        }
    };
    let newest = snapshot.objects().map(|object| object.oid + 1).max().unwrap_or(0);
    Ok(kept.max(newest).max(oid::FIRST_USER))
}

/// Writes an object.
pub(in crate::engine) fn write(txn: &mut Txn, object: &CatalogObject) -> PgResult<()> {
    let layout = match object {
        CatalogObject::Table(table) if table.external.is_none() => {
            Some(Arc::new(layout(table, txn.layout(table.oid).as_deref())?))
        }
        _ => None,
    };
    let stored = Object {
        oid: object.oid(),
        kind: object.kind(),
        // Names are checked when a transaction's catalog is published, where a swap of two names is no conflict.
        name_key: Arc::from([]),
        body: Arc::from(object.encode()?),
        layout,
    };
    txn.ddl(stored).map_err(store_error)
}

/// Gives rows written before a column existed its value.
pub(in crate::engine) fn write_added_default(
    txn: &mut Txn,
    table: &TableObject,
    column_id: u32,
    value: ArrayRef,
) -> PgResult<()> {
    let mut layout = layout(table, txn.layout(table.oid).as_deref())?;
    for column in layout.columns.iter_mut().filter(|column| column.id == column_id) {
        column.added_default = Some(Arc::clone(&value));
    }
    let object = CatalogObject::Table(Arc::new(table.clone()));
    let stored = Object {
        oid: table.oid,
        kind: object.kind(),
        name_key: Arc::from([]),
        body: Arc::from(object.encode()?),
        layout: Some(Arc::new(layout)),
    };
    txn.ddl(stored).map_err(store_error)
}

/// Remembers how far OIDs were given out.
pub(in crate::engine) fn write_next_oid(txn: &mut Txn, next_oid: u32) -> PgResult<()> {
    txn.put(Space::Kv, NEXT_OID_KEY, &next_oid.to_le_bytes()).map_err(store_error)
}

/// The layout of a table: columns the store knows keep their entry, new ones come after.
fn layout(table: &TableObject, before: Option<&TableLayout>) -> PgResult<TableLayout> {
    let columns = table
        .columns
        .iter()
        .map(|column| layout_column(column, before.and_then(|layout| layout.column(column.column_id))))
        .collect::<PgResult<Vec<Column>>>()?;
    // A column of another type has another id; what it was stays readable until its rows are written anew.
    let retired = before.iter().flat_map(|layout| &layout.columns);
    let retired = retired.filter(|old| !table.columns.iter().any(|column| column.column_id == old.id));
    let retired = retired.map(|old| Column { dropped: true, ..old.clone() });
    let columns: Vec<Column> = columns.into_iter().chain(retired).collect();
    let order_by = table
        .order_by
        .iter()
        .filter_map(|attnum| table.columns.iter().find(|column| column.attnum == *attnum))
        .map(|column| column.column_id)
        .collect();
    let partition = table.options.iter().find(|(key, _)| key == "partition_by");
    let partition = partition.map(|(_, value)| ddl::partition(table, value)).transpose()?;
    let next_column_id = table.columns.iter().map(|column| column.column_id + 1).max().unwrap_or(1);
    Ok(TableLayout {
        schema_version: before.map_or(1, |layout| layout.schema_version + 1),
        columns,
        order_by,
        keys: keys(table),
        partition,
        next_column_id: next_column_id.max(before.map_or(1, |layout| layout.next_column_id)),
    })
}

/// What the store keeps of an index: a section in every part.
pub(in crate::engine) fn key_def(table: &TableObject, index: &IndexObject) -> Option<KeyDef> {
    let id = |attnum: &i16| table.columns.iter().find(|column| column.attnum == *attnum).map(|column| column.column_id);
    Some(KeyDef {
        id: index.oid,
        columns: index.columns.iter().map(id).collect::<Option<Vec<_>>>()?,
        unique: index.unique,
        nulls_distinct: !index.nulls_not_distinct,
        hash: KeyHash::Xxh3,
    })
}

fn keys(table: &TableObject) -> Vec<KeyDef> {
    table.indexes.iter().filter_map(|index| key_def(table, index)).collect()
}

/// Tables written before the store knew of keys learn theirs.
pub(in crate::engine) fn complete_keys(store: &Store, objects: &[CatalogObject]) -> PgResult<()> {
    let mut txn = store.begin(Isolation::ReadCommitted);
    let known = |oid| txn.layout(oid).map(|layout| layout.keys.clone()).unwrap_or_default();
    let lacks =
        |object: &&CatalogObject| matches!(object, CatalogObject::Table(table) if keys(table) != known(table.oid));
    let incomplete: Vec<&CatalogObject> = objects.iter().filter(lacks).collect();
    for object in incomplete {
        write(&mut txn, object)?;
    }
    store.commit(txn).wait().map(drop).map_err(store_error)
}

fn layout_column(column: &ColumnObject, before: Option<&Column>) -> PgResult<Column> {
    let field = types::known(column.type_oid).field(&column.name, column.typmod)?;
    Ok(Column {
        id: column.column_id,
        field: Arc::new(field.with_nullable(!column.not_null)),
        added_default: before.and_then(|column| column.added_default.clone()),
        dropped: column.dropped,
    })
}
