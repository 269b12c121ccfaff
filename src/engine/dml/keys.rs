//! PRIMARY KEY and UNIQUE: no two rows of a table with equal keys.
//!
//! A write collects the keys of its new rows, which must differ among themselves, and then reads the key columns of the
//! rows that exist, only where the bounds of a granule allow a new key at all. So memory is in proportion to what is
//! written, never to the table. NULL in a key of UNIQUE is equal to nothing.
//! Commits after the snapshot are not seen: [`claim`] makes the later one fail, and be rerun if it commits by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, concat, sort_to_indices, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, UInt64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Constraints, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, in_list};
use futures::StreamExt;
use tributary_pg::TextStyle;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_store::{Expect, Space, Txn};

use super::memory::Kept;
use crate::engine::catalog::{ConstraintKind, TableObject};
use crate::engine::pg::map_error;
use crate::engine::scan::row_source::RowSource;
use crate::engine::scan::{PartSource, ScanRequest, ScanTable};
use crate::engine::store_error::store_error;

/// Limit: more new keys than this are looked for by their range instead of one by one.
const LISTED_KEYS_MAX: usize = 1_024;

/// Bytes of a new key beside its own: its entry in the map.
const KEY_ENTRY_BYTES: usize = 48;

/// Address of a row that did not exist before the statement: after all that did.
const NEW_ROW: u64 = u64::MAX;

/// Turns of statements that write keys and commit by themselves, a table at a time: two of them could not see each
/// other's keys, so the second would only be rerun.
#[derive(Debug, Default)]
pub(in crate::engine) struct KeyTurns {
    tables: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

impl KeyTurns {
    /// Waits for the turn on a table; it lasts as long as the guard.
    pub(in crate::engine) async fn take(&self, table: u32) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(table).or_default())
        };
        turn.lock_owned().await
    }
}

/// Makes the transaction fail with 40001 if another one has committed keys of the table since its snapshot: neither has
/// seen the other's. The store compares this one entry when it commits.
pub(in crate::engine) fn claim(txn: &mut Txn, table: u32) -> Result<(), PgError> {
    let entry = format!("keys/{table}");
    let expect = match txn.snapshot().get(Space::Kv, entry.as_bytes()) {
        Some(value) => Expect::Version(value.version()),
        None => Expect::Absent,
    };
    txn.put_expecting(Space::Kv, entry.as_bytes(), &[], expect).map_err(store_error)
}

/// One PRIMARY KEY or UNIQUE constraint and the new keys of a statement.
struct Key {
    oid: u32,
    name: String,
    columns: Vec<usize>,
    converter: RowConverter,
    /// New keys, each with the address of the row it replaces and its number among the new rows.
    new: HashMap<Box<[u8]>, (u64, usize)>,
    /// Values of the first column, to find the granules that may hold them.
    leading: Vec<ArrayRef>,
    /// They are the least and the greatest of many.
    ranged: bool,
}

/// The keys of one table during one statement.
pub(in crate::engine) struct Keys {
    table: Arc<TableObject>,
    schema_name: String,
    schema: SchemaRef,
    keys: Vec<Key>,
    rows: usize,
    /// Whether existing rows in the way are wanted with all columns.
    whole_rows: bool,
    kept: Kept,
}

/// A new row whose key is taken.
pub(in crate::engine) struct Conflict {
    /// Its number among the new rows.
    pub row: usize,
    /// OID of the constraint.
    pub key: u32,
    /// Address of the existing row in the way; `None` if an earlier new row is.
    pub addr: Option<u64>,
    /// Rows of which one is in the way: all columns of the table where they were asked for, else those of the key.
    pub found: Arc<RecordBatch>,
    /// Which one.
    pub at: usize,
    index: usize,
}

impl Keys {
    /// The keys of a table that a write can violate. `changed`: columns it sets, `None` for all.
    pub(in crate::engine) fn new(
        table: &Arc<TableObject>,
        schema_name: String,
        schema: SchemaRef,
        changed: Option<&[i16]>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self, PgError> {
        let mut keys = Vec::new();
        for constraint in &table.constraints {
            let unique = matches!(constraint.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique);
            let touched = changed.is_none_or(|set| constraint.columns.iter().any(|column| set.contains(column)));
            if !unique || !touched {
                continue;
            }
            let index = |attnum: &i16| table.live_columns().position(|column| column.attnum == *attnum);
            let columns: Option<Vec<usize>> = constraint.columns.iter().map(index).collect();
            let Some(columns) = columns else { continue };
            let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
            keys.push(Key {
                oid: constraint.oid,
                name: constraint.name.clone(),
                converter: RowConverter::new(fields.collect()).map_err(arrow_error)?,
                columns,
                new: HashMap::new(),
                leading: Vec::new(),
                ranged: false,
            });
        }
        let kept = Kept::new(pool, "keys of new rows");
        Ok(Self { table: Arc::clone(table), schema_name, schema, keys, rows: 0, whole_rows: false, kept })
    }

    /// The same, finding existing rows with all their columns.
    pub(in crate::engine) fn with_whole_rows(self) -> Self {
        Self { whole_rows: true, ..self }
    }

    /// Whether new rows have keys at all.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Rows taken so far: the number of the next one.
    pub(in crate::engine) fn row_count(&self) -> usize {
        self.rows
    }

    /// Takes the keys of new rows; `replaced` are the addresses of the rows they stand for. Gives the rows whose key
    /// an earlier new row has, in row order; none of their keys is taken.
    pub(in crate::engine) fn take(
        &mut self,
        batch: &RecordBatch,
        replaced: Option<&UInt64Array>,
    ) -> Result<Vec<Conflict>, PgError> {
        let first = self.rows;
        self.rows += batch.num_rows();
        let mut rows_of = Vec::with_capacity(self.keys.len());
        for key in &mut self.keys {
            let columns = key_columns(batch, &key.columns);
            let rows = key.converter.convert_columns(&columns).map_err(arrow_error)?;
            self.kept.grow(rows.size() + batch.num_rows() * KEY_ENTRY_BYTES)?;
            key.note_leading(&columns[0], self.rows).map_err(map_error)?;
            key.new.reserve(batch.num_rows());
            rows_of.push((rows, columns));
        }
        let given = Arc::new(batch.clone());
        let mut conflicts = Vec::new();
        for row in 0..batch.num_rows() {
            // NULL is equal to nothing, so such a row has no key.
            let known = |(key, (rows, columns)): (&Key, &(Rows, Vec<ArrayRef>))| {
                columns.iter().all(|column| column.is_valid(row)) && key.new.contains_key(rows.row(row).as_ref())
            };
            if let Some(index) = self.keys.iter().zip(&rows_of).position(known) {
                let (key, found) = (self.keys[index].oid, Arc::clone(&given));
                conflicts.push(Conflict { row: first + row, key, addr: None, found, at: row, index });
                continue;
            }
            let addr = replaced.map_or(NEW_ROW, |replaced| replaced.value(row));
            for (key, (rows, columns)) in self.keys.iter_mut().zip(&rows_of) {
                if columns.iter().all(|column| column.is_valid(row)) {
                    key.new.insert(rows.row(row).as_ref().into(), (addr, first + row));
                }
            }
        }
        Ok(conflicts)
    }

    /// New rows whose key an existing row has, in row order. A row that this statement replaces is in the way only of
    /// rows before it: PostgreSQL checks row by row, and at that moment it is still there.
    pub(in crate::engine) async fn existing(
        &self,
        sources: &[Arc<dyn RowSource>],
        removed: &(dyn Fn(u64) -> bool + Sync),
        context: &Arc<TaskContext>,
    ) -> Result<Vec<Conflict>, PgError> {
        let mut conflicts = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            if key.new.is_empty() || sources.is_empty() {
                continue;
            }
            let mut stream =
                self.scan_of(key, sources)?.into_exec().execute(0, Arc::clone(context)).map_err(map_error)?;
            while let Some(batch) = stream.next().await {
                let found = Arc::new(batch.map_err(map_error)?);
                let addrs = found.column(found.num_columns() - 1).as_primitive::<UInt64Type>();
                let columns = key_columns(&found, &self.places(key));
                let rows = key.converter.convert_columns(&columns).map_err(arrow_error)?;
                let known = conflicts.len();
                for at in 0..found.num_rows() {
                    let Some(&(replaces, row)) = key.new.get(rows.row(at).as_ref()) else { continue };
                    let addr = addrs.value(at);
                    let gone = addr == replaces || addr < replaces && replaces != NEW_ROW && removed(addr);
                    if !gone {
                        let found = Arc::clone(&found);
                        conflicts.push(Conflict { row, key: key.oid, addr: Some(addr), found, at, index });
                    }
                }
                if conflicts.len() > known {
                    self.kept.rows(&found)?;
                    self.kept.grow((conflicts.len() - known) * size_of::<Conflict>())?;
                }
            }
        }
        conflicts.sort_by_key(|conflict| conflict.row);
        Ok(conflicts)
    }

    /// 23505 for a conflict.
    pub(in crate::engine) fn error(&self, conflict: &Conflict) -> PgError {
        let key = &self.keys[conflict.index];
        let places = if conflict.addr.is_some() { self.places(key) } else { key.columns.clone() };
        let columns = key_columns(&conflict.found, &places);
        self.duplicate(key, &columns, conflict.at)
    }

    /// Where the columns of a key stand in the rows that a scan for it finds.
    fn places(&self, key: &Key) -> Vec<usize> {
        if self.whole_rows { key.columns.clone() } else { (0..key.columns.len()).collect() }
    }

    /// A scan of the existing rows that may have one of the new keys: key columns or all, then the address.
    fn scan_of(&self, key: &Key, sources: &[Arc<dyn RowSource>]) -> Result<PartSource, PgError> {
        let schema = ScanTable::schema_with_addr(&self.schema);
        let addr = schema.fields().len() - 1;
        let filter = leading_filter(key, &schema).map_err(map_error)?;
        let table = ScanTable {
            name: self.table.name.clone(),
            schema,
            sources: sources.to_vec(),
            addr: Some(addr),
            order_by: Vec::new(),
            constraints: Constraints::default(),
        };
        let projection = match self.whole_rows {
            true => (0..=addr).collect(),
            false => key.columns.iter().copied().chain([addr]).collect(),
        };
        let request = ScanRequest { projection: Some(projection), filters: vec![filter], limit: None, partitions: 1 };
        PartSource::try_new(Arc::new(table), request).map_err(map_error)
    }

    fn duplicate(&self, key: &Key, columns: &[ArrayRef], row: usize) -> PgError {
        let names: Vec<&str> = key.columns.iter().map(|&column| self.schema.field(column).name().as_str()).collect();
        let mut values = Vec::with_capacity(columns.len());
        for (&column, array) in key.columns.iter().zip(columns) {
            let mut text = ColumnText::new();
            let printed = TextPrinter::for_field(self.schema.field(column), &TextStyle::default())
                .and_then(|printer| printer.print(&array.slice(row, 1), &mut text));
            if let Err(error) = printed {
                return error;
            }
            values.push(text.text(0).unwrap_or("null").to_owned());
        }
        let message = format!("duplicate key value violates unique constraint \"{}\"", key.name);
        PgError::new(sqlstate::UNIQUE_VIOLATION, message)
            .detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
            .table(&self.schema_name, &self.table.name)
            .constraint(&key.name)
    }
}

impl Key {
    /// Remembers values of the first column: all while they are few, then the least and the greatest.
    fn note_leading(&mut self, values: &ArrayRef, rows: usize) -> Result<()> {
        self.leading.push(Arc::clone(values));
        if rows <= LISTED_KEYS_MAX {
            return Ok(());
        }
        let leading: Vec<&dyn Array> = self.leading.iter().map(AsRef::as_ref).collect();
        let bounds = bounds(&concat(&leading)?)?;
        self.leading = vec![bounds];
        self.ranged = true;
        Ok(())
    }
}

/// The least and the greatest value of an array; both are NULL if all are.
fn bounds(values: &ArrayRef) -> Result<ArrayRef> {
    let extreme = |descending: bool| {
        let options = SortOptions { descending, nulls_first: false };
        sort_to_indices(values, Some(options), Some(1))
    };
    let (least, greatest) = (extreme(false)?, extreme(true)?);
    let places = concat(&[&least as &dyn Array, &greatest])?;
    Ok(take(values, &places, None)?)
}

/// Key columns as they will be stored: one zero, one NaN.
fn key_columns(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    let canonical = |array: &ArrayRef| -> ArrayRef {
        match array.data_type() {
            DataType::Float64 => Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
            ),
            DataType::Float32 => Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
            ),
            _ => Arc::clone(array),
        }
    };
    columns.iter().map(|&column| canonical(batch.column(column))).collect()
}

/// A condition that all rows with one of the new keys meet, in a form that prunes.
fn leading_filter(key: &Key, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let index = key.columns[0];
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(index).name(), index));
    let leading: Vec<&dyn Array> = key.leading.iter().map(AsRef::as_ref).collect();
    let values = concat(&leading)?;
    let literal = |row: usize| -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Literal::new(ScalarValue::try_from_array(&values, row)?)))
    };
    if !key.ranged {
        let list = (0..values.len()).filter(|&row| values.is_valid(row)).map(literal).collect::<Result<Vec<_>>>()?;
        return in_list(column, list, &false, schema);
    }
    let compare = |operator: Operator, bound| -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(Arc::clone(&column), operator, bound))
    };
    let (from, to) = (compare(Operator::GtEq, literal(0)?), compare(Operator::LtEq, literal(1)?));
    Ok(Arc::new(BinaryExpr::new(from, Operator::And, to)))
}

fn arrow_error(error: arrow::error::ArrowError) -> PgError {
    PgError::internal(error.to_string())
}
