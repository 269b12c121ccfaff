//! The rows of the funnel reports, collected for all units: besides time and mask what the report holds, excludes and breaks down by.
//!
//! `by` and `hold` stay Arrow arrays that are compared and gathered, never converted. A row that meets no step is kept only if it can
//! matter: it is excluded, the mode looks at it, or it may be the unit's first row, whose `by` value a unit without a first step gets.

use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, ListArray, UInt32Array, UInt64Array,
    make_comparator, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, concat, filter, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion_common::{Result, exec_err};
use datafusion_expr::EmitTo;
use datafusion_expr::utils::format_state_name;

use super::funnel::Row;
use super::rows::{kept, masks, truths};
use super::time::ticks;
use crate::SqlError;

/// Where the arguments of a call are: `[ts, by, hold, exclude, step...]`, the three in the middle possibly of the null type.
pub const TS: usize = 0;
/// What the report is broken down by.
pub const BY: usize = 1;
/// What all rows of a chain have in common.
pub const HOLD: usize = 2;
/// Rows that may not lie between two rows of a chain.
pub const EXCLUDE: usize = 3;
/// The first step.
pub const STEPS: usize = 4;

/// The collected rows. Columns that the call does not have stay empty.
#[derive(Debug, Default)]
pub struct UnitLog {
    groups: Vec<u32>,
    /// Time and steps.
    pub rows: Vec<Row>,
    /// Whether a row is excluded; empty if none can be.
    pub excluded: Vec<bool>,
    by: Vec<ArrayRef>,
    hold: Vec<ArrayRef>,
    /// Bytes of these arrays: counted once, because `size` is asked for after every batch.
    array_bytes: usize,
    /// First and last time of each group; `first > last` while it has no row.
    pub spans: Vec<(i64, i64)>,
}

/// A group that has no row yet.
const NO_SPAN: (i64, i64) = (i64::MAX, i64::MIN);

/// The state fields of a call with these argument types.
pub fn state_fields(function: &str, types: &[DataType]) -> Vec<FieldRef> {
    let list = |name: &str, item: DataType| {
        Arc::new(Field::new(format_state_name(function, name), DataType::new_list(item, true), true))
    };
    vec![
        list("ts", DataType::Int64),
        list("mask", DataType::UInt64),
        list("excluded", if types[EXCLUDE].is_null() { DataType::Null } else { DataType::Boolean }),
        list("by", types[BY].clone()),
        list("hold", types[HOLD].clone()),
        Arc::new(Field::new(format_state_name(function, "first"), DataType::Int64, true)),
        Arc::new(Field::new(format_state_name(function, "last"), DataType::Int64, true)),
    ]
}

impl UnitLog {
    /// Makes the log know of `group_count` groups.
    pub fn grow(&mut self, group_count: usize) -> Result<()> {
        if u32::try_from(group_count.max(self.rows.len())).is_err() {
            return exec_err!("more than 4,294,967,295 rows or groups in one aggregation");
        }
        if group_count > self.spans.len() {
            self.spans.resize(group_count, NO_SPAN);
        }
        Ok(())
    }

    /// Bytes owned.
    pub fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u32>()
            + self.rows.capacity() * size_of::<Row>()
            + self.excluded.capacity()
            + self.spans.capacity() * size_of::<(i64, i64)>()
            + self.array_bytes
    }

    /// Appends a batch. `every_row`: rows that meet no step matter.
    pub fn append(
        &mut self,
        values: &[ArrayRef],
        row_filter: Option<&BooleanArray>,
        every_row: bool,
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let times = ticks(&values[TS])?;
        let given = |at: usize| (!values[at].data_type().is_null()).then(|| &values[at]);
        let steps: Vec<&BooleanArray> = values[STEPS..].iter().map(|step| step.as_boolean()).collect();
        let excluded = given(EXCLUDE).map(|array| truths(array.as_boolean()));
        let mut found = Vec::new();
        masks(&steps, &mut found);
        let kept_rows = kept(row_filter, times.nulls());
        let (by, hold) = (given(BY), given(HOLD));
        let mut chosen = BooleanBufferBuilder::new(times.len());
        for (row, (&ts, &mask)) in times.values().iter().zip(&found).enumerate() {
            if kept_rows.as_ref().is_some_and(|kept| !kept.value(row)) {
                chosen.append(false);
                continue;
            }
            let group = group_of(row);
            let span = &mut self.spans[group];
            let may_be_first = by.is_some() && ts <= span.0;
            *span = (span.0.min(ts), span.1.max(ts));
            let barred = excluded.as_ref().is_some_and(|excluded| excluded.value(row));
            let keep = mask != 0 || barred || every_row || may_be_first;
            chosen.append(keep);
            if keep {
                self.groups.push(group as u32);
                self.rows.push(Row { ts, mask });
                if excluded.is_some() {
                    self.excluded.push(barred);
                }
            }
        }
        let chosen = BooleanArray::new(chosen.finish(), None);
        if chosen.true_count() > 0 {
            let by = by.map(|by| filter(by, &chosen)).transpose()?;
            let hold = hold.map(|hold| filter(hold, &chosen)).transpose()?;
            self.array_bytes += by.iter().chain(&hold).map(array_bytes).sum::<usize>();
            self.by.extend(by);
            self.hold.extend(hold);
        }
        Ok(())
    }

    /// Removes and returns the groups that `emit_to` names; the others are renumbered from 0.
    pub fn take(&mut self, emit_to: EmitTo) -> Result<Self> {
        let count = match emit_to {
            EmitTo::First(count) if count < self.spans.len() => count,
            _ => return Ok(std::mem::take(self)),
        };
        let all = 0..self.rows.len() as u32;
        let (first, rest): (Vec<u32>, Vec<u32>) = all.partition(|&row| (self.groups[row as usize] as usize) < count);
        let later_spans = self.spans.split_off(count);
        let spans = std::mem::replace(&mut self.spans, later_spans);
        let taken = self.select(&first, 0, spans)?;
        let spans = std::mem::take(&mut self.spans);
        *self = self.select(&rest, count as u32, spans)?;
        Ok(taken)
    }

    fn select(&self, indices: &[u32], shift: u32, spans: Vec<(i64, i64)>) -> Result<Self> {
        let gathered = UInt32Array::from(indices.to_vec());
        let arrays = |chunks: &[ArrayRef]| -> Result<Vec<ArrayRef>> {
            Ok(one_array(chunks)?.map(|array| take(&array, &gathered, None)).transpose()?.into_iter().collect())
        };
        let excluded = if self.excluded.is_empty() { &[] } else { indices };
        let (by, hold) = (arrays(&self.by)?, arrays(&self.hold)?);
        Ok(Self {
            groups: indices.iter().map(|&at| self.groups[at as usize] - shift).collect(),
            rows: indices.iter().map(|&at| self.rows[at as usize]).collect(),
            excluded: excluded.iter().map(|&at| self.excluded[at as usize]).collect(),
            array_bytes: by.iter().chain(&hold).map(array_bytes).sum(),
            by,
            hold,
            spans,
        })
    }

    /// All `by` values as one array, if the call has them.
    pub fn by(&self) -> Result<Option<ArrayRef>> {
        one_array(&self.by)
    }

    /// All `hold` values as one array, if the call has them.
    pub fn hold(&self) -> Result<Option<ArrayRef>> {
        one_array(&self.hold)
    }

    /// Row numbers by group, in the order they came, with the end of each group.
    pub fn by_group(&self) -> (Vec<u32>, Vec<usize>) {
        let mut ends = vec![0_usize; self.spans.len()];
        for &group in &self.groups {
            ends[group as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut rows = vec![0; self.groups.len()];
        for (row, &group) in self.groups.iter().enumerate() {
            let at = &mut ends[group as usize];
            rows[*at] = row as u32;
            *at += 1;
        }
        (rows, ends)
    }

    /// The states of all groups.
    pub fn state(&self, types: &[DataType]) -> Result<Vec<ArrayRef>> {
        let (order, ends) = self.by_group();
        let lengths = ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end)));
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let order = UInt32Array::from(order);
        let exclude = if types[EXCLUDE].is_null() { DataType::Null } else { DataType::Boolean };
        let columns: [(DataType, Option<ArrayRef>); 5] = [
            (DataType::Int64, Some(Arc::new(self.rows.iter().map(|row| Some(row.ts)).collect::<Int64Array>()))),
            (DataType::UInt64, Some(Arc::new(self.rows.iter().map(|row| Some(row.mask)).collect::<UInt64Array>()))),
            (
                exclude,
                (!self.excluded.is_empty()).then(|| Arc::new(BooleanArray::from(self.excluded.clone())) as ArrayRef),
            ),
            (types[BY].clone(), one_array(&self.by)?),
            (types[HOLD].clone(), one_array(&self.hold)?),
        ];
        let mut state = Vec::with_capacity(7);
        for (data_type, column) in columns {
            let values = match column {
                Some(column) => take(&column, &order, None)?,
                None => new_null_array(&data_type, order.len()),
            };
            let field = Arc::new(Field::new_list_field(data_type, true));
            state.push(Arc::new(ListArray::try_new(field, offsets.clone(), values, None)?) as ArrayRef);
        }
        state.push(Arc::new(self.spans.iter().map(|span| Some(span.0)).collect::<Int64Array>()));
        state.push(Arc::new(self.spans.iter().map(|span| Some(span.1)).collect::<Int64Array>()));
        Ok(state)
    }

    /// Appends states. `group_of` tells the group of each state.
    pub fn merge(
        &mut self,
        function: &str,
        types: &[DataType],
        states: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let corrupt = |detail: &str| SqlError::corrupt_state(function, detail);
        let [lists @ .., first, last] = states else { return Err(corrupt("Columns are missing.").into()) };
        let lists: Vec<&ListArray> = lists.iter().filter_map(|list| list.as_list_opt::<i32>()).collect();
        let [ts, mask, excluded, by, hold] = lists.as_slice() else {
            return Err(corrupt("A column is not a list.").into());
        };
        let alike = |list: &&ListArray| {
            list.null_count() == 0 && (0..ts.len()).all(|row| list.value_length(row) == ts.value_length(row))
        };
        if !lists.iter().all(alike) {
            return Err(corrupt("Its columns differ in length.").into());
        }
        let (first, last) = (first.as_primitive::<Int64Type>(), last.as_primitive::<Int64Type>());
        for state in 0..ts.len() {
            let group = group_of(state);
            self.groups.extend(std::iter::repeat_n(group as u32, ts.value_length(state) as usize));
            let span = &mut self.spans[group];
            *span = (span.0.min(first.value(state)), span.1.max(last.value(state)));
        }
        let (ts, mask) = (values_of(ts), values_of(mask));
        let pairs = ts.as_primitive::<Int64Type>().values().iter().zip(mask.as_primitive::<UInt64Type>().values());
        self.rows.extend(pairs.map(|(&ts, &mask)| Row { ts, mask }));
        if !types[EXCLUDE].is_null() {
            self.excluded.extend(truths(values_of(excluded).as_boolean()).iter());
        }
        if !types[BY].is_null() {
            let by = values_of(by);
            self.array_bytes += array_bytes(&by);
            self.by.push(by);
        }
        if !types[HOLD].is_null() {
            let hold = values_of(hold);
            self.array_bytes += array_bytes(&hold);
            self.hold.push(hold);
        }
        Ok(())
    }

    /// How `by` and `hold` values compare.
    pub fn order(&self) -> Result<UnitOrder> {
        let nulls_last = SortOptions { descending: false, nulls_first: false };
        let comparator = |array: Option<ArrayRef>| -> Result<Option<arrow::array::DynComparator>> {
            Ok(array.map(|array| make_comparator(&array, &array, nulls_last)).transpose()?)
        };
        let hold = one_array(&self.hold)?;
        let no_hold = hold.as_ref().and_then(|hold| hold.logical_nulls());
        Ok(UnitOrder { by: comparator(one_array(&self.by)?)?, hold: comparator(hold)?, no_hold })
    }
}

/// Compares rows by what the report holds and breaks down by; NULLs come last.
pub struct UnitOrder {
    by: Option<arrow::array::DynComparator>,
    hold: Option<arrow::array::DynComparator>,
    no_hold: Option<arrow::buffer::NullBuffer>,
}

impl UnitOrder {
    /// By the `by` values; equal if there are none.
    pub fn by(&self, a: u32, b: u32) -> Ordering {
        self.by.as_ref().map_or(Ordering::Equal, |compare| compare(a as usize, b as usize))
    }

    /// By the `hold` values; equal if there are none.
    pub fn hold(&self, a: u32, b: u32) -> Ordering {
        self.hold.as_ref().map_or(Ordering::Equal, |compare| compare(a as usize, b as usize))
    }

    /// Whether a row takes no part because its `hold` is NULL.
    pub fn takes_no_part(&self, row: u32) -> bool {
        self.no_hold.as_ref().is_some_and(|nulls| nulls.is_null(row as usize))
    }
}

/// The values that a list array without NULLs covers.
fn values_of(list: &ListArray) -> ArrayRef {
    let offsets = list.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[list.len()] as usize);
    list.values().slice(first, last - first)
}

fn array_bytes(array: &ArrayRef) -> usize {
    array.get_array_memory_size() + size_of::<ArrayRef>()
}

fn one_array(chunks: &[ArrayRef]) -> Result<Option<ArrayRef>> {
    match chunks {
        [] => Ok(None),
        [one] => Ok(Some(Arc::clone(one))),
        many => Ok(Some(concat(&many.iter().map(|chunk| chunk.as_ref()).collect::<Vec<_>>())?)),
    }
}
