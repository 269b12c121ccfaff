//! Rows of several sources, without the deleted ones, in the order of a part.
//!
//! For: staging, flush and compaction, which all write parts. Promises: ascending, NULLS LAST by the table's
//! `order_by`, equal rows in arrival order; without `order_by`, arrival order and slices instead of copies; memory is
//! the sort keys plus one chunk. Does not: write anything.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use arrow::row::{RowConverter, SortField};

use crate::dictionary::{Collector, Dictionary};
use crate::error::Result;
use crate::object::{Column, TableLayout};
use crate::part::BATCH_ROWS;
use crate::source::Source;
use crate::{ColumnId, ipc};

/// A source to take rows from.
pub(crate) struct Piece {
    pub(crate) source: Arc<Source>,
    /// Leave out the rows its delete vector names.
    pub(crate) skip_deleted: bool,
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
        let deletes = piece.source.deletes().filter(|_| piece.skip_deleted);
        for (c, chunk) in piece.source.chunks().iter().enumerate() {
            let array = u32::try_from(arrays.len()).expect("a part has fewer input batches");
            arrays.push((p, c));
            let first = u32::try_from(chunk.first_row).expect("row numbers of a source fit 32 bits");
            let rows = u32::try_from(chunk.rows).expect("row numbers of a source fit 32 bits");
            match deletes {
                None => order.extend((0..rows).map(|row| (array, row))),
                Some(deletes) => {
                    order.extend((0..rows).filter(|row| !deletes.contains(first + row)).map(|row| (array, row)));
                }
            }
        }
    }
    let mut arranged = Arranged { columns, arrays, pieces, order, sliced: true };
    if !layout.order_by.is_empty() {
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

    fn sort(&mut self, layout: &TableLayout) -> Result<()> {
        let keys: Vec<Column> =
            layout.order_by.iter().filter_map(|id| self.columns.iter().find(|c| c.id == *id).cloned()).collect();
        let options = SortOptions { descending: false, nulls_first: false };
        let fields =
            keys.iter().map(|key| SortField::new_with_options(key.field.data_type().clone(), options)).collect();
        let converter = RowConverter::new(fields)?;
        let mut encoded = Vec::with_capacity(self.arrays.len());
        for array in 0..self.arrays.len() {
            let columns = keys.iter().map(|key| self.array(array, key)).collect::<Result<Vec<_>>>()?;
            encoded.push(converter.convert_columns(&columns)?);
        }
        let key = |at: &(u32, u32)| encoded[at.0 as usize].row(at.1 as usize);
        if !self.order.is_sorted_by(|a, b| key(a) <= key(b)) {
            self.order.sort_by(|a, b| key(a).cmp(&key(b)));
            self.sliced = false;
        }
        Ok(())
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

    /// For every row of a piece, its place in the arrangement; `u32::MAX` for rows left out.
    pub(crate) fn new_rows(&self, piece: usize) -> Vec<u32> {
        let source = &self.pieces[piece].source;
        let mut out = vec![u32::MAX; usize::try_from(source.rows()).expect("row numbers of a source fit 32 bits")];
        for (new, (array, row)) in self.order.iter().enumerate() {
            let (p, chunk) = self.arrays[*array as usize];
            if p == piece {
                let first = usize::try_from(source.chunks()[chunk].first_row).expect("row numbers fit 32 bits");
                out[first + *row as usize] = u32::try_from(new).expect("row numbers fit 32 bits");
            }
        }
        out
    }
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
