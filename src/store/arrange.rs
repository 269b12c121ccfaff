//! Rows of several sources, without the deleted ones, in the order of a part.
//!
//! For: staging, flush and compaction, which all write parts. Promises: ascending, NULLS LAST by the table's
//! bucket and `order_by`, equal rows in arrival order; without either, arrival order and slices instead of copies;
//! memory is the sort keys plus one chunk. Does not: write anything.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use arrow::row::{RowConverter, SortField};

use crate::bucket::{self, Partition};
use crate::dictionary::{Collector, Dictionary};
use crate::error::{Result, StoreError};
use crate::object::{Column, TableLayout};
use crate::part::BATCH_ROWS;
use crate::source::Source;
use crate::{ColumnId, ipc};

/// How parts are sorted.
pub(crate) const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Live rows of a source.
pub(crate) struct Piece {
    source: Arc<Source>,
    rows: Range<u32>,
}

impl Piece {
    /// All of them.
    pub(crate) fn whole(source: Arc<Source>) -> Self {
        let end = u32::try_from(source.rows()).expect("row numbers of a source fit 32 bits");
        Self { source, rows: 0..end }
    }

    /// Those with numbers in a range.
    pub(crate) fn range(source: Arc<Source>, rows: Range<u32>) -> Self {
        Self { source, rows }
    }
}

/// Rows of a part to be.
pub(crate) struct Arranged {
    columns: Vec<Column>,
    /// (piece, chunk) of every input array, in arrival order.
    arrays: Vec<(usize, usize)>,
    pieces: Vec<Piece>,
    /// (index into `arrays`, row in it) of every row, in the order of the part.
    order: Vec<(u32, u32)>,
    sliced: bool,
    /// Bucket of every row of every input array; empty for a table of one bucket.
    buckets: Vec<Int64Array>,
}

/// Ids and fields a part of this layout stores.
pub(crate) fn part_columns(layout: &TableLayout) -> (Vec<ColumnId>, Vec<FieldRef>) {
    layout.live_columns().map(|column| (column.id, Arc::clone(&column.field))).unzip()
}

/// Collects and sorts.
pub(crate) fn arrange(layout: &TableLayout, pieces: Vec<Piece>) -> Result<Arranged> {
    let columns: Vec<Column> = layout.live_columns().cloned().collect();
    let mut arrays = Vec::new();
    let mut order: Vec<(u32, u32)> = Vec::new();
    for (p, piece) in pieces.iter().enumerate() {
        let deletes = piece.source.deletes();
        for (c, chunk) in piece.source.chunks().iter().enumerate() {
            let first = u32::try_from(chunk.first_row).expect("row numbers of a source fit 32 bits");
            let rows = u32::try_from(chunk.rows).expect("row numbers of a source fit 32 bits");
            let wanted = piece.rows.start.clamp(first, first + rows)..piece.rows.end.clamp(first, first + rows);
            if wanted.is_empty() {
                continue;
            }
            let array = u32::try_from(arrays.len()).expect("a part has fewer input batches");
            arrays.push((p, c));
            match deletes {
                None => order.extend(wanted.map(|row| (array, row - first))),
                Some(deletes) => {
                    order.extend(wanted.filter(|row| !deletes.contains(*row)).map(|row| (array, row - first)));
                }
            }
        }
    }
    let mut arranged = Arranged { columns, arrays, pieces, order, sliced: true, buckets: Vec::new() };
    if let Some(partition) = &layout.partition {
        arranged.buckets = arranged.divide(partition)?;
    }
    if !layout.order_by.is_empty() || layout.partition.is_some() {
        arranged.sort(layout)?;
    }
    Ok(arranged)
}

impl Arranged {
    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    fn array(&self, array: usize, column: &Column) -> Result<ArrayRef> {
        let (piece, chunk) = self.arrays[array];
        self.pieces[piece].source.column(chunk, column)
    }

    fn divide(&self, partition: &Partition) -> Result<Vec<Int64Array>> {
        let column = self.columns.iter().find(|column| column.id == partition.column);
        let column = column.ok_or_else(|| StoreError::internal("partition_by names a column that is gone"))?;
        (0..self.arrays.len()).map(|array| bucket::buckets(partition.unit, &self.array(array, column)?)).collect()
    }

    /// By bucket, then by `order_by`, then by arrival.
    fn sort(&mut self, layout: &TableLayout) -> Result<()> {
        let keys: Vec<Column> =
            layout.order_by.iter().filter_map(|id| self.columns.iter().find(|c| c.id == *id).cloned()).collect();
        let types = keys.iter().map(|key| key.field.data_type().clone());
        let types = (!self.buckets.is_empty()).then_some(DataType::Int64).into_iter().chain(types);
        let fields = types.map(|data_type| SortField::new_with_options(data_type, ASCENDING)).collect();
        let converter = RowConverter::new(fields)?;
        let mut encoded = Vec::with_capacity(self.arrays.len());
        for array in 0..self.arrays.len() {
            let bucket = self.buckets.get(array).map(|buckets| Ok(Arc::new(buckets.clone()) as ArrayRef));
            let columns = keys.iter().map(|key| self.array(array, key));
            let columns = bucket.into_iter().chain(columns).collect::<Result<Vec<_>>>()?;
            encoded.push(converter.convert_columns(&columns)?);
        }
        let key = |at: &(u32, u32)| encoded[at.0 as usize].row(at.1 as usize);
        if !self.order.is_sorted_by(|a, b| key(a) <= key(b)) {
            self.order.sort_by(|a, b| key(a).cmp(&key(b)));
            self.sliced = false;
        }
        Ok(())
    }

    /// The buckets of the rows with their stretch of each, in order.
    pub(crate) fn stretches(&self) -> Vec<(i64, Range<usize>)> {
        let mut out: Vec<(i64, Range<usize>)> = Vec::new();
        if self.buckets.is_empty() {
            return if self.order.is_empty() { out } else { vec![(0, 0..self.order.len())] };
        }
        for (at, (array, row)) in self.order.iter().enumerate() {
            let bucket = self.buckets[*array as usize].value(*row as usize);
            match out.last_mut() {
                Some((last, stretch)) if *last == bucket => stretch.end = at + 1,
                _ => out.push((bucket, at..at + 1)),
            }
        }
        out
    }

    /// The last place at or before `limit` where the leading `order_by` column changes, so that parts of a run do not
    /// share a key; `limit` itself if one value fills everything from `start` on, or without `order_by`.
    pub(crate) fn cut(&self, layout: &TableLayout, start: usize, limit: usize) -> Result<usize> {
        let leading = layout.order_by.first().and_then(|id| self.columns.iter().find(|column| column.id == *id));
        let Some(leading) = leading.filter(|_| limit < self.order.len()) else { return Ok(limit) };
        let field = SortField::new_with_options(leading.field.data_type().clone(), ASCENDING);
        let converter = RowConverter::new(vec![field])?;
        let key = |at: usize| -> Result<Vec<u8>> {
            let (array, row) = self.order[at];
            let value = self.array(array as usize, leading)?.slice(row as usize, 1);
            Ok(converter.convert_columns(&[value])?.row(0).as_ref().to_vec())
        };
        let next = key(limit)?;
        let (mut low, mut high) = (start, limit);
        while low < high {
            let middle = low.midpoint(high);
            if key(middle)? < next {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(if low > start { low } else { limit })
    }

    /// Columns of the rows in `range`, in chunks of [`BATCH_ROWS`].
    pub(crate) fn chunks(&self, range: Range<usize>) -> impl Iterator<Item = Result<Vec<ArrayRef>>> {
        let order = &self.order[range];
        order.chunks(BATCH_ROWS).map(|rows| self.chunk(rows))
    }

    /// For every column, the dictionary its values in `range` are stored with, if any.
    pub(crate) fn dictionaries(&self, range: Range<usize>) -> Result<Vec<Option<Dictionary>>> {
        let order = &self.order[range];
        self.columns.iter().map(|column| self.dictionary(order, column)).collect()
    }

    fn dictionary(&self, order: &[(u32, u32)], column: &Column) -> Result<Option<Dictionary>> {
        if *column.field.data_type() != DataType::Utf8View {
            return Ok(None);
        }
        let arrays = (0..self.arrays.len()).map(|array| self.array(array, column)).collect::<Result<Vec<_>>>()?;
        let mut collector = Collector::new(order.len());
        let every_row = arrays.iter().map(|array| array.len()).sum::<usize>() == order.len();
        let worth = if every_row {
            // The same texts in another order: reading arrays from front to back is kinder to the cache.
            arrays.iter().all(|array| array.as_string_view().iter().all(|text| collector.push(text)))
        } else {
            let texts: Vec<_> = arrays.iter().map(|array| array.as_string_view()).collect();
            order.iter().all(|(array, row)| {
                let (texts, row) = (texts[*array as usize], *row as usize);
                collector.push(texts.is_valid(row).then(|| texts.value(row)))
            })
        };
        Ok(worth.then(|| collector.finish()))
    }

    fn chunk(&self, rows: &[(u32, u32)]) -> Result<Vec<ArrayRef>> {
        let mut used: Vec<u32> = rows.iter().map(|(array, _)| *array).collect();
        used.dedup();
        if !self.sliced {
            used.sort_unstable();
            used.dedup();
        }
        let position = |array: u32| used.binary_search(&array).expect("every array of the rows was collected");
        let indices: Vec<(usize, usize)> = if self.sliced {
            Vec::new()
        } else {
            rows.iter().map(|(array, row)| (position(*array), *row as usize)).collect()
        };
        let runs = if self.sliced { runs(rows) } else { Vec::new() };
        let mut out = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let arrays = used.iter().map(|a| self.array(*a as usize, column)).collect::<Result<Vec<_>>>()?;
            let built = if self.sliced {
                let slices: Vec<ArrayRef> =
                    runs.iter().map(|(array, at, len)| arrays[position(*array)].slice(*at, *len)).collect();
                let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
                arrow::compute::concat(&slices)?
            } else {
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                arrow::compute::interleave(&arrays, &indices)?
            };
            out.push(ipc::exact(&built));
        }
        Ok(out)
    }

    /// For every row of piece `p`, its place in the arrangement plus `base`, into `maps[p]`; rows left out keep what is
    /// there.
    pub(crate) fn place_rows(&self, base: u32, maps: &mut [&mut Vec<u32>]) {
        for (new, (array, row)) in self.order.iter().enumerate() {
            let (p, chunk) = self.arrays[*array as usize];
            let first = usize::try_from(self.pieces[p].source.chunks()[chunk].first_row).expect("rows fit 32 bits");
            maps[p][first + *row as usize] = base + u32::try_from(new).expect("row numbers fit 32 bits");
        }
    }
}

/// A map of a source's rows of which none has a place yet.
pub(crate) fn no_places(source: &Source) -> Vec<u32> {
    vec![u32::MAX; usize::try_from(source.rows()).expect("row numbers of a source fit 32 bits")]
}

/// Stretches of consecutive rows: (array, first row, length).
fn runs(rows: &[(u32, u32)]) -> Vec<(u32, usize, usize)> {
    let mut out: Vec<(u32, usize, usize)> = Vec::new();
    for (array, row) in rows {
        match out.last_mut() {
            Some((last, at, len)) if last == array && *at + *len == *row as usize => *len += 1,
            _ => out.push((*array, *row as usize, 1)),
        }
    }
    out
}
