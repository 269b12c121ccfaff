//! Casts: one table from a source type, a target type and a context to a computation.
//!
//! Widening between numbers is DataFusion's own cast, so that filters stay visible to it. All else goes through
//! [`convert`], which reads and prints values with `tributary_pg`: literals, casts and parameters share one parser and one
//! printer per type. Lengths and precisions are applied in a second step, [`sized`].

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, ListArray, PrimitiveArray, StringViewArray,
    StringViewBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use datafusion::logical_expr::{Cast, ColumnarValue, Expr, Volatility};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::input::string::CastContext;
use tributary_pg::input::{self, InputContext};
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_pg::{datetime, interval, sqlstate, types as pg_types};
use tributary_udfs::bitmap::{Width, text as bitmap_text};

use super::call::{Call, PgFunction, over_arrays};
use super::coerce::Pathway;
use super::error::map_error;
use super::kernels::{Decimal, numeric};
use super::reading::{parse_array_of, parse_scalar, style_of, style_of_session};
use super::signatures::{Context, Oid, category, element_of, oid, signatures};
use super::typed::{Scope, Typed};
use super::types::{PgType, arrow_type, field, field_over, numeric_parts};

/// The constant an unknown literal is for a type.
pub(super) fn parse_literal(scope: &Scope<'_>, text: &str, to: PgType) -> Result<ScalarValue, PgError> {
    let style = style_of_session(scope.session);
    let now_us = super::reading::now_us(scope.session);
    let context = InputContext { style: &style, now_us };
    if to.oid == oid::NUMERIC && to.typmod == -1 {
        return numeric_scalar(text);
    }
    let value = parse_scalar(text, to, &context)?;
    Ok(value)
}

/// A numeric constant keeps the decimals it was written with.
fn numeric_scalar(text: &str) -> Result<ScalarValue, PgError> {
    let trimmed = text.trim();
    let word = trimmed.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if ["nan", "inf", "infinity"].contains(&word.as_str()) {
        let shown = if word == "nan" { "NaN" } else { "infinity" };
        return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("numeric cannot hold {shown}"))
            .hint("Use double precision."));
    }
    let Some(value) = Decimal::parse(trimmed) else {
        return Err(PgError::invalid_input("numeric", text));
    };
    decimal_scalar(&value)
}

fn decimal_scalar(value: &Decimal) -> Result<ScalarValue, PgError> {
    let digits = value.unscaled.magnitude().to_string().len() as i32;
    let digits = if value.is_zero() { 0 } else { digits };
    if value.scale > 38 || digits.max(value.scale) > 76 {
        return Err(input::numeric::free_overflow());
    }
    let data_type = numeric::decimal_type(digits - value.scale, value.scale);
    let array = numeric::collect(&data_type, 1, |_| Ok(Some(value.clone())))?;
    ScalarValue::try_from_array(&array, 0).map_err(super::map_error)
}

/// A number as written: int4, int8, else numeric.
pub(super) fn number_literal(text: &str) -> Result<Typed, PgError> {
    if let Ok(value) = text.parse::<i32>() {
        return Ok(Typed::new(Expr::Literal(ScalarValue::Int32(Some(value)), None), oid::INT4));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Typed::new(Expr::Literal(ScalarValue::Int64(Some(value)), None), oid::INT8));
    }
    let Some(value) = Decimal::parse(text) else {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{text}\"")));
    };
    Ok(Typed::new(Expr::Literal(decimal_scalar(&value)?, None), oid::NUMERIC))
}

fn type_word(of: Oid) -> &'static str {
    signatures().type_row(of).map_or("unknown", |row| row.name)
}

/// Casts a typed value to a type without modifier.
pub(super) fn cast(value: Typed, target: PgType, way: Pathway) -> Result<Typed, PgError> {
    let (from, to) = (value.of.oid, target.oid);
    let at = value.at;
    if trims_nothing(from, to) {
        return Ok(Typed { of: target, ..value });
    }
    if widens(from, to) {
        let wanted = Arc::new(field("", target, true)?);
        let expr = Expr::Cast(Cast::new_from_field(Box::new(value.expr), wanted));
        return Ok(Typed { expr, of: target, at, decimals: None });
    }
    let _way = way;
    let result = result_field(&value, target)?;
    let name = format!("cast_{}_{}", type_word(from), type_word(to));
    let volatility =
        if depends_on_session(from) || depends_on_session(to) { Volatility::Stable } else { Volatility::Immutable };
    let function = PgFunction::new(name, vec![value.of], target, Arc::new(result), convert, true, volatility);
    Ok(Typed { expr: function.call(vec![value.expr]), of: target, at, decimals: None })
}

/// Text types whose stored form is the same.
fn trims_nothing(from: Oid, to: Oid) -> bool {
    matches!(
        (from, to),
        (oid::BPCHAR | oid::NAME | oid::TEXT | oid::VARCHAR, oid::TEXT | oid::VARCHAR) | (oid::NAME, oid::BPCHAR)
    )
}

fn widens(from: Oid, to: Oid) -> bool {
    matches!(
        (from, to),
        (oid::INT2, oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8)
            | (oid::INT4, oid::INT8 | oid::FLOAT4 | oid::FLOAT8)
            | (oid::INT8, oid::FLOAT4 | oid::FLOAT8)
            | (oid::FLOAT4, oid::FLOAT8)
            | (oid::OID | oid::REGCLASS | oid::REGTYPE | oid::REGPROC, oid::INT8)
    )
}

/// Types whose text depends on settings.
fn depends_on_session(of: Oid) -> bool {
    let of = element_of(of).unwrap_or(of);
    matches!(
        of,
        oid::DATE
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::TIME
            | oid::INTERVAL
            | oid::BYTEA
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGPROC
            | oid::ROARINGBITMAP
            | oid::ROARINGBITMAP64
    )
}

/// Integers become decimals of their digits; what else becomes numeric is free.
fn result_field(value: &Typed, target: PgType) -> Result<Field, PgError> {
    let digits = match (value.of.oid, target.oid) {
        (oid::INT2, oid::NUMERIC) => 5,
        (oid::INT4, oid::NUMERIC) => 10,
        (oid::INT8, oid::NUMERIC) => 19,
        _ => {
            if let (Some(_), Some(_)) = (element_of(value.of.oid), element_of(target.oid)) {
                // As many dimensions as the source has.
                return nested_field(value, target);
            }
            return field("", target, true);
        }
    };
    Ok(Field::new("", DataType::Decimal128(digits, 0), true))
}

fn nested_field(value: &Typed, target: PgType) -> Result<Field, PgError> {
    let mut depth = value.depth();
    let mut data_type = arrow_type(target)?;
    while depth > 1 {
        data_type = DataType::List(Arc::new(Field::new("item", data_type, true)));
        depth -= 1;
    }
    Ok(field_over("", target, data_type, true))
}

/// Applies a length or precision.
pub(super) fn sized(scope: &Scope<'_>, value: Typed, to: PgType, context: Context) -> Result<Typed, PgError> {
    let _scope = scope;
    if to.typmod == -1 {
        let of = if value.of.oid == to.oid { value.of } else { to };
        return Ok(Typed { of, ..value });
    }
    if value.of == to && !matches!(value.expr, Expr::Placeholder(_)) {
        return Ok(value);
    }
    let explicit = context == Context::Explicit;
    let name = format!("size_{}_{}_{}", type_word(to.oid), to.typmod, if explicit { "cut" } else { "check" });
    let at = value.at;
    let target = field("", to, true)?;
    let kernel = if explicit { fit_explicit } else { fit_assignment };
    let function = PgFunction::new(name, vec![value.of], to, Arc::new(target), kernel, true, Volatility::Immutable);
    Ok(Typed { expr: function.call(vec![value.expr]), of: to, at, decimals: None })
}

fn fit_explicit(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| fit(&arrays[0], call.result, call.data_type(), CastContext::Explicit))
}

fn fit_assignment(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| fit(&arrays[0], call.result, call.data_type(), CastContext::Assignment))
}

/// Applies a modifier to values that already have the type.
fn fit(array: &ArrayRef, to: PgType, data_type: &DataType, context: CastContext) -> Result<ArrayRef, PgError> {
    let decimals = u8::try_from(to.typmod).ok();
    Ok(match to.oid {
        oid::VARCHAR => texts(array, |text| input::fit_varchar(text, to.typmod, context).map(str::to_owned))?,
        oid::BPCHAR => texts(array, |text| input::fit_bpchar(text, to.typmod, context).map(str::to_owned))?,
        oid::NUMERIC => {
            let Some((precision, scale)) = numeric_parts(to.typmod) else { return Ok(Arc::clone(array)) };
            let limit = numeric::ten_to(precision);
            numeric::collect(data_type, array.len(), |row| {
                let Some(value) = numeric::value_at(array, row) else { return Ok(None) };
                let value = value.rescaled(scale);
                if value.unscaled.magnitude() >= limit.magnitude() {
                    return Err(input::numeric::field_overflow(precision, scale));
                }
                Ok(Some(value))
            })?
        }
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let values: PrimitiveArray<TimestampMicrosecondType> =
                array.as_primitive::<TimestampMicrosecondType>().unary(|us| datetime::round_timestamp(us, decimals));
            Arc::new(values.with_data_type(data_type.clone()))
        }
        oid::TIME => {
            let values: PrimitiveArray<Time64MicrosecondType> =
                array.as_primitive::<Time64MicrosecondType>().unary(|us| datetime::round_us(us, decimals));
            Arc::new(values)
        }
        oid::INTERVAL => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            let fitted: Result<Vec<_>, PgError> = values
                .iter()
                .map(|span| span.map(|span| input::interval::fit_interval(span, to.typmod)).transpose())
                .collect();
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from_iter(fitted?))
        }
        other => match element_of(other) {
            Some(element) => {
                let list = array.as_list::<i32>();
                let DataType::List(item) = data_type else { return Ok(Arc::clone(array)) };
                let values = fit(list.values(), PgType { oid: element, typmod: to.typmod }, item.data_type(), context)?;
                relisted(list, item.as_ref().clone(), values)?
            }
            None => Arc::clone(array),
        },
    })
}

fn relisted(list: &ListArray, item: Field, values: ArrayRef) -> Result<ArrayRef, PgError> {
    let item = Arc::new(item.with_data_type(values.data_type().clone()));
    ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())
        .map(|one| Arc::new(one) as ArrayRef)
        .map_err(|error| PgError::internal(error.to_string()))
}

/// Text computed from text.
pub(super) fn texts(array: &ArrayRef, compute: impl Fn(&str) -> Result<String, PgError>) -> Result<ArrayRef, PgError> {
    let texts = array.as_string_view();
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        match text {
            Some(text) => builder.append_value(compute(text)?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Brings numerics to one decimal type that holds them all.
pub(super) fn same_scale(scope: &Scope<'_>, values: Vec<Typed>) -> Result<Vec<Typed>, PgError> {
    let _scope = scope;
    let shapes: Vec<(i32, i32)> = values.iter().map(numeric::precision_scale).collect();
    if shapes.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(values);
    }
    let whole = shapes.iter().map(|(precision, scale)| precision - scale).max().unwrap_or(1);
    let scale = shapes.iter().map(|(_, scale)| *scale).max().unwrap_or(0);
    let data_type = numeric::decimal_type(whole, scale);
    let shape = numeric::shape_of(&data_type);
    let mut done = Vec::with_capacity(values.len());
    for (value, own) in values.into_iter().zip(shapes) {
        if Some(own) == shape {
            done.push(value);
            continue;
        }
        let target = Arc::new(Field::new("", data_type.clone(), true));
        let expr = match value.expr {
            Expr::Literal(ref scalar, _) if !scalar.is_null() => {
                let array = scalar.to_array().map_err(super::map_error)?;
                let array = numeric::collect(&data_type, 1, |row| Ok(numeric::value_at(&array, row)))?;
                Expr::Literal(ScalarValue::try_from_array(&array, 0).map_err(super::map_error)?, None)
            }
            other => Expr::Cast(Cast::new_from_field(Box::new(other), target)),
        };
        done.push(Typed { expr, of: value.of, at: value.at, decimals: shape });
    }
    Ok(done)
}

/// The kernel of every cast function.
fn convert(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| {
        let (from, to) = (call.arguments[0], call.result.oid);
        if from.oid == oid::BPCHAR && from.typmod >= 5 && !matches!(to, oid::TEXT | oid::VARCHAR | oid::NAME) {
            // Other types read char(n) with its blanks.
            let width = (from.typmod - 4) as usize;
            let padded = texts(&arrays[0], |text| Ok(format!("{text:<width$}")))?;
            return convert_array(call, &padded, from.oid, to, call.data_type());
        }
        convert_array(call, &arrays[0], call.arguments[0].oid, call.result.oid, call.data_type())
    })
}

fn convert_array(
    call: &Call<'_>,
    array: &ArrayRef,
    from: Oid,
    to: Oid,
    data_type: &DataType,
) -> Result<ArrayRef, PgError> {
    if from == to {
        return Ok(Arc::clone(array));
    }
    if let (Some(source), Some(target)) = (element_of(from), element_of(to)) {
        let list = array.as_list::<i32>();
        let DataType::List(item) = data_type else { return Err(PgError::internal("an array is no list")) };
        let deeper = matches!(list.values().data_type(), DataType::List(_));
        let values = if deeper {
            convert_array(call, list.values(), from, to, item.data_type())?
        } else {
            convert_array(call, list.values(), source, target, item.data_type())?
        };
        return relisted(list, item.as_ref().clone(), values);
    }
    if let Some(done) = numbers(array, from, to, data_type)? {
        return Ok(done);
    }
    if let Some(done) = times(call, array, from, to)? {
        return Ok(done);
    }
    match (from, to) {
        (oid::BOOL, oid::TEXT | oid::VARCHAR | oid::BPCHAR) => {
            let values = array.as_boolean().iter().map(|one| one.map(|one| if one { "true" } else { "false" }));
            Ok(Arc::new(values.collect::<StringViewArray>()))
        }
        (oid::JSONB, oid::BOOL | oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC) => {
            jsonb_scalar(call, array, to, data_type)
        }
        (_, _)
            if category(from) == b'S'
                || from == oid::CHAR
                || matches!(from, oid::JSON | oid::JSONB | oid::INET | oid::CIDR) =>
        {
            parse_all(call, array, to, data_type)
        }
        _ if arrow_type(PgType::plain(to))? == DataType::Utf8View => {
            let text = print_all(call, array, from)?;
            if matches!(to, oid::TEXT | oid::VARCHAR) { Ok(text) } else { parse_all(call, &text, to, data_type) }
        }
        _ if array.data_type() == data_type => {
            if matches!(to, oid::ROARINGBITMAP | oid::ROARINGBITMAP64) {
                return bitmaps(array, from, to);
            }
            Ok(Arc::clone(array))
        }
        _ => {
            // What is left goes through text, as PostgreSQL's own I/O casts do.
            let text = print_all(call, array, from)?;
            parse_all(call, &text, to, data_type)
        }
    }
}

/// Bytes as bitmaps: from outside checked in full and made canonical, from the other width element by element.
fn bitmaps(array: &ArrayRef, from: Oid, to: Oid) -> Result<ArrayRef, PgError> {
    let width = |of: Oid| if of == oid::ROARINGBITMAP { Width::W32 } else { Width::W64 };
    let is_bitmap = matches!(from, oid::ROARINGBITMAP | oid::ROARINGBITMAP64);
    let mut builder = BinaryViewBuilder::with_capacity(array.len());
    for value in array.as_binary_view() {
        let converted = value.map(|value| match is_bitmap {
            true => bitmap_text::convert(value, width(from), width(to)),
            false => bitmap_text::canonical(value, width(to)),
        });
        builder.append_option(converted.transpose().map_err(|error| map_error(error.into()))?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A value as its type's output function prints it.
pub(super) fn printed(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, _| print_all(call, &arrays[0], call.arguments[0].oid))
}

/// Prints every value as its type's output function does.
pub(super) fn print_all(call: &Call<'_>, array: &ArrayRef, from: Oid) -> Result<ArrayRef, PgError> {
    let style = style_of(call);
    print_styled(array, from, call.arguments.first().map_or(-1, |one| one.typmod), &style)
}

pub(super) fn print_styled(
    array: &ArrayRef,
    from: Oid,
    typmod: i32,
    style: &tributary_pg::TextStyle,
) -> Result<ArrayRef, PgError> {
    let Some(row) = pg_types::by_oid(from) else { return Err(PgError::internal(format!("no type {from}"))) };
    let printer = TextPrinter::for_type(row, typmod, array.data_type(), style)?;
    let mut text = ColumnText::new();
    printer.print(array.as_ref(), &mut text)?;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    for index in 0..array.len() {
        match text.text(index) {
            Some(one) => builder.append_value(one),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Parses every text as the target type's input function does.
fn parse_all(call: &Call<'_>, array: &ArrayRef, to: Oid, data_type: &DataType) -> Result<ArrayRef, PgError> {
    let style = style_of(call);
    let now_us = call.session().map_or(0, super::reading::now_us);
    let context = InputContext { style: &style, now_us };
    parse_array_of(array, to, data_type, &context)
}

fn jsonb_scalar(call: &Call<'_>, array: &ArrayRef, to: Oid, data_type: &DataType) -> Result<ArrayRef, PgError> {
    for text in array.as_string_view().iter().flatten() {
        let kind = match text.as_bytes().first() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            _ => "numeric",
        };
        let wanted = if to == oid::BOOL { "boolean" } else { "numeric" };
        if kind != wanted {
            let message = format!("cannot cast jsonb {kind} to type {}", super::signatures::display_name(to));
            return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
        }
    }
    if to == oid::BOOL || to == oid::NUMERIC {
        return parse_all(call, array, to, data_type);
    }
    let free = arrow_type(PgType::plain(oid::NUMERIC))?;
    let decimals = parse_all(call, array, oid::NUMERIC, &free)?;
    numbers(&decimals, oid::NUMERIC, to, data_type)?.ok_or_else(|| PgError::internal("a number has no cast"))
}

/// Conversions among numbers and booleans.
fn numbers(array: &ArrayRef, from: Oid, to: Oid, data_type: &DataType) -> Result<Option<ArrayRef>, PgError> {
    let rows = array.len();
    Ok(Some(match (from, to) {
        (oid::BOOL, oid::INT4) => {
            Arc::new(array.as_boolean().iter().map(|one| one.map(i32::from)).collect::<PrimitiveArray<Int32Type>>())
        }
        (oid::INT4, oid::BOOL) => {
            let values = array.as_primitive::<Int32Type>();
            Arc::new(values.iter().map(|one| one.map(|one| one != 0)).collect::<BooleanArray>())
        }
        (_, oid::INT2 | oid::INT4 | oid::INT8 | oid::OID) | (_, oid::NUMERIC) if is_number(from) => {
            let read = |row: usize| number_at(array, from, row);
            match to {
                oid::NUMERIC => numeric::collect(data_type, rows, |row| read(row)?.map(to_decimal).transpose())?,
                _ => integers(rows, to, read)?,
            }
        }
        (_, oid::FLOAT4 | oid::FLOAT8) if is_number(from) => floats(array, from, to)?,
        _ if is_oid(from) && is_oid(to) => Arc::clone(array),
        _ => return Ok(None),
    }))
}

fn is_oid(of: Oid) -> bool {
    matches!(of, oid::OID | oid::XID | oid::REGPROC | oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE)
}

fn is_number(of: Oid) -> bool {
    matches!(of, oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC) || is_oid(of)
}

/// A number on its way between types.
enum Number {
    Whole(i128),
    Exact(Decimal),
    Double(f64),
    Single(f32),
}

fn number_at(array: &ArrayRef, from: Oid, row: usize) -> Result<Option<Number>, PgError> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match from {
        oid::INT2 => Number::Whole(i128::from(array.as_primitive::<Int16Type>().value(row))),
        oid::INT4 => Number::Whole(i128::from(array.as_primitive::<Int32Type>().value(row))),
        oid::INT8 => Number::Whole(i128::from(array.as_primitive::<Int64Type>().value(row))),
        oid::FLOAT4 => Number::Single(array.as_primitive::<Float32Type>().value(row)),
        oid::FLOAT8 => Number::Double(array.as_primitive::<Float64Type>().value(row)),
        oid::NUMERIC => match numeric::value_at(array, row) {
            Some(value) => Number::Exact(value),
            None => return Ok(None),
        },
        _ => Number::Whole(i128::from(array.as_primitive::<UInt32Type>().value(row))),
    }))
}

fn to_decimal(number: Number) -> Result<Decimal, PgError> {
    let float = |value: f64, digits: usize| {
        if !value.is_finite() {
            let message = if value.is_nan() { "numeric cannot hold NaN" } else { "numeric cannot hold infinity" };
            return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message).hint("Use double precision."));
        }
        // PostgreSQL goes through %.15g (%.6g for float4).
        let text = format!("{value:.*e}", digits - 1);
        Decimal::parse(&text).map(|one| one.trimmed()).ok_or_else(|| PgError::internal("a float has no decimal text"))
    };
    match number {
        Number::Whole(value) => Ok(Decimal::whole(value)),
        Number::Exact(value) => Ok(value),
        Number::Double(value) => float(value, 15),
        Number::Single(value) => float(f64::from(value), 6),
    }
}

fn integers(
    rows: usize,
    to: Oid,
    read: impl Fn(usize) -> Result<Option<Number>, PgError>,
) -> Result<ArrayRef, PgError> {
    let name = match to {
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::INT8 => "bigint",
        _ => "OID",
    };
    let range = || PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"));
    let whole = |row: usize| -> Result<Option<i128>, PgError> {
        let float = |value: f64| {
            let value = value.round_ties_even();
            if value.is_finite() && value.abs() < 1e30 { Ok(value as i128) } else { Err(range()) }
        };
        read(row)?
            .map(|number| match number {
                Number::Whole(value) => Ok(value),
                Number::Exact(value) => i128::try_from(value.rescaled(0).unscaled).map_err(|_| range()),
                Number::Double(value) => float(value),
                Number::Single(value) => float(f64::from(value)),
            })
            .transpose()
    };
    Ok(match to {
        oid::INT2 => Arc::new(fitted::<Int16Type>(rows, whole, range)?),
        oid::INT4 => Arc::new(fitted::<Int32Type>(rows, whole, range)?),
        oid::INT8 => Arc::new(fitted::<Int64Type>(rows, whole, range)?),
        _ => {
            // Negative integers are the upper half of the numbers, as in PostgreSQL's relabelling cast.
            let wrapped = |row: usize| {
                whole(row).map(|found| {
                    found.map(|value| if value < 0 && i32::try_from(value).is_ok() { value + (1 << 32) } else { value })
                })
            };
            Arc::new(fitted::<UInt32Type>(rows, wrapped, range)?)
        }
    })
}

fn fitted<T>(
    rows: usize,
    whole: impl Fn(usize) -> Result<Option<i128>, PgError>,
    range: impl Fn() -> PgError,
) -> Result<PrimitiveArray<T>, PgError>
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        values.push(match whole(row)? {
            Some(value) => Some(T::Native::try_from(value).map_err(|_| range())?),
            None => None,
        });
    }
    Ok(values.into_iter().collect())
}

fn floats(array: &ArrayRef, from: Oid, to: Oid) -> Result<ArrayRef, PgError> {
    let range = |to: Oid| {
        let name = if to == oid::FLOAT4 { "real" } else { "double precision" };
        PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range for type {name}"))
    };
    let mut values = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        values.push(match number_at(array, from, row)? {
            None => None,
            Some(Number::Whole(value)) => Some(value as f64),
            Some(Number::Exact(value)) => Some(value.to_f64()),
            Some(Number::Double(value)) => Some(value),
            Some(Number::Single(value)) => Some(f64::from(value)),
        });
    }
    if to == oid::FLOAT8 {
        return Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<Float64Type>>()));
    }
    let mut singles = Vec::with_capacity(values.len());
    for value in values {
        singles.push(match value {
            None => None,
            Some(value) => {
                let single = value as f32;
                if (single.is_infinite() && value.is_finite()) || (single == 0.0 && value != 0.0) {
                    return Err(if from == oid::FLOAT8 {
                        let what = if single == 0.0 { "underflow" } else { "overflow" };
                        PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {what}"))
                    } else {
                        range(to)
                    });
                }
                Some(single)
            }
        });
    }
    Ok(Arc::new(singles.into_iter().collect::<PrimitiveArray<Float32Type>>()))
}

/// Conversions among dates and times.
fn times(call: &Call<'_>, array: &ArrayRef, from: Oid, to: Oid) -> Result<Option<ArrayRef>, PgError> {
    let zone = style_of(call).time_zone;
    let utc = || DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let stamps =
        |compute: &dyn Fn(i64) -> Result<i64, PgError>| -> Result<PrimitiveArray<TimestampMicrosecondType>, PgError> {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            values.iter().map(|one| one.map(compute).transpose()).collect::<Result<_, _>>()
        };
    let dates =
        |compute: &dyn Fn(i32) -> Result<i64, PgError>| -> Result<PrimitiveArray<TimestampMicrosecondType>, PgError> {
            let values = array.as_primitive::<Date32Type>();
            values.iter().map(|one| one.map(compute).transpose()).collect::<Result<_, _>>()
        };
    Ok(Some(match (from, to) {
        (oid::DATE, oid::TIMESTAMP) => Arc::new(dates(&datetime::date_to_timestamp)?),
        (oid::DATE, oid::TIMESTAMPTZ) => {
            let shift = |days: i32| datetime::timestamp_to_instant(datetime::date_to_timestamp(days)?, &zone);
            Arc::new(dates(&shift)?.with_data_type(utc()))
        }
        (oid::TIMESTAMP, oid::TIMESTAMPTZ) => {
            Arc::new(stamps(&|us| datetime::timestamp_to_instant(us, &zone))?.with_data_type(utc()))
        }
        (oid::TIMESTAMPTZ, oid::TIMESTAMP) => Arc::new(stamps(&|us| datetime::instant_to_timestamp(us, &zone))?),
        (oid::TIMESTAMP, oid::DATE) => to_dates(array, |us| Ok(datetime::timestamp_to_date(us)))?,
        (oid::TIMESTAMPTZ, oid::DATE) => {
            to_dates(array, |us| Ok(datetime::timestamp_to_date(datetime::instant_to_timestamp(us, &zone)?)))?
        }
        (oid::TIMESTAMP, oid::TIME) => to_times(array, |us| Ok(us.rem_euclid(datetime::DAY_US)))?,
        (oid::TIMESTAMPTZ, oid::TIME) => {
            to_times(array, |us| Ok(datetime::instant_to_timestamp(us, &zone)?.rem_euclid(datetime::DAY_US)))?
        }
        (oid::TIME, oid::INTERVAL) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let spans: Result<Vec<_>, PgError> =
                values.iter().map(|one| one.map(|us| interval::make(0, 0, us)).transpose()).collect();
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from_iter(spans?))
        }
        (oid::INTERVAL, oid::TIME) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            let times = values.iter().map(|one| one.map(|span| interval::time_us(span).rem_euclid(datetime::DAY_US)));
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::from_iter(times))
        }
        _ => return Ok(None),
    }))
}

fn to_dates(array: &ArrayRef, compute: impl Fn(i64) -> Result<i32, PgError>) -> Result<ArrayRef, PgError> {
    let values = array.as_primitive::<TimestampMicrosecondType>();
    let dates: Result<Vec<_>, PgError> = values.iter().map(|one| one.map(&compute).transpose()).collect();
    Ok(Arc::new(PrimitiveArray::<Date32Type>::from_iter(dates?)))
}

fn to_times(array: &ArrayRef, compute: impl Fn(i64) -> Result<i64, PgError>) -> Result<ArrayRef, PgError> {
    let values = array.as_primitive::<TimestampMicrosecondType>();
    // An infinite timestamp has no time of day.
    let finite = values.iter().map(|one| one.filter(|us| !datetime::infinite(*us)));
    let times: Result<Vec<_>, PgError> = finite.map(|one| one.map(&compute).transpose()).collect();
    Ok(Arc::new(PrimitiveArray::<Time64MicrosecondType>::from_iter(times?)))
}
