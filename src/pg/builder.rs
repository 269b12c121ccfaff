//! Columns filled from text or binary values: COPY, casts and parameters.
//!
//! An [`InputBuilder`] knows its type's parser and Arrow layout. A value that is refused leaves the builder as it was,
//! so the caller may count, skip or give up.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    IntervalMonthDayNanoBuilder, ListArray, NullArray, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use crate::binary::decode;
use crate::error::{PgError, PgResult};
use crate::input::numeric::parse_numeric_128;
use crate::input::string::{CastContext, fit_bpchar, fit_char, fit_name, fit_varchar};
use crate::input::{self, InputContext, array::split_array};
use crate::style::TextStyle;
use crate::types::{TypeKind, TypeRef};
use crate::typmod;

/// Collects the values of one column.
#[derive(Debug)]
pub struct InputBuilder {
    ty: TypeRef,
    modifier: i32,
    style: TextStyle,
    now_us: i64,
    context: CastContext,
    column: Column,
}

#[derive(Debug)]
enum Column {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Narrow(Decimal128Builder, u8, u8),
    Wide(Decimal256Builder, u8, u8),
    Free(Decimal256Builder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Oid(UInt32Builder),
    List(Box<ListColumn>),
    Nothing(usize),
}

#[derive(Debug)]
struct ListColumn {
    element: InputBuilder,
    ends: Vec<i32>,
    valid: Vec<bool>,
    /// Dimensions of the last value; more than one only in a builder for a single value.
    dimensions: Vec<usize>,
    /// May a value have more than one dimension?
    nested_allowed: bool,
}

/// One statement for every primitive builder.
macro_rules! each_builder {
    ($column:expr, $builder:ident => $body:expr, $list:ident => $list_body:expr, $count:ident => $nothing:expr) => {
        match $column {
            Column::Bool($builder) => $body,
            Column::Int2($builder) => $body,
            Column::Int4($builder) => $body,
            Column::Int8($builder) => $body,
            Column::Float4($builder) => $body,
            Column::Float8($builder) => $body,
            Column::Narrow($builder, ..) => $body,
            Column::Wide($builder, ..) => $body,
            Column::Free($builder) => $body,
            Column::Text($builder) => $body,
            Column::Bytes($builder) => $body,
            Column::Date($builder) => $body,
            Column::Time($builder) => $body,
            Column::Timestamp($builder) => $body,
            Column::Interval($builder) => $body,
            Column::Uuid($builder) => $body,
            Column::Oid($builder) => $body,
            Column::List($list) => $list_body,
            Column::Nothing($count) => $nothing,
        }
    };
}

impl InputBuilder {
    /// A builder for a type and modifier. `now_us` is what `now` means in date/time text. Lengths are checked as in an
    /// assignment: see [`InputBuilder::explicit`]. 0A000 for types that cannot be read.
    pub fn for_type(ty: TypeRef, modifier: i32, style: &TextStyle, now_us: i64) -> PgResult<Self> {
        let column = Column::new(ty, modifier, style, now_us)?;
        Ok(Self { ty, modifier, style: style.clone(), now_us, context: CastContext::Assignment, column })
    }

    /// Cuts text that is too long instead of refusing it, as an explicit cast does.
    #[must_use]
    pub fn explicit(mut self) -> Self {
        self.context = CastContext::Explicit;
        if let Column::List(list) = &mut self.column {
            list.element.context = CastContext::Explicit;
        }
        self
    }

    /// Lets arrays have several dimensions; then all values must have as many as the last one. For single values.
    pub(crate) fn nested(mut self) -> Self {
        if let Column::List(list) = &mut self.column {
            list.nested_allowed = true;
        }
        self
    }

    /// The type being built.
    pub fn pg_type(&self) -> TypeRef {
        self.ty
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        each_builder!(&self.column, b => b.len(), list => list.ends.len(), count => *count)
    }

    /// Has it no rows?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        each_builder!(&mut self.column, b => b.append_null(), list => list.append_null(), count => *count += 1);
    }

    /// Parses text and appends the value. Errors are those of the type's input function.
    pub fn append(&mut self, text: &str) -> PgResult<()> {
        let context = InputContext { style: &self.style, now_us: self.now_us };
        let decimals = typmod::second_decimals(self.modifier);
        match &mut self.column {
            Column::Bool(b) => b.append_value(input::parse_bool(text)?),
            Column::Int2(b) => b.append_value(input::parse_int2(text)?),
            Column::Int4(b) => b.append_value(input::parse_int4(text)?),
            Column::Int8(b) => b.append_value(input::parse_int8(text)?),
            Column::Float4(b) => b.append_value(input::parse_float4(text)?),
            Column::Float8(b) => b.append_value(input::parse_float8(text)?),
            Column::Narrow(b, precision, scale) => b.append_value(parse_numeric_128(text, *precision, *scale)?),
            Column::Wide(b, precision, scale) => b.append_value(input::parse_numeric(text, *precision, *scale)?),
            Column::Free(b) => b.append_value(input::parse_numeric_free(text)?),
            Column::Text(b) => append_text(b, self.ty, self.modifier, self.context, text)?,
            Column::Bytes(b) => match self.ty.kind {
                TypeKind::RoaringBitmap => b.append_value(input::parse_roaringbitmap(text)?),
                TypeKind::RoaringBitmap64 => b.append_value(input::parse_roaringbitmap64(text)?),
                _ => b.append_value(input::parse_bytea(text)?),
            },
            Column::Date(b) => b.append_value(input::parse_date(text, &context)?),
            Column::Time(b) => b.append_value(input::parse_time(text, decimals, &context)?),
            Column::Timestamp(b) => b.append_value(if self.ty.kind == TypeKind::Timestamp {
                input::parse_timestamp(text, decimals, &context)?
            } else {
                input::parse_timestamptz(text, decimals, &context)?
            }),
            Column::Interval(b) => b.append_value(input::parse_interval(text, self.modifier, &context)?),
            Column::Uuid(b) => {
                let value = input::parse_uuid(text)?;
                b.append_value(value).map_err(|error| PgError::internal(error.to_string()))?;
            }
            Column::Oid(b) => match (self.ty.kind, text) {
                (TypeKind::Reg, "-") => b.append_value(0),
                (TypeKind::Reg, _) => b.append_value(reg_number(text, self.ty)?),
                _ => b.append_value(input::parse_oid(text)?),
            },
            Column::List(list) if self.ty.kind == TypeKind::Array => list.append(text, self.ty.delim)?,
            Column::List(list) => list.append_vector(text)?,
            Column::Nothing(count) => *count += 1,
        }
        Ok(())
    }

    /// Decodes a binary value and appends it. 08P01 if it is too short, 22P03 if too long or malformed, 22021 for text
    /// that is not UTF-8.
    pub fn append_binary(&mut self, bytes: &[u8]) -> PgResult<()> {
        match &mut self.column {
            Column::Bool(b) => b.append_value(decode::fixed::<1>(bytes)?[0] != 0),
            Column::Int2(b) => b.append_value(i16::from_be_bytes(decode::fixed(bytes)?)),
            Column::Int4(b) => b.append_value(i32::from_be_bytes(decode::fixed(bytes)?)),
            Column::Int8(b) => b.append_value(i64::from_be_bytes(decode::fixed(bytes)?)),
            Column::Float4(b) => b.append_value(f32::from_be_bytes(decode::fixed(bytes)?)),
            Column::Float8(b) => b.append_value(f64::from_be_bytes(decode::fixed(bytes)?)),
            Column::Narrow(..) | Column::Wide(..) | Column::Free(_) => {
                let text = decode::numeric_text(bytes)?;
                self.append(&text)?;
            }
            Column::Text(b) => {
                let text = decode::text(bytes, self.ty.kind)?;
                append_text(b, self.ty, self.modifier, self.context, &text)?;
            }
            Column::Bytes(b) => match self.ty.kind {
                TypeKind::RoaringBitmap => b.append_value(input::bitmap::check_roaringbitmap(bytes)?),
                TypeKind::RoaringBitmap64 => b.append_value(input::bitmap::check_roaringbitmap64(bytes)?),
                _ => b.append_value(bytes),
            },
            Column::Date(b) => b.append_value(decode::date(bytes)?),
            Column::Time(b) => b.append_value(decode::time(bytes, typmod::second_decimals(self.modifier))?),
            Column::Timestamp(b) => b.append_value(decode::timestamp(bytes, typmod::second_decimals(self.modifier))?),
            Column::Interval(b) => b.append_value(decode::interval(bytes, self.modifier)?),
            Column::Uuid(b) => {
                b.append_value(decode::fixed::<16>(bytes)?).map_err(|error| PgError::internal(error.to_string()))?
            }
            Column::Oid(b) => b.append_value(u32::from_be_bytes(decode::fixed(bytes)?)),
            Column::List(list) => list.append_binary(bytes, self.ty)?,
            Column::Nothing(count) => *count += 1,
        }
        Ok(())
    }

    /// Takes the column out; the builder is empty again.
    pub fn finish(&mut self) -> ArrayRef {
        each_builder!(
            &mut self.column,
            b => Arc::new(b.finish()),
            list => list.finish(),
            count => {
                let rows = std::mem::take(count);
                Arc::new(NullArray::new(rows))
            }
        )
    }
}

fn reg_number(text: &str, ty: TypeRef) -> PgResult<u32> {
    input::parse_oid(text).map_err(|_| {
        PgError::unsupported(format!("name \"{text}\" cannot be looked up for type {}", ty.name))
            .hint("Use the object's OID.")
    })
}

/// Appends text after the rules of its type.
fn append_text(
    builder: &mut StringViewBuilder,
    ty: TypeRef,
    modifier: i32,
    context: CastContext,
    text: &str,
) -> PgResult<()> {
    match ty.kind {
        TypeKind::Varchar => builder.append_value(fit_varchar(text, modifier, context)?),
        TypeKind::Bpchar => builder.append_value(fit_bpchar(text, modifier, context)?),
        TypeKind::Name => builder.append_value(fit_name(text)),
        TypeKind::Char => builder.append_value(fit_char(text)),
        TypeKind::Json => {
            input::check_json(text)?;
            builder.append_value(text);
        }
        TypeKind::Jsonb => builder.append_value(input::canonical_jsonb(text)?),
        TypeKind::Inet => builder.append_value(input::parse_inet(text)?),
        TypeKind::Cidr => builder.append_value(input::parse_cidr(text)?),
        _ => builder.append_value(text),
    }
    Ok(())
}

impl Column {
    fn new(ty: TypeRef, modifier: i32, style: &TextStyle, now_us: i64) -> PgResult<Self> {
        let data_type = ty.arrow_type(modifier)?;
        Ok(match ty.kind {
            TypeKind::Bool => Self::Bool(BooleanBuilder::new()),
            TypeKind::Int2 => Self::Int2(Int16Builder::new()),
            TypeKind::Int4 => Self::Int4(Int32Builder::new()),
            TypeKind::Int8 => Self::Int8(Int64Builder::new()),
            TypeKind::Float4 => Self::Float4(Float32Builder::new()),
            TypeKind::Float8 => Self::Float8(Float64Builder::new()),
            TypeKind::Numeric => Self::numeric(modifier, data_type),
            TypeKind::Bytea | TypeKind::RoaringBitmap | TypeKind::RoaringBitmap64 => {
                Self::Bytes(BinaryViewBuilder::new())
            }
            TypeKind::Date => Self::Date(Date32Builder::new()),
            TypeKind::Time => Self::Time(Time64MicrosecondBuilder::new()),
            TypeKind::Timestamp | TypeKind::TimestampTz => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type))
            }
            TypeKind::Interval => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            TypeKind::Uuid => Self::Uuid(FixedSizeBinaryBuilder::new(16)),
            TypeKind::Oid | TypeKind::Reg => Self::Oid(UInt32Builder::new()),
            TypeKind::Int2Vector | TypeKind::OidVector | TypeKind::Array => {
                let element = ty.element().ok_or_else(|| ty.unsupported())?;
                Self::List(Box::new(ListColumn {
                    element: InputBuilder::for_type(element, modifier, style, now_us)?,
                    ends: Vec::new(),
                    valid: Vec::new(),
                    dimensions: Vec::new(),
                    nested_allowed: false,
                }))
            }
            TypeKind::Void => Self::Nothing(0),
            TypeKind::Record => {
                return Err(PgError::unsupported("input of anonymous composite types is not implemented"));
            }
            TypeKind::Unsupported => return Err(ty.unsupported()),
            _ => Self::Text(StringViewBuilder::new()),
        })
    }

    fn numeric(modifier: i32, data_type: DataType) -> Self {
        let Some((precision, scale)) = typmod::numeric_parts(modifier) else {
            return Self::Free(Decimal256Builder::new().with_data_type(data_type));
        };
        // Invariant: the Arrow type exists, so both are between 0 and 76.
        let (precision, scale) = (precision as u8, scale as u8);
        if matches!(data_type, DataType::Decimal128(..)) {
            Self::Narrow(Decimal128Builder::new().with_data_type(data_type), precision, scale)
        } else {
            Self::Wide(Decimal256Builder::new().with_data_type(data_type), precision, scale)
        }
    }
}

impl ListColumn {
    fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.valid.push(false);
    }

    fn append(&mut self, text: &str, delimiter: char) -> PgResult<()> {
        let split = split_array(text, delimiter)?;
        self.check_dimensions(&split.dimensions)?;
        self.fill(|element| {
            for item in &split.elements {
                match item {
                    Some(item) => element.append(item)?,
                    None => element.append_null(),
                }
            }
            Ok(())
        })?;
        self.dimensions = split.dimensions;
        Ok(())
    }

    fn append_vector(&mut self, text: &str) -> PgResult<()> {
        self.fill(|element| {
            let mut rest = text.trim_ascii_start();
            while !rest.is_empty() {
                let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
                element.append(&rest[..end]).map_err(|mut error| {
                    // PostgreSQL shows all that is left.
                    error.message = error.message.replace(&format!("\"{}\"", &rest[..end]), &format!("\"{rest}\""));
                    error
                })?;
                rest = rest[end..].trim_ascii_start();
            }
            Ok(())
        })
    }

    fn append_binary(&mut self, bytes: &[u8], ty: TypeRef) -> PgResult<()> {
        let array = decode::array(bytes, ty)?;
        self.check_dimensions(&array.dimensions)?;
        self.fill(|element| {
            for item in &array.elements {
                match item {
                    Some(item) => element.append_binary(item)?,
                    None => element.append_null(),
                }
            }
            Ok(())
        })?;
        self.dimensions = array.dimensions;
        Ok(())
    }

    fn check_dimensions(&self, dimensions: &[usize]) -> PgResult<()> {
        if dimensions.len() > 1 && !self.nested_allowed {
            return Err(PgError::unsupported("arrays of several dimensions are not supported in a column"));
        }
        Ok(())
    }

    /// Appends one array; elements of a refused one are taken back.
    fn fill(&mut self, append: impl FnOnce(&mut InputBuilder) -> PgResult<()>) -> PgResult<()> {
        let before = self.element.len();
        let appended = append(&mut self.element).and_then(|()| {
            i32::try_from(self.element.len()).map_err(|_| {
                PgError::new(crate::sqlstate::PROGRAM_LIMIT_EXCEEDED, "too many array elements in one batch")
            })
        });
        match appended {
            Ok(end) => {
                self.ends.push(end);
                self.valid.push(true);
                Ok(())
            }
            Err(error) => {
                self.element.truncate(before);
                Err(error)
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        let valid = (valid.null_count() > 0).then_some(valid);
        let mut values = self.element.finish();
        let dimensions = std::mem::take(&mut self.dimensions);
        if dimensions.len() > 1 {
            for length in dimensions[1..].iter().rev() {
                values = wrap(values, *length);
            }
            let outer = dimensions[0] as i32;
            offsets.iter_mut().skip(1).for_each(|end| *end = if *end > 0 { outer } else { 0 });
        }
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::new(offsets.into()), values, valid))
    }
}

/// Groups values into lists of one length.
fn wrap(values: ArrayRef, length: usize) -> ArrayRef {
    let lists = values.len().checked_div(length).unwrap_or(0);
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, lists));
    Arc::new(ListArray::new(item, offsets, values, None))
}

impl InputBuilder {
    /// Drops the rows from `rows` on. Costs a copy; only refused arrays pay it.
    fn truncate(&mut self, rows: usize) {
        if self.len() == rows {
            return;
        }
        let kept = self.finish().slice(0, rows);
        self.append_array(kept.as_ref());
    }

    /// Appends values that are already in this column's layout.
    fn append_array(&mut self, array: &dyn Array) {
        use arrow::array::AsArray;
        use arrow::datatypes::*;
        macro_rules! copy {
            ($builder:expr, $type:ty) => {
                $builder.append_array(array.as_primitive::<$type>())
            };
        }
        match &mut self.column {
            Column::Bool(b) => b.append_array(array.as_boolean()),
            Column::Int2(b) => copy!(b, Int16Type),
            Column::Int4(b) => copy!(b, Int32Type),
            Column::Int8(b) => copy!(b, Int64Type),
            Column::Float4(b) => copy!(b, Float32Type),
            Column::Float8(b) => copy!(b, Float64Type),
            Column::Narrow(b, ..) => copy!(b, Decimal128Type),
            Column::Wide(b, ..) | Column::Free(b) => copy!(b, Decimal256Type),
            Column::Text(b) => array.as_string_view().iter().for_each(|value| b.append_option(value)),
            Column::Bytes(b) => array.as_binary_view().iter().for_each(|value| b.append_option(value)),
            Column::Date(b) => copy!(b, Date32Type),
            Column::Time(b) => copy!(b, Time64MicrosecondType),
            Column::Timestamp(b) => copy!(b, TimestampMicrosecondType),
            Column::Interval(b) => copy!(b, IntervalMonthDayNanoType),
            Column::Uuid(b) => {
                for value in array.as_fixed_size_binary().iter() {
                    match value {
                        Some(value) => b.append_value(value).expect("a uuid column has values of 16 bytes"),
                        None => b.append_null(),
                    }
                }
            }
            Column::Oid(b) => copy!(b, UInt32Type),
            // Elements are never arrays themselves.
            Column::List(_) => {}
            Column::Nothing(count) => *count += array.len(),
        }
    }
}
