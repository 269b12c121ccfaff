//! COPY TO: a running query, printed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use tributary_pg::binary::BinaryEncoder;
use tributary_pg::copy::{CopyFormat, CopyOptions, CopyWriter, binary};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_pg::text::{ColumnText, TextPrinter};

use super::input::named_columns;
use super::parquet::ParquetOut;
use crate::dialect::sqlparser::ast::{Query, Statement as Sql};
use crate::dialect::{CopyStatement, CopySubject};
use crate::engine::activity::CopyProgress;
use crate::engine::catalog::Relation;
use crate::engine::dml;
use crate::engine::planner::Planner;
use crate::engine::row_stream::RowStream;
use crate::engine::session::Session;
use crate::engine::statement::query;

/// Rows printed at a time. Reason: wide rows must not pile up before the client has taken them.
const CHUNK_ROWS: usize = 1_024;

/// A COPY TO STDOUT that gives data.
pub struct CopyOut {
    /// Columns of the output.
    pub column_count: usize,
    /// Binary format.
    pub binary: bool,
    rows: RowStream,
    left: Option<RecordBatch>,
    format: Format,
    columns: Vec<ColumnText>,
    started: bool,
    ended: bool,
    count: u64,
    progress: Arc<CopyProgress>,
}

/// How values and rows are written.
enum Format {
    Text(Vec<TextPrinter>, CopyWriter),
    Binary(Vec<BinaryEncoder>),
    /// The query's rows are JSON already.
    Json(TextPrinter),
    Parquet(Box<ParquetOut>),
}

/// Some rows of a COPY TO, as bytes; `ends` are the offsets at which rows end: one CopyData message each.
#[derive(Debug, Default)]
pub struct CopyChunk {
    /// Row after row.
    pub bytes: Vec<u8>,
    /// End of each row within `bytes`.
    pub ends: Vec<usize>,
}

/// Bytes of a message when rows do not divide them.
const PIECE_BYTES: usize = 64 << 10;

impl CopyChunk {
    /// Divides the bytes into messages of middling size.
    fn cut_evenly(&mut self) {
        let cuts = (1..=self.bytes.len() / PIECE_BYTES).map(|piece| piece * PIECE_BYTES);
        self.ends = cuts.filter(|cut| *cut < self.bytes.len()).collect();
        if !self.bytes.is_empty() {
            self.ends.push(self.bytes.len());
        }
    }
}

impl CopyOut {
    pub(super) async fn start(
        session: &mut Session,
        copy: &CopyStatement,
        options: &CopyOptions,
    ) -> Result<Self, PgError> {
        let view = session.read_view();
        let state = session.state(&view);
        let (query, relation, relid) = match &copy.subject {
            CopySubject::Query(query) => (query.as_ref().clone(), None, 0),
            CopySubject::Table { schema, name, columns } => {
                let relation = view.catalog.resolve(&view.search_path, schema.as_deref(), name)?;
                let relid = if let Relation::Table(table) = &relation { table.oid } else { 0 };
                (of_table(&relation, schema.as_deref(), name, columns)?, Some(name.as_str()), relid)
            }
        };
        if dml::writes(&Sql::Query(Box::new(query.clone()))) {
            return Err(PgError::unsupported("COPY of a statement that writes is not supported yet"));
        }
        let query = if options.format == CopyFormat::Json { dml::as_json(query) } else { query };
        let plan: LogicalPlan = Planner::new(&state, &view).plan(Sql::Query(Box::new(query)))?;
        let plan = query::analyzed(&state, plan)?;
        let described = crate::engine::pg::output_columns(&plan);
        let style = session.text_style();
        let column_count = described.len();
        let format = match options.format {
            CopyFormat::Binary => {
                let encoders = described.iter().map(|column| BinaryEncoder::for_field(&column.field));
                Format::Binary(encoders.collect::<Result<_, _>>()?)
            }
            CopyFormat::Parquet => Format::Parquet(Box::new(ParquetOut::new(&described, &style)?)),
            CopyFormat::Json => {
                let column = described.first().ok_or_else(|| PgError::internal("rows of JSON have a column"))?;
                Format::Json(TextPrinter::for_field(&column.field, &style)?)
            }
            CopyFormat::Text | CopyFormat::Csv => {
                let printers = described.iter().map(|column| TextPrinter::for_field(&column.field, &style));
                let printers = printers.collect::<Result<Vec<_>, _>>()?;
                let names = described.into_iter().map(|column| column.name).collect();
                Format::Text(printers, CopyWriter::new(options, relation, names)?)
            }
        };
        Ok(Self {
            column_count,
            binary: matches!(options.format, CopyFormat::Binary | CopyFormat::Parquet),
            rows: query::start(session, plan).await?,
            left: None,
            columns: (0..column_count).map(|_| ColumnText::new()).collect(),
            format,
            started: false,
            ended: false,
            count: 0,
            progress: super::shown_progress(session, relid, copy),
        })
    }

    /// The next rows, `None` at the end.
    pub async fn next(&mut self, session: &mut Session) -> Result<Option<CopyChunk>, PgError> {
        let chunk = self.next_chunk(session).await?;
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.bytes.len() as u64);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.rows.store(self.count, Ordering::Relaxed);
        Ok(chunk)
    }

    async fn next_chunk(&mut self, session: &mut Session) -> Result<Option<CopyChunk>, PgError> {
        let mut chunk = CopyChunk::default();
        if self.ended {
            return Ok(None);
        }
        if !std::mem::replace(&mut self.started, true) {
            match &self.format {
                Format::Text(_, writer) => {
                    if writer.write_header(&mut chunk.bytes) {
                        chunk.ends.push(chunk.bytes.len());
                        return Ok(Some(chunk));
                    }
                }
                // Goes out with the first row.
                Format::Binary(_) => binary::write_header(&mut chunk.bytes),
                Format::Json(_) | Format::Parquet(_) => {}
            }
        }
        let token = session.token().clone();
        let batch = loop {
            match self.left.take() {
                Some(batch) if batch.num_rows() > 0 => break batch,
                _ => match token.run(self.rows.next()).await? {
                    Some(batch) => self.left = Some(batch),
                    None => {
                        self.ended = true;
                        match &mut self.format {
                            Format::Binary(_) => binary::write_trailer(&mut chunk.bytes),
                            Format::Parquet(out) => chunk.bytes = out.finish()?,
                            Format::Text(..) | Format::Json(_) => return Ok(None),
                        }
                        chunk.cut_evenly();
                        return Ok(Some(chunk));
                    }
                },
            }
        };
        if let Format::Parquet(out) = &mut self.format {
            self.left = None;
            self.count += batch.num_rows() as u64;
            chunk.bytes = out.write(&batch)?;
            chunk.cut_evenly();
            return Ok(Some(chunk));
        }
        let count = batch.num_rows().min(CHUNK_ROWS);
        let rows = batch.slice(0, count);
        self.left = Some(batch.slice(count, batch.num_rows() - count));
        for (index, (column, text)) in rows.columns().iter().zip(&mut self.columns).enumerate() {
            text.clear();
            match &self.format {
                Format::Text(printers, _) => printers[index].print(column, text)?,
                Format::Binary(encoders) => encoders[index].encode(column, text)?,
                Format::Json(printer) => printer.print(column, text)?,
                Format::Parquet(_) => {}
            }
        }
        for row in 0..count {
            match &self.format {
                Format::Text(_, writer) => writer.write_row(&self.columns, row, &mut chunk.bytes),
                Format::Binary(_) => binary::write_row(&self.columns, row, &mut chunk.bytes),
                Format::Json(_) => {
                    chunk.bytes.extend_from_slice(self.columns[0].value(row).unwrap_or_default());
                    chunk.bytes.push(b'\n');
                }
                Format::Parquet(_) => {}
            }
            chunk.ends.push(chunk.bytes.len());
        }
        self.count += count as u64;
        Ok(Some(chunk))
    }

    /// The command tag, once all rows are out.
    pub fn tag(&self) -> String {
        format!("COPY {}", self.count)
    }
}

fn of_table(relation: &Relation, schema: Option<&str>, name: &str, columns: &[String]) -> Result<Query, PgError> {
    match relation {
        Relation::View(_) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot copy from view \"{name}\""))
                .hint("Try the COPY (SELECT ...) TO variant."))
        }
        Relation::Sequence(_) => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot copy from sequence \"{name}\"")))
        }
        Relation::Table(table) if table.external.is_some() => {
            Err(PgError::new(sqlstate::WRONG_OBJECT_TYPE, format!("cannot copy from foreign table \"{name}\""))
                .hint("Try the COPY (SELECT ...) TO variant."))
        }
        Relation::Table(table) => {
            let names: Vec<&str> =
                named_columns(table, columns)?.into_iter().map(|column| column.name.as_str()).collect();
            Ok(dml::table_query(schema, name, Some(&names)))
        }
        Relation::System(..) => {
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            Ok(dml::table_query(schema, name, (!names.is_empty()).then_some(&names)))
        }
    }
}

impl fmt::Debug for CopyOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOut").field("rows", &self.count).finish_non_exhaustive()
    }
}
