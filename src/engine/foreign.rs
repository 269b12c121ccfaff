//! Columns that other programs wrote, as PostgreSQL's.
//!
//! For: Parquet files, in COPY and in external tables. Promises: what leaves here obeys the rules for stored values (no
//! zero byte in text, one NaN, no negative zero) and the column's length or precision; a value that does not fit is an
//! error naming its row, never a NULL or a cut value. Columns of like types are converted as a whole; any other pair goes
//! through text, by the printer of the type found and the parser of the type wanted. Does not: read files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, IntervalUnit, TimeUnit};
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::style::TextStyle;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_pg::types::{self, TypeKind, TypeRef, oid};
use tributary_pg::{InputBuilder, sqlstate, typmod};

/// What a column becomes.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// PostgreSQL type.
    pub(super) ty: TypeRef,
    /// Its modifier.
    pub(super) typmod: i32,
    /// How it is kept.
    pub(super) data_type: DataType,
}

impl Wanted {
    /// A column of this type.
    pub(super) fn new(type_oid: u32, typmod: i32) -> PgResult<Self> {
        let ty = types::by_oid(type_oid).ok_or_else(|| types::missing_oid(type_oid))?;
        Ok(Self { ty, typmod, data_type: ty.arrow_type(typmod)? })
    }
}

/// The type a column of a file gets when none is given. 0A000 for those that have none.
pub(super) fn inferred(field: &Field) -> PgResult<(TypeRef, i32)> {
    let unsupported = || {
        let message =
            format!("column \"{}\" has type {}, which has no PostgreSQL type", field.name(), field.data_type());
        PgError::unsupported(message).hint("List the columns that are wanted, without this one.")
    };
    match field.data_type() {
        DataType::UInt64 => Ok((types::known(oid::NUMERIC), typmod::numeric(20, 0))),
        DataType::UInt32 => Ok((types::known(oid::INT8), -1)),
        DataType::FixedSizeBinary(16) if field.extension_type_name() != Some("arrow.uuid") => {
            Ok((types::known(oid::BYTEA), -1))
        }
        DataType::Struct(_) | DataType::Duration(_) => Err(unsupported()),
        other => types::of_arrow(other).map_err(|_| unsupported()),
    }
}

/// A column as wanted; the row whose value is refused, and why.
pub(super) fn converted(found: &ArrayRef, wanted: &Wanted) -> Result<ArrayRef, (usize, PgError)> {
    let found = flat(found).map_err(|error| (0, error))?;
    match direct(&found, wanted) {
        Some(array) => Ok(array),
        None => through_text(&found, wanted),
    }
}

/// Bounds of a column as wanted, if they stay bounds: only between types that mean the same. What does not fit is no
/// bound.
pub(super) fn reordered(bounds: &ArrayRef, wanted: &Wanted) -> Option<ArrayRef> {
    if !alike(bounds.data_type(), wanted) {
        return None;
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(bounds, &wanted.data_type, &options).ok()
}

/// Without dictionaries and runs.
fn flat(array: &ArrayRef) -> PgResult<ArrayRef> {
    let plain = match array.data_type() {
        DataType::Dictionary(_, value) => value.as_ref(),
        DataType::RunEndEncoded(_, value) => value.data_type(),
        _ => return Ok(Arc::clone(array)),
    };
    cast(array, plain).map_err(|error| PgError::unsupported(error.to_string()))
}

/// Whether values of these types mean the same, so that the engine's cast does all there is to do.
fn alike(found: &DataType, wanted: &Wanted) -> bool {
    use DataType as D;
    let integer = found.is_integer();
    match wanted.ty.kind {
        TypeKind::Bool => *found == D::Boolean,
        TypeKind::Int2 | TypeKind::Int4 | TypeKind::Int8 => integer,
        TypeKind::Oid => matches!(found, D::UInt8 | D::UInt16 | D::UInt32),
        TypeKind::Float4 => integer || matches!(found, D::Float16 | D::Float32),
        TypeKind::Float8 => integer || found.is_floating(),
        TypeKind::Numeric => match found {
            D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
                *s >= 0 && (wanted.typmod < 0 || wanted.typmod == typmod::numeric(i32::from(*p), i32::from(*s)))
            }
            _ => integer,
        },
        TypeKind::Text => wanted.typmod < 0 && found.is_string(),
        TypeKind::Varchar => wanted.typmod < 0 && found.is_string(),
        TypeKind::Bytea => {
            matches!(found, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_))
        }
        TypeKind::Date => matches!(found, D::Date32 | D::Date64),
        TypeKind::Time => matches!(found, D::Time32(_) | D::Time64(_)),
        TypeKind::Timestamp => matches!(found, D::Timestamp(_, None)),
        TypeKind::TimestampTz => matches!(found, D::Timestamp(_, Some(_))),
        TypeKind::Interval => *found == D::Interval(IntervalUnit::MonthDayNano),
        TypeKind::Uuid => matches!(found, D::FixedSizeBinary(16)),
        _ => false,
    }
}

fn direct(found: &ArrayRef, wanted: &Wanted) -> Option<ArrayRef> {
    if wanted.ty.kind == TypeKind::Array {
        return list(found, wanted);
    }
    if *found.data_type() != DataType::Null && !alike(found.data_type(), wanted) {
        return None;
    }
    let binary = matches!(found.data_type(), DataType::FixedSizeBinary(_)) && wanted.ty.kind == TypeKind::Bytea;
    let found = if binary { cast(found, &DataType::Binary).ok()? } else { Arc::clone(found) };
    // What does not fit becomes NULL, which shows.
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let array = cast_with_options(&found, &wanted.data_type, &options).ok()?;
    if array.logical_null_count() != found.logical_null_count() {
        return None;
    }
    match array.data_type() {
        DataType::Float32 => Some(Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        )),
        DataType::Float64 => Some(Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        )),
        DataType::Utf8View => (!holds_zero(array.as_string_view())).then_some(array),
        // PostgreSQL has no time beyond a day.
        _ => Some(array),
    }
}

fn holds_zero(texts: &StringViewArray) -> bool {
    texts.iter().flatten().any(|text| text.as_bytes().contains(&0))
}

/// Lists of one dimension whose elements are alike.
fn list(found: &ArrayRef, wanted: &Wanted) -> Option<ArrayRef> {
    let found = match found.data_type() {
        DataType::List(_) => Arc::clone(found),
        DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            cast(found, &DataType::List(Arc::clone(item))).ok()?
        }
        DataType::FixedSizeList(item, _) => cast(found, &DataType::List(Arc::clone(item))).ok()?,
        _ => return None,
    };
    let DataType::List(item) = &wanted.data_type else { return None };
    let element = Wanted { ty: wanted.ty.element()?, typmod: wanted.typmod, data_type: item.data_type().clone() };
    let found: &ListArray = found.as_list();
    let values = direct(&flat(found.values()).ok()?, &element)?;
    let made = ListArray::try_new(Arc::clone(item), found.offsets().clone(), values, found.nulls().cloned());
    Some(Arc::new(made.ok()?))
}

fn through_text(found: &ArrayRef, wanted: &Wanted) -> Result<ArrayRef, (usize, PgError)> {
    let unsupported = |error: PgError| (0, error);
    let (ty, modifier) = types::of_arrow(found.data_type()).map_err(unsupported)?;
    let kept = Wanted { ty, typmod: modifier, data_type: ty.arrow_type(modifier).map_err(unsupported)? };
    let style = TextStyle::default();
    let mut texts = ColumnText::new();
    // Text is its own text; a zero byte in it is the parser's to refuse.
    let printable =
        if found.data_type().is_string() { cast(found, &DataType::Utf8View).ok() } else { direct(found, &kept) };
    let printable = printable.ok_or_else(|| out_of_range(found, &kept))?;
    TextPrinter::for_type(ty, modifier, printable.data_type(), &style)
        .and_then(|printer| printer.print(printable.as_ref(), &mut texts))
        .map_err(unsupported)?;
    let mut builder = InputBuilder::for_type(wanted.ty, wanted.typmod, &style, 0).map_err(unsupported)?;
    for row in 0..found.len() {
        match texts.text(row) {
            None => builder.append_null(),
            Some(text) if text.contains('\0') => return Err((row, zero_byte())),
            Some(text) => builder.append(text).map_err(|error| (row, error))?,
        }
    }
    Ok(builder.finish())
}

fn zero_byte() -> PgError {
    PgError::new(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\": 0x00")
}

/// The first value that its own PostgreSQL type cannot hold.
fn out_of_range(found: &ArrayRef, kept: &Wanted) -> (usize, PgError) {
    let row = (0..found.len()).find(|row| direct(&found.slice(*row, 1), kept).is_none()).unwrap_or(0);
    let ty = types::format_type(kept.ty.oid, Some(kept.typmod));
    let message = format!("a value of type {} is out of range for type {ty}", found.data_type());
    (row, PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message))
}

/// Whether a column can be written to a Parquet file as it is, so that other programs read it as what it is.
pub(super) fn portable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8View
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(TimeUnit::Microsecond, _) => true,
        DataType::List(item) => !item.data_type().is_nested() && portable(item.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::Int8Type;

    fn shown(array: &ArrayRef, wanted: &Wanted) -> Result<Vec<Option<String>>, (usize, String)> {
        let made =
            converted(array, wanted).map_err(|(row, error)| (row, format!("{} {}", error.code, error.message)))?;
        assert_eq!(*made.data_type(), wanted.data_type);
        let mut text = ColumnText::new();
        let printer = TextPrinter::for_type(wanted.ty, wanted.typmod, made.data_type(), &TextStyle::default());
        printer.and_then(|printer| printer.print(made.as_ref(), &mut text)).expect("prints");
        Ok((0..made.len()).map(|row| text.text(row).map(str::to_owned)).collect())
    }

    #[test]
    fn values_arrive_whole_or_are_refused_with_their_row() {
        let numeric = typmod::numeric(6, 2);
        let words: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("bcd")].into_iter().collect();
        let cases: Vec<(ArrayRef, u32, i32, &[Option<&str>])> = vec![
            (Arc::new(Int64Array::from(vec![Some(1), None, Some(-7)])), oid::INT4, -1, &[Some("1"), None, Some("-7")]),
            (Arc::new(Int64Array::from(vec![300])), oid::TEXT, -1, &[Some("300")]),
            (Arc::new(Int32Array::from(vec![3])), oid::NUMERIC, numeric, &[Some("3.00")]),
            (Arc::new(Float64Array::from(vec![-0.0, f64::NAN])), oid::FLOAT8, -1, &[Some("0"), Some("NaN")]),
            (Arc::new(Float64Array::from(vec![0.1])), oid::NUMERIC, numeric, &[Some("0.10")]),
            (Arc::new(words), oid::TEXT, -1, &[Some("a"), None, Some("bcd")]),
            (Arc::new(StringArray::from(vec!["12", "x"]).slice(0, 1)), oid::INT8, -1, &[Some("12")]),
            (Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]])), oid::BYTEA, -1, &[Some("\\x01ff")]),
            (
                Arc::new(UInt64Array::from(vec![u64::MAX])),
                oid::NUMERIC,
                typmod::numeric(20, 0),
                &[Some("18446744073709551615")],
            ),
            (
                Arc::new(TimestampNanosecondArray::from(vec![1_714_564_800_123_456_000]).with_timezone("+02:00")),
                oid::TIMESTAMPTZ,
                -1,
                &[Some("2024-05-01 12:00:00.123456+00")],
            ),
            (
                Arc::new(Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 3).expect("fits")),
                oid::NUMERIC,
                numeric,
                &[Some("12.35")],
            ),
            (
                Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                ])),
                oid::INT8_ARRAY,
                -1,
                &[Some("{1,NULL}"), None],
            ),
        ];
        for (array, of, modifier, expected) in cases {
            let wanted = Wanted::new(of, modifier).expect("known");
            let found = array.data_type().clone();
            let expected: Vec<Option<String>> = expected.iter().map(|text| text.map(str::to_owned)).collect();
            assert_eq!(shown(&array, &wanted), Ok(expected), "{found} as {of}");
        }
        let refused: Vec<(ArrayRef, u32, i32, usize, &str)> = vec![
            (
                Arc::new(Int64Array::from(vec![1, 1 << 40])),
                oid::INT4,
                -1,
                1,
                "22003 value \"1099511627776\" is out of range for type integer",
            ),
            (
                Arc::new(StringArray::from(vec!["1", "x"])),
                oid::INT4,
                -1,
                1,
                "22P02 invalid input syntax for type integer: \"x\"",
            ),
            (
                Arc::new(StringArray::from(vec!["a", "a\0"])),
                oid::TEXT,
                -1,
                1,
                "22021 invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
            (
                Arc::new(StringArray::from(vec!["abc"])),
                oid::VARCHAR,
                6,
                0,
                "22001 value too long for type character varying(2)",
            ),
            (
                Arc::new(UInt64Array::from(vec![1, u64::MAX])),
                oid::INT8,
                -1,
                1,
                "22003 a value of type UInt64 is out of range for type bigint",
            ),
            (Arc::new(Float64Array::from(vec![1e9])), oid::NUMERIC, numeric, 0, "22003 numeric field overflow"),
        ];
        for (array, of, modifier, row, message) in refused {
            let wanted = Wanted::new(of, modifier).expect("known");
            assert_eq!(shown(&array, &wanted), Err((row, message.to_owned())), "{}", array.data_type());
        }
    }
}
