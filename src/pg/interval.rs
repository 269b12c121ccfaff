//! Intervals: months, days and time kept apart, as in PostgreSQL.
//!
//! Held as Arrow's month-day-nanosecond with whole microseconds. Comparison takes a month for 30 days and a day for
//! 24 hours. Limit: the time part ends at 292 years (22008), because Arrow counts it in nanoseconds.

use std::cmp::Ordering;

use arrow::datatypes::IntervalMonthDayNano;

use crate::datetime::{DAY_US, SECOND_US};
use crate::error::{PgError, PgResult};
use crate::sqlstate;

const DAYS_PER_MONTH: i64 = 30;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// 22008 `interval out of range`.
#[cold]
pub fn out_of_range() -> PgError {
    PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "interval out of range")
}

/// An interval of months, days and microseconds.
pub fn make(months: i32, days: i32, time_us: i64) -> PgResult<IntervalMonthDayNano> {
    let nanoseconds = time_us.checked_mul(1000).ok_or_else(out_of_range)?;
    Ok(IntervalMonthDayNano::new(months, days, nanoseconds))
}

/// The time part in microseconds.
pub const fn time_us(span: IntervalMonthDayNano) -> i64 {
    span.nanoseconds / 1000
}

/// The length in microseconds by which PostgreSQL compares, sorts, groups and joins intervals.
pub const fn key(span: IntervalMonthDayNano) -> i128 {
    let days = span.months as i64 * DAYS_PER_MONTH + span.days as i64;
    days as i128 * DAY_US as i128 + time_us(span) as i128
}

/// Order by [`key`].
pub fn compare(left: IntervalMonthDayNano, right: IntervalMonthDayNano) -> Ordering {
    key(left).cmp(&key(right))
}

/// An interval with the same [`key`], the same for all that are equal: days and time only, 24 hours a day.
/// Comparing these field by field (days, then time) is comparing by key.
pub fn canonical(span: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let key = key(span);
    // Invariant: 2^31 months of 30 days and 2^31 days may exceed i32 days only far outside PostgreSQL's own range;
    // saturating keeps the order.
    let days = key.div_euclid(i128::from(DAY_US));
    let days = days.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32;
    let rest = key.rem_euclid(i128::from(DAY_US)) as i64;
    IntervalMonthDayNano::new(0, days, rest * 1000)
}

/// - interval
pub fn negate(span: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    match (span.months.checked_neg(), span.days.checked_neg(), span.nanoseconds.checked_neg()) {
        (Some(m), Some(d), Some(n)) => Ok(IntervalMonthDayNano::new(m, d, n)),
        _ => Err(out_of_range()),
    }
}

/// interval + interval
pub fn add(left: IntervalMonthDayNano, right: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    let sums = (
        left.months.checked_add(right.months),
        left.days.checked_add(right.days),
        left.nanoseconds.checked_add(right.nanoseconds),
    );
    match sums {
        (Some(m), Some(d), Some(n)) => Ok(IntervalMonthDayNano::new(m, d, n)),
        _ => Err(out_of_range()),
    }
}

/// interval - interval
pub fn subtract(left: IntervalMonthDayNano, right: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    let differences = (
        left.months.checked_sub(right.months),
        left.days.checked_sub(right.days),
        left.nanoseconds.checked_sub(right.nanoseconds),
    );
    match differences {
        (Some(m), Some(d), Some(n)) => Ok(IntervalMonthDayNano::new(m, d, n)),
        _ => Err(out_of_range()),
    }
}

/// interval * double precision: fractions of months become days, fractions of days time.
pub fn multiply(span: IntervalMonthDayNano, factor: f64) -> PgResult<IntervalMonthDayNano> {
    scale(span, |part| part * factor)
}

/// interval / double precision. 22012 for a zero divisor.
pub fn divide(span: IntervalMonthDayNano, divisor: f64) -> PgResult<IntervalMonthDayNano> {
    if divisor == 0.0 {
        return Err(PgError::new(sqlstate::DIVISION_BY_ZERO, "division by zero"));
    }
    scale(span, |part| part / divisor)
}

fn scale(span: IntervalMonthDayNano, by: impl Fn(f64) -> f64) -> PgResult<IntervalMonthDayNano> {
    let exact_months = by(f64::from(span.months));
    let exact_days = by(f64::from(span.days));
    let months = to_i32(exact_months)?;
    let days = to_i32(exact_days)?;
    let month_rest_days = round_us(exact_months.fract() * DAYS_PER_MONTH as f64);
    let mut rest_s = round_us((exact_days.fract() + month_rest_days.fract()) * SECONDS_PER_DAY);
    let mut extra_days = 0i32;
    if rest_s.abs() >= SECONDS_PER_DAY {
        extra_days = (rest_s / SECONDS_PER_DAY) as i32;
        rest_s -= f64::from(extra_days) * SECONDS_PER_DAY;
    }
    let days = days
        .checked_add(extra_days)
        .and_then(|days| days.checked_add(month_rest_days as i32))
        .ok_or_else(out_of_range)?;
    let time = (by(time_us(span) as f64) + rest_s * SECOND_US as f64).round_ties_even();
    if time.is_nan() || time.abs() >= 9.2e18 {
        return Err(out_of_range());
    }
    make(months, days, time as i64)
}

/// Rounds seconds or days to six decimals, as PostgreSQL's TSROUND.
fn round_us(x: f64) -> f64 {
    (x * 1e6).round_ties_even() / 1e6
}

fn to_i32(x: f64) -> PgResult<i32> {
    if x.is_nan() || x >= 2_147_483_648.0 || x <= -2_147_483_649.0 { Err(out_of_range()) } else { Ok(x as i32) }
}

/// `justify_hours`: whole 24 hours become days of the same sign as the rest.
pub fn justify_hours(span: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    let mut time = time_us(span);
    let whole_days = time / DAY_US;
    time -= whole_days * DAY_US;
    let mut days = i64::from(span.days) + whole_days;
    if days > 0 && time < 0 {
        time += DAY_US;
        days -= 1;
    } else if days < 0 && time > 0 {
        time -= DAY_US;
        days += 1;
    }
    make(span.months, i32::try_from(days).map_err(|_| out_of_range())?, time)
}

/// `justify_days`: whole 30 days become months of the same sign as the rest.
pub fn justify_days(span: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    let mut days = i64::from(span.days);
    let whole_months = days / DAYS_PER_MONTH;
    days -= whole_months * DAYS_PER_MONTH;
    let mut months = i64::from(span.months) + whole_months;
    if months > 0 && days < 0 {
        days += DAYS_PER_MONTH;
        months -= 1;
    } else if months < 0 && days > 0 {
        days -= DAYS_PER_MONTH;
        months += 1;
    }
    let months = i32::try_from(months).map_err(|_| out_of_range())?;
    make(months, days as i32, time_us(span))
}

/// `justify_interval`: both, and one sign for all three fields.
pub fn justify_interval(span: IntervalMonthDayNano) -> PgResult<IntervalMonthDayNano> {
    let mut time = time_us(span);
    let mut days = i64::from(span.days) + time / DAY_US;
    time %= DAY_US;
    let mut months = i64::from(span.months) + days / DAYS_PER_MONTH;
    days %= DAYS_PER_MONTH;
    if months > 0 && (days < 0 || days == 0 && time < 0) {
        days += DAYS_PER_MONTH;
        months -= 1;
    } else if months < 0 && (days > 0 || days == 0 && time > 0) {
        days -= DAYS_PER_MONTH;
        months += 1;
    }
    if days > 0 && time < 0 {
        time += DAY_US;
        days -= 1;
    } else if days < 0 && time > 0 {
        time -= DAY_US;
        days += 1;
    }
    let months = i32::try_from(months).map_err(|_| out_of_range())?;
    make(months, days as i32, time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(months: i32, days: i32, seconds: f64) -> IntervalMonthDayNano {
        make(months, days, (seconds * 1e6) as i64).unwrap()
    }

    #[test]
    fn fractions_go_down_a_field() {
        // Answers of PostgreSQL 15.
        assert_eq!(multiply(span(1, 2, 3.0), 1.5).unwrap(), span(1, 18, 4.5));
        assert_eq!(divide(span(1, 0, 0.0), 4.0).unwrap(), span(0, 7, 43_200.0));
        assert_eq!(multiply(span(0, 1, 0.0), 0.5).unwrap(), span(0, 0, 43_200.0));
        assert_eq!(divide(span(1, 0, 0.0), 0.0).unwrap_err().code.as_str(), "22012");
        assert_eq!(multiply(span(1, 0, 0.0), 1e10).unwrap_err().code.as_str(), "22008");
    }

    #[test]
    fn justify_balances_signs() {
        assert_eq!(justify_hours(span(0, 0, 27.0 * 3600.0)).unwrap(), span(0, 1, 10_800.0));
        assert_eq!(justify_days(span(0, 35, 0.0)).unwrap(), span(1, 5, 0.0));
        assert_eq!(justify_interval(span(1, 0, -3600.0)).unwrap(), span(0, 29, 82_800.0));
    }

    proptest! {
        #[test]
        fn canonical_keeps_the_order(a in any::<(i16, i16, i32)>(), b in any::<(i16, i16, i32)>()) {
            let of = |x: (i16, i16, i32)| make(x.0.into(), x.1.into(), i64::from(x.2) * 1_000_003).unwrap();
            let (a, b) = (of(a), of(b));
            let fields = |x: IntervalMonthDayNano| (x.days, x.nanoseconds);
            prop_assert_eq!(fields(canonical(a)).cmp(&fields(canonical(b))), compare(a, b));
            prop_assert_eq!(key(canonical(a)), key(a));
        }

        #[test]
        fn nothing_panics(m in any::<i32>(), d in any::<i32>(), n in any::<i64>(), f in any::<f64>()) {
            let x = IntervalMonthDayNano::new(m, d, n);
            for result in [multiply(x, f), divide(x, f), negate(x), add(x, x), justify_hours(x), justify_days(x),
                           justify_interval(x)] {
                if let Err(error) = result {
                    prop_assert!(["22008", "22012"].contains(&error.code.as_str()));
                }
            }
        }
    }
}
