//! EXTRACT, date_trunc and age: the fields of dates, times and intervals.
//!
//! Units are named as in PostgreSQL, with all its abbreviations; a unit that a type does not have is 0A000, an unknown
//! word 22023. Fractions are exact decimals. Zone-dependent forms take the zone as an argument.

use arrow::datatypes::IntervalMonthDayNano;

use crate::datetime::{
    DAY_US, HOUR_US, MINUTE_US, Parts, SECOND_US, check_timestamp, civil_from_days, days_from_civil, days_in_month,
    infinite, infinite_date, timestamp_of,
};
use crate::error::{PgError, PgResult};
use crate::input::datetime_scan::{Reserved, SpanWord, Unit, Word, span_word, word};
use crate::interval::{make, time_us};
use crate::sqlstate;
use crate::zone::Zone;

/// Day number of Julian day 0.
const JULIAN_DAY_0: i64 = -2_440_588;
/// Seconds of a year of 365.25 days, by which the epoch of an interval counts.
const YEAR_SECONDS: i64 = 31_557_600;

/// A unit of EXTRACT and date_trunc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeField {
    /// Microseconds of the minute's seconds.
    Microsecond,
    /// Milliseconds of the minute's seconds.
    Millisecond,
    /// Seconds with fraction.
    Second,
    /// Minute.
    Minute,
    /// Hour.
    Hour,
    /// Day of the month.
    Day,
    /// ISO week.
    Week,
    /// Month.
    Month,
    /// Quarter.
    Quarter,
    /// Year; years BC are negative, there is no year 0.
    Year,
    /// Decade.
    Decade,
    /// Century.
    Century,
    /// Millennium.
    Millennium,
    /// Day of the week, Sunday 0.
    DayOfWeek,
    /// Day of the week, Monday 1, Sunday 7.
    IsoDayOfWeek,
    /// Day of the year.
    DayOfYear,
    /// Year of the ISO week.
    IsoYear,
    /// Julian day.
    Julian,
    /// Seconds since 1970.
    Epoch,
    /// Seconds east of Greenwich.
    Zone,
    /// Hours of the offset.
    ZoneHour,
    /// Minutes of the offset.
    ZoneMinute,
    /// A reserved word that is a unit of nothing.
    Unsupported,
}

/// What a field is taken from; decides names in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// date
    Date,
    /// time
    Time,
    /// timestamp
    Timestamp,
    /// timestamptz
    TimestampTz,
    /// interval
    Interval,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time without time zone",
            Self::Timestamp => "timestamp without time zone",
            Self::TimestampTz => "timestamp with time zone",
            Self::Interval => "interval",
        }
    }
}

/// An extracted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extracted {
    /// A field of an infinity that does not grow with time.
    Null,
    /// A field of an infinity that does; `true` is minus.
    Infinity(bool),
    /// An exact decimal: unscaled value and decimals.
    Number(i128, u8),
}

impl Extracted {
    /// As double precision, which date_part gives.
    pub fn to_f64(self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Infinity(minus) => Some(if minus { f64::NEG_INFINITY } else { f64::INFINITY }),
            Self::Number(value, scale) => Some(value as f64 / 10f64.powi(i32::from(scale))),
        }
    }
}

fn unit_field(unit: Unit) -> TimeField {
    match unit {
        Unit::Microsecond => TimeField::Microsecond,
        Unit::Millisecond => TimeField::Millisecond,
        Unit::Second => TimeField::Second,
        Unit::Minute => TimeField::Minute,
        Unit::Hour => TimeField::Hour,
        Unit::Day => TimeField::Day,
        Unit::Week => TimeField::Week,
        Unit::Month => TimeField::Month,
        Unit::Quarter => TimeField::Quarter,
        Unit::Year => TimeField::Year,
        Unit::Decade => TimeField::Decade,
        Unit::Century => TimeField::Century,
        Unit::Millennium => TimeField::Millennium,
        Unit::Julian => TimeField::Julian,
        Unit::Time | Unit::Other => TimeField::Unsupported,
    }
}

impl TimeField {
    /// Reads EXTRACT's unit. 22023 `unit "x" not recognized for type date`.
    pub fn parse(name: &str, source: Source) -> PgResult<Self> {
        let lower = name.to_ascii_lowercase();
        let found = match lower.get(..lower.len().min(10)).unwrap_or(&lower) {
            "timezone" => Some(Self::Zone),
            "timezone_h" => Some(Self::ZoneHour),
            "timezone_m" => Some(Self::ZoneMinute),
            "dow" => Some(Self::DayOfWeek),
            "isodow" => Some(Self::IsoDayOfWeek),
            "doy" => Some(Self::DayOfYear),
            "isoyear" => Some(Self::IsoYear),
            _ => match span_word(&lower) {
                Some(SpanWord::Unit(unit)) => Some(unit_field(unit)),
                _ => match word(&lower) {
                    Some(Word::Reserved(Reserved::Epoch)) => Some(Self::Epoch),
                    Some(Word::Unit(unit)) => Some(unit_field(unit)),
                    Some(Word::Reserved(_)) if !matches!(source, Source::Interval | Source::Time) => {
                        Some(Self::Unsupported)
                    }
                    _ => None,
                },
            },
        };
        found.ok_or_else(|| not_recognized(&lower, source))
    }

    /// Reads date_trunc's unit, which knows fewer words.
    pub fn parse_trunc(name: &str, source: Source) -> PgResult<Self> {
        let lower = name.to_ascii_lowercase();
        match span_word(&lower) {
            Some(SpanWord::Unit(unit)) => Ok(unit_field(unit)),
            _ => Err(not_recognized(&lower, source)),
        }
    }
}

#[cold]
fn not_recognized(name: &str, source: Source) -> PgError {
    PgError::new(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("unit \"{name}\" not recognized for type {}", source.name()),
    )
}

/// 0A000 `unit "hour" not supported for type date`; `name` is the unit as the user wrote it.
#[cold]
pub fn not_supported(name: &str, source: Source) -> PgError {
    PgError::unsupported(format!("unit \"{}\" not supported for type {}", name.to_ascii_lowercase(), source.name()))
}

fn whole(value: i64) -> Option<Extracted> {
    Some(Extracted::Number(i128::from(value), 0))
}

/// Years as they are counted in words: no year 0.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn decade(year: i64) -> i64 {
    if year >= 0 { year / 10 } else { -((8 - (year - 1)) / 10) }
}

/// Centuries and millennia begin with the year 1.
fn period(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

/// ISO year and week of a day.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday; day 0 was a Thursday.
    let monday = days - (days + 3).rem_euclid(7);
    let (year, ..) = civil_from_days(monday + 3);
    let first = days_from_civil(year, 1, 4);
    let first_monday = first - (first + 3).rem_euclid(7);
    (year, (monday - first_monday) / 7 + 1)
}

/// Fields that dates and timestamps have alike.
fn date_field(field: TimeField, days: i64) -> Option<Extracted> {
    let (year, month, day) = civil_from_days(days);
    match field {
        TimeField::Day => whole(day.into()),
        TimeField::Month => whole(month.into()),
        TimeField::Quarter => whole(i64::from(month - 1) / 3 + 1),
        TimeField::Week => whole(iso_week(days).1),
        TimeField::Year => whole(shown_year(year)),
        TimeField::Decade => whole(decade(year)),
        TimeField::Century => whole(period(year, 100)),
        TimeField::Millennium => whole(period(year, 1000)),
        TimeField::IsoYear => whole(shown_year(iso_week(days).0)),
        TimeField::DayOfWeek => whole((days + 4).rem_euclid(7)),
        TimeField::IsoDayOfWeek => whole((days + 3).rem_euclid(7) + 1),
        TimeField::DayOfYear => whole(days - days_from_civil(year, 1, 1) + 1),
        _ => None,
    }
}

/// Fields of a time of day or of an interval's time.
fn clock_field(field: TimeField, time: i64) -> Option<Extracted> {
    match field {
        TimeField::Microsecond => whole(time % MINUTE_US),
        TimeField::Millisecond => Some(Extracted::Number(i128::from(time % MINUTE_US), 3)),
        TimeField::Second => Some(Extracted::Number(i128::from(time % MINUTE_US), 6)),
        TimeField::Minute => whole(time / MINUTE_US % 60),
        TimeField::Hour => whole(time / HOUR_US),
        _ => None,
    }
}

fn of_infinity(field: TimeField, minus: bool) -> Extracted {
    match field {
        TimeField::Year
        | TimeField::Decade
        | TimeField::Century
        | TimeField::Millennium
        | TimeField::IsoYear
        | TimeField::Julian
        | TimeField::Epoch => Extracted::Infinity(minus),
        _ => Extracted::Null,
    }
}

/// Julian day with the day's fraction, in as many decimals as PostgreSQL's division gives.
fn julian(us: i64) -> Extracted {
    let parts = Parts::of(us);
    let decimals = match parts.time_us {
        0..=864 => 28,
        865..10_000 => 24,
        10_000..=8_649_999 => 24,
        _ => 20,
    };
    let unit = 10i128.pow(decimals);
    // The product may need more than 128 bits, so the quotient is made in two steps.
    let day = i128::from(DAY_US);
    let time = i128::from(parts.time_us);
    let step = 10i128.pow(decimals / 2);
    let (high, rest) = (time * step / day, time * step % day);
    let low = (rest * (unit / step) * 2 + day) / (2 * day);
    Extracted::Number(i128::from(parts.days - JULIAN_DAY_0) * unit + high * (unit / step) + low, decimals as u8)
}

/// `extract(field from timestamp)`; `None` for a unit it does not have.
pub fn extract_timestamp(field: TimeField, us: i64) -> Option<Extracted> {
    let parts = Parts::of(us);
    let found = date_field(field, parts.days).or_else(|| clock_field(field, parts.time_us)).or(match field {
        TimeField::Epoch => Some(Extracted::Number(i128::from(us), 6)),
        TimeField::Julian => Some(julian(if infinite(us) { 0 } else { us })),
        _ => None,
    });
    if infinite(us) { found.map(|_| of_infinity(field, us < 0)) } else { found }
}

/// `extract(field from timestamptz)` in a zone.
pub fn extract_timestamptz(field: TimeField, us: i64, zone: &Zone) -> Option<Extracted> {
    let offset = i64::from(zone.offset_at(us));
    match field {
        TimeField::Zone | TimeField::ZoneHour | TimeField::ZoneMinute if infinite(us) => Some(Extracted::Null),
        TimeField::Zone => whole(offset),
        TimeField::ZoneHour => whole(offset / 3600),
        TimeField::ZoneMinute => whole(offset / 60 % 60),
        TimeField::Epoch => extract_timestamp(field, us),
        _ if infinite(us) => extract_timestamp(field, us),
        _ => extract_timestamp(field, zone.local(us)),
    }
}

/// `extract(field from date)`.
pub fn extract_date(field: TimeField, days: i32) -> Option<Extracted> {
    let found = date_field(field, days.into()).or(match field {
        TimeField::Epoch => whole(i64::from(days) * 86_400),
        TimeField::Julian => whole(i64::from(days) - JULIAN_DAY_0),
        _ => None,
    });
    if infinite_date(days) { found.map(|_| of_infinity(field, days < 0)) } else { found }
}

/// `extract(field from time)`.
pub fn extract_time(field: TimeField, time: i64) -> Option<Extracted> {
    match field {
        TimeField::Epoch => Some(Extracted::Number(i128::from(time), 6)),
        _ => clock_field(field, time),
    }
}

/// `extract(field from interval)`.
pub fn extract_interval(field: TimeField, span: IntervalMonthDayNano) -> Option<Extracted> {
    let time = time_us(span);
    let (years, months) = (i64::from(span.months / 12), i64::from(span.months % 12));
    match field {
        TimeField::Day => whole(span.days.into()),
        TimeField::Month => whole(months),
        TimeField::Quarter => whole(months / 3 + 1),
        TimeField::Year => whole(years),
        TimeField::Decade => whole(years / 10),
        TimeField::Century => whole(years / 100),
        TimeField::Millennium => whole(years / 1000),
        TimeField::Epoch => {
            let seconds = years * YEAR_SECONDS + (months * 30 + i64::from(span.days)) * 86_400;
            Some(Extracted::Number(i128::from(seconds) * i128::from(SECOND_US) + i128::from(time), 6))
        }
        _ => clock_field(field, time),
    }
}

/// The first microsecond of the unit that a local timestamp is in; `None` for units that do not cut.
fn trunc_local(field: TimeField, us: i64) -> Option<i64> {
    let parts = Parts::of(us);
    let year = |year: i64| timestamp_of(year, 1, 1, 0);
    Some(match field {
        TimeField::Microsecond => us,
        TimeField::Millisecond => us - us.rem_euclid(1000),
        TimeField::Second => us - us.rem_euclid(SECOND_US),
        TimeField::Minute => us - us.rem_euclid(MINUTE_US),
        TimeField::Hour => us - us.rem_euclid(HOUR_US),
        TimeField::Day => us - parts.time_us,
        TimeField::Week => (parts.days - (parts.days + 3).rem_euclid(7)) * DAY_US,
        TimeField::Month => timestamp_of(parts.year, parts.month, 1, 0),
        TimeField::Quarter => timestamp_of(parts.year, (parts.month - 1) / 3 * 3 + 1, 1, 0),
        TimeField::Year => year(parts.year),
        TimeField::Decade => year(decade(parts.year) * 10),
        TimeField::Century => year(trunc_period(parts.year, 100)),
        TimeField::Millennium => year(trunc_period(parts.year, 1000)),
        _ => return None,
    })
}

fn trunc_period(year: i64, length: i64) -> i64 {
    let number = period(year, length);
    if number > 0 { (number - 1) * length + 1 } else { number * length + 1 }
}

/// `date_trunc(field, timestamp)`; `None` for a unit that does not cut timestamps.
pub fn trunc_timestamp(field: TimeField, us: i64) -> PgResult<Option<i64>> {
    if infinite(us) {
        return Ok(trunc_local(field, 0).map(|_| us));
    }
    trunc_local(field, us).map(check_timestamp).transpose()
}

/// `date_trunc(field, timestamptz, zone)`.
pub fn trunc_timestamptz(field: TimeField, us: i64, zone: &Zone) -> PgResult<Option<i64>> {
    if infinite(us) {
        return Ok(trunc_local(field, 0).map(|_| us));
    }
    let Some(local) = trunc_local(field, zone.local(us)) else { return Ok(None) };
    let below_day = matches!(
        field,
        TimeField::Microsecond | TimeField::Millisecond | TimeField::Second | TimeField::Minute | TimeField::Hour
    );
    // Within a day the offset stays, so an hour repeated at the end of summer time is not merged with its twin.
    let instant = if below_day { local - i64::from(zone.offset_at(us)) * SECOND_US } else { zone.instant(local) };
    check_timestamp(instant).map(Some)
}

/// `date_trunc(field, interval)`; `None` for a unit that does not cut intervals.
pub fn trunc_interval(field: TimeField, span: IntervalMonthDayNano) -> PgResult<Option<IntervalMonthDayNano>> {
    let time = time_us(span);
    let (months, days, time) = match field {
        TimeField::Millennium => (span.months / 12_000 * 12_000, 0, 0),
        TimeField::Century => (span.months / 1200 * 1200, 0, 0),
        TimeField::Decade => (span.months / 120 * 120, 0, 0),
        TimeField::Year => (span.months / 12 * 12, 0, 0),
        TimeField::Quarter => (span.months / 3 * 3, 0, 0),
        TimeField::Month => (span.months, 0, 0),
        TimeField::Day => (span.months, span.days, 0),
        TimeField::Hour => (span.months, span.days, time / HOUR_US * HOUR_US),
        TimeField::Minute => (span.months, span.days, time / MINUTE_US * MINUTE_US),
        TimeField::Second => (span.months, span.days, time / SECOND_US * SECOND_US),
        TimeField::Millisecond => (span.months, span.days, time / 1000 * 1000),
        TimeField::Microsecond => (span.months, span.days, time),
        _ => return Ok(None),
    };
    make(months, days, time).map(Some)
}

/// `age(later, earlier)` of local timestamps: years, months, days and time by the calendar.
pub fn age(later: i64, earlier: i64) -> PgResult<IntervalMonthDayNano> {
    if infinite(later) || infinite(earlier) {
        return Err(crate::datetime::timestamp_out_of_range());
    }
    let negative = later < earlier;
    let (high, low) = if negative { (earlier, later) } else { (later, earlier) };
    let (a, b) = (Parts::of(high), Parts::of(low));
    let mut time = a.time_us - b.time_us;
    let mut days = i64::from(a.day) - i64::from(b.day);
    let mut months = (a.year - b.year) * 12 + i64::from(a.month) - i64::from(b.month);
    if time < 0 {
        time += DAY_US;
        days -= 1;
    }
    while days < 0 {
        // PostgreSQL borrows the length of the month of its second argument, or of the first when that is earlier:
        // the earlier one either way.
        days += i64::from(days_in_month(b.year, b.month));
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    let months = i32::try_from(months * sign).map_err(|_| crate::interval::out_of_range())?;
    make(months, (days * sign) as i32, time * sign)
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
