//! Binary value to Arrow value.

use std::borrow::Cow;

use arrow::datatypes::IntervalMonthDayNano;

use crate::datetime::{
    DATE_INFINITY, DATE_MINUS_INFINITY, DAY_US, PG_EPOCH_DAYS, PG_EPOCH_US, check_date, check_timestamp, infinite,
    infinite_date, round_timestamp, round_us,
};
use crate::error::{PgError, PgResult};
use crate::input::array::DIMENSIONS_MAX;
use crate::input::inet::Network;
use crate::input::interval::fit_interval;
use crate::input::string::check_utf8;
use crate::sqlstate;
use crate::types::{TypeKind, TypeRef};

/// 08P01: the value ends too early.
#[cold]
pub fn insufficient() -> PgError {
    PgError::new(sqlstate::PROTOCOL_VIOLATION, "insufficient data left in message")
}

/// 22P03: bytes are left over. The caller that knows the parameter's number puts it into the message.
#[cold]
pub fn incorrect() -> PgError {
    PgError::new(sqlstate::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
}

#[cold]
fn malformed(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::INVALID_BINARY_REPRESENTATION, message)
}

/// Exactly N bytes.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> PgResult<[u8; N]> {
    match <[u8; N]>::try_from(bytes) {
        Ok(value) => Ok(value),
        Err(_) if bytes.len() < N => Err(insufficient()),
        Err(_) => Err(incorrect()),
    }
}

/// Takes N bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> PgResult<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or_else(insufficient)?;
    *bytes = rest;
    Ok(*head)
}

fn take_i32(bytes: &mut &[u8]) -> PgResult<i32> {
    take(bytes).map(i32::from_be_bytes)
}

fn take_u16(bytes: &mut &[u8]) -> PgResult<u16> {
    take(bytes).map(u16::from_be_bytes)
}

/// A value behind its length; `None` is NULL.
fn take_value<'a>(bytes: &mut &'a [u8]) -> PgResult<Option<&'a [u8]>> {
    let length = take_i32(bytes)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| insufficient())?;
    let (value, rest) = bytes.split_at_checked(length).ok_or_else(insufficient)?;
    *bytes = rest;
    Ok(Some(value))
}

pub(crate) fn date(bytes: &[u8]) -> PgResult<i32> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    if infinite_date(days) {
        return Ok(if days > 0 { DATE_INFINITY } else { DATE_MINUS_INFINITY });
    }
    check_date(i64::from(days) + i64::from(PG_EPOCH_DAYS))
}

pub(crate) fn time(bytes: &[u8], decimals: Option<u8>) -> PgResult<i64> {
    let time_us = i64::from_be_bytes(fixed(bytes)?);
    if !(0..=DAY_US).contains(&time_us) {
        return Err(PgError::new(sqlstate::DATETIME_VALUE_OUT_OF_RANGE, "time out of range"));
    }
    Ok(round_us(time_us, decimals))
}

pub(crate) fn timestamp(bytes: &[u8], decimals: Option<u8>) -> PgResult<i64> {
    let us = i64::from_be_bytes(fixed(bytes)?);
    if infinite(us) {
        return Ok(us);
    }
    let us = us.checked_add(PG_EPOCH_US).ok_or_else(crate::datetime::timestamp_out_of_range)?;
    Ok(round_timestamp(check_timestamp(us)?, decimals))
}

pub(crate) fn interval(bytes: &[u8], modifier: i32) -> PgResult<IntervalMonthDayNano> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let mut rest = &bytes[..];
    let time_us = i64::from_be_bytes(take(&mut rest)?);
    let days = take_i32(&mut rest)?;
    let months = take_i32(&mut rest)?;
    fit_interval(crate::interval::make(months, days, time_us)?, modifier)
}

/// Text of a textual type. 22021 unless it is UTF-8; jsonb's version byte must be 1.
pub(crate) fn text(bytes: &[u8], kind: TypeKind) -> PgResult<Cow<'_, str>> {
    match kind {
        TypeKind::Jsonb => match bytes {
            [] => Err(insufficient()),
            [1, rest @ ..] => check_utf8(rest).map(Cow::Borrowed),
            [version, ..] => Err(PgError::internal(format!("unsupported jsonb version number {version}"))),
        },
        TypeKind::Inet | TypeKind::Cidr => network(bytes, kind).map(Cow::Owned),
        _ => check_utf8(bytes).map(Cow::Borrowed),
    }
}

fn network(bytes: &[u8], kind: TypeKind) -> PgResult<String> {
    let name = if kind == TypeKind::Cidr { "cidr" } else { "inet" };
    let mut rest = bytes;
    let [family, bits, _flag, length] = take::<4>(&mut rest)?;
    let address = match (family, length) {
        (2, 4) => fixed::<4>(rest)?.into(),
        (3, 16) => fixed::<16>(rest)?.into(),
        (2 | 3, _) => return Err(malformed(format!("invalid length in external \"{name}\" value"))),
        _ => return Err(malformed(format!("invalid address family in external \"{name}\" value"))),
    };
    if bits > if family == 2 { 32 } else { 128 } {
        return Err(malformed(format!("invalid bits in external \"{name}\" value")));
    }
    let network = Network { address, bits };
    if kind == TypeKind::Inet {
        return Ok(network.inet_text());
    }
    if !network.masked() {
        return Err(malformed("invalid external \"cidr\" value").detail("Value has bits set to right of mask."));
    }
    Ok(network.cidr_text())
}

/// Weight in groups of four digits beyond which no decimal of ours can hold a value.
const NUMERIC_WEIGHT_MAX: i16 = 40;

/// The decimal text of a binary numeric.
pub(crate) fn numeric_text(bytes: &[u8]) -> PgResult<String> {
    const NEGATIVE: u16 = 0x4000;
    let mut rest = bytes;
    let count = take_u16(&mut rest)?;
    let weight = take(&mut rest).map(i16::from_be_bytes)?;
    let sign = take_u16(&mut rest)?;
    let scale = take_u16(&mut rest)?;
    match sign {
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        0 | NEGATIVE => {}
        _ => return Err(malformed("invalid sign in external \"numeric\" value")),
    }
    if scale > 0x3FFF {
        return Err(malformed("invalid scale in external \"numeric\" value"));
    }
    if rest.len() < usize::from(count) * 2 {
        return Err(insufficient());
    }
    if rest.len() > usize::from(count) * 2 {
        return Err(incorrect());
    }
    let digits: Vec<u16> = rest.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    if digits.iter().any(|digit| *digit > 9999) {
        return Err(malformed("invalid digit in external \"numeric\" value"));
    }
    if weight > NUMERIC_WEIGHT_MAX && digits.iter().any(|digit| *digit != 0) {
        return Err(crate::input::numeric::free_overflow());
    }
    let group = |index: i32| usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
    let weight = i32::from(weight.min(NUMERIC_WEIGHT_MAX));
    let mut text = String::from(if sign == NEGATIVE { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for index in 0..=weight {
        text.push_str(&format!("{:04}", group(index)));
    }
    // Decimals beyond dscale are cut, as PostgreSQL does. Groups too far behind the point are all zero.
    let decimals = usize::from(scale).min(4 * (usize::from(count) + 10_000));
    let mut fraction = String::new();
    let mut index = weight + 1;
    let mut position = -weight.min(-1) - 1;
    while position > 0 && fraction.len() < decimals {
        fraction.push_str("0000");
        position -= 1;
    }
    if weight < 0 {
        index = 0;
    }
    while fraction.len() < decimals && index < i32::from(count) {
        fraction.push_str(&format!("{:04}", group(index)));
        index += 1;
    }
    fraction.truncate(decimals);
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(&fraction);
    }
    Ok(text)
}

/// A binary array taken apart.
pub(crate) struct BinaryArray<'a> {
    pub(crate) dimensions: Vec<usize>,
    pub(crate) elements: Vec<Option<&'a [u8]>>,
}

/// Reads a binary array; counts are checked against the bytes there are.
pub(crate) fn array(bytes: &[u8], ty: TypeRef) -> PgResult<BinaryArray<'_>> {
    let mut rest = bytes;
    let dimension_count = take_i32(&mut rest)?;
    let flags = take_i32(&mut rest)?;
    let element_oid = take(&mut rest).map(u32::from_be_bytes)?;
    if dimension_count < 0 {
        return Err(malformed(format!("invalid number of dimensions: {dimension_count}")));
    }
    if dimension_count as usize > DIMENSIONS_MAX {
        return Err(PgError::new(
            sqlstate::PROGRAM_LIMIT_EXCEEDED,
            format!("number of array dimensions ({dimension_count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
        ));
    }
    if flags != 0 && flags != 1 {
        return Err(malformed("invalid array flags"));
    }
    if element_oid != ty.elem_oid {
        return Err(PgError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!(
                "binary data has array element type {element_oid} ({}) instead of expected {} ({})",
                crate::types::format_type(element_oid, Some(-1)),
                ty.elem_oid,
                crate::types::format_type(ty.elem_oid, Some(-1)),
            ),
        ));
    }
    let lower_bound = if ty.kind == TypeKind::Array { 1 } else { 0 };
    let mut dimensions = Vec::new();
    let mut count = 1usize;
    for _ in 0..dimension_count {
        let length = usize::try_from(take_i32(&mut rest)?).map_err(|_| malformed("invalid array flags"))?;
        let bound = take_i32(&mut rest)?;
        if length > 0 && bound != lower_bound {
            return Err(PgError::unsupported(format!("array lower bound {bound} is not supported"))
                .hint("Array subscripts start at 1."));
        }
        count = count.saturating_mul(length);
        dimensions.push(length);
    }
    if dimensions.is_empty() || count == 0 {
        count = 0;
        dimensions.clear();
    }
    // Every element has a length of four bytes.
    if count > rest.len() / 4 {
        return Err(insufficient());
    }
    let elements = (0..count).map(|_| take_value(&mut rest)).collect::<PgResult<Vec<_>>>()?;
    if !rest.is_empty() {
        return Err(incorrect());
    }
    Ok(BinaryArray { dimensions, elements })
}
