//! COPY in Parquet format.
//!
//! Out: rows are written in groups of at most 131,072 as they come, so memory is one group; types other programs know stay
//! what they are, all others (interval, uuid, numeric without or with many digits, ...) become text. In: columns are found
//! by name, converted by [`foreign`], and a value that does not fit is named by row and column. A damaged file is an
//! error, never more. Does not: read from the client, because a Parquet file is read from its end.

use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;
use tributary_pg::style::TextStyle;
use tributary_pg::text::{ColumnText, TextPrinter};

use crate::engine::foreign::{self, Wanted};
use crate::engine::prepared::OutputColumn;

/// Rows of a group. Reason: readers that skip groups by their bounds skip in these steps.
const GROUP_ROWS_MAX: usize = 131_072;
/// Encoded bytes of a group that wait for its end.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Rows read at a time.
const BATCH_ROWS: usize = 8_192;

/// Bytes the writer has made and nobody has taken yet.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<u8>>>);

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows on their way into a Parquet file.
pub(super) struct ParquetOut {
    /// `None` once finished.
    writer: Option<ArrowWriter<Made>>,
    made: Made,
    schema: SchemaRef,
    /// Printers of the columns that become text.
    printers: Vec<Option<TextPrinter>>,
}

impl ParquetOut {
    /// For rows of these columns; 42701 if two have one name.
    pub(super) fn new(columns: &[OutputColumn], style: &TextStyle) -> PgResult<Self> {
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        let mut printers = Vec::with_capacity(columns.len());
        for column in columns {
            if fields.iter().any(|known| *known.name() == column.name) {
                let message = format!("column name \"{}\" specified more than once", column.name);
                return Err(PgError::new(sqlstate::DUPLICATE_COLUMN, message)
                    .hint("A Parquet file needs names for its columns: add aliases."));
            }
            let kept = foreign::portable(column.field.data_type());
            let data_type = if kept { column.field.data_type().clone() } else { DataType::Utf8View };
            fields.push(Field::new(&column.name, data_type, true));
            printers.push(if kept { None } else { Some(TextPrinter::for_field(&column.field, style)?) });
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .set_created_by(format!("tributary version {}", env!("CARGO_PKG_VERSION")))
            .build();
        let made = Made::default();
        let writer = ArrowWriter::try_new(made.clone(), Arc::clone(&schema), Some(properties)).map_err(internal)?;
        Ok(Self { writer: Some(writer), made, schema, printers })
    }

    /// Takes rows; what bytes that gives.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> PgResult<Vec<u8>> {
        let columns = rows.columns().iter().zip(&self.printers).zip(self.schema.fields());
        let columns = columns.map(|((column, printer), field)| match printer {
            None => retyped(column, field.data_type()),
            Some(printer) => {
                let mut text = ColumnText::new();
                printer.print(column.as_ref(), &mut text)?;
                let texts: StringViewArray = (0..column.len()).map(|row| text.text(row)).collect();
                Ok(Arc::new(texts) as ArrayRef)
            }
        });
        let columns = columns.collect::<PgResult<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| PgError::internal(error.to_string()))?;
        if let Some(writer) = &mut self.writer {
            writer.write(&batch).map_err(internal)?;
            if writer.in_progress_size() >= GROUP_BYTES_MAX {
                writer.flush().map_err(internal)?;
            }
        }
        Ok(self.take())
    }

    /// The end of the file.
    pub(super) fn finish(&mut self) -> PgResult<Vec<u8>> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(internal)?;
        }
        Ok(self.take())
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.made.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lists may name their items otherwise.
fn retyped(column: &ArrayRef, data_type: &DataType) -> PgResult<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    arrow::compute::cast(column, data_type).map_err(|error| PgError::internal(error.to_string()))
}

fn internal(error: ParquetError) -> PgError {
    PgError::internal(format!("while writing Parquet: {error}"))
}

/// A Parquet file whose description was read.
pub(in crate::engine) type Opened = ParquetRecordBatchReaderBuilder<File>;

/// The columns of a Parquet file, in batches.
pub(in crate::engine) struct ParquetRows {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>> + Send>,
    /// Of each column wanted, its place in the batches.
    places: Vec<usize>,
    wanted: Vec<(String, Wanted)>,
    shown: String,
    rows: u64,
    /// Rows and bytes of the groups that are read.
    total: (u64, u64),
}

/// What columns of the file that nobody wants are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum OtherColumns {
    /// An error: nothing of the data may be lost unnoticed.
    Refuse,
    /// Not read.
    Skip,
}

impl ParquetRows {
    /// Reads these columns of a file; `shown` is its name in messages. 22P04 if it is damaged or has other columns.
    pub(in crate::engine) fn open(
        file: File,
        shown: &str,
        wanted: Vec<(String, Wanted)>,
        others: OtherColumns,
    ) -> PgResult<Self> {
        Self::open_groups(file, shown, wanted, others, |file| (0..file.metadata().num_row_groups()).collect())
    }

    /// The same for some groups of rows only.
    pub(in crate::engine) fn open_groups(
        file: File,
        shown: &str,
        wanted: Vec<(String, Wanted)>,
        others: OtherColumns,
        groups: impl FnOnce(&Opened) -> Vec<usize>,
    ) -> PgResult<Self> {
        let builder = opened(file, shown)?;
        let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        if others == OtherColumns::Refuse
            && let Some(other) = names.iter().find(|name| !wanted.iter().any(|(column, _)| column == *name))
        {
            return Err(bad_file(format!("column \"{other}\" of file \"{shown}\" is not a column of the target"))
                .hint("Name the columns to be read in parentheses behind the table."));
        }
        let roots = wanted.iter().map(|(column, _)| {
            let found = names.iter().position(|name| name == column);
            found.ok_or_else(|| bad_file(format!("file \"{shown}\" has no column \"{column}\"")))
        });
        let roots = roots.collect::<PgResult<Vec<usize>>>()?;
        let mut read = roots.clone();
        read.sort_unstable();
        let places = roots.iter().filter_map(|root| read.binary_search(root).ok()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let groups = guarded(shown, || Ok(groups(&builder)))?;
        let total = groups.iter().filter_map(|group| builder.metadata().row_groups().get(*group));
        let total = total.fold((0, 0), |(rows, bytes), group| {
            // A damaged file may say anything.
            let more = |sum: u64, one: i64| sum.saturating_add(one.max(0).unsigned_abs());
            (more(rows, group.num_rows()), more(bytes, group.compressed_size()))
        });
        let builder = builder.with_batch_size(BATCH_ROWS).with_projection(mask).with_row_groups(groups);
        let batches = guarded(shown, || builder.build())?;
        Ok(Self { batches: Box::new(batches), places, wanted, shown: shown.to_owned(), rows: 0, total })
    }

    /// Rows given so far.
    pub(in crate::engine) fn row_count(&self) -> u64 {
        self.rows
    }

    /// About the bytes of the rows given so far.
    pub(in crate::engine) fn bytes_read(&self) -> u64 {
        let (rows, bytes) = self.total;
        (u128::from(bytes) * u128::from(self.rows) / u128::from(rows.max(1))).try_into().unwrap_or(bytes)
    }

    /// The next rows, one array a column wanted; errors name row and column.
    pub(in crate::engine) fn next(&mut self) -> PgResult<Option<(usize, Vec<ArrayRef>)>> {
        let batches = &mut self.batches;
        let batch = guarded(&self.shown, || batches.next().transpose().map_err(ParquetError::from))?;
        let Some(batch) = batch else { return Ok(None) };
        let columns = self.places.iter().zip(&self.wanted).map(|(place, (name, wanted))| {
            foreign::converted(batch.column(*place), wanted).map_err(|(row, error)| {
                let row = self.rows + row as u64 + 1;
                error.context(format!("file \"{}\", row {row}, column {name}", self.shown))
            })
        });
        let columns = columns.collect::<PgResult<Vec<_>>>()?;
        self.rows += batch.num_rows() as u64;
        Ok(Some((batch.num_rows(), columns)))
    }
}

/// Columns of a Parquet file as the file itself describes them.
pub(in crate::engine) fn schema_of(file: File, shown: &str) -> PgResult<SchemaRef> {
    Ok(Arc::clone(opened(file, shown)?.schema()))
}

fn opened(file: File, shown: &str) -> PgResult<Opened> {
    // Types come from the format's own schema: one that another program embedded could say anything.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(shown, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
}

fn bad_file(message: String) -> PgError {
    PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message)
}

/// Runs the reader on bytes that may be damaged: a panic in it is an error of the file.
fn guarded<T>(shown: &str, read: impl FnOnce() -> Result<T, ParquetError>) -> PgResult<T> {
    let bad = |what: &str| {
        bad_file(format!("file \"{shown}\" is not a valid Parquet file"))
            .detail(format!("{}.", what.trim_end_matches('.')))
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::External(error))) => match error.downcast::<io::Error>() {
            Ok(error) => Err(crate::engine::files::cannot(&format!("could not read file \"{shown}\""), &error, "")),
            Err(error) => Err(bad(&error.to_string())),
        },
        Ok(Err(error)) => Err(bad(&error.to_string())),
        Err(_) => Err(bad("Its contents contradict each other")),
    }
}
