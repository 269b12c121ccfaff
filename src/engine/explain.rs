//! EXPLAIN: a plan as PostgreSQL's tools read one.
//!
//! The plan that is shown is the one that would run, with its pruning; with ANALYZE it runs, writes included, and shows
//! what it did. Node names are PostgreSQL's where one fits. Costs come from statistics: one per 8 KiB read and a
//! hundredth per row; they order plans, nobody should read time from them.

mod node;
mod options;
mod render;
mod words;

use std::sync::Arc;
use std::time::Instant;

use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::dml::{self, WriteKind, WritePlan};
use super::prepared::{Action, Outcome, Portal};
use super::session::Session;
use super::statement::query::{optimized, physical, with_parameters};
use super::statement::{Analysis, analyze_inner, text_column, text_rows};
use crate::dialect::Statement;
use crate::dialect::sqlparser::ast::Statement as Sql;

pub(super) use options::ExplainOptions;
use options::Format;

/// An analyzed EXPLAIN.
#[derive(Clone, Debug)]
pub(super) struct ExplainPlan {
    inner: Action,
    options: ExplainOptions,
}

/// Analyzes EXPLAIN and the statement in it.
pub(super) fn analyze(
    session: &mut Session,
    statement: &Statement,
    sql: &Sql,
    declared: &[u32],
) -> Result<Analysis, PgError> {
    let Sql::Explain { statement: explained, .. } = sql else {
        return Err(PgError::internal("EXPLAIN was not recognised as one"));
    };
    let options = ExplainOptions::of(sql)?;
    let inner = analyze_inner(session, statement, explained, declared)?;
    if !matches!(inner.action, Action::Query(_) | Action::Write(_)) {
        let text = explained.to_string();
        let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{word}\"")));
    }
    let mut column = text_column("QUERY PLAN");
    if options.format == Format::Json {
        (column.type_oid, column.type_len) = (tributary_pg::types::oid::JSON, -1);
    }
    let plan = ExplainPlan { inner: inner.action, options };
    Ok(Analysis {
        action: Action::Explain(Arc::new(plan)),
        parameter_types: inner.parameter_types,
        columns: Some(vec![column]),
    })
}

/// What has been planned and, with ANALYZE, run.
struct Explained {
    plan: Arc<dyn ExecutionPlan>,
    /// Target and kind of a write above the plan, with the rows written.
    write: Option<(String, WriteKind, u64)>,
    planning_ms: f64,
    execution_ms: Option<f64>,
}

/// Runs EXPLAIN: its rows are the lines.
pub(super) async fn run(session: &mut Session, portal: &mut Portal) -> Result<Outcome, PgError> {
    let Action::Explain(explain) = &portal.prepared.action else {
        return Err(PgError::internal("EXPLAIN was not analyzed as one"));
    };
    let explain = Arc::clone(explain);
    session.ensure_transaction().queried = true;
    let lines = if explain.options.engine {
        let plan = with_parameters(input_of(&explain)?.clone(), portal)?;
        engine_plans(session, plan, explain.options.verbose).await?
    } else {
        let explained = match &explain.inner {
            Action::Write(write) => of_write(session, portal, write, explain.options.analyze).await?,
            _ => {
                let plan = with_parameters(input_of(&explain)?.clone(), portal)?;
                of_query(session, plan, explain.options.analyze).await?
            }
        };
        let mut root = node::tree(&explained.plan, explain.options.analyze)?;
        if let Some((table, kind, count)) = &explained.write {
            root = node::of_write(root, table, *kind, explain.options.analyze.then_some(*count));
        }
        match explain.options.format {
            Format::Text => render::text(&root, &explain.options, explained.planning_ms, explained.execution_ms),
            Format::Json => vec![render::json(&root, &explain.options, explained.planning_ms, explained.execution_ms)],
        }
    };
    let columns = portal.prepared.columns.clone().unwrap_or_default();
    let rows: Vec<Vec<String>> = lines.into_iter().map(|line| vec![line]).collect();
    text_rows(portal, &columns, &rows)?;
    Ok(Outcome::Rows("EXPLAIN"))
}

fn input_of(explain: &ExplainPlan) -> Result<&LogicalPlan, PgError> {
    match &explain.inner {
        Action::Query(plan) => Ok(plan),
        Action::Write(write) => Ok(&write.input),
        _ => Err(PgError::internal("EXPLAIN of a statement without a plan")),
    }
}

/// EXPLAIN (ENGINE): the plans as the engine prints them.
async fn engine_plans(session: &mut Session, plan: LogicalPlan, verbose: bool) -> Result<Vec<String>, PgError> {
    let logical = optimized(session, plan)?;
    let (physical, _) = physical_of(session, logical.clone()).await?;
    let logical = logical.display_indent().to_string();
    let physical = displayable(physical.as_ref()).indent(verbose).to_string();
    let mut lines = vec!["logical plan".to_owned()];
    lines.extend(logical.lines().map(|line| format!("  {line}")));
    lines.push("physical plan".to_owned());
    lines.extend(physical.lines().map(|line| format!("  {line}")));
    Ok(lines)
}

async fn physical_of(
    session: &mut Session,
    plan: LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), PgError> {
    let view = session.read_view();
    physical(&session.state(&view), session.token().clone(), plan).await
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

async fn of_query(session: &mut Session, plan: LogicalPlan, analyze: bool) -> Result<Explained, PgError> {
    let began = Instant::now();
    let logical = optimized(session, plan)?;
    let (plan, context) = physical_of(session, logical).await?;
    let planning_ms = milliseconds(began);
    let mut execution_ms = None;
    if analyze {
        let began = Instant::now();
        let mut rows = super::row_stream::RowStream::run(Arc::clone(&plan), context)?;
        let token = session.token().clone();
        while token.run(rows.next()).await?.is_some() {}
        execution_ms = Some(milliseconds(began));
    }
    Ok(Explained { plan, write: None, planning_ms, execution_ms })
}

async fn of_write(
    session: &mut Session,
    portal: &mut Portal,
    write: &Arc<WritePlan>,
    analyze: bool,
) -> Result<Explained, PgError> {
    let began = Instant::now();
    let (plan, count, execution_ms) = if analyze {
        let (count, plan) = dml::run_explained(session, portal, write).await?;
        (plan, count, Some(milliseconds(began)))
    } else {
        let logical = optimized(session, with_parameters(write.input.clone(), portal)?)?;
        (physical_of(session, logical).await?.0, 0, None)
    };
    let planning_ms = if analyze { 0.0 } else { milliseconds(began) };
    Ok(Explained { plan, write: Some((write.table.name.clone(), write.kind, count)), planning_ms, execution_ms })
}
