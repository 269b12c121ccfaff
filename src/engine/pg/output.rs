//! What RowDescription says of an analyzed plan.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;

use crate::engine::prepared::OutputColumn;

/// One column per field of the plan.
pub(in crate::engine) fn output_columns(plan: &LogicalPlan) -> Vec<OutputColumn> {
    plan.schema()
        .fields()
        .iter()
        .map(|field| {
            let (type_oid, type_len) = match field.data_type() {
                DataType::Boolean => (16, 1),
                DataType::Int16 => (21, 2),
                DataType::Int32 => (23, 4),
                DataType::Int64 => (20, 8),
                DataType::Float32 => (700, 4),
                DataType::Float64 => (701, 8),
                _ => (25, -1),
            };
            OutputColumn {
                name: field.name().clone(),
                table_oid: 0,
                attnum: 0,
                type_oid,
                type_len,
                typmod: -1,
                field: Arc::clone(field),
            }
        })
        .collect()
}
