//! DECLARE, FETCH, CLOSE: portals with SQL names, read forward.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Analysis;
use crate::dialect::sqlparser::ast::{CloseCursor, Declare, FetchDirection, Ident, Statement as Sql, Value};
use crate::dialect::{Ast, Statement};
use crate::engine::prepared::{Outcome, Portal, Prepared};
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;
use crate::engine::transaction::TransactionStatus;

/// FETCH returns the cursor's columns.
pub(super) fn analyze_fetch(session: &mut Session, name: &Ident) -> Result<Analysis, PgError> {
    let portal = session.portal(&name.value).map_err(|_| unknown(name))?;
    Ok(Analysis { columns: portal.prepared.columns.clone(), ..Analysis::utility() })
}

/// DECLARE c CURSOR FOR query.
pub(super) async fn declare(session: &mut Session, stmts: &[Declare], outer: &Prepared) -> Result<Outcome, PgError> {
    let [Declare { names, for_query: Some(query), hold, scroll, .. }] = stmts else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error in DECLARE"));
    };
    let Some(name) = names.first() else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error in DECLARE"));
    };
    if *hold == Some(true) || *scroll == Some(true) {
        return Err(PgError::unsupported("WITH HOLD and SCROLL cursors are not supported"));
    }
    if session.transaction_status() == TransactionStatus::Idle {
        return Err(crate::engine::transaction::needs_block("DECLARE CURSOR"));
    }
    if session.has_portal(&name.value) {
        return Err(PgError::new(sqlstate::DUPLICATE_CURSOR, format!("cursor \"{}\" already exists", name.value)));
    }
    let inner = Statement {
        ast: Ast::Sql(Box::new(Sql::Query(query.clone()))),
        text: Arc::clone(&outer.statement.text),
        offset: outer.statement.offset,
    };
    let prepared = Arc::new(super::analyze(session, inner, &[])?);
    let mut portal = session.bind(&prepared, Vec::new()).await?;
    Box::pin(session.run(&mut portal)).await?;
    session.store_portal(&name.value, portal)?;
    Ok(Outcome::Done("DECLARE CURSOR".to_owned()))
}

/// FETCH [n | ALL] [FROM] c, forward only.
pub(super) async fn fetch(
    session: &mut Session,
    portal: &mut Portal,
    name: &Ident,
    direction: &FetchDirection,
) -> Result<Outcome, PgError> {
    let rows_max = rows_wanted(direction)?;
    let mut cursor = session.take_portal(&name.value).map_err(|_| unknown(name))?;
    let rows = collect(session, &mut cursor, rows_max).await;
    let schema = cursor.prepared.columns.as_ref().map(|columns| {
        Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()))
    });
    session.store_portal(&name.value, cursor)?;
    let rows = rows?;
    let schema = rows.first().map(RecordBatch::schema).or(schema).ok_or_else(|| unknown(name))?;
    let batch = concat_batches(&schema, &rows).map_err(|error| PgError::internal(error.to_string()))?;
    portal.rows = Some(RowStream::of_batch(batch));
    Ok(Outcome::Rows("FETCH"))
}

async fn collect(session: &mut Session, cursor: &mut Portal, rows_max: usize) -> Result<Vec<RecordBatch>, PgError> {
    let mut rows = Vec::new();
    let mut wanted = rows_max;
    while wanted > 0 {
        let Some(batch) = session.fetch(cursor, wanted).await? else { break };
        wanted -= batch.num_rows();
        rows.push(batch);
    }
    Ok(rows)
}

fn rows_wanted(direction: &FetchDirection) -> Result<usize, PgError> {
    let count = |value: &Value| match value {
        Value::Number(number, _) => number.parse::<usize>().map_err(|_| backward()),
        _ => Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error in FETCH")),
    };
    match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Ok(1),
        FetchDirection::Count { limit } => count(&limit.value),
        FetchDirection::Forward { limit: Some(limit) } => count(&limit.value),
        FetchDirection::All | FetchDirection::ForwardAll => Ok(usize::MAX),
        _ => Err(backward()),
    }
}

fn backward() -> PgError {
    PgError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
        .hint("Declare it with SCROLL option to enable backward scan.")
}

/// CLOSE c | ALL.
pub(super) fn close(session: &mut Session, cursor: &CloseCursor) -> Result<Outcome, PgError> {
    match cursor {
        CloseCursor::All => {
            session.close_all_portals();
            Ok(Outcome::Done("CLOSE CURSOR ALL".to_owned()))
        }
        CloseCursor::Specific { name } => {
            if session.close_portal(&name.value) {
                Ok(Outcome::Done("CLOSE CURSOR".to_owned()))
            } else {
                Err(unknown(name))
            }
        }
    }
}

fn unknown(name: &Ident) -> PgError {
    PgError::new(sqlstate::INVALID_CURSOR_NAME, format!("cursor \"{}\" does not exist", name.value))
}
