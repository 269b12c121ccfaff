//! EXTRACT, date_part and date_trunc: fields of dates, times and intervals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::scalar::ScalarValue;
use tributary_pg::datetime::{self, DAY_US, HOUR_US, MINUTE_US, Parts, SECOND_US};
use tributary_pg::error::PgError;
use tributary_pg::zone::Zone;
use tributary_pg::{interval, sqlstate};

use super::super::call::{Call, over_arrays};
use super::super::reading::style_of;
use super::super::signatures::{Oid, display_name, oid};
use super::super::typed::Typed;
use super::Implementation;
use super::numeric::{Decimal, collect, free_field};

type Stamp = TimestampMicrosecondType;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    match code {
        "extract_date" | "extract_time" | "extract_timestamp" | "extract_timestamptz" | "extract_interval" => {
            Implementation::shaped(extract, extract_shape)
        }
        "date_part" | "time_part" | "timestamp_part" | "timestamptz_part" | "interval_part" => {
            Implementation::strict(date_part)
        }
        "timestamp_trunc" | "timestamptz_trunc" | "timestamptz_trunc_zone" => Implementation::strict(truncate),
        "interval_trunc" => Implementation::strict(truncate_interval),
        _ => None,
    }
}

/// Decimals of a field's value.
fn places(field: &str) -> Option<i32> {
    Some(match unit(field)? {
        "second" | "epoch" => 6,
        "milliseconds" => 3,
        "julian" => return None,
        _ => 0,
    })
}

fn extract_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let Some(Expr::Literal(ScalarValue::Utf8View(Some(field)), _)) = arguments.first().map(|one| &one.expr) else {
        return Ok(free_field(0));
    };
    let of = arguments.get(1).map_or(oid::TIMESTAMP, |one| one.of.oid);
    let decimals = match places(field) {
        Some(_) if of == oid::DATE => 0,
        Some(decimals) => decimals,
        None => return Ok(free_field(0)),
    };
    Ok(Field::new("", DataType::Decimal128(20 + decimals as u8, decimals as i8), true))
}

/// A field's canonical name; PostgreSQL takes many spellings.
fn unit(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "microseconds" | "microsecond" | "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => {
            "microseconds"
        }
        "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => {
            "milliseconds"
        }
        "second" | "seconds" | "s" | "sec" | "secs" => "second",
        "minute" | "minutes" | "m" | "min" | "mins" => "minute",
        "hour" | "hours" | "h" | "hr" | "hrs" => "hour",
        "day" | "days" | "d" => "day",
        "week" | "weeks" | "w" => "week",
        "month" | "months" | "mon" | "mons" => "month",
        "quarter" | "qtr" => "quarter",
        "year" | "years" | "y" | "yr" | "yrs" => "year",
        "decade" | "decades" | "dec" | "decs" => "decade",
        "century" | "centuries" | "c" | "cent" => "century",
        "millennium" | "millennia" | "mil" | "mils" => "millennium",
        "dow" => "dow",
        "isodow" => "isodow",
        "doy" => "doy",
        "isoyear" => "isoyear",
        "epoch" => "epoch",
        "julian" => "julian",
        "timezone" => "timezone",
        "timezone_hour" | "timezone_h" => "timezone_hour",
        "timezone_minute" | "timezone_m" => "timezone_minute",
        _ => return None,
    })
}

fn unrecognized(field: &str, of: Oid) -> PgError {
    let message = format!("unit \"{}\" not recognized for type {}", field.to_lowercase(), display_name(of));
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
}

fn unsupported(field: &str, of: Oid) -> PgError {
    PgError::unsupported(format!("unit \"{}\" not supported for type {}", field.to_lowercase(), display_name(of)))
}

/// A field's value; infinite times have infinite or no fields.
enum Part {
    Value(Decimal),
    Infinite(bool),
    Nothing,
}

fn micro(us: i64) -> Decimal {
    Decimal { unscaled: us.into(), scale: 6 }
}

fn whole(value: i64) -> Part {
    Part::Value(Decimal::whole(value))
}

/// Years as PostgreSQL counts them: no year 0.
fn shown_year(astronomical: i64) -> i64 {
    if astronomical > 0 { astronomical } else { astronomical - 1 }
}

fn iso_week(days: i64, year: i64) -> (i64, i64) {
    let monday_of_first = |year: i64| {
        let fourth = datetime::days_from_civil(year, 1, 4);
        fourth - (fourth + 3).rem_euclid(7)
    };
    let (mut iso_year, mut start) = (year, monday_of_first(year));
    if days < start {
        iso_year -= 1;
        start = monday_of_first(iso_year);
    } else {
        let next = monday_of_first(year + 1);
        if days >= next {
            iso_year += 1;
            start = next;
        }
    }
    (iso_year, (days - start) / 7 + 1)
}

fn century(year: i64) -> i64 {
    if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) }
}

fn millennium(year: i64) -> i64 {
    if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) }
}

/// A field of a timestamp; `zone` for those of timestamptz, whose local time `us` then is not.
fn stamp_part(field: &str, us: i64, of: Oid, zone: Option<&Zone>) -> Result<Part, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, of)) };
    if datetime::infinite(us) {
        let grows = matches!(name, "year" | "decade" | "century" | "millennium" | "julian" | "isoyear" | "epoch");
        return Ok(if grows { Part::Infinite(us > 0) } else { Part::Nothing });
    }
    let local = zone.map_or(us, |zone| zone.local(us));
    let parts = Parts::of(local);
    let offset = || zone.map_or(0, |zone| i64::from(zone.offset_at(us)));
    Ok(match name {
        "microseconds" => whole(parts.time_us % MINUTE_US),
        "milliseconds" => Part::Value(Decimal { unscaled: (parts.time_us % MINUTE_US).into(), scale: 3 }),
        "second" => Part::Value(micro(parts.time_us % MINUTE_US)),
        "minute" => whole(parts.minute()),
        "hour" => whole(parts.hour()),
        "epoch" => Part::Value(micro(us)),
        "julian" => {
            let day = Decimal::whole(parts.days + 2_440_588);
            let share = Decimal::whole(parts.time_us).over(&Decimal::whole(DAY_US))?;
            Part::Value(day.plus(&share))
        }
        "timezone" | "timezone_hour" | "timezone_minute" if zone.is_none() => return Err(unsupported(field, of)),
        "timezone" => whole(offset()),
        "timezone_hour" => whole(offset() / 3600),
        "timezone_minute" => whole(offset() % 3600 / 60),
        other => whole(date_value(other, &parts)),
    })
}

fn date_value(name: &str, parts: &Parts) -> i64 {
    match name {
        "day" => i64::from(parts.day),
        "month" => i64::from(parts.month),
        "quarter" => i64::from((parts.month - 1) / 3 + 1),
        "year" => shown_year(parts.year),
        "decade" => {
            if parts.year >= 0 {
                parts.year / 10
            } else {
                -((8 - (parts.year - 1)) / 10)
            }
        }
        "century" => century(parts.year),
        "millennium" => millennium(parts.year),
        "week" => iso_week(parts.days, parts.year).1,
        "isoyear" => shown_year(iso_week(parts.days, parts.year).0),
        "dow" => (parts.days + 4).rem_euclid(7),
        "isodow" => (parts.days + 3).rem_euclid(7) + 1,
        "doy" => parts.days - datetime::days_from_civil(parts.year, 1, 1) + 1,
        _ => 0,
    }
}

fn date_part_of(field: &str, days: i32) -> Result<Part, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, oid::DATE)) };
    let timely = matches!(
        name,
        "microseconds"
            | "milliseconds"
            | "second"
            | "minute"
            | "hour"
            | "timezone"
            | "timezone_hour"
            | "timezone_minute"
    );
    if timely {
        return Err(unsupported(field, oid::DATE));
    }
    if datetime::infinite_date(days) {
        let grows = matches!(name, "year" | "decade" | "century" | "millennium" | "julian" | "isoyear" | "epoch");
        return Ok(if grows { Part::Infinite(days > 0) } else { Part::Nothing });
    }
    let us = i64::from(days) * DAY_US;
    Ok(match name {
        "epoch" => whole(i64::from(days) * 86_400),
        "julian" => whole(i64::from(days) + 2_440_588),
        other => whole(date_value(other, &Parts::of(us))),
    })
}

fn time_part_of(field: &str, us: i64) -> Result<Part, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, oid::TIME)) };
    Ok(match name {
        "microseconds" => whole(us % MINUTE_US),
        "milliseconds" => Part::Value(Decimal { unscaled: (us % MINUTE_US).into(), scale: 3 }),
        "second" => Part::Value(micro(us % MINUTE_US)),
        "minute" => whole(us / MINUTE_US % 60),
        "hour" => whole(us / HOUR_US),
        "epoch" => Part::Value(micro(us)),
        _ => return Err(unsupported(field, oid::TIME)),
    })
}

fn interval_part_of(field: &str, span: IntervalMonthDayNano) -> Result<Part, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, oid::INTERVAL)) };
    let us = interval::time_us(span);
    let (years, months) = (i64::from(span.months) / 12, i64::from(span.months) % 12);
    Ok(match name {
        "microseconds" => whole(us % MINUTE_US),
        "milliseconds" => Part::Value(Decimal { unscaled: (us % MINUTE_US).into(), scale: 3 }),
        "second" => Part::Value(micro(us % MINUTE_US)),
        "minute" => whole(us / MINUTE_US % 60),
        "hour" => whole(us / HOUR_US),
        "day" => whole(i64::from(span.days)),
        "month" => whole(months),
        "quarter" => whole(months / 3 + 1),
        "year" => whole(years),
        "decade" => whole(years / 10),
        "century" => whole(years / 100),
        "millennium" => whole(years / 1000),
        "epoch" => {
            // A year counts 365.25 days, a month 30.
            let seconds = years * 31_557_600 + months * 30 * 86_400 + i64::from(span.days) * 86_400;
            Part::Value(Decimal::whole(seconds).plus(&micro(us)))
        }
        _ => return Err(unsupported(field, oid::INTERVAL)),
    })
}

fn part_at(call: &Call<'_>, arrays: &[ArrayRef], row: usize, zone: &Zone) -> Result<Part, PgError> {
    if arrays.iter().any(|array| array.is_null(row)) {
        return Ok(Part::Nothing);
    }
    let field = arrays[0].as_string_view().value(row);
    match call.arguments[1].oid {
        oid::DATE => date_part_of(field, arrays[1].as_primitive::<Date32Type>().value(row)),
        oid::TIME => time_part_of(field, arrays[1].as_primitive::<Time64MicrosecondType>().value(row)),
        oid::INTERVAL => interval_part_of(field, arrays[1].as_primitive::<IntervalMonthDayNanoType>().value(row)),
        oid::TIMESTAMPTZ => {
            stamp_part(field, arrays[1].as_primitive::<Stamp>().value(row), oid::TIMESTAMPTZ, Some(zone))
        }
        _ => stamp_part(field, arrays[1].as_primitive::<Stamp>().value(row), oid::TIMESTAMP, None),
    }
}

fn extract(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    over_arrays(call, values, |arrays, rows| {
        collect(call.data_type(), rows, |row| match part_at(call, arrays, row, &zone)? {
            Part::Value(value) => Ok(Some(value)),
            Part::Nothing => Ok(None),
            Part::Infinite(_) => {
                Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "numeric cannot hold infinity")
                    .hint("Use date_part for double precision."))
            }
        })
    })
}

fn date_part(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            done.push(match part_at(call, arrays, row, &zone)? {
                Part::Value(value) => Some(value.to_f64()),
                Part::Infinite(up) => Some(if up { f64::INFINITY } else { f64::NEG_INFINITY }),
                Part::Nothing => None,
            });
        }
        Ok(Arc::new(Float64Array::from(done)))
    })
}

/// A local timestamp cut to a unit.
fn cut(field: &str, us: i64, of: Oid) -> Result<i64, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, of)) };
    let parts = Parts::of(us);
    let start = |year: i64, month: u32| datetime::timestamp_of(year, month, 1, 0);
    Ok(match name {
        "microseconds" => us,
        "milliseconds" => us.div_euclid(1000) * 1000,
        "second" => us.div_euclid(SECOND_US) * SECOND_US,
        "minute" => us.div_euclid(MINUTE_US) * MINUTE_US,
        "hour" => us.div_euclid(HOUR_US) * HOUR_US,
        "day" => parts.days * DAY_US,
        "week" => (parts.days - (parts.days + 3).rem_euclid(7)) * DAY_US,
        "month" => start(parts.year, parts.month),
        "quarter" => start(parts.year, (parts.month - 1) / 3 * 3 + 1),
        "year" => start(parts.year, 1),
        "decade" => start(parts.year.div_euclid(10) * 10, 1),
        "century" => start(
            if parts.year > 0 { (parts.year - 1) / 100 * 100 + 1 } else { -((99 - parts.year) / 100 * 100) + 1 },
            1,
        ),
        "millennium" => start(
            if parts.year > 0 { (parts.year - 1) / 1000 * 1000 + 1 } else { -((999 - parts.year) / 1000 * 1000) + 1 },
            1,
        ),
        _ => return Err(unsupported(field, of)),
    })
}

fn truncate(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let session_zone = style_of(call).time_zone;
    let of = call.arguments[1].oid;
    over_arrays(call, values, |arrays, rows| {
        let (fields, stamps) = (arrays[0].as_string_view(), arrays[1].as_primitive::<Stamp>());
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if arrays.iter().any(|array| array.is_null(row)) {
                done.push(None);
                continue;
            }
            let (field, us) = (fields.value(row), stamps.value(row));
            if datetime::infinite(us) {
                done.push(Some(us));
                continue;
            }
            if of != oid::TIMESTAMPTZ {
                done.push(Some(cut(field, us, of)?));
                continue;
            }
            let zone = match arrays.get(2) {
                Some(names) => Zone::parse_argument(names.as_string_view().value(row))?,
                None => session_zone.clone(),
            };
            let local = cut(field, zone.local(us), of)?;
            // Below a day the offset in force stays: an hour that occurs twice is not merged.
            let fine = matches!(unit(field), Some("microseconds" | "milliseconds" | "second" | "minute" | "hour"));
            done.push(Some(if fine {
                local - i64::from(zone.offset_at(us)) * SECOND_US
            } else {
                datetime::timestamp_to_instant(local, &zone)?
            }));
        }
        let array: PrimitiveArray<Stamp> = done.into_iter().collect();
        Ok(Arc::new(array.with_data_type(call.data_type().clone())))
    })
}

fn truncate_interval(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let (fields, spans) = (arrays[0].as_string_view(), arrays[1].as_primitive::<IntervalMonthDayNanoType>());
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if fields.is_null(row) || spans.is_null(row) {
                done.push(None);
                continue;
            }
            done.push(Some(cut_interval(fields.value(row), spans.value(row))?));
        }
        Ok(Arc::new(done.into_iter().collect::<PrimitiveArray<IntervalMonthDayNanoType>>()))
    })
}

fn cut_interval(field: &str, span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano, PgError> {
    let Some(name) = unit(field) else { return Err(unrecognized(field, oid::INTERVAL)) };
    let us = interval::time_us(span);
    let months = |step: i32| interval::make(span.months / step * step, 0, 0);
    let time = |step: i64| interval::make(span.months, span.days, us / step * step);
    match name {
        "millennium" => months(12_000),
        "century" => months(1200),
        "decade" => months(120),
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        "day" => interval::make(span.months, span.days, 0),
        "hour" => time(HOUR_US),
        "minute" => time(MINUTE_US),
        "second" => time(SECOND_US),
        "milliseconds" => time(1000),
        "microseconds" => Ok(span),
        "week" => Err(unsupported(field, oid::INTERVAL).detail("Months usually have fractional weeks.")),
        _ => Err(unsupported(field, oid::INTERVAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_weeks_at_the_turn_of_the_year() {
        for (date, expect) in [
            ((2024, 1, 1), (2024, 1)),
            ((2021, 1, 3), (2020, 53)),
            ((2024, 12, 30), (2025, 1)),
            ((2016, 1, 1), (2015, 53)),
        ] {
            assert_eq!(iso_week(datetime::days_from_civil(date.0, date.1, date.2), date.0), expect, "{date:?}");
        }
    }

    #[test]
    fn centuries_have_no_zeroth() {
        assert_eq!((century(2000), century(2001), century(0), millennium(2001)), (20, 21, -1, 3));
    }
}
