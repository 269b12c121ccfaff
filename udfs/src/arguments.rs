//! One reader for the arguments of every function.
//!
//! A string arrives as Utf8, LargeUtf8, Utf8View or a dictionary of them, an integer in any width, a constant as a
//! scalar: functions see none of that. [`Texts`], [`Blobs`] and [`Integers`] read a value by row from any layout and from
//! sliced arrays without copying; [`Rows`] hides whether an argument is a column or a constant; the `literal_*` helpers
//! fetch options that must be constants while the statement is planned.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, PrimitiveArray, StringArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs};
use datafusion_physical_expr::expressions::Literal;

use crate::SqlError;

/// Is it a text type in any layout?
pub fn text_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => text_type(value),
        _ => false,
    }
}

/// Is it a byte string type in any layout? FixedSizeBinary is not: it is how uuid travels.
pub fn blob_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, value) => blob_type(value),
        _ => false,
    }
}

/// Text values of a column in any layout.
#[derive(Debug)]
pub enum Texts<'a> {
    /// 32-bit offsets.
    Small(&'a StringArray),
    /// 64-bit offsets.
    Large(&'a LargeStringArray),
    /// Views.
    View(&'a StringViewArray),
    /// Dictionary of any key type.
    Dictionary(DictionaryKeys<'a>, Box<Texts<'a>>),
    /// A column of the null type.
    Nulls(usize),
}

/// Byte string values of a column in any layout, fixed size included.
#[derive(Debug)]
pub enum Blobs<'a> {
    /// 32-bit offsets.
    Small(&'a BinaryArray),
    /// 64-bit offsets.
    Large(&'a LargeBinaryArray),
    /// Views.
    View(&'a BinaryViewArray),
    /// Fixed size.
    Fixed(&'a FixedSizeBinaryArray),
    /// Dictionary of any key type.
    Dictionary(DictionaryKeys<'a>, Box<Blobs<'a>>),
    /// A column of the null type.
    Nulls(usize),
}

/// Keys of a dictionary, widened once per batch.
#[derive(Debug)]
pub struct DictionaryKeys<'a> {
    keys: Vec<usize>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> DictionaryKeys<'a> {
    fn new(array: &'a dyn Array) -> (Self, &'a ArrayRef) {
        let dictionary = array.as_any_dictionary();
        let keys = match dictionary.values().is_empty() {
            true => vec![0; array.len()],
            false => dictionary.normalized_keys(),
        };
        (Self { keys, nulls: dictionary.keys().nulls() }, dictionary.values())
    }

    fn key(&self, row: usize) -> Option<usize> {
        match self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(self.keys[row]),
        }
    }
}

macro_rules! value_at {
    ($array:expr, $row:expr) => {
        if $array.is_null($row) { None } else { Some($array.value($row)) }
    };
}

impl<'a> Texts<'a> {
    /// Reads a text column; another type is an internal error because the planner has coerced it.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Small(array.as_string()),
            DataType::LargeUtf8 => Self::Large(array.as_string()),
            DataType::Utf8View => Self::View(array.as_string_view()),
            DataType::Dictionary(_, _) => {
                let (keys, values) = DictionaryKeys::new(array);
                Self::Dictionary(keys, Box::new(Self::new(values.as_ref())?))
            }
            DataType::Null => Self::Nulls(array.len()),
            other => return internal_err!("a text column was expected, not {other}"),
        })
    }

    /// The value of a row, None if NULL.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Small(a) => value_at!(a, row),
            Self::Large(a) => value_at!(a, row),
            Self::View(a) => value_at!(a, row),
            Self::Dictionary(keys, values) => match values.len() {
                0 => None,
                _ => keys.key(row).and_then(|key| values.get(key)),
            },
            Self::Nulls(_) => None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Small(a) => a.len(),
            Self::Large(a) => a.len(),
            Self::View(a) => a.len(),
            Self::Dictionary(keys, _) => keys.keys.len(),
            Self::Nulls(rows) => *rows,
        }
    }

    /// No rows?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Blobs<'a> {
    /// Reads a byte string column; another type is an internal error because the planner has coerced it.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Binary => Self::Small(array.as_binary()),
            DataType::LargeBinary => Self::Large(array.as_binary()),
            DataType::BinaryView => Self::View(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Self::Fixed(array.as_fixed_size_binary()),
            DataType::Dictionary(_, _) => {
                let (keys, values) = DictionaryKeys::new(array);
                Self::Dictionary(keys, Box::new(Self::new(values.as_ref())?))
            }
            DataType::Null => Self::Nulls(array.len()),
            other => return internal_err!("a byte string column was expected, not {other}"),
        })
    }

    /// The value of a row, None if NULL.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Small(a) => value_at!(a, row),
            Self::Large(a) => value_at!(a, row),
            Self::View(a) => value_at!(a, row),
            Self::Fixed(a) => value_at!(a, row),
            Self::Dictionary(keys, values) => match values.len() {
                0 => None,
                _ => keys.key(row).and_then(|key| values.get(key)),
            },
            Self::Nulls(_) => None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Small(a) => a.len(),
            Self::Large(a) => a.len(),
            Self::View(a) => a.len(),
            Self::Fixed(a) => a.len(),
            Self::Dictionary(keys, _) => keys.keys.len(),
            Self::Nulls(rows) => *rows,
        }
    }

    /// No rows?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Integer values of a column of any width, as i64. An Int64 column is borrowed, others are widened once per batch.
#[derive(Debug)]
pub struct Integers {
    values: PrimitiveArray<Int64Type>,
}

impl Integers {
    /// Reads an integer column. A UInt64 above the largest bigint is 22003.
    pub fn new(array: &dyn Array) -> Result<Self> {
        fn widen<T: ArrowPrimitiveType>(array: &dyn Array) -> PrimitiveArray<Int64Type>
        where
            T::Native: Into<i64>,
        {
            array.as_primitive::<T>().unary(Into::into)
        }
        let values = match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().clone(),
            DataType::Int32 => widen::<Int32Type>(array),
            DataType::Int16 => widen::<Int16Type>(array),
            DataType::Int8 => widen::<Int8Type>(array),
            DataType::UInt32 => widen::<UInt32Type>(array),
            DataType::UInt16 => widen::<UInt16Type>(array),
            DataType::UInt8 => widen::<UInt8Type>(array),
            DataType::UInt64 => array.as_primitive::<UInt64Type>().try_unary(|value| {
                i64::try_from(value).map_err(|_| {
                    let message = format!("value \"{value}\" is out of range for type bigint");
                    SqlError::new(crate::error::NUMERIC_VALUE_OUT_OF_RANGE, message)
                })
            })?,
            DataType::Null => PrimitiveArray::new_null(array.len()),
            other => return internal_err!("an integer column was expected, not {other}"),
        };
        Ok(Self { values })
    }

    /// The value of a row, None if NULL.
    #[inline]
    pub fn get(&self, row: usize) -> Option<i64> {
        value_at!(self.values, row)
    }

    /// The widened column.
    pub fn array(&self) -> &PrimitiveArray<Int64Type> {
        &self.values
    }
}

/// The arguments of a scalar function call as arrays that are read by row: a constant is an array of one row that
/// every row reads, so that constants are decoded once and never expanded.
#[derive(Debug)]
pub struct Rows {
    arrays: Vec<ArrayRef>,
    constant: Vec<bool>,
    row_count: usize,
}

impl Rows {
    /// Takes the arguments of a call over `row_count` rows. If all are constants, the call has one row.
    pub fn new(arguments: &[ColumnarValue], row_count: usize) -> Result<Self> {
        let mut arrays = Vec::with_capacity(arguments.len());
        let mut constant = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                ColumnarValue::Array(array) => arrays.push(Arc::clone(array)),
                ColumnarValue::Scalar(value) => arrays.push(value.to_array()?),
            }
            constant.push(matches!(argument, ColumnarValue::Scalar(_)));
        }
        let folded = !arguments.is_empty() && constant.iter().all(|c| *c);
        Ok(Self { arrays, constant, row_count: if folded { 1 } else { row_count } })
    }

    /// Rows to compute.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Number of arguments.
    pub fn argument_count(&self) -> usize {
        self.arrays.len()
    }

    /// The array of an argument; read it at [`Rows::index`].
    pub fn array(&self, argument: usize) -> &ArrayRef {
        &self.arrays[argument]
    }

    /// Where a row's value of an argument is.
    #[inline]
    pub fn index(&self, argument: usize, row: usize) -> usize {
        if self.constant[argument] { 0 } else { row }
    }

    /// Is the argument a constant?
    pub fn is_constant(&self, argument: usize) -> bool {
        self.constant[argument]
    }

    /// The result column as the engine wants it: a scalar if all arguments were constants.
    pub fn finish(&self, result: ArrayRef) -> Result<ColumnarValue> {
        if !self.constant.is_empty() && self.constant.iter().all(|c| *c) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The constant behind argument `index` of a scalar function, while it is planned.
/// None: the argument was left out or is a NULL, so the default holds. Not a constant: 22023.
pub fn literal_of_scalar<'a>(args: &ReturnFieldArgs<'a>, index: usize, name: &str) -> Result<Option<&'a ScalarValue>> {
    if index >= args.arg_fields.len() {
        return Ok(None);
    }
    match args.scalar_arguments.get(index).copied().flatten() {
        Some(value) => Ok(Some(value).filter(|v| !v.is_null())),
        None => Err(not_a_constant(name)),
    }
}

/// The constant behind argument `index` of an aggregate, while its accumulator is created.
/// None: the argument was left out or is a NULL, so the default holds. Not a constant: 22023.
pub fn literal_of_aggregate(args: &AccumulatorArgs, index: usize, name: &str) -> Result<Option<ScalarValue>> {
    let Some(expression) = args.exprs.get(index) else { return Ok(None) };
    match expression.downcast_ref::<Literal>() {
        Some(literal) => Ok(Some(literal.value().clone()).filter(|v| !v.is_null())),
        None => Err(not_a_constant(name)),
    }
}

fn not_a_constant(name: &str) -> datafusion_common::DataFusionError {
    SqlError::invalid_parameter(format!("{name} must be a constant")).into()
}

/// Text of a scalar in any layout, None if it is NULL or no text.
pub fn scalar_text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        ScalarValue::Dictionary(_, value) => scalar_text(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array};
    use arrow::compute::cast;

    #[test]
    fn every_text_layout_reads_the_same_sliced_or_not() {
        let plain: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("long enough to spill")]));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
            let array = cast(&plain, &data_type).unwrap();
            let texts = Texts::new(array.as_ref()).unwrap();
            assert_eq!(
                (0..4).map(|i| texts.get(i)).collect::<Vec<_>>(),
                [Some("a"), None, Some(""), Some("long enough to spill")]
            );
            let slice = array.slice(2, 2);
            let texts = Texts::new(slice.as_ref()).unwrap();
            assert_eq!((texts.get(0), texts.get(1)), (Some(""), Some("long enough to spill")), "{data_type}");
        }
    }

    #[test]
    fn dictionaries_may_hold_null_values_and_no_values() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
        let array = DictionaryArray::new(Int32Array::from(vec![Some(0), Some(1), None]), values);
        let texts = Texts::new(&array).unwrap();
        assert_eq!([texts.get(0), texts.get(1), texts.get(2)], [None, Some("x"), None]);
        let empty: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
        let array = DictionaryArray::new(Int32Array::from(vec![None, None]), empty);
        assert_eq!(Texts::new(&array).unwrap().get(1), None);
    }

    #[test]
    fn integers_widen_and_refuse_what_no_bigint_holds() {
        let array = arrow::array::UInt64Array::from(vec![Some(7), None]);
        let integers = Integers::new(&array).unwrap();
        assert_eq!([integers.get(0), integers.get(1)], [Some(7), None]);
        let error = Integers::new(&arrow::array::UInt64Array::from(vec![u64::MAX])).unwrap_err();
        assert!(error.to_string().contains("out of range for type bigint"), "{error}");
    }
}
