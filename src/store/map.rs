//! The only unsafe code of the store: memory maps and decoding without validation.
//!
//! For: reading columns in place. Promises: a map outlives every array cut from it, because the arrays own it.
//! Does not: protect against another process changing the file (nothing can; the LOCK file and 0600 modes are the
//! guard), and does not turn SIGBUS on a failing device into an error.
#![expect(unsafe_code, reason = "memory maps, and decoding of bytes whose crc was checked")]

use std::fs::File;
use std::io;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, MetadataVersion};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use memmap2::Mmap;

/// Maps a whole file. An empty file gives empty bytes.
pub(crate) fn map_file(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // Safety: parts, segments and dumps are immutable once mapped: they are written under another name or fully
    // before, never truncated, and unlinking keeps the pages. The directory is ours alone (LOCK, mode 0700).
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

/// Decodes one column of a record batch, with its dictionary if it has one, from bytes this store wrote and whose crc
/// was just checked.
pub(crate) fn decode_trusted(
    schema: SchemaRef,
    column: usize,
    (block, bytes): (&Block, &Buffer),
    dictionary: Option<(&Block, &Buffer)>,
) -> Result<Option<RecordBatch>, ArrowError> {
    let decoder = FileDecoder::new(schema, MetadataVersion::V5).with_projection(vec![column]);
    // Safety: the crc32c of exactly these buffers matched the one computed from valid arrays when they were written,
    // so they are the bytes of arrays that passed arrow's validation then.
    let mut decoder = unsafe { decoder.with_skip_validation(true) };
    if let Some((block, bytes)) = dictionary {
        decoder.read_dictionary(block, bytes)?;
    }
    decoder.read_record_batch(block, bytes)
}
