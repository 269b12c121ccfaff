//! Where the rows of a write's query end: checked, counted, and put into the transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{CastOptions, cast, cast_with_options, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use roaring::RoaringBitmap;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_store::Txn;

use super::keys::{Conflict, Keys};
use super::made_rows::{Role, schema_for};
use super::memory::Kept;
use super::merge;
use super::{WriteKind, WritePlan};
use crate::engine::constraints::{RowChecks, schema_name};
use crate::engine::planner::ReadView;
use crate::engine::store_error::store_error;

/// One run of a write.
pub(super) struct Sink<'a> {
    write: &'a WritePlan,
    checks: RowChecks,
    keys: Keys,
    /// Rows deleted or replaced, by source.
    deletes: BTreeMap<u32, RoaringBitmap>,
    /// INSERT ... ON CONFLICT: rows that wait for the key check, and those not inserted, by number, with the existing row
    /// in the way of each.
    waiting: Vec<RecordBatch>,
    left_out: BTreeMap<usize, Option<Conflict>>,
    /// Keys of rows that ON CONFLICT DO UPDATE has changed, if it can change keys.
    updated_keys: Option<Keys>,
    /// What RETURNING reads.
    shown: Vec<RecordBatch>,
    joined: Option<Joined>,
    /// Pays for rows that wait and rows for RETURNING.
    kept: Kept,
    /// The first new row that fails, by number. It ends the statement once the keys of the rows before it are checked.
    failure: Option<(usize, PgError)>,
    count: usize,
}

/// The new row of the last address in an UPDATE with FROM: rows come in order of address, and one found again must be
/// the same.
struct Joined {
    converter: RowConverter,
    last: Option<(u64, OwnedRow)>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(state: &SessionState, view: &ReadView, write: &'a WritePlan) -> Result<Self, PgError> {
        let checks = RowChecks::new(state, view, &write.table)?;
        let schema = Arc::clone(checks.schema());
        let changed = match write.kind {
            WriteKind::Delete => Some([].as_slice()),
            _ => write.changed.as_deref(),
        };
        let joined = match write.kind {
            WriteKind::Update { joined: true } => Some(Joined::new(&schema)?),
            _ => None,
        };
        let pool = &state.runtime_env().memory_pool;
        let new_keys =
            |changed: Option<&[i16]>| Keys::new(view, &write.table, schema_name(view, &write.table), changed, pool);
        let update = write.on_conflict.as_ref().and_then(|on| on.update.as_ref());
        let keys = new_keys(changed)?;
        let updated_keys = update.map(|update| new_keys(Some(&update.changed))).transpose()?;
        Ok(Self {
            keys: if update.is_some() { keys.with_whole_rows() } else { keys },
            checks,
            write,
            deletes: BTreeMap::new(),
            waiting: Vec::new(),
            left_out: BTreeMap::new(),
            updated_keys,
            shown: Vec::new(),
            joined,
            kept: Kept::new(pool, "rows of a write"),
            failure: None,
            count: 0,
        })
    }

    /// Whether a row has failed: nothing more is taken.
    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Takes a batch of the query.
    pub(super) fn take(&mut self, txn: &mut Txn, batch: RecordBatch) -> Result<(), PgError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match self.write.kind {
            WriteKind::Insert => {
                let rows = table_rows(&batch, 0, self.checks.schema())?;
                self.insert(txn, rows)
            }
            WriteKind::Delete => self.delete(&batch),
            WriteKind::Update { .. } => self.update(txn, &batch),
            WriteKind::Merge => self.merge(txn, &batch),
        }
    }

    fn insert(&mut self, txn: &mut Txn, rows: RecordBatch) -> Result<(), PgError> {
        let rows = self.checked(rows)?;
        if self.write.on_conflict.as_ref().is_some_and(|on| on.update.is_some()) {
            let conflicts = self.keys.take(&rows, None)?;
            self.leave_out(conflicts);
            self.kept.rows(&rows)?;
            self.waiting.push(rows);
            return Ok(());
        }
        let first = self.keys.row_count();
        let conflicts = self.keys.check(txn, &rows)?;
        if conflicts.is_empty() {
            return self.append(txn, rows);
        }
        self.leave_out(conflicts);
        let left_out = std::mem::take(&mut self.left_out);
        for rows in kept(first, &[rows], &left_out)? {
            self.append(txn, rows)?;
        }
        Ok(())
    }

    /// The rows before the first that fails its row constraints.
    fn checked(&mut self, rows: RecordBatch) -> Result<RecordBatch, PgError> {
        Ok(match self.checks.first_failure(&rows)? {
            None => rows,
            Some((row, error)) => {
                self.fail(self.keys.row_count() + row, error);
                rows.slice(0, row)
            }
        })
    }

    /// ON CONFLICT DO NOTHING leaves rows out; without it a conflict is an error.
    fn leave_out(&mut self, conflicts: Vec<Conflict>) {
        for conflict in conflicts {
            let row = conflict.row;
            match &self.write.on_conflict {
                Some(on) if on.keys.as_ref().is_none_or(|keys| keys.contains(&conflict.key)) => {
                    if on.update.is_some() && conflict.addr.is_none() {
                        self.fail(row, second_time());
                    }
                    self.left_out.insert(row, conflict.addr.is_some().then_some(conflict));
                }
                _ => {
                    let error = self.keys.error(&conflict);
                    self.fail(row, error);
                }
            }
        }
    }

    /// Keeps the error of the first row that fails.
    fn fail(&mut self, row: usize, error: PgError) {
        if self.failure.as_ref().is_none_or(|(first, _)| row < *first) {
            self.failure = Some((row, error));
        }
    }

    fn append(&mut self, txn: &mut Txn, rows: RecordBatch) -> Result<(), PgError> {
        self.count += rows.num_rows();
        if self.write.returning.is_some() {
            self.kept.rows(&rows)?;
            self.shown.push(rows.clone());
        }
        txn.append(self.write.table.oid, rows).map_err(store_error)
    }

    fn delete(&mut self, batch: &RecordBatch) -> Result<(), PgError> {
        let fresh = self.mark(addresses(batch)?);
        self.count += fresh.true_count();
        if self.write.returning.is_some() {
            let fresh = filter_record_batch(batch, &fresh).map_err(arrow_error)?;
            let rows = table_rows(&fresh, 1, self.checks.schema())?;
            self.kept.rows(&rows)?;
            self.shown.push(rows);
        }
        Ok(())
    }

    fn update(&mut self, txn: &mut Txn, batch: &RecordBatch) -> Result<(), PgError> {
        let rows = table_rows(batch, 1, self.checks.schema())?;
        let addrs = addresses(batch)?;
        let fresh = self.mark(addrs);
        if let Some(joined) = &mut self.joined {
            joined.check(&rows, addrs, &self.write.table.name)?;
        }
        let (rows, addrs) = match fresh.true_count() {
            0 => return Ok(()),
            count if count == rows.num_rows() => (rows, addrs.clone()),
            _ => {
                let addrs = arrow::compute::filter(addrs, &fresh).map_err(arrow_error)?;
                let rows = filter_record_batch(&rows, &fresh).map_err(arrow_error)?;
                (rows, addrs.as_primitive::<UInt64Type>().clone())
            }
        };
        let rows = self.checked(rows)?;
        let conflicts = self.keys.take(&rows, Some(&addrs))?;
        self.leave_out(conflicts);
        self.append(txn, rows)
    }

    fn merge(&mut self, txn: &mut Txn, batch: &RecordBatch) -> Result<(), PgError> {
        let number = cast(batch.column(1), &DataType::Int64).map_err(arrow_error)?;
        let chosen = |wanted: &[i64]| -> BooleanArray {
            number.as_primitive::<Int64Type>().values().iter().map(|action| Some(wanted.contains(action))).collect()
        };
        let gone = filter_record_batch(batch, &chosen(&[merge::DELETE, merge::UPDATE])).map_err(arrow_error)?;
        let addrs = addresses(&gone)?;
        if self.mark(addrs).true_count() < addrs.len() {
            return Err(PgError::new(sqlstate::CARDINALITY_VIOLATION, "MERGE command cannot affect row a second time")
                .hint("Ensure that not more than one source row matches any one target row."));
        }
        self.count += chosen(&[merge::DELETE]).true_count();
        let made = filter_record_batch(batch, &chosen(&[merge::UPDATE, merge::INSERT])).map_err(arrow_error)?;
        if made.num_rows() == 0 {
            return Ok(());
        }
        // Rows without an address come last: all that this statement removes is gone by then.
        let replaced = made.column(0).as_primitive::<UInt64Type>().iter();
        let replaced: UInt64Array = replaced.map(|addr| Some(addr.unwrap_or(u64::MAX - 1))).collect();
        let rows = self.checked(table_rows(&made, 2, self.checks.schema())?)?;
        let conflicts = self.keys.take(&rows, Some(&replaced))?;
        self.leave_out(conflicts);
        self.append(txn, rows)
    }

    /// Marks rows as deleted; true for those that were not yet.
    fn mark(&mut self, addrs: &UInt64Array) -> BooleanArray {
        let mut fresh = Vec::with_capacity(addrs.len());
        let mut current: Option<(u32, &mut RoaringBitmap)> = None;
        for &addr in addrs.values() {
            let (source, row) = ((addr >> 32) as u32, addr as u32);
            let bitmap = match current.take() {
                Some((known, bitmap)) if known == source => bitmap,
                _ => self.deletes.entry(source).or_default(),
            };
            fresh.push(bitmap.insert(row));
            current = Some((source, bitmap));
        }
        BooleanArray::from(fresh)
    }

    /// Looks for the new keys among the rows that exist.
    pub(super) fn check_keys(&mut self) -> Result<(), PgError> {
        let deletes = &self.deletes;
        let removed = |addr: u64| deletes.get(&((addr >> 32) as u32)).is_some_and(|rows| rows.contains(addr as u32));
        let conflicts = self.keys.existing(&removed)?;
        self.leave_out(conflicts);
        self.failure.take().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// ON CONFLICT DO UPDATE: its query, and the pairs of existing and new rows it works on.
    pub(super) fn pairs(&mut self) -> Result<Option<(&'a LogicalPlan, Pairs)>, PgError> {
        let update = self.write.on_conflict.as_ref().and_then(|on| on.update.as_ref());
        let in_the_way: Vec<(usize, Conflict)> = match update {
            Some(_) => std::mem::take(&mut self.left_out)
                .into_iter()
                .filter_map(|(row, conflict)| conflict.map(|conflict| (row, conflict)))
                .collect(),
            None => return Ok(None),
        };
        // They stay out of what is inserted.
        self.left_out = in_the_way.iter().map(|(row, _)| (*row, None)).collect();
        let Some(update) = update.filter(|_| !in_the_way.is_empty()) else { return Ok(None) };
        let schema = self.checks.schema();
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..in_the_way.len() as u64));
        let found: Vec<&RecordBatch> = in_the_way.iter().map(|(_, conflict)| conflict.found.as_ref()).collect();
        let places: Vec<(usize, usize)> =
            in_the_way.iter().enumerate().map(|(index, (_, conflict))| (index, conflict.at)).collect();
        let old = interleave_record_batch(&found, &places).map_err(arrow_error)?;
        let waiting: Vec<&RecordBatch> = self.waiting.iter().collect();
        let places: Vec<(usize, usize)> = in_the_way.iter().map(|(row, _)| place_of(&waiting, *row)).collect();
        let new = interleave_record_batch(&waiting, &places).map_err(arrow_error)?;
        self.kept.rows(&old)?;
        self.kept.rows(&new)?;
        let with_numbers = |rows: RecordBatch, role: Role| {
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::clone(&numbers));
            RecordBatch::try_new(schema_for(schema, role), columns).map(|rows| (role, vec![rows])).map_err(arrow_error)
        };
        let pairs = vec![with_numbers(old, Role::InTheWay)?, with_numbers(new, Role::Excluded)?];
        Ok(Some((&update.plan, pairs)))
    }

    /// Takes rows of that query: each replaces the one at its address.
    pub(super) fn update_in_the_way(&mut self, txn: &mut Txn, batch: &RecordBatch) -> Result<(), PgError> {
        let rows = table_rows(batch, 1, self.checks.schema())?;
        let addrs = addresses(batch)?;
        if self.mark(addrs).true_count() < addrs.len() {
            return Err(second_time());
        }
        let rows = self.checked(rows)?;
        if let Some(keys) = &mut self.updated_keys
            && let Some(conflict) = keys.take(&rows, Some(addrs))?.first()
        {
            return Err(keys.error(conflict));
        }
        self.append(txn, rows)
    }

    /// Looks for keys that DO UPDATE has set among all other rows, the inserted ones too.
    pub(super) fn check_updated_keys(&mut self) -> Result<(), PgError> {
        if let Some((_, error)) = self.failure.take() {
            return Err(error);
        }
        let Some(keys) = self.updated_keys.as_mut().filter(|keys| !keys.is_empty()) else { return Ok(()) };
        let deletes = &self.deletes;
        let removed = |addr: u64| deletes.get(&((addr >> 32) as u32)).is_some_and(|rows| rows.contains(addr as u32));
        if let Some(conflict) = keys.existing(&removed)?.first() {
            return Err(keys.error(conflict));
        }
        for rows in kept(0, &self.waiting, &self.left_out)? {
            if let Some(conflict) = keys.take(&rows, None)?.first() {
                return Err(keys.error(conflict));
            }
        }
        Ok(())
    }

    /// Puts the rest into the transaction. Gives the number of rows, what RETURNING reads and what pays for it.
    pub(super) fn finish(mut self, txn: &mut Txn) -> Result<(usize, Vec<RecordBatch>, Kept), PgError> {
        for rows in kept(0, &self.waiting, &self.left_out)? {
            self.append(txn, rows)?;
        }
        if self.write.on_conflict.is_some() {
            txn.note_upsert(self.write.table.oid).map_err(store_error)?;
        }
        for (source, rows) in &self.deletes {
            txn.delete(self.write.table.oid, *source, rows).map_err(store_error)?;
        }
        Ok((self.count, self.shown, self.kept))
    }
}

/// Rows of ON CONFLICT DO UPDATE by their part in its query.
pub(super) type Pairs = Vec<(Role, Vec<RecordBatch>)>;

/// Batch and row of the n-th row.
fn place_of(batches: &[&RecordBatch], mut row: usize) -> (usize, usize) {
    for (index, batch) in batches.iter().enumerate() {
        if row < batch.num_rows() {
            return (index, row);
        }
        row -= batch.num_rows();
    }
    unreachable!("rows are numbered in the order they were kept")
}

/// The rows that are not left out, of batches whose rows are numbered from `first` on.
fn kept(
    first: usize,
    waiting: &[RecordBatch],
    left_out: &BTreeMap<usize, Option<Conflict>>,
) -> Result<Vec<RecordBatch>, PgError> {
    let mut first = first;
    let mut out = Vec::new();
    for rows in waiting {
        let keep: BooleanArray =
            (first..first + rows.num_rows()).map(|row| Some(!left_out.contains_key(&row))).collect();
        first += rows.num_rows();
        let rows = filter_record_batch(rows, &keep).map_err(arrow_error)?;
        if rows.num_rows() > 0 {
            out.push(rows);
        }
    }
    Ok(out)
}

fn second_time() -> PgError {
    PgError::new(sqlstate::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

impl Joined {
    fn new(schema: &SchemaRef) -> Result<Self, PgError> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Self { converter: RowConverter::new(fields.collect()).map_err(arrow_error)?, last: None })
    }

    /// 21000 if an address comes with two different new rows.
    fn check(&mut self, rows: &RecordBatch, addrs: &UInt64Array, table: &str) -> Result<(), PgError> {
        let converted = self.converter.convert_columns(rows.columns()).map_err(arrow_error)?;
        for (row, &addr) in addrs.values().iter().enumerate() {
            let new = converted.row(row);
            match &self.last {
                Some((last, known)) if *last == addr && known.row() != new => {
                    let message = format!("update matched a row of \"{table}\" more than once");
                    return Err(PgError::new(sqlstate::CARDINALITY_VIOLATION, message)
                        .hint("Ensure that no row of the target joins to more than one row."));
                }
                Some((last, _)) if *last == addr => {}
                _ => self.last = Some((addr, new.owned())),
            }
        }
        Ok(())
    }
}

fn addresses(batch: &RecordBatch) -> Result<&UInt64Array, PgError> {
    let addrs = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
    addrs.filter(|addrs| addrs.null_count() == 0).ok_or_else(|| PgError::internal("a write's query gives no addresses"))
}

/// The columns from `first` on as rows of the table. Their NULLs are checked later, so the schema cannot be used as it is.
fn table_rows(batch: &RecordBatch, first: usize, schema: &SchemaRef) -> Result<RecordBatch, PgError> {
    let given = batch.columns()[first..].iter().zip(schema.fields());
    let columns = given.map(|(column, field)| widened(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    let nullable = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let nullable = Arc::new(arrow::datatypes::Schema::new(nullable.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(nullable, columns, &options).map_err(arrow_error)
}

/// A numeric that fits as it is comes in its own precision and scale: a column without them takes the widest.
fn widened(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, PgError> {
    match (column.data_type(), wanted) {
        (given, wanted) if given == wanted => Ok(Arc::clone(column)),
        (DataType::Decimal128(..) | DataType::Decimal256(..), DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(column, wanted, &options).map_err(arrow_error)
        }
        _ => Ok(Arc::clone(column)),
    }
}

fn arrow_error(error: arrow::error::ArrowError) -> PgError {
    PgError::internal(error.to_string())
}
