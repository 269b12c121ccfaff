//! Input of roaringbitmap and roaringbitmap64: bytea text of the portable format, or `{1,2,3}`.
//!
//! Bytes are decoded in full before they are believed, and written out again, so that equal bitmaps have equal bytes.

use roaring::{RoaringBitmap, RoaringTreemap};

use super::array::split_array;
use super::bytea::parse_bytea;
use super::trim;
use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// The portable bytes of a 32-bit bitmap. 22P02 for text, 22P03 for bytes that are none.
pub fn parse_roaringbitmap(text: &str) -> PgResult<Vec<u8>> {
    if trim(text).starts_with('{') {
        let mut bitmap = RoaringBitmap::new();
        for value in members(text, "roaringbitmap")? {
            // Negative integers are the upper half, as in pg_roaringbitmap.
            let member = u32::try_from(value).or_else(|_| i32::try_from(value).map(|value| value as u32));
            bitmap.insert(member.map_err(|_| out_of_range(value, "roaringbitmap"))?);
        }
        return write_32(&bitmap);
    }
    check_roaringbitmap(&parse_bytea(text)?)
}

/// The portable bytes of a 64-bit bitmap. 22P02 for text, 22P03 for bytes that are none.
pub fn parse_roaringbitmap64(text: &str) -> PgResult<Vec<u8>> {
    if trim(text).starts_with('{') {
        let mut bitmap = RoaringTreemap::new();
        for value in members(text, "roaringbitmap64")? {
            let member = u64::try_from(value).or_else(|_| i64::try_from(value).map(|value| value as u64));
            bitmap.insert(member.map_err(|_| out_of_range(value, "roaringbitmap64"))?);
        }
        return write_64(&bitmap);
    }
    check_roaringbitmap64(&parse_bytea(text)?)
}

/// Decodes portable bytes and gives them in our own form. 22P03.
pub fn check_roaringbitmap(bytes: &[u8]) -> PgResult<Vec<u8>> {
    write_32(&read_32(bytes)?)
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

fn write_32(bitmap: &RoaringBitmap) -> PgResult<Vec<u8>> {
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut out).map_err(|error| PgError::internal(error.to_string()))?;
    Ok(out)
}

fn write_64(bitmap: &RoaringTreemap) -> PgResult<Vec<u8>> {
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut out).map_err(|error| PgError::internal(error.to_string()))?;
    Ok(out)
}

fn members(text: &str, type_name: &str) -> PgResult<Vec<i128>> {
    let invalid = || PgError::invalid_input(type_name, text);
    let array = split_array(text, ',').map_err(|_| invalid())?;
    if array.dimensions.len() > 1 {
        return Err(invalid());
    }
    array
        .elements
        .iter()
        .map(|element| element.as_deref().and_then(|element| trim(element).parse().ok()).ok_or_else(invalid))
        .collect()
}

#[cold]
fn invalid(type_name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_BINARY_REPRESENTATION, format!("invalid {type_name} format"))
        .detail("The bytes are not a bitmap in the portable serialization format.")
}

#[cold]
fn out_of_range(value: i128, type_name: &str) -> PgError {
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
            ("{4294967296}", "22003"),
            ("\\x", "22P03"),
            ("\\x3a300000ffffffff", "22P03"),
            ("\\x3a3000000000000000", "22P03"),
        ] {
            assert_eq!(parse_roaringbitmap(text).unwrap_err().code.as_str(), code, "{text}");
        }
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
