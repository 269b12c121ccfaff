//! Functions that stand in FROM and return rows of several columns: pg_get_keywords, pg_show_all_settings.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::TableSource;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::types;

use super::provider::ComputedTable;
use crate::engine::catalog::keywords;
use crate::engine::planner::ReadView;

/// Is it a function that returns rows of several columns?
pub(in crate::engine) fn exists(name: &str) -> bool {
    matches!(name, "pg_get_keywords" | "pg_show_all_settings")
}

/// The rows such a function returns; `None` for another name.
pub(in crate::engine) fn source(name: &str, view: &ReadView) -> Option<PgResult<Arc<dyn TableSource>>> {
    match name {
        "pg_show_all_settings" => Some(super::source("pg_catalog", "pg_settings", view, true)),
        "pg_get_keywords" => Some(keyword_rows()),
        _ => None,
    }
}

fn keyword_rows() -> PgResult<Arc<dyn TableSource>> {
    let text = |of: fn(&keywords::Keyword) -> &'static str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(keywords::all().iter().map(of)))
    };
    let columns: Vec<(&str, &str, ArrayRef)> = vec![
        ("word", "text", text(|keyword| keyword.word)),
        ("catcode", "char", text(|keyword| keyword.category)),
        ("barelabel", "bool", Arc::new(keywords::all().iter().map(|k| Some(k.bare_label)).collect::<BooleanArray>())),
        ("catdesc", "text", text(|keyword| keyword.description)),
        ("baredesc", "text", text(|keyword| keyword.bare_description)),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, typname, _)| {
            let data_type = if *typname == "bool" { DataType::Boolean } else { DataType::Utf8View };
            let field = Field::new(*name, data_type, true);
            types::by_name(typname).map_or(field.clone(), |ty| ty.annotate(field, -1))
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|error| PgError::internal(format!("key words: {error}")))?;
    let table = ComputedTable::new("pg_get_keywords", schema, Arc::new(move || Ok(batch.clone())));
    Ok(provider_as_source(Arc::new(table)))
}
