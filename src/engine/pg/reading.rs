//! Text to values of any type: one constant, or a whole column.
//!
//! The parsers are `tributary_pg::input`'s; this file only chooses among them and builds Arrow arrays.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, FixedSizeBinaryBuilder, ListArray, PrimitiveArray,
    StringViewBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use datafusion::scalar::ScalarValue;
use tributary_pg::TextStyle;
use tributary_pg::error::PgError;
use tributary_pg::input::{self, InputContext};
use tributary_pg::sqlstate;

use super::call::Call;
use super::kernels::{Decimal, numeric};
use super::signatures::{Oid, display_name, element_of, oid};
use super::types::{PgType, arrow_type, numeric_parts};
use crate::engine::session_vars::SessionVars;

/// Settings that shape text.
const STYLE_SETTINGS: [&str; 5] = ["DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output"];

/// The session's ways to read and print values.
pub(super) fn style_of_session(session: &SessionVars) -> TextStyle {
    let mut style = TextStyle { reg_names: session.reg_names(), ..TextStyle::default() };
    for name in STYLE_SETTINGS {
        if let Some(value) = session.setting(name) {
            // The settings table has checked the value; one it would refuse keeps the default.
            if style.set(name, &value).is_err() {
                continue;
            }
        }
    }
    style
}

/// The same, for a kernel.
pub(super) fn style_of(call: &Call<'_>) -> TextStyle {
    call.session().map(style_of_session).unwrap_or_default()
}

/// Start of the transaction in microseconds since 1970.
pub(super) fn now_us(session: &SessionVars) -> i64 {
    session
        .transaction_started_at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// One constant.
pub(super) fn parse_scalar(text: &str, to: PgType, context: &InputContext<'_>) -> Result<ScalarValue, PgError> {
    let mut builder = StringViewBuilder::new();
    builder.append_value(text);
    let texts: ArrayRef = Arc::new(builder.finish());
    let data_type = arrow_type(to)?;
    let data_type = if element_of(to.oid).is_some() { nested_type(text, to, data_type)? } else { data_type };
    let array = parse_sized(&texts, to, &data_type, context)?;
    ScalarValue::try_from_array(&array, 0).map_err(super::map_error)
}

/// An array constant has as many list levels as it is written with.
fn nested_type(text: &str, to: PgType, data_type: DataType) -> Result<DataType, PgError> {
    if matches!(to.oid, oid::INT2VECTOR | oid::OIDVECTOR) {
        return Ok(data_type);
    }
    let split = input::array::split_array(text, ',')?;
    Ok((1..split.dimensions.len().max(1))
        .fold(data_type, |inner, _| DataType::List(Arc::new(Field::new("item", inner, true)))))
}

/// A column of texts as a column of a type.
pub(super) fn parse_array_of(
    texts: &ArrayRef,
    to: Oid,
    data_type: &DataType,
    context: &InputContext<'_>,
) -> Result<ArrayRef, PgError> {
    parse_sized(texts, PgType::plain(to), data_type, context)
}

fn primitives<T: ArrowPrimitiveType>(
    texts: &ArrayRef,
    parse: impl Fn(&str) -> Result<T::Native, PgError>,
) -> Result<PrimitiveArray<T>, PgError> {
    texts.as_string_view().iter().map(|text| text.map(&parse).transpose()).collect()
}

fn strings(texts: &ArrayRef, parse: impl Fn(&str) -> Result<String, PgError>) -> Result<ArrayRef, PgError> {
    super::casts::texts(texts, parse)
}

fn bytes(texts: &ArrayRef, parse: impl Fn(&str) -> Result<Vec<u8>, PgError>) -> Result<ArrayRef, PgError> {
    let mut builder = BinaryViewBuilder::new();
    for text in texts.as_string_view() {
        match text {
            Some(text) => builder.append_value(parse(text)?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_sized(
    texts: &ArrayRef,
    to: PgType,
    data_type: &DataType,
    context: &InputContext<'_>,
) -> Result<ArrayRef, PgError> {
    let explicit = input::string::CastContext::Explicit;
    let decimals = u8::try_from(to.typmod).ok();
    Ok(match to.oid {
        oid::BOOL => {
            let values: Result<BooleanArray, PgError> =
                texts.as_string_view().iter().map(|text| text.map(input::parse_bool).transpose()).collect();
            Arc::new(values?)
        }
        oid::INT2 => Arc::new(primitives::<Int16Type>(texts, input::parse_int2)?),
        oid::INT4 => Arc::new(primitives::<Int32Type>(texts, input::parse_int4)?),
        oid::INT8 => Arc::new(primitives::<Int64Type>(texts, input::parse_int8)?),
        oid::FLOAT4 => Arc::new(primitives::<Float32Type>(texts, input::parse_float4)?),
        oid::FLOAT8 => Arc::new(primitives::<Float64Type>(texts, input::parse_float8)?),
        oid::NUMERIC => {
            let parts = numeric_parts(to.typmod);
            let values = texts.as_string_view();
            numeric::collect(data_type, texts.len(), |row| {
                if values.is_null(row) {
                    return Ok(None);
                }
                parse_decimal(values.value(row), parts).map(Some)
            })?
        }
        oid::TEXT | oid::UNKNOWN => Arc::clone(texts),
        oid::VARCHAR => strings(texts, |text| input::fit_varchar(text, to.typmod, explicit).map(str::to_owned))?,
        oid::BPCHAR => strings(texts, |text| input::fit_bpchar(text, to.typmod, explicit).map(str::to_owned))?,
        oid::NAME => strings(texts, |text| Ok(input::string::fit_name(text).to_owned()))?,
        oid::CHAR => strings(texts, |text| Ok(input::string::fit_char(text).into_owned()))?,
        oid::BYTEA => bytes(texts, input::parse_bytea)?,
        oid::ROARINGBITMAP => bytes(texts, input::parse_roaringbitmap)?,
        oid::ROARINGBITMAP64 => bytes(texts, input::parse_roaringbitmap64)?,
        oid::DATE => Arc::new(primitives::<Date32Type>(texts, |text| input::parse_date(text, context))?),
        oid::TIME => {
            Arc::new(primitives::<Time64MicrosecondType>(texts, |text| input::parse_time(text, decimals, context))?)
        }
        oid::TIMESTAMP => Arc::new(primitives::<TimestampMicrosecondType>(texts, |text| {
            input::parse_timestamp(text, decimals, context)
        })?),
        oid::TIMESTAMPTZ => {
            let values = primitives::<TimestampMicrosecondType>(texts, |text| {
                input::parse_timestamptz(text, decimals, context)
            })?;
            Arc::new(values.with_data_type(data_type.clone()))
        }
        oid::INTERVAL => Arc::new(primitives::<IntervalMonthDayNanoType>(texts, |text| {
            input::parse_interval(text, to.typmod, context)
        })?),
        oid::UUID => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
            for text in texts.as_string_view() {
                match text {
                    Some(text) => builder
                        .append_value(input::parse_uuid(text)?)
                        .map_err(|error| PgError::internal(error.to_string()))?,
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        oid::JSON => strings(texts, |text| input::check_json(text).map(|()| text.to_owned()))?,
        oid::JSONB => strings(texts, input::canonical_jsonb)?,
        oid::INET => strings(texts, input::parse_inet)?,
        oid::CIDR => strings(texts, input::parse_cidr)?,
        oid::INT2VECTOR | oid::OIDVECTOR => vectors(texts, to.oid, data_type)?,
        oid::OID | oid::XID => Arc::new(primitives::<UInt32Type>(texts, input::parse_oid)?),
        _ if *data_type == DataType::UInt32 => Arc::new(primitives::<UInt32Type>(texts, |text| {
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                return input::parse_oid(text);
            }
            match context.style.reg_names.get() {
                Some(names) => names.find(to.oid, text),
                None => Err(PgError::unsupported(format!("a name as {} is not supported here", display_name(to.oid)))),
            }
        })?),
        other => match element_of(other) {
            Some(element) => lists(texts, PgType { oid: element, typmod: to.typmod }, data_type, context)?,
            None => {
                return Err(PgError::unsupported(format!("type \"{}\" is not supported", display_name(other))));
            }
        },
    })
}

fn parse_decimal(text: &str, parts: Option<(i32, i32)>) -> Result<Decimal, PgError> {
    let word = text.trim().trim_start_matches(['+', '-']).to_ascii_lowercase();
    if ["nan", "inf", "infinity"].contains(&word.as_str()) {
        let shown = if word == "nan" { "NaN" } else { "infinity" };
        return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("numeric cannot hold {shown}"))
            .hint("Use double precision."));
    }
    let Some(value) = Decimal::parse(text) else { return Err(PgError::invalid_input("numeric", text)) };
    let Some((precision, scale)) = parts else {
        if value.trimmed().scale > 38 {
            return Err(input::numeric::free_overflow());
        }
        return Ok(value);
    };
    let value = value.rescaled(scale);
    if value.unscaled.magnitude() >= numeric::ten_to(precision).magnitude() {
        return Err(input::numeric::field_overflow(precision, scale));
    }
    Ok(value)
}

/// `1 2 3` as an int2vector or oidvector.
fn vectors(texts: &ArrayRef, of: Oid, data_type: &DataType) -> Result<ArrayRef, PgError> {
    let mut items = StringViewBuilder::new();
    let mut lengths = Vec::new();
    let mut valid = Vec::new();
    for text in texts.as_string_view() {
        let words: Vec<&str> = text.unwrap_or("").split_ascii_whitespace().collect();
        lengths.push(words.len());
        valid.push(text.is_some());
        words.iter().for_each(|word| items.append_value(word));
    }
    let words: ArrayRef = Arc::new(items.finish());
    let values: ArrayRef = if of == oid::INT2VECTOR {
        Arc::new(primitives::<Int16Type>(&words, input::parse_int2)?)
    } else {
        Arc::new(primitives::<UInt32Type>(&words, input::parse_oid)?)
    };
    listed(values, lengths, valid, data_type)
}

fn listed(values: ArrayRef, lengths: Vec<usize>, valid: Vec<bool>, data_type: &DataType) -> Result<ArrayRef, PgError> {
    let DataType::List(item) = data_type else { return Err(PgError::internal("an array type is no list")) };
    let item = Arc::new(item.as_ref().clone().with_data_type(values.data_type().clone()));
    ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, Some(NullBuffer::from(valid)))
        .map(|one| Arc::new(one) as ArrayRef)
        .map_err(|error| PgError::internal(error.to_string()))
}

/// Array texts; every row must have the dimensions of the list type.
fn lists(
    texts: &ArrayRef,
    element: PgType,
    data_type: &DataType,
    context: &InputContext<'_>,
) -> Result<ArrayRef, PgError> {
    let mut depth = 0;
    let mut leaf = data_type;
    while let DataType::List(item) = leaf {
        depth += 1;
        leaf = item.data_type();
    }
    let mut items = StringViewBuilder::new();
    let mut levels: Vec<Vec<usize>> = vec![Vec::new(); depth];
    let mut valid = Vec::new();
    for text in texts.as_string_view() {
        valid.push(text.is_some());
        let split = match text {
            Some(text) => input::array::split_array(text, ',')?,
            None => input::array::ArrayText { dimensions: Vec::new(), elements: Vec::new() },
        };
        if split.dimensions.is_empty() {
            levels[0].push(0);
            continue;
        }
        if split.dimensions.len() != depth {
            let message = format!("an array of {} dimensions is not supported here", split.dimensions.len());
            return Err(PgError::unsupported(message));
        }
        let mut count = 1;
        for (level, length) in levels.iter_mut().zip(&split.dimensions) {
            level.extend(std::iter::repeat_n(*length, count));
            count *= length;
        }
        for one in &split.elements {
            match one {
                Some(one) => items.append_value(one),
                None => items.append_null(),
            }
        }
    }
    let words: ArrayRef = Arc::new(items.finish());
    let mut values = parse_sized(&words, element, leaf, context)?;
    for (index, lengths) in levels.into_iter().enumerate().rev() {
        let mut level_type = data_type;
        for _ in 0..index {
            if let DataType::List(item) = level_type {
                level_type = item.data_type();
            }
        }
        let all = if index == 0 { valid.clone() } else { vec![true; lengths.len()] };
        values = listed(values, lengths, all, level_type)?;
    }
    Ok(values)
}
