//! The scalar `rb_*` functions: what each computes and what the reference page says of it.
//!
//! Meaning and edges are those of pg_roaringbitmap 1.2: strict, unsigned order, ranges `[start, end)`. One name serves
//! both widths; every `rb_x` is also called `rb64_x`.

use super::Width;
use super::combine::{Operand, Operation, Range, contains_all, intersects};
use super::edit::{change_width, selected, shift};
use super::entry::Entry;
use super::scalar::Parameter::{Array, Bigint, Bitmap, BitmapOf, Boolean, Bytes, Element, Text};
use super::scalar::{Answer, Kernel, Machine, Returns, Value};
use super::text;
use crate::SqlError;
use crate::error::NULL_VALUE_NOT_ALLOWED;

/// The scalar functions of pg_roaringbitmap.
pub fn entries() -> Vec<Entry> {
    let mut entries = constructors();
    entries.extend(set_operations());
    entries.extend(questions());
    entries.extend(edits());
    entries
}

const PG: &str = "pg_roaringbitmap 1.2";

fn constructors() -> Vec<Entry> {
    let casts = |from: &[super::scalar::Parameter]| vec![vec![from[0]], vec![from[1]], vec![Text], vec![Bytes]];
    let both = [BitmapOf(Width::W32), BitmapOf(Width::W64)];
    vec![
        Entry::new("rb_build", &[&[Array]], Returns::Bitmap, build)
            .aliases(&["bitmapbuild"])
            .says("The set of the elements of an array: integer[] gives roaringbitmap, bigint[] gives roaringbitmap64.")
            .rules("Duplicates collapse; an empty array gives the empty set. A NULL element: 22004.")
            .source(PG)
            .example("SELECT rb_to_array(rb_build(ARRAY[3, 1, 3]::integer[]))", "{1,3}"),
        Entry::new("rb64_build", &[&[Array]], Returns::BitmapOf(Width::W64), build)
            .aliases(&["bitmap_from_array", "array_to_bitmap"])
            .says("The roaringbitmap64 of the elements of an array of any integer type.")
            .rules("As rb_build.")
            .source(PG)
            .example("SELECT rb_to_array(rb64_build(ARRAY[3, 1, -1]::bigint[]))", "{1,3,-1}"),
        Entry::new("roaringbitmap", &[], Returns::BitmapOf(Width::W32), cast_to)
            .forms(casts(&both))
            .alias("rb64_to_roaringbitmap")
            .default_width(Width::W32)
            .says(
                "The cast to roaringbitmap: of text (`{1,5,-3}`, or `\\x` and the portable bytes in hexadecimal), of bytea \
                 (the portable bytes), of roaringbitmap64.",
            )
            .rules(
                "Bytes are checked completely: a fault is 22P03, the DETAIL says which and at which byte. Malformed text: \
                 22P02. An element that does not fit integer: 22003. The result is canonical.",
            )
            .source("RoaringFormatSpec, portable format")
            .example("SELECT rb_to_array(roaringbitmap('{1, 5, -3}'))", "{1,5,-3}"),
        Entry::new("roaringbitmap64", &[], Returns::BitmapOf(Width::W64), cast_to)
            .forms(casts(&both))
            .alias("rb64_from_roaringbitmap")
            .default_width(Width::W64)
            .says("The cast to roaringbitmap64: of text, of bytea, of roaringbitmap (each element sign-extended).")
            .rules("As roaringbitmap; the limits of an element are those of bigint.")
            .source("RoaringFormatSpec, portable format for 64 bits")
            .example("SELECT rb_to_array(roaringbitmap64(roaringbitmap('{1,-3}')))", "{1,-3}"),
    ]
}

fn set_operations() -> Vec<Entry> {
    let operations: [(&str, &str, Operation, Kernel, Kernel); 4] = [
        ("rb_and", "common to all arguments", Operation::And, and, and_count),
        ("rb_or", "in any of the arguments", Operation::Or, or, or_count),
        ("rb_xor", "in an odd number of the arguments", Operation::Xor, xor, xor_count),
        ("rb_andnot", "in the first argument and in none of the others", Operation::AndNot, andnot, andnot_count),
    ];
    let counts = ["rb_and_cardinality", "rb_or_cardinality", "rb_xor_cardinality", "rb_andnot_cardinality"];
    let mut entries = Vec::new();
    for ((name, what, operation, kernel, count_kernel), count_name) in operations.into_iter().zip(counts) {
        let (set, count) = match operation {
            Operation::And => ("{2,3}", "2"),
            Operation::Or => ("{1,2,3,4}", "4"),
            Operation::Xor => ("{1,4}", "2"),
            Operation::AndNot => ("{1}", "1"),
        };
        let (names, count_alias): (&[&str], &str) = match operation {
            Operation::And => (&["bitmap_and", "bitmapand"], "bitmapandcardinality"),
            Operation::Or => (&["bitmapor"], "bitmaporcardinality"),
            Operation::Xor => (&["bitmapxor"], "bitmapxorcardinality"),
            Operation::AndNot => (&["bitmapandnot"], "bitmapandnotcardinality"),
        };
        entries.push(
            Entry::new(name, &[&[Bitmap, Bitmap]], Returns::Bitmap, kernel)
                .variadic()
                .aliases(names)
                .says(format!("The elements {what}."))
                .cost("O(containers); each input byte is read once.")
                .source(PG)
                .example(format!("SELECT rb_to_array({name}('{{1,2,3}}', '{{2,3,4}}'))"), set),
        );
        entries.push(
            Entry::new(count_name, &[&[Bitmap, Bitmap]], Returns::Bigint, count_kernel)
                .variadic()
                .alias(count_alias)
                .says(format!("The number of elements {what}; nothing is materialised."))
                .cost("O(containers); each input byte is read once.")
                .source(PG)
                .example(format!("SELECT {count_name}('{{1,2,3}}', '{{2,3,4}}')"), count),
        );
    }
    entries
}

fn questions() -> Vec<Entry> {
    let mut entries = relations();
    entries.extend(measures());
    entries
}

fn relations() -> Vec<Entry> {
    vec![
        Entry::new("rb_contains", &[&[Bitmap, Bitmap], &[Bitmap, Element]], Returns::Boolean, contains)
            .aliases(&["bitmap_contains", "bitmap_has_all", "bitmapcontains", "bitmaphasall", "rb_contains_bitmap"])
            .says("Does the first bitmap contain the element, or all elements of the second bitmap?")
            .rules("Every set contains the empty set. NULL in, NULL out.")
            .cost("An element: O(log containers). A bitmap: stops at the first container that is not contained.")
            .source(PG)
            .example("SELECT rb_contains('{1,2,3}', '{1,3}'), rb_contains('{1,2,3}', 4)", "t|f"),
        Entry::new("rb_containedby", &[&[Bitmap, Bitmap], &[Element, Bitmap]], Returns::Boolean, contained_by)
            .says("rb_contains with the arguments exchanged.")
            .source(PG)
            .example("SELECT rb_containedby('{1,3}', '{1,2,3}'), rb_containedby(4, '{1,2,3}')", "t|f"),
        Entry::new("rb_intersect", &[&[Bitmap, Bitmap]], Returns::Boolean, intersect)
            .aliases(&["bitmap_has_any", "bitmaphasany"])
            .says("Is there a common element? Stops at the first.")
            .source(PG)
            .example("SELECT rb_intersect('{1,2}', '{2,3}'), rb_intersect('{1,2}', '{3}')", "t|f"),
        Entry::new("rb_equals", &[&[Bitmap, Bitmap]], Returns::Boolean, equals)
            .says("Are both sets equal?")
            .source(PG)
            .example("SELECT rb_equals('{1,2}', '{2,1}')", "t"),
        Entry::new("rb_not_equals", &[&[Bitmap, Bitmap]], Returns::Boolean, not_equals)
            .says("Do the sets differ?")
            .source(PG)
            .example("SELECT rb_not_equals('{1,2}', '{2,1}')", "f"),
        Entry::new("rb_jaccard_dist", &[&[Bitmap, Bitmap]], Returns::Double, jaccard)
            .says("The Jaccard similarity of the sets, in spite of the name: common elements / elements in either.")
            .rules("Both empty: NaN. NULL in, NULL out.")
            .source(PG)
            .example("SELECT rb_jaccard_dist('{1,2,3}', '{2,3,4}')", "0.5"),
    ]
}

fn measures() -> Vec<Entry> {
    vec![
        Entry::new("rb_cardinality", &[&[Bitmap]], Returns::Bigint, cardinality)
            .aliases(&["bitmapcardinality"])
            .says("The number of elements.")
            .cost("Reads headers only.")
            .source(PG)
            .example("SELECT rb_cardinality('{1,5,-3}')", "3"),
        Entry::new("rb_is_empty", &[&[Bitmap]], Returns::Boolean, is_empty)
            .says("Is it the empty set?")
            .cost("Reads headers only.")
            .source(PG)
            .example("SELECT rb_is_empty('{}')", "t"),
        Entry::new("rb_min", &[&[Bitmap]], Returns::Element, min)
            .aliases(&["bitmap_min", "bitmapmin"])
            .says("The smallest element in unsigned order: 0, 1, ..., max, min, ..., -1.")
            .rules("NULL if the set is empty.")
            .source(PG)
            .example("SELECT rb_min('{5,-3}')", "5"),
        Entry::new("rb_max", &[&[Bitmap]], Returns::Element, max)
            .aliases(&["bitmap_max", "bitmapmax"])
            .says("The largest element in unsigned order.")
            .rules("NULL if the set is empty.")
            .source(PG)
            .example("SELECT rb_max('{5,-3}')", "-3"),
        Entry::new("rb_rank", &[&[Bitmap, Element]], Returns::Bigint, rank)
            .says("The number of elements not above the given one, in unsigned order.")
            .source(PG)
            .example("SELECT rb_rank('{1,5,9}', 5)", "2"),
        Entry::new("rb_index", &[&[Bitmap, Element]], Returns::Bigint, index)
            .says("The 0-based position of the element.")
            .rules("-1 if it is absent. NULL in, NULL out.")
            .source(PG)
            .example("SELECT rb_index('{1,5,9}', 5), rb_index('{1,5,9}', 6)", "1|-1"),
        Entry::new("rb_to_array", &[&[Bitmap]], Returns::Array, to_array)
            .aliases(&["bitmap_to_array", "bitmaptoarray"])
            .says("The elements, ascending in unsigned order: integer[] or bigint[].")
            .rules("More than 134217727 elements: 54000. NULL in, NULL out.")
            .source(PG)
            .example("SELECT rb_to_array('{3,-1,2}')", "{2,3,-1}"),
        Entry::new("rb_range_cardinality", &[&[Bitmap, Bigint, Bigint]], Returns::Bigint, range_cardinality)
            .argument("start, end", "the range [start, end), as for rb_range")
            .says("The number of elements in the range.")
            .source(PG)
            .example("SELECT rb_range_cardinality('{1,5,9}', 1, 9)", "2"),
    ]
}

fn edits() -> Vec<Entry> {
    let range = "the range [start, end). 32 bits: clamped to 0..2^32, empty if end <= start. 64 bits: both read as \
                 unsigned, end 0 is unlimited";
    let ranged = |name, kernel: Kernel, says: &str, output: &str| {
        Entry::new(name, &[&[Bitmap, Bigint, Bigint]], Returns::Bitmap, kernel)
            .argument("start, end", range)
            .says(says)
            .rules("A result above 64 MiB: 54000. NULL in, NULL out.")
            .source(PG)
            .example(format!("SELECT rb_to_array({name}('{{1,5,9}}', 4, 7))"), output)
    };
    vec![
        ranged("rb_range", range_of, "The elements in the range.", "{5}").alias("bitmapsubsetinrange"),
        ranged("rb_fill", fill, "The elements and all of the range.", "{1,4,5,6,9}"),
        ranged("rb_clear", clear, "The elements outside the range.", "{1,9}"),
        ranged("rb_flip", flip, "The elements with those of the range exchanged for those missing.", "{1,4,6,9}"),
        Entry::new("rb_add", &[&[Bitmap, Element], &[Element, Bitmap]], Returns::Bitmap, add)
            .says("The set with the element.")
            .source(PG)
            .example("SELECT rb_to_array(rb_add('{1,5}', 3))", "{1,3,5}"),
        Entry::new("rb_remove", &[&[Bitmap, Element]], Returns::Bitmap, remove)
            .aliases(&["bitmap_remove"])
            .says("The set without the element.")
            .source(PG)
            .example("SELECT rb_to_array(rb_remove('{1,3,5}', 3))", "{1,5}"),
        Entry::new("rb_shiftright", &[&[Bitmap, Bigint]], Returns::Bitmap, shift_right)
            .says("Adds the distance to every element.")
            .rules("Elements that leave 0..2^32-1 (2^64-1) drop. A negative distance shifts left. NULL in, NULL out.")
            .source(PG)
            .example("SELECT rb_to_array(rb_shiftright('{1,2,3}', 2))", "{3,4,5}"),
        Entry::new("rb_shiftleft", &[&[Bitmap, Bigint]], Returns::Bitmap, shift_left)
            .says("Subtracts the distance from every element.")
            .rules("As rb_shiftright, in the other direction.")
            .source(PG)
            .example("SELECT rb_to_array(rb_shiftleft('{1,2,3}', 2))", "{0,1}"),
        Entry::new("rb_select", &[], Returns::Bitmap, select)
            .forms((2..=6).map(|count| [Bitmap, Bigint, Bigint, Boolean, Bigint, Bigint][..count].to_vec()).collect())
            .names(&["rb", "limit", "offset", "reverse", "range_start", "range_end"])
            .argument("limit", "elements to take; not above 0: the empty set")
            .argument("offset", "elements to skip; negative is 0. Default 0")
            .argument("reverse", "count from the largest. Default false")
            .argument("range_start, range_end", "only elements in the range, as for rb_range. Default: all")
            .says("Of the elements in the range, in order or in reverse, skips `offset` and takes `limit`.")
            .cost("Headers and two containers, then the bytes of the result.")
            .source("pg_roaringbitmap 1.2; a negative offset is 0, where its 32-bit form returns too few")
            .example(
                "SELECT rb_to_array(rb_select('{1,5,9,12}', 2, 1)), rb_to_array(rb_select('{1,5,9,12}', 2, 1, true))",
                "{5,9}|{5,9}",
            ),
        Entry::new("rb_runoptimize", &[&[Bitmap]], Returns::Bitmap, same)
            .says("The same set. Values are always in canonical form, so there is nothing to optimise.")
            .source(PG)
            .example("SELECT rb_to_array(rb_runoptimize('{1,2,3}'))", "{1,2,3}"),
    ]
}

pub(super) fn and(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.combine(Operation::And, values)
}

pub(super) fn or(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.combine(Operation::Or, values)
}

pub(super) fn xor(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.combine(Operation::Xor, values)
}

pub(super) fn andnot(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    machine.combine(Operation::AndNot, values)
}

pub(super) fn and_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Integer(machine.count(Operation::And, values)? as i64))
}

pub(super) fn or_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Integer(machine.count(Operation::Or, values)? as i64))
}

pub(super) fn xor_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Integer(machine.count(Operation::Xor, values)? as i64))
}

pub(super) fn andnot_count(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Integer(machine.count(Operation::AndNot, values)? as i64))
}

pub(super) fn build(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Array(items, range)] = values else { return Ok(Answer::Null) };
    let width = machine.writer.width();
    let mut elements = Vec::with_capacity(range.len());
    for index in range.clone() {
        match items.get(index) {
            Some(value) => elements.push(width.element(value)?),
            None => return Err(SqlError::new(NULL_VALUE_NOT_ALLOWED, "array must not contain nulls")),
        }
    }
    let bytes = text::from_elements(&mut elements, width)?;
    machine.copy(&bytes)
}

fn cast_to(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let width = machine.writer.width();
    let bytes = match values {
        [Value::Bitmap(view, bytes, from)] => {
            if *from == width {
                return machine.copy(bytes);
            }
            change_width(view, &mut machine.writer)?;
            return machine.written();
        }
        [Value::Text(literal)] => text::parse(literal, width)?,
        [Value::Bytes(bytes)] => text::canonical(bytes, width)?,
        _ => return Ok(Answer::Null),
    };
    machine.copy(&bytes)
}

pub(super) fn contains(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Boolean(match values {
        [Value::Bitmap(whole, _, _), Value::Bitmap(part, _, _)] => contains_all(whole, part),
        [Value::Bitmap(whole, _, _), Value::Integer(element)] => whole.contains(machine.width.element(*element)?),
        _ => return Ok(Answer::Null),
    }))
}

fn contained_by(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(Answer::Boolean(match values {
        [Value::Bitmap(part, _, _), Value::Bitmap(whole, _, _)] => contains_all(whole, part),
        [Value::Integer(element), Value::Bitmap(whole, _, _)] => whole.contains(machine.width.element(*element)?),
        _ => return Ok(Answer::Null),
    }))
}

pub(super) fn intersect(_machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(a, _, _), Value::Bitmap(b, _, _)] = values else { return Ok(Answer::Null) };
    Ok(Answer::Boolean(intersects(a, b)))
}

fn equal_sets(machine: &mut Machine, values: &[Value<'_>]) -> Result<Option<bool>, SqlError> {
    let [Value::Bitmap(a, a_bytes, _), Value::Bitmap(b, b_bytes, _)] = values else { return Ok(None) };
    if a_bytes == b_bytes {
        return Ok(Some(true));
    }
    // Equal sets have equal bytes unless a value came here without being made canonical.
    let count = a.cardinality();
    Ok(Some(count == b.cardinality() && machine.count(Operation::And, values)? == count))
}

fn equals(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(equal_sets(machine, values)?.map_or(Answer::Null, Answer::Boolean))
}

fn not_equals(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    Ok(equal_sets(machine, values)?.map_or(Answer::Null, |equal| Answer::Boolean(!equal)))
}

fn jaccard(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let common = machine.count(Operation::And, values)?;
    let either = machine.count(Operation::Or, values)?;
    Ok(Answer::Double(common as f64 / either as f64))
}

pub(super) fn cardinality(_machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _)] = values else { return Ok(Answer::Null) };
    Ok(Answer::Integer(view.cardinality() as i64))
}

fn is_empty(_machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _)] = values else { return Ok(Answer::Null) };
    Ok(Answer::Boolean(view.is_empty()))
}

pub(super) fn min(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _)] = values else { return Ok(Answer::Null) };
    Ok(view.min().map_or(Answer::Null, |element| Answer::Integer(machine.width.shown(element))))
}

pub(super) fn max(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _)] = values else { return Ok(Answer::Null) };
    Ok(view.max().map_or(Answer::Null, |element| Answer::Integer(machine.width.shown(element))))
}

fn rank(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _), Value::Integer(element)] = values else { return Ok(Answer::Null) };
    Ok(Answer::Integer(view.rank(machine.width.element(*element)?) as i64))
}

fn index(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _), Value::Integer(element)] = values else { return Ok(Answer::Null) };
    let element = machine.width.element(*element)?;
    let position = if view.contains(element) { view.rank(element) as i64 - 1 } else { -1 };
    Ok(Answer::Integer(position))
}

pub(super) fn to_array(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _)] = values else { return Ok(Answer::Null) };
    super::scalar::check_array(0, usize::try_from(view.cardinality()).unwrap_or(usize::MAX))?;
    let width = machine.width;
    view.for_each(|element| machine.elements.push(width.shown(element)));
    Ok(Answer::Elements)
}

/// The range `[start, end)` by its first and last value, None if it is empty.
pub(super) fn bounds(width: Width, start: i64, end: i64) -> Option<(u64, u64)> {
    match width {
        Width::W32 => {
            let limit = 1 << 32;
            let (start, end) = (start.clamp(0, limit), end.clamp(0, limit));
            (start < end).then(|| (start as u64, end as u64 - 1))
        }
        Width::W64 => {
            let (start, end) = (start as u64, end as u64);
            (end == 0 || start < end).then(|| (start, end.wrapping_sub(1)))
        }
    }
}

/// Combines a bitmap with the range given by the next two arguments.
fn with_range(machine: &mut Machine, operation: Operation, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, bytes, _), Value::Integer(start), Value::Integer(end)] = values else {
        return Ok(Answer::Null);
    };
    match bounds(machine.width, *start, *end) {
        Some((first, last)) => {
            machine.combine_operands(operation, &[Operand::View(view), Operand::Range(Range::new(first, last))])
        }
        None if operation == Operation::And => machine.written(),
        None => machine.copy(bytes),
    }
}

pub(super) fn range_of(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_range(machine, Operation::And, values)
}

fn fill(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_range(machine, Operation::Or, values)
}

fn clear(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_range(machine, Operation::AndNot, values)
}

fn flip(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_range(machine, Operation::Xor, values)
}

fn range_cardinality(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _), Value::Integer(start), Value::Integer(end)] = values else {
        return Ok(Answer::Null);
    };
    let Some((first, last)) = bounds(machine.width, *start, *end) else { return Ok(Answer::Integer(0)) };
    let below = if first == 0 { 0 } else { view.rank(first - 1) };
    Ok(Answer::Integer((view.rank(last) - below) as i64))
}

fn with_element(machine: &mut Machine, operation: Operation, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    match values {
        [Value::Bitmap(view, _, _), Value::Integer(element)] | [Value::Integer(element), Value::Bitmap(view, _, _)] => {
            let element = machine.width.element(*element)?;
            machine.combine_operands(operation, &[Operand::View(view), Operand::Range(Range::new(element, element))])
        }
        _ => Ok(Answer::Null),
    }
}

fn add(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_element(machine, Operation::Or, values)
}

pub(super) fn remove(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    with_element(machine, Operation::AndNot, values)
}

fn shift_right(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _), Value::Integer(distance)] = values else { return Ok(Answer::Null) };
    shift(view, *distance, &mut machine.writer)?;
    machine.written()
}

fn shift_left(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let [Value::Bitmap(view, _, _), Value::Integer(distance)] = values else { return Ok(Answer::Null) };
    match distance.checked_neg() {
        Some(distance) => shift(view, distance, &mut machine.writer)?,
        // 2^63 does not fit: in two steps.
        None => {
            shift(view, i64::MAX, &mut machine.writer)?;
            let mut once = Vec::new();
            machine.writer.finish(&mut once);
            shift(&super::format::View::open(&once, machine.width)?, 1, &mut machine.writer)?;
        }
    }
    machine.written()
}

fn select(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    let integer = |index: usize| match values.get(index) {
        Some(Value::Integer(value)) => Some(*value),
        _ => None,
    };
    let (Some(Value::Bitmap(view, _, _)), Some(limit)) = (values.first(), integer(1)) else { return Ok(Answer::Null) };
    let reverse = matches!(values.get(3), Some(Value::Boolean(true)));
    let unlimited = if machine.width == Width::W32 { 1 << 32 } else { 0 };
    let range = bounds(machine.width, integer(4).unwrap_or(0), integer(5).unwrap_or(unlimited));
    let (limit, offset) = (limit.max(0) as u64, integer(2).unwrap_or(0).max(0) as u64);
    match range.and_then(|range| selected(view, range, limit, offset, reverse)) {
        Some((first, last)) => {
            machine.combine_operands(Operation::And, &[Operand::View(view), Operand::Range(Range::new(first, last))])
        }
        None => machine.written(),
    }
}

fn same(machine: &mut Machine, values: &[Value<'_>]) -> Result<Answer, SqlError> {
    match values {
        [Value::Bitmap(_, bytes, _)] => machine.copy(bytes),
        _ => Ok(Answer::Null),
    }
}
