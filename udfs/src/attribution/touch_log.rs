//! The rows of `journeys` and `attribution`, collected column by column for all groups.
//!
//! Rows are appended flat with their group's number beside them and ordered once, at the end, through a permutation: no row is moved, and
//! ids stay Arrow arrays that are only ever gathered. A group's state is a list for each column; merging is appending.

use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, DynComparator, Float64Array, Int64Array, ListArray,
    StringArray, UInt8Array, UInt32Array, make_comparator, new_empty_array, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{SortOptions, concat, filter, take};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, UInt8Type,
};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::EmitTo;
use datafusion_expr::utils::format_state_name;

use super::channels::Channels;
use super::options::{Options, Types, length};
use crate::SqlError;
use crate::arguments::Texts;
use crate::behaviour::rows::kept;
use crate::behaviour::time::ticks;

/// Channel number of a row that is no touch.
pub const NO_CHANNEL: u32 = u32::MAX;
/// The row is a conversion.
pub const CONVERTED: u8 = 1;
/// The touch is direct.
pub const DIRECT: u8 = 2;
/// The conversion has a value.
pub const VALUED: u8 = 4;

/// Columns of a state, in order.
const STATE_NAMES: [&str; 8] = ["ts", "channel", "flags", "value", "lookback", "weight", "touch_id", "conversion_id"];

/// The collected rows. Columns that the call does not have stay empty.
#[derive(Debug, Default)]
pub struct TouchLog {
    pub(super) groups: Vec<u32>,
    pub(super) ts: Vec<i64>,
    pub(super) channel: Vec<u32>,
    pub(super) flags: Vec<u8>,
    pub(super) value: Vec<f64>,
    pub(super) lookback: Vec<i64>,
    pub(super) weight: Vec<f64>,
    touch_ids: Vec<ArrayRef>,
    conversion_ids: Vec<ArrayRef>,
    /// Bytes of the ids: counted once, because `size` is asked for after every batch.
    id_bytes: usize,
    group_count: usize,
}

/// The types of the state columns.
fn state_types(types: &Types) -> [DataType; 8] {
    [
        DataType::Int64,
        DataType::Utf8,
        DataType::UInt8,
        types.value.clone(),
        types.lookback.clone(),
        types.weight.clone(),
        types.touch_id.clone(),
        types.conversion_id.clone(),
    ]
}

/// The state fields of a call.
pub fn state_fields(function: &str, types: &Types) -> Vec<FieldRef> {
    let columns = STATE_NAMES.iter().zip(state_types(types));
    columns
        .map(|(name, data_type)| {
            let list = DataType::new_list(data_type, true);
            Arc::new(Field::new(format_state_name(function, name), list, true))
        })
        .collect()
}

impl TouchLog {
    /// Makes the log know of `group_count` groups, with or without rows.
    pub fn grow(&mut self, group_count: usize) -> Result<()> {
        self.group_count = self.group_count.max(group_count);
        if u32::try_from(self.group_count.max(self.ts.len())).is_err() {
            return exec_err!("more than 4,294,967,295 rows or groups in one aggregation");
        }
        Ok(())
    }

    /// Bytes owned.
    pub fn size(&self) -> usize {
        let words = self.groups.capacity() + self.channel.capacity();
        let doubles = self.ts.capacity() + self.value.capacity() + self.lookback.capacity() + self.weight.capacity();
        words * size_of::<u32>() + doubles * 8 + self.flags.capacity() + self.id_bytes
    }

    /// Appends the touches and conversions of a batch. `group_of` tells a row's group.
    pub fn append(
        &mut self,
        options: &Options,
        channels: &mut Channels,
        values: &[ArrayRef],
        row_filter: Option<&BooleanArray>,
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let batch = Batch::new(options, values, row_filter)?;
        let mut kept = BooleanBufferBuilder::new(batch.row_count);
        for row in 0..batch.row_count {
            let keep = self.append_row(options, channels, &batch, row)?;
            kept.append(keep);
            if keep {
                self.groups.push(group_of(row) as u32);
            }
        }
        let kept = BooleanArray::new(kept.finish(), None);
        for (ids, at, data_type) in [
            (&mut self.conversion_ids, 4, &options.types.conversion_id),
            (&mut self.touch_ids, 5, &options.types.touch_id),
        ] {
            if !data_type.is_null() && kept.true_count() > 0 {
                let kept = filter(&values[at], &kept)?;
                self.id_bytes += id_bytes(&kept);
                ids.push(kept);
            }
        }
        Ok(())
    }

    fn append_row(
        &mut self,
        options: &Options,
        channels: &mut Channels,
        batch: &Batch,
        row: usize,
    ) -> Result<bool, SqlError> {
        let ts = batch.ts.value(row);
        if batch.kept.as_ref().is_some_and(|kept| !kept.value(row)) || options.as_of.is_some_and(|as_of| ts > as_of) {
            return Ok(false);
        }
        let channel = batch.channel.get(row);
        let converted = batch.converted.is_valid(row) && batch.converted.value(row);
        if channel.is_none() && !converted {
            return Ok(false);
        }
        let number = channel.map_or(Ok(NO_CHANNEL), |name| channels.number(name))?;
        let mut flags = if converted { CONVERTED } else { 0 };
        if channel.is_some() && batch.direct.is_some_and(|direct| direct.is_valid(row) && direct.value(row)) {
            flags |= DIRECT;
        }
        let value = batch.value.filter(|value| converted && value.is_valid(row)).map(|value| value.value(row));
        flags |= if value.is_some() { VALUED } else { 0 };
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(SqlError::invalid_parameter("value must be finite"));
        }
        let touches = channel.is_some();
        if let Some(weights) = batch.weight {
            let weight = if touches && weights.is_valid(row) { weights.value(row) } else { 0.0 };
            check_weight(weight)?;
            self.weight.push(weight);
        }
        if options.lookback.is_none() {
            self.lookback.push(if touches { batch.lookback(options, row)? } else { 0 });
        }
        if batch.value.is_some() {
            self.value.push(value.unwrap_or(0.0));
        }
        self.ts.push(ts);
        self.channel.push(number);
        self.flags.push(flags);
        Ok(true)
    }

    /// The rows of `indices` as a log of their own, groups renumbered by `shift`.
    fn select(&self, indices: &[u32], shift: u32, group_count: usize) -> Result<Self> {
        fn pick<T: Copy>(column: &[T], indices: &[u32]) -> Vec<T> {
            if column.is_empty() { Vec::new() } else { indices.iter().map(|&at| column[at as usize]).collect() }
        }
        let gathered = UInt32Array::from(indices.to_vec());
        let ids = |chunks: &[ArrayRef]| -> Result<Vec<ArrayRef>> {
            match one_array(chunks)? {
                None => Ok(Vec::new()),
                Some(ids) => Ok(vec![take(&ids, &gathered, None)?]),
            }
        };
        let (touch_ids, conversion_ids) = (ids(&self.touch_ids)?, ids(&self.conversion_ids)?);
        Ok(Self {
            groups: indices.iter().map(|&at| self.groups[at as usize] - shift).collect(),
            ts: pick(&self.ts, indices),
            channel: pick(&self.channel, indices),
            flags: pick(&self.flags, indices),
            value: pick(&self.value, indices),
            lookback: pick(&self.lookback, indices),
            weight: pick(&self.weight, indices),
            id_bytes: touch_ids.iter().chain(&conversion_ids).map(id_bytes).sum(),
            touch_ids,
            conversion_ids,
            group_count,
        })
    }

    /// Removes and returns the groups that `emit_to` names; the others are renumbered from 0.
    pub fn take(&mut self, emit_to: EmitTo) -> Result<Self> {
        let count = match emit_to {
            EmitTo::First(count) if count < self.group_count => count,
            _ => return Ok(std::mem::take(self)),
        };
        let rows = 0..self.ts.len() as u32;
        let (first, rest): (Vec<u32>, Vec<u32>) = rows.partition(|&row| (self.groups[row as usize] as usize) < count);
        let taken = self.select(&first, 0, count)?;
        *self = self.select(&rest, count as u32, self.group_count - count)?;
        Ok(taken)
    }

    /// All touch ids as one array, if the call has them.
    pub fn touch_ids(&self) -> Result<Option<ArrayRef>> {
        Ok(one_array(&self.touch_ids)?)
    }

    /// All conversion ids as one array, if the call has them.
    pub fn conversion_ids(&self) -> Result<Option<ArrayRef>> {
        Ok(one_array(&self.conversion_ids)?)
    }

    /// Row numbers by group, in the order they came, with the end of each group.
    pub fn by_group(&self) -> (Vec<u32>, Vec<usize>) {
        let mut ends = vec![0_usize; self.group_count];
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
    pub fn state(&self, types: &Types, channels: &Channels) -> Result<Vec<ArrayRef>> {
        let (order, ends) = self.by_group();
        let lengths = ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end)));
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let order = UInt32Array::from(order);
        let names = self.channel.iter().map(|&number| (number != NO_CHANNEL).then(|| channels.name(number)));
        let columns: [Option<ArrayRef>; 8] = [
            Some(Arc::new(Int64Array::from(self.ts.clone()))),
            Some(Arc::new(names.collect::<StringArray>())),
            Some(Arc::new(UInt8Array::from(self.flags.clone()))),
            (!self.value.is_empty()).then(|| Arc::new(Float64Array::from(self.value.clone())) as ArrayRef),
            (!self.lookback.is_empty()).then(|| Arc::new(Int64Array::from(self.lookback.clone())) as ArrayRef),
            (!self.weight.is_empty()).then(|| Arc::new(Float64Array::from(self.weight.clone())) as ArrayRef),
            self.touch_ids()?,
            self.conversion_ids()?,
        ];
        let lists = columns.into_iter().zip(state_types(types)).map(|(column, data_type)| {
            let values = match column {
                Some(column) => take(&column, &order, None)?,
                None => new_null_array(&data_type, order.len()),
            };
            let field = Arc::new(Field::new_list_field(data_type, true));
            Ok(Arc::new(ListArray::try_new(field, offsets.clone(), values, None)?) as ArrayRef)
        });
        lists.collect()
    }

    /// Appends states. `group_of` tells the group of each state.
    pub fn merge(
        &mut self,
        options: &Options,
        channels: &mut Channels,
        states: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let corrupt = |detail: &str| SqlError::corrupt_state(options.function, detail);
        let lists: Vec<&ListArray> = states.iter().filter_map(|state| state.as_list_opt::<i32>()).collect();
        let [first, ..] = lists.as_slice() else { return Err(corrupt("A column is not a list.").into()) };
        let alike = |list: &&ListArray| list.null_count() == 0 && lengths_equal(list, first);
        if lists.len() != STATE_NAMES.len() || !lists.iter().all(alike) {
            return Err(corrupt("Its columns differ in length.").into());
        }
        for state in 0..first.len() {
            let group = group_of(state) as u32;
            self.groups.extend(std::iter::repeat_n(group, first.value_length(state) as usize));
        }
        let [ts, names, flags, value, lookback, weight, touch_id, conversion_id] =
            std::array::from_fn(|at| values_of(lists[at]));
        self.ts.extend_from_slice(ts.as_primitive::<Int64Type>().values());
        for name in names.as_string::<i32>() {
            self.channel.push(name.map_or(Ok(NO_CHANNEL), |name| channels.number(name))?);
        }
        self.flags.extend_from_slice(flags.as_primitive::<UInt8Type>().values());
        if !options.types.value.is_null() {
            self.value.extend_from_slice(value.as_primitive::<Float64Type>().values());
        }
        if options.lookback.is_none() {
            self.lookback.extend_from_slice(lookback.as_primitive::<Int64Type>().values());
        }
        if !options.types.weight.is_null() {
            self.weight.extend_from_slice(weight.as_primitive::<Float64Type>().values());
        }
        if !options.types.touch_id.is_null() {
            self.id_bytes += id_bytes(&touch_id);
            self.touch_ids.push(touch_id);
        }
        if !options.types.conversion_id.is_null() {
            self.id_bytes += id_bytes(&conversion_id);
            self.conversion_ids.push(conversion_id);
        }
        Ok(())
    }
}

fn lengths_equal(a: &ListArray, b: &ListArray) -> bool {
    a.len() == b.len() && (0..a.len()).all(|row| a.value_length(row) == b.value_length(row))
}

/// The values that a list array without NULLs covers.
fn values_of(list: &ListArray) -> ArrayRef {
    let offsets = list.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[list.len()] as usize);
    list.values().slice(first, last - first)
}

fn id_bytes(ids: &ArrayRef) -> usize {
    ids.get_array_memory_size() + size_of::<ArrayRef>()
}

fn one_array(chunks: &[ArrayRef]) -> Result<Option<ArrayRef>, arrow::error::ArrowError> {
    match chunks {
        [] => Ok(None),
        [one] => Ok(Some(Arc::clone(one))),
        many => Ok(Some(concat(&many.iter().map(|chunk| chunk.as_ref()).collect::<Vec<_>>())?)),
    }
}

fn check_weight(weight: f64) -> Result<(), SqlError> {
    match weight {
        w if w < 0.0 => Err(SqlError::invalid_parameter("weight must not be negative")),
        w if !w.is_finite() => Err(SqlError::invalid_parameter("weight must be finite")),
        _ => Ok(()),
    }
}

/// The arguments of one batch.
struct Batch<'a> {
    row_count: usize,
    ts: Int64Array,
    kept: Option<arrow::buffer::BooleanBuffer>,
    channel: Texts<'a>,
    converted: &'a BooleanArray,
    value: Option<&'a Float64Array>,
    direct: Option<&'a BooleanArray>,
    weight: Option<&'a Float64Array>,
    lookback: Option<&'a ArrayRef>,
}

impl<'a> Batch<'a> {
    fn new(options: &Options, values: &'a [ArrayRef], row_filter: Option<&BooleanArray>) -> Result<Self> {
        let given = |at: usize| values.get(at).filter(|array| !array.data_type().is_null());
        let ts = ticks(&values[0])?;
        let kept = kept(row_filter, ts.nulls());
        Ok(Self {
            row_count: ts.len(),
            kept,
            ts,
            channel: Texts::new(values[1].as_ref())?,
            converted: values[2].as_boolean(),
            value: given(3).map(|array| array.as_primitive()),
            lookback: if options.lookback.is_none() { given(6) } else { None },
            direct: given(7).map(|array| array.as_boolean()),
            weight: given(8).map(|array| array.as_primitive()),
        })
    }

    fn lookback(&self, options: &Options, row: usize) -> Result<i64, SqlError> {
        let Some(array) = self.lookback.filter(|array| array.is_valid(row)) else {
            return Ok(options.lookback_default);
        };
        let value = match array.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                ScalarValue::IntervalMonthDayNano(Some(array.as_primitive::<IntervalMonthDayNanoType>().value(row)))
            }
            _ => ScalarValue::try_from_array(array, row)
                .map_err(|error| SqlError::invalid_parameter(format!("lookback cannot be read: {error}")))?,
        };
        length(options.time, &value, "lookback")
    }
}

/// What orders rows that the time does not.
pub struct RowOrder<'a> {
    log: &'a TouchLog,
    ranks: Vec<u32>,
    touch_id: Option<DynComparator>,
    conversion_id: Option<DynComparator>,
}

impl<'a> RowOrder<'a> {
    /// For the rows of `log`.
    pub fn new(log: &'a TouchLog, channels: &Channels) -> Result<Self> {
        let nulls_last = SortOptions { descending: false, nulls_first: false };
        let comparator = |ids: Option<ArrayRef>| match ids {
            None => Ok(None),
            Some(ids) => make_comparator(&ids, &ids, nulls_last).map(Some),
        };
        let touch_id = comparator(log.touch_ids()?)?;
        Ok(Self { log, ranks: channels.ranks(), touch_id, conversion_id: comparator(log.conversion_ids()?)? })
    }

    /// Touches: time, id, channel, then what else tells them apart.
    pub fn touches(&self, a: u32, b: u32) -> Ordering {
        let (log, x, y) = (self.log, a as usize, b as usize);
        let rank = |row: usize| self.ranks[log.channel[row] as usize];
        let by_id = || self.touch_id.as_ref().map_or(Ordering::Equal, |compare| compare(x, y));
        let number = |column: &[f64]| column.get(x).zip(column.get(y)).map_or(Ordering::Equal, |(x, y)| x.total_cmp(y));
        log.ts[x]
            .cmp(&log.ts[y])
            .then_with(by_id)
            .then_with(|| rank(x).cmp(&rank(y)))
            .then_with(|| (log.flags[x] & DIRECT).cmp(&(log.flags[y] & DIRECT)))
            .then_with(|| number(&log.weight))
            .then_with(|| log.lookback.get(x).cmp(&log.lookback.get(y)))
    }

    /// Conversions: time, id, value.
    pub fn conversions(&self, a: u32, b: u32) -> Ordering {
        let (log, x, y) = (self.log, a as usize, b as usize);
        let by_id = || self.conversion_id.as_ref().map_or(Ordering::Equal, |compare| compare(x, y));
        let missing = |row: usize| log.flags[row] & VALUED == 0;
        log.ts[x]
            .cmp(&log.ts[y])
            .then_with(by_id)
            .then_with(|| missing(x).cmp(&missing(y)))
            .then_with(|| log.value.get(x).zip(log.value.get(y)).map_or(Ordering::Equal, |(x, y)| x.total_cmp(y)))
    }
}

/// Ids gathered by row; all NULL when the call has none.
pub fn gather(ids: Option<ArrayRef>, data_type: &DataType, rows: &UInt32Array) -> Result<ArrayRef> {
    match ids {
        Some(ids) => Ok(take(&ids, rows, None)?),
        None if rows.is_empty() => Ok(new_empty_array(data_type)),
        None => Ok(new_null_array(data_type, rows.len())),
    }
}

/// Ends of groups as list offsets.
pub fn list_offsets(ends: Vec<usize>) -> Result<OffsetBuffer<i32>, SqlError> {
    let too_many =
        || SqlError::new(crate::error::PROGRAM_LIMIT_EXCEEDED, "more than 2,147,483,647 rows in one batch of results");
    let ends = ends.into_iter().map(|end| i32::try_from(end).map_err(|_| too_many()));
    let offsets: Vec<i32> = std::iter::once(Ok(0)).chain(ends).collect::<Result<_, _>>()?;
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}
