//! Aggregates and window functions: PostgreSQL's result types over the engine's accumulators.
//!
//! The engine sums and counts in fixed-width types, in parallel and by group. Averages and variances of integers and
//! numerics are computed from its exact sums and counts, so they are exact too and keep PostgreSQL's scales. Sums take an
//! argument type wide enough that ten thousand million rows cannot overflow it. Only ordered-set aggregates that the engine
//! lacks have accumulators of their own.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result as EngineResult;
use datafusion::execution::FunctionRegistry;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Expr, Volatility, WindowFunctionDefinition};
use num_bigint::BigInt;
use tributary_pg::error::PgError;

use super::call::{Call, over_arrays};
use super::kernels::{self, Decimal, Implementation, numeric};
use super::operators::arrow_cast;
use super::signatures::{Context, oid};
use super::typed::{Scope, Typed};
use super::types::PgType;

mod intervals;
mod ordered_set;

/// Lays ours over DataFusion's.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> EngineResult<()> {
    ordered_set::register(registry)
}

/// The engine's name for an aggregate that PostgreSQL calls otherwise.
pub(in crate::engine) fn engine_name(name: &str) -> &str {
    match name {
        "every" => "bool_and",
        "variance" => "var_samp",
        "stddev_samp" => "stddev",
        "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" => "array_agg",
        other => other,
    }
}

/// An aggregate's argument in a type that its sum cannot overflow. A function, not a cast: the engine names its columns
/// without casts, so two sums of one column would collide.
fn summable(value: Typed) -> Typed {
    let (data_type, of) = match value.of.oid {
        oid::INT2 | oid::INT4 => (DataType::Int64, oid::INT8),
        oid::INT8 => (DataType::Decimal128(19, 0), oid::NUMERIC),
        oid::NUMERIC => {
            let (precision, scale) = numeric::precision_scale(&value);
            if precision <= 28 {
                return value;
            }
            (DataType::Decimal256((precision + 10).min(76) as u8, scale as i8), oid::NUMERIC)
        }
        _ => return value,
    };
    if numeric::shape_of(&data_type) == Some(numeric::precision_scale(&value)) {
        return value;
    }
    let field = Field::new("", data_type, true);
    let of = PgType::plain(of);
    super::operators::function("summed", widen, vec![value], of, field, true, Volatility::Immutable)
}

fn widen(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| {
        arrow::compute::cast(&arrays[0], call.data_type()).map_err(|error| PgError::internal(error.to_string()))
    })
}

/// An argument as the engine's aggregate wants it.
pub(super) fn argument(function: &str, index: usize, value: Typed) -> Typed {
    if function == "sum" && index == 0 { summable(value) } else { value }
}

/// A planned aggregate or window call as PostgreSQL's function of that name.
pub(super) fn finished(scope: &Scope<'_>, name: &str, expr: Expr) -> Result<Typed, PgError> {
    let first = arguments(&expr).first().cloned();
    let Some(first) = first else { return scope.typed(expr) };
    let value = scope.typed(first)?;
    let exact = matches!(value.of.oid, oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC);
    match name {
        "min" | "max" | "sum" | "avg" if value.of.oid == oid::INTERVAL => {
            let own =
                intervals::named(name).ok_or_else(|| PgError::internal("an aggregate of intervals is missing"))?;
            Ok(Typed::new(sibling(&expr, own, value.expr), oid::INTERVAL))
        }
        "avg" if exact => average(scope, &expr, value),
        "variance" | "var_samp" | "var_pop" | "stddev" | "stddev_samp" | "stddev_pop" if exact => {
            variance(scope, name, &expr, value)
        }
        "sum" if value.of.oid == oid::FLOAT4 => {
            let sum = scope.typed(expr)?;
            scope.coerce(sum, PgType::plain(oid::FLOAT4), Context::Explicit)
        }
        "array_agg" => gathered(scope, expr, &value),
        "min" | "max" | "first_value" | "last_value" | "nth_value" | "lag" | "lead" | "mode" => {
            let one = scope.typed(expr)?;
            Ok(Typed { of: PgType::plain(value.of.oid), ..one })
        }
        "ntile" => Ok(Typed::new(arrow_cast(expr, DataType::Int32), oid::INT4)),
        "json_agg" => kernels::call("list_to_json", vec![gathered(scope, expr, &value)?], oid::JSON),
        "jsonb_agg" => kernels::call("list_to_jsonb", vec![gathered(scope, expr, &value)?], oid::JSONB),
        "json_object_agg" => kernels::call("list_to_json_object", vec![scope.typed(expr)?], oid::JSON),
        "jsonb_object_agg" => kernels::call("list_to_jsonb_object", vec![scope.typed(expr)?], oid::JSONB),
        _ => scope.typed(expr),
    }
}

/// A list of such values as PostgreSQL's array of them: the list itself does not say what its elements are.
fn gathered(scope: &Scope<'_>, list: Expr, value: &Typed) -> Result<Typed, PgError> {
    let of = super::signatures::element_of(value.of.oid)
        .map_or_else(|| super::signatures::array_of(value.of.oid), |_| Some(value.of.oid));
    let list = scope.typed(list)?;
    Ok(Typed { of: PgType::plain(of.unwrap_or(list.of.oid)), ..list })
}

fn arguments(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::AggregateFunction(call) => &call.params.args,
        Expr::WindowFunction(call) => &call.params.args,
        Expr::Alias(alias) => arguments(&alias.expr),
        _ => &[],
    }
}

/// The same call of another aggregate: same rows, filter, window.
fn sibling(expr: &Expr, function: Arc<AggregateUDF>, argument: Expr) -> Expr {
    match expr {
        Expr::AggregateFunction(call) => {
            let mut params = call.params.clone();
            params.args = vec![argument];
            Expr::AggregateFunction(AggregateFunction { func: function, params })
        }
        Expr::WindowFunction(call) => {
            let mut params = call.params.clone();
            params.args = vec![argument];
            Expr::WindowFunction(Box::new(WindowFunction {
                fun: WindowFunctionDefinition::AggregateUDF(function),
                params,
            }))
        }
        Expr::Alias(alias) => sibling(&alias.expr, function, argument),
        other => other.clone(),
    }
}

fn average(scope: &Scope<'_>, expr: &Expr, value: Typed) -> Result<Typed, PgError> {
    let counted = value.expr.clone();
    let sum = scope.typed(sibling(expr, sum_udaf(), summable(value).expr))?;
    let count = Typed::new(sibling(expr, count_udaf(), counted), oid::INT8);
    kernels::call("average", vec![sum, count], oid::NUMERIC)
}

fn variance(scope: &Scope<'_>, name: &str, expr: &Expr, value: Typed) -> Result<Typed, PgError> {
    let value = scope.coerce(value, PgType::plain(oid::NUMERIC), Context::Implicit)?;
    let square = kernels::call("numeric_mul", vec![value.clone(), value.clone()], oid::NUMERIC)?;
    let count = Typed::new(sibling(expr, count_udaf(), value.expr.clone()), oid::INT8);
    let sum = scope.typed(sibling(expr, sum_udaf(), summable(value).expr))?;
    let squares = scope.typed(sibling(expr, sum_udaf(), summable(square).expr))?;
    let code = match name {
        "var_pop" => "variance_pop",
        "stddev" | "stddev_samp" => "deviation_samp",
        "stddev_pop" => "deviation_pop",
        _ => "variance_samp",
    };
    kernels::call(code, vec![count, sum, squares], oid::NUMERIC)
}

/// The kernels behind averages and variances.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "average" => Implementation::shaped(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    let counts = arrays[1].as_primitive::<Int64Type>();
                    numeric::collect(call.data_type(), rows, |row| {
                        let Some(sum) = sum_at(arrays, 0, row).filter(|_| counts.value(row) > 0) else {
                            return Ok(None);
                        };
                        sum.over(&Decimal::whole(counts.value(row))).map(Some)
                    })
                })
            },
            scaled_by_first,
        ),
        "variance_pop" => Implementation::shaped(|call, values| spread(call, values, false, false), scaled_by_second),
        "variance_samp" => Implementation::shaped(|call, values| spread(call, values, true, false), scaled_by_second),
        "deviation_pop" => Implementation::shaped(|call, values| spread(call, values, false, true), scaled_by_second),
        "deviation_samp" => Implementation::shaped(|call, values| spread(call, values, true, true), scaled_by_second),
        _ => None,
    }
}

fn places_of(value: Option<&Typed>) -> i32 {
    value.filter(|one| one.of.oid == oid::NUMERIC).map_or(0, |one| match numeric::precision_scale(one) {
        (76, 38) => 0,
        (_, scale) => scale,
    })
}

fn scaled_by_first(arguments: &[Typed]) -> Result<Field, PgError> {
    Ok(numeric::free_field(places_of(arguments.first())))
}

/// Variances of large values need more than 38 digits before the point: those decimals go.
fn scaled_by_second(arguments: &[Typed]) -> Result<Field, PgError> {
    let squares = arguments.get(2).map_or((76, 38), numeric::precision_scale);
    let whole = squares.0 - squares.1;
    if whole > 38 && squares.1 < 38 {
        let scale = (76 - whole).clamp(0, 38) as i8;
        return Ok(Field::new("", DataType::Decimal256(76, scale), true));
    }
    Ok(numeric::free_field(places_of(arguments.get(1))))
}

/// A sum in whichever type the engine computed it.
fn sum_at(arrays: &[arrow::array::ArrayRef], index: usize, row: usize) -> Option<Decimal> {
    let array = &arrays[index];
    if array.is_null(row) {
        return None;
    }
    match array.as_primitive_opt::<Int64Type>() {
        Some(whole) => Some(Decimal::whole(whole.value(row))),
        None => numeric::value_at(array, row),
    }
}

/// Variance or deviation from count, sum and sum of squares, by PostgreSQL's own formula.
fn spread(call: &Call<'_>, values: &[ColumnarValue], sample: bool, root: bool) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let counts = arrays[0].as_primitive::<Int64Type>();
        numeric::collect(call.data_type(), rows, |row| {
            let count = counts.value(row);
            if count == 0 || (sample && count == 1) {
                return Ok(None);
            }
            let (Some(sum), Some(squares)) = (sum_at(arrays, 1, row), sum_at(arrays, 2, row)) else { return Ok(None) };
            let many = Decimal::whole(BigInt::from(count));
            let mut spread = squares.times(&many).minus(&sum.times(&sum));
            if spread.unscaled <= BigInt::from(0) {
                return Ok(Some(Decimal::zero()));
            }
            let below = if sample { Decimal::whole(count - 1) } else { many.clone() };
            spread = spread.over(&below.times(&many))?;
            if root { spread.square_root().map(Some) } else { Ok(Some(spread)) }
        })
    })
}
