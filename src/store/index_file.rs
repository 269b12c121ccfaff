//! The `.idx` file beside every part: where the columns lie, their crc32c, bounds per part and granule.
//!
//! For: opening a part without reading it, pruning, and finding damage before it becomes an answer. Layout: a header,
//! a section table (kind, column, offset, length, crc32c), sections; unknown kinds are skipped, so a newer server's
//! sections do no harm. Promises: computed from the bytes of the `.arrow` file alone ([`build`]), so a lost index is
//! rebuilt; little-endian, fixed widths. Does not: search keys; see `key_section`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, MetadataVersion, root_as_footer, root_as_message};
use bytes::Bytes;

use crate::codec::{Put, Reader};
use crate::dictionary;
use crate::error::{Result, StoreError};
use crate::file_bytes::FileBytes;
use crate::key::{KeyDef, push_hashes};
use crate::key_section::{self, KeySection};
use crate::manifest::FileSum;
use crate::sketch::Sketch;
use crate::zone::{ColumnSummary, ZoneBuilder, Zones};
use crate::{ColumnId, Oid};

const MAGIC: &[u8; 8] = b"TRIBIDX1";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 52;
const SECTION_BYTES: usize = 28;
/// Bytes of the end of an Arrow file after the footer: its length and the magic.
const ARROW_TRAILER_BYTES: usize = 10;

const SECTION_COLUMN: u32 = 1;
const SECTION_ZONE: u32 = 2;
const SECTION_CRC: u32 = 3;
/// Missing in parts of an earlier version, and for types that are not counted.
const SECTION_HLL: u32 = 4;
/// Its "column" is the key's id.
const SECTION_KEY: u32 = 5;

/// How a column's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain = 0,
    /// Codes into a sorted dictionary.
    Dictionary = 1,
}

/// Bytes with a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

/// A record batch or dictionary of the `.arrow` file.
#[derive(Debug, Clone)]
pub(crate) struct BatchPlace {
    pub(crate) offset: u64,
    pub(crate) meta: Range,
    pub(crate) body_len: u64,
    pub(crate) rows: u32,
    /// One per column of the file.
    pub(crate) columns: Vec<Range>,
}

impl BatchPlace {
    pub(crate) fn block(&self) -> Result<Block> {
        let to_signed = |v: u64| i64::try_from(v).map_err(|_| StoreError::damaged("block offset is too large"));
        let meta = i32::try_from(self.meta.len).map_err(|_| StoreError::damaged("block metadata is too long"))?;
        Ok(Block::new(to_signed(self.offset)?, meta, to_signed(self.body_len)?))
    }
}

/// A parsed `.idx` file. Statistics are decoded on first use.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) data: FileSum,
    pub(crate) rows: u64,
    pub(crate) footer: Range,
    pub(crate) ids: Vec<ColumnId>,
    pub(crate) batches: Vec<BatchPlace>,
    /// (file column, place) of each dictionary.
    pub(crate) dictionaries: Vec<(u32, BatchPlace)>,
    bytes: FileBytes,
    sections: HashMap<(u32, ColumnId), Range>,
    statistics: Vec<OnceLock<Option<Arc<ColumnStatistics>>>>,
}

#[derive(Debug)]
pub(crate) struct ColumnStatistics {
    pub(crate) summary: ColumnSummary,
    pub(crate) zones: Zones,
}

impl Index {
    /// Reads and checks an index of the given part.
    pub(crate) fn parse(bytes: FileBytes, table: Oid, part: u32) -> Result<Self> {
        let header = bytes.range(0, HEADER_BYTES as u64)?;
        let mut reader = Reader::new(&header);
        if reader.take(8)? != MAGIC {
            return Err(StoreError::damaged("index file does not start with its magic"));
        }
        let version = reader.u32()?;
        if version != VERSION {
            return Err(StoreError::damaged(format!("index file has unknown version {version}")));
        }
        if (reader.u32()?, reader.u32()?) != (table, part) {
            return Err(StoreError::damaged("index file belongs to another part"));
        }
        let rows = reader.u64()?;
        let batch_count = reader.u32()?;
        let data = FileSum { len: reader.u64()?, crc: reader.u32()? };
        let section_count = reader.u32()?;
        let crc = reader.u32()?;
        // Inside the file, so no larger than it.
        let table_bytes = bytes.range(HEADER_BYTES as u64, u64::from(section_count) * SECTION_BYTES as u64)?;
        if crc != header_crc(&header, &table_bytes) {
            return Err(StoreError::damaged("index header checksum does not match"));
        }
        let mut reader = Reader::new(&table_bytes);
        let mut sections = HashMap::new();
        for _ in 0..section_count {
            let key = (reader.u32()?, reader.u32()?);
            let range = Range { offset: reader.u64()?, len: reader.u64()?, crc: reader.u32()? };
            sections.insert(key, range);
        }
        let places = section(&bytes, &sections, SECTION_CRC, 0)?
            .ok_or_else(|| StoreError::damaged("index file has no checksum section"))?;
        let mut index = Self::parse_places(&places)?;
        if index.batches.len() != batch_count as usize {
            return Err(StoreError::damaged("index file counts its batches wrongly"));
        }
        index.statistics = index.ids.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { data, rows, bytes, sections, ..index })
    }

    /// Parses the section that says where columns lie.
    pub(crate) fn parse_places(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let footer = range(&mut reader)?;
        let column_count = reader.count(4)?;
        let ids = (0..column_count).map(|_| reader.u32()).collect::<Result<Vec<_>>>()?;
        let batch_count = reader.count(44)?;
        let batches = (0..batch_count).map(|_| place(&mut reader, column_count)).collect::<Result<Vec<_>>>()?;
        let dictionary_count = reader.count(48)?;
        let dictionaries =
            (0..dictionary_count).map(|_| Ok((reader.u32()?, place(&mut reader, 1)?))).collect::<Result<Vec<_>>>()?;
        reader.end()?;
        Ok(Self {
            data: FileSum::default(),
            rows: 0,
            footer,
            ids,
            batches,
            dictionaries,
            bytes: FileBytes::Whole(Bytes::new()),
            sections: HashMap::new(),
            statistics: Vec::new(),
        })
    }

    /// Position of a column in the file.
    pub(crate) fn position(&self, column: ColumnId) -> Option<usize> {
        self.ids.iter().position(|id| *id == column)
    }

    /// Statistics of the column at this position; None when they do not decode (pruning is then off).
    pub(crate) fn statistics(&self, position: usize) -> Option<&Arc<ColumnStatistics>> {
        let decoded = self.statistics.get(position)?.get_or_init(|| {
            let read = self.read_statistics(self.ids[position]);
            if let Err(error) = &read {
                tracing::warn!(%error, "part statistics cannot be read; the column is not pruned");
            }
            read.ok().map(Arc::new)
        });
        decoded.as_ref()
    }

    fn read_statistics(&self, column: ColumnId) -> Result<ColumnStatistics> {
        let missing = || StoreError::damaged("index file lacks the statistics of a column");
        let body = section(&self.bytes, &self.sections, SECTION_COLUMN, column)?.ok_or_else(missing)?;
        let mut reader = Reader::new(&body);
        // The schema of the `.arrow` file says how the column is stored; the byte here is for tools without it.
        let encoding = reader.u8()?;
        if encoding != Encoding::Plain as u8 && encoding != Encoding::Dictionary as u8 {
            return Err(StoreError::damaged(format!("column has unknown encoding {encoding}")));
        }
        let summary = ColumnSummary::decode(reader.bytes()?)?;
        let zones = section(&self.bytes, &self.sections, SECTION_ZONE, column)?.ok_or_else(missing)?;
        Ok(ColumnStatistics { summary, zones: Zones::decode(&zones)? })
    }

    /// Adds the different values of a column; false if the part was written without its sketch.
    pub(crate) fn merge_sketch(&self, column: ColumnId, into: &mut Sketch) -> Result<bool> {
        match section(&self.bytes, &self.sections, SECTION_HLL, column)? {
            None => Ok(false),
            Some(bytes) => into.merge_encoded(&bytes).map(|()| true),
        }
    }

    /// The section of a key; None if the part was written without it.
    pub(crate) fn key_section(&self, key: Oid) -> Result<Option<KeySection>> {
        section(&self.bytes, &self.sections, SECTION_KEY, key)?.map(KeySection::parse).transpose()
    }

    /// Checks the checksum of every section but those of keys.
    pub(crate) fn verify_all_but_keys(&self) -> Result<()> {
        let wanted = self.sections.keys().filter(|(kind, _)| *kind != SECTION_KEY);
        wanted
            .map(|(kind, column)| section(&self.bytes, &self.sections, *kind, *column))
            .try_for_each(|read| read.map(drop))
    }

    /// Checks every section; for `check`.
    pub(crate) fn verify(&self) -> Result<()> {
        for (kind, column) in self.sections.keys() {
            section(&self.bytes, &self.sections, *kind, *column)?;
        }
        self.ids.iter().try_for_each(|id| {
            self.merge_sketch(*id, &mut Sketch::default())?;
            self.read_statistics(*id).map(drop)
        })
    }
}

/// Over everything but the checksum itself, which ends the header.
fn header_crc(header: &[u8], table: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER_BYTES - 4]), table)
}

/// The bytes with every checksum right that can be found in them: what a fuzzer changes must get past those.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if out.len() < HEADER_BYTES {
        return out;
    }
    let (_, rest) = out.split_at_mut(HEADER_BYTES);
    let count = u32::from_le_bytes([bytes[44], bytes[45], bytes[46], bytes[47]]) as usize;
    let table = rest.len().min(count.saturating_mul(SECTION_BYTES));
    for section in rest[..table].chunks_exact_mut(SECTION_BYTES) {
        let number = |at: usize| u64::from_le_bytes(section[at..at + 8].try_into().expect("eight bytes"));
        let (from, len) = (number(8), number(16));
        let end = from.checked_add(len).filter(|end| *end <= bytes.len() as u64);
        if let Some(end) = end {
            let crc = crc32c::crc32c(&bytes[from as usize..end as usize]);
            section[24..].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let crc = header_crc(&out[..HEADER_BYTES], &out[HEADER_BYTES..HEADER_BYTES + table]);
    out[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    out
}

fn section(
    bytes: &FileBytes,
    sections: &HashMap<(u32, ColumnId), Range>,
    kind: u32,
    column: ColumnId,
) -> Result<Option<Bytes>> {
    let Some(range) = sections.get(&(kind, column)) else { return Ok(None) };
    let body = bytes.range(range.offset, range.len)?;
    if crc32c::crc32c(&body) != range.crc {
        return Err(StoreError::damaged(format!("index section {kind} of column {column} is damaged")));
    }
    Ok(Some(body))
}

fn cut(bytes: &Bytes, offset: u64, len: u64) -> Result<Bytes> {
    let end = offset.checked_add(len).filter(|end| *end <= bytes.len() as u64);
    let end = end.ok_or_else(|| StoreError::damaged("a range reaches past the end of its file"))?;
    // The bounds were just checked against an in-memory length.
    Ok(bytes.slice(offset as usize..end as usize))
}

fn range(reader: &mut Reader<'_>) -> Result<Range> {
    Ok(Range { offset: reader.u64()?, len: reader.u64()?, crc: reader.u32()? })
}

fn put_range(out: &mut Vec<u8>, range: Range) {
    out.put_u64(range.offset);
    out.put_u64(range.len);
    out.put_u32(range.crc);
}

fn place(reader: &mut Reader<'_>, columns: usize) -> Result<BatchPlace> {
    let meta = range(reader)?;
    let body_len = reader.u64()?;
    let rows = reader.u32()?;
    let columns = (0..columns).map(|_| range(reader)).collect::<Result<Vec<_>>>()?;
    Ok(BatchPlace { offset: meta.offset, meta, body_len, rows, columns })
}

fn put_place(out: &mut Vec<u8>, place: &BatchPlace) {
    put_range(out, place.meta);
    out.put_u64(place.body_len);
    out.put_u32(place.rows);
    for column in &place.columns {
        put_range(out, *column);
    }
}

/// The schema and blocks of an Arrow file, from its footer.
pub(crate) struct Footer {
    pub(crate) schema: SchemaRef,
    range: Range,
    batches: Vec<Block>,
    dictionaries: Vec<Block>,
}

fn bad_footer(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::damaged(format!("arrow footer does not decode: {error}"))
}

/// Where the footer lies, with its checksum.
pub(crate) fn footer_range(bytes: &Bytes) -> Result<Range> {
    let short = || StoreError::damaged("arrow file is too short");
    let trailer_at = bytes.len().checked_sub(ARROW_TRAILER_BYTES).ok_or_else(short)?;
    let mut trailer = [0; ARROW_TRAILER_BYTES];
    trailer.copy_from_slice(&bytes[trailer_at..]);
    let len = read_footer_length(trailer).map_err(|e| bad_footer(&e))?;
    let at = trailer_at.checked_sub(len).ok_or_else(short)?;
    Ok(Range { offset: at as u64, len: (bytes.len() - at) as u64, crc: crc32c::crc32c(&bytes[at..]) })
}

/// Parses the footer at the end of an Arrow file. The caller has checked the bytes: arrow's schema conversion panics
/// on types it does not know.
pub(crate) fn footer(bytes: &Bytes) -> Result<Footer> {
    let range = footer_range(bytes)?;
    let trailer_at = bytes.len() - ARROW_TRAILER_BYTES;
    // The offset was just computed from an in-memory length.
    let footer = root_as_footer(&bytes[range.offset as usize..trailer_at]).map_err(|e| bad_footer(&e))?;
    let schema = footer.schema().ok_or_else(|| StoreError::damaged("arrow footer has no schema"))?;
    let blocks = |list: Option<Vec<Block>>| list.unwrap_or_default();
    Ok(Footer {
        schema: Arc::new(arrow::ipc::convert::fb_to_schema(schema)),
        range,
        batches: blocks(footer.recordBatches().map(|list| list.iter().copied().collect())),
        dictionaries: blocks(footer.dictionaries().map(|list| list.iter().copied().collect())),
    })
}

/// Builds the index of an `.arrow` file from its bytes. `data` is the sum of the whole file.
pub(crate) fn build(
    bytes: &Bytes,
    table: Oid,
    part: u32,
    ids: &[ColumnId],
    keys: &[KeyDef],
    data: FileSum,
) -> Result<Vec<u8>> {
    let footer = footer(bytes)?;
    if footer.schema.fields().len() != ids.len() {
        return Err(StoreError::damaged("arrow file does not have the columns of its part"));
    }
    let mut decoder = FileDecoder::new(Arc::clone(&footer.schema), MetadataVersion::V5);
    let mut dictionaries = Vec::with_capacity(footer.dictionaries.len());
    for block in &footer.dictionaries {
        let (column, place) = locate_dictionary(bytes, block, &footer.schema)?;
        let buffer = Buffer::from(cut(bytes, place.offset, place.meta.len + place.body_len)?);
        decoder.read_dictionary(block, &buffer)?;
        dictionaries.push((column, place));
    }
    let mut zones: Vec<ZoneBuilder> = ids.iter().map(|_| ZoneBuilder::default()).collect();
    let mut hashes: Vec<Vec<(u64, u32)>> = vec![Vec::new(); keys.len()];
    let mut sketches: Vec<Option<Sketch>> = vec![Some(Sketch::default()); ids.len()];
    let mut places = Vec::with_capacity(footer.batches.len());
    let mut rows = 0;
    for block in &footer.batches {
        let place = locate(bytes, block, &footer.schema)?;
        let buffer = Buffer::from(cut(bytes, place.offset, place.meta.len + place.body_len)?);
        let batch = decoder
            .read_record_batch(block, &buffer)?
            .ok_or_else(|| StoreError::damaged("arrow file has an empty message"))?;
        for (sketch, column) in sketches.iter_mut().zip(batch.columns()) {
            count_values(sketch, column, places.is_empty());
        }
        let columns = batch.columns().iter().map(decoded).collect::<Result<Vec<_>>>()?;
        zones.iter_mut().zip(&columns).try_for_each(|(zone, column)| zone.push(column))?;
        let first = u32::try_from(rows).map_err(|_| StoreError::damaged("arrow file has too many rows"))?;
        for (def, hashes) in keys.iter().zip(&mut hashes) {
            push_hashes(def, &key_columns(def, ids, &columns)?, first, hashes)?;
        }
        rows += u64::from(place.rows);
        places.push(place);
    }
    let mut sections = Vec::new();
    for (position, (zone, id)) in zones.into_iter().zip(ids).enumerate() {
        let column_bytes = places.iter().map(|place| place.columns[position].len).sum();
        let stored = footer.schema.field(position).data_type();
        let (encoding, data_type) = match stored {
            DataType::Dictionary(..) => (Encoding::Dictionary, &DataType::Utf8View),
            other => (Encoding::Plain, other),
        };
        let (zones, summary) = zone.finish(data_type, column_bytes)?;
        let mut column = vec![encoding as u8];
        column.put_bytes(&summary.encode()?);
        sections.push((SECTION_COLUMN, *id, column));
        sections.push((SECTION_ZONE, *id, zones.encode()?));
    }
    for (sketch, id) in sketches.into_iter().zip(ids) {
        sections.extend(sketch.map(|sketch| (SECTION_HLL, *id, sketch.encode())));
    }
    for (def, hashes) in keys.iter().zip(hashes) {
        sections.push((SECTION_KEY, def.id, key_section::encode(hashes)));
    }
    sections.push((SECTION_CRC, 0, encode_places(footer.range, ids, &places, &dictionaries)));
    Ok(assemble(table, part, rows, places.len(), data, &sections))
}

/// Adds the values of a batch to a sketch, which goes if their type is not counted. Every value of a dictionary occurs in
/// its part, so the first batch stands for all.
fn count_values(sketch: &mut Option<Sketch>, column: &ArrayRef, first: bool) {
    let counted = match (sketch.as_mut(), dictionary::split(column)) {
        (None, _) => true,
        (Some(sketch), None) => sketch.add(column),
        (Some(sketch), Some((_, values))) => !first || sketch.add(&values),
    };
    if !counted {
        *sketch = None;
    }
}

/// A column of the file with its dictionary, if any, resolved.
fn decoded(column: &ArrayRef) -> Result<ArrayRef> {
    match dictionary::split(column) {
        None => Ok(Arc::clone(column)),
        Some((keys, values)) => dictionary::gather(&keys, &dictionary::views(&values)?),
    }
}

/// The columns of a key, in key order.
fn key_columns(def: &KeyDef, ids: &[ColumnId], columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let missing = || StoreError::damaged("arrow file lacks a column of its key");
    let find = |id: &ColumnId| ids.iter().position(|other| other == id).map(|at| Arc::clone(&columns[at]));
    def.columns.iter().map(|id| find(id).ok_or_else(missing)).collect()
}

fn encode_places(
    footer: Range,
    ids: &[ColumnId],
    places: &[BatchPlace],
    dictionaries: &[(u32, BatchPlace)],
) -> Vec<u8> {
    let mut out = Vec::new();
    put_range(&mut out, footer);
    out.put_u32(u32::try_from(ids.len()).expect("bounded by COLUMNS_MAX"));
    ids.iter().for_each(|id| out.put_u32(*id));
    out.put_u32(u32::try_from(places.len()).expect("bounded by part_max_rows"));
    places.iter().for_each(|place| put_place(&mut out, place));
    out.put_u32(u32::try_from(dictionaries.len()).expect("bounded by COLUMNS_MAX"));
    for (column, place) in dictionaries {
        out.put_u32(*column);
        put_place(&mut out, place);
    }
    out
}

fn assemble(
    table: Oid,
    part: u32,
    rows: u64,
    batches: usize,
    data: FileSum,
    sections: &[(u32, ColumnId, Vec<u8>)],
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(table);
    out.put_u32(part);
    out.put_u64(rows);
    out.put_u32(u32::try_from(batches).expect("bounded by part_max_rows"));
    out.put_u64(data.len);
    out.put_u32(data.crc);
    out.put_u32(u32::try_from(sections.len()).expect("bounded by COLUMNS_MAX"));
    out.put_u32(0);
    debug_assert_eq!(out.len(), HEADER_BYTES);
    let mut offset = (HEADER_BYTES + sections.len() * SECTION_BYTES) as u64;
    for (kind, column, body) in sections {
        out.put_u32(*kind);
        out.put_u32(*column);
        put_range(&mut out, Range { offset, len: body.len() as u64, crc: crc32c::crc32c(body) });
        offset += body.len() as u64;
    }
    let crc = header_crc(&out[..HEADER_BYTES], &out[HEADER_BYTES..]);
    out[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    sections.iter().for_each(|(_, _, body)| out.extend_from_slice(body));
    out
}

/// A block of the file, taken apart.
struct Message {
    offset: u64,
    meta: Bytes,
    body: Bytes,
}

impl Message {
    fn read(bytes: &Bytes, block: &Block) -> Result<Self> {
        let negative = || StoreError::damaged("arrow block has a negative offset");
        let offset = u64::try_from(block.offset()).map_err(|_| negative())?;
        let meta_len = u64::try_from(block.metaDataLength()).map_err(|_| negative())?;
        let body_len = u64::try_from(block.bodyLength()).map_err(|_| negative())?;
        let meta = cut(bytes, offset, meta_len)?;
        let body = cut(bytes, offset + meta_len, body_len)?;
        Ok(Self { offset, meta, body })
    }

    fn parse(&self) -> Result<arrow::ipc::Message<'_>> {
        // A message starts with the continuation mark and its length, eight bytes together.
        let message = self.meta.get(8..).ok_or_else(|| StoreError::damaged("arrow message is too short"))?;
        root_as_message(message).map_err(|error| StoreError::damaged(format!("arrow message does not decode: {error}")))
    }

    fn place(&self, rows: i64, columns: Vec<Range>) -> Result<BatchPlace> {
        let (meta_len, body_len) = (self.meta.len() as u64, self.body.len() as u64);
        Ok(BatchPlace {
            offset: self.offset,
            meta: Range { offset: self.offset, len: meta_len, crc: crc32c::crc32c(&self.meta) },
            body_len,
            rows: u32::try_from(rows).map_err(|_| StoreError::damaged("arrow batch has too many rows"))?,
            columns,
        })
    }

    /// A range of the body, with its checksum.
    fn range(&self, from: u64, to: u64) -> Result<Range> {
        let len = to.saturating_sub(from);
        let crc = crc32c::crc32c(&cut(&self.body, from, len)?);
        Ok(Range { offset: self.offset + self.meta.len() as u64 + from, len, crc })
    }
}

/// Where the columns of one record batch lie.
fn locate(bytes: &Bytes, block: &Block, schema: &SchemaRef) -> Result<BatchPlace> {
    let read = Message::read(bytes, block)?;
    let message = read.parse()?;
    let batch = message.header_as_record_batch().ok_or_else(|| StoreError::damaged("arrow message is no batch"))?;
    let buffers: Vec<(u64, u64)> = batch
        .buffers()
        .map(|list| list.iter().map(|b| (b.offset().max(0) as u64, b.length().max(0) as u64)).collect())
        .unwrap_or_default();
    let mut variadic = batch.variadicBufferCounts().map(|list| list.iter().collect::<Vec<i64>>()).unwrap_or_default();
    variadic.reverse();
    let mut columns = Vec::with_capacity(schema.fields().len());
    let mut next = 0;
    for field in schema.fields() {
        let count = buffer_count(field.data_type(), &mut variadic)?;
        let mine = buffers.get(next..next + count).ok_or_else(|| StoreError::damaged("arrow batch lacks buffers"))?;
        next += count;
        let from = mine.first().map_or(0, |b| b.0);
        let to = mine.last().map_or(0, |b| b.0 + b.1);
        columns.push(read.range(from, to)?);
    }
    read.place(batch.length(), columns)
}

/// The column a dictionary belongs to, and where it lies. Arrow numbers dictionaries in the order of their fields.
fn locate_dictionary(bytes: &Bytes, block: &Block, schema: &SchemaRef) -> Result<(u32, BatchPlace)> {
    let read = Message::read(bytes, block)?;
    let message = read.parse()?;
    let wrong = || StoreError::damaged("arrow message is no dictionary of the schema");
    let dictionary = message.header_as_dictionary_batch().ok_or_else(wrong)?;
    let nth = usize::try_from(dictionary.id()).map_err(|_| wrong())?;
    let encoded = |(_, field): &(u32, &FieldRef)| matches!(field.data_type(), DataType::Dictionary(..));
    let (column, _) = (0..).zip(schema.fields()).filter(encoded).nth(nth).ok_or_else(wrong)?;
    let rows = dictionary.data().ok_or_else(wrong)?.length();
    let whole = read.range(0, read.body.len() as u64)?;
    Ok((column, read.place(rows, vec![whole])?))
}

/// Buffers a column of this type has in an IPC body. `variadic` holds the view columns' counts, next one last.
fn buffer_count(data_type: &DataType, variadic: &mut Vec<i64>) -> Result<usize> {
    Ok(match data_type {
        DataType::Null => 0,
        DataType::Utf8View | DataType::BinaryView => 2 + usize::try_from(variadic.pop().unwrap_or(0)).unwrap_or(0),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 3,
        DataType::List(child) | DataType::LargeList(child) | DataType::Map(child, _) => {
            2 + buffer_count(child.data_type(), variadic)?
        }
        DataType::FixedSizeList(child, _) => 1 + buffer_count(child.data_type(), variadic)?,
        DataType::Struct(children) => {
            let mut count = 1;
            for child in children {
                count += buffer_count(child.data_type(), variadic)?;
            }
            count
        }
        DataType::Dictionary(_, _) => 2,
        DataType::Union(_, _) | DataType::RunEndEncoded(_, _) | DataType::ListView(_) | DataType::LargeListView(_) => {
            return Err(StoreError::new("0A000", format!("columns of type {data_type} cannot be stored")));
        }
        _ => 2,
    })
}

/// Every section with the number `fuzz::index_section` knows its kind by.
#[cfg(test)]
pub(crate) fn bodies(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let bytes = Bytes::copy_from_slice(bytes);
    let table = &bytes[HEADER_BYTES..];
    let count = u32::from_le_bytes(bytes[44..48].try_into().expect("four bytes")) as usize;
    let mut out = Vec::new();
    for section in table.chunks_exact(SECTION_BYTES).take(count) {
        let mut reader = Reader::new(section);
        let mut next = || -> Result<(u32, Range)> {
            let kind = reader.u32()?;
            reader.u32()?;
            Ok((kind, range(&mut reader)?))
        };
        let (kind, place) = next().expect("a section entry has 28 bytes");
        let body = &bytes[place.offset as usize..(place.offset + place.len) as usize];
        match kind {
            SECTION_CRC => out.push((0, body.to_vec())),
            SECTION_COLUMN => out.push((1, body[5..].to_vec())),
            SECTION_ZONE => out.push((2, body.to_vec())),
            SECTION_HLL => out.push((3, body.to_vec())),
            _ => out.push((4, body.to_vec())),
        }
    }
    out
}
