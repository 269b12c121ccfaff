//! Value to text: one printer per type.
//!
//! A [`TextPrinter`] is made once for a column and prints whole arrays into a [`ColumnText`]: bytes, the end of each
//! row's value, and which rows are NULL. The wire, casts to text, concat, COPY and array elements all print through
//! here. Any Arrow layout of a type is taken; the printing loops know one layout each.

pub mod column;
pub mod datetime;
pub mod float;
pub mod interval;
pub mod nested;
pub mod numeric;
pub mod plain;

pub use column::ColumnText;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};

use crate::error::{PgError, PgResult};
use crate::style::{RoaringBitmapOutput, TextStyle};
use crate::types::{self, META_NUMERIC_SCALE, TypeKind, TypeRef};
use crate::typmod;

/// Prints the values of one column as text.
#[derive(Debug)]
pub struct TextPrinter {
    ty: TypeRef,
    modifier: i32,
    style: TextStyle,
    /// The layout that the printing loop reads.
    layout: DataType,
    numeric_scale: Option<u8>,
    parts: Vec<TextPrinter>,
    /// Is this printer's text that of an inner array dimension?
    inner_dimension: bool,
    /// Is this a cast to text, which differs from output for a few types?
    cast: bool,
}

impl TextPrinter {
    /// The printer of a field. 0A000 if the field's Arrow type stands for no PostgreSQL type.
    pub fn for_field(field: &Field, style: &TextStyle) -> PgResult<Self> {
        let (ty, modifier) = types::of_field(field)?;
        let numeric_scale = field.metadata().get(META_NUMERIC_SCALE).and_then(|text| text.parse().ok());
        Self::build(ty, modifier, field.data_type(), numeric_scale, style)
    }

    /// The printer of values of a type stored as `data_type`.
    pub fn for_type(ty: TypeRef, modifier: i32, data_type: &DataType, style: &TextStyle) -> PgResult<Self> {
        Self::build(ty, modifier, data_type, None, style)
    }

    fn build(
        ty: TypeRef,
        modifier: i32,
        data_type: &DataType,
        numeric_scale: Option<u8>,
        style: &TextStyle,
    ) -> PgResult<Self> {
        let data_type = flat(data_type);
        let mut parts = Vec::new();
        let layout = match (ty.kind, data_type) {
            (TypeKind::Array | TypeKind::Int2Vector | TypeKind::OidVector, DataType::Null) => DataType::Null,
            (TypeKind::Array | TypeKind::Int2Vector | TypeKind::OidVector, _) => {
                let item = list_item(data_type)
                    .ok_or_else(|| PgError::internal(format!("{data_type} is no layout of {}", ty.name)))?;
                let vectors =
                    ty.element().is_some_and(|ty| matches!(ty.kind, TypeKind::Int2Vector | TypeKind::OidVector));
                let deeper = !vectors && list_item(flat(item.data_type())).is_some();
                let (item_type, item_modifier) =
                    if deeper { (ty, modifier) } else { (ty.element().ok_or_else(|| ty.unsupported())?, modifier) };
                let mut part = Self::build(item_type, item_modifier, item.data_type(), None, style)?;
                part.inner_dimension = deeper;
                parts.push(part);
                DataType::List(Field::new("item", item.data_type().clone(), true).into())
            }
            (TypeKind::Record, DataType::Struct(fields)) => {
                for field in fields {
                    parts.push(Self::for_field(field, style)?);
                }
                data_type.clone()
            }
            (TypeKind::Numeric, _) => match data_type {
                DataType::Decimal128(..) | DataType::Decimal256(..) => data_type.clone(),
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
                _ => ty.arrow_type(modifier)?,
            },
            (TypeKind::Void, _) => DataType::Null,
            _ => ty.arrow_type(modifier)?,
        };
        Ok(Self {
            ty,
            modifier,
            style: style.clone(),
            layout,
            numeric_scale,
            parts,
            inner_dimension: false,
            cast: false,
        })
    }

    /// Prints as a cast to text does: `true` and `false`, char(n) without padding, inet with its bits. Elements and
    /// fields inside arrays and records print as ever.
    #[must_use]
    pub fn cast(mut self) -> Self {
        self.cast = true;
        self
    }

    /// The type that is printed.
    pub fn pg_type(&self) -> TypeRef {
        self.ty
    }

    /// Prints every row of `array` into `out`, replacing what was there.
    pub fn print(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        out.clear();
        let array = relayout(array, &self.layout)?;
        let array = array.as_ref();
        out.set_nulls(array.logical_nulls());
        if self.layout == DataType::Null {
            return self.print_nothing(array, out);
        }
        match self.ty.kind {
            TypeKind::Bool if self.cast => {
                let values = array.as_boolean();
                out.fill(array.len(), |row, bytes| {
                    bytes.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
                });
            }
            TypeKind::Bool => {
                let values = array.as_boolean();
                out.fill(array.len(), |row, bytes| bytes.push(if values.value(row) { b't' } else { b'f' }));
            }
            TypeKind::Int2 => plain::integers(array.as_primitive::<Int16Type>(), out),
            TypeKind::Int4 => plain::integers(array.as_primitive::<Int32Type>(), out),
            TypeKind::Int8 => plain::integers(array.as_primitive::<Int64Type>(), out),
            TypeKind::Oid => plain::integers(array.as_primitive::<UInt32Type>(), out),
            TypeKind::Reg => {
                plain::reg(array.as_primitive::<UInt32Type>(), self.ty.oid, self.style.reg_names.get(), out);
            }
            TypeKind::Float4 => {
                float::float4_column(array.as_primitive::<Float32Type>(), self.style.extra_float_digits, out);
            }
            TypeKind::Float8 => {
                float::float8_column(array.as_primitive::<Float64Type>(), self.style.extra_float_digits, out);
            }
            TypeKind::Numeric => self.print_numeric(array, out)?,
            TypeKind::Bytea => plain::bytea_column(array.as_binary_view(), self.style.bytea_output, out),
            TypeKind::RoaringBitmap | TypeKind::RoaringBitmap64 => self.print_bitmap(array, out)?,
            TypeKind::Date | TypeKind::Time | TypeKind::Timestamp | TypeKind::TimestampTz | TypeKind::Interval => {
                self.print_moments(array, out)
            }
            TypeKind::Uuid => {
                let values = array.as_fixed_size_binary();
                out.fill(array.len(), |row, bytes| plain::print_uuid(values.value(row), bytes));
            }
            TypeKind::Text
            | TypeKind::Varchar
            | TypeKind::Bpchar
            | TypeKind::Name
            | TypeKind::Char
            | TypeKind::Json
            | TypeKind::Jsonb
            | TypeKind::Unknown
            | TypeKind::Inet
            | TypeKind::Cidr => self.print_strings(array.as_string_view(), out),
            TypeKind::Array => nested::print_lists(self.part()?, self.ty.delim, array.as_list::<i32>(), out)?,
            TypeKind::Int2Vector | TypeKind::OidVector => {
                nested::print_vectors(self.part()?, array.as_list::<i32>(), out)?;
            }
            TypeKind::Record => nested::print_records(&self.parts, array.as_struct(), out)?,
            TypeKind::Void | TypeKind::Unsupported => return Err(self.ty.unsupported()),
        }
        Ok(())
    }

    pub(crate) fn inner_dimension(&self) -> bool {
        self.inner_dimension
    }

    fn part(&self) -> PgResult<&Self> {
        self.parts.first().ok_or_else(|| PgError::internal("an array printer without element printer"))
    }

    /// A column without values: void prints as the empty string, anything else is NULL.
    fn print_nothing(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        if self.ty.kind == TypeKind::Void {
            out.set_nulls(None);
        }
        out.fill(array.len(), |_, _| {});
        Ok(())
    }

    fn print_strings(&self, values: &StringViewArray, out: &mut ColumnText) {
        match self.ty.kind {
            TypeKind::Bpchar => {
                let width = if self.cast { 0 } else { typmod::length_parts(self.modifier).unwrap_or(0) };
                out.fill(values.len(), |row, bytes| plain::print_bpchar(values.value(row), width, bytes));
            }
            TypeKind::Inet if self.cast => {
                out.fill(values.len(), |row, bytes| plain::print_inet_cast(values.value(row), bytes));
            }
            _ => out.fill(values.len(), |row, bytes| bytes.extend_from_slice(values.value(row).as_bytes())),
        }
    }

    fn print_moments(&self, array: &dyn Array, out: &mut ColumnText) {
        match self.ty.kind {
            TypeKind::Date => {
                let values = array.as_primitive::<Date32Type>().values();
                out.fill(array.len(), |row, bytes| datetime::print_date(values[row], self.style.date_style, bytes));
            }
            TypeKind::Time => {
                let values = array.as_primitive::<Time64MicrosecondType>().values();
                out.fill(array.len(), |row, bytes| datetime::print_time(values[row], bytes));
            }
            TypeKind::Timestamp => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values();
                let style = self.style.date_style;
                out.fill(array.len(), |row, bytes| datetime::print_timestamp(values[row], style, bytes));
            }
            TypeKind::TimestampTz => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values();
                let (style, zone) = (self.style.date_style, &self.style.time_zone);
                out.fill(array.len(), |row, bytes| datetime::print_timestamptz(values[row], style, zone, bytes));
            }
            _ => {
                let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
                let style = self.style.interval_style;
                out.fill(array.len(), |row, bytes| interval::print_interval(values[row], style, bytes));
            }
        }
    }

    fn print_numeric(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        match array.data_type() {
            DataType::Decimal128(_, scale) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                let scale = *scale;
                out.fill(array.len(), |row, bytes| numeric::print_decimal_128(values[row], scale, bytes));
            }
            DataType::Decimal256(_, scale) => {
                let values = array.as_primitive::<Decimal256Type>().values();
                let (scale, free) = (*scale, self.modifier < 0 && types::is_free(array.data_type()));
                out.fill(array.len(), |row, bytes| {
                    if free {
                        numeric::print_free(values[row], self.numeric_scale, bytes);
                    } else {
                        numeric::print_decimal_256(values[row], scale, bytes);
                    }
                });
            }
            other => return Err(PgError::internal(format!("{other} is no layout of numeric"))),
        }
        Ok(())
    }

    fn print_bitmap(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        let values = array.as_binary_view();
        if self.style.roaringbitmap_output == RoaringBitmapOutput::Bytea {
            plain::bytea_column(values, crate::style::ByteaOutput::Hex, out);
            return Ok(());
        }
        let wide = self.ty.kind == TypeKind::RoaringBitmap64;
        out.try_fill(array.len(), |row, bytes| plain::print_bitmap_members(values.value(row), wide, bytes))
    }
}

/// The type behind a dictionary or run-length encoding.
pub(crate) fn flat(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => flat(value),
        DataType::RunEndEncoded(_, value) => flat(value.data_type()),
        other => other,
    }
}

pub(crate) fn list_item(data_type: &DataType) -> Option<&Field> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// The array in the layout wanted: itself where it has it, else cast.
pub(crate) fn relayout(array: &dyn Array, layout: &DataType) -> PgResult<ArrayRef> {
    let have = array.data_type();
    if have == layout || alike(have, layout) {
        return Ok(array.slice(0, array.len()));
    }
    if matches!(have, DataType::Null) || matches!(layout, DataType::Null) {
        return Ok(new_null_array(layout, array.len()));
    }
    let options = CastOptions { safe: false, ..Default::default() };
    cast_with_options(array, layout, &options).map_err(|error| {
        PgError::new(crate::sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {error}"))
    })
}

/// Layouts that differ in names or nullability only.
fn alike(have: &DataType, layout: &DataType) -> bool {
    match (have, layout) {
        (DataType::List(a), DataType::List(b)) => a.data_type() == b.data_type() || alike(a.data_type(), b.data_type()),
        (DataType::Timestamp(a, Some(_)), DataType::Timestamp(b, Some(_))) => a == b,
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|(a, b)| a.data_type() == b.data_type() || alike(a.data_type(), b.data_type()))
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
