//! Benches of the functions' kernels, through the accumulators and calls that the engine uses.
//!
//! `cargo bench -p tributary-udfs` prints time per run; inputs are seeded, so two runs compare.

#![expect(missing_docs, reason = "criterion_group! makes a public function without docs")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use arrow::datatypes::{Field, FieldRef, Schema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{
    Accumulator, AggregateUDF, ColumnarValue, EmitTo, GroupsAccumulator, ReturnFieldArgs, ScalarFunctionArgs,
};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use tributary_udfs::{FAMILIES, Implementation};

const ROWS: usize = 1_000_000;
const BATCH: usize = 8_192;

fn implementation(name: &str) -> Implementation {
    let mut functions = FAMILIES.iter().flat_map(|family| (family.functions)());
    functions.find(|function| function.name() == name).unwrap_or_else(|| panic!("no function {name}")).implementation
}

/// An aggregate with its arguments, cut into batches.
struct Aggregate {
    udf: Arc<AggregateUDF>,
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
}

impl Aggregate {
    fn new(name: &str, columns: Vec<ArrayRef>) -> Self {
        let Implementation::Aggregate(udf) = implementation(name) else { panic!("{name} is no aggregate") };
        let fields = columns.iter().map(|c| Arc::new(Field::new("c", c.data_type().clone(), true)) as FieldRef);
        Self { udf, fields: fields.collect(), columns }
    }

    fn with<T>(&self, create: impl FnOnce(&AggregateUDF, AccumulatorArgs) -> T) -> T {
        let columns = 0..self.fields.len();
        let exprs: Vec<Arc<dyn PhysicalExpr>> = columns.map(|i| Arc::new(Column::new("c", i)) as _).collect();
        let args = AccumulatorArgs {
            return_field: self.udf.return_field(&self.fields).expect("the types fit"),
            schema: &Schema::new(self.fields.clone()),
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: self.udf.name(),
            is_distinct: false,
            exprs: &exprs,
            expr_fields: &self.fields,
        };
        create(&self.udf, args)
    }

    fn batches(&self) -> impl Iterator<Item = (usize, Vec<ArrayRef>)> + '_ {
        let rows = self.columns[0].len();
        (0..rows).step_by(BATCH).map(move |from| {
            let count = BATCH.min(rows - from);
            (from, self.columns.iter().map(|column| column.slice(from, count)).collect())
        })
    }

    fn run(&self) -> ScalarValue {
        let mut accumulator: Box<dyn Accumulator> =
            self.with(|udf, args| udf.accumulator(args)).expect("the types fit");
        for (_, batch) in self.batches() {
            accumulator.update_batch(&batch).expect("the values fit");
        }
        accumulator.evaluate().expect("the result fits")
    }

    fn run_grouped(&self, groups: &[usize], group_count: usize) -> ArrayRef {
        let mut accumulator: Box<dyn GroupsAccumulator> =
            self.with(|udf, args| udf.create_groups_accumulator(args)).expect("groups are supported");
        for (from, batch) in self.batches() {
            let groups = &groups[from..from + batch[0].len()];
            accumulator.update_batch(&batch, groups, None, group_count).expect("the values fit");
        }
        accumulator.evaluate(EmitTo::All).expect("the result fits")
    }
}

/// A seeded xorshift.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

fn aggregates(c: &mut Criterion) {
    let mut group = c.benchmark_group("aggregates");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
    let dense: ArrayRef = Arc::new(numbers(1).take(ROWS).map(|n| Some((n % 2_000_000) as i32)).collect::<Int32Array>());
    let hashed: ArrayRef = Arc::new(numbers(2).take(ROWS).map(|n| Some(n as i64)).collect::<Int64Array>());
    let groups: Vec<usize> = numbers(3).take(ROWS).map(|n| (n % 50) as usize).collect();
    let build = Aggregate::new("rb_build_agg", vec![dense]);
    group.bench_function("rb_build_agg, dense ids", |b| b.iter(|| black_box(build.run())));
    group
        .bench_function("rb_build_agg, dense ids, 50 groups", |b| b.iter(|| black_box(build.run_grouped(&groups, 50))));
    let build = Aggregate::new("rb_build_agg", vec![hashed]);
    group.bench_function("rb_build_agg, hashed ids", |b| b.iter(|| black_box(build.run())));
    let end = |seed| Arc::new(numbers(seed).take(ROWS).map(|n| Some((n % 1_000_000) as i64)).collect::<Int64Array>());
    let components = Aggregate::new("connected_components", vec![end(4), end(5)]);
    group.bench_function("connected_components", |b| b.iter(|| black_box(components.run())));
    let amounts: ArrayRef =
        Arc::new(numbers(6).take(ROWS).map(|n| Some((n % 100_000) as f64 / 100.0)).collect::<Float64Array>());
    let sum = Aggregate::new("sum_exact", vec![amounts]);
    group.bench_function("sum_exact", |b| b.iter(|| black_box(sum.run())));
    group.finish();
}

/// A bitmap of about `percent` of two million dense ids.
fn segment(seed: u64, percent: u64) -> (FieldRef, ScalarValue) {
    let chosen = numbers(seed).zip(0..2_000_000).filter(|(n, _)| n % 100 < percent).map(|(_, id)| Some(id));
    let build = Aggregate::new("rb_build_agg", vec![Arc::new(chosen.collect::<Int32Array>())]);
    (build.udf.return_field(&build.fields).expect("the types fit"), build.run())
}

fn call(name: &str, arguments: &[(FieldRef, ColumnarValue)], rows: usize) -> ColumnarValue {
    let Implementation::Scalar(udf) = implementation(name) else { panic!("{name} is no scalar function") };
    let fields: Vec<FieldRef> = arguments.iter().map(|(field, _)| Arc::clone(field)).collect();
    let scalar_arguments = vec![None; fields.len()];
    let return_field = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalar_arguments })
        .expect("the types fit");
    let args = arguments.iter().map(|(_, value)| value.clone()).collect();
    let config_options = Arc::new(ConfigOptions::default());
    udf.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields: fields,
        number_rows: rows,
        return_field,
        config_options,
    })
    .expect("the values fit")
}

fn bitmaps(c: &mut Criterion) {
    let mut group = c.benchmark_group("bitmaps of 2 M ids");
    let [a, b] = [(7, 30), (8, 20)].map(|(seed, percent)| segment(seed, percent));
    let both = [a.clone(), b].map(|(field, value)| (field, ColumnarValue::Scalar(value)));
    for name in ["rb_and", "rb_or", "rb_andnot", "rb_and_cardinality", "rb_intersect"] {
        group.bench_function(name, |bench| bench.iter(|| black_box(call(name, &both, 1))));
    }
    let ids: ArrayRef = Arc::new(numbers(9).take(BATCH).map(|n| Some((n % 2_000_000) as i32)).collect::<Int32Array>());
    let field = Arc::new(Field::new("id", ids.data_type().clone(), true));
    let member = [(a.0, ColumnarValue::Scalar(a.1)), (field, ColumnarValue::Array(ids))];
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("rb_contains, a batch of ids", |bench| {
        bench.iter(|| black_box(call("rb_contains", &member, BATCH)));
    });
    group.finish();
}

criterion_group!(kernels, aggregates, bitmaps);
criterion_main!(kernels);
