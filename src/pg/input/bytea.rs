//! Input of bytea: hexadecimal (`\x41`) and escape (`A\000`) format.

use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// The bytes. 22023 for bad hexadecimal text, 22P02 for a bad escape.
pub fn parse_bytea(text: &str) -> PgResult<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => hexadecimal(digits),
        None => escape(text),
    }
}

fn hexadecimal(digits: &str) -> PgResult<Vec<u8>> {
    let mut out = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.as_bytes();
    loop {
        // Blanks may stand between pairs.
        rest = rest.trim_ascii_start();
        let [high, tail @ ..] = rest else { return Ok(out) };
        let high = nibble(*high).ok_or_else(|| bad_digit(digits, rest))?;
        let [low, after @ ..] = tail else {
            return Err(PgError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                "invalid hexadecimal data: odd number of digits",
            ));
        };
        let low = nibble(*low).ok_or_else(|| bad_digit(digits, tail))?;
        out.push(high << 4 | low);
        rest = after;
    }
}

#[cold]
fn bad_digit(digits: &str, rest: &[u8]) -> PgError {
    let digit = digits[digits.len() - rest.len()..].chars().next().unwrap_or(' ');
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{digit}\""))
}

/// The value of a hexadecimal digit.
pub(crate) fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn escape(text: &str) -> PgResult<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Ok(out),
            [b'\\', b'\\', tail @ ..] => {
                out.push(b'\\');
                rest = tail;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            // PostgreSQL does not show the value here.
            [b'\\', ..] => {
                return Err(PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea"));
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        for (text, bytes) in [
            ("\\x", &b""[..]),
            ("\\x4142", b"AB"),
            ("\\xDEad be\nEF", b"\xde\xad\xbe\xef"),
            ("", b""),
            ("abc", b"abc"),
            ("a\\\\b\\000\\377", b"a\\b\x00\xff"),
            ("\u{e9}", b"\xc3\xa9"),
        ] {
            assert_eq!(parse_bytea(text).unwrap(), bytes, "{text}");
        }
        for (text, code, message) in [
            ("\\x4", "22023", "invalid hexadecimal data: odd number of digits"),
            ("\\x4g", "22023", "invalid hexadecimal digit: \"g\""),
            ("\\x\u{e9}", "22023", "invalid hexadecimal digit: \"\u{e9}\""),
            ("a\\b", "22P02", "invalid input syntax for type bytea"),
            ("\\400", "22P02", "invalid input syntax for type bytea"),
        ] {
            let error = parse_bytea(text).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{text}");
        }
    }
}
