//! Statements that are one plan: SELECT, VALUES, WITH, TABLE.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;

use super::{Analysis, size};
use crate::dialect::sqlparser::ast::{Expr, Statement as Sql};
use crate::engine::activity::StatementToken;
use crate::engine::pg;
use crate::engine::planner::Planner;
use crate::engine::prepared::{Action, Outcome, Portal};
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;

/// Plans and analyzes.
pub(super) fn analyze(session: &mut Session, sql: &Sql, text: &str, declared: &[u32]) -> Result<Analysis, PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    let (plan, parameter_types) = Planner::plan_declared(&state, &view, text, sql, declared)?;
    let plan = analyzed(&state, plan)?;
    let columns = pg::output_columns(&plan);
    Ok(Analysis { action: Action::Query(plan), parameter_types, columns: Some(columns) })
}

/// Pass C: what a statement means, independent of parameter values.
pub(in crate::engine) fn analyzed(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan, PgError> {
    size::check(&plan)?;
    let check =
        |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(pg::map_error);
    if !pg::apply::correlated(&plan) {
        return check(plan);
    }
    match check(plan.clone()) {
        Ok(joined) if pg::apply::decorrelates(state, &joined) => Ok(joined),
        // What joins cannot do is done row by row.
        _ => check(pg::apply::rewrite(plan).map_err(pg::map_error)?),
    }
}

/// Optimizes the portal's plan with its parameters. As in PostgreSQL, constant expressions are computed now.
pub(super) fn bind(session: &mut Session, portal: &mut Portal) -> Result<(), PgError> {
    let Action::Query(plan) = &portal.prepared.action else {
        return Err(PgError::internal("a query was not analyzed as one"));
    };
    session.ensure_transaction().queried = true;
    let plan = with_parameters(plan.clone(), portal)?;
    let view = session.read_view();
    let state = session.state(&view);
    let written = plan.clone();
    let plan = state.optimizer().optimize(plan, &*state, |_, _| {}).map_err(pg::map_error)?;
    // Where no row can come, the optimizer has thrown the expressions away with it.
    pg::constants::check(&state, if pg::constants::empties(&plan) { &written } else { &plan })?;
    portal.optimized = Some(plan);
    Ok(())
}

/// Starts the portal's plan.
pub(super) async fn run(session: &mut Session, portal: &mut Portal) -> Result<Outcome, PgError> {
    if portal.optimized.is_none() {
        bind(session, portal)?;
    }
    let plan = portal.optimized.take().ok_or_else(|| PgError::internal("a query was not bound"))?;
    let view = session.read_view();
    let state = session.state(&view);
    let (physical, context) = physical(&state, session.token().clone(), plan).await?;
    portal.rows = Some(RowStream::run(physical, context)?);
    Ok(Outcome::Rows("SELECT"))
}

/// Puts the portal's values in place of `$1`, `$2`, ...
pub(in crate::engine) fn with_parameters(plan: LogicalPlan, portal: &Portal) -> Result<LogicalPlan, PgError> {
    if portal.parameters.is_empty() {
        return Ok(plan);
    }
    let values = portal
        .parameters
        .iter()
        .map(|array| ScalarValue::try_from_array(array, 0).map(|value| ScalarAndMetadata::new(value, None)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(pg::map_error)?;
    plan.with_param_values(ParamValues::List(values)).map_err(pg::map_error)
}

/// Optimizes a plan and starts it under the statement's token.
pub(in crate::engine) async fn start(session: &mut Session, plan: LogicalPlan) -> Result<RowStream, PgError> {
    let (physical, context) = planned(session, plan).await?;
    RowStream::run(physical, context)
}

/// Optimizes a plan and makes it one that runs, in the returned context.
pub(in crate::engine) async fn planned(
    session: &mut Session,
    plan: LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    planned_in(&state, session.token().clone(), plan).await
}

/// The same in a state made before: what a statement has written meanwhile is not in its rows.
pub(in crate::engine) async fn planned_in(
    state: &SessionState,
    token: StatementToken,
    plan: LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), PgError> {
    let plan = state.optimizer().optimize(plan, state, |_, _| {}).map_err(pg::map_error)?;
    physical(state, token, plan).await
}

/// The plan after the logical optimizer.
pub(in crate::engine) fn optimized(session: &mut Session, plan: LogicalPlan) -> Result<LogicalPlan, PgError> {
    let view = session.read_view();
    let state = session.state(&view);
    state.optimizer().optimize(plan, &*state, |_, _| {}).map_err(pg::map_error)
}

/// The physical plan of an optimized one, made under the statement's token.
pub(in crate::engine) async fn physical(
    state: &SessionState,
    token: StatementToken,
    plan: LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), PgError> {
    token
        .run(async {
            let planner = state.query_planner();
            let physical = planner.create_physical_plan(&plan, state).await.map_err(pg::map_error)?;
            Ok((physical, task_context(state)))
        })
        .await
}

/// What a plan needs while it runs. The functions are in the plan already, so their registry is not copied.
fn task_context(state: &SessionState) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::clone(state.runtime_env()),
    ))
}

/// Evaluates an argument of EXECUTE, as the type of its parameter.
pub(super) async fn constant(session: &mut Session, argument: &Expr, type_oid: u32) -> Result<ArrayRef, PgError> {
    let text = format!("SELECT CAST({argument} AS {})", pg::type_name(type_oid)?);
    let statement = crate::dialect::parse(&text)?.into_iter().next();
    let Some(crate::dialect::Ast::Sql(sql)) = statement.map(|statement| statement.ast) else {
        return Err(PgError::internal("an argument is no expression"));
    };
    let view = session.read_view();
    let state = session.state(&view);
    let plan = analyzed(&state, Planner::new(&state, &view).plan(*sql)?)?;
    let mut rows = start(session, plan).await?;
    match rows.next().await? {
        Some(batch) if batch.num_rows() == 1 => Ok(Arc::clone(batch.column(0))),
        _ => Err(PgError::internal("an argument has no value")),
    }
}
