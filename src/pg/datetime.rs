//! The calendar, and arithmetic on dates and timestamps.
//!
//! Instants and local times are microseconds since 1970-01-01, dates are days since then, as Arrow has them; the
//! extremes of the integers are PostgreSQL's infinities. Everything is checked: what leaves the range is 22008. Years
//! are astronomical (0 is 1 BC). The Gregorian calendar holds for all time, as in PostgreSQL.

use arrow::datatypes::IntervalMonthDayNano;

use crate::error::{PgError, PgResult};
use crate::interval;
use crate::sqlstate;
use crate::zone::Zone;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds in an hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds in a day.
pub const DAY_US: i64 = 24 * HOUR_US;
/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's own epoch.
pub const PG_EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub const PG_EPOCH_US: i64 = PG_EPOCH_DAYS as i64 * DAY_US;
/// `infinity` as a date.
pub const DATE_INFINITY: i32 = i32::MAX;
/// `-infinity` as a date.
pub const DATE_MINUS_INFINITY: i32 = i32::MIN;
/// `infinity` as a timestamp.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// `-infinity` as a timestamp.
pub const TIMESTAMP_MINUS_INFINITY: i64 = i64::MIN;
/// First day: 4714-11-24 BC, Julian day 0.
pub const DAYS_MIN: i64 = -2_440_588;
/// The day after the last one: 262143-01-01. Limit: the engine's calendar ends here.
pub const DAYS_END: i64 = days_from_civil(262_143, 1, 1);
/// First timestamp.
pub const TIMESTAMP_MIN: i64 = DAYS_MIN * DAY_US;
/// The microsecond after the last one.
pub const TIMESTAMP_END: i64 = DAYS_END * DAY_US;

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let shifted_month = (month as i64 + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day number.
pub const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Is this a leap year?
pub const fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month (1 to 12).
pub const fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Microseconds since 1970 of a date and a time of day. The caller keeps the year within +-290,000.
pub const fn timestamp_of(year: i64, month: u32, day: u32, time_us: i64) -> i64 {
    days_from_civil(year, month, day) * DAY_US + time_us
}

/// A timestamp taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// Days since 1970-01-01.
    pub days: i64,
    /// Microseconds since midnight.
    pub time_us: i64,
}

impl Parts {
    /// Takes a (local) timestamp apart.
    pub const fn of(us: i64) -> Self {
        let days = us.div_euclid(DAY_US);
        let (year, month, day) = civil_from_days(days);
        Self { year, month, day, days, time_us: us.rem_euclid(DAY_US) }
    }

    /// Hour, 0 to 23.
    pub const fn hour(&self) -> i64 {
        self.time_us / HOUR_US
    }

    /// Minute, 0 to 59.
    pub const fn minute(&self) -> i64 {
        self.time_us / MINUTE_US % 60
    }

    /// Second, 0 to 59.
    pub const fn second(&self) -> i64 {
        self.time_us / SECOND_US % 60
    }

    /// Microseconds of the second.
    pub const fn microsecond(&self) -> i64 {
        self.time_us % SECOND_US
    }
}

/// Is it one of the infinities?
pub const fn infinite(us: i64) -> bool {
    us == TIMESTAMP_INFINITY || us == TIMESTAMP_MINUS_INFINITY
}

/// Is it one of a date's infinities?
pub const fn infinite_date(days: i32) -> bool {
    days == DATE_INFINITY || days == DATE_MINUS_INFINITY
}

#[cold]
fn out_of_range(what: &str) -> PgError {
    PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, format!("{what} out of range"))
}

/// 22008 `timestamp out of range`.
#[cold]
pub fn timestamp_out_of_range() -> PgError {
    out_of_range("timestamp")
}

/// 22008 `date out of range`.
#[cold]
pub fn date_out_of_range() -> PgError {
    out_of_range("date")
}

/// The timestamp if it is in range, else 22008.
pub fn check_timestamp(us: i64) -> PgResult<i64> {
    if (TIMESTAMP_MIN..TIMESTAMP_END).contains(&us) { Ok(us) } else { Err(timestamp_out_of_range()) }
}

/// The date if it is in range, else 22008.
pub fn check_date(days: i64) -> PgResult<i32> {
    if (DAYS_MIN..DAYS_END).contains(&days) { Ok(days as i32) } else { Err(date_out_of_range()) }
}

/// Rounds to 0..6 decimals of a second, halves away from PostgreSQL's epoch. Infinities stay.
pub fn round_timestamp(us: i64, decimals: Option<u8>) -> i64 {
    if infinite(us) {
        return us;
    }
    match us.checked_sub(PG_EPOCH_US) {
        Some(shifted) => round_us(shifted, decimals).saturating_add(PG_EPOCH_US),
        None => us,
    }
}

/// Rounds microseconds to 0..6 decimals of a second, halves away from zero.
pub fn round_us(us: i64, decimals: Option<u8>) -> i64 {
    let Some(decimals @ 0..=5) = decimals else { return us };
    let step = 10i64.pow(6 - u32::from(decimals));
    let rounded = (us.unsigned_abs() + step.unsigned_abs() / 2) / step.unsigned_abs() * step.unsigned_abs();
    let rounded = i64::try_from(rounded).unwrap_or(i64::MAX);
    if us < 0 { -rounded } else { rounded }
}

/// A date as the timestamp of its midnight.
pub fn date_to_timestamp(days: i32) -> PgResult<i64> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_MINUS_INFINITY => Ok(TIMESTAMP_MINUS_INFINITY),
        _ => i64::from(days)
            .checked_mul(DAY_US)
            .and_then(|us| check_timestamp(us).ok())
            .ok_or_else(|| PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "date out of range for timestamp")),
    }
}

/// The date of a timestamp.
pub fn timestamp_to_date(us: i64) -> i32 {
    match us {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_MINUS_INFINITY => DATE_MINUS_INFINITY,
        // Invariant: i64 microseconds are fewer than i32 days.
        _ => us.div_euclid(DAY_US) as i32,
    }
}

/// The instant of a local timestamp in a zone (cast timestamp to timestamptz).
pub fn timestamp_to_instant(us: i64, zone: &Zone) -> PgResult<i64> {
    if infinite(us) { Ok(us) } else { check_timestamp(zone.instant(us)) }
}

/// The local timestamp of an instant in a zone (cast timestamptz to timestamp).
pub fn instant_to_timestamp(us: i64, zone: &Zone) -> PgResult<i64> {
    if infinite(us) { Ok(us) } else { check_timestamp(zone.local(us)) }
}

/// Adds months to a local timestamp; a day past the month's end becomes its last day.
fn add_months(us: i64, months: i32) -> PgResult<i64> {
    if months == 0 {
        return Ok(us);
    }
    let parts = Parts::of(us);
    let month_index = parts.year * 12 + i64::from(parts.month) - 1 + i64::from(months);
    let (year, month) = (month_index.div_euclid(12), month_index.rem_euclid(12) as u32 + 1);
    if !(-5000..=300_000).contains(&year) {
        return Err(timestamp_out_of_range());
    }
    let day = parts.day.min(days_in_month(year, month));
    check_timestamp(timestamp_of(year, month, day, parts.time_us))
}

fn add_days(us: i64, days: i32) -> PgResult<i64> {
    let sum = us.checked_add(i64::from(days).saturating_mul(DAY_US)).ok_or_else(timestamp_out_of_range)?;
    if days == 0 { Ok(us) } else { check_timestamp(sum) }
}

fn add_time(us: i64, time_us: i64) -> PgResult<i64> {
    check_timestamp(us.checked_add(time_us).ok_or_else(timestamp_out_of_range)?)
}

/// timestamp + interval: months, then days, then time.
pub fn add_interval(us: i64, span: IntervalMonthDayNano) -> PgResult<i64> {
    if infinite(us) {
        return Ok(us);
    }
    let us = add_months(us, span.months)?;
    let us = add_days(us, span.days)?;
    add_time(us, interval::time_us(span))
}

/// timestamptz + interval: months and days move the local time of the zone, the rest is elapsed time.
pub fn add_interval_in(us: i64, span: IntervalMonthDayNano, zone: &Zone) -> PgResult<i64> {
    if infinite(us) {
        return Ok(us);
    }
    let mut us = us;
    if span.months != 0 {
        us = zone.instant(add_months(zone.local(us), span.months)?);
    }
    if span.days != 0 {
        us = zone.instant(add_days(zone.local(us), span.days)?);
    }
    add_time(us, interval::time_us(span))
}

/// timestamp - timestamp: days and time.
pub fn subtract_timestamps(left: i64, right: i64) -> PgResult<IntervalMonthDayNano> {
    if infinite(left) || infinite(right) {
        return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "cannot subtract infinite timestamps"));
    }
    let difference = left.checked_sub(right).ok_or_else(|| out_of_range("interval"))?;
    interval::make(0, (difference / DAY_US) as i32, difference % DAY_US)
}

/// date + integer days.
pub fn add_to_date(days: i32, more: i32) -> PgResult<i32> {
    if infinite_date(days) { Ok(days) } else { check_date(i64::from(days) + i64::from(more)) }
}

/// date - date.
pub fn subtract_dates(left: i32, right: i32) -> PgResult<i32> {
    if infinite_date(left) || infinite_date(right) {
        return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "cannot subtract infinite dates"));
    }
    left.checked_sub(right).ok_or_else(date_out_of_range)
}

/// time + interval: wraps around midnight; months and days do not matter.
pub fn add_interval_to_time(time_us: i64, span: IntervalMonthDayNano) -> i64 {
    (time_us + interval::time_us(span) % DAY_US).rem_euclid(DAY_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_calendar_has_its_landmarks() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 1, 1), i64::from(PG_EPOCH_DAYS)),
            ((-4713, 11, 24), DAYS_MIN),
            ((2024, 2, 29), 19_782),
            ((0, 12, 31), -719_163),
        ] {
            assert_eq!(days_from_civil(date.0, date.1, date.2), days);
            assert_eq!(civil_from_days(days), date);
        }
    }

    #[test]
    fn days_move_over_daylight_saving_by_the_wall_clock() {
        let zone = Zone::by_name("America/New_York").unwrap();
        let noon_before = timestamp_of(2024, 3, 9, 17 * HOUR_US);
        let day = IntervalMonthDayNano::new(0, 1, 0);
        assert_eq!(add_interval_in(noon_before, day, &zone).unwrap(), timestamp_of(2024, 3, 10, 16 * HOUR_US));
        let hours = IntervalMonthDayNano::new(0, 0, 24 * 3_600_000_000_000);
        assert_eq!(add_interval_in(noon_before, hours, &zone).unwrap(), timestamp_of(2024, 3, 10, 17 * HOUR_US));
    }

    #[test]
    fn months_clamp_to_the_last_day() {
        let month = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(add_interval(timestamp_of(2024, 1, 31, 5), month).unwrap(), timestamp_of(2024, 2, 29, 5));
        let back = IntervalMonthDayNano::new(-13, 0, 0);
        assert_eq!(add_interval(timestamp_of(2024, 3, 31, 5), back).unwrap(), timestamp_of(2023, 2, 28, 5));
        assert_eq!(add_interval(TIMESTAMP_INFINITY, back).unwrap(), TIMESTAMP_INFINITY);
        assert_eq!(add_interval(0, IntervalMonthDayNano::new(i32::MAX, 0, 0)).unwrap_err().code.as_str(), "22008");
    }

    #[test]
    fn rounding_is_away_from_the_epoch() {
        assert_eq!(round_us(1_500_000, Some(0)), 2_000_000);
        assert_eq!(round_us(-1_500_000, Some(0)), -2_000_000);
        assert_eq!(round_us(1_234_567, Some(3)), 1_235_000);
        assert_eq!(round_us(1_234_567, None), 1_234_567);
        assert_eq!(round_timestamp(TIMESTAMP_INFINITY, Some(0)), TIMESTAMP_INFINITY);
    }

    proptest! {
        #[test]
        fn days_and_dates_are_one_to_one(days in DAYS_MIN..DAYS_END) {
            let (y, m, d) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(y, m, d), days);
            prop_assert!(d >= 1 && d <= days_in_month(y, m));
        }

        #[test]
        fn arithmetic_never_panics(us in any::<i64>(), m in any::<i32>(), d in any::<i32>(), n in any::<i64>()) {
            let span = IntervalMonthDayNano::new(m, d, n);
            let zone = Zone::by_name("Europe/Berlin").unwrap();
            let tried = [add_interval(us, span), add_interval_in(us, span, &zone), Ok(round_timestamp(us, Some(3)))];
            prop_assert_eq!(tried.len(), 3);
            if let Ok(sum) = &tried[0] {
                prop_assert!(infinite(us) || check_timestamp(*sum).is_ok());
            }
        }
    }
}
