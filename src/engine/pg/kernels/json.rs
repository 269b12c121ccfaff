//! JSON: operators, construction, inspection, change.
//!
//! A value is its text: json as written, jsonb canonical. Members and elements are slices of it, so nothing is parsed into
//! trees except to be made canonical again. Texts in columns are valid: they passed their type's input function.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ColumnarValue;
use tributary_pg::error::PgError;
use tributary_pg::input::json::{Json, canonical_jsonb, check_json, parse_json, write_string};
use tributary_pg::{TextStyle, sqlstate};

use super::super::call::{Call, over_arrays};
use super::super::casts::print_styled;
use super::super::reading::style_of;
use super::super::signatures::{Oid, element_of, oid};
use super::super::types::of_field;
use super::Implementation;
use super::numeric::Decimal;
use super::row::{Row, bools, ints, lenient_texts, text_lists, texts};

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    fields(code)
        .or_else(|| builders(code))
        .or_else(|| changes(code))
        .or_else(|| inspection(code))
        .or_else(|| sets(code))
}

/// Where a value starting at `at` ends.
fn value_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = at;
    while index < bytes.len() {
        match bytes[index] {
            b'"' => {
                index += 1;
                while index < bytes.len() && bytes[index] != b'"' {
                    index += if bytes[index] == b'\\' { 2 } else { 1 };
                }
                index += 1;
                if depth == 0 {
                    return index.min(bytes.len());
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return index;
                }
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return index,
            _ => {}
        }
        index += 1;
    }
    bytes.len()
}

fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && matches!(bytes[at], b' ' | b'\n' | b'\r' | b'\t' | b',' | b':') {
        at += 1;
    }
    at
}

/// Elements of an array; None for other values.
fn elements(text: &str) -> Option<Vec<&str>> {
    let text = text.trim();
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let bytes = inner.as_bytes();
    let mut found = Vec::new();
    let mut at = skip_blanks(bytes, 0);
    while at < bytes.len() {
        let end = value_end(bytes, at);
        found.push(&inner[at..end]);
        at = skip_blanks(bytes, end);
    }
    Some(found)
}

/// Members of an object; None for other values.
fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let text = text.trim();
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let bytes = inner.as_bytes();
    let mut found = Vec::new();
    let mut at = skip_blanks(bytes, 0);
    while at < bytes.len() {
        let key_end = value_end(bytes, at);
        let key = unquoted(&inner[at..key_end]);
        let start = skip_blanks(bytes, key_end);
        let end = value_end(bytes, start);
        found.push((key, &inner[start..end]));
        at = skip_blanks(bytes, end);
    }
    Some(found)
}

fn unquoted(text: &str) -> String {
    match parse_json(text) {
        Ok(Json::String(inner)) => inner.into_owned(),
        _ => text.to_owned(),
    }
}

/// A value as text: strings without quotes, null as NULL.
fn as_text(value: &str) -> Option<String> {
    let value = value.trim();
    match value.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => Some(unquoted(value)),
        _ => Some(value.to_owned()),
    }
}

fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    // The last of equal keys counts.
    members(text)?.into_iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn element(text: &str, index: i32) -> Option<&str> {
    let all = elements(text)?;
    let index = if index < 0 { all.len() as i64 + i64::from(index) } else { i64::from(index) };
    usize::try_from(index).ok().and_then(|index| all.get(index).copied())
}

fn step<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    if text.trim_start().starts_with('[') {
        return key.trim().parse().ok().and_then(|index| element(text, index));
    }
    member(text, key)
}

fn path_of(list: &ArrayRef) -> Option<Vec<String>> {
    list.as_string_view().iter().map(|one| one.map(str::to_owned)).collect()
}

fn follow<'a>(text: &'a str, path: &[String]) -> Option<&'a str> {
    path.iter().try_fold(text.trim(), |value, key| step(value, key))
}

fn fields(code: &str) -> Option<Implementation> {
    match code {
        "json_object_field" | "jsonb_object_field" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(member(row.text(0), row.text(1)).map(str::to_owned)))
        }),
        "json_object_field_text" | "jsonb_object_field_text" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(member(row.text(0), row.text(1)).and_then(as_text)))
        }),
        "json_array_element" | "jsonb_array_element" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(element(row.text(0), row.int(1)).map(str::to_owned)))
        }),
        "json_array_element_text" | "jsonb_array_element_text" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(element(row.text(0), row.int(1)).and_then(as_text)))
        }),
        "json_extract_path" | "jsonb_extract_path" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(extracted(row).map(|one| one.to_owned())))
        }),
        "json_extract_path_text" | "jsonb_extract_path_text" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(extracted(row).as_deref().and_then(as_text)))
        }),
        _ => None,
    }
}

/// The value at a path given as an array or as further arguments.
fn extracted(row: Row<'_>) -> Option<String> {
    let path = if matches!(row.at(1).0.data_type(), DataType::List(_)) {
        path_of(&row.list(1))?
    } else {
        (1..row.width()).map(|index| row.text(index).to_owned()).collect()
    };
    follow(row.text(0), &path).map(str::to_owned)
}

/// A value of any type as JSON.
pub(super) fn to_json(
    array: &ArrayRef,
    row: usize,
    of: Oid,
    style: &TextStyle,
    out: &mut String,
) -> Result<(), PgError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        let element = element_of(of).unwrap_or(oid::TEXT);
        let inner = list.value(row);
        let nested = matches!(inner.data_type(), DataType::List(_));
        out.push('[');
        for index in 0..inner.len() {
            if index > 0 {
                out.push(',');
            }
            to_json(&inner, index, if nested { of } else { element }, style, out)?;
        }
        out.push(']');
        return Ok(());
    }
    if let Some(record) = array.as_struct_opt() {
        out.push('{');
        for (index, (field, column)) in record.fields().iter().zip(record.columns()).enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(crate::dialect::forms::visible(field.name()), out);
            out.push(':');
            to_json(column, row, of_field(field).oid, style, out)?;
        }
        out.push('}');
        return Ok(());
    }
    if of == oid::BOOL {
        out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        return Ok(());
    }
    let printed = print_styled(&array.slice(row, 1), of, -1, &iso(style))?;
    let text = printed.as_string_view().value(0);
    match of {
        oid::JSON | oid::JSONB => out.push_str(text),
        oid::DATE | oid::TIMESTAMP => write_string(&text.replacen(' ', "T", 1), out),
        oid::TIMESTAMPTZ => {
            let mut shown = text.replacen(' ', "T", 1);
            if shown.len() > 3
                && shown.as_bytes()[shown.len() - 3].is_ascii_punctuation()
                && shown.as_bytes()[shown.len() - 3] != b':'
            {
                shown.push_str(":00");
            }
            write_string(&shown, out);
        }
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC if !text.contains(['N', 'I']) => {
            out.push_str(text);
        }
        _ => write_string(text, out),
    }
    Ok(())
}

/// JSON dates are ISO whatever DateStyle says.
fn iso(style: &TextStyle) -> TextStyle {
    TextStyle { date_style: Default::default(), ..style.clone() }
}

/// One value of any type as json or jsonb; NULL stays NULL.
fn converted(call: &Call<'_>, values: &[ColumnarValue], canonical: bool) -> Result<ColumnarValue, PgError> {
    let style = style_of(call);
    texts(call, values, |row| {
        let (array, at) = row.at(0);
        let mut out = String::new();
        to_json(array, at, call.arguments[0].oid, &style, &mut out)?;
        if canonical { canonical_jsonb(&out).map(Some) } else { Ok(Some(out)) }
    })
}

fn builders(code: &str) -> Option<Implementation> {
    match code {
        "to_json" | "row_to_json" | "array_to_json" => {
            Implementation::strict(|call, values| converted(call, values, false))
        }
        "to_jsonb" | "list_to_jsonb" => Implementation::strict(|call, values| converted(call, values, true)),
        "json_build_object" | "json_build_object_noargs" => {
            Implementation::lenient(|call, values| built(call, values, false, object))
        }
        "jsonb_build_object" | "jsonb_build_object_noargs" => {
            Implementation::lenient(|call, values| built(call, values, true, object))
        }
        "json_build_array" | "json_build_array_noargs" => {
            Implementation::lenient(|call, values| built(call, values, false, array))
        }
        "jsonb_build_array" | "jsonb_build_array_noargs" => {
            Implementation::lenient(|call, values| built(call, values, true, array))
        }
        "list_to_json_object" => Implementation::strict(|call, values| gathered(call, values, false)),
        "list_to_jsonb_object" => Implementation::strict(|call, values| gathered(call, values, true)),
        "list_to_json" => Implementation::strict(|call, values| {
            let style = style_of(call);
            texts(call, values, |row| {
                // json_agg separates with a comma and a blank.
                let list = row.list(0);
                let structured = list.data_type().is_nested();
                let whole = call.arguments[0].oid;
                // PostgreSQL's arrays of arrays are of the same type.
                let of = if matches!(list.data_type(), DataType::List(_)) {
                    whole
                } else {
                    element_of(whole).unwrap_or(whole)
                };
                let mut out = String::from("[");
                for index in 0..list.len() {
                    if index > 0 {
                        out.push_str(if structured { ", \n " } else { ", " });
                    }
                    to_json(&list, index, of, &style, &mut out)?;
                }
                out.push(']');
                Ok(Some(out))
            })
        }),
        _ => None,
    }
}

/// A key as a JSON string. Keys that are no single values are refused.
fn write_key(array: &ArrayRef, row: usize, of: Oid, style: &TextStyle, out: &mut String) -> Result<(), PgError> {
    if element_of(of).is_some() || matches!(of, oid::RECORD | oid::JSON | oid::JSONB) {
        let message = "key value must be scalar, not array, composite, or json";
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
    }
    let mut name = String::new();
    to_json(array, row, of, style, &mut name)?;
    if name.starts_with('"') {
        out.push_str(&name);
    } else {
        out.push_str(&format!("\"{name}\""));
    }
    Ok(())
}

/// A list of pairs as one object.
fn gathered(call: &Call<'_>, values: &[ColumnarValue], canonical: bool) -> Result<ColumnarValue, PgError> {
    let style = style_of(call);
    texts(call, values, |row| {
        let list = row.list(0);
        let pairs = list.as_struct();
        let mut out = String::from("{ ");
        for index in 0..pairs.len() {
            let (key, value) = (pairs.column(0), pairs.column(1));
            if key.is_null(index) {
                let message = "field name must not be null";
                return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
            }
            if index > 0 {
                out.push_str(", ");
            }
            let of = |field: usize| super::super::types::of_field(&pairs.fields()[field]).oid;
            write_key(key, index, of(0), &style, &mut out)?;
            out.push_str(" : ");
            to_json(value, index, of(1), &style, &mut out)?;
        }
        out.push_str(" }");
        if canonical { canonical_jsonb(&out).map(Some) } else { Ok(Some(out)) }
    })
}

fn built(
    call: &Call<'_>,
    values: &[ColumnarValue],
    canonical: bool,
    compute: fn(Row<'_>, &Call<'_>, &TextStyle) -> Result<String, PgError>,
) -> Result<ColumnarValue, PgError> {
    let style = style_of(call);
    let finish = |text: String| if canonical { canonical_jsonb(&text) } else { Ok(text) };
    if values.is_empty() {
        let text = finish(compute(Row::nothing(), call, &style)?)?;
        return Ok(ColumnarValue::Scalar(datafusion::scalar::ScalarValue::Utf8View(Some(text))));
    }
    lenient_texts(call, values, |row| compute(row, call, &style).and_then(finish).map(Some))
}

fn object(row: Row<'_>, call: &Call<'_>, style: &TextStyle) -> Result<String, PgError> {
    if row.width() % 2 == 1 {
        let message = "argument list must have even number of elements";
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
            .hint("The arguments of json_build_object() must consist of alternating keys and values."));
    }
    let mut out = String::from("{");
    for index in (0..row.width()).step_by(2) {
        if row.null(index) {
            let message = "null value not allowed for object key";
            return Err(PgError::new(sqlstate::NULL_VALUE_NOT_ALLOWED, message));
        }
        if index > 0 {
            out.push_str(", ");
        }
        let (array, at) = row.at(index);
        write_key(array, at, call.arguments[index].oid, style, &mut out)?;
        out.push_str(" : ");
        let (array, at) = row.at(index + 1);
        to_json(array, at, call.arguments[index + 1].oid, style, &mut out)?;
    }
    out.push('}');
    Ok(out)
}

fn array(row: Row<'_>, call: &Call<'_>, style: &TextStyle) -> Result<String, PgError> {
    let mut out = String::from("[");
    for index in 0..row.width() {
        if index > 0 {
            out.push_str(", ");
        }
        let (array, at) = row.at(index);
        to_json(array, at, call.arguments[index].oid, style, &mut out)?;
    }
    out.push(']');
    Ok(out)
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out
}

fn written(members: &[(String, &str)]) -> String {
    let all: Vec<String> = members.iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
    format!("{{{}}}", all.join(", "))
}

fn invalid(message: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message.to_owned())
}

fn changes(code: &str) -> Option<Implementation> {
    match code {
        "jsonb_concat" => Implementation::strict(|call, values| texts(call, values, concatenated)),
        // One code in pg_operator for three functions: the argument's type tells them apart.
        "jsonb_delete" | "jsonb_delete_idx" | "jsonb_delete_array" => {
            Implementation::strict(|call, values| texts(call, values, deleted))
        }
        "jsonb_delete_path" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let Some(path) = path_of(&row.list(1)) else { return Ok(None) };
                changed(row.text(0), &path, &Change::Delete).and_then(|text| canonical_jsonb(&text)).map(Some)
            })
        }),
        "jsonb_set" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let Some(path) = path_of(&row.list(1)) else { return Ok(None) };
                let create = row.width() < 4 || row.boolean(3);
                let change = Change::Set { value: row.text(2), create };
                changed(row.text(0), &path, &change).and_then(|text| canonical_jsonb(&text)).map(Some)
            })
        }),
        "json_strip_nulls" | "jsonb_strip_nulls" => Implementation::strict(|call, values| {
            let canonical = call.result.oid == oid::JSONB;
            texts(call, values, |row| {
                let text = stripped(row.text(0));
                if canonical { canonical_jsonb(&text).map(Some) } else { Ok(Some(text)) }
            })
        }),
        "jsonb_pretty" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let mut out = String::new();
                pretty(row.text(0), 0, &mut out);
                Ok(Some(out))
            })
        }),
        _ => None,
    }
}

fn concatenated(row: Row<'_>) -> Result<Option<String>, PgError> {
    let (left, right) = (row.text(0), row.text(1));
    if let (Some(mut a), Some(b)) = (members(left), members(right)) {
        a.extend(b);
        return canonical_jsonb(&written(&a)).map(Some);
    }
    let list = |text| elements(text).unwrap_or_else(|| vec![text]);
    let all: Vec<&str> = list(left).into_iter().chain(list(right)).collect();
    canonical_jsonb(&format!("[{}]", all.join(","))).map(Some)
}

fn deleted(row: Row<'_>) -> Result<Option<String>, PgError> {
    let text = row.text(0);
    let scalar = elements(text).is_none() && members(text).is_none();
    if scalar {
        return Err(invalid("cannot delete from scalar"));
    }
    if matches!(row.at(1).0.data_type(), DataType::Int32) {
        let Some(all) = elements(text) else { return Err(invalid("cannot delete from object using integer index")) };
        let index = i64::from(row.int(1));
        let index = if index < 0 { all.len() as i64 + index } else { index };
        let kept: Vec<&str> =
            all.iter().enumerate().filter(|(at, _)| *at as i64 != index).map(|(_, value)| *value).collect();
        return canonical_jsonb(&format!("[{}]", kept.join(","))).map(Some);
    }
    let keys = if matches!(row.at(1).0.data_type(), DataType::List(_)) {
        path_of(&row.list(1)).unwrap_or_default()
    } else {
        vec![row.text(1).to_owned()]
    };
    if let Some(all) = members(text) {
        let kept: Vec<(String, &str)> = all.into_iter().filter(|(key, _)| !keys.contains(key)).collect();
        return canonical_jsonb(&written(&kept)).map(Some);
    }
    let kept: Vec<&str> = elements(text)
        .unwrap_or_default()
        .into_iter()
        .filter(|value| !(value.starts_with('"') && keys.contains(&unquoted(value))))
        .collect();
    canonical_jsonb(&format!("[{}]", kept.join(","))).map(Some)
}

enum Change<'a> {
    Delete,
    Set { value: &'a str, create: bool },
}

/// A value with the part at a path changed; a path that leads nowhere changes nothing.
fn changed(text: &str, path: &[String], change: &Change<'_>) -> Result<String, PgError> {
    let Some((key, rest)) = path.split_first() else { return Ok(text.to_owned()) };
    let last = rest.is_empty();
    if let Some(mut all) = members(text) {
        let found = all.iter().position(|(name, _)| name == key);
        let deeper;
        match (found, last, change) {
            (Some(at), true, Change::Delete) => {
                all.remove(at);
            }
            (Some(at), true, Change::Set { value, .. }) => all[at].1 = value,
            (Some(at), false, _) => {
                deeper = changed(all[at].1, rest, change)?;
                all[at].1 = &deeper;
            }
            (None, true, Change::Set { value, create: true }) => all.push((key.clone(), value)),
            _ => {}
        }
        return Ok(written(&all));
    }
    let Some(mut all) = elements(text) else {
        return if matches!(change, Change::Delete) {
            Err(invalid("cannot delete path in scalar"))
        } else {
            Err(invalid("cannot set path in scalar"))
        };
    };
    let Ok(index) = key.trim().parse::<i64>() else {
        let message = format!("path element at position 1 is not an integer: \"{key}\"");
        return Err(PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, message));
    };
    let place = if index < 0 { all.len() as i64 + index } else { index };
    let found = usize::try_from(place).ok().filter(|at| *at < all.len());
    let deeper;
    match (found, last, change) {
        (Some(at), true, Change::Delete) => {
            all.remove(at);
        }
        (Some(at), true, Change::Set { value, .. }) => all[at] = value,
        (Some(at), false, _) => {
            deeper = changed(all[at], rest, change)?;
            all[at] = &deeper;
        }
        (None, true, Change::Set { value, create: true }) => {
            if place < 0 {
                all.insert(0, value);
            } else {
                all.push(value);
            }
        }
        _ => {}
    }
    Ok(format!("[{}]", all.join(", ")))
}

fn stripped(text: &str) -> String {
    if let Some(all) = members(text) {
        let kept: Vec<String> = all
            .iter()
            .filter(|(_, value)| *value != "null")
            .map(|(key, value)| format!("{}:{}", quoted(key), stripped(value)))
            .collect();
        return format!("{{{}}}", kept.join(","));
    }
    match elements(text) {
        Some(all) => format!("[{}]", all.into_iter().map(stripped).collect::<Vec<_>>().join(",")),
        None => text.to_owned(),
    }
}

fn pretty(text: &str, depth: usize, out: &mut String) {
    let pad = "    ";
    let (open, close, rows): (char, char, Vec<(Option<String>, &str)>) = if let Some(all) = members(text) {
        ('{', '}', all.into_iter().map(|(key, value)| (Some(key), value)).collect())
    } else if let Some(all) = elements(text) {
        ('[', ']', all.into_iter().map(|value| (None, value)).collect())
    } else {
        out.push_str(text);
        return;
    };
    out.push(open);
    for (index, (key, value)) in rows.iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&pad.repeat(depth + 1));
        if let Some(key) = key {
            write_string(key, out);
            out.push_str(": ");
        }
        pretty(value, depth + 1, out);
    }
    out.push('\n');
    out.push_str(&pad.repeat(depth));
    out.push(close);
}

fn kind_of(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// jsonb containment: objects and arrays by parts, numbers by value; a top-level array contains a scalar element.
fn contains(left: &str, right: &str, top: bool) -> bool {
    match (members(left), members(right)) {
        (Some(a), Some(b)) => {
            return b.iter().all(|(key, value)| a.iter().any(|(own, have)| own == key && contains(have, value, false)));
        }
        (None, None) => {}
        _ => return false,
    }
    match (elements(left), elements(right)) {
        (Some(a), Some(b)) => b.iter().all(|value| a.iter().any(|have| contains(have, value, false))),
        (Some(a), None) if top => a.iter().any(|have| kind_of(have) == kind_of(right) && contains(have, right, false)),
        (None, None) => match (Decimal::parse(left), Decimal::parse(right)) {
            (Some(a), Some(b)) if kind_of(left) == "number" => a.trimmed() == b.trimmed(),
            _ => left == right,
        },
        _ => false,
    }
}

fn inspection(code: &str) -> Option<Implementation> {
    match code {
        "json_typeof" | "jsonb_typeof" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(kind_of(row.text(0)).to_owned()))))
        }
        "json_array_length" | "jsonb_array_length" => Implementation::strict(|call, values| {
            ints(call, values, |row| match elements(row.text(0)) {
                Some(all) => Ok(i32::try_from(all.len()).ok()),
                None if kind_of(row.text(0)) == "object" => Err(invalid("cannot get array length of a non-array")),
                None => Err(invalid("cannot get array length of a scalar")),
            })
        }),
        "jsonb_contains" => Implementation::strict(|call, values| {
            bools(call, values, |row| Ok(Some(contains(row.text(0), row.text(1), true))))
        }),
        "jsonb_exists" => {
            Implementation::strict(|call, values| bools(call, values, |row| Ok(Some(has(row.text(0), row.text(1))))))
        }
        "jsonb_exists_any" => Implementation::strict(|call, values| {
            bools(call, values, |row| {
                Ok(Some(row.list(1).as_string_view().iter().flatten().any(|key| has(row.text(0), key))))
            })
        }),
        "jsonb_exists_all" => Implementation::strict(|call, values| {
            bools(call, values, |row| {
                Ok(Some(row.list(1).as_string_view().iter().flatten().all(|key| has(row.text(0), key))))
            })
        }),
        "jsonb_key" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let column = arrays[0].as_string_view();
                let mut builder = BinaryViewBuilder::with_capacity(rows);
                for text in column {
                    match text {
                        Some(text) => {
                            let mut key = Vec::with_capacity(text.len() + 8);
                            sort_key(text, &mut key);
                            builder.append_value(key);
                        }
                        None => builder.append_null(),
                    }
                }
                Ok(Arc::new(builder.finish()))
            })
        }),
        _ => None,
    }
}

fn has(text: &str, key: &str) -> bool {
    if let Some(all) = members(text) {
        return all.iter().any(|(name, _)| name == key);
    }
    match elements(text) {
        Some(all) => all.iter().any(|value| value.starts_with('"') && unquoted(value) == key),
        None => text.starts_with('"') && unquoted(text) == key,
    }
}

/// Bytes that compare as jsonb values do: Object > Array > Boolean > Number > String > Null, sizes before contents.
fn sort_key(text: &str, out: &mut Vec<u8>) {
    if let Some(all) = members(text) {
        out.push(6);
        out.extend((all.len() as u32).to_be_bytes());
        for (key, value) in all {
            out.extend((key.len() as u32).to_be_bytes());
            out.extend(key.as_bytes());
            sort_key(value, out);
        }
        return;
    }
    if let Some(all) = elements(text) {
        // An empty array sorts before everything, a quirk that PostgreSQL keeps.
        out.push(if all.is_empty() { 0 } else { 5 });
        out.extend((all.len() as u32).to_be_bytes());
        all.iter().for_each(|value| sort_key(value, out));
        return;
    }
    match kind_of(text) {
        "boolean" => out.extend([4, u8::from(text.starts_with('t'))]),
        "string" => {
            out.push(2);
            out.extend(unquoted(text).as_bytes());
            out.push(0);
        }
        "null" => out.push(1),
        _ => {
            out.push(3);
            number_key(text, out);
        }
    }
}

fn number_key(text: &str, out: &mut Vec<u8>) {
    let Some(value) = Decimal::parse(text).map(|one| one.trimmed()) else { return };
    if value.is_zero() {
        out.push(1);
        return;
    }
    let digits = value.unscaled.magnitude().to_string();
    let exponent = digits.len() as i32 - value.scale;
    let mut key: Vec<u8> = ((exponent + 0x4000) as u16).to_be_bytes().to_vec();
    key.extend(digits.trim_end_matches('0').as_bytes());
    key.push(0);
    if value.unscaled.sign() == num_bigint::Sign::Minus {
        out.push(0);
        out.extend(key.iter().map(|byte| !byte));
    } else {
        out.push(2);
        out.extend(key);
    }
}

fn sets(code: &str) -> Option<Implementation> {
    match code {
        "json_array_elements" | "jsonb_array_elements" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                all_elements(row.text(0)).map(|all| Some(all.into_iter().map(|one| Some(one.to_owned())).collect()))
            })
        }),
        "json_array_elements_text" | "jsonb_array_elements_text" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                all_elements(row.text(0)).map(|all| Some(all.into_iter().map(as_text).collect()))
            })
        }),
        "json_object_keys" | "jsonb_object_keys" | "json_each/0" | "jsonb_each/0" | "json_each_text/0"
        | "jsonb_each_text/0" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                all_members(row.text(0)).map(|all| Some(all.into_iter().map(|(key, _)| Some(key)).collect()))
            })
        }),
        "json_each/1" | "jsonb_each/1" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                all_members(row.text(0))
                    .map(|all| Some(all.into_iter().map(|(_, value)| Some(value.to_owned())).collect()))
            })
        }),
        "json_each_text/1" | "jsonb_each_text/1" => Implementation::strict(|call, values| {
            text_lists(call, values, true, |row| {
                all_members(row.text(0)).map(|all| Some(all.into_iter().map(|(_, value)| as_text(value)).collect()))
            })
        }),
        "json_valid" => {
            Implementation::strict(|call, values| bools(call, values, |row| Ok(Some(check_json(row.text(0)).is_ok()))))
        }
        _ => None,
    }
}

fn all_elements(text: &str) -> Result<Vec<&str>, PgError> {
    elements(text).ok_or_else(|| {
        invalid(if kind_of(text) == "object" {
            "cannot extract elements from an object"
        } else {
            "cannot extract elements from a scalar"
        })
    })
}

fn all_members(text: &str) -> Result<Vec<(String, &str)>, PgError> {
    members(text).ok_or_else(|| {
        invalid(&format!(
            "cannot deconstruct {}",
            if kind_of(text) == "array" { "an array as an object" } else { "a scalar" }
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_text() {
        let text = r#"{"a": [1, {"b": "x,}"}, null], "c\"d": true}"#;
        assert_eq!(follow(text, &["a".to_owned(), "1".to_owned(), "b".to_owned()]), Some(r#""x,}""#));
        assert_eq!(member(text, "c\"d"), Some("true"));
        assert_eq!(element("[1, 2, 3]", -1), Some("3"));
    }

    #[test]
    fn keys_sort_as_jsonb() {
        let sorted = ["[]", "null", "\"a\"", "\"b\"", "-2", "-1.5", "0", "1.5", "10", "false", "true", "[1]", "{}"];
        let keys: Vec<Vec<u8>> = sorted
            .iter()
            .map(|text| {
                let mut key = Vec::new();
                sort_key(text, &mut key);
                key
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn containment() {
        assert!(contains(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [2]}"#, true));
        assert!(contains("[1, 2]", "1", true));
        assert!(!contains(r#"{"a": 1}"#, r#"{"a": 2}"#, true));
    }
}
