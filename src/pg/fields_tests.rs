use proptest::prelude::*;

use super::*;
use crate::style::TextStyle;
use crate::text::numeric::print_decimal_128;
use crate::types::by_name;
use crate::value::PgValue;
use arrow::array::AsArray;
use arrow::datatypes::*;

fn value(type_name: &str, text: &str, style: &TextStyle) -> PgValue {
    PgValue::from_text(by_name(type_name).unwrap(), -1, text, style, 0).unwrap()
}

fn us(type_name: &str, text: &str, style: &TextStyle) -> i64 {
    value(type_name, text, style).array.unwrap().as_primitive::<TimestampMicrosecondType>().value(0)
}

fn span(text: &str, style: &TextStyle) -> IntervalMonthDayNano {
    value("interval", text, style).array.unwrap().as_primitive::<IntervalMonthDayNanoType>().value(0)
}

fn print(type_name: &str, array: arrow::array::ArrayRef, style: &TextStyle) -> String {
    let value = PgValue { ty: by_name(type_name).unwrap(), modifier: -1, array: Some(array) };
    value.to_text(style).unwrap().unwrap()
}

fn show(found: Extracted) -> String {
    match found {
        Extracted::Null => "NULL".to_owned(),
        Extracted::Infinity(false) => "Infinity".to_owned(),
        Extracted::Infinity(true) => "-Infinity".to_owned(),
        Extracted::Number(value, scale) => {
            let mut out = Vec::new();
            print_decimal_128(value, scale as i8, &mut out);
            String::from_utf8(out).unwrap()
        }
    }
}

fn extract(type_name: &str, unit: &str, text: &str, style: &TextStyle) -> PgResult<String> {
    let source = source(type_name);
    let field = TimeField::parse(unit, source)?;
    let found = match source {
        Source::Timestamp => extract_timestamp(field, us(type_name, text, style)),
        Source::TimestampTz => extract_timestamptz(field, us(type_name, text, style), &style.time_zone),
        Source::Date => {
            extract_date(field, value(type_name, text, style).array.unwrap().as_primitive::<Date32Type>().value(0))
        }
        Source::Time => extract_time(
            field,
            value(type_name, text, style).array.unwrap().as_primitive::<Time64MicrosecondType>().value(0),
        ),
        Source::Interval => extract_interval(field, span(text, style)),
    };
    found.map(show).ok_or_else(|| not_supported(unit, source))
}

fn trunc(type_name: &str, unit: &str, text: &str, style: &TextStyle) -> PgResult<String> {
    use std::sync::Arc;
    let source = source(type_name);
    let field = TimeField::parse_trunc(unit, source)?;
    let missing = || not_supported(unit, source);
    if source == Source::Interval {
        let cut = trunc_interval(field, span(text, style))?.ok_or_else(missing)?;
        return Ok(print(type_name, Arc::new(arrow::array::IntervalMonthDayNanoArray::from(vec![cut])), style));
    }
    let us = us(type_name, text, style);
    let cut = match source {
        Source::Timestamp => trunc_timestamp(field, us)?,
        _ => trunc_timestamptz(field, us, &style.time_zone)?,
    };
    let array = arrow::array::TimestampMicrosecondArray::from(vec![cut.ok_or_else(missing)?]);
    let zone = (source == Source::TimestampTz).then_some("UTC");
    Ok(print(type_name, Arc::new(array.with_timezone_opt(zone)), style))
}

fn source(type_name: &str) -> Source {
    match type_name {
        "date" => Source::Date,
        "time" => Source::Time,
        "timestamp" => Source::Timestamp,
        "timestamptz" => Source::TimestampTz,
        _ => Source::Interval,
    }
}

#[test]
fn fields_are_postgresql_s() {
    let data = include_str!("../../tests/data/pg_values/fields.tsv");
    let mut wrong = Vec::new();
    for line in data.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [function, type_name, zone, unit, text, expect] = parts[..] else { panic!("bad line {line}") };
        let mut style = TextStyle::default();
        style.set("timezone", zone).unwrap();
        let found = match function {
            "extract" => extract(type_name, unit, text, &style),
            "trunc" => trunc(type_name, unit, text, &style),
            _ => age(us(type_name, text, &style), us(type_name, unit, &style)).map(|span| {
                print(
                    "interval",
                    std::sync::Arc::new(arrow::array::IntervalMonthDayNanoArray::from(vec![span])),
                    &style,
                )
            }),
        };
        let found = found.unwrap_or_else(|error| format!("{}|{}", error.code, error.message));
        // PostgreSQL does not look at the unit of an infinity; we refuse a wrong one for all values alike.
        if text.ends_with("infinity") && (found.starts_with("22023|") || found.starts_with("0A000|")) {
            continue;
        }
        if found != expect {
            wrong.push(format!("{line}\n  found {found}"));
        }
    }
    assert!(data.lines().count() > 3000);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

proptest! {
    #[test]
    fn truncating_is_idempotent_and_never_later(us in -200_000_000_000_000_000i64..7_000_000_000_000_000_000) {
        for unit in ["ms", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century"] {
            let field = TimeField::parse_trunc(unit, Source::Timestamp).unwrap();
            if let Ok(Some(cut)) = trunc_timestamp(field, us) {
                prop_assert!(cut <= us);
                prop_assert_eq!(trunc_timestamp(field, cut).unwrap(), Some(cut));
            }
        }
    }

    #[test]
    fn nothing_panics(us in any::<i64>(), other in any::<i64>(), days in any::<i32>(), unit in 0usize..14) {
        let units = ["us", "ms", "second", "hour", "week", "year", "decade", "millennium", "isoyear", "julian", "epoch",
                     "doy", "timezone", "isodow"];
        let zone = Zone::by_name("Asia/Kolkata").unwrap();
        let field = TimeField::parse(units[unit], Source::TimestampTz).unwrap();
        let span = IntervalMonthDayNano::new(days, days, us);
        let tried = (extract_timestamptz(field, us, &zone), extract_date(field, days), extract_interval(field, span),
                     extract_time(field, us), trunc_timestamptz(field, us, &zone).is_ok(), age(us, other).is_ok());
        prop_assert!(tried.0.is_some());
    }
}
