//! Running a write: rows of its query, checked, into the transaction.
//!
//! What a failed statement has put into the transaction is never seen: outside a block the transaction is rolled back,
//! inside one nothing is accepted but its end or the return to a savepoint.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::sink::Sink;
use super::{WritePlan, returning, target};
use crate::dialect::sqlparser::ast::Truncate;
use crate::engine::prepared::{Action, Outcome, Portal};
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;
use crate::engine::statement::query::{start, with_parameters};
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
    for _ in 0..RERUNS_MAX {
        match once(session, portal, &write).await {
            Err(error) if error.code == sqlstate::T_R_SERIALIZATION_FAILURE && session.commits_alone() => {
                session.restart_store_transaction();
            }
            done => return done,
        }
    }
    once(session, portal, &write).await
}

async fn once(session: &mut Session, portal: &mut Portal, write: &WritePlan) -> Result<Outcome, PgError> {
    begin(session, write.kind.verb())?;
    let mut sink = Sink::new(session, write)?;
    let plan = with_parameters(write.input.clone(), portal)?;
    let mut rows = start(session, plan).await?;
    let token = session.token().clone();
    while !sink.failed() {
        let Some(batch) = token.run(rows.next()).await? else { break };
        sink.take(session.store_transaction(), batch)?;
    }
    let view = session.read_view();
    let context = session.state(&view).task_ctx();
    token.run(sink.check_keys(&context)).await?;
    let (count, rows) = sink.finish(session.store_transaction())?;
    let outcome = match &write.returning {
        None => Outcome::Done(format!("{} {count}", write.kind.tag())),
        Some(plan) => {
            let plan = returning::over_rows(with_parameters(plan.clone(), portal)?, rows)?;
            let rows = start(session, plan).await?;
            portal.rows = Some(token.run(collected(rows)).await?);
            Outcome::Rows(write.kind.tag())
        }
    };
    if session.commits_alone() {
        transactions::commit(session).await?;
    }
    Ok(outcome)
}

/// 25006 in a read-only transaction.
fn begin(session: &mut Session, verb: &str) -> Result<(), PgError> {
    let transaction = session.ensure_transaction();
    transaction.queried = true;
    if transaction.read_only {
        return Err(PgError::new(
            sqlstate::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {verb} in a read-only transaction"),
        ));
    }
    Ok(())
}

/// RETURNING runs to its end before the first row is sent: an error in it must undo the write.
async fn collected(mut rows: RowStream) -> Result<RowStream, PgError> {
    let schema = rows.schema();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    let all = arrow::compute::concat_batches(&schema, &batches);
    Ok(RowStream::of_batch(all.map_err(|error| PgError::internal(error.to_string()))?))
}

/// TRUNCATE t, ...
pub(in crate::engine) fn truncate(session: &mut Session, truncate: &Truncate) -> Result<Outcome, PgError> {
    begin(session, "TRUNCATE TABLE")?;
    let view = session.read_view();
    let tables = truncate.table_names.iter().map(|table| target(&view, &table.name));
    for table in tables.collect::<Result<Vec<_>, _>>()? {
        session.store_transaction().truncate(table.oid).map_err(store_error)?;
    }
    Ok(Outcome::Done("TRUNCATE TABLE".to_owned()))
}

/// The context in which helpers of a write run their scans.
pub(super) type Context = Arc<TaskContext>;
