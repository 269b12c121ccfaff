//! Arrow value to binary value, a column at a time.

use std::net::IpAddr;

use arrow::array::{Array, AsArray, ListArray, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, i256,
};

use crate::datetime::{PG_EPOCH_DAYS, PG_EPOCH_US, infinite, infinite_date};
use crate::error::{PgError, PgResult};
use crate::input::inet::network;
use crate::numeric::{display_decimals, rescale};
use crate::sqlstate;
use crate::text::plain::print_bpchar;
use crate::text::{ColumnText, relayout};
use crate::types::{self, FREE_SCALE, META_NUMERIC_SCALE, TypeKind, TypeRef};
use crate::typmod;

/// Encodes the values of one column in binary.
#[derive(Debug)]
pub struct BinaryEncoder {
    ty: TypeRef,
    modifier: i32,
    layout: DataType,
    numeric_scale: Option<u8>,
    parts: Vec<BinaryEncoder>,
}

impl BinaryEncoder {
    /// The encoder of a field. 0A000 if the field's Arrow type stands for no PostgreSQL type.
    pub fn for_field(field: &Field) -> PgResult<Self> {
        let (ty, modifier) = types::of_field(field)?;
        let numeric_scale = field.metadata().get(META_NUMERIC_SCALE).and_then(|text| text.parse().ok());
        Self::build(ty, modifier, field.data_type(), numeric_scale)
    }

    fn build(ty: TypeRef, modifier: i32, data_type: &DataType, numeric_scale: Option<u8>) -> PgResult<Self> {
        let data_type = crate::text::flat(data_type);
        let mut parts = Vec::new();
        let layout = match (ty.kind, data_type) {
            (TypeKind::Array | TypeKind::Int2Vector | TypeKind::OidVector, DataType::Null) => DataType::Null,
            (TypeKind::Array | TypeKind::Int2Vector | TypeKind::OidVector, _) => {
                // Down to the leaves: inner lists are dimensions.
                let mut leaf = data_type;
                let mut depth = 0;
                while let Some(item) = crate::text::list_item(leaf) {
                    leaf = crate::text::flat(item.data_type());
                    depth += 1;
                }
                if depth == 0 {
                    return Err(PgError::internal(format!("{data_type} is no layout of {}", ty.name)));
                }
                let element = ty.element().ok_or_else(|| ty.unsupported())?;
                let part = Self::build(element, modifier, leaf, None)?;
                let mut layout = part.layout.clone();
                parts.push(part);
                for _ in 0..depth {
                    layout = DataType::List(Field::new("item", layout, true).into());
                }
                layout
            }
            (TypeKind::Record, DataType::Struct(fields)) => {
                for field in fields {
                    parts.push(Self::for_field(field)?);
                }
                data_type.clone()
            }
            (TypeKind::Numeric, DataType::Decimal128(..) | DataType::Decimal256(..)) => data_type.clone(),
            (TypeKind::Numeric, DataType::Decimal32(p, s) | DataType::Decimal64(p, s)) => DataType::Decimal128(*p, *s),
            (TypeKind::Void, _) => DataType::Null,
            _ => ty.arrow_type(modifier)?,
        };
        Ok(Self { ty, modifier, layout, numeric_scale, parts })
    }

    /// The type that is encoded.
    pub fn pg_type(&self) -> TypeRef {
        self.ty
    }

    /// Encodes every row of `array` into `out`, replacing what was there.
    pub fn encode(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        out.clear();
        let array = relayout(array, &self.layout)?;
        let array = array.as_ref();
        out.set_nulls(array.logical_nulls());
        if self.layout == DataType::Null {
            if self.ty.kind == TypeKind::Void {
                out.set_nulls(None);
            }
            out.fill(array.len(), |_, _| {});
            return Ok(());
        }
        macro_rules! fixed {
            ($type:ty, $convert:expr) => {{
                let values = array.as_primitive::<$type>().values();
                out.fill(array.len(), |row, bytes| bytes.extend_from_slice(&$convert(values[row]).to_be_bytes()));
            }};
        }
        match self.ty.kind {
            TypeKind::Bool => {
                let values = array.as_boolean();
                out.fill(array.len(), |row, bytes| bytes.push(u8::from(values.value(row))));
            }
            TypeKind::Int2 => fixed!(Int16Type, std::convert::identity),
            TypeKind::Int4 => fixed!(Int32Type, std::convert::identity),
            TypeKind::Int8 => fixed!(Int64Type, std::convert::identity),
            TypeKind::Oid | TypeKind::Reg => fixed!(UInt32Type, std::convert::identity),
            TypeKind::Float4 => fixed!(Float32Type, std::convert::identity),
            TypeKind::Float8 => fixed!(Float64Type, std::convert::identity),
            TypeKind::Date => fixed!(Date32Type, pg_days),
            TypeKind::Time => fixed!(Time64MicrosecondType, std::convert::identity),
            TypeKind::Timestamp | TypeKind::TimestampTz => fixed!(TimestampMicrosecondType, pg_us),
            TypeKind::Interval => {
                let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
                out.fill(array.len(), |row, bytes| {
                    let span = values[row];
                    bytes.extend_from_slice(&crate::interval::time_us(span).to_be_bytes());
                    bytes.extend_from_slice(&span.days.to_be_bytes());
                    bytes.extend_from_slice(&span.months.to_be_bytes());
                });
            }
            TypeKind::Numeric => self.encode_numeric(array, out)?,
            TypeKind::Bytea | TypeKind::RoaringBitmap | TypeKind::RoaringBitmap64 => {
                let values = array.as_binary_view();
                out.fill(array.len(), |row, bytes| bytes.extend_from_slice(values.value(row)));
            }
            TypeKind::Uuid => {
                let values = array.as_fixed_size_binary();
                out.fill(array.len(), |row, bytes| bytes.extend_from_slice(values.value(row)));
            }
            TypeKind::Array | TypeKind::Int2Vector | TypeKind::OidVector => {
                let part = self.parts.first().ok_or_else(|| PgError::internal("an array encoder without element"))?;
                encode_lists(part, self.ty.kind, array.as_list::<i32>(), out)?;
            }
            TypeKind::Record => encode_records(&self.parts, array.as_struct(), out)?,
            TypeKind::Void | TypeKind::Unsupported => return Err(self.ty.unsupported()),
            _ => self.encode_text(array, out)?,
        }
        Ok(())
    }

    fn encode_text(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        let values = array.as_string_view();
        match self.ty.kind {
            TypeKind::Jsonb => out.fill(array.len(), |row, bytes| {
                bytes.push(1);
                bytes.extend_from_slice(values.value(row).as_bytes());
            }),
            TypeKind::Bpchar => {
                let width = typmod::length_parts(self.modifier).unwrap_or(0);
                out.fill(array.len(), |row, bytes| print_bpchar(values.value(row), width, bytes));
            }
            TypeKind::Inet | TypeKind::Cidr => {
                let cidr = self.ty.kind == TypeKind::Cidr;
                return out.try_fill(array.len(), |row, bytes| encode_network(values.value(row), cidr, bytes));
            }
            _ => out.fill(array.len(), |row, bytes| bytes.extend_from_slice(values.value(row).as_bytes())),
        }
        Ok(())
    }

    fn encode_numeric(&self, array: &dyn Array, out: &mut ColumnText) -> PgResult<()> {
        match array.data_type() {
            DataType::Decimal128(_, scale) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                let scale = *scale;
                out.fill(array.len(), |row, bytes| encode_decimal(i256::from_i128(values[row]), scale, bytes));
            }
            DataType::Decimal256(_, scale) => {
                let values = array.as_primitive::<Decimal256Type>().values();
                let (scale, free) = (*scale, self.modifier < 0 && types::is_free(array.data_type()));
                out.fill(array.len(), |row, bytes| {
                    if free {
                        let (value, decimals) = shown(values[row], self.numeric_scale);
                        encode_decimal(value, decimals, bytes);
                    } else {
                        encode_decimal(values[row], scale, bytes);
                    }
                });
            }
            other => return Err(PgError::internal(format!("{other} is no layout of numeric"))),
        }
        Ok(())
    }
}

/// A free numeric with the decimals that its text shows.
fn shown(value: i256, computed_scale: Option<u8>) -> (i256, i8) {
    if let Some(inputs_scale) = computed_scale {
        let decimals = display_decimals(value, FREE_SCALE, inputs_scale) as i8;
        return match rescale(value, FREE_SCALE, decimals) {
            Ok(rounded) => (rounded, decimals),
            Err(_) => (value, FREE_SCALE),
        };
    }
    let ten = i256::from_i128(10);
    let (mut value, mut decimals) = (value, FREE_SCALE);
    while decimals > 0 && value.wrapping_rem(ten) == i256::ZERO {
        value = value.wrapping_div(ten);
        decimals -= 1;
    }
    (value, decimals)
}

fn pg_days(days: i32) -> i32 {
    if infinite_date(days) { days } else { days.saturating_sub(PG_EPOCH_DAYS) }
}

fn pg_us(us: i64) -> i64 {
    if infinite(us) { us } else { us.saturating_sub(PG_EPOCH_US) }
}

/// Groups of four digits around the point, without zero groups at either end.
fn encode_decimal(value: i256, scale: i8, out: &mut Vec<u8>) {
    let mut text = match value.to_i128() {
        Some(narrow) => itoa::Buffer::new().format(narrow.unsigned_abs()).to_owned(),
        None => value.to_string().trim_start_matches('-').to_owned(),
    };
    if scale < 0 {
        text.push_str(&"0".repeat(usize::from(scale.unsigned_abs())));
    }
    let scale = scale.max(0) as usize;
    let whole_digits = text.len().saturating_sub(scale);
    // Pad on both sides to whole groups.
    let before = (4 - whole_digits % 4) % 4 + if text.len() < scale { scale - text.len() } else { 0 };
    let after = (4 - scale % 4) % 4;
    let padded: Vec<u8> =
        std::iter::repeat_n(b'0', before).chain(text.bytes()).chain(std::iter::repeat_n(b'0', after)).collect();
    let groups: Vec<u16> = padded
        .as_chunks::<4>()
        .0
        .iter()
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |at| at + 1);
    let whole_groups = groups.len() as i32 - (scale + after) as i32 / 4;
    let weight = if first == groups.len() { 0 } else { whole_groups - first as i32 - 1 };
    let sign: u16 = if value.is_negative() { 0x4000 } else { 0 };
    out.extend_from_slice(&((last - first) as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale as u16).to_be_bytes());
    for group in &groups[first..last] {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn encode_network(text: &str, cidr: bool, out: &mut Vec<u8>) -> PgResult<()> {
    let network = network(text, cidr).ok_or_else(|| PgError::invalid_input("inet", text))?;
    match network.address {
        IpAddr::V4(v4) => {
            out.extend_from_slice(&[2, network.bits, u8::from(cidr), 4]);
            out.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.extend_from_slice(&[3, network.bits, u8::from(cidr), 16]);
            out.extend_from_slice(&v6.octets());
        }
    }
    Ok(())
}

/// Appends a value behind its length.
fn put_value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(value) => {
            out.extend_from_slice(&(value.len() as i32).to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}

fn encode_lists(part: &BinaryEncoder, kind: TypeKind, array: &ListArray, out: &mut ColumnText) -> PgResult<()> {
    // The inner lists, outermost first.
    let mut levels = vec![array];
    while let Some(inner) = levels[levels.len() - 1].values().as_list_opt::<i32>() {
        levels.push(inner);
    }
    let leaves = levels[levels.len() - 1].values();
    let mut values = ColumnText::new();
    part.encode(leaves.as_ref(), &mut values)?;
    let lower_bound: i32 = if kind == TypeKind::Array { 1 } else { 0 };
    out.try_fill(array.len(), |row, bytes| {
        let (mut from, mut to) = (row, row + 1);
        let mut dimensions = Vec::with_capacity(levels.len());
        for level in &levels {
            let offsets = level.value_offsets();
            let length = if from < to { offsets[from + 1] - offsets[from] } else { 0 };
            if (from..to).any(|at| offsets[at + 1] - offsets[at] != length) {
                return Err(PgError::new(
                    sqlstate::ARRAY_SUBSCRIPT_ERROR,
                    "multidimensional arrays must have array expressions with matching dimensions",
                ));
            }
            dimensions.push(length);
            (from, to) = (offsets[from] as usize, offsets[to] as usize);
        }
        // Vectors have a dimension even when empty.
        if from == to && kind == TypeKind::Array {
            dimensions.clear();
        }
        let has_null = (from..to).any(|at| values.is_null(at));
        bytes.extend_from_slice(&(dimensions.len() as i32).to_be_bytes());
        bytes.extend_from_slice(&i32::from(has_null).to_be_bytes());
        bytes.extend_from_slice(&part.ty.oid.to_be_bytes());
        for length in dimensions {
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&lower_bound.to_be_bytes());
        }
        (from..to).for_each(|at| put_value(values.value(at), bytes));
        Ok(())
    })
}

fn encode_records(parts: &[BinaryEncoder], array: &StructArray, out: &mut ColumnText) -> PgResult<()> {
    let mut columns = Vec::with_capacity(parts.len());
    for (part, column) in parts.iter().zip(array.columns()) {
        let mut encoded = ColumnText::new();
        part.encode(column.as_ref(), &mut encoded)?;
        columns.push(encoded);
    }
    out.fill(array.len(), |row, bytes| {
        bytes.extend_from_slice(&(parts.len() as i32).to_be_bytes());
        for (part, column) in parts.iter().zip(&columns) {
            bytes.extend_from_slice(&part.ty.oid.to_be_bytes());
            put_value(column.value(row), bytes);
        }
    });
    Ok(())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
