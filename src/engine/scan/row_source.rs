//! What a scan reads: immutable runs of rows with numbers that never change.
//!
//! A part, a generation of the delta and the batches a transaction has written but not committed all look the same
//! here: rows in chunks, a delete vector, and zones where they exist. The scan never knows which one it reads, so own
//! writes need no code of their own. What it deliberately does not do: decide which sources belong to a snapshot.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{FilterPredicate, take};
use datafusion::common::{Result, ScalarValue};
use roaring::RoaringBitmap;
use tributary_store::{KeySearch, Sketch};

/// Rows of a granule: the unit of pruning, cancelling and output.
pub(crate) const GRANULE_ROWS: usize = 8_192;

/// What is known of one column of a whole source. Bounds hold for every row, also deleted ones.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// A value not above any value, NULL if unknown.
    pub min: ScalarValue,
    /// A value not below any value, NULL if unknown.
    pub max: ScalarValue,
    /// Number of NULLs.
    pub null_count: u64,
    /// Whether a NaN occurs; `max` is then void, because NaN is above all numbers.
    pub nan: bool,
    /// Whether min and max occur as they stand (a long text is cut).
    pub exact: bool,
}

/// The same for each granule of a source, in order.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    /// Lower bounds, NULL where unknown.
    pub min: ArrayRef,
    /// Upper bounds, NULL where unknown.
    pub max: ArrayRef,
    /// Number of NULLs, UInt64.
    pub null_count: ArrayRef,
}

/// Values of a column, as they are kept.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// One by one.
    Plain(ArrayRef),
    /// Codes (UInt8 or UInt16, NULL where the value is) into distinct values.
    Codes { keys: ArrayRef, values: ArrayRef },
}

impl Values {
    /// A stretch of rows.
    pub(crate) fn slice(&self, first: usize, rows: usize) -> Self {
        match self {
            Self::Plain(array) if first == 0 && rows == array.len() => Self::Plain(Arc::clone(array)),
            Self::Plain(array) => Self::Plain(array.slice(first, rows)),
            Self::Codes { keys, values } => Self::Codes { keys: keys.slice(first, rows), values: Arc::clone(values) },
        }
    }

    /// All of them, one by one.
    pub(crate) fn decoded(&self) -> Result<ArrayRef> {
        match self {
            Self::Plain(array) => Ok(Arc::clone(array)),
            Self::Codes { keys, values } => gather(keys, values),
        }
    }

    /// Those that a filter lets through, one by one.
    pub(crate) fn filtered(&self, filter: &FilterPredicate) -> Result<ArrayRef> {
        match self {
            Self::Plain(array) => Ok(filter.filter(array)?),
            Self::Codes { keys, values } => gather(&filter.filter(keys)?, values),
        }
    }
}

fn gather(keys: &ArrayRef, values: &ArrayRef) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_null_array(values.data_type(), keys.len()));
    }
    Ok(take(values, keys, None)?)
}

/// An immutable run of rows. Columns are named by their index in the scanned table.
pub(crate) trait RowSource: Debug + Send + Sync {
    /// Upper half of the row address.
    fn number(&self) -> u32;
    /// Rows, deleted ones included.
    fn rows(&self) -> u64;
    /// Deleted rows, `None` if none are.
    fn deletes(&self) -> Option<&RoaringBitmap>;
    /// Whether this is a part on disk, for the pruning line of EXPLAIN.
    fn part(&self) -> bool;
    /// Chunks in row order.
    fn chunk_count(&self) -> usize;
    /// First row and row count of a chunk.
    fn chunk(&self, chunk: usize) -> (u64, usize);
    /// The values of a column in a chunk; decoded they have the type the scan hands out.
    fn values(&self, chunk: usize, column: usize) -> Result<Values>;
    /// Bounds per granule. Only sources whose chunks begin on granule bounds have them.
    fn zones(&self, column: usize) -> Option<Zones>;
    /// Bounds of the whole source.
    fn summary(&self, column: usize) -> Option<Summary>;
    /// Adds the different values of a column, deleted rows included; false where that is not at hand.
    fn merge_sketch(&self, _column: usize, _into: &mut Sketch) -> bool {
        false
    }
    /// The rows of a chunk that are not deleted, if that is at hand as a mask.
    fn live_mask(&self, _chunk: usize) -> Option<BooleanBuffer> {
        None
    }
    /// Live rows with one of the keys; `None` if they are more than `rows_max`, or it cannot tell.
    fn key_rows(&self, _search: &KeySearch<'_>, _rows_max: usize) -> Result<Option<Vec<u32>>> {
        Ok(None)
    }
}
