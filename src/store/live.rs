//! Delete vectors as masks of live rows, kept for the next scan.
//!
//! For: scans, which need a bit per row and would otherwise walk the same delete vector again in every statement. A mask is
//! made chunk by chunk at first need and lives as long as the source it belongs to; a commit that deletes makes a new
//! source without masks. Promises: one bit a row at most. Does not: know deletes that are not committed.

use std::sync::{Arc, OnceLock};

use arrow::buffer::{BooleanBuffer, MutableBuffer};
use roaring::RoaringBitmap;

use crate::source::Chunk;

/// Masks of the chunks of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveMasks {
    chunks: OnceLock<Arc<[OnceLock<BooleanBuffer>]>>,
}

impl LiveMasks {
    /// The mask of a chunk, set where a row is live.
    pub(crate) fn of(&self, deletes: &RoaringBitmap, chunks: &[Chunk], chunk: usize) -> Option<BooleanBuffer> {
        let masks = self.chunks.get_or_init(|| chunks.iter().map(|_| OnceLock::new()).collect());
        Some(masks.get(chunk)?.get_or_init(|| live_mask(deletes, chunks[chunk].first_row, chunks[chunk].rows)).clone())
    }
}

/// A mask of `rows` rows from `first_row` on, set where a row is not deleted.
pub fn live_mask(deletes: &RoaringBitmap, first_row: u64, rows: usize) -> BooleanBuffer {
    let mut bits = MutableBuffer::from_len_zeroed(0);
    bits.resize(rows.div_ceil(8), 0xff);
    let bytes = bits.as_slice_mut();
    // A source holds at most 2^32 rows: delete vectors are 32 bit.
    let first = u32::try_from(first_row).unwrap_or(u32::MAX);
    let last = u32::try_from((first_row + rows as u64).saturating_sub(1)).unwrap_or(u32::MAX);
    for row in deletes.range(first..=last.max(first)).take_while(|_| rows > 0) {
        let row = (row - first) as usize;
        bytes[row / 8] &= !(1 << (row % 8));
    }
    BooleanBuffer::new(bits.into(), 0, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_bit_for_every_row_that_is_not_deleted() {
        let deletes = RoaringBitmap::from_iter([0, 1, 7, 8, 63, 64, 99, 100, 163, 70_000]);
        let chunks =
            [Chunk { first_row: 0, rows: 100 }, Chunk { first_row: 100, rows: 64 }, Chunk { first_row: 164, rows: 1 }];
        let masks = LiveMasks::default();
        for (index, chunk) in chunks.iter().enumerate() {
            for _ in 0..2 {
                let mask = masks.of(&deletes, &chunks, index).unwrap();
                assert_eq!(mask.len(), chunk.rows);
                for row in 0..chunk.rows {
                    let number = u32::try_from(chunk.first_row as usize + row).unwrap();
                    assert_eq!(mask.value(row), !deletes.contains(number), "row {number}");
                }
            }
        }
        assert!(masks.of(&deletes, &chunks, 3).is_none());
    }
}
