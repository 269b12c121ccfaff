//! What RowDescription says of an analyzed plan.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::logical_expr::LogicalPlan;

use super::relations::shown;
use super::signatures::signatures;
use super::types::of_field;
use crate::engine::prepared::OutputColumn;

/// Metadata key: the table column a result column is.
const COLUMN_KEY: &str = "pg.column";

/// One column per field of the plan, under the names the user knows.
pub(in crate::engine) fn output_columns(plan: &LogicalPlan) -> Vec<OutputColumn> {
    plan.schema().fields().iter().map(column).collect()
}

fn column(field: &Arc<Field>) -> OutputColumn {
    let of = of_field(field);
    let origin = field.metadata().get(COLUMN_KEY).and_then(|text| {
        let (table, attnum) = text.split_once('.')?;
        Some((table.parse().ok()?, attnum.parse().ok()?))
    });
    let (table_oid, attnum) = origin.unwrap_or((0, 0));
    OutputColumn {
        name: shown(field.name()).to_owned(),
        table_oid,
        attnum,
        type_oid: of.oid,
        type_len: signatures().type_row(of.oid).map_or(-1, |row| row.length),
        typmod: of.typmod,
        field: Arc::clone(field),
    }
}
