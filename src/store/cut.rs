//! Where parts begin and end.
//!
//! For: staging, flush and compaction, which hand over arranged rows and get parts. Promises: no part passes the limits
//! of bytes and rows, none holds rows of two buckets, and two parts of a run share no leading key, unless one key alone
//! fills a part. Does not: install anything; a part that is dropped before it is named takes its files with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arrange::{self, Arranged};
use crate::config::StoreConfig;
use crate::error::Result;
use crate::object::TableLayout;
use crate::part::{self, BATCH_ROWS, Part, PartPlace, PartSpec};
use crate::{Oid, Seq};

/// What the parts of one rewrite have in common.
pub(crate) struct Target<'a> {
    pub(crate) place: &'a Arc<PartPlace>,
    pub(crate) config: &'a StoreConfig,
    pub(crate) table: Oid,
    pub(crate) layout: &'a TableLayout,
    pub(crate) min_seq: Seq,
    pub(crate) max_seq: Seq,
    pub(crate) level: u8,
    /// Average bytes of a row, for the limit of bytes.
    pub(crate) row_bytes: u64,
}

/// Writes all arranged rows as parts, each with its first row in the arrangement. `runs` gives the run by bucket; a
/// bucket without one gets a run named after its first part. `next_number` numbers the parts.
pub(crate) fn write_parts(
    target: &Target<'_>,
    arranged: &Arranged,
    runs: &mut BTreeMap<i64, u32>,
    next_number: &mut dyn FnMut() -> u32,
) -> Result<Vec<(usize, Arc<Part>)>> {
    let (ids, fields) = arrange::part_columns(target.layout);
    let rows_max = rows_per_part(target.config, target.row_bytes);
    let mut parts = Vec::new();
    for (bucket, stretch) in arranged.stretches() {
        let mut start = stretch.start;
        while start < stretch.end {
            let limit = stretch.end.min(start + rows_max);
            let end = if limit == stretch.end { limit } else { arranged.cut(target.layout, start, limit)? };
            let number = next_number();
            let spec = PartSpec {
                table: target.table,
                number,
                ids: &ids,
                fields: &fields,
                keys: &target.layout.keys,
                min_seq: target.min_seq,
                max_seq: target.max_seq,
                level: target.level,
                run: *runs.entry(bucket).or_insert(number),
                bucket,
            };
            parts.push((start, Arc::new(part::write(target.place, &spec, arranged, start..end)?)));
            start = end;
        }
    }
    Ok(parts)
}

/// Rows per part, so that none passes its limits: whole batches, at least one.
pub(crate) fn rows_per_part(config: &StoreConfig, row_bytes: u64) -> usize {
    let by_bytes = config.part_bytes_max / row_bytes.max(1);
    let limit = usize::try_from(by_bytes.min(config.part_rows_max)).unwrap_or(BATCH_ROWS);
    if limit < BATCH_ROWS { limit.max(1) } else { limit / BATCH_ROWS * BATCH_ROWS }
}
