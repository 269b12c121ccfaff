//! PRIMARY KEY and UNIQUE: no two rows of a table with equal keys.
//!
//! Rows that are appended as they come are looked for, a batch at a time, among the rows that exist and those the
//! statement has appended before, so memory does not grow with the statement. Where the statement replaces rows too (UPDATE,
//! ON CONFLICT DO UPDATE), its new keys are collected, must differ among themselves, and are looked for at its end.
//! Looking is the store's: a Bloom filter and a search by hash per part. NULL in a key is equal to nothing unless the key
//! says otherwise. Keys committed after the snapshot are not seen here: the store compares them at commit, key by key.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::memory_pool::MemoryPool;
use tributary_pg::TextStyle;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_store::{Column, KeyClash, KeyDef, KeyRows, KeySearch, StoreError, Txn};

use super::memory::Kept;
use crate::engine::catalog::{Catalog, IndexObject, TableObject, stored};
use crate::engine::planner::ReadView;
use crate::engine::scan::row_source::RowSource;
use crate::engine::scan::{ScanTable, StoredSource};
use crate::engine::store_error::store_error;
use crate::engine::table::schema_of;

/// Bytes of a new key beside its own: its entries in the map and among the batches.
const KEY_ENTRY_BYTES: usize = 64;

/// Address of a row that did not exist before the statement: after all that did.
const NEW_ROW: u64 = u64::MAX;

/// Turns of statements that have lost a race for a row or a key, a table at a time. Rerun one after the other they do not
/// lose to each other, and while one is rerun new ones wait, so every statement is done after a few tries however many
/// there are. Where nobody loses nobody waits.
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

    /// Whether a statement that has lost is being rerun.
    pub(in crate::engine) fn taken(&self, table: u32) -> bool {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(&table).is_some_and(|turn| turn.try_lock().is_err())
    }
}

/// One PRIMARY KEY, UNIQUE constraint or unique index, and the new keys of a statement.
struct Key {
    oid: u32,
    name: String,
    /// Places of its columns in the table.
    columns: Vec<usize>,
    def: KeyDef,
    /// The same columns as the store has them.
    stored: Vec<Column>,
    /// New keys, each with the address of the row it replaces and its number among the new rows.
    new: HashMap<Box<[u8]>, (u64, usize)>,
    /// The same as they came: number of the first row, keys, values of the first column.
    batches: Vec<(usize, KeyRows, ArrayRef)>,
}

impl Key {
    fn of(table: &TableObject, index: &IndexObject, stored: &[Column]) -> Option<Self> {
        let place = |attnum: &i16| table.live_columns().position(|column| column.attnum == *attnum);
        let columns: Vec<usize> = index.columns.iter().map(place).collect::<Option<_>>()?;
        let constraint = table.constraints.iter().find(|constraint| constraint.index_oid == index.oid);
        Some(Self {
            oid: constraint.map_or(index.oid, |constraint| constraint.oid),
            name: index.name.clone(),
            def: stored::key_def(table, index)?,
            stored: columns.iter().map(|&column| stored.get(column).cloned()).collect::<Option<_>>()?,
            columns,
            new: HashMap::new(),
            batches: Vec::new(),
        })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<(KeyRows, ArrayRef), PgError> {
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        let rows = KeyRows::new(&self.def, &arrays).map_err(store_error)?;
        rows.check_lengths().map_err(store_error)?;
        Ok((rows, Arc::clone(&arrays[0])))
    }

    /// Live rows of the sources with one of the keys: (number of the key's row, number of the source, row).
    fn find(
        &self,
        rows: &KeyRows,
        leading: &ArrayRef,
        sources: &[Arc<StoredSource>],
    ) -> Result<Vec<(usize, usize, u32)>, PgError> {
        let search = KeySearch::new(&self.def, &self.stored, rows, leading).map_err(store_error)?;
        let mut found = Vec::new();
        for (number, source) in sources.iter().enumerate() {
            let hits = source.find_keys(&search).map_err(store_error)?;
            found.extend(hits.into_iter().map(|(at, row)| (at, number, row)));
        }
        Ok(found)
    }
}

/// The keys of one table during one statement.
pub(in crate::engine) struct Keys {
    table: Arc<TableObject>,
    schema_name: String,
    schema: SchemaRef,
    keys: Vec<Key>,
    /// The rows before the statement.
    existing: Vec<Arc<StoredSource>>,
    /// Those of them that were committed.
    committed: usize,
    columns: Arc<[Column]>,
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
    /// Address of the existing row in the way, if it was asked for.
    pub addr: Option<u64>,
    /// Rows with the key: the existing ones with their addresses, or the new ones themselves.
    pub found: Arc<RecordBatch>,
    /// Which one.
    pub at: usize,
    index: usize,
}

/// An existing row in the way of a new one.
struct Hit {
    row: usize,
    index: usize,
    source: usize,
    at: u32,
}

impl Keys {
    /// The keys of a table that a write can violate. `changed`: columns it sets, `None` for all.
    pub(in crate::engine) fn new(
        view: &ReadView,
        table: &Arc<TableObject>,
        schema_name: String,
        changed: Option<&[i16]>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self, PgError> {
        let touched = |index: &&IndexObject| {
            index.unique && changed.is_none_or(|set| index.columns.iter().any(|column| set.contains(column)))
        };
        let indexes: Vec<&IndexObject> = table.indexes.iter().filter(touched).collect();
        let rows = view.rows.stored(table)?;
        let keys = indexes.into_iter().filter_map(|index| Key::of(table, index, &rows.columns)).collect();
        Ok(Self {
            keys,
            schema: schema_of(table)?,
            table: Arc::clone(table),
            schema_name,
            existing: rows.sources,
            committed: rows.committed,
            columns: rows.columns,
            rows: 0,
            whole_rows: false,
            kept: Kept::new(pool, "keys of new rows"),
        })
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

    /// Looks for the keys of new rows among the rows that existed, those the transaction has appended since, and each
    /// other. Gives the rows whose key is taken, in row order; the caller appends the others.
    pub(in crate::engine) fn check(&mut self, txn: &Txn, batch: &RecordBatch) -> Result<Vec<Conflict>, PgError> {
        let first = self.rows;
        self.rows += batch.num_rows();
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let own = txn.own_rows(self.table.oid).into_iter();
        let own: Vec<_> = own.map(|rows| Arc::new(StoredSource::new(rows, Arc::clone(&self.columns), None))).collect();
        let mut taken: Vec<Option<usize>> = vec![None; batch.num_rows()];
        let mut rows_of = Vec::with_capacity(self.keys.len());
        for (index, key) in self.keys.iter().enumerate() {
            let (rows, leading) = key.rows(batch)?;
            for sources in [&self.existing[..self.committed], own.as_slice()] {
                for (at, _, _) in key.find(&rows, &leading, sources)? {
                    taken[at].get_or_insert(index);
                }
            }
            rows_of.push(rows);
        }
        let mut seen: Vec<HashSet<&[u8]>> = vec![HashSet::with_capacity(batch.num_rows()); rows_of.len()];
        let given = Arc::new(batch.clone());
        let mut conflicts = Vec::new();
        for (row, taken) in taken.into_iter().enumerate() {
            let among_new =
                |(rows, seen): (&KeyRows, &HashSet<&[u8]>)| rows.has_key(row) && seen.contains(rows.key(row));
            if let Some(index) = taken.or_else(|| rows_of.iter().zip(&seen).position(among_new)) {
                let (key, found) = (self.keys[index].oid, Arc::clone(&given));
                conflicts.push(Conflict { row: first + row, key, addr: None, found, at: row, index });
                continue;
            }
            for (rows, seen) in rows_of.iter().zip(&mut seen).filter(|(rows, _)| rows.has_key(row)) {
                seen.insert(rows.key(row));
            }
        }
        Ok(conflicts)
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
        let rows_of = self.keys.iter().map(|key| key.rows(batch)).collect::<Result<Vec<_>, _>>()?;
        for (rows, _) in &rows_of {
            let bytes: usize = (0..rows.len()).map(|row| rows.key(row).len()).sum();
            self.kept.grow(2 * bytes + batch.num_rows() * KEY_ENTRY_BYTES)?;
        }
        let given = Arc::new(batch.clone());
        let mut conflicts = Vec::new();
        for row in 0..batch.num_rows() {
            // A row without a key is equal to nothing.
            let known = |(key, (rows, _)): (&Key, &(KeyRows, ArrayRef))| {
                rows.has_key(row) && key.new.contains_key(rows.key(row))
            };
            if let Some(index) = self.keys.iter().zip(&rows_of).position(known) {
                let (key, found) = (self.keys[index].oid, Arc::clone(&given));
                conflicts.push(Conflict { row: first + row, key, addr: None, found, at: row, index });
                continue;
            }
            let addr = replaced.map_or(NEW_ROW, |replaced| replaced.value(row));
            for (key, (rows, _)) in self.keys.iter_mut().zip(&rows_of).filter(|(_, (rows, _))| rows.has_key(row)) {
                key.new.insert(rows.key(row).into(), (addr, first + row));
            }
        }
        for (key, (rows, leading)) in self.keys.iter_mut().zip(rows_of) {
            key.batches.push((first, rows, leading));
        }
        Ok(conflicts)
    }

    /// New rows taken whose key an existing row has, in row order. A row that this statement replaces is in the way only of
    /// rows before it: PostgreSQL checks row by row, and at that moment it is still there.
    pub(in crate::engine) fn existing(&self, removed: &dyn Fn(u64) -> bool) -> Result<Vec<Conflict>, PgError> {
        let mut hits = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            for (first, rows, leading) in &key.batches {
                for (at, source, found) in key.find(rows, leading, &self.existing)? {
                    let Some(&(replaces, row)) = key.new.get(rows.key(at)) else { continue };
                    // Another new row had the key first: only that one was taken.
                    if row != first + at {
                        continue;
                    }
                    let addr = u64::from(self.existing[source].number()) << 32 | u64::from(found);
                    let gone = addr == replaces || addr < replaces && replaces != NEW_ROW && removed(addr);
                    if !gone {
                        hits.push(Hit { row, index, source, at: found });
                    }
                }
            }
        }
        hits.sort_by_key(|hit| (hit.row, hit.index));
        if !self.whole_rows {
            // One is enough for an error.
            hits.truncate(1);
        }
        self.conflicts(&hits)
    }

    /// The rows in the way, with all columns and their addresses.
    fn conflicts(&self, hits: &[Hit]) -> Result<Vec<Conflict>, PgError> {
        let mut wanted: Vec<Vec<u32>> = vec![Vec::new(); self.existing.len()];
        hits.iter().for_each(|hit| wanted[hit.source].push(hit.at));
        let mut rows = Vec::with_capacity(wanted.len());
        for (source, wanted) in self.existing.iter().zip(&mut wanted) {
            wanted.sort_unstable();
            wanted.dedup();
            rows.push(match wanted.as_slice() {
                [] => None,
                wanted => {
                    let found = self.rows_at(source, wanted)?;
                    self.kept.rows(&found)?;
                    Some(Arc::new(found))
                }
            });
        }
        let missing = || PgError::internal("a row in the way was not read");
        hits.iter()
            .map(|hit| {
                let at = wanted[hit.source].binary_search(&hit.at).map_err(|_| missing())?;
                let found = Arc::clone(rows[hit.source].as_ref().ok_or_else(missing)?);
                let addr = Some(u64::from(self.existing[hit.source].number()) << 32 | u64::from(hit.at));
                Ok(Conflict { row: hit.row, key: self.keys[hit.index].oid, addr, found, at, index: hit.index })
            })
            .collect()
    }

    fn rows_at(&self, source: &StoredSource, rows: &[u32]) -> Result<RecordBatch, PgError> {
        let mut columns = source.rows_at(rows).map_err(store_error)?;
        let high = u64::from(source.number()) << 32;
        columns.push(Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| high | u64::from(*row)))));
        let nullable = self.schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let schema = ScanTable::schema_with_addr(&Schema::new(nullable.collect::<Vec<_>>()));
        RecordBatch::try_new(schema, columns).map_err(|error| PgError::internal(error.to_string()))
    }

    /// 23505 for a conflict.
    pub(in crate::engine) fn error(&self, conflict: &Conflict) -> PgError {
        let key = &self.keys[conflict.index];
        let columns: Vec<ArrayRef> =
            key.columns.iter().map(|&column| conflict.found.column(column).slice(conflict.at, 1)).collect();
        duplicate(&self.table, &self.schema_name, &self.schema, &key.name, &key.columns, &columns)
    }
}

/// What a commit was refused for, in the client's words: a key that another transaction committed first has a name.
pub(in crate::engine) fn commit_error(catalog: &Catalog, error: StoreError) -> PgError {
    let named = error.key.as_ref().and_then(|clash| clash_error(catalog, clash));
    named.unwrap_or_else(|| store_error(error))
}

fn clash_error(catalog: &Catalog, clash: &KeyClash) -> Option<PgError> {
    let table = catalog.tables.get(&clash.table)?;
    let index = table.indexes.iter().find(|index| index.oid == clash.key)?;
    let place = |attnum: &i16| table.live_columns().position(|column| column.attnum == *attnum);
    let columns: Vec<usize> = index.columns.iter().map(place).collect::<Option<_>>()?;
    let schema_name = catalog.schemas.get(&table.schema).map(|schema| schema.name.as_str()).unwrap_or_default();
    Some(duplicate(table, schema_name, &schema_of(table).ok()?, &index.name, &columns, &clash.values))
}

/// 23505. `values`: one array of one row for each of the key's columns.
fn duplicate(
    table: &TableObject,
    schema_name: &str,
    schema: &SchemaRef,
    key: &str,
    columns: &[usize],
    values: &[ArrayRef],
) -> PgError {
    let names: Vec<&str> = columns.iter().map(|&column| schema.field(column).name().as_str()).collect();
    let mut shown = Vec::with_capacity(columns.len());
    for (&column, value) in columns.iter().zip(values) {
        let mut text = ColumnText::new();
        let printed = TextPrinter::for_field(schema.field(column), &TextStyle::default())
            .and_then(|printer| printer.print(value, &mut text));
        if let Err(error) = printed {
            return error;
        }
        shown.push(text.text(0).unwrap_or("null").to_owned());
    }
    let message = format!("duplicate key value violates unique constraint \"{key}\"");
    PgError::new(sqlstate::UNIQUE_VIOLATION, message)
        .detail(format!("Key ({})=({}) already exists.", names.join(", "), shown.join(", ")))
        .table(schema_name, &table.name)
        .constraint(key)
}
