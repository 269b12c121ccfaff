//! The store's sources and a transaction's own rows, as the scan reads them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::compute::nullif;
use datafusion::common::{Result, ScalarValue};
use roaring::RoaringBitmap;
use tributary_store::{Column, Encoded, KeySearch, Sketch, Source, StoreError};

use super::row_source::{RowSource, Summary, Values, Zones};
use crate::engine::table::through_datafusion;

/// A source of the store with the columns of one table, and a delete vector that may hold more than the source's own:
/// the rows this transaction has deleted.
#[derive(Debug)]
pub(crate) struct StoredSource {
    source: Arc<Source>,
    columns: Arc<[Column]>,
    deletes: Option<Arc<RoaringBitmap>>,
}

impl StoredSource {
    /// `own_deletes`: rows the transaction deleted from this source.
    pub(crate) fn new(source: Arc<Source>, columns: Arc<[Column]>, own_deletes: Option<&RoaringBitmap>) -> Self {
        let deletes = own_deletes.filter(|own| !own.is_empty()).map(|own| match source.deletes() {
            Some(deletes) => Arc::new(deletes | own),
            None => Arc::new(own.clone()),
        });
        Self { source, columns, deletes }
    }

    /// Live rows with one of the keys: (number of the key, row).
    pub(crate) fn find_keys(&self, search: &KeySearch<'_>) -> Result<Vec<(usize, u32)>, StoreError> {
        let deletes = self.deletes();
        search.find(&self.source, &|row| deletes.is_some_and(|deletes| deletes.contains(row)))
    }

    /// All columns of some rows, which must be ascending.
    pub(crate) fn rows_at(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, StoreError> {
        self.columns.iter().map(|column| self.source.take_rows(column, rows)).collect()
    }
}

impl RowSource for StoredSource {
    fn number(&self) -> u32 {
        self.source.number()
    }

    fn rows(&self) -> u64 {
        self.source.rows()
    }

    fn deletes(&self) -> Option<&RoaringBitmap> {
        self.deletes.as_deref().or_else(|| self.source.deletes()).filter(|deletes| !deletes.is_empty())
    }

    fn part(&self) -> bool {
        self.source.is_part()
    }

    fn chunk_count(&self) -> usize {
        self.source.chunks().len()
    }

    fn chunk(&self, chunk: usize) -> (u64, usize) {
        let chunk = self.source.chunks()[chunk];
        (chunk.first_row, chunk.rows)
    }

    fn values(&self, chunk: usize, column: usize) -> Result<Values> {
        let column = &self.columns[column];
        match self.source.encoded(chunk, column).map_err(through_datafusion)? {
            Some(Encoded::Plain(array)) => Ok(Values::Plain(array)),
            Some(Encoded::Dictionary { keys, values }) => Ok(Values::Codes { keys, values }),
            // Added later, or widened since: the store makes the values.
            None => self.source.column(chunk, column).map(Values::Plain).map_err(through_datafusion),
        }
    }

    fn zones(&self, column: usize) -> Option<Zones> {
        let zones = self.source.zones_as(self.columns.get(column)?)?;
        let max = match zones.nan.true_count() {
            0 => zones.max,
            // NaN is above all numbers: no upper bound.
            _ => nullif(&zones.max, &zones.nan).ok()?,
        };
        Some(Zones { min: zones.min, max, null_count: Arc::new(zones.null_count) })
    }

    fn live_mask(&self, chunk: usize) -> Option<BooleanBuffer> {
        // Rows the transaction itself has deleted are not in the store's masks.
        if self.deletes.is_some() { None } else { self.source.live_mask(chunk) }
    }

    fn key_rows(&self, search: &KeySearch<'_>, rows_max: usize) -> Result<Option<Vec<u32>>> {
        let deletes = self.deletes();
        let gone = |row: u32| deletes.is_some_and(|deletes| deletes.contains(row));
        let found = search.find_few(&self.source, &gone, rows_max).map_err(through_datafusion)?;
        Ok(found.map(|found| found.into_iter().map(|(_, row)| row).collect()))
    }

    fn merge_sketch(&self, column: usize, into: &mut Sketch) -> bool {
        self.columns.get(column).is_some_and(|column| self.source.merge_sketch(column, into))
    }

    fn summary(&self, column: usize) -> Option<Summary> {
        let summary = self.source.summary_as(self.columns.get(column)?)?;
        let value = |bound: &ArrayRef| ScalarValue::try_from_array(bound.as_ref() as &dyn Array, 0).ok();
        Some(Summary {
            min: value(&summary.min)?,
            max: value(&summary.max)?,
            null_count: summary.null_count,
            nan: summary.nan,
            exact: summary.min_exact && summary.max_exact,
        })
    }
}
