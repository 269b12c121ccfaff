//! Queries over rows that are only there once a write has run: RETURNING, and ON CONFLICT DO UPDATE.
//!
//! Such a query is planned over tables of the target's columns that hold nothing; when their rows are there they take
//! the tables' place. So it may hold any expression, subqueries too, and is described before anything runs.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tributary_pg::error::PgError;

use super::ast::PAIR;
use crate::engine::catalog::TableObject;
use crate::engine::pg::map_error;
use crate::engine::scan::ADDR;
use crate::engine::table::schema_of;

/// Which rows of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Role {
    /// Those it has made or removed.
    Written,
    /// Existing rows in the way of new ones: the table's columns, the address, the pair's number.
    InTheWay,
    /// The new rows themselves, known as `excluded`: the table's columns, the pair's number.
    Excluded,
}

/// The rows of a write that has not run yet.
#[derive(Debug)]
struct RowsToCome {
    schema: SchemaRef,
    role: Role,
}

/// What a query over rows to come is planned over.
pub(in crate::engine) fn rows_source(table: &TableObject, role: Role) -> Result<Arc<dyn TableSource>, PgError> {
    Ok(provider_as_source(Arc::new(RowsToCome { schema: schema_for(&schema_of(table)?, role), role })))
}

/// The columns of such rows.
pub(super) fn schema_for(table: &SchemaRef, role: Role) -> SchemaRef {
    let mut fields = table.fields().to_vec();
    if role == Role::InTheWay {
        fields.push(Arc::new(Field::new(ADDR, DataType::UInt64, false)));
    }
    if role != Role::Written {
        fields.push(Arc::new(Field::new(PAIR, DataType::UInt64, false)));
    }
    Arc::new(Schema::new(fields))
}

/// The plan with the rows in their place.
pub(super) fn over_rows(plan: LogicalPlan, filled: &[(Role, Vec<RecordBatch>)]) -> Result<LogicalPlan, PgError> {
    let filled = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source)?;
        match provider.downcast_ref::<RowsToCome>() {
            Some(to_come) => {
                let rows = filled.iter().filter(|(role, _)| *role == to_come.role).flat_map(|(_, rows)| rows);
                let rows =
                    rows.map(|batch| Ok(RecordBatch::try_new(Arc::clone(&to_come.schema), batch.columns().to_vec())?));
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
        Box::pin(ready(internal_err!("a query over written rows ran before they were there")))
    }
}
