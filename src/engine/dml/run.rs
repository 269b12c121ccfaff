//! Running a write: rows of its query, checked, into the transaction.
//!
//! What a failed statement has put into the transaction is never seen: outside a block the transaction is rolled back,
//! inside one nothing is accepted but its end or the return to a savepoint.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::made_rows::{Role, over_rows};
use super::memory::Kept;
use super::sink::Sink;
use super::{WriteKind, WritePlan, ast, values};
use crate::dialect::sqlparser::ast::{ObjectName, Truncate, TruncateIdentityOption};
use crate::engine::catalog::{Relation, TableObject, rights};
use crate::engine::idempotency::Token;
use crate::engine::planner::ReadView;
use crate::engine::prepared::{Action, Outcome, Portal};
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;
use crate::engine::statement::ddl::with_ddl;
use crate::engine::statement::query::{planned_in, with_parameters};
use crate::engine::statement::transactions;
use crate::engine::store_error::store_error;

/// How often a write that commits by itself is rerun when another commit was faster.
const RERUNS_MAX: usize = 8;

/// Runs a portal's write.
pub(in crate::engine) async fn run(session: &mut Session, portal: &mut Portal) -> Result<Outcome, PgError> {
    let Action::Write(write) = &portal.prepared.action else {
        return Err(PgError::internal("a write was not analyzed as one"));
    };
    let write = Arc::clone(write);
    Ok(rerun(session, portal, &write, false).await?.outcome)
}

/// Runs a write for EXPLAIN ANALYZE: gives the number of rows and the plan that found them, with its figures.
pub(in crate::engine) async fn run_explained(
    session: &mut Session,
    portal: &mut Portal,
    write: &WritePlan,
) -> Result<(u64, Arc<dyn ExecutionPlan>), PgError> {
    let ran = rerun(session, portal, write, true).await?;
    // Rows of RETURNING are not shown.
    portal.rows = None;
    // A repetition of what was written before had none.
    let plan = ran.plan.unwrap_or_else(|| Arc::new(EmptyExec::new(Arc::new(Schema::empty()))));
    Ok((ran.count as u64, plan))
}

/// A write that has run.
struct Ran {
    outcome: Outcome,
    count: usize,
    /// What found the rows; a list of values needs none unless it is to be explained.
    plan: Option<Arc<dyn ExecutionPlan>>,
}

/// How a run ended.
enum Attempt {
    Ran(Ran),
    /// Another commit was faster; on a fresh snapshot the statement may do something else.
    Raced(PgError),
}

async fn rerun(session: &mut Session, portal: &mut Portal, write: &WritePlan, explained: bool) -> Result<Ran, PgError> {
    let engine = Arc::clone(session.engine());
    let token = session.token().clone();
    let takes = matches!(write.kind, WriteKind::Insert | WriteKind::Merge);
    let mut named = if takes { Token::take(session)? } else { None };
    let mut turn = None;
    if session.commits_alone() && engine.key_turns().taken(write.table.oid) {
        drop(token.run(async { Ok(engine.key_turns().take(write.table.oid).await) }).await?);
        session.restart_store_transaction();
    }
    for reruns in 0.. {
        match once(session, portal, write, named.as_mut(), explained).await? {
            Attempt::Ran(ran) => return Ok(ran),
            Attempt::Raced(error) if !session.commits_alone() || reruns == RERUNS_MAX => return Err(error),
            Attempt::Raced(_) => {}
        }
        if turn.is_none() {
            turn = Some(token.run(async { Ok(engine.key_turns().take(write.table.oid).await) }).await?);
        }
        // After the turn has come: the snapshot must have what the others did before.
        session.restart_store_transaction();
    }
    Err(PgError::internal("an endless count of reruns ended"))
}

/// Runs a write and, if it commits by itself, commits.
async fn once(
    session: &mut Session,
    portal: &mut Portal,
    write: &WritePlan,
    named: Option<&mut Token>,
    explained: bool,
) -> Result<Attempt, PgError> {
    let raced = |error: PgError| match error.code {
        sqlstate::T_R_SERIALIZATION_FAILURE => Ok(Attempt::Raced(error)),
        _ => Err(error),
    };
    let ran = match statement(session, portal, write, named, explained).await {
        Ok(ran) => ran,
        Err(error) => return raced(error),
    };
    if session.commits_alone()
        && let Err(error) = transactions::commit(session).await
    {
        // A key that another has committed since: now its row can be seen.
        return if error.code == sqlstate::UNIQUE_VIOLATION { Ok(Attempt::Raced(error)) } else { raced(error) };
    }
    Ok(Attempt::Ran(ran))
}

/// Runs a write that belongs to another statement, whose transaction it shares. Gives the number of rows.
pub(super) async fn written(session: &mut Session, portal: &mut Portal, write: &WritePlan) -> Result<usize, PgError> {
    Ok(statement(session, portal, write, None, false).await?.count)
}

async fn statement(
    session: &mut Session,
    portal: &mut Portal,
    write: &WritePlan,
    mut named: Option<&mut Token>,
    explained: bool,
) -> Result<Ran, PgError> {
    begin(session, std::slice::from_ref(&write.table), write.kind.verb())?;
    if let Some(named) = &mut named
        && let Some(ran) = repeated(session, write, named)?
    {
        return Ok(ran);
    }
    let token = session.token().clone();
    // Everything the statement reads, RETURNING included, is as it was before the statement.
    let view = session.read_view();
    let mut state = session.state(&view);
    // One sort, not one a partition: they would leave no memory to the merge of their results.
    state.config_mut().options_mut().optimizer.repartition_sorts &= !write.kind.by_address();
    let mut sink = Sink::new(&state, &view, write)?;
    let listed = if explained { None } else { values::rows(&state, &write.input, &portal.parameters)? };
    let plan = match listed {
        Some(rows) => {
            sink.take(session.store_transaction(), rows)?;
            None
        }
        None => {
            let plan = with_parameters(write.input.clone(), portal)?;
            let (plan, context) = planned_in(&state, token.clone(), plan).await?;
            let mut rows = RowStream::run(Arc::clone(&plan), context)?;
            while !sink.failed() {
                let Some(batch) = token.run(rows.next()).await? else { break };
                sink.take(session.store_transaction(), batch)?;
            }
            Some(plan)
        }
    };
    sink.check_keys()?;
    if let Some((update, pairs)) = sink.pairs()? {
        let plan = over_rows(with_parameters(update.clone(), portal)?, &pairs)?;
        let (plan, context) = planned_in(&state, token.clone(), plan).await?;
        let mut rows = RowStream::run(plan, context)?;
        while !sink.failed() {
            let Some(batch) = token.run(rows.next()).await? else { break };
            sink.update_in_the_way(session.store_transaction(), &batch)?;
        }
        sink.check_updated_keys()?;
    }
    let (count, rows, kept) = sink.finish(session.store_transaction())?;
    if let Some(named) = named {
        named.record(session, write.table.oid, count as u64)?;
    }
    let outcome = match &write.returning {
        None => Outcome::Done(format!("{} {count}", write.kind.tag())),
        Some(returning) => {
            let over = over_rows(with_parameters(returning.clone(), portal)?, &[(Role::Written, rows)])?;
            let (over, context) = planned_in(&state, token.clone(), over).await?;
            let returned = Kept::new(&state.runtime_env().memory_pool, "rows of RETURNING");
            portal.rows = Some(token.run(collected(RowStream::run(over, context)?, returned)).await?);
            drop(kept);
            Outcome::Rows(write.kind.tag())
        }
    };
    Ok(Ran { outcome, count, plan })
}

/// What a write did when it was sent before under the same token.
fn repeated(session: &mut Session, write: &WritePlan, named: &mut Token) -> Result<Option<Ran>, PgError> {
    if write.returning.is_some() {
        return Err(PgError::unsupported("RETURNING cannot be used with an idempotency token"));
    }
    let Some(count) = named.used(session, write.table.oid)? else { return Ok(None) };
    session.notice(named.notice());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(Some(Ran { outcome: Outcome::Done(format!("{} {count}", write.kind.tag())), count, plan: None }))
}

/// 25006 in a read-only transaction, but for temporary tables.
fn begin(session: &mut Session, tables: &[Arc<TableObject>], verb: &str) -> Result<(), PgError> {
    let temporary = session.temporary_schema().map(|schema| schema.oid);
    let permanent = tables.iter().any(|table| Some(table.schema) != temporary);
    let transaction = session.ensure_transaction();
    transaction.queried = true;
    if transaction.read_only && permanent {
        return Err(PgError::new(
            sqlstate::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {verb} in a read-only transaction"),
        ));
    }
    Ok(())
}

/// RETURNING runs to its end before the first row is sent: an error in it must undo the write.
async fn collected(mut rows: RowStream, kept: Kept) -> Result<RowStream, PgError> {
    let schema = rows.schema();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        kept.rows(&batch)?;
        batches.push(batch);
    }
    Ok(RowStream::of_kept(schema, batches, kept))
}

/// TRUNCATE t, ...
pub(in crate::engine) fn truncate(session: &mut Session, truncate: &Truncate) -> Result<Outcome, PgError> {
    let view = session.read_view();
    let tables = truncate.table_names.iter().map(|table| truncated(&view, &table.name));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    begin(session, &tables, "TRUNCATE TABLE")?;
    for table in &tables {
        session.store_transaction().truncate(table.oid).map_err(store_error)?;
    }
    if truncate.identity == Some(TruncateIdentityOption::Restart) {
        let tables: Vec<u32> = tables.iter().map(|table| table.oid).collect();
        return with_ddl(session, "TRUNCATE TABLE", |ddl| ddl.restart_owned(&tables));
    }
    Ok(Outcome::Done("TRUNCATE TABLE".to_owned()))
}

/// A table that TRUNCATE names; 42809 for what is none.
fn truncated(view: &ReadView, name: &ObjectName) -> Result<Arc<TableObject>, PgError> {
    let (schema, name) = ast::split_name(name)?;
    match view.catalog.resolve(&view.search_path, schema.as_deref(), &name)? {
        Relation::Table(table) => {
            rights::must_allow_on_table(&view.catalog, &view.vars.current_user, 'D', &table)?;
            table.must_be_writable()?;
            Ok(table)
        }
        Relation::View(_) | Relation::Sequence(_) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table")))
        }
        Relation::System(_, name) => Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        )),
    }
}
