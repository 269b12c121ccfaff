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

fn read(function: &str, text: &str, pattern: &str) -> crate::PgResult<String> {
    let style = style();
    Ok(match function {
        "to_number" => NumberPattern::new(pattern)?.read(text)?,
        "to_date" => DatePattern::new(pattern).read(text)?.date()?.to_string(),
        _ => DatePattern::new(pattern).read(text)?.instant(&style.time_zone)?.to_string(),
    })
}

/// A recorded value as [`read`] gives it: days, microseconds, or a number without what only its scale says.
fn recorded(function: &str, text: &str) -> String {
    let style = style();
    let array =
        |name: &str| PgValue::from_text(by_name(name).unwrap(), -1, text, &style, 0).unwrap().to_array().unwrap();
    match function {
        "to_date" => array("date").as_primitive::<Date32Type>().value(0).to_string(),
        "to_timestamp" => array("timestamptz").as_primitive::<TimestampMicrosecondType>().value(0).to_string(),
        _ => text.to_owned(),
    }
}

#[test]
fn texts_are_read_as_postgresql_does() {
    let data = include_str!("../../tests/data/pg_values/readings.tsv");
    let mut wrong = Vec::new();
    for line in data.lines() {
        let parts: Vec<String> = line.split('\t').map(unescape).collect();
        let [function, text, pattern, expect] = &parts[..] else { panic!("bad line {line}") };
        let same = match read(function, text, pattern) {
            Ok(found) if expect.starts_with("error") => Err(found),
            Ok(found) if found == recorded(function, expect) => Ok(()),
            Ok(found) if function == "to_number" && found.parse::<f64>() == expect.parse::<f64>() => Ok(()),
            Ok(found) => Err(format!("{found}, not {}", recorded(function, expect))),
            Err(error) if format!("error {} {}", error.code, error.message) == *expect => Ok(()),
            Err(error) => Err(format!("error {} {}", error.code, error.message)),
        };
        if let Err(found) = same {
            wrong.push(format!("{function} {text:?} {pattern:?}\n  expected {expect:?}\n  found    {found:?}"));
        }
    }
    assert!(data.lines().count() > 200);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

proptest! {
    #[test]
    fn no_pattern_panics_reading(
        pattern in "[0-9.,SMIPLRGDVEBFHTYCQWJAUOXZadhimswy\" \\\\-]{0,16}", text in "[0-9 .,:+\\-a-zA-Z]{0,20}|\\PC{0,8}",
    ) {
        let dates = DatePattern::new(&pattern).read(&text).and_then(|read| read.date());
        prop_assert!(dates.is_ok() || dates.is_err());
        if let Ok(numbers) = NumberPattern::new(&pattern) {
            prop_assert!(numbers.read(&text).is_ok_and(|number| number.len() <= text.len() + 20) || numbers.read(&text).is_err());
        }
    }

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
