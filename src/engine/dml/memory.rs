//! What a write keeps while it runs, paid for from the query pool.
//!
//! Keys of new rows, rows that wait for the key check and rows for RETURNING live until the statement ends, so their
//! number is the client's choice and their memory must be too: every byte is reserved before it is kept, and a statement
//! that wants more than the pool has ends with 53200. What the transaction itself keeps is bounded by the store, which
//! stages rows on disk, and is not counted here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tributary_pg::error::PgError;

use crate::engine::pg::map_error;

/// Bytes of one piece of work. They go back when it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Kept {
    reservation: MemoryReservation,
}

impl Kept {
    /// Nothing yet; `what` is named when memory runs out.
    pub(in crate::engine) fn new(pool: &Arc<dyn MemoryPool>, what: &str) -> Self {
        Self { reservation: MemoryConsumer::new(what).register(pool) }
    }

    /// Takes bytes, or 53200.
    pub(in crate::engine) fn grow(&self, bytes: usize) -> Result<(), PgError> {
        self.reservation.try_grow(bytes).map_err(map_error)
    }

    /// Keeps exactly these bytes from now on, or 53200.
    pub(in crate::engine) fn keep(&self, bytes: usize) -> Result<(), PgError> {
        self.reservation.try_resize(bytes).map_err(map_error)
    }

    /// Takes the bytes of rows.
    pub(in crate::engine) fn rows(&self, rows: &RecordBatch) -> Result<(), PgError> {
        self.grow(rows.columns().iter().map(array_bytes).sum())
    }
}

/// Bytes of the values an array shows, not of the buffers it shares with its neighbours.
fn array_bytes(array: &ArrayRef) -> usize {
    const VIEW_BYTES: usize = 16;
    let long = |length: u32| if length > 12 { length as usize } else { 0 };
    match array.data_type() {
        DataType::Utf8View => array.len() * VIEW_BYTES + array.as_string_view().lengths().map(long).sum::<usize>(),
        DataType::BinaryView => array.len() * VIEW_BYTES + array.as_binary_view().lengths().map(long).sum::<usize>(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn a_slice_costs_what_it_shows() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        assert_eq!(array_bytes(&numbers.slice(10, 5)), 40);
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["short", "longer than a view can hold", "x"]));
        assert_eq!(array_bytes(&texts.slice(1, 2)), 2 * 16 + 27);
    }

    #[test]
    fn what_the_pool_has_not_is_refused_and_comes_back() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..10))]).expect("rows");
        let kept = Kept::new(&pool, "rows");
        kept.rows(&rows).expect("80 bytes fit");
        let error = kept.rows(&rows).expect_err("160 bytes do not");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("53200", "out of memory"));
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("server.query_memory")));
        drop(kept);
        assert_eq!(pool.reserved(), 0);
    }
}
