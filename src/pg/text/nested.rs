//! Printers of arrays, vectors and records: the parts are printed column-wise, then joined and quoted.

use arrow::array::{Array, ListArray, StructArray};

use super::{ColumnText, TextPrinter};
use crate::error::PgResult;

/// A column of arrays: `{1,NULL,"a b"}`.
pub(crate) fn print_lists(
    element: &TextPrinter,
    delimiter: char,
    array: &ListArray,
    out: &mut ColumnText,
) -> PgResult<()> {
    let (values, first) = print_values(element, array)?;
    let offsets = array.value_offsets();
    // One byte: every delimiter of the type table is ASCII.
    let delimiter = delimiter as u8;
    out.fill(array.len(), |row, bytes| {
        bytes.push(b'{');
        let (from, to) = (offsets[row] as usize - first, offsets[row + 1] as usize - first);
        for index in from..to {
            if index > from {
                bytes.push(delimiter);
            }
            match values.value(index) {
                None => bytes.extend_from_slice(b"NULL"),
                Some(value) if element.inner_dimension() || !quoted_in_array(value, delimiter) => {
                    bytes.extend_from_slice(value);
                }
                Some(value) => {
                    bytes.push(b'"');
                    for byte in value {
                        if matches!(byte, b'"' | b'\\') {
                            bytes.push(b'\\');
                        }
                        bytes.push(*byte);
                    }
                    bytes.push(b'"');
                }
            }
        }
        bytes.push(b'}');
    });
    Ok(())
}

/// A column of int2vector or oidvector: `1 2 3`.
pub(crate) fn print_vectors(element: &TextPrinter, array: &ListArray, out: &mut ColumnText) -> PgResult<()> {
    let (values, first) = print_values(element, array)?;
    let offsets = array.value_offsets();
    out.fill(array.len(), |row, bytes| {
        let (from, to) = (offsets[row] as usize - first, offsets[row + 1] as usize - first);
        for index in from..to {
            if index > from {
                bytes.push(b' ');
            }
            bytes.extend_from_slice(values.value(index).unwrap_or(b"0"));
        }
    });
    Ok(())
}

/// Prints the elements that a (maybe sliced) list array uses; gives the number of the first.
fn print_values(element: &TextPrinter, array: &ListArray) -> PgResult<(ColumnText, usize)> {
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[array.len()] as usize);
    let mut values = ColumnText::new();
    element.print(array.values().slice(first, last - first).as_ref(), &mut values)?;
    Ok((values, first))
}

/// A column of records: `(1,,"a b")`.
pub(crate) fn print_records(parts: &[TextPrinter], array: &StructArray, out: &mut ColumnText) -> PgResult<()> {
    let mut columns = Vec::with_capacity(parts.len());
    for (part, column) in parts.iter().zip(array.columns()) {
        let mut text = ColumnText::new();
        part.print(column.as_ref(), &mut text)?;
        columns.push(text);
    }
    out.fill(array.len(), |row, bytes| {
        bytes.push(b'(');
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            if let Some(value) = column.value(row) {
                print_record_field(value, bytes);
            }
        }
        bytes.push(b')');
    });
    Ok(())
}

fn print_record_field(value: &[u8], bytes: &mut Vec<u8>) {
    let quoted =
        value.is_empty() || value.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',') || blank(*byte));
    if !quoted {
        return bytes.extend_from_slice(value);
    }
    bytes.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(*byte);
        }
        bytes.push(*byte);
    }
    bytes.push(b'"');
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Must this element stand in quotes?
pub fn quoted_in_array(value: &[u8], delimiter: u8) -> bool {
    value.is_empty()
        || value.eq_ignore_ascii_case(b"null")
        || value.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'{' | b'}') || *byte == delimiter || blank(*byte))
}
