//! NOT NULL and CHECK: what every new row must satisfy before it enters a transaction.
//!
//! Checks run on whole batches, and the error names the first row that fails, as PostgreSQL does: its NOT NULL columns
//! in order, then its CHECKs by name. A CHECK that is NULL passes. PRIMARY KEY and UNIQUE are in `dml::keys`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use tributary_pg::TextStyle;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::text::{ColumnText, TextPrinter};

use super::catalog::{ConstraintKind, TableObject};
use super::dml;
use super::pg::map_error;
use super::planner::ReadView;
use super::table::schema_of;

/// Longest value shown in DETAIL, in bytes, as PostgreSQL.
const SHOWN_BYTES_MAX: usize = 64;

/// A CHECK ready to run.
struct Check {
    name: String,
    condition: Arc<dyn PhysicalExpr>,
}

/// The row constraints of one table.
pub(super) struct RowChecks {
    table: Arc<TableObject>,
    schema_name: String,
    schema: SchemaRef,
    not_null: Vec<usize>,
    checks: Vec<Check>,
}

impl RowChecks {
    /// Prepares the constraints of a table.
    pub(super) fn new(state: &SessionState, view: &ReadView, table: &Arc<TableObject>) -> Result<Self, PgError> {
        let not_null = table.live_columns().enumerate().filter(|(_, column)| column.not_null);
        let mut checks = Vec::new();
        for constraint in table.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Check) {
            let Some(text) = &constraint.expression else { continue };
            checks.push(Check { name: constraint.name.clone(), condition: condition(state, view, table, text)? });
        }
        checks.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Self {
            schema_name: schema_name(view, table),
            schema: schema_of(table)?,
            not_null: not_null.map(|(index, _)| index).collect(),
            checks,
            table: Arc::clone(table),
        })
    }

    /// Schema of complete rows.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the table has no row constraint.
    pub(super) fn is_empty(&self) -> bool {
        self.not_null.is_empty() && self.checks.is_empty()
    }

    /// The first row that fails, with 23502 or 23514.
    pub(super) fn first_failure(&self, batch: &RecordBatch) -> Result<Option<(usize, PgError)>, PgError> {
        let mut failing: Option<(usize, Failure<'_>)> = None;
        for &column in &self.not_null {
            let values = batch.column(column);
            if values.null_count() > 0
                && let Some(row) = (0..values.len()).find(|&row| values.is_null(row))
                && failing.as_ref().is_none_or(|(first, _)| row < *first)
            {
                failing = Some((row, Failure::NotNull(column)));
            }
        }
        for check in &self.checks {
            // Rows from the first failing one on are not looked at: their CHECKs might raise errors of their own.
            let rows = failing.as_ref().map_or(batch.num_rows(), |(first, _)| *first);
            if let Some(row) = first_failing(&check.condition, &batch.slice(0, rows))? {
                failing = Some((row, Failure::Check(&check.name)));
            }
        }
        Ok(failing.map(|(row, failure)| (row, self.error(batch, row, &failure))))
    }

    fn error(&self, batch: &RecordBatch, row: usize, failure: &Failure<'_>) -> PgError {
        let table = &self.table.name;
        let detail = match shown_row(batch, row) {
            Ok(shown) => format!("Failing row contains ({shown})."),
            Err(error) => return error,
        };
        let error = match failure {
            Failure::NotNull(column) => {
                let column = self.schema.field(*column).name();
                let message =
                    format!("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint");
                PgError::new(sqlstate::NOT_NULL_VIOLATION, message).column(column)
            }
            Failure::Check(name) => {
                let message = format!("new row for relation \"{table}\" violates check constraint \"{name}\"");
                PgError::new(sqlstate::CHECK_VIOLATION, message).constraint(*name)
            }
        };
        error.detail(detail).table(&self.schema_name, table)
    }
}

enum Failure<'a> {
    NotNull(usize),
    Check(&'a str),
}

/// Name of a table's schema, for the fields of an error.
pub(super) fn schema_name(view: &ReadView, table: &TableObject) -> String {
    view.catalog.schemas.get(&table.schema).map(|schema| schema.name.clone()).unwrap_or_default()
}

fn condition(
    state: &SessionState,
    view: &ReadView,
    table: &Arc<TableObject>,
    text: &str,
) -> Result<Arc<dyn PhysicalExpr>, PgError> {
    let mut expressions = dml::row_expressions(state, view, table, dml::check_query(table, text)?)?;
    expressions.pop().ok_or_else(|| PgError::internal("a CHECK is not one expression"))
}

fn first_failing(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<Option<usize>, PgError> {
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let values = condition.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(map_error)?;
    let Some(values) = values.as_boolean_opt() else {
        return Err(PgError::internal("a CHECK is not boolean"));
    };
    Ok((0..values.len()).find(|&row| values.is_valid(row) && !values.value(row)))
}

/// The values of a row as PostgreSQL lists them in DETAIL.
pub(super) fn shown_row(batch: &RecordBatch, row: usize) -> Result<String, PgError> {
    let one = batch.slice(row, 1);
    let mut shown = Vec::with_capacity(one.num_columns());
    for (field, column) in one.schema().fields().iter().zip(one.columns()) {
        let mut text = ColumnText::new();
        TextPrinter::for_field(field, &TextStyle::default())?.print(column, &mut text)?;
        shown.push(match text.text(0) {
            None => "null".to_owned(),
            Some(text) if text.len() > SHOWN_BYTES_MAX => {
                format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
            }
            Some(text) => text.to_owned(),
        });
    }
    Ok(shown.join(", "))
}
