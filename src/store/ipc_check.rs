//! What must hold of an Arrow stream before arrow's reader is given it.
//!
//! For: log frames, catalog objects and zone statistics. Arrow's reader allocates what a length field says, slices where
//! an offset points, and panics on types it does not know. Promises: every message, body and buffer lies inside the bytes
//! that are there, and every type is one the store writes; so damage is an error. Does not: decode, or check values;
//! arrow validates those.

use arrow::datatypes::DataType;
use arrow::ipc::{
    DateUnit, Field, IntervalUnit, Message, MessageHeader, Precision, RecordBatch, TimeUnit, Type, root_as_message,
};

use crate::error::{Result, StoreError};

/// Begins every message.
const CONTINUATION: [u8; 4] = [0xFF; 4];
/// Limit: lists inside lists.
const DEPTH_MAX: usize = 8;
/// Limit: bytes of a value of fixed width.
const FIXED_BYTES_MAX: i32 = 1 << 20;

fn wrong(what: &str) -> StoreError {
    StoreError::damaged(format!("arrow record does not decode: {what}"))
}

fn require(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(wrong(what)) }
}

/// Whether a column of this type can be stored: exactly what is believed again when it is read. 0A000 otherwise.
pub(crate) fn storable(data_type: &DataType) -> Result<()> {
    let mut item = data_type;
    for _ in 0..DEPTH_MAX {
        let DataType::List(inner) = item else { break };
        item = inner.data_type();
    }
    let known = match item {
        DataType::Timestamp(unit, _) | DataType::Time64(unit) => *unit == arrow::datatypes::TimeUnit::Microsecond,
        DataType::Interval(unit) => *unit == arrow::datatypes::IntervalUnit::MonthDayNano,
        DataType::FixedSizeBinary(width) => (0..=FIXED_BYTES_MAX).contains(width),
        DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView | DataType::Date32 => true,
        DataType::Float16 | DataType::Decimal32(..) | DataType::Decimal64(..) => false,
        other => other.is_numeric() || matches!(other, DataType::Null | DataType::Boolean),
    };
    if known {
        return Ok(());
    }
    Err(StoreError::new("0A000", format!("columns of type {data_type} cannot be stored")))
}

/// Checks a whole stream: a schema, then batches.
pub(crate) fn check_stream(bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    let mut columns = None;
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(8).ok_or_else(|| wrong("a message is cut off"))?;
        require(head[..4] == CONTINUATION, "a message does not begin as one")?;
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if len == 0 {
            return require(columns.is_some(), "it has no schema");
        }
        let (meta, after) = after.split_at_checked(len).ok_or_else(|| wrong("a message is cut off"))?;
        let message = root_as_message(meta).map_err(|error| wrong(&error.to_string()))?;
        let body = usize::try_from(message.bodyLength()).map_err(|_| wrong("a body has a negative length"))?;
        let (_, after) = after.split_at_checked(body).ok_or_else(|| wrong("a body is cut off"))?;
        match (message.header_type(), &columns) {
            (MessageHeader::Schema, None) => columns = Some(check_schema(&message)?),
            (MessageHeader::RecordBatch, Some(columns)) => {
                let batch = message.header_as_record_batch().ok_or_else(|| wrong("a batch is missing"))?;
                check_batch(&batch, columns, body)?;
            }
            _ => return Err(wrong("a message is of another kind")),
        }
        rest = after;
    }
    require(columns.is_some(), "it has no schema")
}

/// What a column's rows take in a body.
enum Kind {
    Nothing,
    Bits,
    /// Bytes of a row.
    Fixed(usize),
    /// Ends of rows, then bytes.
    Bytes,
    /// Views of 16 bytes, then any number of buffers.
    Views,
    List(Box<Kind>),
}

fn check_schema(message: &Message<'_>) -> Result<Vec<Kind>> {
    let schema = message.header_as_schema().ok_or_else(|| wrong("the schema is missing"))?;
    let fields = schema.fields().ok_or_else(|| wrong("the schema has no fields"))?;
    for pair in schema.custom_metadata().into_iter().flatten() {
        require(pair.key().is_some() && pair.value().is_some(), "metadata is not in pairs")?;
    }
    fields.iter().map(|field| kind_of(&field, 0)).collect()
}

fn kind_of(field: &Field<'_>, depth: usize) -> Result<Kind> {
    for pair in field.custom_metadata().into_iter().flatten() {
        require(pair.key().is_some() && pair.value().is_some(), "metadata is not in pairs")?;
    }
    let unknown = || wrong("a column has a type the store does not write");
    let children = field.children();
    if field.dictionary().is_some() || (field.type_type() != Type::List && children.is_some_and(|c| !c.is_empty())) {
        return Err(unknown());
    }
    let kind = match field.type_type() {
        Type::Null => Some(Kind::Nothing),
        Type::Bool => Some(Kind::Bits),
        Type::Utf8 | Type::Binary => Some(Kind::Bytes),
        Type::Utf8View | Type::BinaryView => Some(Kind::Views),
        Type::List => match children.filter(|children| children.len() == 1 && depth < DEPTH_MAX) {
            Some(children) => Some(Kind::List(Box::new(kind_of(&children.get(0), depth + 1)?))),
            None => None,
        },
        _ => width_of(field).map(Kind::Fixed),
    };
    kind.ok_or_else(unknown)
}

/// Bytes of a row of a type of fixed width; None for one the store does not write.
fn width_of(field: &Field<'_>) -> Option<usize> {
    let bits = |bits: i32| usize::try_from(bits / 8).ok().filter(|_| bits % 8 == 0);
    match field.type_type() {
        Type::Int => bits(field.type_as_int()?.bitWidth()).filter(|width| [1, 2, 4, 8].contains(width)),
        Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            Precision::SINGLE => Some(4),
            Precision::DOUBLE => Some(8),
            _ => None,
        },
        Type::Decimal => {
            let decimal = field.type_as_decimal()?;
            let digits = if decimal.bitWidth() == 128 { 38 } else { 76 };
            let possible = (1..=digits).contains(&decimal.precision()) && (-digits..=digits).contains(&decimal.scale());
            bits(decimal.bitWidth()).filter(|width| possible && [16, 32].contains(width))
        }
        Type::Date => (field.type_as_date()?.unit() == DateUnit::DAY).then_some(4),
        Type::Time => {
            let time = field.type_as_time()?;
            (time.unit() == TimeUnit::MICROSECOND && time.bitWidth() == 64).then_some(8)
        }
        Type::Timestamp => (field.type_as_timestamp()?.unit() == TimeUnit::MICROSECOND).then_some(8),
        Type::Interval => (field.type_as_interval()?.unit() == IntervalUnit::MONTH_DAY_NANO).then_some(16),
        Type::FixedSizeBinary => {
            let width = field.type_as_fixed_size_binary()?.byteWidth();
            usize::try_from(width).ok().filter(|_| width <= FIXED_BYTES_MAX)
        }
        _ => None,
    }
}

/// The columns, buffers and counts of a batch that were not looked at yet.
struct Parts<'a> {
    nodes: Box<dyn Iterator<Item = (i64, i64)> + 'a>,
    /// Lengths of buffers, which lie inside the body.
    buffers: Box<dyn Iterator<Item = usize> + 'a>,
    views: Box<dyn Iterator<Item = i64> + 'a>,
}

fn check_batch(batch: &RecordBatch<'_>, columns: &[Kind], body: usize) -> Result<()> {
    require(batch.compression().is_none(), "a batch is compressed")?;
    let mut lengths = Vec::new();
    for buffer in batch.buffers().into_iter().flatten() {
        let (offset, len) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let inside = offset.ok().zip(len.ok()).filter(|(offset, len)| {
            // Eight bytes is what the store aligns to; arrow copies what needs more.
            offset % 8 == 0 && offset.checked_add(*len).is_some_and(|end| end <= body)
        });
        lengths.push(inside.ok_or_else(|| wrong("a buffer reaches past its body"))?.1);
    }
    let mut parts = Parts {
        nodes: Box::new(batch.nodes().into_iter().flatten().map(|node| (node.length(), node.null_count()))),
        buffers: Box::new(lengths.into_iter()),
        views: Box::new(batch.variadicBufferCounts().into_iter().flatten()),
    };
    require(u32::try_from(batch.length()).is_ok(), "a batch has an impossible number of rows")?;
    columns.iter().try_for_each(|column| check_column(column, Some(batch.length()), &mut parts))?;
    let rest = (parts.nodes.next(), parts.buffers.next(), parts.views.next());
    require(rest == (None, None, None), "a batch has more than its columns")
}

/// `rows`: what is known from outside; the items of a list are as many as their node says.
fn check_column(kind: &Kind, rows: Option<i64>, parts: &mut Parts<'_>) -> Result<()> {
    let (len, nulls) = parts.nodes.next().ok_or_else(|| wrong("a batch has too few columns"))?;
    let possible = rows.is_none_or(|rows| rows == len) && (0..=len).contains(&nulls);
    let rows = u32::try_from(len).ok().filter(|_| possible);
    let rows = rows.ok_or_else(|| wrong("a column has an impossible number of rows"))? as usize;
    let Parts { buffers, views, .. } = parts;
    let mut next = || buffers.next().ok_or_else(|| wrong("a batch has too few buffers"));
    if !matches!(kind, Kind::Nothing) {
        let validity = next()?;
        require(validity >= rows.div_ceil(8) || nulls == 0, "a column has too few validity bits")?;
    }
    let filled = |len: usize, width: usize, rows: usize| {
        let enough = rows.checked_mul(width).is_some_and(|needed| needed <= len);
        require(enough && (width == 0 || len.is_multiple_of(width)), "a column has another length than its rows need")
    };
    match kind {
        Kind::Nothing => Ok(()),
        Kind::Bits => require(next()? >= rows.div_ceil(8), "a column has another length than its rows need"),
        Kind::Fixed(width) => filled(next()?, *width, rows),
        Kind::Bytes => {
            filled(next()?, 4, if rows == 0 { 0 } else { rows + 1 })?;
            next().map(drop)
        }
        Kind::Views => {
            filled(next()?, 16, rows)?;
            let count = views.next().and_then(|count| u32::try_from(count).ok());
            let count = count.ok_or_else(|| wrong("a column has an impossible number of buffers"))?;
            (0..count).try_for_each(|_| next().map(drop))
        }
        Kind::List(items) => {
            filled(next()?, 4, if rows == 0 { 0 } else { rows + 1 })?;
            check_column(items, None, parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ipc;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray, new_null_array};
    use arrow::datatypes::TimeUnit as Unit;

    fn stream() -> Vec<u8> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(StringViewArray::from(vec![Some("a text that is not inlined"), None, Some("b")])),
        ];
        let batch = ipc::stripped(&columns, 3).unwrap();
        ipc::encode(&batch.schema(), &[batch]).unwrap()
    }

    /// Whatever a length or an offset is changed to, nothing of that size is allocated or sliced: it is an error, or it
    /// did not matter.
    #[test]
    fn numbers_that_are_too_large_are_refused_wherever_they_stand() {
        let good = stream();
        assert_eq!(ipc::decode(&good).unwrap().1[0].num_rows(), 3);
        let mut refused = 0;
        for at in (0..good.len() - 8).step_by(4) {
            for number in [u64::MAX, i64::MAX as u64, u64::from(u32::MAX), 1 << 40] {
                let mut bad = good.clone();
                bad[at..at + 8].copy_from_slice(&number.to_le_bytes());
                refused += u32::from(ipc::decode(&bad).is_err());
            }
        }
        assert!(refused > 100, "{refused} were refused");
        for len in 1..good.len() - 8 {
            // A stream may end after any whole message.
            if let Ok((_, batches)) = ipc::decode(&good[..len]) {
                assert!(batches.is_empty() || len >= good.len() - 16, "cut to {len}");
            }
        }
    }

    /// What may be written must be believed when it is read: otherwise a commit would be lost at the next start.
    #[test]
    fn everything_that_is_stored_is_believed() {
        use arrow::datatypes::IntervalUnit as Interval;
        let mut types = vec![
            DataType::Null,
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 38),
            DataType::Decimal128(1, -5),
            DataType::Decimal256(76, 0),
            DataType::Date32,
            DataType::Time64(Unit::Microsecond),
            DataType::Timestamp(Unit::Microsecond, Some("UTC".into())),
            DataType::Interval(Interval::MonthDayNano),
            DataType::Utf8,
            DataType::Utf8View,
            DataType::Binary,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::FixedSizeBinary(0),
        ];
        let lists: Vec<DataType> = types.iter().map(|item| DataType::new_list(item.clone(), true)).collect();
        types.extend(lists.iter().map(|item| DataType::new_list(item.clone(), true)).collect::<Vec<_>>());
        types.extend(lists);
        for data_type in &types {
            storable(data_type).unwrap();
            for rows in [0, 1, 3, 70] {
                let column = new_null_array(data_type, rows);
                for column in [column.slice(rows / 2, rows - rows / 2), column] {
                    let batch = ipc::stripped(&[Arc::clone(&column)], column.len()).unwrap();
                    let bytes = ipc::encode(&batch.schema(), &[batch]).unwrap();
                    let (_, back) =
                        ipc::decode(&bytes).unwrap_or_else(|error| panic!("{rows} of {data_type}: {error}"));
                    assert_eq!(back[0].column(0), &column, "{rows} of {data_type}");
                }
            }
        }
        let none = ipc::stripped(&[], 3).unwrap();
        assert_eq!(ipc::decode(&ipc::encode(&none.schema(), &[none]).unwrap()).unwrap().1[0].num_rows(), 3);
        let refused = [
            DataType::Float16,
            DataType::Decimal32(5, 2),
            DataType::Decimal64(12, 2),
            DataType::LargeUtf8,
            DataType::Date64,
            DataType::Time64(Unit::Nanosecond),
            DataType::Timestamp(Unit::Millisecond, None),
            DataType::Struct(Default::default()),
            DataType::new_list(DataType::LargeBinary, true),
        ];
        for data_type in refused {
            assert_eq!(storable(&data_type).unwrap_err().sqlstate, "0A000", "{data_type}");
        }
    }

    #[test]
    fn dictionaries_and_types_the_store_does_not_write_are_refused() {
        use arrow::array::{DictionaryArray, LargeStringArray, types::Int8Type};
        let codes: DictionaryArray<Int8Type> = ["a", "b"].into_iter().collect();
        let columns: [ArrayRef; 2] = [Arc::new(codes), Arc::new(LargeStringArray::from(vec!["x"]))];
        for column in columns {
            let batch = ipc::stripped(&[Arc::clone(&column)], column.len()).unwrap();
            let error = ipc::decode(&ipc::encode(&batch.schema(), &[batch]).unwrap()).unwrap_err();
            assert!(error.message.ends_with("a column has a type the store does not write"), "{error}");
        }
    }
}
