//! Record batches as bytes, for log frames, catalog defaults and zone statistics.
//!
//! For: short-lived or small encodings; parts have their own writer. Promises: what was encoded decodes to equal
//! arrays. Does not: keep field names or metadata when asked for the stripped form (a log frame names columns by id).

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray, StringViewArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{Result, StoreError};
use crate::ipc_check::check_stream;

/// A batch over bare columns: fields without names or metadata, all nullable.
pub(crate) fn stripped(columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new("", c.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns.to_vec(), &options)?)
}

/// An IPC stream (schema, batches, end mark), 8-byte aligned.
pub(crate) fn encode(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), schema, options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

/// The schema and batches of an IPC stream, which is not believed before it was checked.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    check_stream(bytes)?;
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(damaged)?;
    let schema = reader.schema();
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(damaged)?;
    Ok((schema, batches))
}

fn damaged(error: arrow::error::ArrowError) -> StoreError {
    StoreError::damaged(format!("arrow record does not decode: {error}"))
}

/// The array with its long strings copied together, if it drags along more than twice what it uses. Without this one
/// short row could keep a whole network buffer or an unlinked part alive.
pub(crate) fn compact(array: &ArrayRef) -> ArrayRef {
    let text = array.as_any().downcast_ref::<StringViewArray>();
    if let Some(view) = text.filter(|view| wasteful(view.data_buffers(), view.total_buffer_bytes_used())) {
        return Arc::new(view.gc());
    }
    let binary = array.as_any().downcast_ref::<BinaryViewArray>();
    if let Some(view) = binary.filter(|view| wasteful(view.data_buffers(), view.total_buffer_bytes_used())) {
        return Arc::new(view.gc());
    }
    Arc::clone(array)
}

/// The array with its long strings in one buffer, in row order, nothing else in it. Parts are written from this.
pub(crate) fn exact(array: &ArrayRef) -> ArrayRef {
    if let Some(view) = array.as_any().downcast_ref::<StringViewArray>() {
        return Arc::new(view.gc());
    }
    if let Some(view) = array.as_any().downcast_ref::<BinaryViewArray>() {
        return Arc::new(view.gc());
    }
    Arc::clone(array)
}

fn wasteful(buffers: &[arrow::buffer::Buffer], used: usize) -> bool {
    let held: usize = buffers.iter().map(|b| b.capacity().max(b.len())).sum();
    held > used.saturating_mul(2).saturating_add(256) || buffers.len() > 16
}

/// Bytes an array takes in an IPC body, roughly; views count what they use, not what they hold.
pub(crate) fn logical_bytes(array: &ArrayRef) -> usize {
    let data = array.to_data();
    if let Some(view) = array.as_any().downcast_ref::<StringViewArray>() {
        return view.len() * 16 + view.total_buffer_bytes_used();
    }
    if let Some(view) = array.as_any().downcast_ref::<BinaryViewArray>() {
        return view.len() * 16 + view.total_buffer_bytes_used();
    }
    data.get_slice_memory_size().unwrap_or_else(|_| array.get_buffer_memory_size())
}
