//! Bitmap literals: `{1, 5, -3}` and `\x...`, in and out, and bytes from outside.
//!
//! Everything that comes in leaves canonical.

use super::edit::change_width;
use super::format::{View, validate};
use super::types::{VALUE_BYTES_MAX, Width, out_of_range};
use super::writer::{Sink, Writer};
use crate::SqlError;
use crate::error::INVALID_TEXT_REPRESENTATION;

/// Reads a literal into canonical bytes.
pub fn parse(text: &str, width: Width) -> Result<Vec<u8>, SqlError> {
    let trimmed = text.trim_matches(blank);
    if let Some(digits) = trimmed.strip_prefix("\\x") {
        return canonical(&parse_hex(digits).ok_or_else(|| malformed(text))?, width);
    }
    let inner = trimmed.strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(|| malformed(text))?;
    let mut elements = Vec::new();
    if !inner.trim_matches(blank).is_empty() {
        for item in inner.split(',') {
            let item = item.trim_matches(blank);
            if item.is_empty() || item.contains(['{', '}']) {
                return Err(malformed(text));
            }
            elements.push(parse_element(item, width)?);
        }
    }
    from_elements(&mut elements, width)
}

/// Canonical bytes of the set of these elements.
pub fn from_elements(elements: &mut Vec<u64>, width: Width) -> Result<Vec<u8>, SqlError> {
    let mut writer = Writer::new(width, VALUE_BYTES_MAX);
    let mut out = Vec::new();
    elements.sort_unstable();
    elements.dedup();
    write_sorted(elements, &mut Vec::new(), &mut writer)?;
    writer.finish(&mut out);
    Ok(out)
}

/// Writes ascending distinct elements. `low` is a buffer.
pub fn write_sorted(elements: &[u64], low: &mut Vec<u16>, writer: &mut Writer) -> Result<(), SqlError> {
    for chunk in elements.chunk_by(|a, b| a >> 16 == b >> 16) {
        low.clear();
        low.extend(chunk.iter().map(|element| *element as u16));
        writer.array(chunk[0] >> 16, low)?;
    }
    Ok(())
}

/// Checks bytes from outside and brings them into canonical form.
pub fn canonical(bytes: &[u8], width: Width) -> Result<Vec<u8>, SqlError> {
    let mut out = Vec::new();
    let mut writer = Writer::new(width, VALUE_BYTES_MAX);
    canonical_into(&validate(bytes, width)?, &mut writer)?;
    writer.finish(&mut out);
    Ok(out)
}

/// Writes every container of a bitmap in canonical form.
pub fn canonical_into(view: &View<'_>, writer: &mut Writer) -> Result<(), SqlError> {
    view.entries().try_for_each(|entry| writer.canonicalise(entry.key, entry.container, entry.cardinality))
}

/// The bytes of a bitmap in the other width: elements keep their signed value. What does not fit `integer` is 22003.
pub fn convert(bytes: &[u8], from: Width, to: Width) -> Result<Vec<u8>, SqlError> {
    if from == to {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(to, VALUE_BYTES_MAX);
    change_width(&View::open(bytes, from)?, &mut writer)?;
    writer.finish(&mut out);
    Ok(out)
}

/// `{1,5,-3}`: the elements in unsigned order, shown signed.
pub fn format_array(view: &View<'_>, width: Width) -> String {
    use std::fmt::Write;
    let mut text = String::from("{");
    view.for_each(|element| {
        if text.len() > 1 {
            text.push(',');
        }
        write!(text, "{}", width.shown(element)).expect("writing to a String cannot fail");
    });
    text.push('}');
    text
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn parse_element(item: &str, width: Width) -> Result<u64, SqlError> {
    let digits = item.strip_prefix(['+', '-']).unwrap_or(item);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("invalid input syntax for {}: \"{item}\"", width.element_name());
        return Err(SqlError::new(INVALID_TEXT_REPRESENTATION, message));
    }
    let value: i64 = item.parse().map_err(|_| out_of_range(item, width))?;
    width.element(value)
}

fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn malformed(text: &str) -> SqlError {
    // A literal may be megabytes long; the message is not.
    const SHOWN_CHARS: usize = 60;
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    SqlError::new(INVALID_TEXT_REPRESENTATION, "malformed bitmap literal")
        .with_detail(format!("The literal starts with \"{shown}\"."))
        .with_hint("Write '{1,5,-3}', or '\\x' followed by the portable bytes in hexadecimal.")
}
