//! DECLARE, FETCH, MOVE, CLOSE: portals with SQL names.
//!
//! A cursor that only reads forward streams, like any portal; MOVE drops what it passes. One that was declared with SCROLL or
//! WITH HOLD keeps the rows it has read (they are bounded), so it can be read backwards and outlive its transaction. Rows
//! that are kept, by the cursor or by FETCH until they are sent, are paid for from the query pool.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Analysis;
use crate::dialect::names::folded;
use crate::dialect::sqlparser::ast::{CloseCursor, Declare, Statement as Sql};
use crate::dialect::{Ast, FetchTo, Statement};
use crate::engine::dml;
use crate::engine::named::CursorEntry;
use crate::engine::prepared::{Kept, Outcome, Portal, Prepared};
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;
use crate::engine::transaction::TransactionStatus;

/// Bytes of rows one cursor may keep. Reason: they stay in memory until it is closed.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Rows asked of the query at a time while they are kept.
const BATCH_ROWS: usize = 8_192;

/// FETCH returns the cursor's columns.
pub(super) fn analyze_fetch(session: &mut Session, name: &str) -> Result<Analysis, PgError> {
    let portal = session.portal(name).map_err(|_| unknown(name))?;
    Ok(Analysis { columns: portal.prepared.columns.clone(), ..Analysis::utility() })
}

/// DECLARE c [BINARY] [[NO] SCROLL] CURSOR [WITH HOLD] FOR query.
pub(super) async fn declare(session: &mut Session, stmts: &[Declare], outer: &Prepared) -> Result<Outcome, PgError> {
    let syntax = || PgError::new(sqlstate::SYNTAX_ERROR, "syntax error in DECLARE");
    let [Declare { names, for_query: Some(query), hold, scroll, binary, .. }] = stmts else { return Err(syntax()) };
    let name = names.first().map(folded).ok_or_else(syntax)?;
    let (hold, scroll, binary) = (*hold == Some(true), *scroll == Some(true), *binary == Some(true));
    if !hold && session.transaction_status() == TransactionStatus::Idle {
        return Err(crate::engine::transaction::needs_block("DECLARE CURSOR"));
    }
    if session.has_portal(&name) {
        return Err(PgError::new(sqlstate::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
    }
    let inner = Statement {
        ast: Ast::Sql(Box::new(Sql::Query(query.clone()))),
        text: Arc::clone(&outer.statement.text),
        offset: outer.statement.offset,
    };
    let prepared = Arc::new(super::analyze(session, inner, &[])?);
    let mut portal = session.bind(&prepared, Vec::new()).await?;
    Box::pin(session.run(&mut portal)).await?;
    portal.hold = hold;
    portal.binary = binary;
    portal.kept = (scroll || hold).then(|| Kept {
        scroll,
        batches: Vec::new(),
        count: 0,
        bytes: 0,
        ended: false,
        paid: Arc::new(dml::Kept::new(session.engine().memory(), "rows of a cursor")),
    });
    session.store_portal(&name, portal)?;
    let entry = CursorEntry {
        statement: outer.statement.text.to_string(),
        holdable: hold,
        binary,
        scrollable: scroll,
        created_at: SystemTime::now(),
    };
    session.named().cursors.insert(name, entry);
    Ok(Outcome::Done("DECLARE CURSOR".to_owned()))
}

/// FETCH and MOVE.
pub(super) async fn fetch(
    session: &mut Session,
    portal: &mut Portal,
    name: &str,
    to: FetchTo,
    moves: bool,
) -> Result<Outcome, PgError> {
    let mut cursor = session.take_portal(name).map_err(|_| unknown(name))?;
    let read = read(session, &mut cursor, to, moves).await;
    let (schema, binary) = (schema_of(&cursor), cursor.binary);
    match &read {
        // Rows were lost on the way: whoever rolls back to a savepoint must not find a cursor that skips them.
        Err(error) if error.code != sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            session.close_portal(name);
        }
        _ => session.store_portal(name, cursor)?,
    }
    let passed = read?;
    if moves {
        return Ok(Outcome::Done(format!("MOVE {}", passed.count)));
    }
    let schema = passed.rows.first().map(RecordBatch::schema).or(schema).ok_or_else(|| unknown(name))?;
    portal.rows = Some(RowStream::of_kept(schema, passed.rows, passed.paid));
    if binary && portal.result_formats.is_empty() {
        portal.result_formats = vec![1];
    }
    Ok(Outcome::Rows("FETCH"))
}

fn schema_of(cursor: &Portal) -> Option<SchemaRef> {
    let columns = cursor.prepared.columns.as_ref()?;
    Some(Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>())))
}

/// Rows a cursor passed. MOVE only counts them.
struct Passed {
    count: usize,
    rows: Vec<RecordBatch>,
    paid: Arc<dml::Kept>,
}

impl Passed {
    fn new(session: &Session) -> Self {
        let paid = Arc::new(dml::Kept::new(session.engine().memory(), "rows of FETCH"));
        Self { count: 0, rows: Vec::new(), paid }
    }

    /// Rows that are paid for already.
    fn of(rows: Vec<RecordBatch>, paid: &Arc<dml::Kept>) -> Self {
        Self { count: rows.iter().map(RecordBatch::num_rows).sum(), rows, paid: Arc::clone(paid) }
    }
}

/// Moves the cursor past rows.
async fn read(session: &mut Session, cursor: &mut Portal, to: FetchTo, moves: bool) -> Result<Passed, PgError> {
    if cursor.kept.is_some() {
        return read_kept(session, cursor, to).await;
    }
    let position = cursor.position;
    let mut passed = Passed::new(session);
    // How many rows to pass, and whether only the last of them counts.
    let (wanted, last_only) = match to {
        FetchTo::Forward(count) if count > 0 => (count, false),
        FetchTo::Absolute(place) if place > position => (place - position, true),
        FetchTo::Relative(count) if count > 0 => (count, true),
        FetchTo::Forward(0) | FetchTo::Relative(0) | FetchTo::Absolute(0) if position == 0 => return Ok(passed),
        _ => return Err(backward()),
    };
    let mut seen = 0;
    while seen < wanted {
        let rows_max = usize::try_from(wanted - seen).unwrap_or(usize::MAX);
        let Some(batch) = session.fetch(cursor, rows_max).await? else { break };
        seen += batch.num_rows() as i64;
        if last_only {
            passed.count = usize::from(seen == wanted);
            passed.rows = if seen == wanted { vec![batch.slice(batch.num_rows() - 1, 1)] } else { Vec::new() };
            continue;
        }
        passed.count += batch.num_rows();
        if !moves {
            passed.paid.rows(&batch)?;
            passed.rows.push(batch);
        }
    }
    cursor.position = position.saturating_add(if seen < wanted { seen + 1 } else { seen });
    Ok(passed)
}

/// The same over rows that are kept: 0 is before the first row, one more than there are rows is behind the last.
async fn read_kept(session: &mut Session, cursor: &mut Portal, to: FetchTo) -> Result<Passed, PgError> {
    let position = cursor.position;
    let target = match to {
        FetchTo::Forward(count) | FetchTo::Relative(count) => position.saturating_add(count),
        FetchTo::Absolute(place) => place,
    };
    keep(session, cursor, if matches!(to, FetchTo::Absolute(..0)) { i64::MAX } else { target }).await?;
    let Some(kept) = &cursor.kept else { return Ok(Passed::new(session)) };
    let count = kept.count as i64;
    let place = match to {
        FetchTo::Absolute(place @ ..0) => (count + 1).saturating_add(place),
        _ => target,
    }
    .clamp(0, count + 1);
    let stays = place == position && (1..=count).contains(&place);
    if !kept.scroll && (place < position || stays) {
        return Err(backward());
    }
    let (first, last) = match to {
        FetchTo::Forward(rows) if rows > 0 => (position + 1, place.min(count)),
        FetchTo::Forward(rows) if rows < 0 => (place.max(1), position - 1),
        _ => (place, if place <= count { place } else { 0 }),
    };
    let mut passed = Passed::of(rows_between(kept, first.max(1), last), &kept.paid);
    if matches!(to, FetchTo::Forward(rows) if rows < 0) {
        passed = turned(session, passed)?;
    }
    cursor.position = place;
    Ok(passed)
}

/// Reads on until so many rows are kept, or all there are.
async fn keep(session: &mut Session, cursor: &mut Portal, wanted: i64) -> Result<(), PgError> {
    loop {
        let Some(kept) = &cursor.kept else { return Ok(()) };
        if kept.ended || kept.count as i64 >= wanted {
            return Ok(());
        }
        let batch = session.fetch(cursor, BATCH_ROWS).await?;
        let Some(kept) = cursor.kept.as_mut() else { return Ok(()) };
        match batch {
            None => kept.ended = true,
            Some(batch) => {
                kept.bytes += batch.get_array_memory_size();
                if kept.bytes > KEPT_BYTES_MAX {
                    let message = format!("a cursor keeps at most {} MB of rows", KEPT_BYTES_MAX >> 20);
                    let error = PgError::new(sqlstate::CONFIGURATION_LIMIT_EXCEEDED, message);
                    return Err(error.hint("Declare it without SCROLL and WITH HOLD: then it keeps none."));
                }
                kept.paid.rows(&batch)?;
                kept.count += batch.num_rows();
                kept.batches.push(batch);
            }
        }
    }
}

/// Keeps all rows of the cursors that outlive the transaction about to commit.
pub(in crate::engine) async fn hold(session: &mut Session) -> Result<(), PgError> {
    let names: Vec<String> = session.portals.iter().filter(|(_, one)| one.hold).map(|(name, _)| name.clone()).collect();
    for name in names {
        let mut cursor = session.take_portal(&name)?;
        let kept = keep(session, &mut cursor, i64::MAX).await;
        cursor.held = kept.is_ok();
        session.store_portal(&name, cursor)?;
        kept?;
    }
    Ok(())
}

/// Rows by number, from 1, both ends included.
fn rows_between(kept: &Kept, first: i64, last: i64) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    let mut before = 0_i64;
    for batch in &kept.batches {
        let here = batch.num_rows() as i64;
        let (from, to) = ((first - 1 - before).max(0), (last - before).min(here));
        if from < to {
            rows.push(batch.slice(from as usize, (to - from) as usize));
        }
        before += here;
    }
    rows
}

/// The same rows, last first: copies, which cost memory of their own.
fn turned(session: &Session, forward: Passed) -> Result<Passed, PgError> {
    let internal = |error: arrow::error::ArrowError| PgError::internal(error.to_string());
    let mut passed = Passed::new(session);
    for batch in forward.rows.into_iter().rev() {
        passed.paid.rows(&batch)?;
        let indices = UInt64Array::from_iter_values((0..batch.num_rows() as u64).rev());
        passed.rows.push(take_record_batch(&batch, &indices).map_err(internal)?);
    }
    Ok(Passed { count: forward.count, ..passed })
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
            let name = folded(name);
            if session.close_portal(&name) { Ok(Outcome::Done("CLOSE CURSOR".to_owned())) } else { Err(unknown(&name)) }
        }
    }
}

fn unknown(name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}
