//! The scan against a slow obvious twin: every live row, filtered by the same expression in one piece.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::compute::{
    LexicographicalComparator, SortColumn, concat_batches, filter_record_batch, take, take_record_batch,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::stats::Precision;
use datafusion::common::{Constraints, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::source::DataSource;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, Operator, binary_expr, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use tributary_store::{PRIVATE_SOURCES_FROM, Sketch};

use super::ordered::ORDER;
use super::row_source::{GRANULE_ROWS, RowSource, Summary, Values, Zones};
use super::{PartSource, ScanRequest, ScanTable};

/// Batches without bounds, as a delta has them.
#[derive(Debug)]
struct BatchSource {
    number: u32,
    chunks: Vec<(u64, usize)>,
    batches: Vec<RecordBatch>,
    rows: u64,
    deletes: Option<Arc<RoaringBitmap>>,
}

impl BatchSource {
    /// A source over batches whose columns stand in table order.
    fn new(number: u32, batches: Vec<RecordBatch>, deletes: Option<Arc<RoaringBitmap>>) -> Self {
        let mut rows = 0;
        let chunks = batches
            .iter()
            .map(|batch| {
                let first = rows;
                rows += batch.num_rows() as u64;
                (first, batch.num_rows())
            })
            .collect();
        let deletes = deletes.filter(|deletes| !deletes.is_empty());
        Self { number, chunks, batches, rows, deletes }
    }
}

impl RowSource for BatchSource {
    fn number(&self) -> u32 {
        self.number
    }
    fn rows(&self) -> u64 {
        self.rows
    }
    fn deletes(&self) -> Option<&RoaringBitmap> {
        self.deletes.as_deref()
    }
    fn part(&self) -> bool {
        false
    }
    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
    fn chunk(&self, chunk: usize) -> (u64, usize) {
        self.chunks[chunk]
    }
    fn values(&self, chunk: usize, column: usize) -> Result<Values> {
        Ok(Values::Plain(Arc::clone(self.batches[chunk].column(column))))
    }
    fn zones(&self, _column: usize) -> Option<Zones> {
        None
    }
    fn summary(&self, _column: usize) -> Option<Summary> {
        None
    }
}

/// Batches with bounds computed the slow way, in chunks of eight granules as parts have.
#[derive(Debug)]
struct BoundedSource {
    rows: BatchSource,
    batch: RecordBatch,
}

impl BoundedSource {
    fn new(number: u32, batch: RecordBatch, deletes: RoaringBitmap) -> Self {
        let chunks = (0..batch.num_rows())
            .step_by(8 * GRANULE_ROWS)
            .map(|first| batch.slice(first, (8 * GRANULE_ROWS).min(batch.num_rows() - first)));
        Self { rows: BatchSource::new(number, chunks.collect(), Some(Arc::new(deletes))), batch }
    }

    fn bounds(values: &ArrayRef) -> (Option<u32>, Option<u32>, u64, bool) {
        let compare = arrow::array::make_comparator(values, values, Default::default()).unwrap();
        let valid = || (0..values.len()).filter(|&row| values.is_valid(row));
        let nan = values.as_primitive_opt::<Float64Type>();
        let nan = nan.is_some_and(|floats| floats.iter().flatten().any(f64::is_nan));
        let min = valid().min_by(|&left, &right| compare(left, right)).map(|row| row as u32);
        let max = valid().max_by(|&left, &right| compare(left, right)).map(|row| row as u32);
        (min, max, values.null_count() as u64, nan)
    }
}

impl RowSource for BoundedSource {
    fn number(&self) -> u32 {
        self.rows.number()
    }
    fn rows(&self) -> u64 {
        self.rows.rows()
    }
    fn deletes(&self) -> Option<&RoaringBitmap> {
        self.rows.deletes()
    }
    fn part(&self) -> bool {
        true
    }
    fn chunk_count(&self) -> usize {
        self.rows.chunk_count()
    }
    fn chunk(&self, chunk: usize) -> (u64, usize) {
        self.rows.chunk(chunk)
    }
    /// Text as codes, in order of first use.
    fn values(&self, chunk: usize, column: usize) -> Result<Values> {
        let values = self.rows.values(chunk, column)?;
        let Values::Plain(texts) = &values else { return Ok(values) };
        let Some(texts) = texts.as_string_view_opt() else { return Ok(values) };
        let mut distinct: Vec<&str> = vec![];
        let keys: UInt16Array = texts
            .iter()
            .map(|text| {
                text.map(|text| {
                    let code = distinct.iter().position(|known| *known == text);
                    code.unwrap_or_else(|| {
                        distinct.push(text);
                        distinct.len() - 1
                    }) as u16
                })
            })
            .collect();
        Ok(Values::Codes { keys: Arc::new(keys), values: Arc::new(StringViewArray::from(distinct)) })
    }
    fn merge_sketch(&self, column: usize, into: &mut Sketch) -> bool {
        into.add(self.batch.column(column))
    }
    fn zones(&self, column: usize) -> Option<Zones> {
        let values = self.batch.column(column);
        let (mut mins, mut maxs, mut nulls) = (vec![], vec![], vec![]);
        for first in (0..values.len()).step_by(GRANULE_ROWS) {
            let granule = values.slice(first, GRANULE_ROWS.min(values.len() - first));
            let (min, max, null_count, nan) = Self::bounds(&granule);
            mins.push(min.map(|row| row + first as u32));
            maxs.push(max.filter(|_| !nan).map(|row| row + first as u32));
            nulls.push(null_count);
        }
        Some(Zones {
            min: take(values, &UInt32Array::from(mins), None).unwrap(),
            max: take(values, &UInt32Array::from(maxs), None).unwrap(),
            null_count: Arc::new(UInt64Array::from(nulls)),
        })
    }
    fn summary(&self, column: usize) -> Option<Summary> {
        let values = self.batch.column(column);
        let (min, max, null_count, nan) = Self::bounds(values);
        let value = |row: Option<u32>| match row {
            Some(row) => ScalarValue::try_from_array(values, row as usize).unwrap(),
            None => ScalarValue::try_from(values.data_type()).unwrap(),
        };
        Some(Summary { min: value(min), max: value(max), null_count, nan, exact: true })
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("t", DataType::Utf8View, true),
        Field::new("b", DataType::Boolean, true),
    ]))
}

/// A small generator of its own, so that one number describes the data.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Rows that drift upwards, so that granules have different bounds, with NULLs and NaNs in places.
fn batch(rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let (mut i, mut f, mut t, mut b) = (vec![], vec![], vec![], vec![]);
    let drift = random.next(3) as i64;
    for row in 0..rows {
        let place = row as i64 * drift / 40 + random.next(50) as i64;
        i.push((random.next(20) != 0).then_some(place));
        f.push(match random.next(40) {
            0 => None,
            1 if row / GRANULE_ROWS == 1 => Some(f64::NAN),
            2 => Some(0.0),
            _ => Some(place as f64 / 4.0 - 20.0),
        });
        t.push((random.next(20) != 0).then(|| format!("{:0>1$}", place, if place % 7 == 0 { 40 } else { 4 })));
        b.push((random.next(9) != 0).then_some(place % 3 == 0));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(i)),
        Arc::new(Float64Array::from(f)),
        Arc::new(StringViewArray::from_iter(t)),
        Arc::new(BooleanArray::from(b)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn deletes(rows: usize, one_in: u64, seed: u64) -> RoaringBitmap {
    let mut random = Random(seed ^ 0x5eed);
    match one_in {
        0 => RoaringBitmap::new(),
        one_in => (0..rows as u32).filter(|_| random.next(one_in) == 0).collect(),
    }
}

/// A table of parts, a delta and own rows, together with all its live rows, each with its address.
fn table(rows: [usize; 3], one_in: u64, seed: u64) -> (Arc<ScanTable>, RecordBatch) {
    let schema = ScanTable::schema_with_addr(&schema());
    let mut sources: Vec<Arc<dyn RowSource>> = vec![];
    let mut live = vec![];
    for (index, rows) in rows.into_iter().enumerate() {
        let seed = seed + index as u64;
        let number = [3, 7, PRIVATE_SOURCES_FROM][index];
        let (batch, deletes) = (batch(rows, seed), deletes(rows, one_in, seed));
        let kept: UInt32Array = (0..rows as u32).filter(|row| !deletes.contains(*row)).collect();
        let mut columns = take_record_batch(&batch, &kept).unwrap().columns().to_vec();
        let addr = kept.values().iter().map(|&row| u64::from(number) << 32 | u64::from(row));
        columns.push(Arc::new(UInt64Array::from_iter_values(addr)));
        live.push(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
        sources.push(if index == 0 {
            Arc::new(BoundedSource::new(number, batch, deletes))
        } else {
            // Small uneven batches, as single inserts leave them.
            let cut = (0..rows).step_by(1_000).map(|first| batch.slice(first, 1_000.min(rows - first)));
            Arc::new(BatchSource::new(number, cut.collect(), Some(Arc::new(deletes))))
        });
    }
    let live = concat_batches(&schema, &live).unwrap();
    let addr = Some(schema.fields().len() - 1);
    let name = "t".to_owned();
    (
        Arc::new(ScanTable {
            distinct: Default::default(),
            name,
            schema,
            sources,
            addr,
            order_by: vec![],
            constraints: Constraints::default(),
            keys: vec![],
            locked: None,
        }),
        live,
    )
}

fn physical(expr: Expr, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    let schema = DFSchema::try_from(schema.clone()).unwrap();
    SessionContext::new().create_physical_expr(expr, &schema).unwrap()
}

/// Rows as text, sorted: partitions deliver in any order.
fn sorted_rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    rows.sort_unstable();
    rows
}

fn run(table: &Arc<ScanTable>, request: ScanRequest) -> Vec<RecordBatch> {
    let scan = PartSource::try_new(Arc::clone(table), request).unwrap().into_exec();
    let context = SessionContext::new().task_ctx();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(collect(scan, context)).unwrap()
}

fn comparison() -> impl Strategy<Value = Expr> {
    let operator = prop_oneof![
        Just(Operator::Eq),
        Just(Operator::NotEq),
        Just(Operator::Lt),
        Just(Operator::LtEq),
        Just(Operator::Gt),
        Just(Operator::GtEq),
        Just(Operator::IsDistinctFrom),
        Just(Operator::IsNotDistinctFrom),
    ];
    let side = prop_oneof![
        (-5i64..1_500).prop_map(|value| (col("i"), lit(value))),
        prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), -30.0..400.0f64]
            .prop_map(|value| (col("f"), lit(value))),
        (0i64..1_500, prop_oneof![Just(4), Just(40)])
            .prop_map(|(value, width)| (col("t"), lit(ScalarValue::Utf8View(Some(format!("{value:0>width$}")))))),
    ];
    (operator, side).prop_map(|(operator, (left, right))| binary_expr(left, operator, right))
}

fn predicate() -> impl Strategy<Value = Expr> {
    let text = |value: i64| lit(ScalarValue::Utf8View(Some(format!("{value:0>4}"))));
    let leaf = prop_oneof![
        6 => comparison(),
        1 => Just(col("b")),
        1 => prop_oneof![Just("i"), Just("f"), Just("t"), Just("b")].prop_map(|name| col(name).is_null()),
        1 => prop_oneof![Just("i"), Just("f"), Just("t"), Just("b")].prop_map(|name| col(name).is_not_null()),
        1 => prop::collection::vec(0i64..1_500, 1..6)
            .prop_map(|values| col("i").in_list(values.into_iter().map(lit).collect(), false)),
        1 => prop::collection::vec(0i64..1_500, 1..6)
            .prop_map(move |values| col("t").in_list(values.into_iter().map(text).collect(), true)),
        1 => "[01]{1,3}".prop_map(|prefix| col("t").like(lit(ScalarValue::Utf8View(Some(format!("{prefix}%")))))),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.and(right)),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.or(right)),
            inner.prop_map(|inner| !inner),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_pruned_scan_gives_the_rows_of_a_full_one(
        // Making the data costs most, so many conditions are tried on it.
        tries in prop::collection::vec(prop::collection::vec(predicate(), 1..4), 30),
        rows in (0usize..30_000, 0usize..3_000, 0usize..2_000),
        one_in in prop_oneof![Just(0u64), Just(2), Just(10), Just(5_000)],
        partitions in 1usize..4,
        seed in 0u64..1_000,
    ) {
        let (table, live) = table([rows.0, rows.1, rows.2], one_in, seed);
        let addr = table.addr.unwrap();
        let addresses = |batches: &[RecordBatch], column: usize| {
            let batches = batches.iter().map(|batch| batch.column(column).as_primitive::<UInt64Type>().values().to_vec());
            let mut all: Vec<u64> = batches.flatten().collect();
            all.sort_unstable();
            all
        };
        for (index, filters) in tries.into_iter().enumerate() {
            let filters: Vec<_> = filters.into_iter().map(|filter| physical(filter, &table.schema)).collect();
            let mut expected = live.clone();
            for filter in &filters {
                let passes = filter.evaluate(&expected).unwrap().into_array(expected.num_rows()).unwrap();
                expected = filter_record_batch(&expected, passes.as_boolean()).unwrap();
            }
            // Whole rows once, then only which rows they are.
            let projection = (index > 0).then(|| vec![addr]);
            let request = ScanRequest { filters, partitions, projection, ..ScanRequest::default() };
            let got = run(&table, request);
            if index == 0 {
                prop_assert_eq!(sorted_rows(&got), sorted_rows(&[expected]));
            } else {
                prop_assert_eq!(addresses(&got, 0), addresses(&[expected], addr));
            }
        }
    }
}

#[test]
fn every_size_around_a_granule_and_a_chunk_comes_out_whole() {
    for rows in [0, 1, 8_191, 8_192, 8_193, 65_537] {
        for one_in in [0, 3] {
            let (table, live) = table([rows, rows / 7, 1], one_in, rows as u64);
            let got = run(&table, ScanRequest { partitions: 2, ..ScanRequest::default() });
            assert_eq!(sorted_rows(&got), sorted_rows(&[live]), "{rows} rows, one in {one_in} deleted");
            assert!(got.iter().all(|batch| batch.num_rows() <= 8_192));
        }
    }
}

#[test]
fn an_untouched_granule_is_handed_out_without_a_copy() {
    let (table, _) = table([20_000, 0, 0], 0, 1);
    let request = ScanRequest { projection: Some(vec![0]), partitions: 1, ..ScanRequest::default() };
    let got = run(&table, request);
    let stored = table.sources[0].values(0, 0).unwrap().decoded().unwrap();
    let stored = stored.as_primitive::<arrow::datatypes::Int64Type>().values();
    let first = got[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().values();
    assert_eq!(first.as_ptr(), stored.as_ptr());
}

#[test]
fn pruning_counts_parts_and_granules() {
    let rows: Int64Array = (0..40_000).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(rows)]).unwrap();
    let sources: Vec<Arc<dyn RowSource>> = vec![
        Arc::new(BoundedSource::new(1, batch.slice(0, 20_000), RoaringBitmap::new())),
        Arc::new(BoundedSource::new(2, batch.slice(20_000, 20_000), RoaringBitmap::new())),
    ];
    let table = ScanTable {
        distinct: Default::default(),
        name: "t".to_owned(),
        schema,
        sources,
        addr: None,
        order_by: vec![],
        constraints: Constraints::default(),
        keys: vec![],
        locked: None,
    };
    let table = Arc::new(table);
    for (filter, parts, granules) in [
        (col("i").eq(lit(8_192i64)), 1, 1),
        (col("i").gt(lit(35_000i64)), 1, 2),
        (col("i").gt_eq(lit(0i64)), 2, 6),
        (col("i").eq(lit(-1i64)), 0, 0),
        (col("i").is_null(), 0, 0),
        (col("i").in_list(vec![lit(5i64), lit(39_999i64)], false), 2, 2),
    ] {
        let filters = vec![physical(filter.clone(), &table.schema)];
        let request = ScanRequest { filters, partitions: 1, ..ScanRequest::default() };
        let scan = PartSource::try_new(Arc::clone(&table), request).unwrap();
        assert_eq!((scan.selected().parts, scan.selected().granules), (parts, granules), "{filter}");
        assert_eq!((scan.selected().parts_total, scan.selected().granules_total), (2, 6));
    }
}

#[test]
fn exact_statistics_are_those_of_the_rows() {
    for (rows, one_in, exact_bounds) in
        [([20_000, 0, 0], 0, true), ([20_000, 0, 0], 9, false), ([20_000, 0, 5], 0, false)]
    {
        let (table, live) = table(rows, one_in, 77);
        let scan = PartSource::try_new(Arc::clone(&table), ScanRequest { partitions: 1, ..ScanRequest::default() });
        let statistics = scan.unwrap().partition_statistics(None).unwrap();
        assert_eq!(statistics.num_rows, Precision::Exact(live.num_rows()));
        let int = &statistics.column_statistics[0];
        let values = live.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        if exact_bounds {
            assert_eq!(int.null_count, Precision::Exact(values.null_count()));
            assert_eq!(int.min_value, Precision::Exact(ScalarValue::Int64(arrow::compute::min(values))));
            assert_eq!(int.max_value, Precision::Exact(ScalarValue::Int64(arrow::compute::max(values))));
        } else {
            assert_ne!(int.null_count.is_exact(), Some(true));
            assert_ne!(int.min_value.is_exact(), Some(true));
        }
        // The floats hold NaN.
        assert_ne!(statistics.column_statistics[1].max_value.is_exact(), Some(true));
        let filters = vec![physical(col("b").is_not_null(), &table.schema)];
        let scan = PartSource::try_new(table, ScanRequest { filters, partitions: 1, ..ScanRequest::default() });
        assert_eq!(scan.unwrap().partition_statistics(None).unwrap().num_rows.is_exact(), Some(false));
    }
}

#[test]
fn distinct_counts_come_from_sketches_and_are_never_exact() {
    for (rows, known) in [([20_000, 0, 0], true), ([20_000, 0, 5_000], true), ([2_000, 0, 5_000], false)] {
        let (table, live) = table(rows, 9, 77);
        let scan = PartSource::try_new(table, ScanRequest { partitions: 1, ..ScanRequest::default() }).unwrap();
        let statistics = scan.partition_statistics(None).unwrap();
        let found = statistics.column_statistics[0].distinct_count;
        if !known {
            assert_eq!(found, Precision::Absent, "most rows are in no sketch");
            continue;
        }
        let values = live.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        let exact = values.iter().flatten().collect::<std::collections::HashSet<_>>().len() as f64;
        let Precision::Inexact(estimate) = found else { panic!("{found:?}") };
        // Deleted rows, and those in memory, may hold a few values of their own.
        assert!((estimate as f64 - exact).abs() <= exact * 0.3, "{estimate} of {exact}");
    }
}

#[test]
fn a_condition_never_sees_rows_that_failed_an_earlier_one_or_are_deleted() {
    let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, false)]));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..10_000).map(|row| row % 3)));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
    let zeros: RoaringBitmap = (0..10_000).step_by(3).collect();
    let divides = || physical((lit(6i64) / col("i")).gt(lit(3i64)), &schema);
    let nonzero = physical(col("i").not_eq(lit(0i64)), &schema);
    for (deletes, filters, expected) in
        [(RoaringBitmap::new(), vec![nonzero, divides()], 3_333), (zeros, vec![divides()], 3_333)]
    {
        let sources: Vec<Arc<dyn RowSource>> = vec![Arc::new(BoundedSource::new(1, batch.clone(), deletes))];
        let schema = Arc::clone(&schema);
        let table = ScanTable {
            distinct: Default::default(),
            name: "t".to_owned(),
            schema,
            sources,
            addr: None,
            order_by: vec![],
            constraints: Constraints::default(),
            keys: vec![],
            locked: None,
        };
        let got = run(&Arc::new(table), ScanRequest { filters, partitions: 1, ..ScanRequest::default() });
        assert_eq!(got.iter().map(RecordBatch::num_rows).sum::<usize>(), expected);
    }
}

#[test]
fn addresses_name_source_and_row() {
    let (table, _) = table([3, 2, 1], 0, 5);
    let projection = Some(vec![table.addr.unwrap()]);
    let got = run(&table, ScanRequest { projection, partitions: 1, ..ScanRequest::default() });
    let all: Vec<u64> =
        got.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec()).collect();
    let overlay = u64::from(PRIVATE_SOURCES_FROM) << 32;
    assert_eq!(all, [3 << 32, 3 << 32 | 1, 3 << 32 | 2, 7 << 32, 7 << 32 | 1, overlay]);
}

/// A context whose queries have so much memory, and may spill or not.
fn context(memory: usize, mode: DiskManagerMode) -> Arc<TaskContext> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc();
    let config = SessionConfig::new().with_sort_spill_reservation_bytes(memory / 4);
    SessionContext::new_with_config_rt(config, runtime.unwrap()).task_ctx()
}

#[test]
fn rows_that_an_ordered_scan_must_sort_are_paid_for_and_spill() {
    let (table, live) = table([0, 100_000, 20_000], 9, 3);
    let Some(mut table) = Arc::into_inner(table) else { panic!("the table is shared") };
    table.order_by = vec![0, 2];
    let request = ScanRequest { partitions: 1, ..ScanRequest::default() };
    let scan = PartSource::try_new(Arc::new(table), request).unwrap().into_ordered(1).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let run = |memory, mode| runtime.block_on(collect(scan.clone().into_exec(), context(memory, mode)));
    let refused = run(8 << 20, DiskManagerMode::Disabled).unwrap_err();
    assert!(matches!(refused.find_root(), DataFusionError::ResourcesExhausted(_)), "{refused}");
    for memory in [8 << 20, 256 << 20] {
        let rows =
            concat_batches(&scan.table().schema, &run(memory, DiskManagerMode::OsTmpDirectory).unwrap()).unwrap();
        assert_eq!(sorted_rows(std::slice::from_ref(&rows)), sorted_rows(std::slice::from_ref(&live)));
        let keys = [0, 2].map(|column| SortColumn { values: Arc::clone(rows.column(column)), options: Some(ORDER) });
        let compare = LexicographicalComparator::try_new(&keys).unwrap();
        assert!((1..rows.num_rows()).all(|row| compare.compare(row - 1, row).is_le()), "{memory}");
    }
}
