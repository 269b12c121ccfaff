//! RETURNING: a query over the rows a write has made or removed.
//!
//! It is planned over a table of the target's columns that holds nothing; when the write has run, the rows take that
//! table's place. So RETURNING may hold any expression, subqueries too, and is described before anything runs.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tributary_pg::error::PgError;

use crate::engine::catalog::TableObject;
use crate::engine::pg::map_error;
use crate::engine::table::schema_of;

/// The rows of a write that has not run yet.
#[derive(Debug)]
struct RowsToCome {
    schema: SchemaRef,
}

/// What RETURNING is planned over.
pub(in crate::engine) fn rows_source(table: &TableObject) -> Result<Arc<dyn TableSource>, PgError> {
    Ok(provider_as_source(Arc::new(RowsToCome { schema: schema_of(table)? })))
}

/// The plan with the rows in their place.
pub(super) fn over_rows(plan: LogicalPlan, rows: Vec<RecordBatch>) -> Result<LogicalPlan, PgError> {
    let filled = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source)?;
        match provider.downcast_ref::<RowsToCome>() {
            Some(to_come) => {
                let rows = rows
                    .iter()
                    .map(|batch| Ok(RecordBatch::try_new(Arc::clone(&to_come.schema), batch.columns().to_vec())?));
                let table = MemTable::try_new(Arc::clone(&to_come.schema), vec![rows.collect::<Result<Vec<_>>>()?])?;
                scan.source = provider_as_source(Arc::new(table));
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        }
    });
    filled.map(|filled| filled.data).map_err(map_error)
}

impl TableProvider for RowsToCome {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _state: &'life1 dyn Session,
        _projection: Option<&'life2 Vec<usize>>,
        _filters: &'life3 [Expr],
        _limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(ready(internal_err!("RETURNING ran before its rows were there")))
    }
}
