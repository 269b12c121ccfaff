//! Input of interval: unit words, `hh:mm:ss`, SQL standard `1-2`, ISO 8601.
//!
//! Fractions of a unit go down to the next ones, as in PostgreSQL: months of 30 days, days of 24 hours.

use arrow::datatypes::IntervalMonthDayNano;

use super::InputContext;
use super::datetime::refuse;
use super::datetime_decode::{clock, mask};
use super::datetime_scan::{
    Bad, Field, FieldKind, SpanWord, Unit, fraction, leading_i32, leading_int, scan, span_word,
};
use crate::datetime::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, round_us};
use crate::error::PgResult;
use crate::interval::{make, out_of_range};
use crate::style::IntervalStyle;
use crate::typmod::{self, interval_field};

/// Characters of interval text that are looked at.
const CHARS_MAX: usize = 256;

/// Bits of units that [`mask`] has no names for.
const WEEK: u32 = 1 << 24;
const DECADE: u32 = 1 << 25;
const CENTURY: u32 = 1 << 26;
const MILLENNIUM: u32 = 1 << 27;
const MILLISECOND: u32 = 1 << 13;
const MICROSECOND: u32 = 1 << 14;

/// An interval, cut to the fields and decimals of `modifier`. 22007, 22008, 22015.
pub fn parse_interval(text: &str, modifier: i32, context: &InputContext<'_>) -> PgResult<IntervalMonthDayNano> {
    let (range, decimals) = typmod::interval_parts(modifier);
    let decoded = match scan(text, CHARS_MAX) {
        Ok(fields) => units(&fields, range, context.style.interval_style),
        Err(bad) => Err(bad),
    };
    let decoded = match decoded {
        Err(Bad::Format) => iso_8601(text),
        other => other,
    };
    let sum = decoded.map_err(|bad| refuse(if bad == Bad::Field { &Bad::Interval } else { &bad }, text, "interval"))?;
    let months = i64::from(sum.years) * 12 + i64::from(sum.months);
    let months = i32::try_from(months).map_err(|_| out_of_range())?;
    restrict(make(months, sum.days, sum.time_us)?, range, decimals)
}

/// Cuts an interval to a field range and rounds its seconds: what `interval day to second(3)` does to a value.
pub fn fit_interval(span: IntervalMonthDayNano, modifier: i32) -> PgResult<IntervalMonthDayNano> {
    let (range, decimals) = typmod::interval_parts(modifier);
    restrict(span, range, decimals)
}

fn restrict(span: IntervalMonthDayNano, range: i32, decimals: Option<u8>) -> PgResult<IntervalMonthDayNano> {
    use interval_field::{DAY, HOUR, MINUTE, MONTH, YEAR};
    let time = crate::interval::time_us(span);
    const YEAR_MONTH: i32 = YEAR | MONTH;
    const DAY_HOUR: i32 = DAY | HOUR;
    const DAY_MINUTE: i32 = DAY | HOUR | MINUTE;
    const HOUR_MINUTE: i32 = HOUR | MINUTE;
    let (months, days, time) = match range {
        YEAR => (span.months / 12 * 12, 0, 0),
        MONTH | YEAR_MONTH => (span.months, 0, 0),
        DAY => (span.months, span.days, 0),
        HOUR | DAY_HOUR => (span.months, span.days, time / HOUR_US * HOUR_US),
        MINUTE | DAY_MINUTE | HOUR_MINUTE => (span.months, span.days, time / MINUTE_US * MINUTE_US),
        // Ranges down to seconds, and the full one.
        _ => (span.months, span.days, time),
    };
    make(months, days, round_us(time, decimals))
}

/// The interval being summed up.
#[derive(Default)]
struct Sum {
    years: i32,
    months: i32,
    days: i32,
    time_us: i64,
}

impl Sum {
    fn add_time(&mut self, value: i64, part: f64, unit_us: i64) -> Result<(), Bad> {
        let whole = value.checked_mul(unit_us).ok_or(Bad::Field)?;
        self.time_us = self.time_us.checked_add(whole).ok_or(Bad::Field)?;
        self.add_part_time(part, unit_us)
    }

    fn add_part_time(&mut self, part: f64, unit_us: i64) -> Result<(), Bad> {
        let exact = part * unit_us as f64;
        let mut whole = exact as i64;
        let rest = exact - whole as f64;
        if rest > 0.5 {
            whole += 1;
        } else if rest < -0.5 {
            whole -= 1;
        }
        self.time_us = self.time_us.checked_add(whole).ok_or(Bad::Field)?;
        Ok(())
    }

    fn add_days(&mut self, value: i64, unit_days: i32) -> Result<(), Bad> {
        let value = i32::try_from(value).map_err(|_| Bad::Field)?;
        let whole = value.checked_mul(unit_days).ok_or(Bad::Field)?;
        self.days = self.days.checked_add(whole).ok_or(Bad::Field)?;
        Ok(())
    }

    fn add_part_days(&mut self, part: f64, unit_days: i32) -> Result<(), Bad> {
        let exact = part * f64::from(unit_days);
        let whole = exact as i32;
        self.days = self.days.checked_add(whole).ok_or(Bad::Field)?;
        self.add_part_time(exact - f64::from(whole), DAY_US)
    }

    fn add_months(&mut self, value: i64) -> Result<(), Bad> {
        let value = i32::try_from(value).map_err(|_| Bad::Field)?;
        self.months = self.months.checked_add(value).ok_or(Bad::Field)?;
        Ok(())
    }

    fn add_years(&mut self, value: i64, part: f64, unit_years: i32) -> Result<(), Bad> {
        let value = i32::try_from(value).map_err(|_| Bad::Field)?;
        let whole = value.checked_mul(unit_years).ok_or(Bad::Field)?;
        self.years = self.years.checked_add(whole).ok_or(Bad::Field)?;
        let months = (part * f64::from(unit_years) * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(months).ok_or(Bad::Field)?;
        Ok(())
    }

    /// Adds a number of a unit; gives the bits of the fields it fills.
    fn add(&mut self, unit: Unit, value: i64, part: f64) -> Result<u32, Bad> {
        Ok(match unit {
            Unit::Microsecond => {
                self.add_time(value, part, 1)?;
                MICROSECOND
            }
            Unit::Millisecond => {
                self.add_time(value, part, 1000)?;
                MILLISECOND
            }
            Unit::Second => {
                self.add_time(value, part, SECOND_US)?;
                if part == 0.0 { mask::SECOND } else { mask::ALL_SECONDS }
            }
            Unit::Minute => {
                self.add_time(value, part, MINUTE_US)?;
                mask::MINUTE
            }
            Unit::Hour => {
                self.add_time(value, part, HOUR_US)?;
                mask::HOUR
            }
            Unit::Day => {
                self.add_days(value, 1)?;
                self.add_part_time(part, DAY_US)?;
                mask::DAY
            }
            Unit::Week => {
                self.add_days(value, 7)?;
                self.add_part_days(part, 7)?;
                WEEK
            }
            Unit::Month => {
                self.add_months(value)?;
                self.add_part_days(part, 30)?;
                mask::MONTH
            }
            Unit::Year => {
                self.add_years(value, part, 1)?;
                mask::YEAR
            }
            Unit::Decade => {
                self.add_years(value, part, 10)?;
                DECADE
            }
            Unit::Century => {
                self.add_years(value, part, 100)?;
                CENTURY
            }
            Unit::Millennium => {
                self.add_years(value, part, 1000)?;
                MILLENNIUM
            }
            Unit::Quarter | Unit::Julian | Unit::Time | Unit::Other => return Err(Bad::Format),
        })
    }

    fn clock_us(text: &str, range: i32) -> Result<i64, Bad> {
        let time = clock(text, range)?;
        let hours = time.hour.checked_mul(HOUR_US).ok_or(Bad::Field)?;
        hours.checked_add(time.minute * MINUTE_US + time.second * SECOND_US + time.micros).ok_or(Bad::Field)
    }

    fn negate(&mut self) -> Result<(), Bad> {
        let negated =
            (self.years.checked_neg(), self.months.checked_neg(), self.days.checked_neg(), self.time_us.checked_neg());
        let (Some(years), Some(months), Some(days), Some(time_us)) = negated else { return Err(Bad::Field) };
        *self = Self { years, months, days, time_us };
        Ok(())
    }
}

/// The unit of a number that has none behind it.
fn rightmost_unit(range: i32) -> Unit {
    use interval_field::{DAY, HOUR, MINUTE, MONTH, YEAR};
    const YEAR_MONTH: i32 = YEAR | MONTH;
    const DAY_HOUR: i32 = DAY | HOUR;
    const DAY_MINUTE: i32 = DAY | HOUR | MINUTE;
    const HOUR_MINUTE: i32 = HOUR | MINUTE;
    match range {
        YEAR => Unit::Year,
        MONTH | YEAR_MONTH => Unit::Month,
        DAY => Unit::Day,
        HOUR | DAY_HOUR => Unit::Hour,
        MINUTE | HOUR_MINUTE | DAY_MINUTE => Unit::Minute,
        _ => Unit::Second,
    }
}

/// Fields from right to left, so that units come before their numbers.
fn units(fields: &[Field], range: i32, style: IntervalStyle) -> Result<Sum, Bad> {
    let mut sum = Sum::default();
    let signed = |field: &Field| field.text.starts_with(['-', '+']);
    // SQL standard: one sign in front is everybody's.
    let all_negative = style == IntervalStyle::SqlStandard
        && fields.first().is_some_and(|field| field.text.starts_with('-'))
        && !fields[1..].iter().any(signed);
    let mut unit = None;
    let mut seen = 0;
    let mut ago = false;
    for field in fields.iter().rev() {
        let found = match field.kind {
            FieldKind::Word | FieldKind::Special => {
                match span_word(&field.text).ok_or(Bad::Format)? {
                    SpanWord::Ignore => continue,
                    SpanWord::Ago => {
                        ago = true;
                        unit = Some(Unit::Other);
                    }
                    SpanWord::Unit(named) => unit = Some(named),
                }
                0
            }
            FieldKind::Time => {
                let time_us = Sum::clock_us(&field.text, range)?;
                sum.time_us = if all_negative { -time_us } else { time_us };
                unit = Some(Unit::Day);
                mask::TIME
            }
            FieldKind::Zone if signed_clock(&mut sum, field, range, all_negative)? => {
                unit = Some(Unit::Day);
                mask::TIME
            }
            FieldKind::Zone | FieldKind::Date | FieldKind::Number => {
                let used = unit.unwrap_or_else(|| rightmost_unit(range));
                let (used, found) = number(&mut sum, &field.text, used, all_negative)?;
                // A number left of hours is days.
                unit = Some(if used == Unit::Hour { Unit::Day } else { used });
                found
            }
        };
        if found & seen != 0 {
            return Err(Bad::Format);
        }
        seen |= found;
    }
    if seen == 0 {
        return Err(Bad::Format);
    }
    if ago {
        sum.negate()?;
    }
    Ok(sum)
}

/// `-01:02:03`; false if the field is something else.
fn signed_clock(sum: &mut Sum, field: &Field, range: i32, all_negative: bool) -> Result<bool, Bad> {
    if !field.text[1..].contains(':') {
        return Ok(false);
    }
    let Ok(time_us) = Sum::clock_us(&field.text[1..], range) else { return Ok(false) };
    let negative = field.text.starts_with('-') || all_negative;
    sum.time_us = if negative { -time_us } else { time_us };
    Ok(true)
}

/// A number with its unit, or SQL's years-months.
fn number(sum: &mut Sum, text: &str, unit: Unit, all_negative: bool) -> Result<(Unit, u32), Bad> {
    let negative = text.starts_with('-');
    let (mut value, rest) = leading_int(text).ok_or(Bad::Field)?;
    let mut unit = unit;
    let mut part = 0.0;
    if let Some(tail) = rest.strip_prefix('-') {
        let (months, rest) = leading_i32(tail).ok_or(Bad::Field)?;
        if !(0..12).contains(&months) {
            return Err(Bad::Field);
        }
        if !rest.is_empty() {
            return Err(Bad::Format);
        }
        unit = Unit::Month;
        let months = if negative { -months } else { months };
        value = value.checked_mul(12).and_then(|value| value.checked_add(months)).ok_or(Bad::Field)?;
    } else if rest.starts_with('.') {
        part = fraction(rest)?;
        if negative {
            part = -part;
        }
    } else if !rest.is_empty() {
        return Err(Bad::Format);
    }
    if all_negative {
        value = if value > 0 { -value } else { value };
        part = if part > 0.0 { -part } else { part };
    }
    let found = sum.add(unit, value, part)?;
    Ok((unit, found))
}

/// `P1Y2M3DT4H5M6S`, `P00010203T040506`, `P1-2-3T4:5:6`.
fn iso_8601(text: &str) -> Result<Sum, Bad> {
    let mut sum = Sum::default();
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Bad::Format)?;
    let mut in_date = true;
    let mut have_field = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            (in_date, have_field, rest) = (false, false, tail);
            continue;
        }
        let width = rest.bytes().skip_while(|b| *b == b'-').take_while(u8::is_ascii_digit).count();
        let (value, part, tail) = iso_number(rest)?;
        let letter = tail.bytes().next();
        let after = tail.get(1..).unwrap_or("");
        let unit = match (in_date, letter) {
            (true, Some(b'Y')) => Unit::Year,
            (true, Some(b'M')) => Unit::Month,
            (true, Some(b'W')) => Unit::Week,
            (true, Some(b'D')) => Unit::Day,
            (false, Some(b'H')) => Unit::Hour,
            (false, Some(b'M')) => Unit::Minute,
            (false, Some(b'S')) => Unit::Second,
            (true, Some(b'T') | None) if width == 8 && !have_field => {
                sum.add_years(value / 10_000, 0.0, 1)?;
                sum.add_months(value / 100 % 100)?;
                sum.add_days(value % 100, 1)?;
                sum.add_part_time(part, DAY_US)?;
                (in_date, have_field, rest) = (false, false, after);
                continue;
            }
            (true, Some(b'T' | b'-') | None) if !have_field => {
                sum.add(Unit::Year, value, part)?;
                rest = iso_date_tail(&mut sum, tail)?;
                in_date = false;
                continue;
            }
            (false, None) if width == 6 && !have_field => {
                sum.add_time(value / 10_000, 0.0, HOUR_US)?;
                sum.add_time(value / 100 % 100, 0.0, MINUTE_US)?;
                sum.add_time(value % 100, part, SECOND_US)?;
                return Ok(sum);
            }
            (false, Some(b':') | None) if !have_field => {
                sum.add(Unit::Hour, value, part)?;
                iso_time_tail(&mut sum, tail)?;
                return Ok(sum);
            }
            _ => return Err(Bad::Format),
        };
        sum.add(unit, value, part)?;
        have_field = true;
        rest = after;
    }
    Ok(sum)
}

/// `-2-3T...` behind the years.
fn iso_date_tail<'a>(sum: &mut Sum, tail: &'a str) -> Result<&'a str, Bad> {
    let mut rest = tail;
    for unit in [Unit::Month, Unit::Day] {
        match rest.strip_prefix('-') {
            Some(text) => {
                let (value, part, after) = iso_number(text)?;
                sum.add(unit, value, part)?;
                rest = after;
            }
            None => break,
        }
    }
    if rest.is_empty() { Ok(rest) } else { rest.strip_prefix('T').ok_or(Bad::Format) }
}

/// `:5:6` behind the hours.
fn iso_time_tail(sum: &mut Sum, tail: &str) -> Result<(), Bad> {
    let mut rest = tail;
    for unit in [Unit::Minute, Unit::Second] {
        match rest.strip_prefix(':') {
            Some(text) => {
                let (value, part, after) = iso_number(text)?;
                sum.add(unit, value, part)?;
                rest = after;
            }
            None => break,
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Bad::Format) }
}

/// A decimal number: whole part, fraction, rest.
fn iso_number(text: &str) -> Result<(i64, f64, &str), Bad> {
    let bytes = text.as_bytes();
    let mut end = usize::from(bytes.first() == Some(&b'-'));
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let before = digits(end);
    end += before;
    let mut after = 0;
    if bytes.get(end) == Some(&b'.') {
        after = digits(end + 1);
        end += 1 + after;
    }
    if before + after == 0 {
        return Err(Bad::Format);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let value: f64 = text[..end].parse().map_err(|_| Bad::Format)?;
    if value.is_nan() || value.abs() > 1e15 {
        return Err(Bad::Field);
    }
    Ok((value.trunc() as i64, value.fract(), &text[end..]))
}
