//! External tables: files of the server as read-only relations.
//!
//! The files are found anew by every scan, inside the directories allowed and with the right of the table's owner to read
//! files; the columns were fixed when the table was made. Values obey the types' own rules: text goes through PostgreSQL's
//! parsers, Parquet columns through [`super::foreign`]. A file that changes between the beginning of a scan and its end is
//! an error (58030), so that no answer mixes two contents. Only the columns a query reads are parsed, and of Parquet files
//! only the groups of rows that may hold an answer. Does not: write, keep anything of the files, or order rows.

mod definition;
mod foreign_scan;
mod inference;
mod listing;
mod pruning;
mod reading;

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use tributary_pg::error::{PgError, PgResult};

use super::catalog::{Catalog, ExternalObject, TableObject};
use super::files::{Allowed, FileRight};
use super::foreign::Wanted;
use super::session_vars::SessionVars;
use super::table::{scan_can_filter, schema_of};
pub(super) use definition::Definition;
pub(super) use foreign_scan::ForeignScanExec;
pub(super) use inference::columns_of;
use listing::Found;
use pruning::GroupFilter;
use reading::{FileRows, Target};

/// An external table in the planner.
pub(super) fn source(table: &Arc<TableObject>, external: &ExternalObject) -> PgResult<Arc<dyn TableSource>> {
    let definition = Arc::new(Definition::of(external)?);
    let schema = schema_of(table)?;
    Ok(provider_as_source(Arc::new(ExternalTable { object: Arc::clone(table), definition, schema })))
}

/// See the module.
struct ExternalTable {
    object: Arc<TableObject>,
    definition: Arc<Definition>,
    schema: SchemaRef,
}

impl fmt::Debug for ExternalTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalTable").field("name", &self.object.name).finish_non_exhaustive()
    }
}

impl ExternalTable {
    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PgResult<Arc<dyn ExecutionPlan>> {
        let vars = SessionVars::of(state.config_options());
        let engine = vars.and_then(|vars| Some((vars, vars.engine.as_ref()?)));
        let (vars, engine) = engine.ok_or_else(|| PgError::internal("files are read outside an engine"))?;
        owner_may_read(&vars.catalog, &self.object)?;
        let allowed = Allowed::of(engine.store());
        let found = listing::files(&self.definition, &allowed)?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let chosen = projection.unwrap_or(&all);
        let schema: SchemaRef = Arc::new(
            self.schema.project(chosen).map_err(|error| PgError::internal(format!("external table: {error}")))?,
        );
        let columns = self
            .object
            .live_columns()
            .map(|column| Ok((column.name.clone(), Wanted::new(column.type_oid, column.typmod)?)));
        let target = Arc::new(Target {
            definition: Arc::clone(&self.definition),
            columns: columns.collect::<PgResult<Vec<_>>>()?,
            chosen: chosen.clone(),
            schema: Arc::clone(&schema),
            filter: self.group_filter(state, filters).map_err(super::pg::map_error)?,
            allowed,
            backend: vars.backend.clone(),
        });
        let files = (found.len(), found.iter().map(Found::size).sum());
        let partitions = divided(found, state.config().target_partitions(), self.definition.has_groups());
        let partitions = partitions.into_iter().map(|(files, share)| {
            Arc::new(FileScan { target: Arc::clone(&target), files: files.into(), share }) as Arc<dyn PartitionStream>
        });
        let exec = StreamingTableExec::try_new(schema, partitions.collect(), None, [], false, limit);
        let scan = Arc::new(exec.map_err(super::pg::map_error)?);
        let (table, location) = (self.object.name.clone(), self.definition.location.clone());
        Ok(Arc::new(ForeignScanExec { scan, table, location, files }))
    }
}

impl ExternalTable {
    /// What chooses groups of rows, if the format has them.
    fn group_filter(&self, state: &dyn Session, filters: &[Expr]) -> Result<Option<GroupFilter>> {
        if !self.definition.has_groups() {
            return Ok(None);
        }
        let schema = DFSchema::try_from(Schema::clone(&self.schema))?;
        let filters = filters.iter().map(|filter| state.create_physical_expr(filter.clone(), &schema));
        Ok(GroupFilter::new(&filters.collect::<Result<Vec<_>>>()?, &self.schema))
    }
}

/// Readers of the table read with its owner's right to files, as readers of a view with its owner's right to tables.
fn owner_may_read(catalog: &Catalog, table: &TableObject) -> PgResult<()> {
    let owner = catalog.roles.get(&table.owner).map_or("", |role| role.name.as_str());
    let what = format!("own foreign table \"{}\"", table.name);
    FileRight::Read.must_have(catalog, owner, &what)
}

/// The part of every file that a partition reads: the groups of rows whose number leaves this rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    rest: usize,
    of: usize,
}

/// Files dealt out to at most so many partitions, the largest first. Few files that have groups of rows are shared by all
/// partitions instead.
fn divided(mut found: Vec<Found>, partitions: usize, grouped: bool) -> Vec<(Vec<Found>, Share)> {
    if grouped && found.len() < partitions {
        return (0..partitions).map(|rest| (found.clone(), Share { rest, of: partitions })).collect();
    }
    let count = partitions.min(found.len()).max(1);
    found.sort_by_key(|file| std::cmp::Reverse(file.size()));
    let mut groups: Vec<(u64, Vec<Found>)> = (0..count).map(|_| (0, Vec::new())).collect();
    for file in found {
        if let Some(least) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            least.0 += file.size();
            least.1.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| (files, Share { rest: 0, of: 1 })).collect()
}

impl TableProvider for ExternalTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters choose groups of rows; each row is filtered above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |expr: &&Expr| match self.definition.has_groups() && scan_can_filter(expr) {
            true => TableProviderFilterPushDown::Inexact,
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
        Box::pin(ready(
            self.plan(state, projection, filters, limit).map_err(|error| DataFusionError::External(Box::new(error))),
        ))
    }
}

/// Some files of a scan, one after the other.
struct FileScan {
    target: Arc<Target>,
    files: Arc<[Found]>,
    share: Share,
}

impl fmt::Debug for FileScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileScan").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl PartitionStream for FileScan {
    fn schema(&self) -> &SchemaRef {
        &self.target.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (target, files, share) = (Arc::clone(&self.target), Arc::clone(&self.files), self.share);
        let begun = (0_usize, None::<FileRows>);
        let rows = futures::stream::try_unfold(begun, move |(mut next, mut open)| {
            let batch = (|| loop {
                let rows = match &mut open {
                    Some(rows) => rows,
                    None => match files.get(next) {
                        None => return Ok(None),
                        Some(file) => {
                            next += 1;
                            open.insert(FileRows::open(&target, file, share, context.memory_pool())?)
                        }
                    },
                };
                match rows.next()? {
                    Some(batch) => return Ok(Some(batch)),
                    None => open = None,
                }
            })();
            let batch = batch.map_err(|error: PgError| DataFusionError::External(Box::new(error)));
            async move { Ok(batch?.map(|batch| (batch, (next, open)))) }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.target.schema), rows))
    }
}
