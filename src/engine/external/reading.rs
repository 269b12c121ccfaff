//! The rows of one file of an external table.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use flate2::read::MultiGzDecoder;
use tributary_pg::copy::{CopyContext, CopyReader, JsonReader, UnknownMember};
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::style::TextStyle;
use tributary_pg::{InputBuilder, sqlstate};

use super::Share;
use super::definition::{Definition, Packing, Stored};
use super::listing::Found;
use super::pruning::GroupFilter;
use crate::engine::activity::Backend;
use crate::engine::copy::parquet::{Opened, OtherColumns, ParquetRows};
use crate::engine::dml::Kept;
use crate::engine::files::{self, Allowed, Facts, Place, cannot};
use crate::engine::foreign::Wanted;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Longest line: the limit of a row.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What all files of a scan have in common.
pub(super) struct Target {
    pub(super) definition: Arc<Definition>,
    /// All columns of the table.
    pub(super) columns: Vec<(String, Wanted)>,
    /// Those that are read, by index.
    pub(super) chosen: Vec<usize>,
    /// Schema of the batches.
    pub(super) schema: SchemaRef,
    /// What chooses groups of rows.
    pub(super) filter: Option<GroupFilter>,
    /// Where files may be.
    pub(super) allowed: Allowed,
    /// The session that reads.
    pub(super) backend: Option<Arc<Backend>>,
}

impl Target {
    /// The error if the statement must stop: a scan can read for long before it has a row to hand out.
    fn check_running(&self) -> PgResult<()> {
        self.backend.as_ref().map_or(Ok(()), |backend| backend.check_running())
    }
}

/// An open file.
pub(super) struct FileRows {
    target: Arc<Target>,
    watch: Watch,
    body: Body,
}

enum Body {
    Lines(Box<Lines>),
    Parquet(ParquetRows),
}

/// Sees that a file stays what it was.
struct Watch {
    file: File,
    before: Facts,
    shown: String,
}

impl Watch {
    /// 58030 if the file is another than when the scan began.
    fn check(&self) -> PgResult<()> {
        match Facts::of(&self.file) {
            Ok(now) if now == self.before => Ok(()),
            Ok(_) => Err(changed(&self.shown)),
            Err(error) => Err(cannot(&format!("could not stat file \"{}\"", self.shown), &error, "")),
        }
    }
}

fn changed(shown: &str) -> PgError {
    PgError::new(sqlstate::IO_ERROR, format!("file \"{shown}\" changed while it was being read"))
        .hint("Retry the statement once the file is complete.")
}

/// The text of a file: unpacked, and without the byte order mark that some programs put before it.
pub(super) fn unpacked(file: File, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let mut source: Box<dyn Read + Send> = match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(zstd::Decoder::new(file)?),
    };
    let mut begin = Vec::with_capacity(MARK.len());
    source.by_ref().take(MARK.len() as u64).read_to_end(&mut begin)?;
    if begin == MARK {
        return Ok(source);
    }
    Ok(Box::new(io::Cursor::new(begin).chain(source)))
}

/// What reading a file failed with: the file system's error, or bytes that do not unpack.
pub(super) fn read_error(shown: &str, error: &io::Error) -> PgError {
    if error.raw_os_error().is_some() {
        return cannot(&format!("could not read file \"{shown}\""), error, "");
    }
    PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, format!("file \"{shown}\" cannot be unpacked"))
        .detail(format!("{error}."))
}

/// The groups of rows of a file that a partition reads.
fn groups(target: &Target, file: &Opened, share: Share) -> Vec<usize> {
    let count = file.metadata().num_row_groups();
    let kept = match &target.filter {
        Some(filter) => filter.groups_kept(file, &target.columns),
        None => vec![true; count],
    };
    // Shared out after the choice, so that partitions get alike many.
    let kept = (0..count).filter(|group| kept[*group]);
    kept.enumerate().filter(|(place, _)| place % share.of == share.rest).map(|(_, group)| group).collect()
}

impl FileRows {
    /// Opens a file; it must still be what it was when the scan began.
    pub(super) fn open(
        target: &Arc<Target>,
        found: &Found,
        share: Share,
        pool: &Arc<dyn MemoryPool>,
    ) -> PgResult<Self> {
        let shown = found.place.shown();
        // Placed again: a link may have changed its mind since.
        let place: Place = files::place(shown, &target.allowed)?;
        let opened = files::open(&place)?;
        if opened.facts != found.facts {
            return Err(changed(shown));
        }
        let file = opened.file.try_clone();
        let file = file.map_err(|error| cannot(&format!("could not open file \"{shown}\" for reading"), &error, ""))?;
        let watch = Watch { file, before: found.facts, shown: shown.to_owned() };
        let body = match target.definition.stored {
            Stored::Parquet => {
                let wanted = target.chosen.iter().map(|index| target.columns[*index].clone()).collect();
                let groups = |file: &Opened| groups(target, file, share);
                ParquetRows::open_groups(opened.file, shown, wanted, OtherColumns::Skip, groups).map(Body::Parquet)
            }
            Stored::Csv | Stored::Json => {
                let packing = target.definition.packing_of(shown);
                let source = unpacked(opened.file, packing).map_err(|error| read_error(shown, &error))?;
                let kept = Kept::new(pool, "a row of an external table");
                Lines::new(target, source, shown, kept).map(|lines| Body::Lines(Box::new(lines)))
            }
        };
        // What looks like damage may be the work of a writer.
        let body = body.map_err(|error| watch.check().err().unwrap_or(error))?;
        Ok(Self { target: Arc::clone(target), watch, body })
    }

    /// The next rows, `None` at the end.
    pub(super) fn next(&mut self) -> PgResult<Option<RecordBatch>> {
        self.target.check_running()?;
        let batch = match &mut self.body {
            Body::Lines(lines) => lines.next(&self.watch.shown),
            Body::Parquet(rows) => rows.next(),
        };
        self.watch.check()?;
        let Some((count, columns)) = batch? else { return Ok(None) };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.target.schema), columns, &options);
        batch.map(Some).map_err(|error| PgError::internal(format!("rows of a file: {error}")))
    }
}

/// A file of lines.
struct Lines {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    reader: Reader,
    builders: Vec<InputBuilder>,
    /// Of each column read, its field in a line.
    fields: Vec<usize>,
    /// Pays for bytes that wait for the rest of their row.
    waiting: Kept,
    ended: bool,
}

enum Reader {
    Csv(CopyReader),
    Json(JsonReader),
}

impl Lines {
    fn new(target: &Target, source: Box<dyn Read + Send>, shown: &str, waiting: Kept) -> PgResult<Self> {
        let context = CopyContext::of_file(shown);
        let chosen = || target.chosen.iter().map(|index| &target.columns[*index]);
        let style = TextStyle::default();
        let builders = chosen().map(|(_, wanted)| InputBuilder::for_type(wanted.ty, wanted.typmod, &style, 0));
        let builders = builders.collect::<PgResult<Vec<_>>>()?;
        let definition = &target.definition;
        let reader = match definition.stored {
            Stored::Json => {
                let columns = chosen().map(|(name, wanted)| (name.clone(), wanted.ty)).collect();
                Reader::Json(JsonReader::with_context(context, columns, UnknownMember::Ignore))
            }
            _ => Reader::Csv(CopyReader::of_file(&definition.lines, context)?),
        };
        let mut lines = Self {
            source,
            buffer: vec![0; CHUNK_BYTES],
            reader,
            builders,
            fields: target.chosen.clone(),
            waiting,
            ended: false,
        };
        if definition.stored == Stored::Csv {
            lines.find_columns(target, shown)?;
        }
        Ok(lines)
    }

    /// Reads more of the file; false at its end.
    fn fill(&mut self, shown: &str) -> PgResult<bool> {
        if self.ended {
            return Ok(false);
        }
        let count = self.source.read(&mut self.buffer).map_err(|error| read_error(shown, &error))?;
        let bytes = &self.buffer[..count];
        let waiting = match &mut self.reader {
            Reader::Csv(reader) if count == 0 => {
                reader.end_input();
                0
            }
            Reader::Json(reader) if count == 0 => {
                reader.end_input();
                0
            }
            Reader::Csv(reader) => {
                reader.push(bytes);
                reader.buffered()
            }
            Reader::Json(reader) => {
                reader.push(bytes);
                reader.buffered()
            }
        };
        self.ended = count == 0;
        if waiting > LINE_BYTES_MAX + CHUNK_BYTES {
            return Err(PgError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("a line of file \"{shown}\" is too long"),
            )
            .detail(format!("A line has at most {LINE_BYTES_MAX} bytes.")));
        }
        self.waiting.keep(waiting)?;
        Ok(true)
    }

    /// Finds the columns by the names in the first line; without such a line they are in the table's order.
    fn find_columns(&mut self, target: &Target, shown: &str) -> PgResult<()> {
        let all = || target.columns.iter().map(|(name, _)| name.clone());
        if !target.definition.header {
            if let Reader::Csv(reader) = &mut self.reader {
                reader.set_columns(all().collect());
            }
            return Ok(());
        }
        loop {
            let Reader::Csv(reader) = &mut self.reader else { return Ok(()) };
            if let Some(names) = reader.next_names()? {
                if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
                    let message = format!("file \"{shown}\" has two columns \"{}\"", names[twice]);
                    return Err(PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message));
                }
                let places = self.fields.iter().map(|index| {
                    let name = &target.columns[*index].0;
                    let place = names.iter().position(|named| named == name);
                    place.ok_or_else(|| {
                        let message = format!("file \"{shown}\" has no column \"{name}\"");
                        PgError::new(sqlstate::BAD_COPY_FILE_FORMAT, message)
                    })
                });
                self.fields = places.collect::<PgResult<Vec<_>>>()?;
                reader.set_columns(names);
                return Ok(());
            }
            if !self.fill(shown)? {
                // An empty file has no rows, whatever its columns.
                return Ok(());
            }
        }
    }

    fn next(&mut self, shown: &str) -> PgResult<Option<(usize, Vec<ArrayRef>)>> {
        let mut count = 0;
        while count < BATCH_ROWS {
            let read = match &mut self.reader {
                Reader::Csv(reader) => read_csv(reader, &mut self.builders, &self.fields)?,
                Reader::Json(reader) => read_json(reader, &mut self.builders)?,
            };
            if read {
                count += 1;
            } else if !self.fill(shown)? {
                break;
            }
        }
        let columns = self.builders.iter_mut().map(InputBuilder::finish).collect();
        Ok((count > 0).then_some((count, columns)))
    }
}

fn read_csv(reader: &mut CopyReader, builders: &mut [InputBuilder], fields: &[usize]) -> PgResult<bool> {
    let Some(row) = reader.next_row()? else { return Ok(false) };
    for (builder, index) in builders.iter_mut().zip(fields) {
        match row.field(*index) {
            None => builder.append_null(),
            Some(text) => {
                if let Err(error) = builder.append(text) {
                    let (line, text) = (row.line, text.to_owned());
                    return Err(reader.context().value_error(error, line, &reader.columns()[*index], Some(&text)));
                }
            }
        }
    }
    Ok(true)
}

fn read_json(reader: &mut JsonReader, builders: &mut [InputBuilder]) -> PgResult<bool> {
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
    match failed {
        None => Ok(true),
        Some((index, text, error)) => {
            Err(reader.context().value_error(error, line, &reader.columns()[index], Some(&text)))
        }
    }
}
