//! Input of float4 and float8: decimal or C hexadecimal text, NaN, infinities.

use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

#[cold]
fn out_of_range(text: &str, type_name: &str) -> PgError {
    PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {type_name}"))
}

/// double precision. 22P02; 22003 for what overflows or underflows to zero.
pub fn parse_float8(text: &str) -> PgResult<f64> {
    match text.as_bytes().last() {
        Some(b'0'..=b'9') if text.as_bytes()[0].is_ascii_digit() || text.as_bytes()[0] == b'-' => {
            if let Ok(value) = text.parse::<f64>()
                && value.is_finite()
                && (value != 0.0 || !significant(text))
            {
                return Ok(value);
            }
        }
        _ => {}
    }
    let number = trim(text);
    let value = if let Some(value) = special(number) {
        return Ok(value);
    } else if let Some(value) = hexadecimal(number) {
        value
    } else {
        let number = decimal_prefix(number);
        number.parse::<f64>().map_err(|_| PgError::invalid_input("double precision", text))?
    };
    let used = if hexadecimal(number).is_some() { number } else { decimal_prefix(number) };
    if value.is_infinite() || value == 0.0 && significant(used) {
        return Err(out_of_range(used, "double precision"));
    }
    if used.len() < number.len() {
        return Err(PgError::invalid_input("double precision", text));
    }
    Ok(value)
}

/// real. 22P02, 22003.
pub fn parse_float4(text: &str) -> PgResult<f32> {
    let number = trim(text);
    let value = if let Some(value) = special(number) {
        return Ok(value as f32);
    } else if let Some(value) = hexadecimal(number) {
        value as f32
    } else {
        decimal_prefix(number).parse::<f32>().map_err(|_| PgError::invalid_input("real", text))?
    };
    let used = if hexadecimal(number).is_some() { number } else { decimal_prefix(number) };
    if value.is_infinite() || value == 0.0 && significant(used) {
        // PostgreSQL cuts the text shown for float8 only.
        return Err(out_of_range(text.trim_ascii_start(), "real"));
    }
    if used.len() < number.len() {
        return Err(PgError::invalid_input("real", text));
    }
    Ok(value)
}

fn special(number: &str) -> Option<f64> {
    let is = |name: &str| number.eq_ignore_ascii_case(name);
    if is("nan") {
        Some(f64::NAN)
    } else if is("infinity") || is("inf") || is("+infinity") || is("+inf") {
        Some(f64::INFINITY)
    } else if is("-infinity") || is("-inf") {
        Some(f64::NEG_INFINITY)
    } else {
        None
    }
}

/// Has the mantissa a digit other than 0? Then a zero result is an underflow.
fn significant(number: &str) -> bool {
    let hexadecimal = number.contains(['x', 'X']);
    let mantissa = number.split(if hexadecimal { ['p', 'P'] } else { ['e', 'E'] }).next().unwrap_or("");
    mantissa.bytes().any(|b| matches!(b, b'1'..=b'9') || hexadecimal && b.is_ascii_hexdigit() && b != b'0')
}

/// The longest front that is `[sign] digits [. digits] [e [sign] digits]`; empty without a digit.
fn decimal_prefix(number: &str) -> &str {
    let bytes = number.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return "";
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    &number[..end]
}

/// `[sign] 0x hex [. hex] [p [sign] digits]`, as C's strtod reads it. Limit: 16 significant digits are kept.
fn hexadecimal(number: &str) -> Option<f64> {
    let (negative, rest) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let rest = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"))?;
    let (mantissa, exponent) = match rest.split_once(['p', 'P']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || !mantissa.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.') {
        return None;
    }
    let mut value: u64 = 0;
    let mut shift = 0i64;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let after_point = i64::from(index >= whole.len());
        if value >> 60 == 0 {
            value = value << 4 | u64::from(digit.to_digit(16)?);
            shift -= 4 * after_point;
        } else {
            shift += 4 * (1 - after_point);
        }
    }
    let exponent = (i64::from(exponent) + shift).clamp(-5000, 5000) as i32;
    // Two steps, so that a subnormal result is not lost half way.
    let half = exponent / 2;
    let magnitude = value as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_and_their_errors() {
        for (text, expect) in [
            ("1.5", 1.5),
            (" -2e3 ", -2000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x1p4", 16.0),
            ("0xA.8", 10.5),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("-0", 0.0),
            ("1e-310", 1e-310),
        ] {
            assert_eq!(parse_float8(text).unwrap(), expect, "{text}");
        }
        assert!(parse_float8("NaN").unwrap().is_nan());
        assert!(parse_float8("-0").unwrap().is_sign_negative());
        for (text, code, message) in [
            ("", "22P02", "invalid input syntax for type double precision: \"\""),
            ("1e", "22P02", "invalid input syntax for type double precision: \"1e\""),
            ("1 2", "22P02", "invalid input syntax for type double precision: \"1 2\""),
            ("infinit", "22P02", "invalid input syntax for type double precision: \"infinit\""),
            ("1e400", "22003", "\"1e400\" is out of range for type double precision"),
            ("1e400x", "22003", "\"1e400\" is out of range for type double precision"),
            ("1e-400", "22003", "\"1e-400\" is out of range for type double precision"),
        ] {
            let error = parse_float8(text).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        }
        assert_eq!(parse_float4("1e40").unwrap_err().message, "\"1e40\" is out of range for type real");
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(text in "[-+0-9a-fA-FxXpPnN. ]{0,24}", value in any::<f64>()) {
            let tried = (parse_float8(&text).is_ok(), parse_float4(&text).is_ok());
            prop_assert!(!tried.0 || !text.trim().is_empty());
            if value.is_finite() {
                prop_assert_eq!(parse_float8(&format!("{value:e}")).unwrap(), value);
            }
        }
    }
}
