//! PostgreSQL's meaning over DataFusion's machinery: operators, casts, functions, names, errors.
//!
//! The passes run in a fixed order. **A** `dialect` rewrites the syntax tree, which knows no types. **B** planners turn
//! syntax into expressions ([`expr_planners`], [`type_planner`]). **C** [`analyzer_rules`] decide unknown literals,
//! parameters, subqueries and casts. **D** [`register_functions`] lays our functions over DataFusion's of the same name.
//! **E** [`output_columns`] describes the result.

mod error;
mod output;
mod parameters;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::optimizer::AnalyzerRule;

pub(super) use error::map_error;
pub(super) use output::output_columns;
pub(super) use parameters::parameter_types;

/// Planners asked before DataFusion's own.
pub(super) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    Vec::new()
}

/// Types of SQL declarations and casts.
pub(super) fn type_planner() -> Option<Arc<dyn TypePlanner>> {
    None
}

/// Rules around DataFusion's type coercion.
pub(super) fn analyzer_rules(
    defaults: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    defaults
}

/// PostgreSQL's functions over DataFusion's of the same name.
pub(super) fn register_functions(_registry: &mut dyn FunctionRegistry) -> Result<()> {
    Ok(())
}

/// OID of a type as written in SQL.
pub(super) fn type_oid(data_type: &crate::dialect::sqlparser::ast::DataType) -> Result<u32, tributary_pg::PgError> {
    let name = data_type.to_string().to_lowercase();
    TYPES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(oid, _)| *oid).ok_or_else(|| {
        tributary_pg::PgError::new(tributary_pg::sqlstate::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
    })
}

/// A type's name as SQL reads it.
pub(super) fn type_name(oid: u32) -> Result<&'static str, tributary_pg::PgError> {
    TYPES.iter().find(|(known, _)| *known == oid).map(|(_, names)| names[0]).ok_or_else(|| {
        tributary_pg::PgError::new(
            tributary_pg::sqlstate::UNDEFINED_OBJECT,
            format!("type with OID {oid} does not exist"),
        )
    })
}

const TYPES: &[(u32, &[&str])] = &[
    (16, &["boolean", "bool"]),
    (20, &["bigint", "int8"]),
    (21, &["smallint", "int2"]),
    (23, &["integer", "int", "int4"]),
    (25, &["text"]),
    (701, &["double precision", "float8"]),
];
