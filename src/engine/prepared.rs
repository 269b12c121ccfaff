//! What lies between a statement's text and its rows: the prepared statement, the portal, the outcome.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;
use datafusion::logical_expr::LogicalPlan;
use tributary_pg::error::PgError;

use super::copy::{CopyIn, CopyOut};
use super::dml::WritePlan;
use super::explain::ExplainPlan;
use super::row_stream::RowStream;
use crate::dialect::Statement;

/// One column of a result as RowDescription tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    /// Display name: PostgreSQL's, not the planner's.
    pub name: String,
    /// OID of the table a plain column comes from, else 0.
    pub table_oid: u32,
    /// Column number in that table, else 0.
    pub attnum: i16,
    /// Type.
    pub type_oid: u32,
    /// Bytes of the type, negative for variable ones.
    pub type_len: i16,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// Arrow field of the batches' column, with its `pg.*` metadata.
    pub field: FieldRef,
}

/// What an analyzed statement will do.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Rows of an analyzed plan.
    Query(LogicalPlan),
    /// Rows to write.
    Write(Arc<WritePlan>),
    /// A plan to show.
    Explain(Arc<ExplainPlan>),
    /// The statement itself says it all.
    Utility,
}

/// What an analysis is valid for; if any of it changed, the statement is analyzed again at bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependencies {
    pub catalog_version: u64,
    pub search_path: String,
    pub role: String,
    pub time_zone: String,
}

/// An analyzed statement.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The statement.
    pub statement: Statement,
    /// Parameter types, `$1` first.
    pub parameter_types: Vec<u32>,
    /// Types the client declared, 0 for none: needed to analyze again.
    pub declared: Vec<u32>,
    /// Columns of the rows it returns, `None` if it returns none.
    pub columns: Option<Vec<OutputColumn>>,
    /// When it was analyzed first.
    pub prepared_at: SystemTime,
    /// Made by SQL's PREPARE, not by the protocol.
    pub from_sql: bool,
    pub(super) action: Action,
    pub(super) dependencies: Dependencies,
}

/// Where a portal stands (the table of states of the extended protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortalState {
    /// Not run yet.
    New,
    /// Has rows left.
    Suspended,
    /// All rows are out.
    Done,
    /// Ran, and returns no rows: cannot run again.
    Spent,
}

/// A statement with its parameters: what Execute runs and FETCH reads.
#[derive(Debug)]
pub struct Portal {
    /// The statement.
    pub prepared: Arc<Prepared>,
    /// Where it stands.
    pub state: PortalState,
    /// Format codes its rows are sent in: none is text, one is for all columns, else one a column.
    pub result_formats: Vec<i16>,
    /// First word of the command tag, once it runs and returns rows.
    pub tag_word: &'static str,
    pub(super) parameters: Vec<ArrayRef>,
    /// The query's plan with the parameters in it, as the optimizer left it.
    pub(super) optimized: Option<LogicalPlan>,
    pub(super) rows: Option<RowStream>,
    /// The row a cursor is on, from 1; 0 is before the first.
    pub(super) position: i64,
    /// Rows a cursor keeps, if it keeps any.
    pub(super) kept: Option<Kept>,
    /// WITH HOLD.
    pub(super) hold: bool,
    /// Its transaction has committed: it lives until it is closed.
    pub(super) held: bool,
    /// BINARY.
    pub(super) binary: bool,
    /// Rows of a batch not yet given out.
    pub(super) left: Option<RecordBatch>,
}

/// Rows that a cursor has read and may need again.
#[derive(Debug)]
pub(super) struct Kept {
    /// May be read backwards.
    pub scroll: bool,
    pub batches: Vec<RecordBatch>,
    pub count: usize,
    pub bytes: usize,
    /// The query has no more.
    pub ended: bool,
    /// What they cost the query pool. Shared with those who send rows: the cursor may be closed before.
    pub paid: Arc<super::dml::Kept>,
}

impl Portal {
    pub(super) fn new(prepared: Arc<Prepared>, parameters: Vec<ArrayRef>) -> Self {
        Self {
            prepared,
            state: PortalState::New,
            result_formats: Vec::new(),
            tag_word: "SELECT",
            parameters,
            optimized: None,
            rows: None,
            position: 0,
            kept: None,
            hold: false,
            held: false,
            binary: false,
            left: None,
        }
    }

    /// The next rows, at most `rows_max` of them; `None` at the end. Nothing is collected: what a batch holds beyond
    /// the limit stays for the next call.
    pub(super) async fn next_rows(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, PgError> {
        let batch = loop {
            if let Some(left) = self.left.take() {
                break left;
            }
            let Some(rows) = self.rows.as_mut() else { return Ok(None) };
            match rows.next().await? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => break batch,
                None => {
                    self.rows = None;
                    return Ok(None);
                }
            }
        };
        if batch.num_rows() > rows_max {
            self.left = Some(batch.slice(rows_max, batch.num_rows() - rows_max));
            return Ok(Some(batch.slice(0, rows_max)));
        }
        Ok(Some(batch))
    }
}

/// What running a portal gives.
#[derive(Debug)]
pub enum Outcome {
    /// Rows wait in the portal: [`super::Session::fetch`] reads them. The word begins the command tag: `SELECT`,
    /// `INSERT 0`, `SHOW`; those in `COUNTED_TAGS` are followed by the number of rows.
    Rows(&'static str),
    /// Ran to its end; the command tag.
    Done(String),
    /// There was no statement in the text.
    Empty,
    /// The client must send data.
    CopyIn(Box<CopyIn>),
    /// Data follows.
    CopyOut(Box<CopyOut>),
}

/// Tag words that are followed by the row count.
pub const COUNTED_TAGS: [&str; 7] = ["SELECT", "INSERT 0", "UPDATE", "DELETE", "MERGE", "FETCH", "COPY"];

impl Outcome {
    /// The command tag of `rows` rows sent.
    pub fn row_tag(word: &'static str, rows: u64) -> String {
        if COUNTED_TAGS.contains(&word) { format!("{word} {rows}") } else { word.to_owned() }
    }
}
