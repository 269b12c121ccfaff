//! What a scan tells the planner about its rows.
//!
//! DataFusion answers `count(*)`, `min` and `max` from exact statistics, so an exact figure that is wrong is a wrong
//! answer. The rules: the row count is exact only without filter and fetch; null counts and bounds in addition only if no
//! row is deleted, every source has bounds that occur as they stand, and no NaN is in the column. The rest is an estimate,
//! and counts of different values always are: they come from the sketches of parts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};

use tributary_store::Sketch;

use super::row_source::{RowSource, Summary};
use super::{PartSource, ScanTable};

/// Share of rows a filter is guessed to keep, as DataFusion guesses.
const FILTER_KEEPS: f64 = 0.2;

/// Statistics of the projected columns over all partitions.
pub(super) fn of_scan(scan: &PartSource) -> Result<Statistics> {
    let filtered = !scan.conjuncts.is_empty();
    // Rows that are to be locked must be read.
    let exact = !filtered
        && scan.table.locked.is_none()
        && scan.fetch.is_none()
        && scan.slices.len() == scan.selected.granules_total;
    let mut statistics = Statistics::new_unknown(&scan.projected_schema);
    let live = live_row_count(&scan.table);
    let read: usize = scan.slices.iter().map(|slice| slice.rows as usize).sum();
    statistics.num_rows = if exact {
        Precision::Exact(live)
    } else {
        let rows = if filtered { (read.min(live) as f64 * FILTER_KEEPS).ceil() as usize } else { live };
        Precision::Inexact(rows.min(scan.fetch.unwrap_or(usize::MAX)))
    };
    for (statistic, &column) in statistics.column_statistics.iter_mut().zip(scan.projection.iter()) {
        if scan.table.addr != Some(column) {
            *statistic = of_column(&scan.table, column, exact);
        }
    }
    Ok(statistics)
}

/// Different values by column, once they were asked for. A plan asks several times, and a table has many parts.
#[derive(Debug, Default)]
pub(crate) struct DistinctCounts {
    known: Mutex<HashMap<usize, Option<usize>>>,
}

impl DistinctCounts {
    fn of(&self, table: &ScanTable, column: usize) -> Option<usize> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(column).or_insert_with(|| distinct_count(table, column))
    }
}

/// About how many different values a column has; None if half of the rows or more are in no sketch.
fn distinct_count(table: &ScanTable, column: usize) -> Option<usize> {
    let mut all = Sketch::default();
    let sketched = table.sources.iter().filter(|source| source.merge_sketch(column, &mut all));
    let sketched: u64 = sketched.map(|source| source.rows()).sum();
    let rows: u64 = table.sources.iter().map(|source| source.rows()).sum();
    // The sketches know deleted rows too; there are no more values than rows.
    (sketched * 2 > rows).then(|| (all.estimate().round() as usize).min(live_row_count(table)))
}

/// Rows of the table that are not deleted.
pub(super) fn live_row_count(table: &ScanTable) -> usize {
    table.sources.iter().map(|source| live_rows(source.as_ref())).sum::<u64>() as usize
}

fn live_rows(source: &dyn RowSource) -> u64 {
    source.rows() - source.deletes().map_or(0, |deletes| deletes.len())
}

fn of_column(table: &ScanTable, column: usize, exact: bool) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    let data_type = table.schema.field(column).data_type();
    if let Some(count) = table.distinct.of(table, column) {
        statistics.distinct_count = Precision::Inexact(count);
    }
    let mut bounds: Option<Summary> = None;
    let mut exact_counts = exact;
    let mut nulls = 0;
    for source in table.sources.iter().filter(|source| source.rows() > 0) {
        let Some(summary) = source.summary(column) else { return statistics };
        exact_counts &= source.deletes().is_none();
        nulls += summary.null_count;
        if summary.null_count < source.rows() && !merge(&mut bounds, summary) {
            return statistics;
        }
    }
    let nulls = nulls as usize;
    statistics.null_count = if exact_counts { Precision::Exact(nulls) } else { Precision::Inexact(nulls) };
    let Ok(empty) = ScalarValue::try_from(data_type) else { return statistics };
    let (min, max, exact_bounds) = match bounds {
        Some(bounds) => (bounds.min, bounds.max, exact_counts && bounds.exact && !bounds.nan),
        // No value at all: both are NULL.
        None => (empty.clone(), empty, exact_counts),
    };
    if exact_bounds {
        statistics.min_value = Precision::Exact(min);
        statistics.max_value = Precision::Exact(max);
    } else if !min.is_null() && !max.is_null() {
        statistics.min_value = Precision::Inexact(min);
        statistics.max_value = Precision::Inexact(max);
    }
    statistics
}

/// Widens `bounds` by those of one more source; false if nothing is known then.
fn merge(bounds: &mut Option<Summary>, next: Summary) -> bool {
    let Some(bounds) = bounds else {
        *bounds = Some(next);
        return true;
    };
    bounds.nan |= next.nan;
    bounds.exact &= next.exact;
    if bounds.min.is_null() || bounds.max.is_null() || next.min.is_null() || next.max.is_null() {
        bounds.exact = false;
    }
    let below = next.min.partial_cmp(&bounds.min);
    let above = next.max.partial_cmp(&bounds.max);
    let (Some(below), Some(above)) = (below, above) else { return false };
    if below.is_lt() {
        bounds.min = next.min;
    }
    if above.is_gt() {
        bounds.max = next.max;
    }
    true
}
