//! Parts: immutable, memory-mapped Arrow files with their index.
//!
//! For: rows at rest. `<part:08x>.arrow` is a plain Arrow IPC file (uncompressed, 64-byte aligned, batches of 65,536
//! rows) that any Arrow tool opens; `<part:08x>.<g>.idx` is its index. Promises: files appear whole or not at all (tmp,
//! fsync, rename, fsync of the directory); a column chunk's crc is checked at its first use in the process and a
//! mismatch is XX001 with file, column, batch and offset, never a wrong row; reading through maps copies nothing. With
//! `scan_io = pread` chunks are read and checked at every use, and nothing stays in memory.
//! Does not: know deletes (a bitmap beside the part) or decide when to write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use crate::arrange::Arranged;
use crate::config::ScanIo;
use crate::dictionary::{self, Dictionary};
use crate::disk::{Disk, DiskFile, at};
use crate::error::{Result, StoreError};
use crate::file_bytes::FileBytes;
use crate::index_file::{self, BatchPlace, Index, Range};
use crate::key::KeyDef;
use crate::key_probe::KeyCache;
use crate::key_section::KeySection;
use crate::manifest::{FileSum, ManifestEntry, PartFormat};
use crate::sketch::Sketch;
use crate::source::Chunk;
use crate::zone::{ColumnSummary, Zones};
use crate::{ColumnId, Oid, Seq};

/// Rows of a record batch in a part: 8 granules.
pub const BATCH_ROWS: usize = 65_536;

/// Where parts live.
#[derive(Clone)]
pub(crate) struct PartPlace {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) data_dir: PathBuf,
    pub(crate) uuid: [u8; 16],
    pub(crate) scan_io: ScanIo,
}

impl std::fmt::Debug for PartPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartPlace").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl PartPlace {
    pub(crate) fn dir(&self, table: Oid) -> PathBuf {
        self.data_dir.join("parts").join(table.to_string())
    }

    pub(crate) fn data_path(&self, table: Oid, part: u32) -> PathBuf {
        self.dir(table).join(format!("{part:08x}.arrow"))
    }

    pub(crate) fn idx_path(&self, table: Oid, part: u32, generation: u32) -> PathBuf {
        self.dir(table).join(format!("{part:08x}.{generation}.idx"))
    }
}

/// A part that is, or is about to be, in the manifest.
pub(crate) struct Part {
    pub(crate) table: Oid,
    pub(crate) entry: ManifestEntry,
    pub(crate) chunks: Vec<Chunk>,
    place: Arc<PartPlace>,
    open: OnceLock<OpenPart>,
    /// Set once a frame names the part; a part that never gets there takes its files with it.
    kept: AtomicBool,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("table", &self.table).field("entry", &self.entry).finish_non_exhaustive()
    }
}

struct OpenPart {
    data: FileBytes,
    index: Index,
    schema: SchemaRef,
    /// Decoded chunks whose crc matched, by batch * columns + column. Dictionary columns hold their codes. Empty when
    /// files are read, as are the dictionaries: what is decoded then is memory and not a map.
    checked: Vec<OnceLock<ArrayRef>>,
    /// Views of the dictionary of each column that has one.
    dictionaries: Vec<OnceLock<ArrayRef>>,
    keys: KeyCache,
}

impl OpenPart {
    fn new(data: FileBytes, index: Index) -> Result<Self> {
        let tail = data.range(index.footer.offset, index.footer.len)?;
        let found = index_file::footer_range(&tail)?;
        let at_end = index.footer.offset + index.footer.len == data.len();
        if !at_end || found.offset != 0 || (found.len, found.crc) != (index.footer.len, index.footer.crc) {
            return Err(StoreError::damaged("the footer's checksum does not match"));
        }
        let footer = index_file::footer(&tail)?;
        let checked = (0..index.batches.len() * index.ids.len()).map(|_| OnceLock::new()).collect();
        let dictionaries = index.ids.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { data, index, schema: footer.schema, checked, dictionaries, keys: KeyCache::default() })
    }
}

/// A column of a chunk as stored.
#[derive(Debug, Clone)]
pub enum Encoded {
    /// Values in the type they were written in.
    Plain(ArrayRef),
    /// Codes (UInt8 or UInt16, with the column's NULLs) into the part's sorted dictionary.
    Dictionary {
        /// The codes of the chunk's rows.
        keys: ArrayRef,
        /// Utf8View, ascending by bytes, the same array for every chunk of the part.
        values: ArrayRef,
    },
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Acquire) {
            return;
        }
        for path in self.paths() {
            if let Err(error) = self.place.disk.unlink(&path) {
                tracing::warn!(path = %path.display(), %error, "staged part could not be removed; the next start removes it");
            }
        }
    }
}

impl Part {
    /// A part named by the manifest. Its files are opened at first use, or by [`Part::open`].
    pub(crate) fn kept(place: Arc<PartPlace>, table: Oid, entry: ManifestEntry) -> Self {
        Self::new(place, table, entry, true)
    }

    fn new(place: Arc<PartPlace>, table: Oid, entry: ManifestEntry, kept: bool) -> Self {
        let mut chunks = Vec::new();
        let mut first_row = 0;
        while first_row < entry.rows {
            let rows = (entry.rows - first_row).min(BATCH_ROWS as u64);
            chunks.push(Chunk { first_row, rows: usize::try_from(rows).unwrap_or(BATCH_ROWS) });
            first_row += rows;
        }
        Self { table, entry, chunks, place, open: OnceLock::new(), kept: AtomicBool::new(kept) }
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    /// The files of the part.
    pub(crate) fn paths(&self) -> [PathBuf; 2] {
        [
            self.place.data_path(self.table, self.entry.part),
            self.place.idx_path(self.table, self.entry.part, self.entry.idx_generation),
        ]
    }

    /// Opens the files, rebuilding a lost index.
    pub(crate) fn open(&self) -> Result<()> {
        self.opened().map(drop)
    }

    fn opened(&self) -> Result<&OpenPart> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let open = self.open_files().map_err(|error| self.damaged(&error))?;
        Ok(self.open.get_or_init(|| open))
    }

    fn damaged(&self, error: &StoreError) -> StoreError {
        if error.sqlstate != "XX001" || error.detail.is_some() {
            return error.clone();
        }
        metrics::counter!("crc_failures_total").increment(1);
        StoreError::damaged(format!("part {} of table {} is damaged", self.entry.part, self.table))
            .with_detail(format!("File {}: {}.", self.data_name(), error.message))
    }

    fn data_name(&self) -> String {
        format!("parts/{}/{:08x}.arrow", self.table, self.entry.part)
    }

    fn open_files(&self) -> Result<OpenPart> {
        let [data_path, idx_path] = self.paths();
        let data = FileBytes::open(&self.place.disk, &data_path, self.place.scan_io);
        let data = data.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::damaged("the file is missing"),
            _ => StoreError::io("map", &data_path, &error),
        })?;
        if data.len() != self.entry.data.len {
            return Err(StoreError::damaged(format!(
                "the file has {} bytes instead of {}",
                data.len(),
                self.entry.data.len
            )));
        }
        let index = match self.read_index(&idx_path) {
            Ok(index) => index,
            Err(error) => {
                tracing::error!(path = %idx_path.display(), %error, "index is lost or damaged; rebuilding it");
                self.rebuild_index(&data.range(0, data.len())?, &idx_path)?
            }
        };
        OpenPart::new(data, index)
    }

    fn read_index(&self, path: &Path) -> Result<Index> {
        let bytes = at("map", path, FileBytes::open(&self.place.disk, path, self.place.scan_io))?;
        if bytes.len() != self.entry.idx.len {
            return Err(StoreError::damaged("the index file has a wrong length"));
        }
        let index = Index::parse(bytes, self.table, self.entry.part)?;
        // Keys are the bulk of an index; they are checked when they are first needed.
        index.verify_all_but_keys()?;
        if index.rows != self.entry.rows || index.data != self.entry.data {
            return Err(StoreError::damaged("the index belongs to another version of the part"));
        }
        Ok(index)
    }

    /// Computes the index from an `.arrow` file whose whole checksum matches, and writes it again.
    fn rebuild_index(&self, data: &Bytes, path: &Path) -> Result<Index> {
        if crc32c::crc32c(data) != self.entry.data.crc {
            return Err(StoreError::damaged("the index is lost and the file's checksum does not match"));
        }
        let schema = index_file::footer(data)?.schema;
        let (ids, keys) = (column_ids(&schema)?, key_defs(&schema)?);
        let bytes = index_file::build(data, self.table, self.entry.part, &ids, &keys, self.entry.data)?;
        if let Err(error) = crate::disk::write_atomic(self.place.disk.as_ref(), path, &bytes) {
            tracing::warn!(path = %path.display(), %error, "rebuilt index is used but could not be written");
        }
        Index::parse(FileBytes::Whole(Bytes::from(bytes)), self.table, self.entry.part)
    }

    /// Statistics problems are not damage of rows: they only switch pruning off.
    fn statistics(&self, column: ColumnId) -> Option<&Arc<index_file::ColumnStatistics>> {
        let index = &self.opened().ok()?.index;
        index.statistics(index.position(column)?)
    }

    /// Sections of keys that were needed before.
    pub(crate) fn key_cache(&self) -> Result<&KeyCache> {
        Ok(&self.opened()?.keys)
    }

    /// The section of a key; None if the part was written without it. XX001 if it is damaged.
    pub(crate) fn key_section(&self, key: Oid) -> Result<Option<KeySection>> {
        self.opened()?.index.key_section(key)
    }

    pub(crate) fn zones(&self, column: ColumnId) -> Option<Zones> {
        Some(self.statistics(column)?.zones.clone())
    }

    pub(crate) fn summary(&self, column: ColumnId) -> Option<ColumnSummary> {
        Some(self.statistics(column)?.summary.clone())
    }

    /// Adds the different values of a column; false when that is not known. As with bounds, damage only means that.
    pub(crate) fn merge_sketch(&self, column: ColumnId, into: &mut Sketch) -> bool {
        self.opened().is_ok_and(|open| open.index.merge_sketch(column, into).unwrap_or(false))
    }

    pub(crate) fn has_column(&self, column: ColumnId) -> bool {
        self.opened().is_ok_and(|open| open.index.position(column).is_some())
    }

    /// A column of a chunk as stored; None when the part is older than the column.
    pub(crate) fn encoded(&self, chunk: usize, column: ColumnId) -> Result<Option<Encoded>> {
        let open = self.opened()?;
        let Some(position) = open.index.position(column) else { return Ok(None) };
        let slot = open
            .checked
            .get(chunk * open.index.ids.len() + position)
            .ok_or_else(|| StoreError::internal("part has no such chunk"))?;
        let dictionary = matches!(open.schema.field(position).data_type(), DataType::Dictionary(..));
        if open.data.is_read() {
            let array = self.decode(open, chunk, position)?;
            return Ok(Some(match dictionary::split(&array) {
                None => Encoded::Plain(array),
                Some((keys, values)) => Encoded::Dictionary { keys, values: dictionary::views(&values)? },
            }));
        }
        if slot.get().is_none() {
            let array = self.decode(open, chunk, position)?;
            let array = match dictionary::split(&array) {
                None => array,
                Some((keys, values)) => {
                    if open.dictionaries[position].get().is_none() {
                        let views = dictionary::views(&values)?;
                        open.dictionaries[position].get_or_init(|| views);
                    }
                    keys
                }
            };
            slot.get_or_init(|| array);
        }
        let array = Arc::clone(slot.get().ok_or_else(|| StoreError::internal("the chunk was just decoded"))?);
        if !dictionary {
            return Ok(Some(Encoded::Plain(array)));
        }
        let values = open.dictionaries[position].get();
        let values = Arc::clone(values.ok_or_else(|| StoreError::internal("codes come with their dictionary"))?);
        Ok(Some(Encoded::Dictionary { keys: array, values }))
    }

    /// As [`Part::encoded`], dictionaries resolved.
    pub(crate) fn column(&self, chunk: usize, column: ColumnId) -> Result<Option<ArrayRef>> {
        Ok(match self.encoded(chunk, column)? {
            None => None,
            Some(Encoded::Plain(array)) => Some(array),
            Some(Encoded::Dictionary { keys, values }) => Some(dictionary::gather(&keys, &values)?),
        })
    }

    fn decode(&self, open: &OpenPart, chunk: usize, position: usize) -> Result<ArrayRef> {
        let place = &open.index.batches[chunk];
        let bytes = self.block(open, place, place.columns[position], chunk, position)?;
        let mut dictionary = None;
        if let Some((_, place)) = open.index.dictionaries.iter().find(|(of, _)| *of as usize == position) {
            dictionary = Some((place.block()?, self.block(open, place, place.columns[0], chunk, position)?));
        }
        let batch = crate::map::decode_trusted(
            Arc::clone(&open.schema),
            position,
            (&place.block()?, &bytes),
            dictionary.as_ref().map(|(block, bytes)| (block, bytes)),
        )?;
        let array = batch.and_then(|batch| batch.columns().first().cloned());
        let array = array.ok_or_else(|| StoreError::damaged("a record batch is empty"))?;
        if array.len() != self.chunks[chunk].rows {
            return Err(StoreError::damaged("a record batch has another number of rows than its part says"));
        }
        Ok(array)
    }

    /// The bytes of a block, of which the metadata and one range are checked.
    fn block(
        &self,
        open: &OpenPart,
        place: &BatchPlace,
        column: Range,
        chunk: usize,
        position: usize,
    ) -> Result<Buffer> {
        let len = place.meta.len.saturating_add(place.body_len);
        let wanted = [place.meta, column].map(|range| (range.offset, range.len));
        let bytes = open.data.block(place.offset, len, &wanted).map_err(|error| self.damaged(&error))?;
        for range in [place.meta, column] {
            self.check(open, &bytes, place.offset, range, chunk, position)?;
        }
        Ok(bytes)
    }

    /// Compares the checksum of a range of a block that begins at `first` in the file.
    fn check(
        &self,
        open: &OpenPart,
        block: &Buffer,
        first: u64,
        range: Range,
        chunk: usize,
        position: usize,
    ) -> Result<()> {
        let from = range.offset.checked_sub(first).and_then(|from| usize::try_from(from).ok());
        let to = from.zip(usize::try_from(range.len).ok()).and_then(|(from, len)| from.checked_add(len));
        let bytes = from.zip(to).and_then(|(from, to)| block.get(from..to));
        let beyond = || self.damaged(&StoreError::damaged("a column reaches past the end of its block"));
        if crc32c::crc32c(bytes.ok_or_else(beyond)?) == range.crc {
            return Ok(());
        }
        metrics::counter!("crc_failures_total").increment(1);
        let message = format!("part {} of table {} is damaged", self.entry.part, self.table);
        let column = open.schema.field(position).name();
        Err(StoreError::damaged(message).with_detail(format!(
            "File {}, column \"{column}\", batch {chunk}, offset {}.",
            self.data_name(),
            range.offset
        )))
    }

    /// Reads everything; for `check`. Unlike [`Part::open`] it does not rebuild an index that is damaged.
    pub(crate) fn verify_files(&self) -> Result<()> {
        let [data_path, idx_path] = self.paths();
        let data = at("map", &data_path, self.place.disk.map(&data_path))?;
        let sum = FileSum { len: data.len() as u64, crc: crc32c::crc32c(&data) };
        if sum != self.entry.data {
            return Err(self.damaged(&StoreError::damaged("the file's checksum does not match")));
        }
        let idx = at("map", &idx_path, self.place.disk.map(&idx_path))?;
        if crc32c::crc32c(&idx) != self.entry.idx.crc {
            return Err(self.damaged(&StoreError::damaged("the index file's checksum does not match")));
        }
        let index = self.read_index(&idx_path).map_err(|error| StoreError::damaged(format!("index: {error}")))?;
        index.verify()?;
        for chunk in 0..self.chunks.len() {
            for id in &index.ids {
                self.column(chunk, *id)?;
            }
        }
        Ok(())
    }
}

/// What a part is made of.
pub(crate) struct PartSpec<'a> {
    pub(crate) table: Oid,
    pub(crate) number: u32,
    pub(crate) ids: &'a [ColumnId],
    pub(crate) fields: &'a [FieldRef],
    pub(crate) keys: &'a [KeyDef],
    pub(crate) min_seq: Seq,
    pub(crate) max_seq: Seq,
    pub(crate) level: u8,
    pub(crate) run: u32,
    pub(crate) bucket: i64,
}

/// Writes the rows in `range` as a part. The files are durable when this returns; they vanish again when the part is
/// dropped before [`Part::keep`].
pub(crate) fn write(
    place: &Arc<PartPlace>,
    spec: &PartSpec<'_>,
    arranged: &Arranged,
    range: std::ops::Range<usize>,
) -> Result<Part> {
    let dir = place.dir(spec.table);
    create_part_dir(place, &dir)?;
    let tmp = place.data_dir.join("tmp").join(format!("{}-{:08x}.arrow", spec.table, spec.number));
    let idx_tmp = tmp.with_extension("idx");
    let written = write_files(place, spec, arranged, range, &tmp, &idx_tmp);
    if written.is_err() {
        for path in [&tmp, &idx_tmp] {
            if let Err(error) = place.disk.unlink(path) {
                tracing::debug!(path = %path.display(), %error, "no temporary file to remove");
            }
        }
    }
    let Written { rows, data, idx, open } = written?;
    let entry = ManifestEntry {
        part: spec.number,
        format: PartFormat::Arrow,
        idx_generation: 0,
        run: spec.run,
        level: spec.level,
        bucket: spec.bucket,
        rows,
        bytes: data.len,
        min_seq: spec.min_seq,
        max_seq: spec.max_seq,
        key_min: Vec::new(),
        key_max: Vec::new(),
        data,
        idx,
    };
    let part = Part::new(Arc::clone(place), spec.table, entry, false);
    let [data_path, idx_path] = part.paths();
    at("rename", &tmp, place.disk.rename(&tmp, &data_path))?;
    at("rename", &idx_tmp, place.disk.rename(&idx_tmp, &idx_path))?;
    at("sync", &dir, place.disk.sync_dir(&dir))?;
    // Open from the start: what the commit thread compares new keys with needs no I/O (but with `scan_io = pread`).
    match place.scan_io {
        ScanIo::Mmap => {
            part.open.get_or_init(|| open);
        }
        // Its files had other names when the index was made.
        ScanIo::Pread => part.open()?,
    }
    Ok(part)
}

/// Files of a part under their temporary names.
struct Written {
    rows: u64,
    data: FileSum,
    idx: FileSum,
    open: OpenPart,
}

fn create_part_dir(place: &PartPlace, dir: &Path) -> Result<()> {
    if place.disk.exists(dir) {
        return Ok(());
    }
    at("create", dir, place.disk.create_dir(dir))?;
    let parts = place.data_dir.join("parts");
    at("sync", &parts, place.disk.sync_dir(&parts))
}

fn write_files(
    place: &PartPlace,
    spec: &PartSpec<'_>,
    arranged: &Arranged,
    range: std::ops::Range<usize>,
    tmp: &Path,
    idx_tmp: &Path,
) -> Result<Written> {
    let disk = place.disk.as_ref();
    let dictionaries = arranged.dictionaries(range.clone())?;
    let schema = Arc::new(part_schema(place, spec, &dictionaries));
    let file = at("create", tmp, disk.create(tmp))?;
    let options = IpcWriteOptions::try_new(64, false, MetadataVersion::V5)?;
    let output = DiskWriter { file: Arc::clone(&file), offset: 0, pending: Vec::new(), crc: 0 };
    let mut writer = FileWriter::try_new_with_options(output, &schema, options)?;
    let mut rows = 0;
    for columns in arranged.chunks(range) {
        let encode = |(column, dictionary): (ArrayRef, &Option<Dictionary>)| match dictionary {
            Some(dictionary) => dictionary.encode(&column),
            None => Ok(column),
        };
        let columns = columns?.into_iter().zip(&dictionaries).map(encode).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|error| io_inside(error, tmp))?;
    }
    let mut output = writer.into_inner().map_err(|error| io_inside(error, tmp))?;
    at("write", tmp, output.drain())?;
    at("sync", tmp, file.sync_all())?;
    let data = FileSum { len: output.offset, crc: output.crc };
    let bytes = at("map", tmp, disk.map(tmp))?;
    let index = index_file::build(&bytes, spec.table, spec.number, spec.ids, spec.keys, data)?;
    let file = at("create", idx_tmp, disk.create(idx_tmp))?;
    at("write", idx_tmp, file.write_at(0, &index))?;
    at("sync", idx_tmp, file.sync_all())?;
    let idx = FileSum { len: index.len() as u64, crc: crc32c::crc32c(&index) };
    let index = FileBytes::Whole(at("map", idx_tmp, disk.map(idx_tmp))?);
    let index = Index::parse(index, spec.table, spec.number)?;
    Ok(Written { rows, data, idx, open: OpenPart::new(FileBytes::Whole(bytes), index)? })
}

fn io_inside(error: arrow::error::ArrowError, path: &Path) -> StoreError {
    match error {
        arrow::error::ArrowError::IoError(_, error) => StoreError::io("write", path, &error),
        other => other.into(),
    }
}

fn part_schema(place: &PartPlace, spec: &PartSpec<'_>, dictionaries: &[Option<Dictionary>]) -> Schema {
    let ids: Vec<String> = spec.ids.iter().map(ToString::to_string).collect();
    let metadata = [
        ("tributary.format", "1".to_owned()),
        ("tributary.db_uuid", uuid::Uuid::from_bytes(place.uuid).to_string()),
        ("tributary.table_oid", spec.table.to_string()),
        ("tributary.part", spec.number.to_string()),
        ("tributary.column_ids", ids.join(",")),
        ("tributary.keys", spec.keys.iter().map(KeyDef::text).collect::<Vec<_>>().join(",")),
    ];
    let metadata = metadata.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), v)).collect();
    // Dropped names may repeat in one file and constraints change later: only types bind old parts, so every field
    // is nullable here.
    let stored = |(field, dictionary): (&FieldRef, &Option<Dictionary>)| -> FieldRef {
        let data_type = dictionary.as_ref().map_or_else(|| field.data_type().clone(), Dictionary::data_type);
        Arc::new(field.as_ref().clone().with_nullable(true).with_data_type(data_type))
    };
    let fields: Vec<FieldRef> = spec.fields.iter().zip(dictionaries).map(stored).collect();
    Schema::new_with_metadata(fields, metadata)
}

/// The column ids an `.arrow` file carries in its own metadata.
pub(crate) fn column_ids(schema: &Schema) -> Result<Vec<ColumnId>> {
    let text = schema.metadata().get("tributary.column_ids");
    let text = text.ok_or_else(|| StoreError::damaged("arrow file carries no column ids"))?;
    let parse = |id: &str| id.parse().map_err(|_| StoreError::damaged("arrow file carries a wrong column id"));
    text.split(',').filter(|id| !id.is_empty()).map(parse).collect()
}

/// The keys an `.arrow` file was written with, from its own metadata.
fn key_defs(schema: &Schema) -> Result<Vec<KeyDef>> {
    let text = schema.metadata().get("tributary.keys").map_or("", String::as_str);
    text.split(',').filter(|def| !def.is_empty()).map(KeyDef::from_text).collect()
}

/// Buffers writes to a file and sums them.
struct DiskWriter {
    file: Arc<dyn DiskFile>,
    offset: u64,
    pending: Vec<u8>,
    crc: u32,
}

/// Bytes collected before they are handed to the kernel.
const WRITE_BYTES: usize = 1 << 20;

impl DiskWriter {
    fn drain(&mut self) -> std::io::Result<()> {
        self.file.write_at(self.offset, &self.pending)?;
        self.crc = crc32c::crc32c_append(self.crc, &self.pending);
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl std::io::Write for DiskWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(data);
        if self.pending.len() >= WRITE_BYTES {
            self.drain()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
