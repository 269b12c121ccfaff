//! Dates, times and intervals: arithmetic, zones, clocks and constructors. Fields and truncation are in `fields`.
//!
//! The calendar itself is `tributary_pg::datetime`; here values meet columns and the session's zone.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float64Type, Int32Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use tributary_pg::datetime::{self, DAY_US, HOUR_US, MINUTE_US, Parts, SECOND_US};
use tributary_pg::error::PgError;
use tributary_pg::interval;
use tributary_pg::sqlstate;
use tributary_pg::zone::Zone;

use super::super::call::{Call, over_arrays};
use super::super::reading::{now_us, style_of};
use super::super::signatures::oid;
use super::Implementation;
use super::arithmetic::{binary, division_by_zero, unary};

type Stamp = TimestampMicrosecondType;
type Span = IntervalMonthDayNanoType;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    dates(code).or_else(|| stamps(code)).or_else(|| spans(code)).or_else(|| clocks(code)).or_else(|| makers(code))
}

fn dates(code: &str) -> Option<Implementation> {
    match code {
        "date_pli" => Implementation::strict(|call, values| {
            binary::<Date32Type, Int32Type, Date32Type>(call, values, datetime::add_to_date)
        }),
        "date_mii" => Implementation::strict(|call, values| {
            binary::<Date32Type, Int32Type, Date32Type>(call, values, |days, less| {
                let less = less.checked_neg().ok_or_else(datetime::date_out_of_range)?;
                datetime::add_to_date(days, less)
            })
        }),
        "date_mi" => Implementation::strict(|call, values| {
            binary::<Date32Type, Date32Type, Int32Type>(call, values, datetime::subtract_dates)
        }),
        "date_pl_interval" => Implementation::strict(|call, values| {
            binary::<Date32Type, Span, Stamp>(call, values, |days, span| {
                datetime::add_interval(datetime::date_to_timestamp(days)?, span)
            })
        }),
        "date_mi_interval" => Implementation::strict(|call, values| {
            binary::<Date32Type, Span, Stamp>(call, values, |days, span| {
                datetime::add_interval(datetime::date_to_timestamp(days)?, interval::negate(span)?)
            })
        }),
        "datetime_pl" | "datetime_timestamp" => Implementation::strict(|call, values| {
            binary::<Date32Type, Time64MicrosecondType, Stamp>(call, values, |days, time| {
                let start = datetime::date_to_timestamp(days)?;
                if datetime::infinite(start) { Ok(start) } else { datetime::check_timestamp(start + time) }
            })
        }),
        "date_finite" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, _| {
                let days = arrays[0].as_primitive::<Date32Type>();
                Ok(Arc::new(
                    days.iter().map(|one| one.map(|one| !datetime::infinite_date(one))).collect::<BooleanArray>(),
                ))
            })
        }),
        _ => None,
    }
}

fn stamps(code: &str) -> Option<Implementation> {
    match code {
        "timestamp_pl_interval" => {
            Implementation::strict(|call, values| binary::<Stamp, Span, Stamp>(call, values, datetime::add_interval))
        }
        "timestamp_mi_interval" => Implementation::strict(|call, values| {
            binary::<Stamp, Span, Stamp>(call, values, |us, span| datetime::add_interval(us, interval::negate(span)?))
        }),
        "timestamptz_pl_interval" => Implementation::strict(|call, values| {
            let zone = style_of(call).time_zone;
            binary::<Stamp, Span, Stamp>(call, values, |us, span| datetime::add_interval_in(us, span, &zone))
        }),
        "timestamptz_mi_interval" => Implementation::strict(|call, values| {
            let zone = style_of(call).time_zone;
            binary::<Stamp, Span, Stamp>(call, values, |us, span| {
                datetime::add_interval_in(us, interval::negate(span)?, &zone)
            })
        }),
        "timestamp_mi" | "timestamptz_mi" => Implementation::strict(|call, values| {
            binary::<Stamp, Stamp, Span>(call, values, datetime::subtract_timestamps)
        }),
        "timestamp_age" | "timestamptz_age" => Implementation::strict(|call, values| {
            let zone = style_of(call).time_zone;
            let zoned = call.arguments[0].oid == oid::TIMESTAMPTZ;
            binary::<Stamp, Stamp, Span>(call, values, |left, right| {
                if zoned { age(zone.local(left), zone.local(right)) } else { age(left, right) }
            })
        }),
        // age(x): from midnight of the current day back to x.
        "age" => Implementation::strict(|call, values| {
            let zone = style_of(call).time_zone;
            let zoned = call.arguments[0].oid == oid::TIMESTAMPTZ;
            let now = call.session().map_or(0, now_us);
            let today = zone.local(now).div_euclid(DAY_US) * DAY_US;
            unary::<Stamp, Span>(call, values, |us| age(today, if zoned { zone.local(us) } else { us }))
        }),
        "timestamp_finite" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, _| {
                let values = arrays[0].as_primitive::<Stamp>();
                Ok(Arc::new(values.iter().map(|one| one.map(|us| !datetime::infinite(us))).collect::<BooleanArray>()))
            })
        }),
        "timestamp_zone" => Implementation::strict(|call, values| zoned(call, values, datetime::timestamp_to_instant)),
        "timestamptz_zone" => {
            Implementation::strict(|call, values| zoned(call, values, datetime::instant_to_timestamp))
        }
        "timestamp_izone" => Implementation::strict(|call, values| {
            binary::<Span, Stamp, Stamp>(call, values, |span, us| {
                Ok(if datetime::infinite(us) { us } else { us - zone_us(span)? })
            })
        }),
        "timestamptz_izone" => Implementation::strict(|call, values| {
            binary::<Span, Stamp, Stamp>(call, values, |span, us| {
                Ok(if datetime::infinite(us) { us } else { us + zone_us(span)? })
            })
        }),
        "float8_timestamptz" => Implementation::strict(|call, values| {
            unary::<Float64Type, Stamp>(call, values, |seconds| {
                if seconds.is_nan() {
                    return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "timestamp cannot be NaN"));
                }
                if seconds.is_infinite() {
                    let end =
                        if seconds > 0.0 { datetime::TIMESTAMP_INFINITY } else { datetime::TIMESTAMP_MINUS_INFINITY };
                    return Ok(end);
                }
                let us = (seconds * 1e6).round_ties_even();
                if us.abs() > 9.2e18 {
                    return Err(datetime::timestamp_out_of_range());
                }
                datetime::check_timestamp(us as i64)
            })
        }),
        "timestamp_bin" | "timestamptz_bin" => Implementation::strict(bin),
        "overlaps" | "overlaps_timestamp" | "overlaps_time" => Implementation::lenient(overlaps),
        _ => None,
    }
}

fn zone_us(span: IntervalMonthDayNano) -> Result<i64, PgError> {
    if span.months != 0 || span.days != 0 {
        let message = "interval time zone must not include months or days";
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    }
    Ok(interval::time_us(span))
}

/// A function of a zone name and a timestamp.
fn zoned(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl Fn(i64, &Zone) -> Result<i64, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let names = arrays[0].as_string_view();
        let stamps = arrays[1].as_primitive::<Stamp>();
        let mut known: Option<(String, Zone)> = None;
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if names.is_null(row) || stamps.is_null(row) {
                done.push(None);
                continue;
            }
            let name = names.value(row);
            if known.as_ref().is_none_or(|(seen, _)| seen != name) {
                known = Some((name.to_owned(), Zone::parse_argument(name)?));
            }
            let Some((_, zone)) = &known else { continue };
            done.push(Some(compute(stamps.value(row), zone)?));
        }
        finish::<Stamp>(call, done)
    })
}

fn finish<T: ArrowPrimitiveType>(call: &Call<'_>, values: Vec<Option<T::Native>>) -> Result<ArrayRef, PgError> {
    let array: PrimitiveArray<T> = values.into_iter().collect();
    Ok(Arc::new(array.with_data_type(call.data_type().clone())))
}

fn bin(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let spans = arrays[0].as_primitive::<Span>();
        let (sources, origins) = (arrays[1].as_primitive::<Stamp>(), arrays[2].as_primitive::<Stamp>());
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if spans.is_null(row) || sources.is_null(row) || origins.is_null(row) {
                done.push(None);
                continue;
            }
            let span = spans.value(row);
            if span.months != 0 {
                let message = "timestamps cannot be binned into intervals containing months or years";
                return Err(PgError::unsupported(message));
            }
            let stride = i64::from(span.days) * DAY_US + interval::time_us(span);
            if stride <= 0 {
                let message = "stride must be greater than zero";
                return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, message));
            }
            let (source, origin) = (sources.value(row), origins.value(row));
            if datetime::infinite(source) {
                done.push(Some(source));
                continue;
            }
            if datetime::infinite(origin) {
                return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "origin out of range"));
            }
            let difference = source.checked_sub(origin).ok_or_else(datetime::timestamp_out_of_range)?;
            done.push(Some(origin + difference.div_euclid(stride) * stride));
        }
        finish::<Stamp>(call, done)
    })
}

/// The symmetric difference in years, months, days and time.
fn age(left: i64, right: i64) -> Result<IntervalMonthDayNano, PgError> {
    if datetime::infinite(left) || datetime::infinite(right) {
        return Err(datetime::timestamp_out_of_range());
    }
    let negative = left < right;
    let (later, earlier) = if negative { (right, left) } else { (left, right) };
    let (a, b) = (Parts::of(later), Parts::of(earlier));
    let mut months = (a.year - b.year) * 12 + i64::from(a.month) - i64::from(b.month);
    let mut days = i64::from(a.day) - i64::from(b.day);
    let mut time = a.time_us - b.time_us;
    if time < 0 {
        time += DAY_US;
        days -= 1;
    }
    if days < 0 {
        // Borrowed days are those of the earlier date's month.
        let (year, month) = (b.year, b.month);
        days += i64::from(datetime::days_in_month(year, month));
        months -= 1;
    }
    let span = interval::make(
        i32::try_from(months).map_err(|_| interval::out_of_range())?,
        i32::try_from(days).map_err(|_| interval::out_of_range())?,
        time,
    )?;
    if negative { interval::negate(span) } else { Ok(span) }
}

/// `(s1, e1) OVERLAPS (s2, e2)`, ends given as times or as lengths.
fn overlaps(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    let kinds: Vec<u32> = call.arguments.iter().map(|one| one.oid).collect();
    over_arrays(call, values, |arrays, rows| {
        let point = |index: usize, row: usize, start: Option<i64>| -> Result<Option<i64>, PgError> {
            if arrays[index].is_null(row) {
                return Ok(None);
            }
            if kinds[index] == oid::INTERVAL {
                let span = arrays[index].as_primitive::<Span>().value(row);
                let Some(start) = start else { return Ok(None) };
                return Ok(Some(match kinds[index - 1] {
                    oid::TIME => datetime::add_interval_to_time(start, span),
                    oid::TIMESTAMPTZ => datetime::add_interval_in(start, span, &zone)?,
                    _ => datetime::add_interval(start, span)?,
                }));
            }
            Ok(Some(match kinds[index] {
                oid::TIME => arrays[index].as_primitive::<Time64MicrosecondType>().value(row),
                _ => arrays[index].as_primitive::<Stamp>().value(row),
            }))
        };
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            let start_a = point(0, row, None)?;
            let end_a = point(1, row, start_a)?;
            let start_b = point(2, row, None)?;
            let end_b = point(3, row, start_b)?;
            done.push(periods_overlap((start_a, end_a), (start_b, end_b)));
        }
        Ok(Arc::new(BooleanArray::from(done)))
    })
}

type Period = (Option<i64>, Option<i64>);

/// The standard's rule with its NULL cases, as PostgreSQL's overlaps_timestamp has it.
fn periods_overlap(a: Period, b: Period) -> Option<bool> {
    let ordered = |period: Period| match period {
        (None, None) => None,
        (None, Some(end)) => Some((end, None)),
        (Some(start), None) => Some((start, None)),
        (Some(start), Some(end)) if start > end => Some((end, Some(start))),
        (Some(start), Some(end)) => Some((start, Some(end))),
    };
    let ((start_a, end_a), (start_b, end_b)) = (ordered(a)?, ordered(b)?);
    match start_a.cmp(&start_b) {
        std::cmp::Ordering::Greater => match end_b {
            None => None,
            Some(end) if start_a < end => Some(true),
            // A later start that misses is only sure when its own end is known.
            Some(_) => end_a.map(|_| false),
        },
        std::cmp::Ordering::Less => match end_a {
            None => None,
            Some(end) if start_b < end => Some(true),
            Some(_) => end_b.map(|_| false),
        },
        std::cmp::Ordering::Equal => (end_a.is_some() && end_b.is_some()).then_some(true),
    }
}

fn spans(code: &str) -> Option<Implementation> {
    fn one(
        compute: fn(IntervalMonthDayNano) -> Result<IntervalMonthDayNano, PgError>,
        call: &Call<'_>,
        values: &[ColumnarValue],
    ) -> Result<ColumnarValue, PgError> {
        unary::<Span, Span>(call, values, compute)
    }
    match code {
        "interval_pl" => Implementation::strict(|call, values| binary::<Span, Span, Span>(call, values, interval::add)),
        "interval_mi" => {
            Implementation::strict(|call, values| binary::<Span, Span, Span>(call, values, interval::subtract))
        }
        "interval_mul" => {
            Implementation::strict(|call, values| binary::<Span, Float64Type, Span>(call, values, interval::multiply))
        }
        "interval_div" => Implementation::strict(|call, values| {
            binary::<Span, Float64Type, Span>(call, values, |span, divisor| {
                if divisor == 0.0 { Err(division_by_zero()) } else { interval::divide(span, divisor) }
            })
        }),
        "interval_um" => Implementation::strict(|call, values| one(interval::negate, call, values)),
        "interval_length" => Implementation::shaped(
            |call, values| {
                over_arrays(call, values, |arrays, _| {
                    let spans = arrays[0].as_primitive::<Span>();
                    let lengths: Decimal128Array = spans.iter().map(|span| span.map(interval::key)).collect();
                    lengths
                        .with_precision_and_scale(38, 0)
                        .map(|lengths| Arc::new(lengths) as ArrayRef)
                        .map_err(|error| PgError::internal(error.to_string()))
                })
            },
            |_| Ok(Field::new("", DataType::Decimal128(38, 0), true)),
        ),
        "interval_justify_hours" => Implementation::strict(|call, values| one(interval::justify_hours, call, values)),
        "interval_justify_days" => Implementation::strict(|call, values| one(interval::justify_days, call, values)),
        "interval_justify_interval" => {
            Implementation::strict(|call, values| one(interval::justify_interval, call, values))
        }
        "interval_finite" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, _| {
                let values = arrays[0].as_primitive::<Span>();
                Ok(Arc::new(values.iter().map(|one| one.map(|_| true)).collect::<BooleanArray>()))
            })
        }),
        "time_pl_interval" => Implementation::strict(|call, values| {
            binary::<Time64MicrosecondType, Span, Time64MicrosecondType>(call, values, |time, span| {
                Ok(datetime::add_interval_to_time(time, span))
            })
        }),
        "time_mi_interval" => Implementation::strict(|call, values| {
            binary::<Time64MicrosecondType, Span, Time64MicrosecondType>(call, values, |time, span| {
                Ok(datetime::add_interval_to_time(time, interval::negate(span)?))
            })
        }),
        "time_mi_time" => Implementation::strict(|call, values| {
            binary::<Time64MicrosecondType, Time64MicrosecondType, Span>(call, values, |left, right| {
                interval::make(0, 0, left - right)
            })
        }),
        _ => None,
    }
}

fn stamp_scalar(call: &Call<'_>, us: i64) -> ColumnarValue {
    let zone = match call.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(us), zone))
}

fn system_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn clocks(code: &str) -> Option<Implementation> {
    match code {
        "now" => Implementation::lenient(|call, _| Ok(stamp_scalar(call, call.session().map_or(0, now_us)))),
        "statement_timestamp" => Implementation::lenient(|call, _| {
            let at = call.session().and_then(|session| session.statement_started_at.duration_since(UNIX_EPOCH).ok());
            Ok(stamp_scalar(call, at.map_or(0, |at| i64::try_from(at.as_micros()).unwrap_or(i64::MAX))))
        }),
        "clock_timestamp" => Implementation::lenient(|call, _| Ok(stamp_scalar(call, system_us()))),
        "localtimestamp_now" => Implementation::lenient(|call, _| {
            Ok(stamp_scalar(call, style_of(call).time_zone.local(call.session().map_or(0, now_us))))
        }),
        "current_date_now" => Implementation::lenient(|call, _| {
            let local = style_of(call).time_zone.local(call.session().map_or(0, now_us));
            Ok(ColumnarValue::Scalar(ScalarValue::Date32(Some(datetime::timestamp_to_date(local)))))
        }),
        "localtime_now" => Implementation::lenient(|call, _| {
            let local = style_of(call).time_zone.local(call.session().map_or(0, now_us));
            Ok(ColumnarValue::Scalar(ScalarValue::Time64Microsecond(Some(local.rem_euclid(DAY_US)))))
        }),
        _ => None,
    }
}

fn integer(array: &ArrayRef, row: usize) -> i64 {
    i64::from(array.as_primitive::<Int32Type>().value(row))
}

fn any_null(arrays: &[ArrayRef], row: usize) -> bool {
    arrays.iter().any(|array| array.is_null(row))
}

fn field_out_of_range(what: &str, text: String) -> PgError {
    PgError::new(sqlstate::DATETIME_FIELD_OVERFLOW, format!("{what} field value out of range: {text}"))
}

fn date_of(year: i64, month: i64, day: i64) -> Result<i64, PgError> {
    let shown = || format!("{year}-{month:02}-{day:02}");
    // Year 0 does not exist; negative years are BC.
    let astronomical = if year < 0 { year + 1 } else { year };
    let valid = year != 0
        && (1..=12).contains(&month)
        && day >= 1
        && day <= i64::from(datetime::days_in_month(astronomical, month as u32));
    if !valid {
        return Err(field_out_of_range("date", shown()));
    }
    datetime::check_date(datetime::days_from_civil(astronomical, month as u32, day as u32)).map(i64::from)
}

fn time_of(hour: i64, minute: i64, second: f64) -> Result<i64, PgError> {
    let valid = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&second);
    let us = hour * HOUR_US + minute * MINUTE_US + (second * 1e6).round_ties_even() as i64;
    if !valid || us > DAY_US {
        return Err(field_out_of_range("time", format!("{hour}:{minute:02}:{second}")));
    }
    Ok(us)
}

fn makers(code: &str) -> Option<Implementation> {
    match code {
        "make_date" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let mut done = Vec::with_capacity(rows);
                for row in 0..rows {
                    done.push(if any_null(arrays, row) {
                        None
                    } else {
                        let days =
                            date_of(integer(&arrays[0], row), integer(&arrays[1], row), integer(&arrays[2], row))?;
                        Some(days as i32)
                    });
                }
                finish::<Date32Type>(call, done)
            })
        }),
        "make_time" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let mut done = Vec::with_capacity(rows);
                for row in 0..rows {
                    done.push(if any_null(arrays, row) {
                        None
                    } else {
                        let second = arrays[2].as_primitive::<Float64Type>().value(row);
                        Some(time_of(integer(&arrays[0], row), integer(&arrays[1], row), second)?)
                    });
                }
                finish::<Time64MicrosecondType>(call, done)
            })
        }),
        "make_timestamp" | "make_timestamptz" | "make_timestamptz_at_timezone" => {
            Implementation::strict(make_timestamp)
        }
        "make_interval" => Implementation::strict(make_interval),
        _ => None,
    }
}

fn make_timestamp(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let session_zone = style_of(call).time_zone;
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if any_null(arrays, row) {
                done.push(None);
                continue;
            }
            let part = |index: usize| integer(&arrays[index], row);
            let days = date_of(part(0), part(1), part(2))?;
            let time = time_of(part(3), part(4), arrays[5].as_primitive::<Float64Type>().value(row))?;
            let local = datetime::check_timestamp(days * DAY_US + time)?;
            done.push(Some(match (call.result.oid, arrays.get(6)) {
                (oid::TIMESTAMPTZ, Some(zones)) => {
                    let zone = Zone::parse_argument(zones.as_string_view().value(row))?;
                    datetime::timestamp_to_instant(local, &zone)?
                }
                (oid::TIMESTAMPTZ, None) => datetime::timestamp_to_instant(local, &session_zone)?,
                _ => local,
            }));
        }
        finish::<Stamp>(call, done)
    })
}

fn make_interval(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            if any_null(arrays, row) {
                done.push(None);
                continue;
            }
            let part = |index: usize| arrays.get(index).map_or(0, |array| integer(array, row));
            let seconds = arrays.get(6).map_or(0.0, |array| array.as_primitive::<Float64Type>().value(row));
            let months = i32::try_from(part(0) * 12 + part(1)).map_err(|_| interval::out_of_range())?;
            let days = i32::try_from(part(2) * 7 + part(3)).map_err(|_| interval::out_of_range())?;
            let time = part(4) * HOUR_US + part(5) * MINUTE_US + (seconds * SECOND_US as f64).round_ties_even() as i64;
            done.push(Some(interval::make(months, days, time)?));
        }
        finish::<Span>(call, done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_borrow_from_the_earlier_month() {
        let at = |year, month, day| datetime::timestamp_of(year, month, day, 0);
        let got = age(at(2024, 3, 1), at(2023, 1, 15)).expect("both are finite");
        assert_eq!((got.months, got.days, got.nanoseconds), (13, 17, 0));
        let turned = age(at(2023, 1, 15), at(2024, 3, 1)).expect("both are finite");
        assert_eq!((turned.months, turned.days), (-13, -17));
    }

    #[test]
    fn overlapping_periods() {
        let known = |a: i64, b: i64| (Some(a), Some(b));
        assert_eq!(periods_overlap(known(1, 5), known(4, 9)), Some(true));
        assert_eq!(periods_overlap(known(1, 4), known(4, 9)), Some(false));
        assert_eq!(periods_overlap((Some(1), None), known(4, 9)), None);
    }
}
