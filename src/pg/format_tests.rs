use proptest::prelude::*;

use super::*;
use crate::oracle_tests::unescape;
use crate::style::TextStyle;
use crate::types::by_name;
use crate::value::PgValue;
use arrow::array::AsArray;
use arrow::datatypes::*;

fn style() -> TextStyle {
    let mut style = TextStyle::default();
    style.set("timezone", "America/New_York").unwrap();
    style
}

fn to_char(type_name: &str, text: &str, pattern: &str) -> crate::PgResult<Option<String>> {
    let style = style();
    let value = || PgValue::from_text(by_name(type_name).unwrap(), -1, text, &style, 0).unwrap().to_array().unwrap();
    let us = || value().as_primitive::<TimestampMicrosecondType>().value(0);
    Ok(match type_name {
        "numeric" => Some(NumberPattern::new(pattern)?.format_decimal(text)),
        "float8" => Some(NumberPattern::new(pattern)?.format_float(crate::input::parse_float8(text)?)?),
        "timestamp" => DatePattern::new(pattern).format_timestamp(us()),
        "timestamptz" => DatePattern::new(pattern).format_timestamptz(us(), &style.time_zone),
        _ => DatePattern::new(pattern).format_interval(value().as_primitive::<IntervalMonthDayNanoType>().value(0))?,
    })
}

#[test]
fn patterns_print_as_postgresql_s() {
    let data = include_str!("../../tests/data/pg_values/patterns.tsv");
    let mut wrong = Vec::new();
    for line in data.lines() {
        let parts: Vec<String> = line.split('\t').map(unescape).collect();
        let [type_name, text, pattern, expect] = &parts[..] else { panic!("bad line {line}") };
        let found = match to_char(type_name, text, pattern) {
            Ok(found) => found.unwrap_or_else(|| "<null>".to_owned()),
            Err(error) => format!("error {} {}", error.code, error.message),
        };
        if found != *expect {
            wrong.push(format!("{type_name} {text} {pattern:?}\n  expected {expect:?}\n  found    {found:?}"));
        }
    }
    assert!(data.lines().count() > 3000);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

proptest! {
    #[test]
    fn no_pattern_panics(
        pattern in "[0-9.,SMIPLRGDVEBFHTYCQWJAUOXZadhimswy\" \\\\-]{0,16}",
        number in any::<f64>(), us in any::<i64>(), months in any::<i32>(), days in any::<i32>(),
    ) {
        if let Ok(numbers) = NumberPattern::new(&pattern) {
            let text = format!("{number:.3}");
            for number in [number, number / 1e300, f64::NAN, f64::INFINITY] {
                prop_assert!(numbers.format_float(number).is_ok_and(|text| text.len() < 2000) || !number.is_finite());
            }
            if number.is_finite() {
                prop_assert!(numbers.format_decimal(&text).len() < 4000);
            }
        }
        let dates = DatePattern::new(&pattern);
        let tried = (dates.format_timestamp(us), dates.format_timestamptz(us, &style().time_zone),
                     dates.format_interval(IntervalMonthDayNano::new(months, days, us)).is_ok());
        prop_assert!(tried.0.is_none_or(|text| text.len() < 1000));
    }
}
