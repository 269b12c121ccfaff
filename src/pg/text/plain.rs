//! Printers of integers, bytea, uuid, char(n) and bitmaps.

use arrow::array::{Array, ArrowPrimitiveType, BinaryViewArray, PrimitiveArray};
use arrow::datatypes::UInt32Type;

use super::ColumnText;
use crate::error::PgResult;
use crate::input::bitmap::{read_32, read_64};
use crate::reg_names::RegNames;
use crate::style::ByteaOutput;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A column of integers.
pub(crate) fn integers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, out: &mut ColumnText)
where
    T::Native: itoa::Integer,
{
    let values = array.values();
    let mut buffer = itoa::Buffer::new();
    out.fill(values.len(), |row, bytes| bytes.extend_from_slice(buffer.format(values[row]).as_bytes()));
}

/// A column of reg*: names where they are known, else numbers; `-` for 0.
pub(crate) fn reg(
    array: &PrimitiveArray<UInt32Type>,
    reg_type: u32,
    names: Option<&dyn RegNames>,
    out: &mut ColumnText,
) {
    let values = array.values();
    let mut buffer = itoa::Buffer::new();
    out.fill(values.len(), |row, bytes| match values[row] {
        0 => bytes.push(b'-'),
        oid => match names.and_then(|names| names.name(reg_type, oid)) {
            Some(name) => bytes.extend_from_slice(name.as_bytes()),
            None => bytes.extend_from_slice(buffer.format(oid).as_bytes()),
        },
    });
}

/// A column of bytea.
pub(crate) fn bytea_column(values: &BinaryViewArray, output: ByteaOutput, out: &mut ColumnText) {
    out.fill(values.len(), |row, bytes| print_bytea(values.value(row), output, bytes));
}

/// bytea as `\x6869` or with octal escapes.
pub fn print_bytea(value: &[u8], output: ByteaOutput, out: &mut Vec<u8>) {
    match output {
        ByteaOutput::Hex => {
            out.reserve(2 + 2 * value.len());
            out.extend_from_slice(b"\\x");
            print_hex(value, out);
        }
        ByteaOutput::Escape => {
            for byte in value {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.push(*byte),
                    _ => {
                        let octal = [b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)];
                        out.extend_from_slice(&octal);
                    }
                }
            }
        }
    }
}

fn print_hex(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// A uuid in lower case.
pub fn print_uuid(value: &[u8], out: &mut Vec<u8>) {
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        print_hex(std::slice::from_ref(byte), out);
    }
}

/// A char(n), padded to its width in characters.
pub fn print_bpchar(value: &str, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
    let missing = width.saturating_sub(value.chars().count());
    out.extend(std::iter::repeat_n(b' ', missing));
}

/// A bitmap as `{1,2,-3}`: in unsigned order, shown signed. 22P03 if the bytes are none.
pub fn print_bitmap_members(value: &[u8], wide: bool, out: &mut Vec<u8>) -> PgResult<()> {
    let mut buffer = itoa::Buffer::new();
    out.push(b'{');
    let start = out.len();
    let mut member = |text: &str| {
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(text.as_bytes());
    };
    if wide {
        read_64(value)?.iter().for_each(|value| member(buffer.format(value as i64)));
    } else {
        read_32(value)?.iter().for_each(|value| member(buffer.format(value as i32)));
    }
    out.push(b'}');
    Ok(())
}

/// An inet with its bits, even when they are all of them.
pub fn print_inet_cast(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
    if !value.contains('/') {
        out.extend_from_slice(if value.contains(':') { b"/128" } else { b"/32" });
    }
}
