//! A base table as the planner sees it, and the rows one statement may read.
//!
//! A plan names tables, not snapshots: a prepared statement planned yesterday reads today's rows. [`StoreTable`] finds
//! the rows when it is scanned, in the [`ReadRows`] that the session puts into the statement's options. What it
//! deliberately does not do: write. Every write is planned in `dml` and reaches the store through the transaction.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraint, Constraints, DFSchema, DataFusionError, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use roaring::RoaringBitmap;
use tributary_pg::error::PgError;
use tributary_pg::{sqlstate, types};
use tributary_store::{Column, Snapshot, Source, StoreError, TableLayout, Txn};

use super::catalog::{ConstraintKind, IndexObject, TableObject, stored};
use super::external;
use super::planner::ReadView;
use super::row_locks::Locking;
use super::scan::row_source::RowSource;
use super::scan::{PartSource, ScanKey, ScanRequest, ScanTable, StoredSource};
use super::store_error;

/// A table in the planner.
pub(super) fn source(table: &Arc<TableObject>, _view: &ReadView) -> Result<Arc<dyn TableSource>, PgError> {
    if let Some(external) = &table.external {
        return external::source(table, external);
    }
    Ok(provider_as_source(Arc::new(StoreTable::new(table, false)?)))
}

/// The same for a query that locks its rows.
pub(super) fn locked_source(table: &Arc<TableObject>) -> Result<Arc<dyn TableSource>, PgError> {
    Ok(provider_as_source(Arc::new(StoreTable { locks: true, ..StoreTable::new(table, false)? })))
}

/// The same with the hidden row address: what a write reads.
pub(super) fn target_source(table: &Arc<TableObject>) -> Result<Arc<dyn TableSource>, PgError> {
    Ok(provider_as_source(Arc::new(StoreTable::new(table, true)?)))
}

/// A store error with its fields, on its way through DataFusion.
pub(crate) fn through_datafusion(error: StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(store_error::store_error(error)))
}

/// The live columns of a table as fields: type, nullability and the `pg.*` metadata.
pub(super) fn schema_of(table: &TableObject) -> Result<SchemaRef, PgError> {
    let fields = table.live_columns().map(|column| {
        let ty = types::by_oid(column.type_oid).ok_or_else(|| types::missing_oid(column.type_oid))?;
        let field = ty.field(&column.name, column.typmod)?.with_nullable(!column.not_null);
        let mut metadata = field.metadata().clone();
        metadata.insert(types::META_COLUMN.to_owned(), format!("{}.{}", table.oid, column.attnum));
        Ok(Arc::new(field.with_metadata(metadata)) as FieldRef)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, PgError>>()?)))
}

/// What a transaction has written to one table.
#[derive(Debug)]
struct OwnRows {
    layout: Option<Arc<TableLayout>>,
    sources: Vec<Arc<Source>>,
    deletes: BTreeMap<u32, RoaringBitmap>,
    truncated: bool,
}

/// The sources of one table.
#[derive(Debug, Default)]
pub(crate) struct StoredRows {
    /// Committed ones, then the transaction's own.
    pub sources: Vec<Arc<StoredSource>>,
    /// How many were committed.
    pub committed: usize,
    /// The table's live columns.
    pub columns: Arc<[Column]>,
}

/// The rows one statement reads: a snapshot, with the transaction's own writes over it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadRows {
    snapshot: Option<Arc<Snapshot>>,
    own: Arc<BTreeMap<u32, OwnRows>>,
    read: TablesRead,
    locking: Locking,
}

/// Tables a transaction has read: what SERIALIZABLE needs unchanged at its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct TablesRead {
    tables: Arc<Mutex<BTreeSet<u32>>>,
}

impl TablesRead {
    fn note(&self, table: u32) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table);
    }

    /// Tells the store, except of tables the transaction itself has made.
    pub(super) fn tell(&self, txn: &mut Txn) {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        for table in tables.iter().filter(|table| txn.snapshot().table(**table).is_some()).copied().collect::<Vec<_>>()
        {
            txn.note_read(table);
        }
    }
}

impl ReadRows {
    /// What a transaction sees now.
    pub(crate) fn of_transaction(txn: &Txn, read: TablesRead, locking: Locking) -> Self {
        let changed = txn.objects_overlay().map(|(oid, _)| oid);
        let tables = txn.tables_written().chain(changed);
        let own = tables.map(|oid| {
            let overlay = txn.overlay(oid);
            let deletes = overlay.iter().flat_map(|overlay| overlay.deleted_sources());
            let rows = OwnRows {
                layout: txn.layout(oid),
                deletes: deletes.map(|(source, rows)| (source, rows.clone())).collect(),
                truncated: overlay.as_ref().is_some_and(|overlay| overlay.truncated()),
                sources: overlay.map(|overlay| overlay.sources).unwrap_or_default(),
            };
            (oid, rows)
        });
        Self { own: Arc::new(own.collect()), snapshot: Some(Arc::clone(txn.snapshot())), read, locking }
    }

    /// The sources of a table, committed ones first.
    pub(crate) fn stored(&self, table: &TableObject) -> Result<StoredRows, PgError> {
        let own = self.own.get(&table.oid);
        let state = self.snapshot.as_ref().and_then(|snapshot| snapshot.table(table.oid));
        let layout = own.and_then(|own| own.layout.as_ref()).or_else(|| state.map(|state| state.layout()));
        let Some(layout) = layout else { return Ok(StoredRows::default()) };
        let columns = columns_of(table, layout)?;
        let committed = state.filter(|_| !own.is_some_and(|own| own.truncated)).map(|state| state.sources());
        let committed = committed.unwrap_or_default().iter().map(|source| {
            let deletes = own.and_then(|own| own.deletes.get(&source.number()));
            (source, deletes)
        });
        let own = own.map(|own| own.sources.as_slice()).unwrap_or_default().iter().map(|source| (source, None));
        let stored = |(source, deletes): (&Arc<Source>, Option<&RoaringBitmap>)| {
            Arc::new(StoredSource::new(Arc::clone(source), Arc::clone(&columns), deletes))
        };
        let mut sources: Vec<Arc<StoredSource>> = committed.map(stored).collect();
        let committed = sources.len();
        sources.extend(own.map(stored));
        Ok(StoredRows { sources, committed, columns })
    }
}

/// The store's columns in the order of the table's live ones.
fn columns_of(table: &TableObject, layout: &TableLayout) -> Result<Arc<[Column]>, PgError> {
    let columns = table.live_columns().map(|column| match layout.column(column.column_id) {
        Some(stored) => Ok(stored.clone()),
        None => Err(store_error::store_error(StoreError::conflict("schema change"))),
    });
    columns.collect()
}

impl ConfigExtension for ReadRows {
    const PREFIX: &'static str = "tributary_rows";
}

impl ExtensionOptions for ReadRows {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        datafusion::common::config_err!("{key} cannot be set")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// A base table. See the module.
pub(crate) struct StoreTable {
    object: Arc<TableObject>,
    schema: SchemaRef,
    /// Whether the row address is offered as the last column.
    addr: bool,
    /// Whether the rows are to be locked.
    locks: bool,
    constraints: Constraints,
}

impl StoreTable {
    fn new(object: &Arc<TableObject>, addr: bool) -> Result<Self, PgError> {
        let schema = schema_of(object)?;
        Ok(Self {
            schema: if addr { ScanTable::schema_with_addr(&schema) } else { schema },
            addr,
            locks: false,
            constraints: keys_of(object),
            object: Arc::clone(object),
        })
    }

    /// Columns by which parts are sorted; dropped ones end the list.
    fn order_by(&self) -> Vec<usize> {
        let index = |attnum: &i16| self.object.live_columns().position(|column| column.attnum == *attnum);
        self.object.order_by.iter().map_while(index).collect()
    }

    /// Indexes by which rows can be looked up.
    fn keys(&self, stored: &[Column]) -> Vec<ScanKey> {
        let place = |attnum: &i16| self.object.live_columns().position(|column| column.attnum == *attnum);
        let key = |index: &IndexObject| {
            let columns = index.columns.iter().map(place).collect::<Option<Vec<_>>>()?;
            let stored = columns.iter().map(|&column| stored.get(column).cloned()).collect::<Option<_>>()?;
            Some(ScanKey { name: index.name.clone(), columns, def: stored::key_def(&self.object, index)?, stored })
        };
        self.object.indexes.iter().filter_map(key).collect()
    }

    fn plan_scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = state.config().options().extensions.get::<ReadRows>().cloned().unwrap_or_default();
        rows.read.note(self.object.oid);
        if self.locks && rows.locking.read_only {
            let message = "cannot execute SELECT FOR UPDATE in a read-only transaction";
            let error = PgError::new(sqlstate::READ_ONLY_SQL_TRANSACTION, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        let stored = rows.stored(&self.object).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let table = ScanTable {
            distinct: Default::default(),
            name: self.object.name.clone(),
            keys: self.keys(&stored.columns),
            sources: stored.sources.into_iter().map(|source| source as Arc<dyn RowSource>).collect(),
            addr: self.addr.then(|| self.schema.fields().len() - 1),
            schema: Arc::clone(&self.schema),
            order_by: self.order_by(),
            constraints: self.constraints.clone(),
            locked: rows.locking.rows.filter(|_| self.locks).map(|rows| (self.object.oid, rows)),
        };
        let schema = DFSchema::try_from(Schema::clone(&self.schema))?;
        let filters = filters.iter().map(|filter| state.create_physical_expr(filter.clone(), &schema));
        let request = ScanRequest {
            projection: projection.cloned(),
            filters: filters.collect::<Result<Vec<_>>>()?,
            limit,
            partitions: state.config().target_partitions(),
        };
        Ok(PartSource::try_new(Arc::new(table), request)?.into_exec())
    }
}

/// PRIMARY KEY and UNIQUE, by column index.
fn keys_of(table: &TableObject) -> Constraints {
    let index_of = |attnum: &i16| table.live_columns().position(|column| column.attnum == *attnum);
    let keys = table.constraints.iter().filter_map(|constraint| {
        let columns = constraint.columns.iter().map(index_of).collect::<Option<Vec<_>>>()?;
        match constraint.kind {
            ConstraintKind::PrimaryKey => Some(Constraint::PrimaryKey(columns)),
            ConstraintKind::Unique => Some(Constraint::Unique(columns)),
            ConstraintKind::Check | ConstraintKind::ForeignKey => None,
        }
    });
    Constraints::new_unverified(keys.collect())
}

impl fmt::Debug for StoreTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTable").field("name", &self.object.name).field("oid", &self.object.oid).finish()
    }
}

/// Whether the scan may evaluate a condition itself: it must not depend on when or how often it runs.
pub(super) fn scan_can_filter(expr: &Expr) -> bool {
    let mut able = !expr.is_volatile();
    let walked = expr.apply(|node| {
        let subquery = matches!(
            node,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        );
        able &= !subquery;
        Ok(if able { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && able
}

impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |expr: &&Expr| match scan_can_filter(expr) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(ready(self.plan_scan(state, projection, filters, limit)))
    }
}
