//! Input of the integer types and oid: decimal digits, a sign, blanks around.

use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

enum Refused {
    Syntax,
    Range,
}

/// Reads a decimal integer that fits i64.
fn decimal(text: &str) -> Result<i64, Refused> {
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
    let mut fits = true;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Refused::Syntax);
        }
        // Counted downwards, since there is one more negative number.
        match value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(digit))) {
            Some(next) => value = next,
            None => fits = false,
        }
    }
    if !fits {
        return Err(Refused::Range);
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(Refused::Range) }
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

fn parse<T: TryFrom<i64>>(text: &str, type_name: &str) -> PgResult<T> {
    decimal(text)
        .or_else(|_| decimal(trim(text)))
        .and_then(|value| T::try_from(value).map_err(|_| Refused::Range))
        .map_err(|refused| refuse(&refused, text, type_name))
}

/// smallint. 22P02, 22003.
pub fn parse_int2(text: &str) -> PgResult<i16> {
    parse(text, "smallint")
}

/// integer. 22P02, 22003.
pub fn parse_int4(text: &str) -> PgResult<i32> {
    parse(text, "integer")
}

/// bigint. 22P02, 22003.
pub fn parse_int8(text: &str) -> PgResult<i64> {
    parse(text, "bigint")
}

/// oid: unsigned, but negative numbers down to -2^31 wrap as in PostgreSQL.
pub fn parse_oid(text: &str) -> PgResult<u32> {
    match decimal(trim(text)) {
        Ok(value) if value >= i64::from(i32::MIN) && value <= i64::from(u32::MAX) => Ok(value as u32),
        Ok(_) => Err(refuse(&Refused::Range, text, "oid")),
        Err(refused) => Err(refuse(&refused, text, "oid")),
    }
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
