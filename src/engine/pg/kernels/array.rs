//! Array functions, and functions that return sets, as lists.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, PrimitiveArray, StringViewArray,
    StringViewBuilder, UInt64Array, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::logical_expr::ColumnarValue;
use tributary_pg::datetime;
use tributary_pg::error::PgError;
use tributary_pg::{interval, sqlstate};

use super::super::call::{Call, over_arrays};
use super::super::casts::print_styled;
use super::super::reading::style_of;
use super::super::signatures::{element_of, oid};
use super::super::typed::Typed;
use super::super::types::{PgType, arrow_type, field_over};
use super::Implementation;
use super::lengths::by_length;
use super::numeric::{Decimal, collect, value_at};

/// Elements a generated set may have. Reason: the list is made in memory before its rows flow.
const SET_ROWS_MAX: i64 = 50_000_000;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    changes(code).or_else(|| sizes(code)).or_else(|| tests(code)).or_else(|| sets(code)).or_else(|| texts(code))
}

fn internal(error: arrow::error::ArrowError) -> PgError {
    PgError::internal(error.to_string())
}

/// The result has the list type of the argument at an index.
fn like_argument(arguments: &[Typed], index: usize) -> Result<Field, PgError> {
    let Some(argument) = arguments.get(index) else { return Err(PgError::internal("an array argument is missing")) };
    let of = PgType::plain(argument.of.oid);
    let mut data_type = arrow_type(of)?;
    if let Some((precision, scale)) = list_decimals(argument) {
        let item = super::numeric::decimal_type(precision - scale, scale);
        data_type = DataType::List(Arc::new(Field::new("item", item, true)));
    }
    for _ in 1..argument.depth() {
        data_type = DataType::List(Arc::new(Field::new("item", data_type, true)));
    }
    Ok(field_over("", of, data_type, true))
}

/// Precision and scale of a numeric array's elements.
fn list_decimals(argument: &Typed) -> Option<(i32, i32)> {
    let mut data_type = argument.arrow()?;
    while let DataType::List(item) = data_type {
        data_type = item.data_type().clone();
    }
    super::numeric::shape_of(&data_type)
}

/// The result has the first argument's list type.
pub(super) fn first_like(arguments: &[Typed]) -> Result<Field, PgError> {
    like_argument(arguments, 0)
}

fn second_like(arguments: &[Typed]) -> Result<Field, PgError> {
    like_argument(arguments, 1)
}

/// The element of the first argument's list.
fn element_like(arguments: &[Typed]) -> Result<Field, PgError> {
    let list = like_argument(arguments, 0)?;
    let DataType::List(item) = list.data_type() else {
        return Err(PgError::internal("a subscripted value is no list"));
    };
    let nested = matches!(item.data_type(), DataType::List(_));
    let of = if nested { arguments[0].of.oid } else { element_of(arguments[0].of.oid).unwrap_or(oid::TEXT) };
    Ok(field_over("", PgType::plain(of), item.data_type().clone(), true))
}

/// Builds lists row by row from slices of other arrays.
fn lists(
    call: &Call<'_>,
    rows: usize,
    mut row: impl FnMut(usize) -> Result<Option<ArrayRef>, PgError>,
) -> Result<ArrayRef, PgError> {
    let DataType::List(item) = call.data_type() else { return Err(PgError::internal("an array result is no list")) };
    let mut pieces = Vec::with_capacity(rows);
    let (mut lengths, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut total = 0;
    for index in 0..rows {
        let piece = row(index)?;
        // Offsets of lists have 32 bits, and all of it is in memory.
        total += piece.as_ref().map_or(0, |piece| piece.len() as i64);
        if total > SET_ROWS_MAX {
            return Err(too_many());
        }
        valid.push(piece.is_some());
        lengths.push(piece.as_ref().map_or(0, |piece| piece.len()));
        if let Some(piece) = piece
            && !piece.is_empty()
        {
            pieces.push(fitted(piece, item.data_type())?);
        }
    }
    let views: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
    let values = if views.is_empty() { new_empty_array(item.data_type()) } else { concat(&views).map_err(internal)? };
    ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, Some(NullBuffer::from(valid)))
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(internal)
}

/// Elements in the list's own decimal type or list level.
fn fitted(piece: ArrayRef, wanted: &DataType) -> Result<ArrayRef, PgError> {
    if piece.data_type() == wanted {
        return Ok(piece);
    }
    match wanted {
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            collect(wanted, piece.len(), |row| Ok(value_at(&piece, row)))
        }
        _ => arrow::compute::cast(&piece, wanted).map_err(internal),
    }
}

fn list_row(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    let list = array.as_list_opt::<i32>()?;
    (!list.is_null(row)).then(|| list.value(row))
}

fn joined(parts: &[ArrayRef]) -> Result<ArrayRef, PgError> {
    let views: Vec<&dyn Array> = parts.iter().map(|piece| piece.as_ref()).collect();
    concat(&views).map_err(internal)
}

fn join_fitted(call: &Call<'_>, parts: Vec<ArrayRef>) -> Result<ArrayRef, PgError> {
    let DataType::List(item) = call.data_type() else { return Err(PgError::internal("an array result is no list")) };
    let parts: Result<Vec<ArrayRef>, PgError> = parts.into_iter().map(|one| fitted(one, item.data_type())).collect();
    joined(&parts?)
}

fn changes(code: &str) -> Option<Implementation> {
    let lenient = |kernel, shape| Some(Implementation { kernel, shape: super::Shape::Computed(shape), strict: false });
    match code {
        "array_append" => lenient(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    lists(call, rows, |row| {
                        let one = arrays[1].slice(row, 1);
                        Ok(Some(match list_row(&arrays[0], row) {
                            Some(list) => join_fitted(call, vec![list, one])?,
                            None => one,
                        }))
                    })
                })
            },
            first_like,
        ),
        "array_prepend" => lenient(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    lists(call, rows, |row| {
                        let one = arrays[0].slice(row, 1);
                        Ok(Some(match list_row(&arrays[1], row) {
                            Some(list) => join_fitted(call, vec![one, list])?,
                            None => one,
                        }))
                    })
                })
            },
            second_like,
        ),
        "array_cat" => lenient(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    lists(call, rows, |row| match (list_row(&arrays[0], row), list_row(&arrays[1], row)) {
                        (Some(left), Some(right)) => join_fitted(call, vec![left, right]).map(Some),
                        (left, right) => Ok(left.or(right)),
                    })
                })
            },
            first_like,
        ),
        "array_remove" => lenient(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    lists(call, rows, |row| {
                        let Some(list) = list_row(&arrays[0], row) else { return Ok(None) };
                        let same = same_as(&list, &arrays[1].slice(row, 1))?;
                        let keep: UInt64Array =
                            (0..list.len()).filter(|index| !same[*index]).map(|index| index as u64).collect();
                        take(&list, &keep, None).map(Some).map_err(internal)
                    })
                })
            },
            first_like,
        ),
        "array_replace" => lenient(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    lists(call, rows, |row| {
                        let Some(list) = list_row(&arrays[0], row) else { return Ok(None) };
                        let same = same_as(&list, &arrays[1].slice(row, 1))?;
                        let both = join_fitted(call, vec![Arc::clone(&list), arrays[2].slice(row, 1)])?;
                        let pick: UInt64Array = (0..list.len())
                            .map(|index| if same[index] { list.len() as u64 } else { index as u64 })
                            .collect();
                        take(&both, &pick, None).map(Some).map_err(internal)
                    })
                })
            },
            first_like,
        ),
        "trim_array" => Implementation::shaped(
            |call, values| {
                over_arrays(call, values, |arrays, rows| {
                    let counts = arrays[1].as_primitive::<Int32Type>();
                    lists(call, rows, |row| {
                        let Some(list) = list_row(&arrays[0], row).filter(|_| !counts.is_null(row)) else {
                            return Ok(None);
                        };
                        let count = usize::try_from(counts.value(row)).ok().filter(|count| *count <= list.len());
                        let Some(count) = count else {
                            let message = format!("number of elements to trim must be between 0 and {}", list.len());
                            return Err(PgError::new(sqlstate::ARRAY_ELEMENT_ERROR, message));
                        };
                        Ok(Some(list.slice(0, list.len() - count)))
                    })
                })
            },
            first_like,
        ),
        "array_flatten" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| lists(call, rows, |row| Ok(list_row(&arrays[0], row).map(flat))))
        }),
        "array_subscript" => Implementation::shaped(subscript, element_like),
        "array_slice" | "array_slice_to" => {
            if code == "array_slice" {
                lenient(|call, values| slices(call, values, false), first_like)
            } else {
                lenient(|call, values| slices(call, values, true), first_like)
            }
        }
        _ => None,
    }
}

fn flat(list: ArrayRef) -> ArrayRef {
    match list.as_list_opt::<i32>() {
        Some(inner) => {
            let start = inner.value_offsets().first().copied().unwrap_or(0) as usize;
            let end = inner.value_offsets().last().copied().unwrap_or(0) as usize;
            flat(inner.values().slice(start, end - start))
        }
        None => list,
    }
}

/// Which elements equal one value; NULL equals NULL.
fn same_as(list: &ArrayRef, one: &ArrayRef) -> Result<Vec<bool>, PgError> {
    let one = fitted(Arc::clone(one), list.data_type())?;
    if one.is_null(0) {
        return Ok((0..list.len()).map(|index| list.is_null(index)).collect());
    }
    let wanted = vec![0_u64; list.len()];
    let repeated = take(&by_length(&one), &UInt64Array::from(wanted), None).map_err(internal)?;
    let same = cmp::eq(&by_length(list), &repeated).map_err(internal)?;
    Ok((0..list.len()).map(|index| !same.is_null(index) && same.value(index)).collect())
}

fn subscript(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let list = arrays[0].as_list::<i32>();
        let indexes = arrays[1].as_primitive::<Int32Type>();
        // int2vector and oidvector count from 0.
        let first = i32::from(!matches!(call.arguments[0].oid, oid::INT2VECTOR | oid::OIDVECTOR));
        let picks: UInt64Array = (0..rows)
            .map(|row| {
                if list.is_null(row) || indexes.is_null(row) {
                    return None;
                }
                let index = i64::from(indexes.value(row)) - i64::from(first);
                let start = i64::from(list.value_offsets()[row]);
                (index >= 0 && index < i64::from(list.value_length(row))).then(|| (start + index) as u64)
            })
            .collect();
        take(list.values(), &picks, None).map_err(internal)
    })
}

/// `a[m:n]`; an omitted bound is NULL, `to_only` slices run from 1.
fn slices(call: &Call<'_>, values: &[ColumnarValue], to_only: bool) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let bound = |index: usize, row: usize, default: i64| -> i64 {
            match arrays.get(index).and_then(|array| array.as_primitive_opt::<Int32Type>()) {
                Some(array) if !array.is_null(row) => i64::from(array.value(row)),
                _ => default,
            }
        };
        lists(call, rows, |row| {
            let Some(list) = list_row(&arrays[0], row) else { return Ok(None) };
            let length = list.len() as i64;
            let (from, to) =
                if to_only { (1, bound(1, row, length)) } else { (bound(1, row, 1), bound(2, row, length)) };
            let (from, to) = (from.max(1), to.min(length));
            if from > to {
                return Ok(Some(list.slice(0, 0)));
            }
            Ok(Some(list.slice((from - 1) as usize, (to - from + 1) as usize)))
        })
    })
}

/// Lengths of an array's dimensions, outermost first; none for an empty array.
fn dimensions(list: &ArrayRef) -> Vec<usize> {
    let mut found = Vec::new();
    let mut level = Arc::clone(list);
    loop {
        if level.is_empty() {
            return if found.is_empty() { Vec::new() } else { found };
        }
        found.push(level.len());
        match level.as_list_opt::<i32>() {
            Some(inner) => {
                let next = inner.value(0);
                level = next;
            }
            None => return found,
        }
    }
}

fn sizes(code: &str) -> Option<Implementation> {
    fn measured(
        call: &Call<'_>,
        values: &[ColumnarValue],
        compute: fn(&[usize], Option<i32>) -> Option<i32>,
    ) -> Result<ColumnarValue, PgError> {
        over_arrays(call, values, |arrays, rows| {
            let which = arrays.get(1).and_then(|array| array.as_primitive_opt::<Int32Type>());
            let sizes: Int32Array = (0..rows)
                .map(|row| {
                    let list = list_row(&arrays[0], row)?;
                    let which = which.map(|which| which.value(row));
                    compute(&dimensions(&list), which)
                })
                .collect();
            Ok(Arc::new(sizes))
        })
    }
    fn nth(sizes: &[usize], which: Option<i32>) -> Option<usize> {
        usize::try_from(which? - 1).ok().and_then(|index| sizes.get(index).copied())
    }
    match code {
        "array_length" | "array_upper" => Implementation::strict(|call, values| {
            measured(call, values, |sizes, which| nth(sizes, which).map(|size| size as i32))
        }),
        "array_lower" => {
            Implementation::strict(|call, values| measured(call, values, |sizes, which| nth(sizes, which).map(|_| 1)))
        }
        "array_ndims" => Implementation::strict(|call, values| {
            measured(call, values, |sizes, _| (!sizes.is_empty()).then_some(sizes.len() as i32))
        }),
        "array_cardinality" => Implementation::strict(|call, values| {
            measured(call, values, |sizes, _| {
                Some(if sizes.is_empty() { 0 } else { sizes.iter().product::<usize>() as i32 })
            })
        }),
        "array_dims" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let texts = (0..rows).map(|row| {
                    let sizes = dimensions(&list_row(&arrays[0], row)?);
                    (!sizes.is_empty()).then(|| sizes.iter().map(|size| format!("[1:{size}]")).collect::<String>())
                });
                Ok(Arc::new(texts.collect::<StringViewArray>()))
            })
        }),
        "array_position" | "array_position_start" => Implementation::lenient(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let mut done = Vec::with_capacity(rows);
                for row in 0..rows {
                    let Some(list) = list_row(&arrays[0], row) else {
                        done.push(None);
                        continue;
                    };
                    let start = arrays.get(2).map_or(1, |array| array.as_primitive::<Int32Type>().value(row)).max(1);
                    let same = same_as(&list, &arrays[1].slice(row, 1))?;
                    let found = (start as usize - 1..list.len()).find(|index| same[*index]);
                    done.push(found.map(|index| index as i32 + 1));
                }
                Ok(Arc::new(Int32Array::from(done)))
            })
        }),
        "array_positions" => Implementation::lenient(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                lists(call, rows, |row| {
                    let Some(list) = list_row(&arrays[0], row) else { return Ok(None) };
                    let same = same_as(&list, &arrays[1].slice(row, 1))?;
                    let found: Int32Array =
                        (0..list.len()).filter(|index| same[*index]).map(|index| Some(index as i32 + 1)).collect();
                    Ok(Some(Arc::new(found) as ArrayRef))
                })
            })
        }),
        _ => None,
    }
}

fn tests(code: &str) -> Option<Implementation> {
    if code.contains('\u{2}') {
        let all = code.starts_with("all");
        return match (code.rsplit_once('\u{2}').map(|(_, name)| name)?, all) {
            ("=", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::eq(a, b))),
            ("=", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::eq(a, b))),
            ("<>", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::neq(a, b))),
            ("<>", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::neq(a, b))),
            ("<", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::lt(a, b))),
            ("<", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::lt(a, b))),
            ("<=", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::lt_eq(a, b))),
            ("<=", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::lt_eq(a, b))),
            (">", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::gt(a, b))),
            (">", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::gt(a, b))),
            (">=", false) => quantifier(|call, values| quantified(call, values, false, |a, b| cmp::gt_eq(a, b))),
            (">=", true) => quantifier(|call, values| quantified(call, values, true, |a, b| cmp::gt_eq(a, b))),
            ("~~", false) => {
                quantifier(|call, values| quantified(call, values, false, |a, b| arrow_like(a, b, false, false)))
            }
            ("~~", true) => {
                quantifier(|call, values| quantified(call, values, true, |a, b| arrow_like(a, b, false, false)))
            }
            ("!~~", false) => {
                quantifier(|call, values| quantified(call, values, false, |a, b| arrow_like(a, b, true, false)))
            }
            ("!~~", true) => {
                quantifier(|call, values| quantified(call, values, true, |a, b| arrow_like(a, b, true, false)))
            }
            ("~~*", false) => {
                quantifier(|call, values| quantified(call, values, false, |a, b| arrow_like(a, b, false, true)))
            }
            ("~~*", true) => {
                quantifier(|call, values| quantified(call, values, true, |a, b| arrow_like(a, b, false, true)))
            }
            _ => None,
        };
    }
    match code {
        "arrayoverlap" => Implementation::strict(|call, values| {
            set_test(call, values, |left, right| {
                for index in 0..right.len() {
                    if !right.is_null(index) && same_as(left, &right.slice(index, 1))?.contains(&true) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
        }),
        "arraycontains" => Implementation::strict(|call, values| {
            set_test(call, values, |left, right| {
                for index in 0..right.len() {
                    if right.is_null(index) || !same_as(left, &right.slice(index, 1))?.contains(&true) {
                        return Ok(false);
                    }
                }
                Ok(true)
            })
        }),
        _ => None,
    }
}

fn quantifier(kernel: super::super::call::Kernel) -> Option<Implementation> {
    Some(Implementation { kernel, shape: super::Shape::Declared, strict: true })
}

fn arrow_like(
    values: &ArrayRef,
    patterns: &ArrayRef,
    negated: bool,
    folded: bool,
) -> Result<BooleanArray, arrow::error::ArrowError> {
    use arrow::compute::kernels::comparison::{ilike, like, nilike, nlike};
    match (negated, folded) {
        (false, false) => like(values, patterns),
        (true, false) => nlike(values, patterns),
        (false, true) => ilike(values, patterns),
        (true, true) => nilike(values, patterns),
    }
}

fn set_test(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: fn(&ArrayRef, &ArrayRef) -> Result<bool, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            done.push(match (list_row(&arrays[0], row), list_row(&arrays[1], row)) {
                (Some(left), Some(right)) => Some(compute(&flat(left), &flat(right))?),
                _ => None,
            });
        }
        Ok(Arc::new(BooleanArray::from(done)))
    })
}

/// One comparison of the left value, repeated, with all elements; then three-valued AND or OR by row.
fn quantified(
    call: &Call<'_>,
    values: &[ColumnarValue],
    all: bool,
    compare: fn(&ArrayRef, &ArrayRef) -> Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let mut done = Vec::with_capacity(rows);
        for row in 0..rows {
            let Some(list) = list_row(&arrays[1], row) else {
                done.push(None);
                continue;
            };
            let list = by_length(&flat(list));
            if list.is_empty() {
                done.push(Some(all));
                continue;
            }
            let one = by_length(&fitted(arrays[0].slice(row, 1), list.data_type())?);
            let repeated = take(&one, &UInt64Array::from(vec![0_u64; list.len()]), None).map_err(internal)?;
            let tests = compare(&repeated, &list).map_err(internal)?;
            let decisive = tests.iter().any(|test| test == Some(!all));
            done.push(if decisive {
                Some(!all)
            } else if tests.null_count() > 0 {
                None
            } else {
                Some(all)
            });
        }
        Ok(Arc::new(BooleanArray::from(done)))
    })
}

fn sets(code: &str) -> Option<Implementation> {
    match code {
        "generate_series_int4" | "generate_series_step_int4" => Implementation::strict(|call, values| {
            series(
                call,
                values,
                |array, row| i64::from(array.as_primitive::<Int32Type>().value(row)),
                |all| Arc::new(all.into_iter().map(|one| one as i32).collect::<Int32Array>()),
            )
        }),
        "generate_series_int8" | "generate_series_step_int8" => Implementation::strict(|call, values| {
            series(
                call,
                values,
                |array, row| array.as_primitive::<Int64Type>().value(row),
                |all| Arc::new(Int64Array::from(all)),
            )
        }),
        "generate_series_timestamp" | "generate_series_timestamptz" => Implementation::strict(stamp_series),
        "generate_series_numeric" | "generate_series_step_numeric" => Implementation::strict(numeric_series),
        "list_ordinality" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                lists(call, rows, |row| {
                    Ok(list_row(&arrays[0], row)
                        .map(|list| Arc::new((1..=list.len() as i64).collect::<Int64Array>()) as ArrayRef))
                })
            })
        }),
        "generate_subscripts" | "generate_subscripts_nodir" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| {
                let which = arrays[1].as_primitive::<Int32Type>();
                lists(call, rows, |row| {
                    let Some(list) = list_row(&arrays[0], row) else { return Ok(None) };
                    let sizes = dimensions(&list);
                    let size = usize::try_from(which.value(row) - 1).ok().and_then(|index| sizes.get(index).copied());
                    let zero = matches!(call.arguments[0].oid, oid::INT2VECTOR | oid::OIDVECTOR);
                    let size = size.unwrap_or(0) as i32;
                    let numbers: Int32Array = if zero { (0..size).collect() } else { (1..=size).collect() };
                    let backwards = arrays.get(2).is_some_and(|array| array.as_boolean().value(row));
                    if backwards {
                        let turned: Int32Array = numbers.values().iter().rev().copied().collect();
                        return Ok(Some(Arc::new(turned) as ArrayRef));
                    }
                    Ok(Some(Arc::new(numbers) as ArrayRef))
                })
            })
        }),
        _ => None,
    }
}

/// 22023: a series that never ends.
pub(in crate::engine::pg) fn zero_step() -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "step size cannot equal zero")
}

fn too_many() -> PgError {
    PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, format!("a set of more than {SET_ROWS_MAX} rows is not supported"))
}

fn series(
    call: &Call<'_>,
    values: &[ColumnarValue],
    read: fn(&ArrayRef, usize) -> i64,
    build: fn(Vec<i64>) -> ArrayRef,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        lists(call, rows, |row| {
            if arrays.iter().any(|array| array.is_null(row)) {
                return Ok(None);
            }
            let (from, to) = (read(&arrays[0], row), read(&arrays[1], row));
            let step = arrays.get(2).map_or(1, |array| read(array, row));
            if step == 0 {
                return Err(zero_step());
            }
            let count = (i128::from(to) - i128::from(from)) / i128::from(step);
            if count >= i128::from(SET_ROWS_MAX) {
                return Err(too_many());
            }
            let mut all = Vec::new();
            let mut current = Some(from);
            while let Some(one) = current.filter(|one| if step > 0 { *one <= to } else { *one >= to }) {
                all.push(one);
                current = one.checked_add(step);
            }
            Ok(Some(build(all)))
        })
    })
}

fn stamp_series(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let zone = style_of(call).time_zone;
    let zoned = call.arguments[0].oid == oid::TIMESTAMPTZ;
    let DataType::List(item) = call.data_type() else { return Err(PgError::internal("a series is no list")) };
    let item = item.data_type().clone();
    over_arrays(call, values, |arrays, rows| {
        lists(call, rows, |row| {
            if arrays.iter().any(|array| array.is_null(row)) {
                return Ok(None);
            }
            let from = arrays[0].as_primitive::<TimestampMicrosecondType>().value(row);
            let to = arrays[1].as_primitive::<TimestampMicrosecondType>().value(row);
            let step = arrays[2].as_primitive::<IntervalMonthDayNanoType>().value(row);
            let forward = interval::key(step);
            if forward == 0 {
                return Err(zero_step());
            }
            let mut all = Vec::new();
            let mut current = from;
            while if forward > 0 { current <= to } else { current >= to } {
                all.push(current);
                if all.len() as i64 > SET_ROWS_MAX {
                    return Err(too_many());
                }
                current = if zoned {
                    datetime::add_interval_in(current, step, &zone)?
                } else {
                    datetime::add_interval(current, step)?
                };
                if datetime::infinite(current) {
                    return Err(datetime::timestamp_out_of_range());
                }
            }
            let array: PrimitiveArray<TimestampMicrosecondType> = all.into_iter().map(Some).collect();
            Ok(Some(Arc::new(array.with_data_type(item.clone())) as ArrayRef))
        })
    })
}

fn numeric_series(call: &Call<'_>, values: &[ColumnarValue]) -> Result<ColumnarValue, PgError> {
    let DataType::List(item) = call.data_type() else { return Err(PgError::internal("a series is no list")) };
    let item = item.data_type().clone();
    over_arrays(call, values, |arrays, rows| {
        lists(call, rows, |row| {
            let (Some(from), Some(to)) = (value_at(&arrays[0], row), value_at(&arrays[1], row)) else {
                return Ok(None);
            };
            let step = match arrays.get(2) {
                Some(array) => match value_at(array, row) {
                    Some(step) => step,
                    None => return Ok(None),
                },
                None => Decimal::whole(1),
            };
            if step.is_zero() {
                return Err(zero_step());
            }
            let up = step.unscaled.sign() == num_bigint::Sign::Plus;
            let mut all = Vec::new();
            let mut current = from;
            loop {
                let left = to.minus(&current).unscaled.sign();
                let over = if up { left == num_bigint::Sign::Minus } else { left == num_bigint::Sign::Plus };
                if over {
                    break;
                }
                all.push(current.clone());
                if all.len() as i64 > SET_ROWS_MAX {
                    return Err(too_many());
                }
                current = current.plus(&step);
            }
            let count = all.len();
            collect(&item, count, |index| Ok(Some(all[index].clone()))).map(Some)
        })
    })
}

fn texts(code: &str) -> Option<Implementation> {
    match code {
        "array_to_text" | "array_to_text_null" => Implementation::lenient(|call, values| {
            let style = style_of(call);
            let element = element_of(call.arguments[0].oid).unwrap_or(oid::TEXT);
            over_arrays(call, values, |arrays, rows| {
                let by = arrays[1].as_string_view();
                let mut builder = StringViewBuilder::with_capacity(rows);
                for row in 0..rows {
                    let (Some(list), false) = (list_row(&arrays[0], row), by.is_null(row)) else {
                        builder.append_null();
                        continue;
                    };
                    let flat = flat(list);
                    let printed = print_styled(&flat, element, -1, &style)?;
                    let null = arrays.get(2).map(|array| array.as_string_view()).filter(|array| !array.is_null(row));
                    let words: Vec<&str> = printed
                        .as_string_view()
                        .iter()
                        .filter_map(|word| word.or_else(|| null.map(|null| null.value(row))))
                        .collect();
                    builder.append_value(words.join(by.value(row)));
                }
                Ok(Arc::new(builder.finish()))
            })
        }),
        _ => None,
    }
}
