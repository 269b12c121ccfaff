//! Catalog objects and table layouts.
//!
//! For: the engine's definitions, which the store keeps without understanding them, and what the store must know of a
//! table to store rows. Promises: column ids are never reused; a dropped column stays in the layout, so old parts and
//! old log frames stay readable. Does not: know SQL names or types beyond the Arrow field.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::bucket::{self, BucketUnit, Partition};
use crate::codec::{Put, Reader};
use crate::config::COLUMNS_MAX;
use crate::error::{Result, StoreError};
use crate::key::{KeyDef, can_be_key};
use crate::{ColumnId, Oid, ipc};

/// A definition: table, view, role, segment, ...
#[derive(Debug, Clone)]
pub struct Object {
    /// Never reused, see `Store::allocate_oid`.
    pub oid: Oid,
    /// The engine's tag for what this is.
    pub kind: u8,
    /// Unique among live objects unless empty, for example `relation/<schema oid>/<name>`. Two transactions creating
    /// one name: the second gets 40001.
    pub name_key: Arc<[u8]>,
    /// The engine's definition, opaque here.
    pub body: Arc<[u8]>,
    /// Present when the object has rows.
    pub layout: Option<Arc<TableLayout>>,
}

/// What the store knows of a table.
#[derive(Debug, Clone)]
pub struct TableLayout {
    /// +1 with every change of the columns.
    pub schema_version: u32,
    /// In table order; dropped ones included.
    pub columns: Vec<Column>,
    /// Order of rows inside parts: ascending, NULLS LAST. Empty = arrival.
    pub order_by: Vec<ColumnId>,
    /// PRIMARY KEY, UNIQUE and indexes: parts get a section of each.
    pub keys: Vec<KeyDef>,
    /// Rows of two buckets never share a part. None = one bucket.
    pub partition: Option<Partition>,
    /// The id the next added column gets.
    pub next_column_id: u32,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Stable; parts and log frames name columns by it.
    pub id: ColumnId,
    /// Name, the type the scan gives out (Utf8View, BinaryView, ...), nullability and `pg.*` metadata.
    pub field: FieldRef,
    /// One row: what a part written before the column existed yields. None = NULL.
    pub added_default: Option<ArrayRef>,
    /// Dropped columns keep their place and id.
    pub dropped: bool,
}

impl TableLayout {
    /// A layout with columns numbered from 1 in the given order.
    pub fn new(fields: impl IntoIterator<Item = FieldRef>) -> Self {
        let columns: Vec<Column> = fields
            .into_iter()
            .zip(1..)
            .map(|(field, id)| Column { id, field, added_default: None, dropped: false })
            .collect();
        let next_column_id = u32::try_from(columns.len()).expect("column counts are checked against COLUMNS_MAX") + 1;
        Self { schema_version: 1, columns, order_by: Vec::new(), keys: Vec::new(), partition: None, next_column_id }
    }

    /// Columns that are not dropped, in table order. A batch given to `append` has exactly these.
    pub fn live_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.dropped)
    }

    /// The schema of [`TableLayout::live_columns`].
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.live_columns().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()))
    }

    /// The column of this id, dropped or not.
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.columns.len() > COLUMNS_MAX {
            return Err(StoreError::new("54011", format!("tables can have at most {COLUMNS_MAX} columns")));
        }
        if let Some(column) = self.live_columns().find(|column| column.field.name() == "_addr") {
            let message = format!("column name \"{}\" conflicts with a system column name", column.field.name());
            return Err(StoreError::new("42701", message));
        }
        let mut ids: Vec<ColumnId> = self.columns.iter().map(|column| column.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.last().is_some_and(|id| *id >= self.next_column_id) {
            return Err(StoreError::internal("a column id is used twice"));
        }
        if self.order_by.iter().any(|id| self.column(*id).is_none_or(|column| column.dropped)) {
            return Err(StoreError::internal("order_by names a column that does not exist"));
        }
        for id in self.keys.iter().flat_map(|key| &key.columns) {
            let column = self.column(*id).filter(|column| !column.dropped);
            let column = column.ok_or_else(|| StoreError::internal("a key names a column that does not exist"))?;
            if !can_be_key(column.field.data_type()) {
                let message = format!("column \"{}\" is of a type that cannot be part of a key", column.field.name());
                return Err(StoreError::new("0A000", message));
            }
        }
        let divides = |partition: &Partition| {
            self.column(partition.column).is_some_and(|c| !c.dropped && bucket::divides(c.field.data_type()))
        };
        if self.partition.as_ref().is_some_and(|partition| !divides(partition)) {
            return Err(StoreError::internal("partition_by names a column that does not exist or is no date"));
        }
        Ok(())
    }
}

impl Column {
    /// What the column holds in rows written before it existed.
    pub fn default_array(&self, rows: usize) -> Result<ArrayRef> {
        match &self.added_default {
            Some(value) if !value.is_empty() => {
                Ok(arrow::compute::take(value, &UInt64Array::from_value(0, rows), None)?)
            }
            _ => Ok(new_null_array(self.field.data_type(), rows)),
        }
    }
}

impl Object {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        // Version 2 has keys after the layout; an object without keys stays readable to older servers.
        let keys = self.layout.as_ref().map_or(&[][..], |layout| &layout.keys);
        out.put_u8(if keys.is_empty() { 1 } else { 2 });
        out.put_u32(self.oid);
        out.put_u8(self.kind);
        out.put_bytes(&self.name_key);
        out.put_bytes(&self.body);
        match &self.layout {
            None => out.put_u8(0),
            Some(layout) => {
                out.put_u8(if layout.partition.is_some() { 2 } else { 1 });
                layout.encode(&mut out)?;
            }
        }
        if !keys.is_empty() {
            out.put_u32(u32::try_from(keys.len()).expect("bounded by COLUMNS_MAX"));
            keys.iter().for_each(|key| key.encode(&mut out));
        }
        Ok(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != 1 && version != 2 {
            return Err(StoreError::damaged(format!("catalog object has unknown version {version}")));
        }
        let mut object = Self {
            oid: reader.u32()?,
            kind: reader.u8()?,
            name_key: reader.bytes()?.into(),
            body: reader.bytes()?.into(),
            layout: match reader.u8()? {
                0 => None,
                tag => Some(Arc::new(TableLayout::decode(&mut reader, tag == 2)?)),
            },
        };
        if version == 2 {
            let keys = (0..reader.count(14)?).map(|_| KeyDef::decode(&mut reader)).collect::<Result<Vec<_>>>()?;
            let layout = object.layout.as_mut().ok_or_else(|| StoreError::damaged("keys without a layout"))?;
            Arc::make_mut(layout).keys = keys;
        }
        reader.end()?;
        Ok(object)
    }
}

impl TableLayout {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.put_u32(self.schema_version);
        out.put_u32(self.next_column_id);
        out.put_u32(u32::try_from(self.order_by.len()).expect("bounded by COLUMNS_MAX"));
        for id in &self.order_by {
            out.put_u32(*id);
        }
        let schema = Schema::new(self.columns.iter().map(|c| Arc::clone(&c.field)).collect::<Vec<_>>());
        out.put_bytes(&ipc::encode(&schema, &[])?);
        for column in &self.columns {
            out.put_u32(column.id);
            out.put_u8(u8::from(column.dropped));
            match &column.added_default {
                None => out.put_u32(0),
                Some(value) => {
                    let batch = ipc::stripped(std::slice::from_ref(value), value.len())?;
                    out.put_bytes(&ipc::encode(&batch.schema(), &[batch])?);
                }
            }
        }
        if let Some(partition) = &self.partition {
            out.put_u32(partition.column);
            out.put_u8(partition.unit.to_u8());
        }
        Ok(())
    }

    fn decode(reader: &mut Reader<'_>, partitioned: bool) -> Result<Self> {
        let schema_version = reader.u32()?;
        let next_column_id = reader.u32()?;
        let order_count = reader.count(4)?;
        let order_by = (0..order_count).map(|_| reader.u32()).collect::<Result<Vec<_>>>()?;
        let (schema, _) = ipc::decode(reader.bytes()?)?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let id = reader.u32()?;
            let dropped = reader.u8()? != 0;
            let default = reader.bytes()?;
            let added_default = if default.is_empty() { None } else { Some(single_column(default)?) };
            columns.push(Column { id, field: Arc::clone(field), added_default, dropped });
        }
        let partition = match partitioned {
            true => Some(Partition { column: reader.u32()?, unit: BucketUnit::from_u8(reader.u8()?)? }),
            false => None,
        };
        Ok(Self { schema_version, columns, order_by, keys: Vec::new(), partition, next_column_id })
    }
}

fn single_column(bytes: &[u8]) -> Result<ArrayRef> {
    let (_, batches) = ipc::decode(bytes)?;
    batches
        .first()
        .and_then(|batch: &RecordBatch| batch.columns().first().cloned())
        .ok_or_else(|| StoreError::damaged("column default has no value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHash;
    use arrow::array::StringViewArray;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn objects_round_trip_with_metadata_and_defaults() {
        let metadata = [("pg.type".to_owned(), "varchar(10)".to_owned())].into();
        let field = Arc::new(Field::new("name", DataType::Utf8View, false).with_metadata(metadata));
        let mut layout = TableLayout::new([field, Arc::new(Field::new("n", DataType::Int64, true))]);
        layout.order_by = vec![2, 1];
        let key = |id, columns| KeyDef { id, columns, unique: true, nulls_distinct: false, hash: KeyHash::Xxh3 };
        layout.keys = vec![key(9, vec![2]), key(10, vec![1, 2])];
        layout.columns[0].added_default = Some(Arc::new(StringViewArray::from(vec!["a default longer than twelve"])));
        layout.columns[1].dropped = true;
        layout.partition = Some(Partition { column: 1, unit: BucketUnit::Month });
        let object = Object {
            oid: 16_384,
            kind: 1,
            name_key: b"t"[..].into(),
            body: b"{}"[..].into(),
            layout: Some(Arc::new(layout)),
        };
        let back = Object::decode(&object.encode().unwrap()).unwrap();
        let (a, b) = (object.layout.unwrap(), back.layout.unwrap());
        assert_eq!((back.oid, back.kind, &*back.body, &*back.name_key), (16_384, 1, &b"{}"[..], &b"t"[..]));
        assert_eq!(
            (a.schema_version, &a.order_by, &a.keys, a.partition, a.next_column_id),
            (b.schema_version, &b.order_by, &b.keys, b.partition, b.next_column_id)
        );
        for (x, y) in a.columns.iter().zip(&b.columns) {
            assert_eq!((x.id, &x.field, x.dropped, &x.added_default), (y.id, &y.field, y.dropped, &y.added_default));
        }
    }

    #[test]
    fn the_address_column_is_reserved() {
        let layout = TableLayout::new([Arc::new(Field::new("_addr", DataType::Int64, true))]);
        let error = layout.check().unwrap_err();
        assert_eq!(error.sqlstate, "42701");
        assert_eq!(error.message, "column name \"_addr\" conflicts with a system column name");
    }
}
