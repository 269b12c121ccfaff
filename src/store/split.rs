//! Dividing a rewrite into ranges that are arranged one after the other.
//!
//! For: merges whose sort keys are not all in memory at once. Sorted parts are cut at common values of their leading `order_by` column,
//! found by sampling one row per granule, so that the ranges one after the other are the merged run; without
//! `order_by`, at row counts. Promises: every row of every source is in exactly one range; a value of the leading
//! column is in one range only if the parts are sorted (they are; parts written before the table got its order are not, and
//! then only the order of the result suffers). Does not: divide deltas, which are bounded by the flush limits, or the rows
//! of one value: a range is about `rows_max` rows, but that of a value with more holds them all. What bounds it then is the
//! limit of a merge.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};

use crate::arrange::ASCENDING;
use crate::error::Result;
use crate::object::{Column, TableLayout};
use crate::source::Source;
use crate::zone::GRANULE_ROWS;

/// For each range, the rows of each source in it.
pub(crate) fn split(layout: &TableLayout, sources: &[Arc<Source>], rows_max: usize) -> Result<Vec<Vec<Range<u32>>>> {
    let rows: Vec<u32> =
        sources.iter().map(|s| u32::try_from(s.rows()).expect("row numbers of a source fit 32 bits")).collect();
    let total: u64 = rows.iter().map(|rows| u64::from(*rows)).sum();
    // Half as much again is not worth a second part.
    if total <= rows_max as u64 + rows_max as u64 / 2 || !sources.iter().all(|source| source.is_part()) {
        return Ok(vec![rows.iter().map(|rows| 0..*rows).collect()]);
    }
    let leading = layout.order_by.first().and_then(|id| layout.column(*id));
    let bounds = match leading {
        None => return Ok(by_count(&rows, rows_max)),
        Some(column) => Sampled::new(column, sources)?.bounds(&rows, rows_max)?,
    };
    let mut from = vec![0; rows.len()];
    let mut out = Vec::with_capacity(bounds.len() + 1);
    for to in bounds.into_iter().chain([rows]) {
        // A part that is not sorted may give bounds that go back; its rows must still be taken once each.
        let to: Vec<u32> = to.iter().zip(&from).map(|(to, from)| *to.max(from)).collect();
        out.push(from.iter().zip(&to).map(|(from, to)| *from..*to).collect());
        from = to;
    }
    Ok(out)
}

/// Consecutive rows, so many at a time.
fn by_count(rows: &[u32], rows_max: usize) -> Vec<Vec<Range<u32>>> {
    let rows_max = u32::try_from(rows_max).unwrap_or(u32::MAX).max(1);
    let nothing = vec![0..0; rows.len()];
    let mut out = Vec::new();
    let mut current = nothing.clone();
    let mut room = rows_max;
    for (source, count) in rows.iter().enumerate() {
        let mut at = 0;
        while at < *count {
            let taken = (count - at).min(room);
            current[source] = at..at + taken;
            at += taken;
            room -= taken;
            if room == 0 {
                out.push(std::mem::replace(&mut current, nothing.clone()));
                room = rows_max;
            }
        }
    }
    if room < rows_max {
        out.push(current);
    }
    out
}

/// The leading column of sorted parts, with the value at the start of every granule.
struct Sampled<'a> {
    column: &'a Column,
    sources: &'a [Arc<Source>],
    converter: RowConverter,
    /// Per source, the encoded value of each granule's first row.
    starts: Vec<Vec<Vec<u8>>>,
}

impl<'a> Sampled<'a> {
    fn new(column: &'a Column, sources: &'a [Arc<Source>]) -> Result<Self> {
        let field = SortField::new_with_options(column.field.data_type().clone(), ASCENDING);
        let converter = RowConverter::new(vec![field])?;
        let mut starts = Vec::with_capacity(sources.len());
        for source in sources {
            let mut of_source = Vec::new();
            for (index, chunk) in source.chunks().iter().enumerate() {
                let firsts: UInt64Array = (0..chunk.rows as u64).step_by(GRANULE_ROWS).collect();
                let values = take(&source.column(index, column)?, &firsts, None)?;
                of_source.extend(encoded(&converter, values)?);
            }
            starts.push(of_source);
        }
        Ok(Self { column, sources, converter, starts })
    }

    /// Per bound, where it lies in each source.
    fn bounds(&self, rows: &[u32], rows_max: usize) -> Result<Vec<Vec<u32>>> {
        let mut samples: Vec<&[u8]> = self.starts.iter().flatten().map(Vec::as_slice).collect();
        samples.sort_unstable();
        let per_range = (rows_max / GRANULE_ROWS).max(1);
        let mut values: Vec<&[u8]> = samples.iter().skip(per_range).step_by(per_range).copied().collect();
        values.dedup();
        if values.first() == samples.first() {
            values.remove(0);
        }
        let bound =
            |value: &&[u8]| (0..rows.len()).map(|source| self.lower_bound(source, value)).collect::<Result<Vec<u32>>>();
        values.iter().map(bound).collect()
    }

    /// The first row of a source whose value is not below `value`.
    fn lower_bound(&self, source: usize, value: &[u8]) -> Result<u32> {
        let Some(granule) = self.starts[source].partition_point(|start| start.as_slice() < value).checked_sub(1) else {
            return Ok(0);
        };
        let first = granule * GRANULE_ROWS;
        let chunks = self.sources[source].chunks();
        let index = chunks.partition_point(|chunk| chunk.first_row <= first as u64) - 1;
        let chunk = chunks[index];
        let inside = first - usize::try_from(chunk.first_row).expect("row numbers fit 32 bits");
        let column = self.sources[source].column(index, self.column)?;
        let rows = GRANULE_ROWS.min(chunk.rows - inside);
        let keys = encoded(&self.converter, column.slice(inside, rows))?;
        let below = keys.iter().position(|key| key.as_slice() >= value).unwrap_or(rows);
        Ok(u32::try_from(first + below).expect("row numbers fit 32 bits"))
    }
}

fn encoded(converter: &RowConverter, values: ArrayRef) -> Result<Vec<Vec<u8>>> {
    let rows = converter.convert_columns(&[values])?;
    Ok(rows.iter().map(|row| row.as_ref().to_vec()).collect())
}
