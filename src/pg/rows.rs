//! DataRow messages from printed columns.
//!
//! Columns come printed (text or binary, each as the client asked); rows are assembled here with plain copies, so that
//! no cell costs a dispatch.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::text::ColumnText;

/// Largest value and message that the protocol's i32 lengths can carry.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// Appends one DataRow message for each row of `range`.
///
/// 54000 if a row does not fit a message, 54011 for more than 65,535 columns. On error `out` may hold the rows before.
pub fn encode_data_rows(columns: &[ColumnText], range: Range<usize>, out: &mut BytesMut) -> PgResult<()> {
    let column_count = u16::try_from(columns.len())
        .map_err(|_| PgError::new(sqlstate::TOO_MANY_COLUMNS, "a row can have at most 65535 columns"))?;
    let value_bytes: usize = columns.iter().map(ColumnText::byte_count).sum();
    out.reserve((7 + 4 * columns.len()) * range.len() + value_bytes.min(1 << 26));
    for row in range {
        let start = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        out.put_u16(column_count);
        for column in columns {
            match column.value(row) {
                None => out.put_i32(-1),
                Some(value) => {
                    // The message check below catches values that do not fit i32.
                    out.put_i32(value.len() as i32);
                    out.put_slice(value);
                }
            }
        }
        // The length counts itself but not the type byte.
        let length = out.len() - start - 1;
        if length > MESSAGE_BYTES_MAX {
            out.truncate(start);
            return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "row is too large for a protocol message")
                .detail(format!("The row has {length} bytes, a message at most {MESSAGE_BYTES_MAX}.")));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringViewArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::style::TextStyle;
    use crate::text::TextPrinter;

    #[test]
    fn rows_are_messages() {
        let arrays: [ArrayRef; 2] = [
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringViewArray::from(vec![Some("ab"), Some("")])),
        ];
        let columns: Vec<ColumnText> = arrays
            .iter()
            .map(|array| {
                let field = Field::new("c", array.data_type().clone(), true);
                let mut out = ColumnText::new();
                TextPrinter::for_field(&field, &TextStyle::default()).unwrap().print(array.as_ref(), &mut out).unwrap();
                out
            })
            .collect();
        let mut out = BytesMut::new();
        encode_data_rows(&columns, 0..2, &mut out).unwrap();
        let first = b"D\0\0\0\x11\0\x02\0\0\0\x011\0\0\0\x02ab";
        let second = b"D\0\0\0\x0e\0\x02\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(&out[..], [&first[..], &second[..]].concat());
        let mut last = BytesMut::new();
        encode_data_rows(&columns, 1..2, &mut last).unwrap();
        assert_eq!(&last[..], second);
        let field = Field::new("c", DataType::Int32, true);
        assert!(TextPrinter::for_field(&field, &TextStyle::default()).is_ok());
    }
}
