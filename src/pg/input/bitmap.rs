//! Input of roaringbitmap and roaringbitmap64: bytea text of the portable format, or `{1,2,3}`.
//!
//! Bytes are decoded in full before they are believed and written out again in canonical form (a run container only where it
//! is strictly shorter), the form of every bitmap function, so that equal bitmaps have equal bytes. Elements are shown
//! signed: integer for 32 bits, bigint for 64.

use roaring::{RoaringBitmap, RoaringTreemap};

use super::bytea::parse_bytea;
use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// The portable bytes of a 32-bit bitmap. 22P02 for text, 22003 for an element, 22P03 for bytes that are none.
pub fn parse_roaringbitmap(text: &str) -> PgResult<Vec<u8>> {
    if trim(text).starts_with('{') {
        let mut bitmap = RoaringBitmap::new();
        for element in elements(text)? {
            let value: i64 = element_value(element, "integer")?;
            let value = i32::try_from(value).map_err(|_| out_of_range(element, "integer"))?;
            bitmap.insert(value as u32);
        }
        return write_32(bitmap);
    }
    check_roaringbitmap(&parse_bytea(text)?)
}

/// The portable bytes of a 64-bit bitmap. 22P02 for text, 22003 for an element, 22P03 for bytes that are none.
pub fn parse_roaringbitmap64(text: &str) -> PgResult<Vec<u8>> {
    if trim(text).starts_with('{') {
        let mut bitmap = RoaringTreemap::new();
        for element in elements(text)? {
            bitmap.insert(element_value(element, "bigint")? as u64);
        }
        return write_64(&bitmap);
    }
    check_roaringbitmap64(&parse_bytea(text)?)
}

/// Decodes portable bytes and gives them in canonical form. 22P03.
pub fn check_roaringbitmap(bytes: &[u8]) -> PgResult<Vec<u8>> {
    write_32(read_32(bytes)?)
}

/// The same for 64 bits.
pub fn check_roaringbitmap64(bytes: &[u8]) -> PgResult<Vec<u8>> {
    write_64(&read_64(bytes)?)
}

pub(crate) fn read_32(mut bytes: &[u8]) -> PgResult<RoaringBitmap> {
    let bitmap = RoaringBitmap::deserialize_from(&mut bytes).map_err(|_| invalid("roaringbitmap"))?;
    if bytes.is_empty() { Ok(bitmap) } else { Err(invalid("roaringbitmap")) }
}

pub(crate) fn read_64(mut bytes: &[u8]) -> PgResult<RoaringTreemap> {
    let bitmap = RoaringTreemap::deserialize_from(&mut bytes).map_err(|_| invalid("roaringbitmap64"))?;
    if bytes.is_empty() { Ok(bitmap) } else { Err(invalid("roaringbitmap64")) }
}

/// `optimize` alone leaves a run container where the array is as short.
fn canonical(mut bitmap: RoaringBitmap) -> RoaringBitmap {
    bitmap.remove_run_compression();
    bitmap.optimize();
    bitmap
}

fn write_32(bitmap: RoaringBitmap) -> PgResult<Vec<u8>> {
    let bitmap = canonical(bitmap);
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut out).map_err(|error| PgError::internal(error.to_string()))?;
    Ok(out)
}

fn write_64(bitmap: &RoaringTreemap) -> PgResult<Vec<u8>> {
    let buckets = bitmap.bitmaps().filter(|(_, bucket)| !bucket.is_empty());
    let bitmap = RoaringTreemap::from_bitmaps(buckets.map(|(high, bucket)| (high, canonical(bucket.clone()))));
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut out).map_err(|error| PgError::internal(error.to_string()))?;
    Ok(out)
}

/// The elements between the braces, as text.
fn elements(text: &str) -> PgResult<Vec<&str>> {
    let inner = trim(text).strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    if trim(inner).is_empty() {
        return Ok(Vec::new());
    }
    let elements: Vec<&str> = inner.split(',').map(trim).collect();
    let broken = elements.iter().any(|element| element.is_empty() || element.contains(['{', '}']));
    if broken { Err(malformed()) } else { Ok(elements) }
}

fn element_value(element: &str, type_name: &str) -> PgResult<i64> {
    let digits = element.strip_prefix(['+', '-']).unwrap_or(element);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("invalid input syntax for {type_name}: \"{element}\"");
        return Err(PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, message));
    }
    element.parse().map_err(|_| out_of_range(element, type_name))
}

#[cold]
fn malformed() -> PgError {
    PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, "malformed bitmap literal".to_owned())
        .hint("Write '{1,5,-3}', or '\\x' followed by the portable bytes in hexadecimal.")
}

#[cold]
fn invalid(type_name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_BINARY_REPRESENTATION, format!("invalid {type_name} format"))
        .detail("The bytes are not a bitmap in the portable serialization format.")
}

#[cold]
fn out_of_range(value: &str, type_name: &str) -> PgError {
    PgError::new(
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{value}\" is out of range for type {type_name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_and_bytes_are_the_same_bitmap() {
        let listed = parse_roaringbitmap("{3,1,2,-1}").unwrap();
        let bitmap = read_32(&listed).unwrap();
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), vec![1, 2, 3, u32::MAX]);
        let hex: String = listed.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(parse_roaringbitmap(&format!("\\x{hex}")).unwrap(), listed);
        let wide = parse_roaringbitmap64("{5000000000}").unwrap();
        assert_eq!(read_64(&wide).unwrap().iter().collect::<Vec<_>>(), vec![5_000_000_000]);
        assert_eq!(parse_roaringbitmap("{}").unwrap(), parse_roaringbitmap("\\x3a30000000000000").unwrap());
        for (text, code) in [
            ("{x}", "22P02"),
            ("{NULL}", "22P02"),
            ("{2147483648}", "22003"),
            ("{1,,2}", "22P02"),
            ("{1", "22P02"),
            ("\\x", "22P03"),
            ("\\x3a300000ffffffff", "22P03"),
            ("\\x3a3000000000000000", "22P03"),
        ] {
            assert_eq!(parse_roaringbitmap(text).unwrap_err().code.as_str(), code, "{text}");
        }
    }

    fn hex(record: &serde_json::Value, key: &str) -> Vec<u8> {
        let digits = record[key].as_str().unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// The same canonical bytes as the bitmap functions, whoever wrote the input.
    #[test]
    fn canonical_bytes_as_recorded() {
        for (file, wide) in [("pairs.jsonl", false), ("pairs64.jsonl", true)] {
            let path = format!("{}/../../tests/data/bitmaps/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                for side in ["a", "b"] {
                    let bytes = hex(&record, side);
                    let read = if wide { check_roaringbitmap64(&bytes) } else { check_roaringbitmap(&bytes) };
                    assert_eq!(read.unwrap(), hex(&record, &format!("{side}_canonical")), "{} {side}", record["id"]);
                }
            }
        }
        let listed: Vec<String> = (1..=8).map(|n: u8| n.to_string()).collect();
        let bytes = parse_roaringbitmap(&format!("{{{}}}", listed.join(","))).unwrap();
        assert_eq!(&bytes[..2], 12347u16.to_le_bytes(), "eight in a row are a run");
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_refused(cut in 0usize..40, flip in 0usize..40, bit in 0u8..8) {
            let mut bytes = parse_roaringbitmap("{1,2,3,70000,70001,900000}").unwrap();
            let at = flip % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Ok(again) = check_roaringbitmap(&bytes) {
                prop_assert_eq!(read_32(&again).unwrap(), read_32(&bytes).unwrap());
            }
            prop_assert!(check_roaringbitmap64(&bytes).is_err() || bytes.len() >= 8);
        }
    }
}
