//! Names that users of StarRocks, Doris, ClickHouse and Hologres know, where their NULL and edge rules differ from the
//! `rb_*` twin. Names with the same rules are plain aliases in `functions.rs`.
//!
//! Bytes in text or binary form are the portable ones, not the private layouts of those engines. Not offered: the
//! `bitmap_hash*` functions, because hashed ids collide and do not compress.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Width;
use super::combine::{Operand, Operation, Range};
use super::edit::selected;
use super::entry::Entry;
use super::functions::{bounds, range_of};
use super::scalar::Parameter::{Bigint, Bitmap, Bytes, Text};
use super::scalar::{Answer, Kernel, Machine, Parameter, Returns, Value};
use super::text;
use crate::SqlError;
use crate::error::NUMERIC_VALUE_OUT_OF_RANGE;
use crate::family::{LawArgument, LawCase};

const SKIPS: &str = "NULL arguments are skipped; all NULL: NULL.";
const ANDNOT: &str = "First argument NULL: NULL. Another NULL: it takes nothing away.";
const EMPTY: &str = "A NULL argument is the empty set.";

/// The functions of other engines.
pub fn entries() -> Vec<Entry> {
    let mut entries = set_operations();
    entries.extend(null_is_empty());
    entries.extend(conversions());
    entries.extend(subsets());
    entries
}

/// An entry whose kernel sees NULLs.
fn lenient(name: &'static str, returns: Returns, kernel: Kernel) -> Entry {
    Entry::new(name, &[&[Bitmap, Bitmap]], returns, kernel).variadic().sees_nulls()
}

fn set_operations() -> Vec<Entry> {
    const SOURCE: &str = "StarRocks, Doris";
    let shown = |name: &str| format!("SELECT bitmap_to_string({name}('{{1,2}}', NULL))");
    vec![
        lenient("bitmap_or", Returns::Bitmap, or_skipping)
            .says("The union of the arguments.")
            .rules(SKIPS)
            .source(SOURCE)
            .example(shown("bitmap_or"), "1,2"),
        lenient("bitmap_xor", Returns::Bitmap, xor_skipping)
            .says("The symmetric difference of the arguments.")
            .rules(SKIPS)
            .source("StarRocks; Doris differs on NULL")
            .example(shown("bitmap_xor"), "1,2"),
        lenient("bitmap_andnot", Returns::Bitmap, andnot_skipping)
            .aliases(&["bitmap_and_not", "bitmap_not"])
            .says("The elements of the first argument that are in none of the others.")
            .rules(ANDNOT)
            .source(SOURCE)
            .example(shown("bitmap_andnot"), "1,2"),
        lenient("bitmap_and_count", Returns::Bigint, and_count)
            .says("The cardinality of bitmap_and.")
            .rules("A NULL argument: 0.")
            .source(SOURCE)
            .example("SELECT bitmap_and_count('{1,2}', '{2,3}'), bitmap_and_count('{1,2}', NULL)", "1|0"),
        lenient("bitmap_or_count", Returns::Bigint, or_count)
            .says("The cardinality of bitmap_or.")
            .rules("NULL arguments are skipped; all NULL: 0.")
            .source(SOURCE)
            .example("SELECT bitmap_or_count('{1,2}', NULL)", "2"),
        lenient("bitmap_xor_count", Returns::Bigint, xor_count)
            .says("The cardinality of bitmap_xor.")
            .rules("NULL arguments are skipped; all NULL: 0.")
            .source(SOURCE)
            .example("SELECT bitmap_xor_count('{1,2}', '{2,3}')", "2"),
        lenient("bitmap_andnot_count", Returns::Bigint, andnot_count)
            .alias("bitmap_and_not_count")
            .says("The cardinality of bitmap_andnot.")
            .rules("First argument NULL: 0. Another NULL: it takes nothing away.")
            .source(SOURCE)
            .example("SELECT bitmap_andnot_count('{1,2}', '{2,3}')", "1"),
        Entry::new("bitmap_count", &[&[Bitmap]], Returns::Bigint, count_or_zero)
            .sees_nulls()
            .says("The number of elements.")
            .rules("NULL: 0.")
            .cost("Reads headers only.")
            .source(SOURCE)
            .example("SELECT bitmap_count('{1,5}'), bitmap_count(NULL)", "2|0"),
    ]
}

fn null_is_empty() -> Vec<Entry> {
    const SOURCE: &str = "Hologres";
    let sets: [(&str, &str, Kernel, &str, &str); 3] = [
        ("rb_and_null2empty", "rb_and", and_empty, "rb_or_null2empty('{1}', rb_and_null2empty('{1,2}', NULL))", "1"),
        ("rb_or_null2empty", "rb_or", or_empty, "rb_or_null2empty('{1,2}', NULL)", "1,2"),
        ("rb_andnot_null2empty", "rb_andnot", andnot_empty, "rb_andnot_null2empty('{1,2}', NULL)", "1,2"),
    ];
    let counts: [(&str, Kernel, &str); 3] = [
        ("rb_and_null2empty_cardinality", and_count, "0"),
        ("rb_or_null2empty_cardinality", or_count, "2"),
        ("rb_andnot_null2empty_cardinality", andnot_count, "2"),
    ];
    let mut entries = Vec::new();
    for ((name, twin, kernel, call, output), (count_name, count_kernel, count)) in sets.into_iter().zip(counts) {
        entries.push(
            lenient(name, Returns::Bitmap, kernel)
                .says(format!("As {twin}, but NULL is the empty set, also as the result."))
                .rules(EMPTY)
                .source(SOURCE)
                .example(format!("SELECT bitmap_to_string({call})"), output),
        );
        entries.push(
            lenient(count_name, Returns::Bigint, count_kernel)
                .says(format!("The cardinality of {name}."))
                .rules(EMPTY)
                .source(SOURCE)
                .example(format!("SELECT {count_name}('{{1,2}}', NULL)"), count),
        );
    }
    entries
}

fn conversions() -> Vec<Entry> {
    const SOURCE: &str = "StarRocks, Doris";
    const WIDE: Returns = Returns::BitmapOf(Width::W64);
    const BAD_IS_NULL: &str = "NULL in, NULL out; what is malformed gives NULL.";
    vec![
        Entry::new("to_bitmap", &[&[Bigint], &[Text]], WIDE, to_bitmap)
            .says("The set of one element.")
            .rules("NULL, a negative number and text that is no number give NULL.")
            .source(SOURCE)
            .example("SELECT bitmap_to_string(to_bitmap('7')), bitmap_to_string(to_bitmap(-1))", "7|"),
        Entry::new("to_bitmap_with_check", &[&[Bigint], &[Text]], WIDE, to_bitmap_with_check)
            .samples(checked_samples)
            .says("The set of one element.")
            .rules("NULL gives NULL. A negative number or text that is no number: 22003.")
            .source(SOURCE)
            .example("SELECT bitmap_to_string(to_bitmap_with_check(7))", "7"),
        Entry::new("bitmap_empty", &[&[]], WIDE, empty)
            .says("The empty roaringbitmap64.")
            .rules("Never NULL.")
            .source(SOURCE)
            .example("SELECT bitmap_count(bitmap_empty())", "0"),
        Entry::new("bitmap_from_string", &[&[Text]], WIDE, from_string)
            .says("The set of the elements of a comma-separated list.")
            .rules(BAD_IS_NULL)
            .source(SOURCE)
            .example("SELECT bitmap_count(bitmap_from_string('1, 2,2'))", "2"),
        Entry::new("bitmap_to_string", &[&[Bitmap]], Returns::Text, to_string)
            .says("The elements in unsigned order, separated by commas.")
            .rules("NULL in, NULL out; the empty set gives the empty text.")
            .source(SOURCE)
            .example("SELECT bitmap_to_string('{3,1}')", "1,3"),
        Entry::new("rb_to_array_string", &[&[Bitmap, Text]], Returns::Text, to_string)
            .says("The elements in unsigned order, joined by the second argument.")
            .rules("NULL in, NULL out; the empty set gives the empty text.")
            .source("Hologres")
            .example("SELECT rb_to_array_string('{3,1}', '; ')", "1; 3"),
        Entry::new("bitmap_to_base64", &[&[Bitmap]], Returns::Text, to_base64)
            .says("The portable bytes in base64, not the private layout of those engines.")
            .source(SOURCE)
            .example("SELECT bitmap_to_base64('{}')", "OjAAAAAAAAA="),
        Entry::new("bitmap_from_base64", &[&[Text]], WIDE, from_base64)
            .alias("base64_to_bitmap")
            .says("The roaringbitmap64 whose portable bytes are given in base64.")
            .rules(BAD_IS_NULL)
            .source(SOURCE)
            .example("SELECT bitmap_to_string(bitmap_from_base64(bitmap_to_base64(to_bitmap(7))))", "7"),
        Entry::new("bitmap_to_binary", &[&[Bitmap]], Returns::Bytes, to_binary)
            .says("The portable bytes.")
            .source(SOURCE)
            .example("SELECT bitmap_to_binary('{}')", "\\x3a30000000000000"),
        Entry::new("bitmap_from_binary", &[&[Bytes]], WIDE, from_binary)
            .says("The roaringbitmap64 of these portable bytes.")
            .rules(BAD_IS_NULL)
            .source(SOURCE)
            .example("SELECT bitmap_to_string(bitmap_from_binary(bitmap_to_binary(to_bitmap(7))))", "7"),
    ]
}

fn subsets() -> Vec<Entry> {
    const THREE: &[&[Parameter]] = &[&[Bitmap, Bigint, Bigint]];
    const EMPTY_IS_NULL: &str = "NULL in, NULL out; an empty result is NULL.";
    let limit = "n elements not below `start`; n negative: the -n largest not above `start`";
    let of_position = "elements to skip; negative counts from the end";
    vec![
        Entry::new("bitmap_subset_in_range", THREE, Returns::Bitmap, subset_in_range)
            .argument("start, end", "the range [start, end)")
            .says("The elements in the range.")
            .rules(EMPTY_IS_NULL)
            .source("StarRocks, Doris")
            .example("SELECT bitmap_to_string(bitmap_subset_in_range('{1,5,9}', 2, 9))", "5"),
        Entry::new("bitmap_subset_limit", THREE, Returns::Bitmap, subset_limit)
            .argument("start, n", limit)
            .says("At most n elements from a start.")
            .rules(EMPTY_IS_NULL)
            .source("StarRocks, Doris")
            .example("SELECT bitmap_to_string(bitmap_subset_limit('{1,5,9}', 5, 2)), bitmap_to_string(bitmap_subset_limit('{1,5,9}', 5, -2))", "5,9|1,5"),
        Entry::new("bitmapsubsetlimit", THREE, Returns::Bitmap, subset_limit_or_empty)
            .argument("start, n", limit)
            .says("At most n elements from a start.")
            .source("ClickHouse")
            .example("SELECT bitmap_to_string(bitmapsubsetlimit('{1,5,9}', 5, 1))", "5"),
        Entry::new("sub_bitmap", THREE, Returns::Bitmap, sub_bitmap)
            .argument("offset", of_position)
            .argument("n", "elements to take")
            .says("At most n elements from a position.")
            .rules(EMPTY_IS_NULL)
            .source("StarRocks, Doris")
            .example("SELECT bitmap_to_string(sub_bitmap('{1,5,9}', -2, 1))", "5"),
        Entry::new("subbitmap", THREE, Returns::Bitmap, sub_bitmap_or_empty)
            .argument("offset", of_position)
            .argument("n", "elements to take")
            .says("At most n elements from a position.")
            .source("ClickHouse")
            .example("SELECT bitmap_to_string(subbitmap('{1,5,9}', 1, 2))", "5,9"),
    ]
}

fn checked_samples() -> Vec<LawCase> {
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;
    let numbers = Int64Array::from(vec![Some(0), None, Some(7), Some(i64::MAX)]);
    let texts = StringArray::from(vec![Some("5"), None, Some("18446744073709551615")]);
    vec![
        LawCase::new("bigint", vec![LawArgument::column(Arc::new(numbers))]),
        LawCase::new("text", vec![LawArgument::column(Arc::new(texts))]),
    ]
}

fn null_count(values: &[Value<'_>]) -> usize {
    values.iter().filter(|value| matches!(value, Value::Null)).count()
}

fn skipping(machine: &mut Machine, operation: Operation, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    if null_count(values) == values.len() {
        return Ok(Answer::Null);
    }
    machine.combine(operation, values)
}

fn or_skipping(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    skipping(machine, Operation::Or, values)
}

fn xor_skipping(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    skipping(machine, Operation::Xor, values)
}

fn andnot_skipping(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    match values {
        [Value::Null, ..] => Ok(Answer::Null),
        _ => machine.combine(Operation::AndNot, values),
    }
}

fn and_empty(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    if null_count(values) > 0 {
        return machine.written();
    }
    machine.combine(Operation::And, values)
}

fn or_empty(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.combine(Operation::Or, values)
}

fn andnot_empty(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    match values {
        [Value::Null, ..] => machine.written(),
        _ => machine.combine(Operation::AndNot, values),
    }
}

/// Counts where a NULL counts as the empty set, which is what "a NULL result counts 0" comes to.
fn counted(machine: &mut Machine, operation: Operation, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let decided = match operation {
        Operation::And => null_count(values) > 0,
        Operation::AndNot => matches!(values, [Value::Null, ..]),
        Operation::Or | Operation::Xor => false,
    };
    let count = if decided { 0 } else { machine.count(operation, values)? };
    Ok(Answer::Integer(count as i64))
}

fn and_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    counted(machine, Operation::And, values)
}

fn or_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    counted(machine, Operation::Or, values)
}

fn xor_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    counted(machine, Operation::Xor, values)
}

fn andnot_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    counted(machine, Operation::AndNot, values)
}

fn count_or_zero(_machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Integer(match values {
        [Value::Bitmap(view, _, _)] => view.cardinality() as i64,
        _ => 0,
    }))
}

/// The element of an argument of `to_bitmap`; text may use the whole unsigned range.
fn unsigned(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(digits) => digits.trim().parse().ok(),
        _ => None,
    }
}

fn one_element(machine: &mut Machine, element: u64) -> Result<Answer, SqlError> {
    machine.combine_operands(Operation::Or, &[Operand::Range(Range::new(element, element))])
}

fn to_bitmap(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    match values.first().and_then(unsigned) {
        Some(element) => one_element(machine, element),
        None => Ok(Answer::Null),
    }
}

fn to_bitmap_with_check(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    if let Some(element) = values.first().and_then(unsigned) {
        return one_element(machine, element);
    }
    let shown = match values.first() {
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Text(text)) => text.chars().take(60).collect(),
        _ => String::new(),
    };
    let message = format!("value \"{shown}\" is out of range for a bitmap element");
    Err(SqlError::new(NUMERIC_VALUE_OUT_OF_RANGE, message)
        .with_detail("An element is between 0 and 18446744073709551615."))
}

fn empty(machine: &mut Machine, _values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.written()
}

/// Bytes, or NULL if they are malformed; what is too large stays an error.
fn or_null(machine: &mut Machine, bytes: Result<Vec<u8>, SqlError>) -> Result<Answer, SqlError> {
    match bytes {
        Ok(bytes) => machine.copy(&bytes),
        Err(error) if error.sqlstate.starts_with("22") => Ok(Answer::Null),
        Err(error) => Err(error),
    }
}

fn from_string(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Text(list)] = values else { return Ok(Answer::Null) };
    or_null(machine, text::parse(&format!("{{{list}}}"), Width::W64))
}

fn to_string(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    use std::fmt::Write;
    let (view, separator) = match values {
        [Value::Bitmap(view, _, _)] => (view, ","),
        [Value::Bitmap(view, _, _), Value::Text(separator)] => (view, *separator),
        _ => return Ok(Answer::Null),
    };
    super::scalar::check_array(0, usize::try_from(view.cardinality()).unwrap_or(usize::MAX))?;
    let width = machine.width;
    let out = &mut machine.text;
    let mut first = true;
    view.for_each(|element| {
        if !std::mem::replace(&mut first, false) {
            out.push_str(separator);
        }
        write!(out, "{}", width.shown(element)).expect("writing to a String cannot fail");
    });
    Ok(Answer::Text)
}

fn to_base64(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(_, bytes, _)] = values else { return Ok(Answer::Null) };
    STANDARD.encode_string(bytes, &mut machine.text);
    Ok(Answer::Text)
}

fn from_base64(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Text(digits)] = values else { return Ok(Answer::Null) };
    match STANDARD.decode(digits.trim()) {
        Ok(bytes) => or_null(machine, text::canonical(&bytes, Width::W64)),
        Err(_) => Ok(Answer::Null),
    }
}

fn to_binary(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(_, bytes, _)] = values else { return Ok(Answer::Null) };
    machine.copy(bytes)
}

fn from_binary(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bytes(bytes)] = values else { return Ok(Answer::Null) };
    or_null(machine, text::canonical(bytes, Width::W64))
}

/// NULL instead of the empty set.
fn unless_empty(machine: &mut Machine, answer: Answer) -> Result<Answer, SqlError> {
    if answer == Answer::Bytes && super::format::View::open(&machine.out, machine.width)?.is_empty() {
        machine.out.clear();
        return Ok(Answer::Null);
    }
    Ok(answer)
}

fn subset_in_range(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let answer = range_of(machine, values)?;
    unless_empty(machine, answer)
}

/// Writes the elements at these positions of the elements in a range.
fn write_selected(
    machine: &mut Machine,
    value: &Value<'_>,
    range: (u64, u64),
    (limit, offset): (u64, u64),
    reverse: bool,
) -> Result<Answer, SqlError> {
    let Value::Bitmap(view, _, _) = value else { return Ok(Answer::Null) };
    match selected(view, range, limit, offset, reverse) {
        Some((first, last)) => {
            machine.combine_operands(Operation::And, &[Operand::View(view), Operand::Range(Range::new(first, last))])
        }
        None => machine.written(),
    }
}

fn subset_limit_or_empty(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [bitmap, Value::Integer(start), Value::Integer(count)] = values else { return Ok(Answer::Null) };
    let limit = count.unsigned_abs();
    if *count >= 0 {
        let end = if machine.width == Width::W32 { 1 << 32 } else { 0 };
        return match bounds(machine.width, *start, end) {
            Some(range) => write_selected(machine, bitmap, range, (limit, 0), false),
            None => machine.written(),
        };
    }
    let last = match machine.width {
        Width::W32 if *start < 0 => return machine.written(),
        Width::W32 => (*start as u64).min(Width::W32.max()),
        Width::W64 => *start as u64,
    };
    write_selected(machine, bitmap, (0, last), (limit, 0), true)
}

fn subset_limit(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let answer = subset_limit_or_empty(machine, values)?;
    unless_empty(machine, answer)
}

fn sub_bitmap_or_empty(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [bitmap @ Value::Bitmap(view, _, _), Value::Integer(offset), Value::Integer(count)] = values else {
        return Ok(Answer::Null);
    };
    let from_end = offset.unsigned_abs();
    let offset = match *offset {
        offset if offset >= 0 => offset as u64,
        _ if from_end > view.cardinality() => return machine.written(),
        _ => view.cardinality() - from_end,
    };
    write_selected(machine, bitmap, (0, machine.width.max()), ((*count).max(0) as u64, offset), false)
}

fn sub_bitmap(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let answer = sub_bitmap_or_empty(machine, values)?;
    unless_empty(machine, answer)
}
