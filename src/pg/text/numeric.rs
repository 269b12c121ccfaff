//! Printers of numeric.

use arrow::datatypes::i256;

use crate::numeric::{display_decimals, rescale};
use crate::types::FREE_SCALE;

/// A decimal with exactly its scale's decimals.
pub fn print_decimal_128(value: i128, scale: i8, out: &mut Vec<u8>) {
    if let Ok(small) = i64::try_from(value) {
        let mut buffer = itoa::Buffer::new();
        place_point(buffer.format(small), scale, out);
    } else {
        let mut buffer = itoa::Buffer::new();
        place_point(buffer.format(value), scale, out);
    }
}

/// The same for wide decimals.
pub fn print_decimal_256(value: i256, scale: i8, out: &mut Vec<u8>) {
    match value.to_i128() {
        Some(narrow) => print_decimal_128(narrow, scale, out),
        None => place_point(&value.to_string(), scale, out),
    }
}

/// A free numeric: without trailing zeros if it was stored (`computed_scale` is `None`), else with the decimals that
/// PostgreSQL's division gives, at least `computed_scale`.
pub fn print_free(value: i256, computed_scale: Option<u8>, out: &mut Vec<u8>) {
    let Some(inputs_scale) = computed_scale else {
        let start = out.len();
        print_decimal_256(value, FREE_SCALE, out);
        while out.len() > start && out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
        return;
    };
    // Digits that the value has are never cut: the quotient was rounded where it was computed.
    let decimals = display_decimals(value, FREE_SCALE, inputs_scale).max(significant_decimals(value)) as i8;
    match rescale(value, FREE_SCALE, decimals) {
        Ok(rounded) => print_decimal_256(rounded, decimals, out),
        // Rounding down in scale cannot overflow; the exact value is still right.
        Err(_) => print_decimal_256(value, FREE_SCALE, out),
    }
}

/// Decimals up to the last that is not zero.
fn significant_decimals(value: i256) -> u8 {
    let digits = value.to_string();
    let zeros = digits.bytes().rev().take_while(|digit| *digit == b'0').count();
    (FREE_SCALE as usize).saturating_sub(zeros) as u8 * u8::from(value != i256::ZERO)
}

fn place_point(integer: &str, scale: i8, out: &mut Vec<u8>) {
    let (negative, digits) = match integer.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, integer),
    };
    if negative {
        out.push(b'-');
    }
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    }
    let scale = scale as usize;
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::parse_numeric_free;

    #[test]
    fn points_and_zeros() {
        for (value, scale, text) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 3, "-0.005"),
            (123, 2, "1.23"),
            (7, 0, "7"),
            (12, -2, "1200"),
            (i128::MAX, 2, "1701411834604692317316873037158841057.27"),
        ] {
            let mut out = Vec::new();
            print_decimal_128(value, scale, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn free_values_print_by_origin() {
        for (value, computed, text) in [
            ("3.5", None, "3.5"),
            ("3.5", Some(1), "3.5000000000000000"),
            ("100", None, "100"),
            ("0", None, "0"),
            ("0", Some(0), "0.00000000000000000000"),
            ("0.33333333333333333333", Some(1), "0.33333333333333333333"),
            ("0.333333333333333333333333", Some(1), "0.333333333333333333333333"),
            ("12345.5", Some(0), "12345.500000000000"),
            ("123456789012345678.5", Some(1), "123456789012345678.5"),
            ("-0.00012", Some(2), "-0.00012000000000000000"),
        ] {
            let mut out = Vec::new();
            print_free(parse_numeric_free(value).unwrap(), computed, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{value}");
        }
    }
}
