//! Printers of float4 and float8.
//!
//! With extra_float_digits above 0 the shortest text that reads back as the same number; else C's `%.{15+n}g`.

use std::io::Write;

use arrow::array::PrimitiveArray;
use arrow::datatypes::{Float32Type, Float64Type};

use super::ColumnText;

/// Digits of float8 at extra_float_digits = 0.
const FLOAT8_DIGITS: i32 = 15;
/// Digits of float4 at extra_float_digits = 0.
const FLOAT4_DIGITS: i32 = 6;

pub(crate) fn float8_column(array: &PrimitiveArray<Float64Type>, extra_digits: i32, out: &mut ColumnText) {
    let values = array.values();
    out.fill(values.len(), |row, bytes| print_float8(values[row], extra_digits, bytes));
}

pub(crate) fn float4_column(array: &PrimitiveArray<Float32Type>, extra_digits: i32, out: &mut ColumnText) {
    let values = array.values();
    out.fill(values.len(), |row, bytes| print_float4(values[row], extra_digits, bytes));
}

/// double precision.
pub fn print_float8(value: f64, extra_digits: i32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return print_special(value, out);
    }
    if extra_digits > 0 {
        let mut buffer = ryu::Buffer::new();
        let shortest = buffer.format_finite(value);
        // From 2^53 on the shortest text may lie half way to a neighbour.
        if value.abs() >= 9_007_199_254_740_992.0 && half_way(value.abs(), value.abs().next_up(), shortest) {
            return print_longer(value, 17, FLOAT8_DIGITS, |text| text.parse() == Ok(value), out);
        }
        return print_shortest(shortest, FLOAT8_DIGITS, out);
    }
    print_rounded(value, (FLOAT8_DIGITS + extra_digits).max(1), out);
}

/// real.
pub fn print_float4(value: f32, extra_digits: i32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return print_special(f64::from(value), out);
    }
    if extra_digits > 0 {
        let mut buffer = ryu::Buffer::new();
        let shortest = buffer.format_finite(value);
        let (size, next) = (f64::from(value.abs()), f64::from(value.abs().next_up()));
        if value.abs() >= 16_777_216.0 && half_way(size, next, shortest) {
            return print_longer(f64::from(value), 9, FLOAT4_DIGITS, |text| text.parse() == Ok(value), out);
        }
        return print_shortest(shortest, FLOAT4_DIGITS, out);
    }
    print_rounded(f64::from(value), (FLOAT4_DIGITS + extra_digits).max(1), out);
}

/// Is the text exactly between the number and one of its neighbours? PostgreSQL then takes a longer one, although
/// reading rounds the half to the even number.
fn half_way(size: f64, next: f64, text: &str) -> bool {
    if next >= 2f64.powi(127) {
        return false;
    }
    let (mut digits, mut exponent) = (0u128, 0i32);
    let text = text.trim_start_matches('-');
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    for digit in whole.bytes().chain(fraction.bytes()) {
        digits = digits * 10 + u128::from(digit - b'0');
    }
    exponent += power.parse::<i32>().unwrap_or(0) - fraction.len() as i32;
    let shown = if exponent >= 0 {
        digits.checked_mul(10u128.pow(exponent as u32))
    } else {
        let unit = 10u128.pow(exponent.unsigned_abs());
        digits.is_multiple_of(unit).then(|| digits / unit)
    };
    let half = (next - size) as u128 / 2;
    shown.is_some_and(|shown| shown.abs_diff(size as u128) == half && half > 0)
}

/// The shortest correctly rounded text that reads back, from one digit fewer than the longest up.
fn print_longer(value: f64, digits_max: i32, exponent_end: i32, reads_back: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    for digits in digits_max - 1..=digits_max {
        let text = format!("{:.*e}", (digits - 1) as usize, value);
        if digits == digits_max || reads_back(&text) {
            return print_shortest(&text, exponent_end, out);
        }
    }
}

fn print_special(value: f64, out: &mut Vec<u8>) {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    };
    out.extend_from_slice(text);
}

/// Lays out again what ryu wrote (`1.5e-7`, `123.0`): only its digits and exponent are taken.
fn print_shortest(shortest: &str, exponent_end: i32, out: &mut Vec<u8>) {
    let bytes = shortest.as_bytes();
    let (negative, bytes) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let mut digits = [0u8; 32];
    let mut count = 0;
    let mut point = None;
    let mut exponent = 0i32;
    let mut seen = 0i32;
    // Zeros in front of the first digit that counts.
    let mut leading = 0i32;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'.' => point = Some(seen),
            b'e' => {
                exponent = shortest_exponent(&bytes[at + 1..]);
                break;
            }
            b'0' if count == 0 => {
                leading += 1;
                seen += 1;
            }
            digit => {
                digits[count] = *digit;
                count += 1;
                seen += 1;
            }
        }
    }
    while count > 0 && digits[count - 1] == b'0' {
        count -= 1;
    }
    if negative {
        out.push(b'-');
    }
    if count == 0 {
        out.push(b'0');
        return;
    }
    let first = point.unwrap_or(seen) - leading - 1 + exponent;
    lay_out(&digits[..count], first, exponent_end, out);
}

fn shortest_exponent(bytes: &[u8]) -> i32 {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let size = digits.iter().fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'));
    if negative { -size } else { size }
}

/// C's %.{digits}g.
fn print_rounded(value: f64, digits: i32, out: &mut Vec<u8>) {
    if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
        return;
    }
    let text = format!("{:.*e}", (digits - 1) as usize, value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let mut kept: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while kept.len() > 1 && kept.last() == Some(&b'0') {
        kept.pop();
    }
    if negative {
        out.push(b'-');
    }
    lay_out(&kept, exponent, digits, out);
}

/// Digits with the power of ten of the first one; exponent form below 1e-4 and from 10^exponent_end on.
fn lay_out(digits: &[u8], first: i32, exponent_end: i32, out: &mut Vec<u8>) {
    let count = digits.len() as i32;
    if first < -4 || first >= exponent_end {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if first < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", first.unsigned_abs()).expect("writing to memory cannot fail");
    } else if first < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-first - 1) as usize));
        out.extend_from_slice(digits);
    } else if count <= first + 1 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', (first + 1 - count) as usize));
    } else {
        let (whole, fraction) = digits.split_at((first + 1) as usize);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn f8(value: f64, extra: i32) -> String {
        let mut out = Vec::new();
        print_float8(value, extra, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn f4(value: f32, extra: i32) -> String {
        let mut out = Vec::new();
        print_float4(value, extra, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn layouts_are_postgresql_s() {
        // Answers of PostgreSQL 15.
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (100.0, "100"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123456789012345.6, "123456789012345.6"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1e100, "1e+100"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (90071992954740993.0, "9.007199295474099e+16"),
        ] {
            assert_eq!(f8(value, 1), text);
        }
        for (value, extra, text) in [
            (0.1 + 0.2, 0, "0.3"),
            (0.1 + 0.2, 1, "0.30000000000000004"),
            (1.0 / 3.0, -10, "0.33333"),
            (123456.0, -12, "1.23e+05"),
            (1e15, 0, "1e+15"),
            (-0.0, 0, "-0"),
            (9.99, -15, "1e+01"),
        ] {
            assert_eq!(f8(value, extra), text);
        }
        for (value, text) in
            [(1.5f32, "1.5"), (1e6, "1e+06"), (123456.0, "123456"), (1234567.0, "1.234567e+06"), (0.1, "0.1")]
        {
            assert_eq!(f4(value, 1), text);
        }
        assert_eq!(f4(1.0 / 3.0, 0), "0.333333");
    }

    proptest! {
        #[test]
        fn shortest_text_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                prop_assert_eq!(f8(value, 1).parse::<f64>().unwrap().to_bits(), bits);
            }
            let small = f32::from_bits(bits as u32);
            if small.is_finite() {
                prop_assert_eq!(f4(small, 3).parse::<f32>().unwrap().to_bits(), bits as u32);
            }
            prop_assert!(!f8(value, -15).is_empty());
        }
    }
}
