//! Sample arguments on which the laws of the crate are tested for this family.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Float64Builder, Int64Array, IntervalMonthDayNanoArray,
    ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::ScalarValue;

use crate::family::{LawArgument, LawCase};

const DAY_US: i64 = 86_400_000_000;

fn days() -> Vec<Option<i64>> {
    vec![Some(3), Some(1), None, Some(40), Some(1), Some(5), Some(9), Some(2), Some(6), Some(5), Some(38), Some(80)]
}

fn channels() -> ArrayRef {
    let names = ["ad", "mail", "ad", "ad", "", "search", "mail", "", "ad", "a > b", "mail", "search"];
    Arc::new(names.iter().map(|name| (!name.is_empty()).then_some(*name)).collect::<StringArray>())
}

fn flags(bits: &[u8]) -> ArrayRef {
    Arc::new(bits.iter().map(|bit| (*bit != b'n').then_some(*bit == b't')).collect::<BooleanArray>())
}

/// The arguments up to `weight`.
fn columns() -> Vec<LawArgument> {
    let ts = days().into_iter().map(|day| day.map(|day| day * DAY_US)).collect::<Vec<_>>();
    let values = (0..12).map(|at| (at % 4 != 1).then_some(f64::from(at) * 2.5 - 4.0)).collect::<Float64Array>();
    let ids = (0..12).map(|at| (at % 5 != 2).then_some(at * 7 % 12)).collect::<Int64Array>();
    let names = (0..12).map(|at| (at % 3 != 2).then_some(format!("touch {}", at * 5 % 12))).collect::<StringArray>();
    let lookback = |at: i32| (at % 4 != 0).then_some(IntervalMonthDayNano::new(0, at, 0));
    let lookbacks = (0..12).map(lookback).collect::<IntervalMonthDayNanoArray>();
    let weights = (0..12).map(|at| (at % 5 != 0).then_some(f64::from(at % 3))).collect::<Float64Array>();
    let arrays: [ArrayRef; 9] = [
        Arc::new(TimestampMicrosecondArray::from(ts).with_timezone("UTC")),
        channels(),
        flags(b"fftnfftftffn"),
        Arc::new(values),
        Arc::new(ids),
        Arc::new(names),
        Arc::new(lookbacks),
        flags(b"tffftnffttff"),
        Arc::new(weights),
    ];
    arrays.into_iter().map(LawArgument::column).collect()
}

fn shaping() -> Vec<LawArgument> {
    let as_of = ScalarValue::TimestampMicrosecond(Some(60 * DAY_US), Some("UTC".into()));
    [true.into(), true.into(), "last".into(), 2_i64.into(), as_of].map(LawArgument::constant).to_vec()
}

fn plain() -> LawCase {
    let dates: Vec<Option<i32>> = days().into_iter().map(|day| day.map(|day| day as i32)).collect();
    let ts: ArrayRef = Arc::new(Date32Array::from(dates));
    let arguments = [ts, channels(), flags(b"fftnfftftfft")].map(LawArgument::column);
    LawCase::new("dates, defaults", arguments.to_vec())
}

pub(super) fn journeys() -> Vec<LawCase> {
    let mut shaped = columns();
    shaped.extend(shaping());
    vec![plain(), LawCase::new("every column", columns()), LawCase::new("every option", shaped)]
}

pub(super) fn attributions() -> Vec<LawCase> {
    let mut shaped = columns();
    shaped.push(LawArgument::constant(ScalarValue::new_interval_mdn(0, 0, 3_600_000_000_000)));
    let shares = [3.0, 1.0, 2.0].map(|share| ScalarValue::Float64(Some(share)));
    let shares = ScalarValue::new_list_nullable(&shares, &arrow::datatypes::DataType::Float64);
    shaped.push(LawArgument::constant(ScalarValue::List(shares)));
    shaped.extend(shaping());
    vec![plain(), LawCase::new("every column", columns()), LawCase::new("every option", shaped)]
}

fn paths() -> ArrayRef {
    let mut paths = ListBuilder::new(StringBuilder::new());
    for path in [
        Some(vec![Some("ad"), Some("mail"), None, Some("ad")]),
        None,
        Some(vec![]),
        Some(vec![Some("b"), Some("b"), Some("a")]),
    ] {
        let valid = path.is_some();
        for name in path.into_iter().flatten() {
            paths.values().append_option(name);
        }
        paths.append(valid);
    }
    Arc::new(paths.finish())
}

pub(super) fn weights() -> Vec<LawCase> {
    let models = StringArray::from(vec!["u_shaped", "last", "linear", "linear_distinct"]);
    let mut own = ListBuilder::new(Float64Builder::new());
    for weights in [vec![Some(1.0), None, Some(7.0), Some(3.0)], vec![], vec![], vec![Some(0.0), Some(2.0), Some(2.0)]]
    {
        weights.into_iter().for_each(|weight| own.values().append_option(weight));
        own.append(true);
    }
    let mut weighted = vec![LawArgument::column(paths()), LawArgument::constant("weighted".into())];
    weighted.extend((0..5).map(|_| LawArgument::constant(ScalarValue::Null)));
    weighted.push(LawArgument::column(Arc::new(own.finish())));
    vec![
        LawCase::new("models", vec![LawArgument::column(paths()), LawArgument::column(Arc::new(models))]),
        LawCase::new("own weights", weighted),
    ]
}

pub(super) fn repeats() -> Vec<LawCase> {
    let modes = StringArray::from(vec!["first", "all", "set", "collapse"]);
    vec![LawCase::new("modes", vec![LawArgument::column(paths()), LawArgument::column(Arc::new(modes))])]
}
