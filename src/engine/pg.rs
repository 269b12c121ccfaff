//! PostgreSQL's meaning over DataFusion's machinery: operators, casts, functions, names, errors.
//!
//! The passes run in a fixed order. **A** `dialect` rewrites the syntax tree, which knows no types. **B** planners turn
//! syntax into expressions ([`expr_planners`], [`type_planner`]). **C** [`analyzer_rules`] decide unknown literals,
//! parameters, subqueries and casts. **D** [`register_functions`] lays our functions over DataFusion's of the same name.
//! **E** [`output_columns`] describes the result.

mod aggregates;
pub(super) mod apply;
mod arrays;
mod bitmaps;
mod call;
mod casts;
mod coerce;
pub(super) mod constants;
mod error;
mod interval_order;
mod kernels;
mod multisets;
mod operators;
mod output;
mod parameters;
mod planning;
mod reading;
mod records;
mod relations;
mod resolve;
mod series;
mod signatures;
mod special;
mod typed;
mod types;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::{ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::optimizer::AnalyzerRule;
use tributary_pg::PgError;

pub(super) use error::{located, map_error};
pub(super) use output::output_columns;
pub(super) use parameters::Parameters;
pub(super) use planning::near_function;
pub(in crate::engine) use types::PgType;

use super::session_vars::SessionVars;
use crate::dialect::semantics::{FunctionKind, Functions, Windowing};

/// Planners of one statement, asked before DataFusion's own.
pub(super) fn expr_planners(parameters: &Arc<Parameters>, session: &SessionVars) -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(planning::PgPlanner { parameters: Arc::clone(parameters), session: session.clone() })]
}

/// Relation planners of one statement.
pub(super) fn relation_planners(parameters: &Arc<Parameters>, session: &SessionVars) -> Vec<Arc<dyn RelationPlanner>> {
    vec![Arc::new(relations::PgRelations { parameters: Arc::clone(parameters), session: session.clone() })]
}

/// The planner of physical plans.
pub(super) fn query_planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(series::EnginePlanner)
}

/// Types of SQL declarations and casts.
pub(super) fn type_planner() -> Option<Arc<dyn TypePlanner>> {
    Some(Arc::new(types::PgTypePlanner))
}

/// Rules around DataFusion's type coercion.
pub(super) fn analyzer_rules(
    mut defaults: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    // Before type coercion, which refuses to look for window frames in intervals.
    defaults.insert(0, Arc::new(interval_order::IntervalOrder));
    defaults.insert(0, Arc::new(multisets::Multisets));
    defaults
}

/// PostgreSQL's functions over DataFusion's of the same name.
pub(super) fn register_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    registry.register_udf(Arc::new(ScalarUDF::new_from_impl(planning::Pack::new())))?;
    aggregates::register(registry)
}

static ENGINE_FUNCTIONS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let all = datafusion::functions::all_default_functions()
        .into_iter()
        .chain(datafusion::functions_nested::all_default_nested_functions());
    all.map(|one| (one.name().to_owned(), one)).collect()
});

/// Tells the AST pass what the names of functions stand for.
pub(super) struct FunctionNames<'a>(pub &'a SessionState);

impl Functions for FunctionNames<'_> {
    fn columns(&self, name: &str) -> Vec<&'static str> {
        // unnest has columns only for text search vectors.
        let procs = if name == "unnest" { &[] } else { signatures::signatures().procs(name) };
        procs
            .iter()
            .map(|one| &one.columns)
            .find(|columns| !columns.is_empty())
            .map_or_else(Vec::new, |columns| columns.iter().map(|(name, _)| *name).collect())
    }

    fn engine_name(&self, name: &str) -> String {
        aggregates::engine_name(name).to_owned()
    }

    fn parameters(&self, name: &str) -> Vec<String> {
        let scalar = self.0.scalar_functions().get(name).map(|function| function.signature());
        let aggregate = || self.0.aggregate_functions().get(name).map(|function| function.signature());
        let signature = scalar.or_else(aggregate);
        signature.and_then(|signature| signature.parameter_names.clone()).unwrap_or_default()
    }

    fn windowing(&self, name: &str) -> Windowing {
        match self.kind(name) {
            FunctionKind::Window => Windowing::Needed,
            FunctionKind::Scalar | FunctionKind::Set => Windowing::Refused,
            FunctionKind::Aggregate | FunctionKind::Unknown => Windowing::Possible,
            FunctionKind::Own if self.0.aggregate_functions().contains_key(name) => Windowing::Possible,
            FunctionKind::Own if self.0.window_functions().contains_key(name) => Windowing::Needed,
            FunctionKind::Own => Windowing::Refused,
        }
    }

    fn kind(&self, name: &str) -> FunctionKind {
        let state = self.0;
        if special::NAMES.contains(&name) {
            return FunctionKind::Scalar;
        }
        let procs = signatures::signatures().procs(name);
        // What the server knows of itself is typed by PostgreSQL's own table, where that has it.
        let system = !procs.is_empty() && crate::engine::system::function_named(name).is_some();
        if !system && let Some(found) = state.scalar_functions().get(name) {
            // The engine makes new instances of its functions for its settings: the implementation tells, not the pointer.
            let implementation = |udf: &Arc<ScalarUDF>| (udf.inner().as_ref() as &dyn Any).type_id();
            let engines =
                ENGINE_FUNCTIONS.get(found.name()).is_some_and(|own| implementation(own) == implementation(found));
            if !engines {
                return FunctionKind::Own;
            }
        }
        if crate::engine::system::tables::exists(name) {
            return FunctionKind::Own;
        }
        match procs.first() {
            Some(first) if first.kind == b'a' || procs.iter().any(|one| one.kind == b'a') => FunctionKind::Aggregate,
            Some(first) if first.kind == b'w' => FunctionKind::Window,
            Some(_) if procs.iter().any(|one| one.set) => FunctionKind::Set,
            Some(_) => FunctionKind::Scalar,
            None if state.aggregate_functions().contains_key(name)
                || state.window_functions().contains_key(name)
                || state.table_functions().contains_key(name)
                || super::table_functions::is_report(name) =>
            {
                FunctionKind::Own
            }
            None => FunctionKind::Unknown,
        }
    }
}

/// OID of a type as written in SQL.
pub(super) fn type_oid(data_type: &crate::dialect::sqlparser::ast::DataType) -> Result<u32, PgError> {
    types::from_sql(data_type).map(|of| of.oid)
}

/// A type's name as SQL reads it.
pub(super) fn type_name(oid: u32) -> Result<String, PgError> {
    if signatures::signatures().type_row(oid).is_none() {
        let message = format!("type with OID {oid} does not exist");
        return Err(PgError::new(tributary_pg::sqlstate::UNDEFINED_OBJECT, message));
    }
    Ok(signatures::display_name(oid))
}
