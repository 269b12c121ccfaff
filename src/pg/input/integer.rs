//! Input of the integer types and oid: decimal digits, a sign, blanks around.

use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

enum Refused {
    Syntax,
    Range,
}

/// Reads a decimal integer within `min..=max`. Too many digits are out of range, whatever follows them.
fn decimal(text: &str, min: i64, max: i64) -> Result<i64, Refused> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return Err(Refused::Syntax);
    }
    let mut value: i64 = 0;
    for (at, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            // Digits that are too many already count first.
            let fits = (min..=max).contains(&if negative { value } else { value.saturating_neg() });
            return Err(if fits || at == 0 { Refused::Syntax } else { Refused::Range });
        }
        // Counted downwards, since there is one more negative number.
        match value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(digit))) {
            Some(next) => value = next,
            None => return Err(Refused::Range),
        }
    }
    let value = if negative { value } else { value.checked_neg().ok_or(Refused::Range)? };
    if (min..=max).contains(&value) { Ok(value) } else { Err(Refused::Range) }
}

#[cold]
fn refuse(refused: &Refused, text: &str, type_name: &str) -> PgError {
    match refused {
        Refused::Syntax => PgError::invalid_input(type_name, text),
        Refused::Range => PgError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {type_name}"),
        ),
    }
}

fn parse(text: &str, min: i64, max: i64, type_name: &str) -> PgResult<i64> {
    match decimal(text, min, max) {
        Ok(value) => Ok(value),
        Err(_) => decimal(trim(text), min, max).map_err(|refused| refuse(&refused, text, type_name)),
    }
}

/// smallint. 22P02, 22003.
pub fn parse_int2(text: &str) -> PgResult<i16> {
    parse(text, i16::MIN.into(), i16::MAX.into(), "smallint").map(|value| value as i16)
}

/// integer. 22P02, 22003.
pub fn parse_int4(text: &str) -> PgResult<i32> {
    parse(text, i32::MIN.into(), i32::MAX.into(), "integer").map(|value| value as i32)
}

/// bigint. 22P02, 22003.
pub fn parse_int8(text: &str) -> PgResult<i64> {
    parse(text, i64::MIN, i64::MAX, "bigint")
}

/// oid: unsigned, but negative numbers down to -2^31 wrap as in PostgreSQL.
pub fn parse_oid(text: &str) -> PgResult<u32> {
    parse(text, i32::MIN.into(), u32::MAX.into(), "oid").map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_and_their_errors() {
        assert_eq!(parse_int4(" 42 "), Ok(42));
        assert_eq!(parse_int4("+0007"), Ok(7));
        assert_eq!(parse_int8("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_int2("-32768"), Ok(i16::MIN));
        assert_eq!(parse_oid("4294967295"), Ok(u32::MAX));
        assert_eq!(parse_oid("-1"), Ok(u32::MAX));
        for (text, code, message) in [
            ("", "22P02", "invalid input syntax for type integer: \"\""),
            ("1.5", "22P02", "invalid input syntax for type integer: \"1.5\""),
            ("1 2", "22P02", "invalid input syntax for type integer: \"1 2\""),
            ("- 1", "22P02", "invalid input syntax for type integer: \"- 1\""),
            ("0x10", "22P02", "invalid input syntax for type integer: \"0x10\""),
            ("2147483648x", "22003", "value \"2147483648x\" is out of range for type integer"),
            ("2147483648", "22003", "value \"2147483648\" is out of range for type integer"),
            ("99999999999999999999", "22003", "value \"99999999999999999999\" is out of range for type integer"),
        ] {
            let error = parse_int4(text).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        }
        assert_eq!(parse_int2("32768").unwrap_err().message, "value \"32768\" is out of range for type smallint");
    }

    proptest! {
        #[test]
        fn agrees_with_rust(value in any::<i64>(), text in "[-+ 0-9x]{0,22}") {
            prop_assert_eq!(parse_int8(&value.to_string()).unwrap(), value);
            let twin = text.trim_matches(' ').parse::<i64>().ok();
            prop_assert_eq!(parse_int8(&text).ok(), twin);
        }
    }
}
