//! Rows as the scan sees them: parts and delta generations.
//!
//! For: one reading interface over both. Promises: a source is immutable (a commit makes a new one that shares
//! everything it can); columns come out in the scan type, without a copy where the file or the delta has that type; a
//! source that lacks a column id yields the column's recorded default. Does not: apply the delete vector; the scan
//! does, with [`Source::deletes`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use roaring::RoaringBitmap;

use crate::ColumnId;
use crate::bucket::NULL_BUCKET;
use crate::delta::Delta;
use crate::error::{Result, StoreError};
use crate::live::LiveMasks;
use crate::manifest::PartFormat;
use crate::object::Column;
use crate::part::{Encoded, Part};
use crate::sketch::Sketch;
use crate::zone::{ColumnSummary, Zones};

/// Numbers from here on name own rows of a transaction; never stored.
pub const PRIVATE_SOURCES_FROM: u32 = 1 << 31;

/// Consecutive rows of a source that are decoded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Row number of its first row in the source.
    pub first_row: u64,
    /// Rows in the chunk.
    pub rows: usize,
}

/// What the manifest says of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFacts {
    /// `arrow`, `parquet`.
    pub format: &'static str,
    /// The run it belongs to: parts with disjoint keys.
    pub run: u32,
    /// How often its rows were merged.
    pub level: u8,
    /// Value of `partition_by`, ascending with time; 0 without one, None for rows whose column is NULL.
    pub bucket: Option<i64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Part(Arc<Part>),
    Delta(Arc<Delta>),
}

/// A part or a delta generation, with its delete vector.
#[derive(Debug, Clone)]
pub struct Source {
    number: u32,
    pub(crate) body: Body,
    pub(crate) deletes: Option<Arc<RoaringBitmap>>,
    live: LiveMasks,
}

impl Source {
    pub(crate) fn part(number: u32, part: Arc<Part>, deletes: Option<Arc<RoaringBitmap>>) -> Self {
        Self { number, body: Body::Part(part), deletes, live: LiveMasks::default() }
    }

    pub(crate) fn delta(number: u32, delta: Arc<Delta>, deletes: Option<Arc<RoaringBitmap>>) -> Self {
        Self { number, body: Body::Delta(delta), deletes, live: LiveMasks::default() }
    }

    /// The number that, shifted left by 32 and joined with a row number, is the row's `_addr`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Rows, deleted ones included.
    pub fn rows(&self) -> u64 {
        match &self.body {
            Body::Part(part) => part.entry.rows,
            Body::Delta(delta) => delta.rows(),
        }
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows() - self.deletes.as_ref().map_or(0, |deletes| deletes.len())
    }

    /// Bytes on disk or in memory.
    pub fn bytes(&self) -> u64 {
        match &self.body {
            Body::Part(part) => part.entry.bytes,
            Body::Delta(delta) => delta.bytes(),
        }
    }

    /// Row numbers that are deleted; None = none.
    pub fn deletes(&self) -> Option<&RoaringBitmap> {
        self.deletes.as_deref()
    }

    /// The rows of a part's chunk that are not deleted, as a mask that is made once; None = all, or a delta, whose chunks
    /// change while it grows.
    pub fn live_mask(&self, chunk: usize) -> Option<BooleanBuffer> {
        if !self.is_part() {
            return None;
        }
        self.live.of(self.deletes.as_ref()?, self.chunks(), chunk)
    }

    /// Whether this is a part on disk (a delta generation otherwise).
    pub fn is_part(&self) -> bool {
        matches!(self.body, Body::Part(_))
    }

    /// Where a part stands among others; None for a delta generation.
    pub fn part_facts(&self) -> Option<PartFacts> {
        let Body::Part(part) = &self.body else { return None };
        let entry = &part.entry;
        Some(PartFacts {
            format: match entry.format {
                PartFormat::Arrow => "arrow",
                PartFormat::Parquet => "parquet",
            },
            run: entry.run,
            level: entry.level,
            bucket: (entry.bucket != NULL_BUCKET).then_some(entry.bucket),
        })
    }

    /// In row order, without gaps. A part's have 65,536 rows each, but for the last.
    pub fn chunks(&self) -> &[Chunk] {
        match &self.body {
            Body::Part(part) => &part.chunks,
            Body::Delta(delta) => delta.chunks(),
        }
    }

    /// A column of a chunk in the column's scan type. Errors: XX001 when the bytes on disk are damaged.
    pub fn column(&self, chunk: usize, column: &Column) -> Result<ArrayRef> {
        let rows = self.chunks().get(chunk).ok_or_else(|| StoreError::internal("chunk out of range"))?.rows;
        let stored = match &self.body {
            Body::Part(part) => part.column(chunk, column.id)?,
            Body::Delta(delta) => delta.batches()[chunk].column(column.id).cloned(),
        };
        match stored {
            None => column.default_array(rows),
            Some(array) if array.data_type() == column.field.data_type() => Ok(array),
            Some(array) => Ok(arrow::compute::cast(&array, column.field.data_type())?),
        }
    }

    /// A column of a chunk as stored, for predicates that are cheaper on a dictionary than on its rows; None when the
    /// source lacks the column or stores another type than the column has now (then use [`Source::column`]).
    pub fn encoded(&self, chunk: usize, column: &Column) -> Result<Option<Encoded>> {
        let found = match &self.body {
            Body::Part(part) => part.encoded(chunk, column.id)?,
            Body::Delta(delta) => delta.batches()[chunk].column(column.id).cloned().map(Encoded::Plain),
        };
        let wanted = column.field.data_type();
        Ok(found.filter(|found| match found {
            Encoded::Plain(array) => array.data_type() == wanted,
            Encoded::Dictionary { values, .. } => values.data_type() == wanted,
        }))
    }

    /// Whether rows of this source have the column stored, rather than its default.
    pub fn has_column(&self, column: ColumnId) -> bool {
        match &self.body {
            Body::Part(part) => part.has_column(column),
            Body::Delta(delta) => delta.batches().iter().all(|batch| batch.column(column).is_some()),
        }
    }

    /// Bounds per granule of 8,192 rows, in the column's stored type; None for a delta, or when the part lacks the
    /// column or its statistics cannot be read.
    pub fn zones(&self, column: ColumnId) -> Option<Zones> {
        match &self.body {
            Body::Part(part) => part.zones(column),
            Body::Delta(_) => None,
        }
    }

    /// As [`Source::zones`], with bounds in the type the column has now.
    pub fn zones_as(&self, column: &Column) -> Option<Zones> {
        self.zones(column.id)?.cast(column.field.data_type())
    }

    /// Bounds of a whole part; None as for [`Source::zones`].
    pub fn summary(&self, column: ColumnId) -> Option<ColumnSummary> {
        match &self.body {
            Body::Part(part) => part.summary(column),
            Body::Delta(_) => None,
        }
    }

    /// Adds the different values of a column, deleted rows included; false for a delta, and for parts that do not know.
    pub fn merge_sketch(&self, column: &Column, into: &mut Sketch) -> bool {
        match &self.body {
            Body::Part(part) if part.has_column(column.id) => part.merge_sketch(column.id, into),
            // Every row has the column's default.
            Body::Part(_) => column.default_array(1).is_ok_and(|value| into.add(&value)),
            Body::Delta(_) => false,
        }
    }

    /// As [`Source::summary`], with bounds in the type the column has now.
    pub fn summary_as(&self, column: &Column) -> Option<ColumnSummary> {
        self.summary(column.id)?.cast(column.field.data_type())
    }

    pub(crate) fn with_deletes(&self, deletes: Option<Arc<RoaringBitmap>>) -> Self {
        Self { number: self.number, body: self.body.clone(), deletes, live: LiveMasks::default() }
    }
}
