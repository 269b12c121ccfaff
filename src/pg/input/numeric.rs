//! Input of numeric.
//!
//! Text of any length is read digit by digit and rounded, half away from zero, to the scale wanted; only the digits
//! that count are kept. Free numeric refuses what it cannot hold exactly.

use arrow::datatypes::i256;

use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::types::FREE_SCALE;

/// Limit of exponents, as in PostgreSQL.
const EXPONENT_MAX: i64 = i32::MAX as i64 / 2;

/// Digits before the point that PostgreSQL's own format can hold.
const WHOLE_DIGITS_MAX: i64 = 131_072;

/// A decimal number in its text: 0.DIGITS times 10 to the power of `point`.
struct DecimalText<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'a [u8],
    /// Digits behind the point.
    fraction: &'a [u8],
    exponent: i64,
}

/// numeric(p, s) with s >= 0 as its unscaled integer.
///
/// `precision` is that of the type (digits), `scale` the decimals. 22P02; 22003 `numeric field overflow`.
pub fn parse_numeric(text: &str, precision: u8, scale: u8) -> PgResult<i256> {
    let number = split(text)?;
    if number.whole_digits() > WHOLE_DIGITS_MAX {
        return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
    }
    let value = number.unscaled(i64::from(scale));
    value
        .filter(|value| within(*value, precision))
        .ok_or_else(|| field_overflow(i32::from(precision), i32::from(scale)))
}

/// The same for precisions up to 38.
pub(crate) fn parse_numeric_128(text: &str, precision: u8, scale: u8) -> PgResult<i128> {
    // The shape that programs write: few digits, no exponent.
    if let Some(value) = plain(text.as_bytes(), scale)
        && value.unsigned_abs() < 10u128.pow(u32::from(precision.min(38)))
    {
        return Ok(value);
    }
    let value = parse_numeric(text, precision, scale)?;
    value.to_i128().ok_or_else(|| field_overflow(i32::from(precision), i32::from(scale)))
}

/// Bare numeric, scale 38. 22003 if there are more than 38 digits before or (not zero) after the point.
pub fn parse_numeric_free(text: &str) -> PgResult<i256> {
    let number = split(text)?;
    let exact = number.decimals() <= i64::from(FREE_SCALE);
    number.unscaled(i64::from(FREE_SCALE)).filter(|value| exact && within(*value, 76)).ok_or_else(free_overflow)
}

/// 22003 for a value that bare numeric cannot hold.
#[cold]
pub fn free_overflow() -> PgError {
    PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .detail("A numeric value has at most 38 digits before and 38 digits after the decimal point.")
}

/// 22003 `numeric field overflow` with PostgreSQL's detail.
#[cold]
pub fn field_overflow(precision: i32, scale: i32) -> PgError {
    let digits = precision - scale;
    let limit = if digits == 0 { "1".to_owned() } else { format!("10^{digits}") };
    PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

/// Precision and scale that a numeric literal has of itself, leading zeros not counted: `0.50` is (2, 2).
/// `None` for more than 38 digits on either side of the point. 22P02 for other text.
pub fn literal_shape(text: &str) -> PgResult<Option<(u8, u8)>> {
    let number = split(text)?;
    let decimals = (number.fraction.len() as i64 - number.exponent).max(0);
    let whole = number.whole_digits();
    if decimals > 38 || whole > 38 {
        return Ok(None);
    }
    Ok(Some((((whole + decimals).max(1)) as u8, decimals as u8)))
}

/// Is |value| < 10^precision?
pub(crate) fn within(value: i256, precision: u8) -> bool {
    let limit = crate::numeric::power_of_ten(precision);
    value < limit && value > -limit
}

/// At most 18 digits, a point, nothing else.
fn plain(bytes: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value: u64 = 0;
    let mut decimals: Option<u8> = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                if let Some(count) = &mut decimals {
                    *count += 1;
                }
            }
            b'.' if decimals.is_none() && digits.len() > 1 => decimals = Some(0),
            _ => return None,
        }
    }
    let missing = u32::from(scale.checked_sub(decimals.unwrap_or(0))?);
    let value = i128::from(value).checked_mul(10i128.checked_pow(missing)?)?;
    Some(if negative { -value } else { value })
}

fn split(text: &str) -> PgResult<DecimalText<'_>> {
    let invalid = || PgError::invalid_input("numeric", text);
    let number = trim(text);
    let (negative, rest) = match number.as_bytes() {
        [b'-', ..] => (true, &number[1..]),
        [b'+', ..] => (false, &number[1..]),
        _ => (false, number),
    };
    if let Some(special) = special(number, rest) {
        return Err(special);
    }
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = &bytes[..digits(0)];
    let mut at = whole.len();
    let mut fraction: &[u8] = &[];
    if bytes.get(at) == Some(&b'.') {
        fraction = &bytes[at + 1..at + 1 + digits(at + 1)];
        at += 1 + fraction.len();
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = bytes.get(at) {
        let (value, tail) = super::datetime_scan::leading_int(&rest[at + 1..])
            .ok_or_else(|| PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"))?;
        if !tail.is_empty() || !bytes[bytes.len() - 1].is_ascii_digit() {
            return Err(invalid());
        }
        if value.abs() >= EXPONENT_MAX {
            return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
        }
        exponent = value;
        at = bytes.len();
    }
    if at != bytes.len() {
        return Err(invalid());
    }
    let zeros = whole.iter().take_while(|b| **b == b'0').count();
    Ok(DecimalText { negative, whole: &whole[zeros..], fraction, exponent })
}

fn special(number: &str, unsigned: &str) -> Option<PgError> {
    let name = if number.eq_ignore_ascii_case("nan") {
        "NaN"
    } else if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
        "infinity"
    } else {
        return None;
    };
    Some(
        PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("numeric cannot hold {name}"))
            .hint("Use double precision."),
    )
}

impl DecimalText<'_> {
    fn digit(&self, index: usize) -> Option<u8> {
        let byte = match index.checked_sub(self.whole.len()) {
            None => self.whole.get(index),
            Some(index) => self.fraction.get(index),
        };
        byte.map(|byte| byte - b'0')
    }

    fn count(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// Where the point is behind the exponent, counted from the first digit.
    fn point(&self) -> i64 {
        self.whole.len() as i64 + self.exponent
    }

    /// Digits before the point of the value.
    fn whole_digits(&self) -> i64 {
        let zeros = (0..self.count()).take_while(|index| self.digit(*index) == Some(0)).count() as i64;
        if zeros as usize == self.count() { 0 } else { (self.point() - zeros).max(0) }
    }

    /// Decimals that are needed to write the value exactly.
    fn decimals(&self) -> i64 {
        match (0..self.count()).rev().find(|index| self.digit(*index) != Some(0)) {
            Some(last) => last as i64 + 1 - self.point(),
            None => 0,
        }
    }

    /// The value times 10^scale, rounded half away from zero; `None` beyond 76 digits.
    fn unscaled(&self, scale: i64) -> Option<i256> {
        if self.whole_digits() + scale > 76 {
            return None;
        }
        let kept = self.point() + scale;
        if kept < 0 {
            return Some(i256::ZERO);
        }
        let kept = kept as usize;
        let mut value = i256::ZERO;
        let mut chunk: u64 = 0;
        let mut chunk_power: u64 = 1;
        let flush = |value: i256, chunk: u64, power: u64| {
            value.checked_mul(i256::from_i128(i128::from(power)))?.checked_add(i256::from_i128(i128::from(chunk)))
        };
        for index in 0..kept.min(self.count()) {
            chunk = chunk * 10 + u64::from(self.digit(index).unwrap_or(0));
            chunk_power *= 10;
            if chunk_power == 10u64.pow(18) {
                value = flush(value, chunk, chunk_power)?;
                (chunk, chunk_power) = (0, 1);
            }
        }
        value = flush(value, chunk, chunk_power)?;
        if let Some(zeros) = kept.checked_sub(self.count())
            && value != i256::ZERO
        {
            value = value.checked_mul(crate::numeric::power_of_ten(u8::try_from(zeros).ok()?))?;
        }
        if self.digit(kept).is_some_and(|digit| digit >= 5) {
            value = value.checked_add(i256::ONE)?;
        }
        Some(if self.negative { value.wrapping_neg() } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    #[test]
    fn rounding_overflow_and_syntax() {
        for (text, p, s, expect) in [
            ("1.005", 10, 2, 101),
            ("-1.005", 10, 2, -101),
            ("0.004999", 10, 2, 0),
            ("  12e3 ", 10, 0, 12000),
            ("1.5e-1", 10, 2, 15),
            (".5", 10, 0, 1),
            ("5.", 10, 0, 5),
            ("0000000000000000000000000000000000000000000000000000000001.10", 3, 1, 11),
            ("9.94", 2, 1, 99),
            ("0e99999", 2, 1, 0),
            ("1e-99999", 2, 1, 0),
        ] {
            assert_eq!(parse_numeric_128(text, p, s).unwrap(), expect, "{text}");
            assert_eq!(parse_numeric(text, p, s).unwrap(), i256::from_i128(expect), "{text}");
        }
        let overflow = parse_numeric("9.95", 2, 1).unwrap_err();
        assert_eq!(overflow.message, "numeric field overflow");
        assert_eq!(
            overflow.detail.as_deref(),
            Some("A field with precision 2, scale 1 must round to an absolute value less than 10^1.")
        );
        for text in ["", " ", ".", "e5", "1e", "1e+", "1.2.3", "12a", "--1", "1 2", "1_000"] {
            let error = parse_numeric(text, 10, 2).unwrap_err();
            assert_eq!(error.message, format!("invalid input syntax for type numeric: \"{text}\""));
        }
        assert_eq!(parse_numeric_free("NaN").unwrap_err().message, "numeric cannot hold NaN");
        assert_eq!(parse_numeric_free("1e9999999999").unwrap_err().code.as_str(), "22003");
        assert_eq!(parse_numeric_free("1e38").unwrap_err().code.as_str(), "22003");
        assert!(parse_numeric_free("1e37").is_ok());
        assert_eq!(parse_numeric_free("1e-39").unwrap_err().code.as_str(), "22003");
        assert!(parse_numeric_free("1.50000000000000000000000000000000000000000000000000").is_ok());
    }

    #[test]
    fn literals_have_their_own_shape() {
        for (text, shape) in [
            ("0.50", Some((2, 2))),
            ("007", Some((1, 0))),
            ("0", Some((1, 0))),
            ("1.5e3", Some((4, 0))),
            ("1e-3", Some((3, 3))),
            ("12345.678", Some((8, 3))),
            ("1e40", None),
        ] {
            assert_eq!(literal_shape(text).unwrap(), shape, "{text}");
        }
    }

    proptest! {
        #[test]
        fn twin_with_big_integers(whole in "[0-9]{0,30}", fraction in "[0-9]{1,45}", e in -20i64..20, s in 0u8..30) {
            let text = format!("-{whole}.{fraction}e{e}");
            let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
            let shift = i64::from(s) + e - fraction.len() as i64;
            let ten = BigInt::from(10);
            let twin = if shift >= 0 {
                digits * ten.pow(shift as u32)
            } else {
                let unit = ten.pow((-shift) as u32);
                (digits * 2 + &unit) / (unit * 2)
            };
            match parse_numeric(&text, 76, s) {
                Ok(value) => prop_assert_eq!(value.to_string(), (-twin).to_string()),
                Err(_) => prop_assert!(twin.to_string().len() > 70),
            }
        }

        #[test]
        fn never_panics(text in "[-+0-9eE. ]{0,90}") {
            prop_assert_eq!(parse_numeric_free(&text).is_ok() && text.trim().is_empty(), false);
        }
    }
}
