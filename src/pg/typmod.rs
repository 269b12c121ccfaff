//! Type modifiers: the number behind `numeric(10,2)`, and the reading and writing of whole type names.
//!
//! Promises PostgreSQL's encoding bit for bit, since clients decode it from RowDescription and pg_attribute.

use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::types::{self, TypeKind, TypeRef, oid};

/// Bytes PostgreSQL adds to lengths in a modifier.
const HEADER: i32 = 4;
/// No restriction of an interval's fields.
pub const INTERVAL_FULL_RANGE: i32 = 0x7FFF;
/// No restriction of an interval's decimals.
pub const INTERVAL_FULL_PRECISION: i32 = 0xFFFF;
/// Largest length of varchar(n) and char(n).
const LENGTH_MAX: i64 = 10_485_760;

/// Bits of an interval's field range.
pub mod interval_field {
    /// MONTH
    pub const MONTH: i32 = 1 << 1;
    /// YEAR
    pub const YEAR: i32 = 1 << 2;
    /// DAY
    pub const DAY: i32 = 1 << 3;
    /// HOUR
    pub const HOUR: i32 = 1 << 10;
    /// MINUTE
    pub const MINUTE: i32 = 1 << 11;
    /// SECOND
    pub const SECOND: i32 = 1 << 12;
}

use interval_field::{DAY, HOUR, MINUTE, MONTH, SECOND, YEAR};

/// Spellings of interval field ranges.
const INTERVAL_RANGES: [(&str, i32); 13] = [
    ("year to month", YEAR | MONTH),
    ("day to hour", DAY | HOUR),
    ("day to minute", DAY | HOUR | MINUTE),
    ("day to second", DAY | HOUR | MINUTE | SECOND),
    ("hour to minute", HOUR | MINUTE),
    ("hour to second", HOUR | MINUTE | SECOND),
    ("minute to second", MINUTE | SECOND),
    ("year", YEAR),
    ("month", MONTH),
    ("day", DAY),
    ("hour", HOUR),
    ("minute", MINUTE),
    ("second", SECOND),
];

/// The modifier of numeric(precision, scale).
pub const fn numeric(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7FF)) + HEADER
}

/// Precision and scale of a numeric modifier; `None` for bare numeric.
pub const fn numeric_parts(modifier: i32) -> Option<(i32, i32)> {
    if modifier < HEADER {
        return None;
    }
    let bits = modifier - HEADER;
    Some(((bits >> 16) & 0xFFFF, ((bits & 0x7FF) ^ 1024) - 1024))
}

/// The modifier of varchar(n) and char(n).
pub const fn length(characters: i32) -> i32 {
    characters + HEADER
}

/// n of a varchar(n) or char(n) modifier.
pub const fn length_parts(modifier: i32) -> Option<usize> {
    if modifier < HEADER { None } else { Some((modifier - HEADER) as usize) }
}

/// The modifier of interval with a field range and decimals (6 or more means full).
pub const fn interval(range: i32, precision: i32) -> i32 {
    ((range & INTERVAL_FULL_RANGE) << 16) | (precision & 0xFFFF)
}

/// Range bits and decimals of an interval modifier.
pub const fn interval_parts(modifier: i32) -> (i32, Option<u8>) {
    if modifier < 0 {
        return (INTERVAL_FULL_RANGE, None);
    }
    let precision = modifier & 0xFFFF;
    ((modifier >> 16) & INTERVAL_FULL_RANGE, if precision > 6 { None } else { Some(precision as u8) })
}

/// Decimals of a time, timestamp or timestamptz modifier; `None` if all six are kept.
pub const fn second_decimals(modifier: i32) -> Option<u8> {
    if modifier < 0 || modifier > 5 { None } else { Some(modifier as u8) }
}

/// `format_type` of a base type with a modifier.
pub(crate) fn format_with(ty: TypeRef, modifier: i32) -> String {
    let suffix = |name: &str, n: i32| format!("{name}({n})");
    match ty.kind {
        TypeKind::Numeric => match numeric_parts(modifier) {
            Some((p, s)) => format!("numeric({p},{s})"),
            None => ty.display.to_owned(),
        },
        TypeKind::Varchar | TypeKind::Bpchar => match (length_parts(modifier), ty.kind) {
            (Some(n), TypeKind::Varchar) => format!("character varying({n})"),
            (Some(n), _) => format!("character({n})"),
            (None, _) => ty.display.to_owned(),
        },
        TypeKind::Time => suffix("time", modifier) + " without time zone",
        TypeKind::Timestamp => suffix("timestamp", modifier) + " without time zone",
        TypeKind::TimestampTz => suffix("timestamp", modifier) + " with time zone",
        TypeKind::Interval => {
            let range = (modifier >> 16) & INTERVAL_FULL_RANGE;
            let mut text = "interval".to_owned();
            if let Some((name, _)) = INTERVAL_RANGES.iter().find(|(_, bits)| *bits == range) {
                text.push(' ');
                text.push_str(name);
            }
            if modifier & 0xFFFF != INTERVAL_FULL_PRECISION {
                text.push_str(&format!("({})", modifier & 0xFFFF));
            }
            text
        }
        _ => ty.display.to_owned(),
    }
}

/// See [`types::parse_type`].
pub(crate) fn parse_type(text: &str) -> PgResult<(TypeRef, i32)> {
    let (base, array) = split_array(text.trim());
    let (name, modifiers) = split_modifiers(base)?;
    let lower = name.to_ascii_lowercase();
    let (ty, modifier) = if let Some(fields) = lower.strip_prefix("interval ") {
        let range = interval_range(fields.trim()).ok_or_else(|| {
            PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", fields.trim()))
        })?;
        (types::known(oid::INTERVAL), interval_modifier(range, &modifiers)?)
    } else {
        let ty = types::by_sql_name(&name).ok_or_else(|| missing(&name))?;
        if lower == "float" && !modifiers.is_empty() {
            (float_of(&modifiers)?, -1)
        } else if modifiers.is_empty() && ty.kind == TypeKind::Bpchar && lower != "bpchar" {
            (ty, length(1))
        } else {
            (ty, modifier_of(ty, &modifiers)?)
        }
    };
    if !array {
        return Ok((ty, modifier));
    }
    ty.array().map(|array| (array, modifier)).ok_or_else(|| missing(&format!("{}[]", ty.display)))
}

/// The modifier for a list of numbers written behind a type name. Errors 22023 and 42601 as PostgreSQL's typmod input
/// functions give them.
pub fn modifier_of(ty: TypeRef, numbers: &[i64]) -> PgResult<i32> {
    let Some(&first) = numbers.first() else { return Ok(-1) };
    let invalid = |message: String| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    match ty.kind {
        TypeKind::Numeric => {
            if numbers.len() > 2 {
                return Err(invalid("invalid NUMERIC type modifier".to_owned()));
            }
            if !(1..=1000).contains(&first) {
                return Err(invalid(format!("NUMERIC precision {first} must be between 1 and 1000")));
            }
            let scale = numbers.get(1).copied().unwrap_or(0);
            if !(-1000..=1000).contains(&scale) {
                return Err(invalid(format!("NUMERIC scale {scale} must be between -1000 and 1000")));
            }
            Ok(numeric(first as i32, scale as i32))
        }
        TypeKind::Varchar | TypeKind::Bpchar => {
            let name = if ty.kind == TypeKind::Varchar { "varchar" } else { "char" };
            if numbers.len() != 1 {
                return Err(invalid("invalid type modifier".to_owned()));
            }
            if first < 1 {
                return Err(invalid(format!("length for type {name} must be at least 1")));
            }
            if first > LENGTH_MAX {
                return Err(invalid(format!("length for type {name} cannot exceed {LENGTH_MAX}")));
            }
            Ok(length(first as i32))
        }
        TypeKind::Time | TypeKind::Timestamp | TypeKind::TimestampTz => {
            let name = if ty.kind == TypeKind::Time { "TIME" } else { "TIMESTAMP" };
            let zone = if ty.kind == TypeKind::TimestampTz { " WITH TIME ZONE" } else { "" };
            if numbers.len() != 1 {
                return Err(invalid("invalid type modifier".to_owned()));
            }
            if first < 0 {
                return Err(invalid(format!("{name}({first}){zone} precision must not be negative")));
            }
            Ok(first.min(6) as i32)
        }
        TypeKind::Interval => interval_modifier(INTERVAL_FULL_RANGE, numbers),
        _ => {
            Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("type modifier is not allowed for type \"{}\"", ty.name)))
        }
    }
}

fn interval_modifier(range: i32, numbers: &[i64]) -> PgResult<i32> {
    let invalid = |message: String| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    match numbers {
        [] if range == INTERVAL_FULL_RANGE => Ok(-1),
        [] => Ok(interval(range, INTERVAL_FULL_PRECISION)),
        [n] if *n < 0 => Err(invalid(format!("INTERVAL({n}) precision must not be negative"))),
        [n] => Ok(interval(range, (*n).min(6) as i32)),
        _ => Err(invalid("invalid INTERVAL type modifier".to_owned())),
    }
}

/// The bits of `day to second` and the like.
pub fn interval_range(fields: &str) -> Option<i32> {
    let folded = fields.split_ascii_whitespace().map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ");
    INTERVAL_RANGES.iter().find(|(name, _)| *name == folded).map(|(_, bits)| *bits)
}

fn float_of(modifiers: &[i64]) -> PgResult<TypeRef> {
    let invalid = |message: &str| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    match modifiers {
        [n] if *n < 1 => Err(invalid("precision for type float must be at least 1 bit")),
        [n] if *n <= 24 => Ok(types::known(oid::FLOAT4)),
        [n] if *n <= 53 => Ok(types::known(oid::FLOAT8)),
        [_] => Err(invalid("precision for type float must be less than 54 bits")),
        _ => Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \",\"")),
    }
}

fn missing(name: &str) -> PgError {
    PgError::new(sqlstate::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// Takes `[]`, `[3]`, ` array` off the end.
fn split_array(mut text: &str) -> (&str, bool) {
    let mut array = false;
    loop {
        let trimmed = text.trim_end();
        if let Some(open) = trimmed.strip_suffix(']').and_then(|head| head.rfind('[').map(|at| (head, at)))
            && open.0[open.1 + 1..].bytes().all(|b| b.is_ascii_digit() || b == b' ')
        {
            text = &trimmed[..open.1];
            array = true;
        } else if trimmed.len() > 6 && trimmed.is_char_boundary(trimmed.len() - 6) {
            let (head, tail) = trimmed.split_at(trimmed.len() - 6);
            if !tail.eq_ignore_ascii_case(" array") {
                return (trimmed, array);
            }
            text = head;
            array = true;
        } else {
            return (trimmed, array);
        }
    }
}

/// `timestamp(3) with time zone` to `timestamp with time zone` and `[3]`.
fn split_modifiers(text: &str) -> PgResult<(String, Vec<i64>)> {
    let Some(open) = text.find('(') else { return Ok((text.to_owned(), Vec::new())) };
    let near = |token: &str| PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{token}\""));
    let rest = &text[open + 1..];
    let close = rest.find(')').ok_or_else(|| PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input"))?;
    let numbers = rest[..close]
        .split(',')
        .map(|number| number.trim().parse::<i64>().map_err(|_| near(number.trim())))
        .collect::<PgResult<Vec<_>>>()?;
    let name = format!("{}{}", text[..open].trim_end(), &rest[close + 1..]);
    Ok((name, numbers))
}
