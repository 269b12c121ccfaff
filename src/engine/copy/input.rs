//! COPY FROM: text to columns, defaults, checks, transaction.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use tributary_pg::copy::{BinaryReader, CopyContext, CopyFormat, CopyOptions, CopyReader, JsonReader, UnknownMember};
use tributary_pg::error::PgError;
use tributary_pg::{InputBuilder, sqlstate, types};

use super::parquet::{OtherColumns, ParquetRows};
use crate::dialect::{CopyPlace, CopyStatement, CopySubject};
use crate::engine::activity::CopyProgress;
use crate::engine::catalog::{ColumnObject, Relation, TableObject, rights};
use crate::engine::constraints::{RowChecks, schema_name};
use crate::engine::dml::{self, Kept, keys::Keys};
use crate::engine::foreign::Wanted;
use crate::engine::idempotency::Token;
use crate::engine::pg::map_error;
use crate::engine::planner::ReadView;
use crate::engine::session::Session;
use crate::engine::statement::transactions;
use crate::engine::store_error::store_error;

/// Rows that are parsed, checked and handed on together.
const BATCH_ROWS: usize = 8_192;

/// A COPY FROM that takes data.
pub struct CopyIn {
    /// Columns of the input.
    pub column_count: usize,
    /// Binary format.
    pub binary: bool,
    table: Arc<TableObject>,
    reader: Reader,
    /// The columns of the input, and whether they are all of the table's.
    wanted: Vec<(String, Wanted)>,
    all: bool,
    /// Pays for bytes that wait for the rest of their row.
    waiting: Kept,
    builders: Vec<InputBuilder>,
    /// Of each column of the table: the field it comes from, or its default.
    sources: Vec<Source>,
    schema: SchemaRef,
    condition: Option<Arc<dyn PhysicalExpr>>,
    checks: RowChecks,
    keys: Keys,
    /// Line and text of the rows being collected, for CONTEXT.
    lines: Lines,
    rows: u64,
    progress: Arc<CopyProgress>,
    /// Its token, and the rows it has loaded before if the token is known.
    named: Option<Token>,
    repeated: Option<u64>,
}

/// The kinds of input.
enum Reader {
    Text(CopyReader),
    Binary(BinaryReader),
    Json(JsonReader),
    /// Whole columns of a file; see [`CopyIn::read_parquet`].
    Parquet(CopyContext),
}

impl Reader {
    fn new(
        options: &CopyOptions,
        table: &str,
        columns: &[(String, types::TypeRef)],
        all: bool,
    ) -> Result<Self, PgError> {
        let names = || columns.iter().map(|(name, _)| name.clone()).collect();
        // Whoever lists columns has seen the others.
        let unknown = if all { UnknownMember::Refuse } else { UnknownMember::Ignore };
        Ok(match options.format {
            CopyFormat::Text | CopyFormat::Csv => Self::Text(CopyReader::new(options, table, names())?),
            CopyFormat::Binary => Self::Binary(BinaryReader::new(table, names())),
            CopyFormat::Json => Self::Json(JsonReader::new(table, columns.to_vec(), unknown)),
            CopyFormat::Parquet => Self::Parquet(CopyContext::new(table)),
        })
    }

    fn context(&self) -> &CopyContext {
        match self {
            Self::Text(reader) => reader.context(),
            Self::Binary(reader) => reader.context(),
            Self::Json(reader) => reader.context(),
            Self::Parquet(context) => context,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Text(reader) => reader.push(bytes),
            Self::Binary(reader) => reader.push(bytes),
            Self::Json(reader) => reader.push(bytes),
            Self::Parquet(_) => {}
        }
    }

    fn buffered(&self) -> usize {
        match self {
            Self::Text(reader) => reader.buffered(),
            Self::Binary(reader) => reader.buffered(),
            Self::Json(reader) => reader.buffered(),
            Self::Parquet(_) => 0,
        }
    }

    fn end_input(&mut self) {
        match self {
            Self::Text(reader) => reader.end_input(),
            Self::Binary(reader) => reader.end_input(),
            Self::Json(reader) => reader.end_input(),
            Self::Parquet(_) => {}
        }
    }

    /// Puts the next row's values into the builders, and its line into `lines`; false when there is none.
    fn read(&mut self, builders: &mut [InputBuilder], lines: &mut Lines) -> Result<bool, PgError> {
        match self {
            Self::Text(reader) => read_text(reader, builders, lines),
            Self::Binary(reader) => read_binary(reader, builders, lines),
            Self::Json(reader) => read_json(reader, builders, lines),
            Self::Parquet(_) => Ok(false),
        }
    }
}

fn read_text(reader: &mut CopyReader, builders: &mut [InputBuilder], lines: &mut Lines) -> Result<bool, PgError> {
    let Some(row) = reader.next_row()? else { return Ok(false) };
    for (index, builder) in builders.iter_mut().enumerate() {
        match row.field(index) {
            None => builder.append_null(),
            Some(text) => {
                if let Err(error) = builder.append(text) {
                    let (line, text) = (row.line, text.to_owned());
                    let name = &reader.columns()[index];
                    return Err(reader.context().value_error(error, line, name, Some(&text)));
                }
            }
        }
    }
    lines.push(row.line, row.raw);
    Ok(true)
}

fn read_json(reader: &mut JsonReader, builders: &mut [InputBuilder], lines: &mut Lines) -> Result<bool, PgError> {
    let Some(row) = reader.next_row()? else { return Ok(false) };
    let mut failed = None;
    for (index, (builder, field)) in builders.iter_mut().zip(row.fields).enumerate() {
        match field {
            None => builder.append_null(),
            Some(text) => {
                if let Err(error) = builder.append(text) {
                    failed = Some((index, text.clone(), error));
                    break;
                }
            }
        }
    }
    let line = row.line;
    if let Some((index, text, error)) = failed {
        return Err(reader.context().value_error(error, line, &reader.columns()[index], Some(&text)));
    }
    lines.push(line, row.raw);
    Ok(true)
}

fn read_binary(reader: &mut BinaryReader, builders: &mut [InputBuilder], lines: &mut Lines) -> Result<bool, PgError> {
    let Some((line, row)) = reader.next_row()? else { return Ok(false) };
    let mut failed = None;
    for (index, (builder, field)) in builders.iter_mut().zip(row).enumerate() {
        match field {
            None => builder.append_null(),
            Some(bytes) => {
                if let Err(error) = builder.append_binary(bytes) {
                    failed = Some((index, error));
                    break;
                }
            }
        }
    }
    if let Some((index, error)) = failed {
        let context = format!("{}, column {}", reader.context().line(line), reader.columns()[index]);
        return Err(error.context(context));
    }
    lines.push(line, "");
    Ok(true)
}

/// Where a column's values come from.
enum Source {
    Field(usize),
    Default(Arc<dyn PhysicalExpr>),
}

/// The lines of the rows of a batch.
#[derive(Default)]
struct Lines {
    numbers: Vec<u64>,
    text: String,
    ends: Vec<usize>,
    with_text: bool,
}

impl Lines {
    fn push(&mut self, number: u64, text: &str) {
        self.numbers.push(number);
        if self.with_text {
            self.text.push_str(text);
            self.ends.push(self.text.len());
        }
    }

    fn text_of(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row]]
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.text.clear();
        self.ends.clear();
    }
}

impl CopyIn {
    pub(super) fn start(session: &mut Session, copy: &CopyStatement, options: &CopyOptions) -> Result<Self, PgError> {
        if session.ensure_transaction().read_only {
            return Err(PgError::new(
                sqlstate::READ_ONLY_SQL_TRANSACTION,
                "cannot execute COPY FROM in a read-only transaction",
            ));
        }
        let CopySubject::Table { schema, name, columns } = &copy.subject else {
            return Err(PgError::internal("COPY FROM without a table"));
        };
        let view = session.read_view();
        let state = session.state(&view);
        let table = target(&view, schema.as_deref(), name)?;
        let all = columns.is_empty();
        let columns = named_columns(&table, columns)?;
        if options.format == CopyFormat::Parquet && copy.place == CopyPlace::Client {
            return Err(PgError::unsupported("COPY FROM STDIN in Parquet format is not supported").hint(
                "A Parquet file is read from its end: put it where the server finds it and use COPY FROM 'file'.",
            ));
        }
        let typed = columns.iter().map(|column| {
            let ty = types::by_oid(column.type_oid).ok_or_else(|| types::missing_oid(column.type_oid))?;
            Ok((column.name.clone(), ty))
        });
        let typed = typed.collect::<Result<Vec<_>, PgError>>()?;
        let style = session.text_style();
        let now_us = view.vars.transaction_started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let binary = options.format == CopyFormat::Binary;
        let builders = columns
            .iter()
            .zip(&typed)
            .map(|(column, (_, ty))| InputBuilder::for_type(ty, column.typmod, &style, now_us));
        let wanted =
            columns.iter().map(|column| Ok((column.name.clone(), Wanted::new(column.type_oid, column.typmod)?)));
        let wanted = wanted.collect::<Result<Vec<_>, PgError>>()?;
        let missing: Vec<&ColumnObject> =
            table.live_columns().filter(|column| !columns.iter().any(|given| given.attnum == column.attnum)).collect();
        let mut defaults =
            dml::row_expressions(&state, &view, &table, dml::default_query(&table, &missing)?)?.into_iter();
        let sources =
            table.live_columns().map(|column| match columns.iter().position(|given| given.attnum == column.attnum) {
                Some(place) => Ok(Source::Field(place)),
                None => defaults.next().map(Source::Default).ok_or_else(|| PgError::internal("a default is missing")),
            });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let condition = match &copy.condition {
            Some(expr) => dml::row_expressions(&state, &view, &table, dml::rows_query(&table, expr))?.pop(),
            None => None,
        };
        let checks = RowChecks::new(&state, &view, &table)?;
        let mut named = Token::take(session)?;
        let repeated = match &mut named {
            Some(named) => named.used(session, table.oid)?,
            None => None,
        };
        let keys = Keys::new(&view, &table, schema_name(&view, &table), None, &state.runtime_env().memory_pool)?;
        let nullable = checks.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Self {
            column_count: columns.len(),
            binary,
            reader: Reader::new(options, &table.name, &typed, all)?,
            wanted,
            all,
            waiting: Kept::new(&state.runtime_env().memory_pool, "a row of COPY"),
            builders: builders.collect::<Result<_, PgError>>()?,
            sources,
            schema: Arc::new(Schema::new(nullable.collect::<Vec<_>>())),
            condition,
            lines: Lines {
                with_text: !binary && options.format != CopyFormat::Parquet && !checks.is_empty(),
                ..Lines::default()
            },
            checks,
            keys,
            rows: 0,
            progress: super::shown_progress(session, table.oid, copy),
            named,
            repeated,
            table,
        })
    }

    /// How far it is, as others see it.
    pub(super) fn progress(&self) -> &CopyProgress {
        &self.progress
    }

    /// Where the input stands, for CONTEXT.
    pub fn context(&self) -> String {
        self.reader.context().line(self.rows + 1)
    }

    /// Takes the next bytes, cut anywhere.
    pub async fn push(&mut self, session: &mut Session, bytes: &[u8]) -> Result<(), PgError> {
        if self.repeated.is_some() {
            return Ok(());
        }
        self.progress.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.reader.push(bytes);
        self.read(session)?;
        // What is left is the beginning of a row.
        self.waiting.keep(self.reader.buffered())
    }

    /// Takes all of a Parquet file and gives the command tag; `shown` is its name in messages.
    pub(super) async fn read_parquet(
        mut self,
        session: &mut Session,
        file: std::fs::File,
        shown: &str,
    ) -> Result<String, PgError> {
        if self.repeated.is_none() {
            let others = if self.all { OtherColumns::Refuse } else { OtherColumns::Skip };
            let mut rows = ParquetRows::open(file, shown, self.wanted.clone(), others)?;
            let mut before = 0;
            while let Some((_, columns)) = rows.next()? {
                self.lines.numbers.extend(before + 1..=rows.row_count());
                before = rows.row_count();
                self.progress.bytes.store(rows.bytes_read(), Ordering::Relaxed);
                self.flush_columns(session, columns)?;
            }
        }
        self.finish(session).await
    }

    /// The data is complete: writes the rest and gives the command tag.
    pub async fn finish(mut self, session: &mut Session) -> Result<String, PgError> {
        if let (Some(named), Some(rows)) = (&self.named, self.repeated) {
            session.notice(named.notice());
            return Ok(format!("COPY {rows}"));
        }
        self.reader.end_input();
        self.read(session)?;
        self.flush(session)?;
        match self.named.take() {
            Some(named) => self.finish_named(session, named).await,
            None => Ok(format!("COPY {}", self.rows)),
        }
    }

    /// Records the token. A COPY that commits by itself does so here: if another was faster with the same token, its data
    /// is not there to be read again, but it is not needed either.
    async fn finish_named(&self, session: &mut Session, mut named: Token) -> Result<String, PgError> {
        named.record(session, self.table.oid, self.rows)?;
        let done = format!("COPY {}", self.rows);
        if !session.commits_alone() {
            return Ok(done);
        }
        let Err(error) = transactions::commit(session).await else { return Ok(done) };
        if error.code == sqlstate::T_R_SERIALIZATION_FAILURE
            && let Some(rows) = named.used(session, self.table.oid)?
        {
            session.notice(named.notice());
            return Ok(format!("COPY {rows}"));
        }
        Err(error)
    }

    fn read(&mut self, session: &mut Session) -> Result<(), PgError> {
        loop {
            while self.lines.numbers.len() < BATCH_ROWS {
                if !self.reader.read(&mut self.builders, &mut self.lines)? {
                    return Ok(());
                }
            }
            self.flush(session)?;
        }
    }

    /// Checks the rows collected and puts them into the transaction.
    fn flush(&mut self, session: &mut Session) -> Result<(), PgError> {
        if self.lines.numbers.is_empty() {
            return Ok(());
        }
        let given = self.builders.iter_mut().map(InputBuilder::finish).collect();
        self.flush_columns(session, given)
    }

    fn flush_columns(&mut self, session: &mut Session, given: Vec<ArrayRef>) -> Result<(), PgError> {
        session.token().check()?;
        let rows = self.assemble(&given)?;
        let rows = match &self.condition {
            None => rows,
            Some(condition) => {
                let passes = condition.evaluate(&rows).and_then(|value| value.into_array(rows.num_rows()));
                let passes = passes.map_err(map_error)?;
                let passes = match passes.as_boolean() {
                    known if known.null_count() == 0 => known.clone(),
                    unknown => prep_null_mask_filter(unknown),
                };
                let mut keep = passes.values().iter();
                // Lines of rows left out are of no interest any more.
                let numbers = std::mem::take(&mut self.lines.numbers);
                let kept: Vec<usize> = (0..numbers.len()).filter(|_| keep.next().unwrap_or(false)).collect();
                self.lines = self.lines.only(&numbers, &kept);
                let left = filter_record_batch(&rows, &passes).map_err(arrow_error)?;
                self.progress.excluded.fetch_add((rows.num_rows() - left.num_rows()) as u64, Ordering::Relaxed);
                left
            }
        };
        if let Some((row, error)) = self.checks.first_failure(&rows)? {
            let (context, number) = (self.reader.context(), self.lines.numbers[row]);
            let line = match self.lines.with_text {
                true => context.line_text(number, self.lines.text_of(row).as_bytes()),
                false => context.line(number),
            };
            return Err(error.context(line));
        }
        let first = self.keys.row_count();
        if let Some(conflict) = self.keys.check(session.store_transaction(), &rows)?.first() {
            let line = self.reader.context().line(self.lines.numbers[conflict.row - first]);
            return Err(self.keys.error(conflict).context(line));
        }
        self.rows += rows.num_rows() as u64;
        self.progress.rows.store(self.rows, Ordering::Relaxed);
        self.lines.clear();
        session.store_transaction().append(self.table.oid, rows).map_err(store_error)
    }

    fn assemble(&self, given: &[ArrayRef]) -> Result<RecordBatch, PgError> {
        let count = self.lines.numbers.len();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let bare =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).map_err(arrow_error)?;
        let columns = self.sources.iter().map(|source| match source {
            Source::Field(index) => Ok(Arc::clone(&given[*index])),
            Source::Default(expr) => expr.evaluate(&bare).and_then(|value| value.into_array(count)).map_err(map_error),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(arrow_error)
    }
}

impl Lines {
    fn only(&self, numbers: &[u64], kept: &[usize]) -> Self {
        let mut lines = Self { with_text: self.with_text, ..Self::default() };
        for &row in kept {
            lines.push(numbers[row], if self.with_text { self.text_of(row) } else { "" });
        }
        lines
    }
}

impl fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn").field("table", &self.table.name).field("rows", &self.rows).finish_non_exhaustive()
    }
}

fn target(view: &ReadView, schema: Option<&str>, name: &str) -> Result<Arc<TableObject>, PgError> {
    match view.catalog.resolve(&view.search_path, schema, name)? {
        Relation::Table(table) => {
            rights::must_allow_on_table(&view.catalog, &view.vars.current_user, 'a', &table)?;
            table.must_be_writable()?;
            Ok(table)
        }
        Relation::View(view) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot copy to view \"{}\"", view.name))
                .hint("To enable copying to a view, provide an INSTEAD OF INSERT trigger."))
        }
        Relation::Sequence(sequence) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot copy to sequence \"{}\"", sequence.name)))
        }
        Relation::System(_, name) => Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        )),
    }
}

/// The columns of a list, all without one; 42703, 42701.
pub(super) fn named_columns<'a>(table: &'a TableObject, names: &[String]) -> Result<Vec<&'a ColumnObject>, PgError> {
    if names.is_empty() {
        return Ok(table.live_columns().collect());
    }
    let mut columns: Vec<&ColumnObject> = Vec::with_capacity(names.len());
    for name in names {
        let column = table.live_columns().find(|column| column.name == *name);
        let column = column.ok_or_else(|| dml::unknown_column(table, name))?;
        if columns.iter().any(|known| known.attnum == column.attnum) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(PgError::new(sqlstate::DUPLICATE_COLUMN, message));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn arrow_error(error: arrow::error::ArrowError) -> PgError {
    PgError::internal(error.to_string())
}
