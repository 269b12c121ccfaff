//! Sample arguments on which the laws of the crate are tested for this family.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int16Array, Int64Array, TimestampMicrosecondArray};
use datafusion_common::ScalarValue;

use crate::family::{LawArgument, LawCase};

const DAY_US: i64 = 86_400_000_000;

fn times() -> Vec<Option<i64>> {
    vec![Some(3), Some(1), None, Some(4), Some(1), Some(5), Some(9), Some(2), Some(6), Some(5), Some(3), Some(5)]
}

fn condition(bits: &[u8]) -> ArrayRef {
    let values = bits.iter().map(|bit| match bit {
        b't' => Some(true),
        b'f' => Some(false),
        _ => None,
    });
    Arc::new(values.collect::<BooleanArray>())
}

/// Three conditions over twelve rows: ties, rows of several, rows of none, NULLs.
pub(super) fn conditions() -> Vec<LawArgument> {
    [b"tftnfttffnft", b"ftftftfntfft", b"fffftfttfntf"].map(|bits| LawArgument::column(condition(bits))).to_vec()
}

fn time_columns() -> Vec<(&'static str, ArrayRef)> {
    let days = |times: Vec<Option<i64>>| times.into_iter().map(|t| t.map(|t| t as i32)).collect::<Vec<_>>();
    let micros = || times().into_iter().map(|t| t.map(|t| t * DAY_US)).collect::<Vec<_>>();
    vec![
        ("bigint", Arc::new(Int64Array::from(times()))),
        ("smallint", Arc::new(times().into_iter().map(|t| t.map(|t| t as i16)).collect::<Int16Array>())),
        ("date", Arc::new(Date32Array::from(days(times())))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(micros()))),
        ("timestamptz", Arc::new(TimestampMicrosecondArray::from(micros()).with_timezone("UTC"))),
    ]
}

/// Funnels over every time type, with and without a mode.
pub(super) fn funnels() -> Vec<LawCase> {
    let mut cases = Vec::new();
    let modes = [None, Some("strict_once"), Some("strict_order"), Some("strict_increase,strict_deduplication")];
    for ((name, ts), mode) in time_columns().into_iter().zip(modes.into_iter().cycle()) {
        let window = match name {
            "timestamp" => ScalarValue::new_interval_mdn(0, 4, 0),
            "timestamptz" => ScalarValue::Int64(Some(4 * 86_400)),
            _ => ScalarValue::Int64(Some(4)),
        };
        let mut arguments = vec![LawArgument::constant(window)];
        arguments.extend(mode.map(|mode| LawArgument::constant(ScalarValue::from(mode))));
        arguments.push(LawArgument::column(ts));
        arguments.extend(conditions());
        cases.push(LawCase::new(format!("{name}, mode {}", mode.unwrap_or("none")), arguments));
    }
    cases
}

/// Patterns over every time type.
pub(super) fn sequences() -> Vec<LawCase> {
    let patterns = ["(?1).*(?2)", "(?2)(?1)", "(?1)(?t>=1d)(?3)", "(?1).(?t!=2d)(?2).*"];
    let cases = time_columns().into_iter().zip(patterns.into_iter().cycle());
    cases
        .map(|((name, ts), pattern)| {
            let mut arguments = vec![LawArgument::constant(ScalarValue::from(pattern)), LawArgument::column(ts)];
            arguments.extend(conditions());
            LawCase::new(format!("{name}, {pattern}"), arguments)
        })
        .collect()
}
