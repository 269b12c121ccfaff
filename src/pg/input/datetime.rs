//! Input of date, time, timestamp and timestamptz.
//!
//! The ISO layouts that programs write are read on a fast path without allocation; whatever it does not know goes
//! through PostgreSQL's full grammar.

use super::InputContext;
use super::datetime_decode::{Decoder, Moment};
use super::datetime_scan::{Bad, scan};
use crate::datetime::{
    DATE_INFINITY, DATE_MINUS_INFINITY, DAY_US, DAYS_END, DAYS_MIN, HOUR_US, MINUTE_US, SECOND_US, TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY, check_timestamp, days_from_civil, days_in_month, round_timestamp, round_us,
};
use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::zone;

/// Characters of date/time text that are looked at.
const CHARS_MAX: usize = 128;

/// Days since 1970-01-01. 22007, 22008, 22009, 22023.
pub fn parse_date(text: &str, context: &InputContext<'_>) -> PgResult<i32> {
    if let Some((days, b"")) = iso_date(text.as_bytes()) {
        return Ok(days as i32);
    }
    let mut decoder = decoder(context, false);
    decode(&mut decoder, text).map_err(|bad| refuse(&bad, text, "date"))?;
    match decoder.moment {
        Moment::Epoch => Ok(0),
        Moment::Infinity => Ok(DATE_INFINITY),
        Moment::MinusInfinity => Ok(DATE_MINUS_INFINITY),
        Moment::Fields => days_of(&decoder).map(|days| days as i32).ok_or_else(|| {
            PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, format!("date out of range: \"{text}\""))
        }),
    }
}

/// Microseconds since midnight, 24:00:00 included. A zone in the text is read and ignored.
pub fn parse_time(text: &str, decimals: Option<u8>, context: &InputContext<'_>) -> PgResult<i64> {
    if let Some((time_us, b"")) = iso_time(text.as_bytes()) {
        return Ok(round_us(time_us, decimals));
    }
    let mut decoder = decoder(context, true);
    decode(&mut decoder, text).map_err(|bad| refuse(&bad, text, "time"))?;
    Ok(round_us(decoder.time_us(), decimals))
}

/// Local microseconds since 1970-01-01. A zone in the text is read and ignored.
pub fn parse_timestamp(text: &str, decimals: Option<u8>, context: &InputContext<'_>) -> PgResult<i64> {
    if let Some((local_us, _)) = iso_timestamp(text.as_bytes()) {
        return Ok(round_timestamp(local_us, decimals));
    }
    timestamp(text, "timestamp", context, |_, local_us| Some(local_us)).map(|us| round_timestamp(us, decimals))
}

/// Microseconds since 1970-01-01 UTC; without a zone in the text the session's holds.
pub fn parse_timestamptz(text: &str, decimals: Option<u8>, context: &InputContext<'_>) -> PgResult<i64> {
    if let Some((local_us, east_seconds)) = iso_timestamp(text.as_bytes()) {
        let us = match east_seconds {
            Some(east_seconds) => local_us - east_seconds * SECOND_US,
            None => context.style.time_zone.instant(local_us),
        };
        return Ok(round_timestamp(us, decimals));
    }
    let shift = |decoder: &Decoder<'_>, local_us: i64| local_us.checked_sub(decoder.east_seconds(local_us) * SECOND_US);
    timestamp(text, "timestamp with time zone", context, shift).map(|us| round_timestamp(us, decimals))
}

fn timestamp(
    text: &str,
    type_name: &str,
    context: &InputContext<'_>,
    finish: impl Fn(&Decoder<'_>, i64) -> Option<i64>,
) -> PgResult<i64> {
    let mut decoder = decoder(context, false);
    decode(&mut decoder, text).map_err(|bad| refuse(&bad, text, type_name))?;
    match decoder.moment {
        Moment::Epoch => Ok(0),
        Moment::Infinity => Ok(TIMESTAMP_INFINITY),
        Moment::MinusInfinity => Ok(TIMESTAMP_MINUS_INFINITY),
        Moment::Fields => days_of(&decoder)
            .and_then(|days| (days * DAY_US).checked_add(decoder.time_us()))
            .and_then(|local_us| finish(&decoder, local_us))
            .and_then(|us| check_timestamp(us).ok())
            .ok_or_else(|| {
                PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, format!("timestamp out of range: \"{text}\""))
            }),
    }
}

fn decoder<'a>(context: &InputContext<'a>, time_only: bool) -> Decoder<'a> {
    Decoder::new(context.style.date_style.order, &context.style.time_zone, context.now_us, time_only)
}

fn decode(decoder: &mut Decoder<'_>, text: &str) -> Result<(), Bad> {
    let fields = scan(text, CHARS_MAX)?;
    decoder.decode(&fields)
}

fn days_of(decoder: &Decoder<'_>) -> Option<i64> {
    let days = days_from_civil(decoder.year, decoder.month as u32, decoder.day as u32);
    (DAYS_MIN..DAYS_END).contains(&days).then_some(days)
}

/// The error of refused date/time text.
#[cold]
pub(crate) fn refuse(bad: &Bad, text: &str, type_name: &str) -> PgError {
    let out_of_range = |code, what: &str| PgError::new(code, format!("{what} out of range: \"{text}\""));
    match bad {
        Bad::Format => PgError::new(
            sqlstate::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Bad::Field => out_of_range(sqlstate::DATETIME_FIELD_OVERFLOW, "date/time field value"),
        Bad::MonthDay => out_of_range(sqlstate::DATETIME_FIELD_OVERFLOW, "date/time field value")
            .hint("Perhaps you need a different \"datestyle\" setting."),
        Bad::Interval => out_of_range(sqlstate::INTERVAL_FIELD_OVERFLOW, "interval field value"),
        Bad::Zone => out_of_range(sqlstate::INVALID_TIME_ZONE_DISPLACEMENT_VALUE, "time zone displacement"),
        Bad::ZoneName(name) => zone::not_recognized(name),
    }
}

fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (tens, units) = (bytes.get(at)?.wrapping_sub(b'0'), bytes.get(at + 1)?.wrapping_sub(b'0'));
    (tens < 10 && units < 10).then(|| i64::from(tens) * 10 + i64::from(units))
}

/// `yyyy-mm-dd` and what follows.
fn iso_date(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    let (month, day) = (two(bytes, 5)? as u32, two(bytes, 8)? as u32);
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day), &bytes[10..]))
}

/// `hh:mm:ss[.ffffff]` and what follows.
fn iso_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(bytes, 0)?, two(bytes, 3)?, two(bytes, 6)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut time_us = hour * HOUR_US + minute * MINUTE_US + second * SECOND_US;
    let mut rest = &bytes[8..];
    if rest.first() == Some(&b'.') {
        let digits = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 6 {
            return None;
        }
        let fraction = rest[1..=digits].iter().fold(0i64, |sum, b| sum * 10 + i64::from(b - b'0'));
        time_us += fraction * 10i64.pow(6 - digits as u32);
        rest = &rest[digits + 1..];
    }
    Some((time_us, rest))
}

/// `yyyy-mm-dd[ T]hh:mm:ss[.ffffff][Z|+hh[[:]mm]]`, the whole text: local time and seconds east.
fn iso_timestamp(bytes: &[u8]) -> Option<(i64, Option<i64>)> {
    let (days, rest) = iso_date(bytes)?;
    let rest = match rest {
        [] => return Some((days * DAY_US, None)),
        [b' ' | b'T', rest @ ..] => rest,
        _ => return None,
    };
    let (time_us, rest) = iso_time(rest)?;
    let local_us = days * DAY_US + time_us;
    let east_seconds = match rest {
        [] => return Some((local_us, None)),
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let hours = two(offset, 0)?;
            let minutes = match offset.len() {
                2 => 0,
                4 => two(offset, 2)?,
                5 if offset[2] == b':' => two(offset, 3)?,
                _ => return None,
            };
            if hours > 15 || minutes > 59 {
                return None;
            }
            let east = hours * 3600 + minutes * 60;
            if *sign == b'-' { -east } else { east }
        }
        _ => return None,
    };
    Some((local_us, Some(east_seconds)))
}
