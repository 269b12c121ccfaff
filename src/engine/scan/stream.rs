//! One partition of a running scan.
//!
//! The stream takes units of granules from a queue, shared among partitions or dealt out in advance, and turns each
//! granule into rows: delete vector, filters, then the remaining columns for the rows that passed. Where nothing is
//! dropped a batch is a slice of the mapped file, without a copy; small remainders are collected to fuller batches.
//! It gives way to the executor after a bounded number of granules without output, so a cancel is seen at once.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{BatchCoalescer, FilterBuilder};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_expr::DynamicFilterTracking;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, MetricBuilder};
use futures::Stream;

use super::PartSource;
use super::filter::{Judge, Selection, live_rows, select};
use super::ordered::Clip;
use super::prune::{Pruner, Slice};
use super::row_source::Values;

/// Batches of fewer rows are collected to fuller ones.
const BATCH_ROWS_MIN: usize = 4_096;

/// Rows of a full batch.
const BATCH_ROWS: usize = 8_192;

/// Granules read without output before the executor gets a turn.
const GRANULES_PER_TURN: usize = 16;

/// Where a partition gets its units from.
#[derive(Debug)]
pub(super) enum Queue {
    /// Whoever is free takes the next one.
    Shared(Arc<AtomicUsize>),
    /// Every n-th one.
    Dealt { next: usize, step: usize },
}

impl Queue {
    fn take(&mut self) -> usize {
        match self {
            Self::Shared(next) => next.fetch_add(1, Ordering::Relaxed),
            Self::Dealt { next, step } => {
                let unit = *next;
                *next += *step;
                unit
            }
        }
    }
}

/// What a stream reads.
#[derive(Debug)]
pub(super) enum Feed {
    /// Units from a queue.
    Units(Queue),
    /// These slices, in this order.
    List(VecDeque<Slice>),
}

/// Figures of a scan, shown by EXPLAIN ANALYZE.
#[derive(Debug)]
struct Figures {
    baseline: BaselineMetrics,
    granules_read: Count,
    granules_pruned: Count,
    rows_removed: Count,
}

/// The chunk whose columns are at hand.
#[derive(Debug, Default)]
struct Loaded {
    source: usize,
    chunk: usize,
    columns: Vec<Option<Values>>,
}

/// Rows of one partition of a scan.
pub(super) struct ScanStream {
    scan: PartSource,
    feed: Feed,
    clip: Clip,
    slices: Range<usize>,
    loaded: Loaded,
    judges: Vec<Judge>,
    late: LatePruning,
    coalescer: Option<BatchCoalescer>,
    ready: VecDeque<RecordBatch>,
    /// Rows of a scan without columns that are not handed out yet.
    bare_rows: usize,
    rows_left: usize,
    done: bool,
    figures: Figures,
}

impl ScanStream {
    pub(super) fn new(scan: PartSource, partition: usize, feed: Feed, clip: Clip) -> Self {
        let metrics = &scan.metrics;
        let figures = Figures {
            baseline: BaselineMetrics::new(metrics, partition),
            granules_read: MetricBuilder::new(metrics).counter("granules_read", partition),
            granules_pruned: MetricBuilder::new(metrics).counter("granules_pruned_late", partition),
            rows_removed: MetricBuilder::new(metrics).counter("rows_removed_by_filter", partition),
        };
        Self {
            feed,
            clip,
            slices: 0..0,
            loaded: Loaded { columns: vec![None; scan.table.schema.fields().len()], ..Loaded::default() },
            judges: scan.conjuncts.iter().map(|_| Judge::default()).collect(),
            late: LatePruning::new(&scan),
            coalescer: None,
            ready: VecDeque::new(),
            bare_rows: 0,
            rows_left: scan.fetch.unwrap_or(usize::MAX),
            done: false,
            figures,
            scan,
        }
    }

    /// Reads one granule, or ends the stream.
    fn step(&mut self) -> Result<()> {
        let Some(slice) = self.next_slice()? else {
            self.done = true;
            return self.flush();
        };
        self.figures.granules_read.add(1);
        let table = Arc::clone(&self.scan.table);
        let source = table.sources[slice.source as usize].as_ref();
        let rows = slice.rows as usize;
        let live = live_rows(source, slice);
        let clip = self.clip.clone();
        let live = match clip.select(source, slice, |column| self.load(slice, column))? {
            Some(mask) => live.and(mask),
            None => live,
        };
        let live_count = live.count(rows);
        let conjuncts = Arc::clone(&self.scan.conjuncts);
        let mut judges = std::mem::take(&mut self.judges);
        let selection = select(&conjuncts, &mut judges, live, rows, |column| self.load(slice, column));
        self.judges = judges;
        let selection = selection?;
        self.figures.rows_removed.add(live_count - selection.count(rows));
        self.emit(slice, &selection)
    }

    fn next_slice(&mut self) -> Result<Option<Slice>> {
        if self.rows_left == 0 {
            return Ok(None);
        }
        loop {
            for index in self.slices.by_ref() {
                let slice = self.scan.slices[index];
                if self.late.keeps(&self.scan, slice, &mut self.judges)? {
                    return Ok(Some(slice));
                }
                self.figures.granules_pruned.add(1);
            }
            let queue = match &mut self.feed {
                Feed::Units(queue) => queue,
                Feed::List(slices) => {
                    let Some(slice) = slices.pop_front() else { return Ok(None) };
                    if self.late.keeps(&self.scan, slice, &mut self.judges)? {
                        return Ok(Some(slice));
                    }
                    self.figures.granules_pruned.add(1);
                    continue;
                }
            };
            match self.scan.units.get(queue.take()) {
                Some(unit) => self.slices = unit.clone(),
                None => return Ok(None),
            }
        }
    }

    /// The values of a column for all rows of a granule.
    fn load(&mut self, slice: Slice, column: usize) -> Result<Values> {
        let table = &self.scan.table;
        let source = table.sources[slice.source as usize].as_ref();
        let (first, rows) = (slice.first as usize, slice.rows as usize);
        if table.addr == Some(column) {
            let row = source.chunk(slice.chunk as usize).0 + first as u64;
            let addr = u64::from(source.number()) << 32 | row;
            return Ok(Values::Plain(Arc::new(UInt64Array::from_iter_values(addr..addr + rows as u64))));
        }
        let (source_index, chunk) = (slice.source as usize, slice.chunk as usize);
        if self.loaded.source != source_index || self.loaded.chunk != chunk {
            self.loaded.columns.fill(None);
            (self.loaded.source, self.loaded.chunk) = (source_index, chunk);
        }
        let values = match &self.loaded.columns[column] {
            Some(values) => values,
            None => self.loaded.columns[column].insert(source.values(chunk, column)?),
        };
        Ok(values.slice(first, rows))
    }

    fn emit(&mut self, slice: Slice, selection: &Selection) -> Result<()> {
        let rows = slice.rows as usize;
        let count = selection.count(rows).min(self.rows_left);
        if count == 0 {
            return Ok(());
        }
        self.rows_left -= count;
        self.note_locked(slice, selection, count);
        let projection = Arc::clone(&self.scan.projection);
        if projection.is_empty() {
            self.bare_rows += count;
            if self.bare_rows >= BATCH_ROWS {
                self.flush_bare()?;
            }
            return Ok(());
        }
        let filter = match selection {
            Selection::Some(mask, _) => {
                let filter = FilterBuilder::new(&BooleanArray::new(mask.clone(), None));
                Some(if projection.len() > 1 { filter.optimize() } else { filter }.build())
            }
            _ => None,
        };
        let column = |index: &usize| {
            let values = self.load(slice, *index)?;
            match &filter {
                Some(filter) => values.filtered(filter),
                None => values.decoded(),
            }
        };
        let columns = projection.iter().map(column).collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(selection.count(rows)));
        let mut batch = RecordBatch::try_new_with_options(Arc::clone(&self.scan.projected_schema), columns, &options)?;
        if batch.num_rows() > count {
            batch = batch.slice(0, count);
        }
        self.push(batch)
    }

    /// Tells who locks the rows which ones are handed out.
    fn note_locked(&self, slice: Slice, selection: &Selection, count: usize) {
        let Some((table, locked)) = &self.scan.table.locked else { return };
        let source = self.scan.table.sources[slice.source as usize].as_ref();
        // A source holds fewer than 2^32 rows.
        let first = source.chunk(slice.chunk as usize).0 as u32 + slice.first;
        match selection {
            Selection::Some(mask, _) => {
                locked.note(*table, source.number(), mask.set_indices().take(count).map(|row| first + row as u32));
            }
            _ => locked.note(*table, source.number(), first..first + count as u32),
        }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() >= BATCH_ROWS_MIN {
            self.flush()?;
            self.ready.push_back(batch);
            return Ok(());
        }
        let schema = &self.scan.projected_schema;
        let coalescer = self.coalescer.get_or_insert_with(|| BatchCoalescer::new(Arc::clone(schema), BATCH_ROWS));
        coalescer.push_batch(batch)?;
        self.ready.extend(std::iter::from_fn(|| coalescer.next_completed_batch()));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_bare()?;
        if let Some(coalescer) = &mut self.coalescer {
            coalescer.finish_buffered_batch()?;
            self.ready.extend(std::iter::from_fn(|| coalescer.next_completed_batch()));
        }
        Ok(())
    }

    fn flush_bare(&mut self) -> Result<()> {
        if self.bare_rows > 0 {
            let options = RecordBatchOptions::new().with_row_count(Some(self.bare_rows));
            let schema = Arc::clone(&self.scan.projected_schema);
            self.ready.push_back(RecordBatch::try_new_with_options(schema, vec![], &options)?);
            self.bare_rows = 0;
        }
        Ok(())
    }
}

impl Stream for ScanStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let compute = this.figures.baseline.elapsed_compute().clone();
        let _timer = compute.timer();
        for _ in 0..GRANULES_PER_TURN {
            if let Some(batch) = this.ready.pop_front() {
                this.figures.baseline.record_output(batch.num_rows());
                return Poll::Ready(Some(Ok(batch)));
            }
            if this.done {
                return Poll::Ready(None);
            }
            if let Err(error) = this.step() {
                this.done = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.scan.projected_schema)
    }
}

/// Pruning by filters that become known while the query runs: scalar subqueries, joins, TopK, min and max.
struct LatePruning {
    tracking: Option<DynamicFilterTracking>,
    pruner: Option<Pruner>,
    fresh: bool,
}

impl LatePruning {
    fn new(scan: &PartSource) -> Self {
        let tracking = scan
            .conjuncts
            .iter()
            .any(|conjunct| conjunct.late)
            .then(|| DynamicFilterTracking::classify(&conjunction(scan.late_filters().cloned())));
        Self { fresh: tracking.is_some(), tracking, pruner: None }
    }

    /// Whether a granule may still hold rows that pass.
    fn keeps(&mut self, scan: &PartSource, slice: Slice, judges: &mut [Judge]) -> Result<bool> {
        let Some(tracking) = &mut self.tracking else { return Ok(true) };
        let changed = tracking.watcher().is_some_and(|watcher| watcher.changed());
        if changed || std::mem::take(&mut self.fresh) {
            let filters: Vec<_> = scan.late_filters().cloned().collect();
            self.pruner = Pruner::new(&filters, &scan.table.schema);
            // What was learnt of the conditions that stay is still true.
            let late = judges.iter_mut().zip(scan.conjuncts.iter()).filter(|(_, conjunct)| conjunct.late);
            late.for_each(|(judge, _)| judge.reset());
        }
        match &self.pruner {
            Some(pruner) => {
                let source = scan.table.sources[slice.source as usize].as_ref();
                Ok(pruner.slices_kept(source, &[slice])?.first().copied().unwrap_or(true))
            }
            None => Ok(true),
        }
    }
}
