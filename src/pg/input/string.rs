//! Length rules of varchar(n), char(n), name and "char".
//!
//! Lengths are characters. Assignment (input, INSERT, COPY) refuses what is too long unless the surplus is blanks; an
//! explicit cast cuts. char(n) is stored without its trailing blanks and printed with them.

use std::borrow::Cow;

use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::typmod;

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a value is converted: only an explicit cast may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastContext {
    /// `x::varchar(3)`
    Explicit,
    /// INSERT, COPY, parameters.
    Assignment,
}

/// The end of the first `characters` characters, if there are more.
fn cut_at(text: &str, characters: usize) -> Option<usize> {
    if text.len() <= characters {
        return None;
    }
    text.char_indices().nth(characters).map(|(at, _)| at)
}

fn fit<'a>(text: &'a str, modifier: i32, context: CastContext, type_name: &str) -> PgResult<&'a str> {
    let Some(characters) = typmod::length_parts(modifier) else { return Ok(text) };
    let Some(at) = cut_at(text, characters) else { return Ok(text) };
    if context == CastContext::Assignment && text[at..].bytes().any(|b| b != b' ') {
        return Err(PgError::new(
            sqlstate::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {type_name}({characters})"),
        ));
    }
    Ok(&text[..at])
}

/// A varchar(n): cut, or 22001 `value too long for type character varying(3)`.
pub fn fit_varchar(text: &str, modifier: i32, context: CastContext) -> PgResult<&str> {
    fit(text, modifier, context, "character varying")
}

/// A char(n) as stored: fitted and without trailing blanks. 22001 `value too long for type character(3)`.
pub fn fit_bpchar(text: &str, modifier: i32, context: CastContext) -> PgResult<&str> {
    Ok(fit(text, modifier, context, "character")?.trim_end_matches(' '))
}

/// A name: cut to 63 bytes at a character's edge.
pub fn fit_name(text: &str) -> &str {
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    let mut end = NAME_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A "char": its first byte. Limit: bytes above 127 do not stand alone in UTF-8, so a wide character stays whole.
pub fn fit_char(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some(first) => Cow::Borrowed(&text[..first.len_utf8()]),
        None => Cow::Borrowed(""),
    }
}

/// 22021 for a zero byte, which PostgreSQL's text cannot hold.
pub fn check_zero(text: &str) -> PgResult<()> {
    if text.as_bytes().contains(&0) {
        return Err(PgError::new(
            sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(())
}

/// Checks that bytes are UTF-8 without zero. 22021 shows the bytes that are not.
pub fn check_utf8(bytes: &[u8]) -> PgResult<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => check_zero(text).map(|()| text),
        Err(error) => {
            if bytes[..error.valid_up_to()].contains(&0) {
                check_zero("\0")?;
            }
            Err(bad_sequence(&bytes[error.valid_up_to()..]))
        }
    }
}

#[cold]
fn bad_sequence(bytes: &[u8]) -> PgError {
    let length = match bytes[0] {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    };
    let shown: Vec<String> = bytes.iter().take(length).map(|byte| format!("0x{byte:02x}")).collect();
    PgError::new(
        sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::CastContext::{Assignment, Explicit};
    use super::*;

    #[test]
    fn lengths_are_characters() {
        let three = typmod::length(3);
        assert_eq!(fit_varchar("\u{e9}\u{e9}\u{e9}", three, Assignment), Ok("\u{e9}\u{e9}\u{e9}"));
        assert_eq!(fit_varchar("abc  ", three, Assignment), Ok("abc"));
        assert_eq!(fit_varchar("ab   ", three, Assignment), Ok("ab "));
        assert_eq!(fit_varchar("abcd", three, Explicit), Ok("abc"));
        assert_eq!(fit_varchar("abcd", -1, Assignment), Ok("abcd"));
        let error = fit_varchar("abcd", three, Assignment).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("22001", "value too long for type character varying(3)")
        );
        assert_eq!(fit_bpchar("ab   ", three, Assignment), Ok("ab"));
        assert_eq!(fit_bpchar("abcd", three, Assignment).unwrap_err().message, "value too long for type character(3)");
        assert_eq!(fit_name(&"\u{e9}".repeat(40)).len(), 62);
        assert_eq!(fit_char("xyz"), "x");
    }

    #[test]
    fn broken_utf8_is_shown() {
        assert_eq!(check_utf8(b"ok"), Ok("ok"));
        for (bytes, message) in [
            (&b"a\xff"[..], "invalid byte sequence for encoding \"UTF8\": 0xff"),
            (b"\xe2\x28\xa1", "invalid byte sequence for encoding \"UTF8\": 0xe2 0x28 0xa1"),
            (b"a\0b", "invalid byte sequence for encoding \"UTF8\": 0x00"),
            (b"a\0b\xff", "invalid byte sequence for encoding \"UTF8\": 0x00"),
        ] {
            let error = check_utf8(bytes).unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), ("22021", message));
        }
    }
}
