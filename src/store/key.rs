//! Keys of a table: which columns, and the canonical bytes and hash of a row's key.
//!
//! For: PRIMARY KEY, UNIQUE and indexes. Two keys are equal exactly when their canonical bytes are: integers and floats
//! widen to 64 bits and numerics lose trailing zeros (1.0 = 1.00), so a key keeps its bytes when its column is widened;
//! both zeros are one, all NaNs are one, intervals count by their length. The bytes are hashed with xxh3-64; hashes are
//! stored (section KEY), so neither may ever change. Promises: a hash never decides alone; whoever finds equal hashes
//! compares bytes. Does not: look anything up; see `key_section` and `key_probe`.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use crate::codec::{Put, Reader};
use crate::config::KEY_BYTES_MAX;
use crate::error::{Result, StoreError};
use crate::{ColumnId, Oid};

/// How canonical key bytes become 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyHash {
    /// xxh3-64.
    Xxh3 = 0,
    /// Three values in all, so that most keys collide: what tests force.
    #[cfg(any(test, feature = "sim"))]
    Colliding = 255,
}

impl KeyHash {
    fn from_u8(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::Xxh3),
            #[cfg(any(test, feature = "sim"))]
            255 => Ok(Self::Colliding),
            other => Err(StoreError::damaged(format!("key has unknown hash {other}"))),
        }
    }

    fn of(self, bytes: &[u8]) -> u64 {
        let hash = xxhash_rust::xxh3::xxh3_64(bytes);
        match self {
            Self::Xxh3 => hash,
            #[cfg(any(test, feature = "sim"))]
            Self::Colliding => (hash % 3).wrapping_mul(0x5555_5555_5555_5555),
        }
    }
}

/// A PRIMARY KEY, UNIQUE constraint or index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDef {
    /// OID of its index; never reused, and never given to other columns.
    pub id: Oid,
    /// In key order.
    pub columns: Vec<ColumnId>,
    /// Whether no two live rows may have equal keys.
    pub unique: bool,
    /// NULL equals nothing, so a row with one has no key. Otherwise NULL equals NULL.
    pub nulls_distinct: bool,
    /// How keys are hashed.
    pub hash: KeyHash,
}

impl KeyDef {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.id);
        out.put_u8(u8::from(self.unique) | u8::from(self.nulls_distinct) << 1);
        out.put_u8(self.hash as u8);
        out.put_u32(u32::try_from(self.columns.len()).expect("bounded by COLUMNS_MAX"));
        self.columns.iter().for_each(|column| out.put_u32(*column));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let id = reader.u32()?;
        let flags = reader.u8()?;
        if flags > 3 {
            return Err(StoreError::damaged(format!("key has unknown flags {flags}")));
        }
        let hash = KeyHash::from_u8(reader.u8()?)?;
        let columns = (0..reader.count(4)?).map(|_| reader.u32()).collect::<Result<Vec<_>>>()?;
        Ok(Self { id, columns, unique: flags & 1 != 0, nulls_distinct: flags & 2 != 0, hash })
    }

    /// For the metadata of an `.arrow` file: `id:flags:hash:column.column`.
    pub(crate) fn text(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        let flags = u8::from(self.unique) | u8::from(self.nulls_distinct) << 1;
        format!("{}:{flags}:{}:{}", self.id, self.hash as u8, columns.join("."))
    }

    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let wrong = || StoreError::damaged("arrow file carries a wrong key definition");
        let mut fields = text.split(':');
        let mut next = || fields.next().ok_or_else(wrong);
        let id = next()?.parse().map_err(|_| wrong())?;
        let flags: u8 = next()?.parse().map_err(|_| wrong())?;
        let hash = KeyHash::from_u8(next()?.parse().map_err(|_| wrong())?)?;
        let columns = next()?.split('.').map(|column| column.parse().map_err(|_| wrong())).collect::<Result<_>>()?;
        Ok(Self { id, columns, unique: flags & 1 != 0, nulls_distinct: flags & 2 != 0, hash })
    }
}

/// The keys of some rows.
#[derive(Debug, Clone, Default)]
pub struct KeyRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Rows that have a key; None = all.
    keyed: Option<Vec<bool>>,
}

impl KeyRows {
    /// The keys of rows given as the key's columns, in key order.
    ///
    /// Errors: 0A000 for types that cannot be keys.
    pub fn new(def: &KeyDef, columns: &[ArrayRef]) -> Result<Self> {
        let rows = columns.first().map_or(0, |column| column.len());
        let writers = columns.iter().map(Writer::new).collect::<Result<Vec<_>>>()?;
        let mut keys = Self {
            bytes: Vec::with_capacity(rows * writers.len() * 9),
            ends: Vec::with_capacity(rows),
            hashes: Vec::with_capacity(rows),
            keyed: None,
        };
        for row in 0..rows {
            let start = keys.bytes.len();
            let whole = writers.iter().all(|writer| writer.is_valid(row));
            if def.nulls_distinct && !whole {
                keys.keyed.get_or_insert_with(|| vec![true; rows])[row] = false;
                keys.hashes.push(0);
            } else {
                writers.iter().for_each(|writer| writer.write(row, &mut keys.bytes));
                keys.hashes.push(def.hash.of(&keys.bytes[start..]));
            }
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }

    /// 54000 if a key is above 1 KiB. What is stored is never above it but in indexes that are not unique.
    pub fn check_lengths(&self) -> Result<()> {
        match (0..self.len()).map(|row| self.key(row).len()).max() {
            Some(longest) if longest > KEY_BYTES_MAX => {
                let message = format!("key of {longest} bytes exceeds the limit of {KEY_BYTES_MAX}");
                Err(StoreError::new("54000", message))
            }
            _ => Ok(()),
        }
    }

    /// Number of rows, those without a key included.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether a row has a key.
    pub fn has_key(&self, row: usize) -> bool {
        self.keyed.as_ref().is_none_or(|keyed| keyed[row])
    }

    /// The hash of a row's key; void if it has none.
    pub fn hash(&self, row: usize) -> u64 {
        self.hashes[row]
    }

    /// The canonical bytes of a row's key; empty if it has none.
    pub fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Adds the hashes of rows numbered from `first` to `out`: what a section is made of.
pub(crate) fn push_hashes(def: &KeyDef, columns: &[ArrayRef], first: u32, out: &mut Vec<(u64, u32)>) -> Result<()> {
    let keys = KeyRows::new(def, columns)?;
    out.extend((first..).zip(0..keys.len()).filter(|(_, at)| keys.has_key(*at)).map(|(row, at)| (keys.hash(at), row)));
    Ok(())
}

/// Whether a column of this type can be part of a key.
pub(crate) fn can_be_key(data_type: &DataType) -> bool {
    Writer::new(&arrow::array::new_empty_array(data_type)).is_ok()
}

/// Writes the canonical bytes of one column.
enum Writer<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a [i64], Option<&'a NullBuffer>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, i8),
    Date(&'a PrimitiveArray<Date32Type>),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    Text(&'a arrow::array::StringViewArray),
    Binary(&'a arrow::array::BinaryViewArray),
    Fixed(&'a arrow::array::FixedSizeBinaryArray),
    List(&'a arrow::array::ListArray, Box<Writer<'a>>),
}

fn whole<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Writer<'_> {
    let array = array.as_primitive::<T>();
    Writer::Int64(array.values(), array.nulls())
}

impl<'a> Writer<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => whole::<Int64Type>(array),
            DataType::UInt8 => Self::UInt8(array.as_primitive()),
            DataType::UInt16 => Self::UInt16(array.as_primitive()),
            DataType::UInt32 => Self::UInt32(array.as_primitive()),
            DataType::UInt64 => Self::UInt64(array.as_primitive()),
            DataType::Float32 => Self::Float32(array.as_primitive()),
            DataType::Float64 => Self::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Self::Decimal128(array.as_primitive(), *scale),
            DataType::Decimal256(_, scale) => Self::Decimal256(array.as_primitive(), *scale),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => whole::<Time64MicrosecondType>(array),
            DataType::Timestamp(TimeUnit::Microsecond, _) => whole::<TimestampMicrosecondType>(array),
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Interval(array.as_primitive()),
            DataType::Utf8View => Self::Text(array.as_string_view()),
            DataType::BinaryView => Self::Binary(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Self::Fixed(array.as_fixed_size_binary()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::new(list.values())?))
            }
            other => {
                return Err(StoreError::new("0A000", format!("columns of type {other} cannot be part of a key")));
            }
        })
    }

    fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Bool(array) => array.is_valid(row),
            Self::Int8(array) => array.is_valid(row),
            Self::Int16(array) => array.is_valid(row),
            Self::Int32(array) => array.is_valid(row),
            Self::Int64(_, nulls) => nulls.is_none_or(|nulls| nulls.is_valid(row)),
            Self::UInt8(array) => array.is_valid(row),
            Self::UInt16(array) => array.is_valid(row),
            Self::UInt32(array) => array.is_valid(row),
            Self::UInt64(array) => array.is_valid(row),
            Self::Float32(array) => array.is_valid(row),
            Self::Float64(array) => array.is_valid(row),
            Self::Decimal128(array, _) => array.is_valid(row),
            Self::Decimal256(array, _) => array.is_valid(row),
            Self::Date(array) => array.is_valid(row),
            Self::Interval(array) => array.is_valid(row),
            Self::Text(array) => array.is_valid(row),
            Self::Binary(array) => array.is_valid(row),
            Self::Fixed(array) => array.is_valid(row),
            Self::List(array, _) => array.is_valid(row),
        }
    }

    /// One byte that says whether there is a value, then the value.
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if !self.is_valid(row) {
            out.push(0);
            return;
        }
        out.push(1);
        match self {
            Self::Bool(array) => out.push(u8::from(array.value(row))),
            Self::Int8(array) => out.put_i64(array.value(row).into()),
            Self::Int16(array) => out.put_i64(array.value(row).into()),
            Self::Int32(array) => out.put_i64(array.value(row).into()),
            Self::Int64(values, _) => out.put_i64(values[row]),
            Self::UInt8(array) => out.put_i64(array.value(row).into()),
            Self::UInt16(array) => out.put_i64(array.value(row).into()),
            Self::UInt32(array) => out.put_i64(array.value(row).into()),
            Self::UInt64(array) => out.put_u64(array.value(row)),
            Self::Float32(array) => out.put_u64(float_bits(array.value(row).into())),
            Self::Float64(array) => out.put_u64(float_bits(array.value(row))),
            Self::Decimal128(array, scale) => put_decimal(i256::from_i128(array.value(row)), *scale, out),
            Self::Decimal256(array, scale) => put_decimal(array.value(row), *scale, out),
            Self::Date(array) => out.put_i64(array.value(row).into()),
            Self::Interval(array) => {
                let value = array.value(row);
                // As PostgreSQL compares them: a month has 30 days, a day 24 hours.
                let days = i128::from(value.months) * 30 + i128::from(value.days);
                let nanos = days * 86_400_000_000_000 + i128::from(value.nanoseconds);
                out.extend_from_slice(&nanos.to_le_bytes());
            }
            Self::Text(array) => out.put_bytes(array.value(row).as_bytes()),
            Self::Binary(array) => out.put_bytes(array.value(row)),
            Self::Fixed(array) => out.extend_from_slice(array.value(row)),
            Self::List(array, items) => {
                let offsets = array.value_offsets();
                let (from, to) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
                out.put_u64((to - from) as u64);
                (from..to).for_each(|item| items.write(item, out));
            }
        }
    }
}

fn float_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// Stands where a scale of one byte would: the scale has two bytes and the value 32.
const WIDE_DECIMAL: i8 = i8::MIN;

/// The value without trailing zeros, and its scale then. The first byte says how many follow, so that no number's bytes
/// are the beginning of another's.
fn put_decimal(value: i256, scale: i8, out: &mut Vec<u8>) {
    let (mut value, mut scale) = (value, i16::from(scale));
    if value == i256::ZERO {
        scale = 0;
    }
    // 76 digits end in 75 zeros at most, which is less than the sum of these and a second 32.
    for zeros in [32, 32, 16, 8, 4, 2, 1] {
        (value, scale) = without_zeros(value, scale, zeros, 10i128.pow(zeros.unsigned_abs().into()));
    }
    match (i8::try_from(scale), value.to_i128()) {
        (Ok(narrow), Some(small)) if narrow != WIDE_DECIMAL => {
            out.extend_from_slice(&narrow.to_le_bytes());
            out.extend_from_slice(&small.to_le_bytes());
        }
        _ => {
            out.extend_from_slice(&WIDE_DECIMAL.to_le_bytes());
            out.extend_from_slice(&scale.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

fn without_zeros(value: i256, scale: i16, zeros: i16, power: i128) -> (i256, i16) {
    if value == i256::ZERO {
        return (value, scale);
    }
    if let Some(small) = value.to_i128() {
        return if small % power == 0 { (i256::from_i128(small / power), scale - zeros) } else { (value, scale) };
    }
    let power = i256::from_i128(power);
    match value.checked_rem(power) {
        Some(i256::ZERO) => (value.wrapping_div(power), scale - zeros),
        _ => (value, scale),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{
        Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int16Array, Int64Array,
        IntervalMonthDayNanoArray, StringViewArray,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    fn def(nulls_distinct: bool) -> KeyDef {
        KeyDef { id: 1, columns: vec![1], unique: true, nulls_distinct, hash: KeyHash::Xxh3 }
    }

    fn keys(columns: Vec<ArrayRef>) -> KeyRows {
        KeyRows::new(&def(true), &columns).unwrap()
    }

    /// Every group of arrays holds equal values in its first row and different ones in its second.
    #[test]
    fn equal_values_have_equal_keys_whatever_their_type_and_scale() {
        let decimal = |values: Vec<i128>, precision, scale| -> ArrayRef {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
        };
        let wide = |values: Vec<i256>, scale| -> ArrayRef {
            Arc::new(Decimal256Array::from(values).with_precision_and_scale(76, scale).unwrap())
        };
        let interval = |months, days, nanoseconds| IntervalMonthDayNano { months, days, nanoseconds };
        let tens = |power: u32| i256::from_i128(10).wrapping_pow(power);
        let groups: Vec<Vec<ArrayRef>> = vec![
            vec![Arc::new(Int16Array::from(vec![7, 8])), Arc::new(Int64Array::from(vec![7, 9]))],
            vec![
                decimal(vec![10, 11], 10, 1),
                decimal(vec![100, 101], 10, 2),
                decimal(vec![1, 2], 10, 0),
                wide(vec![tens(38), i256::from_i128(7)], 38),
            ],
            vec![decimal(vec![0, 5], 10, 1), wide(vec![i256::ZERO, i256::from_i128(5)], 38)],
            vec![wide(vec![tens(75), tens(70)], 75), wide(vec![tens(0), tens(5)], 0), decimal(vec![1, 7], 10, 0)],
            vec![wide(vec![i256::MAX, i256::MIN], 0), wide(vec![i256::MAX, i256::MAX - i256::ONE], 0)],
            vec![
                Arc::new(Float64Array::from(vec![0.0, 1.0])),
                Arc::new(Float64Array::from(vec![-0.0, 2.0])),
                Arc::new(Float32Array::from(vec![0.0, 3.0])),
            ],
            vec![Arc::new(Float64Array::from(vec![f64::NAN, 1.0])), Arc::new(Float64Array::from(vec![-f64::NAN, 2.0]))],
            vec![
                Arc::new(IntervalMonthDayNanoArray::from(vec![interval(1, 0, 0), interval(0, 0, 1)])),
                Arc::new(IntervalMonthDayNanoArray::from(vec![interval(0, 30, 0), interval(0, 0, 2)])),
                Arc::new(IntervalMonthDayNanoArray::from(vec![interval(0, 29, 86_400_000_000_000), interval(0, 1, 0)])),
            ],
        ];
        for group in groups {
            let of: Vec<KeyRows> = group.iter().map(|array| keys(vec![Arc::clone(array)])).collect();
            for (i, a) in of.iter().enumerate() {
                assert_eq!((a.key(0), a.hash(0)), (of[0].key(0), of[0].hash(0)), "{:?}", group[i]);
                assert_ne!(a.key(0), a.key(1), "{:?}", group[i]);
                assert!(of[..i].iter().all(|b| b.key(1) != a.key(1)), "{:?}", group[i]);
            }
        }
    }

    #[test]
    fn the_borders_of_columns_count_and_nulls_have_no_key_unless_they_are_equal() {
        let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringViewArray::from(values)) };
        let left = text(vec![Some("ab"), Some("a"), Some(""), None, None, Some("a")]);
        let right = text(vec![Some("c"), Some("bc"), Some("abc"), Some("x"), Some("x"), None]);
        let distinct = KeyRows::new(&def(true), &[Arc::clone(&left), Arc::clone(&right)]).unwrap();
        let all: std::collections::HashSet<&[u8]> = (0..3).map(|row| distinct.key(row)).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(
            (0..6).map(|row| distinct.has_key(row)).collect::<Vec<_>>(),
            [true, true, true, false, false, false]
        );
        let equal = KeyRows::new(&def(false), &[left, right]).unwrap();
        assert!((0..6).all(|row| equal.has_key(row)));
        assert_eq!(equal.key(3), equal.key(4));
        assert_ne!(equal.key(4), equal.key(5));
    }

    /// Numbers of every width and number of zeros: their bytes are equal exactly when they are, and tell where they end,
    /// so that what follows in a key of several columns cannot make up for it.
    #[test]
    fn decimals_have_bytes_of_their_own_that_end_where_they_end() {
        let tens = |power: u32| i256::from_i128(10).wrapping_pow(power);
        let mut seen: Vec<(Vec<u8>, (i256, i16))> = Vec::new();
        let digits = [1, 3, 99, i128::MAX, i128::MIN + 1].map(i256::from_i128);
        let wide = [i256::MAX, i256::MIN, tens(76) - i256::ONE, i256::from_i128(i128::MAX).wrapping_mul(tens(37))];
        for digit in digits.into_iter().chain(wide) {
            for power in 0..76 {
                let Some(value) = digit.checked_mul(tens(power)) else { break };
                for scale in [i8::MIN, -60, 0, 7, 38, 76, i8::MAX] {
                    // The slow twin: one zero at a time.
                    let mut plain = (value, i16::from(scale));
                    while plain.0.checked_rem(tens(1)) == Some(i256::ZERO) {
                        plain = (plain.0.wrapping_div(tens(1)), plain.1 - 1);
                    }
                    let mut bytes = Vec::new();
                    put_decimal(value, scale, &mut bytes);
                    seen.push((bytes, plain));
                }
            }
        }
        seen.sort();
        seen.dedup();
        let numbers: std::collections::BTreeSet<_> = seen.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers.len(), seen.len(), "one number has two encodings");
        for pair in seen.windows(2) {
            assert!(!pair[1].0.starts_with(&pair[0].0), "{:?} begins like {:?}", pair[1], pair[0]);
        }
    }

    #[test]
    fn a_key_above_its_limit_is_refused() {
        // A text has five bytes of framing.
        let text = |len| -> ArrayRef { Arc::new(StringViewArray::from(vec!["x".repeat(len)])) };
        keys(vec![text(KEY_BYTES_MAX - 5)]).check_lengths().unwrap();
        let error = keys(vec![text(KEY_BYTES_MAX - 4)]).check_lengths().unwrap_err();
        assert_eq!((error.sqlstate, error.message.as_str()), ("54000", "key of 1025 bytes exceeds the limit of 1024"));
    }

    #[test]
    fn definitions_round_trip_as_bytes_and_as_text() {
        for (unique, nulls_distinct) in [(true, true), (true, false), (false, true)] {
            let def = KeyDef { id: 16_400, columns: vec![3, 1], unique, nulls_distinct, hash: KeyHash::Colliding };
            let mut bytes = Vec::new();
            def.encode(&mut bytes);
            assert_eq!(KeyDef::decode(&mut Reader::new(&bytes)).unwrap(), def);
            assert_eq!(KeyDef::from_text(&def.text()).unwrap(), def);
        }
        for wrong in ["", "1", "1:2", "1:2:0", "1:2:0:x", "1:2:7:1"] {
            assert!(KeyDef::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
