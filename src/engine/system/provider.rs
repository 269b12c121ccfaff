//! System relations as tables of the engine.
//!
//! Rows are made when a scan is planned, not when a name is resolved: a prepared statement over pg_stat_activity sees
//! the sessions of each execution. Nothing is pushed down; the relations are small and the engine filters.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use tributary_pg::error::PgResult;

/// Makes the rows of a relation.
pub type Source = Arc<dyn Fn() -> PgResult<RecordBatch> + Send + Sync>;

/// A table whose rows are made anew for each scan.
pub struct ComputedTable {
    name: &'static str,
    schema: SchemaRef,
    source: Source,
}

impl ComputedTable {
    /// A table of this schema; `source` must make batches of it.
    pub fn new(name: &'static str, schema: SchemaRef, source: Source) -> Self {
        Self { name, schema, source }
    }

    fn plan(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = (self.source)().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let exec = MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?;
        Ok(exec)
    }
}

impl fmt::Debug for ComputedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComputedTable({})", self.name)
    }
}

impl TableProvider for ComputedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn scan<'a, 'b, 'c, 'd, 'e>(
        &'a self,
        _state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        _filters: &'d [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'e, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
        Self: 'e,
    {
        Box::pin(std::future::ready(self.plan(projection)))
    }
}
