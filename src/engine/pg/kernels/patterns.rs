//! to_char over dates, intervals and numbers, and to_date, to_timestamp, to_number back: the patterns are `tributary_pg::format`'s.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::{
    Float32Type, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use tributary_pg::error::PgError;
use tributary_pg::format::{DatePattern, NumberPattern};
use tributary_pg::zone::Zone;

use super::super::call::{Call, over_arrays};
use super::super::reading::style_of;
use super::Implementation;
use super::numeric::{Decimal, value_at};
use super::row::{Row, texts};
use datafusion::logical_expr::ColumnarValue;

/// Patterns kept in one batch. Reason: a column of patterns must not fill memory.
const KEPT_MAX: usize = 64;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "timestamp_to_char" => Implementation::strict(|call, values| {
            dates(call, values, |row, pattern, _| {
                let (array, at) = row.at(0);
                Ok(pattern.format_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(at)))
            })
        }),
        "timestamptz_to_char" => Implementation::strict(|call, values| {
            dates(call, values, |row, pattern, zone| {
                let (array, at) = row.at(0);
                Ok(pattern.format_timestamptz(array.as_primitive::<TimestampMicrosecondType>().value(at), zone))
            })
        }),
        "interval_to_char" => Implementation::strict(|call, values| {
            dates(call, values, |row, pattern, _| {
                let (array, at) = row.at(0);
                pattern.format_interval(array.as_primitive::<IntervalMonthDayNanoType>().value(at))
            })
        }),
        "numeric_to_char" => Implementation::strict(|call, values| {
            numbers(call, values, |row, pattern| {
                let (array, at) = row.at(0);
                Ok(value_at(array, at).map(|value| pattern.format_decimal(&value.text())))
            })
        }),
        "int4_to_char" => Implementation::strict(|call, values| {
            numbers(call, values, |row, pattern| {
                let (array, at) = row.at(0);
                Ok(Some(pattern.format_decimal(&array.as_primitive::<Int32Type>().value(at).to_string())))
            })
        }),
        "int8_to_char" => Implementation::strict(|call, values| {
            numbers(call, values, |row, pattern| {
                let (array, at) = row.at(0);
                Ok(Some(pattern.format_decimal(&array.as_primitive::<Int64Type>().value(at).to_string())))
            })
        }),
        "float4_to_char" => Implementation::strict(|call, values| {
            numbers(call, values, |row, pattern| {
                let (array, at) = row.at(0);
                pattern.format_float(f64::from(array.as_primitive::<Float32Type>().value(at))).map(Some)
            })
        }),
        "float8_to_char" => Implementation::strict(|call, values| {
            numbers(call, values, |row, pattern| {
                let (array, at) = row.at(0);
                pattern.format_float(array.as_primitive::<Float64Type>().value(at)).map(Some)
            })
        }),
        "to_date" => Implementation::strict(|call, values| {
            readings(
                call,
                values,
                |text, pattern, _| Ok(DatePattern::new(pattern).read(text)?.date()? as i32),
                |all| Ok(Arc::new(all.into_iter().collect::<Date32Array>())),
            )
        }),
        "to_timestamp" => Implementation::strict(|call, values| {
            let read = |text: &str, pattern: &str, zone: &Zone| DatePattern::new(pattern).read(text)?.instant(zone);
            readings(call, values, read, |all| {
                Ok(Arc::new(all.into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
            })
        }),
        "numeric_to_number" => Implementation::strict(|call, values| {
            let read = |text: &str, pattern: &str, _: &Zone| {
                let number = NumberPattern::new(pattern)?.read(text)?;
                Decimal::parse(&number).ok_or_else(|| PgError::invalid_input("numeric", &number))
            };
            readings(call, values, read, |all| {
                super::numeric::collect(call.data_type(), all.len(), |row| Ok(all[row].clone()))
            })
        }),
        _ => None,
    }
}

/// Values read from a column of texts by a column of patterns.
fn readings<T>(
    call: &Call<'_>,
    values: &[ColumnarValue],
    read: impl Fn(&str, &str, &Zone) -> Result<T, PgError>,
    build: impl FnOnce(Vec<Option<T>>) -> Result<ArrayRef, PgError>,
) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    over_arrays(call, values, |arrays, _| {
        let (texts, patterns) = (arrays[0].as_string_view(), arrays[1].as_string_view());
        let all = texts.iter().zip(patterns).map(|(text, pattern)| match (text, pattern) {
            (Some(text), Some(pattern)) => read(text, pattern, &zone).map(Some),
            _ => Ok(None),
        });
        build(all.collect::<Result<Vec<Option<T>>, PgError>>()?)
    })
}

fn dates(
    call: &Call<'_>,
    values: &[ColumnarValue],
    print: fn(Row<'_>, &DatePattern, &tributary_pg::zone::Zone) -> Result<Option<String>, PgError>,
) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    let mut known: HashMap<String, DatePattern> = HashMap::new();
    texts(call, values, |row| {
        let text = row.text(1);
        if !known.contains_key(text) {
            if known.len() >= KEPT_MAX {
                known.clear();
            }
            known.insert(text.to_owned(), DatePattern::new(text));
        }
        match known.get(text) {
            Some(pattern) => print(row, pattern, &zone),
            None => Ok(None),
        }
    })
}

fn numbers(
    call: &Call<'_>,
    values: &[ColumnarValue],
    print: fn(Row<'_>, &NumberPattern) -> Result<Option<String>, PgError>,
) -> Result<ColumnarValue, PgError> {
    let mut known: HashMap<String, NumberPattern> = HashMap::new();
    texts(call, values, |row| {
        let text = row.text(1);
        if !known.contains_key(text) {
            if known.len() >= KEPT_MAX {
                known.clear();
            }
            known.insert(text.to_owned(), NumberPattern::new(text)?);
        }
        match known.get(text) {
            Some(pattern) => print(row, pattern),
            None => Ok(None),
        }
    })
}
